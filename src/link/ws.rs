//! WebSocket (RFC 6455): events as text messages, what the page says as [`Step`]s. Frame headers, opcodes and close
//! codes are tungstenite's; what spans frames (fragments, UTF-8, limits, the closing handshake) is here, because
//! tungstenite's own layer for that reads from a stream and keeps a buffer for each connection.
//!
//! Never does: extensions, subprotocols, the HTTP side of the handshake beyond [`accept`]. An idle link holds no buffer.

use std::io::Cursor;

use base64::Engine as _;
use sha1::{Digest, Sha1};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use crate::ask::Request;
use crate::codec::{Decoded, ProtoError};
use crate::json;
use crate::link::{Link, Step};
use crate::msg::{CloseReason, Message, Passing};

/// Bytes of one message of a page. A line of chat has a few KB; a beat's answer or a command has less.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// Bytes of one message to the echo: as much as the conformance tests send.
pub const ECHO_MAX: usize = 16 * 1024 * 1024;

/// The value of `Sec-WebSocket-Accept` for a key (RFC 6455, section 4.2.2); `None` if the key is not the base64 of
/// sixteen bytes.
pub fn accept(key: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let base64 = &base64::prelude::BASE64_STANDARD;
    let valid = base64.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    valid.then(|| base64.encode(Sha1::new().chain_update(key).chain_update(NAME).finalize()))
}

/// A page's link.
pub struct Ws {
    reader: Reader,
}

impl Ws {
    /// A link whose handshake is done.
    pub fn page() -> Self {
        Ws { reader: Reader::new(MESSAGE_MAX, false) }
    }
}

impl Link for Ws {
    fn name(&self) -> &'static str {
        "ws"
    }

    fn decode(&mut self, input: &[u8]) -> Result<Decoded<Step>, ProtoError> {
        self.reader.decode(input, |_, bytes| match String::from_utf8(bytes) {
            Ok(text) => Step::Page(Request::read(&text)),
            Err(_) => Step::Noise, // cannot be: a text is checked while it comes
        })
    }

    fn kept(&self) -> usize {
        self.reader.kept()
    }

    fn encode(&self, message: &Message, out: &mut Vec<u8>) {
        // most messages are between 126 and 65535 bytes: room for the header of those, mended if it was another
        const GUESS: usize = 4;
        let start = out.len();
        out.extend_from_slice(&[0; GUESS]);
        json::message(out, message);
        let mut head = Vec::with_capacity(10);
        push_header(&mut head, OpCode::Data(Data::Text), out.len() - start - GUESS);
        if head.len() == GUESS {
            out[start..start + GUESS].copy_from_slice(&head);
        } else {
            out.splice(start..start + GUESS, head);
        }
    }

    fn heartbeat(&self) -> &'static [u8] {
        &[0x89, 0] // a ping without content
    }

    fn farewell(&self, why: CloseReason, out: &mut Vec<u8>) {
        // A peer that asked for the end itself needs no reason: `closing` names none of that word.
        if why != CloseReason::Closed {
            self.encode(&Message::Passing(Passing::Closing { reason: why }.into()), out);
        }
        push_close(out, Some(code_of(why)), why.word());
    }

    fn refuse(&self, error: &ProtoError, out: &mut Vec<u8>) {
        push_close(out, Some(error.close_code.into()), error.what);
    }
}

/// Sends back what it gets (`debug.echo`): for conformance tests. No member's link: it hears no events, and its
/// peer needs no seat.
pub struct Echo {
    reader: Reader,
}

impl Echo {
    /// A link whose handshake is done.
    pub fn open() -> Self {
        Echo { reader: Reader::new(ECHO_MAX, true) }
    }
}

impl Link for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn decode(&mut self, input: &[u8]) -> Result<Decoded<Step>, ProtoError> {
        self.reader.decode(input, |data, bytes| {
            let mut out = Vec::with_capacity(bytes.len() + 10);
            push_header(&mut out, OpCode::Data(data), bytes.len());
            out.extend_from_slice(&bytes);
            Step::Return(out)
        })
    }

    fn kept(&self) -> usize {
        self.reader.kept()
    }

    fn encode(&self, _: &Message, _: &mut Vec<u8>) {}

    fn heartbeat(&self) -> &'static [u8] {
        b""
    }

    fn farewell(&self, why: CloseReason, out: &mut Vec<u8>) {
        push_close(out, Some(code_of(why)), why.word());
    }

    fn refuse(&self, error: &ProtoError, out: &mut Vec<u8>) {
        push_close(out, Some(error.close_code.into()), error.what);
    }
}

/// The close code for a reason of ours (RFC 6455, section 7.4.1; docs/protocol.md lists them).
fn code_of(why: CloseReason) -> CloseCode {
    match why {
        CloseReason::Shutdown => CloseCode::Away,
        CloseReason::Protocol => CloseCode::Protocol,
        CloseReason::Evicted
        | CloseReason::Expired
        | CloseReason::Idle
        | CloseReason::Slow
        | CloseReason::Stalled
        | CloseReason::Limit => CloseCode::Policy,
        _ => CloseCode::Normal,
    }
}

fn push_header(out: &mut Vec<u8>, opcode: OpCode, len: usize) {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let written = header.format(len as u64, out);
    debug_assert!(written.is_ok());
}

fn push_control(out: &mut Vec<u8>, control: Control, payload: &[u8]) {
    push_header(out, OpCode::Control(control), payload.len());
    out.extend_from_slice(payload);
}

/// A close frame; `reason` is short and of this server's own words.
fn push_close(out: &mut Vec<u8>, code: Option<CloseCode>, reason: &'static str) {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend_from_slice(&u16::from(code).to_be_bytes());
        debug_assert!(reason.len() <= CONTROL_MAX - 2);
        payload.extend_from_slice(reason.as_bytes());
    }
    push_control(out, Control::Close, &payload);
}

/// Bytes of a control frame's payload (RFC 6455, section 5.5).
const CONTROL_MAX: usize = 125;

/// Puts messages together from frames, as the bytes come. Payload is taken up and checked at once, so that the
/// caller keeps nothing but a piece of a header.
#[derive(Default)]
struct Reader {
    /// Bytes of one message.
    bound: usize,
    /// Whether binary messages are taken.
    binary: bool,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// The message that has begun.
    open: Option<Open>,
    control: Vec<u8>,
}

struct Frame {
    kind: Kind,
    last: bool,
    /// The mask, turned so that its first byte is for the next one.
    mask: [u8; 4],
    left: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Data,
    Control(Control),
}

struct Open {
    data: Data,
    bytes: Vec<u8>,
    /// So many of them are known to be UTF-8.
    checked: usize,
}

impl Reader {
    fn new(bound: usize, binary: bool) -> Self {
        Reader { bound, binary, ..Reader::default() }
    }

    fn kept(&self) -> usize {
        self.control.capacity() + self.open.as_ref().map_or(0, |open| open.bytes.capacity())
    }

    /// Decodes up to the end of the next frame, or of the input. `whole` says what a whole message means.
    fn decode(&mut self, input: &[u8], whole: impl FnOnce(Data, Vec<u8>) -> Step) -> Result<Decoded<Step>, ProtoError> {
        let mut used = 0;
        let mut frame = match self.frame.take() {
            Some(frame) => frame,
            None => {
                let mut cursor = Cursor::new(input);
                let Some((header, len)) =
                    FrameHeader::parse(&mut cursor).map_err(|_| violation("a reserved opcode"))?
                else {
                    return Ok(Decoded::Need);
                };
                used = usize::try_from(cursor.position()).unwrap_or(input.len()).min(input.len());
                if used != header.len(len) {
                    return Err(violation("a length that is not in its shortest form"));
                }
                self.begin(&header, len)?
            }
        };
        let rest = &input[used..];
        let bytes = &rest[..frame.left.min(rest.len())];
        used += bytes.len();
        self.payload(&mut frame, bytes)?;
        if frame.left > 0 {
            self.frame = Some(frame);
            return Ok(if used == 0 { Decoded::Need } else { Decoded::Got { msg: Step::Noise, used } });
        }
        Ok(Decoded::Got { msg: self.end(&frame, whole)?, used })
    }

    /// A frame begins: may it?
    fn begin(&mut self, header: &FrameHeader, len: u64) -> Result<Frame, ProtoError> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(violation("a reserved bit is set"));
        }
        let Some(mask) = header.mask else { return Err(violation("a frame without a mask")) };
        let kind = match header.opcode {
            OpCode::Control(control) => {
                if !header.is_final {
                    return Err(violation("a control frame in fragments"));
                }
                if len > CONTROL_MAX as u64 {
                    return Err(violation("a control frame of more than 125 bytes"));
                }
                Kind::Control(control)
            }
            OpCode::Data(Data::Continue) => match &self.open {
                Some(_) => Kind::Data,
                None => return Err(violation("a continuation of nothing")),
            },
            OpCode::Data(_) if self.open.is_some() => {
                return Err(violation("a new message within another"));
            }
            OpCode::Data(Data::Binary) if !self.binary => {
                return Err(ProtoError::socket(1003, "messages are text"));
            }
            OpCode::Data(data) => {
                self.open = Some(Open { data, bytes: Vec::new(), checked: 0 });
                Kind::Data
            }
        };
        let had = self.open.as_ref().map_or(0, |open| open.bytes.len());
        let left = usize::try_from(len).unwrap_or(usize::MAX);
        if kind == Kind::Data && left > self.bound - had {
            return Err(ProtoError::socket(1009, "the message is too long"));
        }
        Ok(Frame { kind, last: header.is_final, mask, left })
    }

    /// Takes up masked `bytes` of the frame's payload.
    fn payload(&mut self, frame: &mut Frame, bytes: &[u8]) -> Result<(), ProtoError> {
        frame.left -= bytes.len();
        let into = match (frame.kind, &mut self.open) {
            (Kind::Data, Some(open)) => &mut open.bytes,
            _ => &mut self.control,
        };
        let start = into.len();
        into.extend_from_slice(bytes);
        unmask(&mut into[start..], frame.mask);
        frame.mask.rotate_left(bytes.len() % 4);
        match (frame.kind, &mut self.open) {
            (Kind::Data, Some(open)) if open.data == Data::Text => open.check(),
            _ => Ok(()),
        }
    }

    /// A frame is complete.
    fn end(&mut self, frame: &Frame, whole: impl FnOnce(Data, Vec<u8>) -> Step) -> Result<Step, ProtoError> {
        let Kind::Control(control) = frame.kind else {
            if !frame.last {
                return Ok(Step::Noise);
            }
            let Some(open) = self.open.take() else { return Ok(Step::Noise) };
            if open.data == Data::Text && open.checked < open.bytes.len() {
                return Err(NOT_UTF8);
            }
            return Ok(whole(open.data, open.bytes));
        };
        let payload = std::mem::take(&mut self.control);
        match control {
            Control::Ping => {
                let mut out = Vec::with_capacity(payload.len() + 2);
                push_control(&mut out, Control::Pong, &payload);
                Ok(Step::Return(out))
            }
            Control::Close => close(&payload),
            Control::Pong | Control::Reserved(_) => Ok(Step::Noise),
        }
    }
}

impl Open {
    /// Checks what is not checked yet; a character may lack its end.
    fn check(&mut self) -> Result<(), ProtoError> {
        match std::str::from_utf8(&self.bytes[self.checked..]) {
            Ok(text) => self.checked += text.len(),
            Err(e) if e.error_len().is_some() => return Err(NOT_UTF8),
            Err(e) => self.checked += e.valid_up_to(),
        }
        Ok(())
    }
}

/// The peer closes: its code comes back to it (RFC 6455, section 5.5.1).
fn close(payload: &[u8]) -> Result<Step, ProtoError> {
    let mut out = Vec::new();
    match payload {
        [] => push_close(&mut out, None, ""),
        [_] => return Err(violation("half a close code")),
        [high, low, reason @ ..] => {
            let code = CloseCode::from(u16::from_be_bytes([*high, *low]));
            if !code.is_allowed() {
                return Err(violation("a close code that may not be sent"));
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(NOT_UTF8);
            }
            push_close(&mut out, Some(code), "");
        }
    }
    Ok(Step::End(out))
}

const NOT_UTF8: ProtoError = ProtoError::socket(1007, "the text is not UTF-8");

fn violation(what: &'static str) -> ProtoError {
    ProtoError::socket(1002, what)
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let mut words = bytes.chunks_exact_mut(4);
    for word in &mut words {
        let plain = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]) ^ u32::from_ne_bytes(mask);
        word.copy_from_slice(&plain.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests;
