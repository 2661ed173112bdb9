//! Time that this process did not have or the board slept through, and the looks at the dead man's switches: people are
//! not judged by such time, machines are not kept running by it.

use std::time::Duration;

use crate::engine::driver::{Driver, Host};
use crate::hub::Input;
use crate::msg::{ConnId, Moment, Now};

/// So much later than planned, and this server itself did not run: nobody may be blamed for that time.
const OWN_STALL: Duration = Duration::from_millis(250);

/// A line goes to a device only so soon after a look at the dead man's switches, and a long turn looks so often: whatever
/// keeps the loop busy, `safe` does not wait for it, and no heartbeat says that all is well when it may not be.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Shorter differences between the clocks are their own.
const NAP: Duration = Duration::from_millis(100);

impl<H: Host> Driver<H> {
    /// If we slept longer than planned, nobody may be judged by that time.
    pub(super) fn own_stall(&mut self, now: Now) {
        let before = std::mem::replace(&mut self.turned, now.mono);
        // never more than there was between two turns, whatever was planned
        let late = self.planned.map(|at| now.mono.since(at.max(before)));
        let Some(late) = late.filter(|&late| late > OWN_STALL) else { return };
        log::warn!("own_stall ms={} (suspended, or the machine is overloaded)", late.as_millis());
        self.shared.site.metrics.own_stalls += 1;
        let ids: Vec<ConnId> = self.conns.ids().collect();
        for id in ids {
            if let Some(conn) = self.conns.touch(id) {
                conn.state.stood_still(now.mono, late);
            }
        }
        self.shared.tell_hub(now, Input::StoodStill(late));
    }

    /// If the board slept, what must not be done late is judged by that time too.
    pub(super) fn notice_sleep(&mut self, now: Now) {
        if self.shared.hub.view().devices_up() == 0 {
            return; // nobody commands anything; saves the reading of a clock
        }
        let asleep = self.host.asleep();
        let gap = asleep.saturating_sub(self.asleep);
        if gap >= NAP {
            self.asleep = asleep;
            log::warn!("slept ms={} (the whole board)", gap.as_millis());
            self.shared.tell_hub(now, Input::Slept(gap));
        }
    }

    /// Looks at the dead man's switches if the newest look is [`LOOK_EVERY`] before now, by a clock read here. Other
    /// deadlines wait for the end of the turn: people are judged only when all that has come was read.
    pub(super) fn look(&mut self, newest: Moment) -> Option<Now> {
        let now = self.host.now();
        if now.mono.since(newest) < LOOK_EVERY {
            return None;
        }
        self.notice_sleep(now);
        self.looked = now.mono;
        self.shared.tell_hub(now, Input::Look);
        Some(now)
    }

    /// In the middle of a turn; by what clock it goes on. A turn that has just begun gets the time to read
    /// what has come meanwhile.
    pub(super) fn look_in_long_turn(&mut self, now: Now) -> Now {
        if self.shared.hub.view().devices_up() == 0 {
            return now; // there are no switches; saves the reading of a clock
        }
        let Some(now) = self.look(self.looked.max(self.turned)) else { return now };
        self.apply_effects(now);
        self.settle(now);
        now
    }

    /// Before what was touched next is written: to a device always, and to others since what they are owed may be long.
    pub(super) fn look_before_writing(&mut self) -> Option<Now> {
        let newest = match self.conns.next_touched()? {
            conn if conn.tells_device() => self.looked,
            _ if self.shared.hub.view().devices_up() > 0 => self.looked.max(self.turned),
            _ => return None,
        };
        self.look(newest)
    }
}
