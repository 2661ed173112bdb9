//! The dead man's switch with cables that are really cut: operators on one side, machines on another, the real server
//! between them, each in a network namespace of its own.
//!
//! Needs root (or CAP_NET_ADMIN and CAP_SYS_ADMIN) and the tools of util-linux, iproute2 and nftables; says so if not.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)] // a test stands outside

#[path = "vanishing/mod.rs"]
mod vanishing;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vanishing::clients::{CREDENTIALS, ROLE};
use vanishing::space::{Actor, Armed, Line, Netns, Switch, not_asked};

/// Pairs of an operator and a machine; one cut is so many runs.
const PAIRS: usize = 20;
const WEB: &str = "10.83.0.1:8080";
const MACHINES: &str = "10.83.0.1:7070";
/// What the contract promises from the cut to `safe` at the device.
const PROMISED: Duration = Duration::from_secs(3);
/// What other tests on this machine add.
const SLACK: Duration = Duration::from_millis(300);

/// Not a test of its own: what this program is when a test runs it again inside a namespace.
#[test]
fn role() {
    match std::env::var(ROLE).as_deref() {
        Ok("operators") => operators(),
        Ok("machines") => machines(),
        _ => {}
    }
}

// --------------------------------------------------------------------------------------------- the operators

fn report(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "@{text}");
    let _ = out.flush();
}

fn connect(from: &str, to: &str) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&format!("{from}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&to.parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.set_tcp_nodelay(true).unwrap();
    socket.into()
}

/// Pages that each hold control of their machine. Says `up I`; at a line `command` on standard input each sends a
/// command that names the newest beat, and says `answer I STATUS WORD`.
fn operators() {
    let beats: Arc<Mutex<Vec<u64>>> = Arc::new(Mutex::new(vec![0; PAIRS]));
    let go: Vec<Sender<()>> = (0..PAIRS)
        .map(|i| {
            let (to, orders) = channel();
            let beats = Arc::clone(&beats);
            std::thread::spawn(move || operator(i, &beats, &orders));
            to
        })
        .collect();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        if line == "command" {
            for to in &go {
                let _ = to.send(());
            }
        }
    }
    std::process::exit(0);
}

fn operator(i: usize, beats: &Arc<Mutex<Vec<u64>>>, orders: &Receiver<()>) {
    let from = format!("10.83.1.{}", i + 1);
    let mut link = connect(&from, WEB);
    let head = format!("Host: 10.83.0.1\r\nUser-Agent: operator\r\n{CREDENTIALS}");
    write!(link, "GET /api/events?tab=t{i}&n=1 HTTP/1.1\r\n{head}\r\n").unwrap();
    let (seen, home, about) = (Arc::clone(beats), from.clone(), head.clone());
    std::thread::spawn(move || {
        let mut answers: Option<BufReader<TcpStream>> = None;
        for line in BufReader::new(link).lines().map_while(Result::ok) {
            let Some(message) = line.strip_prefix("data: ") else { continue };
            let message: Value = serde_json::from_str(message).unwrap();
            if message["type"] == "beat" {
                seen.lock().unwrap()[i] = message["n"].as_u64().unwrap();
                let stream = answers.get_or_insert_with(|| BufReader::new(connect(&home, WEB)));
                let body = json!({"beat": message["n"], "hold": [format!("m{i}")]});
                if post(stream, &about, &format!("/api/beat?tab=t{i}"), &body).is_err() {
                    break;
                }
            }
        }
        report(&format!("end {i}"));
    });
    let mut stream = BufReader::new(connect(&from, WEB));
    while beats.lock().unwrap()[i] == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let taken = post(&mut stream, &head, &format!("/api/devices/m{i}/control"), &json!({"action":"take"})).unwrap();
    assert!(taken.contains("\"holder\""), "{taken}");
    report(&format!("up {i}"));
    while orders.recv().is_ok() {
        let beat = beats.lock().unwrap()[i];
        let answer =
            post(&mut stream, &head, &format!("/api/devices/m{i}/command"), &json!({"command":"go","beat":beat}));
        let Ok(answer) = answer else { return };
        let (status, body) = answer.split_once(' ').unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        report(&format!("answer {i} {status} {}", body["error"].as_str().unwrap_or("-")));
    }
}

/// Status and body.
fn post(stream: &mut BufReader<TcpStream>, head: &str, target: &str, body: &Value) -> std::io::Result<String> {
    let body = body.to_string();
    let request = format!(
        "POST {target} HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.get_mut().write_all(request.as_bytes())?;
    let (mut status, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if status.is_empty() {
            status = line.split(' ').nth(1).unwrap().to_string();
        } else if line == "\r\n" {
            break;
        } else if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = n.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(format!("{status} {}", String::from_utf8(body).unwrap()))
}

// ---------------------------------------------------------------------------------------------- the machines

/// Devices; every other one sends telemetry at 50 Hz. Says `up I`, `safe I REASON AFTER_MS`, `command I`, `end I`.
fn machines() {
    for i in 0..PAIRS {
        std::thread::spawn(move || machine(i));
    }
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    std::process::exit(0);
}

fn machine(i: usize) {
    let stream = connect(&format!("10.83.2.{}", i + 1), MACHINES);
    let writer = Arc::new(Mutex::new(stream.try_clone().unwrap()));
    let say = |line: Value| writer.lock().unwrap().write_all(format!("{line}\n").as_bytes());
    say(json!({"hello": format!("m{i}"), "token": "secret", "describe": {"commands": {"go": {}}}})).unwrap();
    if i % 2 == 0 {
        let writer = Arc::clone(&writer);
        std::thread::spawn(move || {
            for n in 0.. {
                std::thread::sleep(Duration::from_millis(20));
                let line = json!({"telemetry": {"rpm": n}}).to_string() + "\n";
                if writer.lock().unwrap().write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
        });
    }
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let line: Value = serde_json::from_str(&line).unwrap();
        if line.get("welcome").is_some() {
            report(&format!("up {i}"));
        } else if let Some(n) = line.get("ping") {
            let _ = say(json!({"pong": n}));
        } else if let Some(why) = line.get("safe") {
            report(&format!("safe {i} {} {}", why.as_str().unwrap(), line["after_ms"]));
        } else if let Some(id) = line.get("id") {
            report(&format!("command {i}"));
            let _ = say(json!({"answer": id, "ok": true}));
        }
    }
    report(&format!("end {i}"));
}

// ------------------------------------------------------------------------------------------------- the site

const PEOPLE: usize = 1;
const WORKS: usize = 2;
const LOG: usize = 3;

struct Site {
    switch: Switch,
    board: Netns,
    people: Actor,
    _works: Actor,
    _server: Running,
    lines: Receiver<Line>,
    heard: Vec<Line>,
    _stations: [Netns; 2],
    folder: std::path::PathBuf,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A server that ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    /// The server, the machines, and operators who hold them all; `None` where there are no namespaces.
    fn new(name: &str) -> Option<Site> {
        if let Some(why) = not_asked() {
            let _ = writeln!(std::io::stderr(), "skipped: {why}; run as root");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("boatswain-deadman-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let hash = bcrypt::hash_with_result("secret", 4).unwrap().format_for_version(bcrypt::Version::TwoY);
        std::fs::write(folder.join("users"), format!("operator:{hash}\n")).unwrap();
        let tokens: String = (0..PAIRS).map(|i| format!("m{i}:{hash}\n")).collect();
        std::fs::write(folder.join("tokens"), tokens).unwrap();
        let settings = format!(
            "listen = [\"0.0.0.0:8080\"]\n[auth]\nusers = \"{folder}/users\"\n[seats]\nmax = 100\n\
             [devices]\nlisten = [\"0.0.0.0:7070\"]\ntokens = \"{folder}/tokens\"\n",
            folder = folder.display()
        );
        std::fs::write(folder.join("settings"), settings).unwrap();

        let (switch, board, people_at, works_at) = (Switch::new(), Netns::new(), Netns::new(), Netns::new());
        switch.plug(&board, "board", &["10.83.0.1".into()], "02:00:00:00:00:01");
        let addresses = |net: u8| (0..PAIRS).map(|i| format!("10.83.{net}.{}", i + 1)).collect::<Vec<_>>();
        switch.plug(&people_at, "people", &addresses(1), "02:00:00:00:00:02");
        switch.plug(&works_at, "works", &addresses(2), "02:00:00:00:00:03");

        let (to, lines) = channel();
        let mut server = board.command(env!("CARGO_BIN_EXE_boatswain"));
        server
            .args(["serve", "-c"])
            .arg(folder.join("settings"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut server = Running(server.spawn().unwrap());
        let (log, log_to) = (server.0.stderr.take().unwrap(), to.clone());
        std::thread::spawn(move || {
            for text in BufReader::new(log).lines().map_while(Result::ok) {
                let _ = log_to.send(Line { at: Instant::now(), from: LOG, text });
            }
        });
        let mut heard = Vec::new();
        wait(&lines, &mut heard, "the server", |l| l.from == LOG && l.text.contains("started version"), 1);
        let works = Actor::start(&mut myself(&works_at, "machines"), WORKS, &to);
        wait(&lines, &mut heard, "the machines", |l| l.from == WORKS && l.text.starts_with("up"), PAIRS);
        let people = Actor::start(&mut myself(&people_at, "operators"), PEOPLE, &to);
        wait(&lines, &mut heard, "the operators", |l| l.from == PEOPLE && l.text.starts_with("up"), PAIRS);
        let stations = [people_at, works_at];
        let mut site =
            Site { switch, board, people, _works: works, _server: server, lines, heard, _stations: stations, folder };
        site.rest(Duration::from_millis(1_500));
        assert_eq!(site.safes(), [], "nobody has vanished yet");
        Some(site)
    }

    /// Reads lines for a while.
    fn rest(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            self.heard.push(line);
        }
    }

    /// Cuts a cable, both ways.
    fn cut(&self, port: &str) -> Armed {
        self.switch.rules(port, &[format!("iifname \"{port}\" drop"), format!("oifname \"{port}\" drop")])
    }

    /// What machines were told: why, and when.
    fn safes(&self) -> Vec<(String, Instant)> {
        let safes = self.heard.iter().filter(|l| l.from == WORKS && l.text.starts_with("safe"));
        safes.map(|l| (l.text.split(' ').nth(2).unwrap_or("").to_string(), l.at)).collect()
    }

    fn log(&self, what: &str) -> Vec<Instant> {
        self.heard.iter().filter(|l| l.from == LOG && l.text.contains(what)).map(|l| l.at).collect()
    }

    fn count(&self, from: usize, what: &str) -> usize {
        self.heard.iter().filter(|l| l.from == from && l.text.starts_with(what)).count()
    }
}

fn wait(lines: &Receiver<Line>, heard: &mut Vec<Line>, what: &str, is: impl Fn(&Line) -> bool, times: usize) {
    let end = Instant::now() + Duration::from_secs(20);
    while heard.iter().filter(|l| is(l)).count() < times {
        let line = lines.recv_timeout(end.saturating_duration_since(Instant::now()));
        heard.push(line.unwrap_or_else(|_| panic!("{what}: {heard:#?}")));
    }
}

fn myself(ns: &Netns, role: &str) -> Command {
    let me = std::env::current_exe().unwrap();
    let mut command = ns.command(me.to_str().unwrap());
    command.args(["--exact", "role", "--nocapture"]).env(ROLE, role);
    command
}

#[track_caller]
fn assert_within(what: &str, cut: Instant, times: &[Instant], count: usize, limit: Duration) {
    let mut after: Vec<Duration> = times.iter().map(|at| at.duration_since(cut)).collect();
    after.sort();
    println!("{what}: {after:?}");
    assert_eq!(after.len(), count, "{what}");
    assert!(after.last().is_none_or(|&last| last <= limit), "{what}: {after:?}");
}

// ------------------------------------------------------------------------------------------------- the tests

#[test]
fn an_operators_cable_is_cut_and_the_machine_is_safe_within_three_seconds() {
    let Some(mut site) = Site::new("people") else { return };
    let cut = site.cut("people").fire();
    site.rest(Duration::from_millis(4_500));
    let safes = site.safes();
    assert!(safes.iter().all(|(why, _)| why == "lost"), "{safes:?}");
    let times: Vec<Instant> = safes.iter().map(|&(_, at)| at).collect();
    assert_within("safe", cut, &times, PAIRS, PROMISED + SLACK);
    // free for the next one at once
    let script = "curl -s -o /dev/null -w '%{http_code}' -u operator:secret -H 'Content-Type: application/json' \
                  -d '{\"action\":\"take\",\"lease\":\"10s\"}' http://127.0.0.1:8080/api/devices/m7/control";
    let out = site.board.command("sh").args(["-c", script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "200");
}

#[test]
fn a_cable_that_is_cut_one_way_only_makes_the_machine_safe_too() {
    // towards the operators nothing arrives; from them nothing comes
    for (way, name) in [("oifname", "to"), ("iifname", "from")] {
        let Some(mut site) = Site::new(name) else { return };
        let cut = site.switch.rules("people", &[format!("{way} \"people\" drop")]).fire();
        site.rest(Duration::from_millis(6_000));
        let safes = site.safes();
        let whys: std::collections::BTreeSet<&str> = safes.iter().map(|(why, _)| why.as_str()).collect();
        println!("{way}: {whys:?}");
        let times: Vec<Instant> = safes.iter().map(|&(_, at)| at).collect();
        assert_within("safe", cut, &times, PAIRS, PROMISED + SLACK);
    }
}

#[test]
fn a_machines_cable_is_cut_and_it_is_down_within_three_seconds() {
    let Some(mut site) = Site::new("works") else { return };
    let cut = site.cut("works").fire();
    site.rest(Duration::from_millis(4_000));
    assert_within("down", cut, &site.log("state=down reason=lost"), PAIRS, PROMISED + SLACK);
    assert_eq!(site.log("was=operator reason=device").len(), PAIRS, "nobody holds what is not there");
}

#[test]
fn an_outage_of_two_seconds_stops_no_machine_and_runs_no_command_late() {
    let Some(mut site) = Site::new("outage") else { return };
    let mend = site.switch.unrule("people");
    let cut = site.cut("people");
    cut.fire();
    site.people.say("command");
    site.rest(Duration::from_millis(2_000));
    mend.fire();
    site.rest(Duration::from_millis(4_000));
    assert_eq!(site.safes(), []);
    assert_eq!(site.count(PEOPLE, "answer"), PAIRS);
    let stale = site.heard.iter().filter(|l| l.from == PEOPLE && l.text.ends_with("409 stale")).count();
    assert_eq!((stale, site.count(WORKS, "command")), (PAIRS, 0), "sent before the outage, come after it");
    // and now they run
    site.people.say("command");
    site.rest(Duration::from_millis(1_000));
    assert_eq!(site.count(WORKS, "command"), PAIRS);
}

#[test]
fn killed_operators_leave_safe_machines_after_the_time_of_a_reload() {
    let Some(mut site) = Site::new("killed") else { return };
    let killed = site.people.signal("KILL");
    site.rest(Duration::from_millis(2_900));
    // who had not read everything yet ends with RST, which is no reload: those machines are safe at once
    let early = site.safes();
    assert!(
        early.iter().all(|(why, _)| why == "lost") && early.len() < PAIRS / 2,
        "a reload takes that long: {early:?}"
    );
    site.rest(Duration::from_millis(1_000));
    let safes = site.safes();
    assert!(safes[early.len()..].iter().all(|(why, _)| why == "left"), "{safes:?}");
    let times: Vec<Instant> = safes.iter().map(|&(_, at)| at).collect();
    assert_within("safe", killed, &times, PAIRS, PROMISED + SLACK);
}

#[test]
fn five_percent_of_loss_each_way_stop_no_machine() {
    let Some(mut site) = Site::new("loss") else { return };
    for port in ["people", "works"] {
        let way = |way: &str| format!("{way} \"{port}\" numgen random mod 100 < 5 drop");
        site.switch.rules(port, &[way("iifname"), way("oifname")]).fire();
    }
    site.rest(Duration::from_secs(20));
    assert_eq!(site.safes(), []);
    assert_eq!(site.log("state=down").len(), 0);
    println!("devices suspect for a moment: {}", site.log("state=suspect").len());
}
