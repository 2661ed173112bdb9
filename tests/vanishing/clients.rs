//! The people in the namespaces: children of the test, raw sockets, no browser.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// `Basic` credentials of `operator:secret`.
pub const CREDENTIALS: &str = "Authorization: Basic b3BlcmF0b3I6c2VjcmV0\r\n";

/// What the environment of a child tells it to be.
pub const ROLE: &str = "VANISH_ROLE";

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: 10.83.0.1\r\nUser-Agent: vanish\r\n{CREDENTIALS}\r\n")
}

fn connect(from: Option<&str>, to: SocketAddr, rcvbuf: Option<usize>) -> std::io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    if let Some(bytes) = rcvbuf {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(from) = from {
        let addr: SocketAddr = format!("{from}:0").parse().expect("an address");
        socket.bind(&addr.into())?;
    }
    socket.connect(&to.into())?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// Ends this child when its parent closes the pipe, and calls `on` for each line until then.
pub fn obey(on: impl Fn(&str) + Send + 'static) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            on(&line);
        }
        std::process::exit(0);
    });
}

pub fn var(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

pub fn report(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "@{text}");
    let _ = out.flush();
}

/// Reads a response head; the reader is left at the body.
fn head(stream: &mut BufReader<TcpStream>) -> std::io::Result<(String, usize)> {
    let (mut status, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if status.is_empty() {
            status = line.trim().to_owned();
        } else if line.trim().is_empty() {
            return Ok((status, length));
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
}

/// Many people in one namespace, each at an address of their own. Says `up ADDRESS MICROSECONDS` for each that is
/// served, with the time that connecting took, and `end ADDRESS` when its connection ends. `stop` on standard input: they stop reading.
pub fn victims() {
    let server: SocketAddr = var("VANISH_SERVER").parse().expect("an address");
    let mode = var("VANISH_MODE");
    let reading = Arc::new(AtomicBool::new(true));
    let stop = Arc::clone(&reading);
    obey(move |line| {
        if line == "stop" {
            stop.store(false, Ordering::SeqCst);
        }
    });
    let threads: Vec<_> = var("VANISH_ADDRESSES")
        .split(',')
        .map(|address| {
            let (address, mode, reading) = (address.to_owned(), mode.clone(), Arc::clone(&reading));
            std::thread::spawn(move || {
                let again = std::env::var_os("VANISH_AGAIN").is_some();
                loop {
                    let end = victim(&address, server, &mode, &reading);
                    report(&format!("end {address} {end:?}"));
                    if !again {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(200));
                }
            })
        })
        .collect();
    for thread in threads {
        let _ = thread.join();
    }
    loop {
        std::thread::park();
    }
}

fn victim(address: &str, server: SocketAddr, mode: &str, reading: &AtomicBool) -> std::io::Result<()> {
    let rcvbuf = mode.starts_with("stopped").then_some(4096);
    let asked = Instant::now();
    let stream = connect(Some(address), server, rcvbuf)?;
    let up = format!("up {address} {}", asked.elapsed().as_micros());
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    if mode == "used" {
        for _ in 0..5 {
            writer.write_all(request("/page.html").as_bytes())?;
            let (_, length) = head(&mut reader)?;
            std::io::copy(&mut (&mut reader).take(length as u64), &mut std::io::sink())?;
        }
    }
    let target = match mode {
        "download" => "/big.bin",
        "idle" | "used" | "chatty" => "/api/events?types=beat",
        _ => "/api/events?types=beat,said",
    };
    if mode == "socket" {
        return page(address, &up, writer, reader, reading);
    }
    writer.write_all(request(target).as_bytes())?;
    let (status, _) = head(&mut reader)?;
    if !status.contains(" 200 ") {
        report(&format!("refused {address} {status}"));
        return Ok(());
    }
    let mut buffer = vec![0; 16384];
    if reader.read(&mut buffer)? > 0 {
        report(&up);
    }
    if mode == "chatty" {
        // A peer that goes on talking: bytes that a subscriber's connection ignores.
        std::thread::spawn(move || {
            while writer.write_all(b"\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(300));
            }
        });
    }
    loop {
        if !reading.load(Ordering::SeqCst) {
            std::thread::park();
        }
        if mode == "download" {
            // Slow enough that 10 MB are still on their way when the cable is cut.
            std::thread::sleep(Duration::from_millis(20));
        }
        if reader.read(&mut buffer)? == 0 {
            return Ok(());
        }
    }
}

/// A page on a WebSocket that answers each beat as it comes.
fn page(
    address: &str,
    welcome: &str,
    mut writer: TcpStream,
    mut reader: BufReader<TcpStream>,
    reading: &AtomicBool,
) -> std::io::Result<()> {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let target = format!("/api/socket?types=beat&tab={address}&n=1");
    writer.write_all((request(&target).trim_end().to_owned() + "\r\n" + upgrade).as_bytes())?;
    let (status, _) = head(&mut reader)?;
    if !status.contains(" 101 ") {
        report(&format!("refused {address} {status}"));
        return Ok(());
    }
    let mut up = false;
    loop {
        if !reading.load(Ordering::SeqCst) {
            std::thread::park();
        }
        let mut start = [0; 2];
        reader.read_exact(&mut start)?;
        let mut long = [0; 2];
        let len = match start[1] {
            126 => {
                reader.read_exact(&mut long)?;
                u16::from_be_bytes(long).into()
            }
            127 => return Err(std::io::Error::other("a frame of more than 64 KiB")),
            n => usize::from(n),
        };
        let mut payload = vec![0; len];
        reader.read_exact(&mut payload)?;
        if !std::mem::replace(&mut up, true) {
            report(welcome);
        }
        let text = String::from_utf8_lossy(&payload);
        let answer = match (start[0], text.split_once("\"beat\",\"n\":")) {
            (0x89, _) => [&[0x8a, 0x80 | len as u8, 0, 0, 0, 0][..], &payload].concat(),
            (0x81, Some((_, n))) => {
                let json = format!("{{\"beat\":{}}}", n.trim_end_matches('}'));
                [&[0x81, 0x80 | json.len() as u8, 0, 0, 0, 0][..], json.as_bytes()].concat()
            }
            _ => continue,
        };
        writer.write_all(&answer)?;
    }
}

/// Somebody who stays and hears who is gone. Says `event TYPE ADDRESS AFTER_MS EVIDENCE`.
pub fn observer() {
    let server: SocketAddr = var("VANISH_SERVER").parse().expect("an address");
    obey(|_| {});
    let mut stream = connect(None, server, None).expect("the server is there");
    stream
        .write_all(request("/api/events?types=joined,left,lost,suspected,recovered,stalled").as_bytes())
        .expect("the server listens");
    let mut reader = BufReader::new(stream);
    let (status, _) = head(&mut reader).expect("a response");
    report(&format!("up {status}"));
    let mut kind = String::new();
    for line in reader.lines().map_while(Result::ok) {
        if let Some(word) = line.strip_prefix("event: ") {
            kind = word.to_owned();
        }
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let Ok(data) = serde_json::from_str::<serde_json::Value>(data) else { continue };
        if kind == "hello" {
            continue;
        }
        let text = |v: &serde_json::Value| v.as_str().unwrap_or("-").to_owned();
        let after = data["after_ms"].as_u64().or(data["silent_ms"].as_u64()).unwrap_or(0);
        let why = if data["reason"].is_string() { text(&data["reason"]) } else { text(&data["evidence"]) };
        report(&format!("event {kind} {} {after} {why}", text(&data["member"]["addr"])));
    }
    report("end observer");
    loop {
        std::thread::park();
    }
}

/// Says something every 50 ms, for those who are to be busy.
pub fn chatter() {
    let server: SocketAddr = var("VANISH_SERVER").parse().expect("an address");
    obey(|_| {});
    let stream = connect(None, server, None).expect("the server is there");
    let mut writer = stream.try_clone().expect("a socket");
    let mut reader = BufReader::new(stream);
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(6);
    report("up chatter");
    loop {
        let post = format!(
            "POST /api/chat HTTP/1.1\r\nHost: 10.83.0.1\r\nUser-Agent: chatter\r\n{CREDENTIALS}Content-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{text}",
            text.len()
        );
        if writer.write_all(post.as_bytes()).is_err() {
            break;
        }
        let Ok((status, length)) = head(&mut reader) else { break };
        if !status.contains(" 201 ") {
            report(&format!("refused chatter {status}"));
        }
        let _ = std::io::copy(&mut (&mut reader).take(length as u64), &mut std::io::sink());
        std::thread::sleep(Duration::from_millis(50));
    }
    report("end chatter");
    loop {
        std::thread::park();
    }
}

/// The way it is usually done: idle connections with keepalive 1/1/2. Says `timeout` for each that the kernel gives up.
pub fn classic_server() {
    obey(|_| {});
    let listener = std::net::TcpListener::bind("0.0.0.0:8081").expect("the port is free");
    report("up classic");
    for stream in listener.incoming().map_while(Result::ok) {
        std::thread::spawn(move || {
            let probes = socket2::TcpKeepalive::new()
                .with_time(Duration::from_secs(1))
                .with_interval(Duration::from_secs(1))
                .with_retries(2);
            socket2::SockRef::from(&stream).set_tcp_keepalive(&probes).expect("a socket");
            let mut stream = stream;
            match stream.read(&mut [0; 16]) {
                Err(e) if e.kind() == std::io::ErrorKind::TimedOut => report("timeout classic"),
                _ => {}
            }
        });
    }
}

/// The peers of [`classic_server`]: they come back when they are thrown out.
pub fn classic_clients() {
    let server: SocketAddr = "10.83.0.1:8081".parse().expect("an address");
    obey(|_| {});
    for address in var("VANISH_ADDRESSES").split(',') {
        let address = address.to_owned();
        std::thread::spawn(move || {
            loop {
                if let Ok(mut stream) = connect(Some(&address), server, None) {
                    // To notice a reset that was lost on its way.
                    let probes = socket2::TcpKeepalive::new()
                        .with_time(Duration::from_secs(2))
                        .with_interval(Duration::from_secs(1))
                        .with_retries(9);
                    let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&probes);
                    let _ = stream.read(&mut [0; 16]);
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        });
    }
    loop {
        std::thread::park();
    }
}
