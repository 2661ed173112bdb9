//! Which request belongs to which session, and the end of sessions.

use std::rc::Rc;
use std::time::Duration;

use super::session_state::{SessionState, Trigger};
use super::session_table::Session;
use super::{EvictError, Hub};
use crate::msg::{
    CloseReason, ControlReason, Effect, Effects, LeftReason, Member, Moment, Now, PeerAddr, Role, SessionId,
};

/// How long an evicted user is refused from the address they were evicted at.
pub const EVICTED_FOR: Duration = Duration::from_secs(60);

/// Evictions remembered for that: an admin who clicks faster than four a second opens the oldest door again.
const EVICTIONS_MAX: usize = 256;

/// A request with good credentials and without a session's cookie.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SignIn<'a> {
    /// User name.
    pub user: &'a str,
    /// What that user may do.
    pub role: Role,
    /// Where the request comes from.
    pub addr: PeerAddr,
    /// Its User-Agent; empty without one. Cut to `Member::AGENT_MAX` bytes.
    pub agent: &'a str,
    /// The cookie that it showed, if that one is unknown, of another user or of an ended session.
    pub stale: Option<[u8; 16]>,
    /// The session of the last request on the same connection: most likely this one's, too.
    pub last: Option<SessionId>,
    /// Secret random bytes: the cookie, if a new session begins.
    pub random: [u8; 16],
}

/// An evicted user and where.
#[derive(Debug)]
pub(super) struct Eviction {
    user: Rc<str>,
    addr: PeerAddr,
    until: Moment,
}

impl Hub {
    pub(super) fn cookie_shown(&mut self, now: Now, id: SessionId) {
        if self.forget_expired(now, id) {
            return;
        }
        if let Some(s) = self.sessions.get_mut(id).filter(|s| !matches!(s.state, SessionState::Ended(_))) {
            s.used = now.mono;
            s.has_shown_cookie = true;
        }
    }

    /// The session of a request with good credentials, and its cookie for the answer: one that the request may join,
    /// or a new one, without a seat yet. A door of its own: a request without a session has no name to ask by, and it
    /// goes on with the answer.
    pub fn sign_in(&mut self, now: Now, who: SignIn<'_>) -> (SessionId, [u8; 16]) {
        let agent = cut(who.agent, Member::AGENT_MAX);
        if let Some(id) = self.join_for(now, &who, agent) {
            if let Some(s) = self.sessions.get_mut(id) {
                s.used = now.mono;
                s.role = who.role;
                let cookie = s.cookie;
                if let (None, Some(stale)) = (s.stale, who.stale) {
                    self.sessions.came_with(id, stale);
                }
                return (id, cookie);
            }
        }
        let id = self.new_name();
        self.sessions.add(id, Session::new(now, &who, agent));
        (id, who.random)
    }

    /// One client's requests come in parallel, before the first answer has brought the cookie. The same unknown
    /// cookie says that they are one client's; else the same user, address and agent do, unless a cookie says
    /// otherwise. On a unix listener all clients have one address and often one agent.
    fn join_for(&mut self, now: Now, who: &SignIn<'_>, agent: &str) -> Option<SessionId> {
        if let Some(stale) = &who.stale {
            let found = self.sessions.by_stale(who.user, who.addr, stale);
            if let Some(id) = found.filter(|&id| self.may_join(now, id, |s| s.stale == Some(*stale), who)) {
                return Some(id);
            }
        }
        if who.addr == PeerAddr::Unix {
            return None;
        }
        let fits =
            |s: &Session| !s.has_shown_cookie && &*s.agent == agent && (who.stale.is_none() || s.stale.is_none());
        if let Some(id) = who.last.filter(|&id| self.may_join(now, id, fits, who)) {
            return Some(id);
        }
        let found = self.sessions.by_agent(who.user, who.addr, agent);
        found.filter(|&id| self.may_join(now, id, fits, who))
    }

    /// The hash has only found it; what it stands for decides.
    fn may_join(&mut self, now: Now, id: SessionId, fits: impl Fn(&Session) -> bool, who: &SignIn<'_>) -> bool {
        if self.forget_expired(now, id) {
            return false;
        }
        let same = |s: &Session| &*s.user == who.user && s.addr == who.addr && fits(s);
        self.sessions.get(id).is_some_and(|s| same(s) && !matches!(s.state, SessionState::Ended(_)))
    }

    /// Sessions without a seat cost no timer: their lifetime is looked at when they are looked up.
    pub(super) fn forget_expired(&mut self, now: Now, id: SessionId) -> bool {
        let Some(s) = self.sessions.get(id) else { return true };
        let expired = self.is_expired(now, s);
        if expired {
            self.sessions.remove(id);
        }
        expired
    }

    pub(super) fn is_expired(&self, now: Now, s: &Session) -> bool {
        s.seat.is_none() && now.mono.since(s.used) >= self.settings.lifetime
    }

    fn new_name(&mut self) -> SessionId {
        loop {
            // SplitMix64 (Steele, Lea, Flood 2014): public names have to differ, not to be secret.
            self.names = self.names.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.names;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let id = SessionId((z ^ (z >> 31)) as u32);
            if self.sessions.get(id).is_none() {
                return id;
            }
        }
    }

    /// Whether this user was evicted at this address less than [`EVICTED_FOR`] ago.
    pub(super) fn is_evicted(&self, now: Now, user: &str, addr: PeerAddr) -> bool {
        self.evictions.iter().any(|b| b.until > now.mono && b.addr == addr && &*b.user == user)
    }

    /// An admin takes the seat of `id` away; its user is refused from that address for [`EVICTED_FOR`].
    ///
    /// # Errors
    /// `by` is no admin; no member has that name.
    pub(super) fn evict(&mut self, now: Now, by: SessionId, id: SessionId, fx: &mut Effects) -> Result<(), EvictError> {
        if self.sessions.get(by).is_none_or(|s| s.role != Role::Admin) {
            return Err(EvictError::Role);
        }
        let Some(s) = self.sessions.get(id).filter(|s| s.seat.is_some()) else { return Err(EvictError::NoMember) };
        let (user, addr) = (s.user.clone(), s.addr);
        self.evictions.retain(|b| b.until > now.mono);
        if self.evictions.len() >= EVICTIONS_MAX {
            self.evictions.remove(0);
        }
        self.evictions.push(Eviction { user, addr, until: now.mono + EVICTED_FOR });
        self.end(now, id, LeftReason::Evicted, fx);
        Ok(())
    }

    pub(super) fn user_changed(&mut self, now: Now, user: &str, fx: &mut Effects) {
        let theirs: Vec<SessionId> = self.sessions.of_user(user).map(|(id, _)| id).collect();
        for id in theirs {
            self.expire(now, id, fx);
        }
    }

    pub(super) fn role_changed(&mut self, now: Now, user: &str, role: Role, fx: &mut Effects) {
        let mut theirs = Vec::new();
        for (id, s) in self.sessions.of_user(user) {
            s.role = role;
            theirs.push(id);
        }
        if role < Role::Operator {
            for id in theirs {
                self.holder_gone(now, id, ControlReason::Left, None, fx);
            }
        }
    }

    /// Ends and forgets a session.
    pub(super) fn expire(&mut self, now: Now, id: SessionId, fx: &mut Effects) {
        self.end(now, id, LeftReason::Expired, fx);
        self.sessions.remove(id);
    }

    /// Takes the seat away and closes what is open; for the final reasons the session is over for good.
    pub(super) fn end(&mut self, now: Now, id: SessionId, reason: LeftReason, fx: &mut Effects) {
        let why = CloseReason::from(reason);
        let links = self.sessions.get_mut(id).map(|s| std::mem::take(&mut s.links)).unwrap_or_default();
        for conn in links {
            self.links.remove(&conn);
            fx.push(Effect::Close { conn, why });
        }
        self.close_parked(|p| p.session == id, why, fx);
        self.advance(now, id, Trigger::End(reason), fx);
    }
}

/// At most `max` bytes of `text`, whole characters.
fn cut(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
