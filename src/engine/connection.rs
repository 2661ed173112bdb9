//! One connection without its socket: what it speaks, what came in and what is owed, and when something about it falls due.
//!
//! Never does: deciding about requests or members. An idle connection holds no buffer.

use std::rc::Rc;
use std::time::Duration;

use crate::auth::{Door, Key};
use crate::engine::protocols::{Engine, HELLO_WITHIN, Http, Stage};
use crate::engine::readiness::Readiness;
use crate::engine::send_queue::SendQueue;
use crate::engine::shared::Timeouts;
use crate::ledger::Party;
use crate::liveness::{Carrier, Liveness, Rules};
use crate::msg::{CloseReason, Moment, PeerAddr, SessionId};
use crate::places::Standing;
use crate::routes::reply::Caller;
use crate::secret::Received;

/// How long a connection that is being closed may take to hear our last words and to stop talking. Closing at once
/// while its bytes lie unread would make the kernel say RST, which can take our last words away (RFC 9112, section 9.6).
pub const LINGER: Duration = Duration::from_secs(2);

/// Bytes that are kept of what a peer sends while a password is checked or answers are owed, at least: who goes on
/// talking then is not listened to, so that nobody fills the memory without even having a name.
const KEPT_MAX: usize = 64 * 1024;

/// See [`Connection::replay_quota`].
pub const REPLAY_ALL: u64 = u64::MAX;

/// Where a connection comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Which listener it came to.
    pub door: Door,
    /// Where its peer is.
    pub peer: PeerAddr,
    /// The port that it came to; `None` on a unix socket, whose peer cannot vanish without the kernel telling.
    pub port: Option<u16>,
}

/// One connection.
pub struct Connection {
    /// Where it comes from.
    pub origin: Origin,
    /// What it speaks.
    pub engine: Engine,
    /// Bytes that came and are not used yet.
    pub input: Received,
    /// Bytes that are owed.
    pub output: SendQueue,
    /// Whether its peer is still there.
    pub live: Liveness,
    /// Requests lie in the input that were not looked at because too much was owed, or what a link's peer said
    /// that waits for its next turn.
    pub held: bool,
    /// The ledger knows of bytes that it keeps.
    pub in_ledger: bool,
    /// Something that was asked on it was refused.
    pub refused: bool,
    /// To be closed once nothing is owed, and why.
    pub closing: Option<CloseReason>,
    /// The link's peer is lost; the socket is kept until then in case it comes back.
    pub parked: Option<Moment>,
    /// Whose it is, once a request said so.
    pub session: Option<SessionId>,
    /// That session's user, or the device that was welcomed; outlives them, for the log line of the connection's end.
    pub user: Option<Rc<str>>,
    /// When it was accepted.
    pub opened: Moment,
    /// When what it is in the middle of began (see [`Connection::deadline`]).
    pub since: Moment,
    /// When its peer last took bytes while some were owed.
    pub taken: Moment,
    /// Requests read in full.
    pub requests: u32,
    /// Bytes that a link may owe beyond `limits.link_queue`: what it was told in the turn that opened it, because a
    /// replay that it asked for makes nobody slow. [`REPLAY_ALL`] in that turn, 0 once nothing is owed.
    pub replay_quota: u64,
    /// Bytes written.
    pub sent: u64,
    /// The liveness rules that a link began with: a reload changes them for new links only. Also: it has been a link.
    pub rules: Option<Rc<Rules>>,
}

/// What is to be done after what could be written was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// It stays; `more`: it has something to do in the next turn already.
    Stay {
        /// See above.
        more: bool,
    },
    /// It is closing, and all is said.
    Said(CloseReason),
}

/// How a connection ends on which all is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// At once: nothing can follow that a reset would take away.
    Close,
    /// FIN is said, and the peer is heard out first.
    Linger,
}

impl Connection {
    /// A connection that came at `now`. `phase` is random and spreads heartbeats.
    pub fn new(origin: Origin, rules: &Rules, now: Moment, phase: u32) -> Connection {
        let engine = match origin.door {
            Door::Web => Engine::Http(Http::default()),
            Door::Devices => Engine::Device(Box::default()),
        };
        Connection {
            origin,
            engine,
            input: Received::default(),
            output: SendQueue::new(),
            live: Liveness::new(Carrier::Response, rules, now, phase),
            held: false,
            in_ledger: false,
            refused: false,
            closing: None,
            parked: None,
            session: None,
            user: None,
            opened: now,
            since: now,
            taken: now,
            requests: 0,
            replay_quota: 0,
            sent: 0,
            rules: None,
        }
    }

    /// A request on it was `caller`'s.
    pub fn belongs_to(&mut self, caller: &Caller) {
        if self.session != Some(caller.session) {
            self.session = Some(caller.session);
            self.user = Some(caller.user.clone());
        }
    }

    /// Whether it came to a device listener.
    pub fn is_devices(&self) -> bool {
        self.origin.door == Door::Devices
    }

    /// Whether it came when only the places for those with a seat were free, and has not shown yet that it has one.
    pub fn in_reserve(&self) -> bool {
        matches!(&self.engine, Engine::Http(http) if http.reserve)
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
        match &self.engine {
            Engine::Draining if stranger => Some((Standing::Leaving, self.since)),
            Engine::Draining => Some((Standing::Kept, self.since)),
            Engine::Page(_) if self.parked.is_none() => Some((Standing::Busy, self.opened)),
            Engine::Page(_) => Some((Standing::Kept, self.since)),
            Engine::Device(device) => device.is_awaited().then_some((Standing::Silent, self.opened)),
            Engine::Http(http) => match http.stage {
                Stage::Waiting(_) => None,
                Stage::Head if self.output.is_empty() => Some(match stranger {
                    true if self.sent == 0 => (Standing::Silent, self.opened),
                    true => (Standing::Idle, self.since),
                    false => (Standing::Kept, self.since),
                }),
                _ if stranger => Some((Standing::Nameless, self.since)),
                _ => Some((Standing::Busy, self.opened)),
            },
        }
    }

    /// Whether it waits for the check of these credentials.
    pub fn waits_for(&self, key: &Key) -> bool {
        self.closing.is_none()
            && match &self.engine {
                Engine::Http(http) => matches!(&http.stage, Stage::Waiting(waits) if waits == key),
                Engine::Device(device) => device.waits_for(key),
                _ => false,
            }
    }

    /// Bytes of memory that it keeps for its peer: what the ledger counts.
    pub fn kept(&self) -> u64 {
        let link = match &self.engine {
            Engine::Page(page) => page.link.kept(),
            _ => 0,
        };
        self.output.kept() + (self.input.capacity() + link) as u64
    }

    /// Whom the ledger counts that for.
    pub fn party(&self) -> Party {
        match (&self.engine, &self.user) {
            (Engine::Device(_), Some(name)) => Party::Device(name.clone()),
            (_, Some(user)) if !self.is_devices() => Party::User(user.clone()),
            _ => Party::Network(self.origin.peer.network()),
        }
    }

    /// Whether it carries events or device lines (a parked one does no more). The echo does not, and is no link in this sense.
    pub fn is_link(&self) -> bool {
        match &self.engine {
            Engine::Page(_) => self.live.carrier() != Carrier::Response,
            Engine::Device(device) => device.is_up(),
            Engine::Http(_) | Engine::Draining => false,
        }
    }

    /// Whether it is a page's link, the echo included.
    pub fn is_page(&self) -> bool {
        matches!(self.engine, Engine::Page(_))
    }

    /// Whether answers are ready to go out.
    pub fn owes_answers(&self) -> bool {
        matches!(self.engine, Engine::Http(_)) && !self.output.is_empty()
    }

    /// Whether lines to a device are ready to go out.
    pub fn owes_lines(&self) -> bool {
        matches!(self.engine, Engine::Device(_)) && !self.output.is_empty()
    }

    /// Whether it speaks TCP, so that the kernel can be asked about its peer.
    pub fn is_tcp(&self) -> bool {
        self.origin.port.is_some()
    }

    /// Whether nothing is going on: no request begun, nothing owed.
    pub fn is_idle(&self) -> bool {
        match &self.engine {
            Engine::Http(http) => {
                matches!(http.stage, Stage::Head) && self.output.is_empty() && http.exchange.is_idle(&self.input)
            }
            // one without a hello has nothing to lose
            Engine::Device(device) => self.output.is_empty() && device.is_awaited(),
            _ => false,
        }
    }

    /// Whether nothing more is to be read now: who does not take the answers, or waits to be let in, asks no further
    /// questions. Behind FIN only what the kernel holds already can come.
    pub fn is_full(&self, ready: Readiness) -> bool {
        let kept = self.held || self.waits();
        if kept && self.input.len() >= KEPT_MAX {
            return true;
        }
        self.output.owed() > 0 && !self.is_link() && !ready.read_on
    }

    /// Whether a request on it waits for somebody else: for a check, or for a device's answer.
    fn waits(&self) -> bool {
        matches!(&self.engine, Engine::Http(http) if matches!(http.stage, Stage::Waiting(_) | Stage::Held(_)))
    }

    /// `n` bytes more of what it owes are with the kernel.
    pub fn wrote(&mut self, now: Moment, n: u64) {
        self.live.wrote(now, usize::try_from(n).unwrap_or(usize::MAX));
        self.taken = now;
        self.sent += n;
    }

    /// What follows once as much was written as could be. `more`: its turn was over before the socket took no more.
    pub fn written(&self, ready: Readiness, mut more: bool) -> Next {
        if self.output.is_empty() {
            match self.closing {
                // FIN is said: now the peer is heard out, until its own FIN or the deadline
                Some(_) if matches!(self.engine, Engine::Draining) => return Next::Stay { more: false },
                Some(why) => return Next::Said(why),
                None => {}
            }
            // what was held back while answers were owed: requests, or the end of the peer's stream
            more |= match &self.engine {
                Engine::Draining => false,
                Engine::Http(_) => !self.waits() && (ready.fin || ready.readable || self.held),
                // also if it was a request, waiting for a password's check, when FIN came
                Engine::Page(_) => ready.fin || ready.readable || self.held,
                Engine::Device(_) => ready.readable,
            };
        }
        Next::Stay { more: more || (self.held && self.is_link()) }
    }

    /// All is said on a connection that closes for `why`.
    pub fn said(&self, ready: Readiness, why: CloseReason) -> End {
        // a request whose body was refused leaves its exchange behind: the peer may be sending it still
        let in_step = match &self.engine {
            Engine::Http(http) => {
                why == CloseReason::Done && matches!(http.stage, Stage::Head) && http.exchange.is_idle(&self.input)
            }
            _ => false,
        };
        let silent = !ready.readable && self.input.is_empty();
        if ready.fin || (in_step && silent) { End::Close } else { End::Linger }
    }

    /// From now on what comes is thrown away, until FIN or [`LINGER`] later.
    pub fn drain(&mut self, now: Moment) {
        self.engine = Engine::Draining;
        self.input = Received::default();
        self.since = now;
    }

    /// Whether the connection ends when its peer has said FIN: a half-closed one still gets its answers.
    pub fn ends_with_fin(&self) -> bool {
        !matches!(self.engine, Engine::Http(_)) || (!self.waits() && self.output.is_empty())
    }

    /// How much may be written now: to a link only so much that its peer's window stays open for heartbeats. `look`: the
    /// peer's window as the kernel knows it, and how much of what was written it has not acknowledged.
    pub fn allowance(&mut self, now: Moment, look: impl FnOnce() -> (Option<u32>, u32)) -> usize {
        let ends = self.closing.is_some() || self.parked.is_some();
        if ends || !self.is_page() || self.live.carrier() != Carrier::Link {
            return usize::MAX;
        }
        let owed = self.output.owed();
        if owed > self.live.room().into() {
            let (window, unacknowledged) = look();
            self.live.see_window(window, unacknowledged);
        }
        if owed <= self.live.room().into() {
            self.live.release();
            return usize::MAX;
        }
        let fits = self.output.whole(self.live.room().into(), self.live.takes_all());
        if fits == owed {
            self.live.release();
        } else {
            self.live.withhold(now, fits > 0);
        }
        usize::try_from(fits).unwrap_or(usize::MAX)
    }

    /// The one next moment at which this connection wants to be looked at, and why; `None`: never.
    pub fn deadline(&self, timeouts: &Timeouts) -> Option<(Moment, Due)> {
        let own = self.own_deadline(timeouts);
        let live = self.live.due().map(|at| (at, Due::Liveness));
        match (own, live) {
            (Some(a), Some(b)) => Some(if b.0 <= a.0 { b } else { a }),
            (a, b) => a.or(b),
        }
    }

    fn own_deadline(&self, timeouts: &Timeouts) -> Option<(Moment, Due)> {
        if let Some(until) = self.parked {
            return Some((until, Due::Close(CloseReason::Lost)));
        }
        if let Some(why) = self.closing {
            // answers that were asked for are taken at the peer's pace; all other last words are short
            let answers = matches!(self.engine, Engine::Http(_)) && why != CloseReason::Limit;
            let until = if answers { self.taken + timeouts.send } else { self.since + LINGER };
            return Some((until, Due::Close(why)));
        }
        match &self.engine {
            Engine::Draining => Some((self.since + LINGER, Due::Close(CloseReason::Done))),
            Engine::Page(_) => None,
            Engine::Device(device) => {
                device.is_awaited().then(|| (self.since + HELLO_WITHIN, Due::TooSlow(CloseReason::HeaderTimeout)))
            }
            Engine::Http(_) if !self.output.is_empty() => {
                Some((self.taken + timeouts.send, Due::Close(CloseReason::SendTimeout)))
            }
            Engine::Http(http) => match &http.stage {
                Stage::Head => Some(match (http.exchange.is_idle(&self.input), self.requests) {
                    (true, 1..) => (self.since + timeouts.keep_alive, Due::Close(CloseReason::KeepAlive)),
                    _ if http.reserve => (self.since + LINGER, Due::TooSlow(CloseReason::HeaderTimeout)),
                    _ => (self.since + timeouts.header, Due::TooSlow(CloseReason::HeaderTimeout)),
                }),
                Stage::Body(_) | Stage::Skip => {
                    Some((self.since + timeouts.body, Due::TooSlow(CloseReason::BodyTimeout)))
                }
                Stage::Waiting(_) => None,
                Stage::Held(held) => Some((held.until, Due::Unanswered)),
            },
        }
    }

    /// Last words are in the output: once they are taken, close.
    pub fn close_after_output(&mut self, now: Moment, why: CloseReason) {
        if self.closing.is_none() {
            self.closing = Some(why);
            (self.since, self.taken) = (now, now);
        }
    }

    /// This process did not run for `gap`: what could not be read or written meanwhile is not late.
    pub fn stood_still(&mut self, now: Moment, gap: Duration) {
        self.live.loop_gap(now, gap);
        self.since = self.since + gap;
        self.taken = self.taken + gap;
    }

    /// What it was, for the log line of its end.
    pub fn kind(&self) -> &'static str {
        match &self.engine {
            Engine::Http(_) => "http",
            Engine::Page(page) => page.link.name(),
            Engine::Device(_) => "device",
            Engine::Draining if self.is_devices() => "device",
            Engine::Draining => "closing",
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

#[cfg(test)]
pub(in crate::engine) mod tests;
