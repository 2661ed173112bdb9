//! What every connection shares: the hub, the routes' site, the pages, whose password is next, chance, settings.

use std::rc::Rc;
use std::time::Duration;

use crate::auth::Door;
use crate::auth::credentials::{Credentials, Job};
use crate::auth::queue::{Check, Queue};
use crate::config::users::Users;
use crate::config::{Config, Seats};
use crate::diag::ration::Ration;
use crate::engine::devices::Devices;
use crate::engine::pages::Pages;
use crate::http::request::HeadLimits;
use crate::http::response::{HttpDate, http_date};
use crate::hub::{self, Hub, Seed, Settings};
use crate::ledger::Ledger;
use crate::liveness::Rules;
use crate::metrics::Metrics;
use crate::msg::{ConnId, Effects, Epoch, KernelFeatures, Now, Times};
use crate::routes::reply::{Load, Site, cookie_name};

/// One connection at the moment at which something happens on it.
pub struct Cx<'a> {
    /// The time.
    pub now: Now,
    /// Its name.
    pub id: ConnId,
    /// What it shares with all others.
    pub shared: &'a mut Shared,
}

impl Cx<'_> {
    /// Tells the hub what has happened.
    pub fn tell_hub(&mut self, input: hub::Input) {
        self.shared.tell_hub(self.now, input);
    }
}

/// The limits in time that a connection without a link lives under (`[limits]`).
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a whole head, and for a new connection's first byte.
    pub header: Duration,
    /// For a whole body.
    pub body: Duration,
    /// For the next request.
    pub keep_alive: Duration,
    /// For a byte of a response to be taken.
    pub send: Duration,
}

/// What there is at the start.
pub struct Start {
    /// The settings.
    pub config: Rc<Config>,
    /// The users.
    pub credentials: Credentials,
    /// The tokens of devices; `None` without a file.
    pub tokens: Option<Users>,
    /// What the kernel can do.
    pub features: KernelFeatures,
    /// The pages.
    pub pages: Box<dyn Pages>,
    /// The machine's own name.
    pub hostname: String,
    /// Chance.
    pub random: Random,
}

/// Shared by all connections.
pub struct Shared {
    /// Who is here.
    pub hub: Hub,
    /// What the hub wants done.
    pub fx: Effects,
    /// Settings, users, counters.
    pub site: Site,
    /// The files.
    pub pages: Box<dyn Pages>,
    /// Whose password is being checked, and whose are next.
    pub checks: Queue<Box<Job>>,
    /// What the kernel can do for liveness.
    pub features: KernelFeatures,
    /// The times of new links.
    pub times: Times,
    /// The rules that follow.
    pub rules: Rc<Rules>,
    /// Limits in time.
    pub timeouts: Timeouts,
    /// Limits of heads.
    pub heads: HeadLimits,
    /// What devices' connections share.
    pub devices: Devices,
    /// How busy we are.
    pub load: Load,
    /// The connection that was just served has become a link: its socket is to be set up with these times.
    pub prepare: Option<Times>,
    /// The buffer of an answer that has gone, for the next one; may be in use.
    pub spare: Vec<u8>,
    /// Scratch: header lines beside those of the answer itself.
    pub extra: Vec<u8>,
    /// The port and the cookie that the line in [`Shared::extra`] is for.
    pub extra_for: Option<(Option<u16>, [u8; 16])>,
    /// The newest beat as encoded for each kind of link: kind, number, bytes. As many as there are kinds.
    pub beats: Vec<(&'static str, u64, Rc<[u8]>)>,
    /// The session cookie's name on the listener of the last answer that set one.
    cookie_name: (Option<u16>, String),
    random: Random,
    date: (u64, HttpDate),
}

impl Shared {
    /// All of it, at `now`.
    pub fn new(start: Start, now: Now) -> Shared {
        let Start { config, credentials, tokens, features, pages, hostname, mut random } = start;
        let seed = Seed { epoch: Epoch::from_random(random.u64()), beat_base: random.u64(), names: random.u64() };
        let times = config.liveness.times();
        Shared {
            devices: Devices::new(&config, tokens, &features),
            hub: Hub::new(settings(&config, credentials.users().len()), seed, now),
            fx: Effects::new(),
            pages,
            checks: Queue::default(),
            rules: Rc::new(Rules::new(&times, features.rto_max, features.nudge)),
            features,
            times,
            timeouts: timeouts(&config),
            heads: HeadLimits { bytes: config.limits.header_bytes, headers: config.limits.headers },
            load: Load::default(),
            prepare: None,
            spare: Vec::new(),
            extra: Vec::new(),
            extra_for: None,
            beats: Vec::new(),
            cookie_name: (None, cookie_name(None)),
            random,
            date: (0, http_date(0)),
            site: Site {
                ledger: Ledger::new(&config),
                config,
                credentials,
                metrics: Metrics::default(),
                ration: Ration::default(),
                hostname: hostname.to_ascii_lowercase(),
                remarked: None,
                started: now,
                secret: None,
            },
        }
    }

    /// Takes new settings: everything that does not belong to a connection that is already there.
    pub fn reload(&mut self, config: Rc<Config>, pages: Box<dyn Pages>) {
        self.pages = pages;
        self.times = config.liveness.times();
        self.rules = Rc::new(Rules::new(&self.times, self.features.rto_max, self.features.nudge));
        self.timeouts = timeouts(&config);
        self.site.ledger.resize(&config);
        self.heads = HeadLimits { bytes: config.limits.header_bytes, headers: config.limits.headers };
        self.site.config = config;
    }

    /// Tells the hub what has happened; what it wants done about that is in [`Shared::fx`] then.
    pub fn tell_hub(&mut self, now: Now, input: hub::Input) {
        self.hub.handle(now, input, &mut self.fx);
    }

    /// Who keeps the passwords of this door; nobody where devices come without tokens.
    pub fn credentials(&mut self, door: Door) -> Option<&mut Credentials> {
        match door {
            Door::Web => Some(&mut self.site.credentials),
            Door::Devices => self.devices.credentials.as_mut(),
        }
    }

    /// Lets `conn` wait for a check; equal credentials are checked once. Whether there is a place for it.
    pub fn ask(&mut self, door: Door, now: Now, job: Box<Job>, conn: ConnId) -> bool {
        if self.checks.join(door, &job.key, conn) {
            return true;
        }
        if let Some(credentials) = self.credentials(door) {
            credentials.asking(now.mono, &job);
        }
        let (key, source, known, wrong) = (job.key, job.source, job.known, job.wrong);
        let check = Check { job, key, source, known, wrong, waiting: vec![conn] };
        let Err(check) = self.checks.push(door, check) else { return true };
        if let Some(credentials) = self.credentials(door) {
            credentials.not_asked(now.mono, &check.job);
        }
        self.site.metrics.passwords_refused += 1;
        false
    }

    /// The date of now as HTTP writes it; made once a second.
    pub fn date(&mut self, now: Now) -> HttpDate {
        let second = now.wall_ms / 1000;
        if self.date.0 != second {
            self.date = (second, http_date(second));
        }
        self.date.1
    }

    /// The name of the session cookie on the listener at `port`; made anew only when another one asks.
    pub fn cookie_name(&mut self, port: Option<u16>) -> &str {
        if self.cookie_name.0 != port {
            self.cookie_name = (port, cookie_name(port));
        }
        &self.cookie_name.1
    }

    /// The parts that a handler sees, borrowed apart.
    pub fn parts(&mut self) -> (&mut Site, &mut Hub, &mut Effects, &mut Random) {
        (&mut self.site, &mut self.hub, &mut self.fx, &mut self.random)
    }

    /// A phase for a connection's heartbeats.
    pub fn phase(&mut self) -> u32 {
        self.random.u64() as u32
    }
}

/// The hub's settings by `config`, where the users file has `users` of them.
pub fn settings(config: &Config, users: usize) -> Settings {
    let reserved = if config.has_admins() { config.seats.reserved } else { 0 };
    Settings {
        seats: Seats { reserved, per_user: config.seats.of_one_user(users), ..config.seats.clone() },
        lifetime: config.auth.lifetime,
        page_after: config.liveness.page_after,
        returned_within: config.liveness.returned_within,
        beat: config.liveness.beat(),
        chat: config.chat.clone(),
        control: config.control.clone(),
        silent_after: config.devices.silent_after,
        device_bytes: hub::bytes_of_all(config.devices.connections),
    }
}

fn timeouts(config: &Config) -> Timeouts {
    let l = &config.limits;
    Timeouts { header: l.header_timeout, body: l.body_timeout, keep_alive: l.keep_alive, send: l.send_timeout }
}

/// Secret random bytes, fetched from the kernel some at a time so that a request costs no call of its own.
pub struct Random {
    /// Fills all of it with random bytes. There is no second answer: without randomness there are no secrets.
    fill: fn(&mut [u8]),
    pool: Vec<u8>,
}

impl Random {
    const AT_ONCE: usize = 256;

    /// Bytes come from `fill`.
    pub fn new(fill: fn(&mut [u8])) -> Random {
        Random { fill, pool: Vec::new() }
    }

    /// Sixteen bytes.
    pub fn bytes(&mut self) -> [u8; 16] {
        if self.pool.len() < 16 {
            self.pool.resize(Self::AT_ONCE, 0);
            (self.fill)(&mut self.pool);
        }
        let rest = self.pool.split_off(self.pool.len() - 16);
        let mut out = [0; 16];
        out.copy_from_slice(&rest);
        out
    }

    fn u64(&mut self) -> u64 {
        let b = self.bytes();
        u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])
    }
}
