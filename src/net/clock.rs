//! The one place that reads a clock. Everything else gets [`Now`] or [`Moment`] as a value.

use crate::msg::{Moment, Now};
use crate::sys::process;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// How far the first reading is from zero, so that `moment - duration` means something right after the start.
const HEAD_START: Duration = Duration::from_secs(3600);

/// Both clocks, now: CLOCK_MONOTONIC (clock_gettime(2); does not run while the board sleeps) in microseconds, and the
/// wall clock. A wall clock before 1970 reads as 0.
#[allow(clippy::disallowed_methods)] // This is the one reader that the rule is about.
pub fn read() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    let instant = Instant::now();
    let since = instant.saturating_duration_since(*START.get_or_init(|| instant));
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Now { mono: Moment::default() + HEAD_START + since, wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX) }
}

/// How long the board has slept since it was started: what CLOCK_BOOTTIME has counted and CLOCK_MONOTONIC has not.
pub fn asleep() -> Duration {
    Duration::from_micros(process::boottime_micros().saturating_sub(process::monotonic_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_never_goes_back_and_leaves_room_below_it() {
        let first = read();
        let second = read();
        assert!(second.mono >= first.mono);
        assert_eq!(first.mono.since(first.mono - HEAD_START), HEAD_START);
    }

    #[test]
    fn the_wall_clock_is_in_milliseconds_of_this_century() {
        assert!((946_684_800_000..4_102_444_800_000).contains(&read().wall_ms));
    }
}
