//! The examples do what they are there to show. The other side is the test, so that it can cut, hush and delay.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a test stands outside: it has a clock of its own

mod linking;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use linking::{Folder, Listener, Process, has, link, project, until};
use serde_json::json;

/// A device that speaks the lines itself: how it is started, and what it moves.
struct Speaking {
    /// Towards that server, as `it-1` with the token `s3cret`.
    start: Box<dyn Fn(&Listener) -> Command>,
    /// A command with one number that moves it.
    command: (&'static str, &'static str),
    /// The command that anybody may send.
    stop: &'static str,
    /// What it says on standard output when it moves.
    moves: &'static str,
}

/// Everything that docs/link.md asks of a device.
fn is_a_good_device(device: &Speaking) {
    let server = Listener::new();
    let mut process = Process::start(&mut (device.start)(&server));
    let (name, argument) = device.command;
    let command = |id: &str, value: u32| {
        format!(r#"{{"command":"{name}","args":{{"{argument}":{value}}},"id":"{id}","by":"ann"}}"#)
    };
    let moved = |to: u32, why: &str| format!("{} {to} {why}", device.moves);

    let mut peer = server.accept();
    peer.hello = peer.next();
    assert_eq!((&peer.hello["hello"], &peer.hello["proto"]), (&json!("it-1"), &json!(1)));
    assert_eq!(peer.hello["token"], "s3cret");
    let commands = &peer.hello["describe"]["commands"];
    assert!(commands[name]["args"][argument]["max"].is_number(), "{commands}");
    assert_eq!(commands[device.stop]["anyone"], true);
    peer.say(r#"{"welcome":"it-1","proto":1,"heartbeat_ms":500,"epoch":"k3"}"#);
    peer.say(r#"{"control":{"holder":null}}"#);
    peer.beat();
    process.wait_out("up");

    // It measures, it answers, it shows that it lives.
    assert_eq!(peer.wait("telemetry")["telemetry"][argument], 0);
    peer.say(&command("k3-1", 40));
    let answer = peer.wait("answer");
    assert_eq!(
        (&answer["answer"], &answer["ok"], &answer["result"][argument]),
        (&json!("k3-1"), &json!(true), &json!(40))
    );
    process.wait_out(&moved(40, "command"));
    until("pongs", || peer.pongs.load(std::sync::atomic::Ordering::SeqCst) >= 2);
    // What cannot be is refused, even if the server lets it through.
    peer.say(&command("k3-2", 4000));
    assert_eq!(peer.wait("answer")["ok"], false);
    peer.say(r#"{"command":"nonsense","args":{},"id":"k3-3"}"#);
    assert_eq!(peer.wait("answer")["ok"], false);
    // A line of which it knows nothing, with a member deep inside that it does know.
    peer.say(r#"{"new":{"safe":"lost","note":"\"safe\":1"}}"#);
    peer.say(&format!(r#"{{"command":"{}","args":{{}},"id":"k3-4","by":"\"safe\":"}}"#, device.stop));
    let answer = peer.wait("answer");
    assert_eq!((&answer["answer"], &answer["ok"]), (&json!("k3-4"), &json!(true)));
    process.wait_out(&moved(0, "command"));

    // The dead man.
    peer.say(&command("k3-5", 50));
    process.wait_out(&moved(50, "command"));
    peer.say(r#"{"safe":"lost","by":"ann","after_ms":2310}"#);
    process.wait_out(&moved(0, "told"));

    // A gap: what comes after it may be old.
    peer.say(&command("k3-6", 60));
    process.wait_out(&moved(60, "command"));
    while peer.wait("answer")["answer"] != "k3-6" {}
    let hushed = Instant::now();
    peer.hush();
    until("a gap of two seconds", || hushed.elapsed() > Duration::from_secs(2));
    peer.say(&command("k3-7", 70));
    let answer = peer.wait("answer");
    assert_eq!((&answer["answer"], &answer["ok"]), (&json!("k3-7"), &json!(false)));
    peer.beat();
    until("taken again", || {
        peer.say(&command("k3-8", 80));
        peer.wait("answer")["ok"] == true
    });
    process.wait_out(&moved(80, "command"));

    // The server vanishes: safe in 3 s, and hello again.
    until("a ping", || peer.pongs.load(std::sync::atomic::Ordering::SeqCst) >= 4);
    let hushed = Instant::now();
    peer.hush();
    let safe = process.wait_out(&moved(0, "silent"));
    let took = safe.at - hushed;
    assert!((2500..3600).contains(&took.as_millis()), "{took:?}");
    peer.close();
    let mut peer = server.accept_within(Duration::from_millis(2500));

    // A welcome that was long on its way: what comes with it may be old, too.
    peer.hello = peer.next();
    let asked = Instant::now();
    until("a late welcome", || asked.elapsed() > Duration::from_millis(1400));
    peer.say(&format!("{{\"welcome\":\"it-1\",\"proto\":1,\"epoch\":\"k3\"}}\n{}", command("k3-10", 85)));
    let answer = peer.wait("answer");
    assert_eq!((&answer["answer"], &answer["ok"]), (&json!("k3-10"), &json!(false)));
    peer.beat();
    process.wait_out("up");

    // It does nothing for a moment, too short for a gap, and then finds a command that was taken back behind it, by `safe`,
    // by an emergency stop, by the end. Between them lies more than it reads at once.
    let much = format!("{{\"note\":\"{}\"}}", "x".repeat(30_000));
    let taken_back = [
        r#"{"safe":"lost","by":"ann","after_ms":2310}"#.to_owned(),
        format!(r#"{{"command":"{}","args":{{}},"id":"k3-s","by":"bob"}}"#, device.stop),
    ];
    for line in taken_back {
        process.signal("STOP");
        peer.say(&[command("k3-11", 55), much.clone(), much.clone(), much.clone(), line].join("\n"));
        process.signal("CONT");
        let answer = peer.wait_answer("k3-11");
        assert_eq!(answer["ok"], false, "{answer}");
        until("taken again", || {
            peer.say(&command("k3-12", 0));
            peer.wait("answer")["ok"] == true
        });
    }
    process.signal("STOP");
    peer.say(&[command("k3-13", 55), much].join("\n"));
    peer.close();
    process.signal("CONT");
    process.wait_out("safe ");
    let mut peer = server.accept_within(Duration::from_millis(2500));
    peer.welcome("k3");
    process.wait_out("up");
    assert!(!process.has_said(&moved(55, "command")));

    // It is killed, and another one is there.
    peer.say(&command("k3-9", 90));
    process.wait_out(&moved(90, "command"));
    let addr = server.addr();
    drop(server);
    peer.close();
    process.wait_out(&moved(0, "closed"));
    let server = Listener::at(addr);
    let mut peer = server.accept_within(Duration::from_millis(2500));
    peer.welcome("zz");
    process.wait_out("up");

    // It is stopped, and says so.
    process.signal("TERM");
    assert_eq!(process.wait(), Some(0));
    assert_eq!(peer.rest().last(), Some(&json!({"bye":"shutdown"})));

    // The terminal is closed in which it was started.
    let mut process = Process::start(&mut (device.start)(&server));
    let peer = server.welcome("zz");
    peer.say(&command("zz-1", 30));
    process.wait_out(&moved(30, "command"));
    process.signal("HUP");
    process.wait_out(&moved(0, "shutdown"));
    assert_eq!(process.wait(), Some(0));
}

#[test]
fn the_device_in_c() {
    if !has("cc") {
        return println!("skipped: there is no C compiler (`cc`) here");
    }
    let folder = Folder::new();
    let program = folder.path("device");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o", &program]);
    let made = compiler.arg(project("examples/device.c")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    is_a_good_device(&Speaking {
        start: Box::new(move |server| {
            let mut command = Command::new(&program);
            let addr = server.addr();
            command.args([&addr.ip().to_string(), &addr.port().to_string(), "it-1", "s3cret"]);
            command
        }),
        command: ("open", "percent"),
        stop: "close",
        moves: "valve",
    });
}

#[test]
fn the_device_in_python() {
    if !has("python3") {
        return println!("skipped: there is no python3 here");
    }
    let folder = Folder::new();
    let token = folder.write("token", "s3cret\n");
    let lamp = Speaking {
        start: Box::new(move |server| {
            let mut command = Command::new("python3");
            command.args([&project("examples/device.py"), &server.shown(), "it-1", "--token-file", &token]);
            command
        }),
        command: ("dim", "level"),
        stop: "off",
        moves: "lamp",
    };
    is_a_good_device(&lamp);

    // Whatever ends it: here something that the author has not thought of.
    let server = Listener::new();
    let mut process = Process::start(&mut (lamp.start)(&server));
    let peer = server.welcome("k3");
    peer.say(r#"{"command":"dim","args":{"level":40},"id":"k3-1","by":"ann"}"#);
    process.wait_out("lamp 40 command");
    peer.say("[1]");
    process.wait_out("lamp 0 shutdown");
    assert_eq!(process.wait(), Some(1));
}

#[test]
fn the_leds_in_shell() {
    let folder = Folder::new();
    let leds = folder.0.join("leds");
    for (name, max) in [("green:power", 1), ("red", 255), ("not an led; echo", 1)] {
        fs::create_dir_all(leds.join(name)).unwrap();
        fs::write(leds.join(name).join("max_brightness"), format!("{max}\n")).unwrap();
        fs::write(leds.join(name).join("brightness"), "1\n").unwrap();
    }
    let level = |name: &str| fs::read_to_string(leds.join(name).join("brightness")).unwrap().trim().to_owned();
    let server = Listener::new();
    let script = project("examples/leds.sh");
    let mut process =
        Process::start(&mut link(&server.shown(), "leds", &["--", "sh", &script, leds.to_str().unwrap()]));
    let peer = server.welcome("k3");
    assert_eq!(
        peer.hello["describe"]["commands"]["set"]["args"],
        json!({"led":{"type":"string","choices":["green:power","red"]},"to":{"type":"integer","min":0,"max":255}})
    );
    assert_eq!(peer.wait("telemetry"), json!({"telemetry":{"green:power":0,"red":0}}), "dark at the start");
    assert_eq!(level("not an led; echo"), "1", "what has an odd name is left alone");

    peer.say(r#"{"command":"set","args":{"led":"red","to":128},"id":"k3-1","by":"\"id\":\"x\""}"#);
    assert_eq!(peer.wait("answer"), json!({"answer":"k3-1","ok":true}));
    assert_eq!(peer.wait("telemetry")["telemetry"]["red"], 128);
    assert_eq!((level("red"), level("green:power")), ("128".into(), "0".into()));
    peer.say(r#"{"command":"dark","args":{},"id":"k3-2","by":"ann"}"#);
    assert_eq!(peer.wait("answer"), json!({"answer":"k3-2","ok":true}));
    assert_eq!(level("red"), "0");

    // Each end of it is dark.
    let lit = |peer: &linking::Peer, id: &str| {
        peer.say(&format!(r#"{{"command":"set","args":{{"led":"green:power","to":1}},"id":"{id}","by":"ann"}}"#));
        until("lit", || level("green:power") == "1");
    };
    lit(&peer, "k3-3");
    peer.say(r#"{"safe":"lost","by":"ann","after_ms":2310}"#);
    until("dark when told `safe`", || level("green:power") == "0");
    lit(&peer, "k3-4");
    peer.close();
    until("dark without a link", || level("green:power") == "0");
    let peer = server.welcome("k3");
    lit(&peer, "k3-5");
    process.signal("TERM");
    assert_eq!(process.wait(), Some(0));
    assert_eq!(level("green:power"), "0", "dark when stopped");
    let mut process =
        Process::start(&mut link(&server.shown(), "leds", &["--", "sh", &script, leds.to_str().unwrap()]));
    let peer = server.welcome("k3");
    lit(&peer, "k3-6");
    process.signal("KILL");
    process.wait();
    until("dark when its link was killed", || level("green:power") == "0");
}

#[test]
fn the_leds_say_so_when_there_are_none() {
    let folder = Folder::new();
    let done = Command::new("sh").args([&project("examples/leds.sh"), folder.0.to_str().unwrap()]).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8(done.stderr).unwrap().contains("no LED that can be set in"));
}

#[test]
fn the_pump_that_does_not_exist() {
    let server = Listener::new();
    let mut process =
        Process::start(&mut link(&server.shown(), "pump-1", &["--", env!("CARGO_BIN_EXE_boatswain"), "pump"]));
    let peer = server.welcome("k3");
    assert_eq!(peer.hello["describe"]["commands"]["stop"]["anyone"], true);
    assert_eq!(peer.wait("telemetry")["telemetry"]["state"], "stopped");
    peer.say(r#"{"command":"start","args":{},"id":"k3-1","by":"ann"}"#);
    assert_eq!(peer.wait("answer"), json!({"answer":"k3-1","ok":true,"result":{"rpm":1200.0}}));
    let rpm = |least: f64| {
        let end = Instant::now() + linking::SOON;
        while peer.wait("telemetry")["telemetry"]["rpm"].as_f64().unwrap() < least {
            assert!(Instant::now() < end, "it does not run up");
        }
    };
    rpm(600.0);
    peer.say(r#"{"safe":"lost","by":"ann","after_ms":2310}"#);
    while peer.wait("telemetry")["telemetry"]["state"] != "safe" {}
    until("pongs", || peer.pongs.load(std::sync::atomic::Ordering::SeqCst) >= 2);
    process.signal("TERM");
    assert_eq!(process.wait(), Some(0));
}

#[test]
fn the_program_in_the_documentation() {
    let folder = Folder::new();
    let docs = fs::read_to_string(project("docs/link.md")).unwrap();
    let program = docs.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let led = folder.write("led", "0\n");
    assert!(program.contains("/sys/class/leds/led0/brightness"));
    let script = folder.write("light.sh", &program.replace("/sys/class/leds/led0/brightness", &led));
    let level = || fs::read_to_string(&led).unwrap().trim().to_owned();
    let server = Listener::new();
    let mut process = Process::start(&mut link(&server.shown(), "light", &["--", "sh", &script]));
    let peer = server.welcome("k3");
    assert_eq!(peer.hello["describe"]["commands"]["dark"]["anyone"], true);
    let on = r#"{"command":"light","args":{"on":true},"id":"k3-1","by":"ann"}"#;
    peer.say(on);
    assert_eq!(peer.wait("answer"), json!({"answer":"k3-1","ok":true}));
    assert_eq!(level(), "1");
    peer.say(r#"{"command":"dark","args":{},"id":"k3-2","by":"ann"}"#);
    assert_eq!(peer.wait("answer"), json!({"answer":"k3-2","ok":true}));
    assert_eq!(level(), "0");
    until("pongs", || peer.pongs.load(std::sync::atomic::Ordering::SeqCst) >= 2);
    for end in [r#"{"safe":"left","by":"ann","after_ms":1}"#, ""] {
        peer.say(on);
        until("lit", || level() == "1");
        if end.is_empty() {
            process.signal("KILL");
            process.wait();
        }
        peer.say(end);
        until("dark", || level() == "0");
    }
}

#[test]
fn every_example_is_tested_here_and_explained() {
    let here = fs::read_to_string(project("tests/examples.rs")).unwrap();
    let readme = fs::read_to_string(project("examples/README.md")).unwrap();
    for entry in fs::read_dir(project("examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name).extension().is_some_and(|e| e != "md") {
            assert!(here.contains(&name), "{name} is not tested");
            assert!(readme.contains(&name), "{name} is not in examples/README.md");
        }
    }
}
