//! The settings: one plain value, read and checked once, handed to everybody.
//!
//! Field names are the names in the file (docs/settings.md). A new setting is one field here with its doc comment and
//! its default, and one row in `schema.rs`; the environment, the complaints and the completeness test follow from that.
//!
//! Never does: reading a clock or the environment by itself; what settings name on the machine is asked of a [`Machine`].

mod check;
mod liveness;
mod mistake;
mod read;
mod reload;
mod schema;
mod source;
pub mod text;
mod units;
pub mod users;

pub use liveness::{BEAT, LivenessValues, Profile};
pub use mistake::{Mistake, Place};
pub use read::{Environment, Options};
pub use reload::take_up;
pub use source::{Loaded, Machine, Source};
pub use units::{AddrRange, ListenAddr, Rate, duration as parse_duration};

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::msg::{PeerAddr, Role};

/// The shortest time after which silence of a page may count: two beats and a second, so that one late beat is not yet
/// a verdict.
pub const PAGE_FLOOR: Duration = Duration::from_secs(2);

/// The port of a start without any setting.
pub const DEFAULT_PORT: u16 = 8080;

/// The name no user may have: `GET /api/logout` uses it to make a browser forget its password.
pub const LOGOUT: &str = "logout";

/// Connections that are kept for sessions with a seat, out of `limits.connections`.
pub const KEPT_FOR_SEATED: u32 = 16;

/// Everything that can be set.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Where to listen; empty: [`Config::default_listen`].
    pub listen: Vec<ListenAddr>,
    /// Folder of the pages; `None`: the built-in ones.
    pub www: Option<PathBuf>,
    /// Content types by extension (in lower case), beside the built-in ones, which they win over.
    pub types: Vec<(String, String)>,
    /// Further host names to answer to, in lower case.
    pub hosts: Vec<String>,
    /// User to become after binding, when started as root.
    pub user: Option<String>,
    /// How long links may take to empty their queues when the server stops.
    pub drain: Duration,
    /// Who may come in.
    pub auth: Auth,
    /// How many at a time.
    pub seats: Seats,
    /// How soon somebody counts as vanished.
    pub liveness: LivenessValues,
    /// Who may command a device, and for how long.
    pub control: Control,
    /// What people say.
    pub chat: Chat,
    /// Device lines.
    pub devices: Devices,
    /// Bounds on what peers may take.
    pub limits: Limits,
    /// What is logged.
    pub log: Log,
    /// For tests of conformance.
    pub debug: Debug,
}

/// `[auth]`
#[derive(Clone, PartialEq, Debug)]
pub struct Auth {
    /// Name of the protected space, shown by browsers: printable ASCII without quote or backslash.
    pub realm: String,
    /// htpasswd file; `None`: one user with a one-time password.
    pub users: Option<PathBuf>,
    /// Users who may take control; `*` is everybody.
    pub operators: Vec<String>,
    /// Users who may look and chat only; wins over `operators`.
    pub viewers: Vec<String>,
    /// Users who may also evict and force.
    pub admins: Vec<String>,
    /// Wrong passwords a minute from one address for one user before 429; see [`crate::auth::penalties`] for the address as a whole.
    pub failures: u32,
    /// Paths without 401: exact, or a prefix that ends in `/`.
    pub open: Vec<String>,
    /// Life of a session since it was last used.
    pub lifetime: Duration,
}

/// `[seats]`
#[derive(Clone, PartialEq, Debug)]
pub struct Seats {
    /// Seats in all.
    pub max: u16,
    /// Sessions with a seat one user may have; 0: see [`Seats::of_one_user`].
    pub per_user: u16,
    /// Seats of `max` kept for admins, if there are admins; below `max`.
    pub reserved: u16,
    /// How long a seat waits after its last link closed in order.
    pub linger: Duration,
    /// How long a session without a link keeps its seat after its last request.
    pub plain: Duration,
    /// Evict a session that did nothing for so long; zero: never.
    pub idle: Duration,
    /// Addresses that may come at all; empty: all. See [`Seats::allows`].
    pub allow: Vec<AddrRange>,
}

/// `[control]`
#[derive(Clone, PartialEq, Debug)]
pub struct Control {
    /// Silence of the holder's page that ends control.
    pub page_after: Duration,
    /// ... and at latest so long after its newest answered beat.
    pub max_silence: Duration,
    /// Longest lease of a holder without a page.
    pub lease_max: Duration,
    /// A command that names an older beat is stale.
    pub command_age: Duration,
    /// A command not answered so long is answered `unknown`.
    pub answer_after: Duration,
}

/// `[chat]`
#[derive(Clone, PartialEq, Debug)]
pub struct Chat {
    /// Chat, command and control events kept for replay; as many of the others beside them.
    pub history: usize,
    /// Characters of one text.
    pub text_max: usize,
    /// Texts per session.
    pub rate: Rate,
}

/// `[devices]`
#[derive(Clone, PartialEq, Debug)]
pub struct Devices {
    /// Where devices connect; empty: nowhere.
    pub listen: Vec<ListenAddr>,
    /// File of `NAME:hash` lines; `None`: only local devices, without a token.
    pub tokens: Option<PathBuf>,
    /// Liveness of device links.
    pub profile: Profile,
    /// Connections of devices, beside `limits.connections`.
    pub connections: u32,
    /// No line from a device for so long: `down`, reason `silent`.
    pub silent_after: Duration,
}

/// `[limits]`
#[derive(Clone, PartialEq, Debug)]
pub struct Limits {
    /// Connections of all listeners together; [`KEPT_FOR_SEATED`] of them are kept for sessions with a seat.
    pub connections: u32,
    /// Connections from one address.
    pub per_address: u32,
    /// Bytes of a request head.
    pub header_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// For the whole request head, from the first byte; also for a new connection that sends nothing.
    pub header_timeout: Duration,
    /// For the whole request body.
    pub body_timeout: Duration,
    /// For an idle HTTP connection.
    pub keep_alive: Duration,
    /// For a response of which the peer takes no byte.
    pub send_timeout: Duration,
    /// Bytes that a link may owe.
    pub link_queue: usize,
}

/// `[log]`
#[derive(Clone, PartialEq, Debug)]
pub struct Log {
    /// What is logged; `RUST_LOG` overrides.
    pub level: log::LevelFilter,
}

/// `[debug]`
#[derive(Clone, PartialEq, Debug)]
pub struct Debug {
    /// A WebSocket at `/api/echo`.
    pub echo: bool,
}

impl Default for Config {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Config {
            listen: Vec::new(),
            www: None,
            types: Vec::new(),
            hosts: Vec::new(),
            user: None,
            drain: secs(2),
            auth: Auth {
                realm: "boatswain".into(),
                users: None,
                operators: vec!["*".into()],
                viewers: Vec::new(),
                admins: Vec::new(),
                failures: 5,
                open: vec!["/healthz".into()],
                lifetime: secs(12 * 3600),
            },
            seats: Seats {
                max: 10,
                per_user: 0,
                reserved: 1,
                linger: secs(3),
                plain: secs(60),
                idle: Duration::ZERO,
                allow: Vec::new(),
            },
            liveness: Profile::Standard.values(),
            control: Control {
                page_after: secs(3),
                max_silence: secs(5),
                lease_max: secs(60),
                command_age: secs(2),
                answer_after: secs(30),
            },
            chat: Chat { history: 500, text_max: 2000, rate: Rate { count: 5, per: secs(1) } },
            devices: Devices {
                listen: Vec::new(),
                tokens: None,
                profile: Profile::Standard,
                connections: 64,
                silent_after: secs(5),
            },
            limits: Limits {
                connections: 256,
                per_address: 64,
                header_bytes: 16 << 10,
                headers: 100,
                body_bytes: 64 << 10,
                header_timeout: secs(10),
                body_timeout: secs(20),
                keep_alive: secs(75),
                send_timeout: secs(30),
                link_queue: 256 << 10,
            },
            log: Log { level: log::LevelFilter::Info },
            debug: Debug { echo: false },
        }
    }
}

impl Config {
    /// Where to listen when nothing is set: port 8080 on every address; the caller knows whether this machine has IPv6.
    pub fn default_listen(ipv6: bool) -> Vec<ListenAddr> {
        let mut all = vec![ListenAddr::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)))];
        if ipv6 {
            all.push(ListenAddr::Tcp(SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT))));
        }
        all
    }

    /// What `user` may do. `viewers` wins; a name in no list is a viewer; `*` in a list is everybody.
    pub fn role_of(&self, user: &str) -> Role {
        let auth = &self.auth;
        if names(&auth.viewers, user) {
            Role::Viewer
        } else if names(&auth.admins, user) {
            Role::Admin
        } else if names(&auth.operators, user) {
            Role::Operator
        } else {
            Role::Viewer
        }
    }

    /// Whether anybody is an admin; without one no seat is kept back.
    pub fn has_admins(&self) -> bool {
        !self.auth.admins.is_empty()
    }
}

impl Seats {
    /// Seats that one user may have, where the users file has `users` of them; 0: no limit. Unless it is set, nobody but
    /// the only user may fill the house.
    pub fn of_one_user(&self, users: usize) -> u16 {
        match self.per_user {
            0 if users <= 1 => 0,
            0 => (self.max / 2).max(2),
            set => set,
        }
    }

    /// Whether somebody from `peer` may come at all. Loopback and unix peers always may, lest a wrong range lock out
    /// the operator who has to put it right.
    pub fn allows(&self, peer: PeerAddr) -> bool {
        self.allow.is_empty() || peer.is_local() || self.allow.iter().any(|range| range.contains(peer))
    }
}

impl Auth {
    /// Whether `path` (decoded, normalised) is served without 401.
    pub fn is_open(&self, path: &str) -> bool {
        self.open.iter().any(|open| path == open || (open.ends_with('/') && path.starts_with(open.as_str())))
    }
}

fn names(list: &[String], user: &str) -> bool {
    list.iter().any(|name| name == "*" || name == user)
}

#[cfg(test)]
mod tests;
