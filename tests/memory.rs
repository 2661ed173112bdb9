//! What one party can make the server keep in memory, seen from outside.
#![allow(clippy::unwrap_used)] // A test; its helpers too.
#![allow(clippy::disallowed_methods)] // it stands outside: it has a clock of its own

mod attached;
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use attached::{Device, Panel, post, start};
use serde_json::{Map, Value, json};
use support::{Client, Server, Setup, status_line, until};

/// Kilobytes of the server's memory, at its highest so far or now.
fn memory(server: &Server, line: &str) -> u64 {
    status_line(server, line).trim_end_matches(" kB").trim().parse().unwrap()
}

/// A device that says of itself and measures as much as it may.
fn large(addr: std::net::SocketAddr, n: usize) -> Device {
    let mut device = Device::connect(addr);
    let commands: Map<String, Value> =
        (0..60).map(|n| (format!("{n:0>60}"), json!({"title": "x".repeat(30), "anyone": n == 0}))).collect();
    device.say(&json!({"hello": format!("d{n}"), "proto": 1, "describe": {"commands": commands}}).to_string());
    assert_eq!(device.next()["welcome"], format!("d{n}"));
    for part in 0..4 {
        let values: Map<String, Value> =
            (0..64).map(|n| (format!("{:0>60}", part * 64 + n), Value::from("v".repeat(62)))).collect();
        device.say(&json!({"telemetry": values}).to_string());
    }
    device
}

/// A link that takes in its head and nothing more.
fn unread(client: &Client, target: &str, more: &str) -> TcpStream {
    let mut stream = client.connect().unwrap();
    let socket = socket2::SockRef::from(&stream);
    socket.set_recv_buffer_size(4096).unwrap();
    stream.write_all(client.head("GET", target, more).as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert!(matches!(&status[9..], b"200" | b"101"), "{}", String::from_utf8_lossy(&status));
    stream
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn sixty_unread_links_of_one_viewer_to_eight_large_devices_cost_little_and_only_that_viewer() {
    let (server, addr) = start(Setup::default());
    let mut devices: Vec<Device> = (0..8).map(|n| large(addr, n)).collect();
    let mut bob = Client::new(&server, "bob").from(2);
    until("all is measured", || {
        let devices = bob.get("/api/devices").json();
        devices.as_array().unwrap().iter().filter(|d| d["telemetry"].as_object().unwrap().len() == 256).count() == 8
    });
    let hello = bob.get("/api/devices").body.len();
    assert!(hello > 290_000, "{hello}");
    let panel = Panel::open(&server, "ann", "t1", &[]);
    // a quiet peer of another user whose page is slow, too
    let slow = unread(&Client::browser(&server, "eve", "Slow").from(3), "/api/events?tab=s&n=1", "");
    let before = memory(&server, "VmHWM:");
    let viewer = Client::browser(&server, "viewer", "Greedy").from(66);
    let open: Vec<TcpStream> = (0..60)
        .map(|n| {
            let (target, more) = if n % 2 == 0 { ("/api/socket", UPGRADE) } else { ("/api/events", "") };
            unread(&viewer, target, more)
        })
        .collect();
    let grown = memory(&server, "VmHWM:") - before;
    println!("{grown} kB more at most");
    assert!(grown < 8 << 10, "{grown} kB more at most");
    assert!(server.metric("boatswain_connections_shed_total") >= 40.0);
    assert!(server.metric("boatswain_kept_bytes ") < (6 << 20) as f64);
    // the others keep what they have, and a stop arrives
    let answer = post(&mut bob, "/api/devices/d3/command", &json!({"command": format!("{:0>60}", 0)}));
    assert_eq!(answer.status, 202, "{}", answer.text());
    while devices[3].next()["command"].is_null() {}
    panel.wait(|kind, _| kind == "commanded");
    assert_eq!(server.log().matches("user=eve kind=sse reason=").count(), 0, "the slow page has its link");
    drop((open, slow));
    until("all is given back", || server.metric("boatswain_kept_bytes ") == 0.0);
}

#[test]
fn bodies_that_never_end_and_answers_that_are_not_read_are_bounded_for_each_party() {
    let server = Setup::default().start();
    let before = memory(&server, "VmHWM:");
    let mut held = Vec::new();
    for n in 0..200 {
        let user = ["ann", "bob", "eve", "viewer"][n % 4];
        let client = Client::new(&server, user).from(66 + (n % 4) as u8);
        let mut stream = client.connect().unwrap();
        let head = client.head("POST", "/api/chat", "Content-Type: text/plain\r\nContent-Length: 65000\r\n");
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&[b'x'; 64_900]);
        held.push(stream);
        if n % 50 == 49 {
            let kept = server.metric("boatswain_kept_bytes ");
            assert!(kept <= (9 << 20) as f64, "{kept}");
        }
    }
    until("more would be too much", || server.metric("boatswain_connections_shed_total") > 20.0);
    let grown = memory(&server, "VmHWM:") - before;
    println!("{grown} kB more at most");
    assert!(grown < 14 << 10, "{grown} kB more at most");
    assert_eq!(Client::new(&server, "admin").from(2).get("/api/session").status, 200);
}
