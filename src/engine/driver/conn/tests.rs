//! That a secured transport fits below the send queue, and neither engine nor queue knows of it: one that does the awkward
//! things that TLS does carries the same talk as a plain one.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice};
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use super::*;
use crate::auth::Door;
use crate::engine::connection::tests::{ID, Line};
use crate::engine::shared::Cx;
use crate::msg::{Evidence, KernelFeatures, TcpHealth, Times};

/// What lies between two ends, as the kernel has it.
#[derive(Default)]
struct Wire {
    to_us: VecDeque<u8>,
    from_us: Vec<u8>,
    /// So many bytes are taken from us now.
    room: usize,
    fin: bool,
}

impl Wire {
    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.room);
        if n == 0 && !bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= n;
        self.from_us.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn give(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = buffer.len().min(self.to_us.len());
        self.to_us.drain(..n).zip(buffer).for_each(|(byte, place)| *place = byte);
        if n == 0 && !self.fin { Err(ErrorKind::WouldBlock.into()) } else { Ok(n) }
    }
}

/// A transport over a [`Wire`].
struct Transport {
    wire: Rc<RefCell<Wire>>,
    /// `None`: the bytes as they are.
    framed: Option<RefCell<Framed>>,
}

/// Records: a length, then as many bytes, each turned over. Before the first one each side says [`HELLO`], and nothing is
/// read before ours is said.
#[derive(Default)]
struct Framed {
    greeted: bool,
    packed: Vec<u8>,
    plain: VecDeque<u8>,
    unsent: VecDeque<u8>,
}

const HELLO: &[u8] = b"hello";
/// Bytes in a record at most.
const RECORD: usize = 100;

fn turned(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().map(|b| !b)
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    bytes.chunks(RECORD).flat_map(|part| std::iter::once(part.len() as u8).chain(turned(part))).collect()
}

impl Framed {
    fn unpack(&mut self) {
        if !self.greeted && self.packed.len() >= HELLO.len() {
            assert_eq!(self.packed.drain(..HELLO.len()).collect::<Vec<_>>(), HELLO);
            self.greeted = true;
            self.unsent.extend(HELLO);
        }
        while self.greeted && self.packed.first().is_some_and(|&len| self.packed.len() > len as usize) {
            let len = self.packed[0] as usize;
            self.plain.extend(turned(&self.packed[1..=len]));
            self.packed.drain(..=len);
        }
    }
}

impl Socket for Transport {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(framed) = &self.framed else { return self.wire.borrow_mut().give(buffer) };
        let mut framed = framed.borrow_mut();
        if framed.plain.is_empty() {
            let mut some = [0; 1000];
            let n = self.wire.borrow_mut().give(&mut some)?;
            if n == 0 {
                return Ok(0);
            }
            framed.packed.extend_from_slice(&some[..n]);
            framed.unpack();
        }
        // one byte at a time, and not one before our greeting is on its way
        if !framed.unsent.is_empty() && !framed.greeted {
            return Err(ErrorKind::WouldBlock.into());
        }
        let Some(byte) = framed.plain.pop_front() else { return Err(ErrorKind::WouldBlock.into()) };
        buffer[0] = byte;
        Ok(1)
    }

    fn writev(&self, slices: &[IoSlice<'_>], _: bool) -> io::Result<usize> {
        let Some(framed) = &self.framed else { return self.wire.borrow_mut().take(&slices[0]) };
        self.push()?;
        let part = &slices[0][..slices[0].len().min(RECORD)];
        framed.borrow_mut().unsent.extend(packed(part));
        match self.push() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            other => other?,
        }
        Ok(part.len())
    }

    fn sendfile(&self, _: BorrowedFd<'_>, _: u64, _: usize) -> io::Result<usize> {
        Err(ErrorKind::Unsupported.into())
    }

    fn holds_input(&self) -> bool {
        self.framed.as_ref().is_some_and(|framed| !framed.borrow().plain.is_empty())
    }

    fn holds_output(&self) -> bool {
        self.framed.as_ref().is_some_and(|framed| !framed.borrow().unsent.is_empty())
    }

    fn push(&self) -> io::Result<()> {
        let Some(framed) = &self.framed else { return Ok(()) };
        let unsent = &mut framed.borrow_mut().unsent;
        while !unsent.is_empty() {
            let n = self.wire.borrow_mut().take(unsent.make_contiguous())?;
            unsent.drain(..n);
        }
        Ok(())
    }

    fn shutdown_write(&self) -> io::Result<()> {
        Ok(())
    }

    fn reset(&self) {}

    fn outq(&self) -> u32 {
        0
    }

    fn health(&self) -> TcpHealth {
        TcpHealth::default()
    }

    fn nudge(&self) -> bool {
        false
    }

    fn prepare_link(&self, _: &Times, _: &KernelFeatures) {}

    fn prepare_response(&self, _: &KernelFeatures) {}

    fn evidence(_: &io::Error, _: bool) -> Option<Evidence> {
        None
    }
}

/// Says `bytes` over such a transport, whose peer takes `room` bytes in each turn: what it reads, and the end.
fn talk(framed: bool, bytes: &[u8], room: usize) -> (Vec<u8>, Next) {
    let mut line = Line::new(Door::Web);
    let wire = Rc::new(RefCell::new(Wire::default()));
    let transport = Transport { wire: wire.clone(), framed: framed.then(RefCell::default) };
    let mut conn = Conn::new(transport, line.state);
    let said = if framed { [HELLO, &packed(bytes)].concat() } else { bytes.to_vec() };
    wire.borrow_mut().to_us.extend(said);
    conn.ready.readable = true;
    let mut buffer = [0; 4096];
    for _ in 0..100_000 {
        if conn.wants_read() {
            let n = conn.read(&mut buffer).unwrap();
            if n > 0 {
                conn.state.received(&mut Cx { now: line.at, id: ID, shared: &mut line.shared }, &buffer[..n]);
            }
        }
        wire.borrow_mut().room += room;
        conn.ready.writable = true; // the event that room has brought
        let (next, _) = conn.settle(line.at, &mut Vec::new()).unwrap();
        let quiet = !conn.wants_read() && conn.state.output.is_empty() && !conn.socket.holds_output();
        if quiet || matches!(next, Next::Said(_)) {
            let got = wire.borrow().from_us.clone();
            return (got, next);
        }
    }
    panic!("it never came to an end")
}

/// What the peer of a framed transport reads.
fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut framed = Framed { packed: bytes.to_vec(), ..Framed::default() };
    framed.unpack();
    assert!(framed.packed.is_empty(), "whole records");
    framed.plain.into()
}

#[test]
fn a_transport_that_packs_what_it_carries_carries_the_same() {
    let get = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
    let last = "GET /x HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n\r\n";
    let bytes = [get, get, last].concat();
    let (plain, end) = talk(false, bytes.as_bytes(), 1 << 20);
    assert_eq!(plain.windows(4).filter(|w| w == b"page").count(), 3);
    assert!(matches!(end, Next::Said(_)));
    for room in [1, 7, 1 << 20] {
        let (got, next) = talk(true, bytes.as_bytes(), room);
        assert_eq!(unpacked(&got), plain, "{room} bytes a turn");
        assert_eq!(next, end, "{room} bytes a turn");
    }
}

#[test]
fn a_transport_that_has_something_to_say_says_it_though_nothing_is_owed() {
    let (got, next) = talk(true, b"", 1);
    assert_eq!((got.as_slice(), next), (HELLO, Next::Stay { more: false }));
}
