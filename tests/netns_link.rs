//! `boatswain link` and the real server with a cable between them that is really cut.
//!
//! Needs root (or CAP_NET_ADMIN and CAP_SYS_ADMIN) and the tools of util-linux, iproute2 and nftables; says so if not.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)] // a test stands outside

mod linking;
#[path = "vanishing/mod.rs"]
mod vanishing;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use linking::{Folder, Process, until};
use serde_json::Value;
use vanishing::space::{Armed, Netns, Switch, missing, not_asked};

/// Says on standard error what it is handed; answers pings and commands.
const PROGRAM: &str = r#"
echo '{"describe":{"commands":{"go":{},"stop":{"anyone":true}}}}'
while read -r line; do
    case $line in
    '{"ping"'*) echo "{\"pong\":${line#*:}"; continue ;;
    '{"command"'*) id=${line#*'"id":"'} && echo "{\"answer\":\"${id%%'"'*}\",\"ok\":true}" ;;
    esac
    echo "$line" >&2
done
"#;

const UP: &str = r#"{"link":"up"}"#;
const DOWN: &str = r#"{"link":"down"}"#;

/// What other tests on this machine add.
const SLACK: Duration = Duration::from_millis(300);

/// A board with the server, another one with the device, and a cable.
struct Site {
    switch: Switch,
    board: Netns,
    away: Netns,
    folder: Folder,
}

impl Site {
    fn new() -> Option<Site> {
        if let Some(why) = not_asked() {
            println!("skipped: {why}; run as root");
            return None;
        }
        let (switch, board, away, folder) = (Switch::new(), Netns::new(), Netns::new(), Folder::new());
        switch.plug(&board, "board", &["10.83.0.1".into()], "02:00:00:00:00:01");
        switch.plug(&away, "away", &["10.83.0.2".into()], "02:00:00:00:00:02");
        let hash =
            |word: &str| bcrypt::hash_with_result(word, 4).expect("a hash").format_for_version(bcrypt::Version::TwoY);
        let users = folder.write("users", &format!("ann:{}\n", hash("secret")));
        let tokens = folder.write("tokens", &format!("pump-1:{}\n", hash("pump's secret")));
        let token = folder.write("token", "pump's secret\n");
        std::fs::set_permissions(token, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        folder.write(
            "settings",
            &format!(
                "listen = [\"127.0.0.1:8080\"]\n[auth]\nusers = \"{users}\"\n\
                 [devices]\nlisten = [\"0.0.0.0:7070\"]\ntokens = \"{tokens}\"\n"
            ),
        );
        Some(Site { switch, board, away, folder })
    }

    fn server(&self) -> Process {
        let mut command = self.board.command(env!("CARGO_BIN_EXE_boatswain"));
        let server = Process::start(command.args(["serve", "-c", &self.folder.path("settings")]));
        server.wait_err("started version");
        server
    }

    fn device(&self) -> Process {
        let mut command = self.away.command(env!("CARGO_BIN_EXE_boatswain"));
        let token = self.folder.path("token");
        command.args(["link", "--server", "10.83.0.1:7070", "--name", "pump-1", "--token-file", &token]);
        Process::start(command.args(["--", "sh", "-c", PROGRAM]))
    }

    /// The cable cut, one way or both; and mended.
    fn cut(&self, ways: &[&str]) -> Armed {
        let rules: Vec<String> = ways.iter().map(|way| format!("{way} \"away\" drop")).collect();
        self.switch.rules("away", &rules)
    }

    fn mend(&self) -> Armed {
        self.switch.unrule("away")
    }

    /// A request of ann's, on the board itself.
    fn ask(&self, target: &str, body: &str) -> Value {
        let url = format!("http://127.0.0.1:8080{target}");
        let mut command = self.board.command("curl");
        command.args(["-s", "-u", "ann:secret", &url]);
        if !body.is_empty() {
            command.args(["-H", "Content-Type: application/json", "-d", body]);
        }
        let out = command.output().expect("the command runs");
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{target}: {e}: {out:?}"))
    }

    fn go(&self) -> Value {
        self.ask("/api/devices/pump-1/command", r#"{"command":"go","args":{}}"#)
    }

    /// Cuts both ways for so long, and sends a command before anybody can know; its id.
    fn go_into_outage(&self, outage: Duration) -> String {
        let (cut, mend) = (self.cut(&BOTH), self.mend());
        let was = cut.fire();
        let id = self.go()["id"].as_str().expect("sent").to_owned();
        until("the end of the outage", || was.elapsed() > outage);
        mend.fire();
        id
    }

    fn take(&self) {
        let taken = self.ask("/api/devices/pump-1/control", r#"{"action":"take","lease":"60s"}"#);
        assert!(taken.get("error").is_none(), "{taken}");
    }

    /// Every `answered` of the log.
    fn answers(&self) -> Vec<Value> {
        let log = self.ask("/api/log", "");
        let events = log["events"].as_array().cloned().unwrap_or_default();
        events.into_iter().filter(|e| e["type"] == "answered").collect()
    }
}

const BOTH: [&str; 2] = ["iifname", "oifname"];

#[test]
fn a_cut_cable_is_noticed_in_three_seconds_and_a_mended_one_in_one_and_a_half() {
    let Some(site) = Site::new() else { return };
    let (_server, device) = (site.server(), site.device());
    device.wait_err(UP);
    for ways in [&BOTH[..], &BOTH[1..], &BOTH[..]] {
        let (cut, mend) = (site.cut(ways), site.mend());
        let was = cut.fire();
        let took = device.wait_err(DOWN).at - was;
        println!("{ways:?}: down after {took:?}");
        assert!(took <= Duration::from_secs(3) + SLACK, "{ways:?}: {took:?}");
        // long enough for ARP to have given up, and for the server to be sure
        until("a while", || was.elapsed() > Duration::from_secs(7));
        let was = mend.fire();
        let took = device.wait_err(UP).at - was;
        println!("{ways:?}: up after {took:?}");
        assert!(took <= Duration::from_millis(1500) + SLACK, "{ways:?}: {took:?}");
    }
}

#[test]
fn an_outage_of_two_seconds_ends_no_link_and_what_came_late_is_refused() {
    let Some(site) = Site::new() else { return };
    let (_server, device) = (site.server(), site.device());
    device.wait_err(UP);
    site.take();
    assert!(site.go()["id"].is_string());
    device.wait_err("\"command\":\"go\"");
    let id = site.go_into_outage(Duration::from_secs(2));
    until("its answer", || site.answers().iter().any(|a| a["to"] == *id));
    let answer = site.answers().into_iter().find(|a| a["to"] == *id).unwrap();
    assert_eq!(
        (&answer["ok"], answer["result"].as_str().is_some_and(|r| r.contains("late"))),
        (&Value::from(false), true)
    );
    until("taken again", || site.go()["id"].is_string());
    device.wait_err("\"command\":\"go\"");
    assert!(!device.has_said(DOWN));
    assert!(!device.has_said(&id), "it was executed late");
}

#[test]
fn a_command_from_before_an_outage_of_two_and_a_half_seconds_is_executed_by_nobody() {
    let Some(site) = Site::new() else { return };
    let (_server, device) = (site.server(), site.device());
    device.wait_err(UP);
    site.take();
    let id = site.go_into_outage(Duration::from_millis(2500));
    // by the heartbeats' phase the link has lasted or not: whoever refuses it, or gives it up, says so
    until("the truth of it", || site.answers().iter().any(|a| a["to"] == *id && a["ok"] != true));
    until("taken again", || {
        site.ask("/api/devices/pump-1/control", r#"{"action":"take","lease":"60s"}"#)["error"].is_null()
            && site.go()["id"].is_string()
    });
    device.wait_err("\"command\":\"go\"");
    assert!(!device.has_said(&id), "it was executed late");
}

#[test]
fn a_flapping_cable_never_executes_twice_and_ends_with_a_link() {
    let Some(site) = Site::new() else { return };
    let (_server, device) = (site.server(), site.device());
    device.wait_err(UP);
    let mut asked = Vec::new();
    for n in 0..6u64 {
        let was = Instant::now();
        let (cut, mend) = (site.cut(&BOTH), site.mend());
        site.take();
        asked.extend(site.go()["id"].as_str().map(str::to_owned));
        cut.fire();
        asked.extend(site.go()["id"].as_str().map(str::to_owned));
        let outage = Duration::from_millis(700 + 700 * n);
        until("an outage", || was.elapsed() > outage);
        mend.fire();
        until("heard again", || site.ask("/api/devices", "")[0]["state"] == "up");
    }
    assert!(asked.len() >= 6, "{asked:?}");
    until("all of them answered", || {
        let answers = site.answers();
        asked.iter().all(|id| answers.iter().any(|a| a["to"] == id.as_str()))
    });
    for id in &asked {
        assert!(device.count_said(&format!("\"id\":\"{id}\"")) <= 1, "{id} was executed twice");
    }
    // what was executed is not told as refused
    for answer in site.answers().iter().filter(|a| a["ok"] == false) {
        assert!(!device.has_said(answer["to"].as_str().unwrap()), "{answer}");
    }
}

#[test]
fn a_killed_server_is_found_again_and_a_device_that_rebooted_takes_its_own_place() {
    let Some(site) = Site::new() else { return };
    let (mut server, mut device) = (site.server(), site.device());
    device.wait_err(UP);
    server.signal("KILL");
    server.wait();
    device.wait_err(DOWN);
    let server = site.server();
    let back = Instant::now();
    let took = device.wait_err(UP).at.saturating_duration_since(back);
    assert!(took <= Duration::from_millis(1500) + SLACK, "{took:?}");

    // no FIN: the cable is out when it ends
    let (cut, mend) = (site.cut(&BOTH), site.mend());
    cut.fire();
    device.signal("KILL");
    device.wait();
    mend.fire();
    let device = site.device();
    device.wait_err(UP);
    until("up", || site.ask("/api/devices", "")[0]["state"] == "up");
    drop(server);
}

#[test]
fn curl_is_here() {
    // The requests of these tests are made by it, inside a namespace.
    assert!(missing().is_some() || Command::new("curl").arg("--version").output().is_ok());
}
