use super::*;
use crate::engine::driver::conn::Conn;
use crate::engine::driver::flush::{Flush, flush};
use crate::engine::send_queue::{Chunk, SLICES_MAX, SendQueue};
use socket2::{Domain, SockRef, Type};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

/// Our end, non-blocking, and the peer's, which takes what is there without waiting.
fn pair() -> (Stream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    (Stream::new(ours.into(), Kind::Unix), theirs)
}

fn tcp_pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    ours.set_nodelay(true).unwrap();
    (Stream::new(ours.into(), Kind::Tcp), theirs)
}

/// All that can be read now.
fn drain(from: &mut impl Read, into: &mut Vec<u8>) {
    let mut buf = [0; 4096];
    loop {
        match from.read(&mut buf) {
            Ok(0) => return,
            Ok(n) => into.extend_from_slice(&buf[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return,
            Err(e) => panic!("{e}"),
        }
    }
}

/// A file without a name that holds `bytes`.
fn file(bytes: &[u8]) -> (File, Rc<OwnedFd>) {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("boatswain-queue-{}-{n}", std::process::id()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file.write_all(bytes).unwrap();
    let fd = Rc::new(OwnedFd::from(file.try_clone().unwrap()));
    (file, fd)
}

/// A message of all kinds of chunks, and what the peer must read.
fn mixed(scale: usize) -> (SendQueue, Vec<u8>) {
    let text = |from: u8, len: usize| (0..len).map(|i| from.wrapping_add((i % 23) as u8)).collect::<Vec<u8>>();
    let in_file = text(b'f', 9 * scale);
    let (_, fd) = file(&in_file);
    let shared: Rc<[u8]> = text(b'A', 11 * scale).into();
    let mut queue = SendQueue::new();
    let mut expected = Vec::new();
    queue.push(Chunk::Bytes(text(b'a', 5 * scale)));
    expected.extend(text(b'a', 5 * scale));
    queue.push(Chunk::Shared(Rc::clone(&shared)));
    expected.extend_from_slice(&shared);
    queue.push(Chunk::Bytes(Vec::new()));
    queue.push(Chunk::File { fd: Rc::clone(&fd), offset: 2, len: 7 * scale as u64 - 2 });
    expected.extend_from_slice(&in_file[2..7 * scale]);
    queue.push(Chunk::Static(b"static"));
    expected.extend_from_slice(b"static");
    queue.push(Chunk::SharedRange(Rc::clone(&shared), 3..usize::MAX));
    expected.extend_from_slice(&shared[3..]);
    queue.push(Chunk::File { fd, offset: 0, len: scale as u64 });
    expected.extend_from_slice(&in_file[..scale]);
    assert_eq!(queue.owed(), expected.len() as u64);
    (queue, expected)
}

#[test]
fn every_split_arrives_in_order_and_whole() {
    let (_, expected) = mixed(1);
    for budget in 1..=expected.len() + 1 {
        let (mut queue, expected) = mixed(1);
        let (stream, mut peer) = pair();
        let (mut got, mut total, mut turns) = (Vec::new(), 0, 0);
        loop {
            let (flush, written) = flush(&mut queue, &stream, budget, &mut Vec::new()).unwrap();
            assert!(written as usize <= budget, "budget {budget}: {written} written");
            total += written;
            turns += 1;
            assert_eq!(queue.owed(), expected.len() as u64 - total);
            drain(&mut peer, &mut got);
            match flush {
                Flush::Empty => break,
                Flush::Yield => assert_eq!(written as usize, budget),
                Flush::Blocked => panic!("there is room"),
            }
        }
        assert_eq!(got, expected, "budget {budget}");
        assert_eq!(turns, expected.len().div_ceil(budget));
    }
}

#[test]
fn a_small_socket_buffer_blocks_and_goes_on_where_it_stopped() {
    for budget in [usize::MAX, 10_000, 1_500] {
        let (mut queue, expected) = mixed(20_000);
        let (stream, mut peer) = pair();
        SockRef::from(&stream).set_send_buffer_size(1).unwrap();
        let (mut got, mut blocked) = (Vec::new(), 0);
        loop {
            match flush(&mut queue, &stream, budget, &mut Vec::new()).unwrap().0 {
                Flush::Empty => break,
                Flush::Yield => {}
                Flush::Blocked => {
                    blocked += 1;
                    drain(&mut peer, &mut got);
                }
            }
        }
        drain(&mut peer, &mut got);
        assert!(got == expected, "{} of {} bytes", got.len(), expected.len());
        assert!(blocked > 10, "blocked {blocked} times");
    }
}

#[test]
fn tcp_behaves_the_same() {
    let (mut queue, expected) = mixed(20_000);
    let (stream, mut peer) = tcp_pair();
    SockRef::from(&stream).set_send_buffer_size(1).unwrap();
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        got
    });
    let mut poll = mio::Poll::new().unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&stream);
    let mut source = mio::unix::SourceFd(&fd);
    poll.registry().register(&mut source, mio::Token(0), mio::Interest::WRITABLE).unwrap();
    let mut events = mio::Events::with_capacity(4);
    loop {
        match flush(&mut queue, &stream, 100_000, &mut Vec::new()).unwrap().0 {
            Flush::Empty => break,
            Flush::Yield => {}
            // Edge-triggered: this hangs if a short write were not followed by an event.
            Flush::Blocked => poll.poll(&mut events, Some(std::time::Duration::from_secs(20))).unwrap(),
        }
    }
    stream.shutdown_write().unwrap();
    assert!(reader.join().unwrap() == expected);
}

#[test]
fn head_and_body_go_in_one_call() {
    // Datagrams keep the borders of calls.
    let (ours, theirs) = socket2::Socket::pair(Domain::UNIX, Type::DGRAM, None).unwrap();
    let stream = Stream::new(ours.into(), Kind::Unix);
    let mut queue = SendQueue::new();
    queue.push(Chunk::Bytes(b"head ".to_vec()));
    queue.push(Chunk::Static(b"body"));
    assert_eq!(flush(&mut queue, &stream, 1000, &mut Vec::new()).unwrap(), (Flush::Empty, 9));
    let mut buf = [0; 100];
    assert_eq!((&theirs).read(&mut buf).unwrap(), 9);
    assert_eq!(&buf[..9], b"head body");
}

#[test]
fn more_chunks_than_slices_are_written_all_the_same() {
    let (stream, mut peer) = pair();
    let mut queue = SendQueue::new();
    let mut expected = Vec::new();
    for i in 0..3 * SLICES_MAX as u8 {
        queue.push(Chunk::Bytes(vec![i; 3]));
        expected.extend([i; 3]);
    }
    assert_eq!(flush(&mut queue, &stream, usize::MAX, &mut Vec::new()).unwrap(), (Flush::Empty, expected.len() as u64));
    let mut got = Vec::new();
    drain(&mut peer, &mut got);
    assert_eq!(got, expected);
}

#[test]
fn the_head_waits_for_the_file_behind_it() {
    // The file is empty by now: only the head was written, and it must still be held back (for 200 ms at most, so a
    // machine that stalls in between gets another try).
    let held_back = (0..5).any(|_| {
        let (stream, peer) = tcp_pair();
        let (_file, fd) = file(b"");
        let mut queue = SendQueue::new();
        queue.push(Chunk::Static(b"head"));
        queue.push(Chunk::File { fd, offset: 0, len: 10 });
        flush(&mut queue, &stream, 1000, &mut Vec::new()).unwrap_err();
        peer.set_nonblocking(true).unwrap();
        (&peer).read(&mut [0; 10]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
    });
    assert!(held_back);
}

#[test]
fn a_file_that_was_cut_meanwhile_ends_in_an_error() {
    let (stream, mut peer) = pair();
    let (handle, fd) = file(&[7; 100]);
    let mut queue = SendQueue::new();
    queue.push(Chunk::File { fd, offset: 10, len: 90 });
    handle.set_len(50).unwrap();
    let e = flush(&mut queue, &stream, 1000, &mut Vec::new()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::UnexpectedEof);
    let mut got = Vec::new();
    drain(&mut peer, &mut got);
    assert_eq!(got, [7; 40]);
}

#[test]
fn parking_keeps_the_rest_of_a_half_written_chunk_only() {
    for (budget, kept) in [(0, ""), (1, "abc"), (2, "abc"), (3, "abc"), (4, "abcdef"), (6, "abcdef"), (8, "abcdefghi")]
    {
        let (stream, mut peer) = pair();
        let mut queue = SendQueue::new();
        for part in ["abc", "def", "ghi"] {
            queue.push(Chunk::Bytes(part.into()));
        }
        flush(&mut queue, &stream, budget, &mut Vec::new()).unwrap();
        assert_eq!(queue.mid_chunk(), budget % 3 != 0);
        assert_eq!(queue.drop_unsent() as usize, 9 - kept.len());
        assert_eq!(queue.owed() as usize, kept.len() - budget);
        queue.push(Chunk::Static(b"!"));
        assert_eq!(flush(&mut queue, &stream, 100, &mut Vec::new()).unwrap().0, Flush::Empty);
        let mut got = Vec::new();
        drain(&mut peer, &mut got);
        assert_eq!(String::from_utf8(got).unwrap(), format!("{kept}!"), "budget {budget}");
    }
}

#[test]
fn parking_keeps_the_rest_of_a_half_sent_file() {
    let (stream, mut peer) = pair();
    let (_handle, fd) = file(b"0123456789");
    let mut queue = SendQueue::new();
    queue.push(Chunk::File { fd, offset: 0, len: 10 });
    queue.push(Chunk::Static(b"dropped"));
    assert_eq!(flush(&mut queue, &stream, 4, &mut Vec::new()).unwrap(), (Flush::Yield, 4));
    assert_eq!(queue.drop_unsent(), 7);
    assert_eq!(flush(&mut queue, &stream, 100, &mut Vec::new()).unwrap(), (Flush::Empty, 6));
    let mut got = Vec::new();
    drain(&mut peer, &mut got);
    assert_eq!(got, b"0123456789");
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_no_signal() {
    let (stream, peer) = pair();
    drop(peer);
    let mut queue = SendQueue::new();
    queue.push(Chunk::Static(b"x"));
    assert_eq!(flush(&mut queue, &stream, 100, &mut Vec::new()).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn what_is_put_in_front_goes_first_and_the_rest_stays_whole() {
    let (ours, mut theirs) = pair();
    let mut queue = SendQueue::new();
    queue.push(Chunk::Static(b"one "));
    queue.push(Chunk::Static(b"two "));
    queue.push(Chunk::Static(b"three"));
    queue.push_front(Chunk::Static(b"beat "));
    assert_eq!(queue.owed(), 18);
    assert_eq!(flush(&mut queue, &ours, 5, &mut Vec::new()).unwrap(), (Flush::Yield, 5));
    let mut got = Vec::new();
    drain(&mut theirs, &mut got);
    assert_eq!(got, b"beat ");
    assert!(!queue.mid_chunk());
    queue.push_front(Chunk::Static(b"beat "));
    assert_eq!(flush(&mut queue, &ours, 100, &mut Vec::new()).unwrap(), (Flush::Empty, 18));
    drain(&mut theirs, &mut got);
    assert_eq!(got, b"beat beat one two three");
    let mut empty = SendQueue::new();
    empty.push_front(Chunk::Static(b"x"));
    assert_eq!((empty.owed(), empty.is_empty()), (1, false));
}

#[test]
fn an_idle_connection_is_small() {
    let size = size_of::<Conn<Stream>>();
    println!("a connection is {size} bytes");
    // with its slot, its timer and what malloc adds (which rounds up to 656 from 633 on) an idle connection costs some
    // 670 bytes of the process's memory
    assert!(size <= 648, "{size}");
}
