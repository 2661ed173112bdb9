//! What the kernel's numbers of a connection with output outstanding say of its peer: how long it has been silent, how long
//! that may last, and what it proves then.

use std::time::Duration;

use super::look::Verdict;
use super::{Liveness, Rules};
use crate::msg::{Evidence, Moment, TcpHealth};

/// A peer whose own delays raise the retransmission timeout stretches its verdict by no more than this factor.
const STRETCH_MAX: u32 = 3;

impl Liveness {
    /// What a close look says of a connection with output outstanding; `None` if the kernel tells too little.
    pub(super) fn judge(&mut self, rules: &Rules, now: Moment, health: &TcpHealth) -> Option<Verdict> {
        let unacked = health.unacked?;
        let pending = self.pending.unwrap_or(now);
        let unheard = now.since(self.alive.max(pending));
        let rto = Duration::from_micros(self.rto_us.into());
        let stretched = |limit: Duration| limit.max((rto * 4).min(limit * STRETCH_MAX));
        // A receiver may also close the window with segments in flight (RFC 9293, section 3.8.6).
        if unacked == 0 || health.send_window == Some(0) {
            // Not heard since the oldest output was written: the cut may have been up to a heartbeat before that.
            let unheard_at_all = if self.alive < pending { rules.heartbeat } else { Duration::ZERO };
            let limit = stretched(rules.zero_window.saturating_sub(unheard_at_all));
            return Some(self.judge_closed_window(rules, now, health.probes, unheard, limit));
        }
        self.unanswered_probe = None;
        self.window_closed = false;
        let limit = stretched(rules.silence);
        // A peer that our retransmissions and nudges reach answers them with progress or with segments without data.
        // One that sends data only does not hear us. Where the kernel does not count them, lack of progress is left.
        let (deaf, deaf_limit) = match health.empty_segs_in {
            Some(_) => (now.since(self.answered.max(pending)), limit),
            None => (now.since(pending), stretched(rules.one_way)),
        };
        let suspect_after = rules.suspect_after;
        let talks = unheard < limit / 2;
        Some(if talks && (deaf_limit == limit || deaf >= deaf_limit) {
            Verdict { silent: deaf.max(unheard), limit: deaf_limit, evidence: Evidence::OneWay, suspect_after }
        } else {
            let silent = if deaf_limit == limit { deaf.max(unheard) } else { unheard };
            Verdict { silent, limit, evidence: Evidence::NoAck, suspect_after }
        })
    }

    /// The same with a closed window: the peer lives as long as it answers the probes of it.
    fn judge_closed_window(
        &mut self,
        rules: &Rules,
        now: Moment,
        probes: u8,
        unheard: Duration,
        limit: Duration,
    ) -> Verdict {
        self.window_closed = true;
        let silent = if rules.has_nudge || (rules.has_rto_max && self.prepared) {
            unheard
        } else if probes > 0 {
            // Probes thin out, so silence alone says nothing: only an unanswered probe does.
            let since = *self.unanswered_probe.get_or_insert(now);
            now.since(since).min(unheard)
        } else {
            self.unanswered_probe = None;
            Duration::ZERO
        };
        Verdict { silent, limit, evidence: Evidence::NoAck, suspect_after: rules.zero_window_suspect }
    }
}
