//! What systemd is told (sd_notify(3)), and its watchdog: pinged from the loop itself, so that a loop that hangs is no loop
//! that seems well. Never waits: what systemd does not take at once is said again a moment later.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

use crate::msg::Moment;
use crate::sys::process;

/// States that wait at most: a reload has two, and is over before the next begins.
const OWED_MAX: usize = 8;

/// What was not taken is said again after so long.
const AGAIN: Duration = Duration::from_millis(100);

/// What it was told, and what it waits for.
pub(super) struct Supervisor {
    owed: VecDeque<String>,
    again: Option<Moment>,
    /// Half of the period in which it wants to hear of us, and when it does next.
    watchdog: Option<(Duration, Moment)>,
}

impl Supervisor {
    /// As the environment says.
    pub(super) fn new(now: Moment) -> Supervisor {
        let period = process::watchdog().unwrap_or_else(|what| {
            log::warn!("{what}");
            None
        });
        Supervisor { owed: VecDeque::new(), again: None, watchdog: period.map(|period| (period / 2, now)) }
    }

    /// Tells it `state`.
    pub(super) fn tell(&mut self, now: Moment, state: String) {
        if self.owed.len() < OWED_MAX {
            self.owed.push_back(state);
        }
        self.go_on(now);
    }

    /// When something is to be said.
    pub(super) fn due(&self) -> Option<Moment> {
        self.again.into_iter().chain(self.watchdog.map(|(_, next)| next)).min()
    }

    /// Says what is due.
    pub(super) fn turn(&mut self, now: Moment) {
        if self.again.is_some_and(|at| at <= now) {
            self.go_on(now);
        }
        if let Some((every, next)) = &mut self.watchdog {
            if *next <= now {
                *next = now + if tell("WATCHDOG=1") { *every } else { AGAIN };
            }
        }
    }

    fn go_on(&mut self, now: Moment) {
        self.again = None;
        while let Some(state) = self.owed.front() {
            if !tell(state) {
                self.again = Some(now + AGAIN);
                return;
            }
            self.owed.pop_front();
        }
    }
}

/// Whether there is no use in saying it again.
fn tell(state: &str) -> bool {
    match process::notify(state) {
        Ok(()) => true,
        Err(e) if e.kind() == ErrorKind::WouldBlock => false,
        Err(e) => {
            log::warn!("notify: {e}");
            true
        }
    }
}
