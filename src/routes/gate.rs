//! Who may pass: passwords that were found right, passwords that were found wrong too often.
//!
//! Hashing a password takes milliseconds to seconds on a board, so it never happens here: [`Gate::look`] answers
//! [`Look::Ask`] with a [`Job`] for the helper thread, and [`Gate::settle`] takes the outcome. What was right once is
//! remembered by a keyed hash (SipHash under a random key of this run, over the `Authorization` value as it was
//! sent): a memory dump holds no password, looking a guess up tells nothing by its time, and a known one need not be
//! decoded.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::time::Duration;

use crate::config::users::{Hash, Users};
use crate::fnv::KeyedMap;
use crate::msg::{Moment, PeerAddr};

/// Credentials as remembered: a keyed hash of the `Authorization` value.
pub type Key = [u64; 2];

/// Passwords of one address that may be checked at once: less than the helper thread's queue, so that nobody keeps
/// the others out by guessing.
pub const OPEN_MAX: u32 = 4;

/// Remembered right credentials. More than the seats there can be; beyond it one is forgotten and hashed again.
const REMEMBERED_MAX: usize = 1024;
/// Pairs of address and user under watch. Beyond it those whose minute is over go first, then any.
const WATCHED_MAX: usize = 1024;
/// The time over which wrong passwords are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// One password to check, for the helper thread.
pub struct Job {
    /// Under which its outcome is kept, and equal ones are recognised.
    pub key: Key,
    /// Number of the users file that `hash` is from; an outcome of an older one is void.
    pub generation: u32,
    /// Who is asking.
    pub addr: PeerAddr,
    /// The name given.
    pub user: String,
    /// The password given.
    pub password: Vec<u8>,
    /// What to check it against.
    pub hash: Hash,
    /// Whether that is the hash of a user, not a decoy for a name that does not exist.
    pub exists: bool,
}

impl Job {
    /// Checks the password; takes as long as the hash was made to take. For the helper thread.
    pub fn run(self) -> Outcome {
        let matches = self.hash.verify(&self.password);
        let good = matches && self.exists;
        Outcome { key: self.key, generation: self.generation, addr: self.addr, user: self.user, good }
    }
}

/// What came of a [`Job`].
pub struct Outcome {
    /// The job's key.
    pub key: Key,
    /// The job's generation.
    pub generation: u32,
    /// Who asked.
    pub addr: PeerAddr,
    /// The name given.
    pub user: String,
    /// Whether the password is that user's.
    pub good: bool,
}

/// What is to be done about credentials.
pub enum Look {
    /// Somebody has to check.
    Ask(Box<Job>),
    /// Too many wrong ones from there for that user; come again after so long.
    Throttled(Duration),
}

struct Watch {
    since: Moment,
    wrong: u32,
    asking: u32,
}

/// The keeper of the users, of what was verified and of who failed.
pub struct Gate {
    secret: RandomState,
    users: Users,
    decoy: Hash,
    failures: u32,
    good: KeyedMap<Key, Rc<str>>,
    watched: HashMap<(PeerAddr, Key), Watch>,
}

impl Gate {
    /// `failures` wrong passwords a minute are allowed for one user from one address.
    pub fn new(users: Users, failures: u32) -> Self {
        let decoy = users.decoy();
        Gate { secret: RandomState::new(), users, decoy, failures, good: KeyedMap::default(), watched: HashMap::new() }
    }

    /// Takes a new users file: credentials of users whose line changed or went are forgotten. Returns these users.
    pub fn reload(&mut self, users: Users) -> Vec<Rc<str>> {
        let same = |name: &str| match (self.users.get(name), users.get(name)) {
            (Some(old), Some(new)) => old.hash == new.hash,
            _ => false,
        };
        let changed = self.users.iter().filter(|e| !same(&e.name)).map(|e| e.name.clone()).collect();
        self.good.retain(|_, name| same(name));
        self.decoy = users.decoy();
        self.users = users.after(&self.users);
        changed
    }

    /// From now on so many wrong passwords a minute are allowed.
    pub fn allow(&mut self, failures: u32) {
        self.failures = failures;
    }

    /// The users in force.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Whose credentials these are, if they were found right before.
    pub fn known(&self, key: &Key) -> Option<Rc<str>> {
        self.good.get(key).cloned()
    }

    /// What is to be done about credentials that are not [`Gate::known`].
    pub fn look(&mut self, now: Moment, addr: PeerAddr, key: Key, user: &str, password: &[u8]) -> Look {
        let watch = self.watch(now, addr, user);
        let (tried, since) = (watch.wrong + watch.asking, watch.since);
        if tried >= self.failures {
            let left = (since + WINDOW).since(now);
            return Look::Throttled(left.max(Duration::from_secs(1)));
        }
        let (hash, exists) = match self.users.get(user) {
            Some(entry) => (entry.hash.clone(), true),
            None => (self.decoy.clone(), false),
        };
        Look::Ask(Box::new(Job {
            key,
            generation: self.users.generation(),
            addr,
            user: user.to_string(),
            password: password.to_vec(),
            hash,
            exists,
        }))
    }

    /// Passwords that somebody at `addr` has being checked now.
    pub fn open_from(&self, addr: PeerAddr) -> u32 {
        self.watched.iter().filter(|((a, _), _)| *a == addr).map(|(_, w)| w.asking).sum()
    }

    /// Counts a job that is under way, so that guesses made at once are throttled like guesses made in a row.
    pub fn asking(&mut self, now: Moment, job: &Job) {
        self.watch(now, job.addr, &job.user).asking += 1;
    }

    /// Takes [`Gate::asking`] back: nobody could be found to check.
    pub fn not_asked(&mut self, now: Moment, job: &Job) {
        let watch = self.watch(now, job.addr, &job.user);
        watch.asking = watch.asking.saturating_sub(1);
    }

    /// Takes the outcome of a job. Whether it holds: not if the users file has changed since.
    pub fn settle(&mut self, now: Moment, outcome: &Outcome) -> bool {
        let current = outcome.generation == self.users.generation();
        let watch = self.watch(now, outcome.addr, &outcome.user);
        watch.asking = watch.asking.saturating_sub(1);
        if !outcome.good {
            watch.wrong += u32::from(current);
        } else if current {
            if self.good.len() >= REMEMBERED_MAX {
                let any = self.good.keys().next().copied();
                any.map(|k| self.good.remove(&k));
            }
            self.good.insert(outcome.key, Rc::from(outcome.user.as_str()));
        }
        current
    }

    /// The watch over `user` from `addr`; a new one, or an old one begun again, if its minute is over.
    fn watch(&mut self, now: Moment, addr: PeerAddr, user: &str) -> &mut Watch {
        let whom = (addr, self.key(user.as_bytes()));
        if self.watched.len() >= WATCHED_MAX && !self.watched.contains_key(&whom) {
            self.watched.retain(|_, w| w.asking > 0 || now.since(w.since) < WINDOW);
            if self.watched.len() >= WATCHED_MAX {
                // the one with the fewest wrong: else a flood of made-up names would wipe out what is known of a guesser
                let idle = self.watched.iter().filter(|(_, w)| w.asking == 0);
                let least = idle.min_by_key(|(_, w)| (w.wrong, w.since)).map(|(k, _)| *k);
                least.map(|k| self.watched.remove(&k));
            }
        }
        let watch = self.watched.entry(whom).or_insert(Watch { since: now, wrong: 0, asking: 0 });
        if now.since(watch.since) >= WINDOW {
            watch.since = now;
            watch.wrong = 0;
        }
        watch
    }

    /// The name under which the credentials in an `Authorization` value are remembered: 128 bits that never leave, so
    /// nobody can look for a second value with the same ones: the hash of it, and of it with one byte more.
    pub fn key(&self, authorization: &[u8]) -> Key {
        let mut hasher = self.secret.build_hasher();
        hasher.write(authorization);
        let one = hasher.finish();
        hasher.write_u8(0xff);
        [one, hasher.finish()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: PeerAddr = PeerAddr::Unix;

    fn gate() -> Gate {
        Gate::new(Users::single("ann", Hash::OneTime("secret".into())), 3)
    }

    fn at(s: u64) -> Moment {
        Moment::from_millis(s * 1000)
    }

    fn ask(g: &mut Gate, now: Moment, user: &str, password: &str) -> Option<bool> {
        let key = g.key(format!("{user}:{password}").as_bytes());
        if g.known(&key).is_some() {
            return Some(true);
        }
        match g.look(now, HERE, key, user, password.as_bytes()) {
            Look::Throttled(_) => None,
            Look::Ask(job) => {
                g.asking(now, &job);
                let outcome = job.run();
                assert!(g.settle(now, &outcome));
                Some(outcome.good)
            }
        }
    }

    #[test]
    fn a_right_password_is_asked_for_once_and_then_remembered() {
        let mut g = gate();
        assert_eq!(ask(&mut g, at(0), "ann", "secret"), Some(true));
        assert_eq!(g.known(&g.key(b"ann:secret")).as_deref(), Some("ann"));
        assert_eq!(g.known(&g.key(b"ann:secret2")), None);
    }

    #[test]
    fn an_unknown_user_is_refused_whatever_the_decoy_says() {
        let mut g = gate();
        assert_eq!(ask(&mut g, at(0), "bob", "secret"), Some(false));
        assert_eq!(ask(&mut g, at(0), "", ""), Some(false));
    }

    #[test]
    fn wrong_passwords_are_throttled_for_the_rest_of_their_minute_also_for_a_right_one() {
        let mut g = gate();
        for _ in 0..3 {
            assert_eq!(ask(&mut g, at(10), "ann", "guess"), Some(false));
        }
        assert_eq!(ask(&mut g, at(20), "ann", "secret"), None);
        assert_eq!(ask(&mut g, at(20), "bob", "other user"), Some(false), "another user is not affected");
        match g.look(at(30), HERE, [0; 2], "ann", b"secret") {
            Look::Throttled(left) => assert_eq!(left, Duration::from_secs(40)),
            _ => panic!("not throttled"),
        }
        assert_eq!(ask(&mut g, at(70), "ann", "secret"), Some(true));
    }

    #[test]
    fn remembered_credentials_pass_while_others_are_throttled() {
        let mut g = gate();
        assert_eq!(ask(&mut g, at(0), "ann", "secret"), Some(true));
        for _ in 0..3 {
            ask(&mut g, at(1), "ann", "guess");
        }
        assert_eq!(ask(&mut g, at(2), "ann", "guess"), None);
        assert_eq!(ask(&mut g, at(2), "ann", "secret"), Some(true));
    }

    #[test]
    fn guesses_made_at_once_count_like_guesses_in_a_row() {
        let mut g = gate();
        for i in 0..3 {
            match g.look(at(0), HERE, [i; 2], "ann", b"guess") {
                Look::Ask(job) => g.asking(at(0), &job),
                _ => panic!("the first three are asked"),
            }
        }
        assert!(matches!(g.look(at(0), HERE, [4; 2], "ann", b"guess"), Look::Throttled(_)));
    }

    #[test]
    fn a_changed_line_forgets_that_user_and_voids_what_is_under_way() {
        let mut g = gate();
        assert_eq!(ask(&mut g, at(0), "ann", "secret"), Some(true));
        let Look::Ask(job) = g.look(at(0), HERE, [1; 2], "ann", b"other") else { panic!() };
        g.asking(at(0), &job);
        let gone = g.reload(Users::single("ann", Hash::OneTime("new".into())));
        assert_eq!(gone.iter().map(|n| &**n).collect::<Vec<_>>(), ["ann"]);
        assert!(!g.settle(at(0), &job.run()));
        assert_eq!(ask(&mut g, at(0), "ann", "secret"), Some(false));
        assert_eq!(ask(&mut g, at(0), "ann", "new"), Some(true));
        assert!(g.reload(Users::single("ann", Hash::OneTime("new".into()))).is_empty());
        assert!(g.known(&g.key(b"ann:new")).is_some(), "an unchanged line keeps its memory");
    }

    #[test]
    fn a_flood_of_made_up_names_does_not_wipe_out_what_is_known_of_a_guesser() {
        let mut g = gate();
        for _ in 0..3 {
            assert_eq!(ask(&mut g, at(0), "ann", "guess"), Some(false));
        }
        for i in 0..5 * WATCHED_MAX as u64 {
            // asked, and nobody could be found to check
            let Look::Ask(job) = g.look(at(1), HERE, [i, 0], &format!("user{i}"), b"x") else { panic!("{i}") };
            g.asking(at(1), &job);
            g.not_asked(at(1), &job);
        }
        assert!(g.watched.len() <= WATCHED_MAX);
        assert_eq!(ask(&mut g, at(2), "ann", "guess"), None, "still throttled");
    }

    #[test]
    fn what_one_address_has_being_checked_is_known() {
        let mut g = gate();
        let Look::Ask(job) = g.look(at(0), HERE, [0; 2], "ann", b"x") else { panic!() };
        g.asking(at(0), &job);
        assert_eq!((g.open_from(HERE), g.open_from(PeerAddr::canonical([127, 0, 0, 1].into()))), (1, 0));
        g.settle(at(0), &job.run());
        assert_eq!(g.open_from(HERE), 0);
    }

    #[test]
    fn the_watch_list_is_bounded() {
        let mut g = gate();
        for i in 0..WATCHED_MAX as u64 + 50 {
            ask(&mut g, at(0), &format!("user{i}"), "x");
        }
        assert!(g.watched.len() <= WATCHED_MAX);
    }
}
