//! Links whose peer's kernel says nothing, because a proxy on this machine stands between. Of [`Carrier::Answering`]
//! each heartbeat asks for an answer, whatever the peer says is one, and silence decides; of all, whether they take data.

use super::{Ask, Carrier, HOLD_AFTER, Liveness, Outcome, Pulse, Rules, Sample, look::Verdict};
use crate::msg::{Change, Evidence, Moment};

impl Liveness {
    /// The peer said something: whatever was asked is answered.
    pub(super) fn answered(&mut self, now: Moment) {
        self.pending = None;
        if self.suspected.is_some() {
            self.next_poll = Some(now);
        }
    }

    /// Whether each beat needs a heartbeat beside it, which the transport answers even if the page does not.
    pub fn asks(&self) -> bool {
        self.carrier == Carrier::Answering
    }

    pub(super) fn check_answers(&mut self, rules: &Rules, now: Moment, sample: Sample) -> Outcome {
        if let Some(parked) = self.parked {
            let over = now.since(parked.since) >= rules.returned_within;
            self.next_poll = (!over && !parked.heard).then(|| now + rules.heartbeat);
            return Outcome { hold: true, returned: parked.heard, ..Outcome::default() };
        }
        if sample.outq > 0 {
            return self.blocked(rules, now, sample);
        }
        self.stuck = None;
        let silent = self.pending.map(|since| now.since(since)).unwrap_or_default();
        if silent >= rules.silence && self.may_judge(now, rules.silence) {
            if !sample.drained {
                return Outcome { ask: Some(Ask::Drain), ..Outcome::default() };
            }
            let (limit, suspect_after) = (rules.silence, rules.suspect_after);
            let verdict = Verdict { silent, limit, evidence: Evidence::NoAck, suspect_after };
            return self.ended(rules, now, Some(verdict));
        }
        let mut outcome = self.ask(now, silent < HOLD_AFTER);
        // between ticks only the two moments at which something is to be said matter
        let next = if silent < rules.suspect_after { rules.suspect_after } else { rules.silence };
        self.next_poll = self.pending.map(|since| (since + next).max(now + rules.poll));
        if self.stalled {
            self.stalled = false;
            outcome.change = Some(Change::Moving);
            self.next_poll = Some(now); // one change at a time
            return outcome;
        }
        match self.suspected {
            None if silent >= rules.suspect_after && self.may_judge(now, rules.suspect_after) => {
                self.suspected = Some(silent);
                outcome.change = Some(Change::Suspected { silent });
            }
            Some(longest) if self.pending.is_none() => {
                self.suspected = None;
                outcome.change = Some(Change::Recovered { silent: longest });
            }
            Some(longest) => self.suspected = Some(longest.max(silent)),
            None => {}
        }
        outcome
    }

    /// The same for a link whose peer answers nothing: only whether it takes what it is sent.
    pub(super) fn check_taking(&mut self, rules: &Rules, now: Moment, sample: Sample) -> Outcome {
        if sample.outq > 0 {
            return self.blocked(rules, now, sample);
        }
        (self.stuck, self.next_poll) = (None, None);
        let mut outcome = self.ticked(now, true);
        if std::mem::take(&mut self.stalled) {
            outcome.change = Some(Change::Moving);
        }
        outcome
    }

    /// The socket takes nothing: nobody can answer what has not been sent. Not reading is no death.
    fn blocked(&mut self, rules: &Rules, now: Moment, sample: Sample) -> Outcome {
        let waited = now.since(*self.stuck.get_or_insert(now));
        self.pending = None;
        self.next_poll = Some(now + rules.heartbeat);
        if waited >= rules.stalled_after * 2 {
            if !sample.drained {
                return Outcome { ask: Some(Ask::Drain), ..Outcome::default() };
            }
            return self.ended(rules, now, None);
        }
        let mut outcome = self.ticked(now, false);
        if waited >= rules.stalled_after && !self.stalled && self.suspected.is_none() {
            self.stalled = true;
            outcome.change = Some(Change::Stalled);
        }
        outcome
    }

    /// At a tick something is asked, also if much else is written: only heartbeats and beats are answered.
    fn ask(&mut self, now: Moment, clear: bool) -> Outcome {
        let due = now >= self.next_tick;
        let mut outcome = self.ticked(now, clear);
        if due && clear && self.pending.is_none() {
            outcome.pulse = outcome.pulse.or(Some(Pulse::Heartbeat));
        }
        if outcome.pulse.is_some() {
            self.pending.get_or_insert(now);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;
    use crate::msg::LinkEnd;
    use std::time::Duration;

    const T0: Moment = Moment::from_millis(10_000);

    fn rules() -> Rules {
        Rules::new(&Profile::Standard.values().times(), true, true)
    }

    fn link(beat: Option<Duration>) -> Liveness {
        let mut live = Liveness::new(Carrier::Response, &rules(), T0, 0);
        live.wrote(T0, 500);
        live.become_link(Carrier::Answering, &rules(), T0, beat);
        live
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// What comes of `live` from `T0` on, looked at whenever it wants to be: time in milliseconds and what it was.
    /// `peer` says at each pulse how much later the answer comes, if one comes; `blocked` whether the socket is full.
    fn run(
        live: &mut Liveness,
        until: u64,
        peer: impl Fn(u64) -> Option<u64>,
        blocked: impl Fn(u64) -> bool,
    ) -> Vec<(u64, String)> {
        let (mut told, mut answers) = (Vec::new(), Vec::<Moment>::new());
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 10_000, "it spins");
            let due = live.due().unwrap_or(Moment::from_millis(u64::MAX / 1000));
            answers.sort_unstable();
            let answer = answers.first().copied().filter(|&at| at <= due);
            let now = answer.unwrap_or(due);
            let at = u64::try_from(now.since(T0).as_millis()).unwrap();
            if at > until {
                return told;
            }
            if answer.is_some() {
                answers.remove(0);
                live.heard(now);
                continue;
            }
            let outq = if blocked(at) { 1000 } else { 0 };
            let mut outcome = live.check(&rules(), now, Sample { outq, ..Sample::default() });
            if outcome.ask == Some(Ask::Drain) {
                outcome = live.check(&rules(), now, Sample { outq, info: None, drained: true });
            }
            if outcome.pulse.is_some() {
                live.wrote(now, 30);
                answers.extend(peer(at).map(|delay| now + ms(delay)));
            }
            told.extend(outcome.change.map(|c| (at, format!("{c:?}").split(' ').next().unwrap().to_string())));
            told.extend(outcome.returned.then(|| (at, "Returned".to_string())));
            match outcome.end {
                Some(LinkEnd::Lost { evidence, .. }) => told.push((at, format!("Lost {evidence}"))),
                Some(end) => told.push((at, format!("{end:?}"))),
                None => {}
            }
        }
    }

    fn words(told: &[(u64, String)]) -> Vec<&str> {
        told.iter().map(|(_, word)| word.as_str()).collect()
    }

    #[test]
    fn a_peer_that_answers_within_a_second_is_never_suspected() {
        for beat in [None, Some(ms(500))] {
            for delay in [0, 1, 200, 1000] {
                assert_eq!(run(&mut link(beat), 60_000, |_| Some(delay), |_| false), [], "{beat:?} {delay}");
            }
        }
    }

    #[test]
    fn a_peer_that_stops_answering_is_suspected_and_lost_within_three_seconds() {
        for beat in [None, Some(ms(500))] {
            for cut in [0, 1, 250, 499, 5_003] {
                let told = run(&mut link(beat), 20_000, |at| (at < cut).then_some(1), |_| false);
                assert_eq!(words(&told), ["Suspected", "Lost no_ack"], "cut at {cut}");
                assert!(told[1].0 <= cut + 3000, "cut at {cut}: {told:?}");
            }
        }
    }

    #[test]
    fn silence_is_counted_from_the_opening_however_long_the_password_took() {
        let mut live = Liveness::new(Carrier::Response, &rules(), T0 - ms(5000), 0);
        live.heard(T0 - ms(4000));
        live.become_link(Carrier::Answering, &rules(), T0, None);
        assert_eq!(live.silent_for(T0 + ms(10)), ms(10));
    }

    #[test]
    fn chatter_of_ours_asks_for_nothing_and_hides_nothing() {
        let mut live = link(None);
        for at in 0..50 {
            let now = T0 + ms(at * 20);
            live.wrote(now, 100);
            let outcome = live.check(&rules(), now, Sample::default());
            assert_eq!(outcome.end, None);
        }
        let told = run(&mut live, 10_000, |_| None, |_| false);
        assert_eq!(words(&told), ["Suspected", "Lost no_ack"]);
        assert!(told[1].0 <= 3000, "asked although other output had just gone: {told:?}");
    }

    #[test]
    fn a_late_answer_makes_it_recover_and_one_after_the_verdict_return() {
        let told = run(&mut link(None), 20_000, |at| Some(if at < 1000 { 1600 } else { 1 }), |_| false);
        assert_eq!(words(&told), ["Suspected", "Recovered"]);
        let told = run(&mut link(None), 20_000, |_| Some(5000), |_| false);
        assert_eq!(words(&told), ["Suspected", "Lost no_ack", "Returned"]);
        assert!((5000..5600).contains(&told[2].0), "{told:?}");
    }

    #[test]
    fn a_peer_that_does_not_read_stalls_and_is_slow_at_last_but_not_lost() {
        let told = run(&mut link(Some(ms(500))), 120_000, |_| Some(1), |at| at > 2000);
        assert_eq!(words(&told), ["Stalled", "Slow"]);
        assert!((32_000..33_100).contains(&told[0].0) && (62_000..63_100).contains(&told[1].0), "{told:?}");
        let told = run(&mut link(Some(ms(500))), 120_000, |_| Some(1), |at| (2000..40_000).contains(&at));
        assert_eq!(words(&told), ["Stalled", "Moving"]);
    }

    #[test]
    fn a_link_that_answers_nothing_stalls_and_is_slow_if_it_takes_nothing_and_is_never_lost() {
        let open = || {
            let mut live = link(Some(ms(500)));
            live.become_link(Carrier::Application, &rules(), T0, Some(ms(500)));
            live
        };
        assert_eq!(run(&mut open(), 120_000, |_| None, |_| false), []);
        let told = run(&mut open(), 120_000, |_| None, |at| at > 2000);
        assert_eq!(words(&told), ["Stalled", "Slow"]);
        assert!((32_000..33_100).contains(&told[0].0) && (62_000..63_100).contains(&told[1].0), "{told:?}");
        let told = run(&mut open(), 120_000, |_| None, |at| (2000..40_000).contains(&at));
        assert_eq!(words(&told), ["Stalled", "Moving"]);
    }

    #[test]
    fn time_in_which_this_server_stood_still_is_no_silence() {
        let mut live = link(None);
        let now = T0 + ms(500);
        assert!(live.check(&rules(), now, Sample::default()).pulse.is_some());
        let woken = now + ms(60_000);
        live.loop_gap(woken, ms(59_500));
        let outcome = live.check(&rules(), woken, Sample::default());
        assert_eq!((outcome.end, outcome.change, outcome.ask), (None, None, None));
    }
}
