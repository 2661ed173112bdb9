//! How many lines of the log each may cause by connections: anybody who can reach the port could fill it otherwise, and with it
//! the card that it is on; a page or device in a loop does the same without meaning to. Those without a name have little,
//! users and devices more. What is left out is counted, and said in one line.
//!
//! Pure: time is a value. Never does: counting events, which have bounds of their own.

use std::time::Duration;

use crate::msg::{Moment, Party, PeerAddr};

/// The ration is for so long.
pub const PERIOD: Duration = Duration::from_secs(60);

/// Lines from one address, or one IPv6 /64.
pub const FROM_ONE: u32 = 30;

/// Lines from all of them.
pub const FROM_ALL: u32 = 120;

/// Lines of one user or one device.
pub const FROM_NAMED: u32 = 300;

/// Parties that are told apart in one period; those beyond have only what is left for all.
const PARTIES_MAX: usize = 64;

/// The lines of one period.
#[derive(Debug, Default)]
pub struct Ration {
    /// The end of the period, if one has begun.
    ends: Option<Moment>,
    /// Of those that have no ration of their own by name.
    lines: u32,
    left_out: u32,
    parties: Vec<Share>,
    /// Of all periods.
    total: u64,
}

#[derive(Debug)]
struct Share {
    of: Party,
    lines: u32,
    left_out: u32,
}

/// What a period has left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// Lines.
    pub lines: u32,
    /// Parties of which some were left out; of those that are told apart.
    pub parties: usize,
    /// The one of which most were left out, and how many.
    pub most: Option<(Party, u32)>,
}

impl Ration {
    /// Whether a line that `party` has caused is in the ration. Behind a unix socket all without a name have the same address:
    /// there is the ration for all only.
    pub fn takes(&mut self, now: Moment, party: Party) -> bool {
        if self.left_out == 0 && self.ends.is_none_or(|at| at <= now) {
            *self = Ration { ends: Some(now + PERIOD), total: self.total, ..Ration::default() };
        }
        let most = match &party {
            Party::User(_) | Party::Device(_) => FROM_NAMED,
            Party::Network(PeerAddr::Unix) => FROM_ALL,
            Party::Network(_) => FROM_ONE,
        };
        let is_told_apart = |share: &Share| share.of == party;
        let mut at = self.parties.iter().position(is_told_apart);
        if at.is_none() && self.parties.len() < PARTIES_MAX {
            at = Some(self.parties.len());
            self.parties.push(Share { of: party, lines: 0, left_out: 0 });
        }
        let share = at.and_then(|at| self.parties.get_mut(at));
        let has_own = most == FROM_NAMED && share.is_some();
        let takes = share.as_ref().is_none_or(|s| s.lines < most) && (has_own || self.lines < FROM_ALL);
        let one = |n: &mut u32| *n = n.saturating_add(1);
        if !takes {
            one(&mut self.left_out);
            self.total += 1;
        } else if !has_own {
            one(&mut self.lines);
        }
        if let Some(share) = share {
            one(if takes { &mut share.lines } else { &mut share.left_out });
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
        let some = || self.parties.iter().filter(|share| share.left_out > 0);
        let most = some().max_by_key(|share| share.left_out).map(|share| (share.of.clone(), share.left_out));
        let said = LeftOut { lines: self.left_out, parties: some().count(), most };
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

    fn peer(ip: &str) -> Party {
        Party::Network(PeerAddr::canonical(ip.parse().unwrap()).network())
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
        assert_eq!(ration.over(at(62)), Some(LeftOut { lines: 71, parties: 1, most }));
        assert_eq!((ration.due(), ration.total()), (None, 71));
        assert!(ration.takes(at(62), peer("10.0.0.1")));
    }

    #[test]
    fn a_network_of_ipv6_is_one_and_a_unix_socket_is_many() {
        let mut ration = Ration::default();
        let taken = (0..90).filter(|n| ration.takes(at(1), peer(&format!("2001:db8::{n:x}")))).count();
        assert_eq!(taken, 30);
        assert!(ration.takes(at(1), peer("2001:db8:0:1::1")));
        let taken = (0..100).filter(|_| ration.takes(at(1), Party::Network(PeerAddr::Unix))).count();
        assert_eq!(taken, 89, "all that is left");
    }

    #[test]
    fn many_addresses_have_one_ration_together_and_the_memory_has_a_bound() {
        let mut ration = Ration::default();
        let from = |n: u32| Party::Network(PeerAddr::canonical(std::net::Ipv4Addr::from_bits(n).into()));
        assert_eq!((0..100_000).filter(|n| ration.takes(at(1), from(*n))).count(), 120);
        assert!(ration.parties.len() <= PARTIES_MAX);
        let said = ration.over(at(100)).unwrap();
        assert_eq!((said.lines, ration.parties.capacity()), (99_880, 0));
    }

    #[test]
    fn users_and_devices_have_more_and_take_nothing_from_strangers_nor_from_each_other() {
        let mut ration = Ration::default();
        let (eve, pump) = (Party::User("eve".into()), Party::Device("eve".into()));
        assert_eq!((0..1000).filter(|_| ration.takes(at(1), eve.clone())).count(), 300);
        assert_eq!((0..900).filter(|_| ration.takes(at(1), pump.clone())).count(), 300);
        assert_eq!((0..100).filter(|_| ration.takes(at(1), peer("10.0.0.1"))).count(), 30);
        assert_eq!(ration.over(at(61)), Some(LeftOut { lines: 1370, parties: 3, most: Some((eve, 700)) }));
        let named = |n: u32| Party::Device(format!("pump-{n}").into());
        assert_eq!((0..10_000).filter(|n| ration.takes(at(70), named(*n))).count(), PARTIES_MAX + 120);
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
