//! Devices and the real server: whatever is killed comes back, nothing answered is lost, nothing is executed twice, and a
//! device that nobody watches is in its safe state.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)] // a test stands outside

mod linking;
mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use linking::{Folder, Process, has, link, lives, project, signal, until};
use serde_json::{Value, json};
use support::{Client, Server, Setup};

/// A machine that is `on` or `safe`, keeps a note of all that it executes, and cannot be in doubt about it after a crash.
const MACHINE: &str = r#"
echo $$ >"$1.pid"
echo safe >"$1.state"
echo '{"describe":{"commands":{"on":{"args":{"n":{"type":"integer"},"note":{"type":"string"}}},"off":{"anyone":true}},"telemetry":{"n":""}}}'
trap '' PIPE
trap 'echo safe >"$1.state"; exit 0' TERM
while read -r line; do
    case $line in
    '{"ping"'*) echo "{\"pong\":${line#*:}" ;;
    '{"command":"on"'*)
        id=${line#*'"id":"'} && id=${id%%'"'*}
        echo "$id" >>"$1.executed" && echo on >"$1.state"
        echo "{\"answer\":\"$id\",\"ok\":true,\"result\":\"done\"}" ;;
    '{"safe"'* | '{"link":"down"'* | '{"command":"off"'*)
        echo safe >"$1.state" ;;
    esac
done
echo safe >"$1.state"
"#;

/// A port that is free now, for a server that has to come back at it.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn server_at(web: SocketAddr, devices: SocketAddr) -> Server {
    let server = Setup::default().listen(web).table("devices", &format!("listen = [\"{devices}\"]")).start();
    server.wait_log("kind=devices");
    server
}

struct Machine {
    link: Process,
    base: String,
    _folder: Folder,
}

impl Machine {
    fn start(devices: SocketAddr) -> Machine {
        let folder = Folder::new();
        let base = folder.path("machine");
        let link = Self::link(devices, &base);
        Machine { link, base, _folder: folder }
    }

    fn link(devices: SocketAddr, base: &str) -> Process {
        Process::start(&mut link(&devices.to_string(), "m-1", &["--", "sh", "-c", MACHINE, "machine", base]))
    }

    fn read(&self, what: &str) -> String {
        fs::read_to_string(format!("{}.{what}", self.base)).unwrap_or_default().trim().to_owned()
    }

    fn executed(&self) -> Vec<String> {
        self.read("executed").lines().map(Into::into).collect()
    }

    fn pid(&self) -> u32 {
        until("the program's id", || !self.read("pid").is_empty());
        self.read("pid").parse().unwrap()
    }
}

/// Somebody at the server, as curl comes.
struct Somebody(Client);

impl Somebody {
    fn new(server: &Server, user: &str) -> Somebody {
        Somebody(Client::new(server, user))
    }

    fn device(&mut self) -> Value {
        self.0.get("/api/devices").json()[0].clone()
    }

    fn wait_up(&mut self) {
        until("the device is up", || self.device()["state"] == "up");
    }

    fn post(&mut self, target: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let answer = self.0.request("POST", target, "Content-Type: application/json\r\n", body.as_bytes());
        (answer.status, answer.json())
    }

    fn take(&mut self, lease: &str) {
        let (status, body) = self.post("/api/devices/m-1/control", &json!({"action":"take","lease":lease}));
        assert_eq!(status, 200, "{body}");
    }

    fn on(&mut self, n: u32, wait: &str) -> (u16, Value) {
        self.on_with(n, "", wait)
    }

    fn on_with(&mut self, n: u32, note: &str, wait: &str) -> (u16, Value) {
        let body = json!({"command":"on","args":{"n":n,"note":note}});
        self.post(&format!("/api/devices/m-1/command{wait}"), &body)
    }

    fn answers(&mut self) -> Vec<Value> {
        let log = self.0.get("/api/log?limit=500").json();
        log["events"].as_array().unwrap().iter().filter(|e| e["type"] == "answered").cloned().collect()
    }
}

#[test]
fn what_is_killed_comes_back_and_nothing_is_lost_or_done_twice() {
    let (web, devices) = (free_port(), free_port());
    let server = server_at(web, devices);
    let mut machine = Machine::start(devices);
    let mut ann = Somebody::new(&server, "ann");
    ann.wait_up();
    ann.take("60s");
    let (status, answer) = ann.on(1, "?wait=5s");
    assert_eq!((status, &answer["ok"], &answer["result"]), (200, &json!(true), &json!("done")), "{answer}");
    assert_eq!(machine.read("state"), "on");

    // The program.
    let first = machine.pid();
    signal(first, "KILL");
    until("down", || ann.device()["state"] == "down");
    until("another program", || !["", &first.to_string()].contains(&machine.read("pid").as_str()));
    until("safe when it starts", || machine.read("state") == "safe");
    ann.wait_up();
    assert_eq!(ann.on(2, "").0, 409, "control does not return by itself");
    ann.take("60s");
    assert_eq!(ann.on(3, "?wait=5s").1["ok"], true);

    // `boatswain link`.
    let program = machine.pid();
    machine.link.signal("KILL");
    machine.link.wait();
    until("safe without a link", || machine.read("state") == "safe");
    until("the program's end", || !lives(program));
    until("down", || ann.device()["state"] == "down");
    machine.link = Machine::link(devices, &machine.base);
    machine.link.wait_err("link up");
    ann.wait_up();
    ann.take("60s");
    assert_eq!(ann.on(4, "?wait=5s").1["ok"], true);

    // The server, in the middle of a command.
    let before = machine.executed().len();
    signal(machine.pid(), "STOP");
    let (status, _) = ann.on(5, "");
    assert_eq!(status, 202);
    signal(server.pid(), "KILL");
    signal(machine.pid(), "CONT");
    until("safe without a server", || machine.read("state") == "safe");
    drop(server);
    let server = server_at(web, devices);
    let back = Instant::now();
    let took = machine.link.wait_err("link up").at.saturating_duration_since(back);
    assert!(took < Duration::from_millis(1500), "{took:?}");
    let mut ann = Somebody::new(&server, "ann");
    ann.wait_up();
    assert!(machine.executed().len() <= before + 1);
    ann.take("60s");
    assert_eq!(ann.on(6, "?wait=5s").1["ok"], true);

    let executed = machine.executed();
    let distinct: std::collections::BTreeSet<_> = executed.iter().collect();
    assert_eq!(distinct.len(), executed.len(), "something was executed twice: {executed:?}");
    machine.link.signal("TERM");
    assert_eq!(machine.link.wait(), Some(0));
    assert_eq!(machine.read("state"), "safe");
    until("left", || ann.device()["state"] == "down");
    server.wait_log("state=down reason=left");
}

#[test]
fn a_program_that_hangs_is_down_and_executes_nothing_old_when_it_goes_on() {
    hangs(false);
}

#[test]
fn what_a_stopped_link_finds_on_an_ended_connection_is_executed_by_nobody() {
    hangs(true);
}

/// The program hangs, and with `link_too` so does `boatswain link`, until the device is `down`.
fn hangs(link_too: bool) {
    // `link` takes what comes after a gap of at most 1.2 s for new: the device is down only after a longer one
    let server = Setup::default().table("devices", "listen = [\"127.0.0.1:0\"]\nsilent_after = \"2s\"").start();
    let line = server.wait_log("kind=devices");
    let devices: SocketAddr = line.split("addr=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let machine = Machine::start(devices);
    let mut ann = Somebody::new(&server, "ann");
    ann.wait_up();
    ann.take("60s");
    assert_eq!(ann.on(1, "?wait=5s").1["ok"], true);
    let program = machine.pid();
    signal(program, "STOP");
    if link_too {
        machine.link.signal("STOP");
    }
    // long enough that `link` cannot read them all at once
    let note = if link_too { "x".repeat(4000) } else { String::new() };
    let asked = (2..=8).filter_map(|n| ann.on_with(n, &note, "").1["id"].as_str().map(str::to_owned));
    let asked: Vec<String> = asked.collect();
    assert!(!asked.is_empty());
    server.wait_log("state=down reason=silent");
    if link_too {
        // the program first: it is ready for anything when `link` goes on
        signal(program, "CONT");
        machine.link.signal("CONT");
        machine.link.wait_err("link down");
    } else {
        // what the program reads before `link` has heard of it may still be followed by the next command
        machine.link.wait_err("link down");
        signal(program, "CONT");
    }
    ann.wait_up();
    until("safe", || machine.read("state") == "safe");
    let executed = machine.executed();
    // the first may have been in its pipe before it hung; `link` `down` came after it
    let may = if link_too { 1 } else { 2 };
    assert!(executed.len() <= may, "{executed:?}");
    // and the truth about each is in the log
    until("answered", || {
        let answers = ann.answers();
        asked.iter().all(|id| answers.iter().any(|a| a["to"] == id.as_str() && !a["ok"].is_null()))
    });
    for answer in ann.answers().iter().filter(|a| !a["ok"].is_null()) {
        let done = executed.contains(&answer["to"].as_str().unwrap().to_owned());
        assert_eq!(answer["ok"], done, "{answer}: {executed:?}");
    }
}

#[test]
fn a_lease_that_runs_out_makes_the_leds_dark() {
    let server = Setup::default().table("devices", "listen = [\"127.0.0.1:0\"]").start();
    let line = server.wait_log("kind=devices");
    let devices = line.split("addr=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let folder = Folder::new();
    let led = folder.0.join("red");
    fs::create_dir(&led).unwrap();
    fs::write(led.join("max_brightness"), "255\n").unwrap();
    fs::write(led.join("brightness"), "0\n").unwrap();
    let level = || fs::read_to_string(led.join("brightness")).unwrap().trim().to_owned();
    let script = project("examples/leds.sh");
    let _leds = Process::start(&mut link(&devices, "m-1", &["--", "sh", &script, folder.0.to_str().unwrap()]));
    let mut ann = Somebody::new(&server, "ann");
    ann.wait_up();
    ann.take("1s");
    let body = json!({"command":"set","args":{"led":"red","to":128}});
    let (status, answer) = ann.post("/api/devices/m-1/command?wait=5s", &body);
    assert_eq!((status, &answer["ok"]), (200, &json!(true)), "{answer}");
    assert_eq!(level(), "128");
    let (status, refused) =
        ann.post("/api/devices/m-1/command", &json!({"command":"set","args":{"led":"blue","to":1}}));
    assert_eq!(status, 422, "{refused}");
    until("dark", || level() == "0");
    server.wait_log("reason=lease");
    // an emergency stop needs no control
    let (status, answer) = ann.post("/api/devices/m-1/command?wait=5s", &json!({"command":"dark","args":{}}));
    assert_eq!((status, &answer["ok"]), (200, &json!(true)), "{answer}");
}

#[test]
fn the_examples_are_devices_of_the_real_server() {
    let server = Setup::default().table("devices", "listen = [\"127.0.0.1:0\"]").start();
    let line = server.wait_log("kind=devices");
    let devices: SocketAddr = line.split("addr=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let folder = Folder::new();
    let mut running = Vec::new();
    if has("cc") {
        let program = folder.path("device");
        let made = Command::new("cc").args(["-std=c99", "-o", &program, &project("examples/device.c")]).status();
        assert!(made.unwrap().success());
        let mut command = Command::new(program);
        command.args([&devices.ip().to_string(), &devices.port().to_string(), "m-1"]);
        running.push((command, json!({"command":"open","args":{"percent":40}}), json!({"command":"close","args":{}})));
    } else {
        println!("skipped: there is no C compiler (`cc`) here");
    }
    if has("python3") {
        let mut command = Command::new("python3");
        command.args([&project("examples/device.py"), &devices.to_string(), "m-1"]);
        running.push((command, json!({"command":"dim","args":{"level":40}}), json!({"command":"off","args":{}})));
    } else {
        println!("skipped: there is no python3 here");
    }
    for (mut command, order, stop) in running {
        let mut process = Process::start(&mut command);
        let mut ann = Somebody::new(&server, "ann");
        ann.wait_up();
        ann.take("10s");
        let (status, answer) = ann.post("/api/devices/m-1/command?wait=5s", &order);
        assert_eq!((status, &answer["ok"]), (200, &json!(true)), "{answer}");
        process.wait_out("40 command");
        let argument = order["args"].as_object().unwrap().keys().next().unwrap().clone();
        until("told by telemetry", || ann.device()["telemetry"][&argument] == 40);
        let (_, released) = ann.post("/api/devices/m-1/control", &json!({"action":"release"}));
        assert!(released.get("error").is_none(), "{released}");
        let mut viewer = Somebody::new(&server, "viewer");
        let (status, answer) = viewer.post("/api/devices/m-1/command?wait=5s", &stop);
        assert_eq!((status, &answer["ok"]), (200, &json!(true)), "{answer}");
        process.wait_out("0 command");
        process.signal("TERM");
        assert_eq!(process.wait(), Some(0));
        until("down", || ann.device()["state"] == "down");
    }
}

#[test]
fn the_demo_shows_control_telemetry_and_the_dead_man_and_leaves_nothing_behind() {
    for end in ["TERM", "KILL"] {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_boatswain"));
        let mut demo = Process::start(demo.args(["--demo", "--listen", "127.0.0.1:0"]));
        let first = demo.wait_err("open http://").text;
        let word = |after: &str| first.split(after).nth(1).unwrap().split(' ').next().unwrap().to_owned();
        let (url, password) = (word("open "), word("password "));
        demo.wait_err("device=pump-1 state=up");
        let ask = |target: &str, body: &str| -> Value {
            let mut curl = Command::new("curl");
            curl.args(["-s", "-u", &format!("operator:{password}"), &format!("{}{target}", url.trim_end_matches('/'))]);
            if !body.is_empty() {
                curl.args(["-H", "Content-Type: application/json", "-d", body]);
            }
            let out = curl.output().expect("curl is installed");
            serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{target}: {e}: {out:?}"))
        };
        let pump = || ask("/api/devices", "")[0].clone();
        assert_eq!(pump()["describe"]["commands"]["stop"]["anyone"], true);
        ask("/api/devices/pump-1/control", r#"{"action":"take","lease":"2s"}"#);
        let answer = ask("/api/devices/pump-1/command?wait=5s", r#"{"command":"start","args":{}}"#);
        assert_eq!(answer["ok"], true, "{answer}");
        until("it runs", || pump()["telemetry"]["rpm"].as_f64() > Some(300.0));
        // nobody renews the lease
        until("it is safe", || pump()["telemetry"]["state"] == "safe");
        assert_eq!(pump()["holder"], Value::Null);
        let children = children_of(demo.pid());
        assert_eq!(children.len(), 1, "{children:?}");
        let all: Vec<u32> = children.iter().flat_map(|c| children_of(*c)).chain(children.clone()).collect();
        assert_eq!(all.len(), 2, "the link and the pump");
        demo.signal(end);
        assert_eq!(demo.wait(), (end == "TERM").then_some(0));
        until("nothing is left", || !all.iter().any(|pid| lives(*pid)));
    }
}

fn children_of(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|p| p.parse().ok()).collect()
}

#[test]
fn the_demo_and_tokens_do_not_go_together_and_that_is_said() {
    let folder = Folder::new();
    let tokens = folder.write("tokens", "");
    let settings = folder.write("b.toml", &format!("listen = [\"127.0.0.1:0\"]\n[devices]\ntokens = \"{tokens}\"\n"));
    let done = Command::new(env!("CARGO_BIN_EXE_boatswain")).args(["--demo", "-c", &settings]).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains("--demo: its pump has no token"), "{said}");
}
