//! The detector alone on real sockets: `liveness` and `sys::tcp` under the smallest server that can carry the
//! clients of this test. It proves the rules without the rest of Boatswain, and records traces for their unit tests.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use boatswain::config::Profile;
use boatswain::liveness::{Ask, Carrier, Liveness, Outcome, Pulse, Rules, Sample};
use boatswain::msg::KernelFeatures;
use boatswain::msg::{Change, LinkEnd, Moment, Times};
use boatswain::sys::tcp;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX - 1);
const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 1000\n\nevent: hello\ndata: {}\n\n";

struct Conn {
    stream: TcpStream,
    live: Liveness,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    address: String,
    hears: &'static [&'static str],
    over: bool,
    trace: Option<(std::fs::File, Moment)>,
}

struct Detector {
    poll: Poll,
    start: Instant,
    times: Times,
    rules: Rules,
    features: KernelFeatures,
    conns: HashMap<usize, Conn>,
    news: Vec<(&'static str, String)>,
    trace: Option<String>,
}

/// Runs until the process ends. `VANISH_PROFILE`, `VANISH_WITHOUT` (features), `VANISH_TRACE` (a folder) say how.
pub fn detector() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let features = tcp::probe(&var("VANISH_WITHOUT"));
    let times = Profile::from_word(&var("VANISH_PROFILE")).unwrap_or(Profile::Standard).values().times();
    let mut listener = TcpListener::bind("0.0.0.0:8080".parse().expect("an address")).expect("the port is free");
    let poll = Poll::new().expect("epoll");
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).expect("epoll");
    let trace = std::env::var("VANISH_TRACE").ok();
    let mut detector = Detector {
        poll,
        start: Instant::now(),
        times,
        rules: Rules::new(&times, features.rto_max, features.nudge),
        features,
        conns: HashMap::new(),
        news: Vec::new(),
        trace,
    };
    println!("@features {features}");
    println!("@up detector");
    detector.run(&listener);
}

impl Detector {
    fn now(&self) -> Moment {
        Moment::from_micros(self.start.elapsed().as_micros() as u64 + 1_000_000)
    }

    fn run(&mut self, listener: &TcpListener) {
        let mut events = Events::with_capacity(256);
        let mut next = 0;
        loop {
            let now = self.now();
            let due = self.conns.values().filter(|c| !c.over).filter_map(|c| c.live.due()).min();
            let mut wait = due.map(|at| at.since(now).max(Duration::from_millis(1)));
            if self.trace.is_some() {
                wait = wait.min(Some(Duration::from_millis(25)));
            }
            let asleep = Instant::now();
            if self.poll.poll(&mut events, wait).is_err() {
                continue;
            }
            let now = self.now();
            // What this process overslept, the rules must not count.
            if let Some(wait) = wait {
                let late = asleep.elapsed().saturating_sub(wait);
                if late > Duration::from_millis(500) {
                    self.conns.values_mut().for_each(|c| c.live.loop_gap(now, late));
                }
            }
            for event in &events {
                if event.token() != LISTENER {
                    self.serve(event.token().0, now);
                    continue;
                }
                while let Ok((mut stream, peer)) = listener.accept() {
                    next += 1;
                    let both = Interest::READABLE | Interest::WRITABLE;
                    self.poll.registry().register(&mut stream, Token(next), both).expect("epoll");
                    stream.set_nodelay(true).expect("a socket");
                    tcp::prepare_plain(stream.as_fd(), &self.times).expect("a socket");
                    let trace = self.trace.as_ref().map(|folder| {
                        let file = std::fs::File::create(format!("{folder}/{}-{next}.trace", peer.ip()));
                        (file.expect("the folder is there"), now)
                    });
                    let live = Liveness::new(Carrier::Response, &self.rules, now, next as u32 * 7);
                    let conn = Conn {
                        stream,
                        live,
                        input: Vec::new(),
                        output: Vec::new(),
                        sent: 0,
                        address: peer.ip().to_string(),
                        hears: &[],
                        over: false,
                        trace,
                    };
                    self.conns.insert(next, conn);
                }
            }
            let due: Vec<usize> = self.conns.iter().filter(|(_, c)| !c.over).map(|(id, _)| *id).collect();
            for id in due {
                self.trace(id, now);
                if self.conns[&id].live.due().is_some_and(|at| at <= now) {
                    self.look(id, now);
                }
            }
            self.tell(now);
        }
    }

    fn serve(&mut self, id: usize, now: Moment) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.over {
            return;
        }
        let mut buffer = [0; 4096];
        loop {
            match conn.stream.read(&mut buffer) {
                Ok(0) => return self.end(id, "left closed"),
                Ok(n) => {
                    conn.live.heard(now);
                    if conn.hears.is_empty() {
                        conn.input.extend_from_slice(&buffer[..n]);
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(e) if conn.live.is_parked() => return self.end(id, &format!("gone {e}")),
                Err(e) => {
                    let waiting = conn.live.waiting(now).is_some();
                    let after = conn.live.silent_for(now).as_millis();
                    let word = tcp::evidence(&e, waiting).map_or("error", |evidence| evidence.word());
                    let address = conn.address.clone();
                    self.news.push(("lost", member(&address, after, word)));
                    return self.end(id, "error");
                }
            }
        }
        if let Some(at) = conn.input.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&conn.input[..at]).into_owned();
            let body =
                head.lines().find_map(|l| l.strip_prefix("Content-Length: ")).map_or(0, |n| n.parse().unwrap_or(0));
            if conn.input.len() < at + 4 + body {
                return;
            }
            conn.input.drain(..at + 4 + body);
            self.answer(id, &head, now);
            let Some(again) = self.conns.get_mut(&id) else { return };
            return if again.input.is_empty() { self.flush(id, now) } else { self.serve(id, now) };
        }
        self.flush(id, now);
    }

    fn answer(&mut self, id: usize, head: &str, now: Moment) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if head.starts_with("GET /api/events") {
            tcp::prepare_link(conn.stream.as_fd(), &self.times, &self.features);
            conn.live.become_link(Carrier::Link, &self.rules, now, Some(Duration::from_millis(500)));
            conn.hears = match head {
                h if h.contains("lost") => &["lost", "left", "suspected", "recovered", "stalled", "moving"],
                h if h.contains("said") => &["said", "beat"],
                _ => &["beat"],
            };
            conn.output.extend_from_slice(HEAD.as_bytes());
        } else if head.starts_with("POST") {
            conn.output.extend_from_slice(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
            self.news.push(("said", format!("{{\"text\":\"{}\"}}", "x".repeat(300))));
        } else {
            let length = if head.contains("big") { 10_000_000 } else { 1000 };
            let _ = write!(Text(&mut conn.output), "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            conn.output.resize(conn.output.len() + length, b'x');
        }
    }

    /// Everything that happened, to everyone who wants to hear it.
    fn tell(&mut self, now: Moment) {
        for (kind, data) in std::mem::take(&mut self.news) {
            let ids: Vec<usize> =
                self.conns.iter().filter(|(_, c)| c.hears.contains(&kind) && !c.over).map(|(id, _)| *id).collect();
            for id in ids {
                if let Some(conn) = self.conns.get_mut(&id).filter(|c| !c.live.is_parked()) {
                    let _ = write!(Text(&mut conn.output), "event: {kind}\ndata: {data}\n\n");
                }
                self.flush(id, now);
            }
        }
    }

    fn flush(&mut self, id: usize, now: Moment) {
        let Some(conn) = self.conns.get_mut(&id).filter(|c| !c.over) else { return };
        while conn.sent < conn.output.len() {
            match conn.stream.write(&conn.output[conn.sent..]) {
                Ok(n) if n > 0 => {
                    conn.sent += n;
                    conn.live.wrote(now, n);
                    if let Some((file, since)) = &mut conn.trace {
                        let _ = writeln!(file, "wrote {} {n}", now.since(*since).as_micros());
                    }
                }
                _ => return,
            }
        }
        (conn.output, conn.sent) = (Vec::new(), 0);
    }

    fn look(&mut self, id: usize, now: Moment) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let fd = conn.stream.as_fd();
        let mut sample = Sample { outq: tcp::outq(fd).unwrap_or(0), ..Sample::default() };
        let mut outcome = conn.live.check(&self.rules, now, sample);
        while let Some(ask) = outcome.ask {
            if ask == Ask::Drain {
                self.serve(id, now);
                sample.drained = true;
            }
            let Some(conn) = self.conns.get_mut(&id).filter(|c| !c.over) else { return };
            let fd = conn.stream.as_fd();
            sample.outq = tcp::outq(fd).unwrap_or(0);
            sample.info = Some(tcp::health(fd).unwrap_or_default());
            outcome = conn.live.check(&self.rules, now, sample);
        }
        self.act(id, now, outcome);
    }

    fn act(&mut self, id: usize, now: Moment, outcome: Outcome) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let fd = conn.stream.as_fd();
        if outcome.nudge {
            let _ = tcp::nudge(fd);
        }
        if outcome.prepare {
            tcp::prepare_response(fd, &self.features);
        }
        match outcome.pulse {
            Some(Pulse::Beat) => conn.output.extend_from_slice(b"event: beat\ndata: {\"n\":1}\n\n"),
            Some(Pulse::Heartbeat) => conn.output.extend_from_slice(b":\n\n"),
            None => {}
        }
        let address = conn.address.clone();
        match outcome.change {
            Some(Change::Suspected { silent }) => {
                self.news.push(("suspected", member(&address, silent.as_millis(), "-")));
            }
            Some(Change::Recovered { silent }) => {
                self.news.push(("recovered", member(&address, silent.as_millis(), "-")));
            }
            Some(Change::Stalled) => self.news.push(("stalled", member(&address, 0, "-"))),
            Some(Change::Moving) => self.news.push(("moving", member(&address, 0, "-"))),
            None => {}
        }
        if let Some(LinkEnd::Lost { after, evidence }) = outcome.end {
            self.news.push(("lost", member(&address, after.as_millis(), evidence.word())));
            (conn.output, conn.sent) = (Vec::new(), 0);
        }
        if outcome.returned {
            println!("@returned {address}");
            self.end(id, "returned");
        } else if outcome.end == Some(LinkEnd::Slow) {
            self.end(id, "left slow");
        } else {
            self.flush(id, now);
        }
    }

    fn end(&mut self, id: usize, why: &str) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.over = true;
        if let (Some(reason), false) = (why.strip_prefix("left "), conn.live.is_parked()) {
            self.news
                .push(("left", format!("{{\"member\":{{\"addr\":\"{}\"}},\"reason\":\"{reason}\"}}", conn.address)));
        }
        let _ = conn.stream.shutdown(std::net::Shutdown::Both);
    }

    /// One line of the kernel's view, whatever the rules make of it.
    fn trace(&mut self, id: usize, now: Moment) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let fd = conn.stream.as_fd();
        let (Ok(outq), Ok(h)) = (tcp::outq(fd), tcp::health(fd)) else { return };
        let Some((file, since)) = &mut conn.trace else { return };
        let n = |v: Option<u32>| v.map_or(-1, i64::from);
        let _ = writeln!(
            file,
            "look {} {outq} {} {} {} {} {} {} {} {} {} {} {}",
            now.since(*since).as_micros(),
            h.state,
            h.retransmits,
            h.probes,
            h.backoff,
            n(h.rto_us),
            n(h.unacked),
            n(h.last_data_recv_ms),
            n(h.last_ack_recv_ms),
            n(h.rtt_us),
            n(h.empty_segs_in),
            n(h.send_window),
        );
    }
}

fn member(address: &str, after_ms: u128, evidence: &str) -> String {
    format!("{{\"member\":{{\"addr\":\"{address}\"}},\"after_ms\":{after_ms},\"evidence\":\"{evidence}\"}}")
}

/// Formatted text at the end of bytes.
struct Text<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }
}
