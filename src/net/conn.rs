//! One connection: its socket, what it speaks, what came in and what is owed, and when something about it falls due.
//!
//! Never does: deciding about requests or members. An idle connection holds no buffer.

use std::io;
use std::rc::Rc;

use crate::auth::Key;
use crate::engine::send_queue::SendQueue;
use crate::http::exchange::Exchange;
use crate::http::response::Persist;
use crate::ledger::Party;
use crate::link::Link;
use crate::liveness::{Carrier, Liveness, Rules};
use crate::msg::{CloseReason, EventId, Moment, SessionId};
use crate::net::devices::{HELLO_WITHIN, Talk};
use crate::net::flush::{Flush, flush};
use crate::net::places::Standing;
use crate::net::stream::{Kind, Stream};
use crate::net::timers::{Armed, Deadlined};
use crate::routes::Admitted;
use crate::routes::reply::Caller;
use crate::secret::Input;

/// How long a connection that is being closed may take to hear our last words and to stop talking. Closing at once
/// while its bytes lie unread would make the kernel say RST, which can take our last words away (RFC 9112, section 9.6).
pub const LINGER: std::time::Duration = std::time::Duration::from_secs(2);

/// Bytes that are kept of what a peer sends while a password is checked or answers are owed, at least: whoever goes on
/// talking then is not listened to, so that nobody fills the memory without even having a name.
const KEPT_MAX: usize = 64 * 1024;

/// See [`Conn::spared`].
pub const SPARED_ALL: u64 = u64::MAX;

/// One connection.
pub struct Conn {
    /// The socket.
    pub stream: Stream,
    /// What it speaks.
    pub protocol: Protocol,
    /// Bytes that came and are not used yet.
    pub input: Input,
    /// Bytes that are owed.
    pub output: SendQueue,
    /// Whether its peer is still there.
    pub live: Liveness,
    /// The kernel may have bytes for us.
    pub readable: bool,
    /// The kernel may take bytes.
    pub writable: bool,
    /// The last event said that the peer's side is closed or broken: a short read is not the end then, read on.
    pub read_on: bool,
    /// The peer said FIN.
    pub peer_closed: bool,
    /// It is on the ready queue.
    pub queued: bool,
    /// Requests lie in the input that were not looked at because too much was owed, or what a link's peer said
    /// that waits for its next turn.
    pub held: bool,
    /// It came to a device listener: the device's name, `-` before its hello.
    pub device: Option<Rc<str>>,
    /// Telemetry was held back from it.
    pub missed_telemetry: bool,
    /// The ledger knows of bytes that it keeps.
    pub in_ledger: bool,
    /// Something that was asked on it was refused.
    pub refused: bool,
    /// It takes one of the last places, which are for sessions that have a seat.
    pub reserve: bool,
    /// To be closed once nothing is owed, and why.
    pub closing: Option<CloseReason>,
    /// The link's peer is lost; the socket is kept until then in case it comes back.
    pub parked: Option<Moment>,
    /// Whose it is, once a request said so.
    pub session: Option<SessionId>,
    /// That session's user; outlives the session, for the log line of the connection's end.
    pub user: Option<Rc<str>>,
    /// When it was accepted.
    pub opened: Moment,
    /// When what it is in the middle of began (see [`Conn::deadline`]).
    pub since: Moment,
    /// When its peer last took bytes while some were owed.
    pub taken: Moment,
    /// Requests read in full.
    pub requests: u32,
    /// Bytes that a link may owe beyond `limits.link_queue`: what it was told in the turn that opened it, because a
    /// replay that it asked for makes nobody slow. [`SPARED_ALL`] in that turn, 0 once nothing is owed.
    pub spared: u64,
    /// Bytes written.
    pub sent: u64,
    /// The liveness rules that a link began with: a reload changes them for new links only.
    pub rules: Option<Rc<Rules>>,
    /// Round-trip time as the roster knows it, in microseconds.
    pub rtt_us: Option<u32>,
    armed: Armed,
}

/// What a connection speaks. A closed set: the compiler finds every place that has to know.
pub enum Protocol {
    /// Requests and responses.
    Http(Stage, Exchange),
    /// Events.
    Link(Box<dyn Link>),
    /// Device lines.
    Device(Box<Talk>),
    /// Last words are said: what still comes is thrown away.
    Draining,
}

/// Where an exchange is.
pub enum Stage {
    /// A request head is awaited.
    Head,
    /// A body is awaited, for a request that has been let in.
    Body(Box<Admitted>),
    /// A body is skipped, for a request that has been answered.
    Skip,
    /// A password is being checked for the request whose head lies in the input.
    Waiting(Key),
    /// The answer to a command is awaited.
    Held(Box<Held>),
}

/// A request that waits for the answer to a command.
pub struct Held {
    /// The command.
    pub command: EventId,
    /// How long it waits.
    pub until: Moment,
    /// Whether the connection goes on after the answer.
    pub persist: Persist,
    /// Header lines of the answer.
    pub extra: Vec<u8>,
}

/// The limits in time that a connection without a link lives under (`[limits]`).
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a whole head, and for a new connection's first byte.
    pub header: std::time::Duration,
    /// For a whole body.
    pub body: std::time::Duration,
    /// For the next request.
    pub keep_alive: std::time::Duration,
    /// For a byte of a response to be taken.
    pub send: std::time::Duration,
}

impl Conn {
    /// A connection accepted at `now`. `phase` is random and spreads heartbeats.
    pub fn new(stream: Stream, rules: &Rules, now: Moment, phase: u32) -> Conn {
        Conn {
            stream,
            protocol: Protocol::Http(Stage::Head, Exchange::default()),
            input: Input::default(),
            output: SendQueue::new(),
            live: Liveness::new(Carrier::Response, rules, now, phase),
            readable: false,
            writable: true,
            read_on: false,
            peer_closed: false,
            queued: false,
            held: false,
            device: None,
            missed_telemetry: false,
            in_ledger: false,
            refused: false,
            reserve: false,
            closing: None,
            parked: None,
            session: None,
            user: None,
            opened: now,
            since: now,
            taken: now,
            requests: 0,
            spared: 0,
            sent: 0,
            rules: None,
            rtt_us: None,
            armed: Armed::default(),
        }
    }

    /// A request on it was `caller`'s.
    pub fn belongs_to(&mut self, caller: &Caller) {
        if self.session != Some(caller.session) {
            self.session = Some(caller.session);
            self.user = Some(caller.user.clone());
        }
    }

    /// What is going on on it, and since when, if it may give way at a full house. `holds`: whether a session holds control.
    pub fn standing(&self, holds: impl Fn(SessionId) -> bool) -> Option<(Standing, Moment)> {
        if self.closing == Some(CloseReason::Limit) {
            return None; // it has no place: it is only being told so
        }
        let stranger = self.session.is_none();
        if self.session.is_some_and(holds) {
            return Some((Standing::Holding, self.opened));
        }
        match &self.protocol {
            Protocol::Draining if stranger => Some((Standing::Leaving, self.since)),
            Protocol::Draining => Some((Standing::Kept, self.since)),
            Protocol::Link(_) if self.parked.is_none() => Some((Standing::Busy, self.opened)),
            Protocol::Link(_) => Some((Standing::Kept, self.since)),
            Protocol::Device(talk) => talk.is_awaited().then_some((Standing::Silent, self.opened)),
            Protocol::Http(Stage::Waiting(_), _) => None,
            Protocol::Http(Stage::Head, _) if self.output.is_empty() => Some(match stranger {
                true if self.sent == 0 => (Standing::Silent, self.opened),
                true => (Standing::Idle, self.since),
                false => (Standing::Kept, self.since),
            }),
            Protocol::Http(..) if stranger => Some((Standing::Nameless, self.since)),
            Protocol::Http(..) => Some((Standing::Busy, self.opened)),
        }
    }

    /// Whether it waits for the check of these credentials.
    pub fn waits_for(&self, key: &Key) -> bool {
        self.closing.is_none()
            && match &self.protocol {
                Protocol::Http(Stage::Waiting(waits), _) => waits == key,
                Protocol::Device(talk) => talk.waits_for(key),
                _ => false,
            }
    }

    /// Bytes of memory that it keeps for its peer: what the ledger counts.
    pub fn kept(&self) -> u64 {
        let link = match &self.protocol {
            Protocol::Link(link) => link.kept(),
            _ => 0,
        };
        self.output.kept() + (self.input.capacity() + link) as u64
    }

    /// Whom the ledger counts that for.
    pub fn party(&self) -> Party {
        match (&self.protocol, &self.device, &self.user) {
            (Protocol::Device(talk), Some(device), _) if talk.is_up() => Party::Device(device.clone()),
            (_, _, Some(user)) => Party::User(user.clone()),
            _ => Party::Network(self.stream.peer.network()),
        }
    }

    /// Whether it carries events (a parked one does no more). The echo does not, and is no link in this sense.
    pub fn is_link(&self) -> bool {
        match &self.protocol {
            Protocol::Link(_) => self.live.carrier() != Carrier::Response,
            Protocol::Device(talk) => talk.is_up(),
            Protocol::Http(..) | Protocol::Draining => false,
        }
    }

    /// Whether answers are ready to go out.
    pub fn owes_answers(&self) -> bool {
        matches!(self.protocol, Protocol::Http(..)) && !self.output.is_empty()
    }

    /// Whether settling it would write lines to a device.
    pub fn tells_device(&self) -> bool {
        matches!(self.protocol, Protocol::Device(_)) && self.writable && !self.output.is_empty()
    }

    /// Whether it speaks TCP, so that the kernel can be asked about its peer.
    pub fn is_tcp(&self) -> bool {
        self.stream.kind == Kind::Tcp
    }

    /// The port that it came to; `None` on a unix socket.
    pub fn port(&self) -> Option<u16> {
        self.is_tcp().then_some(self.stream.local_port)
    }

    /// Whether nothing is going on: no request begun, nothing owed.
    pub fn is_idle(&self) -> bool {
        match &self.protocol {
            Protocol::Http(Stage::Head, exchange) => self.output.is_empty() && exchange.is_idle(&self.input),
            // one without a hello has nothing to lose
            Protocol::Device(talk) => self.output.is_empty() && talk.is_awaited(),
            _ => false,
        }
    }

    /// Whether nothing more is to be read now: who does not take his answers, or waits to be let in, asks no further
    /// questions. Behind FIN only what the kernel holds already can come.
    pub fn is_full(&self) -> bool {
        let waits = matches!(self.protocol, Protocol::Http(Stage::Waiting(_) | Stage::Held(_), _));
        let kept = self.held || waits;
        if kept && self.input.len() >= KEPT_MAX {
            return true;
        }
        self.output.owed() > 0 && !self.is_link() && !self.read_on
    }

    /// Reads once. How many bytes came; 0 if none did. Errors end the connection.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer) {
            Ok(0) => {
                self.readable = false;
                self.peer_closed = true;
                Ok(0)
            }
            Ok(n) => {
                // a short read empties the socket, and the poller tells when more comes; but FIN or an error may lie
                // behind the data without an event of their own
                if n < buffer.len() && !self.read_on {
                    self.readable = false;
                }
                Ok(n)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                self.read_on = false;
                Ok(0)
            }
            Err(e) => Err(e),
        }
    }

    /// Gives the kernel at most about `budget` bytes of what is owed: how that ended, and how many it took.
    ///
    /// # Errors
    /// Those of [`flush`]; they end the connection.
    pub fn flush(&mut self, budget: usize, now: Moment, spare: &mut Vec<u8>) -> io::Result<(Flush, u64)> {
        let (flush, n) = flush(&mut self.output, &self.stream, budget, spare)?;
        if n > 0 {
            self.live.wrote(now, usize::try_from(n).unwrap_or(usize::MAX));
            self.taken = now;
            self.sent += n;
        }
        self.writable &= flush != Flush::Blocked;
        Ok((flush, n))
    }

    /// The one next moment at which this connection wants to be looked at, and why; `None`: never.
    pub fn deadline(&self, patience: &Patience) -> Option<(Moment, Due)> {
        let own = self.own_deadline(patience);
        let live = self.live.due().map(|at| (at, Due::Liveness));
        match (own, live) {
            (Some(a), Some(b)) => Some(if b.0 <= a.0 { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    fn own_deadline(&self, patience: &Patience) -> Option<(Moment, Due)> {
        if let Some(until) = self.parked {
            return Some((until, Due::Close(CloseReason::Lost)));
        }
        if let Some(why) = self.closing {
            // answers that were asked for are taken at the peer's pace; all other last words are short
            let answers = matches!(self.protocol, Protocol::Http(..)) && why != CloseReason::Limit;
            let until = if answers { self.taken + patience.send } else { self.since + LINGER };
            return Some((until, Due::Close(why)));
        }
        match &self.protocol {
            Protocol::Draining => Some((self.since + LINGER, Due::Close(CloseReason::Done))),
            Protocol::Link(_) => None,
            Protocol::Device(talk) => {
                talk.is_awaited().then(|| (self.since + HELLO_WITHIN, Due::TooSlow(CloseReason::HeaderTimeout)))
            }
            Protocol::Http(..) if !self.output.is_empty() => {
                Some((self.taken + patience.send, Due::Close(CloseReason::SendTimeout)))
            }
            Protocol::Http(Stage::Head, exchange) => Some(match (exchange.is_idle(&self.input), self.requests) {
                (true, 1..) => (self.since + patience.keep_alive, Due::Close(CloseReason::KeepAlive)),
                _ if self.reserve => (self.since + LINGER, Due::TooSlow(CloseReason::HeaderTimeout)),
                _ => (self.since + patience.header, Due::TooSlow(CloseReason::HeaderTimeout)),
            }),
            Protocol::Http(Stage::Body(_) | Stage::Skip, _) => {
                Some((self.since + patience.body, Due::TooSlow(CloseReason::BodyTimeout)))
            }
            Protocol::Http(Stage::Waiting(_), _) => None,
            Protocol::Http(Stage::Held(held), _) => Some((held.until, Due::Unanswered)),
        }
    }

    /// Last words are in the output: once they are taken, close.
    pub fn close_after_output(&mut self, now: Moment, why: CloseReason) {
        if self.closing.is_none() {
            self.closing = Some(why);
            (self.since, self.taken) = (now, now);
        }
    }
}

/// What falls due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// The liveness rules want a look.
    Liveness,
    /// Time is up: close.
    Close(CloseReason),
    /// A request has waited long enough for the answer to a command.
    Unanswered,
    /// A request came too slowly: 408, then close (without a word if nothing of it came).
    TooSlow(CloseReason),
}

impl Deadlined for Conn {
    fn armed(&self) -> &Armed {
        &self.armed
    }
    fn armed_mut(&mut self) -> &mut Armed {
        &mut self.armed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        let size = size_of::<Conn>();
        println!("a connection is {size} bytes");
        // with its slot, its timer and what malloc adds (which rounds up to 656 from 633 on) an idle connection costs some
        // 670 bytes of the process's memory
        assert!(size <= 648, "{size}");
    }
}
