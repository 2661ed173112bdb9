//! Who has a place at a listener, and who gives it up when all are taken.
//!
//! Values only. Connections are counted by address, so that one address cannot take all places; and when there is no
//! place left, connections on which nothing is going on give theirs up, so that silence never keeps out one that speaks.
//!
//! A host that has one IPv6 address has 2^64 of them, and in a network of one's own all people share these: so the addresses
//! of one /64 are counted together too, against a limit of their own that is far higher.

use std::collections::HashMap;
use std::rc::Rc;

use crate::msg::{ConnId, Moment, PeerAddr};

/// So many connections a browser opens to one server by itself: an address that has no more is not one that floods.
const FEW: u32 = 6;

/// Open connections, by address and by network.
#[derive(Debug, Default)]
pub struct Origins {
    addresses: HashMap<PeerAddr, u32>,
    /// IPv6 only, by the /64.
    networks: HashMap<PeerAddr, u32>,
}

/// How many others there are beside one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Others {
    /// From the same address.
    pub at_address: u32,
    /// From the same IPv6 /64; 0 with IPv4, and on this machine.
    pub in_network: u32,
}

impl Origins {
    /// One more from `peer`.
    pub fn enter(&mut self, peer: PeerAddr) {
        if peer.has_network() {
            *self.networks.entry(peer.network()).or_insert(0) += 1;
        }
        *self.addresses.entry(peer).or_insert(0) += 1;
    }

    /// How many others there are beside one that has entered.
    pub fn others(&self, peer: PeerAddr) -> Others {
        let beside = |counts: &HashMap<PeerAddr, u32>, key| counts.get(&key).map_or(0, |count| count.saturating_sub(1));
        let in_network = if peer.has_network() { beside(&self.networks, peer.network()) } else { 0 };
        Others { at_address: beside(&self.addresses, peer), in_network }
    }

    /// One less.
    pub fn leave(&mut self, peer: PeerAddr) {
        less(&mut self.addresses, peer);
        if peer.has_network() {
            less(&mut self.networks, peer.network());
        }
    }
}

fn less(counts: &mut HashMap<PeerAddr, u32>, key: PeerAddr) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// What is going on on a connection that may give way; those named first go first. Welcomed devices and those whose password
/// or token is being checked keep their places.
///
/// A TLS handshake that is not finished will be a standing of its own, before all others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Standing {
    /// All is said on it; only the peer's own end is awaited.
    Leaving,
    /// No whole request has come, or no hello of a device.
    Silent,
    /// Its requests were answered, and no session is known by them.
    Idle,
    /// An answer to a request without a session is on its way, or the body of one is awaited.
    Nameless,
    /// A session's connection between two requests, or the parked socket of a lost link.
    Kept,
    /// A link, or a session's request under way: gives way only if its user holds more than a share of the places.
    Busy,
    /// The same, whatever is going on on it, of a session that holds control.
    Holding,
}

/// A connection that may give way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Occupant {
    /// Which.
    pub conn: ConnId,
    /// It came to a listener for devices: those have places of their own.
    pub device: bool,
    /// What is going on on it.
    pub standing: Standing,
    /// Where it comes from.
    pub from: PeerAddr,
    /// Whose it is, if a request said so.
    pub user: Option<Rc<str>>,
    /// Since when.
    pub since: Moment,
}

/// Those who may give way, in the order in which they do. Made from the whole table, but at most once a turn of the loop
/// and only at a full house: sorting 320 entries takes some 20 microseconds, less than the call that accepts.
#[derive(Debug)]
pub struct GivingWay {
    /// The next one last.
    order: Vec<Occupant>,
}

impl GivingWay {
    /// Of `all` that may give way.
    ///
    /// Strangers go before sessions; of the strangers those first whose network holds more places than a browser
    /// needs, so that a newcomer of another network has time to speak however fast the others come; then by standing;
    /// then the network with the most; then the one that has been so for the longest. Last of all, what one user has beyond
    /// `share` places: the newest first, so that a user who opens without end, from however many addresses, pushes out
    /// nobody's but their own.
    pub fn new(all: Vec<Occupant>, share: usize) -> GivingWay {
        let (mut order, mut free): (Vec<Occupant>, Vec<Occupant>) =
            all.into_iter().partition(|o| o.standing >= Standing::Busy);
        let mut beyond: HashMap<Rc<str>, usize> = HashMap::new();
        for user in order.iter().chain(&free).filter_map(|o| o.user.as_ref()) {
            *beyond.entry(user.clone()).or_insert(0) += 1;
        }
        beyond.values_mut().for_each(|held| *held = held.saturating_sub(share));
        order.sort_by_key(|o| (o.standing, std::cmp::Reverse(o.since)));
        order.retain(|o| {
            let left = o.user.as_ref().and_then(|user| beyond.get_mut(user)).filter(|left| **left > 0);
            left.map(|left| *left -= 1).is_some()
        });
        order.reverse();
        let mut held: HashMap<(PeerAddr, bool), u32> = HashMap::new();
        let party = |o: &Occupant| (o.from.network(), o.standing == Standing::Kept);
        for occupant in &free {
            *held.entry(party(occupant)).or_insert(0) += 1;
        }
        free.sort_by_cached_key(|o| {
            let held = held.get(&party(o)).copied().unwrap_or(0);
            let first = (o.standing == Standing::Kept, held <= FEW, o.standing, std::cmp::Reverse(held), o.since);
            std::cmp::Reverse(first)
        });
        order.append(&mut free);
        GivingWay { order }
    }

    /// The first of those that `wanted` picks; it is off the list then.
    pub fn next(&mut self, wanted: impl Fn(&Occupant) -> bool) -> Option<ConnId> {
        let at = self.order.iter().rposition(wanted)?;
        Some(self.order.remove(at).conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn peer(ip: &str) -> PeerAddr {
        PeerAddr::canonical(ip.parse().unwrap())
    }

    fn enter(origins: &mut Origins, ip: &str) -> (u32, u32) {
        origins.enter(peer(ip));
        let others = origins.others(peer(ip));
        (others.at_address, others.in_network)
    }

    #[test]
    fn addresses_of_one_64_are_counted_together_too_and_others_are_not() {
        let mut origins = Origins::default();
        assert_eq!(enter(&mut origins, "fd00::1"), (0, 0));
        assert_eq!(enter(&mut origins, "fd00::2"), (0, 1));
        assert_eq!(enter(&mut origins, "fd00::1"), (1, 2));
        assert_eq!(enter(&mut origins, "fd00::"), (0, 3), "an address like its network");
        assert_eq!(enter(&mut origins, "fd00:0:0:1::1"), (0, 0), "another network");
        for ip in ["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.3", "::1"] {
            assert_eq!(enter(&mut origins, ip), (0, 0), "{ip}");
        }
        assert_eq!(enter(&mut origins, "::1"), (1, 0), "this machine is no network");
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let mut origins = Origins::default();
        let (one, two) = (["fd00::1", "10.0.0.1"], PeerAddr::Unix);
        for ip in one {
            enter(&mut origins, ip);
            enter(&mut origins, ip);
        }
        origins.enter(two);
        origins.leave(two);
        assert_eq!(origins.others(peer("fd00::1")), Others { at_address: 1, in_network: 1 });
        for ip in one {
            origins.leave(peer(ip));
            origins.leave(peer(ip));
        }
        assert!(origins.addresses.is_empty() && origins.networks.is_empty(), "{origins:?}");
    }

    fn occupant(n: u16, standing: Standing, ip: &str, second: u64) -> Occupant {
        let since = Moment::default() + Duration::from_secs(second);
        Occupant { conn: ConnId::new(n, 0), device: false, standing, from: peer(ip), user: None, since }
    }

    fn order(all: &[Occupant]) -> Vec<u16> {
        let mut giving = GivingWay::new(all.to_vec(), 2);
        std::iter::from_fn(|| giving.next(|_| true)).map(|id| id.slot()).collect()
    }

    #[test]
    fn by_standing_and_then_the_oldest_first() {
        use Standing::*;
        let all: Vec<Occupant> = [(Kept, 1), (Nameless, 2), (Idle, 3), (Silent, 9), (Silent, 4), (Leaving, 5)]
            .into_iter()
            .zip(0..)
            .map(|((standing, second), n)| occupant(n, standing, &format!("10.0.0.{n}"), second))
            .collect();
        assert_eq!(order(&all), [5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn a_newcomer_of_another_network_outlives_a_flood() {
        use Standing::*;
        let flood = |n: u16, ip: String| occupant(n, Silent, &ip, 100 + u64::from(n));
        let mut all: Vec<Occupant> = (0..60).map(|n| flood(n, format!("fd00::{n:x}"))).collect();
        all.extend((60..64).map(|n| occupant(n, Silent, "10.0.0.1", u64::from(n))));
        all.push(occupant(64, Idle, "10.0.0.2", 0));
        let order = order(&all);
        assert_eq!(order[..60], (0..60).collect::<Vec<_>>(), "the addresses of one /64 are one");
        assert_eq!(order[60..], [60, 61, 62, 63, 64]);
    }

    #[test]
    fn sessions_go_last_however_many_their_network_holds_and_do_not_count_for_its_strangers() {
        use Standing::*;
        let mut all: Vec<Occupant> = (0..20).map(|n| occupant(n, Kept, "10.0.0.1", 0)).collect();
        all.push(occupant(20, Silent, "10.0.0.1", 9));
        all.push(occupant(21, Silent, "10.0.0.2", 5));
        all.push(occupant(22, Nameless, "10.0.0.3", 0));
        assert_eq!(order(&all)[..3], [21, 20, 22]);
    }

    #[test]
    fn only_those_that_are_wanted_and_each_once() {
        use Standing::*;
        let all = [occupant(0, Silent, "10.0.0.1", 0), occupant(1, Silent, "10.0.0.2", 1)];
        let mut giving = GivingWay::new(all.to_vec(), 2);
        let theirs = |o: &Occupant| o.from == peer("10.0.0.2");
        assert_eq!(giving.next(theirs).map(ConnId::slot), Some(1));
        assert_eq!(giving.next(theirs), None);
        assert_eq!(giving.next(|_| true).map(ConnId::slot), Some(0));
        assert_eq!(giving.next(|_| true), None);
    }

    #[test]
    fn what_one_user_has_beyond_the_share_goes_last_the_newest_first_and_control_last_of_that() {
        use Standing::*;
        let user = |name: &str, o: Occupant| Occupant { user: Some(name.into()), ..o };
        let links = |name: &'static str, from: u16, count: u16, standing| {
            let ip = move |n: u16| format!("10.0.{}.1", n % 5);
            (from..from + count).map(move |n| user(name, occupant(n, standing, &ip(n), n.into())))
        };
        let mut all: Vec<Occupant> = links("eve", 0, 3, Busy).chain(links("eve", 3, 2, Holding)).collect();
        all.extend(links("ann", 10, 2, Busy));
        all.extend(links("bob", 20, 1, Busy));
        assert_eq!(order(&all), [2, 1, 0], "eve's beyond two, from whatever address; nobody else's");
        all.push(user("eve", occupant(5, Kept, "10.0.0.1", 9)));
        all.push(occupant(6, Silent, "10.0.0.9", 9));
        assert_eq!(order(&all), [6, 5, 2, 1, 0, 4], "what keeps nobody's place goes before");
    }
}
