//! What the log says: whose connections' ends it tells, how much strangers make it write, and that nothing which they say
//! moves the cursor of whoever reads it.
#![allow(clippy::unwrap_used)] // A test; its helpers too.
#![allow(clippy::disallowed_methods)] // it stands outside: it has a clock of its own

mod attached;
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use attached::{Device, Panel, start};
use serde_json::json;
use support::{Client, SOON, Server, Setup, until};

/// One request of nobody's, on a connection of its own, that is read to its end.
fn stranger(server: &Server, path: &str, more: &str) {
    let mut stream = TcpStream::connect(server.addr).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{more}\r\n", server.addr);
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

fn closed(server: &Server) -> f64 {
    server.metric("boatswain_connections_closed_total{reason=\"done\"}")
}

#[test]
fn the_end_of_a_connection_on_which_nothing_happened_is_no_line() {
    let server = Setup::default().start();
    for _ in 0..20 {
        stranger(&server, "/healthz", "");
    }
    let mut ann = Client::browser(&server, "ann", "A");
    assert_eq!(ann.get("/").status, 200);
    drop(ann.link("/api/events?tab=a&n=1"));
    server.wait_log(" kind=sse reason=closed ");
    stranger(&server, "/", "");
    let line = server.wait_log(" user=- kind=closing reason=done ");
    assert!(line.contains(" info closed conn="), "{line}");
    until("all are closed", || closed(&server) >= 21.0);
    let log = server.log();
    assert_eq!(log.lines().filter(|line| line.contains(" closed conn=")).count(), 2, "{log}");
}

#[test]
fn what_strangers_make_it_write_is_rationed_and_cut_and_both_are_said() {
    let mut server = Setup::default().start();
    let path = format!("/{}", "x".repeat(14_000));
    for _ in 0..60 {
        stranger(&server, &path, "Upgrade: x\r\n");
    }
    assert_eq!(server.metric("boatswain_log_left_out_total"), 90.0, "two lines each, 30 of them written");
    let log = server.log();
    let refused: Vec<&str> =
        log.lines().filter(|line| line.contains(" refused addr=127.0.0.1 status=401 path=\"/xx")).collect();
    assert_eq!(refused.len(), 15, "{log}");
    for line in refused {
        assert!(line.len() < 450 && line.ends_with("...(cut 13701 bytes)"), "{} {line}", line.len());
    }
    // those from elsewhere, and who has a name, are still heard of
    let mut ann = Client::browser(&server, "ann", "A").from(7);
    drop(ann.link("/api/events?tab=a&n=1"));
    server.wait_log(" user=ann kind=sse reason=closed ");
    server.signal("TERM");
    assert_eq!(server.wait_exit(), Some(0));
    let said = " warn left_out lines=90 parties=1 most_from=127.0.0.1 most=90 seconds=60 ";
    assert!(server.whole_log().contains(said), "{}", server.log());
}

#[test]
fn a_page_and_a_device_in_a_loop_write_little() {
    let (server, devices) = start(Setup::default());
    for _ in 0..40 {
        let mut pump = Device::connect(devices);
        pump.say(r#"{"hello":"pump-1","proto":1}"#);
        let said = pump.next();
        assert!(said["welcome"] == "pump-1" || said["error"] == "throttled", "{said}");
    }
    let hellos = server.log().matches(" device device=pump-1 state=up ").count();
    assert!((10..30).contains(&hellos), "{hellos}: ten, and one a second");
    let mut ann = Client::browser(&server, "ann", "A");
    assert_eq!(ann.get("/").status, 200); // its password is known from here on
    let ann = support::base64(&support::auth("ann"));
    for _ in 0..400 {
        stranger(&server, "/api/nothing", &format!("Upgrade: x\r\nAuthorization: Basic {ann}\r\n"));
    }
    let refused = server.log().matches(" refused addr=127.0.0.1 ").count();
    assert!((100..200).contains(&refused), "{refused}: lines of one user, and as many of ends");
    assert!(server.metric("boatswain_log_left_out_total") > 100.0);
}

#[test]
fn what_others_say_reaches_the_log_without_what_cannot_be_seen() {
    let (server, devices) = start(Setup::default());
    let mut pump = Device::connect(devices);
    pump.say(r#"{"hello":"pump-1","proto":1,"describe":{"commands":{"note":{"args":{"text":{"type":"string"}}}}}}"#);
    assert_eq!(pump.next()["welcome"], "pump-1");
    let mut ann = Panel::open(&server, "ann", "t1", &["pump-1"]);
    assert_eq!(ann.control("take").status, 200);
    let evil = "a\u{9b}31m\u{202e}b\u{2066}\u{200b}\u{2028}\u{feff}\u{e0041}";
    let mut note = |text: &str| {
        let answer = ann.command("", json!({"command": "note", "args": {"text": text}}));
        assert_eq!(answer.status, 202, "{}", answer.text());
    };
    note(evil);
    let line = server.wait_log(" commanded id=");
    assert!(
        line.contains(r#" args={"text":"a\u{9b}31m\u{202e}b\u{2066}\u{200b}\u{2028}\u{feff}\u{e0041}"}"#),
        "{line}"
    );
    note(&"y".repeat(3000));
    let line = server.wait_log("yyyy");
    assert!(line.len() < 500 && line.ends_with("...(cut 2711 bytes)"), "{line}");
    let odd = |c: char| c.is_control() || ('\u{200b}'..='\u{206f}').contains(&c) || c > '\u{e0000}';
    assert!(server.log().lines().all(|line| !line.contains(odd)), "{}", server.log());
}
