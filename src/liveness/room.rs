//! How much may be written to a link before its peer's receive window would close.
//!
//! Through a closed window no heartbeat passes, and the kernel's probes of it come a second apart at best, on older
//! kernels ever further apart. So the last bytes of the window of a peer that has stopped reading are left to
//! heartbeats: it is then watched as closely as everybody else, and what it does not take waits here, not in the kernel.

use std::time::Duration;

use super::{Carrier, Liveness};
use crate::msg::Moment;

/// So much of the window stays free: until a peer that takes nothing is called slow it gets at most 120 heartbeats in
/// every profile, of at most 12 bytes each. Of a small window a quarter: the peer has to get something else too.
const RESERVE: u32 = 2048;
/// While output is held back the window is looked at so often at first, for so long; later at each heartbeat.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LOOK_OFTEN: Duration = Duration::from_secs(1);

/// See [`Liveness::room`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Room {
    /// Bytes that may be written before the next look.
    left: u32,
    /// The widest window seen.
    widest: u32,
    /// The peer takes what it gets: a message that does not fit may go too.
    takes: bool,
}

impl Room {
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX));
    }
}

impl Liveness {
    /// So many bytes of whole messages may be written without another look at the window.
    pub fn room(&self) -> u32 {
        self.room.left
    }

    /// The peer takes what it gets: its window is half open or more, and nothing is on its way. A message that is longer
    /// than [`Liveness::room`] may go too; there is no better moment for it.
    pub fn takes_all(&self) -> bool {
        self.room.takes
    }

    /// A look at the peer's window (TCP_INFO; `None`: this kernel does not tell, which is no limit then) and at what is
    /// written but not acknowledged (SIOCOUTQ).
    pub fn see_window(&mut self, window: Option<u32>, outq: u32) {
        let room = &mut self.room;
        let Some(window) = window else {
            room.left = u32::MAX;
            return;
        };
        room.widest = room.widest.max(window);
        room.left = window.saturating_sub(outq).saturating_sub(RESERVE.min(room.widest / 4));
        room.takes = outq == 0 && window >= room.widest / 2;
    }

    /// Output is held back, because otherwise the window would close. `some`: a part of it was let go just now.
    pub fn withhold(&mut self, now: Moment, some: bool) {
        let since = self.stuck.filter(|_| !some).unwrap_or(now);
        self.stuck = Some(since);
        if now.since(since) < LOOK_OFTEN && self.parked.is_none() {
            let again = now + LOOK_AGAIN;
            self.next_poll = Some(self.next_poll.map_or(again, |at| at.min(again)));
        }
    }

    /// Nothing is held back any more.
    pub fn release(&mut self) {
        self.stuck = None;
    }

    /// Whether output is held back.
    pub fn is_withheld(&self) -> bool {
        self.carrier == Carrier::Link && self.stuck.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rules;
    use super::*;
    use crate::config::Profile;

    fn live() -> Liveness {
        let rules = Rules::new(&Profile::Standard.values().times(), false, false);
        let now = Moment::from_millis(1000);
        let mut live = Liveness::new(Carrier::Response, &rules, now, 0);
        live.become_link(Carrier::Link, &rules, now, None);
        live
    }

    #[test]
    fn the_last_of_the_window_is_kept_for_heartbeats() {
        let mut live = live();
        assert_eq!(live.room(), 0, "nothing is known yet: look");
        live.see_window(Some(65_536), 0);
        assert_eq!((live.room(), live.takes_all()), (65_536 - RESERVE, true));
        live.wrote(Moment::from_millis(2000), 60_000);
        assert_eq!(live.room(), 65_536 - RESERVE - 60_000);
        // It reads no more: what it has not taken has made the window smaller.
        live.see_window(Some(5536), 0);
        assert_eq!((live.room(), live.takes_all()), (5536 - RESERVE, false));
        live.see_window(Some(5536), 4000);
        assert_eq!(live.room(), 0);
        live.see_window(Some(0), 100);
        assert_eq!((live.room(), live.takes_all()), (0, false));
        live.see_window(Some(40_000), 0);
        assert_eq!((live.room(), live.takes_all()), (40_000 - RESERVE, true));
    }

    #[test]
    fn a_small_window_that_is_open_takes_even_what_does_not_fit() {
        let mut live = live();
        live.see_window(Some(1460), 0);
        assert_eq!((live.room(), live.takes_all()), (1095, true));
        live.see_window(Some(1460), 9);
        assert_eq!((live.room(), live.takes_all()), (1086, false), "something is on its way: wait");
    }

    #[test]
    fn a_kernel_that_does_not_tell_the_window_sets_no_limit() {
        let mut live = live();
        live.see_window(None, 0);
        live.wrote(Moment::from_millis(2000), 1_000_000);
        assert!(live.room() > 1 << 30);
    }

    #[test]
    fn the_reserve_lasts_until_the_peer_is_called_slow_in_every_profile() {
        for profile in Profile::ALL {
            let times = profile.values().times();
            let heartbeats = (times.stalled_after * 2).as_millis().div_ceil(times.heartbeat.as_millis());
            assert!(heartbeats * 12 <= RESERVE.into(), "{heartbeats}");
        }
    }
}
