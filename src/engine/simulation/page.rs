//! Pages: somebody with a browser, on a WebSocket or on SSE, who answers beats, chats, takes control, commands, freezes,
//! vanishes and comes back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::host::Dice;
use super::network::{MS, Shared};
use super::plain::{Asker, field, request};
use super::world::Net;
use crate::auth::Door;
use crate::msg::PeerAddr;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// How a page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    /// It reads and answers.
    Well,
    /// Its kernel acknowledges, its browser answers pings, its script does nothing.
    Hung,
    /// Its browser reads nothing more.
    Frozen,
}

/// A browser.
pub struct Page {
    pub user: &'static str,
    pub from: PeerAddr,
    pub tab: String,
    n: u64,
    cookie: Option<String>,
    pub sse: bool,
    pub wire: Option<Shared>,
    asker: Asker,
    came: Vec<u8>,
    /// The head of the link's answer has been read.
    open: bool,
    pub session: Option<String>,
    beat: u64,
    /// Devices that it controls.
    pub holds: BTreeSet<String>,
    /// When it last sent an answer that names each device, whatever came after.
    pub signs: BTreeMap<String, u64>,
    /// When its link began.
    pub linked: u64,
    answers: VecDeque<(u64, u64)>,
    pub mood: Mood,
    /// Cut from the network since then.
    pub away: Option<u64>,
    heard: u64,
    pub next: u64,
    pub lost: bool,
}

impl Page {
    pub fn new(user: &'static str, from: PeerAddr, sse: bool, next: u64) -> Page {
        Page {
            user,
            from,
            tab: format!("tab-{user}-{next}"),
            n: 0,
            cookie: None,
            sse,
            wire: None,
            asker: Asker::default(),
            came: Vec::new(),
            open: false,
            session: None,
            beat: 0,
            holds: BTreeSet::new(),
            signs: BTreeMap::new(),
            linked: 0,
            answers: VecDeque::new(),
            mood: Mood::Well,
            away: None,
            heard: 0,
            next,
            lost: false,
        }
    }

    /// When it has something to do without hearing anything.
    pub fn due(&self) -> u64 {
        self.answers.front().map_or(self.next, |(at, _)| self.next.min(*at))
    }

    pub fn hears(&self) -> bool {
        let wire = self.wire.as_ref().is_some_and(|w| w.borrow().has_word());
        (wire && self.mood != Mood::Frozen) || self.asker.wire.as_ref().is_some_and(|w| w.borrow().has_word())
    }

    fn connect(&mut self, now: u64, net: &mut Net) {
        self.n += 1;
        let path = if self.sse { "events" } else { "socket" };
        let line = format!("GET /api/{path}?tab={}&n={}", self.tab, self.n);
        let more = if self.sse { "" } else { UPGRADE };
        let text = request(&line, self.user, self.cookie.as_deref(), more, "");
        let wire = net.connect(self.from, Door::Web);
        wire.borrow_mut().send(text.as_bytes(), 0);
        self.wire = Some(wire);
        (self.open, self.heard, self.linked) = (false, now, now);
        self.came.clear();
        self.answers.clear();
    }

    fn drop_link(&mut self, now: u64, after: u64) {
        if let Some(wire) = self.wire.take() {
            wire.borrow_mut().close();
        }
        self.holds.clear();
        self.answers.clear();
        self.next = now + after * MS;
    }

    fn cut(&mut self, now: u64, cut: bool) {
        self.away = cut.then_some(now);
        for wire in self.wire.iter().chain(&self.asker.wire) {
            wire.borrow_mut().cut(cut);
        }
    }

    /// Time has come, or something has.
    pub fn act(&mut self, now: u64, net: &mut Net, dice: &mut Dice) {
        for answer in self.asker.poll() {
            if let (Some(cookie), None) = (field(&answer.head, "Set-Cookie"), &self.cookie) {
                self.cookie = cookie.split(';').next().map(String::from);
            }
        }
        if self.mood != Mood::Frozen {
            self.listen(now, dice);
        }
        while self.answers.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, n)) = self.answers.pop_front() else { break };
            if self.mood == Mood::Well && (!self.sse || !self.holds.is_empty()) {
                let hold: Vec<&String> = self.holds.iter().collect();
                let text = serde_json::json!({"beat": n, "hold": hold}).to_string();
                self.signs.extend(self.holds.iter().map(|name| (name.clone(), now)));
                self.say(net, &text, "beat");
            }
        }
        if now >= self.next {
            self.next = now + (100 + dice.roll(2500)) * MS;
            self.wish(now, net, dice);
        }
    }

    fn listen(&mut self, now: u64, dice: &mut Dice) {
        let Some(wire) = self.wire.clone() else { return };
        let bytes = wire.borrow_mut().read();
        if !bytes.is_empty() {
            self.heard = now;
        }
        self.came.extend(bytes);
        if !self.open {
            let Some(end) = self.came.windows(4).position(|w| w == b"\r\n\r\n") else {
                return self.ended(now, &wire, dice);
            };
            let head = String::from_utf8_lossy(&self.came[..end]).into_owned();
            if let Some(cookie) = field(&head, "Set-Cookie") {
                self.cookie = cookie.split(';').next().map(String::from);
            }
            if !head.starts_with("HTTP/1.1 101") && !head.contains("text/event-stream") {
                if head.starts_with("HTTP/1.1 403") {
                    self.cookie = None; // over: signs in anew
                }
                return self.drop_link(now, 500 + dice.roll(3000));
            }
            self.open = true;
            self.lost = false;
            self.came.drain(..end + 4);
        }
        if self.sse {
            self.listen_lines(now, dice)
        } else {
            self.listen_frames(now, dice)
        }
        self.ended(now, &wire, dice);
    }

    /// The server is gone, as far as a page can tell.
    fn ended(&mut self, now: u64, wire: &Shared, dice: &mut Dice) {
        if self.wire.is_some() && (wire.borrow().ended || now.saturating_sub(self.heard) > 6000 * MS) {
            self.drop_link(now, 200 + dice.roll(1500));
        }
    }

    fn listen_lines(&mut self, now: u64, dice: &mut Dice) {
        while let Some(end) = self.came.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.came.drain(..=end).collect();
            if let Some(data) = line.strip_prefix(b"data: ") {
                let text = String::from_utf8_lossy(data).into_owned();
                self.told(now, text.trim_end(), dice);
            }
        }
    }

    fn listen_frames(&mut self, now: u64, dice: &mut Dice) {
        loop {
            let (len, at) = match self.came.get(..2) {
                None => return,
                Some(&[_, 126]) => match self.came.get(2..4) {
                    Some(n) => (usize::from(u16::from_be_bytes([n[0], n[1]])), 4),
                    None => return,
                },
                Some(&[_, 127]) => match self.came.get(6..10) {
                    Some(n) => (u32::from_be_bytes([n[0], n[1], n[2], n[3]]) as usize, 10),
                    None => return,
                },
                Some(&[_, n]) => (usize::from(n), 2),
                Some(_) => return,
            };
            if self.came.len() < at + len {
                return;
            }
            let frame: Vec<u8> = self.came.drain(..at + len).collect();
            match frame[0] & 15 {
                1 => self.told(now, &String::from_utf8_lossy(&frame[at..]), dice),
                9 => self.frame(0x8a, &frame[at..]),
                8 => self.frame(0x88, &frame[at..]),
                _ => {}
            }
        }
    }

    fn frame(&mut self, first: u8, payload: &[u8]) {
        let Some(wire) = &self.wire else { return };
        let mut out = vec![first];
        match payload.len() {
            n @ 0..=125 => out.push(0x80 | n as u8),
            n => out.extend([&[0xfe][..], &(n as u16).to_be_bytes()].concat()),
        }
        out.extend([0; 4]); // a mask that changes nothing
        out.extend(payload);
        wire.borrow_mut().send(&out, 0);
    }

    /// One message of the server.
    fn told(&mut self, now: u64, text: &str, dice: &mut Dice) {
        if let Some(n) = text.strip_prefix("{\"type\":\"beat\",\"n\":").and_then(|r| r.strip_suffix('}')) {
            self.beat = n.parse().unwrap_or(0);
            if self.mood == Mood::Well {
                self.answers.push_back((now + (1 + dice.roll(40)) * MS, self.beat));
            }
            return;
        }
        if !["\"hello\"", "\"control\"", "\"closing\""].iter().any(|word| text.contains(word)) {
            return;
        }
        let Ok(said) = serde_json::from_str::<Value>(text) else { return };
        match said["type"].as_str() {
            Some("hello") => {
                let me = said["you"]["session"].as_str().map(String::from);
                self.holds.clear();
                for device in said["devices"].as_array().into_iter().flatten() {
                    if device["holder"]["session"].as_str() == me.as_deref() {
                        let name = device["name"].as_str().unwrap_or_default();
                        self.holds.insert(name.into());
                    }
                }
                self.session = me;
            }
            Some("control") => {
                let name = said["device"].as_str().unwrap_or_default().to_string();
                let mine = said["holder"]["session"].as_str().is_some_and(|s| Some(s) == self.session.as_deref());
                if mine {
                    self.holds.insert(name);
                } else {
                    self.holds.remove(&name);
                }
            }
            _ => {}
        }
    }

    /// Says something: on the socket, or by POST beside SSE.
    fn say(&mut self, net: &mut Net, text: &str, what: &str) {
        if !self.sse {
            return self.frame(0x81, text.as_bytes());
        }
        let Ok(said) = serde_json::from_str::<Value>(text) else { return };
        let device = |v: &Value| v["device"].as_str().unwrap_or_default().to_string();
        let (path, body) = match what {
            "beat" => (format!("/api/beat?tab={}", self.tab), text.to_string()),
            "say" => ("/api/chat".into(), serde_json::json!({"text": said["say"]}).to_string()),
            "control" => (format!("/api/devices/{}/control", device(&said["control"])), said["control"].to_string()),
            "command" => {
                let mut body = said["command"].clone();
                body["beat"] = said["beat"].clone();
                (format!("/api/devices/{}/command", device(&said["command"])), body.to_string())
            }
            _ => (format!("/api/bye?tab={}&n={}", self.tab, self.n), "x".into()),
        };
        let text = request(
            &format!("POST {path}"),
            self.user,
            self.cookie.as_deref(),
            "Content-Type: application/json\r\n",
            &body,
        );
        self.asker.ask(net, self.from, &text);
    }

    /// What it does by itself.
    fn wish(&mut self, now: u64, net: &mut Net, dice: &mut Dice) {
        if let Some(since) = self.away {
            // some come back soon, some late, and some after all has been given up
            if dice.once_in(3) || now - since > 60_000 * MS {
                self.cut(now, false);
            }
            return;
        }
        if self.wire.is_none() {
            self.mood = Mood::Well;
            return self.connect(now, net);
        }
        if self.mood != Mood::Well {
            if dice.once_in(4) {
                self.mood = Mood::Well;
                self.next = now;
            }
            return;
        }
        let device = *dice.pick(&super::world::DEVICES);
        match dice.roll(if net.calm { 15 } else { 19 }) {
            0 | 1 => self.say(net, "{\"say\":\"valve 3\"}", "say"),
            2..=4 => {
                let text = format!("{{\"control\":{{\"device\":\"{device}\",\"action\":\"take\"}}}}");
                self.say(net, &text, "control");
            }
            5 => {
                let text = format!("{{\"control\":{{\"device\":\"{device}\",\"action\":\"release\"}}}}");
                self.say(net, &text, "control");
            }
            6..=9 => {
                let command = *dice.pick(&["go", "go", "go", "stop"]);
                let beat = self.beat.saturating_sub(if dice.once_in(10) { 20 } else { 0 });
                let text = format!(
                    "{{\"command\":{{\"device\":\"{device}\",\"command\":\"{command}\",\"args\":{{}}}},\"beat\":{beat}}}"
                );
                self.say(net, &text, "command");
            }
            10 => {
                self.say(net, "{\"bye\":true}", "bye");
                self.drop_link(now, 100 + dice.roll(4000));
            }
            11 if dice.once_in(2) => self.drop_link(now, 100 + dice.roll(6000)),
            12 if self.user == "admin" => {
                let text = format!("{{\"control\":{{\"device\":\"{device}\",\"action\":\"force\"}}}}");
                self.say(net, &text, "control");
            }
            13 if dice.once_in(6) => {
                let text = request("POST /api/logout", self.user, self.cookie.as_deref(), "", "");
                self.asker.ask(net, self.from, &text);
            }
            // control by a lease, for a session of its own that has no page: as curl does
            14 => {
                let line = format!("POST /api/devices/{device}/control");
                let body = "{\"action\":\"take\",\"lease\":\"3s\"}";
                let text = request(&line, self.user, None, "Content-Type: application/json\r\n", body);
                self.asker.ask(net, self.from, &text.replace("sim/", "curl/"));
                let line = format!("POST /api/devices/{device}/command?wait=2s");
                let text = request(
                    &line,
                    self.user,
                    None,
                    "Content-Type: application/json\r\n",
                    "{\"command\":\"go\",\"args\":{}}",
                );
                self.asker.ask(net, self.from, &text.replace("sim/", "curl/"));
            }
            15 => self.mood = Mood::Hung,
            16 => self.mood = Mood::Frozen,
            17 => self.cut(now, true),
            _ => {}
        }
    }
}
