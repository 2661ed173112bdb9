//! A token bucket: so many at once, then one in so long.

use std::time::Duration;

use crate::msg::Moment;

/// How much a bucket holds and how fast it fills again.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Rate {
    /// So many at once; at least one.
    pub(super) burst: u32,
    /// Then one in this time.
    pub(super) each: Duration,
}

/// What was taken lately, at a [`Rate`] that is given with each question.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Bucket {
    /// When nothing of it would be taken any more.
    full_at: Moment,
}

impl Bucket {
    /// How long until one may be taken; zero: now.
    pub(super) fn wait(self, now: Moment, rate: Rate) -> Duration {
        self.full_at.since(now).saturating_sub(rate.each * (rate.burst - 1))
    }

    /// Takes so many, also more than there are: what comes next waits for them.
    pub(super) fn take(&mut self, now: Moment, rate: Rate, units: u32) {
        self.full_at = self.full_at.max(now) + rate.each * units;
    }

    /// Whether nothing of it is taken.
    pub(super) fn is_full(self, now: Moment) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_then_one_in_each_time() {
        let rate = Rate { burst: 3, each: Duration::from_secs(2) };
        let (mut bucket, start) = (Bucket::default(), Moment::from_millis(60_000));
        let mut take = |at: Moment, units| {
            let wait = bucket.wait(at, rate);
            if wait.is_zero() {
                bucket.take(at, rate, units);
            }
            (wait.as_millis(), bucket.is_full(at))
        };
        assert_eq!([(); 4].map(|()| take(start, 1).0), [0, 0, 0, 2_000]);
        assert_eq!(take(start + Duration::from_millis(1_500), 1), (500, false));
        assert_eq!(take(start + Duration::from_secs(2), 2), (0, false), "more than there are");
        assert_eq!(take(start + Duration::from_secs(4), 1).0, 2_000);
        assert_eq!(take(start + Duration::from_secs(10), 0), (0, true));
    }
}
