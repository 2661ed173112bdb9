//! Bad input and bad manners: every limit that can be reached from outside has an answer and a counter, and nobody else
//! notices. A neighbour's beats come on time while two hundred connections misbehave.
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::disallowed_methods)] // the tests stand outside: they have a clock of their own

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::{Answer, Client, SOON, Server, Setup, read_answer, until};

const BEAT: Duration = Duration::from_millis(500);
const LATE: Duration = Duration::from_millis(100);

fn small() -> Setup {
    Setup::default().table(
        "limits",
        "header_timeout = \"1s\"\nbody_timeout = \"1s\"\nkeep_alive = \"1s\"\nheader_bytes = \"4KiB\"\nheaders = 20\n\
         body_bytes = \"8KiB\"",
    )
}

/// Sends these bytes over a connection of its own; what is answered.
fn raw(server: &Server, bytes: &[u8]) -> std::io::Result<Answer> {
    let mut stream = Client::new(server, "ann").connect()?;
    // The server may refuse and close before it has taken all.
    let _ = stream.write_all(bytes);
    read_answer(&stream, "GET")
}

fn responses(server: &Server, status: u16) -> f64 {
    server.metric(&format!("boatswain_responses_total{{status=\"{status}\"}}"))
}

fn closed(server: &Server, reason: &str) -> f64 {
    server.metric(&format!("boatswain_connections_closed_total{{reason=\"{reason}\"}}"))
}

#[track_caller]
fn answered(server: &Server, status: u16, bytes: &[u8]) {
    let before = responses(server, status);
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
    let answer = raw(server, bytes).unwrap_or_else(|e| panic!("{shown:?}: {e}"));
    assert_eq!(answer.status, status, "{shown:?}: {answer:?}");
    assert!(responses(server, status) > before, "{shown:?}: a {status} is not counted");
}

#[test]
fn each_fault_of_a_head_has_its_status_and_is_counted() {
    let server = small().start();
    answered(&server, 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"); // TLS knocks
    answered(&server, 400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    answered(&server, 400, b"GET / HTTP/1.1\r\n\r\n");
    answered(
        &server,
        400,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    answered(&server, 505, b"GET / HTTP/9.1\r\nHost: localhost\r\n\r\n");
    answered(&server, 421, b"GET / HTTP/1.1\r\nHost: evil.example.com\r\n\r\n");
    let many = "X: y\r\n".repeat(30);
    answered(&server, 431, format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n").as_bytes());
    let long = "y".repeat(6000);
    answered(&server, 431, format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n").as_bytes());
    answered(&server, 414, format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
}

#[test]
fn each_fault_of_a_body_has_its_status_and_is_counted() {
    let server = small().start();
    let mut ann = Client::new(&server, "ann");
    let mut status = |more: &str, body: &[u8]| ann.request("POST", "/api/chat", more, body).status;
    assert_eq!(status("Content-Type: text/plain\r\n", &[b'x'; 9000]), 413, "longer than body_bytes");
    assert_eq!(status("Content-Type: text/plain\r\n", &[b'x'; 2001]), 413, "longer than text_max");
    assert_eq!(status("Content-Type: text/plain\r\n", b"\xff\xfe"), 400);
    assert_eq!(status("Content-Type: text/plain\r\n", b""), 400);
    assert_eq!(status("Content-Type: application/json\r\n", b"{\"text\":"), 400);
    assert_eq!(status("Content-Type: application/json\r\n", "[".repeat(8000).as_bytes()), 400, "deep JSON");
    assert_eq!(status("Content-Type: image/png\r\n", b"x"), 415);
    let head = ann.head("POST", "/api/chat", "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n");
    answered(&server, 413, format!("{head}2710\r\n{}\r\n0\r\n\r\n", "x".repeat(10_000)).as_bytes());
    answered(&server, 400, format!("{head}zz\r\n").as_bytes());
    for status in [400, 413, 415] {
        assert!(responses(&server, status) > 0.0, "{status} is not counted");
    }
}

#[test]
fn a_head_that_dribbles_and_a_body_that_never_comes_are_cut_off_in_time() {
    let server = small().start();
    let ann = Client::new(&server, "ann");

    let silent = ann.connect().unwrap(); // never sends anything: just closed
    let mut dribble = ann.connect().unwrap();
    let mut half = ann.connect().unwrap();
    let head = ann.head("POST", "/api/chat", "Content-Type: text/plain\r\nContent-Length: 100\r\n");
    half.write_all(head.as_bytes()).unwrap();
    half.write_all(b"begun").unwrap();

    let begin = Instant::now();
    let mut bytes = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-".iter().chain([b'a'].iter().cycle());
    while dribble.write_all(&[*bytes.next().unwrap()]).is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(4), "a dribbling head holds its connection");
        std::thread::park_timeout(Duration::from_millis(20)); // the dribble itself
    }
    assert_eq!(read_answer(&half, "POST").unwrap().status, 408);
    assert_eq!((&silent).read(&mut [0; 1]).unwrap_or(0), 0, "closed without a word");
    until("both ends are counted", || {
        closed(&server, "header_timeout") >= 2.0 && closed(&server, "body_timeout") >= 1.0
    });
}

#[test]
fn wrong_passwords_are_throttled_for_that_name_and_address_only() {
    let server = Setup::default().start();
    let mut guess = Client::new(&server, "ann").from(66);
    let statuses: Vec<u16> =
        (0..8).map(|i| guess.clone().credentials(Some(&format!("ann:guess {i}"))).get("/api/session").status).collect();
    assert_eq!(statuses[..5], [401; 5]);
    assert_eq!(statuses[5..], [429; 3]);
    let answer = guess.get("/api/session");
    assert_eq!(answer.status, 429, "a right one not yet remembered waits as well");
    assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|s| (1..=60).contains(&s)), "{answer:?}");
    assert_eq!(Client::new(&server, "bob").from(66).get("/api/session").status, 200, "another name");
    assert_eq!(Client::new(&server, "ann").from(67).get("/api/session").status, 200, "another address");
    assert_eq!(guess.get("/api/session").status, 200, "now it is remembered");
    assert!(responses(&server, 429) >= 4.0);
}

#[test]
fn chat_faster_than_the_rate_is_told_so_and_counted() {
    let server = Setup::default().start();
    let mut ann = Client::new(&server, "ann");
    let statuses: Vec<u16> = (0..40).map(|i| ann.post("/api/chat", &format!("line {i}")).status).collect();
    assert_eq!(statuses[..10], [201; 10], "the burst");
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(Client::new(&server, "bob").post("/api/chat", "mine").status, 201, "each session has its own rate");
    assert!(responses(&server, 429) > 0.0);
}

#[test]
fn one_address_cannot_take_all_connections() {
    let server = Setup::default().table("limits", "connections = 64\nper_address = 8").start();
    let mut ann = Client::new(&server, "ann").from(66);
    // silent ones would give way
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut link = ann.link("/api/events");
        link.wait("hello");
        held.push(link);
    }
    let mut ninth = ann.connect().unwrap();
    let mut said = Vec::new();
    let _ = ninth.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let _ = ninth.read_to_end(&mut said);
    assert!(!said.windows(6).any(|w| w == b"200 OK"), "{}", String::from_utf8_lossy(&said));
    assert_eq!(Client::new(&server, "bob").from(67).get("/healthz").status, 200, "others come in");
    until("it is counted", || server.metric("boatswain_connections_refused_total") >= 1.0);
}

/// Programs that run as long as the value does.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn one_ipv6_network_cannot_take_all_connections_and_who_has_a_seat_there_still_gets_in() {
    let make = "ip link set lo up; for n in 1 2 3 4 5 6 7 8 9; do ip addr add fd00::$n/128 dev lo nodad; done; \
                ip addr add fd00:0:0:1::1/128 dev lo nodad; exec \"$@\"";
    let can = Command::new("unshare").args(["--net", "sh", "-ec", make, "sh", "true"]).output();
    if !can.is_ok_and(|o| o.status.success()) {
        return eprintln!("skipped: no network namespaces with IPv6 here (root, util-linux, iproute2)");
    }
    let setup = Setup::default().through(&["unshare", "--net", "sh", "-ec", make, "sh"]);
    let setup = setup.also_listen("[fd00::1]:7777").table("seats", "max = 50");
    let server = setup.table("limits", "connections = 40\nper_address = 4").start();
    server.wait_log("started version=");
    let curl = |from: &str, target: &str| {
        let mut curl = Command::new("nsenter");
        curl.args(["-t", &server.pid().to_string(), "-n", "curl", "-s", "-g", "-N", "-m", "60", "--interface", from]);
        curl.args(["-u", &support::auth("ann"), &format!("http://[fd00::1]:7777{target}")]);
        curl
    };
    let status = |from: &str, target: &str| {
        let out = curl(from, target).args(["-o", "/dev/null", "-w", "%{http_code}"]).output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let mut held = Running(Vec::new());
    for n in 0..20 {
        let mut curl = curl(&format!("fd00::{}", 1 + n % 8), "/api/chat");
        held.0.push(curl.stdout(Stdio::piped()).spawn().unwrap());
        let mut first = [0; 5];
        held.0[n].stdout.as_mut().unwrap().read_exact(&mut first).unwrap(); // it listens
        assert_eq!(&first, b"retry");
    }
    assert_eq!(status("fd00::9", "/api/session"), "503", "half of all are theirs, and no more");
    assert_eq!(status("fd00:0:0:1::1", "/api/session"), "200", "from another network");
    assert_eq!(status("fd00::2", "/api/session"), "200", "who has a seat");
    drop(held);
    until("they have gone", || status("fd00::9", "/api/session") == "200");
}

#[test]
fn a_seated_session_still_gets_in_when_strangers_hold_every_connection() {
    let server = Setup::default().table("limits", "connections = 40\nper_address = 40").start();
    let mut ann = Client::browser(&server, "ann", "Browser A").from(2);
    let mut link = ann.link("/api/events?tab=a&n=1");
    link.wait("hello");
    let stranger = Client::new(&server, "bob").from(66);
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..3 {
        held.extend((0..40).filter_map(|_| stranger.connect().ok()));
        held.iter().for_each(|s| s.set_nonblocking(true).unwrap());
        until("one of them is one too many", || held.iter().any(|s| s.peek(&mut [0]).is_ok()));
        let mut stream = ann.connect().unwrap();
        stream.write_all(ann.head("GET", "/api/session", "Connection: close\r\n").as_bytes()).unwrap();
        assert_eq!(read_answer(&stream, "GET").unwrap().status, 200, "at once, not when the strangers have given up");
        held.retain(|s| s.peek(&mut [0]).is_err());
    }
    assert!(link.next(BEAT * 4).is_some());
}

// ----------------------------------------------------------------------------------------------- the neighbour

/// Bob, who only listens. While `trouble` goes on for `time`, his beats must not be late; what this machine's own
/// scheduling adds is measured beside it and allowed for.
fn beats_stay_on_time(server: &Server, time: Duration, trouble: impl Fn(&AtomicBool) + Sync) {
    let mut bob = Client::browser(server, "bob", "Neighbour").from(2);
    let mut link = bob.link("/api/events?tab=b&n=1");
    link.wait("hello");
    let mut last = link.wait("beat").at;
    let (stop, oversleep, begin) = (AtomicBool::new(false), AtomicU64::new(0), Instant::now());
    let mut worst = Duration::ZERO;
    let mut beats = 0;
    std::thread::scope(|s| {
        s.spawn(|| trouble(&stop));
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let nap = Instant::now();
                std::thread::sleep(Duration::from_millis(5));
                let over = nap.elapsed().saturating_sub(Duration::from_millis(5));
                oversleep.fetch_max(over.as_micros() as u64, Ordering::Relaxed);
            }
        });
        while begin.elapsed() < time {
            match link.next(SOON) {
                Some(h) if h.kind == "beat" => {
                    worst = worst.max(h.at.duration_since(last));
                    last = h.at;
                    beats += 1;
                }
                Some(_) => {}
                None => break,
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let noise = Duration::from_micros(oversleep.load(Ordering::Relaxed));
    assert!(beats as u128 >= time.as_millis() / BEAT.as_millis() - 2, "only {beats} beats: the link ended?");
    assert!(worst <= BEAT + LATE + noise, "a beat came {worst:?} after the one before it (this machine: {noise:?})");
    assert_eq!(bob.get("/api/session").status, 200);
}

/// Up to two hundred connections, opened anew as the server closes them, until `stop`.
fn crowd(server: &Server, stop: &AtomicBool, mut act: impl FnMut(&Client, usize, &mut TcpStream) -> bool) {
    let mut held: Vec<Option<TcpStream>> = (0..200).map(|_| None).collect();
    while !stop.load(Ordering::Relaxed) {
        for (i, place) in held.iter_mut().enumerate() {
            let who = Client::new(server, "ann").from(66 + (i % 8) as u8);
            if place.is_none() {
                *place = who.connect().ok();
                if let Some(stream) = place {
                    let _ = stream.set_nonblocking(true);
                }
            }
            let alive = place.as_mut().is_some_and(|stream| act(&who, i, stream));
            if !alive {
                *place = None;
            }
        }
        std::thread::park_timeout(Duration::from_millis(10)); // a pace that one hostile machine can keep up
    }
}

fn still_open(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 4096]) {
        Ok(n) => n > 0,
        Err(e) => e.kind() == std::io::ErrorKind::WouldBlock,
    }
}

#[test]
fn beats_stay_on_time_while_two_hundred_heads_dribble() {
    let server = small().start();
    beats_stay_on_time(&server, Duration::from_secs(4), |stop| {
        crowd(&server, stop, |_, i, stream| {
            let byte = if i % 2 == 0 { b"G" } else { b"a" };
            stream.write_all(byte).is_ok() && still_open(stream)
        });
    });
    assert!(responses(&server, 400) + closed(&server, "header_timeout") + closed(&server, "protocol") > 0.0);
}

#[test]
fn beats_stay_on_time_while_two_hundred_send_garbage() {
    let server = small().start();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut garbage = vec![0u8; 16 * 1024];
    for byte in &mut garbage {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        *byte = seed as u8;
    }
    beats_stay_on_time(&server, Duration::from_secs(4), |stop| {
        crowd(&server, stop, |_, i, stream| stream.write(&garbage[i * 16..]).is_ok() && still_open(stream));
    });
    assert!(responses(&server, 400) > 0.0);
    assert!(closed(&server, "protocol") > 0.0);
}

#[test]
fn beats_stay_on_time_while_two_hundred_ask_for_much_and_stop_reading() {
    let www = support::temp_dir();
    std::fs::write(www.join("index.html"), "<!doctype html><title>x</title>").unwrap();
    std::fs::write(www.join("big.bin"), vec![7; 8 << 20]).unwrap();
    let server = Setup::default().top(&format!("www = {:?}", www.to_str().unwrap())).start();
    beats_stay_on_time(&server, Duration::from_secs(4), |stop| {
        let mut asked = [false; 200];
        crowd(&server, stop, |who, i, stream| {
            if !std::mem::replace(&mut asked[i], true) {
                let target = if i % 2 == 0 { "/big.bin" } else { "/api/events" };
                let _ = stream.write_all(who.head("GET", target, "").as_bytes());
                if i % 5 == 0 {
                    let _ = stream.shutdown(Shutdown::Write);
                }
            }
            true // held, never read
        });
    });
    let _ = std::fs::remove_dir_all(&www);
}

#[test]
fn beats_stay_on_time_while_every_file_descriptor_is_taken() {
    let few = ["sh", "-c", "ulimit -n 48; exec \"$@\"", "sh"];
    let server = Setup::default().table("limits", "connections = 256\nper_address = 256").through(&few).start();
    beats_stay_on_time(&server, Duration::from_secs(4), |stop| {
        crowd(&server, stop, |_, _, stream| still_open(stream));
    });
    // The crowd is gone: the server takes new ones again, and has counted that it could not.
    until("new connections are answered again", || Client::new(&server, "bob").get("/healthz").status == 200);
    let refused = ["accept_pauses", "connections_refused", "connections_gave_way"];
    let refused: f64 = refused.iter().map(|name| server.metric(&format!("boatswain_{name}_total"))).sum();
    assert!(refused > 0.0, "nothing was refused: was the limit in force?\n{}", server.log());
}
