//! Cells of the matrix: twenty people in one state, one way of losing them, and how long until the others are told.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::clients::ROLE;
use super::relay::NEAR;
use super::space::{Actor, Armed, Line, Netns, Switch};

/// Where the server listens.
pub const SERVER: &str = "10.83.0.1:8080";
const OBSERVER: usize = usize::MAX;
const CHATTER: usize = usize::MAX - 1;
const THE_SERVER: usize = usize::MAX - 2;
const CLASSIC: usize = usize::MAX - 3;
/// The relay of a cell is this plus its number.
const RELAYS: usize = usize::MAX / 2;

/// What the people of a cell were doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// A page that is open.
    Idle,
    /// Somebody talks all the time.
    Busy,
    /// The peer itself goes on talking.
    Chatty,
    /// In the middle of 10 MB.
    Download,
    /// Stopped reading so long before.
    Stopped(u64),
    /// A link on a connection that has carried requests before.
    Used,
    /// A page on a WebSocket: answers beats.
    Socket,
}

/// What happened to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    LinkDown,
    Both,
    ServerToClient,
    ClientToServer,
    Killed,
    /// The process stands still; its kernel answers. Nobody may be called lost.
    Halted,
    Rebooted,
    /// Nothing at all. Nobody may be called lost.
    Nothing,
}

impl State {
    pub fn word(self) -> String {
        match self {
            State::Stopped(s) => format!("stopped{s}"),
            other => format!("{other:?}").to_lowercase(),
        }
    }
}

impl Cut {
    pub const ALL: &'static [(Cut, &'static str)] = &[
        (Cut::LinkDown, "linkdown"),
        (Cut::Both, "both"),
        (Cut::ServerToClient, "s2c"),
        (Cut::ClientToServer, "c2s"),
        (Cut::Killed, "killed"),
        (Cut::Halted, "halted"),
        (Cut::Rebooted, "rebooted"),
        (Cut::Nothing, "nothing"),
    ];

    pub fn word(self) -> &'static str {
        Cut::ALL.iter().find(|(c, _)| *c == self).map_or("", |(_, w)| w)
    }

    /// Whether they are gone then.
    pub fn is_fatal(self) -> bool {
        !matches!(self, Cut::Halted | Cut::Nothing)
    }
}

/// A cell by its name, `idle/both`.
pub fn cell(name: &str) -> Option<(State, Cut)> {
    let (state, cut) = name.split_once('/')?;
    let state = match state {
        "idle" => State::Idle,
        "busy" => State::Busy,
        "chatty" => State::Chatty,
        "download" => State::Download,
        "used" => State::Used,
        "socket" => State::Socket,
        other => State::Stopped(other.strip_prefix("stopped")?.parse().ok()?),
    };
    Some((state, Cut::ALL.iter().find(|(_, w)| *w == cut)?.0))
}

/// What to put under test.
pub enum Server {
    /// The rules alone.
    Detector { profile: String, without: String },
    /// The real program, with its settings file.
    Boatswain { program: String, arguments: Vec<String>, without: String, _folder: super::Folder },
    /// A board on the switch: a program that starts it there, and the settings that its console is asked for.
    Board { start: String, settings: String },
}

/// How it ended for one of them.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub address: String,
    /// From the cut to the announcement at somebody else.
    pub after: Option<Duration>,
    /// `lost no_ack`, `left closed`.
    pub what: String,
}

/// A path that held packets back has also spoilt the kernel's idea of its round trip: so long.
const REACH: Duration = Duration::from_secs(2);

/// What was said of people who were there all the time.
#[derive(Debug, Default)]
pub struct Alarms {
    pub lost: usize,
    /// Of those, how many while the path itself held packets back.
    pub held: usize,
    pub left: usize,
    pub suspected: usize,
    /// Time for which they were served, all together.
    pub exposure: Duration,
    /// The events `lost` and `left` themselves.
    pub words: Vec<String>,
}

/// The bridge, the server, and somebody who watches.
pub struct World {
    switch: Switch,
    _server_ns: Netns,
    other_ns: Netns,
    server: Actor,
    _observer: Actor,
    chatter: Option<Actor>,
    to: Sender<Line>,
    lines: Receiver<Line>,
    heard: Vec<Line>,
    entered: usize,
    pub helps: String,
}

/// People in one state.
pub struct Cell {
    pub state: State,
    pub cut: Cut,
    number: usize,
    ns: Option<Netns>,
    actor: Option<Actor>,
    /// Carries their packets, instead of a cable.
    relay: Option<Actor>,
    addresses: Vec<String>,
    /// The shortest round trip that connecting took.
    pub handshake: Duration,
    pub cut_at: Option<Instant>,
    stopped_at: Option<Instant>,
}

fn verbose() -> bool {
    std::env::var_os("VANISH_VERBOSE").is_some()
}

/// Where the server's own words go: with `VANISH_LOG`, to the end of that file.
fn server_log() -> Stdio {
    match std::env::var_os("VANISH_LOG") {
        Some(path) => std::fs::File::options().create(true).append(true).open(path).expect("a file for the log").into(),
        None if verbose() => Stdio::inherit(),
        None => Stdio::null(),
    }
}

fn myself(ns: &Netns, role: &str) -> Command {
    let me = std::env::current_exe().expect("a path");
    let mut command = ns.command(me.to_str().expect("a plain path"));
    // For a test binary: run the one test that plays the role. A benchmark looks at the variable itself.
    command.args(["--exact", "role", "--nocapture"]);
    command.env(ROLE, role).env("VANISH_SERVER", SERVER).stderr(Stdio::inherit());
    command
}

impl World {
    pub fn new(server: &Server) -> World {
        let (to, lines) = channel();
        let switch = Switch::new();
        let (server_ns, other_ns) = (Netns::new(), Netns::new());
        if !matches!(server, Server::Board { .. }) {
            switch.plug(&server_ns, "server", &["10.83.0.1".into()], "02:83:00:00:00:01");
        }
        switch.plug(&other_ns, "other", &["10.83.0.2".into()], "02:83:00:00:00:02");
        let mut command = match server {
            Server::Detector { profile, without } => {
                let mut command = myself(&server_ns, "detector");
                command.env("VANISH_PROFILE", profile).env("VANISH_WITHOUT", without);
                command
            }
            Server::Boatswain { program, arguments, without, .. } => {
                // The server ends when this process does, however that happens.
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "KILL", "nsenter", "-t", &server_ns.pid().to_string(), "-n", program]);
                command.args(arguments).stderr(server_log());
                command.env("BOATSWAIN_WITHOUT", without);
                command
            }
            Server::Board { start, .. } => {
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "KILL", "nsenter", "-t", &switch.ns.pid().to_string(), "-n", start]);
                command.arg("10.83.0.1/16");
                command
            }
        };
        let actor = Actor::start(&mut command, THE_SERVER, &to);
        let mut world = World {
            switch,
            _observer: Actor::start(&mut Command::new("true"), 0, &to),
            _server_ns: server_ns,
            other_ns,
            server: actor,
            chatter: None,
            to,
            lines,
            heard: Vec::new(),
            entered: 0,
            helps: String::new(),
        };
        if let Server::Detector { .. } = server {
            world.wait(10, |heard| heard.iter().any(|l| l.from == THE_SERVER && l.text.starts_with("up")));
        }
        world.helps = world.heard.iter().find_map(|l| l.text.strip_prefix("helps ")).unwrap_or("").to_owned();
        if let Server::Board { settings, .. } = server {
            // An emulated board boots as slowly as its host is busy.
            assert!(world.console("", "up", 240).is_some(), "the board does not boot: {:?}", world.heard);
            let serving = world.console(&format!("settings {settings}"), &format!("serving {settings}"), 120);
            assert!(serving.is_some(), "the board does not serve: {:?}", world.heard);
        }
        world.watch(matches!(server, Server::Board { .. }));
        world
    }

    /// Says `line` on the console of a board and waits for an answer that begins with `answer`: the rest of it.
    pub fn console(&mut self, line: &str, answer: &str, seconds: u64) -> Option<String> {
        let from = if line.is_empty() { 0 } else { self.heard.len() };
        if !line.is_empty() {
            self.server.say(line);
        }
        let find = |heard: &[Line]| {
            let said = heard.iter().skip(from).filter(|l| l.from == THE_SERVER);
            said.filter_map(|l| l.text.strip_prefix(answer).map(|rest| rest.trim().to_owned())).next()
        };
        self.wait(seconds, |heard| find(heard).is_some());
        find(&self.heard)
    }

    /// A command on somebody else's machine on the same switch.
    pub fn elsewhere(&self, program: &str) -> Command {
        self.other_ns.command(program)
    }

    fn watch(&mut self, board: bool) {
        // The real server may need a moment to bind.
        let probe = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
                     ss -Hltn | grep -q :8080 && exit 0; sleep 0.25; done; exit 1";
        if !board {
            self._server_ns.sh(probe);
        }
        self._observer = Actor::start(&mut myself(&self.other_ns, "observer"), OBSERVER, &self.to);
        let patience = if board { 60 } else { 10 };
        let up = self.wait(patience, |heard| heard.iter().any(|l| l.from == OBSERVER && l.text.contains("200")));
        assert!(up, "the observer was not served: {:?}", self.heard);
    }

    /// Reads lines until `done` or so many seconds have passed; says which.
    fn wait(&mut self, seconds: u64, done: impl Fn(&[Line]) -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            if done(&self.heard) {
                return true;
            }
            let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) else { return false };
            if verbose() {
                println!("{line:?}");
            }
            self.heard.push(line);
        }
    }

    /// Reads lines for a while.
    pub fn rest(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if verbose() {
                println!("{line:?}");
            }
            self.heard.push(line);
        }
    }

    fn port(number: usize) -> String {
        format!("v{number}")
    }

    fn mac(number: usize) -> String {
        format!("02:83:01:00:{:02x}:{:02x}", number / 256, number % 256)
    }

    /// `count` people who are served when this returns.
    pub fn enter(&mut self, state: State, cut: Cut, count: usize) -> Cell {
        self.enter_from(state, cut, count, Duration::ZERO)
    }

    /// The same for people `rtt` away; zero: by cable.
    pub fn enter_from(&mut self, state: State, cut: Cut, count: usize, rtt: Duration) -> Cell {
        self.entered += 1;
        let number = self.entered;
        assert!(count < 255, "a cell has addresses for 254 people");
        let net = if rtt.is_zero() { 83 } else { 84 };
        let addresses: Vec<String> = (1..=count).map(|i| format!("10.{net}.{}.{i}", number + 1)).collect();
        let ns = Netns::new();
        let mut relay = None;
        if rtt.is_zero() {
            self.switch.plug(&ns, &World::port(number), &addresses, &World::mac(number));
        } else {
            relay = Some(self.relay(number, &ns, &addresses, rtt / 2));
        }
        let mut command = myself(&ns, "victims");
        if cut == Cut::Nothing {
            command.env("VANISH_AGAIN", "1");
        }
        command.env("VANISH_MODE", state.word()).env("VANISH_ADDRESSES", addresses.join(","));
        if matches!(state, State::Busy | State::Stopped(_)) && self.chatter.is_none() {
            self.chatter = Some(Actor::start(&mut myself(&self.other_ns, "chatter"), CHATTER, &self.to));
        }
        let actor = Actor::start(&mut command, number, &self.to);
        let mut cell = Cell {
            state,
            cut,
            number,
            ns: Some(ns),
            actor: Some(actor),
            relay,
            addresses,
            handshake: Duration::ZERO,
            cut_at: None,
            stopped_at: None,
        };
        let up =
            |heard: &[Line]| heard.iter().filter(|l| l.from == number && l.text.starts_with("up")).count() == count;
        let served = self.wait(20, up);
        let refused = self.heard.iter().find(|l| l.text.starts_with("refused"));
        assert!(served, "{}/{}: not everybody was served ({refused:?})", state.word(), cut.word());
        let ups = self.heard.iter().filter(|l| l.from == number && l.text.starts_with("up"));
        let times = ups.filter_map(|l| l.text.rsplit(' ').next()?.parse().ok());
        cell.handshake = Duration::from_micros(times.min().unwrap_or(0));
        cell
    }

    /// Connects the people in `ns` to the server by a path that takes so long each way.
    fn relay(&mut self, number: usize, ns: &Netns, addresses: &[String], delay: Duration) -> Actor {
        let (port, from) = (World::port(number), RELAYS + number);
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command.args(["--exact", "role", "--nocapture"]).stderr(Stdio::inherit());
        command.env(ROLE, "relay").env("RELAY_NAME", &port);
        command.env("RELAY_PIDS", format!("{},{}", self._server_ns.pid(), ns.pid()));
        command.env("RELAY_DELAY_US", delay.as_micros().to_string());
        let relay = Actor::start(&mut command, from, &self.to);
        assert!(self.wait(10, |heard| heard.iter().any(|l| l.from == from && l.text == "up")), "no relay");
        let ip = |lines: String| format!("ip -batch - <<.\n{lines}.\n");
        self._server_ns.sh(&ip(format!("link set {port} up\nroute add 10.84.{}.0/24 dev {port}\n", number + 1)));
        let own: String = addresses.iter().map(|a| format!("addr add {a}/32 dev {NEAR}\n")).collect();
        ns.sh(&ip(format!("{own}link set {NEAR} up\nroute add 10.83.0.1 dev {NEAR}\n")));
        relay
    }

    /// From now on so many of 100 packets each way are lost on the way to the people of `cell`. 0: none. Returns the
    /// moment before.
    pub fn lose(&self, cell: &mut Cell, percent: u64) -> Instant {
        let port = World::port(cell.number);
        if let Some(relay) = &mut cell.relay {
            let before = Instant::now();
            relay.say(&format!("loss {percent}"));
            return before;
        }
        let none = self.switch.unrule(&port).fire();
        if percent == 0 {
            return none;
        }
        let drop = |way: &str| format!("{way} \"{port}\" numgen random mod 100 < {percent} drop");
        self.switch.rules(&port, &["iifname", "oifname"].map(drop)).fire()
    }

    /// When and for how long the path to `cell` itself held packets back, see [`super::relay`].
    pub fn held<'a>(&'a self, cell: &Cell) -> impl Iterator<Item = (Instant, Duration)> + 'a {
        let from = RELAYS + cell.number;
        let lines = self.heard.iter().filter(move |l| l.from == from);
        lines.filter_map(|l| Some((l.at, Duration::from_millis(l.text.strip_prefix("held ")?.parse().ok()?))))
    }

    /// They stop reading now.
    pub fn stop_reading(&mut self, cell: &mut Cell) {
        if let Some(actor) = &mut cell.actor {
            actor.say("stop");
            cell.stopped_at = Some(Instant::now());
        }
    }

    /// Makes ready what [`World::cut`] will need.
    pub fn arm(&self, cell: &Cell) -> Option<Armed> {
        let port = World::port(cell.number);
        let (to, from) = (format!("oifname \"{port}\" drop"), format!("iifname \"{port}\" drop"));
        Some(match cell.cut {
            Cut::Rebooted if cell.relay.is_some() => panic!("only who has a cable can be rebooted"),
            Cut::Both | Cut::ServerToClient | Cut::ClientToServer if cell.relay.is_some() => return None,
            Cut::LinkDown if cell.relay.is_some() => {
                cell.ns.as_ref()?.armed("ip", &["-batch", "-"], &format!("link set {NEAR} down\n"))
            }
            Cut::Both | Cut::Rebooted => self.switch.rules(&port, &[to, from]),
            Cut::ServerToClient => self.switch.rules(&port, &[to]),
            Cut::ClientToServer => self.switch.rules(&port, &[from]),
            Cut::LinkDown => cell.ns.as_ref()?.armed("ip", &["-batch", "-"], "link set eth0 down\n"),
            Cut::Killed | Cut::Halted | Cut::Nothing => return None,
        })
    }

    /// It happens.
    pub fn cut(&mut self, cell: &mut Cell, armed: Option<Armed>) {
        let at = match (cell.cut, armed, &cell.actor) {
            (_, Some(armed), _) => armed.fire(),
            (Cut::Both | Cut::ServerToClient | Cut::ClientToServer, None, _) => {
                let before = Instant::now();
                let relay = cell.relay.as_mut().expect("it was armed");
                relay.say(&format!("cut {}", cell.cut.word()));
                before
            }
            (Cut::Killed, None, Some(actor)) => actor.signal("KILL"),
            (Cut::Halted, None, Some(actor)) => actor.signal("STOP"),
            _ => Instant::now(),
        };
        cell.cut_at = Some(at);
        if cell.cut == Cut::Rebooted {
            // All state is lost unheard; then a machine with the same addresses is there again.
            cell.actor = None;
            cell.ns = None;
            self.switch.unplug(&World::port(cell.number));
            self.rest(Duration::from_millis(50));
            let ns = Netns::new();
            self.switch.plug(&ns, &World::port(cell.number), &cell.addresses, &World::mac(cell.number));
            cell.ns = Some(ns);
            let port = World::port(cell.number);
            self.switch.unrule(&port).fire();
        }
    }

    /// What was said of the people of `cell` since the cut.
    pub fn verdicts(&mut self, cell: &Cell, patience: Duration) -> Vec<Verdict> {
        let cut_at = cell.cut_at.expect("the cut came first");
        let left = (cut_at + patience).saturating_duration_since(Instant::now());
        let wanted = cell.addresses.clone();
        let all = move |heard: &[Line]| wanted.iter().all(|a| ending(heard, a).is_some());
        let _ = self.wait_for(left, all);
        cell.addresses
            .iter()
            .map(|address| match ending(&self.heard, address) {
                Some((at, what)) => {
                    // Announced before the cut: a false verdict, shown as such.
                    let after = at.checked_duration_since(cut_at);
                    let what = if after.is_some() { what } else { format!("early {what}") };
                    Verdict { address: address.clone(), after, what }
                }
                None => Verdict { address: address.clone(), after: None, what: "-".to_owned() },
            })
            .collect()
    }

    fn wait_for(&mut self, time: Duration, done: impl Fn(&[Line]) -> bool) -> bool {
        let end = Instant::now() + time;
        while !done(&self.heard) {
            let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) else { return false };
            if verbose() {
                println!("{line:?}");
            }
            self.heard.push(line);
        }
        true
    }

    /// How often each kind of event was heard, by kind.
    pub fn counts(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for line in self.heard.iter().filter(|l| l.from == OBSERVER) {
            if let Some(rest) = line.text.strip_prefix("event ") {
                *counts.entry(rest.split(' ').next().unwrap_or("").to_owned()).or_insert(0) += 1;
            }
        }
        counts
    }

    /// Idle connections of the first `count` people of `cell` with keepalive 1/1/2, beside.
    pub fn classic(&mut self, cell: &Cell, count: usize) -> Vec<Actor> {
        let server = Actor::start(&mut myself(&self._server_ns, "classic_server"), CLASSIC, &self.to);
        self.wait(10, |heard| heard.iter().any(|l| l.from == CLASSIC && l.text.starts_with("up")));
        let ns = cell.ns.as_ref().expect("they are there");
        let mut command = myself(ns, "classic_clients");
        command.env("VANISH_ADDRESSES", cell.addresses[..count].join(","));
        vec![server, Actor::start(&mut command, CLASSIC, &self.to)]
    }

    /// Tells the server's machine once and for all where the people of `cell` are: beyond some hundreds in one network
    /// the kernel forgets neighbours and asks again.
    pub fn introduce(&self, cell: &Cell) {
        if cell.relay.is_some() {
            return; // by a route
        }
        let mac = World::mac(cell.number);
        let lines: String =
            cell.addresses.iter().map(|a| format!("neigh replace {a} lladdr {mac} dev eth0 nud permanent\n")).collect();
        self._server_ns.sh(&format!("ip -batch - <<.\n{lines}.\n"));
    }

    /// What happened to the people of `cell` from `since` on.
    pub fn alarms(&self, cell: &Cell, since: Instant) -> Alarms {
        let mut alarms = Alarms::default();
        // Who is not served at a moment cannot be called lost then. Everybody is served in the beginning.
        let mut served: HashMap<&str, Instant> = cell.addresses.iter().map(|a| (a.as_str(), since)).collect();
        for line in self.heard.iter().filter(|l| l.at >= since) {
            let mut words = line.text.split(' ');
            let (kind, who) = match (line.from, words.next()) {
                (OBSERVER, Some("event")) => (words.next().unwrap_or(""), words.next().unwrap_or("")),
                (from, Some(word)) if from == cell.number => (word, words.next().unwrap_or("")),
                _ => continue,
            };
            let Some(who) = cell.addresses.iter().find(|a| *a == who) else { continue };
            match kind {
                "up" => _ = served.entry(who).or_insert(line.at),
                "lost" | "left" | "end" => {
                    alarms.lost += usize::from(kind == "lost");
                    let silent =
                        words.next().and_then(|ms| ms.parse().ok()).map_or(Duration::ZERO, Duration::from_millis);
                    let held = |(at, time): (Instant, Duration)| at + REACH + silent >= line.at && line.at + time >= at;
                    alarms.held += usize::from(kind == "lost" && self.held(cell).any(held));
                    alarms.left += usize::from(kind == "left");
                    if kind != "end" {
                        alarms.words.push(line.text.clone());
                    }
                    if let Some(at) = served.remove(who.as_str()) {
                        alarms.exposure += line.at - at;
                    }
                }
                "suspected" => alarms.suspected += 1,
                _ => {}
            }
        }
        alarms.exposure += served.values().map(|at| at.elapsed()).sum::<Duration>();
        alarms
    }

    /// How often the kernel's probes gave somebody up from `since` on, see [`World::classic`].
    pub fn classic_alarms(&self, since: Instant) -> usize {
        self.heard.iter().filter(|l| l.at >= since && l.from == CLASSIC && l.text.starts_with("timeout")).count()
    }

    /// Undoes the cut of `cell`.
    pub fn mend(&self, cell: &Cell) -> Armed {
        self.switch.unrule(&World::port(cell.number))
    }

    /// Where the people of `cell` are plugged in.
    pub fn port_of(&self, cell: &Cell) -> String {
        World::port(cell.number)
    }

    pub fn switch(&self) -> &Switch {
        &self.switch
    }
}

/// When `address` was announced as gone, and how.
fn ending(heard: &[Line], address: &str) -> Option<(Instant, String)> {
    heard.iter().filter(|l| l.from == OBSERVER).find_map(|l| {
        let mut words = l.text.strip_prefix("event ")?.split(' ');
        let (kind, who, _after, why) = (words.next()?, words.next()?, words.next()?, words.next()?);
        (who == address && (kind == "lost" || kind == "left")).then(|| (l.at, format!("{kind} {why}")))
    })
}

/// `min/median/p99 (n)`, in seconds.
pub fn summary(verdicts: &[Verdict]) -> String {
    let mut times: Vec<f64> = verdicts.iter().filter_map(|v| v.after).map(|d| d.as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    let mut kinds: Vec<String> = verdicts.iter().map(|v| v.what.clone()).collect();
    kinds.sort();
    kinds.dedup();
    if times.is_empty() {
        return format!("none of {} ({})", verdicts.len(), kinds.join(", "));
    }
    let at = |q: f64| times[((times.len() as f64 * q).ceil() as usize).clamp(1, times.len()) - 1];
    format!(
        "{:.2}/{:.2}/{:.2} {} of {} ({})",
        at(0.0),
        at(0.5),
        at(0.99),
        times.len(),
        verdicts.len(),
        kinds.join(", ")
    )
}
