//! Who is here and who hears what: sessions, seats, the roster, the chat and the numbered log.
//!
//! Never does: clocks, sockets, randomness, JSON. Time comes in as [`Now`], secrets as values, and what shall be
//! done goes out as [`Effects`], in order. Nothing re-enters.
//!
//! | file | what it decides |
//! |---|---|
//! | `seats` | the state machine of one session, and who may sit |
//! | `sessions` | which request belongs to which session; the end of sessions |
//! | `links` | links: opening with `hello` and replay, ending, their verdicts, beats |
//! | `roster` | how a member looks to the others |
//! | `chat` | what may be said and how fast |
//! | `event_log` | the log and its replay |
//! | `liveness` | one link's verdict from what the kernel tells (used by the loop, not by the hub) |
//!
//! A connection that is not a link is unknown here: the loop tells of it by [`Hub::plain_lost`].

pub mod chat;
pub mod event_log;
mod links;
pub mod liveness;
pub mod roster;
pub mod seats;
pub mod sessions;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::msg::{
    CloseReason, ConnId, Effect, Effects, Epoch, EventId, Evidence, LeftReason, Message, Moment, Now, PeerAddr, Role,
    SessionId, Types, What,
};
use event_log::{EventLog, Slice};
use seats::{Cue, Facts, Stand, Taken, Tell};

/// The settings that matter here.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Of the seats.
    pub seats: SeatSettings,
    /// A session unused for so long is forgotten (`auth.lifetime`); one with a link is in use.
    pub lifetime: Duration,
    /// A page that answered beats and stops for so long is stalled (`liveness.page_after`); zero: off.
    pub page_after: Duration,
    /// How long a lost session may come back as `returned` (the profile's value).
    pub returned_within: Duration,
    /// Between two beats: 500 ms, or the profile's heartbeat if that is longer. At least 1 ms.
    pub beat: Duration,
    /// Of the chat.
    pub chat: ChatSettings,
}

/// `[seats]`.
#[derive(Clone, PartialEq, Debug)]
pub struct SeatSettings {
    /// Seats in all.
    pub max: u16,
    /// Of one user; 0: no limit.
    pub per_user: u16,
    /// Kept for admins; 0 if no admins are configured.
    pub reserved: u16,
    /// A seat waits so long after the last link closed in order.
    pub linger: Duration,
    /// A session without a link keeps its seat so long after its last request.
    pub plain: Duration,
    /// Zero: never; else a session without page, chat or command for so long is evicted.
    pub idle: Duration,
}

/// `[chat]`.
#[derive(Clone, PartialEq, Debug)]
pub struct ChatSettings {
    /// Events of the chat kept for replay; as many of presence beside them.
    pub history: usize,
    /// Characters of one message.
    pub text_max: usize,
    /// So many messages ...
    pub rate_count: u32,
    /// ... in so long, for each session.
    pub rate_per: Duration,
}

/// What chance gives to one run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Seed {
    /// Name of this run's log.
    pub epoch: Epoch,
    /// The first beat's number. Its upper 16 bits are dropped, so that every number fits a page's 53 bits.
    pub beat_base: u64,
    /// For the public names of sessions, which are no secrets.
    pub names: u64,
}

/// A session as the routes see it.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionView {
    /// Public name.
    pub id: SessionId,
    /// User name.
    pub user: Rc<str>,
    /// What the user may do.
    pub role: Role,
    /// Where it came from when it began.
    pub addr: PeerAddr,
    /// Its seat, if it has one.
    pub seat: Option<u16>,
    /// Wall-clock milliseconds: since it has the seat, or else since it began.
    pub since_ms: u64,
    /// Over for good, and why: `evicted`, `idle`, `logout` or `replaced`. Its cookie opens nothing any more:
    /// `tab=` requests get 403, others need good credentials and then [`Hub::enter`].
    pub ended: Option<LeftReason>,
}

/// Somebody with good credentials and without a session's cookie.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Newcomer<'a> {
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
    /// Secret random bytes: the cookie, if a new session begins.
    pub random: [u8; 16],
}

/// What a complete request asks for, as far as seats go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// A page or a file: needs a seat, is activity.
    Page {
        /// It asked for HTML by navigation (a browser's address bar, link or reload), not for a page's part.
        html: bool,
    },
    /// Something is changed (chat, a command, an eviction): needs a seat, is activity.
    Act,
    /// A link is opened: needs a seat, is no activity (pages reconnect by themselves). [`Hub::open_link`] asks
    /// by itself; ask so before it only to answer 503 in good time.
    Link,
    /// One of the lists that need credentials only. Takes no seat, but is a sign of life.
    Read,
}

/// Why there is no seat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoSeat {
    /// None is free (for this role).
    Full,
    /// The user has as many as `seats.per_user` allows; told as full.
    PerUser,
    /// The session is over for good.
    Ended(LeftReason),
    /// No such session (any more): its lifetime ended, or too many newer ones came.
    Unknown,
}

/// Why a link was not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoLink {
    /// No seat for its session.
    Seat(NoSeat),
    /// A request that its page has given up long ago: that page has a newer link, or said goodbye. To be told
    /// `closing` `replaced` and closed.
    Ghost,
}

/// A page's name and the rising number of its connection (`?tab=T&n=N`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tab {
    /// Drawn by the page; at most [`Tab::NAME_MAX`] bytes, longer ones are for the routes to refuse.
    pub name: Rc<str>,
    /// Grows with each connection that the page opens.
    pub n: u64,
}

impl Tab {
    /// Bytes of a page's name: pages draw about 11 characters; more would let a client make us remember a lot.
    pub const NAME_MAX: usize = 64;
}

/// What a link asked for.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkSpec {
    /// What it wants to hear; `Types::ALWAYS` is added.
    pub types: Types,
    /// Whether beats are sent to it.
    pub beats: bool,
    /// The id after which it asks for a replay, as it came (`Last-Event-ID` or `?last=`).
    pub last: Option<Rc<str>>,
    /// Its page, if it is one.
    pub tab: Option<Tab>,
}

/// Why something was not said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SayError {
    /// Nothing but white space.
    Empty,
    /// More than `chat.text_max` characters.
    TooLong,
    /// Faster than `chat.rate`.
    TooFast {
        /// When the next one may come.
        retry_after: Duration,
    },
    /// The session has no seat ([`Hub::request`] comes first).
    NoSeat,
}

/// What an answer to a beat was worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BeatAnswer {
    /// Fresh: the page can act.
    Counted,
    /// Answered before, or older than one that was.
    Old,
    /// No link of that page here, or a number that was never sent to it.
    Unknown,
}

/// Why nobody was evicted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EvictError {
    /// Only admins may.
    Role,
    /// No member of that name.
    Nobody,
}

/// What was counted since start.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Counters {
    /// Seats taken.
    pub joined: u64,
    /// Of these: lost ones that came back.
    pub returned: u64,
    /// By reason, in the order of `LeftReason::ALL`.
    pub left: [u64; LeftReason::ALL.len()],
    /// By evidence, in the order of `Evidence::ALL`.
    pub lost: [u64; Evidence::ALL.len()],
    /// Members who became suspect.
    pub suspicions: u64,
    /// Suspects who were heard again.
    pub recoveries: u64,
    /// `turned_away` events.
    pub turned_away: u64,
    /// Messages of the chat.
    pub said: u64,
    /// Time from the last sign of life to `lost`, one count for each of [`Counters::DETECTION_BOUNDS_MS`] and one
    /// for what is above; not cumulative.
    pub detection: [u64; Counters::DETECTION_BOUNDS_MS.len() + 1],
    /// Sum of those times, in milliseconds.
    pub detection_sum_ms: u64,
}

impl Counters {
    /// Upper bounds of the histogram: around what the profiles promise.
    pub const DETECTION_BOUNDS_MS: [u64; 12] =
        [250, 500, 1000, 1500, 2000, 2500, 3000, 5000, 8000, 10_000, 20_000, 40_000];
}

/// An address is told of in `turned_away` at most once in so long.
const TURNED_AWAY_EVERY: Duration = Duration::from_secs(60);

/// Addresses remembered for that; of more than so many in a minute the rest is not told of: one line tells of a
/// crowd as well as a thousand.
const TURNED_AWAY_MAX: usize = 256;

/// The shortest period between beats that is taken: nothing divides by zero, no loop spins.
const BEAT_MIN: Duration = Duration::from_millis(1);

/// Everything that is known about who is here.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    sessions: sessions::Sessions,
    links: BTreeMap<ConnId, roster::Link>,
    parked: BTreeMap<ConnId, links::Parked>,
    log: EventLog,
    barred: Vec<sessions::Barred>,
    turned_away: Vec<(PeerAddr, Moment)>,
    counters: Counters,
    names: u64,
    beat_base: u64,
    beat_start: Moment,
    /// Not later than the first thing that time itself changes; none if there is no such thing.
    next: Option<Moment>,
}

impl Hub {
    /// An empty house.
    pub fn new(settings: Settings, seed: Seed, now: Now) -> Hub {
        let settings = sane(settings);
        Hub {
            log: EventLog::new(seed.epoch, settings.chat.history),
            settings,
            sessions: sessions::Sessions::default(),
            links: BTreeMap::new(),
            parked: BTreeMap::new(),
            barred: Vec::new(),
            turned_away: Vec::new(),
            counters: Counters::default(),
            names: seed.names,
            beat_base: seed.beat_base & ((1 << 48) - 1),
            beat_start: now.mono,
            next: None,
        }
    }

    /// Other settings from now on. A lowered `max` evicts nobody. Seats that wait already keep their time.
    pub fn reload(&mut self, now: Now, settings: Settings, fx: &mut Effects) {
        let settings = sane(settings);
        if settings.beat != self.settings.beat {
            // The numbers go on: a page may have answered the newest one.
            self.beat_base = self.beat_number(now) + 1;
            self.beat_start = now.mono;
        }
        self.log.set_history(settings.chat.history);
        self.settings = settings;
        self.next = self.soonest();
        self.tick(now, fx);
    }

    /// When [`Hub::tick`] has something to do at the earliest. None with nobody here: no wake-ups.
    pub fn deadline(&self) -> Option<Moment> {
        self.next
    }

    /// Does what time alone brings about.
    pub fn tick(&mut self, now: Now, fx: &mut Effects) {
        if self.next.is_none_or(|next| next > now.mono) {
            return;
        }
        let seated: Vec<SessionId> = self.sessions.seated().collect();
        for id in seated {
            self.check_pages(now, id, fx);
            let Some(s) = self.sessions.get(id) else { continue };
            let past = |at: Option<Moment>| at.is_some_and(|at| at <= now.mono);
            if past(self.expires_at(s)) {
                self.expire(now, id, fx);
            } else if past(self.idle_at(s)) {
                self.end(now, id, LeftReason::Idle, fx);
            } else {
                self.cue(now, id, Cue::Tick, fx);
            }
        }
        self.next = self.soonest();
    }

    /// The loop did not run for `gap` (stopped, blocked, suspended): what was waited for could not be heard, and is
    /// waited for as much longer.
    pub fn stood_still(&mut self, gap: Duration) {
        let seated: Vec<SessionId> = self.sessions.seated().collect();
        for id in seated {
            if let Some(s) = self.sessions.get_mut(id) {
                s.stand = s.stand.later(gap);
            }
        }
        for link in self.links.values_mut() {
            if let roster::Page::Answers { owes_since: Some(since), .. } = &mut link.page {
                *since = *since + gap;
            }
        }
        self.next = self.soonest();
    }

    /// The server stops: every link is told and closed. Nobody has left.
    pub fn shutdown(&mut self, fx: &mut Effects) {
        let why = CloseReason::Shutdown;
        for (conn, link) in std::mem::take(&mut self.links) {
            fx.push(Effect::Close { conn, why });
            if let Some(s) = self.sessions.get_mut(link.session) {
                s.links.clear();
            }
        }
        self.close_parked(|_| true, why, fx);
        let seated: Vec<SessionId> = self.sessions.seated().collect();
        for id in seated {
            if let Some(s) = self.sessions.get_mut(id) {
                s.stand = Stand::Unseated;
            }
            self.sessions.unseat(id);
        }
        self.next = None;
    }

    // ------------------------------------------------------------------------------------------------- seats

    /// A complete request of session `id`: takes a seat if it needs one and has none. Returns the seat that it has.
    /// Not to be called for `logout`, `bye`, `beat`, errors and open paths.
    ///
    /// # Errors
    /// No seat, or no such session. Those inside are told `turned_away`.
    pub fn request(&mut self, now: Now, id: SessionId, asked: Asked, fx: &mut Effects) -> Result<Option<u16>, NoSeat> {
        let s = self.sessions.get_mut(id).ok_or(NoSeat::Unknown)?;
        if let Stand::Ended(reason) = s.stand {
            return Err(NoSeat::Ended(reason));
        }
        s.used = now.mono;
        if asked != Asked::Read {
            self.ensure_seat(now, id, fx)?;
        }
        if let Some(s) = self.sessions.get_mut(id) {
            (s.asked, s.heard) = (now.mono, now.mono);
            if matches!(asked, Asked::Page { .. } | Asked::Act) {
                s.active = now.mono;
            }
            s.html |= asked == Asked::Page { html: true };
        }
        self.cue(now, id, Cue::Asked(asked), fx);
        self.refresh(now, id, fx);
        Ok(self.sessions.get(id).and_then(|s| s.seat))
    }

    /// Whether [`Hub::request`] would find a seat; changes nothing, tells nobody. For the check before a body is read.
    ///
    /// # Errors
    /// As [`Hub::request`].
    pub fn seat_available(&self, now: Now, id: SessionId) -> Result<(), NoSeat> {
        let s = self.sessions.get(id).filter(|s| !self.is_expired(now, s)).ok_or(NoSeat::Unknown)?;
        if let Stand::Ended(reason) = s.stand {
            return Err(NoSeat::Ended(reason));
        }
        if s.seat.is_some() {
            return Ok(());
        }
        self.admits(id, None).or_else(|no| self.yielding(id, no).map(|_| ()).ok_or(no))
    }

    /// A plain connection (no link) of session `id` was called lost `after` its last sign of life. `others`: another
    /// plain connection of that session is open and not called lost, as the loop knows. Ends the session's seat only
    /// if nothing else carries it.
    pub fn plain_lost(
        &mut self,
        now: Now,
        id: SessionId,
        after: Duration,
        evidence: Evidence,
        others: bool,
        fx: &mut Effects,
    ) {
        let Some(s) = self.sessions.get(id) else { return };
        if s.links.is_empty() && !others {
            self.cue(now, id, Cue::PlainVanished { last: now.mono - after, evidence }, fx);
        }
    }

    /// Makes sure that `id` sits or may sit down, if need be by taking the seat of one who yields.
    fn ensure_seat(&mut self, now: Now, id: SessionId, fx: &mut Effects) -> Result<(), NoSeat> {
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
        seats::admits(&self.settings.seats, taken, s.role)
    }

    /// Who gives way to `id`, for which there is no seat: the newcomer's own session that is suspect or whose page
    /// has stopped; at a full house whoever's page has stopped for the longest. Never one that holds control.
    fn yielding(&self, id: SessionId, no: NoSeat) -> Option<(SessionId, LeftReason)> {
        let me = self.sessions.get(id)?;
        let longest = |which: &dyn Fn(&sessions::Session) -> bool| {
            self.sessions
                .seated()
                .filter_map(|o| self.sessions.get(o).filter(|s| which(s)).map(|s| (s.shown.since, o)))
                .filter(|&(_, o)| !self.holds_control(o) && self.admits(id, Some(o)).is_ok())
                .min()
                .map(|(_, o)| o)
        };
        // Behind a proxy on a unix socket one address says nothing.
        let own = longest(&|s| {
            let absent = s.shown.state == crate::msg::Presence::Suspect || s.shown.page_stalled();
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

    /// Whether the member holds control of a device. There are no devices yet.
    fn holds_control(&self, _id: SessionId) -> bool {
        false
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

    /// Moves the state machine of `id`, and does what follows for its seat.
    fn cue(&mut self, now: Now, id: SessionId, cue: Cue, fx: &mut Effects) {
        let Some(s) = self.sessions.get_mut(id) else { return };
        let facts = Facts {
            now: now.mono,
            linger: self.settings.seats.linger,
            plain: self.settings.seats.plain,
            returned_within: self.settings.returned_within,
            beat: self.settings.beat,
            asked: s.asked,
            heard: s.heard,
            html: s.html,
            cookieless: !s.has_shown_cookie,
        };
        let (next, tell) = s.stand.next(cue, &facts);
        s.stand = next;
        match tell {
            Tell::Nothing => {}
            Tell::Joined { returned } => {
                self.sessions.seat(id);
                if let Some(s) = self.sessions.get_mut(id) {
                    s.since_ms = now.wall_ms;
                    s.active = now.mono;
                    s.shown = roster::Shown::present(now.mono);
                }
                self.counters.joined += 1;
                self.counters.returned += u64::from(returned);
                if let Some(member) = self.member(id) {
                    self.record(now, What::Joined { member, returned }, fx);
                }
            }
            Tell::Left(reason) => {
                let member = self.member(id);
                self.sessions.unseat(id);
                self.counters.left[reason as usize] += 1;
                if let Some(member) = member {
                    self.record(now, What::Left { member, reason }, fx);
                }
            }
            Tell::Lost { last, evidence } => {
                let member = self.member(id);
                self.sessions.unseat(id);
                let after_ms = roster::millis(now.mono.since(last));
                self.counters.lost[evidence as usize] += 1;
                self.counters.detection_sum_ms += after_ms;
                let bucket = Counters::DETECTION_BOUNDS_MS.partition_point(|&bound| bound < after_ms);
                self.counters.detection[bucket] += 1;
                if let Some(member) = member {
                    self.record(now, What::Lost { member, after_ms, evidence }, fx);
                }
            }
        }
        let due = self.sessions.get(id).and_then(|s| self.due(s));
        self.arm(due);
    }

    /// Keeps what happened, logs it and tells all who want to hear it.
    fn record(&mut self, now: Now, what: What, fx: &mut Effects) -> EventId {
        let event = self.log.push(now, what);
        log_line(&event.what);
        let id = event.id;
        self.deliver(Message::Logged(event), fx);
        id
    }

    // -------------------------------------------------------------------------------------------------- time

    fn arm(&mut self, at: Option<Moment>) {
        if let Some(at) = at {
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
    }

    fn soonest(&self) -> Option<Moment> {
        self.sessions.seated().filter_map(|id| self.due(self.sessions.get(id)?)).min()
    }

    /// When time itself changes something for a session. Only the seated ones need that.
    fn due(&self, s: &sessions::Session) -> Option<Moment> {
        s.seat?;
        let pages = s.links.iter().filter_map(|c| self.links.get(c)?.page_due(self.settings.page_after)).min();
        [s.stand.deadline(), self.expires_at(s), self.idle_at(s), pages].into_iter().flatten().min()
    }

    fn expires_at(&self, s: &sessions::Session) -> Option<Moment> {
        s.links.is_empty().then(|| s.used + self.settings.lifetime)
    }

    fn idle_at(&self, s: &sessions::Session) -> Option<Moment> {
        let idle = self.settings.seats.idle;
        (!idle.is_zero()).then(|| s.active + idle)
    }

    // ----------------------------------------------------------------------------------------------- reading

    /// Seats taken; may be more than [`Hub::seats_max`] after that was lowered.
    pub fn seats_taken(&self) -> u16 {
        u16::try_from(self.sessions.taken()).unwrap_or(u16::MAX)
    }

    /// Seats in all.
    pub fn seats_max(&self) -> u16 {
        self.settings.seats.max
    }

    /// Links open now.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// Sockets of lost links that the loop still listens on.
    pub fn parked(&self) -> usize {
        self.parked.len()
    }

    /// Name of the newest event, or of the place before the first.
    pub fn newest(&self) -> EventId {
        self.log.newest()
    }

    /// A part of the log: with an id (as text) the first `limit` events after it, else the last `limit`.
    pub fn log_since(&self, since: Option<&str>, limit: usize) -> Slice {
        self.log.since(since, limit)
    }

    /// What was counted since start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Settings that nothing here can stumble over; the configuration has refused them already.
fn sane(mut settings: Settings) -> Settings {
    settings.beat = settings.beat.max(BEAT_MIN);
    settings
}

/// One line a seat change, in the words of the events.
fn log_line(what: &What) {
    match what {
        What::Joined { member: m, returned } => log::info!(
            "joined session={} user={} seat={} addr={} returned={returned}",
            m.session,
            m.user,
            m.seat,
            m.addr
        ),
        What::Left { member: m, reason } => {
            log::info!("left session={} user={} seat={} addr={} reason={reason}", m.session, m.user, m.seat, m.addr)
        }
        What::Lost { member: m, after_ms, evidence } => log::info!(
            "lost session={} user={} seat={} addr={} after_ms={after_ms} evidence={evidence}",
            m.session,
            m.user,
            m.seat,
            m.addr
        ),
        What::TurnedAway { addr, user } => log::info!("turned_away user={user} addr={addr}"),
        What::Said { .. } => {}
    }
}

#[cfg(test)]
mod tests;
