//! Passwords and tokens: which are known to be right, which is checked next, and who has to wait before another one is.
//! Values only: no thread, no clock; the hashing itself is a job for the helper thread.

pub mod credentials;
pub mod penalties;
pub mod queue;

use crate::msg::PeerAddr;

/// Credentials, or a name, as remembered: a keyed hash of 128 bits.
pub type Key = [u64; 2];

/// Where somebody with a password knocks. Each door has a queue and turns of its own: a flood at one never shuts the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// People and programs, over HTTP.
    Web,
    /// Devices, by their hello.
    Devices,
}

impl Door {
    /// The word for it in the log.
    pub const fn word(self) -> &'static str {
        match self {
            Door::Web => "web",
            Door::Devices => "devices",
        }
    }
}

/// Who counts as one when turns are taken and penalties given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// An IPv4 address or an IPv6 /64.
    Network(PeerAddr),
    /// A name that is given over a unix socket: behind the proxy there all have one address, so names are told apart.
    Name(Key),
}

impl Source {
    /// The source of the name with this key from `addr`.
    pub fn of(addr: PeerAddr, name: Key) -> Source {
        match addr {
            PeerAddr::Unix => Source::Name(name),
            ip => Source::Network(ip.network()),
        }
    }
}

/// What came of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is the right password, or has to be looked at anew.
    Good,
    /// It is a wrong one.
    Bad,
    /// It was not checked: others had to come first.
    GaveWay,
}
