//! Emergency stops get through: whoever gives them, in whatever state their page, session and seat are, however often.
#![allow(clippy::unwrap_used)] // A test; its helpers too.
#![allow(clippy::disallowed_methods)] // it stands outside: it has a clock of its own

mod attached;
mod support;

use std::io::Write;

use attached::{Device, Panel, command, control, refused, server, start};
use serde_json::{Value, json};
use support::ws::Socket;
use support::{Client, Setup, auth, narrow, until};

/// The next line of a device that is a command.
fn next_command(device: &mut Device) -> Value {
    loop {
        let line = device.next();
        if line.get("command").is_some() {
            return line;
        }
    }
}

/// Asks on a WebSocket, and hears `done` or the error's word.
fn ask(socket: &mut Socket, message: Value) -> String {
    socket.text(&message.to_string());
    loop {
        let told = socket.message();
        match told["type"].as_str() {
            Some("done") => return "done".into(),
            Some("error") => return told["error"].as_str().unwrap().into(),
            _ => {}
        }
    }
}

#[test]
fn a_stop_on_a_websocket_is_heard_before_the_page_has_seen_a_beat() {
    let (server, addr) = server("");
    let mut pump = Device::pump(addr);
    let mut page = Client::browser(&server, "viewer", "A");
    let mut socket = page.socket("/api/socket?tab=v&n=1");
    // what the page's stop() sends in its first second
    let stop = json!({"command": {"device": "pump-1", "command": "stop", "args": {}}, "beat": null, "ref": "v1"});
    assert_eq!(ask(&mut socket, stop), "done");
    let line = next_command(&mut pump);
    assert_eq!((&line["command"], &line["by"]), (&"stop".into(), &"viewer".into()));

    // By POST, too; and what is no stop has to name a beat, on both ways.
    let mut ann = Panel::open(&server, "ann", "t1", &["pump-1"]);
    assert_eq!(ann.control("take").status, 200);
    assert_eq!(refused(&command(&mut ann.client, "?tab=t1", json!({"command":"start","beat":null})), 422), "beat");
    let mut beside = ann.client.socket("/api/socket?tab=t2&n=1");
    let start = json!({"command": {"device": "pump-1", "command": "start"}, "beat": null, "ref": 1});
    assert_eq!(ask(&mut beside, start), "beat");
}

#[test]
fn a_websocket_and_a_post_are_told_the_same() {
    let (server, addr) = server("");
    let _pump = Device::pump(addr);
    let mut ann = Panel::open(&server, "ann", "t1", &["pump-1"]);
    assert_eq!(ann.control("take").status, 200);
    let mut socket = ann.client.socket("/api/socket?tab=t2&n=1");
    for fields in [
        json!({"command":"start"}),
        json!({"command":"start","beat":null}),
        json!({"command":"start","beat":"x"}),
        json!({"command":"start","beat":-1}),
        json!({"command":"start","beat":1}),
        json!({"command":"start","args":[]}),
        json!({"command":"start","args":null,"beat":1}),
        json!({"command":"start","args":{"x":1}}),
        json!({"command":"start","ref":[1]}),
        json!({"command":null}),
        json!({"command":5}),
        json!({"command":"fly"}),
        json!({}),
        json!({"command":"stop"}),
        json!({"command":"stop","beat":null,"args":null,"ref":null}),
        json!({"command":"stop","beat":"x"}),
        json!({"command":"stop","beat":1}),
        json!({"command":"stop","beat":18446744073709551615_u64}),
        json!({"command":"stop","args":{"x":1}}),
        json!({"command":"stop","args":"x"}),
    ] {
        let by_post = command(&mut ann.client, "?tab=t1", fields.clone());
        let posted = match by_post.status {
            202 => "done".to_string(),
            _ => by_post.json()["error"].as_str().unwrap().into(),
        };
        let mut inner = fields.clone();
        let mut message = json!({});
        for name in ["beat", "ref"] {
            if let Some(value) = inner.as_object_mut().unwrap().remove(name) {
                message[name] = value;
            }
        }
        if message["ref"].is_null() {
            message["ref"] = fields.to_string().len().into();
        }
        inner["device"] = "pump-1".into();
        message["command"] = inner;
        assert_eq!(ask(&mut socket, message), posted, "{fields}");
    }
}

#[test]
fn who_was_evicted_may_give_emergency_stops_and_nothing_else() {
    let (server, addr) = server("");
    let mut pump = Device::pump(addr);
    let mut admin = Client::browser(&server, "admin", "boss").from(9);
    let mut ann = Client::browser(&server, "ann", "A").from(2);
    let mut link = ann.link("/api/events?tab=a&n=1");
    let session = link.wait("hello").data["you"]["session"].as_str().unwrap().to_string();
    assert_eq!(admin.post(&format!("/api/members/{session}/evict"), "").status, 204);
    link.drain();

    let anew = Client::new(&server, "ann").from(2);
    let cookie_only = ann.clone().credentials(None);
    for (mut who, query) in [(anew.clone(), ""), (anew, "?tab=b"), (ann.clone(), ""), (ann.clone(), "?tab=a")] {
        let stopped = command(&mut who.clone(), query, json!({"command":"stop","beat":null}));
        assert_eq!(stopped.status, 202, "{query}: {}", stopped.text());
        assert_eq!(stopped.header("set-cookie"), "", "a stop brings nobody back");
        let line = next_command(&mut pump);
        assert_eq!((&line["command"], &line["by"]), (&"stop".into(), &"ann".into()));
        pump.answer(&line["id"], true);
        let started = command(&mut who.clone(), query, json!({"command":"start"}));
        assert!(["evicted", "ended"].contains(&refused(&started, 403).as_str()), "{}", started.text());
        for body in [json!({"command":"fly"}), json!({}), json!([])] {
            assert_eq!(command(&mut who.clone(), query, body).status, 403);
        }
        assert_eq!(control(&mut who.clone(), json!({"action":"take","lease":"5s"})).status, 403);
        assert_eq!(who.get("/api/session").status, 403);
        // not even its arguments are taken as they come
        assert_eq!(refused(&command(&mut who, query, json!({"command":"stop","args":{"x":1}})), 422), "args");
    }
    // A dead cookie alone stays dead.
    assert_eq!(refused(&command(&mut cookie_only.clone(), "?tab=a", json!({"command":"stop"})), 403), "ended");
    assert_eq!(command(&mut cookie_only.clone(), "", json!({"command":"stop"})).status, 401);
    let wrong = ann.credentials(Some("ann:wrong"));
    assert_eq!(refused(&command(&mut wrong.clone(), "?tab=a", json!({"command":"stop"})), 403), "ended");
}

#[test]
fn the_page_of_a_session_that_ended_may_stop() {
    for (setup, end) in [(Setup::default(), "logout"), (Setup::default().table("seats", "idle = \"1s\""), "idle")] {
        let (server, addr) = start(setup);
        let mut pump = Device::pump(addr);
        let mut page = Client::browser(&server, "viewer", "A");
        let mut socket = page.socket("/api/socket?tab=a&n=1");
        socket.wait("hello");
        if end == "logout" {
            assert_eq!(page.clone().post("/api/logout?tab=a", "").status, 204);
        }
        assert_eq!(socket.wait("closing")["reason"], end);
        let over = page.get("/api/session?tab=a");
        assert_eq!((over.status, &over.json()["reason"]), (403, &end.into()), "{}", over.text());

        let stopped = command(&mut page, "?tab=a", json!({"command":"stop","beat":3,"ref":"r"}));
        assert_eq!((stopped.status, stopped.header("set-cookie")), (202, ""), "{}", stopped.text());
        assert_eq!(next_command(&mut pump)["by"], "viewer");
        assert_eq!(refused(&command(&mut page, "?tab=a", json!({"command":"start"})), 403), "ended");
        let over = page.get("/api/session?tab=a");
        assert_eq!((over.status, &over.json()["reason"]), (403, &end.into()), "it is as over as before");
        let dead = page.clone().credentials(None);
        assert_eq!(refused(&command(&mut dead.clone(), "?tab=a", json!({"command":"stop"})), 403), "ended");
    }
}

#[test]
fn a_full_house_keeps_no_stop_out() {
    let (server, addr) = start(Setup::default().table("seats", "max = 1"));
    let mut pump = Device::pump(addr);
    let mut ann = Client::browser(&server, "ann", "A").from(2);
    let mut link = ann.link("/api/events?tab=a&n=1");
    link.wait("hello");
    for query in ["", "?tab=x"] {
        let mut viewer = Client::new(&server, "viewer").from(3).credentials(Some(&auth("viewer")));
        assert_eq!(viewer.get(&format!("/api/events{query}")).status, 503);
        let stopped = command(&mut viewer, query, json!({"command":"stop","beat":1}));
        assert_eq!(stopped.status, 202, "{}", stopped.text());
        let line = next_command(&mut pump);
        assert_eq!(line["by"], "viewer");
        pump.answer(&line["id"], true);
    }
}

/// A pump whose stop takes what it is given.
const SPEAKING: &str = r#"{"hello":"pump-1","proto":1,"describe":{"commands":{
    "start":{},"stop":{"anyone":true,"args":{"why":{"type":"string","optional":true}}}}}}"#;

fn speaking(addr: std::net::SocketAddr) -> Device {
    let mut pump = Device::connect(addr);
    pump.say(&SPEAKING.replace('\n', " "));
    assert_eq!(pump.next()["welcome"], "pump-1");
    assert_eq!(pump.next(), json!({"control": {"holder": null}}));
    pump
}

/// So many stops at once on one WebSocket, each with another text of so many bytes; how many were `done`.
fn flood(socket: &mut Socket, count: usize, bytes: usize) -> usize {
    let mut frames = Vec::new();
    for n in 0..count {
        let why = format!("{n:0bytes$}");
        let stop = json!({"command": {"device": "pump-1", "command": "stop", "args": {"why": why}}, "ref": n});
        frames.extend(support::ws::frame(0x81, stop.to_string().as_bytes()));
    }
    socket.raw(&frames);
    let mut done = 0;
    for _ in 0..count {
        while socket.message()["type"] != "done" {}
        done += 1;
    }
    done
}

#[test]
fn six_hundred_stops_of_one_viewer_leave_the_log_the_links_and_the_device_as_they_are() {
    let (server, addr) = server("");
    let mut pump = speaking(addr);
    let mut ann = Panel::open(&server, "ann", "t1", &["pump-1"]);
    assert_eq!(ann.control("take").status, 200);
    assert_eq!(ann.client.post("/api/chat", "before").status, 201);
    let mut page = Client::browser(&server, "viewer", "A");
    let mut socket = page.socket("/api/socket?tab=v&n=1&types=said");
    socket.wait("hello");
    assert_eq!(flood(&mut socket, 600, 4), 600, "each is taken");
    // the device hears the newest one, and answers all at once
    loop {
        let line = next_command(&mut pump);
        pump.answer(&line["id"], true);
        if line["args"]["why"] == "0599" {
            break;
        }
    }
    // and who asks once more, by another session, is in the log as ever
    let mut bob = Client::new(&server, "bob").from(3);
    let stopped = command(&mut bob, "", json!({"command":"stop"}));
    assert_eq!(stopped.status, 202, "{}", stopped.text());
    let id = stopped.json()["id"].clone();
    assert_eq!(ann.wait(|kind, data| kind == "commanded" && data["id"] == id).1["by"]["user"], "bob");

    let log = ann.client.get("/api/log?limit=1000").json();
    let of = |kind: &str| log["events"].as_array().unwrap().iter().filter(|e| e["type"] == kind).count();
    assert!(of("commanded") < 50, "{}", of("commanded"));
    assert_eq!((of("said"), of("control"), &log["gap"]), (1, 1, &false.into()));
    assert_eq!(server.metric("boatswain_stops_left_out_total") as usize, 600 - (of("commanded") - 1));
    assert_eq!(server.metric("boatswain_links"), 2.0, "nobody is closed as slow");
    assert_eq!(ann.command("?tab=t1", json!({"command":"start"})).status, 202, "and ann has control still");
}

#[test]
fn long_stops_without_end_do_not_cut_off_a_device_that_reads_late() {
    let (server, addr) = server("");
    let mut stream = narrow(addr, None);
    stream.write_all(format!("{}\n", SPEAKING.replace('\n', " ")).as_bytes()).unwrap();
    let mut page = Client::browser(&server, "viewer", "A");
    let mut socket = page.socket("/api/socket?tab=v&n=1&types=said");
    socket.wait("hello");
    until("it is welcomed", || server.metric("boatswain_devices") == 1.0);
    assert_eq!(flood(&mut socket, 1500, 4000), 1500);
    assert_eq!(server.metric("boatswain_devices"), 1.0);
    let mut pump = Device::over(Box::new(stream.try_clone().unwrap()), stream);
    while !next_command(&mut pump)["args"]["why"].as_str().unwrap().ends_with("01499") {}
    assert_eq!(server.metric(r#"boatswain_connections_closed_total{reason="slow"}"#), 0.0);
}
