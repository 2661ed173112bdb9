//! What turns readiness, time and effects into calls of the connections, and what they owe into writes: the whole loop but for
//! the waiting. `net` gives it sockets and a clock; the simulation (`simulation`) gives it networks and a time of its own.
//!
//! ```text
//! begin         was this process, or the board, away?
//! noted         what is ready, for each event; nothing is done yet
//! serve         a bounded amount for each connection that is ready; answers go out at once
//! welcome       those who come
//! due           deadlines of connections and of the hub
//! follow        effects and settling, until there are none: a close makes more effects
//! plan          how long nothing needs to be done
//! ```
//!
//! Only [`Table::touch`] gives a `&mut Conn`, and what was touched is settled: flushed, closed if closing, re-armed.
//! Nobody registers interest, arms a timer or schedules a close by hand, so nobody can forget to.

pub mod conn;
mod effects;
mod entrance;
pub mod flush;
pub mod host;
mod passwords;
mod settle;
pub mod table;
pub mod timers;
mod verdict;
mod watch;

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use crate::engine::connection::{Connection, Due, REPLAY_ALL};
use crate::engine::shared::{Cx, Shared};
use crate::hub::Input;
use crate::msg::{CloseReason, ConnId, Moment, Now};
use crate::places::{GivingWay, Origins};
use crate::secret::wipe;
use conn::Conn;
pub use host::{Event, Host, Socket};
use table::Table;
use timers::Timers;

/// Bytes read at once. Also the most that one connection is served before the others have their turn.
const READ_MAX: usize = 16 * 1024;
/// Bytes of output that may lie beside those of others until all of a turn are settled.
const KEPT_BESIDE: u64 = 16 << 10;
/// Connections beyond the limit that are kept for the moment it takes to tell them so.
const TURNED_AWAY_MAX: usize = 32;

/// Who gives way to those who come in this turn.
#[derive(Default)]
struct Giving {
    /// If that had to be found out.
    way: Option<GivingWay>,
    /// There was no descriptor for one who came.
    starved: bool,
}

/// The loop, but for its waiting.
pub struct Driver<H: Host> {
    /// What it runs on.
    pub host: H,
    /// The connections.
    pub conns: Table<Conn<H::Socket>>,
    /// What they share.
    pub shared: Shared,
    /// Asked to stop: until when the connections have time for it.
    pub stopping: Option<Moment>,
    timers: Timers,
    ready: VecDeque<ConnId>,
    origins: Origins,
    giving: Giving,
    /// Of the connections, those that are being told that they are too many.
    turned_away: usize,
    /// The turn in which a connection last got a place.
    arrived: Moment,
    /// Where every read goes first.
    buffer: Vec<u8>,
    planned: Option<Moment>,
    /// The clock of the newest turn.
    turned: Moment,
    /// The clock of the newest look at the dead man's switches.
    looked: Moment,
    /// How long the board has slept since it was started.
    asleep: Duration,
}

impl<H: Host> Driver<H> {
    /// No connections yet.
    pub fn new(host: H, shared: Shared, now: Moment) -> Driver<H> {
        let config = &shared.site.config;
        let max = config.limits.connections as usize + config.devices.connections as usize;
        Driver {
            conns: Table::new(max + 2 * TURNED_AWAY_MAX),
            timers: Timers::new(),
            ready: VecDeque::new(),
            origins: Origins::default(),
            giving: Giving::default(),
            turned_away: 0,
            arrived: Moment::default(),
            buffer: vec![0; READ_MAX],
            stopping: None,
            planned: None,
            turned: now,
            looked: now,
            asleep: host.asleep(),
            host,
            shared,
        }
    }

    /// When something is to be done at the latest, `others` included; `None`: not before something happens.
    pub fn plan(&mut self, others: impl Iterator<Item = Moment>) -> Option<Moment> {
        let next = self.timers.next(&self.conns);
        let earliest = others.chain(next).chain(self.shared.hub.view().deadline()).chain(self.stopping).min();
        self.planned = earliest;
        earliest
    }

    /// Whether there is something to do at once.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A turn begins: if this process or the board did not run, that is noticed before anything that came meanwhile.
    pub fn begin(&mut self, now: Now) {
        self.own_stall(now);
        self.notice_sleep(now);
    }

    /// Notes what an event says; acts on nothing.
    pub fn noted(&mut self, id: ConnId, event: Event) {
        let Some(conn) = self.conns.touch(id) else { return };
        let ready = &mut conn.ready;
        ready.writable |= event.writable;
        if event.readable || event.closed {
            ready.readable = true;
            ready.read_on |= event.closed;
        }
        queue(&mut self.ready, conn, id);
    }

    /// Serves those that are ready. By what clock the turn goes on.
    pub fn serve_ready(&mut self, now: Now) -> Now {
        // Requests are served by a clock that goes on: a command that waited for its turn has grown older meanwhile. People
        // are judged by the turn's beginning, since what they have said after it may not be read yet.
        let mut clock = now;
        let mut last = Vec::new();
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            if self.conns.get(id).is_some_and(|conn| conn.state.in_reserve()) {
                last.push(id);
                continue;
            }
            clock = self.serve_one(now, clock, id);
        }
        if !last.is_empty() {
            self.new_batch();
        }
        for id in last {
            self.find_place(now, id);
            clock = self.serve_one(now, clock, id);
        }
        clock
    }

    /// Serves one that is ready, by `clock`; what the clock says after it.
    fn serve_one(&mut self, now: Now, clock: Now, id: ConnId) -> Now {
        self.serve(clock, id);
        let clock = self.look_in_long_turn(clock);
        self.push_out(now, id);
        clock
    }

    /// Does what is due. `clock`: what [`Driver::serve_ready`] said.
    pub fn due(&mut self, now: Now, mut clock: Now) {
        while self.passwords(clock) {
            clock = self.look_in_long_turn(clock);
        }
        while let Some((_, id)) = self.timers.pop_due(now.mono, &mut self.conns) {
            self.on_deadline(now, id);
            clock = self.look_in_long_turn(clock);
            if self.conns.get(id).is_some_and(|conn| conn.state.output.kept() > KEPT_BESIDE) {
                self.settle(now); // what it has missed need not lie beside what the next one has
            }
        }
        if self.shared.hub.view().deadline().is_some_and(|at| at <= now.mono) {
            self.shared.tell_hub(now, Input::Tick);
        }
    }

    /// Does whatever follows from what has happened in this turn.
    pub fn follow(&mut self, now: Now) {
        self.looked = self.looked.max(now.mono); // the tick looked, or had nothing to look at
        loop {
            let passwords = self.passwords(now);
            let effects = self.apply_effects(now);
            if !self.settle(now) && !effects && !passwords {
                break;
            }
        }
        debug_assert!(self.shared.site.ledger.agrees(self.conns.iter().map(|(id, conn)| (id, conn.state.kept()))));
    }

    /// Serves one connection that is ready: one read, then it goes to the back of the queue.
    fn serve(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.touch(id) else { return };
        conn.queued = false;
        if conn.state.held && conn.state.is_link() {
            self.with(now, id, |state, cx| state.go_on(cx));
        } else if conn.wants_read() {
            // what it means that a lost peer talks, the liveness rules say: they are due at once then
            if let Err(e) = self.read(now, id) {
                return self.broken(now, id, &e);
            }
        }
        let Some(conn) = self.conns.touch(id) else { return };
        if conn.state.held && conn.state.output.is_empty() && !conn.state.is_link() {
            // also if nothing but FIN was read just now: what was asked before it is answered
            self.with(now, id, |state, cx| state.go_on(cx));
        }
        let Some(conn) = self.conns.touch(id) else { return };
        if conn.ready.fin {
            self.peer_closed(now, id);
        } else if conn.wants_read() {
            queue(&mut self.ready, conn, id);
        }
    }

    /// Reads once, and lets the connection take what came.
    fn read(&mut self, now: Now, id: ConnId) -> io::Result<()> {
        let Some(conn) = self.conns.touch(id) else { return Ok(()) };
        let n = conn.read(&mut self.buffer)?;
        if n > 0 {
            let secret = !conn.state.is_link();
            conn.state.received(&mut Cx { now, id, shared: &mut self.shared }, &self.buffer[..n]);
            if secret {
                wipe(&mut self.buffer[..n]); // a request's credentials, a device's token
            }
            self.prepare(id);
        }
        Ok(())
    }

    /// Lets something happen on the connection `id`, if it is still there.
    pub(super) fn with(&mut self, now: Now, id: ConnId, happens: impl FnOnce(&mut Connection, &mut Cx<'_>)) {
        let Some(conn) = self.conns.touch(id) else { return };
        happens(&mut conn.state, &mut Cx { now, id, shared: &mut self.shared });
        self.prepare(id);
    }

    /// Sets up the socket of a connection that has just become a link.
    fn prepare(&mut self, id: ConnId) {
        let Some(times) = self.shared.prepare.take() else { return };
        if let Some(conn) = self.conns.get(id).filter(|conn| conn.state.is_tcp()) {
            conn.socket.prepare_link(&times, &self.shared.features);
        }
    }

    /// What was just served goes out at once where that is of use: an answer while all of its connection is in the
    /// processor's cache, the long `hello` of a new link before the next one's lies beside it. Other links wait for what
    /// all of this turn cause.
    fn push_out(&mut self, now: Now, id: ConnId) {
        let opened = self.conns.get(id).is_some_and(|conn| conn.state.replay_quota == REPLAY_ALL);
        if opened {
            self.apply_effects(now);
        }
        if opened || self.conns.get(id).is_some_and(|conn| conn.state.owes_answers()) {
            self.settle(now);
        }
    }

    fn on_deadline(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.touch(id) else { return };
        let Some((at, due)) = conn.state.deadline(&self.shared.timeouts) else { return };
        if at > now.mono {
            return; // it was moved meanwhile; settling arms it anew
        }
        match due {
            Due::Liveness => self.check_liveness(now, id),
            Due::Unanswered => self.with(now, id, |state, cx| state.unanswered(cx)),
            Due::TooSlow(why) => self.with(now, id, |state, cx| state.too_slow(cx, why)),
            Due::Close(why) => {
                if why != CloseReason::KeepAlive && why != CloseReason::Done {
                    // it takes nothing any more: what is owed is thrown away with it
                    conn.socket.reset();
                }
                self.close(now, id, why);
            }
        }
    }
}

/// Puts a connection on the ready queue, once.
fn queue<S>(ready: &mut VecDeque<ConnId>, conn: &mut Conn<S>, id: ConnId) {
    if !conn.queued {
        conn.queued = true;
        ready.push_back(id);
    }
}
