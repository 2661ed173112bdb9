//! One request head: the bytes up to and with the empty line, checked strictly (RFC 9112), borrowed, never copied.
//!
//! Never does: find where a head ends (that is [`super::exchange`]), decide what is served.

use std::mem::MaybeUninit;

use super::bytes::TARGET;
use super::host::is_valid_host;
use crate::codec::ProtoError;

/// Most header fields that a head may have, whatever the setting says: the size of [`Slots`].
pub const HEADERS_MAX: usize = 256;

/// Bounds of a request head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadLimits {
    /// Bytes of the whole head, request line and empty line included (`limits.header_bytes`).
    pub bytes: usize,
    /// Header fields (`limits.headers`); more than [`HEADERS_MAX`] counts as that many.
    pub headers: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        HeadLimits { bytes: 16 * 1024, headers: 100 }
    }
}

/// Room for the fields of one head, on the caller's stack and not initialised, so that it costs nothing.
pub type Slots<'a> = [MaybeUninit<httparse::Header<'a>>; HEADERS_MAX];

/// Empty [`Slots`].
pub const fn slots<'a>() -> Slots<'a> {
    [const { MaybeUninit::uninit() }; HEADERS_MAX]
}

/// The methods that this server knows by name (RFC 9110, section 9; RFC 5789). Case counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// PATCH
    Patch,
    /// OPTIONS
    Options,
    /// TRACE
    Trace,
    /// Anything else that is a token: 501.
    Other,
}

/// What the request line pointed at (RFC 9112, section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetForm {
    /// `/path?query`
    Origin,
    /// `http://host/path?query`; its host has replaced that of the Host field.
    Absolute,
    /// `*`, only with OPTIONS.
    Asterisk,
}

/// Protocol version of the request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// How the body of the request is delimited (RFC 9112, section 6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunked coding.
    Chunked,
}

/// A parsed and checked head.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The method as it was sent.
    pub method_name: &'a str,
    /// The form of the target.
    pub form: TargetForm,
    /// The host that is asked, with its port if one was given: of the target, else of the Host field. Checked for
    /// its syntax, which is ASCII; may be empty; `None` only in HTTP/1.0.
    pub host: Option<&'a [u8]>,
    /// Raw path, percent-escapes as sent; begins with `/`, or is `*`.
    pub path: &'a str,
    /// Raw query, without its `?`; `None` without one.
    pub query: Option<&'a str>,
    /// Protocol version.
    pub version: Version,
    /// How the body is delimited.
    pub framing: Framing,
    /// The peer waits for `100 Continue` before it sends its body (never in HTTP/1.0, never without a body).
    pub expects_continue: bool,
    /// The peer wants the connection to stay open after the response (RFC 9112, section 9.3).
    pub keep_alive: bool,
    headers: &'a [httparse::Header<'a>],
    /// The lengths of the fields' names, one bit each: most of the fields that are asked for are not there, and need
    /// not be looked for.
    lengths: u64,
}

impl<'a> Request<'a> {
    /// Reads `head`, which must be exactly one head as [`super::exchange::Progress::Head`] found it (leading empty
    /// lines may be part of it). Errors: 400 malformed, 417 unknown expectation, 413 a length beyond 64 bits,
    /// 431 too many fields, 501 unknown transfer coding or CONNECT, 505 another version of HTTP.
    pub fn parse(head: &'a [u8], slots: &'a mut Slots<'a>, limits: &HeadLimits) -> Result<Self, ProtoError> {
        match Self::read(head, slots, limits)? {
            Some((request, n)) if n == head.len() => Ok(request),
            _ => Err(bad("the request head is malformed")),
        }
    }

    /// The request at the beginning of `input` and the length of its head, if all of the head is there and nothing is wrong
    /// with it: the common case, in one look. Else `None`: an [`super::exchange::Exchange`] finds out what it is.
    pub fn first(input: &'a [u8], slots: &'a mut Slots<'a>, limits: &HeadLimits) -> Option<(Self, usize)> {
        if matches!(input, [] | [b'\r' | b'\n', ..]) {
            return None;
        }
        Self::read(input, slots, limits).ok()?.filter(|&(_, n)| n <= limits.bytes)
    }

    /// The request and the length of its head; `None` if that is not all there.
    fn read(
        input: &'a [u8],
        slots: &'a mut Slots<'a>,
        limits: &HeadLimits,
    ) -> Result<Option<(Self, usize)>, ProtoError> {
        let mut parsed = httparse::Request::new(&mut []);
        let room = limits.headers.min(HEADERS_MAX);
        let n = match parsed.parse_with_uninit_headers(input, &mut slots[..room]) {
            Ok(httparse::Status::Complete(n)) => n,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(e) => return Err(complaint(e, input)),
        };
        let (Some(name), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
            return Ok(None);
        };
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let method = Method::from_name(name);
        if name == "CONNECT" {
            return Err(ProtoError::http(501, "CONNECT: this server is no proxy"));
        }
        let target = Target::parse(target, method)?;
        let headers: &'a [httparse::Header<'a>] = parsed.headers;
        let known = Known::collect(headers, version)?;
        let request = Request {
            method,
            method_name: name,
            form: target.form,
            host: target.authority.map(str::as_bytes).or(known.host),
            path: target.path,
            query: target.query,
            version,
            framing: known.framing,
            expects_continue: known.expects_continue && known.framing != Framing::None,
            keep_alive: known.keep_alive,
            headers,
            lengths: known.lengths,
        };
        Ok(Some((request, n)))
    }

    /// [`Request::host`] as text; empty without one.
    pub fn host_text(&self) -> &'a str {
        self.host.and_then(|host| std::str::from_utf8(host).ok()).unwrap_or_default()
    }

    /// Value of the first field called `name` (here in lower case, there in any), blanks around it removed.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers_named(name).next()
    }

    /// Values of all fields called `name` (here in lower case, there in any), in order.
    pub fn headers_named<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let headers = if self.lengths & length_bit(name) == 0 { &[] } else { self.headers };
        headers.iter().filter(move |h| is_named(h, name)).map(|h| h.value)
    }

    /// All fields, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.headers.iter().map(|h| (h.name, h.value))
    }

    /// Whether one of the fields called `name` lists `token` (comma-separated, any case; RFC 9110, section 5.6.1).
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.headers_named(name).flat_map(elements).any(|t| t.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Whether the peer asks for HTML by name, as browsers do for a page and programs do not.
    pub fn lists_html(&self) -> bool {
        let is_html = |e: &[u8]| {
            let (kind, parameters) = e.split_at(e.len().min(9));
            kind.eq_ignore_ascii_case(b"text/html") && matches!(trim(parameters), [] | [b';', ..])
        };
        self.headers_named("accept").flat_map(elements).any(is_html)
    }

    /// Value of `key` in the query (`key=value&...`), raw as sent; `Some("")` for a key without value.
    pub fn query_value(&self, key: &str) -> Option<&'a str> {
        self.query?.split('&').find_map(|pair| match pair.split_once('=') {
            Some((k, v)) if k == key => Some(v),
            None if pair == key => Some(""),
            _ => None,
        })
    }
}

impl Method {
    /// The method called `name`.
    pub fn from_name(name: &str) -> Self {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "PATCH" => Method::Patch,
            "OPTIONS" => Method::Options,
            "TRACE" => Method::Trace,
            _ => Method::Other,
        }
    }
}

/// Whether the field is called `name`, which is in lower case. In a token no other bytes than the two cases of a letter, or of
/// a digit or a dash itself, come to the same by this.
fn is_named(field: &httparse::Header<'_>, name: &str) -> bool {
    debug_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
    field.name.len() == name.len() && field.name.bytes().zip(name.bytes()).all(|(a, b)| a | 0x20 == b)
}

/// See [`Request::lengths`]; all names of 63 bytes and more share a bit.
fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}

/// The non-empty elements of a comma-separated list, blanks around each removed.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim).filter(|e| !e.is_empty())
}

/// `value` without blanks and tabs around it.
pub fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

const fn bad(what: &'static str) -> ProtoError {
    ProtoError::http(400, what)
}

fn complaint(e: httparse::Error, head: &[u8]) -> ProtoError {
    match e {
        httparse::Error::TooManyHeaders => ProtoError::http(431, "too many header fields"),
        httparse::Error::Version if is_other_version(head) => {
            ProtoError::http(505, "this server speaks HTTP/1.0 and HTTP/1.1")
        }
        httparse::Error::Version => bad("the request line has no valid HTTP version"),
        httparse::Error::HeaderName => bad("a header field name is malformed"),
        httparse::Error::HeaderValue => bad("a header field value has a forbidden character"),
        httparse::Error::NewLine => bad("a line of the request head does not end in CRLF"),
        httparse::Error::Token | httparse::Error::Status => bad("the request line is malformed"),
    }
}

/// Whether the request line is `METHOD TARGET VERSION` with a well-formed version that is none of ours (`HTTP/2.0`).
fn is_other_version(head: &[u8]) -> bool {
    let line = head.split(|&b| b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).find(|l| !l.is_empty());
    let mut parts = line.unwrap_or_default().split(|&b| b == b' ').skip(2);
    let (Some(version), None) = (parts.next(), parts.next()) else { return false };
    matches!(version, [b'H', b'T', b'T', b'P', b'/', a, b'.', b] if a.is_ascii_digit() && b.is_ascii_digit())
}

struct Target<'a> {
    form: TargetForm,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn parse(target: &'a str, method: Method) -> Result<Self, ProtoError> {
        if !TARGET.has_all(target.as_bytes()) {
            return Err(bad("the request target has a character that must be percent-encoded"));
        }
        if target == "*" {
            return match method {
                Method::Options => Ok(Target { form: TargetForm::Asterisk, authority: None, path: "*", query: None }),
                _ => Err(bad("the target * is for OPTIONS only")),
            };
        }
        if target.starts_with('/') {
            let (path, query) = split_query(target);
            return Ok(Target { form: TargetForm::Origin, authority: None, path, query });
        }
        let Some(rest) = strip_http_scheme(target) else {
            return Err(bad("the request target is neither a path nor an http:// address"));
        };
        let (authority, after) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() || !is_valid_host(authority.as_bytes()) {
            return Err(bad("the request target names no valid host"));
        }
        let (path, query) = split_query(after);
        let (form, path) = match (path, query, method) {
            ("", None, Method::Options) => (TargetForm::Asterisk, "*"),
            ("", _, _) => (TargetForm::Absolute, "/"),
            _ => (TargetForm::Absolute, path),
        };
        Ok(Target { form, authority: Some(authority), path, query })
    }
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    // a search for a char costs more than the few bytes of most targets do
    match target.bytes().position(|b| b == b'?') {
        Some(i) => (&target[..i], Some(&target[i + 1..])),
        None => (target, None),
    }
}

fn strip_http_scheme(target: &str) -> Option<&str> {
    const SCHEME: &str = "http://";
    let start = target.get(..SCHEME.len())?;
    if start.eq_ignore_ascii_case(SCHEME) { target.get(SCHEME.len()..) } else { None }
}

/// What the fields that steer the connection say together.
struct Known<'a> {
    host: Option<&'a [u8]>,
    framing: Framing,
    expects_continue: bool,
    keep_alive: bool,
    lengths: u64,
}

impl<'a> Known<'a> {
    fn collect(headers: &'a [httparse::Header<'a>], version: Version) -> Result<Self, ProtoError> {
        let mut host = None;
        let (mut length, mut codings, mut chunked) = (None, 0_u32, false);
        let (mut expects_continue, mut close, mut keep) = (false, false, false);
        let mut lengths = 0;
        for h in headers {
            lengths |= length_bit(h.name);
            // By length first: most fields are none of these, and this runs for every field of every request.
            match h.name.len() {
                4 if is_named(h, "host") => {
                    if host.is_some() {
                        return Err(bad("more than one Host field"));
                    }
                    host = Some(checked_host(h.value)?);
                }
                6 if is_named(h, "expect") && version == Version::Http11 => {
                    for e in elements(h.value) {
                        if !e.eq_ignore_ascii_case(b"100-continue") {
                            return Err(ProtoError::http(417, "the only expectation known here is 100-continue"));
                        }
                        expects_continue = true;
                    }
                }
                10 if is_named(h, "connection") => {
                    for t in elements(h.value) {
                        close |= t.eq_ignore_ascii_case(b"close");
                        keep |= t.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                14 if is_named(h, "content-length") => length = Some(content_length(h.value, length)?),
                17 if is_named(h, "transfer-encoding") => {
                    chunked = true;
                    codings += count_chunked(h.value)?;
                }
                _ => {}
            }
        }
        if host.is_none() && version == Version::Http11 {
            return Err(bad("no Host field"));
        }
        let framing = match (chunked, length) {
            // Two ways to say where the body ends are two bodies for two readers: request smuggling.
            (true, Some(_)) => return Err(bad("both Content-Length and Transfer-Encoding")),
            (true, None) if version == Version::Http10 => return Err(bad("Transfer-Encoding in HTTP/1.0")),
            (true, None) if codings != 1 => return Err(bad("Transfer-Encoding must be chunked, once")),
            (true, None) => Framing::Chunked,
            (false, None | Some(0)) => Framing::None,
            (false, Some(n)) => Framing::Length(n),
        };
        let keep_alive = !close && (version == Version::Http11 || keep);
        Ok(Known { host, framing, expects_continue, keep_alive, lengths })
    }
}

fn checked_host(value: &[u8]) -> Result<&[u8], ProtoError> {
    if is_valid_host(value) { Ok(value) } else { Err(bad("the Host field is no valid host")) }
}

/// One number, or a list of equal ones, also equal to `before` (RFC 9112, section 6.3).
fn content_length(value: &[u8], before: Option<u64>) -> Result<u64, ProtoError> {
    let mut length = before;
    for number in value.split(|&b| b == b',').map(trim) {
        if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            return Err(bad("Content-Length is no number"));
        }
        let n = number
            .iter()
            .try_fold(0_u64, |n, d| n.checked_mul(10)?.checked_add(u64::from(d - b'0')))
            .ok_or(ProtoError::http(413, "Content-Length is beyond all bounds"))?;
        if length.is_some_and(|l| l != n) {
            return Err(bad("differing Content-Length"));
        }
        length = Some(n);
    }
    length.ok_or(bad("Content-Length is no number"))
}

/// How often the codings of one Transfer-Encoding field say `chunked`; 501 for any other coding.
fn count_chunked(value: &[u8]) -> Result<u32, ProtoError> {
    let mut n = 0;
    for coding in elements(value) {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            return Err(ProtoError::http(501, "the only transfer coding known here is chunked"));
        }
        n += 1;
    }
    Ok(n)
}

#[cfg(test)]
mod tests;
