//! How many connections there are from where, so that nobody takes everybody's.
//!
//! Whoever has one IPv6 address has 2^64 of them, and in a network of one's own all people share these: so the addresses
//! of one /64 are counted together too, against a limit of their own that is far higher.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use crate::msg::PeerAddr;

/// Open connections, by address and by network.
#[derive(Debug, Default)]
pub struct Crowd {
    addresses: HashMap<PeerAddr, u32>,
    /// By the first 64 bits.
    networks: HashMap<u64, u32>,
}

/// How many others were there when one more came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Others {
    /// From the same address.
    pub at_address: u32,
    /// From the same IPv6 /64; 0 with IPv4, and on this machine.
    pub in_network: u32,
}

impl Crowd {
    /// One more from `peer`.
    pub fn enter(&mut self, peer: PeerAddr) -> Others {
        Others {
            at_address: more(&mut self.addresses, peer),
            in_network: network(peer).map_or(0, |network| more(&mut self.networks, network)),
        }
    }

    /// One less.
    pub fn leave(&mut self, peer: PeerAddr) {
        less(&mut self.addresses, peer);
        if let Some(network) = network(peer) {
            less(&mut self.networks, network);
        }
    }
}

fn network(peer: PeerAddr) -> Option<u64> {
    match peer {
        PeerAddr::Ip(IpAddr::V6(ip)) if !ip.is_loopback() => Some((ip.to_bits() >> 64) as u64),
        _ => None,
    }
}

fn more<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: K) -> u32 {
    let count = counts.entry(key).or_insert(0);
    *count += 1;
    *count - 1
}

fn less<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(crowd: &mut Crowd, ip: &str) -> (u32, u32) {
        let others = crowd.enter(PeerAddr::canonical(ip.parse().unwrap()));
        (others.at_address, others.in_network)
    }

    #[test]
    fn addresses_of_one_64_are_counted_together_too_and_others_are_not() {
        let mut crowd = Crowd::default();
        assert_eq!(enter(&mut crowd, "fd00::1"), (0, 0));
        assert_eq!(enter(&mut crowd, "fd00::2"), (0, 1));
        assert_eq!(enter(&mut crowd, "fd00::1"), (1, 2));
        assert_eq!(enter(&mut crowd, "fd00:0:0:1::1"), (0, 0), "another network");
        for ip in ["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.3", "::1"] {
            assert_eq!(enter(&mut crowd, ip), (0, 0), "{ip}");
        }
        assert_eq!(enter(&mut crowd, "::1"), (1, 0), "this machine is no network");
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let mut crowd = Crowd::default();
        let (one, two) = (["fd00::1", "10.0.0.1"], PeerAddr::Unix);
        for ip in one {
            enter(&mut crowd, ip);
            enter(&mut crowd, ip);
        }
        crowd.enter(two);
        crowd.leave(two);
        for ip in one {
            let peer = PeerAddr::canonical(ip.parse().unwrap());
            crowd.leave(peer);
            crowd.leave(peer);
        }
        assert!(crowd.addresses.is_empty() && crowd.networks.is_empty(), "{crowd:?}");
    }
}
