//! How many lines of the log those may cause who have no name here: whoever can reach the port could fill it otherwise,
//! and with it the card that it is on. What is left out is counted, and said in one line.
//!
//! Pure: time is a value. Never does: counting what members, devices and operators cause.

use std::time::Duration;

use crate::msg::{Moment, PeerAddr};

/// The ration is for so long.
pub const PERIOD: Duration = Duration::from_secs(60);

/// Lines from one address, or one IPv6 /64.
pub const FROM_ONE: u32 = 30;

/// Lines from all of them.
pub const FROM_ALL: u32 = 120;

/// Networks that are told apart in one period; those beyond have only what is left for all.
const NETWORKS_MAX: usize = 64;

/// The lines of one period.
#[derive(Debug, Default)]
pub struct Ration {
    /// The end of the period, if one has begun.
    ends: Option<Moment>,
    lines: u32,
    left_out: u32,
    networks: Vec<Network>,
    /// Of all periods.
    total: u64,
}

#[derive(Debug)]
struct Network {
    of: PeerAddr,
    lines: u32,
    left_out: u32,
}

/// What a period has left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// Lines.
    pub lines: u32,
    /// Networks of which some were left out; of those that are told apart.
    pub networks: usize,
    /// The one of which most were left out, and how many.
    pub most: Option<(PeerAddr, u32)>,
}

impl Ration {
    /// Whether a line that `peer` has caused is in the ration. Behind a unix socket everybody has the same address: there is
    /// the ration for all only.
    pub fn takes(&mut self, now: Moment, peer: PeerAddr) -> bool {
        if self.left_out == 0 && self.ends.is_none_or(|at| at <= now) {
            *self = Ration { ends: Some(now + PERIOD), total: self.total, ..Ration::default() };
        }
        let of = peer.network();
        let known = self.networks.iter().position(|n| n.of == of);
        let at = known.or_else(|| {
            let room = self.networks.len() < NETWORKS_MAX;
            room.then(|| self.networks.push(Network { of, lines: 0, left_out: 0 }));
            room.then(|| self.networks.len() - 1)
        });
        let network = at.and_then(|at| self.networks.get_mut(at));
        let many = of != PeerAddr::Unix && network.as_ref().is_some_and(|n| n.lines >= FROM_ONE);
        let takes = self.lines < FROM_ALL && !many;
        let one = |n: &mut u32| *n = n.saturating_add(1);
        if takes {
            one(&mut self.lines);
        } else {
            one(&mut self.left_out);
            self.total += 1;
        }
        if let Some(network) = network {
            one(if takes { &mut network.lines } else { &mut network.left_out });
        }
        takes
    }

    /// When there is something to say; `None`: nothing was left out.
    pub fn due(&self) -> Option<Moment> {
        self.ends.filter(|_| self.left_out > 0)
    }

    /// What the period has left out, once it is over.
    pub fn over(&mut self, now: Moment) -> Option<LeftOut> {
        self.due().filter(|at| *at <= now)?;
        let some = || self.networks.iter().filter(|n| n.left_out > 0);
        let most = some().max_by_key(|n| n.left_out).map(|n| (n.of, n.left_out));
        let said = LeftOut { lines: self.left_out, networks: some().count(), most };
        *self = Ration { total: self.total, ..Ration::default() };
        Some(said)
    }

    /// Lines that were left out since the start.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn peer(ip: &str) -> PeerAddr {
        PeerAddr::canonical(ip.parse().unwrap())
    }

    #[test]
    fn one_address_has_its_ration_and_leaves_that_of_others() {
        let mut ration = Ration::default();
        let taken = (0..100).filter(|_| ration.takes(at(1), peer("10.0.0.1"))).count();
        assert_eq!(taken, 30);
        assert!(ration.takes(at(2), peer("::ffff:10.0.0.2")));
        assert_eq!((ration.due(), ration.total()), (Some(at(61)), 70));
        assert_eq!(ration.over(at(60)), None);
        assert!(!ration.takes(at(62), peer("10.0.0.1")), "what is left out is said first");
        let most = Some((peer("10.0.0.1"), 71));
        assert_eq!(ration.over(at(62)), Some(LeftOut { lines: 71, networks: 1, most }));
        assert_eq!((ration.due(), ration.total()), (None, 71));
        assert!(ration.takes(at(62), peer("10.0.0.1")));
    }

    #[test]
    fn a_network_of_ipv6_is_one_and_a_unix_socket_is_many() {
        let mut ration = Ration::default();
        let taken = (0..90).filter(|n| ration.takes(at(1), peer(&format!("2001:db8::{n:x}")))).count();
        assert_eq!(taken, 30);
        assert!(ration.takes(at(1), peer("2001:db8:0:1::1")));
        let taken = (0..100).filter(|_| ration.takes(at(1), PeerAddr::Unix)).count();
        assert_eq!(taken, 89, "all that is left");
    }

    #[test]
    fn many_addresses_have_one_ration_together_and_the_memory_has_a_bound() {
        let mut ration = Ration::default();
        let from = |n: u32| PeerAddr::canonical(std::net::Ipv4Addr::from_bits(n).into());
        assert_eq!((0..100_000).filter(|n| ration.takes(at(1), from(*n))).count(), 120);
        assert!(ration.networks.len() <= NETWORKS_MAX);
        let said = ration.over(at(100)).unwrap();
        assert_eq!((said.lines, ration.networks.capacity()), (99_880, 0));
    }

    #[test]
    fn a_period_in_which_nothing_was_left_out_ends_in_silence() {
        let mut ration = Ration::default();
        for minute in 0..5 {
            assert!((0..30).all(|_| ration.takes(at(minute * 60), peer("10.0.0.1"))));
            assert_eq!((ration.due(), ration.over(at(minute * 60 + 60))), (None, None));
        }
    }
}
