//! Peers that speak plain HTTP: a connection that asks and reads answers, and guests who come with one plan each.

use std::collections::VecDeque;

use base64::Engine as _;

use super::host::Dice;
use super::network::{MS, Shared};
use super::world::Net;
use crate::auth::Door;
use crate::msg::PeerAddr;

/// An answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
}

/// Takes whole answers out of what came.
pub fn answers(came: &mut Vec<u8>) -> Vec<Answer> {
    let mut all = Vec::new();
    while let Some(end) = came.windows(4).position(|w| w == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&came[..end]).into_owned();
        let status = head.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
        let len = field(&head, "Content-Length").and_then(|v| v.parse().ok()).unwrap_or(0);
        let body = if matches!(status, 100 | 101 | 204 | 304) { 0 } else { len };
        if status == 101 || (status == 200 && head.contains("text/event-stream")) || came.len() < end + 4 + body {
            break;
        }
        came.drain(..end + 4 + body);
        if status != 100 {
            all.push(Answer { status, head });
        }
    }
    all
}

/// A field of a head.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// A head with credentials, and the cookie if there is one.
pub fn request(line: &str, user: &str, cookie: Option<&str>, more: &str, body: &str) -> String {
    let basic = base64::prelude::BASE64_STANDARD.encode(format!("{user}:pw-{user}"));
    let cookie = cookie.map_or(String::new(), |c| format!("Cookie: {c}\r\n"));
    let len = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!(
        "{line} HTTP/1.1\r\nHost: 192.168.1.1\r\nUser-Agent: sim/{user}\r\nAuthorization: Basic {basic}\r\n{cookie}{more}{len}\r\n{body}"
    )
}

/// A keep-alive connection that is opened when something is to be asked.
#[derive(Default)]
pub struct Asker {
    pub wire: Option<Shared>,
    came: Vec<u8>,
}

impl Asker {
    pub fn ask(&mut self, net: &mut Net, from: PeerAddr, text: &str) {
        let wire = self.wire.get_or_insert_with(|| net.connect(from, Door::Web));
        wire.borrow_mut().send(text.as_bytes(), 0);
    }

    /// Answers that came.
    pub fn poll(&mut self) -> Vec<Answer> {
        let Some(wire) = &self.wire else { return Vec::new() };
        self.came.extend(wire.borrow_mut().read());
        let all = answers(&mut self.came);
        if wire.borrow().ended {
            wire.borrow_mut().close();
            self.came.clear();
            self.wire = None;
        }
        all
    }
}

/// What a guest has come for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Some requests at once, then FIN, then all answers are read.
    HalfClose,
    /// Some requests, one after the other's answer.
    KeepAlive,
    /// Byte by byte.
    Dribble,
    /// Half a head, and nothing more.
    Half,
    /// Bytes that are no request.
    Nonsense,
    /// A large file, read slowly, or not at all.
    Slow,
    /// Wrong credentials.
    Wrong,
    /// Connects and says nothing.
    Silent,
}

const PLANS: [Plan; 8] = [
    Plan::HalfClose,
    Plan::KeepAlive,
    Plan::Dribble,
    Plan::Half,
    Plan::Nonsense,
    Plan::Slow,
    Plan::Wrong,
    Plan::Silent,
];

/// Somebody who comes, asks and goes.
pub struct Guest {
    user: &'static str,
    from: PeerAddr,
    plan: Plan,
    wire: Option<Shared>,
    came: Vec<u8>,
    asked: u32,
    got: u32,
    /// An answer was the last one of its connection.
    last: bool,
    left: VecDeque<String>,
    since: u64,
    pub next: u64,
}

impl Guest {
    pub fn new(user: &'static str, from: PeerAddr, next: u64) -> Guest {
        let (plan, came, left) = (Plan::Silent, Vec::new(), VecDeque::new());
        Guest { user, from, plan, wire: None, came, asked: 0, got: 0, last: false, left, since: 0, next }
    }

    fn some(&self, dice: &mut Dice) -> String {
        let user = self.user;
        match dice.roll(8) {
            0 => request("GET /healthz", user, None, "", ""),
            1 => request("GET /", user, None, "", ""),
            2 => request("GET /big", user, None, "", ""),
            3 => request("GET /api/roster", user, None, "", ""),
            4 => request("POST /api/chat", user, None, "Content-Type: text/plain\r\n", "good morning"),
            5 => request("GET /metrics", user, None, "", ""),
            6 => request("GET /nowhere", user, None, "", ""),
            _ => {
                let chunked = "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
                request("POST /api/chat", user, None, chunked, "")
            }
        }
    }

    /// Time has come, or something has: does the next thing.
    pub fn act(&mut self, now: u64, net: &mut Net, dice: &mut Dice) {
        if self.wire.is_none() && now >= self.next {
            self.come(now, net, dice);
        }
        let Some(wire) = self.wire.clone() else { return };
        if self.plan != Plan::Slow || dice.once_in(3) {
            self.came.extend(wire.borrow_mut().read());
        }
        for answer in answers(&mut self.came) {
            self.got += 1;
            self.last |= answer.status >= 400 || field(&answer.head, "Connection") == Some("close");
            if let Some(text) = self.left.pop_front() {
                self.asked += 1;
                wire.borrow_mut().send(text.as_bytes(), 0);
            } else if self.plan == Plan::KeepAlive && self.got >= self.asked && dice.once_in(2) {
                wire.borrow_mut().finish();
            }
        }
        assert!(self.got <= self.asked + u32::from(self.last), "{:?}: more answers than requests", self.plan);
        let over = wire.borrow().ended;
        if over {
            let whole = !wire.borrow().was_cut && !wire.borrow().aborted && !self.last;
            let promised = matches!(self.plan, Plan::HalfClose | Plan::Dribble);
            assert!(!(whole && promised) || self.got == self.asked, "{:?}: {} of {}", self.plan, self.got, self.asked);
        }
        // nothing here may last longer than the keep-alive time and what its requests took
        let late = now.saturating_sub(self.since) > 130_000 * MS;
        assert!(!late || net.unruly || wire.borrow().was_cut, "{:?}: the server never ended it", self.plan);
        if over || late || (now >= self.next && dice.once_in(40)) {
            wire.borrow_mut().close();
            self.wire = None;
        }
        self.next = now + (50 + dice.roll(3000)) * MS;
    }

    /// Whether there is something to read.
    pub fn hears(&self) -> bool {
        self.plan != Plan::Slow && self.wire.as_ref().is_some_and(|w| w.borrow().has_word())
    }

    fn come(&mut self, now: u64, net: &mut Net, dice: &mut Dice) {
        self.plan = *dice.pick(&PLANS);
        let wire = net.connect(self.from, Door::Web);
        (self.came, self.asked, self.got, self.last, self.since) = (Vec::new(), 0, 0, false, now);
        self.left.clear();
        let mut text = String::new();
        match self.plan {
            Plan::HalfClose | Plan::Dribble => {
                for _ in 0..=dice.roll(4) {
                    text += &self.some(dice);
                    self.asked += 1;
                }
            }
            Plan::KeepAlive => {
                text = self.some(dice);
                self.asked = 1;
                for _ in 0..dice.roll(4) {
                    let more = self.some(dice);
                    self.left.push_back(more);
                }
            }
            Plan::Half => {
                text = self.some(dice);
                text.truncate(20);
            }
            Plan::Nonsense => text = "\u{16}\u{3}\u{1} no\r\n\r\n".into(),
            Plan::Slow => {
                text = request("GET /big", self.user, None, "", "");
                self.asked = 1;
            }
            Plan::Wrong => {
                text = request("GET /", self.user, None, "", "").replace("Basic ", "Basic AAAA");
                self.asked = 1;
            }
            Plan::Silent => {}
        }
        let piece = if self.plan == Plan::Dribble { 1 + dice.roll(5) as usize } else { 0 };
        wire.borrow_mut().send(text.as_bytes(), piece);
        if matches!(self.plan, Plan::HalfClose | Plan::Dribble) {
            wire.borrow_mut().finish();
        }
        self.wire = Some(wire);
    }
}
