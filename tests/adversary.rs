//! An attacker on the network, and an operator on a bad one: what was found by looking for it, each with the test that
//! found it. And a monkey: thousands of random operations, after which everything has to be as it was.
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::disallowed_methods)] // the tests stand outside: they have a clock of their own

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use support::{Client, SOON, Server, Setup, narrow, read_answer, until};

fn www() -> std::path::PathBuf {
    let www = support::temp_dir();
    std::fs::create_dir(www.join("open")).unwrap();
    std::fs::write(www.join("index.html"), "<!doctype html><title>secret</title>").unwrap();
    std::fs::write(www.join("open/logo.txt"), "logo").unwrap();
    std::fs::write(www.join("big.bin"), vec![7; 24 << 20]).unwrap();
    www
}

fn serving(www: &std::path::Path) -> Setup {
    Setup::default().top(&format!("www = {:?}", www.to_str().unwrap()))
}

fn ask(client: &Client, head: &str) -> TcpStream {
    let mut stream = client.connect().unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// The value of a line of `/proc/PID/FILE` that begins with `name`.
fn proc(server: &Server, file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/{file}", server.pid())).unwrap();
    let line = text.lines().find(|l| l.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

// ------------------------------------------------------------------------------------------------- before a name

#[test]
fn a_path_is_open_by_what_it_names_not_by_how_it_begins() {
    let www = www();
    let server = serving(&www).table("auth", "open = [\"/open/\", \"/healthz\"]").start();
    let mut nobody = Client::new(&server, "ann").credentials(None);
    for open in ["/open/logo.txt", "/open/../open/logo.txt", "/open/./logo.txt", "/healthz"] {
        assert_eq!(nobody.get(open).status, 200, "{open}");
    }
    for shut in [
        "/open/../index.html",
        "/open/%2e%2e/index.html",
        "/open/..",
        "/open/../",
        "/open/.%2e/",
        "/open%2f../",
        "/open",
    ] {
        assert_eq!(nobody.get(shut).status, 401, "{shut}");
    }
    let _ = std::fs::remove_dir_all(www);
}

#[test]
fn whoever_waits_for_a_password_fills_no_memory() {
    let server = Setup::default().start();
    let before = proc(&server, "status", "VmRSS");
    let mut stream = ask(&Client::new(&server, "ann").credentials(Some("ann:wrong")), "");
    stream
        .write_all(Client::new(&server, "ann").credentials(Some("ann:wrong")).head("GET", "/", "").as_bytes())
        .unwrap();
    stream.set_nonblocking(true).unwrap();
    let (end, mut most) = (Instant::now() + SOON, 0);
    // until the answer comes
    while stream.peek(&mut [0]).is_err() && Instant::now() < end {
        let _ = stream.write(&[b'y'; 64 * 1024]);
        most = most.max(proc(&server, "status", "VmRSS"));
    }
    assert!(most < before + 4096, "{before} kB before, {most} kB while it waited");
}

#[test]
fn a_crowd_from_one_address_takes_nobody_elses_place() {
    let server = Setup::default().table("limits", "connections = 100\nper_address = 20").start();
    let rude = Client::new(&server, "ann").from(66);
    let _held: Vec<TcpStream> = (0..300).filter_map(|_| rude.connect().ok()).collect();
    let begin = Instant::now();
    for from in 2..32 {
        assert_eq!(Client::new(&server, "bob").from(from).get("/healthz").status, 200, "from 127.0.0.{from}");
    }
    assert!(begin.elapsed() < Duration::from_millis(1500), "within the time in which the crowd is being turned away");
    assert!(server.metric("boatswain_connections_gave_way_total") >= 200.0, "the silent ones, of their own address");
}

#[test]
fn nobody_is_kept_from_signing_in_by_a_guesser_elsewhere() {
    let server = Setup::default().start();
    let _guesses: Vec<TcpStream> = (0..40)
        .map(|i| {
            let guesser = Client::new(&server, "ann").from(66).credentials(Some(&format!("name{i}:guess")));
            ask(&guesser, &guesser.head("GET", "/", ""))
        })
        .collect();
    // the server has read them all once it has answered somebody who came later
    assert_eq!(Client::new(&server, "ann").from(3).credentials(None).get("/healthz").status, 200);
    let ann = Client::new(&server, "ann").from(2);
    let stream = ask(&ann, &ann.head("GET", "/api/session", ""));
    // a few hashes come first, and a test binary hashes slowly
    stream.set_read_timeout(Some(SOON * 4)).unwrap();
    assert_eq!(read_answer(&stream, "GET").unwrap().status, 200);
}

#[test]
fn devices_get_in_though_somebody_opens_connections_and_says_nothing() {
    let server = Setup::default().table("devices", "listen = [\"127.0.0.1:0\"]").start();
    let line = server.wait_log("kind=devices");
    let addr = line.split("addr=").nth(1).and_then(|l| l.split(' ').next()).unwrap().parse().unwrap();
    let rude = Client::new(&server, "ann").from(66).to(addr);
    let _held: Vec<TcpStream> = (0..200).filter_map(|_| rude.connect().ok()).collect();
    for i in 0..10 {
        let mut device = Client::new(&server, "ann").from(2 + i).to(addr).connect().unwrap();
        device.write_all(format!("{{\"hello\":\"pump-{i}\",\"proto\":1}}\n").as_bytes()).unwrap();
        let mut said = [0; 64];
        let n = device.read(&mut said).unwrap();
        assert!(said[..n].starts_with(b"{\"welcome\""), "{}", String::from_utf8_lossy(&said[..n]));
    }
}

// ------------------------------------------------------------------------------------------------- last words

#[test]
fn the_last_answer_of_a_connection_is_taken_at_the_peers_pace() {
    let www = www();
    let server = serving(&www).start();
    let ann = Client::new(&server, "ann");
    let mut stream = ask(&ann, &ann.head("GET", "/big.bin", "Connection: close\r\n"));
    let mut some = vec![0; 1 << 20];
    stream.read_exact(&mut some).unwrap();
    std::thread::sleep(Duration::from_millis(2500)); // longer than a connection that is closing is listened to
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(some.len() + rest.len() > 24 << 20, "cut after {}", some.len() + rest.len());
    let _ = std::fs::remove_dir_all(www);
}

#[test]
fn whoever_is_refused_while_still_sending_is_heard_out() {
    let server = Setup::default().start();
    let mut ann = Client::new(&server, "ann");
    assert_eq!(ann.get("/api/session").status, 200);
    let mut stream = ask(&ann, &ann.head("POST", "/api/chat", "Content-Length: 20000000\r\n"));
    let answer = read_answer(&stream, "POST").unwrap();
    assert_eq!(answer.status, 413);
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "FIN follows");
    for i in 0..20 {
        // closed at once, its kernel would say RST, which can take the answer away from a peer that has not read it yet
        stream.write_all(&[b'x'; 100_000]).unwrap_or_else(|e| panic!("{e} after {i} pieces"));
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(stream);
    until("it is over", || server.log().contains("kind=closing"));
}

#[test]
fn what_was_asked_before_fin_is_answered_though_fin_comes_in_between() {
    let server = Setup::default().start();
    let mut ann = Client::new(&server, "ann");
    assert_eq!(ann.get("/api/session").status, 200);
    let head = ann.head("GET", "/boatswain.js", "");
    let mut once = ask(&ann, &head);
    once.shutdown(Shutdown::Write).unwrap();
    let one = once.read_to_end(&mut Vec::new()).unwrap();
    let many = 300;
    for round in 0..30 {
        let head = head.clone();
        let mut stream = ann.connect().unwrap();
        let mut write = stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            let _ = write.write_all(head.repeat(many).as_bytes());
            std::thread::sleep(Duration::from_micros(200 * round));
            let _ = write.shutdown(Shutdown::Write);
        });
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        sender.join().unwrap();
        assert_eq!(all.len(), many * one, "in round {round}");
    }
}

// ------------------------------------------------------------------------------------------------- links

#[test]
fn a_replay_longer_than_the_queue_makes_nobody_slow() {
    let server = Setup::default().table("limits", "link_queue = \"16KiB\"").table("chat", "rate = \"1000/s\"").start();
    let mut ann = Client::browser(&server, "ann", "A");
    let mut first = ann.link("/api/events?types=said");
    let id = first.wait("hello").data["id"].as_str().unwrap().to_string();
    drop(first);
    for i in 0..100 {
        ann.say(&format!("{i} {}", "x".repeat(1500)));
    }
    let mut link = ann.link(&format!("/api/events?types=said&last={id}"));
    assert_eq!(link.wait("hello").data["replayed"], true);
    for i in 0..100 {
        let said = link.wait("said").data["text"].as_str().unwrap().to_string();
        assert!(said.starts_with(&format!("{i} ")), "{i}: {said:.10}");
    }
    ann.say("and on");
    assert_eq!(link.wait("said").data["text"], "and on");
}

#[test]
fn a_long_replay_reaches_who_takes_little_at_a_time() {
    let server = Setup::default().table("chat", "rate = \"1000/s\"").start();
    let mut ann = Client::browser(&server, "ann", "A");
    let mut first = ann.link("/api/events?types=said");
    let id = first.wait("hello").data["id"].as_str().unwrap().to_string();
    drop(first);
    // Each is longer than the window ever is.
    let (many, long) = (40, 1900);
    for i in 0..many {
        ann.say(&format!("{i} {}", "\u{20ac}".repeat(long)));
    }
    ann.say("the end");
    // Its window is small and mostly closed, but it reads.
    let mut stream = narrow(server.addr, None);
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(ann.head("GET", &format!("/api/events?types=said&last={id}"), "").as_bytes()).unwrap();
    let (mut got, mut some, until) = (Vec::new(), [0; 1000], Instant::now() + 2 * SOON);
    while !got.windows(7).any(|w| w == b"the end") {
        assert!(Instant::now() < until, "{} bytes came", got.len());
        let n = stream.read(&mut some).unwrap();
        got.extend_from_slice(&some[..n]);
    }
    let heard = String::from_utf8_lossy(&got).matches("event: said").count();
    assert_eq!(heard, many + 1);
}

#[test]
fn whoever_asks_for_the_log_again_and_again_and_reads_nothing_fills_no_memory() {
    let setup =
        Setup::default().table("chat", "rate = \"1000/s\"\ntext_max = 8000").table("limits", "connections = 300");
    let server = setup.start();
    let viewer = Client::new(&server, "viewer");
    let mut talk = viewer.connect().unwrap();
    let text = "x".repeat(8000);
    let head =
        viewer.head("POST", "/api/chat", &format!("Content-Type: text/plain\r\nContent-Length: {}\r\n", text.len()));
    for _ in 0..500 {
        talk.write_all(head.as_bytes()).unwrap();
        talk.write_all(text.as_bytes()).unwrap();
        assert_eq!(read_answer(&talk, "POST").unwrap().status, 201);
    }
    let log = Client::new(&server, "bob").get("/api/log?limit=1000");
    assert!(log.status == 200 && log.body.len() > 4_000_000, "{} {}", log.status, log.body.len());
    let epoch = log.json()["epoch"].as_str().unwrap().to_owned();
    let before = proc(&server, "status", "VmRSS:");
    let mut open = Vec::new();
    for n in 0..100 {
        let target = if n % 2 == 0 { "/api/log?limit=1000".into() } else { format!("/api/events?last={epoch}-0") };
        let client = Client::new(&server, "viewer").from(2 + n % 2);
        let mut stream = client.connect().unwrap();
        socket2::SockRef::from(&stream).set_recv_buffer_size(4096).unwrap();
        stream.write_all(client.head("GET", &target, "").as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        open.push((n, String::from_utf8_lossy(&status).into_owned(), stream));
    }
    let grown = proc(&server, "status", "VmRSS:") - before;
    assert!(grown < 64 * 1024, "{grown} kB more");
    for (n, status, _) in &open {
        // the log is refused for a while; links open all the same, and say that they replay nothing
        assert!(status.ends_with(" 200") || (n % 2 == 0 && status.ends_with(" 503")), "{n}: {status}");
    }
    assert!(server.metric("boatswain_replays_refused_total") > 50.0);
    let mut bob = Client::new(&server, "bob");
    assert_eq!(bob.link(&format!("/api/events?last={epoch}-0")).wait("hello").data["replayed"], false);
    assert_eq!(bob.get("/api/log?limit=1").status, 200, "what is short is always given");
    drop(open);
    until("there is room again", || bob.get("/api/log?limit=1000").status == 200);
    assert_eq!(bob.link(&format!("/api/events?last={epoch}-0")).wait("hello").data["replayed"], true);
}

#[test]
fn nobody_is_called_lost_because_the_server_was_stopped() {
    let server = Setup::default().table("liveness", "profile = \"lan\"").start();
    let mut ann = Client::browser(&server, "ann", "A");
    let mut bob = Client::browser(&server, "bob", "B").from(2);
    let mut links = [ann.link("/api/events?tab=a&n=1"), bob.link("/api/events?tab=b&n=1")];
    for link in &mut links {
        link.wait("beat");
    }
    server.signal("STOP");
    std::thread::sleep(Duration::from_secs(5));
    server.signal("CONT");
    server.wait_log("own_stall");
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        for link in &mut links {
            let heard = link.next(SOON).unwrap();
            assert!(
                !["lost", "left", "suspected", "stalled", "closing"].contains(&heard.kind.as_str()),
                "{} {}",
                heard.kind,
                heard.data
            );
        }
    }
    assert_eq!(server.metric("boatswain_suspicions_total"), 0.0);
}
