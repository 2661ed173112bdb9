//! One whole connection on the real driver, by arbitrary bytes: what its peer says and in what pieces, how much of our output
//! it takes, how time passes and when this process stands still.
//!
//! What has to hold: it comes to an end, never spins, never owes or keeps more than its bounds, always waits for something, and
//! how requests are answered does not depend on how they were cut. (On links it may: what the hub says in answer to several
//! messages of one read comes after what the link says by itself.)

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use boatswain::auth::Door;
use boatswain::auth::credentials::{Credentials, Job, Outcome};
use boatswain::config::Source;
use boatswain::config::users::Users;
use boatswain::engine::connection::Origin;
use boatswain::engine::driver::{Driver, Event, Host, Socket};
use boatswain::engine::pages::{Body, Pages, Served};
use boatswain::engine::protocols::{Engine, Stage};
use boatswain::engine::shared::{Random, Shared, Start};
use boatswain::http::request::Request;
use boatswain::http::response::{Envelope, Full};
use boatswain::msg::{ConnId, Evidence, KernelFeatures, Moment, Now, PeerAddr, TcpHealth, Times};

const CONFIG: &str = "www = \"/nowhere\"\n[auth]\nopen = [\"/healthz\", \"/page\"]\n[limits]\nlink_queue = \"32KiB\"\n";
const LINK_QUEUE: u64 = 32 << 10;
/// Steps taken of one input: more would only be slow.
const STEPS_MAX: usize = 200;

/// The peer and both kernels.
#[derive(Default)]
struct Wire {
    inbox: VecDeque<u8>,
    fin: bool,
    reset: bool,
    edge: bool,
    blocked: bool,
    /// How much more the socket takes.
    room: usize,
    unacknowledged: u32,
    /// The newest acknowledgement, in milliseconds.
    heard: u64,
    said: Vec<u8>,
    closed: bool,
}

struct End(Rc<RefCell<Wire>>, Rc<Cell<u64>>);

impl Socket for End {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        if wire.reset {
            return Err(io::Error::from_raw_os_error(104));
        }
        if wire.inbox.is_empty() {
            return if wire.fin { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let n = buffer.len().min(wire.inbox.len());
        buffer.iter_mut().zip(wire.inbox.drain(..n)).for_each(|(to, from)| *to = from);
        Ok(n)
    }

    fn writev(&self, slices: &[IoSlice<'_>], _more: bool) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        let mut taken = 0;
        for slice in slices {
            let n = slice.len().min(wire.room);
            wire.said.extend_from_slice(&slice[..n]);
            wire.room -= n;
            taken += n;
            if n < slice.len() {
                wire.blocked = true;
                break;
            }
        }
        wire.unacknowledged += taken as u32;
        if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    fn sendfile(&self, _file: BorrowedFd<'_>, _offset: u64, _len: usize) -> io::Result<usize> {
        Ok(0)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }

    fn reset(&self) {}

    fn outq(&self) -> u32 {
        self.0.borrow().unacknowledged
    }

    fn health(&self) -> TcpHealth {
        let wire = self.0.borrow();
        let ms = Some((self.1.get() - wire.heard) as u32);
        let segments = Some(wire.unacknowledged.div_ceil(1448));
        TcpHealth { state: 1, unacked: segments, last_ack_recv_ms: ms, last_data_recv_ms: ms, ..TcpHealth::default() }
    }

    fn nudge(&self) -> bool {
        true
    }

    fn prepare_link(&self, _times: &Times, _features: &KernelFeatures) {}

    fn prepare_response(&self, _features: &KernelFeatures) {}

    fn evidence(error: &io::Error, _outstanding: bool) -> Option<Evidence> {
        (error.raw_os_error() == Some(104)).then_some(Evidence::Reset)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.borrow_mut().closed = true;
    }
}

struct Board {
    ms: Rc<Cell<u64>>,
    job: Option<(u64, Box<Job>)>,
    id: Option<ConnId>,
}

impl Host for Board {
    type Socket = End;

    fn now(&self) -> Now {
        Now { mono: Moment::from_millis(3_600_000 + self.ms.get()), wall_ms: 1_700_000_000_000 + self.ms.get() }
    }

    fn asleep(&self) -> Duration {
        Duration::ZERO
    }

    fn watch(&mut self, id: ConnId, _socket: &End) -> io::Result<()> {
        self.id = Some(id);
        Ok(())
    }

    fn check(&mut self, job: Box<Job>) -> Result<(), Box<Job>> {
        self.job = Some((self.ms.get() + 100, job));
        Ok(())
    }

    fn checked(&mut self) -> Option<Outcome> {
        let (_, job) = self.job.take_if(|(at, _)| *at <= self.ms.get())?;
        let good = job.exists && job.password[..] == *b"pw";
        let Job { key, generation, source, name, user, .. } = *job;
        Some(Outcome { key, generation, source, name, user, good })
    }
}

struct OnePage;

impl Pages for OnePage {
    fn serve(&mut self, _: Now, _: &Request<'_>, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Served {
        Full::new(200, "text/plain", vec![b'x'; 5000]).write(out, envelope);
        Served { status: 200, html: true, body: Body::None }
    }

    fn dress(&mut self, _: Now, _: &mut Full) {}
}

thread_local! {
    static CHANCE: Cell<u64> = const { Cell::new(0) };
}

fn fill(bytes: &mut [u8]) {
    for byte in bytes {
        CHANCE.set(CHANCE.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        *byte = (CHANCE.get() >> 56) as u8;
    }
}

struct World {
    driver: Driver<Board>,
    wire: Rc<RefCell<Wire>>,
    ms: Rc<Cell<u64>>,
    planned: Option<Moment>,
}

impl World {
    fn new(first: u8) -> World {
        CHANCE.set(1);
        let (ms, wire) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Wire::default())));
        let config = Rc::new(Source::check_text(Path::new("x.toml"), CONFIG).expect("it is good"));
        let users = format!("ann:$5$rounds=1000$salt${}\n", "x".repeat(43));
        let users = || Users::parse(users.as_bytes()).expect("they are good");
        let start = Start {
            credentials: Credentials::new(users(), config.auth.failures),
            config,
            tokens: (first & 2 > 0).then(users),
            features: KernelFeatures { rto_max: first & 4 > 0, nudge: first & 8 > 0, ..KernelFeatures::default() },
            pages: Box::new(OnePage),
            hostname: "board".into(),
            random: Random::new(fill),
        };
        let board = Board { ms: ms.clone(), job: None, id: None };
        let now = board.now();
        let mut driver = Driver::new(board, Shared::new(start, now), now.mono);
        let door = if first & 1 > 0 { Door::Devices } else { Door::Web };
        let port = (first & 16 == 0).then_some(8080);
        let peer = if port.is_some() { PeerAddr::Ip(Ipv4Addr::LOCALHOST.into()) } else { PeerAddr::Unix };
        let origin = Origin { door, peer, port };
        wire.borrow_mut().room = usize::MAX >> 1;
        let end = End(wire.clone(), ms.clone());
        driver.welcome(now, end, origin);
        driver.follow(now);
        let planned = driver.plan(std::iter::empty());
        World { driver, wire, ms, planned }
    }

    /// Turns, until there is nothing to do at this time.
    fn turns(&mut self) {
        for n in 0.. {
            let now = self.driver.host.now();
            let event = {
                let wire = &mut *self.wire.borrow_mut();
                let closed = wire.fin || wire.reset;
                let event = Event { writable: !wire.blocked, readable: !wire.inbox.is_empty() || closed, closed };
                std::mem::take(&mut wire.edge).then_some(event)
            };
            let due = self.planned.is_some_and(|at| at <= now.mono);
            let job = self.driver.host.job.as_ref().is_some_and(|(at, _)| *at <= self.ms.get());
            if event.is_none() && !due && !job && !self.driver.has_ready() {
                break;
            }
            assert!(n < 5000, "it spins");
            self.driver.begin(now);
            if let (Some(id), Some(event)) = (self.driver.host.id, event) {
                self.driver.noted(id, event);
            }
            let clock = self.driver.serve_ready(now);
            self.driver.due(now, clock);
            self.driver.follow(now);
            self.planned = self.driver.plan(std::iter::empty());
            self.check();
        }
    }

    fn check(&self) {
        let waits_for_check = self.driver.host.job.is_some();
        for (_, conn) in self.driver.conns.iter() {
            let state = &conn.state;
            let bound =
                if state.is_link() { LINK_QUEUE.saturating_add(state.replay_quota) + 72 * 1024 } else { 2 << 20 };
            assert!(state.output.owed() <= bound, "it owes {}", state.output.owed());
            assert!(state.input.len() <= 160 * 1024, "it keeps {}", state.input.len());
            let waiting = match &state.engine {
                Engine::Http(http) => matches!(http.stage, Stage::Waiting(_)),
                Engine::Device(device) => !device.is_awaited() && !device.is_up(),
                Engine::Page(_) => !state.is_link(), // the echo, and keepalive
                Engine::Draining => false,
            };
            let due = state.deadline(&self.driver.shared.timeouts).is_some();
            let waits = due || conn.queued || (waiting && (waits_for_check || state.is_page()));
            assert!(waits, "it waits for nothing: {} {:?}", state.kind(), conn.ready);
        }
    }

    /// Time passes, and the loop wakes up for all that is due.
    fn pass(&mut self, ms: u64) {
        let until = self.ms.get() + ms;
        loop {
            self.turns();
            let now = self.driver.host.now().mono;
            let planned = self.planned.map(|at| self.ms.get() + at.since(now).as_micros().div_ceil(1000) as u64);
            let job = self.driver.host.job.as_ref().map(|(at, _)| *at);
            let next = planned.into_iter().chain(job).min().unwrap_or(until).max(self.ms.get());
            if next >= until {
                break;
            }
            self.ms.set(next);
        }
        self.ms.set(until);
        self.turns();
    }

    fn come(&mut self, bytes: &[u8], one_by_one: bool) {
        for part in bytes.chunks(if one_by_one { 1 } else { bytes.len().max(1) }) {
            {
                let mut wire = self.wire.borrow_mut();
                if wire.fin || wire.reset || wire.closed {
                    return;
                }
                wire.inbox.extend(part);
                wire.heard = self.ms.get();
                wire.edge = true;
            }
            self.turns();
        }
    }

    fn acknowledge(&mut self) {
        let mut wire = self.wire.borrow_mut();
        wire.unacknowledged = 0;
        wire.heard = self.ms.get();
    }

    fn takes(&mut self, room: usize) {
        let mut wire = self.wire.borrow_mut();
        wire.room = room;
        if room > 0 {
            wire.edge |= std::mem::take(&mut wire.blocked);
        }
    }
}

/// What is said in answer to `data`; `None` if how its bytes are cut may change it.
fn run(data: &[u8], one_by_one: bool) -> Option<Vec<u8>> {
    let (&first, mut rest) = data.split_first()?;
    let mut world = World::new(first);
    let mut exact = true;
    for _ in 0..STEPS_MAX {
        let [step, n, more @ ..] = rest else { break };
        rest = more;
        let n = usize::from(*n);
        match step % 8 {
            0..=2 => {
                let (bytes, after) = rest.split_at(rest.len().min(n + usize::from(step / 8) * 256));
                rest = after;
                world.come(bytes, one_by_one);
            }
            3 => world.pass(n as u64 * 10),
            4 => {
                // it stands still; then everything comes at once
                world.ms.set(world.ms.get() + n as u64 * 40);
                world.turns();
            }
            5 => {
                let mut wire = world.wire.borrow_mut();
                (wire.fin, wire.reset, wire.edge) = (true, wire.reset || n % 4 == 3, true);
                exact &= !wire.reset;
                drop(wire);
                world.turns();
            }
            6 => {
                exact = false;
                world.takes(n * 64);
                world.turns();
            }
            _ => {
                world.acknowledge();
                world.pass(1);
            }
        }
    }
    let said = world.wire.borrow().said.clone();
    // the peer takes all and goes: nothing of it may be left
    world.takes(usize::MAX >> 1);
    world.acknowledge();
    {
        let mut wire = world.wire.borrow_mut();
        (wire.fin, wire.edge) = (true, true);
    }
    world.pass(200_000);
    assert!(world.driver.conns.is_empty() && world.wire.borrow().closed, "it never ends");
    exact.then_some(said)
}

/// The statuses in what was said.
fn statuses(said: &[u8]) -> Vec<&[u8]> {
    said.windows(12).filter(|w| w.starts_with(b"HTTP/1.1 ")).map(|w| &w[9..]).collect()
}

/// See the module.
pub fn connection(data: &[u8]) {
    let whole = run(data, false);
    // whether `100 Continue` is said depends on whether the body has come already
    let has = |text: &[u8], word: &[u8]| text.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word));
    let Some(said) = &whole else { return };
    let is_link = has(said, b"101 Switching") || has(said, b"event-stream") || data[0] & 1 > 0;
    if !is_link && !has(data, b"expect") {
        // a refusal of half a request may say less of it, and a body that is not there yet ends the connection
        let cut = run(data, true).unwrap_or_default();
        let (whole, cut) = (statuses(said), statuses(&cut));
        assert!(whole.starts_with(&cut) && cut.is_empty() == whole.is_empty(), "byte by byte: {cut:?}, else {whole:?}");
    }
}
