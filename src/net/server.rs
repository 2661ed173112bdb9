//! The loop: what is ready is noted, served in turn, and whatever was touched is settled before the next sleep.
//!
//! What happens with connections in a turn is the driver's (`engine::driver`); here is what only the kernel can tell: who
//! is ready, who comes, what signals say, how long to sleep.

mod kernel;
mod listeners;
mod signals;
mod supervisor;

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Waker};

use crate::auth::Door;
use crate::auth::credentials::{Credentials, Job};
use crate::config::Config;
use crate::config::users::Users;
use crate::diag::KEPT;
use crate::engine::driver::conn::Conn;
use crate::engine::driver::table::Table;
use crate::engine::driver::{Driver, Event};
use crate::engine::shared::{Random, Shared, Start};
use crate::msg::{CloseReason, ConnId, Decimal, KernelFeatures, Moment, Now};
use crate::net::files::Site as Pages;
use crate::net::listener::Listener;
use crate::net::stream::Stream;
use crate::net::worker::Worker;
use crate::net::{clock, stderr};
use crate::sys::process::{self, Signals};
use crate::sys::socket;
use crate::sys::tcp;
use kernel::{Kernel, token};
use supervisor::Supervisor;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;
const SIGNALS: ConnId = Table::<Conn<Stream>>::outside(0);
const WAKER: ConnId = Table::<Conn<Stream>>::outside(1);
const FIRST_LISTENER: u16 = 2;

/// A listener, and what is known of the connections that wait in the kernel's queue for it.
struct AcceptQueue {
    listener: Listener,
    /// Who comes here.
    door: Door,
    /// There may be one.
    ready: bool,
    /// There was no descriptor for it: not before then.
    paused: Option<Moment>,
}

/// Everything that the loop owns.
pub struct Server {
    driver: Driver<Kernel>,
    listeners: Vec<AcceptQueue>,
    signals: Signals,
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
        let credentials = Credentials::new(users, config.auth.failures);
        let pages = Box::new(Pages::open(config.www.as_deref(), &config.types)?);
        let hostname = process::host_name().unwrap_or_default();
        let (config, random) = (Rc::new(config), Random::new(random));
        let shared = Shared::new(Start { config, credentials, tokens, features, pages, hostname, random }, now);
        poll.registry().register(&mut SourceFd(&signals.as_raw_fd()), token(SIGNALS), Interest::READABLE)?;
        let mut listeners = Vec::new();
        if !devices.is_empty() {
            shared.devices.warning().into_iter().for_each(|said| log::warn!("{said}"));
        }
        let all = web.into_iter().map(|l| (l, Door::Web)).chain(devices.into_iter().map(|l| (l, Door::Devices)));
        for ((listener, door), n) in all.zip(FIRST_LISTENER..) {
            let id = Table::<Conn<Stream>>::outside(n);
            poll.registry().register(&mut SourceFd(&listener.as_raw_fd()), token(id), Interest::READABLE)?;
            if listener.port() != 0 {
                // inherited by every connection: saves six calls for each. What links need is set when one becomes a link
                tcp::prepare_plain(listener.as_fd(), &shared.times)?;
                socket::set_nodelay(listener.as_fd())?;
            }
            log::info!(target: KEPT, "listening addr={} kind={}", listener.address(), door.word());
            listeners.push(AcceptQueue { listener, door, ready: true, paused: None });
        }
        let worker = Worker::new("password", 1, waker, |job: Box<Job>| job.run()); // whose turn is next is said late
        let driver = Driver::new(Kernel { poll, worker }, shared, now.mono);
        Ok(Server { driver, listeners, signals, reload, supervisor: Supervisor::new(now.mono) })
    }

    /// Which of the kernel's features are there, and the worst case that follows: one line for the log.
    pub fn kernel_line(&self) -> String {
        let rules = &self.driver.shared.rules;
        let seconds = |d: Duration| format!("{} s", Decimal::seconds(d, 2));
        let stalled = match rules.worst_stalled() {
            Some(d) => format!("within {}", seconds(d)),
            None => "about as long again after it stopped (no TCP_RTO_MAX_MS, no CAP_NET_ADMIN)".into(),
        };
        let profile = self.driver.shared.site.config.liveness.profile.word();
        if !self.driver.shared.features.info() {
            // an emulated kernel (qemu-user answers with one int); every Linux since 2.6 says enough
            return format!(
                "kernel {}; profile={profile}: TCP_INFO says too little; who vanished is noticed after minutes only, when the kernel gives up",
                self.driver.shared.features
            );
        }
        let worst = seconds(rules.worst());
        format!(
            "kernel {}; profile={profile}: vanished noticed within {worst}, one that had stopped reading {stalled}",
            self.driver.shared.features
        )
    }

    /// Runs until it is told to stop. Errors: the poller's.
    pub fn run(&mut self) -> io::Result<Ended> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        self.supervisor.tell(clock::read().mono, "READY=1".into());
        loop {
            let wait = self.sleep_for(clock::read().mono);
            match self.driver.host.poll.poll(&mut events, wait) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            let now = clock::read();
            self.driver.begin(now);
            let mut signalled = false;
            for event in &events {
                signalled |= self.note(event);
            }
            if signalled && self.on_signals(now) == Some(Ended::AtOnce) {
                return Ok(Ended::AtOnce);
            }
            self.turn(now);
            if self.driver.stopping.is_some_and(|until| self.driver.conns.is_empty() || now.mono >= until) {
                let ids: Vec<ConnId> = self.driver.conns.ids().collect();
                for id in ids {
                    self.driver.close(now, id, CloseReason::Shutdown); // it took too long; its end is told like every other
                }
                if let Some(at) = self.driver.shared.site.ration.due() {
                    self.say_left_out(Now { mono: at, ..now });
                }
                return Ok(Ended::Stopped);
            }
        }
    }

    /// How long nothing needs to be done; `None`: until something happens.
    fn sleep_for(&mut self, now: Moment) -> Option<Duration> {
        // as it was planned, not from now: a poll that was interrupted, by SIGCONT for one, comes here late
        let paused = self.listeners.iter().filter_map(|queue| queue.paused);
        let said = self.driver.shared.site.ration.due().into_iter().chain(self.supervisor.due());
        let earliest = self.driver.plan(paused.chain(said));
        if self.driver.has_ready() || self.listeners.iter().any(|d| d.ready && d.paused.is_none()) {
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
        if let Some(queue) = queue_of(&mut self.listeners, id) {
            queue.ready = true;
            return false;
        }
        let closed = event.is_read_closed() || event.is_write_closed() || event.is_error();
        // who can still read is told what comes; that only our side is closed says nothing of that
        let readable = event.is_readable() || event.is_read_closed() || event.is_error();
        let event = Event { writable: event.is_writable(), readable, closed: readable && closed };
        self.driver.noted(id, event);
        false
    }

    /// One turn: everything that is ready, everything that is due, everything that follows.
    fn turn(&mut self, now: Now) {
        self.driver.shared.load.log_dropped = stderr::dropped();
        let clock = self.driver.serve_ready(now);
        // after those who are there: one who has just left makes room for one who comes
        self.accept(now);
        self.driver.due(now, clock);
        self.say_left_out(now);
        self.supervisor.turn(now.mono);
        self.driver.follow(now);
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

fn queue_of(queues: &mut [AcceptQueue], id: ConnId) -> Option<&mut AcceptQueue> {
    queues
        .iter_mut()
        .zip(FIRST_LISTENER..)
        .find(|(_, n)| Table::<Conn<Stream>>::outside(*n) == id)
        .map(|(queue, _)| queue)
}
