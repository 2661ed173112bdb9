//! The dead man's switch of the real server while others keep that server busy: `safe` reaches the device in time all the
//! same, and no line that sounds as if all were well comes after that time. (tests/stalls.rs stops the process itself.)
#![allow(clippy::unwrap_used)] // A test; its helpers too.
#![allow(clippy::disallowed_methods)] // it stands outside: it has a clock of its own

mod attached;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use attached::{Device, Panel, start};
use serde_json::json;
use support::{Client, PASSWORD, Server, Setup, base64};

/// `control.max_silence`.
const MAX_SILENCE: Duration = Duration::from_secs(5);
/// What the server may take for it, of the time in which it runs.
const GRACE: Duration = Duration::from_millis(250);
/// What other work on this machine adds to everything here.
const SLACK: Duration = Duration::from_millis(400);
/// A server without a bound is given up after so long.
const GIVEN_UP: Duration = Duration::from_secs(25);

/// Ann's page holds the pump and then answers nothing any more; since when.
fn frozen(server: &Server, devices: SocketAddr) -> (Device, Panel, Instant) {
    let mut pump = Device::pump(devices);
    let mut ann = Panel::open(server, "ann", "t1", &["pump-1"]);
    assert_eq!(ann.control("take").status, 200);
    assert_eq!(pump.next()["control"]["holder"], "ann");
    let answered = ann.beat();
    support::until("an answered beat", || ann.beat() > answered + 1);
    ann.answers.store(false, Ordering::Relaxed);
    let since = Instant::now();
    (pump, ann, since)
}

/// When the pump was told `safe`, and the pings before it.
fn safe(pump: &mut Device, since: Instant) -> (Instant, Vec<Instant>) {
    let mut pings = Vec::new();
    loop {
        let left = GIVEN_UP.saturating_sub(since.elapsed());
        let Ok((at, line)) = pump.lines.recv_timeout(left) else { panic!("no `safe` within {GIVEN_UP:?}") };
        if line.get("ping").is_some() {
            pings.push(at);
        } else {
            assert_eq!((&line["safe"], &line["by"]), (&"page".into(), &"ann".into()), "{line}");
            assert_eq!(pump.next(), json!({"control": {"holder": null}}));
            return (at, pings);
        }
    }
}

#[test]
fn one_stop_longer_than_everything_is_followed_by_safe_and_not_by_a_ping() {
    let (server, devices) = start(Setup::default());
    let (mut pump, _ann, since) = frozen(&server, devices);
    server.signal("STOP");
    std::thread::park_timeout(MAX_SILENCE + Duration::from_millis(500));
    let goes_on = Instant::now();
    server.signal("CONT");
    let (told, pings) = safe(&mut pump, since);
    assert!(told - goes_on <= GRACE + SLACK, "{:?}", told - goes_on);
    assert!(pings.iter().all(|&at| at < goes_on), "the first line after the stop has to be `safe`");
}

/// Requests without end on one connection, until told to stop; what comes back is thrown away.
fn floods(addr: SocketAddr, what: Vec<u8>, stop: &Arc<AtomicBool>) -> [JoinHandle<()>; 2] {
    let (to, from) = std::sync::mpsc::channel::<TcpStream>();
    let (ends, goes_on) = (Arc::clone(stop), Arc::clone(stop));
    let reads = std::thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        for mut stream in from {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
            while !ends.load(Ordering::Relaxed) {
                match stream.read(&mut buffer) {
                    Ok(0) => break,
                    Err(e) if !matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                        break;
                    }
                    _ => {}
                }
            }
        }
    });
    let writes = std::thread::spawn(move || {
        while !goes_on.load(Ordering::Relaxed) {
            let Ok(mut stream) = TcpStream::connect(addr) else { continue };
            let _ = stream.set_write_timeout(Some(Duration::from_millis(200)));
            let _ = to.send(stream.try_clone().unwrap());
            while !goes_on.load(Ordering::Relaxed) {
                match stream.write(&what) {
                    Err(e) if !matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                        break;
                    }
                    _ => {}
                }
            }
        }
    });
    [reads, writes]
}

/// Ann's page freezes while `count` connections repeat `what`.
fn flooded(setup: Setup, what: &[u8], count: usize) {
    let (server, devices) = start(setup);
    let (mut pump, _ann, since) = frozen(&server, devices);
    let stop = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..count).flat_map(|_| floods(server.addr, what.to_vec(), &stop)).collect();
    let (told, pings) = safe(&mut pump, since);
    stop.store(true, Ordering::Relaxed);
    floods.into_iter().for_each(|flood| flood.join().unwrap());
    // how much of it the server was given to run in cannot be seen from here: twice the slack
    assert!(told - since <= MAX_SILENCE + GRACE + 2 * SLACK, "{:?}", told - since);
    let due = since + MAX_SILENCE;
    assert!(
        pings.iter().all(|&at| at <= due + SLACK),
        "a ping {:?} after `safe` was due",
        pings.last().map(|&p| p - due)
    );
}

#[test]
fn strangers_who_repeat_long_heads_while_the_log_is_read_slowly_delay_no_safe() {
    let head = format!("GET /{} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "a".repeat(14_500));
    flooded(Setup::default().log_rate(100 * 1024), head.as_bytes(), 6);
}

#[test]
fn a_flood_of_pipelined_requests_delays_no_safe() {
    let auth = base64(&format!("bob:{PASSWORD}"));
    let request = format!("GET /api/devices HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {auth}\r\n\r\n");
    let mut many = request.repeat(500).into_bytes();
    many.extend_from_slice(b"GET /api/session HTTP/1.1\r\nHost: x\r\n\r\n");
    flooded(Setup::default(), &many, 8);
}

/// The other direction: people lose nothing by a stop of the server that is shorter than `control.page_after`.
#[test]
fn a_page_that_answers_keeps_control_over_a_stop_of_the_server() {
    let (server, devices) = start(Setup::default());
    let mut pump = Device::pump(devices);
    let mut ann = Panel::open(&server, "ann", "t1", &["pump-1"]);
    assert_eq!(ann.control("take").status, 200);
    assert_eq!(pump.next()["control"]["holder"], "ann");
    for _ in 0..2 {
        let seen = ann.beat();
        support::until("an answered beat", || ann.beat() > seen + 1);
        server.signal("STOP");
        std::thread::park_timeout(Duration::from_millis(2_500));
        server.signal("CONT");
    }
    let seen = ann.beat();
    support::until("beats go on", || ann.beat() > seen + 3);
    let holder = Client::new(&server, "bob").get("/api/devices").json();
    assert_eq!(holder[0]["holder"]["user"], "ann", "{holder}");
    assert!(!server.log().contains("\nlost "), "called lost for a stop of the server");
}
