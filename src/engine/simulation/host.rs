//! What the driver runs on here: a clock that a test sets, password checks that take as long as the seed says, pages in memory.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::network::MS;
use super::server_end::ServerEnd;
use crate::auth::credentials::{Job, Outcome};
use crate::engine::driver::Host;
use crate::engine::pages::{Body, Pages, Served};
use crate::http::request::Request;
use crate::http::response::{Envelope, Full, HTML, end_head, push_body_fields, start_head};
use crate::msg::{ConnId, Moment, Now};

/// SplitMix64 (Steele, Lea, Flood 2014): the same steps for the same seed everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides.max(1)
    }

    /// Once in `n`.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len() as u64) as usize]
    }
}

thread_local! {
    static CHANCE: RefCell<Dice> = const { RefCell::new(Dice(0)) };
}

/// Where the engine's chance begins.
pub fn seed_chance(seed: u64) {
    CHANCE.with_borrow_mut(|dice| dice.0 = seed);
}

/// The engine's chance.
pub fn fill(bytes: &mut [u8]) {
    CHANCE.with_borrow_mut(|dice| bytes.iter_mut().for_each(|b| *b = dice.roll(256) as u8));
}

/// The board: its clocks and its helper.
pub struct Board {
    /// Real time, in microseconds.
    pub clock: Rc<Cell<u64>>,
    /// How much of it the board has slept.
    pub slept: Rc<Cell<u64>>,
    /// What each reading of the clock takes, in microseconds: how slow the server is in this turn.
    pub slow: Rc<Cell<u64>>,
    /// The sockets of connections that were registered in this turn.
    pub watched: Vec<(ConnId, super::network::Shared)>,
    /// The check under way, and when it is done.
    pub job: Option<(u64, Box<Job>)>,
    pub dice: Dice,
}

/// The monotonic clock at the beginning.
const HEAD_START: u64 = 3_600_000 * MS;

impl Board {
    /// The server's clocks without letting time pass.
    pub fn peek(&self) -> Now {
        let mono = HEAD_START + self.clock.get() - self.slept.get();
        Now { mono: Moment::from_micros(mono), wall_ms: 1_700_000_000_000 + self.clock.get() / MS }
    }

    /// Real time at a moment of the server's, if it does not sleep until then.
    pub fn real(&self, at: Moment) -> u64 {
        (at.micros() + self.slept.get()).saturating_sub(HEAD_START)
    }
}

impl Host for Board {
    type Socket = ServerEnd;

    fn now(&self) -> Now {
        self.clock.set(self.clock.get() + self.slow.get());
        self.peek()
    }

    fn asleep(&self) -> Duration {
        Duration::from_micros(self.slept.get())
    }

    fn watch(&mut self, id: ConnId, socket: &ServerEnd) -> io::Result<()> {
        self.watched.push((id, socket.0.clone()));
        Ok(())
    }

    fn check(&mut self, job: Box<Job>) -> Result<(), Box<Job>> {
        assert!(self.job.is_none(), "one at a time");
        self.job = Some((self.clock.get() + (20 + self.dice.roll(200)) * MS, job));
        Ok(())
    }

    fn checked(&mut self) -> Option<Outcome> {
        let (_, job) = self.job.take_if(|(at, _)| *at <= self.clock.get())?;
        // nobody hashes anything here: who says `pw-` and the own name is right
        let good = job.exists && job.password.strip_prefix(b"pw-") == Some(job.user.as_bytes());
        let Job { key, generation, source, name, user, .. } = *job;
        Some(Outcome { key, generation, source, name, user, good })
    }
}

/// A page, a large file, and nothing else.
pub struct Memory {
    big: Rc<[u8]>,
}

impl Memory {
    pub fn new() -> Memory {
        Memory { big: vec![b'x'; 300_000].into() }
    }
}

impl Pages for Memory {
    fn serve(&mut self, _now: Now, request: &Request<'_>, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Served {
        let (status, len) = match request.path {
            "/" => (200, 20),
            "/big" => (200, self.big.len()),
            _ => (404, 3),
        };
        start_head(out, status, envelope);
        push_body_fields(out, HTML, len as u64);
        end_head(out);
        let body = match (envelope.is_head, status) {
            (true, _) => Body::None,
            (_, 200) => Body::Shared(self.big.clone(), 0..len),
            _ => Body::Static(b"no\n"),
        };
        Served { status, html: status == 200 && len == 20, body }
    }

    fn dress(&mut self, _now: Now, _full: &mut Full) {}
}
