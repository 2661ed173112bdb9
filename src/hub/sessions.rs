//! Which request belongs to which session, and the end of sessions.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::chat::Bucket;
use super::roster::Shown;
use super::seats::{Cue, Stand};
use super::{EvictError, Hub, Newcomer};
use crate::fnv::KeyedMap;
use crate::msg::{
    CloseReason, ConnId, ControlReason, Effect, Effects, LeftReason, Member, Moment, Now, PeerAddr, Role, SessionId,
};

/// Sessions without a seat that are remembered: more than any board's people, and some hundred kilobytes at most.
/// The longest unused go first.
pub const UNSEATED_MAX: usize = 1024;

/// Of them, one user's at most: new ones push out that user's own.
pub const UNSEATED_OF_USER: usize = UNSEATED_MAX / 4;

/// How long an evicted user is refused from the address they were evicted at.
pub const BARRED_FOR: Duration = Duration::from_secs(60);

/// Evictions remembered for that: an admin who clicks faster than four a second opens the oldest door again.
const BARRED_MAX: usize = 256;

/// Pages whose connection numbers are remembered for each session, so that their ghosts are known. Browsers give
/// out when a few dozen tabs of one server are open.
const TABS_MAX: usize = 32;

/// One browser (or one curl user at one address) that has authenticated.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) user: Rc<str>,
    pub(super) role: Role,
    pub(super) addr: PeerAddr,
    pub(super) agent: Rc<str>,
    pub(super) cookie: [u8; 16],
    /// The unknown cookie that it came with.
    pub(super) stale: Option<[u8; 16]>,
    /// It has shown its cookie: a browser, not curl.
    pub(super) has_shown_cookie: bool,
    pub(super) stand: Stand,
    /// Some exactly while `stand` is a seated one.
    pub(super) seat: Option<u16>,
    /// Wall clock: since it has the seat, or began.
    pub(super) since_ms: u64,
    /// Its live links, oldest first.
    pub(super) links: Vec<ConnId>,
    pub(super) tabs: VecDeque<TabSeen>,
    /// It asked for HTML after its last link was opened.
    pub(super) html: bool,
    /// For its lifetime.
    pub(super) used: Moment,
    /// Its last complete request.
    pub(super) asked: Moment,
    /// Last sign of life other than those of links that were called lost.
    pub(super) heard: Moment,
    /// The latest sign of life of links that were called lost.
    pub(super) heard_on_lost: Moment,
    /// For `seats.idle`.
    pub(super) active: Moment,
    pub(super) bucket: Bucket,
    /// Of its ration of emergency stops.
    pub(super) stops: super::stops::Used,
    pub(super) shown: Shown,
    /// It has a place in the queue of those to be forgotten.
    queued: bool,
}

/// What is remembered of one page.
#[derive(Debug)]
pub(super) struct TabSeen {
    pub(super) name: Rc<str>,
    /// Links with lower numbers are ghosts.
    pub(super) lowest: u64,
}

impl Session {
    /// The lowest connection number that is no ghost of this page.
    pub(super) fn lowest_of(&self, tab: &str) -> u64 {
        self.tabs.iter().find(|t| &*t.name == tab).map_or(0, |t| t.lowest)
    }

    /// Connections of this page below `lowest` are ghosts from now on.
    pub(super) fn raise_tab(&mut self, tab: &str, lowest: u64) {
        if let Some(known) = self.tabs.iter_mut().find(|t| &*t.name == tab) {
            known.lowest = known.lowest.max(lowest);
            return;
        }
        if self.tabs.len() >= TABS_MAX {
            self.tabs.pop_front();
        }
        self.tabs.push_back(TabSeen { name: Rc::from(tab), lowest });
    }
}

/// An evicted user and where.
#[derive(Debug)]
pub(super) struct Barred {
    user: Rc<str>,
    addr: PeerAddr,
    until: Moment,
}

/// All sessions, and the ways to find one.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: BTreeMap<SessionId, Session>,
    /// By keyed hash with a key of this process, so that the time of a look-up tells nothing of the cookies that
    /// there are: only a guess that hits the hash is ever compared with one. Never iterated over.
    cookies: HashMap<[u8; 16], SessionId>,
    /// Sessions that a request without their cookie may join, by the keyed hash of what has to agree.
    /// Never iterated over.
    joins: KeyedMap<u64, SessionId>,
    key: RandomState,
    seats: BTreeMap<u16, SessionId>,
    /// Those without a seat, roughly by last use; exact when it matters.
    forgettable: VecDeque<(SessionId, Moment)>,
}

impl Sessions {
    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.all.get_mut(&id)
    }

    pub(super) fn by_cookie(&self, cookie: &[u8; 16]) -> Option<SessionId> {
        self.cookies.get(cookie).copied()
    }

    /// The seated ones, by seat.
    pub(super) fn seated(&self) -> impl Iterator<Item = SessionId> {
        self.seats.values().copied()
    }

    pub(super) fn known(&self) -> usize {
        self.all.len()
    }

    pub(super) fn taken(&self) -> usize {
        self.seats.len()
    }

    /// Gives `id` the lowest free seat.
    pub(super) fn seat(&mut self, id: SessionId) -> u16 {
        let mut seat = 1;
        for &taken in self.seats.keys() {
            if taken != seat {
                break;
            }
            seat += 1;
        }
        self.seats.insert(seat, id);
        if let Some(s) = self.all.get_mut(&id) {
            s.seat = Some(seat);
        }
        seat
    }

    /// Takes the seat of `id` away.
    pub(super) fn unseat(&mut self, id: SessionId) {
        if let Some(seat) = self.all.get_mut(&id).and_then(|s| s.seat.take()) {
            self.seats.remove(&seat);
        }
        self.note_unseated(id);
    }

    fn note_unseated(&mut self, id: SessionId) {
        if let Some(s) = self.all.get_mut(&id) {
            if !s.queued {
                s.queued = true;
                self.forgettable.push_back((id, s.used));
            }
        }
        self.forget_of_user(id);
        while self.all.len() - self.seats.len() > UNSEATED_MAX {
            if !self.forget_oldest() {
                debug_assert!(false, "sessions without a seat that are not in the queue");
                break;
            }
        }
    }

    /// Forgets the longest unused one of the user of `id`, if there are too many.
    fn forget_of_user(&mut self, id: SessionId) {
        if self.all.len() - self.seats.len() <= UNSEATED_OF_USER {
            return; // most of the time there is nothing to count
        }
        let Some(user) = self.all.get(&id).map(|s| s.user.clone()) else { return };
        let theirs = || self.all.iter().filter(|(_, s)| s.seat.is_none() && s.user == user);
        if theirs().count() > UNSEATED_OF_USER {
            if let Some(oldest) = theirs().min_by_key(|&(id, s)| (s.used, *id)).map(|(&id, _)| id) {
                self.remove(oldest);
            }
        }
    }

    fn forget_oldest(&mut self) -> bool {
        // Each round but the last moves one that was used since it was queued to its new place, or drops one that
        // sits: no more rounds than entries.
        while let Some((id, stamp)) = self.forgettable.pop_front() {
            let Some(s) = self.all.get_mut(&id) else { continue };
            if s.seat.is_some() {
                s.queued = false;
            } else if s.used > stamp {
                self.forgettable.push_back((id, s.used));
            } else {
                self.remove(id);
                return true;
            }
        }
        false
    }

    /// Forgets a session without a seat.
    fn remove(&mut self, id: SessionId) {
        let Some(s) = self.all.remove(&id) else { return };
        self.cookies.remove(&s.cookie);
        for key in
            [Some(self.agent_key(&s.user, s.addr, &s.agent)), s.stale.map(|c| self.stale_key(&s.user, s.addr, &c))]
                .into_iter()
                .flatten()
        {
            if self.joins.get(&key) == Some(&id) {
                self.joins.remove(&key);
            }
        }
        if s.queued {
            self.forgettable.retain(|&(queued, _)| queued != id);
        }
    }

    fn agent_key(&self, user: &str, addr: PeerAddr, agent: &str) -> u64 {
        self.join_key(0, user, addr, agent.as_bytes())
    }

    fn stale_key(&self, user: &str, addr: PeerAddr, cookie: &[u8; 16]) -> u64 {
        self.join_key(1, user, addr, cookie)
    }

    /// The parts run into each other: what a key stands for is compared as well.
    fn join_key(&self, kind: u8, user: &str, addr: PeerAddr, mark: &[u8]) -> u64 {
        let mut hasher = self.key.build_hasher();
        hasher.write(user.as_bytes());
        match addr {
            PeerAddr::Ip(IpAddr::V4(ip)) => hasher.write(&ip.octets()),
            PeerAddr::Ip(IpAddr::V6(ip)) => hasher.write(&ip.octets()),
            PeerAddr::Unix => {}
        }
        hasher.write(mark);
        hasher.write_u8(kind);
        hasher.finish()
    }
}

impl Hub {
    pub(super) fn cookie_shown(&mut self, now: Now, cookie: &[u8; 16]) {
        let Some(id) = self.sessions.by_cookie(cookie) else { return };
        if self.forget_expired(now, id) {
            return;
        }
        if let Some(s) = self.sessions.get_mut(id).filter(|s| !matches!(s.stand, Stand::Ended(_))) {
            s.used = now.mono;
            s.has_shown_cookie = true;
        }
    }

    /// The session of somebody with good credentials, and its cookie for the answer: one that the request may join,
    /// or a new one, without a seat yet. A door of its own: who has no session yet has no name to ask by, and the request
    /// goes on with the answer.
    pub fn enter(&mut self, now: Now, who: Newcomer<'_>) -> (SessionId, [u8; 16]) {
        let agent = cut(who.agent, Member::AGENT_MAX);
        if let Some(id) = self.join_for(now, &who, agent) {
            if let Some(s) = self.sessions.all.get_mut(&id) {
                s.used = now.mono;
                s.role = who.role;
                if let (None, Some(stale)) = (s.stale, who.stale) {
                    s.stale = Some(stale);
                    let key = self.sessions.stale_key(who.user, who.addr, &stale);
                    self.sessions.joins.insert(key, id);
                }
                return (id, self.sessions.get(id).map_or(who.random, |s| s.cookie));
            }
        }
        let id = self.new_name();
        let t = now.mono;
        let session = Session {
            user: Rc::from(who.user),
            role: who.role,
            addr: who.addr,
            agent: Rc::from(agent),
            cookie: who.random,
            stale: who.stale,
            has_shown_cookie: false,
            stand: Stand::Unseated,
            seat: None,
            since_ms: now.wall_ms,
            links: Vec::new(),
            tabs: VecDeque::new(),
            html: false,
            used: t,
            asked: t,
            heard: t,
            heard_on_lost: Moment::default(),
            active: t,
            bucket: Bucket::default(),
            stops: Default::default(),
            shown: Shown::present(t),
            queued: false,
        };
        let sessions = &mut self.sessions;
        sessions.cookies.insert(who.random, id);
        if who.addr != PeerAddr::Unix {
            let key = sessions.agent_key(who.user, who.addr, agent);
            sessions.joins.insert(key, id);
        }
        if let Some(stale) = &who.stale {
            let key = sessions.stale_key(who.user, who.addr, stale);
            sessions.joins.insert(key, id);
        }
        sessions.all.insert(id, session);
        sessions.note_unseated(id);
        (id, who.random)
    }

    /// One client's requests come in parallel, before the first answer has brought the cookie. The same unknown
    /// cookie says that they are one client's; else the same user, address and agent do, unless a cookie says
    /// otherwise. On a unix listener all clients have one address and often one agent.
    fn join_for(&mut self, now: Now, who: &Newcomer<'_>, agent: &str) -> Option<SessionId> {
        if let Some(stale) = &who.stale {
            let key = self.sessions.stale_key(who.user, who.addr, stale);
            if let Some(id) = self.joinable(now, key, |s| s.stale == Some(*stale), who) {
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
        let key = self.sessions.agent_key(who.user, who.addr, agent);
        self.joinable(now, key, fits, who)
    }

    fn joinable(
        &mut self,
        now: Now,
        key: u64,
        fits: impl Fn(&Session) -> bool,
        who: &Newcomer<'_>,
    ) -> Option<SessionId> {
        // The hash only finds it; what it stands for decides.
        self.sessions.joins.get(&key).copied().filter(|&id| self.may_join(now, id, fits, who))
    }

    fn may_join(&mut self, now: Now, id: SessionId, fits: impl Fn(&Session) -> bool, who: &Newcomer<'_>) -> bool {
        if self.forget_expired(now, id) {
            return false;
        }
        let same = |s: &Session| &*s.user == who.user && s.addr == who.addr && fits(s);
        self.sessions.get(id).is_some_and(|s| same(s) && !matches!(s.stand, Stand::Ended(_)))
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
            if !self.sessions.all.contains_key(&id) {
                return id;
            }
        }
    }

    /// Whether this user was evicted at this address less than [`BARRED_FOR`] ago.
    pub(super) fn barred(&self, now: Now, user: &str, addr: PeerAddr) -> bool {
        self.barred.iter().any(|b| b.until > now.mono && b.addr == addr && &*b.user == user)
    }

    /// An admin takes the seat of `id` away; its user is refused from that address for [`BARRED_FOR`].
    ///
    /// # Errors
    /// `by` is no admin; nobody of that name has a seat.
    pub(super) fn evict(&mut self, now: Now, by: SessionId, id: SessionId, fx: &mut Effects) -> Result<(), EvictError> {
        if self.sessions.get(by).is_none_or(|s| s.role != Role::Admin) {
            return Err(EvictError::Role);
        }
        let Some(s) = self.sessions.get(id).filter(|s| s.seat.is_some()) else { return Err(EvictError::Nobody) };
        let (user, addr) = (s.user.clone(), s.addr);
        self.barred.retain(|b| b.until > now.mono);
        if self.barred.len() >= BARRED_MAX {
            self.barred.remove(0);
        }
        self.barred.push(Barred { user, addr, until: now.mono + BARRED_FOR });
        self.end(now, id, LeftReason::Evicted, fx);
        Ok(())
    }

    pub(super) fn user_changed(&mut self, now: Now, user: &str, fx: &mut Effects) {
        let theirs: Vec<SessionId> =
            self.sessions.all.iter().filter(|(_, s)| &*s.user == user).map(|(&id, _)| id).collect();
        for id in theirs {
            self.expire(now, id, fx);
        }
    }

    pub(super) fn role_changed(&mut self, now: Now, user: &str, role: Role, fx: &mut Effects) {
        let mut theirs = Vec::new();
        for (&id, s) in self.sessions.all.iter_mut().filter(|(_, s)| &*s.user == user) {
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
        self.cue(now, id, Cue::End(reason), fx);
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

#[cfg(test)]
impl Sessions {
    pub(super) fn check_invariants(&self) {
        let mut seats: Vec<u16> = self.all.values().filter_map(|s| s.seat).collect();
        seats.sort_unstable();
        assert!(seats.iter().eq(self.seats.keys()), "no seat twice: {seats:?}");
        for (id, s) in &self.all {
            assert_eq!(s.seat.is_some(), s.stand.is_seated(), "{id:?} {:?}", s.stand);
            assert!(s.seat.is_none_or(|seat| self.seats[&seat] == *id));
            assert!(s.seat.is_some() || (s.queued && s.links.is_empty()), "{id:?} would never be forgotten");
            assert!(self.cookies[&s.cookie] == *id && s.tabs.len() <= TABS_MAX);
        }
        assert_eq!(self.cookies.len(), self.all.len());
        assert!(self.all.len() - self.seats.len() <= UNSEATED_MAX);
        assert_eq!(self.forgettable.len(), self.all.values().filter(|s| s.queued).count());
        assert!(self.joins.len() <= 2 * self.all.len());
        assert!(self.joins.values().all(|id| self.all.contains_key(id)));
    }
}
