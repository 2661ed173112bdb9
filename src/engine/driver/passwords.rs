//! Passwords that were checked, that are checked next, and that are not checked after all.

use crate::auth::credentials::Job;
use crate::auth::queue::{Check, Running};
use crate::auth::{Door, Key, Verdict};
use crate::engine::driver::{Driver, Host};
use crate::msg::{ConnId, Now};

impl<H: Host> Driver<H> {
    /// Goes one step on: takes an outcome, tells one who gave way, or has the next one checked. Whether somebody was answered.
    pub(super) fn passwords(&mut self, now: Now) -> bool {
        if self.shared.checks.is_idle() {
            return false;
        }
        if let Some((door, check)) = self.shared.checks.gave_way() {
            self.not_checked(now, door, check, Some(Verdict::GaveWay));
            return true;
        }
        if let Some(outcome) = self.host.checked() {
            let Some(Running { door, key, waiting }) = self.shared.checks.done() else { return true };
            let holds = self.shared.credentials(door).is_some_and(|credentials| credentials.settle(now.mono, &outcome));
            let verdict = if outcome.good { Verdict::Good } else { Verdict::Bad };
            // an outcome by an older users file says nothing: they ask anew
            self.answer(now, (door, key), waiting, holds.then_some(verdict));
            return true;
        }
        while let Some((door, mut check)) = self.shared.checks.take_next() {
            check.waiting.retain(|id| self.conns.get(*id).is_some_and(|conn| conn.state.waits_for(&check.key)));
            if check.waiting.is_empty() {
                self.not_checked(now, door, check, None);
                continue;
            }
            if self.shared.credentials(door).is_none_or(|credentials| credentials.is_penalised(now.mono, &check.job)) {
                self.not_checked(now, door, check, None);
                return true;
            }
            let Check { job, key, source, known, wrong, waiting } = check;
            match self.host.check(job) {
                Ok(()) => {
                    self.shared.site.metrics.passwords += 1;
                    self.shared.checks.start(Running { door, key, waiting });
                    return false;
                }
                Err(job) => {
                    let check = Check { job, key, source, known, wrong, waiting };
                    self.not_checked(now, door, check, Some(Verdict::GaveWay));
                    return true;
                }
            }
        }
        false
    }

    /// One is not checked: its waiters are told so, or ask anew.
    fn not_checked(&mut self, now: Now, door: Door, check: Check<Box<Job>>, verdict: Option<Verdict>) {
        if let Some(credentials) = self.shared.credentials(door) {
            credentials.not_asked(now.mono, &check.job);
        }
        self.shared.site.metrics.passwords_refused += u64::from(verdict.is_some());
        self.answer(now, (door, check.key), check.waiting, verdict);
    }

    /// Goes on with those who have waited.
    fn answer(&mut self, now: Now, at: (Door, Key), waiting: Vec<ConnId>, verdict: Option<Verdict>) {
        for id in waiting {
            if self.conns.get(id).is_some_and(|conn| conn.state.waits_for(&at.1)) {
                self.new_batch();
                self.find_place(now, id);
                self.with(now, id, |state, cx| state.checked(cx, at, verdict));
                self.push_out(now, id);
            }
        }
    }
}
