//! Who gets a seat, who gives way, who is turned away.

use std::time::Duration;

use super::session_state::{SessionState, Trigger};
use super::session_table::Session;
use super::{Hub, NoSeat, Purpose};
use crate::config::Seats;
use crate::msg::{Effects, LeftReason, Moment, Now, PeerAddr, Presence, Role, SessionId, What};

/// An address is told of in `turned_away` at most once in so long.
const TURNED_AWAY_EVERY: Duration = Duration::from_secs(60);

/// Addresses remembered for that; of more than so many in a minute the rest is not told of: one line tells of a
/// crowd as well as a thousand.
const TURNED_AWAY_MAX: usize = 256;

/// Who sits already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Taken {
    /// All together.
    all: u16,
    /// Of these: admins.
    admins: u16,
    /// Of these: the same user's.
    of_user: u16,
}

/// Whether one more of `role` may sit.
fn has_room(seats: &Seats, taken: Taken, role: Role) -> Result<(), NoSeat> {
    if seats.per_user > 0 && taken.of_user >= seats.per_user {
        return Err(NoSeat::PerUser);
    }
    let free = seats.max.saturating_sub(taken.all);
    let kept = if role == Role::Admin { 0 } else { seats.reserved.saturating_sub(taken.admins) };
    if free > kept { Ok(()) } else { Err(NoSeat::Full) }
}

impl Hub {
    /// A complete request of session `id`: takes a seat if it needs one and has none. Returns the seat that it has.
    /// Not to be called for `logout`, `bye`, `beat`, errors and open paths. While the server stops pages need none.
    ///
    /// # Errors
    /// No seat, or no such session. Those inside are told `turned_away`.
    pub(super) fn request(
        &mut self,
        now: Now,
        id: SessionId,
        purpose: Purpose,
        fx: &mut Effects,
    ) -> Result<Option<u16>, NoSeat> {
        self.forget_expired(now, id);
        let s = self.sessions.get_mut(id).ok_or(NoSeat::Unknown)?;
        if let SessionState::Ended(reason) = s.state {
            return Err(NoSeat::Ended(reason));
        }
        if self.stopping {
            return if matches!(purpose, Purpose::Page { .. } | Purpose::Read) {
                Ok(None)
            } else {
                Err(NoSeat::Stopping)
            };
        }
        s.used = now.mono;
        if purpose != Purpose::Read && s.seat.is_none() {
            self.ensure_seat(now, id, fx)?;
        }
        if let Some(s) = self.sessions.get_mut(id) {
            (s.requested, s.heard) = (now.mono, now.mono);
            if matches!(purpose, Purpose::Page { .. } | Purpose::Act) {
                s.active = now.mono;
            }
            s.html |= purpose == Purpose::Page { html: true };
        }
        self.advance(now, id, Trigger::Requested(purpose), fx);
        self.refresh(now, id, fx);
        Ok(self.sessions.get(id).and_then(|s| s.seat))
    }

    /// See [`View::seat_available`](super::View::seat_available).
    pub(super) fn seat_available(&self, now: Now, id: SessionId) -> Result<(), NoSeat> {
        let s = self.sessions.get(id).filter(|s| !self.is_expired(now, s)).ok_or(NoSeat::Unknown)?;
        if let SessionState::Ended(reason) = s.state {
            return Err(NoSeat::Ended(reason));
        }
        if self.stopping {
            return Err(NoSeat::Stopping);
        }
        if s.seat.is_some() {
            return Ok(());
        }
        self.admits(id, None).or_else(|no| self.yielding(id, no).map(|_| ()).ok_or(no))
    }

    pub(super) fn plain_heard(&mut self, id: SessionId, at: Moment) {
        if let Some(s) = self.sessions.get_mut(id) {
            s.heard = s.heard.max(at);
        }
    }

    /// Makes sure that `id` sits or may sit down, if need be by taking the seat of one who yields.
    pub(super) fn ensure_seat(&mut self, now: Now, id: SessionId, fx: &mut Effects) -> Result<(), NoSeat> {
        if self.sessions.get(id).is_none_or(|s| s.seat.is_some()) {
            return Ok(());
        }
        let Err(no) = self.admits(id, None) else { return Ok(()) };
        if let Some((other, reason)) = self.yielding(id, no) {
            self.end(now, other, reason, fx);
            return Ok(());
        }
        self.turn_away(now, id, fx);
        Err(no)
    }

    /// Whether `id` may sit down (if `without` stood up).
    fn admits(&self, id: SessionId, without: Option<SessionId>) -> Result<(), NoSeat> {
        let Some(s) = self.sessions.get(id) else { return Err(NoSeat::Unknown) };
        let mut taken = Taken::default();
        for other in self.sessions.seated().filter(|&o| Some(o) != without).filter_map(|o| self.sessions.get(o)) {
            taken.all += 1;
            taken.admins += u16::from(other.role == Role::Admin);
            taken.of_user += u16::from(other.user == s.user);
        }
        has_room(&self.settings.seats, taken, s.role)
    }

    /// Who gives way to `id`, for which there is no seat: the newcomer's own session that is suspect or whose page
    /// has stopped; if all seats are taken, the member whose page has stopped for the longest. Never one that holds control.
    fn yielding(&self, id: SessionId, no: NoSeat) -> Option<(SessionId, LeftReason)> {
        let me = self.sessions.get(id)?;
        let longest = |which: &dyn Fn(&Session) -> bool| {
            self.sessions
                .seated()
                .filter_map(|o| self.sessions.get(o).filter(|s| which(s)).map(|s| (s.shown.since, o)))
                .filter(|&(_, o)| !self.holds_control(o) && self.admits(id, Some(o)).is_ok())
                .min()
                .map(|(_, o)| o)
        };
        // Behind a proxy on a unix socket one address says nothing.
        let own = longest(&|s| {
            let absent = s.shown.state == Presence::Suspect || s.shown.page_stalled();
            absent && s.user == me.user && s.addr == me.addr && s.addr != PeerAddr::Unix
        });
        if let Some(own) = own {
            return Some((own, LeftReason::Replaced));
        }
        match no {
            NoSeat::Full => longest(&|s| s.shown.page_stalled()).map(|o| (o, LeftReason::Stalled)),
            _ => None,
        }
    }

    fn turn_away(&mut self, now: Now, id: SessionId, fx: &mut Effects) {
        let Some(s) = self.sessions.get(id) else { return };
        let (addr, user) = (s.addr, s.user.clone());
        self.turned_away.retain(|&(_, at)| now.mono.since(at) < TURNED_AWAY_EVERY);
        if self.turned_away.len() < TURNED_AWAY_MAX && self.turned_away.iter().all(|&(a, _)| a != addr) {
            self.turned_away.push((addr, now.mono));
            self.counters.turned_away += 1;
            self.record(now, What::TurnedAway { addr, user }, fx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn who_may_sit_down() {
        let seats = |max, per_user, reserved| Seats { max, per_user, reserved, ..Config::default().seats };
        let taken = |all, admins, of_user| Taken { all, admins, of_user };
        let rows = [
            // settings, taken (all, admins, own), role, answer
            (seats(2, 0, 0), taken(1, 0, 0), Role::Viewer, Ok(())),
            (seats(2, 0, 0), taken(2, 0, 0), Role::Viewer, Err(NoSeat::Full)),
            (seats(2, 0, 0), taken(2, 0, 0), Role::Admin, Err(NoSeat::Full)),
            (seats(2, 0, 1), taken(1, 0, 0), Role::Operator, Err(NoSeat::Full)),
            (seats(2, 0, 1), taken(1, 0, 0), Role::Admin, Ok(())),
            (seats(2, 0, 1), taken(1, 1, 0), Role::Operator, Ok(())),
            (seats(4, 0, 2), taken(2, 1, 0), Role::Operator, Ok(())),
            (seats(4, 0, 2), taken(2, 0, 0), Role::Operator, Err(NoSeat::Full)),
            (seats(4, 0, 2), taken(3, 2, 0), Role::Operator, Ok(())),
            (seats(9, 1, 0), taken(1, 0, 1), Role::Operator, Err(NoSeat::PerUser)),
            (seats(9, 2, 0), taken(1, 0, 1), Role::Operator, Ok(())),
            (seats(1, 1, 0), taken(1, 0, 1), Role::Operator, Err(NoSeat::PerUser)),
            // After `max` was lowered.
            (seats(1, 0, 0), taken(3, 0, 0), Role::Admin, Err(NoSeat::Full)),
        ];
        for (s, t, role, answer) in rows {
            assert_eq!(has_room(&s, t, role), answer, "{s:?} {t:?} {role}");
        }
    }
}
