//! Server-sent events (WHATWG HTML, "Server-sent events"), framed as HTTP/1.1 chunks (RFC 9112, section 7.1) or, for
//! HTTP/1.0, as a body that ends with the connection.

use std::io::Write;

use crate::codec::{Decoded, ProtoError, write_hex};
use crate::json;
use crate::link::{Link, Step};
use crate::msg::{CloseReason, Message, Passing};

/// A stream of events to one peer.
pub struct Sse {
    chunked: bool,
}

impl Sse {
    /// A stream; `chunked` for HTTP/1.1 peers.
    pub fn events(chunked: bool) -> Self {
        Sse { chunked }
    }

    /// What opens the stream: how long a browser waits before it reconnects by itself, in milliseconds.
    pub fn opening(&self, out: &mut Vec<u8>) {
        self.frame(out, |out| out.extend_from_slice(b"retry: 1000\n\n"));
    }

    /// Writes `body` as one chunk. The length goes in front in four digits (leading zeros are allowed), so that
    /// nothing has to be moved afterwards unless a message is longer than 64 KiB.
    fn frame(&self, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
        if !self.chunked {
            return body(out);
        }
        let start = out.len();
        out.extend_from_slice(b"0000\r\n");
        body(out);
        let len = out.len() - start - 6;
        if len <= 0xffff {
            write_hex(len as u64, &mut out[start..start + 4]);
        } else {
            out.splice(start..start + 4, format!("{len:x}").bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl Link for Sse {
    fn name(&self) -> &'static str {
        if self.chunked { "sse" } else { "sse10" }
    }

    fn is_chunked(&self) -> bool {
        self.chunked
    }

    /// A peer has nothing to say on a stream; whatever comes is noise that proves it alive.
    fn decode(&mut self, input: &[u8]) -> Result<Decoded<Step>, ProtoError> {
        Ok(if input.is_empty() { Decoded::Need } else { Decoded::Got { msg: Step::Noise, used: input.len() } })
    }

    fn encode(&self, message: &Message, out: &mut Vec<u8>) {
        self.frame(out, |out| {
            let id = match message {
                Message::Logged(e) => Some(e.id),
                // a page that got no replay continues from here when it reconnects; after a replay the events' own ids do
                Message::Passing(p) => match &**p {
                    Passing::Hello(h) if !h.replayed => Some(h.id),
                    _ => None,
                },
            };
            let done = match id {
                Some(id) => write!(out, "id: {id}\nevent: {}\ndata: ", message.kind()),
                None => write!(out, "event: {}\ndata: ", message.kind()),
            };
            debug_assert!(done.is_ok());
            json::message(out, message);
            out.extend_from_slice(b"\n\n");
        });
    }

    fn heartbeat(&self) -> &'static [u8] {
        if self.chunked { b"3\r\n:\n\n\r\n" } else { b":\n\n" }
    }

    fn farewell(&self, why: CloseReason, out: &mut Vec<u8>) {
        // A peer that asked for the end itself (FIN, `bye`) needs no reason: `closing` names none of that word.
        if why != CloseReason::Closed {
            self.encode(&Message::Passing(Passing::Closing { reason: why }.into()), out);
        }
        if self.chunked {
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }

    /// Nothing that comes on a stream can be wrong.
    fn refuse(&self, _: &ProtoError, out: &mut Vec<u8>) {
        self.farewell(CloseReason::Protocol, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::{Epoch, Event, EventId, PeerAddr, What};
    use std::rc::Rc;

    fn said(text: &str) -> Message {
        let id = EventId { epoch: Epoch::from_random(0), seq: 1 };
        Message::Logged(Rc::new(Event {
            id,
            time_ms: 0,
            what: What::TurnedAway { addr: PeerAddr::Unix, user: text.into() },
        }))
    }

    /// Takes chunks apart as a client does.
    fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|&b| b == b'\r').unwrap();
            let len = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
            out.extend_from_slice(&bytes[end + 2..end + 2 + len]);
            assert_eq!(&bytes[end + 2 + len..end + 4 + len], b"\r\n");
            bytes = &bytes[end + 4 + len..];
        }
        out
    }

    #[test]
    fn chunks_of_every_size_class_say_what_the_plain_stream_says() {
        for len in [1, 100, 4000, 65_400, 70_000, 1_100_000] {
            let m = said(&"x".repeat(len));
            let (mut plain, mut chunked) = (Vec::new(), Vec::new());
            Sse::events(false).encode(&m, &mut plain);
            Sse::events(true).encode(&m, &mut chunked);
            assert_eq!(unchunk(&chunked), plain);
        }
    }

    #[test]
    fn the_farewell_ends_the_chunked_body() {
        let mut out = Vec::new();
        Sse::events(true).farewell(CloseReason::Evicted, &mut out);
        assert!(out.ends_with(b"\r\n0\r\n\r\n"));
    }

    #[test]
    fn an_event_is_one_id_one_name_and_one_line_of_data() {
        let mut out = Vec::new();
        Sse::events(false).encode(&said("two\nlines"), &mut out);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.split('\n').collect();
        assert_eq!(lines[0], "id: 000000-1");
        assert_eq!(lines[1], "event: turned_away");
        assert!(lines[2].starts_with("data: {") && lines[2].ends_with('}'));
        assert_eq!(&lines[3..], ["", ""]);
    }
}
