//! Devices: hello, telemetry, answers, and what they hold the server to: the order of what they are told.

use std::collections::VecDeque;

use serde_json::Value;

use super::host::Dice;
use super::network::{MS, Shared};
use super::world::Net;
use crate::auth::Door;
use crate::msg::PeerAddr;

/// A device.
pub struct Pump {
    pub name: &'static str,
    from: PeerAddr,
    pub wire: Option<Shared>,
    came: Vec<u8>,
    welcomed: bool,
    /// Who it believes commands it.
    pub holder: Option<String>,
    /// `safe` was told, and no `control` since.
    safe: bool,
    answers: VecDeque<(u64, String)>,
    hung: bool,
    away: Option<u64>,
    heard: u64,
    /// Since when it hears all of this link.
    well: u64,
    pub next: u64,
    pub safes: u64,
    pub commands: u64,
}

impl Pump {
    pub fn new(name: &'static str, from: PeerAddr, next: u64) -> Pump {
        Pump {
            name,
            from,
            wire: None,
            came: Vec::new(),
            welcomed: false,
            holder: None,
            safe: false,
            answers: VecDeque::new(),
            hung: false,
            away: None,
            heard: 0,
            well: 0,
            next,
            safes: 0,
            commands: 0,
        }
    }

    pub fn due(&self) -> u64 {
        self.answers.front().map_or(self.next, |(at, _)| self.next.min(*at))
    }

    pub fn hears(&self) -> bool {
        !self.hung && self.wire.as_ref().is_some_and(|w| w.borrow().has_word())
    }

    /// Since when it has heard everything that it was told; `None`: it does not.
    pub fn hears_from(&self) -> Option<u64> {
        let whole = self.wire.as_ref().is_some_and(|w| !w.borrow().was_cut);
        (whole && self.welcomed && !self.hung).then_some(self.well)
    }

    fn say(&self, line: &str) {
        if let Some(wire) = &self.wire {
            wire.borrow_mut().send(format!("{line}\n").as_bytes(), 0);
        }
    }

    fn connect(&mut self, now: u64, net: &mut Net) {
        self.wire = Some(net.connect(self.from, Door::Devices));
        self.came.clear();
        self.answers.clear();
        self.well = now;
        (self.welcomed, self.holder, self.safe, self.hung, self.heard) = (false, None, false, false, now);
        let name = self.name;
        self.say(&format!(
            "{{\"hello\":\"{name}\",\"token\":\"pw-{name}\",\"describe\":{{\"commands\":{{\"go\":{{}},\"stop\":{{\"anyone\":true}}}},\"telemetry\":{{\"rpm\":\"1/min\"}}}}}}"
        ));
    }

    fn drop_link(&mut self, now: u64, after: u64) {
        if let Some(wire) = self.wire.take() {
            wire.borrow_mut().close();
        }
        self.next = now + after * MS;
    }

    pub fn act(&mut self, now: u64, net: &mut Net, dice: &mut Dice) {
        if !self.hung {
            self.listen(now, dice);
        }
        while self.answers.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, line)) = self.answers.pop_front() else { break };
            self.say(&line);
        }
        if now < self.next {
            return;
        }
        self.next = now + (200 + dice.roll(1500)) * MS;
        if let Some(since) = self.away {
            if dice.once_in(3) || now - since > 40_000 * MS {
                self.away = None;
                self.wire.iter().for_each(|w| w.borrow_mut().cut(false));
            }
            return;
        }
        if self.wire.is_none() {
            return self.connect(now, net);
        }
        if !self.welcomed {
            return;
        }
        match dice.roll(if net.calm { 40 } else { 60 }) {
            0..=19 => self.say(&format!("{{\"telemetry\":{{\"rpm\":{}}}}}", dice.roll(3000))),
            20 => self.say("{\"ping\":7}"),
            21 => self.say("no json"),
            22 if dice.once_in(3) => {
                self.say("{\"bye\":\"maintenance\"}");
                self.drop_link(now, 300 + dice.roll(3000));
            }
            23 if dice.once_in(3) => self.connect(now, net), // a second one of that name; the older is replaced
            41 => self.hung = true,
            42 => {
                self.away = Some(now);
                self.wire.iter().for_each(|w| w.borrow_mut().cut(true));
            }
            43 => self.drop_link(now, 300 + dice.roll(3000)),
            _ if self.hung && dice.once_in(3) => (self.hung, self.well) = (false, now),
            _ => {}
        }
    }

    fn listen(&mut self, now: u64, dice: &mut Dice) {
        let Some(wire) = self.wire.clone() else { return };
        let bytes = wire.borrow_mut().read();
        if !bytes.is_empty() {
            self.heard = now;
        }
        self.came.extend(bytes);
        while let Some(end) = self.came.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.came.drain(..=end).collect();
            if line == b"{\"ping\":1}\n" {
                self.say("{\"pong\":1}");
                continue;
            }
            let said: Value = serde_json::from_slice(&line).unwrap_or_default();
            self.told(now, &said, dice);
        }
        if wire.borrow().ended || now.saturating_sub(self.heard) > 12_000 * MS {
            self.drop_link(now, 500 + dice.roll(1000));
        }
    }

    fn told(&mut self, now: u64, said: &Value, dice: &mut Dice) {
        let name = self.name;
        if said.get("welcome").is_some() {
            self.welcomed = true;
        } else if let Some(n) = said.get("ping") {
            self.say(&format!("{{\"pong\":{n}}}"));
        } else if let Some(control) = said.get("control") {
            let holder = control["holder"].as_str().map(String::from);
            assert!(!self.safe || holder.is_none(), "{name}: `safe`, and then control of {holder:?}");
            self.safe = false;
            self.holder = holder;
        } else if said.get("safe").is_some() {
            // twice is right where the `control` between was not sent yet: it is taken back
            self.safe = true;
            self.safes += 1;
        } else if let Some(command) = said["command"].as_str() {
            let stops = command == "stop";
            assert!(stops || self.holder.is_some(), "{name}: a command, and nobody has control: {said}");
            assert!(stops || !self.safe, "{name}: a command after `safe`: {said}");
            self.commands += 1;
            let wait = match dice.roll(30) {
                0 => return, // never
                1 => 31_000 + dice.roll(2000),
                _ => 2 + dice.roll(300),
            };
            let line = format!("{{\"answer\":{},\"ok\":{}}}", said["id"], !dice.once_in(5));
            let at =
                (now + wait * MS).max(self.answers.back().map_or(0, |(at, _)| if wait > 30_000 { *at } else { 0 }));
            self.answers.push_back((at, line));
            self.answers.make_contiguous().sort_by_key(|(at, _)| *at);
        }
    }
}
