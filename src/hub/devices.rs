//! The devices: which there are, how they are, what they measure.
//!
//! A device is known by its name. Its link may end and come back; what it left unanswered then is known to be unknown.

use std::rc::Rc;
use std::time::Duration;

use super::Hub;
use super::commands::{Answer, Ids, Pending};
use super::dead_man::Hold;
use super::sorted::SortedMap;
use super::stops::Repeat;
use super::values::Values;
use crate::describe::Describe;
use crate::msg::{
    CloseReason, ConnId, ControlReason, DeviceEffect, DeviceHello, DeviceReason, DeviceState, DeviceView, Effect,
    Effects, FromDevice, Json, LinkEnd, Moment, Now, Passing, ToDevice, What,
};

/// Hellos of one name at once. A device that is started again and again as fast as it can makes events, lines of the log and
/// news for every page, and pushes those of others out.
const HELLOS: u32 = 10;

/// One more so often: `boatswain link` says hello no more often.
const HELLO_EVERY: Duration = Duration::from_secs(1);

/// No line from a device, or nothing of ours acknowledged, for so long: what is sent to it now may run late, so that
/// nothing is.
pub const SUSPECT_AFTER: Duration = Duration::from_millis(1200);

/// Bytes that are remembered of all devices together: descriptions, names, values.
const ALL_BYTES: u64 = 4 << 20;

/// Where `devices.connections` is large, so many for each of them, if that is more.
const ALL_BYTES_OF_ONE: u64 = 16 << 10;

/// The bound in bytes of what is remembered of all devices, where so many may be connected.
pub fn bytes_of_all(connections: u32) -> u64 {
    ALL_BYTES.max(u64::from(connections) * ALL_BYTES_OF_ONE)
}

/// Telemetry goes to pages at most so often, the newest value of each name.
const TELEMETRY_EVERY: Duration = Duration::from_millis(100);

/// Devices that are down are remembered, beside those that may be connected: the forms of a panel stay while one boots.
const DOWN_MAX: usize = 64;

/// One device.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) name: Rc<str>,
    pub(super) describe: Rc<Describe>,
    pub(super) state: DeviceState,
    /// Some exactly while it is not down.
    line: Option<Line>,
    since_ms: u64,
    /// When `state` changed.
    since: Moment,
    pub(super) hold: Option<Hold>,
    pub(super) pending: Vec<Pending>,
    pub(super) unknown: Ids,
    /// Stops that were told more than once and are answered: another answer says nothing new.
    pub(super) retold: Ids,
    /// Stops under which others may stand.
    pub(super) repeats: Vec<Repeat>,
    /// The number of the newest command that was no emergency stop.
    pub(super) moved: u64,
    values: Values,
    values_ms: Option<u64>,
    /// When telemetry was told last.
    told: Option<Moment>,
    /// When all of its [`HELLOS`] are free again.
    hellos: Moment,
}

/// About how many bytes a device with this description takes without its values: what it says is there twice, as text and
/// as what is checked.
fn bytes_of(describe: &Describe) -> u64 {
    (size_of::<Device>() + 2 * describe.text().len()) as u64
}

/// The link of a device that is connected.
#[derive(Clone, Copy, Debug)]
struct Line {
    conn: ConnId,
    /// Its newest line.
    heard: Moment,
    /// How long this process stood still since then: at most [`Settings::silent_after`](super::Settings) of it is given to
    /// the device before it is called down. Never before it is called suspect: nothing may run late.
    stood: Duration,
    /// Since when output of ours is unacknowledged.
    waiting: Option<Moment>,
}

impl Device {
    fn new(name: Rc<str>) -> Device {
        Device {
            name,
            describe: Rc::new(Describe::default()),
            state: DeviceState::Down,
            line: None,
            since_ms: 0,
            since: Moment::default(),
            hold: None,
            pending: Vec::new(),
            unknown: Ids::default(),
            retold: Ids::default(),
            repeats: Vec::new(),
            moved: 0,
            values: Values::default(),
            values_ms: None,
            told: None,
            hellos: Moment::default(),
        }
    }

    /// About how many bytes are remembered of it.
    pub(super) fn bytes(&self) -> u64 {
        bytes_of(&self.describe) + self.values.bytes()
    }

    /// Its link.
    pub(super) fn conn(&self) -> Option<ConnId> {
        self.line.map(|line| line.conn)
    }

    /// When it will be called suspect if nothing happens; in the past if it should be.
    fn suspect_at(line: &Line) -> Moment {
        line.waiting.map_or(line.heard, |waiting| waiting.min(line.heard)) + SUSPECT_AFTER
    }

    /// When its next telemetry may be told, if there is any to tell.
    fn telemetry_at(&self) -> Option<Moment> {
        self.values.has_fresh().then(|| self.told.map_or(Moment::default(), |told| told + TELEMETRY_EVERY))
    }
}

/// All devices, by name.
pub(super) type Devices = SortedMap<Rc<str>, Device>;

impl Hub {
    pub(super) fn device_hello(&mut self, now: Now, conn: ConnId, hello: DeviceHello, fx: &mut Effects) {
        if self.stopping {
            // its token was being checked when all were told
            return fx.push(Effect::Device(DeviceEffect::Close { conn, why: CloseReason::Shutdown }));
        }
        let name = hello.name;
        let size = bytes_of(&hello.describe);
        self.forget_for(&name, size);
        if size > self.device_room(&name) {
            let most = self.settings.device_bytes;
            let message = format!(
                "descriptions and values of all devices together have {most} bytes already (see devices.connections): let others say less"
            );
            let line = ToDevice::Error { error: "full", message: message.into() };
            fx.push(Effect::Device(DeviceEffect::Tell { conn, line }));
            return fx.push(Effect::Device(DeviceEffect::Close { conn, why: CloseReason::Limit }));
        }
        let used = self.devices.get(&name).map_or_else(Moment::default, |d| d.hellos);
        if used.since(now.mono) > HELLO_EVERY * (HELLOS - 1) {
            let message = format!(
                "said hello {HELLOS} times within a few seconds; connect again at most once in {} s",
                HELLO_EVERY.as_secs()
            );
            let line = ToDevice::Error { error: "throttled", message: message.into() };
            fx.push(Effect::Device(DeviceEffect::Tell { conn, line }));
            return fx.push(Effect::Device(DeviceEffect::Close { conn, why: CloseReason::Limit }));
        }
        self.device_down(now, &name, DeviceReason::Replaced, fx);
        self.forget_devices(&name);
        let d = self.devices.get_or_insert(name.clone(), || Device::new(name.clone()));
        d.hellos = used.max(now.mono) + HELLO_EVERY;
        d.describe = hello.describe;
        d.line = Some(Line { conn, heard: now.mono, stood: Duration::ZERO, waiting: None });
        (d.values, d.values_ms, d.told) = (Values::default(), None, None);
        self.device_conns.insert(conn, name.clone());
        let welcome = ToDevice::Welcome { name: name.clone(), epoch: self.log.newest().epoch };
        for line in [welcome, ToDevice::Control { holder: None }] {
            fx.push(Effect::Device(DeviceEffect::Tell { conn, line }));
        }
        self.device_is(now, &name, DeviceState::Up, Some(DeviceReason::Hello), fx);
        self.arm_device(&name);
    }

    pub(super) fn device_line(&mut self, now: Now, conn: ConnId, line: FromDevice, fx: &mut Effects) {
        let Some(name) = self.device_heard(now, conn, fx) else { return };
        match line {
            FromDevice::Blank | FromDevice::Pong => {}
            FromDevice::Ping(n) => fx.push(Effect::Device(DeviceEffect::Tell { conn, line: ToDevice::Pong(n) })),
            FromDevice::Telemetry(values) => self.telemetry(now, &name, values, fx),
            FromDevice::Answer { to, ok, result } => self.device_answer(now, &name, Answer { to: &to, ok, result }, fx),
            FromDevice::Bye => self.device_down(now, &name, DeviceReason::Left, fx),
            FromDevice::Hello(_) => {
                let message = "this link has said hello already; connect anew to be another device".into();
                let line = ToDevice::Error { error: "hello", message };
                fx.push(Effect::Device(DeviceEffect::Tell { conn, line }));
            }
        }
    }

    /// Any whole line came on the link `conn`: a sign of life, also if it made no sense. Returns the device's name.
    pub(super) fn device_heard(&mut self, now: Now, conn: ConnId, fx: &mut Effects) -> Option<Rc<str>> {
        let name = self.device_conns.get(&conn)?.clone();
        if let Some(line) = self.devices.get_mut(&name).and_then(|d| d.line.as_mut()) {
            (line.heard, line.stood) = (now.mono, Duration::ZERO);
        }
        self.judge_device(now, &name, fx);
        Some(name)
    }

    pub(super) fn device_waits(&mut self, now: Now, conn: ConnId, since: Option<Moment>, fx: &mut Effects) {
        let Some(name) = self.device_conns.get(&conn).cloned() else { return };
        let Some(line) = self.devices.get_mut(&name).and_then(|d| d.line.as_mut()) else { return };
        if line.waiting != since {
            line.waiting = since;
            self.judge_device(now, &name, fx);
            self.arm_device(&name);
        }
    }

    pub(super) fn device_broke(&mut self, now: Now, conn: ConnId, fx: &mut Effects) {
        if let Some(name) = self.device_conns.get(&conn).cloned() {
            self.device_down(now, &name, DeviceReason::Protocol, fx);
        }
    }

    pub(super) fn token_changed(&mut self, now: Now, name: &str, fx: &mut Effects) {
        self.device_down(now, name, DeviceReason::Left, fx);
    }

    /// A link has ended. Whether it was a device's.
    pub(super) fn device_ended(&mut self, now: Now, conn: ConnId, end: LinkEnd, fx: &mut Effects) -> bool {
        let Some(name) = self.device_conns.get(&conn).cloned() else { return false };
        let reason = match end {
            LinkEnd::Closed => DeviceReason::Left,
            LinkEnd::Lost { .. } => DeviceReason::Lost,
            // it takes nothing: its program hangs
            LinkEnd::Slow => DeviceReason::Silent,
            LinkEnd::Protocol => DeviceReason::Protocol,
        };
        self.device_down(now, &name, reason, fx);
        true
    }

    /// The device's link is over: what it was asked is answered `unknown`, and its control ends.
    fn device_down(&mut self, now: Now, name: &str, reason: DeviceReason, fx: &mut Effects) {
        let Some(conn) = self.devices.get(name).and_then(Device::conn) else { return };
        self.device_is(now, name, DeviceState::Down, Some(reason), fx);
        // `safe` goes out before anything that takes time to read
        self.end_control(now, name, ControlReason::Device, Duration::ZERO, fx);
        self.answer_all_unknown(now, name, fx);
        self.device_conns.remove(&conn);
        if let Some(d) = self.devices.get_mut(name) {
            d.line = None;
            d.values.stale();
        }
        let effect = match reason {
            DeviceReason::Lost => DeviceEffect::Reset { conn },
            DeviceReason::Replaced => DeviceEffect::Close { conn, why: CloseReason::Replaced },
            DeviceReason::Silent => DeviceEffect::Close { conn, why: CloseReason::Silent },
            DeviceReason::Protocol => DeviceEffect::Close { conn, why: CloseReason::Protocol },
            DeviceReason::Hello | DeviceReason::Left => DeviceEffect::Close { conn, why: CloseReason::Closed },
        };
        fx.push(Effect::Device(effect));
        self.next = self.soonest();
    }

    /// All devices are told `bye`, after `safe` if they were held.
    pub(super) fn devices_shutdown(&mut self, now: Now, fx: &mut Effects) {
        let names: Vec<Rc<str>> = self.device_conns.values().cloned().collect();
        for name in names {
            self.end_control(now, &name, ControlReason::Shutdown, Duration::ZERO, fx);
            self.answer_all_unknown(now, &name, fx);
        }
        for (conn, name) in self.device_conns.take() {
            fx.push(Effect::Device(DeviceEffect::Close { conn, why: CloseReason::Shutdown }));
            if let Some(d) = self.devices.get_mut(&name) {
                (d.line, d.state) = (None, DeviceState::Down);
                d.values.stale();
            }
        }
    }

    /// Whether it is heard and takes what we send: says so if that has changed.
    pub(super) fn judge_device(&mut self, now: Now, name: &str, fx: &mut Effects) {
        let Some(d) = self.devices.get(name) else { return };
        let Some(line) = &d.line else { return };
        match (Device::suspect_at(line) <= now.mono, d.state) {
            (true, DeviceState::Up) => {
                self.device_is(now, name, DeviceState::Suspect, Some(DeviceReason::Silent), fx);
            }
            (false, DeviceState::Suspect) => {
                self.device_is(now, name, DeviceState::Up, None, fx);
                self.arm_device(name);
            }
            _ => {}
        }
    }

    fn device_is(&mut self, now: Now, name: &str, state: DeviceState, reason: Option<DeviceReason>, fx: &mut Effects) {
        let Some(d) = self.devices.get_mut(name) else { return };
        (d.state, d.since, d.since_ms) = (state, now.mono, now.wall_ms);
        let device = d.name.clone();
        match (state, reason) {
            (DeviceState::Suspect, _) => self.counters.device_suspicions += 1,
            (_, Some(reason)) => self.counters.devices[reason as usize] += 1,
            (_, None) => {}
        }
        self.record(now, What::Device { device, state, reason }, fx);
    }

    /// Makes room for `name`: the one that is down for the longest is forgotten.
    fn forget_devices(&mut self, name: &str) {
        if self.devices.get(name).is_some() || self.devices.len() < self.device_conns.len() + DOWN_MAX {
            return;
        }
        self.forget_oldest(name);
    }

    /// Forgets the one that is down for the longest, but not `name`. Whether there was one.
    fn forget_oldest(&mut self, name: &str) -> bool {
        let down = self.devices.values().filter(|d| d.line.is_none() && *d.name != *name);
        let oldest = down.min_by_key(|d| d.since).map(|d| d.name.clone());
        oldest.is_some_and(|oldest| self.devices.remove(&oldest).is_some())
    }

    /// Bytes that `name` may take, since the others take theirs.
    fn device_room(&self, name: &str) -> u64 {
        let others = self.devices.values().filter(|d| *d.name != *name).map(Device::bytes);
        self.settings.device_bytes.saturating_sub(others.sum())
    }

    /// Makes room for `name` to take so many bytes, as far as forgetting devices that are down does.
    fn forget_for(&mut self, name: &str, bytes: u64) {
        while bytes > self.device_room(name) && self.forget_oldest(name) {}
    }

    // --------------------------------------------------------------------------------------------- telemetry

    fn telemetry(&mut self, now: Now, name: &str, values: Vec<(Rc<str>, Json)>, fx: &mut Effects) {
        let most = self.devices.get(name).map_or(0, Device::bytes) + Values::bytes_of(&values);
        self.forget_for(name, most);
        let room = self.device_room(name);
        let Some(d) = self.devices.get_mut(name) else { return };
        self.counters.telemetry += 1;
        d.values_ms = Some(now.wall_ms);
        let room = room.saturating_sub(bytes_of(&d.describe));
        let mut refused = None;
        for (name, value) in values {
            refused = d.values.take(name, value, room).or(refused);
        }
        if let (Some(message), Some(conn)) = (refused, d.conn()) {
            let message = message.into();
            fx.push(Effect::Device(DeviceEffect::Tell { conn, line: ToDevice::Error { error: "telemetry", message } }));
        }
        self.tell_telemetry(now, name, fx);
    }

    /// Tells what is fresh, if it is time.
    fn tell_telemetry(&mut self, now: Now, name: &str, fx: &mut Effects) {
        let Some(d) = self.devices.get_mut(name) else { return };
        if d.telemetry_at().is_none_or(|at| at > now.mono) {
            return self.arm_device(name);
        }
        d.told = Some(now.mono);
        let values = d.values.fresh();
        let device = d.name.clone();
        self.pass(Passing::Telemetry { device, values, at_ms: now.wall_ms }, fx);
    }

    /// See [`View::telemetry_now`](super::View::telemetry_now).
    pub(super) fn telemetry_now(&self) -> Vec<Rc<Passing>> {
        let all = self.devices.values().filter_map(|d| {
            Some(Rc::new(Passing::Telemetry { device: d.name.clone(), values: d.values.all(), at_ms: d.values_ms? }))
        });
        all.collect()
    }

    // -------------------------------------------------------------------------------------------------- time

    /// Does what time alone brings about for devices.
    pub(super) fn tick_devices(&mut self, now: Now, fx: &mut Effects) {
        self.sum_up_stops(now);
        let due = |d: &&Device| self.device_due(d).is_some_and(|at| at <= now.mono);
        let names: Vec<Rc<str>> = self.devices.values().filter(due).map(|d| d.name.clone()).collect();
        for name in names {
            let line = self.devices.get(&name).and_then(|d| d.line);
            if line.is_some_and(|line| self.silent_at(&line) <= now.mono) {
                self.device_down(now, &name, DeviceReason::Silent, fx);
                continue;
            }
            self.judge_device(now, &name, fx);
            self.check_control(now, &name, fx);
            self.check_answers(now, &name, fx);
            self.tell_stops(now, &name, fx);
            self.tell_telemetry(now, &name, fx);
        }
    }

    /// When time itself changes something about a device.
    pub(super) fn device_due(&self, d: &Device) -> Option<Moment> {
        let suspect = d.line.as_ref().filter(|_| d.state == DeviceState::Up).map(Device::suspect_at);
        let silent = d.line.map(|line| self.silent_at(&line));
        let control = d.hold.as_ref().map(|hold| self.control_due(hold));
        let answer = d.pending.iter().map(|p| p.at + self.settings.control.answer_after).min();
        [suspect, silent, control, answer, d.telemetry_at(), Hub::stops_due(d)].into_iter().flatten().min()
    }

    /// When it is called down for its silence.
    fn silent_at(&self, line: &Line) -> Moment {
        line.heard + self.settings.silent_after + line.stood.min(self.settings.silent_after)
    }

    pub(super) fn devices_due(&self) -> Option<Moment> {
        self.devices.values().filter_map(|d| self.device_due(d)).chain(self.stop_limit.due()).min()
    }

    /// Something about `name` has changed: wakes in time for it.
    pub(super) fn arm_device(&mut self, name: &str) {
        let due = self.devices.get(name).and_then(|d| self.device_due(d));
        self.arm(due);
    }

    /// See [`Input::StoodStill`](super::Input::StoodStill).
    pub(super) fn devices_stood_still(&mut self, gap: Duration) {
        for line in self.devices.values_mut().filter_map(|d| d.line.as_mut()) {
            line.stood += gap;
        }
        self.control_stood_still(gap);
    }

    // ----------------------------------------------------------------------------------------------- reading

    /// All devices that are known, by name.
    pub(super) fn devices(&self) -> Vec<DeviceView> {
        let view = |d: &Device| DeviceView {
            name: d.name.clone(),
            state: d.state,
            since_ms: d.since_ms,
            holder: d.hold.as_ref().map(|hold| self.holder(hold)),
            describe: d.describe.text().clone(),
            telemetry: d.values.all(),
            telemetry_ms: d.values_ms,
        };
        self.devices.values().map(view).collect()
    }
}
