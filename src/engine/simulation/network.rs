//! One simulated TCP connection: what both kernels and the path between them do, as far as the engine can tell.
//!
//! What is here: order and exactly-once, a send buffer and a window, acknowledgements, go-back-N retransmissions with
//! their backoff, window probes, FIN, RST, keepalive; the edges of epoll(7). What is not: congestion, and segments that overtake
//! each other, since the receiving kernel puts them in order again.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use crate::engine::driver::Event;

/// Microseconds in a millisecond.
pub const MS: u64 = 1000;
/// Least and most time to a retransmission (standard profile, TCP_RTO_MAX_MS).
const RTO_MIN: u64 = 200 * MS;
const RTO_MAX: u64 = 1000 * MS;
/// The kernel's keepalive at the standard profile: 1 s idle, 3 probes of 1 s.
const KEEPALIVE: u64 = 4000 * MS;
/// Bytes that the server's kernel takes from the path before anybody reads them.
const RECEIVE_MAX: usize = 128 * 1024;
/// Errors of sockets, as the kernel numbers them.
pub(super) const ECONNRESET: i32 = 104;
pub(super) const ETIMEDOUT: i32 = 110;

/// What travels to the server.
enum Up {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// What travels to the client.
pub(super) enum Down {
    /// All bytes up to this one.
    Upto(u64),
    Reset,
}

/// Both ends of a connection, and the path.
pub struct Tcp {
    pub(super) clock: Rc<Cell<u64>>,
    /// One way, in microseconds.
    pub latency: u64,
    /// Nothing passes.
    pub cut: Option<u64>,
    /// The sum of times in which it was cut before.
    pub was_cut: bool,
    /// Bytes that the client's kernel keeps for its program.
    pub window: usize,
    /// Bytes that the server's kernel keeps until they are acknowledged.
    pub send_buffer: usize,
    up: VecDeque<(u64, Up)>,
    // the server's kernel
    pub(super) inbox: VecDeque<u8>,
    pub(super) fin_in: bool,
    pub(super) error: Option<i32>,
    edge: bool,
    pub(super) blocked: bool,
    pub(super) reset_on_close: bool,
    pub open: bool,
    /// Sent and not acknowledged, and not yet sent.
    pub(super) outgoing: VecDeque<u8>,
    pub(super) acked: u64,
    pub(super) next: u64,
    pub(super) fin_out: Option<u64>,
    pub(super) edge_of_window: u64,
    pub(super) down: VecDeque<(u64, Down)>,
    acks: VecDeque<(u64, u64, u64)>,
    pub(super) rto: u64,
    pub(super) rto_at: Option<u64>,
    pub(super) retransmits: u8,
    pub(super) probes: u8,
    pub(super) probe_at: Option<u64>,
    pub(super) last_ack: u64,
    pub(super) last_data: u64,
    pub(super) empty: u32,
    pub(super) resent: u32,
    // the client's kernel
    received: u64,
    pub unread: VecDeque<u8>,
    pub client_open: bool,
    /// The client has read the end.
    pub ended: bool,
    /// The client was told RST.
    pub aborted: bool,
}

/// Both ends share it.
pub type Shared = Rc<RefCell<Tcp>>;

impl Tcp {
    pub fn new(clock: Rc<Cell<u64>>, latency: u64, window: usize) -> Shared {
        let now = clock.get();
        Rc::new(RefCell::new(Tcp {
            clock,
            latency,
            cut: None,
            was_cut: false,
            window,
            send_buffer: 64 * 1024,
            up: VecDeque::new(),
            inbox: VecDeque::new(),
            fin_in: false,
            error: None,
            edge: false,
            blocked: false,
            reset_on_close: false,
            open: true,
            outgoing: VecDeque::new(),
            acked: 0,
            next: 0,
            fin_out: None,
            edge_of_window: window as u64,
            down: VecDeque::new(),
            acks: VecDeque::new(),
            rto: RTO_MIN,
            rto_at: None,
            retransmits: 0,
            probes: 0,
            probe_at: None,
            last_ack: now,
            last_data: now,
            empty: 0,
            resent: 0,
            received: 0,
            unread: VecDeque::new(),
            client_open: true,
            ended: false,
            aborted: false,
        }))
    }

    // ---------------------------------------------------------------------------------------------- the client

    /// The client writes; in pieces of `piece` bytes, one millisecond apart, if that is not 0.
    pub fn send(&mut self, bytes: &[u8], piece: usize) {
        if !self.client_open {
            return;
        }
        let mut at = (self.clock.get() + self.latency).max(self.up.back().map_or(0, |(at, _)| *at));
        if piece == 0 {
            self.up.push_back((at, Up::Bytes(bytes.to_vec())));
            return;
        }
        for part in bytes.chunks(piece) {
            self.up.push_back((at, Up::Bytes(part.to_vec())));
            at += MS;
        }
    }

    fn say(&mut self, what: Up) {
        let at = (self.clock.get() + self.latency).max(self.up.back().map_or(0, |(at, _)| *at));
        self.up.push_back((at, what));
    }

    /// The client says FIN, and goes on reading.
    pub fn finish(&mut self) {
        if self.client_open {
            self.say(Up::Fin);
        }
    }

    /// The client's program ends: FIN, or RST if it left something unread.
    pub fn close(&mut self) {
        if !self.client_open {
            return;
        }
        self.say(if self.unread.is_empty() { Up::Fin } else { Up::Reset });
        self.client_open = false;
        self.unread.clear();
    }

    /// What the client's program reads.
    pub fn read(&mut self) -> Vec<u8> {
        let was_shut = self.unread.len() >= self.window;
        let bytes: Vec<u8> = self.unread.drain(..).collect();
        if was_shut && !bytes.is_empty() {
            self.acknowledge(); // the window is open again
        }
        bytes
    }

    /// Whether the client has something to read.
    pub fn has_word(&self) -> bool {
        !self.unread.is_empty() || self.ended
    }

    // ------------------------------------------------------------------------------------------------ the path

    /// Cuts the path in both directions, or mends it.
    pub fn cut(&mut self, cut: bool) {
        self.cut = cut.then_some(self.clock.get());
        self.was_cut |= cut;
    }

    /// When something happens by itself.
    pub fn next_event(&self) -> Option<u64> {
        let up = self.up.front().map(|(at, _)| *at);
        let down = self.down.front().map(|(at, _)| *at);
        let acks = self.acks.front().map(|(at, ..)| *at);
        let own = [self.rto_at, self.probe_at, self.keepalive()];
        up.into_iter().chain(down).chain(acks).chain(own.into_iter().flatten()).min()
    }

    /// When the kernel gives an idle connection up.
    fn keepalive(&self) -> Option<u64> {
        let cut = self.cut?;
        let idle = self.open && self.outgoing.is_empty() && self.error.is_none();
        idle.then(|| cut.max(self.last_ack) + KEEPALIVE)
    }

    /// Lets everything happen that is due.
    pub fn pass(&mut self) {
        let now = self.clock.get();
        while self.up.front().is_some_and(|(at, _)| *at <= now) {
            if self.cut.is_some() || self.inbox.len() > RECEIVE_MAX {
                if let Some((at, _)) = self.up.front_mut() {
                    *at = now + 300 * MS; // the client's kernel sends it again
                }
                break;
            }
            let Some((_, what)) = self.up.pop_front() else { break };
            self.arrive(now, what);
        }
        while self.down.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, what)) = self.down.pop_front() else { break };
            if self.cut.is_none() {
                self.deliver(what);
            }
        }
        while self.acks.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, upto, edge)) = self.acks.pop_front() else { break };
            if self.cut.is_none() {
                self.acknowledged(now, upto, edge);
            }
        }
        if self.keepalive().is_some_and(|at| at <= now) {
            (self.error, self.edge) = (Some(ETIMEDOUT), true);
        }
        if self.rto_at.is_some_and(|at| at <= now) {
            self.resent += 1;
            self.retransmits = self.retransmits.saturating_add(1);
            self.rto = (self.rto * 2).min(RTO_MAX);
            self.next = self.acked;
            self.rto_at = None;
            self.transmit(now);
        }
        if self.probe_at.is_some_and(|at| at <= now) {
            self.probes = self.probes.saturating_add(1);
            self.probe_at = Some(now + RTO_MAX);
            self.probe(now);
        }
    }

    fn arrive(&mut self, now: u64, what: Up) {
        if !self.open {
            return;
        }
        self.edge = true;
        match what {
            Up::Bytes(bytes) => {
                self.inbox.extend(bytes);
                (self.last_data, self.last_ack) = (now, now);
            }
            Up::Fin => self.fin_in = true,
            Up::Reset => {
                self.error = Some(ECONNRESET);
                self.outgoing.clear();
                (self.rto_at, self.probe_at) = (None, None);
            }
        }
    }

    fn deliver(&mut self, what: Down) {
        if !self.client_open {
            // nobody is there any more: its kernel says so
            if self.open {
                self.say(Up::Reset);
            }
            return;
        }
        match what {
            Down::Reset => (self.aborted, self.ended) = (true, true),
            Down::Upto(upto) => {
                let from = (self.received - self.acked) as usize;
                let end = (upto.saturating_sub(self.acked)) as usize;
                if end > from && end <= self.outgoing.len() {
                    self.unread.extend(self.outgoing.range(from..end));
                    self.received = upto;
                }
                if self.fin_out.is_some_and(|fin| self.received >= fin) {
                    self.ended = true;
                }
                self.acknowledge();
            }
        }
    }

    /// The client's kernel says how far it is, and how much more it takes.
    fn acknowledge(&mut self) {
        let free = self.window.saturating_sub(self.unread.len()) as u64;
        self.acks.push_back((self.clock.get() + self.latency, self.received, self.received + free));
    }

    fn acknowledged(&mut self, now: u64, upto: u64, edge: u64) {
        (self.last_ack, self.probes) = (now, 0);
        self.empty += 1;
        let news = upto.saturating_sub(self.acked);
        if news > 0 {
            self.outgoing.drain(..(news as usize).min(self.outgoing.len()));
            self.acked = upto;
            (self.rto, self.retransmits, self.rto_at) = (RTO_MIN, 0, None);
            if self.blocked && self.outgoing.len() < self.send_buffer * 2 / 3 {
                (self.blocked, self.edge) = (false, true);
            }
        }
        self.next = self.next.max(self.acked);
        self.edge_of_window = edge;
        self.transmit(now);
    }

    /// Sends what the window takes.
    pub(super) fn transmit(&mut self, now: u64) {
        let written = self.acked + self.outgoing.len() as u64;
        let upto = written.min(self.edge_of_window).max(self.next);
        let fin = self.fin_out.is_some_and(|fin| fin <= upto) && !self.ended;
        if upto > self.next || fin {
            self.down.push_back((now + self.latency, Down::Upto(upto)));
            self.next = upto;
            self.rto_at = self.rto_at.or(Some(now + self.rto.max(3 * self.latency)));
        }
        let shut = written > self.next && self.next == self.acked;
        self.probe_at = if shut { self.probe_at.or(Some(now + RTO_MAX)) } else { None };
        if self.outgoing.is_empty() && !fin {
            self.rto_at = None;
        }
    }

    /// Asks the client's kernel for an acknowledgement; it comes if the path is whole.
    pub(super) fn probe(&mut self, now: u64) {
        if self.cut.is_some() {
            return;
        }
        if !self.client_open {
            return self.say(Up::Reset);
        }
        let free = self.window.saturating_sub(self.unread.len()) as u64;
        self.acks.push_back((now + 2 * self.latency, self.received, self.received + free));
    }

    // ---------------------------------------------------------------------------------------------- the server

    /// The event that the poller has for the server, if there is one.
    pub fn take_event(&mut self) -> Option<Event> {
        if !std::mem::take(&mut self.edge) {
            return None;
        }
        let closed = self.fin_in || self.error.is_some();
        Some(Event { writable: !self.blocked, readable: !self.inbox.is_empty() || closed, closed })
    }

    /// The poller watches it from now on, and says at once how it is.
    pub fn watch(&mut self) {
        self.edge = true;
    }

    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub fn has_event(&self) -> bool {
        self.edge
    }

    /// Whether there is something that the server could read: bytes, an end that was not `noted`, an error.
    pub fn has_news_beside(&self, noted: bool) -> bool {
        !self.inbox.is_empty() || (self.fin_in && !noted) || self.error.is_some()
    }

    /// Nothing of it matters any more.
    pub fn is_over(&self) -> bool {
        !self.open && (!self.client_open || self.ended || self.cut.is_some())
    }

    pub(super) fn failed(&mut self) -> Option<io::Error> {
        self.error.map(io::Error::from_raw_os_error)
    }
}
