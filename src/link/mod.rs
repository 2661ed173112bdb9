//! How events are said on a connection that stays. One trait, the one open seam of the house: a new transport is
//! one file here, one line in the routes and one line in the conformance list of the tests below.
//!
//! Never does: sockets, timers, deciding who hears what. A link turns messages into bytes and bytes into steps.

pub mod lines;
pub mod sse;
pub mod ws;

use crate::ask::Request;
use crate::codec::{Decoded, ProtoError};
use crate::msg::{CloseReason, Message};

/// What a peer said on its link.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Bytes without a meaning here; they are used up, and prove that the peer talks.
    Noise,
    /// The transport owes these bytes at once, as they are (a pong). At most about as many as were decoded for it.
    Return(Vec<u8>),
    /// The peer ends the link in order: these are the last bytes to it, then close.
    End(Vec<u8>),
    /// A page asks for something.
    Page(Request),
}

/// One transport of events. The same link object serves one connection; links with the same [`Link::name`] encode
/// the same message to the same bytes, so that the loop encodes once per name and shares the bytes.
pub trait Link {
    /// The transport's word in logs and metrics, and the key under which encoded messages are shared.
    fn name(&self) -> &'static str;

    /// Whether an HTTP response that carries it is sent in chunks (RFC 9112, section 7.1), which the transport makes itself.
    fn is_chunked(&self) -> bool {
        false
    }

    /// Decodes the next step from what the peer sent. Must use up at least one byte whenever it answers `Got`.
    fn decode(&mut self, input: &[u8]) -> Result<Decoded<Step>, ProtoError>;

    /// Appends `message` as one whole frame.
    fn encode(&self, message: &Message, out: &mut Vec<u8>);

    /// A sign of life without content, as small as the transport allows; one whole frame.
    fn heartbeat(&self) -> &'static [u8];

    /// Bytes of memory that it keeps of messages that have not come whole.
    fn kept(&self) -> usize {
        0
    }

    /// Appends the last words: why this link ends, then whatever the transport needs to end in order.
    fn farewell(&self, why: CloseReason, out: &mut Vec<u8>);

    /// Appends the last words to a peer that broke the protocol: what was wrong, as far as the transport can say it.
    fn refuse(&self, error: &ProtoError, out: &mut Vec<u8>);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::{Epoch, Event, EventId, Passing, PeerAddr, What};
    use std::rc::Rc;

    /// Every link there is: the conformance tests below hold for each.
    fn all() -> Vec<Box<dyn Link>> {
        vec![Box::new(sse::Sse::events(true)), Box::new(sse::Sse::events(false)), Box::new(ws::Ws::page())]
    }

    fn messages() -> Vec<Message> {
        let id = EventId { epoch: Epoch::from_random(5), seq: 9 };
        let what = What::TurnedAway { addr: PeerAddr::Unix, user: "eve\n\ndata: x".into() };
        vec![
            Message::Logged(Rc::new(Event { id, time_ms: 0, what })),
            Message::Passing(Rc::new(Passing::Beat { n: 7 })),
            Message::Passing(Rc::new(Passing::Error { reference: None, error: "x", message: "a\r\nb".into() })),
        ]
    }

    #[test]
    fn links_of_one_name_encode_alike() {
        for m in messages() {
            let mut seen: Vec<(&str, Vec<u8>)> = Vec::new();
            for link in all() {
                let mut out = Vec::new();
                link.encode(&m, &mut out);
                if let Some((_, before)) = seen.iter().find(|(n, _)| *n == link.name()) {
                    assert_eq!(before, &out);
                }
                seen.push((link.name(), out));
            }
        }
    }

    #[test]
    fn whatever_a_peer_sends_is_used_up_or_refused_and_never_loops() {
        for mut link in all() {
            for len in 1..64 {
                let input: Vec<u8> = (0..len).map(|i| (i * 37) as u8).collect();
                match link.decode(&input) {
                    Ok(Decoded::Got { used, .. }) => assert!(used > 0 && used <= input.len()),
                    Ok(Decoded::Need) | Err(_) => {}
                }
            }
            assert_eq!(link.decode(&[]), Ok(Decoded::Need));
        }
    }

    #[test]
    fn heartbeats_and_farewells_are_whole_frames_with_content() {
        for link in all() {
            assert!(!link.heartbeat().is_empty());
            let mut out = Vec::new();
            link.farewell(CloseReason::Shutdown, &mut out);
            assert!(String::from_utf8_lossy(&out).contains("shutdown"));
        }
    }
}
