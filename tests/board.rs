//! The main job on a real ARM kernel: pages, seats, the chat, and cables cut. `board/boot armv7` boots the board and
//! runs this; without it these tests skip themselves and say so.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

mod vanishing;

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use vanishing::cells::{Cell, Cut, Server, State, World, summary};
use vanishing::space::Netns;

/// Not a test of its own: what this program is when a test runs it again inside a namespace.
#[test]
fn role() {
    vanishing::play_role();
}

/// A board that has booted and serves with these settings (a file of board/guest). `counted`: its clock counts
/// instructions, not this machine's time.
fn board(settings: &str, counted: bool) -> Option<World> {
    let Ok(mut start) = std::env::var("TEST_BOARD") else {
        // Past the capture of the test harness: who reads the summary must see it.
        let _ = writeln!(std::io::stderr(), "skipped: no board; board/boot armv7 boots one");
        return None;
    };
    if counted {
        start += "-counted";
    }
    let mut world = World::new(&Server::Board { start, settings: settings.into() });
    println!("{}", world.console("log kernel", "log ", 30).unwrap_or_default());
    Some(world)
}

/// The checks that `tests/curl.rs` runs against a server of its own, and operators by hand.
#[test]
fn everyday_the_board_does_what_a_server_does() {
    let Some(mut world) = board("everyday", false) else { return };
    let checks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/curl");
    let mut failed = Vec::new();
    for name in ["401", "page", "304", "range", "chat", "events", "logout", "evict", "full-house"] {
        let done = world
            .elsewhere("sh")
            .arg(checks.join(format!("{name}.sh")))
            .env("BASE", "http://10.83.0.1:8080")
            .env("AUTH", "admin:secret")
            .env("GUEST", "bob:secret")
            .stdin(Stdio::null())
            .output()
            .expect("sh runs");
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        let verdict = if done.status.success() { "ok" } else { "FAILED" };
        println!("{name}: {verdict}, {} checks", said.lines().filter(|l| l.starts_with("  ok:")).count());
        if !done.status.success() || said.starts_with("skipped") {
            failed.push(format!("{name}: {said}"));
        }
    }
    if !failed.is_empty() {
        let log = world.console("log . 40; tell end", "end", 20);
        panic!("{}\n{log:?}", failed.join("\n"));
    }
}

/// Rows of the table in docs/board.md: ten people each. A few at a time: an emulated core is soon busy.
const CELLS: &[&[(State, Cut)]] = &[
    &[
        (State::Idle, Cut::LinkDown),
        (State::Idle, Cut::Both),
        (State::Idle, Cut::ServerToClient),
        (State::Idle, Cut::ClientToServer),
    ],
    &[(State::Idle, Cut::Killed), (State::Idle, Cut::Halted), (State::Busy, Cut::LinkDown), (State::Busy, Cut::Both)],
    &[(State::Busy, Cut::ServerToClient), (State::Busy, Cut::ClientToServer)],
    &[(State::Stopped(6), Cut::Both), (State::Stopped(6), Cut::LinkDown), (State::Stopped(6), Cut::Nothing)],
];

/// The emulator is this machine's: what its scheduler adds is not the rules' doing.
const PROMISED: Duration = Duration::from_millis(3000 + 400);

/// Cuts the cables of `groups` and prints a row a cell. Whoever is gone is to be announced in time, and nobody else at
/// all: what was wrong with that.
fn cables(world: &mut World, groups: &[&[(State, Cut)]]) -> Vec<String> {
    let mut wrong = Vec::new();
    println!("| state/cut | seconds until the others are told: min/median/p99 |");
    for group in groups {
        let mut cells: Vec<Cell> = group.iter().map(|&(state, cut)| world.enter(state, cut, 10)).collect();
        let mut before = 3;
        for cell in &mut cells {
            if let State::Stopped(seconds) = cell.state {
                world.stop_reading(cell);
                before = before.max(seconds);
            }
        }
        world.rest(Duration::from_secs(before));
        for cell in &mut cells {
            let armed = world.arm(cell);
            world.rest(Duration::from_millis(130));
            world.cut(cell, armed);
        }
        for cell in &cells {
            let verdicts = world.verdicts(cell, PROMISED + Duration::from_secs(3));
            let name = format!("{}/{}", cell.state.word(), cell.cut.word());
            println!("| {name} | {} |", summary(&verdicts));
            for v in verdicts {
                let right = match v.after {
                    Some(after) => cell.cut.is_fatal() && after <= PROMISED,
                    None => !cell.cut.is_fatal() && v.what == "-",
                };
                if !right {
                    wrong.push(format!("{name} {}: {} {:?}", v.address, v.what, v.after));
                }
            }
        }
    }
    wrong
}

#[test]
fn vanished_people_are_announced_in_time_and_nobody_else() {
    let Some(mut world) = board("matrix", false) else { return };
    let wrong = cables(&mut world, CELLS);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn vanished_people_are_announced_without_the_nudge_too() {
    // This kernel has no TCP_RTO_MAX_MS either: nothing but the heartbeats finds who had stopped reading.
    let Some(mut world) = board("matrix nudge", false) else { return };
    let kernel = world.console("log kernel", "log ", 30).unwrap_or_default();
    assert!(kernel.contains(" no-nudge ") && kernel.contains("about as long again"), "{kernel}");
    let groups: &[&[(State, Cut)]] = &[
        &[(State::Idle, Cut::Both), (State::Idle, Cut::Halted), (State::Busy, Cut::ServerToClient)],
        &[(State::Stopped(6), Cut::Both), (State::Stopped(6), Cut::Nothing)],
    ];
    let wrong = cables(&mut world, groups);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A program that runs until this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A device, by `boatswain link`, which `on` starts on some machine: it does what it is told and answers.
fn device(on: impl Fn(&str) -> Command, name: &str) -> Running {
    let token = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("token-{name}-{}", std::process::id()));
    std::fs::write(&token, "secret\n").expect("a token file");
    let program = r#"
        echo '{"describe":{"commands":{"start":{},"stop":{"anyone":true}},"telemetry":{"rpm":"1/min"}}}'
        while read -r line; do case $line in
            '{"ping":'*) echo "{\"pong\":${line#*:}"; echo '{"telemetry":{"rpm":1200}}' ;;
            *'"id":"'*) id=${line#*'"id":"'}; echo "{\"answer\":\"${id%%\"*}\",\"ok\":true}" ;;
        esac; done"#;
    let mut link = on(env!("CARGO_BIN_EXE_boatswain"));
    link.args(["link", "--server", "10.83.0.1:7070", "--name", name, "--token-file"]).arg(token);
    link.args(["--", "sh", "-c", program]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Running(link.spawn().expect("boatswain link runs"))
}

/// What curl prints, as an operator on somebody else's machine.
fn curl(world: &World, arguments: &[&str]) -> String {
    let mut curl = world.elsewhere("curl");
    let done = curl.args(["-s", "-m", "20", "-u", "operator:secret"]).args(arguments).output().expect("curl runs");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

const DEVICES: &str = "http://10.83.0.1:8080/api/devices";

fn wait_for_devices(world: &World, state: &str, count: usize) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let devices = curl(world, &[DEVICES]);
        if devices.matches(&format!("\"state\":\"{state}\"")).count() == count {
            return;
        }
        assert!(Instant::now() < end, "never {count} devices {state}: {devices}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn everyday_a_device_is_commanded_and_its_loss_is_told() {
    let Some(world) = board("everyday", false) else { return };
    let machine = Netns::new();
    world.switch().plug(&machine, "pump", &["10.83.200.1".into()], "02:83:02:00:00:01");
    let pump = device(|p| machine.command(p), "pump-1");
    wait_for_devices(&world, "up", 1);
    let json = ["-H", "Content-Type: application/json"];
    let (control, command) = (format!("{DEVICES}/pump-1/control"), format!("{DEVICES}/pump-1/command?wait=5s"));
    let refused = curl(&world, &[&json[..], &["-d", r#"{"command":"start"}"#, &command]].concat());
    assert!(refused.contains("no_control"), "{refused}");
    let taken = curl(&world, &[&json[..], &["-d", r#"{"action":"take","lease":"30s"}"#, &control]].concat());
    let done = curl(&world, &[&json[..], &["-d", r#"{"command":"start"}"#, &command]].concat());
    assert!(done.contains("\"ok\":true"), "control: {taken}, command: {done}");
    println!("device: up, refused without control, commanded with it: {done}");
    let cable = world.switch().rules("pump", &["oifname \"pump\" drop".into(), "iifname \"pump\" drop".into()]);
    let cut = cable.fire();
    wait_for_devices(&world, "down", 1);
    let after = cut.elapsed();
    println!("device: down {:.2} s after its cable was cut", after.as_secs_f64());
    // Asking takes its time too.
    assert!(after < Duration::from_millis(3000 + 900), "{after:?}");
    drop(pump);
}

/// The board as the device: its own `boatswain link`, and the LEDs of examples/leds.sh, which BusyBox's shell runs.
#[test]
fn everyday_the_board_s_own_lamps_are_a_device_and_go_dark_when_nobody_controls_them() {
    let Some(mut world) = board("everyday", false) else { return };
    let link =
        "boatswain link --server 127.0.0.1:7070 --name pump-2 --token-file /tmp/token -- sh /usr/bin/leds.sh /tmp/leds";
    let started = world.console(
        &format!(
            "mkdir -p /tmp/leds/red; cd /tmp/leds/red; echo 7 >brightness; echo 255 >max_brightness; cd /; \
             echo secret >/tmp/token; {link} </dev/null >/tmp/link 2>&1 & tell linking"
        ),
        "linking",
        20,
    );
    assert!(started.is_some(), "the console is stuck");
    wait_for_devices(&world, "up", 1);
    let lamp =
        |world: &mut World| world.console("tell red $(cat /tmp/leds/red/brightness)", "red", 20).unwrap_or_default();
    assert_eq!(lamp(&mut world), "0", "nobody knows what was before: dark");
    let json = ["-H", "Content-Type: application/json"];
    let (control, command) = (format!("{DEVICES}/pump-2/control"), format!("{DEVICES}/pump-2/command?wait=5s"));
    let taken = curl(&world, &[&json[..], &["-d", r#"{"action":"take","lease":"5s"}"#, &control]].concat());
    let set = r#"{"command":"set","args":{"led":"red","to":200}}"#;
    let done = curl(&world, &[&json[..], &["-d", set, &command]].concat());
    let lit = Instant::now();
    assert!(done.contains("\"ok\":true"), "control: {taken}, command: {done}");
    assert_eq!(lamp(&mut world), "200");
    println!("link: the board's own lamp is up, and lit by {done}");
    // The lease runs out; nobody renews it.
    while lamp(&mut world) != "0" {
        assert!(lit.elapsed() < Duration::from_secs(15), "still lit");
        std::thread::sleep(Duration::from_millis(100));
    }
    let after = lit.elapsed();
    assert!(after > Duration::from_secs(3), "dark after {after:?}, before the lease was over");
    println!("link: dark {:.1} s later, when a lease of 5 s had run out", after.as_secs_f64());
}

/// Prints the figures of docs/board.md; fails where one is beyond its budget.
#[test]
fn footprint_of_a_board_at_rest_and_in_use() {
    let Some(mut world) = board("everyday", true) else { return };
    let mut beyond = Vec::new();
    let mut row = |what: &str, value: f64, unit: &str, budget: f64| {
        println!("| {what} | {value} {unit} | {budget} {unit} |");
        if value > budget {
            beyond.push(format!("{what}: {value} {unit}, budget {budget} {unit}"));
        }
    };
    let number = |words: &str, n: usize| -> f64 {
        words.split_whitespace().nth(n).and_then(|w| w.parse().ok()).unwrap_or_else(|| panic!("no number in {words:?}"))
    };

    // The budgets are those of a 32-bit board; 64 bits take a quarter more.
    let machine = world.console("tell is $(uname -m)", "is", 20).expect("its name");
    let larger = if machine == "aarch64" { 1.25 } else { 1.0 };
    // Nobody has been here: at rest, as it comes.
    let started = world.console("settings rest", "serving rest", 120).expect("it serves");
    row("start to the first answer, CPU of the guest", number(&started, 0), "ms", 100.0);
    let memory = world.console("memory rest", "memory rest", 60).expect("its memory");
    row("RSS at rest", number(&memory, 0), "KiB", 1024.0 * larger);
    println!("| of it anonymous | {} KiB | |", number(&memory, 1));
    let idle = world.console("idle 10", "idle 10", 120).expect("its wake-ups");
    row("wake-ups in 10 s with nobody here", number(&idle, 0), "", 0.0);

    let people: Vec<Running> = (0..10)
        .map(|i| {
            let mut curl = world.elsewhere("curl");
            curl.args([
                "-sN",
                "-u",
                "operator:secret",
                "-A",
                &format!("member {i}"),
                "http://10.83.0.1:8080/api/events",
            ]);
            Running(curl.stdout(Stdio::null()).stdin(Stdio::null()).spawn().expect("curl runs"))
        })
        .collect();
    let counted = "wget -q -O - http://operator:secret@127.0.0.1:8080/api/roster | grep -o session | wc -l";
    let ask = format!(
        "n=0; until [ $({counted}) = 10 ] || [ $n = 60 ]; do n=$((n + 1)); sleep 0.5; done; tell here $({counted})"
    );
    assert_eq!(world.console(&ask, "here", 120).as_deref(), Some("10"), "all ten are members");
    let pumps = [device(|p| world.elsewhere(p), "pump-1"), device(|p| world.elsewhere(p), "pump-2")];
    wait_for_devices(&world, "up", 2);
    let idle = world.console("idle 10", "idle 10", 120).expect("its work");
    let memory = world.console("memory ten", "memory ten", 60).expect("its memory");
    row("RSS with 10 members and 2 devices", number(&memory, 0), "KiB", 1638.0 * larger);
    println!("| of it anonymous | {} KiB | |", number(&memory, 1));
    println!("| wake-ups a second with them | {} | |", number(&idle, 0) / 10.0);
    println!(
        "| CPU with them, of a core of 500 million instructions a second | {:.2} % | |",
        (number(&idle, 1) - number(&idle, 2)) / 100.0
    );
    drop((people, pumps));
    assert!(beyond.is_empty(), "{beyond:#?}");
}
