//! Passwords against the real server: who is checked when many guess, who has to wait, and that nothing of them stays in memory.
#![allow(clippy::unwrap_used)] // A test; its helpers too.
#![allow(clippy::disallowed_methods)] // it stands outside: it has a clock of its own

mod attached;
mod support;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attached::{Device, devices_addr};
use support::{Client, SOON, Server, Setup, base64, read_answer, until};

/// A server with devices that show tokens, whose users are those of `users` in the end.
fn server(setup: Setup, users: &str, tokens: &str) -> (Server, SocketAddr) {
    let dir = support::temp_dir();
    let file = dir.join("tokens");
    std::fs::write(&file, tokens).unwrap();
    let devices = format!("listen = [\"127.0.0.1:0\"]\ntokens = {:?}", file.to_str().unwrap());
    let server = setup.table("devices", &devices).start();
    let addr = devices_addr(&server);
    if !users.is_empty() {
        std::fs::write(server.dir().join("users"), users).unwrap();
        server.signal("HUP");
        server.wait_log("reloaded");
    }
    std::fs::remove_dir_all(dir).unwrap();
    (server, addr)
}

#[test]
fn twelve_addresses_that_guess_keep_neither_newcomers_nor_devices_out() {
    // dear enough that the helper is busy all the time
    let dear = |password| bcrypt::hash(password, 7).unwrap();
    let tokens: String = (0..3).map(|n| format!("pump-{n}:{}\n", dear("token"))).collect();
    let users: String = (0..3).map(|n| format!("new{n}:{}\n", dear("right"))).collect();
    let users = format!("{users}admin:{}\n", support::hash(support::PASSWORD)); // who reads the metrics
    let setup = Setup::default().table("limits", "connections = 256");
    let (server, devices) = server(setup, &users, &tokens);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for n in 0..72 {
            let (guess, over) = (Client::new(&server, "x").from(100 + n % 12), &over);
            scope.spawn(move || {
                for i in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let made_up = format!("{n}-{i}:guess");
                    let _ = std::panic::catch_unwind(|| guess.clone().credentials(Some(&made_up)).get("/api/session"));
                }
            });
        }
        let out = std::panic::catch_unwind(|| {
            until("they are at it", || server.log().contains("listening") && open_to(&server, 60));
            for n in 0..3u8 {
                let mut new = Client::new(&server, "x").from(20 + n).credentials(Some(&format!("new{n}:right")));
                let answer = new.get("/api/session");
                assert_eq!(answer.status, 200, "newcomer {n}: {answer:?}");
                let mut device = Device::connect(devices);
                device.say(&format!(r#"{{"hello":"pump-{n}","token":"token","proto":1}}"#));
                assert_eq!(device.next()["welcome"], format!("pump-{n}"));
            }
        });
        over.store(true, Ordering::Relaxed);
        out.unwrap();
        assert!(server.metric("boatswain_passwords_refused_total") > 0.0, "there were more than places");
    });
}

/// Whether at least so many connections are open at the server.
fn open_to(server: &Server, many: usize) -> bool {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count() >= many
}

fn basic(credentials: &str) -> String {
    format!("Authorization: Basic {}\r\n", base64(credentials))
}

#[test]
fn made_up_names_from_one_address_end_in_429_and_bind_neither_others_nor_who_is_known_there() {
    let server = Setup::default().start();
    let mut ann = Client::browser(&server, "ann", "at home").from(50);
    assert_eq!(ann.get("/api/session").status, 200);
    let hashed = || server.metric("boatswain_passwords_hashed_total");
    let before = hashed();
    let guess = |name: &str| Client::new(&server, "x").from(50).credentials(Some(name)).get("/api/session");
    let answers: Vec<_> = (0..60).map(|i| guess(&format!("user{i}:guess"))).collect();
    assert!(answers[..10].iter().all(|a| a.status == 401), "as many are free");
    let refused: Vec<_> = answers.iter().filter(|a| a.status == 429).collect();
    assert!(refused.len() >= 40, "{}", refused.len());
    assert!(refused.iter().all(|a| a.header("retry-after").parse::<u32>().is_ok_and(|s| (1..=600).contains(&s))));
    assert!(hashed() - before <= 20.0, "the helper has other things to do");

    assert_eq!(guess("bob:pass word:1").status, 429, "nobody knows bob there");
    assert_eq!(Client::new(&server, "bob").from(51).get("/api/session").status, 200, "another address");
    assert_eq!(ann.get("/api/session").status, 200, "a cookie");
    assert_eq!(Client::new(&server, "ann").from(50).get("/api/session").status, 200, "remembered");
    assert_eq!(guess("ann:mistyped").status, 401, "known there: looked at");
}

#[test]
fn a_page_of_another_site_can_lock_nobody_out() {
    let server = Setup::default().start();
    let mut ann = Client::new(&server, "ann").from(52);
    let hashed = server.metric("boatswain_passwords_hashed_total");
    for (method, field) in [
        ("GET", "Origin: http://evil.test\r\n"),
        ("GET", "Origin: null\r\n"),
        ("GET", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n"),
        ("POST", "Origin: http://evil.test\r\n"),
        ("OPTIONS", "Origin: http://evil.test\r\n"),
    ] {
        for i in 0..8 {
            let mut page = ann.clone().credentials(Some(&format!("ann:guess {i}")));
            let answer = page.request(method, "/api/session", field, b"");
            assert_eq!(answer.status, 403, "{method} {field}: {answer:?}");
            let path = if method == "POST" { "/" } else { "/index.html" };
            assert_eq!(page.request(method, path, field, b"").status, 403, "{method} {path} {field}");
        }
    }
    assert_eq!(server.metric("boatswain_passwords_hashed_total"), hashed, "none was looked at");
    // a person who goes from there to here, and types the password at the prompt
    let from_link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nAccept: text/html\r\n";
    assert_eq!(ann.request("GET", "/", from_link, b"").status, 200);
}

#[test]
fn behind_a_unix_socket_one_who_fails_is_throttled_and_not_everybody() {
    let dir = support::temp_dir();
    let path = dir.join("web.sock");
    let server = Setup::default().also_listen(&format!("unix:{}", path.display())).start();
    let status = |credentials: &str| {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let head = format!("GET /api/session HTTP/1.0\r\n{}\r\n", basic(credentials));
        stream.write_all(head.as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    for i in 0..40 {
        assert_eq!(status(&format!("user{i}:guess")), 401);
    }
    let guesses: Vec<u16> = (0..7).map(|i| status(&format!("bob:guess {i}"))).collect();
    assert_eq!(guesses, [401, 401, 401, 401, 401, 429, 429]);
    assert_eq!(status("bob:pass word:1"), 429);
    assert_eq!(status("ann:pass word:1"), 200);
    drop(server);
    std::fs::remove_dir_all(dir).unwrap();
}

// -------------------------------------------------------------------------------------------------------- memory

/// What is looked for.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    /// A password that nobody else has.
    fn new_one(&mut self, of: &str) -> String {
        let n = self.0.len();
        // never the same 16 bytes in two of them, and of many lengths, so that what is freed is not soon taken again
        let parts = 5 + n as u64 / 2 % 40;
        let secret: String = (0..parts).map(|i| format!("{:08x}", mix(n as u64 * 64 + i) as u32)).collect();
        self.0.push(secret.clone());
        self.0.push(base64(&format!("{of}:{secret}")));
        secret
    }

    /// What is found of them in the memory of the process: 16 bytes of one in a row are enough.
    fn found(&self, pid: u32) -> Vec<String> {
        const ENOUGH: usize = 16;
        let mut by_start: HashMap<[u8; 2], Vec<&[u8]>> = HashMap::new();
        for secret in &self.0 {
            for part in secret.as_bytes().windows(ENOUGH) {
                by_start.entry([part[0], part[1]]).or_default().push(part);
            }
        }
        let starts: Vec<bool> = (0..=u16::MAX).map(|n| by_start.contains_key(&n.to_be_bytes())).collect();
        let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
        let mut found = Vec::new();
        for line in std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().lines() {
            let (range, rest) = line.split_once(' ').unwrap();
            if !rest.starts_with("rw") {
                continue;
            }
            let (from, to) = range.split_once('-').unwrap();
            let at = |hex| u64::from_str_radix(hex, 16).unwrap();
            let (from, to) = (at(from), at(to));
            let mut bytes = vec![0; (to - from) as usize];
            memory.read_exact_at(&mut bytes, from).unwrap();
            for i in 0..bytes.len().saturating_sub(ENOUGH) {
                let start = [bytes[i], bytes[i + 1]];
                if starts[usize::from(u16::from_be_bytes(start))] {
                    let parts = by_start[&start].iter().filter(|part| bytes[i..].starts_with(part));
                    found.extend(parts.map(|p| {
                        let context = String::from_utf8_lossy(&bytes[i.saturating_sub(64)..(i + 64).min(bytes.len())]);
                        format!("{} at {:x} of {line}: {context:?}", String::from_utf8_lossy(p), from + i as u64)
                    }));
                }
            }
        }
        found
    }
}

fn mix(n: u64) -> u64 {
    let n = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (n ^ n >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 16
}

#[test]
fn nothing_of_a_password_or_token_stays_in_memory() {
    let mut secrets = Secrets::default();
    let right = secrets.new_one("ann");
    let token = secrets.new_one("pump-1");
    // nobody knows a password for the second: it is there to be hashed by the other function
    let sha = format!("sha:$6$rounds=1000$saltsalt${}\n", "a".repeat(86));
    let users = format!("ann:{}\n{sha}", support::hash(&right));
    let seen = "a realm that is kept in memory for ever";
    let setup = Setup::default().table("auth", &format!("realm = {seen:?}")).table("limits", "header_timeout = \"1s\"");
    let (server, devices) = server(setup, &users, &format!("pump-1:{}\n", support::hash(&token)));
    assert!(!Secrets(vec![seen.into()]).found(server.pid()).is_empty(), "what is there is found");

    let say = |from: u8, parts: &[&str]| {
        let mut stream = Client::new(&server, "x").from(from).connect().unwrap();
        for part in parts {
            let _ = stream.write_all(part.as_bytes());
            std::thread::park_timeout(Duration::from_millis(30)); // so that it comes in pieces
        }
        stream
    };
    let host = format!("Host: {}\r\n", server.addr);
    let mut head = |what: &str, user: &str| {
        let wrong = secrets.new_one(user);
        format!("{what} HTTP/1.1\r\n{host}{}", basic(&format!("{user}:{wrong}")))
    };
    let mut kept: Vec<TcpStream> = Vec::new();
    let mut expect = |from: u8, parts: &[&str], status: u16| {
        let stream = say(from, parts);
        assert_eq!(read_answer(&stream, "GET").unwrap().status, status, "{parts:?}");
        kept.push(stream);
    };
    // right ones, as a browser and as a program, with a link
    let mut ann = Client::browser(&server, "ann", "browser").credentials(Some(&format!("ann:{right}")));
    assert_eq!(ann.page("/").status, 200);
    assert_eq!(ann.post("/api/chat", "{}").status / 100, 2);
    let mut link = ann.link("/api/events?tab=t1&n=1");
    link.wait("hello");
    let mut socket = ann.clone().socket("/api/socket?tab=t2&n=1");
    socket.wait("hello");
    let with_right = format!("GET /api/session HTTP/1.1\r\n{host}{}", basic(&format!("ann:{right}")));
    expect(60, &[&with_right, "\r\n"], 200);
    expect(60, &[&with_right[..with_right.len() - 20], &with_right[with_right.len() - 20..], "\r\n"], 200);
    expect(60, &[&format!("{with_right}\r\n{with_right}\r\n{with_right}")], 200);
    // wrong ones, hashed by each function; in pieces; with a body; pipelined; throttled in the end
    for (from, user) in [(60, "ann"), (61, "sha"), (62, "nobody")] {
        let one = head("GET /api/session", user);
        expect(from, &[&one, "\r\n"], 401);
        let one = head("GET /api/session", user);
        expect(from, &[&one[..one.len() - 30], &one[one.len() - 30..], "\r\n"], 401);
        let one = head("POST /api/chat", user);
        expect(from, &[&one, "Content-Length: 5\r\n\r\n", "hello"], 401);
        let (one, two) = (head("GET /", user), head("GET /", user));
        expect(from, &[&format!("{one}\r\n{two}\r\n")], 401);
    }
    for _ in 0..3 {
        let one = head("GET /api/session", "ann");
        expect(60, &[&one, "\r\n"], 429);
    }
    // never looked at
    expect(60, &[&head("GET /", "ann"), "Origin: http://evil.test\r\n\r\n"], 403);
    expect(60, &[&head("GET /", "ann").replace(&host, "Host: evil.test\r\n"), "\r\n"], 421);
    expect(60, &[&head("GET /", "ann"), "Bad Field\r\n\r\n"], 400);
    expect(60, &[&head("GET /healthz", "ann"), "\r\n"], 200);
    expect(60, &[&head("GET /", "ann"), &format!("X: {}\r\n\r\n", "x".repeat(70_000))], 431);
    expect(60, &[&head("GET /", "ann")], 408);
    drop(say(60, &[&head("GET /", "ann")]));

    // devices
    let hello = |name: &str, token: &str| format!(r#"{{"hello":"{name}","token":"{token}","proto":1}}"#);
    let mut pump = Device::connect(devices);
    pump.say(&hello("pump-1", &token));
    assert_eq!(pump.next()["welcome"], "pump-1");
    pump.say(r#"{"telemetry":{"rpm":1200}}"#);
    let mut refused = |line: &dyn Fn(&str) -> String, error: &str| {
        let line = line(&secrets.new_one("pump-1"));
        let mut device = Device::connect(devices);
        device.send(&line.as_bytes()[..line.len() / 2]);
        std::thread::park_timeout(Duration::from_millis(30));
        device.say(&line[line.len() / 2..]);
        assert_eq!(device.next()["error"], error, "{line}");
    };
    refused(&|token| hello("pump-1", token), "token");
    refused(&|token| hello("pump-2", token), "token");
    refused(&|token| hello("pump-2", &format!("\\u0041{token}")), "token");
    refused(&|token| hello("pump-2", token).replace("\"proto\":1", "\"proto\":oops"), "json");
    refused(&|token| hello("pump-2", token).replace("\"proto\":1", "\"proto\":99"), "hello");
    refused(&|token| format!(r#"{{"token":"{token}","ping":1}}"#), "hello");
    refused(&|token| format!(r#"{{"ping":1,"token":"{token}","x":[{{"token":"{token}"}}]}}"#), "hello");
    for _ in 0..5 {
        refused(&|token| hello("pump-3", token), "token");
    }
    refused(&|token| hello("pump-3", token), "throttled");

    // a last one, so that all before are done with
    assert_eq!(Client::new(&server, "x").credentials(None).get("/healthz").status, 200);
    let begin = Instant::now();
    let found = secrets.found(server.pid());
    assert!(found.is_empty(), "{} secrets, found after {:?}:\n{}", secrets.0.len(), begin.elapsed(), found.join("\n"));
    kept.iter().for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
}
