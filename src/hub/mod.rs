//! Who is here and who hears what: sessions, seats, the roster, the chat and the numbered log.
//!
//! Never does: clocks, sockets, randomness, JSON. Time comes in as [`Now`], secrets as values, and what shall be
//! done goes out as [`Effects`], in order. Nothing re-enters.
//!
//! | file | what it decides |
//! |---|---|
//! | `input` | what can happen: the first door |
//! | `ask` | what a session may ask for, and how it is answered: the second |
//! | `view` | what may be read |
//! | `session_state` | the state machine of one session, over plain values |
//! | `admission` | who gets a seat, who gives way, who is turned away |
//! | `session_table` | what is remembered of each session, and how it is found |
//! | `sessions` | which request belongs to which session; the end of sessions |
//! | `links` | links: opening with `hello` and replay, ending, their verdicts, beats |
//! | `roster` | how a member looks to the others |
//! | `bucket` | how often something may be done |
//! | `chat` | what may be said and how fast |
//! | `devices` | which devices there are, how they are, what they measure |
//! | `values` | the newest values of one device, within bounds |
//! | `control` | who may command a device |
//! | `dead_man` | when control ends by itself: the dead man's switch of one hold |
//! | `commands` | what devices are asked and what comes of it |
//! | `stops` | which emergency stops are events, and when a device is told again |
//! | `event_log` | the log and its replay |
//! | `sorted` | a map as a sorted list |
//! | `settings`, `counters` | what the hub is made with, what it counts |
//!
//! Two doors lead in: [`Hub::handle`] for what happened, [`Hub::ask`] for what a session asks for and is answered at once.
//! [`Hub::sign_in`] stands beside them, since a request without a session cannot ask. What may be read is in [`View`].
//!
//! A connection that is not a link is unknown here: the loop tells of it by [`Input::PlainLost`].

mod admission;
mod ask;
mod bucket;
mod chat;
mod commands;
mod control;
mod counters;
mod dead_man;
mod devices;
mod event_log;
mod input;
mod links;
mod roster;
mod session_state;
mod session_table;
mod sessions;
mod settings;
mod sorted;
mod stops;
mod values;
mod view;

pub use ask::*;
pub use counters::{Counters, TimesSeen};
pub use devices::bytes_of_all;
pub use event_log::Slice;
pub use input::Input;
pub use sessions::SignIn;
pub use settings::{Seed, Settings};
pub use view::{SessionView, View};

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use crate::diag::KEPT;
use crate::msg::{
    CloseReason, ConnId, ControlReason, Effect, Effects, Event, EventId, LeftReason, Message, Moment, Now, PeerAddr,
    SessionId, What,
};
use crate::shown::{Excerpt, LogName, TEXT_SHOWN};
use event_log::EventLog;
use session_state::{Announcement, Facts, SessionState, Trigger};
use sorted::SortedMap;

/// The unit in which beats are numbered, and their period to pages that hold control. Others may get only every so
/// many of these numbers.
pub const BEAT: Duration = crate::config::BEAT;

/// Of the first beat's number: see [`Seed::beat_base`].
const BEAT_BASE_MASK: u64 = (1 << 48) - 1;

/// The shortest period between beats that is taken: nothing divides by zero, no loop spins.
const BEAT_MIN: Duration = Duration::from_millis(1);

/// Everything that is known about who is here.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    sessions: session_table::Sessions,
    links: BTreeMap<ConnId, roster::Link>,
    parked: SortedMap<ConnId, links::Parked>,
    devices: devices::Devices,
    /// Links of devices, by the device's name.
    device_conns: SortedMap<ConnId, Rc<str>>,
    /// Commands that sessions have named, oldest first.
    refs: VecDeque<commands::Named>,
    /// Which emergency stops are events.
    stop_limit: stops::StopLimit,
    log: EventLog,
    evictions: Vec<sessions::Eviction>,
    turned_away: Vec<(PeerAddr, Moment)>,
    counters: Counters,
    names: u64,
    beat_base: u64,
    beat_start: Moment,
    /// Lower beats are from before the board slept, or from before this run: how old they are cannot be told.
    beat_floor: u64,
    /// Not later than the first thing that time itself changes; none if there is no such thing.
    next: Option<Moment>,
    /// All have been told that the server stops.
    stopping: bool,
}

impl Hub {
    /// A hub without sessions, links and devices.
    pub fn new(settings: Settings, seed: Seed, now: Now) -> Hub {
        let settings = sane(settings);
        Hub {
            log: EventLog::new(seed.epoch, &settings.chat),
            settings,
            sessions: session_table::Sessions::default(),
            links: BTreeMap::new(),
            parked: SortedMap::default(),
            devices: devices::Devices::default(),
            device_conns: SortedMap::default(),
            refs: VecDeque::new(),
            stop_limit: stops::StopLimit::default(),
            evictions: Vec::new(),
            turned_away: Vec::new(),
            counters: Counters::default(),
            names: seed.names,
            beat_base: seed.beat_base & BEAT_BASE_MASK,
            beat_start: now.mono,
            beat_floor: seed.beat_base & BEAT_BASE_MASK,
            next: None,
            stopping: false,
        }
    }

    fn reload(&mut self, now: Now, settings: Settings, fx: &mut Effects) {
        let settings = sane(settings);
        self.log.set_history(&settings.chat);
        self.settings = settings;
        self.next = self.soonest();
        self.tick(now, fx);
    }

    fn tick(&mut self, now: Now, fx: &mut Effects) {
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
                self.advance(now, id, Trigger::Tick, fx);
            }
        }
        self.tick_devices(now, fx);
        self.next = self.soonest();
    }

    fn slept(&mut self, now: Now, gap: Duration) {
        self.control_slept(gap);
        // for every link, also for one that its page opens after the sleep
        self.beat_floor = self.beat_number(now) + 1;
        self.next = self.soonest();
    }

    fn stood_still(&mut self, gap: Duration) {
        let seated: Vec<SessionId> = self.sessions.seated().collect();
        for id in seated {
            if let Some(s) = self.sessions.get_mut(id) {
                s.state = s.state.later(gap);
            }
        }
        for link in self.links.values_mut() {
            if let roster::Page::Answers { owes_since: Some(since), .. } = &mut link.page {
                *since = *since + gap;
            }
        }
        self.devices_stood_still(gap);
        self.next = self.soonest();
    }

    fn shutdown(&mut self, now: Now, fx: &mut Effects) {
        self.stopping = true;
        let why = CloseReason::Shutdown;
        self.devices_shutdown(now, fx);
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
                s.state = SessionState::Unseated;
            }
            self.sessions.unseat(id);
        }
        self.next = None;
    }

    /// Moves the state machine of `id`, and does what follows for its seat.
    fn advance(&mut self, now: Now, id: SessionId, trigger: Trigger, fx: &mut Effects) {
        let Some(s) = self.sessions.get_mut(id) else { return };
        let facts = Facts {
            now: now.mono,
            linger: self.settings.seats.linger,
            plain: self.settings.seats.plain,
            returned_within: self.settings.returned_within,
            beat: self.settings.beat,
            requested: s.requested,
            heard: s.heard,
            html: s.html,
            cookieless: !s.has_shown_cookie,
        };
        let (next, announcement) = s.state.next(trigger, &facts);
        let (was, is) = (s.state.deadline(), next.deadline());
        s.state = next;
        match announcement {
            Announcement::Nothing => {}
            Announcement::Joined { returned } => {
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
            Announcement::Left(reason) => {
                let member = self.member(id);
                self.sessions.unseat(id);
                self.counters.left[reason as usize] += 1;
                if let Some(member) = member {
                    self.record(now, What::Left { member, reason }, fx);
                }
                self.holder_gone(now, id, ControlReason::Left, None, fx);
            }
            Announcement::Lost { last, evidence } => {
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
                self.holder_gone(now, id, ControlReason::Lost, Some(now.mono.since(last)), fx);
            }
        }
        self.holder_moved(now, id, fx);
        if matches!(trigger, Trigger::Requested(_))
            && announcement == Announcement::Nothing
            && was.is_some() == is.is_some()
            && was <= is
        {
            return; // everything is due later than it was, if at all: that is seen when the time comes
        }
        let due = self.sessions.get(id).and_then(|s| self.due(s));
        self.arm(due);
        if self.sessions.taken() == 0 {
            // Without members there is no timer, but for the devices.
            self.next = self.devices_due();
        }
    }

    /// Keeps what happened, logs it and tells all who want to hear it.
    fn record(&mut self, now: Now, what: What, fx: &mut Effects) -> EventId {
        self.record_event(now, what, false, fx).id
    }

    /// `stop`: it is an emergency stop or the answer to one.
    fn record_event(&mut self, now: Now, what: What, stop: bool, fx: &mut Effects) -> Rc<Event> {
        let event = self.log.push(now, what, stop);
        log_line(&event);
        self.deliver(Message::Logged(event.clone()), fx);
        event
    }

    // -------------------------------------------------------------------------------------------------- time

    fn arm(&mut self, at: Option<Moment>) {
        if let Some(at) = at {
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
    }

    fn soonest(&self) -> Option<Moment> {
        let members = self.sessions.seated().filter_map(|id| self.due(self.sessions.get(id)?));
        members.chain(self.devices_due()).min()
    }

    /// When time itself changes something for a session. Only the seated ones need that.
    fn due(&self, s: &session_table::Session) -> Option<Moment> {
        s.seat?;
        let pages = s.links.iter().filter_map(|c| self.links.get(c)?.page_due(self.settings.page_after)).min();
        [s.state.deadline(), self.expires_at(s), self.idle_at(s), pages].into_iter().flatten().min()
    }

    fn expires_at(&self, s: &session_table::Session) -> Option<Moment> {
        s.links.is_empty().then(|| s.used + self.settings.lifetime)
    }

    fn idle_at(&self, s: &session_table::Session) -> Option<Moment> {
        let idle = self.settings.seats.idle;
        (!idle.is_zero()).then(|| s.active + idle)
    }

    fn seats_taken(&self) -> u16 {
        u16::try_from(self.sessions.taken()).unwrap_or(u16::MAX)
    }
}

/// Settings that nothing here can stumble over; the configuration has refused them already.
fn sane(mut settings: Settings) -> Settings {
    settings.beat = settings.beat.max(BEAT_MIN);
    settings
}

/// One line a seat change, in the words of the events.
fn log_line(event: &Event) {
    let name = |m: &Option<Rc<crate::msg::Member>>| m.as_ref().map_or("-".into(), |m| LogName(&m.user).to_string());
    match &event.what {
        What::Joined { member: m, returned } => log::info!(
            "joined session={} user={} seat={} addr={} returned={returned}",
            m.session,
            LogName(&m.user),
            m.seat,
            m.addr
        ),
        What::Left { member: m, reason } => {
            log::info!(
                "left session={} user={} seat={} addr={} reason={reason}",
                m.session,
                LogName(&m.user),
                m.seat,
                m.addr
            )
        }
        What::Lost { member: m, after_ms, evidence } => log::info!(
            "lost session={} user={} seat={} addr={} after_ms={after_ms} evidence={evidence}",
            m.session,
            LogName(&m.user),
            m.seat,
            m.addr
        ),
        What::TurnedAway { addr, user } => log::info!("turned_away user={} addr={addr}", LogName(user)),
        What::Said { .. } => {}
        What::Control { device, holder, was, reason } => {
            let device = LogName(device);
            log::info!(target: KEPT, "control device={device} holder={} was={} reason={reason}", name(holder), name(was));
        }
        What::Commanded { by, device, command, args } => {
            let (device, command, by) = (LogName(device), LogName(command), LogName(&by.user));
            let args = Excerpt(args, TEXT_SHOWN);
            log::info!("commanded id={} device={device} command={command} by={by} args={args}", event.id);
        }
        What::Answered { device, to, ok, late, .. } => {
            let ok = ok.map_or("unknown", |ok| if ok { "true" } else { "false" });
            log::info!("answered id={} device={} to={to} ok={ok} late={late}", event.id, LogName(device));
        }
        What::Device { device, state, reason } => {
            let reason = reason.map_or("heard", |r| r.word());
            log::info!("device device={} state={state} reason={reason}", LogName(device));
        }
    }
}

#[cfg(test)]
mod tests;
