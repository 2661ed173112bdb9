//! What is answered to a request for a file, given what is known of the file: conditionals, ranges, encodings
//! (RFC 9110, sections 12.5.3, 13 and 14). Also which file a URL path names.
//!
//! Never does: open, read or stat anything.

pub mod encoding;
pub mod path;
pub mod types;

use super::request::{Method, Request, elements, trim};
use super::response::{
    ALLOW_READ, Envelope, HttpDate, TEXT, end_head, http_date, parse_http_date, push_body_fields, push_field,
    push_number, reads, start_head,
};
use crate::codec::write_hex;
use crate::fnv::Fnv;
use encoding::Coding;
use std::borrow::Cow;
use std::hash::Hasher;

/// An entity tag (RFC 9110, section 8.8.3). Tags need to differ, not to withstand an attacker, who cannot write files
/// here. A strong one is another one whenever the bytes are others; a weak one only most likely.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Etag {
    /// `W/"` and `"` with the digits between them; a strong tag is the part behind `W/`.
    text: [u8; 20],
    is_strong: bool,
}

impl Etag {
    /// The tag of a file on disk, from the numbers that tell its states apart. As a hash, so that it tells no stranger
    /// those numbers. `is_strong`: no change of the bytes leaves all numbers as they are.
    pub fn of_state(numbers: &[u64], is_strong: bool) -> Self {
        let mut hash = Fnv::default();
        for number in numbers {
            hash.write(&number.to_le_bytes());
        }
        Etag::of_hash(hash, is_strong)
    }

    /// The tag of these very bytes in this coding, which may be the same bytes as in another one.
    pub fn of_bytes(bytes: &[u8], coding: Coding) -> Self {
        let mut hash = Fnv::default();
        hash.write(&[coding as u8]);
        hash.write(bytes);
        Etag::of_hash(hash, true)
    }

    /// As it stands in the field.
    pub fn as_bytes(&self) -> &[u8] {
        if self.is_strong { self.opaque() } else { &self.text }
    }

    /// Whether `tag`, as it stands in a field, is this one by strong comparison: both are strong.
    fn is(&self, tag: &[u8]) -> bool {
        self.is_strong && tag == self.opaque()
    }

    /// Whether `tag` is this one by weak comparison: either may be weak.
    fn is_like(&self, tag: &[u8]) -> bool {
        tag.strip_prefix(b"W/").unwrap_or(tag) == self.opaque()
    }

    fn opaque(&self) -> &[u8] {
        &self.text[2..]
    }

    fn of_hash(hash: Fnv, is_strong: bool) -> Self {
        let mut text = *b"W/\"                \"";
        write_hex(hash.finish(), &mut text[3..19]);
        Etag { text, is_strong }
    }
}

/// What is known of the file (or of the variant of it) that is to be sent.
#[derive(Clone, Debug)]
pub struct FileMeta {
    /// Its length in bytes.
    pub len: u64,
    /// When it was changed, seconds since 1970, and the same as HTTP writes it; `None` where that is not
    /// known, for a time before 1970, and where other bytes have been sent under the same time.
    pub modified: Option<(u64, HttpDate)>,
    /// Its tag.
    pub etag: Etag,
    /// Its type; that of the plain file, if this is an encoded variant.
    pub content_type: Cow<'static, str>,
    /// How it is encoded.
    pub coding: Coding,
    /// There are other encodings of it, so that the answer depends on Accept-Encoding.
    pub varies: bool,
    /// Content-Security-Policy to be sent along, for built-in pages.
    pub policy: Option<&'static str>,
}

/// A file with the header lines that go with all of it, made once: they are the same for every request.
#[derive(Clone, Debug)]
pub struct Described {
    meta: FileMeta,
    lines: Box<[u8]>,
}

impl Described {
    /// The file that `meta` describes.
    pub fn new(meta: FileMeta) -> Self {
        let mut lines = Vec::with_capacity(320);
        push_lines(&mut lines, &meta, meta.len, meta.modified);
        Described { lines: lines.into(), meta }
    }

    /// What is known of it.
    pub fn meta(&self) -> &FileMeta {
        &self.meta
    }
}

impl FileMeta {
    /// It is a page of HTML.
    pub fn is_page(&self) -> bool {
        types::is_page(&self.content_type)
    }

    /// [`FileMeta::modified`] for a time of modification of `seconds` since 1970.
    pub fn modified_at(seconds: i64) -> Option<(u64, HttpDate)> {
        u64::try_from(seconds).ok().map(|s| (s, http_date(s)))
    }
}

/// Which bytes follow the head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlanBody {
    /// None: HEAD, OPTIONS, 304; or a short text that was appended to the head (412, 416, 405, 501).
    None,
    /// All of the file.
    Whole,
    /// `len` bytes of it from `start`.
    Range {
        /// First byte.
        start: u64,
        /// Bytes, at least one.
        len: u64,
    },
}

/// What is answered; the head has been appended to the buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Status.
    pub status: u16,
    /// What follows the head.
    pub body: PlanBody,
}

/// Plans the answer to `request` for `file` and appends its head to `out`. `now_s`: seconds since 1970 by the wall
/// clock.
pub fn plan(request: &Request<'_>, file: &Described, now_s: u64, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Plan {
    let meta = &file.meta;
    if let Err(status) = reads(request.method) {
        return short_text(out, status, envelope, b"This can only be read: GET, HEAD, OPTIONS.\n", |out| {
            push_field(out, "Allow", ALLOW_READ.as_bytes());
        });
    }
    if request.method == Method::Options {
        start_head(out, 204, envelope);
        push_field(out, "Allow", ALLOW_READ.as_bytes());
        end_head(out);
        return Plan { status: 204, body: PlanBody::None };
    }
    // A time later than now is not said and not compared: RFC 9110, section 8.8.2.1; a board that has just booted
    // may live in 1970.
    let modified = meta.modified.filter(|&(s, _)| s <= now_s);
    match preconditions(request, meta, modified.map(|(s, _)| s)) {
        Precondition::Failed => {
            return short_text(out, 412, envelope, b"The file is not the one that you expected.\n", |_| {});
        }
        Precondition::NotModified => {
            start_head(out, 304, envelope);
            push_validators(out, meta, modified);
            end_head(out);
            return Plan { status: 304, body: PlanBody::None };
        }
        Precondition::Go => {}
    }
    let wanted = match request.method {
        Method::Get if if_range_holds(request, meta) => wanted_range(request, meta.len),
        _ => Wanted::Whole,
    };
    let (status, start, len) = match wanted {
        Wanted::Whole => (200, 0, meta.len),
        Wanted::Part { start, len } => (206, start, len),
        Wanted::Unsatisfiable => {
            return short_text(out, 416, envelope, b"The file has no such bytes.\n", |out| {
                out.extend_from_slice(b"Content-Range: bytes */");
                push_number(out, meta.len);
                out.extend_from_slice(b"\r\n");
            });
        }
    };
    start_head(out, status, envelope);
    if status == 200 && modified == meta.modified {
        out.extend_from_slice(&file.lines);
    } else {
        push_lines(out, meta, len, modified);
    }
    if status == 206 {
        out.extend_from_slice(b"Content-Range: bytes ");
        push_number(out, start);
        out.push(b'-');
        push_number(out, start + len - 1);
        out.push(b'/');
        push_number(out, meta.len);
        out.extend_from_slice(b"\r\n");
    }
    end_head(out);
    let body = match (request.method, status) {
        (Method::Head, _) => PlanBody::None,
        (_, 206) => PlanBody::Range { start, len },
        _ if len == 0 => PlanBody::None,
        _ => PlanBody::Whole,
    };
    Plan { status, body }
}

fn short_text(
    out: &mut Vec<u8>,
    status: u16,
    envelope: &Envelope<'_>,
    text: &'static [u8],
    fields: impl FnOnce(&mut Vec<u8>),
) -> Plan {
    start_head(out, status, envelope);
    fields(out);
    push_body_fields(out, TEXT, text.len() as u64);
    end_head(out);
    if !envelope.is_head {
        out.extend_from_slice(text);
    }
    Plan { status, body: PlanBody::None }
}

/// What is said of `len` bytes of a file.
fn push_lines(out: &mut Vec<u8>, meta: &FileMeta, len: u64, modified: Option<(u64, HttpDate)>) {
    push_body_fields(out, &meta.content_type, len);
    push_validators(out, meta, modified);
    out.extend_from_slice(b"Accept-Ranges: bytes\r\n");
    if let Some(coding) = meta.coding.name() {
        push_field(out, "Content-Encoding", coding.as_bytes());
    }
    if let Some(policy) = meta.policy {
        push_field(out, "Content-Security-Policy", policy.as_bytes());
    }
}

/// The fields that a 304 has in common with the 200 (RFC 9110, section 15.4.5).
fn push_validators(out: &mut Vec<u8>, meta: &FileMeta, modified: Option<(u64, HttpDate)>) {
    push_field(out, "ETag", meta.etag.as_bytes());
    if let Some((_, date)) = modified {
        push_field(out, "Last-Modified", &date);
    }
    // A page out of the back-forward cache answers pings for a minute after it is gone, so pages are not stored.
    out.extend_from_slice(if meta.is_page() { b"Cache-Control: no-store\r\n" } else { b"Cache-Control: no-cache\r\n" });
    if meta.varies {
        out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
    }
}

enum Precondition {
    Go,
    NotModified,
    Failed,
}

/// In the order of RFC 9110, section 13.2.2.
fn preconditions(request: &Request<'_>, meta: &FileMeta, modified: Option<u64>) -> Precondition {
    let date = |name| request.header(name).and_then(parse_http_date);
    if request.header("if-match").is_some() {
        if !any_tag(request, "if-match", |tag| meta.etag.is(tag)) {
            return Precondition::Failed;
        }
    } else if let (Some(limit), Some(modified)) = (date("if-unmodified-since"), modified) {
        if modified > limit {
            return Precondition::Failed;
        }
    }
    if request.header("if-none-match").is_some() {
        if any_tag(request, "if-none-match", |tag| meta.etag.is_like(tag)) {
            return Precondition::NotModified;
        }
    } else if let (Some(limit), Some(modified)) = (date("if-modified-since"), modified) {
        if modified <= limit {
            return Precondition::NotModified;
        }
    }
    Precondition::Go
}

/// Whether a tag in the fields called `name` satisfies `is_it`; `*` always does. A tag may have commas in it.
fn any_tag(request: &Request<'_>, name: &str, is_it: impl Fn(&[u8]) -> bool) -> bool {
    request.headers_named(name).any(|value| {
        let mut rest = value;
        loop {
            while let [b' ' | b'\t' | b',', after @ ..] = rest {
                rest = after;
            }
            if trim(rest) == b"*" {
                return true;
            }
            let prefix = if rest.starts_with(b"W/") { 2 } else { 0 };
            let Some(b'"') = rest.get(prefix) else { return false };
            let opaque = rest.get(prefix + 1..).unwrap_or_default();
            let Some(n) = opaque.iter().position(|&b| b == b'"') else { return false };
            let (tag, after) = rest.split_at(prefix + n + 2);
            if is_it(tag) {
                return true;
            }
            rest = after;
        }
    })
}

/// RFC 9110, section 13.1.5: a tag by strong comparison. A date never holds: it is a strong validator only where no two
/// versions can have the same one (section 8.8.2.2), and copying files with their times makes such versions. A
/// range of one version joined to a part of another would be a file that never was.
fn if_range_holds(request: &Request<'_>, meta: &FileMeta) -> bool {
    request.header("if-range").is_none_or(|tag| meta.etag.is(tag))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    Whole,
    Part { start: u64, len: u64 },
    Unsatisfiable,
}

/// RFC 9110, section 14.2. What is no valid single range of bytes is ignored, and so are several ranges: section
/// 14.2 lets a server do so, and nothing that a board serves needs them.
fn wanted_range(request: &Request<'_>, len: u64) -> Wanted {
    let mut fields = request.headers_named("range");
    let (Some(value), None) = (fields.next(), fields.next()) else { return Wanted::Whole };
    let Some((unit, set)) = split_once(value, b'=') else { return Wanted::Whole };
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return Wanted::Whole;
    }
    let mut specs = elements(set);
    let (Some(spec), None) = (specs.next(), specs.next()) else { return Wanted::Whole };
    let Some((first, last)) = split_once(spec, b'-') else { return Wanted::Whole };
    match (number(first), number(last)) {
        (Number::Bad, _) | (_, Number::Bad) | (Number::Absent, Number::Absent) => Wanted::Whole,
        (Number::Is(first), Number::Is(last)) if first > last => Wanted::Whole,
        (Number::Absent, Number::Is(suffix)) => match suffix.min(len) {
            0 => Wanted::Unsatisfiable,
            n => Wanted::Part { start: len - n, len: n },
        },
        (Number::Is(first), _) if first >= len => Wanted::Unsatisfiable,
        (Number::Is(start), Number::Absent) => Wanted::Part { start, len: len - start },
        (Number::Is(start), Number::Is(last)) => Wanted::Part { start, len: last.min(len - 1) - start + 1 },
    }
}

enum Number {
    Absent,
    Is(u64),
    Bad,
}

/// Decimal digits; beyond 64 bits it is the largest number, which is beyond every file.
fn number(digits: &[u8]) -> Number {
    match digits {
        [] => Number::Absent,
        _ if digits.iter().all(u8::is_ascii_digit) => {
            Number::Is(digits.iter().fold(0_u64, |n, d| n.saturating_mul(10).saturating_add(u64::from(d - b'0'))))
        }
        _ => Number::Bad,
    }
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let i = bytes.iter().position(|&b| b == at)?;
    Some((&bytes[..i], &bytes[i + 1..]))
}

#[cfg(test)]
mod tests;
