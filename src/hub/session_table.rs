//! What is remembered of each session, and the ways to find one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::rc::Rc;

use super::SignIn;
use super::bucket::Bucket;
use super::roster::Shown;
use super::session_state::SessionState;
use super::sorted::SortedMap;
use crate::fnv::KeyedMap;
use crate::msg::{ConnId, Moment, Now, PeerAddr, Role, SessionId};

/// Sessions without a seat that are remembered: more than any board's people, and some hundred kilobytes at most.
/// The longest unused go first.
pub(super) const UNSEATED_MAX: usize = 1024;

/// Of them, one user's at most: new ones push out that user's own.
pub(super) const UNSEATED_OF_USER: usize = UNSEATED_MAX / 4;

/// Pages whose connection numbers are remembered for each session, so that their ghosts are known. Browsers give
/// out when a few dozen tabs of one server are open.
pub(super) const TABS_MAX: usize = 32;

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
    pub(super) state: SessionState,
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
    pub(super) requested: Moment,
    /// Last sign of life other than those of links that were called lost.
    pub(super) heard: Moment,
    /// The latest sign of life of links that were called lost.
    pub(super) heard_on_lost: Moment,
    /// For `seats.idle`.
    pub(super) active: Moment,
    pub(super) bucket: Bucket,
    /// Of its emergency stops that are events.
    pub(super) stops: Bucket,
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
    /// A session without a seat.
    pub(super) fn new(now: Now, who: &SignIn<'_>, agent: &str) -> Session {
        let t = now.mono;
        Session {
            user: Rc::from(who.user),
            role: who.role,
            addr: who.addr,
            agent: Rc::from(agent),
            cookie: who.random,
            stale: who.stale,
            has_shown_cookie: false,
            state: SessionState::Unseated,
            seat: None,
            since_ms: now.wall_ms,
            links: Vec::new(),
            tabs: VecDeque::new(),
            html: false,
            used: t,
            requested: t,
            heard: t,
            heard_on_lost: Moment::default(),
            active: t,
            bucket: Bucket::default(),
            stops: Bucket::default(),
            shown: Shown::present(t),
            queued: false,
        }
    }

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
    seats: SortedMap<u16, SessionId>,
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

    /// The session with this cookie.
    pub(super) fn by_cookie(&self, cookie: &[u8; 16]) -> Option<SessionId> {
        self.cookies.get(cookie).copied()
    }

    /// A session that a request may join which came with the same unknown cookie.
    pub(super) fn by_stale(&self, user: &str, addr: PeerAddr, stale: &[u8; 16]) -> Option<SessionId> {
        self.joins.get(&self.stale_key(user, addr, stale)).copied()
    }

    /// A session that a request of the same user, address and agent may join.
    pub(super) fn by_agent(&self, user: &str, addr: PeerAddr, agent: &str) -> Option<SessionId> {
        self.joins.get(&self.agent_key(user, addr, agent)).copied()
    }

    /// All of one user.
    pub(super) fn of_user(&mut self, user: &str) -> impl Iterator<Item = (SessionId, &mut Session)> {
        self.all.iter_mut().filter(move |(_, s)| &*s.user == user).map(|(&id, s)| (id, s))
    }

    /// A new one, without a seat.
    pub(super) fn add(&mut self, id: SessionId, session: Session) {
        self.cookies.insert(session.cookie, id);
        if session.addr != PeerAddr::Unix {
            self.joins.insert(self.agent_key(&session.user, session.addr, &session.agent), id);
        }
        if let Some(stale) = &session.stale {
            self.joins.insert(self.stale_key(&session.user, session.addr, stale), id);
        }
        self.all.insert(id, session);
        self.note_unseated(id);
    }

    /// A request has joined `id` that came with this unknown cookie.
    pub(super) fn came_with(&mut self, id: SessionId, stale: [u8; 16]) {
        let Some(s) = self.all.get_mut(&id) else { return };
        s.stale = Some(stale);
        let (user, addr) = (s.user.clone(), s.addr);
        self.joins.insert(self.stale_key(&user, addr, &stale), id);
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
        for (&taken, _) in self.seats.iter() {
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
    pub(super) fn remove(&mut self, id: SessionId) {
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

#[cfg(test)]
impl Sessions {
    pub(super) fn check_invariants(&self) {
        let mut seats: Vec<u16> = self.all.values().filter_map(|s| s.seat).collect();
        seats.sort_unstable();
        assert!(seats.iter().eq(self.seats.iter().map(|(seat, _)| seat)), "no seat twice: {seats:?}");
        for (id, s) in &self.all {
            assert_eq!(s.seat.is_some(), s.state.is_seated(), "{id:?} {:?}", s.state);
            assert!(s.seat.is_none_or(|seat| self.seats.get(&seat) == Some(id)));
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
