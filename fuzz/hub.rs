//! The hub driven by arbitrary bytes: people, links, answers to beats, devices, commands, and above all time, which passes
//! in turns, in turns that take long, in stalls of this process and in sleep of the board.
//!
//! What has to hold is told from outside with a few numbers: nobody commands without control, control ends in time
//! whatever time did, and a device hears `safe` first unless a person decided it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use boatswain::ask::Beat;
use boatswain::config::Config;
use boatswain::describe::{Args, Describe};
use boatswain::hub::{
    Ask, BeatAnswer, CommandRequest, ControlAction, Denied, Done, Hub, Input, LinkSpec, Seed, SignIn, Tab, Take,
};
use boatswain::msg::{
    Change, ConnId, DeviceEffect, DeviceHello, Effect, Effects, Epoch, Evidence, FromDevice, LinkEnd, Moment, Now,
    PeerAddr, Role, SessionId, ToDevice, Types,
};

const DEVICES: [&str; 2] = ["pump", "saw"];
const USERS: [&str; 3] = ["ann", "bob", "eve"];
/// Steps taken of one input: more would only be slow.
const STEPS_MAX: usize = 400;
/// Links of people have numbers from here on, those of devices below.
const PEOPLE: u16 = 100;

/// Somebody with at most one link.
struct Person {
    id: SessionId,
    link: Option<u16>,
    tab: u64,
    suspect: bool,
    /// The newest beat of this link, and when each was sent, whichever link it went over.
    newest: Option<u64>,
    sent: BTreeMap<u64, u64>,
}

/// One device as it hears the server.
#[derive(Default)]
struct Machine {
    link: Option<u16>,
    holding: Option<Holding>,
    /// It was told `safe`, and not yet that nobody holds it.
    safe: bool,
}

/// What the model knows of one term of control.
#[derive(Clone, Copy)]
struct Holding {
    who: usize,
    /// The newest sign that the holder can act: taking, or the sending of the newest answered beat. By the clock that
    /// counts sleep too.
    sign: u64,
    /// Until when a lease runs, by the same clock.
    lease: Option<(u64, u64)>,
    newest: Option<u64>,
    /// Time without an answer in which one could have come: now, and when the hub last looked.
    quiet: u64,
    looked: u64,
    /// How much of it all such times together had beyond `control.page_after`.
    beyond: u64,
    /// The monotonic moment up to which `quiet` is counted.
    counted: u64,
}

/// All of it.
struct House {
    hub: Hub,
    fx: Effects,
    /// The monotonic clock, and the sleep that it has not counted, in milliseconds.
    ms: u64,
    asleep: u64,
    people: Vec<Person>,
    machines: Vec<Machine>,
    links: u16,
    max_silence: u64,
    page_after: u64,
    command_age: u64,
}

/// The bytes: one for the settings, then two for each step.
pub fn hub(data: &[u8]) {
    let Some((&first, steps)) = data.split_first() else { return };
    let mut house = House::new(first);
    for step in steps.chunks_exact(2).take(STEPS_MAX) {
        house.step(step[0], step[1]);
        house.settle();
    }
    // whatever is held then is let go of by time alone
    house.pass(house.max_silence.max(60_000) + 1);
    assert!(house.machines.iter().all(|m| m.holding.is_none()), "held by nobody who answers");
}

fn conn(n: u16) -> ConnId {
    ConnId::new(n, 0)
}

fn is_safe(effect: &Effect) -> bool {
    matches!(effect, Effect::Device(DeviceEffect::Tell { line: ToDevice::Safe { .. }, .. }))
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

impl House {
    fn new(first: u8) -> House {
        let mut settings = boatswain::engine::shared::settings(&Config::default(), USERS.len());
        if first % 2 == 1 {
            // so that what stalls earn can be seen apart from the bound of all
            settings.control.page_after = Duration::from_secs(2);
            settings.control.max_silence = Duration::from_secs(60);
        }
        let control = settings.control.clone();
        let seed = Seed { epoch: Epoch::from_random(1), beat_base: 1000, names: 42 };
        let mut house = House {
            hub: Hub::new(settings, seed, Now::default()),
            fx: Vec::new(),
            ms: 0,
            asleep: 0,
            people: Vec::new(),
            machines: DEVICES.map(|_| Machine::default()).into(),
            links: PEOPLE,
            max_silence: millis(control.max_silence),
            page_after: millis(control.page_after),
            command_age: millis(control.command_age),
        };
        house.pass(5_000); // no beat is older than the clock
        for (n, user) in (1..).zip(USERS) {
            let role = if user == "eve" { Role::Admin } else { Role::Operator };
            let who = SignIn {
                user,
                role,
                addr: PeerAddr::Ip([10, 0, 0, n].into()),
                agent: "browser",
                stale: None,
                last: None,
                random: [n; 16],
            };
            let (id, _) = house.hub.sign_in(house.now(), who);
            let person = Person { id, link: None, tab: 0, suspect: false, newest: None, sent: BTreeMap::new() };
            house.people.push(person);
        }
        house
    }

    fn now(&self) -> Now {
        Now { mono: Moment::from_millis(self.ms), wall_ms: 1_700_000_000_000 + self.ms }
    }

    /// The clock that counts sleep too.
    fn boot(&self) -> u64 {
        self.ms + self.asleep
    }

    // ------------------------------------------------------------------------------------------------- time

    /// Time passes in short turns, each of which does what is due.
    fn pass(&mut self, ms: u64) {
        let until = self.ms + ms;
        while self.ms < until {
            let due = self.hub.view().deadline().map_or(until, |at| at.micros().div_ceil(1000));
            self.ms = due.clamp(self.ms + 1, until);
            self.tick();
        }
    }

    /// The end of a turn.
    fn tick(&mut self) {
        let now = self.now();
        self.hub.handle(now, Input::Tick, &mut self.fx);
        assert!(self.hub.view().deadline().is_none_or(|at| at > now.mono), "the loop would spin");
        self.settle();
        self.in_time();
    }

    /// Control that should have ended has.
    fn in_time(&mut self) {
        self.count();
        let boot = self.boot();
        for (m, name) in DEVICES.iter().enumerate() {
            let holder = self
                .hub
                .view()
                .devices()
                .iter()
                .find(|d| &*d.name == *name)
                .and_then(|d| Some(d.holder.as_ref()?.session));
            let known = self.machines[m].holding.map(|h| self.people[h.who].id);
            assert_eq!(holder, known, "{name}: what the hub says and what it tells");
            let Some(h) = &mut self.machines[m].holding else { continue };
            h.looked = h.quiet;
            match h.lease {
                Some((until, _)) => assert!(boot < until, "{name}: a lease that has run out"),
                None => {
                    assert!(boot < h.sign + self.max_silence, "{name}: held beyond control.max_silence");
                    let beyond = h.beyond + h.quiet.saturating_sub(self.page_after);
                    assert!(beyond <= self.page_after, "{name}: stalls earned {beyond} ms");
                }
            }
        }
    }

    /// Counts the time since the last count for every holder whose answer could have come.
    fn count(&mut self) {
        for m in &mut self.machines {
            let Some(h) = &mut m.holding else { continue };
            let p = &self.people[h.who];
            if p.link.is_some() && !p.suspect {
                h.quiet += self.ms.saturating_sub(h.counted);
            }
            h.counted = self.ms;
        }
    }

    // ------------------------------------------------------------------------------------------------ steps

    fn step(&mut self, what: u8, with: u8) {
        let (who, m) = (usize::from(with) % USERS.len(), usize::from(with / 16) % DEVICES.len());
        let (now, value) = (self.now(), u64::from(with));
        match what % 24 {
            0..=2 => self.pass(value * 8),
            3 | 4 => {
                // this process stood still: what came meanwhile is read in the next steps
                self.ms += 251 + value * 24;
                self.hub.handle(now, Input::StoodStill(Duration::from_millis(251 + value * 24)), &mut self.fx);
                if what & 0x80 == 0 {
                    self.tick();
                }
            }
            5 => {
                self.asleep += 100 + value * 30;
                self.hub.handle(now, Input::Slept(Duration::from_millis(100 + value * 30)), &mut self.fx);
                self.tick();
            }
            6 => self.ms += value, // a turn that takes long
            7 => self.connect(who),
            8 => self.end(who, LinkEnd::Closed),
            9 => {
                let after = Duration::from_millis(value * 10);
                self.end(who, LinkEnd::Lost { after, evidence: Evidence::NoAck });
            }
            10 => self.suspect(who, value * 8),
            11..=13 => self.beat(who, with),
            14 | 15 => self.take(who, m, with),
            16 => {
                let done = self.ask(who, Ask::Control { device: DEVICES[m], action: ControlAction::Release });
                assert!(done.is_err() || self.machines[m].holding.is_some_and(|h| h.who == who));
            }
            17 => {
                let to = self.people[usize::from(with / 4) % USERS.len()].id;
                let _ = self.ask(who, Ask::Control { device: DEVICES[m], action: ControlAction::Give(to) });
            }
            18 | 19 => self.command(who, m, with),
            20 => self.hello(m),
            21 => {
                let Some(c) = self.machines[m].link else { return };
                let said = if with % 2 == 0 { FromDevice::Pong } else { FromDevice::Ping("1".into()) };
                self.hub.handle(now, Input::DeviceLine { conn: conn(c), line: said }, &mut self.fx);
            }
            22 => {
                let Some(c) = self.machines[m].link else { return };
                let since = (with % 2 == 0).then(|| now.mono - Duration::from_millis(value * 4));
                self.hub.handle(now, Input::DeviceWaits { conn: conn(c), since }, &mut self.fx);
            }
            _ => self.device_goes(m, with),
        }
    }

    fn ask(&mut self, who: usize, ask: Ask<'_>) -> Result<Done, Denied> {
        self.hub.ask(self.now(), self.people[who].id, ask, &mut self.fx)
    }

    fn connect(&mut self, who: usize) {
        self.count();
        self.links += 1;
        let c = self.links;
        self.people[who].tab += 1;
        let tab = Some(Tab { name: format!("tab{who}").into(), n: self.people[who].tab });
        let spec = Box::new(LinkSpec { types: Types::ALL, beats: true, last: None, tab });
        if self.ask(who, Ask::Link { conn: conn(c), spec }).is_ok() {
            let p = &mut self.people[who];
            (p.link, p.suspect, p.newest) = (Some(c), false, None);
        }
    }

    fn end(&mut self, who: usize, end: LinkEnd) {
        self.count();
        let now = self.now();
        if let Some(c) = self.people[who].link.take() {
            self.people[who].suspect = false;
            self.hub.handle(now, Input::LinkEnded { conn: conn(c), end }, &mut self.fx);
        }
    }

    /// The transport falls silent, since `silent`, or is heard again.
    fn suspect(&mut self, who: usize, silent: u64) {
        self.count();
        let (now, p) = (self.now(), &mut self.people[who]);
        let Some(c) = p.link else { return };
        p.suspect = !p.suspect;
        if p.suspect {
            for h in self.machines.iter_mut().filter_map(|m| m.holding.as_mut()).filter(|h| h.who == who) {
                h.quiet = h.quiet.saturating_sub(silent); // counted back to the last sign of life
            }
            let silent = Duration::from_millis(silent);
            self.hub.handle(
                now,
                Input::LinkChanged { conn: conn(c), change: Change::Suspected { silent } },
                &mut self.fx,
            );
        } else {
            self.hub.handle(
                now,
                Input::LinkChanged { conn: conn(c), change: Change::Recovered { silent: Duration::ZERO } },
                &mut self.fx,
            );
        }
    }

    /// A beat goes out on the link of `who`, or its page answers one of the newest four.
    fn beat(&mut self, who: usize, with: u8) {
        self.count();
        let (now, boot) = (self.now(), self.boot());
        let p = &mut self.people[who];
        let Some(c) = p.link else { return };
        if with & 0x40 == 0 {
            let n = self.hub.view().beat_number(now);
            if p.newest.is_none_or(|newest| newest < n) {
                self.hub.handle(now, Input::BeatSent { conn: conn(c), n }, &mut self.fx);
                p.newest = Some(n);
                p.sent.insert(n, boot);
            }
            return;
        }
        let Some(newest) = p.newest else { return };
        let n = newest - u64::from(with >> 4 & 3);
        let hold: &[&str] = if with & 0x80 == 0 { &DEVICES } else { &DEVICES[..1] };
        let beat = Beat { n, hold: hold.iter().map(|name| name.to_string()).collect() };
        if self.ask(who, Ask::LinkBeat { conn: conn(c), beat: &beat }) != Ok(Done::Beat(BeatAnswer::Counted)) {
            return;
        }
        // of a number that was left out the page knows by the next one
        let sent = self.people[who].sent.range(n..).next().map(|(_, &sent)| sent);
        for (m, name) in self.machines.iter_mut().zip(DEVICES) {
            let Some(h) = m.holding.as_mut().filter(|h| h.who == who && hold.contains(&name)) else { continue };
            if h.lease.is_none() && h.newest.is_none_or(|newest| newest < n) {
                h.newest = Some(n);
                h.beyond += h.looked.saturating_sub(self.page_after);
                (h.quiet, h.looked) = (0, 0);
                h.sign = h.sign.max(sent.unwrap_or(h.sign));
            }
        }
    }

    fn take(&mut self, who: usize, m: usize, with: u8) {
        let boot = self.boot();
        let lease = (with & 8 != 0).then(|| Duration::from_secs(1 + u64::from(with) % 60));
        let take = Take { lease, force: with & 4 != 0 };
        let was = self.machines[m].holding;
        let over = was.and_then(|h| h.lease).is_some_and(|(until, _)| until <= boot);
        let action = ControlAction::Take(take);
        let Ok(Done::Controlled(done)) = self.ask(who, Ask::Control { device: DEVICES[m], action }) else { return };
        let length = done.lease.map(millis);
        let lease = length.map(|length| (boot + length, length));
        let fresh = Holding { who, sign: boot, lease, newest: None, quiet: 0, looked: 0, beyond: 0, counted: self.ms };
        let ended = self.fx.iter().any(is_safe);
        assert!(ended || !over, "taken over an end of control that nobody was told of");
        self.settle();
        self.machines[m].holding = Some(match was.filter(|h| h.who == who && !ended) {
            // a page gains nothing by taking once more
            Some(h) if h.lease.is_none() && lease.is_none() => h,
            Some(h) => Holding { beyond: h.beyond, ..fresh },
            None => fresh,
        });
    }

    fn command(&mut self, who: usize, m: usize, with: u8) {
        let boot = self.boot();
        let beat = self.people[who].newest.map(|newest| newest - u64::from(with & 7));
        let args = Args::default();
        let command = if with & 8 == 0 { "start" } else { "stop" };
        let order = CommandRequest { device: DEVICES[m], command, args: &args, beat, reference: None, waiter: None };
        if self.ask(who, Ask::Command(&order)).is_err() || command == "stop" {
            return;
        }
        let sent = beat.and_then(|beat| self.people[who].sent.get(&beat));
        assert!(sent.is_none_or(|&sent| boot - sent <= self.command_age), "a command ran late");
        let h = self.machines[m].holding.as_mut().filter(|h| h.who == who);
        let h = h.expect("a command of one who does not hold control");
        match &mut h.lease {
            Some((until, length)) => {
                assert!(boot < *until, "a command after the lease");
                *until = boot + *length;
            }
            None => assert!(boot < h.sign + self.max_silence, "a command after control.max_silence"),
        }
    }

    fn hello(&mut self, m: usize) {
        self.links += 1;
        let text = r#"{"commands":{"start":{},"stop":{"anyone":true}}}"#;
        let Ok(describe) = serde_json::from_str(text).map_err(|e| e.to_string()).and_then(|v| Describe::parse(&v))
        else {
            return;
        };
        let hello = DeviceHello { name: DEVICES[m].into(), token: None, describe: Rc::new(describe) };
        let old = self.machines[m].link;
        self.hub.handle(self.now(), Input::DeviceHello { conn: conn(self.links), hello }, &mut self.fx);
        if old.is_some() {
            self.settle();
        }
        self.machines[m].link = Some(self.links);
    }

    fn device_goes(&mut self, m: usize, with: u8) {
        let (now, Some(c)) = (self.now(), self.machines[m].link) else { return };
        match with % 3 {
            0 => self.hub.handle(now, Input::DeviceLine { conn: conn(c), line: FromDevice::Bye }, &mut self.fx),
            1 => self.hub.handle(now, Input::LinkEnded { conn: conn(c), end: LinkEnd::Closed }, &mut self.fx),
            _ => self.hub.handle(now, Input::DeviceBroke(conn(c)), &mut self.fx),
        }
    }

    // ---------------------------------------------------------------------------------------------- effects

    /// Does what the hub wants done, as far as devices and the ends of links go.
    fn settle(&mut self) {
        for effect in std::mem::take(&mut self.fx) {
            match effect {
                Effect::Close { conn: c, .. } => {
                    for p in self.people.iter_mut().filter(|p| p.link.map(conn) == Some(c)) {
                        (p.link, p.suspect) = (None, false);
                    }
                }
                Effect::Device(DeviceEffect::Tell { conn: c, line }) => self.told(c, &line),
                Effect::Device(DeviceEffect::Close { conn: c, .. } | DeviceEffect::Reset { conn: c }) => {
                    for m in self.machines.iter_mut().filter(|m| m.link.map(conn) == Some(c)) {
                        assert!(m.holding.is_none(), "a device that is gone and held");
                        (m.link, m.safe) = (None, false);
                    }
                }
                _ => {}
            }
        }
    }

    fn told(&mut self, c: ConnId, line: &ToDevice) {
        let Some(m) = self.machines.iter_mut().find(|m| m.link.map(conn) == Some(c)) else { return };
        match line {
            ToDevice::Safe { .. } => {
                assert!(m.holding.is_some() && !m.safe, "`safe` once for each hold");
                m.safe = true;
            }
            ToDevice::Control { holder: None } => (m.holding, m.safe) = (None, false),
            ToDevice::Control { .. } => assert!(!m.safe),
            ToDevice::Command { anyone, .. } => {
                assert!(*anyone || (m.holding.is_some() && !m.safe), "commanded by nobody who holds it");
            }
            _ => {}
        }
    }
}
