//! The state machine of one session, written as one function over plain values, and who may sit.
//!
//! Never does: looks anything up, tells anybody. [`Stand::next`] is the whole of the seat rules in time; its test
//! has one row for each of them. [`admits`] is the whole of them in number.

use std::time::Duration;

use super::{Asked, NoSeat};
use crate::config::Seats;
use crate::msg::{Evidence, LeftReason, Moment, Role};

/// After a reset nothing is announced for so long: a reloading browser may reset its old connection a moment before
/// its next request is read (measured: 25 to 100 ms), and is not gone. Far below what any profile promises.
pub const RESET_GRACE: Duration = Duration::from_millis(200);

/// How a session stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stand {
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

/// What happens to a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cue {
    /// A complete request. If it needs a seat, there is one.
    Asked(Asked),
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
    pub asked: Moment,
    /// Last sign of life other than those of links that were called lost.
    pub heard: Moment,
    /// It asked for HTML after its last link was opened.
    pub html: bool,
    /// It never showed a cookie: no browser, so that its requests are visits of their own.
    pub cookieless: bool,
}

/// What the others have to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tell {
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

impl Stand {
    /// Whether it has a seat.
    pub fn is_seated(self) -> bool {
        !matches!(self, Stand::Unseated | Stand::Lost { .. } | Stand::Ended(_))
    }

    /// When time itself changes it.
    pub fn deadline(self) -> Option<Moment> {
        match self {
            Stand::Lingering { until } | Stand::Plain { until } | Stand::Doubt { until, .. } => Some(until),
            _ => None,
        }
    }

    /// `by` later, because the server itself stood still for so long.
    pub fn later(self, by: Duration) -> Stand {
        match self {
            Stand::Lingering { until } => Stand::Lingering { until: until + by },
            Stand::Plain { until } => Stand::Plain { until: until + by },
            Stand::Doubt { until, last, evidence } => Stand::Doubt { until: until + by, last, evidence },
            other => other,
        }
    }

    /// Where `cue` leads, and what the others are told.
    pub fn next(self, cue: Cue, f: &Facts) -> (Stand, Tell) {
        match cue {
            Cue::End(reason) => self.ended(reason),
            Cue::Tick => self.ticked(f),
            Cue::Asked(asked) => self.asked(asked, f),
            Cue::Opened => match self {
                Stand::Ended(_) => (self, Tell::Nothing),
                Stand::Unseated => (Stand::Linked, Tell::Joined { returned: false }),
                Stand::Lost { until } => (Stand::Linked, Tell::Joined { returned: f.now <= until }),
                _ => (Stand::Linked, Tell::Nothing),
            },
            Cue::Closed if self == Stand::Linked => (f.without_links(), Tell::Nothing),
            Cue::Vanished { last, evidence: Evidence::Reset } if self == Stand::Linked => {
                // The machine is there and says that it does not know the connection. With a page asked for since
                // then, that page carries the session; otherwise wait a moment for it.
                if f.html {
                    (f.without_links(), Tell::Nothing)
                } else {
                    (Stand::Doubt { until: f.now + RESET_GRACE, last, evidence: Evidence::Reset }, Tell::Nothing)
                }
            }
            Cue::Vanished { last, evidence } if self == Stand::Linked => {
                self.vanished(last, evidence, f.without_links(), f)
            }
            // A reset plain connection is a download given up, a curl interrupted: no news of the person.
            Cue::PlainVanished { evidence: Evidence::Reset, .. } => (self, Tell::Nothing),
            Cue::PlainVanished { last, evidence } if self.is_seated() && self != Stand::Linked => {
                self.vanished(last, evidence, self, f)
            }
            Cue::Closed | Cue::Vanished { .. } | Cue::PlainVanished { .. } => (self, Tell::Nothing),
        }
    }

    fn asked(self, asked: Asked, f: &Facts) -> (Stand, Tell) {
        let html = matches!(asked, Asked::Page { html: true });
        let plain = Stand::Plain { until: f.now + f.plain };
        // A request of a page whose link has ended keeps the seat warm for its next link, no longer: else the
        // last words of a closed tab would hold the seat for a minute. A page asked for, or curl, is a visit.
        let linger = Stand::Lingering { until: f.now + f.linger };
        let carried = if html || (f.cookieless && asked != Asked::Link) { plain } else { linger };
        match self {
            Stand::Linked | Stand::Ended(_) => (self, Tell::Nothing),
            Stand::Plain { .. } => (plain, Tell::Nothing),
            Stand::Lingering { .. } | Stand::Doubt { .. } => (carried, Tell::Nothing),
            Stand::Unseated | Stand::Lost { .. } if asked == Asked::Read => (self, Tell::Nothing),
            Stand::Unseated | Stand::Lost { .. } => {
                let returned = matches!(self, Stand::Lost { until } if f.now <= until);
                (if asked == Asked::Link { linger } else { plain }, Tell::Joined { returned })
            }
        }
    }

    /// A verdict on the last connection that carried it, whose last sign of life was at `last`. `alone`: where it
    /// stands if only that connection died.
    fn vanished(self, last: Moment, evidence: Evidence, alone: Stand, f: &Facts) -> (Stand, Tell) {
        let silence = f.now.since(last);
        // A living connection is heard with every heartbeat. If the person was heard when this one had missed
        // a whole one and more, the connection died alone.
        let alone_after = (f.beat * 2).min(silence / 2);
        if f.heard > last + alone_after {
            (alone, Tell::Nothing)
        } else if f.heard > last {
            // Heard between two heartbeats: the same silence has to run from there.
            (Stand::Doubt { until: f.heard + silence, last: f.heard, evidence }, Tell::Nothing)
        } else {
            (Stand::Lost { until: f.now + f.returned_within }, Tell::Lost { last, evidence })
        }
    }

    fn ticked(self, f: &Facts) -> (Stand, Tell) {
        match self {
            Stand::Lingering { until } | Stand::Plain { until } if until <= f.now => {
                (Stand::Unseated, Tell::Left(LeftReason::Closed))
            }
            Stand::Doubt { until, last, evidence } if until <= f.now => {
                (Stand::Lost { until: f.now + f.returned_within }, Tell::Lost { last, evidence })
            }
            _ => (self, Tell::Nothing),
        }
    }

    fn ended(self, reason: LeftReason) -> (Stand, Tell) {
        let next = if is_final(reason) { Stand::Ended(reason) } else { Stand::Unseated };
        match self {
            Stand::Ended(_) => (self, Tell::Nothing),
            _ if self.is_seated() => (next, Tell::Left(reason)),
            _ => (next, Tell::Nothing),
        }
    }
}

impl Facts {
    /// Where a seated session stands after its last link ended in order.
    fn without_links(&self) -> Stand {
        let linger = self.now + self.linger;
        if self.html {
            Stand::Plain { until: linger.max(self.asked + self.plain) }
        } else {
            Stand::Lingering { until: linger }
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

/// Who sits already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// All together.
    pub all: u16,
    /// Of these: admins.
    pub admins: u16,
    /// Of these: the same user's.
    pub of_user: u16,
}

/// Whether one more of `role` may sit.
pub fn admits(seats: &Seats, taken: Taken, role: Role) -> Result<(), NoSeat> {
    if seats.per_user > 0 && taken.of_user >= seats.per_user {
        return Err(NoSeat::PerUser);
    }
    let free = seats.max.saturating_sub(taken.all);
    let kept = if role == Role::Admin { 0 } else { seats.reserved.saturating_sub(taken.admins) };
    if free > kept { Ok(()) } else { Err(NoSeat::Full) }
}

#[cfg(test)]
mod tests;
