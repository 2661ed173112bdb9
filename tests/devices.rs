//! Devices against the real server, on a TCP or unix socket: hello, tokens, lines, silence.
#![allow(clippy::unwrap_used)] // A test; its helpers too.
#![allow(clippy::disallowed_methods)] // it stands outside: it has a clock of its own

mod attached;
mod support;

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use attached::{Device, PUMP, Panel, refused, server, start};
use serde_json::{Value, json};
use support::{Client, SOON, Setup};

#[test]
fn a_device_is_welcomed_shown_and_heard() {
    let (server, addr) = server("");
    let panel = Panel::open(&server, "ann", "t1", &[]);
    let mut pump = Device::connect(addr);
    pump.say(&PUMP.replace('\n', " "));
    let welcome = pump.next();
    assert_eq!(welcome["proto"], 1);
    assert_eq!(welcome["heartbeat_ms"], 500);
    assert_eq!(pump.next(), json!({"control": {"holder": null}}));
    let (_, event) = panel.wait(|kind, _| kind == "device");
    assert_eq!(event["state"], "up");
    assert_eq!(event["reason"], "hello");
    assert!(event["id"].as_str().unwrap().starts_with(welcome["epoch"].as_str().unwrap()));

    pump.say(r#"{"telemetry":{"rpm":1200,"temp":41.5}}"#);
    let (_, told) = panel.wait(|kind, _| kind == "telemetry");
    assert_eq!((&told["device"], &told["values"]), (&"pump-1".into(), &json!({"rpm":1200,"temp":41.5})));
    pump.say(r#"{"telemetry":{"rpm":1300}}"#);
    panel.wait(|kind, data| kind == "telemetry" && data["values"] == json!({"rpm":1300}));
    let devices = Client::new(&server, "bob").get("/api/devices").json();
    let device = &devices[0];
    assert_eq!(device["name"], "pump-1");
    assert_eq!(device["state"], "up");
    assert_eq!(device["holder"], Value::Null);
    assert_eq!(device["telemetry"], json!({"rpm":1300,"temp":41.5}));
    assert_eq!(device["describe"]["commands"]["stop"]["anyone"], true);
    assert!(device["since"].is_string() && device["telemetry_at"].is_string());
    let mut late = Panel::open(&server, "bob", "t2", &[]);
    assert_eq!(late.client.get("/api/status").json()["devices"], 1);

    pump.say(r#"{"bye":"shutdown"}"#);
    let (_, event) = panel.wait(|kind, _| kind == "device");
    assert_eq!((&event["state"], &event["reason"]), (&"down".into(), &"left".into()));
    assert!(pump.is_ended());
    server.wait_log("kind=device reason=closed");
}

#[test]
fn the_server_says_something_at_least_every_500_ms_whatever_the_profile_and_whatever_it_hears() {
    for profile in ["lan", "relaxed"] {
        let (_server, addr) = start(Setup::default().table("devices", &format!("profile = \"{profile}\"")));
        let mut pump = Device::pump(addr);
        let mut last = Instant::now();
        let mut gaps = Vec::new();
        for i in 0..8 {
            pump.say(&format!("{{\"telemetry\":{{\"rpm\":{i}}}}}"));
            let (at, line) = pump.lines.recv_timeout(SOON).unwrap();
            assert!(line.get("ping").is_some(), "{line}");
            gaps.push(at.duration_since(last));
            last = at;
        }
        // the middle one: this machine may be busy now and then, but a server that is late is so each time
        gaps.sort_unstable();
        assert!(gaps[4] <= Duration::from_millis(600), "{profile}: {gaps:?}");
    }
}

#[test]
fn lines_that_make_no_sense_are_told_so_and_only_broken_framing_ends_a_link() {
    let (server, addr) = server("");
    let panel = Panel::open(&server, "ann", "t1", &[]);
    let mut pump = Device::pump(addr);
    for (line, error) in [
        ("{oops", "json"),
        ("[1]", "json"),
        (r#"{"status":"fine"}"#, "unknown"),
        (r#"{"telemetry":{"rpm":[1]}}"#, "shape"),
        (r#"{"answer":"x-1","ok":true}"#, "answer"),
        (PUMP.lines().next().unwrap(), "json"),
        (r#"{"hello":"fan"}"#, "hello"),
    ] {
        pump.say(line);
        let told = pump.next();
        assert_eq!(told["error"], error, "{line}: {told}");
        assert!(told["message"].as_str().unwrap().len() > 10);
    }
    // in pieces, with CR LF, several at once
    pump.send(b"{\"pi");
    pump.send(b"ng\":7}\r\n\n{\"ping\":8}\n");
    assert_eq!(pump.next(), json!({"pong":7}));
    assert_eq!(pump.next(), json!({"pong":8}));
    pump.send(b"{\"x\":\"\xff\"}\n");
    assert_eq!(pump.next()["error"], "protocol");
    assert!(pump.is_ended());
    panel.wait(|kind, data| kind == "device" && data["reason"] == "protocol");

    let mut pump = Device::pump(addr);
    pump.send(&vec![b'x'; 70_000]);
    assert_eq!(pump.next()["error"], "protocol");
    assert!(pump.is_ended());
    assert!(server.metric("boatswain_device_bad_lines_total") >= 7.0);
}

#[test]
fn a_description_that_does_not_fit_is_refused_by_name_and_one_that_does_is_passed_on_without_what_is_unknown() {
    let (server, addr) = server("");
    let mut ann = Client::new(&server, "ann");
    for (describe, names) in [
        (json!([]), "`describe`"),
        (json!({"telemetry": {"t": {"innerHTML": "<meta http-equiv=refresh content=0>"}}}), "\"t\""),
        (json!({"telemetry": {"t": {"children": 1}}}), "\"t\""),
        (json!({"telemetry": {"t": "C".repeat(65)}}), "\"t\""),
        (json!({"commands": {"go": {"args": {"x": {"choices": [{"style": "position:fixed"}]}}}}}), "\"x\" of \"go\""),
        (json!({"commands": {"go": {"args": {"x": {"type": "number", "min": 2, "max": 1}}}}}), "\"x\" of \"go\""),
        (json!({"commands": {"go": {"anyone": 1}}}), "\"go\""),
        (json!({"commands": {"st\u{200b}op": {}}}), "st\\u{200b}op"),
    ] {
        let mut device = Device::connect(addr);
        device.say(&json!({"hello": "fan", "describe": describe}).to_string());
        let told = device.next();
        assert_eq!(told["error"], "describe", "{told}");
        assert!(told["message"].as_str().unwrap().contains(names), "{told}");
        assert!(device.is_ended(), "{told}");
    }
    assert_eq!(ann.get("/api/devices").json(), json!([]), "none of them is a device");

    let mut device = Device::connect(addr);
    let known =
        json!({"commands": {"__proto__": {"args": {"toString": {"type": "string"}}}}, "telemetry": {"t": "<b>"}});
    let mut said = known.clone();
    said["innerHTML"] = json!("<b>");
    said["commands"]["__proto__"]["children"] = json!(1);
    said["commands"]["__proto__"]["args"]["toString"]["style"] = json!("x");
    device.say(&json!({"hello": "fan", "describe": said}).to_string());
    assert_eq!(device.next()["welcome"], "fan");
    assert_eq!(ann.get("/api/devices").json()[0]["describe"], known);
}

#[test]
fn whoever_does_not_begin_with_a_good_hello_is_told_why_and_closed() {
    let (server, addr) = start(Setup::default().table("devices", "connections = 3"));
    for (line, error) in [
        (r#"{"telemetry":{}}"#, "hello"),
        ("GET / HTTP/1.1", "json"),
        (r#"{"hello":"a/b"}"#, "hello"),
        (r#"{"hello":"a","proto":2}"#, "hello"),
        (r#"{"hello":"a","describe":{"commands":{"x":{"args":{"y":{"type":"float"}}}}}}"#, "describe"),
    ] {
        let mut device = Device::connect(addr);
        device.say(line);
        assert_eq!(device.next()["error"], error, "{line}");
        assert!(device.is_ended(), "{line}");
    }
    // a place is free once its connection has ended
    let ended = |why: &str, count: usize| {
        while server.log().matches(&format!("kind=device reason={why}")).count() < count {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    };
    ended("protocol", 5);
    // No hello in 5 s.
    let begun = Instant::now();
    let silent: Vec<Device> = (0..2).map(|_| Device::connect(addr)).collect();
    for mut device in silent {
        assert_eq!(device.next()["error"], "hello");
        assert!(device.is_ended());
    }
    assert!(begun.elapsed() >= Duration::from_millis(4_800));
    ended("header_timeout", 2);
    // Three at a time; their own limit, beside that of the pages.
    let _devices: Vec<Device> = (0..3)
        .map(|n| {
            let mut device = Device::connect(addr);
            device.say(&json!({"hello": format!("d{n}")}).to_string());
            assert_eq!(device.next()["welcome"], format!("d{n}"));
            device
        })
        .collect();
    let mut fourth = Device::connect(addr);
    assert_eq!(fourth.next()["error"], "busy");
    assert_eq!(Client::new(&server, "ann").get("/api/session").status, 200);
}

#[test]
fn tokens_are_made_by_passwd_and_checked() {
    let dir = support::temp_dir();
    let tokens = dir.join("tokens");
    let passwd = |token: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_boatswain"))
            .arg("passwd")
            .arg(&tokens)
            .arg("pump-1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{token}").unwrap();
        assert!(child.wait().unwrap().success());
    };
    passwd("first token");
    let setup = Setup::default().table("devices", &format!("tokens = {:?}", tokens.to_str().unwrap()));
    let (server, addr) = start(setup);
    assert!(!server.log().contains("no tokens file"));
    let hello = |name: &str, token: Value| {
        let mut device = Device::connect(addr);
        device.say(&json!({"hello": name, "token": token}).to_string());
        device
    };
    for (name, token) in
        [("pump-1", json!("wrong")), ("pump-1", Value::Null), ("fan", json!("first token")), ("pump-1", json!(""))]
    {
        let mut device = hello(name, token.clone());
        assert_eq!(device.next()["error"], "token", "{name} {token}");
        assert!(device.is_ended());
    }
    let mut pump = hello("pump-1", json!("first token"));
    assert_eq!(pump.next()["welcome"], "pump-1");
    // A wrong token replaces nobody.
    assert_eq!(hello("pump-1", json!("guess")).next()["error"], "token");
    let mut again = hello("pump-1", json!("first token"));
    assert_eq!(again.next()["welcome"], "pump-1", "the right one is remembered");
    assert_eq!(pump.next()["control"]["holder"], Value::Null);
    assert_eq!(pump.next(), json!({"bye":"replaced"}));
    assert!(pump.is_ended());
    // Another token: whoever has the old one is out.
    passwd("second token");
    server.signal("HUP");
    server.wait_log("reloaded");
    assert_eq!(again.next()["control"]["holder"], Value::Null);
    assert!(again.is_ended());
    let _ = std::fs::remove_dir_all(&dir);
}

#[test]
fn without_a_tokens_file_that_is_said_and_a_unix_socket_works_too() {
    let dir = support::temp_dir();
    let path = dir.join("devices.sock");
    let setup = Setup::default().table("devices", &format!("listen = [\"unix:{}\"]", path.display()));
    let server = setup.start();
    server.wait_log("no tokens file (devices.tokens)");
    server.wait_log("kind=devices");
    let stream = UnixStream::connect(&path).unwrap();
    let mut pump = Device::over(Box::new(stream.try_clone().unwrap()), stream.try_clone().unwrap());
    pump.say(&PUMP.replace('\n', " "));
    assert_eq!(pump.next()["welcome"], "pump-1");
    let panel = Panel::open(&server, "ann", "t1", &[]);
    stream.shutdown(Shutdown::Both).unwrap();
    panel.wait(|kind, data| kind == "device" && data["state"] == "down" && data["reason"] == "left");
    let _ = std::fs::remove_dir_all(&dir);
}

#[test]
fn a_device_whose_program_hangs_gets_no_command_and_is_down_in_time() {
    let (server, addr) = start(Setup::default().table("devices", "silent_after = \"2s\""));
    let mut ann = Panel::open(&server, "ann", "t1", &["pump-1"]);
    let mut pump = Device::pump(addr);
    assert_eq!(ann.control("take").status, 200);
    assert_eq!(pump.next()["control"]["holder"], "ann");
    pump.hang();
    ann.wait(|kind, data| kind == "device" && data["state"] == "suspect" && data["reason"] == "silent");
    assert_eq!(refused(&ann.command("", json!({"command":"start"})), 503), "suspect");
    // An emergency stop is sent all the same.
    assert_eq!(ann.command("", json!({"command":"stop"})).status, 202);
    assert_eq!(pump.next()["command"], "stop");
    ann.wait(|kind, data| kind == "device" && data["state"] == "down" && data["reason"] == "silent");
    ann.wait(|kind, data| kind == "control" && data["reason"] == "device");
    ann.wait(|kind, data| kind == "answered" && data["ok"].is_null() && data["result"] == "unknown");
    assert_eq!(pump.next()["safe"], "device");
    assert_eq!(pump.next()["control"]["holder"], Value::Null);
    assert_eq!(pump.next(), json!({"bye":"silent"}));
    assert_eq!(refused(&ann.command("", json!({"command":"start"})), 503), "down");
    assert_eq!(refused(&ann.control("take"), 503), "down");
}
