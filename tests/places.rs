//! Places at a full house: what is silent gives way, whoever speaks is served.
#![allow(clippy::unwrap_used)] // A test; its helpers too.
#![allow(clippy::disallowed_methods)] // it stands outside: it has a clock of its own

mod attached;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use attached::{Device, Panel, command, devices_addr, start};
use serde_json::json;
use support::{Client, Server, Setup, read_answer, until};

/// So many connections to `addr`, from these addresses in turn, each of which says `begin`.
fn held(server: &Server, addr: SocketAddr, count: usize, from: &[u8], begin: &str) -> Vec<TcpStream> {
    let clients: Vec<Client> = from.iter().map(|&n| Client::new(server, "ann").from(n).to(addr)).collect();
    (0..count)
        .map(|n| {
            let mut stream = clients[n % clients.len()].connect().unwrap();
            stream.write_all(begin.as_bytes()).unwrap();
            stream
        })
        .collect()
}

/// A stop of the pump by a new session from 127.0.0.`from`, and the line by which the pump hears of it.
fn stops(server: &Server, pump: &mut Device, from: u8) {
    let mut client = Client::new(server, "viewer").agent(&format!("stop {from}")).from(from);
    let answer = command(&mut client, "", json!({"command": "stop"}));
    assert_eq!(answer.status, 202, "{}", answer.text());
    loop {
        let line = pump.next();
        if line["command"] == "stop" {
            pump.answer(&line["id"], true);
            return;
        }
    }
}

#[test]
fn a_stop_and_every_newcomer_are_served_though_256_connections_say_nothing() {
    for begin in ["", "GET / HTTP/1.1\r\nHost: loc", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let (server, addr) = start(Setup::default().table("seats", "max = 100\nper_user = 100"));
        let mut pump = Device::pump(addr);
        let panel = Panel::open(&server, "ann", "t1", &[]);
        let _held = held(&server, server.addr, 256, &[66, 67, 68, 69], begin);
        // also from the addresses that hold the others
        for from in [2, 66, 69, 3] {
            stops(&server, &mut pump, from);
        }
        for from in 4..40 {
            let mut newcomer = Client::new(&server, "bob").agent(&format!("newcomer {from}")).from(from);
            assert_eq!(newcomer.get("/api/session").status, 200, "from 127.0.0.{from} after {begin:?}");
        }
        panel.wait(|kind, _| kind == "answered");
        assert!(server.metric("boatswain_connections_gave_way_total") >= 16.0);
        assert_eq!(server.metric("boatswain_connections_refused_total"), 0.0);
        assert_eq!(server.metric("boatswain_links"), 1.0, "a link keeps its place");
    }
}

#[test]
fn a_flood_of_silent_connections_leaves_newcomers_the_time_to_speak() {
    let server = Setup::default().start();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|s| {
        for from in 66..70 {
            let (server, stop) = (&server, &stop);
            s.spawn(move || {
                let rude = Client::new(server, "ann").from(from);
                let mut open = std::collections::VecDeque::new();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    open.extend(rude.connect());
                    if open.len() > 80 {
                        open.pop_front();
                    }
                }
            });
        }
        until("the house is full", || server.metric("boatswain_connections_gave_way_total") >= 256.0);
        let before = server.metric("boatswain_connections_gave_way_total");
        let mut slow = Client::new(&server, "bob").from(2).connect().unwrap();
        let head = Client::new(&server, "bob").head("GET", "/api/session", "");
        for part in head.as_bytes().chunks(head.len() / 4) {
            let seen = server.metric("boatswain_connections_gave_way_total");
            until("others come", || server.metric("boatswain_connections_gave_way_total") > seen + 100.0);
            slow.write_all(part).unwrap();
        }
        let answer = read_answer(&slow, "GET");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(answer.unwrap().status, 200);
        assert!(server.metric("boatswain_connections_gave_way_total") >= before + 400.0);
    });
}

#[test]
fn a_device_is_welcomed_though_all_places_are_held_in_silence_from_its_own_address_too() {
    for from in [&[2u8][..], &[66, 67, 68, 69]] {
        let (server, addr) = start(Setup::default());
        let mut first = Device::pump(addr);
        let _held = held(&server, devices_addr(&server), 70, from, "");
        for n in 0..20 {
            let mut device = Client::new(&server, "ann").from(2).to(addr).connect().unwrap();
            device.write_all(format!("{{\"hello\":\"d{n}\",\"proto\":1}}\n").as_bytes()).unwrap();
            let mut said = [0; 64];
            let n = device.read(&mut said).unwrap();
            assert!(said[..n].starts_with(b"{\"welcome\""), "{}", String::from_utf8_lossy(&said[..n]));
        }
        stops(&server, &mut first, 3);
        until("the first stays, the others are gone", || server.metric("boatswain_devices") == 1.0);
    }
}

#[test]
fn one_user_from_many_addresses_leaves_the_others_their_places() {
    for waits in [false, true] {
        let limits = "connections = 64\nper_address = 64";
        let (server, addr) = start(Setup::default().table("seats", "max = 100").table("limits", limits));
        let mut pump = Device::pump(addr);
        let panel = Panel::open(&server, "bob", "t1", &[]);
        let mut ann = Client::browser(&server, "ann", "A").from(2);
        assert_eq!(ann.page("/").status, 200);
        let open: Vec<TcpStream> = (0..80)
            .map(|n| {
                let client = ann.clone().from(66 + n % 5);
                let mut stream = client.connect().unwrap();
                let body = r#"{"command":"stop"}"#;
                let head = if waits && n > 0 {
                    let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
                    client.head("POST", "/api/devices/pump-1/command?wait=60s", &more) + body
                } else {
                    client.head("GET", &format!("/api/events?tab=t{n}&n=1"), "")
                };
                stream.write_all(head.as_bytes()).unwrap();
                stream
            })
            .collect();
        until("places run out", || server.metric("boatswain_connections_gave_way_total") >= 1.0);
        for from in 4..24 {
            let mut newcomer = Client::new(&server, "viewer").agent(&format!("newcomer {from}")).from(from);
            assert_eq!(newcomer.get("/api/session").status, 200, "from 127.0.0.{from}");
        }
        stops(&server, &mut pump, 30);
        panel.wait(|kind, _| kind == "answered");
        assert_eq!(server.metric("boatswain_connections_refused_total"), 0.0);
        // what was first stays
        let links = server.metric("boatswain_links");
        assert!(if waits { links == 2.0 } else { links > 32.0 }, "{links}");
        drop(open);
    }
}

#[test]
fn those_who_come_in_one_turn_with_a_flood_of_one_user_are_served() {
    let limits = "connections = 64\nper_address = 64";
    let server = Setup::default().table("seats", "max = 100").table("limits", limits).start();
    let mut ann = Client::browser(&server, "ann", "A").from(2);
    assert_eq!(ann.page("/").status, 200);
    let newcomer = |from| {
        let client = Client::new(&server, "viewer").agent(&format!("newcomer {from}")).from(from);
        let mut stream = client.connect().unwrap();
        stream.write_all(client.head("GET", "/api/session", "").as_bytes()).unwrap();
        stream
    };
    // all wait in the listener's queue, with their requests: the server finds them in one turn
    server.signal("STOP");
    let (mut flood, mut newcomers) = (Vec::new(), Vec::new());
    for n in 0..100 {
        let client = ann.clone().from(66 + n % 5);
        let mut link = client.connect().unwrap();
        link.write_all(client.head("GET", &format!("/api/events?tab=t{n}&n=1"), "").as_bytes()).unwrap();
        flood.push(link);
        if (40..64).contains(&n) && n % 3 == 0 {
            newcomers.push(newcomer(n));
        }
    }
    server.signal("CONT");
    for stream in &newcomers {
        let answer = read_answer(stream, "GET").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(server.metric("boatswain_connections_refused_total"), 0.0);
    assert!(server.metric("boatswain_links") > 32.0, "what was first stays");
}

#[test]
fn where_descriptors_run_out_who_is_silent_gives_way() {
    let (server, addr) = start(Setup::default());
    let mut pump = Device::pump(addr);
    let panel = Panel::open(&server, "ann", "t1", &[]);
    let pid = server.pid().to_string();
    let used = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let limit = format!("--nofile={0}:{0}", used + 12);
    assert!(std::process::Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
    let _held = held(&server, server.addr, 30, &[66, 67], "GET / HTTP/1.1\r\nHost: loc");
    let _held_too = held(&server, devices_addr(&server), 10, &[68], "");
    for from in 2..6 {
        stops(&server, &mut pump, from);
    }
    panel.wait(|kind, _| kind == "answered");
    assert_eq!(server.metric("boatswain_devices"), 1.0);
    until("those in the queue of the listeners came in, too", || {
        server.metric("boatswain_connections_gave_way_total") >= 20.0
    });
    assert_eq!(server.metric("boatswain_links"), 1.0);
}
