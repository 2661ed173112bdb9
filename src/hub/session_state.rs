//! The state machine of one session, written as one function over plain values.
//!
//! Never does: looks anything up, tells anybody. [`SessionState::next`] is the whole of the seat rules in time; its test
//! has one row for each of them.

use std::time::Duration;

use super::Purpose;
use crate::msg::{Evidence, LeftReason, Moment};

/// After a reset nothing is announced for so long: a reloading browser may reset its old connection a moment before
/// its next request is read (measured: 25 to 100 ms), and is not gone. Far below what any profile promises.
pub const RESET_GRACE: Duration = Duration::from_millis(200);

/// The state of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionState {
    /// Known, without a seat.
    Unseated,
    /// Seated, carried by a link.
    Linked,
    /// Seated; its last link closed in order, and the next one is expected.
    Lingering {
        /// Then it has left.
        until: Moment,
    },
    /// Seated without a link: plain pages, curl.
    Plain {
        /// Then it has left.
        until: Moment,
    },
    /// Seated; its last link is lost, but something newer than that link was heard, or may be about to be.
    Doubt {
        /// Then it is lost.
        until: Moment,
        /// Its last sign of life.
        last: Moment,
        /// What the link's verdict rested on.
        evidence: Evidence,
    },
    /// Not seated; vanished.
    Lost {
        /// Until then it comes back as `returned`.
        until: Moment,
    },
    /// Over for good.
    Ended(LeftReason),
}

/// What moves it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// A complete request. If it needs a seat, there is one.
    Requested(Purpose),
    /// A link was opened. If it needs a seat, there is one.
    Opened,
    /// Its last link ended in order.
    Closed,
    /// Its last link was called lost.
    Vanished {
        /// The last sign of life on links.
        last: Moment,
        /// How we know.
        evidence: Evidence,
    },
    /// The last of its plain connections was called lost.
    PlainVanished {
        /// The last sign of life on it.
        last: Moment,
        /// How we know.
        evidence: Evidence,
    },
    /// Time has passed.
    Tick,
    /// The seat is taken away, or the session is over.
    End(LeftReason),
}

/// What a decision rests on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Facts {
    /// This turn.
    pub now: Moment,
    /// `seats.linger`.
    pub linger: Duration,
    /// `seats.plain`.
    pub plain: Duration,
    /// The profile's value.
    pub returned_within: Duration,
    /// Between heartbeats, at most.
    pub beat: Duration,
    /// Last complete request.
    pub requested: Moment,
    /// Last sign of life other than those of links that were called lost.
    pub heard: Moment,
    /// It asked for HTML after its last link was opened.
    pub html: bool,
    /// It never showed a cookie: no browser, so that its requests are visits of their own.
    pub cookieless: bool,
}

/// What the others have to be told of a transition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Announcement {
    /// Nothing: the same member, or still none.
    Nothing,
    /// It takes a seat.
    Joined {
        /// It was lost and is back.
        returned: bool,
    },
    /// It gives its seat back.
    Left(LeftReason),
    /// It has vanished.
    Lost {
        /// Its last sign of life.
        last: Moment,
        /// How we know.
        evidence: Evidence,
    },
}

impl SessionState {
    /// Whether it has a seat.
    pub fn is_seated(self) -> bool {
        !matches!(self, SessionState::Unseated | SessionState::Lost { .. } | SessionState::Ended(_))
    }

    /// When time itself changes it.
    pub fn deadline(self) -> Option<Moment> {
        match self {
            SessionState::Lingering { until } | SessionState::Plain { until } | SessionState::Doubt { until, .. } => {
                Some(until)
            }
            _ => None,
        }
    }

    /// `by` later, because the server itself stood still for so long.
    pub fn later(self, by: Duration) -> SessionState {
        match self {
            SessionState::Lingering { until } => SessionState::Lingering { until: until + by },
            SessionState::Plain { until } => SessionState::Plain { until: until + by },
            SessionState::Doubt { until, last, evidence } => SessionState::Doubt { until: until + by, last, evidence },
            other => other,
        }
    }

    /// Where `trigger` leads, and what the others are told.
    pub fn next(self, trigger: Trigger, f: &Facts) -> (SessionState, Announcement) {
        match trigger {
            Trigger::End(reason) => self.ended(reason),
            Trigger::Tick => self.ticked(f),
            Trigger::Requested(purpose) => self.requested(purpose, f),
            Trigger::Opened => match self {
                SessionState::Ended(_) => (self, Announcement::Nothing),
                SessionState::Unseated => (SessionState::Linked, Announcement::Joined { returned: false }),
                SessionState::Lost { until } => {
                    (SessionState::Linked, Announcement::Joined { returned: f.now <= until })
                }
                _ => (SessionState::Linked, Announcement::Nothing),
            },
            Trigger::Closed if self == SessionState::Linked => (f.without_links(), Announcement::Nothing),
            Trigger::Vanished { last, evidence: Evidence::Reset } if self == SessionState::Linked => {
                // The machine is there and says that it does not know the connection. With a page asked for since
                // then, that page carries the session; otherwise wait a moment for it.
                if f.html {
                    (f.without_links(), Announcement::Nothing)
                } else {
                    (
                        SessionState::Doubt { until: f.now + RESET_GRACE, last, evidence: Evidence::Reset },
                        Announcement::Nothing,
                    )
                }
            }
            Trigger::Vanished { last, evidence } if self == SessionState::Linked => {
                self.vanished(last, evidence, f.without_links(), f)
            }
            // A reset plain connection is a download given up, a curl interrupted: no news of the person.
            Trigger::PlainVanished { evidence: Evidence::Reset, .. } => (self, Announcement::Nothing),
            Trigger::PlainVanished { last, evidence } if self.is_seated() && self != SessionState::Linked => {
                self.vanished(last, evidence, self, f)
            }
            Trigger::Closed | Trigger::Vanished { .. } | Trigger::PlainVanished { .. } => (self, Announcement::Nothing),
        }
    }

    fn requested(self, purpose: Purpose, f: &Facts) -> (SessionState, Announcement) {
        let html = matches!(purpose, Purpose::Page { html: true });
        let plain = SessionState::Plain { until: f.now + f.plain };
        // A request of a page whose link has ended keeps the seat warm for its next link, no longer: else the
        // last words of a closed tab would hold the seat for a minute. A page asked for, or curl, is a visit.
        let linger = SessionState::Lingering { until: f.now + f.linger };
        let carried = if html || (f.cookieless && purpose != Purpose::Link) { plain } else { linger };
        match self {
            SessionState::Linked | SessionState::Ended(_) => (self, Announcement::Nothing),
            SessionState::Plain { .. } => (plain, Announcement::Nothing),
            SessionState::Lingering { .. } | SessionState::Doubt { .. } => (carried, Announcement::Nothing),
            SessionState::Unseated | SessionState::Lost { .. } if purpose == Purpose::Read => {
                (self, Announcement::Nothing)
            }
            SessionState::Unseated | SessionState::Lost { .. } => {
                let returned = matches!(self, SessionState::Lost { until } if f.now <= until);
                (if purpose == Purpose::Link { linger } else { plain }, Announcement::Joined { returned })
            }
        }
    }

    /// A verdict on the last connection that carried it, whose last sign of life was at `last`. `alone`: where it
    /// stands if only that connection died.
    fn vanished(
        self,
        last: Moment,
        evidence: Evidence,
        alone: SessionState,
        f: &Facts,
    ) -> (SessionState, Announcement) {
        let silence = f.now.since(last);
        // A living connection is heard with every heartbeat. If the person was heard when this one had missed
        // a whole one and more, the connection died alone.
        let alone_after = (f.beat * 2).min(silence / 2);
        if f.heard > last + alone_after {
            (alone, Announcement::Nothing)
        } else if f.heard > last {
            // Heard between two heartbeats: the same silence has to run from there.
            (SessionState::Doubt { until: f.heard + silence, last: f.heard, evidence }, Announcement::Nothing)
        } else {
            (SessionState::Lost { until: f.now + f.returned_within }, Announcement::Lost { last, evidence })
        }
    }

    fn ticked(self, f: &Facts) -> (SessionState, Announcement) {
        match self {
            SessionState::Lingering { until } | SessionState::Plain { until } if until <= f.now => {
                (SessionState::Unseated, Announcement::Left(LeftReason::Closed))
            }
            SessionState::Doubt { until, last, evidence } if until <= f.now => {
                (SessionState::Lost { until: f.now + f.returned_within }, Announcement::Lost { last, evidence })
            }
            _ => (self, Announcement::Nothing),
        }
    }

    fn ended(self, reason: LeftReason) -> (SessionState, Announcement) {
        let next = if is_final(reason) { SessionState::Ended(reason) } else { SessionState::Unseated };
        match self {
            SessionState::Ended(_) => (self, Announcement::Nothing),
            _ if self.is_seated() => (next, Announcement::Left(reason)),
            _ => (next, Announcement::Nothing),
        }
    }
}

impl Facts {
    /// Where a seated session stands after its last link ended in order.
    fn without_links(&self) -> SessionState {
        let linger = self.now + self.linger;
        if self.html {
            SessionState::Plain { until: linger.max(self.requested + self.plain) }
        } else {
            SessionState::Lingering { until: linger }
        }
    }
}

/// Whether a session that left for this reason is over for good: its page waits for a click instead of coming back.
pub fn is_final(reason: LeftReason) -> bool {
    match reason {
        LeftReason::Logout | LeftReason::Evicted | LeftReason::Idle | LeftReason::Replaced => true,
        LeftReason::Closed | LeftReason::Slow | LeftReason::Stalled | LeftReason::Expired => false,
    }
}

#[cfg(test)]
mod tests;
