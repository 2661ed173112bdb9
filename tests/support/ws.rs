//! A WebSocket client that does nothing by itself unless told to: what a test sends is what goes over the wire.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Answer, Client, SOON, Wire};

/// The key of the example in RFC 6455 and what answers it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The fields of a handshake.
pub const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// One frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A close code (0: none) and its reason.
    Close(u16, String),
}

/// An open WebSocket.
pub struct Socket {
    plug: Plug,
    /// Bytes that came and are no whole frame yet.
    came: Vec<u8>,
    ready: VecDeque<Frame>,
    /// Answers pings, as a browser does whatever its page does.
    pub pongs: bool,
    /// Answers beats, as a page does.
    pub beats: bool,
}

enum Plug {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A masked frame; `first` is its first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut out = vec![first];
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=0xffff => out.extend([&[0xfe][..], &(n as u16).to_be_bytes()].concat()),
        n => out.extend([&[0xff][..], &(n as u64).to_be_bytes()].concat()),
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m));
    out
}

impl Client {
    /// Opens a WebSocket; the status must be 101. It answers pings and beats.
    pub fn socket(&mut self, target: &str) -> Socket {
        self.try_socket(target, UPGRADE).unwrap_or_else(|a| panic!("GET {target}: {a:?}"))
    }

    /// Opens a WebSocket with these fields, or gets the refusal.
    pub fn try_socket(&mut self, target: &str, fields: &str) -> Result<Socket, Answer> {
        let stream = self.connect().unwrap();
        (&stream).write_all(self.head("GET", target, fields).as_bytes()).unwrap();
        let mut wire = Wire::new(stream);
        let mut answer = wire.head().unwrap_or_else(|e| panic!("GET {target}: {e}"));
        self.keep_cookie(&answer);
        if answer.status != 101 {
            wire.body("GET", &mut answer).unwrap();
            return Err(answer);
        }
        assert_eq!(answer.header("sec-websocket-accept"), ACCEPT, "{answer:?}");
        assert_eq!(answer.header("upgrade"), "websocket", "{answer:?}");
        assert_eq!(answer.header("connection"), "Upgrade", "{answer:?}");
        let came = wire.0.buffer().to_vec();
        Ok(Socket::new(Plug::Tcp(wire.0.into_inner()), came))
    }

    /// Opens a WebSocket over the unix socket at `path`.
    pub fn unix_socket(&mut self, path: &std::path::Path, target: &str) -> Socket {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.write_all(self.head("GET", target, UPGRADE).as_bytes()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut came = Vec::new();
        let end = loop {
            if let Some(at) = came.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            let mut buffer = [0; 4096];
            let n = stream.read(&mut buffer).unwrap();
            assert!(n > 0, "closed: {:?}", String::from_utf8_lossy(&came));
            came.extend_from_slice(&buffer[..n]);
        };
        let head: Vec<u8> = came.drain(..end).collect();
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{:?}", String::from_utf8_lossy(&head));
        Socket::new(Plug::Unix(stream), came)
    }
}

impl Socket {
    fn new(plug: Plug, came: Vec<u8>) -> Socket {
        Socket { plug, came, ready: VecDeque::new(), pongs: true, beats: true }
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.plug.write_all(bytes).unwrap();
    }

    /// Bytes as they are, if the server still takes any.
    pub fn try_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.plug.write_all(bytes)
    }

    /// From now on a write that the server does not take fails after so long.
    pub fn write_timeout(&mut self, limit: Duration) {
        match &self.plug {
            Plug::Tcp(s) => s.set_write_timeout(Some(limit)).unwrap(),
            Plug::Unix(s) => s.set_write_timeout(Some(limit)).unwrap(),
        }
    }

    /// Closes as a crashed program does: with a reset, if anything lies unread.
    pub fn abandon(self) {
        let plug = &self.plug;
        let _ = match plug {
            Plug::Tcp(s) => s.shutdown(Shutdown::Both),
            Plug::Unix(s) => s.shutdown(Shutdown::Both),
        };
    }

    /// One text message.
    pub fn text(&mut self, text: &str) {
        self.raw(&frame(0x81, text.as_bytes()));
    }

    /// The next frame, pings included; `None` when the server has closed the connection. Answers what it is to answer.
    pub fn frame(&mut self, limit: Duration) -> Option<Frame> {
        let got = self.frame_within(limit);
        assert!(got != Err(()), "nothing more heard in time");
        got.ok().flatten()
    }

    /// The same; `Err` if nothing came in time.
    pub fn frame_within(&mut self, limit: Duration) -> Result<Option<Frame>, ()> {
        let end = Instant::now() + limit;
        loop {
            if let Some((frame, used)) = parse(&self.came) {
                self.came.drain(..used);
                self.answer(&frame);
                return Ok(Some(frame));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(());
            }
            self.plug.set_read_timeout(left);
            let mut buffer = [0; 16 * 1024];
            match self.plug.read(&mut buffer) {
                Ok(0) => {
                    assert!(self.came.is_empty(), "closed in the middle of a frame");
                    return Ok(None);
                }
                Ok(n) => self.came.extend_from_slice(&buffer[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return Ok(None),
            }
        }
    }

    fn answer(&mut self, got: &Frame) {
        match got {
            Frame::Ping(payload) if self.pongs => drop(self.try_raw(&frame(0x8a, payload))),
            Frame::Text(text) if self.beats && text.starts_with(r#"{"type":"beat""#) => {
                let beat: Value = serde_json::from_str(text).unwrap();
                drop(self.try_raw(&frame(0x81, format!(r#"{{"beat":{}}}"#, beat["n"]).as_bytes())));
            }
            _ => {}
        }
    }

    /// The next text message that is no beat.
    pub fn message(&mut self) -> Value {
        let end = Instant::now() + SOON;
        loop {
            match self.frame(end.saturating_duration_since(Instant::now())) {
                Some(Frame::Text(text)) => {
                    let message: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
                    if message["type"] != "beat" {
                        return message;
                    }
                }
                Some(Frame::Ping(_) | Frame::Pong(_)) => {}
                other => panic!("{other:?} where a message was awaited"),
            }
        }
    }

    /// The next message of that type; others are passed over.
    pub fn wait(&mut self, kind: &str) -> Value {
        let end = Instant::now() + SOON;
        loop {
            let message = self.message();
            if message["type"] == kind {
                return message;
            }
            assert!(Instant::now() < end, "no {kind} in time");
        }
    }

    /// The next frame of that kind; others are passed over.
    pub fn wait_frame(&mut self, mut is: impl FnMut(&Frame) -> bool) -> Frame {
        let end = Instant::now() + SOON;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let frame = self.frame(left).expect("the frame, not the end");
            if is(&frame) {
                return frame;
            }
        }
    }

    /// Reads to the end: the messages that came (no beats), the close frame, and that FIN followed.
    pub fn drain(mut self) -> (Vec<Value>, Option<(u16, String)>) {
        let (mut messages, mut close) = (Vec::new(), None);
        let end = Instant::now() + SOON;
        while let Some(frame) = self.frame(end.saturating_duration_since(Instant::now())) {
            assert!(close.is_none(), "{frame:?} after a close frame");
            match frame {
                Frame::Text(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] != "beat" {
                        messages.push(message);
                    }
                }
                Frame::Close(code, reason) => {
                    close = Some((code, reason));
                }
                _ => {}
            }
        }
        (messages, close)
    }

    /// Lets what comes be for so long, answering as it is told to; the messages (no beats).
    pub fn idle(&mut self, time: Duration) -> Vec<Value> {
        let end = Instant::now() + time;
        let mut messages = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.frame_within(left) {
                Err(()) => return messages,
                Ok(None) => panic!("the server closed"),
                Ok(Some(Frame::Text(text))) if !text.starts_with(r#"{"type":"beat""#) => {
                    messages.push(serde_json::from_str(&text).unwrap());
                }
                Ok(Some(_)) => {}
            }
        }
    }
}

impl Drop for Socket {
    /// Closing with bytes unread would send a reset, as a crashed program does: says FIN, then reads to the end.
    fn drop(&mut self) {
        self.plug.set_read_timeout(SOON);
        if self.plug.shutdown().is_ok() {
            let _ = std::io::copy(&mut self.plug, &mut std::io::sink());
        }
    }
}

impl Plug {
    fn set_read_timeout(&self, limit: Duration) {
        match self {
            Plug::Tcp(s) => s.set_read_timeout(Some(limit)).unwrap(),
            Plug::Unix(s) => s.set_read_timeout(Some(limit)).unwrap(),
        }
    }

    fn shutdown(&self) -> std::io::Result<()> {
        match self {
            Plug::Tcp(s) => s.shutdown(Shutdown::Write),
            Plug::Unix(s) => s.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Plug {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Plug::Tcp(s) => s.read(buffer),
            Plug::Unix(s) => s.read(buffer),
        }
    }
}

impl Write for Plug {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Plug::Tcp(s) => s.write(bytes),
            Plug::Unix(s) => s.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The first frame of `bytes`, if it is whole. A server's frames are never masked nor, here, in fragments.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert!(first & 0x70 == 0 && first & 0x80 != 0 && second & 0x80 == 0, "{first:x} {second:x}");
    let (len, head) = match second {
        126 => (u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()).into(), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize, 10),
        n => (n.into(), 2),
    };
    let payload = bytes.get(head..head + len)?.to_vec();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let frame = match first & 15 {
        1 => Frame::Text(text(payload)),
        2 => Frame::Binary(payload),
        8 if payload.is_empty() => Frame::Close(0, String::new()),
        8 => Frame::Close(u16::from_be_bytes([payload[0], payload[1]]), text(payload[2..].to_vec())),
        9 => Frame::Ping(payload),
        10 => Frame::Pong(payload),
        other => panic!("opcode {other}"),
    };
    Some((frame, head + len))
}
