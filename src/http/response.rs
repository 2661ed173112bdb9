//! Response heads, and whole small responses, as bytes appended to a buffer. No `format!`: this runs for every request.
//!
//! Never does: send, read clocks (the date comes in as bytes), decide what is said.

use std::borrow::Cow;
use std::io::Write;
use std::time::{Duration, SystemTime};

use super::request::{Method, Request, Version};
use crate::codec::ProtoError;
use crate::json::Object;

/// A date as HTTP writes it (IMF-fixdate; RFC 9110, section 5.6.7).
pub type HttpDate = [u8; 29];

/// `text/plain; charset=utf-8`
pub const TEXT: &str = "text/plain; charset=utf-8";
/// `text/html; charset=utf-8`
pub const HTML: &str = "text/html; charset=utf-8";
/// A stream of server-sent events.
pub const EVENT_STREAM: &str = "text/event-stream";
/// `application/json`
pub const JSON: &str = "application/json";

/// The policy of pages that bring everything along in themselves, such as error pages.
pub const CSP_SELF_CONTAINED: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// What becomes of the connection after a response, and how the head says so (RFC 9112, section 9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persist {
    /// It stays open, as HTTP/1.1 expects: nothing is said.
    Keep,
    /// It stays open for an HTTP/1.0 peer that asked for it: `Connection: keep-alive`.
    KeepOld,
    /// It closes: `Connection: close`.
    Close,
}

impl Persist {
    /// What `request` wants; [`Persist::Close`] if `must_close`.
    pub fn of(request: &Request<'_>, must_close: bool) -> Self {
        match (must_close || !request.keep_alive, request.version) {
            (true, _) => Persist::Close,
            (false, Version::Http11) => Persist::Keep,
            (false, Version::Http10) => Persist::KeepOld,
        }
    }
}

/// What the head of every response to one request carries.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The date of now, see [`http_date`]; the caller makes it once a second.
    pub date: &'a HttpDate,
    /// What becomes of the connection.
    pub persist: Persist,
    /// Whole further lines, each ended by CRLF, such as `Set-Cookie: ...`; made by [`push_field`].
    pub extra: &'a [u8],
    /// The request was HEAD: the head of a GET, without the body.
    pub is_head: bool,
}

/// `seconds` since 1970 (UTC) as HTTP writes it; a time after the year 9999 is its last second.
pub fn http_date(seconds: u64) -> HttpDate {
    const LAST: u64 = 253_402_300_799;
    let date = httpdate::HttpDate::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST)));
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    // Always 29 bytes, so it cannot fail; were it otherwise, an old date is a harmless one.
    let _ = write!(&mut out[..], "{date}");
    out
}

/// Seconds since 1970 of a date in any of the three forms of RFC 9110, section 5.6.7; `None` if it is none of them.
pub fn parse_http_date(value: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    Some(date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

/// The words for `status` in the status line (RFC 9110, section 15).
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// The interim response to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Begins a head: status line, Date, Connection, the envelope's further lines. [`push_field`]s and [`end_head`] follow.
pub fn start_head(out: &mut Vec<u8>, status: u16, envelope: &Envelope<'_>) {
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\nDate: ");
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        push_number(out, u64::from(status));
        out.push(b' ');
        out.extend_from_slice(reason(status).as_bytes());
        out.extend_from_slice(b"\r\nDate: ");
    }
    out.extend_from_slice(envelope.date);
    out.extend_from_slice(match envelope.persist {
        Persist::Keep => b"\r\n",
        Persist::KeepOld => b"\r\nConnection: keep-alive\r\n",
        Persist::Close => b"\r\nConnection: close\r\n",
    });
    out.extend_from_slice(envelope.extra);
}

/// One line `name: value` with a value of our own; one with bytes from elsewhere goes through [`push_foreign_field`].
pub fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    debug_assert!(!value.iter().any(u8::is_ascii_control), "{name} would make a line of its own");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// One line `name: value`. Control characters in the value are left out, so that no value can make a line of its own.
pub fn push_foreign_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if value.iter().any(u8::is_ascii_control) {
        let clean: Vec<u8> = value.iter().copied().filter(|b| !b.is_ascii_control()).collect();
        return push_field(out, name, &clean);
    }
    push_field(out, name, value);
}

/// The lines that go with a body: its type, its length, and that the type is not to be guessed.
pub fn push_body_fields(out: &mut Vec<u8>, content_type: &str, len: u64) {
    push_field(out, "Content-Type", content_type.as_bytes());
    out.extend_from_slice(b"X-Content-Type-Options: nosniff\r\nContent-Length: ");
    push_number(out, len);
    out.extend_from_slice(b"\r\n");
}

/// Ends a head.
pub fn end_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// `n` in decimal digits.
pub fn push_number(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A small response, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Full {
    /// Status.
    pub status: u16,
    /// Type of the body; unused without one.
    pub content_type: Cow<'static, str>,
    /// Further fields. Cache-Control is `no-store` unless it is among them.
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Cow<'static, [u8]>,
    /// It is the page that [`Full::error`] makes for a browser: a site's own `NNN.html` may take its place.
    pub is_stock: bool,
}

impl Full {
    /// A response with a body.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Full { status, content_type: content_type.into(), fields: Vec::new(), body: body.into(), is_stock: false }
    }

    /// A response without a body (204, or a length of 0).
    pub fn empty(status: u16) -> Self {
        Full::new(status, TEXT, &[][..])
    }

    /// A redirect; `location` must be a URI reference (percent-encoded).
    pub fn redirect(status: u16, location: String) -> Self {
        Full::new(status, TEXT, &b"The page is elsewhere, see Location.\n"[..]).with("Location", location)
    }

    /// An error, in the form that suits `audience`. `word` is for programs, `message` a sentence for people, with the
    /// remedy.
    pub fn error(status: u16, word: &str, message: &str, audience: Audience) -> Self {
        match audience {
            Audience::Program => {
                let mut body = Vec::with_capacity(message.len() + 40);
                Object::open(&mut body).text("error", word).text("message", message);
                body.push(b'\n');
                Full::new(status, JSON, body)
            }
            Audience::Browser => {
                let title = [&status.to_string(), " ", reason(status)].concat();
                let mut body = Vec::with_capacity(400);
                for part in [ERROR_PAGE_START, &title, ERROR_PAGE_MIDDLE, &title, "</h1>\n<p>"] {
                    body.extend_from_slice(part.as_bytes());
                }
                push_html_text(&mut body, message);
                body.extend_from_slice(b"</p>\n");
                let full = Full::new(status, HTML, body).with("Content-Security-Policy", CSP_SELF_CONTAINED);
                Full { is_stock: true, ..full }
            }
            Audience::Terminal => Full::new(status, TEXT, [message, "\n"].concat().into_bytes()),
        }
    }

    /// With one more field. `value` without control characters; any are left out.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Appends head and body (no body for HEAD, 204 and 304).
    pub fn write(&self, out: &mut Vec<u8>, envelope: &Envelope<'_>) {
        start_head(out, self.status, envelope);
        let mut says_cache = false;
        for (name, value) in &self.fields {
            says_cache |= name.eq_ignore_ascii_case("cache-control");
            push_foreign_field(out, name, value.as_bytes());
        }
        if !says_cache {
            out.extend_from_slice(b"Cache-Control: no-store\r\n");
        }
        let bodyless = matches!(self.status, 100..=199 | 204 | 304);
        if !bodyless {
            if self.body.is_empty() && envelope.is_head && self.content_type == EVENT_STREAM {
                // the head of a stream: nobody knows how long that would be, and 0 would be wrong
                push_field(out, "Content-Type", self.content_type.as_bytes());
            } else if self.body.is_empty() {
                out.extend_from_slice(b"Content-Length: 0\r\n");
            } else {
                push_body_fields(out, &self.content_type, self.body.len() as u64);
            }
        }
        end_head(out);
        if !bodyless && !envelope.is_head {
            out.extend_from_slice(&self.body);
        }
    }
}

/// Appends the whole answer to a request that breaks the protocol; the connection closes after it. `input`: what came
/// of the request. Nothing in it could be relied on, but a HEAD must get no body and a program JSON even so.
pub fn push_complaint(out: &mut Vec<u8>, error: &ProtoError, input: &[u8], date: &HttpDate) {
    let word = match error.status {
        408 => "timeout",
        413 => "too_large",
        414 | 431 => "too_long",
        417 => "expectation",
        501 => "not_implemented",
        505 => "version",
        _ => "bad_request",
    };
    let start = input.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(input.len());
    let mut parts = input[start..].splitn(3, |&b| b == b' ');
    let (method, target) = (parts.next(), parts.next());
    let is_head = method == Some(b"HEAD") && target.is_some();
    let is_api = target.is_some_and(|target| target.starts_with(b"/api/"));
    let audience = if is_api { Audience::Program } else { Audience::Terminal };
    let envelope = Envelope { date, persist: Persist::Close, extra: b"", is_head };
    Full::error(error.status, word, error.what, audience).write(out, &envelope);
}

/// Who reads an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// A program: JSON. Everything under `/api/`.
    Program,
    /// A person with a browser: a small page that needs nothing else.
    Browser,
    /// A person with curl, or nobody knows: a line of text.
    Terminal,
}

impl Audience {
    /// Who sent `request`; `None`: its head could not even be read.
    pub fn of(request: Option<&Request<'_>>) -> Self {
        let Some(request) = request else { return Audience::Terminal };
        if request.path.starts_with("/api/") {
            return Audience::Program;
        }
        if request.lists_html() { Audience::Browser } else { Audience::Terminal }
    }
}

/// The fields and rules of 405 and OPTIONS for something that can only be read.
pub const ALLOW_READ: &str = "GET, HEAD, OPTIONS";

/// Whether the method only reads; else the status that a thing which can only be read answers: 405 for a method that
/// is known, 501 for one that is not (RFC 9110, section 9.1).
pub fn reads(method: Method) -> Result<(), u16> {
    match method {
        Method::Get | Method::Head | Method::Options => Ok(()),
        Method::Other => Err(501),
        _ => Err(405),
    }
}

const ERROR_PAGE_START: &str = "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>";
const ERROR_PAGE_MIDDLE: &str = "</title>\n<style>body{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:4em auto;\
padding:0 1em;color-scheme:light dark}</style>\n<h1>";

fn push_html_text(out: &mut Vec<u8>, text: &str) {
    for b in text.bytes() {
        match b {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            _ => out.push(b),
        }
    }
}

#[cfg(test)]
mod tests;
