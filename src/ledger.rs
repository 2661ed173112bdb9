//! What each party makes us keep in memory for its connections, counted in one place: output that is owed and input that
//! is not used yet. Each party has a bound and all together have one; a party that passes its own loses its own largest
//! debt, never that of another.
//!
//! Values only: the loop says what a connection keeps, and asks who has to go. Bytes that many connections share (a
//! broadcast, a cached page) are not counted: each link's queue of them is a tail of the same stream, so that together
//! they are no more than `limits.link_queue` for each kind of link.

use std::collections::HashMap;

use crate::config::Config;
use crate::msg::ConnId;
pub use crate::msg::Party;

/// Bytes that one party may make us keep beside its largest debt, at least: a page on a slow line is owed one long
/// `hello`, and may have a few siblings.
const PARTY: u64 = 2 << 20;

/// Bytes of all, at least: of the 32 MB that a small board has.
const ALL: u64 = 8 << 20;

/// Shorter answers always have room: they are no longer than what any request may get.
const LONG: u64 = 16 << 10;

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    debts: HashMap<ConnId, (Party, u64)>,
    parties: HashMap<Party, u64>,
    /// Of all but the devices.
    all: u64,
    devices: u64,
    /// Something grew since [`Ledger::over`] found nothing.
    grown: bool,
    party_max: u64,
    all_max: u64,
    refused: u64,
}

/// What one party and what all may owe.
fn bounds(config: &Config) -> (u64, u64) {
    let limits = &config.limits;
    let one = limits.link_queue.max(2 * limits.body_bytes).max(limits.header_bytes) as u64;
    let party_max = PARTY.max(2 * one);
    (party_max, ALL.max(2 * party_max))
}

impl Ledger {
    /// With the bounds that follow from `config`: where the settings allow one connection more, its party may have some
    /// of them.
    pub fn new(config: &Config) -> Ledger {
        let (party_max, all_max) = bounds(config);
        Ledger {
            debts: HashMap::new(),
            parties: HashMap::new(),
            all: 0,
            devices: 0,
            grown: false,
            party_max,
            all_max,
            refused: 0,
        }
    }

    /// Takes the bounds of other settings; what is beyond them gives way when more comes.
    pub fn resize(&mut self, config: &Config) {
        (self.party_max, self.all_max) = bounds(config);
    }

    /// The connection keeps `bytes` now, for `party`; 0: nothing.
    pub fn keeps(&mut self, conn: ConnId, party: Party, bytes: u64) {
        let before = self.clear(conn);
        if bytes == 0 {
            return;
        }
        self.grown |= bytes > before;
        *self.parties.entry(party.clone()).or_insert(0) += bytes;
        *self.total(&party) += bytes;
        self.debts.insert(conn, (party, bytes));
    }

    /// The connection keeps nothing any more. Returns what it kept.
    pub fn clear(&mut self, conn: ConnId) -> u64 {
        let Some((party, bytes)) = self.debts.remove(&conn) else { return 0 };
        *self.total(&party) -= bytes;
        if let Some(sum) = self.parties.get_mut(&party) {
            *sum -= bytes;
            if *sum == 0 {
                self.parties.remove(&party);
            }
        }
        bytes
    }

    fn total(&mut self, party: &Party) -> &mut u64 {
        if matches!(party, Party::Device(_)) { &mut self.devices } else { &mut self.all }
    }

    /// Which connection has to go, if a bound is passed: the largest debt of a party that passes its own, else of the
    /// party that owes most. The largest debt of all does not count: one may be as long as it is.
    pub fn over(&mut self) -> Option<ConnId> {
        if !self.grown {
            return None;
        }
        let found = self.find_over();
        self.grown = found.is_some();
        found
    }

    fn find_over(&self) -> Option<ConnId> {
        if self.all <= self.party_max {
            return None;
        }
        let (mut most, mut largest) = (None, 0);
        for (party, &sum) in self.parties.iter().filter(|(party, _)| !matches!(party, Party::Device(_))) {
            let theirs = self.debts.iter().filter(|(_, (whose, _))| whose == party);
            let Some((bytes, conn)) = theirs.map(|(&conn, &(_, bytes))| (bytes, conn)).max() else { continue };
            if sum - bytes > self.party_max {
                return Some(conn);
            }
            largest = largest.max(bytes);
            most = most.max(Some((sum, conn)));
        }
        most.filter(|_| self.all - largest > self.all_max).map(|(_, conn)| conn)
    }

    /// Whether `party` may be sent a long answer of about `bytes`. One may always be under way, however long it is.
    pub fn has_room(&mut self, party: &Party, bytes: u64) -> bool {
        let fits = |owed: u64, max: u64| owed == 0 || owed.saturating_add(bytes) <= max;
        let theirs = self.parties.get(party).copied().unwrap_or(0);
        let room = bytes < LONG || (fits(theirs, self.party_max) && fits(self.all, self.all_max));
        self.refused += u64::from(!room);
        room
    }

    /// What the connection keeps.
    pub fn of(&self, conn: ConnId) -> u64 {
        self.debts.get(&conn).map_or(0, |&(_, bytes)| bytes)
    }

    /// Bytes of all but the devices, their bound, and those of the devices.
    pub fn totals(&self) -> (u64, u64, u64) {
        (self.all, self.all_max, self.devices)
    }

    /// How often there was no room for a long answer.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether the sums are those of the single debts, and these are `debts`.
    pub fn agrees(&self, debts: impl Iterator<Item = (ConnId, u64)>) -> bool {
        let mut sums: HashMap<&Party, u64> = HashMap::new();
        for (party, bytes) in self.debts.values() {
            *sums.entry(party).or_insert(0) += bytes;
        }
        let theirs = sums.len() == self.parties.len() && sums.iter().all(|(p, sum)| self.parties.get(p) == Some(sum));
        let debts: HashMap<ConnId, u64> = debts.filter(|&(_, bytes)| bytes > 0).collect();
        theirs
            && self.all + self.devices == self.parties.values().sum::<u64>()
            && debts.len() == self.debts.len()
            && debts.iter().all(|(&conn, &bytes)| self.of(conn) == bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::PeerAddr;

    fn ledger() -> Ledger {
        Ledger::new(&Config::default())
    }

    fn user(name: &str) -> Party {
        Party::User(name.into())
    }

    fn conn(n: u16) -> ConnId {
        ConnId::new(n, 0)
    }

    /// Closes who has to go until all fits; who that was.
    fn shed(ledger: &mut Ledger) -> Vec<u16> {
        let gone = std::iter::from_fn(|| {
            let id = ledger.over()?;
            ledger.clear(id);
            Some(id.slot())
        });
        gone.collect()
    }

    #[test]
    fn what_one_party_opens_pushes_out_only_its_own_largest_debts() {
        let mut ledger = ledger();
        ledger.keeps(conn(0), user("bob"), PARTY);
        for n in 1..=60 {
            ledger.keeps(conn(n), user("eve"), 700 << 10);
            assert!(!shed(&mut ledger).contains(&0));
        }
        let eves: Vec<u64> = (1..=60).map(|n| ledger.of(conn(n))).filter(|&bytes| bytes > 0).collect();
        assert_eq!(eves.len(), 3, "2 MiB beside the largest");
        ledger.keeps(conn(99), user("eve"), 100);
        assert_eq!(shed(&mut ledger), [] as [u16; 0]);
        ledger.keeps(conn(99), user("eve"), 900 << 10);
        assert_eq!(shed(&mut ledger), [99]);
    }

    #[test]
    fn all_together_have_a_bound_and_who_owes_most_goes_first() {
        let mut ledger = ledger();
        for n in 0..10 {
            ledger.keeps(conn(n), user(&format!("u{n}")), (1 << 20) - 10 + u64::from(n));
        }
        assert_eq!(shed(&mut ledger), [9], "8 MiB beside the largest");
        ledger.keeps(conn(20), Party::Device("pump".into()), 30 << 20);
        assert_eq!(shed(&mut ledger), [] as [u16; 0], "devices have bounds of their own");
        ledger.keeps(conn(21), Party::Network(PeerAddr::Unix), 1 << 10);
        assert_eq!(shed(&mut ledger), [8]);
        assert_eq!(ledger.totals(), ((8 << 20) - 80 + 28 + (1 << 10), ALL, 30 << 20));
    }

    #[test]
    fn a_single_debt_is_never_too_large_and_room_is_for_one_however_long() {
        let mut ledger = ledger();
        assert!(ledger.has_room(&user("ann"), 10 * ALL));
        ledger.keeps(conn(0), user("ann"), 10 * ALL);
        assert_eq!(shed(&mut ledger), [] as [u16; 0]);
        assert!(!ledger.has_room(&user("ann"), LONG) && !ledger.has_room(&user("bob"), LONG));
        assert!(ledger.has_room(&user("ann"), LONG - 1));
        ledger.keeps(conn(0), user("ann"), PARTY - LONG);
        assert!(ledger.has_room(&user("ann"), LONG) && !ledger.has_room(&user("ann"), LONG + 1));
        assert!(ledger.has_room(&user("bob"), PARTY));
        assert_eq!(ledger.refused(), 3);
    }

    #[test]
    fn sums_agree_whatever_happens() {
        let mut ledger = ledger();
        let mut debts: HashMap<ConnId, u64> = HashMap::new();
        let mut seed = 7u64;
        let mut draw = |max: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % max
        };
        for _ in 0..5000 {
            let id = conn(draw(40) as u16);
            let party = match draw(3) {
                0 => user(&format!("u{}", draw(3))),
                1 => Party::Device(format!("d{}", draw(3)).into()),
                _ => Party::Network(PeerAddr::Unix),
            };
            let bytes = draw(4) * draw(1 << 20);
            ledger.keeps(id, party, bytes);
            debts.insert(id, bytes);
            while let Some(gone) = ledger.over() {
                assert!(ledger.clear(gone) > 0);
                debts.remove(&gone);
            }
            assert!(ledger.agrees(debts.iter().map(|(&id, &bytes)| (id, bytes))));
            assert!(!ledger.agrees(std::iter::once((id, bytes + 1))));
        }
    }

    #[test]
    fn the_bounds_follow_what_the_settings_allow_one_connection() {
        let mut config = Config::default();
        config.limits.link_queue = 8 << 20;
        assert_eq!(Ledger::new(&config).party_max, 16 << 20);
        let mut reloaded = Ledger::new(&Config::default());
        reloaded.resize(&config);
        assert_eq!(reloaded.totals(), Ledger::new(&config).totals());
        assert_eq!(Ledger::new(&config).totals(), (0, 32 << 20, 0));
    }
}
