//! A monkey: thousands of random operations by clients that are good, broken, half-closed, slow and aborted, from a fixed
//! seed; after which nobody is here, everything is counted back, and the server sleeps.
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::disallowed_methods)] // the tests stand outside: they have a clock of their own

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use support::{Client, PASSWORD, SOON, Server, Setup, USERS, auth, until};

const TIME: Duration = Duration::from_secs(8);
/// Operations at least, all clients together: a server that hangs is found by this.
const OPERATIONS: u32 = 1000;
/// Connections that one client keeps open while it does other things.
const HELD: usize = 24;

/// xorshift64* (Vigna 2016): a test needs the same numbers each time, not good ones.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}

const TARGETS: &[&str] = &[
    "/",
    "/index.html",
    "/boatswain.js",
    "/big.bin",
    "/nothing",
    "/..%2f",
    "/a/../index.html",
    "/api/session",
    "/api/roster",
    "/api/log?limit=1000",
    "/api/status",
    "/metrics",
    "/healthz",
    "/api/nothing",
    "/api/session?tab=x",
    "*",
    "http://evil.test/",
];
const LINKS: &[&str] = &[
    "/api/events",
    "/api/chat",
    "/api/events?tab=a&n=1",
    "/api/events?tab=a&n=7",
    "/api/events?types=said,beat",
    "/api/events?last=x-1",
    "/api/events?types=nonsense",
    "/api/socket?tab=b&n=1",
    "/api/socket?tab=b&n=9",
    "/api/socket",
];
const POSTS: &[&str] = &[
    "/api/chat",
    "/api/beat?tab=a",
    "/api/bye?tab=a&n=9",
    "/api/bye?tab=b",
    "/api/logout",
    "/api/members/00000000/evict",
];
const FIELDS: &[&str] = &[
    "",
    "",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Range: bytes=5-90\r\n",
    "Range: bytes=9999999999-\r\n",
    "If-None-Match: *\r\n",
    "Accept: text/html\r\n",
    "Origin: http://evil.test\r\n",
    "Sec-Fetch-Site: cross-site\r\n",
    "Cookie: a=b; boatswain_1=00\r\n",
    "Expect: 100-continue\r\n",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "X: \x07\r\n",
    "Host: b\r\n",
];

/// One client at work: its connections, and what it does next.
struct Monkey {
    dice: Dice,
    client: Client,
    held: Vec<TcpStream>,
    done: u32,
}

impl Monkey {
    fn play(&mut self, until: Instant) {
        while Instant::now() < until {
            let user = self.dice.of(&USERS);
            self.client = self.client.clone().credentials(match self.dice.below(12) {
                0 => None,
                1 => Some("ann:wrong"),
                2 => Some("nobody:wrong"),
                _ => Some(Box::leak(auth(user).into_boxed_str())),
            });
            if let Ok(stream) = self.client.connect() {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(30)));
                let _ = stream.set_write_timeout(Some(Duration::from_millis(30)));
                self.operate(stream);
            }
            self.done += 1;
            if self.held.len() > HELD || self.dice.one_in(4) {
                let i = self.dice.below(self.held.len().max(1));
                if i < self.held.len() {
                    let old = self.held.swap_remove(i);
                    self.end(old);
                }
            }
        }
    }

    fn operate(&mut self, mut stream: TcpStream) {
        let bytes = match self.dice.below(8) {
            0 => self.garbage(),
            1 | 2 => self.link(),
            3 => self.post(),
            _ => self.pipeline(),
        };
        let pieces = if self.dice.one_in(3) { 1 + self.dice.below(5) } else { 1 };
        for piece in bytes.chunks(bytes.len() / pieces + 1) {
            if stream.write_all(piece).is_err() {
                break;
            }
        }
        if self.dice.one_in(4) {
            let _ = stream.shutdown(Shutdown::Write);
        }
        for _ in 0..self.dice.below(4) {
            if stream.read(&mut [0; 60_000]).is_ok_and(|n| n == 0) {
                break;
            }
        }
        if self.dice.one_in(3) {
            self.held.push(stream);
        } else {
            self.end(stream);
        }
    }

    /// In order, or by a reset.
    fn end(&mut self, stream: TcpStream) {
        if self.dice.one_in(2) {
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    }

    fn head(&mut self, method: &str, target: &str, more: &str) -> Vec<u8> {
        self.client.head(method, target, more).into_bytes()
    }

    fn pipeline(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let most = if self.dice.one_in(6) { 300 } else { 3 };
        for _ in 0..1 + self.dice.below(most) {
            let (target, fields) = (self.dice.of(TARGETS), self.dice.of(FIELDS));
            let method = self.dice.of(&["GET", "GET", "GET", "HEAD", "OPTIONS", "PUT", "BREW"]);
            out.extend(self.head(method, target, fields));
        }
        if self.dice.one_in(5) {
            let keep = self.dice.below(out.len());
            out.truncate(keep); // the end never comes
        }
        out
    }

    fn post(&mut self) -> Vec<u8> {
        let target = self.dice.of(POSTS);
        let body = self.dice.of(&["", "hello", "{\"text\":\"hello\"}", "{\"beat\":1}", "\u{1b}[31m\nreason=lost", "{"]);
        let kind = self.dice.of(&["text/plain", "application/json", "image/png"]);
        let framing = match self.dice.below(4) {
            0 => format!("Content-Length: {}\r\n", body.len() + 1), // the last byte never comes
            1 => "Transfer-Encoding: chunked\r\n".into(),
            _ => format!("Content-Length: {}\r\n", body.len()),
        };
        let chunked = framing.starts_with('T');
        let mut out = self.head("POST", target, &format!("Content-Type: {kind}\r\n{framing}"));
        if chunked && !body.is_empty() {
            out.extend(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).bytes());
        } else {
            out.extend(body.bytes());
        }
        out
    }

    fn link(&mut self) -> Vec<u8> {
        let target = self.dice.of(LINKS);
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let mut out = self.head("GET", target, if target.contains("socket") { upgrade } else { "" });
        for _ in 0..self.dice.below(6) {
            let first = [0x81, 0x81, 0x89, 0x8a, 0x88, 0x01, 0x80, 0xf1][self.dice.below(8)];
            let text = self.dice.of(&["{\"say\":\"hi\",\"ref\":1}", "{\"beat\":1}", "{\"bye\":true}", "\u{0}", ""]);
            out.extend([first, 0x80 | text.len() as u8, 1, 2, 3, 4]);
            out.extend(text.bytes().zip([1, 2, 3, 4].into_iter().cycle()).map(|(b, m)| b ^ m));
        }
        out
    }

    fn garbage(&mut self) -> Vec<u8> {
        let mut out = self.pipeline();
        for _ in 0..1 + self.dice.below(8) {
            let at = self.dice.below(out.len().max(1));
            if let Some(b) = out.get_mut(at) {
                *b = self.dice.below(256) as u8;
            }
        }
        out
    }
}

#[test]
fn after_thousands_of_random_operations_nobody_is_here_and_the_server_sleeps() {
    let www = support::temp_dir();
    std::fs::write(www.join("index.html"), "<!doctype html><title>x</title>").unwrap();
    std::fs::write(www.join("big.bin"), vec![7; 3 << 20]).unwrap();
    let server = Setup::default()
        .top(&format!("www = {:?}", www.to_str().unwrap()))
        .table("seats", "max = 20\nlinger = \"200ms\"\nplain = \"1s\"")
        .table("limits", "header_timeout = \"1s\"\nbody_timeout = \"1s\"\nkeep_alive = \"1s\"\nsend_timeout = \"1s\"")
        .start();
    let mut watcher = Client::browser(&server, "admin", "watcher").from(99);
    assert_eq!(watcher.get("/api/status").status, 200);
    let seed: u64 = std::env::var("MONKEY_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(2026);
    let end = Instant::now() + TIME;
    let operations: u32 = std::thread::scope(|s| {
        let monkeys: Vec<_> = (1..=6u8)
            .map(|i| {
                let client = Client::new(&server, "ann").from(i).agent(&format!("monkey \"{i}\" reason=lost"));
                let dice = Dice(seed.wrapping_mul(u64::from(i)) | 1);
                s.spawn(move || {
                    let mut monkey = Monkey { dice, client, held: Vec::new(), done: 0 };
                    monkey.play(end);
                    monkey.done
                })
            })
            .collect();
        monkeys.into_iter().map(|m| m.join().unwrap()).sum()
    });
    assert!(operations >= OPERATIONS, "only {operations} operations: somebody hangs");
    until("everybody is gone again", || {
        let status = watcher.get("/api/status").json();
        status["connections"] == 1 && status["links"] == 0 && status["seats"]["taken"] == 0
    });
    let counted = watcher.get("/metrics").text();
    let sum = |name: &str| -> f64 {
        counted.lines().filter(|l| l.starts_with(name)).filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    assert_eq!(sum("boatswain_joined_total"), sum("boatswain_left_total") + sum("boatswain_lost_total"), "{counted}");
    let (accepted, closed) = (sum("boatswain_connections_accepted_total"), sum("boatswain_connections_closed_total"));
    assert_eq!(accepted, closed + 1.0, "all but the one that asks: {counted}");
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
    let secrets = [PASSWORD.to_string(), base64::prelude::BASE64_STANDARD.encode(auth("ann")), "wrong".into()];
    for secret in secrets.iter().map(String::as_str).chain(watcher.cookie().and_then(|c| c.split('=').nth(1))) {
        assert!(!log.contains(secret), "{secret:?} is in the log");
    }
    sleeps(&server);
    let _ = std::fs::remove_dir_all(&www);
}

/// For a whole second nothing wakes the server.
fn sleeps(server: &Server) {
    let work = || {
        let dir = format!("/proc/{}", server.pid());
        let stat = std::fs::read_to_string(format!("{dir}/stat")).unwrap();
        let times: Vec<String> = stat.rsplit(')').next().unwrap().split(' ').skip(12).take(2).map(Into::into).collect();
        let status = std::fs::read_to_string(format!("{dir}/status")).unwrap();
        let switches: Vec<String> = status.lines().filter(|l| l.contains("ctxt_switches")).map(Into::into).collect();
        (times, switches)
    };
    let end = Instant::now() + SOON;
    loop {
        let before = work();
        std::thread::sleep(Duration::from_secs(1));
        let after = work();
        if before == after {
            return;
        }
        assert!(Instant::now() < end, "nobody is here, and it wakes: {before:?} {after:?}");
    }
}
