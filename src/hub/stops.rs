//! Emergency stops are never refused, and the device always hears of one within [`AGAIN_AFTER`]. What is limited is what
//! they write: events, lines of the log, and what devices are told again.
//!
//! A stop within the limits of its session and user is an event of its own, told at once. One beyond them stands under
//! the newest event of the same user, device and command, if nothing but stops was commanded since; the device is told it
//! under that event's id with a number of its own, the newest arguments win, and it is counted.

use std::rc::Rc;
use std::time::Duration;

use super::Hub;
use super::bucket::{Bucket, Rate};
use super::commands::WAITERS_MAX;
use crate::msg::{CommandId, ConnId, DeviceEffect, Effect, Effects, Event, EventId, Json, Moment, Now, ToDevice, What};
use crate::shown::LogName;

/// A device is told of a stop again at most so often, and at latest so long after it was asked.
pub const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Arguments of so many bytes count like one stop more.
const UNIT_BYTES: usize = 512;
/// So many stops of one session may be events at once; then one in this time.
const SESSION: Rate = Rate { burst: 32, each: Duration::from_millis(250) };
/// The same of all sessions of one user.
const USER: Rate = Rate { burst: 64, each: Duration::from_millis(125) };
/// The same of all.
const ALL: Rate = Rate { burst: 128, each: Duration::from_micros(62_500) };
/// Users whose stops are counted; of more only the limit of all holds.
const USERS_MAX: usize = 256;
/// How many were left out is said so long after the first of them.
const SUM_AFTER: Duration = Duration::from_secs(10);
/// Stops of a device that others may stand under, one for each user and command; of more the one that was told longest ago
/// is forgotten.
const REPEATS_MAX: usize = 256;

/// Which stops are events of their own, by user and of all.
#[derive(Debug, Default)]
pub(super) struct StopLimit {
    users: Vec<OfUser>,
    all: Bucket,
}

#[derive(Debug)]
struct OfUser {
    user: Rc<str>,
    used: Bucket,
    left_out: u64,
    /// When the first of these was.
    since: Moment,
}

impl StopLimit {
    /// Whether one more stop, with arguments of so many bytes, is an event of its own.
    pub(super) fn take(&mut self, now: Moment, session: &mut Bucket, user: &Rc<str>, bytes: usize) -> bool {
        let units = 1 + u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX >> 8);
        let mut room = session.wait(now, SESSION).is_zero() && self.all.wait(now, ALL).is_zero();
        if let Some(theirs) = self.of(now, user) {
            room &= theirs.used.wait(now, USER).is_zero();
            if room {
                theirs.used.take(now, USER, units);
            }
        }
        if room {
            session.take(now, SESSION, units);
            self.all.take(now, ALL, units);
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
            self.users.retain(|u| u.left_out > 0 || !u.used.is_full(now));
        }
        if self.users.len() >= USERS_MAX {
            return None;
        }
        self.users.push(OfUser { user: user.clone(), used: Bucket::default(), left_out: 0, since: now });
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
pub(super) struct FurtherStop<'a> {
    pub(super) device: &'a str,
    pub(super) user: &'a Rc<str>,
    pub(super) command: &'a str,
    pub(super) args: &'a Json,
    pub(super) waiter: Option<ConnId>,
}

impl Hub {
    /// A stop beyond the limits: the event under which it stands. `None`: there is none, so that it has to be one.
    pub(super) fn stop_again(&mut self, now: Now, stop: &FurtherStop<'_>, fx: &mut Effects) -> Option<EventId> {
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
        self.stop_limit.left_out(now.mono, stop.user);
        self.counters.stops_left_out += 1;
        self.tell_stops(now, stop.device, fx);
        self.arm_device(stop.device);
        self.arm(self.stop_limit.due());
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

    /// The device's link is over: what comes of what it was told again cannot be known.
    pub(super) fn forget_stops(&mut self, device: &str, unknown: &Json, fx: &mut Effects) {
        let Some(d) = self.devices.get_mut(device) else { return };
        d.retold.clear();
        for mut r in std::mem::take(&mut d.repeats) {
            release(&d.name, &mut r, None, unknown, fx);
        }
    }

    /// One line for each user whose stops were left out.
    pub(super) fn sum_up_stops(&mut self, now: Now) {
        for (user, count) in self.stop_limit.sums(now.mono) {
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
        let (mut limit, mut session) = (StopLimit::default(), Bucket::default());
        let (eve, now): (Rc<str>, _) = ("eve".into(), Moment::default() + Duration::from_secs(60));
        let count = |limit: &mut StopLimit, session: &mut Bucket, now, bytes| {
            (0..1000).filter(|_| limit.take(now, session, &eve, bytes)).count()
        };
        assert_eq!(count(&mut limit, &mut session, now, 4096), 4);
        assert_eq!(count(&mut limit, &mut session, now + Duration::from_secs(60), 0), 32);
        assert_eq!(count(&mut limit, &mut Bucket::default(), now + Duration::from_secs(60), 0), 32, "of the user's 64");
        assert_eq!(count(&mut limit, &mut Bucket::default(), now + Duration::from_secs(60), 0), 0);

        assert_eq!(limit.due(), None);
        limit.left_out(now, &eve);
        limit.left_out(now + Duration::from_secs(9), &eve);
        let due = now + SUM_AFTER;
        assert_eq!(limit.due(), Some(due));
        assert_eq!(limit.sums(now + Duration::from_secs(9)), []);
        assert_eq!(limit.sums(due), [(eve.clone(), 2)]);
        assert_eq!((limit.due(), limit.sums(due)), (None, vec![]));
    }

    #[test]
    fn of_more_users_than_are_remembered_only_the_ration_of_all_counts() {
        let mut limit = StopLimit::default();
        let now = Moment::default();
        for n in 0..USERS_MAX as u64 * 3 {
            let user: Rc<str> = n.to_string().into();
            limit.take(now, &mut Bucket::default(), &user, 0);
            limit.left_out(now, &user);
        }
        assert_eq!(limit.users.len(), USERS_MAX);
        assert!(!limit.take(now, &mut Bucket::default(), &"x".into(), 0));
    }
}
