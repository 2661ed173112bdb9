//! The dead man's switch as plain values: what a holder of control has to do, and when each way of not doing it ends
//! control. Its one rule: control never outlives its holder's ability to act. What cannot be told apart from a holder
//! who cannot act counts as one.
//!
//! Time in which this server itself did not run could not bring a sign from the holder. It can be forced from outside
//! (a flood, a process that is stopped and continued), so it earns little: [`Hold::stood_still`] moves only the time of
//! `control.page_after`, and for all stalls of one hold together by no more than that time itself. `control.max_silence`
//! earns nothing: it counts from the sending of the newest answered beat, whatever the transport or this server did.

use std::rc::Rc;
use std::time::Duration;

use crate::config::Control;
use crate::msg::{ControlReason, Member, Moment, SessionId};

/// How long an offer stands.
pub const OFFER_FOR: Duration = Duration::from_secs(10);

/// Whatever `seats.linger` is: a device does not move on for longer without a page on the other side.
pub const LINGER_MAX: Duration = Duration::from_secs(3);

/// A session's control of one device.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    /// The session.
    pub(super) session: SessionId,
    /// As they looked when they took it.
    pub(super) member: Rc<Member>,
    keep: Keep,
    /// The newest sign that they can act.
    sign: Moment,
    /// They had a link since they took it.
    had_link: bool,
    /// They had, all have ended, and since when.
    pub(super) unlinked: Option<Moment>,
    pub(super) offer: Option<Offer>,
    credit: Credit,
}

/// What stalls of this server have earned one hold so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Credit {
    given: Duration,
}

impl Credit {
    /// What a stall of `gap` earns, if all stalls of this hold together may earn `most`.
    fn earn(&mut self, gap: Duration, most: Duration) -> Duration {
        let earned = gap.min(most.saturating_sub(self.given));
        self.given += earned;
        earned
    }
}

/// What keeps control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Means {
    /// A page's answers to beats.
    Page,
    /// A lease of this length.
    Lease(Duration),
}

/// What keeps control alive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keep {
    /// A page that names the device in its answers to beats.
    Page {
        /// The newest beat that was answered so. Each counts once, whichever page answers it and over which link.
        newest: Option<u64>,
        /// How long none was answered while one could have been, up to `since`.
        quiet: Duration,
        /// Since when that goes on; `None` while the transport is suspect or there is none.
        since: Option<Moment>,
    },
    /// A lease.
    Lease {
        /// Until when.
        until: Moment,
        /// For so long at a time.
        length: Duration,
    },
}

/// Control offered to another member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Offer {
    /// To whom.
    pub(super) to: SessionId,
    /// They may take it before then.
    pub(super) until: Moment,
}

/// How the holder's links are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// There are none.
    Unlinked,
    /// All are silent; the last sign of life on any of them came then.
    Suspect(Moment),
    /// At least one is heard.
    Heard,
}

impl Hold {
    /// Control that begins now, kept by `means`.
    pub(super) fn new(now: Moment, member: Rc<Member>, means: Means, reach: Reach) -> Hold {
        let keep = match means {
            Means::Page => {
                Keep::Page { newest: None, quiet: Duration::ZERO, since: (reach == Reach::Heard).then_some(now) }
            }
            Means::Lease(length) => Keep::Lease { until: now + length, length },
        };
        let had_link = reach != Reach::Unlinked;
        let (session, credit) = (member.session, Credit::default());
        Hold { session, member, keep, sign: now, had_link, unlinked: None, offer: None, credit }
    }

    /// The holder takes once more, and what keeps control from now on is `means`: a lease begins anew. A page's time does
    /// not, since only its answers count, and what stalls have earned stays spent.
    pub(super) fn retake(&mut self, now: Moment, means: Means, reach: Reach) {
        match (means, &mut self.keep) {
            (Means::Page, Keep::Page { .. }) => {}
            (Means::Lease(length), Keep::Lease { until, length: old }) => {
                (*until, *old) = (now + length, length);
                self.sign = now;
            }
            (means, _) => {
                let fresh = Hold::new(now, self.member.clone(), means, reach);
                (self.keep, self.sign) = (fresh.keep, now);
                self.had_link |= fresh.had_link;
            }
        }
    }

    /// A page of theirs named the device in its answer to beat `n`, which was sent at `sent`.
    pub(super) fn named(&mut self, now: Moment, n: u64, sent: Moment) {
        let Keep::Page { newest, quiet, since } = &mut self.keep else { return };
        if newest.is_some_and(|newest| n <= newest) {
            return;
        }
        *newest = Some(n);
        *quiet = Duration::ZERO;
        if since.is_some() {
            *since = Some(now);
        }
        // it could act when it had the beat; the answer may have been on its way for long
        self.sign = self.sign.max(sent.min(now));
    }

    /// They took it once more, or commanded: a lease begins anew.
    pub(super) fn renew(&mut self, now: Moment) {
        if let Keep::Lease { until, length } = &mut self.keep {
            *until = now + *length;
            self.sign = now;
        }
    }

    /// How their links are now. `now` counts as the moment of the change, except that silence began with the last sign of
    /// life: an answer that got lost in an outage was not owed while the outage lasted.
    pub(super) fn follow(&mut self, now: Moment, reach: Reach) {
        if let Keep::Page { quiet, since, .. } = &mut self.keep {
            match (reach, *since) {
                (Reach::Heard, None) => *since = Some(now),
                (Reach::Suspect(_) | Reach::Unlinked, Some(from)) => {
                    let until = if let Reach::Suspect(heard) = reach { heard } else { now };
                    *quiet += until.since(from);
                    *since = None;
                }
                _ => {}
            }
        }
        if reach == Reach::Unlinked {
            // one who never had a link has none to lose
            self.unlinked = self.unlinked.or(self.had_link.then_some(now));
        } else {
            (self.had_link, self.unlinked) = (true, None);
        }
    }

    /// When control ends if nothing happens, and why.
    pub(super) fn end(&self, control: &Control, linger: Duration) -> (Moment, ControlReason) {
        let left = self.unlinked.map(|since| (since + linger.min(LINGER_MAX), ControlReason::Left));
        let kept = match self.keep {
            Keep::Lease { until, .. } => (until, ControlReason::Lease),
            Keep::Page { quiet, since, .. } => {
                let latest = self.sign + control.max_silence;
                let rest = control.page_after.saturating_sub(quiet);
                let soon = match since {
                    Some(since) => since + rest,
                    // it was over already when the links fell silent or ended: before anyone could look
                    None if rest.is_zero() => self.sign,
                    None => latest,
                };
                (latest.min(soon), ControlReason::Page)
            }
        };
        match left {
            Some(left) if left.0 <= kept.0 => left,
            _ => kept,
        }
    }

    /// How long ago the newest sign was that they could act, if control ends for `reason`.
    pub(super) fn since_sign(&self, now: Moment, reason: ControlReason) -> Duration {
        let left = self.unlinked.filter(|_| reason == ControlReason::Left);
        now.since(left.unwrap_or(self.sign))
    }

    /// This server did not run for `gap`. That earns a page at most one `page_after` in all, and nothing else.
    pub(super) fn stood_still(&mut self, gap: Duration, page_after: Duration) {
        if let Keep::Page { since: Some(since), .. } = &mut self.keep {
            *since = *since + self.credit.earn(gap, page_after);
        }
    }

    /// The whole board slept for `gap`, which the monotonic clock has not counted. It counts for a lease, and for how old
    /// the newest sign is.
    pub(super) fn slept(&mut self, gap: Duration) {
        match &mut self.keep {
            Keep::Lease { until, .. } => *until = *until - gap,
            Keep::Page { .. } => self.sign = self.sign - gap,
        }
    }

    pub(super) fn offered_to(&self, now: Moment, who: SessionId) -> bool {
        self.offer.is_some_and(|offer| offer.to == who && now < offer.until)
    }
}

#[cfg(test)]
mod tests;
