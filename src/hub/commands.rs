//! Commands and what comes of them. Whatever is asked of a device is in the log before the device hears it, and is
//! answered there exactly once: by the device, or `unknown` when it cannot be known; a device's answer after that is `late`.
//!
//! Nothing runs late: a command from a page names the beat that the page saw last, and a device that is not heard gets
//! none.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::devices::Device;
use super::stops::FurtherStop;
use super::{CommandError, CommandRequest, ControlError, Hub, Issued};
use crate::msg::{
    CommandId, ConnId, DeviceEffect, DeviceState, Effect, Effects, Event, EventId, Json, Member, Moment, Now, Presence,
    Ref, Role, SessionId, ToDevice, What,
};

/// Commands that a device may leave unanswered: more would be a queue, and what waits in a queue runs late.
pub const PENDING_MAX: usize = 16;
/// The same of commands for anyone, which are never refused: the oldest is given up.
const PENDING_ANYONE_MAX: usize = 64;
/// Commands answered `unknown` whose real answer would still be known.
const UNKNOWN_MAX: usize = 64;
/// Requests that wait for the answer to one command; of more the oldest is not told, and gives up by itself.
pub(super) const WAITERS_MAX: usize = 256;
/// How long the same `ref` of a session means the same command.
const REF_FOR: Duration = Duration::from_secs(60);
/// References remembered. When there are so many, commands with a new one are refused: forgetting one could run a
/// command twice.
const REFS_MAX: usize = 4096;
/// Of these, one user's at most: a further command with a new one is refused to that user, and to no other.
const REFS_OF_USER: usize = REFS_MAX / 2;
/// Of these, emergency stops take places only while fewer are taken: anybody may send as many as they like, and no
/// other command is to be refused for it. A stop may be done twice.
const REFS_OF_STOPS: usize = REFS_MAX / 2;
/// What is told of a result that is not kept.
const TOO_LONG: &str = "\"too_long\"";
/// What is answered when it cannot be known.
const UNKNOWN: &str = "\"unknown\"";

/// A command that is not answered yet.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: EventId,
    /// When it was sent.
    pub(super) at: Moment,
    pub(super) by: Rc<str>,
    pub(super) command: Rc<str>,
    pub(super) args: Json,
    anyone: bool,
    /// When the device was told last.
    pub(super) told: Moment,
    /// It was asked again since then.
    pub(super) due: bool,
    /// It was told more than once.
    pub(super) retold: bool,
    /// Requests that wait for the answer.
    waiters: Vec<ConnId>,
}

impl Pending {
    /// The request on `conn` waits for the answer, too.
    fn wait(&mut self, conn: ConnId) {
        if !self.waiters.contains(&conn) {
            if self.waiters.len() >= WAITERS_MAX {
                self.waiters.remove(0);
            }
            self.waiters.push(conn);
        }
    }
}

/// Ids of commands, the newest last.
pub(super) type Ids = VecDeque<EventId>;

/// A command that a session named by itself, so that asking twice does it once.
#[derive(Debug)]
pub(super) struct Named {
    session: SessionId,
    user: Rc<str>,
    reference: Ref,
    at: Moment,
    id: EventId,
    device: Rc<str>,
    command: Rc<str>,
    /// Of its arguments, which may be long.
    args: u64,
    /// Whether it was done, and the rest for as long as the log has it.
    answer: Option<(Option<bool>, Weak<Event>)>,
}

impl Named {
    /// About how many bytes are remembered of it.
    pub(super) fn bytes(&self) -> u64 {
        (size_of::<Named>() + size_of::<Event>() + self.reference.json().len() + self.command.len()) as u64
    }

    /// What came of it. A result that the log has no more is told as one that was too long to keep.
    fn answer(&self) -> Option<Rc<Event>> {
        let (ok, event) = self.answer.as_ref()?;
        let gone = || {
            let (device, result) = (self.device.clone(), TOO_LONG.into());
            let what = What::Answered { device, to: self.id, ok: *ok, result, late: false };
            Rc::new(Event { id: self.id, time_ms: 0, what })
        };
        Some(event.upgrade().unwrap_or_else(gone))
    }
}

/// A command that may be sent.
struct Checked<'a> {
    session: SessionId,
    request: &'a CommandRequest<'a>,
    device: Rc<str>,
    args: Json,
    /// It is an emergency stop.
    anyone: bool,
}

/// What a device says came of a command.
pub(super) struct Answer<'a> {
    /// The command's id as it came.
    pub(super) to: &'a str,
    /// Whether it was done.
    pub(super) ok: bool,
    pub(super) result: Json,
}

/// What came of a command: as [`Answer`], or `ok: None` when it cannot be known.
struct Outcome {
    to: EventId,
    ok: Option<bool>,
    result: Json,
}

/// For comparing arguments without keeping them.
fn digest(args: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(args.as_bytes());
    hasher.finish()
}

impl Hub {
    /// Session `id` asks a device to do something. Once this returns it is in the log, and the device will hear it.
    ///
    /// # Errors
    /// See [`CommandError`], in the order in which it is checked; nothing has happened then.
    pub(super) fn command(
        &mut self,
        now: Now,
        id: SessionId,
        request: &CommandRequest<'_>,
        fx: &mut Effects,
    ) -> Result<Issued, CommandError> {
        if let Some(known) = self.known_ref(now, id, request) {
            return Ok(known);
        }
        let checked = self.check_command(now, id, request, fx)?;
        if let Some(id) = self.known_stop(now, &checked, fx) {
            return Ok(Issued { id, answer: None });
        }
        self.has_room_for(&checked)?;
        Ok(self.send(now, checked, fx))
    }

    /// Whether this may be asked of the device now, as far as it does not matter what else is asked of it.
    fn check_command<'a>(
        &mut self,
        now: Now,
        id: SessionId,
        request: &'a CommandRequest<'a>,
        fx: &mut Effects,
    ) -> Result<Checked<'a>, CommandError> {
        let d = self.devices.get(request.device).ok_or(CommandError::NoDevice)?;
        let spec = d
            .describe
            .command(request.command)
            .ok_or_else(|| CommandError::NoCommand { known: d.describe.names().collect::<Vec<_>>().join(", ") })?;
        let (anyone, device, describe) = (spec.anyone, d.name.clone(), d.describe.clone());
        if !anyone {
            self.judge_device(now, &device, fx);
        }
        match self.devices.get(&device).map_or(DeviceState::Down, |d| d.state) {
            DeviceState::Down => return Err(CommandError::Down),
            DeviceState::Suspect if !anyone => return Err(CommandError::Suspect),
            DeviceState::Suspect | DeviceState::Up => {}
        }
        if !anyone {
            // time that has passed since the loop last looked ends control before a command is judged by it
            self.check_control(now, &device, fx);
            self.held_by(id, &device).map_err(|e| match e {
                ControlError::NotHeld(holder) => CommandError::NoControl(holder),
                ControlError::Role => CommandError::Role,
                _ => CommandError::NoControl(None),
            })?;
            self.check_age(now, id, request.beat)?;
        }
        if let Some(spec) = describe.command(request.command) {
            spec.check(request.args).map_err(CommandError::Args)?;
        }
        Ok(Checked { session: id, request, device, args: request.args.text(), anyone })
    }

    /// An emergency stop that is on its way already, or that is beyond the limits of its session and user: the event
    /// under which it stands, if there is one.
    fn known_stop(&mut self, now: Now, stop: &Checked<'_>, fx: &mut Effects) -> Option<EventId> {
        let Checked { session, request, device, args, anyone: true } = stop else { return None };
        let d = self.devices.get_mut(device)?;
        // pressed again: it is on its way, if nothing was commanded after it that it has to stop
        let moved = d.moved;
        let same = |p: &&mut Pending| p.anyone && p.id.seq > moved && *p.command == *request.command && p.args == *args;
        if let Some(pending) = d.pending.iter_mut().find(same) {
            request.waiter.into_iter().for_each(|conn| pending.wait(conn));
            pending.due = true;
            let known = pending.id;
            self.tell_stops(now, device, fx);
            self.arm_device(device);
            return Some(known);
        }
        let session = self.sessions.get_mut(*session)?;
        let user = session.user.clone();
        if self.stop_limit.take(now.mono, &mut session.stops, &user, args.len()) {
            return None;
        }
        let stop = FurtherStop { device, user: &user, command: request.command, args, waiter: request.waiter };
        self.stop_again(now, &stop, fx)
    }

    /// Whether the device may be asked one thing more, and its reference be remembered. Emergency stops are never refused.
    fn has_room_for(&self, command: &Checked<'_>) -> Result<(), CommandError> {
        if command.anyone {
            return Ok(());
        }
        let d = self.devices.get(&command.device).ok_or(CommandError::NoDevice)?;
        let busy = d.pending.iter().filter(|p| !p.anyone).count() >= PENDING_MAX;
        if busy || (command.request.reference.is_some() && !self.has_room_for_ref(command.session, REFS_MAX)) {
            return Err(CommandError::Busy);
        }
        Ok(())
    }

    fn send(&mut self, now: Now, command: Checked<'_>, fx: &mut Effects) -> Issued {
        let Checked { session: id, request, device, args, anyone } = command;
        if anyone {
            self.give_up_oldest_stop(now, &device, fx);
        }
        let by = self.sender(id);
        let command: Rc<str> = request.command.into();
        if let Some(s) = self.sessions.get_mut(id) {
            s.active = now.mono;
        }
        let what =
            What::Commanded { by: by.clone(), device: device.clone(), command: command.clone(), args: args.clone() };
        self.counters.commands += 1;
        self.tell_stops_first(now, &device, !anyone, fx);
        let event = self.record_event(now, what, anyone, fx).id;
        let waiters = request.waiter.into_iter().collect();
        if let Some(d) = self.devices.get_mut(&device) {
            if let Some(conn) = d.conn() {
                let (command, args, by) = (command.clone(), args.clone(), by.user.clone());
                let id = CommandId { event, again: 0 };
                let line = ToDevice::Command { command, args, id, by, anyone };
                fx.push(Effect::Device(DeviceEffect::Tell { conn, line }));
            }
            if !anyone {
                d.moved = event.seq;
            }
            let (command, args) = (command.clone(), args.clone());
            let (at, told, user) = (now.mono, now.mono, by.user.clone());
            let (due, retold) = (false, false);
            d.pending.push(Pending { id: event, at, by: user, command, args, anyone, told, due, retold, waiters });
        }
        if anyone {
            self.stop_told(now, &device, &by.user, &command, event);
        }
        let places = if anyone { REFS_OF_STOPS } else { REFS_MAX };
        if let (Some(reference), true) = (request.reference, self.has_room_for_ref(id, places)) {
            self.refs.push_back(Named {
                session: id,
                user: by.user.clone(),
                reference: reference.clone(),
                at: now.mono,
                id: event,
                device: device.clone(),
                command,
                args: digest(&args),
                answer: None,
            });
        }
        if !anyone {
            self.renew_control(now, &device);
        }
        self.arm_device(&device);
        Issued { id: event, answer: None }
    }

    /// Makes room for one more emergency stop.
    fn give_up_oldest_stop(&mut self, now: Now, device: &str, fx: &mut Effects) {
        let Some(d) = self.devices.get(device) else { return };
        let mut stops = d.pending.iter().filter(|p| p.anyone).map(|p| p.id);
        let (oldest, others) = (stops.next(), stops.count());
        if let Some(oldest) = oldest.filter(|_| others + 1 >= PENDING_ANYONE_MAX) {
            self.answer_unknown(now, device, oldest, fx);
        }
    }

    /// Whether one more reference of this session's user has room, where there are so many places.
    fn has_room_for_ref(&self, id: SessionId, places: usize) -> bool {
        let user = self.sessions.get(id).map(|s| &s.user);
        let theirs = || self.refs.iter().filter(|r| Some(&r.user) == user).count();
        self.refs.len() < places && (self.refs.len() < REFS_OF_USER || theirs() < REFS_OF_USER)
    }

    /// What this session's reference means already. That of an emergency stop means nothing else, though something else
    /// was named by it: a script that names all its commands alike stops the machine all the same.
    fn known_ref(&mut self, now: Now, id: SessionId, request: &CommandRequest<'_>) -> Option<Issued> {
        while self.refs.front().is_some_and(|r| now.mono.since(r.at) >= REF_FOR) {
            self.refs.pop_front();
        }
        let reference = request.reference?;
        let anyone = self.is_for_anyone(request.device, request.command);
        let args = digest(&request.args.text());
        let same = |r: &&Named| *r.device == *request.device && *r.command == *request.command && r.args == args;
        let mut named = self.refs.iter().filter(|r| r.session == id && r.reference == *reference);
        let known = named.find(|r| !anyone || same(r))?;
        let issued = Issued { id: known.id, answer: known.answer() };
        if issued.answer.is_none() {
            let all = self.devices.values_mut().flat_map(|d| &mut d.pending);
            for pending in all.filter(|p| p.id == issued.id) {
                request.waiter.into_iter().for_each(|conn| pending.wait(conn));
            }
        }
        Some(issued)
    }

    /// Whether the beat that a command names is young enough. Sessions with a page have to name one.
    fn check_age(&self, now: Now, id: SessionId, beat: Option<u64>) -> Result<(), CommandError> {
        let Some(n) = beat else {
            return if self.has_page(id) { Err(CommandError::BeatMissing) } else { Ok(()) };
        };
        let max = self.settings.control.command_age;
        let sent = self.sessions.get(id).and_then(|s| {
            let links = s.links.iter().filter_map(|c| self.links.get(c));
            links.filter(|l| l.beats).filter_map(|l| self.beat_sent_at(now, l, n)).max()
        });
        match sent.map(|sent| now.mono.since(sent)) {
            Some(age) if age <= max => Ok(()),
            age => Err(CommandError::Stale { age, max }),
        }
    }

    /// When beat `n` went out on this link, and no later: of one that is not the newest only its period is known, and how
    /// early in it this link gets its beats. `None`: never.
    pub(super) fn beat_sent_at(&self, now: Now, link: &super::roster::Link, n: u64) -> Option<Moment> {
        if n < self.beat_floor {
            return None;
        }
        let began = self.beat_began(n);
        match link.beat {
            Some((newest, at)) if n == newest => Some(at),
            Some((newest, _)) if n < newest && link.beat_first.is_some_and(|first| first <= n) => {
                Some(began + link.beat_into)
            }
            // The page may have seen it on an earlier link.
            _ => (n <= self.beat_number(now)).then_some(began),
        }
    }

    /// Session `id` as a member; without a seat (an emergency stop needs none) in the shape of one.
    fn sender(&self, id: SessionId) -> Rc<Member> {
        if let Some(member) = self.member(id) {
            return member;
        }
        let s = self.sessions.get(id);
        Rc::new(Member {
            session: id,
            user: s.map_or("".into(), |s| s.user.clone()),
            role: s.map_or(Role::Viewer, |s| s.role),
            seat: 0,
            addr: s.map_or(crate::msg::PeerAddr::Unix, |s| s.addr),
            since_ms: s.map_or(0, |s| s.since_ms),
            state: Presence::Present,
            links: 0,
            rtt_us: None,
            agent: s.map_or("".into(), |s| s.agent.clone()),
        })
    }

    /// Whether anybody with credentials may send that command to that device.
    pub(super) fn is_for_anyone(&self, device: &str, command: &str) -> bool {
        self.devices.get(device).and_then(|d| d.describe.command(command)).is_some_and(|spec| spec.anyone)
    }

    // ----------------------------------------------------------------------------------------------- answers

    /// The device says what came of a command.
    pub(super) fn device_answer(&mut self, now: Now, name: &str, answer: Answer<'_>, fx: &mut Effects) {
        let Answer { to, ok, result } = answer;
        let Some(d) = self.devices.get_mut(name) else { return };
        if let Some(id) = d.pending.iter().map(|p| p.id).find(|id| id.to_string() == to) {
            return self.answered(now, name, Outcome { to: id, ok: Some(ok), result }, fx);
        }
        if let Some(at) = d.unknown.iter().position(|id| id.to_string() == to) {
            if let Some(to) = d.unknown.remove(at) {
                let device = d.name.clone();
                self.counters.answers_late += 1;
                self.record(now, What::Answered { device, to, ok: Some(ok), result, late: true }, fx);
            }
            return;
        }
        if self.stop_answered(name, to, ok, &result, fx) {
            return;
        }
        let Some(conn) = self.devices.get(name).and_then(Device::conn) else { return };
        let message = "no command with this id waits for an answer; answer each command once".into();
        fx.push(Effect::Device(DeviceEffect::Tell { conn, line: ToDevice::Error { error: "answer", message } }));
    }

    /// The one answer to a command.
    fn answered(&mut self, now: Now, name: &str, outcome: Outcome, fx: &mut Effects) {
        let Outcome { to, ok, result } = outcome;
        let Some(d) = self.devices.get_mut(name) else { return };
        let Some(at) = d.pending.iter().position(|p| p.id == to) else { return };
        let pending = d.pending.remove(at);
        if ok.is_none() {
            if d.unknown.len() >= UNKNOWN_MAX {
                d.unknown.pop_front();
            }
            d.unknown.push_back(to);
        }
        if pending.retold && ok.is_some() {
            if d.retold.len() >= UNKNOWN_MAX {
                d.retold.pop_front();
            }
            d.retold.push_back(to);
        }
        let device = d.name.clone();
        match ok {
            Some(true) => self.counters.answers_ok += 1,
            Some(false) => self.counters.answers_failed += 1,
            None => self.counters.answers_unknown += 1,
        }
        let answer = self.record_event(now, What::Answered { device, to, ok, result, late: false }, pending.anyone, fx);
        for known in self.refs.iter_mut().filter(|r| r.id == to) {
            known.answer = Some((ok, Rc::downgrade(&answer)));
        }
        if pending.due && ok.is_some() {
            self.stop_outlives(name, to, pending.args);
        }
        for conn in pending.waiters {
            fx.push(Effect::Device(DeviceEffect::Answered { conn, answer: answer.clone() }));
        }
    }

    fn answer_unknown(&mut self, now: Now, name: &str, to: EventId, fx: &mut Effects) {
        self.answered(now, name, Outcome { to, ok: None, result: UNKNOWN.into() }, fx);
    }

    /// What comes of what `name` was asked cannot be known any more.
    pub(super) fn answer_all_unknown(&mut self, now: Now, name: &str, fx: &mut Effects) {
        while let Some(id) = self.devices.get(name).and_then(|d| d.pending.first()).map(|p| p.id) {
            self.answer_unknown(now, name, id, fx);
        }
        self.forget_stops(name, &UNKNOWN.into(), fx);
    }

    /// Answers what `name` has left unanswered for too long.
    pub(super) fn check_answers(&mut self, now: Now, name: &str, fx: &mut Effects) {
        let after = self.settings.control.answer_after;
        let due = |p: &&Pending| p.at + after <= now.mono;
        while let Some(id) = self.devices.get(name).and_then(|d| d.pending.iter().find(due)).map(|p| p.id) {
            self.answer_unknown(now, name, id, fx);
        }
    }
}
