//! How much may be written to a link before its peer's receive window would close.
//!
//! Through a closed window no heartbeat passes, and the kernel's probes of it come a second apart at best, on older
//! kernels ever further apart. So the last bytes of the window of a peer that has stopped reading are left to
//! heartbeats: it is then watched as closely as everybody else, and what it does not take waits here, not in the kernel.

/// So much of the window stays free: until a peer that takes nothing is called slow it gets at most 120 heartbeats in
/// every profile, of at most 12 bytes each. Of a small window a quarter: the peer has to get something else too.
const RESERVE: u32 = 2048;
/// See [`super::Liveness::room`].
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

    pub(super) fn left(&self) -> u32 {
        self.left
    }

    pub(super) fn takes(&self) -> bool {
        self.takes
    }

    pub(super) fn see(&mut self, window: Option<u32>, outq: u32) {
        let Some(window) = window else {
            self.left = u32::MAX;
            return;
        };
        self.widest = self.widest.max(window);
        self.left = window.saturating_sub(outq).saturating_sub(RESERVE.min(self.widest / 4));
        self.takes = outq == 0 && window >= self.widest / 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;
    use crate::liveness::{Carrier, Liveness, Rules};
    use crate::msg::Moment;

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
