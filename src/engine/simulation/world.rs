//! The whole of it: the server's real driver on a simulated board, the networks, and everybody who uses them; one step at a time.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::rc::Rc;

use super::check::Checks;
use super::host::{Board, Dice, Memory, fill, seed_chance};
use super::network::{MS, Shared as Wire, Tcp};
use super::page::Page;
use super::plain::Guest;
use super::pump::Pump;
use super::server_end::ServerEnd;
use crate::auth::Door;
use crate::auth::credentials::Credentials;
use crate::config::Source;
use crate::config::users::Users;
use crate::engine::connection::Origin;
use crate::engine::driver::Driver;
use crate::engine::shared::{Random, Shared, Start};
use crate::msg::{ConnId, KernelFeatures, Moment, PeerAddr};

/// The devices' names.
pub const DEVICES: [&str; 3] = ["crane", "pump", "saw"];

const CONFIG: &str = "
www = \"/nowhere\"
[auth]
viewers = [\"vic\"]
admins = [\"admin\"]
[seats]
max = 5
reserved = 1
per_user = 3
linger = \"3s\"
plain = \"20s\"
[control]
page_after = \"2s\"
max_silence = \"7s\"
[limits]
connections = 48
per_address = 12
link_queue = \"32KiB\"
[devices]
connections = 6
";

const USERS: [&str; 6] = ["admin", "ann", "bob", "mia", "uli", "vic"];

/// The networks.
pub struct Net {
    pub clock: Rc<Cell<u64>>,
    pub wires: Vec<Wire>,
    arriving: Vec<(u64, Wire, PeerAddr, Door)>,
    dice: Dice,
    /// Nobody is cut or freezes.
    pub calm: bool,
    /// The server stalls, is slow, or sleeps now and then.
    pub unruly: bool,
}

impl Net {
    /// A connection from `from`, that is being opened.
    pub fn connect(&mut self, from: PeerAddr, door: Door) -> Wire {
        let dice = &mut self.dice;
        let latency = [100, 500, 2 * MS, 20 * MS][dice.roll(4) as usize] + dice.roll(300);
        let window = if dice.once_in(5) { 3000 } else { 64 * 1024 };
        let wire = Tcp::new(self.clock.clone(), latency, window);
        wire.borrow_mut().send_buffer = if dice.once_in(3) { 4096 } else { 64 * 1024 };
        self.wires.push(wire.clone());
        self.arriving.push((self.clock.get() + latency, wire.clone(), from, door));
        wire
    }
}

/// Everything.
pub struct World {
    pub net: Net,
    pub driver: Driver<Board>,
    pub dice: Dice,
    pub pages: Vec<Page>,
    pub pumps: Vec<Pump>,
    pub guests: Vec<Guest>,
    /// The server's connections and their networks.
    pub ids: Vec<(ConnId, Wire)>,
    planned: Option<Moment>,
    /// The server does not run until then; and whether the whole board sleeps.
    down: Option<(u64, bool)>,
    /// When stalls ended, and how long they were; sleep too.
    pub stalls: Vec<(u64, u64)>,
    /// The same of sleep alone.
    pub sleeps: Vec<(u64, u64)>,
    pub checks: Checks,
    pub turns: u64,
    idle_steps: u32,
}

fn ip(last: u8) -> PeerAddr {
    PeerAddr::Ip(IpAddr::V4(Ipv4Addr::new(192, 168, 1, last)))
}

fn users(names: &[&str]) -> Users {
    // what the hash is does not matter: the board of this simulation answers without looking at it
    let lines: String = names.iter().map(|n| format!("{n}:$5$rounds=1000$salt${}\n", "x".repeat(43))).collect();
    Users::parse(lines.as_bytes()).unwrap()
}

impl World {
    pub fn new(seed: u64) -> World {
        let mut dice = Dice(seed);
        seed_chance(dice.roll(u64::MAX));
        let (clock, slept, slow) = (Rc::new(Cell::new(0)), Rc::default(), Rc::default());
        let board = Board {
            clock: clock.clone(),
            slept,
            slow,
            watched: Vec::new(),
            job: None,
            dice: Dice(dice.roll(u64::MAX)),
        };
        let config = Rc::new(Source::check_text(Path::new("simulation.toml"), CONFIG).unwrap());
        let credentials = Credentials::new(users(&USERS), config.auth.failures);
        let features = KernelFeatures {
            control: None,
            thin: true,
            rto_max: true,
            rto_min: true,
            user_timeout: true,
            nudge: dice.once_in(2),
            info_len: 240,
        };
        let start = Start {
            config,
            credentials,
            tokens: Some(users(&DEVICES)),
            features,
            pages: Box::new(Memory::new()),
            hostname: "board".into(),
            random: Random::new(fill),
        };
        let now = board.peek();
        let shared = Shared::new(start, now);
        let driver = Driver::new(board, shared, now.mono);
        let (calm, unruly) = (seed % 3 == 0, seed % 2 == 0);
        let net = Net { clock, wires: Vec::new(), arriving: Vec::new(), dice: Dice(dice.roll(u64::MAX)), calm, unruly };
        let mut pages = Vec::new();
        for (n, user) in USERS.iter().enumerate() {
            pages.push(Page::new(user, ip(10 + n as u8), n % 3 == 2, dice.roll(5000) * MS));
        }
        pages.push(Page::new("ann", ip(30), false, dice.roll(9000) * MS));
        let pump = |(n, name): (usize, &&'static str)| Pump::new(name, ip(50 + n as u8), 1000 * n as u64);
        let pumps = DEVICES.iter().enumerate().map(pump).collect();
        let guests = (0..4).map(|n| Guest::new(USERS[n], ip(70 + n as u8), 700 * n as u64)).collect();
        World {
            net,
            driver,
            dice,
            pages,
            pumps,
            guests,
            ids: Vec::new(),
            planned: None,
            down: None,
            stalls: Vec::new(),
            sleeps: Vec::new(),
            checks: Checks::default(),
            turns: 0,
            idle_steps: 0,
        }
    }

    pub fn now(&self) -> u64 {
        self.net.clock.get()
    }

    /// How long the server did not run since then.
    pub fn stalled_since(&self, since: u64) -> u64 {
        let down = self.down.map_or(0, |_| 10_000 * MS);
        down + self.stalls.iter().filter(|(end, _)| *end > since).map(|(_, len)| len).sum::<u64>()
    }

    /// How long the board slept since then, which its monotonic clock does not count.
    pub fn slept_since(&self, since: u64) -> u64 {
        self.sleeps.iter().filter(|(end, _)| *end > since).map(|(_, len)| len).sum()
    }

    /// When the server runs next; `None`: not before something happens.
    fn wakes(&self) -> Option<u64> {
        if let Some((until, _)) = self.down {
            return Some(until);
        }
        let now = self.now();
        if self.driver.has_ready() || self.ids.iter().any(|(_, w)| w.borrow().has_event()) {
            return Some(now);
        }
        let board = &self.driver.host;
        // whole milliseconds, rounded up, as the loop sleeps
        let planned = self.planned.map(|at| now + board.real(at).saturating_sub(now).div_ceil(MS) * MS);
        let job = board.job.as_ref().map(|(at, _)| *at);
        let comes = self.net.arriving.iter().map(|(at, ..)| *at);
        planned.into_iter().chain(job).chain(comes).min()
    }

    /// To the next thing that happens, and that.
    pub fn step(&mut self) {
        let before = self.now();
        let peers = self.pages.iter().map(|p| if p.hears() { before } else { p.due() });
        let peers = peers.chain(self.pumps.iter().map(|p| if p.hears() { before } else { p.due() }));
        let peers = peers.chain(self.guests.iter().map(|g| if g.hears() { before } else { g.next }));
        let wires = self.net.wires.iter().filter_map(|w| w.borrow().next_event());
        let at = peers.chain(wires).chain(self.wakes()).min().unwrap_or(before);
        self.net.clock.set(at.max(before));
        self.idle_steps = if at > before { 0 } else { self.idle_steps + 1 };
        assert!(self.idle_steps < 3000, "it spins: {}", self.describe());

        self.net.wires.iter().for_each(|w| w.borrow_mut().pass());
        self.net.wires.retain(|w| !w.borrow().is_over());
        let now = self.now();
        let (net, dice) = (&mut self.net, &mut self.dice);
        for page in &mut self.pages {
            if page.hears() || page.due() <= now {
                page.act(now, net, dice);
            }
        }
        for pump in &mut self.pumps {
            if pump.hears() || pump.due() <= now {
                pump.act(now, net, dice);
            }
        }
        for guest in &mut self.guests {
            if guest.hears() || guest.next <= now {
                guest.act(now, net, dice);
            }
        }
        if let Some((until, sleeps)) = self.down {
            if now < until {
                return;
            }
            self.wake_up(until, sleeps);
        }
        if self.wakes().is_some_and(|at| at <= now) {
            self.turn();
            self.check();
            if self.net.unruly && self.dice.once_in(400) {
                self.fall_asleep();
            }
        }
    }

    /// The server does not run for a while.
    fn fall_asleep(&mut self) {
        let sleeps = self.dice.once_in(3);
        let long = if self.dice.once_in(5) { 9000 } else { 1500 };
        self.down = Some((self.now() + (260 + self.dice.roll(long)) * MS, sleeps));
        if self.stalls.len() > 50 {
            self.stalls.remove(0);
        }
        self.stalls.push((u64::MAX, 0));
    }

    fn wake_up(&mut self, until: u64, sleeps: bool) {
        self.down = None;
        let from = self.checks.turned;
        if let Some(last) = self.stalls.last_mut() {
            *last = (until, until - from);
        }
        if sleeps {
            let slept = &self.driver.host.slept;
            slept.set(slept.get() + (until - from));
            self.sleeps.push((until, until - from));
        }
        self.turn();
        self.check();
    }

    /// One turn of the loop, as `net::server` makes it.
    fn turn(&mut self) {
        self.turns += 1;
        let slow = if self.net.unruly && self.dice.once_in(300) { 20 * MS } else { 10 };
        self.driver.host.slow.set(slow);
        let now = crate::engine::driver::Host::now(&self.driver.host);
        self.driver.begin(now);
        for (id, wire) in &self.ids {
            let event = wire.borrow_mut().take_event();
            if let Some(event) = event {
                self.driver.noted(*id, event);
            }
        }
        let clock = self.driver.serve_ready(now);
        self.driver.new_batch();
        let real = self.now();
        let taken = |world: &World| {
            let mut arriving = world.net.arriving.iter();
            arriving.position(|&(at, .., door)| at <= real && world.driver.may_accept(now, door))
        };
        while let Some(n) = taken(self) {
            let (_, wire, peer, door) = self.net.arriving.swap_remove(n);
            let port = Some(if door == Door::Web { 8080 } else { 7070 });
            let origin = Origin { door, peer, port };
            self.driver.welcome(now, ServerEnd(wire), origin);
        }
        self.driver.due(now, clock);
        self.driver.follow(now);
        for (id, wire) in std::mem::take(&mut self.driver.host.watched) {
            wire.borrow_mut().watch();
            self.ids.push((id, wire));
        }
        let conns = &self.driver.conns;
        self.ids.retain(|(id, _)| conns.get(*id).is_some());
        self.planned = self.driver.plan(std::iter::empty());
        self.checks.turned = self.now();
        let took = self.now() - real;
        if took > 50 * MS {
            self.stalls.push((self.now(), took)); // a turn that takes long is a stall for who was due meanwhile
        }
    }

    /// What there is, for a message.
    pub fn describe(&self) -> String {
        let conns: Vec<String> = self
            .driver
            .conns
            .iter()
            .map(|(id, c)| {
                let due = c.state.deadline(&self.driver.shared.timeouts);
                format!("{id:?} {} {:?} queued={} due={due:?} {:?}", c.state.kind(), c.ready, c.queued, c.state.closing)
            })
            .collect();
        format!("at {} ms: {conns:#?}", self.now() / MS)
    }
}
