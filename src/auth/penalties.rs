//! How long an address has to wait after wrong passwords, whatever names it gave.
//!
//! So many wrong ones are free; each further one doubles the wait, from a second to [`WAIT_MAX`]. One is forgiven a minute.
//! Sources that are names ([`Source::Name`]) get none: there the limit for each name is all there is.

use std::time::Duration;

use crate::auth::Source;
use crate::msg::Moment;

/// The longest wait.
pub const WAIT_MAX: Duration = Duration::from_secs(600);

/// One wrong password is forgiven so often.
const FORGIVEN_EVERY: Duration = Duration::from_secs(60);

/// Addresses under watch. Beyond it the one with the fewest wrong ones is forgotten.
const WATCHED_MAX: usize = 1024;

/// Wrong passwords that are free where `auth.failures` is `failures`: those of two users, or of a few who mistype.
fn free(failures: u32) -> u32 {
    failures.max(5).saturating_mul(2)
}

#[derive(Clone, Copy, Debug)]
struct Record {
    source: Source,
    wrong: u32,
    /// When the last one came, or was forgiven.
    since: Moment,
    until: Moment,
}

impl Record {
    /// Takes back what is forgiven by now.
    fn forgive(&mut self, now: Moment) {
        let minutes = now.since(self.since).as_secs() / FORGIVEN_EVERY.as_secs();
        let minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
        self.wrong = self.wrong.saturating_sub(minutes);
        self.since = self.since + FORGIVEN_EVERY * minutes;
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Penalties {
    of: Vec<Record>, // looked at once for a password, which costs far more
}

impl Penalties {
    /// How long `source` still has to wait, if it has to.
    pub fn wait(&self, now: Moment, source: Source) -> Option<Duration> {
        let until = self.of.iter().find(|r| r.source == source)?.until;
        (until > now).then(|| until.since(now))
    }

    /// How many wrong ones of `source` are not forgiven yet.
    pub fn wrong_ones(&self, source: Source) -> u32 {
        self.of.iter().find(|r| r.source == source).map_or(0, |r| r.wrong)
    }

    /// A wrong password came from `source`.
    pub fn wrong(&mut self, now: Moment, source: Source, failures: u32) {
        if matches!(source, Source::Name(_)) {
            return;
        }
        let at = self.of.iter().position(|r| r.source == source).unwrap_or_else(|| {
            let new = Record { source, wrong: 0, since: now, until: now };
            self.of.iter_mut().for_each(|r| r.forgive(now));
            let least = self.of.iter().enumerate().min_by_key(|(_, r)| (r.until.max(now), r.wrong, r.since));
            match least.map(|(at, _)| at) {
                Some(at) if self.of.len() >= WATCHED_MAX => self.of[at] = new,
                _ => self.of.push(new),
            }
            self.of.iter().position(|r| r.source == source).unwrap_or_default()
        });
        let record = &mut self.of[at];
        record.forgive(now);
        if record.wrong == 0 {
            record.since = now;
        }
        record.wrong = record.wrong.saturating_add(1);
        if let Some(beyond) = record.wrong.checked_sub(free(failures) + 1) {
            record.until = now + Duration::from_secs(1 << beyond.min(10)).min(WAIT_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::PeerAddr;

    fn from(ip: &str) -> Source {
        Source::of(PeerAddr::canonical(ip.parse().unwrap()), [0; 2])
    }

    fn at(s: u64) -> Moment {
        Moment::from_millis(s * 1000)
    }

    #[test]
    fn some_are_free_and_each_further_one_doubles_the_wait_up_to_its_bound() {
        let mut p = Penalties::default();
        for _ in 0..10 {
            p.wrong(at(0), from("10.0.0.1"), 5);
            assert_eq!(p.wait(at(0), from("10.0.0.1")), None);
        }
        for want in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] {
            p.wrong(at(0), from("10.0.0.1"), 5);
            assert_eq!(p.wait(at(0), from("10.0.0.1")), Some(Duration::from_secs(want)));
        }
        assert_eq!(p.wait(at(600), from("10.0.0.1")), None);
        assert_eq!(p.wait(at(0), from("10.0.0.2")), None, "another address");
    }

    #[test]
    fn the_addresses_of_one_network_are_one_and_names_behind_a_unix_socket_are_never_waited_for() {
        let mut p = Penalties::default();
        for n in 0..20 {
            p.wrong(at(0), from(&format!("2001:db8::{n:x}")), 5);
            p.wrong(at(0), Source::of(PeerAddr::Unix, [n, 0]), 5);
            p.wrong(at(0), Source::of(PeerAddr::Unix, [0; 2]), 5);
        }
        assert!(p.wait(at(0), from("2001:db8::ffff")).is_some());
        assert_eq!(p.wait(at(0), from("2001:db8:0:1::1")), None);
        assert_eq!(p.wait(at(0), Source::of(PeerAddr::Unix, [0; 2])), None);
    }

    #[test]
    fn who_goes_on_for_ever_has_at_most_about_one_a_minute_checked() {
        let mut p = Penalties::default();
        let mut checked = 0;
        for second in 0..24 * 3600 {
            if p.wait(at(second), from("10.0.0.1")).is_none() {
                checked += 1;
                p.wrong(at(second), from("10.0.0.1"), 5);
            }
        }
        assert!(checked <= 24 * 60 + 20, "{checked}");
        assert!(checked >= 100, "{checked}: it is no ban for ever");
    }

    #[test]
    fn an_hour_without_a_wrong_one_makes_all_good() {
        let mut p = Penalties::default();
        for _ in 0..20 {
            p.wrong(at(0), from("10.0.0.1"), 5);
        }
        p.wrong(at(3600), from("10.0.0.1"), 5);
        assert_eq!(p.wait(at(3600), from("10.0.0.1")), None);
    }

    #[test]
    fn the_list_is_bounded_and_made_up_addresses_do_not_wipe_out_what_is_known_of_a_guesser() {
        let mut p = Penalties::default();
        for _ in 0..20 {
            p.wrong(at(0), from("10.0.0.1"), 5);
        }
        for n in 0..3 * WATCHED_MAX {
            p.wrong(at(1), from(&format!("11.0.{}.{}", n / 256, n % 256)), 5);
            assert!(p.of.len() <= WATCHED_MAX);
        }
        assert!(p.wait(at(2), from("10.0.0.1")).is_some());
    }
}
