//! A device on the real server, and a page over SSE that answers beats, as tests need them.
#![allow(dead_code)] // each test binary uses its own part of this

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Client, SOON, Server, Setup};

pub const PUMP: &str = r#"{"hello":"pump-1","proto":1,"describe":{
    "commands":{"start":{},"speed":{"args":{"rpm":{"type":"number","min":0,"max":3000}}},"stop":{"anyone":true}},
    "telemetry":{"rpm":"1/min","temp":"C"}}}"#;

pub fn server(control: &str) -> (Server, SocketAddr) {
    start(Setup::default().table("control", control))
}

pub fn start(setup: Setup) -> (Server, SocketAddr) {
    let server = setup.table("devices", "listen = [\"127.0.0.1:0\"]").start();
    let addr = devices_addr(&server);
    (server, addr)
}

pub fn devices_addr(server: &Server) -> SocketAddr {
    let line = server.wait_log("kind=devices");
    line.split("addr=").nth(1).and_then(|r| r.split_whitespace().next()).unwrap().parse().unwrap()
}

// -------------------------------------------------------------------------------------------------- a device

pub type Writer = Arc<Mutex<Box<dyn Write + Send>>>;

/// A device that answers pings by itself.
pub struct Device {
    pub write: Writer,
    pub lines: Receiver<(Instant, Value)>,
    pub tcp: Option<TcpStream>,
    /// Answers pings.
    pub alive: Arc<AtomicBool>,
}

impl Device {
    /// Connects and says nothing.
    pub fn connect(addr: SocketAddr) -> Device {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        let write = stream.try_clone().unwrap();
        let tcp = stream.try_clone().unwrap();
        let mut device = Device::over(Box::new(write), stream);
        device.tcp = Some(tcp);
        device
    }

    pub fn over(write: Box<dyn Write + Send>, read: impl Read + Send + 'static) -> Device {
        let write: Writer = Arc::new(Mutex::new(write));
        let alive = Arc::new(AtomicBool::new(true));
        let (to, lines) = channel();
        let (pongs, answers) = (Arc::clone(&write), Arc::clone(&alive));
        std::thread::spawn(move || {
            for line in BufReader::new(read).lines().map_while(Result::ok) {
                let value: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} in {line:?}"));
                if let Some(n) = value.get("ping") {
                    if answers.load(Ordering::Relaxed) {
                        let _ = writeln!(pongs.lock().unwrap(), "{}", json!({ "pong": n }));
                    }
                }
                if to.send((Instant::now(), value)).is_err() {
                    return;
                }
            }
        });
        Device { write, lines, tcp: None, alive }
    }

    /// Connects and is welcomed as `pump-1`.
    pub fn pump(addr: SocketAddr) -> Device {
        let mut device = Device::connect(addr);
        device.say(&PUMP.replace('\n', " "));
        assert_eq!(device.next()["welcome"], "pump-1");
        assert_eq!(device.next(), json!({"control": {"holder": null}}));
        device
    }

    pub fn say(&mut self, line: &str) {
        self.send(format!("{line}\n").as_bytes());
    }

    pub fn send(&mut self, bytes: &[u8]) {
        let mut write = self.write.lock().unwrap();
        let _ = write.write_all(bytes);
        let _ = write.flush();
    }

    /// The next line that is no ping; panics if none comes.
    pub fn next(&mut self) -> Value {
        self.timed().1
    }

    pub fn timed(&mut self) -> (Instant, Value) {
        let end = Instant::now() + SOON;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let (at, line) = self.lines.recv_timeout(left).expect("a line of the server");
            if line.get("ping").is_none() {
                return (at, line);
            }
        }
    }

    /// Whether the server ends the link without another line but pings.
    pub fn is_ended(&mut self) -> bool {
        let end = Instant::now() + SOON;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok((_, line)) if line.get("ping").is_some() => {}
                Ok(_) => return false,
                Err(e) => return e == std::sync::mpsc::RecvTimeoutError::Disconnected,
            }
        }
    }

    /// Its program hangs: it answers nothing.
    pub fn hang(&mut self) {
        self.alive.store(false, Ordering::Relaxed);
    }

    pub fn answer(&mut self, id: &Value, ok: bool) {
        self.say(&json!({"answer": id, "ok": ok, "result": {"done": ok}}).to_string());
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(tcp) = &self.tcp {
            let _ = tcp.shutdown(Shutdown::Both);
        }
    }
}

// ---------------------------------------------------------------------------------------------------- a page

/// A page over SSE: answers beats naming `hold` while `answers`.
pub struct Panel {
    pub client: Client,
    pub messages: Receiver<(Instant, String, Value)>,
    pub newest: Arc<Mutex<u64>>,
    pub answers: Arc<AtomicBool>,
}

impl Panel {
    pub fn open(server: &Server, user: &str, tab: &str, hold: &[&str]) -> Panel {
        let mut client = Client::browser(server, user, tab);
        assert_eq!(client.page("/").status, 200);
        let mut link = client.link(&format!("/api/events?tab={tab}&n=1"));
        let hold: Vec<String> = hold.iter().map(|h| h.to_string()).collect();
        let (to, messages) = channel();
        let (newest, answers) = (Arc::new(Mutex::new(0)), Arc::new(AtomicBool::new(true)));
        let (seen, goes_on) = (Arc::clone(&newest), Arc::clone(&answers));
        let (mut poster, target) = (client.clone(), format!("/api/beat?tab={tab}"));
        std::thread::spawn(move || {
            while let Some(heard) = link.next(Duration::from_secs(60)) {
                if heard.kind == "beat" {
                    let n = heard.data["n"].as_u64().unwrap();
                    *seen.lock().unwrap() = n;
                    if goes_on.load(Ordering::Relaxed) {
                        let body = json!({"beat": n, "hold": hold}).to_string();
                        poster.request("POST", &target, "Content-Type: application/json\r\n", body.as_bytes());
                    }
                } else if to.send((heard.at, heard.kind, heard.data)).is_err() {
                    return;
                }
            }
        });
        let panel = Panel { client, messages, newest, answers };
        panel.wait(|kind, _| kind == "hello");
        while panel.beat() == 0 {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        panel
    }

    pub fn beat(&self) -> u64 {
        *self.newest.lock().unwrap()
    }

    /// The first message for which `is` holds, and when it came.
    pub fn wait(&self, is: impl Fn(&str, &Value) -> bool) -> (Instant, Value) {
        let end = Instant::now() + SOON;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let (at, kind, data) = self.messages.recv_timeout(left).expect("the message that is waited for");
            if is(&kind, &data) {
                return (at, data);
            }
        }
    }

    pub fn control(&mut self, action: &str) -> Answer {
        control(&mut self.client, json!({ "action": action }))
    }

    pub fn command(&mut self, query: &str, mut body: Value) -> Answer {
        body["beat"] = self.beat().into();
        command(&mut self.client, query, body)
    }
}

pub fn control(client: &mut Client, body: Value) -> Answer {
    post(client, "/api/devices/pump-1/control", &body)
}

pub fn command(client: &mut Client, query: &str, body: Value) -> Answer {
    post(client, &format!("/api/devices/pump-1/command{query}"), &body)
}

pub fn post(client: &mut Client, target: &str, body: &Value) -> Answer {
    client.request("POST", target, "Content-Type: application/json\r\n", body.to_string().as_bytes())
}

/// The error word of a refusal with this status.
#[track_caller]
pub fn refused(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    answer.json()["error"].as_str().unwrap().to_string()
}
