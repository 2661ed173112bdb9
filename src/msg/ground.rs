//! Time and names: when something is, who and what is meant.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::{Add, Sub};
use std::rc::Rc;
use std::time::Duration;

// ---------------------------------------------------------------------------------------------------- time

/// A point on the monotonic clock, in microseconds since some fixed start (on the board: CLOCK_MONOTONIC,
/// clock_gettime(2)). Unlike `std::time::Instant` it can be written down, so tests need no clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Moment(u64);

impl Moment {
    /// `micros` microseconds after the clock's start.
    pub const fn from_micros(micros: u64) -> Self {
        Moment(micros)
    }

    /// `millis` milliseconds after the clock's start.
    pub const fn from_millis(millis: u64) -> Self {
        Moment(millis * 1000)
    }

    /// Microseconds since the clock's start.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A whole number of tenths, hundredths or thousandths, written as a decimal fraction without zeros at its end: `2500` with 3
/// places is `2.5`. What writes floating-point numbers is 9 kB, and nothing that is written here needs it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decimal {
    /// The number without its point.
    pub digits: u64,
    /// How many of its digits stand behind the point; at most 9.
    pub places: u32,
}

impl Decimal {
    /// A time in seconds with so many places, rounded down.
    pub fn seconds(time: Duration, places: u32) -> Decimal {
        let digits = time.as_nanos() / 10u128.pow(9u32.saturating_sub(places));
        Decimal { digits: u64::try_from(digits).unwrap_or(u64::MAX), places }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut places, mut rest) = (self.places as usize, self.digits % 10u64.pow(self.places));
        write!(f, "{}", self.digits / 10u64.pow(self.places))?;
        if rest == 0 {
            return Ok(());
        }
        while rest % 10 == 0 {
            (rest, places) = (rest / 10, places - 1);
        }
        write!(f, ".{rest:0places$}")
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, d: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;
    fn sub(self, d: Duration) -> Moment {
        Moment(self.0.saturating_sub(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// This turn's clocks, read once a turn and handed to everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// For deadlines and durations.
    pub mono: Moment,
    /// For people: milliseconds since 1970 (UTC). Boards boot in 1970 and jump: never used for a deadline.
    pub wall_ms: u64,
}

// --------------------------------------------------------------------------------------------------- names

/// Whose doing something is, where bounds and rations are each one's own.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Party {
    /// A user, in all sessions together.
    User(Rc<str>),
    /// A welcomed device.
    Device(Rc<str>),
    /// A peer without a name, by its address or IPv6 /64.
    Network(PeerAddr),
}

/// One connection: slot in the table and the generation of that slot, so that a stale id finds nothing.
/// 32 bits, to fit mio's `Token` on 32-bit ARM.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u32);

impl ConnId {
    /// The id of `slot` in its `generation`.
    pub const fn new(slot: u16, generation: u16) -> Self {
        ConnId(((generation as u32) << 16) | slot as u32)
    }

    /// From [`ConnId::raw`].
    pub const fn from_raw(raw: u32) -> Self {
        ConnId(raw)
    }

    /// As one number, for the poller's token.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Place in the table.
    pub const fn slot(self) -> u16 {
        self.0 as u16
    }

    /// How often that place has been given out (modulo 65536).
    pub const fn generation(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}.{}", self.slot(), self.generation())
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot(), self.generation())
    }
}

/// The public name of a session: eight hexadecimal digits. Never the cookie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{:08x}", self.0)
    }
}

impl std::str::FromStr for SessionId {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        if s.len() != 8 || s.bytes().any(|b| !b.is_ascii_hexdigit() || b.is_ascii_uppercase()) {
            return Err(());
        }
        u32::from_str_radix(s, 16).map(SessionId).map_err(|_| ())
    }
}

/// The name of one run's event log: lower-case letters and digits, drawn at random at start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Epoch([u8; Epoch::LEN]);

impl Epoch {
    /// Characters of a name: 36^6 names, so that two runs of one board do not share one.
    pub const LEN: usize = 6;

    /// A name from random bytes.
    pub fn from_random(random: u64) -> Self {
        let mut left = random;
        Epoch(std::array::from_fn(|_| {
            let digit = (left % 36) as u8;
            left /= 36;
            if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
        }))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The name of a logged event: `EPOCH-SEQ`. SEQ grows by one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventId {
    /// The log it is in.
    pub epoch: Epoch,
    /// Its number there, from 1; 0 names the place before the first event.
    pub seq: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch.as_str(), self.seq)
    }
}

/// Where a peer comes from: its address in canonical form (an IPv4-mapped IPv6 address is the IPv4 one), or a
/// unix socket, where every peer is the same local one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PeerAddr {
    /// Over TCP.
    Ip(IpAddr),
    /// Over a unix socket.
    Unix,
}

impl PeerAddr {
    /// The canonical form of `ip`.
    pub fn canonical(ip: IpAddr) -> Self {
        PeerAddr::Ip(ip.to_canonical())
    }

    /// Whether it is this very machine: loopback or a unix socket.
    pub fn is_local(self) -> bool {
        match self {
            PeerAddr::Ip(ip) => ip.is_loopback(),
            PeerAddr::Unix => true,
        }
    }

    /// Whether its address is one of 2^64 that a host with one of them can use: IPv6, and not this machine.
    pub fn has_network(self) -> bool {
        matches!(self, PeerAddr::Ip(IpAddr::V6(ip)) if !ip.is_loopback())
    }

    /// The whole that is counted as one: the IPv6 /64 by its first address, every other peer as it is.
    pub fn network(self) -> PeerAddr {
        match self {
            PeerAddr::Ip(IpAddr::V6(ip)) if self.has_network() => {
                PeerAddr::Ip(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)))
            }
            other => other,
        }
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddr::Ip(ip) => ip.fmt(f),
            PeerAddr::Unix => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_written_without_zeros_at_its_end() {
        for (digits, places, text) in [
            (0, 1, "0"),
            (5, 1, "0.5"),
            (250, 3, "0.25"),
            (3000, 3, "3"),
            (12_040, 2, "120.4"),
            (1, 3, "0.001"),
            (7, 0, "7"),
        ] {
            assert_eq!(Decimal { digits, places }.to_string(), text);
        }
        assert_eq!(Decimal::seconds(Duration::from_millis(2857), 2).to_string(), "2.85");
    }
}
