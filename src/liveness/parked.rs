//! After the verdict: the socket of a peer that was called lost is kept for a while, in case it is heard again.

use std::time::Duration;

use super::look::Parked;
use super::{Ask, Liveness, Outcome, Rules, Sample};
use crate::msg::Moment;

/// A parked socket is nudged so often: a peer that is back is then heard within about a second on every kernel.
const PARKED_NUDGE: Duration = Duration::from_secs(1);

impl Liveness {
    pub(super) fn check_parked(&mut self, rules: &Rules, now: Moment, sample: Sample, parked: Parked) -> Outcome {
        let mut outcome = Outcome { hold: true, ..Outcome::default() };
        let acked = self.written.wrapping_sub(i64::from(sample.outq)) > self.acked;
        let heard = match sample.info {
            _ if acked || (parked.heard && !parked.one_way) => true,
            None => {
                outcome.ask = Some(Ask::Info);
                return outcome;
            }
            Some(health) => {
                self.learn(now, &health);
                if parked.one_way { self.answered > parked.since } else { self.alive > parked.since }
            }
        };
        if heard {
            outcome.returned = true;
            self.next_poll = None;
            return outcome;
        }
        let over = now.since(parked.since) >= rules.returned_within;
        self.next_poll = (!over).then(|| now + rules.heartbeat);
        outcome.nudge = rules.has_nudge && now >= self.next_nudge;
        if outcome.nudge {
            self.next_nudge = now + PARKED_NUDGE;
        }
        outcome
    }
}
