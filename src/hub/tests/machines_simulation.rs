//! Thousands of random steps of operators, devices and networks against a model of a few numbers: never two holders,
//! never a command without control or late, every command answered once (and late once more after `unknown` at most),
//! `safe` exactly when and why the model says so and never else.

mod steps;

use std::collections::{BTreeMap, BTreeSet};

use super::machines::{PUMP, json};
use super::simulation::Dice;
use super::*;
use crate::describe::{Args, Describe};
use crate::msg::{ControlReason, DeviceHello, DeviceState, FromDevice};

const OBSERVER: u16 = 1;
const DEVICES: [&str; 3] = ["crane", "pump", "saw"];
const USERS: [&str; 4] = ["ann", "bob", "mia", "admin"];

/// Somebody with at most one link.
struct Person {
    user: &'static str,
    id: SessionId,
    link: Option<u16>,
    tab: String,
    n: u64,
    suspect: bool,
    /// May only look.
    viewer: bool,
    /// The page answers beats, naming all devices.
    answers: bool,
    /// When it was heard last.
    heard: u64,
    /// Without a link: when its seat is given back.
    seat_until: u64,
}

/// Who holds a device, as the model has it.
#[derive(Clone, Debug)]
struct Holding {
    who: usize,
    /// Time without an answer in which one could have come.
    quiet: u64,
    /// Since when that goes on, if it does.
    since: u64,
    /// What stalls of the server have earned.
    credit: u64,
    /// The newest answered beat, or the taking.
    sign: u64,
    unlinked: Option<u64>,
    had_link: bool,
    lease: Option<(u64, u64)>,
    offer: Option<(usize, u64)>,
}

struct Machine {
    link: Option<u16>,
    talks: bool,
    heard: u64,
    /// How long the server stood still since then.
    stood: u64,
    holding: Option<Holding>,
}

impl Machine {
    fn is_heard(&mut self, ms: u64) {
        (self.heard, self.stood) = (ms, 0);
    }

    /// When it is called down: stalls earn it as much time again as it has, and no more.
    fn silent_at(&self) -> u64 {
        self.heard + 5_000 + self.stood.min(5_000)
    }
}

/// What became of a command.
#[derive(Default, Debug)]
struct Fate {
    device: usize,
    answers: u32,
    unknown: bool,
    late: u32,
}

struct Model {
    w: World,
    dice: Dice,
    people: Vec<Person>,
    machines: Vec<Machine>,
    fates: BTreeMap<u64, Fate>,
    /// Ends of control that have to be in the log next: device, and reason (one of these, if they fall together).
    due: Vec<(usize, Vec<ControlReason>)>,
    next_link: u16,
    seen: BTreeSet<&'static str>,
    read: u64,
    /// Whose link each was.
    owners: BTreeMap<ConnId, usize>,
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut w = World::with(|s| {
            s.chat.history = 10_000;
            s.seats.max = 20;
        });
        w.member("vic", OBSERVER);
        let machines = DEVICES.map(|_| Machine { link: None, talks: true, heard: 0, stood: 0, holding: None });
        let mut model = Model {
            w,
            dice: Dice(seed),
            people: Vec::new(),
            machines: machines.into(),
            fates: BTreeMap::new(),
            due: Vec::new(),
            next_link: 100,
            seen: BTreeSet::new(),
            read: 0,
            owners: BTreeMap::new(),
        };
        for user in USERS {
            let person = model.person(user);
            model.people.push(person);
        }
        model
    }

    fn person(&mut self, user: &'static str) -> Person {
        let id = self.w.browser(user, addr(self.dice.roll(200) as u8));
        let tab = format!("tab{}", self.dice.roll(1 << 40));
        let (heard, seat_until) = (self.w.ms, 0);
        Person { user, id, link: None, tab, n: 0, suspect: false, viewer: false, answers: true, heard, seat_until }
    }

    fn link(&mut self) -> u16 {
        self.next_link += 1;
        self.next_link
    }

    // -------------------------------------------------------------------------------------------- the rules

    /// When and why control of `m` ends if nothing happens.
    fn end_of(&self, m: usize) -> Option<(u64, Vec<ControlReason>)> {
        let ends = self.ends_of(m);
        let first = ends.iter().map(|&(at, _)| at).min()?;
        Some((first, ends.into_iter().filter(|&(at, _)| at == first).map(|(_, why)| why).collect()))
    }

    /// All ways in which control of `m` ends if nothing happens, and when each would.
    fn ends_of(&self, m: usize) -> Vec<(u64, ControlReason)> {
        let Some(h) = &self.machines[m].holding else { return Vec::new() };
        let p = &self.people[h.who];
        let mut ends = Vec::new();
        if let Some(since) = h.unlinked {
            ends.push((since + 3_000, ControlReason::Left));
        }
        if p.link.is_none() {
            ends.push((p.seat_until, ControlReason::Left));
        }
        match h.lease {
            Some((until, _)) => ends.push((until, ControlReason::Lease)),
            None => {
                ends.push((h.sign + 5_000, ControlReason::Page));
                if p.link.is_some() && !p.suspect {
                    ends.push((self.w.ms + 3_000 - h.quiet.min(3_000), ControlReason::Page));
                }
            }
        }
        ends.push((self.machines[m].silent_at(), ControlReason::Device));
        ends
    }

    /// The loop does not run for a while: no tick, nothing is read. Then it does.
    fn stall(&mut self) {
        let gap = 250 + self.dice.roll(4_000);
        self.w.ms += gap;
        self.w.happens(Input::StoodStill(Duration::from_millis(gap)));
        for machine in &mut self.machines {
            machine.stood += gap;
            let Some(h) = &mut machine.holding else { continue };
            let p = &self.people[h.who];
            if p.link.is_some() && !p.suspect {
                let earned = gap.min(3_000 - h.credit);
                if h.lease.is_none() {
                    h.credit += earned;
                    h.since += earned;
                }
                h.quiet += gap - earned;
            }
        }
        self.people.iter_mut().for_each(|p| p.seat_until += gap);
        let now = self.w.ms;
        self.w.at(now);
        for m in 0..self.machines.len() {
            let over: Vec<_> = self.ends_of(m).into_iter().filter(|&(at, _)| at <= now).map(|(_, why)| why).collect();
            if !over.is_empty() {
                self.machines[m].holding = None;
                self.due.push((m, over));
                self.seen.insert("ended by a stall");
            }
            if self.machines[m].link.is_some() && self.machines[m].silent_at() <= now {
                self.machine_ends(m);
            }
        }
        self.seen.insert("stalled");
        // nothing of this says how long: the bound itself, not by the model's way of counting
        for h in self.machines.iter().filter_map(|m| m.holding.as_ref()).filter(|h| h.lease.is_none()) {
            assert!(now < h.sign + 5_000, "control outlives max_silence by a stall");
        }
    }

    /// Control of `m` ends now.
    fn ends(&mut self, m: usize, why: ControlReason) {
        if self.machines[m].holding.take().is_some() {
            self.due.push((m, vec![why]));
            self.seen.insert(why.word());
        }
    }

    fn person_ends(&mut self, who: usize, why: ControlReason) {
        for m in 0..self.machines.len() {
            if self.machines[m].holding.as_ref().is_some_and(|h| h.who == who) {
                self.ends(m, why);
            }
        }
    }

    fn machine_ends(&mut self, m: usize) {
        self.ends(m, ControlReason::Device);
        self.machines[m].link = None;
    }

    /// The links of `who` have changed.
    fn follow(&mut self, who: usize) {
        let (linked, now) = (self.people[who].link.is_some(), self.w.ms);
        for h in self.machines.iter_mut().filter_map(|m| m.holding.as_mut()).filter(|h| h.who == who) {
            h.had_link |= linked;
            h.unlinked = if linked { None } else { h.unlinked.or(h.had_link.then_some(now)) };
        }
    }

    // ------------------------------------------------------------------------------------------------- time

    /// Time passes by `ms`, a little at a time.
    fn pass(&mut self, ms: u64) {
        let until = self.w.ms + ms;
        while self.w.ms < until {
            // to the next thing that the model knows of, at most to the next half second
            let mut next = ((self.w.ms / 500 + 1) * 500).min(until);
            for m in 0..self.machines.len() {
                next = next.min(self.end_of(m).map_or(next, |(at, _)| at.max(self.w.ms + 1)));
                if self.machines[m].link.is_some() {
                    next = next.min((self.machines[m].silent_at()).max(self.w.ms + 1));
                }
            }
            let (from, passed) = (self.w.ms, next - self.w.ms);
            for m in 0..self.machines.len() {
                let holding = self.machines[m].holding.as_mut();
                if let Some(h) = holding {
                    let p = &self.people[h.who];
                    if p.link.is_some() && !p.suspect {
                        h.quiet += passed;
                    }
                }
            }
            self.w.at(next);
            for m in 0..self.machines.len() {
                if let Some((at, why)) = self.end_of(m).filter(|&(at, _)| at <= next) {
                    assert!(at > from || passed == 1, "the model looks away");
                    self.machines[m].holding = None;
                    self.seen.insert(why[0].word());
                    self.due.push((m, why));
                }
                if self.machines[m].link.is_some() && self.machines[m].silent_at() <= next {
                    self.machine_ends(m);
                }
            }
            self.check();
            if next % 500 == 0 {
                self.half_second();
            }
        }
    }

    /// What living pages and devices do by themselves.
    fn half_second(&mut self) {
        for m in 0..self.machines.len() {
            if let (Some(c), true) = (self.machines[m].link, self.machines[m].talks) {
                self.w.says(c, FromDevice::Pong);
                self.machines[m].is_heard(self.w.ms);
            }
        }
        for who in 0..self.people.len() {
            if self.people[who].answers && !self.people[who].suspect {
                self.answer_beat(who);
            }
        }
        self.check();
    }

    fn answer_beat(&mut self, who: usize) {
        let now = self.w.now();
        let p = &mut self.people[who];
        let Some(c) = p.link else { return };
        p.heard = self.w.ms;
        let n = self.w.hub.view().beat_number(now);
        self.w.happens(Input::BeatSent { conn: conn(c), n });
        let counted = self.w.answer(p.id, &p.tab, n, &DEVICES);
        self.w.settle();
        if counted == BeatAnswer::Counted {
            let ms = self.w.ms;
            for h in self.machines.iter_mut().filter_map(|m| m.holding.as_mut()).filter(|h| h.who == who) {
                (h.quiet, h.since, h.sign) = (0, ms, ms);
            }
        }
    }

    fn check(&mut self) {
        // What the observer heard is what the model expected, and what devices heard of it.
        let mut expected: Vec<(usize, Vec<String>)> = Vec::new();
        let events = self.w.hub.view().log_since(Some(&self.last_read()), 10_000).events;
        for event in events {
            self.read = event.id.seq;
            match &event.what {
                What::Control { device, holder, was, reason } => {
                    let m = DEVICES.iter().position(|d| **d == **device).expect("a device");
                    let mut lines = Vec::new();
                    if holder.is_none() {
                        let at = self.due.iter().position(|&(d, _)| d == m);
                        let due = at.map(|at| self.due.remove(at).1);
                        let fits = due.as_ref().is_some_and(|due| due.contains(reason));
                        assert!(fits, "{device} at {} ms: {due:?} {reason}", self.w.ms);
                        if reason.is_safe_sent() {
                            let by = was.as_ref().map_or("", |w| &*w.user);
                            lines.push(format!("safe {reason} {by}"));
                        }
                    } else {
                        let by_people = [ControlReason::Taken, ControlReason::Given, ControlReason::Forced];
                        assert!(by_people.contains(reason));
                        assert_eq!(was.is_some(), *reason != ControlReason::Taken);
                    }
                    lines.push(format!("control {}", holder.as_ref().map_or("-", |h| &*h.user)));
                    expected.push((m, lines));
                }
                What::Answered { to, ok, late, .. } => {
                    let fate = self.fates.get_mut(&to.seq).expect("an answer to nothing");
                    if *late {
                        assert!(fate.unknown && ok.is_some(), "late without reason");
                        fate.late += 1;
                        self.seen.insert("late");
                    } else {
                        fate.answers += 1;
                        fate.unknown = ok.is_none();
                        self.seen.insert(if ok.is_none() { "unknown" } else { "answered" });
                    }
                    assert!(fate.answers == 1 && fate.late <= 1, "{fate:?}");
                }
                _ => {}
            }
        }
        assert_eq!(self.due, [], "control should have ended at {} ms", self.w.ms);
        // `safe` and `control` lines: these and no others, in this order for each device.
        let mut told: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let mut welcomed = BTreeSet::new();
        for (c, line) in std::mem::take(&mut self.w.machines.told) {
            if let Some(name) = line.strip_prefix("welcome ") {
                welcomed.insert(c);
                assert!(DEVICES.contains(&name));
                continue;
            }
            if welcomed.remove(&c) && line == "control -" {
                continue; // what every device hears after its welcome
            }
            if line.starts_with("safe") || line.starts_with("control") {
                let m = self.owner(c);
                let line = if line.starts_with("safe") { line.rsplit_once(' ').map_or("", |l| l.0) } else { &line };
                told.entry(m).or_default().push(line.to_string());
            }
        }
        let mut wanted: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (m, lines) in expected {
            wanted.entry(m).or_default().extend(lines);
        }
        assert_eq!(told, wanted, "at {} ms", self.w.ms);
        for (m, name) in DEVICES.iter().enumerate() {
            let holder = self.machines[m].holding.as_ref().map(|h| self.people[h.who].id);
            assert_eq!(self.w.holder(name), holder, "{name} at {} ms", self.w.ms);
            let state = self.w.hub.view().devices().iter().find(|d| &*d.name == *name).map(|d| d.state);
            let up = state.is_some_and(|s| s != DeviceState::Down);
            assert_eq!(up, self.machines[m].link.is_some(), "{name}");
        }
    }

    fn last_read(&self) -> String {
        EventId { seq: self.read, ..self.w.hub.view().newest() }.to_string()
    }

    /// Which device has or had the link `c`.
    fn owner(&mut self, c: ConnId) -> usize {
        let now = self.machines.iter().position(|m| m.link.map(conn) == Some(c));
        let m = now.or_else(|| self.owners.get(&c).copied()).expect("a device's link");
        self.owners.insert(c, m);
        m
    }
}

fn simulate(seed: u64, steps: usize) -> BTreeSet<&'static str> {
    let mut model = Model::new(seed);
    // as the real clock does: no beat is older than its beginning
    model.pass(5_000);
    for _ in 0..steps {
        for (m, machine) in model.machines.iter().enumerate() {
            machine.link.into_iter().for_each(|c| {
                model.owners.insert(conn(c), m);
            });
        }
        let wait = [0, 0, 1, 90, 400, 1_700][model.dice.roll(6) as usize];
        let wait = model.dice.roll(wait + 1);
        model.pass(wait);
        model.step();
    }
    // Everything is answered in the end.
    model.pass(31_000);
    assert!(model.fates.values().all(|f| f.answers == 1), "{:?}", model.fates);
    model.seen
}

#[test]
fn control_never_outlives_its_holder_and_nothing_is_lost_or_done_twice() {
    let mut seen = BTreeSet::new();
    for seed in 0..12 {
        seen.append(&mut simulate(seed, 1_500));
    }
    // The dice have been everywhere; else this shows nothing.
    let all = [
        "taken",
        "kept",
        "given",
        "forced",
        "released",
        "lost",
        "left",
        "page",
        "lease",
        "device",
        "commanded",
        "stale",
        "stopped",
        "replaced",
        "answered",
        "unknown",
        "late",
        "demoted",
        "stalled",
        "ended by a stall",
    ];
    let missed: Vec<_> = all.iter().filter(|word| !seen.contains(**word)).collect();
    assert!(missed.is_empty(), "never seen: {missed:?}");
}
