//! Who may pass: passwords that were found right, passwords that were found wrong too often.
//!
//! Hashing a password takes milliseconds to seconds on a board, so it never happens here: [`Credentials::look`] answers
//! [`Look::Ask`] with a [`Job`] for the helper thread, and [`Credentials::settle`] takes the outcome. What was right once is
//! remembered by a keyed hash (SipHash under a random key of this run, over the `Authorization` value as it was
//! sent): a memory dump holds no password, looking a guess up tells nothing by its time, and a known one need not be
//! decoded.
//!
//! Wrong ones are counted twice: for each name from each source, in minutes that do not grow, and for the source whatever
//! names it gave, with waits that do ([`Penalties`]). The second does not bind names that have signed in well from there.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::time::Duration;

use crate::auth::penalties::Penalties;
use crate::auth::{Key, Source};
use crate::config::users::{Hash, Users};
use crate::fnv::KeyedMap;
use crate::msg::{Moment, PeerAddr};
use crate::secret::{Secret, carefully};

/// Remembered right credentials. More than the seats there can be; beyond it one is forgotten and hashed again.
const REMEMBERED_MAX: usize = 1024;
/// Pairs of source and user under watch. Beyond it those whose minute is over go first, then any.
const WATCHED_MAX: usize = 1024;
/// Pairs of source and user that have signed in well, and so go first. Beyond it the oldest is forgotten.
const KNOWN_MAX: usize = 1024;
/// The time over which wrong passwords are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// One password to check, for the helper thread.
pub struct Job {
    /// Under which its outcome is kept, and equal ones are recognised.
    pub key: Key,
    /// Number of the users file that `hash` is from; an outcome of an older one is void.
    pub generation: u32,
    /// Who is asking, ...
    pub source: Source,
    /// ... by which name, ...
    pub name: Key,
    /// ... and whether that name has signed in well from there before.
    pub known: bool,
    /// Wrong ones that have come from there lately.
    pub wrong: u32,
    /// The name given.
    pub user: String,
    /// The password given.
    pub password: Secret,
    /// What to check it against.
    pub hash: Hash,
    /// Whether that is the hash of a user, not a decoy for a name that does not exist.
    pub exists: bool,
}

impl Job {
    /// Checks the password, and wipes it; takes as long as the hash was made to take. For the helper thread.
    pub fn run(self) -> Outcome {
        let matches = carefully(|| self.hash.verify(&self.password));
        let good = matches && self.exists;
        let Job { key, generation, source, name, user, .. } = self;
        Outcome { key, generation, source, name, user, good }
    }
}

/// What came of a [`Job`].
pub struct Outcome {
    /// The job's key.
    pub key: Key,
    /// The job's generation.
    pub generation: u32,
    /// Who asked.
    pub source: Source,
    /// The key of the name given.
    pub name: Key,
    /// The name given.
    pub user: String,
    /// Whether the password is that user's.
    pub good: bool,
}

/// What is to be done about credentials.
pub enum Look {
    /// Somebody has to check.
    Ask(Box<Job>),
    /// Too many wrong ones from there, or for that user from there; come again after so long.
    Throttled(Duration),
}

struct Watch {
    since: Moment,
    wrong: u32,
    asking: u32,
    /// The last wrong credentials: a program that repeats them is no guesser.
    last: Option<Key>,
}

/// The keeper of the users, of what was verified and of who failed.
pub struct Credentials {
    secret: RandomState,
    users: Users,
    decoy: Hash,
    failures: u32,
    good: KeyedMap<Key, Rc<str>>,
    /// The newest last.
    known: Vec<(Source, Key)>,
    watched: HashMap<(Source, Key), Watch>,
    penalties: Penalties,
}

impl Credentials {
    /// `failures` wrong passwords a minute are allowed for one user from one source.
    pub fn new(users: Users, failures: u32) -> Self {
        let decoy = users.decoy();
        Credentials {
            secret: RandomState::new(),
            users,
            decoy,
            failures,
            good: KeyedMap::default(),
            known: Vec::new(),
            watched: HashMap::new(),
            penalties: Penalties::default(),
        }
    }

    /// Takes a new users file: what is known of users whose line changed or went is forgotten. Returns these users.
    pub fn reload(&mut self, users: Users) -> Vec<Rc<str>> {
        let same = |name: &str| match (self.users.get(name), users.get(name)) {
            (Some(old), Some(new)) => old.hash == new.hash,
            _ => false,
        };
        let changed: Vec<Rc<str>> = self.users.iter().filter(|e| !same(&e.name)).map(|e| e.name.clone()).collect();
        self.good.retain(|_, name| same(name));
        let names: Vec<Key> = changed.iter().map(|name| self.key(name.as_bytes())).collect();
        self.known.retain(|(_, name)| !names.contains(name));
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

    /// What is to be done about credentials that are not [`Credentials::known`].
    pub fn look(&mut self, now: Moment, addr: PeerAddr, key: Key, user: &str, password: &[u8]) -> Look {
        let name = self.key(user.as_bytes());
        let source = Source::of(addr, name);
        let watch = self.watch(now, source, name);
        let (tried, since) = (watch.wrong + watch.asking, watch.since);
        let known = self.known.contains(&(source, name));
        let own = (tried >= self.failures).then(|| (since + WINDOW).since(now));
        let all = if known { None } else { self.penalties.wait(now, source) };
        if let Some(left) = own.max(all) {
            return Look::Throttled(left.max(Duration::from_secs(1)));
        }
        let (hash, exists) = match self.users.get(user) {
            Some(entry) => (entry.hash.clone(), true),
            None => (self.decoy.clone(), false),
        };
        Look::Ask(Box::new(Job {
            key,
            generation: self.users.generation(),
            source,
            name,
            known,
            wrong: self.penalties.wrong_ones(source),
            user: user.to_string(),
            password: Secret::new(password),
            hash,
            exists,
        }))
    }

    /// Whether a job that has waited for its turn is not to be done: its source has failed too often meanwhile.
    pub fn is_penalised(&self, now: Moment, job: &Job) -> bool {
        !job.known && self.penalties.wait(now, job.source).is_some()
    }

    /// Counts a job that is under way, so that guesses made at once are throttled like guesses made in a row.
    pub fn asking(&mut self, now: Moment, job: &Job) {
        self.watch(now, job.source, job.name).asking += 1;
    }

    /// Takes [`Credentials::asking`] back: it was not checked.
    pub fn not_asked(&mut self, now: Moment, job: &Job) {
        let watch = self.watch(now, job.source, job.name);
        watch.asking = watch.asking.saturating_sub(1);
    }

    /// Takes the outcome of a job. Whether it holds: not if the users file has changed since.
    pub fn settle(&mut self, now: Moment, outcome: &Outcome) -> bool {
        let current = outcome.generation == self.users.generation();
        let watch = self.watch(now, outcome.source, outcome.name);
        watch.asking = watch.asking.saturating_sub(1);
        if !current {
            return false;
        }
        if outcome.good {
            if self.good.len() >= REMEMBERED_MAX {
                let any = self.good.keys().next().copied();
                any.map(|k| self.good.remove(&k));
            }
            self.good.insert(outcome.key, Rc::from(outcome.user.as_str()));
            let pair = (outcome.source, outcome.name);
            self.known.retain(|known| *known != pair);
            if self.known.len() >= KNOWN_MAX {
                self.known.remove(0);
            }
            self.known.push(pair);
        } else {
            watch.wrong += 1;
            if watch.last.replace(outcome.key) != Some(outcome.key) {
                self.penalties.wrong(now, outcome.source, self.failures);
            }
        }
        true
    }

    /// The watch over the name with this key from `source`; a new one, or an old one begun again, if its minute is over.
    fn watch(&mut self, now: Moment, source: Source, name: Key) -> &mut Watch {
        let whom = (source, name);
        if self.watched.len() >= WATCHED_MAX && !self.watched.contains_key(&whom) {
            self.watched.retain(|_, w| w.asking > 0 || now.since(w.since) < WINDOW);
            if self.watched.len() >= WATCHED_MAX {
                // the one with the fewest wrong: else a flood of made-up names would wipe out what is known of a guesser
                let idle = self.watched.iter().filter(|(_, w)| w.asking == 0);
                let least = idle.min_by_key(|(_, w)| (w.wrong, w.since)).map(|(k, _)| *k);
                least.map(|k| self.watched.remove(&k));
            }
        }
        let watch = self.watched.entry(whom).or_insert(Watch { since: now, wrong: 0, asking: 0, last: None });
        if now.since(watch.since) >= WINDOW {
            watch.since = now;
            watch.wrong = 0;
        }
        watch
    }

    /// The name under which the credentials in an `Authorization` value are remembered: 128 bits that never leave, so
    /// nobody can look for a second value with the same ones: the hash of it, and of it with one byte more.
    pub fn key(&self, authorization: &[u8]) -> Key {
        self.key_of(&[authorization])
    }

    /// The same for what is given in parts, which nobody has to put together.
    pub fn key_of(&self, parts: &[&[u8]]) -> Key {
        let mut hasher = self.secret.build_hasher();
        parts.iter().for_each(|part| hasher.write(part));
        let one = hasher.finish();
        hasher.write_u8(0xff);
        [one, hasher.finish()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: PeerAddr = PeerAddr::Unix;

    fn credentials() -> Credentials {
        Credentials::new(Users::single("ann", Hash::OneTime("secret".into())), 3)
    }

    fn at(s: u64) -> Moment {
        Moment::from_millis(s * 1000)
    }

    fn ask(g: &mut Credentials, now: Moment, user: &str, password: &str) -> Option<bool> {
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
        let mut g = credentials();
        assert_eq!(ask(&mut g, at(0), "ann", "secret"), Some(true));
        assert_eq!(g.known(&g.key(b"ann:secret")).as_deref(), Some("ann"));
        assert_eq!(g.known(&g.key(b"ann:secret2")), None);
    }

    #[test]
    fn an_unknown_user_is_refused_whatever_the_decoy_says() {
        let mut g = credentials();
        assert_eq!(ask(&mut g, at(0), "bob", "secret"), Some(false));
        assert_eq!(ask(&mut g, at(0), "", ""), Some(false));
    }

    #[test]
    fn wrong_passwords_are_throttled_for_the_rest_of_their_minute_also_for_a_right_one() {
        let mut g = credentials();
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
        let mut g = credentials();
        assert_eq!(ask(&mut g, at(0), "ann", "secret"), Some(true));
        for _ in 0..3 {
            ask(&mut g, at(1), "ann", "guess");
        }
        assert_eq!(ask(&mut g, at(2), "ann", "guess"), None);
        assert_eq!(ask(&mut g, at(2), "ann", "secret"), Some(true));
    }

    #[test]
    fn guesses_made_at_once_count_like_guesses_in_a_row() {
        let mut g = credentials();
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
        let mut g = credentials();
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
        let mut g = credentials();
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

    const THERE: [u8; 4] = [10, 0, 0, 1];

    /// Asks from an address of the network.
    fn ask_from(g: &mut Credentials, now: Moment, addr: [u8; 4], user: &str, password: &str) -> Result<bool, Duration> {
        let key = g.key(format!("{user}:{password}").as_bytes());
        if g.known(&key).is_some() {
            return Ok(true);
        }
        match g.look(now, PeerAddr::canonical(addr.into()), key, user, password.as_bytes()) {
            Look::Throttled(left) => Err(left),
            Look::Ask(job) => {
                g.asking(now, &job);
                let outcome = job.run();
                g.settle(now, &outcome);
                Ok(outcome.good)
            }
        }
    }

    #[test]
    fn made_up_names_make_their_address_wait_longer_and_longer_but_not_who_has_signed_in_well_from_there() {
        let mut g = credentials();
        assert_eq!(ask_from(&mut g, at(0), THERE, "ann", "secret"), Ok(true));
        for i in 0..10 {
            assert_eq!(ask_from(&mut g, at(1), THERE, &format!("user{i}"), "x"), Ok(false));
        }
        let mut waited = Vec::new();
        let mut now = at(1);
        for i in 10..16 {
            assert_eq!(ask_from(&mut g, now, THERE, &format!("user{i}"), "x"), Ok(false));
            let left = ask_from(&mut g, now, THERE, "newcomer", "x").unwrap_err();
            waited.push(left.as_secs());
            now = now + left;
        }
        assert_eq!(waited, [1, 2, 4, 8, 16, 32]);
        ask_from(&mut g, now, THERE, "user99", "x").unwrap();
        assert!(ask_from(&mut g, now, THERE, "bob", "new here").is_err());
        assert_eq!(ask_from(&mut g, now, THERE, "ann", "secret"), Ok(true), "remembered");
        assert_eq!(ask_from(&mut g, now, THERE, "ann", "mistyped"), Ok(false), "known from there: looked at");
        assert_eq!(ask_from(&mut g, now, [10, 0, 0, 2], "bob", "x"), Ok(false), "another address");
    }

    #[test]
    fn a_program_that_repeats_one_wrong_password_for_days_keeps_its_address_open_for_others() {
        let mut g = credentials();
        for minute in 0..3000 {
            for _ in 0..5 {
                let _ = ask_from(&mut g, at(60 * minute), THERE, "script", "old password");
            }
        }
        assert_eq!(ask_from(&mut g, at(60 * 3000), THERE, "ann", "secret"), Ok(true));
    }

    #[test]
    fn behind_a_unix_socket_only_the_name_that_failed_is_throttled() {
        let mut g = credentials();
        for i in 0..100 {
            assert_eq!(ask(&mut g, at(0), &format!("user{i}"), "x"), Some(false));
            let _ = ask(&mut g, at(0), "bob", &format!("guess {i}"));
        }
        assert_eq!(ask(&mut g, at(0), "bob", "x"), None);
        assert_eq!(ask(&mut g, at(0), "ann", "secret"), Some(true));
    }

    #[test]
    fn a_job_whose_source_has_failed_too_often_meanwhile_is_not_done() {
        let mut g = credentials();
        let here = PeerAddr::canonical(THERE.into());
        let Look::Ask(job) = g.look(at(0), here, [1; 2], "bob", b"x") else { panic!() };
        for i in 0..11 {
            assert!(!g.is_penalised(at(0), &job));
            ask_from(&mut g, at(0), THERE, &format!("user{i}"), "x").unwrap();
        }
        assert!(g.is_penalised(at(0), &job));
    }

    #[test]
    fn the_addresses_of_one_network_are_one_source() {
        let mut g = credentials();
        for n in 0..3 {
            let addr = PeerAddr::canonical(std::net::IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]));
            let Look::Ask(job) = g.look(at(0), addr, [n.into(), 0], "ann", b"guess") else { panic!("{n}") };
            g.asking(at(0), &job);
        }
        let addr = PeerAddr::canonical("2001:db8::99".parse().unwrap());
        assert!(matches!(g.look(at(0), addr, [9; 2], "ann", b"guess"), Look::Throttled(_)));
    }

    #[test]
    fn the_watch_list_is_bounded() {
        let mut g = credentials();
        for i in 0..WATCHED_MAX as u64 + 50 {
            ask(&mut g, at(0), &format!("user{i}"), "x");
        }
        assert!(g.watched.len() <= WATCHED_MAX);
    }
}
