//! How much may be written to a link, and what it means for a link that output is held back from it.

use std::time::Duration;

use super::{Carrier, Liveness};
use crate::msg::Moment;

/// While output is held back the window is looked at so often at first, for so long; later at each heartbeat.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LOOK_OFTEN: Duration = Duration::from_secs(1);

impl Liveness {
    /// So many bytes of whole messages may be written without another look at the window.
    pub fn room(&self) -> u32 {
        self.room.left()
    }

    /// The peer takes what it gets: its window is half open or more, and nothing is on its way. A message that is longer
    /// than [`Liveness::room`] may go too; there is no better moment for it.
    pub fn takes_all(&self) -> bool {
        self.room.takes()
    }

    /// A look at the peer's window (TCP_INFO; `None`: this kernel does not tell, which is no limit then) and at what is
    /// written but not acknowledged (SIOCOUTQ).
    pub fn see_window(&mut self, window: Option<u32>, outq: u32) {
        self.room.see(window, outq);
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
