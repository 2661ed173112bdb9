//! The loop: what is ready is noted, served in turn, and whatever was touched is settled before the next sleep.
//!
//! ```text
//! loop {
//!     poll                      sleep until something is ready or the earliest deadline; note, do not act
//!     serve, accept, resume     a bounded amount each; answers go out at once
//!     deadlines                 of connections and of the hub
//!     effects and settling      until there are none: a close makes more effects
//! }
//! ```
//!
//! Only [`Table::touch`] gives a `&mut Conn`, and what was touched is settled: flushed, closed if closing, re-armed.
//! Nobody registers interest, arms a timer or schedules a close by hand, so nobody can forget to.

mod doors;
mod orders;
mod passwords;
mod supervisor;
mod watch;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::config::Config;
use crate::config::users::Users;
use crate::diag::KEPT;
use crate::engine::connection::{Connection, Due, End, Next, SPARED_ALL};
use crate::engine::shared::{Cx, Random, Shared, Start};
use crate::hub::Input;
use crate::msg::{CloseReason, ConnId, Decimal, KernelFeatures, LinkEnd, Moment, Now};
use crate::net::conn::Conn;
use crate::net::files::Site as Pages;
use crate::net::listener::Listener;
use crate::net::table::Table;
use crate::net::timers::{Deadlined, Timers};
use crate::net::worker::Worker;
use crate::net::{clock, effects, stderr, verdict};
use crate::places::Origins;
use crate::routes::gate::{Gate, Job, Outcome};
use crate::secret::wipe;
use crate::sys::process::{self, Signals};
use crate::sys::socket;
use crate::sys::tcp;
use doors::{Door, Giving};
use supervisor::Supervisor;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;
/// Bytes read at once. Also the most that one connection is served before the others have their turn.
const READ_MAX: usize = 16 * 1024;
/// Bytes of output that may lie beside those of others until all of a turn are settled.
const KEPT_BESIDE: u64 = 16 << 10;
/// Connections beyond the limit that are kept for the moment it takes to tell them so.
pub(super) const TURNED_AWAY_MAX: usize = 32;
const SIGNALS: ConnId = Table::<Conn>::outside(0);
const WAKER: ConnId = Table::<Conn>::outside(1);
const FIRST_LISTENER: u16 = 2;

/// Everything that the loop owns.
pub struct Server {
    poll: Poll,
    listeners: Vec<Door>,
    signals: Signals,
    pub(super) conns: Table<Conn>,
    timers: Timers,
    ready: VecDeque<ConnId>,
    origins: Origins,
    giving: Giving,
    /// Of the connections, those that are being told that they are too many.
    turned_away: usize,
    pub(super) shared: Shared,
    /// The helper thread for passwords.
    worker: Worker<Box<Job>, Outcome>,
    /// Where every read goes first.
    buffer: Vec<u8>,
    stopping: Option<Moment>,
    planned: Option<Moment>,
    /// The clock of the newest turn.
    turned: Moment,
    /// The clock of the newest look at the dead man's switches.
    looked: Moment,
    /// How long the board has slept since it was started.
    asleep: Duration,
    reload: Box<Reload>,
    supervisor: Supervisor,
}

/// Reads everything again for SIGHUP: the new settings, users and pages, or what is wrong with them (one line each).
pub type Reload = dyn FnMut() -> Result<Reloaded, Vec<String>>;

/// What a reload brings.
pub struct Reloaded {
    /// The settings.
    pub config: Config,
    /// The users; `None` without a users file, when the one made at start stays.
    pub users: Option<Users>,
    /// The tokens of devices; `None` without a file.
    pub tokens: Option<Users>,
}

/// Where to listen, and who may come.
pub struct Entrance {
    /// For browsers.
    pub web: Vec<Listener>,
    /// For devices.
    pub devices: Vec<Listener>,
    /// The users.
    pub users: Users,
    /// The tokens of devices; `None` without a file.
    pub tokens: Option<Users>,
}

/// How the server ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Asked to, and everybody was told.
    Stopped,
    /// Asked twice.
    AtOnce,
}

impl Server {
    /// A server with these listeners, not running yet. Errors: the kernel's.
    pub fn new(
        config: Config,
        entrance: Entrance,
        signals: Signals,
        features: KernelFeatures,
        reload: Box<Reload>,
    ) -> io::Result<Server> {
        let now = clock::read();
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), token(WAKER))?);
        let Entrance { web, devices, users, tokens } = entrance;
        let gate = Gate::new(users, config.auth.failures);
        let max = config.limits.connections as usize + config.devices.connections as usize;
        let pages = Box::new(Pages::open(config.www.as_deref(), &config.types)?);
        let hostname = process::host_name().unwrap_or_default();
        let (config, random) = (Rc::new(config), Random::new(random));
        let shared = Shared::new(Start { config, gate, tokens, features, pages, hostname, random }, now);
        poll.registry().register(&mut SourceFd(&signals.as_raw_fd()), token(SIGNALS), Interest::READABLE)?;
        let mut doors = Vec::new();
        if !devices.is_empty() {
            shared.devices.warning().into_iter().for_each(|said| log::warn!("{said}"));
        }
        let all = web.into_iter().map(|l| (l, false)).chain(devices.into_iter().map(|l| (l, true)));
        for ((listener, devices), n) in all.zip(FIRST_LISTENER..) {
            let id = Table::<Conn>::outside(n);
            poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), token(id), Interest::READABLE)?;
            if listener.port() != 0 {
                // inherited by every connection: saves six calls for each. What links need is set when one becomes a link
                tcp::prepare_plain(listener.as_fd(), &shared.times)?;
                socket::set_nodelay(listener.as_fd())?;
            }
            log::info!(target: KEPT, "listening addr={} kind={}", listener.address(), if devices { "devices" } else { "web" });
            doors.push(Door { listener, devices, ready: true, paused: None });
        }
        Ok(Server {
            poll,
            listeners: doors,
            signals,
            conns: Table::new(max + 2 * TURNED_AWAY_MAX),
            timers: Timers::new(),
            ready: VecDeque::new(),
            origins: Origins::default(),
            giving: Giving::default(),
            turned_away: 0,
            shared,
            worker: Worker::new("password", 1, waker, |job| job.run()), // whose turn is next is said late
            buffer: vec![0; READ_MAX],
            stopping: None,
            planned: None,
            turned: now.mono,
            looked: now.mono,
            asleep: clock::asleep(),
            reload,
            supervisor: Supervisor::new(now.mono),
        })
    }

    /// Which of the kernel's features are there, and the worst case that follows: one line for the log.
    pub fn kernel_line(&self) -> String {
        let rules = &self.shared.rules;
        let seconds = |d: Duration| format!("{} s", Decimal::seconds(d, 2));
        let stalled = match rules.worst_stalled() {
            Some(d) => format!("within {}", seconds(d)),
            None => "about as long again after it stopped (no TCP_RTO_MAX_MS, no CAP_NET_ADMIN)".into(),
        };
        let profile = self.shared.site.config.liveness.profile.word();
        if !self.shared.features.info() {
            // an emulated kernel (qemu-user answers with one int); every Linux since 2.6 says enough
            return format!(
                "kernel {}; profile={profile}: TCP_INFO says too little; who vanished is noticed after minutes only, when the kernel gives up",
                self.shared.features
            );
        }
        let worst = seconds(rules.worst());
        format!(
            "kernel {}; profile={profile}: vanished noticed within {worst}, one that had stopped reading {stalled}",
            self.shared.features
        )
    }

    /// Runs until it is told to stop. Errors: the poller's.
    pub fn run(&mut self) -> io::Result<Ended> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        self.supervisor.tell(clock::read().mono, "READY=1".into());
        loop {
            let wait = self.sleep_for(clock::read().mono);
            match self.poll.poll(&mut events, wait) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            let now = clock::read();
            self.own_stall(now);
            self.notice_sleep(now);
            let mut signalled = false;
            for event in &events {
                signalled |= self.note(event);
            }
            if signalled && self.on_signals(now) == Some(Ended::AtOnce) {
                return Ok(Ended::AtOnce);
            }
            self.turn(now);
            if self.stopping.is_some_and(|until| self.conns.is_empty() || now.mono >= until) {
                let ids: Vec<ConnId> = self.conns.ids().collect();
                for id in ids {
                    self.close(now, id, CloseReason::Shutdown); // it took too long; its end is told like every other
                }
                if let Some(at) = self.shared.site.ration.due() {
                    self.say_left_out(Now { mono: at, ..now });
                }
                return Ok(Ended::Stopped);
            }
        }
    }

    /// How long nothing needs to be done; `None`: until something happens.
    fn sleep_for(&mut self, now: Moment) -> Option<Duration> {
        // as it was planned, not from now: a poll that was interrupted, by SIGCONT for one, comes here late
        let next = self.timers.next(&self.conns);
        let doors = self.listeners.iter().filter_map(|d| d.paused);
        let said = self.shared.site.ration.due().into_iter().chain(self.supervisor.due());
        let earliest =
            doors.chain(next).chain(self.shared.hub.view().deadline()).chain(self.stopping).chain(said).min();
        self.planned = earliest;
        if !self.ready.is_empty() || self.listeners.iter().any(|d| d.ready && d.paused.is_none()) {
            return Some(Duration::ZERO);
        }
        // whole milliseconds, rounded up: rounded down the loop would wake too early and spin
        earliest.map(|at| Duration::from_millis(at.since(now).as_micros().div_ceil(1000) as u64))
    }

    /// Notes what an event says; acts on nothing. Whether it was a signal.
    fn note(&mut self, event: &mio::event::Event) -> bool {
        let id = ConnId::from_raw(event.token().0 as u32);
        if id == SIGNALS {
            return true;
        }
        if let Some(door) = door_of(&mut self.listeners, id) {
            door.ready = true;
            return false;
        }
        let Some(conn) = self.conns.touch(id) else { return false };
        let ready = &mut conn.ready;
        ready.writable |= event.is_writable();
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            ready.readable = true;
            ready.read_on |= event.is_read_closed() || event.is_write_closed() || event.is_error();
        }
        queue(&mut self.ready, conn, id);
        false
    }

    /// One turn: everything that is ready, everything that is due, everything that follows.
    fn turn(&mut self, now: Now) {
        // Requests are served by a clock that goes on: a command that waited for its turn has grown older meanwhile. People
        // are judged by the turn's beginning, since what they have said after it may not be read yet.
        let mut clock = now;
        self.shared.load.log_dropped = stderr::dropped();
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            self.serve(clock, id);
            clock = self.look_in_long_turn(clock);
            self.push_out(now, id);
        }
        // after those who are there: one who has just left makes room for one who comes
        self.accept(now);
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
        self.say_left_out(now);
        self.supervisor.turn(now.mono);
        self.looked = self.looked.max(now.mono); // the tick looked, or had nothing to look at
        loop {
            let passwords = self.passwords(now);
            let effects = effects::apply(self, now);
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
                return verdict::broken(self, now, id, &e);
            }
        }
        let Some(conn) = self.conns.touch(id) else { return };
        if conn.state.held && conn.state.output.is_empty() && !conn.state.is_link() {
            // also if nothing but FIN was read just now: what was asked before it is answered
            self.with(now, id, |state, cx| state.go_on(cx));
        }
        let Some(conn) = self.conns.touch(id) else { return };
        if conn.ready.fin {
            verdict::peer_closed(self, now, id);
        } else if conn.wants_read() {
            queue(&mut self.ready, conn, id);
        }
    }

    /// Reads once, and lets the connection take what came.
    pub(super) fn read(&mut self, now: Now, id: ConnId) -> io::Result<()> {
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
            tcp::prepare_link(conn.stream.as_fd(), &times, &self.shared.features);
        }
    }

    /// What was just served goes out at once where that is of use: an answer while all of its connection is in the
    /// processor's cache, the long `hello` of a new link before the next one's lies beside it. Other links wait for what
    /// all of this turn cause.
    fn push_out(&mut self, now: Now, id: ConnId) {
        let opened = self.conns.get(id).is_some_and(|conn| conn.state.spared == SPARED_ALL);
        if opened {
            effects::apply(self, now);
        }
        if opened || self.conns.get(id).is_some_and(|conn| conn.state.owes_answers()) {
            self.settle(now);
        }
    }

    fn on_deadline(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.touch(id) else { return };
        let Some((at, due)) = conn.state.deadline(&self.shared.patience) else { return };
        if at > now.mono {
            return; // it was moved meanwhile; settling arms it anew
        }
        match due {
            Due::Liveness => verdict::check(self, now, id),
            Due::Unanswered => self.with(now, id, |state, cx| state.waited(cx)),
            Due::TooSlow(why) => self.with(now, id, |state, cx| state.too_slow(cx, why)),
            Due::Close(why) => {
                if why != CloseReason::KeepAlive && why != CloseReason::Done {
                    // it takes nothing any more: what is owed is thrown away with it
                    let _ = conn.stream.reset();
                }
                self.close(now, id, why);
            }
        }
    }

    /// Settles whatever was touched, and closes what the ledger has no room for. Whether anything was touched.
    fn settle(&mut self, now: Now) -> bool {
        let mut any = self.settle_touched(now);
        while let Some(id) = self.shared.site.ledger.over() {
            self.shed(now, id);
            any |= self.settle_touched(now);
        }
        any
    }

    /// Closes one that keeps too much memory: with a last word if a frame of it can still begin.
    fn shed(&mut self, now: Now, id: ConnId) {
        self.shared.site.metrics.shed += 1;
        let Some(conn) = self.conns.touch(id) else {
            debug_assert!(false, "the ledger knows one that is gone");
            self.shared.site.ledger.clear(id);
            return;
        };
        let state = &conn.state;
        let says = state.is_link() && state.closing.is_none() && !state.output.mid_chunk();
        self.shared.tell_hub(now, Input::LinkEnded { conn: id, end: LinkEnd::Slow });
        if says {
            return effects::say_farewell(self, now, id, CloseReason::Slow);
        }
        let _ = conn.stream.reset();
        self.close(now, id, CloseReason::Slow);
    }

    fn settle_touched(&mut self, now: Now) -> bool {
        let mut any = false;
        loop {
            if let Some(now) = self.look_before_writing() {
                effects::apply(self, now); // `safe` takes its place before what waits
                continue;
            }
            let Some((id, conn)) = self.conns.pop_touched() else { break };
            any = true;
            let settled = conn.settle(now, &mut self.shared.spare);
            let state = &mut conn.state;
            let kept = state.kept();
            if kept > 0 || state.in_ledger {
                state.in_ledger = kept > 0;
                self.shared.site.ledger.keeps(id, state.party(), kept);
            }
            let (next, written) = match settled {
                Ok(done) => done,
                Err(e) => {
                    verdict::broken(self, now, id, &e);
                    continue;
                }
            };
            self.shared.site.metrics.bytes_out += written;
            match next {
                Next::Stay { more } => {
                    if more {
                        queue(&mut self.ready, conn, id);
                    }
                    let stops = self.stopping.is_some() && conn.state.is_idle();
                    let want = conn.state.deadline(&self.shared.patience).map(|(at, _)| at);
                    self.timers.arm(id, conn.armed_mut(), want);
                    if stops {
                        self.close(now, id, CloseReason::Shutdown);
                    }
                }
                Next::Said(why) => self.said_all(now, id, why),
            }
        }
        any
    }

    /// All is said on a connection that is closing: FIN. If its peer may still be talking, it is heard out first.
    fn said_all(&mut self, now: Now, id: ConnId, why: CloseReason) {
        let Some(conn) = self.conns.touch(id) else { return };
        if conn.state.said(conn.ready, why) == End::Close {
            return self.close(now, id, why);
        }
        if conn.state.is_link() {
            self.shared.tell_hub(now, Input::LinkEnded { conn: id, end: LinkEnd::Closed });
        }
        if conn.stream.shutdown_write().is_err() {
            return self.close(now, id, why);
        }
        conn.state.drain(now.mono);
        conn.ready.read_on = true;
        queue(&mut self.ready, conn, id);
    }

    /// Ends a connection, now.
    pub(super) fn close(&mut self, now: Now, id: ConnId, why: CloseReason) {
        let Some(conn) = self.conns.remove(id) else { return };
        let state = &conn.state;
        let why = state.closing.unwrap_or(why);
        if state.is_link() {
            // a parked one is forgotten by this, too
            self.shared.tell_hub(now, Input::LinkEnded { conn: id, end: LinkEnd::Closed });
        }
        if state.is_devices() {
            self.shared.devices.connections -= 1;
        } else {
            self.turned_away -= usize::from(state.closing == Some(CloseReason::Limit));
            self.origins.leave(state.origin.peer);
        }
        self.shared.site.ledger.clear(id);
        self.shared.site.metrics.close(why);
        self.shared.load.connections = self.conns.len();
        effects::log_close(state, id, &mut self.shared.site, now, why);
    }
}

/// Fills all of it with the kernel's random bytes.
fn random(bytes: &mut [u8]) {
    if let Err(e) = process::getrandom(bytes) {
        // without randomness there are no secrets: any cookie given out now could be guessed
        log::error!("the kernel gives no random bytes: {e}; stopping");
        stderr::exit_failed();
    }
}

/// Puts a connection on the ready queue, once.
fn queue(ready: &mut VecDeque<ConnId>, conn: &mut Conn, id: ConnId) {
    if !conn.queued {
        conn.queued = true;
        ready.push_back(id);
    }
}

fn door_of(doors: &mut [Door], id: ConnId) -> Option<&mut Door> {
    doors.iter_mut().zip(FIRST_LISTENER..).find(|(_, n)| Table::<Conn>::outside(*n) == id).map(|(door, _)| door)
}

fn token(id: ConnId) -> Token {
    Token(id.raw() as usize)
}
