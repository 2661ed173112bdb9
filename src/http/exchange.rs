//! Where a request begins and ends in the stream of bytes: the framing of one exchange, without reading anything.
//!
//! The caller keeps the input from the first byte of the current request until that request is complete and shows all
//! of it at every step; what was looked at once is not looked at again, so that a peer that dribbles costs no more
//! than one that sends at once. Never does: parse heads (that is [`super::request`], which [`Exchange::at_once`] asks), hold
//! bytes.

use std::borrow::Cow;
use std::io::BufRead;

use super::bytes::TOKEN;
use super::request::{Framing, HeadLimits, Request, Slots};
use crate::codec::ProtoError;

/// Bytes of empty lines taken before a request line (RFC 9112, section 2.2): some old clients send one after a body.
const BLANK_MAX: usize = 16;

/// Bytes that chunk sizes, extensions and trailers may take beside the largest body allowed: a chunked body costs the
/// buffer at most twice that body and this.
const CHUNK_OVERHEAD: usize = 4096;

/// How far a request has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// More bytes are needed (or, after `Head`, the caller's decision about the body).
    Need,
    /// The head is complete: the first `len` bytes. Said once; the caller parses them and then calls
    /// [`Exchange::accept_body`] or [`Exchange::refuse_body`], and `advance` again.
    Head {
        /// Its bytes, from the first one of the input.
        len: usize,
    },
    /// The request is complete. The next one begins `used` bytes into the input, with a new `Exchange`.
    Complete {
        /// Bytes of head and body.
        used: usize,
    },
}

/// What became of a body that nobody wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unread {
    /// There was none, or all of it is here: `advance` skips it, and the connection may go on.
    InStep,
    /// It is still on its way: the response must say `Connection: close`, and be followed by a lingering close.
    Close,
}

/// The framing of one exchange. A default one is an idle connection; it holds no heap.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    phase: Phase,
    chunked: bool,
    expects_continue: bool,
    /// Where the line begins that is being searched for its end.
    line: usize,
    /// Up to here nothing need be searched again.
    seen: usize,
    /// Length of the head.
    head: usize,
    /// Where the body (`Fixed`) or the data of this chunk (`ChunkData`) ends.
    end: usize,
    /// Bytes of body in the chunks before this one.
    decoded: usize,
    /// Largest body that the caller takes.
    max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Phase {
    #[default]
    RequestLine,
    Fields,
    Decide,
    Fixed,
    ChunkSize,
    ChunkData,
    Trailers,
    Done,
    /// The peer broke the rules, or its body is refused: nothing after this is a request.
    Dead,
}

impl Exchange {
    /// The next step over `input`, which begins with the first byte of this request. Errors: 400 malformed, 413 the
    /// body is larger than was accepted, 414 request line too long, 431 head too long; after one, nothing in the
    /// input may be taken for a request.
    pub fn advance(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Progress, ProtoError> {
        let step = match self.phase {
            Phase::RequestLine | Phase::Fields => self.search_head(input, limits),
            Phase::Decide | Phase::Dead => Ok(Progress::Need),
            Phase::Fixed if input.len() >= self.end => {
                self.phase = Phase::Done;
                Ok(Progress::Complete { used: self.end })
            }
            Phase::Fixed => Ok(Progress::Need),
            Phase::ChunkSize | Phase::ChunkData | Phase::Trailers => self.walk_chunks(input),
            Phase::Done => Ok(Progress::Complete { used: self.end }),
        };
        if step.is_err() {
            self.phase = Phase::Dead;
        }
        step
    }

    /// The request, if nothing of it was looked at yet and [`Request::first`] finds its head: the head is then as if `advance`
    /// had said it by [`Progress::Head`]. Else `None`, and `advance` finds out what there is.
    pub fn at_once<'a>(
        &mut self,
        input: &'a [u8],
        slots: &'a mut Slots<'a>,
        limits: &HeadLimits,
    ) -> Option<Request<'a>> {
        if self.phase != Phase::RequestLine || self.seen > 0 {
            return None;
        }
        let (request, len) = Request::first(input, slots, limits)?;
        self.found(len);
        Some(request)
    }

    fn found(&mut self, len: usize) {
        (self.phase, self.head) = (Phase::Decide, len);
        (self.line, self.seen) = (len, len);
    }

    /// Takes the body, if there is one, up to `max` bytes. Errors: 413 it says itself that it is longer.
    pub fn accept_body(&mut self, request: &Request<'_>, max: usize) -> Result<(), ProtoError> {
        self.max = max;
        self.expects_continue = request.expects_continue;
        (self.line, self.seen) = (self.head, self.head);
        self.phase = match request.framing {
            Framing::None => {
                self.end = self.head;
                Phase::Fixed
            }
            Framing::Length(n) => match usize::try_from(n).ok().filter(|&n| n <= max) {
                Some(n) => {
                    self.end = self.head.saturating_add(n);
                    Phase::Fixed
                }
                None => {
                    self.phase = Phase::Dead;
                    return Err(TOO_LARGE);
                }
            },
            Framing::Chunked => {
                self.chunked = true;
                Phase::ChunkSize
            }
        };
        Ok(())
    }

    /// Does not take the body. Skips it if all of it is in `input` already, since then the connection stays in step;
    /// else the connection must close, because the peer may or may not send the rest (also with `Expect`).
    pub fn refuse_body(&mut self, request: &Request<'_>, input: &[u8]) -> Unread {
        if self.accept_body(request, input.len()).is_ok() {
            self.expects_continue = false;
            // The limits are those of heads; the head is over.
            if let Ok(Progress::Complete { .. }) = self.advance(input, &HeadLimits::default()) {
                return Unread::InStep;
            }
        }
        self.phase = Phase::Dead;
        Unread::Close
    }

    /// Whether `100 Continue` is to be sent now; true at most once, and not if the body is coming anyway.
    pub fn take_continue(&mut self, input: &[u8]) -> bool {
        let waits = self.expects_continue && input.len() <= self.head && self.phase != Phase::Done;
        self.expects_continue = false;
        waits
    }

    /// Whether nothing of a request has come yet, given the input: then the connection is idle, not slow.
    pub fn is_idle(&self, input: &[u8]) -> bool {
        self.phase == Phase::RequestLine && input.iter().all(|b| matches!(b, b'\r' | b'\n'))
    }

    /// Whether the head is complete and its body is still coming.
    pub fn is_in_body(&self) -> bool {
        matches!(self.phase, Phase::Fixed | Phase::ChunkSize | Phase::ChunkData | Phase::Trailers)
    }

    /// Length of the head, 0 before it is complete.
    pub fn head_len(&self) -> usize {
        self.head
    }

    /// The body of the complete request, chunks joined; empty before [`Progress::Complete`].
    pub fn body<'i>(&self, input: &'i [u8]) -> Cow<'i, [u8]> {
        if self.phase != Phase::Done {
            return Cow::Borrowed(&[]);
        }
        if !self.chunked {
            return Cow::Borrowed(input.get(self.head..self.end).unwrap_or_default());
        }
        let mut whole = Cow::Borrowed(&[][..]);
        let mut rest = input.get(self.head..self.end).unwrap_or_default();
        while let Some(n) = line_len(rest) {
            let (line, after) = rest.split_at(n);
            let Some(size @ 1..) = line.strip_suffix(b"\r\n").and_then(chunk_size) else { break };
            let Some(data) = after.get(..size) else { break };
            if whole.is_empty() {
                whole = Cow::Borrowed(data);
            } else {
                whole.to_mut().extend_from_slice(data);
            }
            rest = after.get(size + 2..).unwrap_or_default();
        }
        whole
    }

    fn search_head(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Progress, ProtoError> {
        loop {
            if self.phase == Phase::RequestLine {
                // A peer that speaks something else, TLS for instance, sends no line end: say so at its first byte.
                match input.get(self.line) {
                    Some(&b) if !TOKEN.has(b) && b != b'\r' && b != b'\n' => {
                        return Err(bad("this is no HTTP request"));
                    }
                    _ => {}
                }
            }
            let Some(n) = line_len(input.get(self.seen..).unwrap_or_default()) else {
                self.seen = input.len();
                return if input.len() > limits.bytes { Err(self.head_too_long()) } else { Ok(Progress::Need) };
            };
            let end = self.seen + n;
            if end > limits.bytes {
                return Err(self.head_too_long());
            }
            let is_blank = matches!(&input[self.line..end], b"\r\n" | b"\n");
            (self.line, self.seen) = (end, end);
            match (self.phase, is_blank) {
                (Phase::RequestLine, true) if end > BLANK_MAX => return Err(bad("too many empty lines")),
                (Phase::RequestLine, true) => {}
                (Phase::RequestLine, false) => self.phase = Phase::Fields,
                (_, true) => {
                    self.found(end);
                    return Ok(Progress::Head { len: end });
                }
                (_, false) => {}
            }
        }
    }

    fn head_too_long(&self) -> ProtoError {
        match self.phase {
            Phase::RequestLine => ProtoError::http(414, "the request line is too long"),
            _ => ProtoError::http(431, "the request head is too long"),
        }
    }

    fn walk_chunks(&mut self, input: &[u8]) -> Result<Progress, ProtoError> {
        loop {
            if self.phase == Phase::ChunkData {
                let after = input.get(self.end..).unwrap_or_default();
                match after {
                    [b'\r', b'\n', ..] => {
                        (self.line, self.seen) = (self.end + 2, self.end + 2);
                        self.phase = Phase::ChunkSize;
                    }
                    [] | [b'\r'] => return Ok(Progress::Need),
                    _ => return Err(bad("a chunk is longer than its size")),
                }
            }
            let found = line_len(input.get(self.seen..).unwrap_or_default());
            let end = found.map_or(input.len(), |n| self.seen + n);
            if end.saturating_sub(self.head).saturating_sub(self.decoded) > self.max.saturating_add(CHUNK_OVERHEAD) {
                return Err(ProtoError::http(413, "too many bytes of chunk sizes, extensions or trailers"));
            }
            self.seen = end;
            if found.is_none() {
                return Ok(Progress::Need);
            }
            // Only CRLF ends a line here: taking a bare LF has let requests be smuggled in chunk extensions.
            let Some(line) = input.get(self.line..end).and_then(|l| l.strip_suffix(b"\r\n")) else {
                return Err(bad("a line of the chunked body does not end in CRLF"));
            };
            self.line = end;
            match self.phase {
                Phase::Trailers if line.is_empty() => {
                    self.phase = Phase::Done;
                    self.end = end;
                    return Ok(Progress::Complete { used: end });
                }
                Phase::Trailers if is_field(line) => {}
                Phase::Trailers => return Err(bad("a trailer field is malformed")),
                _ => match chunk_size(line) {
                    None => return Err(bad("a chunk size is malformed")),
                    Some(0) => self.phase = Phase::Trailers,
                    Some(size) => {
                        self.decoded = self.decoded.checked_add(size).filter(|&d| d <= self.max).ok_or(TOO_LARGE)?;
                        self.end = end.checked_add(size).ok_or(TOO_LARGE)?;
                        self.phase = Phase::ChunkData;
                    }
                },
            }
        }
    }
}

const TOO_LARGE: ProtoError = ProtoError::http(413, "the request body is too large");

const fn bad(what: &'static str) -> ProtoError {
    ProtoError::http(400, what)
}

/// Bytes of the first line with its LF; `None` without one. `skip_until` looks at a word at a time.
fn line_len(mut bytes: &[u8]) -> Option<usize> {
    let whole = bytes;
    let n = bytes.skip_until(b'\n').ok()?;
    if n > 0 && whole.get(n - 1) == Some(&b'\n') { Some(n) } else { None }
}

/// The size at the beginning of a chunk line (RFC 9112, section 7.1); what follows may only be extensions.
fn chunk_size(line: &[u8]) -> Option<usize> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let (number, mut rest) = line.split_at(digits);
    if number.is_empty() {
        return None;
    }
    let size = number.iter().try_fold(0_usize, |n, &d| {
        let digit = char::from(d).to_digit(16)?;
        n.checked_mul(16)?.checked_add(usize::try_from(digit).ok()?)
    })?;
    if !rest.is_empty() {
        while let [b' ' | b'\t', after @ ..] = rest {
            rest = after;
        }
        if rest.first() != Some(&b';') || rest.iter().any(|&b| (b < b' ' && b != b'\t') || b == 0x7f) {
            return None;
        }
    }
    Some(size)
}

/// Whether `line` is `name: value` without forbidden characters.
fn is_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|&b| b == b':') else { return false };
    let (name, value) = line.split_at(colon);
    !name.is_empty() && TOKEN.has_all(name) && value.iter().all(|&b| (b >= b' ' && b != 0x7f) || b == b'\t')
}

#[cfg(test)]
mod tests;
