//! Emergency stops are never refused, and the device always hears of one within [`AGAIN_AFTER`]. What is rationed is what
//! they write: events, lines of the log, and what devices are told again.
//!
//! A stop that its session and user have a ration for is an event of its own, told at once. One beyond that stands under
//! the newest event of the same user, device and command, if nothing but stops was commanded since; the device is told it
//! under that event's id with a number of its own, the newest arguments win, and it is counted.

use std::rc::Rc;
use std::time::Duration;

use super::{Hub, commands::WAITERS_MAX};
use crate::msg::{CommandId, ConnId, DeviceEffect, Effect, Effects, Event, EventId, Json, Moment, Now, ToDevice, What};
use crate::shown::LogName;

/// A device is told of a stop again at most so often, and at latest so long after it was asked.
pub const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Arguments of so many bytes count like one stop more.
const UNIT_BYTES: usize = 512;
/// So many stops of one session may be events at once; then one in this time.
const SESSION: (u32, Duration) = (32, Duration::from_millis(250));
/// The same of all sessions of one user.
const USER: (u32, Duration) = (64, Duration::from_millis(125));
/// The same of all.
const ALL: (u32, Duration) = (128, Duration::from_micros(62_500));
/// Users whose ration is remembered; of more only that of all counts.
const USERS_MAX: usize = 256;
/// How many were left out is said so long after the first of them.
const SUM_AFTER: Duration = Duration::from_secs(10);
/// Stops of a device that others may stand under, one for each user and command; of more the one that was told longest ago
/// is forgotten.
const REPEATS_MAX: usize = 256;

/// What somebody has used of a ration.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Used {
    /// When nothing of it would be used again.
    none_at: Moment,
}

impl Used {
    fn has_room(self, now: Moment, (burst, one): (u32, Duration)) -> bool {
        self.none_at.since(now) <= one * (burst - 1)
    }

    /// May use more than there is: what comes next waits for it.
    fn take(&mut self, now: Moment, units: u32, (_, one): (u32, Duration)) {
        self.none_at = self.none_at.max(now) + one * units;
    }
}

/// Which stops are events of their own, by user and of all.
#[derive(Debug, Default)]
pub(super) struct Ration {
    users: Vec<OfUser>,
    all: Used,
}

#[derive(Debug)]
struct OfUser {
    user: Rc<str>,
    used: Used,
    left_out: u64,
    /// When the first of these was.
    since: Moment,
}

impl Ration {
    /// Whether one more stop, with arguments of so many bytes, is an event of its own.
    pub(super) fn take(&mut self, now: Moment, session: &mut Used, user: &Rc<str>, bytes: usize) -> bool {
        let units = 1 + u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX >> 8);
        let mut room = session.has_room(now, SESSION) && self.all.has_room(now, ALL);
        if let Some(theirs) = self.of(now, user) {
            room &= theirs.used.has_room(now, USER);
            if room {
                theirs.used.take(now, units, USER);
            }
        }
        if room {
            session.take(now, units, SESSION);
            self.all.take(now, units, ALL);
        }
        room
    }

    /// One of this user's is no event.
    fn left_out(&mut self, now: Moment, user: &Rc<str>) {
        if let Some(theirs) = self.of(now, user) {
            if theirs.left_out == 0 {
                theirs.since = now;
            }
            theirs.left_out += 1;
        }
    }

    fn of(&mut self, now: Moment, user: &Rc<str>) -> Option<&mut OfUser> {
        if let Some(at) = self.users.iter().position(|u| u.user == *user) {
            return self.users.get_mut(at);
        }
        if self.users.len() >= USERS_MAX {
            self.users.retain(|u| u.left_out > 0 || u.used.none_at > now);
        }
        if self.users.len() >= USERS_MAX {
            return None;
        }
        self.users.push(OfUser { user: user.clone(), used: Used::default(), left_out: 0, since: now });
        self.users.last_mut()
    }

    /// When there is something to say of what was left out.
    pub(super) fn due(&self) -> Option<Moment> {
        self.users.iter().filter(|u| u.left_out > 0).map(|u| u.since + SUM_AFTER).min()
    }

    /// Whose stops were left out and how many, for each user of whom it is time to say so.
    fn sums(&mut self, now: Moment) -> Vec<(Rc<str>, u64)> {
        let due = self.users.iter_mut().filter(|u| u.left_out > 0 && u.since + SUM_AFTER <= now);
        due.map(|u| (u.user.clone(), std::mem::take(&mut u.left_out))).collect()
    }
}

/// A stop under whose event further ones of its user stand.
#[derive(Debug)]
pub(super) struct Repeat {
    user: Rc<str>,
    command: Rc<str>,
    id: EventId,
    /// The number of the newest that stands under it; 0: none does.
    again: u32,
    /// Its arguments.
    args: Json,
    told: Moment,
    /// It is to be told.
    due: bool,
    /// It is not answered.
    owed: bool,
    /// Requests that wait for that.
    waiters: Vec<ConnId>,
}

/// A further stop, which is no event.
pub(super) struct Further<'a> {
    pub(super) device: &'a str,
    pub(super) user: &'a Rc<str>,
    pub(super) command: &'a str,
    pub(super) args: &'a Json,
    pub(super) waiter: Option<ConnId>,
}

impl Hub {
    /// A stop beyond the ration: the event under which it stands. `None`: there is none, so that it has to be one.
    pub(super) fn stop_again(&mut self, now: Now, stop: &Further<'_>, fx: &mut Effects) -> Option<EventId> {
        let d = self.devices.get_mut(stop.device)?;
        let moved = d.moved;
        let stands = |r: &&mut Repeat| r.user == *stop.user && *r.command == *stop.command && r.id.seq > moved;
        let r = d.repeats.iter_mut().filter(stands).max_by_key(|r| r.id.seq)?;
        if !r.due && (!r.owed || r.args != *stop.args) {
            r.again += 1;
        }
        (r.due, r.owed, r.args) = (true, true, stop.args.clone());
        if let Some(conn) = stop.waiter.filter(|conn| !r.waiters.contains(conn)) {
            if r.waiters.len() >= WAITERS_MAX {
                r.waiters.remove(0);
            }
            r.waiters.push(conn);
        }
        let id = r.id;
        self.ration.left_out(now.mono, stop.user);
        self.counters.stops_left_out += 1;
        self.tell_stops(now, stop.device, fx);
        self.arm_device(stop.device);
        self.arm(self.ration.due());
        Some(id)
    }

    /// The stop `id` was told just now: others may stand under it.
    pub(super) fn stop_told(&mut self, now: Now, device: &str, user: &Rc<str>, command: &Rc<str>, id: EventId) {
        let Some(d) = self.devices.get_mut(device) else { return };
        let (user, command) = (user.clone(), command.clone());
        let over = d.repeats.iter().position(|r| !r.owed && r.user == user && r.command == command);
        let oldest = || d.repeats.iter().enumerate().min_by_key(|(_, r)| (r.due, r.told)).map(|(at, _)| at);
        let gone = over.or_else(|| if d.repeats.len() < REPEATS_MAX { None } else { oldest() });
        gone.into_iter().for_each(|at| drop(d.repeats.swap_remove(at)));
        let (args, told) = ("".into(), now.mono);
        d.repeats.push(Repeat {
            user,
            command,
            id,
            again: 0,
            args,
            told,
            due: false,
            owed: false,
            waiters: Vec::new(),
        });
    }

    /// Something else is sent now: what was asked before it is told before it.
    pub(super) fn tell_stops_first(&mut self, now: Now, device: &str, moves: bool, fx: &mut Effects) {
        let Some(d) = self.devices.get_mut(device) else { return };
        if moves {
            // told less than AGAIN_AFTER ago, and nothing came in between
            d.pending.iter_mut().for_each(|p| p.due = false);
        }
        d.repeats.iter_mut().filter(|r| r.due).for_each(|r| r.told = Moment::default());
        self.tell_stops(now, device, fx);
    }

    /// Tells what is to be told again and was not told for [`AGAIN_AFTER`].
    pub(super) fn tell_stops(&mut self, now: Now, device: &str, fx: &mut Effects) {
        let Some(d) = self.devices.get_mut(device) else { return };
        let Some(conn) = d.conn() else { return };
        let ready = |due: bool, told: Moment| due && told + AGAIN_AFTER <= now.mono;
        let mut tell = |command: &Rc<str>, args: &Json, id: CommandId, by: &Rc<str>| {
            let (command, args, by) = (command.clone(), args.clone(), by.clone());
            let line = ToDevice::Command { command, args, id, by, anyone: true };
            fx.push(Effect::Device(DeviceEffect::Tell { conn, line }));
        };
        for p in d.pending.iter_mut().filter(|p| ready(p.due, p.told)) {
            (p.told, p.due, p.retold) = (now.mono, false, true);
            tell(&p.command, &p.args, CommandId { event: p.id, again: 0 }, &p.by);
        }
        for r in d.repeats.iter_mut().filter(|r| ready(r.due, r.told)) {
            (r.told, r.due) = (now.mono, false);
            tell(&r.command, &r.args, CommandId { event: r.id, again: r.again }, &r.user);
        }
    }

    /// When this device is to be told of a stop again.
    pub(super) fn stops_due(d: &super::devices::Device) -> Option<Moment> {
        let pending = d.pending.iter().filter(|p| p.due).map(|p| p.told);
        let repeats = d.repeats.iter().filter(|r| r.due).map(|r| r.told);
        pending.chain(repeats).min().map(|told| told + AGAIN_AFTER)
    }

    /// The device answers `to`. Whether that is a stop that was told again, which is answered in no event.
    pub(super) fn stop_answered(&mut self, device: &str, to: &str, ok: bool, result: &Json, fx: &mut Effects) -> bool {
        let Some(d) = self.devices.get_mut(device) else { return false };
        if d.retold.iter().any(|id| id.to_string() == to) {
            return true; // it was told twice, and is answered twice
        }
        let Some((event, again)) = to.rsplit_once('.') else { return false };
        let Some(r) = d.repeats.iter_mut().find(|r| r.id.to_string() == event) else { return false };
        if r.owed && r.again.to_string() == again {
            r.owed = r.due;
            release(&d.name, r, Some(ok), result, fx);
        }
        true
    }

    /// `id`, which is answered now, was asked once more since it was told: that is told under a number of its own.
    pub(super) fn stop_outlives(&mut self, device: &str, id: EventId, args: Json) {
        let Some(d) = self.devices.get_mut(device) else { return };
        if let Some(r) = d.repeats.iter_mut().find(|r| r.id == id && !r.due) {
            r.again += 1;
            (r.due, r.owed, r.args) = (true, true, args);
        }
    }

    /// The device's link is over: nobody knows what comes of what it was told again.
    pub(super) fn forget_stops(&mut self, device: &str, unknown: &Json, fx: &mut Effects) {
        let Some(d) = self.devices.get_mut(device) else { return };
        d.retold.clear();
        for mut r in std::mem::take(&mut d.repeats) {
            release(&d.name, &mut r, None, unknown, fx);
        }
    }

    /// One line for each user whose stops were left out.
    pub(super) fn sum_up_stops(&mut self, now: Now) {
        for (user, count) in self.ration.sums(now.mono) {
            log::info!("stops_left_out user={} count={count}", LogName(&user));
        }
    }
}

/// Who waits is told what came of it.
fn release(device: &Rc<str>, r: &mut Repeat, ok: Option<bool>, result: &Json, fx: &mut Effects) {
    for conn in std::mem::take(&mut r.waiters) {
        let what = What::Answered { device: device.clone(), to: r.id, ok, result: result.clone(), late: false };
        let answer = Rc::new(Event { id: r.id, time_ms: 0, what });
        fx.push(Effect::Device(DeviceEffect::Answered { conn, answer }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_arguments_use_more_and_what_was_left_out_is_said_once() {
        let (mut ration, mut session) = (Ration::default(), Used::default());
        let (eve, now): (Rc<str>, _) = ("eve".into(), Moment::default() + Duration::from_secs(60));
        let count = |ration: &mut Ration, session: &mut Used, now, bytes| {
            (0..1000).filter(|_| ration.take(now, session, &eve, bytes)).count()
        };
        assert_eq!(count(&mut ration, &mut session, now, 4096), 4);
        assert_eq!(count(&mut ration, &mut session, now + Duration::from_secs(60), 0), 32);
        assert_eq!(count(&mut ration, &mut Used::default(), now + Duration::from_secs(60), 0), 32, "of the user's 64");
        assert_eq!(count(&mut ration, &mut Used::default(), now + Duration::from_secs(60), 0), 0);

        assert_eq!(ration.due(), None);
        ration.left_out(now, &eve);
        ration.left_out(now + Duration::from_secs(9), &eve);
        let due = now + SUM_AFTER;
        assert_eq!(ration.due(), Some(due));
        assert_eq!(ration.sums(now + Duration::from_secs(9)), []);
        assert_eq!(ration.sums(due), [(eve.clone(), 2)]);
        assert_eq!((ration.due(), ration.sums(due)), (None, vec![]));
    }

    #[test]
    fn of_more_users_than_are_remembered_only_the_ration_of_all_counts() {
        let mut ration = Ration::default();
        let now = Moment::default();
        for n in 0..USERS_MAX as u64 * 3 {
            let user: Rc<str> = n.to_string().into();
            ration.take(now, &mut Used::default(), &user, 0);
            ration.left_out(now, &user);
        }
        assert_eq!(ration.users.len(), USERS_MAX);
        assert!(!ration.take(now, &mut Used::default(), &"x".into(), 0));
    }
}
