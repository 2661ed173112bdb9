//! Control and commands against the real server: devices, pages over SSE and WebSockets that answer beats, curl.
#![allow(clippy::unwrap_used)] // A test; its helpers too.
#![allow(clippy::disallowed_methods)] // it stands outside: it has a clock of its own

mod attached;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use attached::{Device, Panel, command, control, post, refused, server, start};
use serde_json::{Value, json};
use support::ws::Frame;
use support::{Client, SOON, Setup, narrow};

#[test]
fn control_commands_and_answers_go_round_and_everybody_sees_them() {
    let (server, addr) = server("");
    let mut pump = Device::pump(addr);
    let mut ann = Panel::open(&server, "ann", "t1", &["pump-1"]);
    let mut bob = Panel::open(&server, "bob", "t2", &[]);

    assert_eq!(refused(&ann.command("", json!({"command":"start"})), 409), "no_control");
    let taken = ann.control("take");
    assert_eq!((taken.status, &taken.json()["holder"]["user"]), (200, &"ann".into()), "{}", taken.text());
    assert_eq!(pump.next(), json!({"control": {"holder": "ann"}}));
    let (_, event) = bob.wait(|kind, _| kind == "control");
    assert_eq!(
        (&event["reason"], &event["holder"]["user"], &event["was"]),
        (&"taken".into(), &"ann".into(), &Value::Null)
    );
    let held = bob.control("take");
    assert_eq!((refused(&held, 409).as_str(), &held.json()["holder"]["user"]), ("held", &"ann".into()));

    let sent = ann.command("", json!({"command":"speed","args":{"rpm":900}}));
    assert_eq!(sent.status, 202, "{}", sent.text());
    let line = pump.next();
    assert_eq!(line, json!({"command":"speed","args":{"rpm":900},"id":sent.json()["id"],"by":"ann"}));
    let (_, commanded) = bob.wait(|kind, _| kind == "commanded");
    assert_eq!((&commanded["id"], &commanded["by"]["user"]), (&line["id"], &"ann".into()));
    pump.answer(&line["id"], true);
    let (_, answered) = bob.wait(|kind, _| kind == "answered");
    assert_eq!(
        (&answered["to"], &answered["ok"], &answered["result"], &answered["late"]),
        (&line["id"], &true.into(), &json!({"done":true}), &false.into())
    );

    // What does not fit never reaches the device.
    for (body, status, word) in [
        (json!({"command":"speed","args":{"rpm":9000}}), 422, "args"),
        (json!({"command":"speed"}), 422, "args"),
        (json!({"command":"start","args":{"x":1}}), 422, "args"),
        (json!({"command":"fly"}), 404, "not_found"),
        (json!({"command":5}), 400, "shape"),
        (json!({"command":"start","args":[]}), 400, "shape"),
    ] {
        assert_eq!(refused(&ann.command("", body.clone()), status), word, "{body}");
    }
    let none = command(&mut ann.client, "", json!({"command":"start"}));
    assert_eq!(refused(&none, 422), "beat");
    let old = json!({"command":"start","beat": ann.beat() - 20});
    assert_eq!(refused(&command(&mut ann.client, "", old), 409), "stale");
    let mut viewer = Client::new(&server, "viewer");
    assert_eq!(refused(&command(&mut viewer, "", json!({"command":"start"})), 403), "role");
    assert_eq!(refused(&control(&mut viewer, json!({"action":"take"})), 403), "role");

    // An emergency stop is anybody's.
    let stop = command(&mut viewer, "", json!({"command":"stop"}));
    assert_eq!(stop.status, 202, "{}", stop.text());
    let line = pump.next();
    assert_eq!((&line["command"], &line["by"]), (&"stop".into(), &"viewer".into()));
    assert_eq!(command(&mut viewer, "", json!({"command":"stop"})).json()["id"], line["id"]);
    assert_eq!(viewer.get("/api/session").json()["seat"], Value::Null);

    assert_eq!(ann.control("release").status, 200);
    assert_eq!(pump.next(), json!({"control": {"holder": null}}));
    assert_eq!(bob.control("take").status, 200);
    assert_eq!(pump.next(), json!({"control": {"holder": "bob"}}));
    assert_eq!(refused(&ann.control("fly"), 400), "shape");
    let other = post(&mut ann.client, "/api/devices/fan/control", &json!({"action":"take"}));
    assert_eq!(refused(&other, 404), "not_found");
}

#[test]
fn a_device_of_any_name_is_controlled_commanded_and_stopped() {
    let (server, addr) = server("");
    let mut ann = Client::new(&server, "ann");
    for (name, path) in
        [("Pumpe 1", "Pumpe%201"), ("насос-ü", "%D0%BD%D0%B0%D1%81%D0%BE%D1%81-%C3%BC"), ("a+b&c", "a+b&c")]
    {
        let mut device = Device::connect(addr);
        device.say(&json!({"hello": name, "describe": {"commands": {"go": {}, "stop": {"anyone": true}}}}).to_string());
        assert_eq!(device.next()["welcome"], name);
        device.next(); // nobody holds it
        if name.contains(' ') {
            // or else a name could say anything in the log
            server.wait_log(&format!("device device={name:?} state=up reason=hello"));
        }
        let target = |what: &str| format!("/api/devices/{path}/{what}");
        let taken = post(&mut ann, &target("control"), &json!({"action":"take","lease":"30s"}));
        assert_eq!((taken.status, taken.json()["device"].as_str()), (200, Some(name)), "{}", taken.text());
        assert_eq!(device.next(), json!({"control": {"holder": "ann"}}));
        for (command, by) in [("go", "ann"), ("stop", "viewer")] {
            let sent = post(&mut Client::new(&server, by), &target("command"), &json!({"command": command}));
            assert_eq!(sent.status, 202, "{name}: {}", sent.text());
            assert_eq!(device.next()["command"], command);
        }
    }
    let unknown = post(&mut ann, "/api/devices/%FF%2F/command", &json!({"command":"go"}));
    assert_eq!(refused(&unknown, 404), "not_found");
}

#[test]
fn a_request_may_wait_for_the_answer() {
    let (server, addr) = server("");
    let mut pump = Device::pump(addr);
    let mut curl = Client::new(&server, "ann");
    assert_eq!(refused(&control(&mut curl, json!({"action":"take"})), 422), "lease");
    let taken = control(&mut curl, json!({"action":"take","lease":"30s"}));
    assert_eq!((taken.status, &taken.json()["lease_ms"]), (200, &30_000.into()));
    assert_eq!(pump.next()["control"]["holder"], "ann");

    let another = curl.clone();
    let waits = |query: &'static str, body: Value| {
        let mut curl = another.clone();
        std::thread::spawn(move || command(&mut curl, query, body))
    };
    let waiting = waits("?wait=5s", json!({"command":"start","ref":"r1"}));
    let line = pump.next();
    // Asked again meanwhile: the same command, and both are answered.
    let twice = waits("?wait=5s", json!({"command":"start","ref":"r1"}));
    std::thread::park_timeout(Duration::from_millis(100));
    pump.answer(&line["id"], false);
    for waiting in [waiting, twice] {
        let answer = waiting.join().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json(), json!({"id":line["id"],"ok":false,"result":{"done":false},"late":false}));
    }
    let known = command(&mut curl, "?wait=5s", json!({"command":"start","ref":"r1"}));
    assert_eq!((known.status, &known.json()["id"]), (200, &line["id"]), "answered already");

    let begun = Instant::now();
    let vain = command(&mut curl, "?wait=300ms", json!({"command":"start"}));
    assert_eq!(refused(&vain, 504), "timeout");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(vain.json()["id"], pump.next()["id"]);

    // The connection goes on afterwards, and what was sent meanwhile is served then.
    let mut stream = curl.connect().unwrap();
    let body = r#"{"command":"start"}"#;
    let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let first = curl.head("POST", "/api/devices/pump-1/command?wait=5s", &more) + body;
    stream.write_all((first + &curl.head("GET", "/api/session", "")).as_bytes()).unwrap();
    let line = pump.next();
    pump.answer(&line["id"], true);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for has in ["\"ok\":true", "\"user\":\"ann\""] {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0);
        }
        for line in head.lines() {
            if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = n.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        assert!(String::from_utf8_lossy(&body).contains(has), "{head}{body:?}");
    }

    // A device that goes answers nobody: unknown.
    let waiting = waits("?wait=5s", json!({"command":"start"}));
    pump.next();
    drop(pump);
    let answer = waiting.join().unwrap();
    assert_eq!((answer.status, &answer.json()["ok"], &answer.json()["result"]), (200, &Value::Null, &"unknown".into()));
}

#[test]
fn a_killed_browser_a_frozen_page_and_a_lost_role_make_the_device_safe() {
    let setup = Setup::default()
        .table("seats", "linger = \"500ms\"")
        .table("control", "page_after = \"2s\"\nmax_silence = \"2s\"");
    let (server, addr) = start(setup);
    let mut pump = Device::pump(addr);
    let bob = Panel::open(&server, "bob", "t2", &[]);

    // frozen: the link stays, no beat is answered
    let mut ann = Panel::open(&server, "ann", "t1", &["pump-1"]);
    assert_eq!(ann.control("take").status, 200);
    assert_eq!(pump.next()["control"]["holder"], "ann");
    std::thread::park_timeout(Duration::from_millis(2_500));
    ann.answers.store(false, Ordering::Relaxed);
    let begun = Instant::now();
    let (at, line) = pump.timed();
    assert_eq!((&line["safe"], &line["by"]), (&"page".into(), &"ann".into()));
    let took = at.duration_since(begun);
    assert!(took >= Duration::from_millis(1_400) && took <= Duration::from_millis(2_300), "{took:?}");
    assert_eq!(pump.next(), json!({"control":{"holder":null}}));
    bob.wait(|kind, data| kind == "control" && data["reason"] == "page");

    // killed: FIN
    let mut client = Client::browser(&server, "eve", "x");
    assert_eq!(client.page("/").status, 200);
    let link = client.link("/api/events?tab=t9&n=1");
    assert_eq!(control(&mut client, json!({"action":"take"})).status, 200);
    assert_eq!(pump.next()["control"]["holder"], "eve");
    let begun = Instant::now();
    drop(link);
    let (at, line) = pump.timed();
    assert_eq!((&line["safe"], &line["by"]), (&"left".into(), &"eve".into()));
    let took = at.duration_since(begun);
    assert!(took >= Duration::from_millis(450) && took <= Duration::from_millis(1_000), "{took:?}");
    assert_eq!(pump.next(), json!({"control":{"holder":null}}));

    // may not any more, after a reload
    let mut curl = Client::new(&server, "ann").from(7);
    assert_eq!(control(&mut curl, json!({"action":"take","lease":"30s"})).status, 200);
    assert_eq!(pump.next()["control"]["holder"], "ann");
    let file = server.dir().join("boatswain.toml");
    let toml = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, toml.replace("viewers = [\"viewer\"]", "viewers = [\"viewer\", \"ann\"]")).unwrap();
    server.signal("HUP");
    let line = pump.next();
    assert_eq!((&line["safe"], &line["by"]), (&"left".into(), &"ann".into()));
    assert!(server.metric("boatswain_safe_seconds_count") >= 3.0);
    assert!(server.metric("boatswain_control_total{reason=\"page\"}") >= 1.0);
}

#[test]
fn safe_overtakes_commands_that_a_device_has_not_taken_but_no_emergency_stop() {
    let (server, addr) = server("");
    // for such short segments the server's own kernel takes not much either
    let mut stream = narrow(addr, Some(536));
    let describe = json!({"commands": {"go": {"args": {"note": {"type": "string"}}}, "stop": {"anyone": true}}});
    writeln!(stream, "{}", json!({"hello": "pump-1", "describe": describe})).unwrap();
    server.wait_log("device=pump-1 state=up");
    let mut ann = Client::new(&server, "ann");
    assert_eq!(control(&mut ann, json!({"action":"take","lease":"1s"})).status, 200);
    let note = "x".repeat(4_000);
    // until it is suspect, on a very busy machine
    let asked: Vec<Value> = (0..16)
        .map(|_| command(&mut ann, "", json!({"command":"go","args":{"note":note}})))
        .take_while(|sent| sent.status == 202)
        .map(|sent| sent.json()["id"].clone())
        .collect();
    let stop = command(&mut Client::new(&server, "viewer"), "", json!({"command":"stop"}));
    assert_eq!(stop.status, 202, "{}", stop.text());
    // nor what the device itself waits for
    stream.write_all(b"{\"ping\":77}\n").unwrap();
    server.wait_log("safe device=pump-1 by=ann reason=lease");
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(stream).lines() {
        lines.push(serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        if lines.last().is_some_and(|l| l["pong"] == 77) {
            break;
        }
    }
    let overtaken = asked.iter().filter(|id| lines.iter().all(|l| l["id"] != **id)).count();
    assert!(overtaken > 0, "everything was in the kernel already: this shows nothing");
    assert!(lines.iter().any(|l| l["pong"] == 77), "whoever is in doubt would be so for ever");
    assert!(
        lines.iter().any(|l| l["id"] == stop.json()["id"]),
        "the stop never came, and pressing it again would do nothing"
    );
    let safe = lines.iter().position(|l| l.get("safe").is_some()).unwrap();
    assert!(lines[safe..].iter().all(|l| l["command"] != "go"), "{lines:?}");
}

#[test]
fn what_somebody_else_commands_is_seen_within_50_ms_and_no_slow_panel_holds_it_up() {
    let (server, addr) = server("");
    let mut pump = Device::pump(addr);
    let mut ann = Panel::open(&server, "ann", "t1", &["pump-1"]);
    let bob = Panel::open(&server, "bob", "t2", &[]);
    assert_eq!(ann.control("take").status, 200);
    assert_eq!(pump.next()["control"]["holder"], "ann");
    let mut slow = narrow(server.addr, None);
    slow.write_all(Client::new(&server, "eve").head("GET", "/api/events", "").as_bytes()).unwrap();
    let note = "x".repeat(200);
    let (mut to_device, mut to_bob) = (Vec::new(), Vec::new());
    for _ in 0..21 {
        let values: serde_json::Map<String, Value> = (0..40).map(|i| (format!("v{i}"), note.as_str().into())).collect();
        pump.say(&json!({ "telemetry": values }).to_string());
        let begun = Instant::now();
        let sent = ann.command("", json!({"command":"start"}));
        assert_eq!(sent.status, 202, "{}", sent.text());
        let (at, line) = pump.timed();
        to_device.push(at - begun);
        let (at, _) = bob.wait(|kind, data| kind == "commanded" && data["id"] == line["id"]);
        to_bob.push(at - begun);
        pump.answer(&line["id"], true);
        bob.wait(|kind, data| kind == "answered" && data["to"] == line["id"]);
        std::thread::park_timeout(Duration::from_millis(50));
    }
    // The middle one: this machine may be busy now and then, but what is slow is so each time.
    for mut took in [to_device, to_bob] {
        took.sort_unstable();
        assert!(took[10] <= Duration::from_millis(50), "{took:?}");
    }
}

#[test]
fn control_is_offered_and_given_and_forced() {
    let (server, addr) = server("");
    let mut pump = Device::pump(addr);
    let mut ann = Panel::open(&server, "ann", "t1", &["pump-1"]);
    let mut bob = Panel::open(&server, "bob", "t2", &["pump-1"]);
    assert_eq!(ann.control("take").status, 200);
    let session = bob.client.get("/api/session").json()["session"].clone();
    assert_eq!(control(&mut ann.client, json!({"action":"give","to":session})).status, 200);
    let (_, offered) = bob.wait(|kind, _| kind == "offered");
    assert_eq!((&offered["from"]["user"], &offered["to"]["user"]), (&"ann".into(), &"bob".into()));
    assert_eq!(bob.control("take").status, 200);
    ann.wait(|kind, data| kind == "control" && data["reason"] == "given" && data["holder"]["user"] == "bob");
    assert_eq!(refused(&ann.control("force"), 403), "role");
    let mut admin = Client::new(&server, "admin");
    assert_eq!(control(&mut admin, json!({"action":"force","lease":"10s"})).status, 200);
    ann.wait(|kind, data| kind == "control" && data["reason"] == "forced" && data["was"]["user"] == "bob");
    for holder in ["ann", "bob", "admin"] {
        assert_eq!(pump.next(), json!({"control":{"holder":holder}}), "and no `safe` in between");
    }
}

#[test]
fn a_server_that_is_stopped_says_safe_and_then_bye() {
    let (mut server, addr) = server("");
    let mut pump = Device::pump(addr);
    let mut curl = Client::new(&server, "ann");
    assert_eq!(control(&mut curl, json!({"action":"take","lease":"30s"})).status, 200);
    assert_eq!(pump.next()["control"]["holder"], "ann");
    let _silent = Device::connect(addr);
    server.signal("TERM");
    let line = pump.next();
    assert_eq!((&line["safe"], &line["by"]), (&"shutdown".into(), &"ann".into()));
    assert_eq!(pump.next(), json!({"control":{"holder":null}}));
    assert_eq!(pump.next(), json!({"bye":"shutdown"}));
    drop(pump);
    assert_eq!(server.wait_exit(), Some(0));
}

#[test]
fn a_panel_that_does_not_read_gets_no_old_telemetry_and_then_the_newest() {
    let (server, addr) = server("");
    let panel = Panel::open(&server, "ann", "t1", &[]);
    let mut pump = Device::pump(addr);
    let bob = Client::new(&server, "bob");
    let mut stream = narrow(server.addr, None);
    stream.write_all(bob.head("GET", "/api/events?types=telemetry", "").as_bytes()).unwrap();
    let note = "x".repeat(200);
    for n in 0..150 {
        let values: serde_json::Map<String, Value> =
            (0..20).map(|i| (format!("v{i}"), note.as_str().into())).chain([("n".into(), n.into())]).collect();
        pump.say(&json!({ "telemetry": values }).to_string());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    panel.wait(|kind, data| kind == "telemetry" && data["values"]["n"] == 149);
    // Nothing of that piles up: it may owe 256 KiB, and is still here.
    stream.set_read_timeout(Some(SOON)).unwrap();
    let (mut numbers, until) = (Vec::new(), Instant::now() + SOON);
    for line in BufReader::new(stream).lines() {
        assert!(Instant::now() < until, "the newest value never came: {numbers:?}");
        let line = line.unwrap();
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let data: Value = serde_json::from_str(data).unwrap();
        assert_ne!(data["type"], "closing", "{data}");
        if data["type"] == "telemetry" {
            numbers.push(data["values"]["n"].as_u64().unwrap());
            if numbers.last() == Some(&149) {
                break;
            }
        }
    }
    assert!(numbers.len() < 20, "ten a second for three seconds is what the others heard: {numbers:?}");
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[test]
fn a_page_on_a_websocket_controls_commands_and_keeps_control_by_naming_the_device() {
    let (server, addr) = server("page_after = \"2s\"\nmax_silence = \"2s\"");
    let mut pump = Device::pump(addr);
    let mut socket = Client::browser(&server, "ann", "Browser").socket("/api/socket?tab=w&n=1");
    socket.beats = false; // answered below
    let hello = socket.message();
    assert_eq!(hello["devices"][0]["name"], "pump-1");
    /// Reads to the next message, naming what the page holds in the answer to each beat.
    fn next(socket: &mut support::ws::Socket, hold: &[&str], newest: &mut u64) -> Value {
        loop {
            let Some(Frame::Text(text)) = socket.frame(SOON) else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["type"] != "beat" {
                return message;
            }
            *newest = message["n"].as_u64().unwrap();
            socket.text(&json!({"beat": *newest, "hold": hold}).to_string());
        }
    }
    let mut newest = 0;
    let mut wait = |socket: &mut support::ws::Socket, hold: &[&str], kind: &str| loop {
        let message = next(socket, hold, &mut newest);
        if message["type"] == kind {
            return (message, newest);
        }
    };
    socket.text(&json!({"control":{"device":"pump-1","action":"take"},"ref":1}).to_string());
    assert_eq!(wait(&mut socket, &["pump-1"], "done").0["ref"], 1);
    assert_eq!(pump.next()["control"]["holder"], "ann");
    // longer than a silent page would keep it
    let end = Instant::now() + Duration::from_millis(3_500);
    let mut beat = 0;
    while Instant::now() < end {
        Client::new(&server, "bob").say("tick");
        beat = wait(&mut socket, &["pump-1"], "said").1;
        std::thread::park_timeout(Duration::from_millis(300));
    }
    let order = |command: Value, beat: u64, n: u32| json!({"command": command, "beat": beat, "ref": n}).to_string();
    let start = json!({"device":"pump-1","command":"start"});
    socket.text(&order(start.clone(), beat, 2));
    let (done, _) = wait(&mut socket, &["pump-1"], "done");
    assert_eq!((&done["ref"], &done["id"]), (&2.into(), &pump.next()["id"]));
    socket.text(&order(start, beat - 20, 3));
    let (error, _) = wait(&mut socket, &["pump-1"], "error");
    assert_eq!((&error["ref"], &error["error"]), (&3.into(), &"stale".into()));
    socket.text(&order(json!({"device":"pump-1","command":"speed","args":{"rpm":-1}}), beat, 4));
    assert_eq!(wait(&mut socket, &["pump-1"], "error").0["error"], "args");
    // It answers on, but names the device no more.
    let (control, _) = wait(&mut socket, &[], "control");
    assert_eq!(control["reason"], "page");
    assert_eq!(pump.next()["safe"], "page");
}

#[test]
fn a_profile_with_rare_beats_gives_holders_frequent_ones() {
    let (server, addr) = start(Setup::default().table("liveness", "profile = \"relaxed\""));
    let mut pump = Device::pump(addr);
    let mut ann = Client::browser(&server, "ann", "Browser");
    assert_eq!(ann.page("/").status, 200);
    let mut link = ann.link("/api/events?tab=t1&n=1");
    assert_eq!(link.wait("hello").data["beat_ms"], 10_000);
    assert_eq!(control(&mut ann, json!({"action":"take"})).status, 200);
    assert_eq!(pump.next()["control"]["holder"], "ann");
    let (begun, mut beats) = (Instant::now(), 0);
    // kept by answers for longer than without
    while begun.elapsed() < Duration::from_secs(6) {
        let beat = link.wait("beat");
        beats += 1;
        post(&mut ann, "/api/beat?tab=t1", &json!({"beat": beat.data["n"], "hold": ["pump-1"]}));
    }
    assert!((10..=14).contains(&beats), "{beats} in 6 s");
    assert_eq!(pump.lines.try_iter().filter(|(_, line)| line.get("ping").is_none()).count(), 0);
    assert_eq!(ann.get("/api/devices").json()[0]["holder"]["user"], "ann");
    assert_eq!(control(&mut ann, json!({"action":"release"})).status, 200);
}
