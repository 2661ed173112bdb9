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
    /// The newest complaint: each is said once.
    complaint: Option<String>,
}

impl Supervisor {
    /// As the environment says.
    pub(super) fn new(now: Moment) -> Supervisor {
        let period = process::watchdog().unwrap_or_else(|what| {
            log::warn!("{what}");
            None
        });
        let watchdog = period.map(|period| (period / 2, now));
        Supervisor { owed: VecDeque::new(), again: None, watchdog, complaint: None }
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
        if let Some((every, _)) = self.watchdog.filter(|(_, next)| *next <= now) {
            self.watchdog = Some((every, now + if self.send("WATCHDOG=1") { every } else { AGAIN }));
        }
    }

    fn go_on(&mut self, now: Moment) {
        self.again = None;
        while let Some(state) = self.owed.pop_front() {
            if !self.send(&state) {
                self.owed.push_front(state);
                self.again = Some(now + AGAIN);
                return;
            }
        }
    }

    /// Whether there is no use in saying it again.
    fn send(&mut self, state: &str) -> bool {
        let complaint = match process::notify(state) {
            Ok(()) => None,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return false,
            Err(e) => Some(e.to_string()),
        };
        if complaint != self.complaint {
            if let Some(e) = &complaint {
                log::warn!("notify: {e}; is NOTIFY_SOCKET right?");
            }
            self.complaint = complaint;
        }
        true
    }
}
