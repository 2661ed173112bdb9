//! Thousands of random steps, and what must hold after each: the seed that fails is in the message.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A small generator, so that a seed is the same everywhere (xorshift64, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

struct World {
    machine: Machine,
    now: Now,
    dice: Dice,
    /// What the driver would know: a socket that stands, a program that runs.
    connected: bool,
    welcomed: bool,
    running: bool,
    exited: bool,
    /// The program reads what it is given.
    reading: bool,
    /// What the program was handed, in order.
    handed: Vec<String>,
    partial: Vec<u8>,
    /// Commands that the server has sent on a link that was up: number and whether anyone may send it.
    sent: BTreeMap<u32, bool>,
    commands: u32,
    /// Answers that reached the server, by command.
    answers: BTreeMap<u32, BTreeSet<String>>,
    from_machine: Vec<u8>,
    safes: u32,
    pings: Vec<u64>,
}

impl World {
    fn new(seed: u64) -> World {
        let now = Now { mono: Moment::from_millis(1_000_000), wall_ms: 5_000_000 };
        let setup = Setup { name: "m".into(), token: None, command: true, seed: seed as u32 };
        World {
            machine: Machine::new(now, setup),
            now,
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            connected: false,
            welcomed: false,
            running: false,
            exited: false,
            reading: true,
            handed: Vec::new(),
            partial: Vec::new(),
            sent: BTreeMap::new(),
            commands: 0,
            answers: BTreeMap::new(),
            from_machine: Vec::new(),
            safes: 0,
            pings: Vec::new(),
        }
    }

    fn pass_time(&mut self, ms: u64) {
        self.now.mono = self.now.mono + Duration::from_millis(ms);
        self.now.wall_ms += ms;
        for turns in 0.. {
            self.machine.wake(self.now);
            self.settle();
            if self.exited || self.machine.deadline().is_none_or(|at| at > self.now.mono) {
                break;
            }
            assert!(turns < 5, "it spins: {:?}", self.machine);
        }
    }

    /// Does what the machine asks for, as the driver does.
    fn settle(&mut self) {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Start => {
                    assert!(!self.running, "two programs at once");
                    if self.dice.roll(8) == 0 {
                        self.machine.program_failed(self.now, "no memory");
                    } else {
                        self.running = true;
                        self.partial.clear();
                        self.handed.push(format!("{{\"program\":\"new\",\"after\":{}}}", self.commands));
                        self.machine.program_started(self.now, 1);
                    }
                }
                Action::Connect => {
                    if self.dice.roll(3) == 0 {
                        self.machine.unreachable("refused");
                    } else if !self.connected {
                        self.connected = true;
                        self.machine.connected(self.now);
                    }
                }
                Action::Close => {
                    (self.connected, self.welcomed) = (false, false);
                    self.from_machine.clear();
                    self.pings.clear();
                }
                Action::Finish => assert!(self.connected, "FIN without a connection"),
                Action::Terminate | Action::Kill | Action::Log(..) => {}
                Action::Exit(_) => self.exited = true,
            }
        }
    }

    /// The pipe takes what it takes.
    fn hand_over(&mut self) {
        while self.running {
            let Some(bytes) = self.machine.for_program(self.reading) else { break };
            let n = 1 + self.dice.roll(bytes.len() as u64) as usize;
            let bytes = bytes[..n].to_vec();
            self.partial.extend_from_slice(&bytes);
            self.machine.handed(n);
            while let Some(end) = self.partial.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.partial.drain(..=end).collect();
                self.handed.push(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            if self.dice.roll(4) == 0 {
                break;
            }
        }
    }

    /// The socket takes what it takes, and the server reads it.
    fn send(&mut self) {
        while self.connected {
            let n = self.machine.for_server().len();
            if n == 0 {
                break;
            }
            let n = 1 + self.dice.roll(n as u64) as usize;
            self.from_machine.extend_from_slice(&self.machine.for_server()[..n]);
            self.machine.sent(self.now, n);
            self.settle();
            if self.dice.roll(6) == 0 {
                break;
            }
        }
        while let Some(end) = self.from_machine.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.from_machine.drain(..=end).collect();
            let said: Value = serde_json::from_slice(&line).unwrap();
            if let Some(n) = said.get("ping").and_then(Value::as_u64) {
                self.pings.push(n);
            }
            let Some(id) = said.get("answer").and_then(Value::as_str) else { continue };
            let n: u32 = id.strip_prefix("k-").unwrap().parse().unwrap();
            self.answers.entry(n).or_default().insert(said.to_string());
        }
    }

    fn server(&mut self, line: &str) {
        if self.connected {
            self.machine.server_line(self.now, line.as_bytes());
            self.settle();
        }
    }

    fn step(&mut self) {
        match self.dice.roll(24) {
            0..=4 => {
                let ms = self.dice.roll(400);
                self.pass_time(ms);
                if self.welcomed {
                    self.server(r#"{"ping":1}"#);
                }
            }
            5 => {
                let ms = self.dice.roll(4) * self.dice.roll(1400);
                self.pass_time(ms);
            }
            6..=8 if self.connected && !self.welcomed => {
                self.welcomed = true;
                self.server(r#"{"welcome":"m","epoch":"k"}"#);
            }
            9..=11 if self.welcomed => {
                self.commands += 1;
                let (n, anyone) = (self.commands, self.dice.roll(5) == 0);
                self.sent.insert(n, anyone);
                let name = if anyone { "stop" } else { "go" };
                self.server(&format!(r#"{{"command":"{name}","id":"k-{n}"}}"#));
            }
            12 if self.welcomed => {
                self.safes += 1;
                let line = format!(r#"{{"safe":"lost","n":{},"after":{}}}"#, self.safes, self.commands);
                self.server(&line);
            }
            13 if self.connected && self.dice.roll(4) == 0 => {
                (self.connected, self.welcomed) = (false, false);
                self.from_machine.clear();
                self.pings.clear();
                self.machine.server_ended(self.now, "reset");
            }
            14 if self.running && self.dice.roll(5) == 0 => {
                self.running = false;
                self.machine.program_ended(self.now, "status=1");
            }
            15 => self.reading = self.dice.roll(4) > 0,
            16 if self.running => {
                let describe = r#"{"describe":{"commands":{"go":{},"stop":{"anyone":true}}}}"#;
                self.machine.program_line(self.now, describe.as_bytes());
            }
            17 if self.running => {
                // it answers the last thing that it was told to do
                if let Some(n) = self.handed.last().and_then(|l| number_of(l)) {
                    self.machine.program_line(self.now, format!(r#"{{"answer":"k-{n}","ok":true}}"#).as_bytes());
                }
            }
            18 => {
                for n in std::mem::take(&mut self.pings) {
                    self.server(&format!("{{\"pong\":{n}}}"));
                }
            }
            19..=21 => self.hand_over(),
            _ => self.send(),
        }
        self.settle();
    }

    fn check(&self) {
        let mut up = false;
        let mut seen = BTreeSet::new();
        // commands up to this one came before a `safe` or the end of a link that the program has seen
        let (mut overtaken, mut newest) = (0, 0);
        for line in &self.handed {
            up &= !line.contains("\"new\"");
            if line.contains("\"up\"") {
                assert!(!up, "up twice");
                up = true;
            } else if line.contains("\"down\"") {
                up = false;
                overtaken = overtaken.max(newest);
            } else if let Some(after) = line.split("\"after\":").nth(1) {
                overtaken = overtaken.max(after.trim_end_matches('}').parse().unwrap());
            } else if let Some(n) = number_of(line) {
                assert!(up, "{n} was handed over without a link");
                assert!(seen.insert(n), "{n} was handed over twice");
                assert!(n > overtaken || self.sent[&n], "{n} came after what was to end it");
                assert!(n > newest, "{n} was handed over out of order");
                newest = n;
            }
        }
        for (n, answers) in &self.answers {
            assert!(answers.len() <= 1, "two different answers to {n}: {answers:?}");
            let refused = answers.iter().any(|a| a.contains("not executed"));
            assert!(!refused || !seen.contains(n), "{n} was executed and told as refused");
        }
    }
}

fn number_of(line: &str) -> Option<u32> {
    line.split("\"id\":\"k-").nth(1)?.trim_end_matches("\"}").parse().ok()
}

#[test]
fn whatever_happens_nothing_is_executed_twice_or_late_or_told_wrongly() {
    let (mut commands, mut executed, mut refused) = (0, 0, 0);
    for seed in 1..=400 {
        let mut world = World::new(seed);
        world.settle();
        for step in 0..600 {
            world.step();
            if step % 40 == 39 {
                let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.check()));
                assert!(checked.is_ok(), "seed {seed}, step {step}: {:#?}", world.handed);
            }
        }
        assert!(!world.exited, "seed {seed}: nobody told it to stop");
        commands += world.commands;
        executed += world.handed.iter().filter(|l| number_of(l).is_some()).count();
        refused += world.answers.values().flatten().filter(|a| a.contains("not executed")).count();
        // told to stop, it goes, whatever the server and the program do
        world.machine.stop(world.now);
        world.settle();
        for _ in 0..20 {
            world.pass_time(500);
            if world.running && world.dice.roll(3) == 0 {
                world.running = false;
                world.machine.program_ended(world.now, "signal=15");
                world.settle();
            }
        }
        if world.running {
            world.running = false;
            world.machine.program_ended(world.now, "signal=9");
            world.pass_time(2000);
        }
        assert!(world.exited, "seed {seed}: it does not end: {:?}", world.machine);
    }
    // the run has to have been worth something
    assert!(commands > 2000 && executed > 500 && refused > 100, "{commands} {executed} {refused}");
}
