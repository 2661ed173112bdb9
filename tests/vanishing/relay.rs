//! A path of some length: a process that holds a TUN device at either end and hands packets over after a delay. It
//! loses some at random, each by itself, and can be cut. For kernels without netem, and for cuts of a delayed path.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::clients::{obey, report, var};

/// The name of the end at the people; the other one is called as their cell is.
pub const NEAR: &str = "tun0";

/// Why there can be no such path here; `None`: there can.
pub fn missing() -> Option<String> {
    let tried = Command::new("unshare").args(["--net", "ip", "tuntap", "add", "mode", "tun", "name", NEAR]).output();
    match tried {
        Ok(o) if o.status.success() => None,
        Ok(o) => Some(format!("no TUN devices: {}", String::from_utf8_lossy(&o.stderr).trim())),
        Err(e) => Some(format!("no TUN devices: {e}")),
    }
}

/// What happens on the way.
#[derive(Default)]
struct Way {
    /// Of 100 packets so many are lost.
    loss: AtomicU32,
    cut: AtomicBool,
}

/// A packet that is handed over so much later than it was due was held back by this machine.
const LATE: Duration = Duration::from_millis(100);

/// Runs until its standard input ends. `RELAY_PIDS`: one process in the server's namespace, one in the people's.
/// `RELAY_NAME`: the device at the server. `RELAY_DELAY_US`: each way. Says `up` once both devices are there, and `held MS`
/// when it held packets back that long because the machine did not run it. Orders: `loss PERCENT`, `cut both|s2c|c2s`,
/// `mend`.
pub fn relay() {
    let pids = var("RELAY_PIDS");
    let (server, people) = pids.split_once(',').expect("two processes");
    let delay = Duration::from_micros(var("RELAY_DELAY_US").parse().expect("a number"));
    // Leaked: both threads and the orders use them until the process ends.
    let ends: &[File; 2] = Box::leak(Box::new([device(server, &var("RELAY_NAME")), device(people, NEAR)]));
    let ways: &[Way; 2] = Box::leak(Box::default());
    obey(|line| order(ways, line));
    // The path must not be what a busy machine makes slow; without the right to it that is said by `held`.
    // SAFETY: setpriority(2) takes no pointers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -10) };
    report("up");
    std::thread::scope(|threads| {
        threads.spawn(|| carry(&ends[0], &ends[1], delay, &ways[0], false));
        threads.spawn(|| carry(&ends[1], &ends[0], delay, &ways[1], true));
    });
}

fn order(ways: &[Way; 2], line: &str) {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let cut = |s2c, c2s| {
        ways[0].cut.store(s2c, Ordering::SeqCst);
        ways[1].cut.store(c2s, Ordering::SeqCst);
    };
    match (word, rest) {
        ("loss", percent) => {
            ways.iter().for_each(|w| w.loss.store(percent.parse().expect("a number"), Ordering::SeqCst));
        }
        ("cut", "both") => cut(true, true),
        ("cut", "s2c") => cut(true, false),
        ("cut", "c2s") => cut(false, true),
        ("mend", "") => cut(false, false),
        _ => panic!("no such order: {line}"),
    }
}

/// A TUN device in the network namespace of that process. The thread moves there.
fn device(pid: &str, name: &str) -> File {
    let namespace = File::open(format!("/proc/{pid}/ns/net")).expect("the process is there");
    // SAFETY: setns(2) takes no pointers; the descriptor is open.
    let rc = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(rc, 0, "setns: {}", std::io::Error::last_os_error());
    let tun = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun");
    let tun = tun.expect("/dev/net/tun is there");
    // SAFETY: an ifreq is plain data, for which zeroes are a value.
    let mut wish: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in wish.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    wish.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq at the address given, which is one.
    let rc = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, &raw mut wish) };
    assert_eq!(rc, 0, "TUNSETIFF: {}", std::io::Error::last_os_error());
    tun
}

/// Carries packets one way, for ever. A cut is at the people's end: what they have sent before still arrives, what is
/// on its way to them (`!from_people`) does not.
fn carry(mut from: &File, mut to: &File, delay: Duration, way: &Way, from_people: bool) {
    let mut under_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut packet = vec![0; 65536];
    let mut random = seed();
    loop {
        let first = under_way.front().map(|(due, _)| due.saturating_duration_since(Instant::now()));
        wait(from.as_raw_fd(), first);
        // Not for ever: what is due must not wait for a flood to end.
        for _ in 0..64 {
            let len = match from.read(&mut packet) {
                Ok(len) => len,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => break, // the device is down
            };
            if from_people && way.cut.load(Ordering::SeqCst) || lost(&mut random, way.loss.load(Ordering::SeqCst)) {
                continue;
            }
            under_way.push_back((Instant::now() + delay, packet[..len].to_vec()));
        }
        let (now, mut late) = (Instant::now(), Duration::ZERO);
        while under_way.front().is_some_and(|(due, _)| *due <= now) {
            let Some((due, packet)) = under_way.pop_front() else { break };
            late = late.max(now - due);
            if from_people || !way.cut.load(Ordering::SeqCst) {
                let _ = to.write(&packet); // refused while the device is down: lost, then
            }
        }
        if late > LATE {
            report(&format!("held {}", late.as_millis()));
        }
    }
}

/// Until there is something to read, or for `time`; `None`: as long as it takes.
fn wait(fd: RawFd, time: Option<Duration>) {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let time = time.map(|t| libc::timespec { tv_sec: t.as_secs() as _, tv_nsec: t.subsec_nanos() as _ });
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: one pollfd at the address given, and a timespec or null that outlives the call; no signal mask.
    unsafe { libc::ppoll(&raw mut poll, 1, time, std::ptr::null()) };
    if poll.revents & libc::POLLERR != 0 {
        // The device is down: readable at once, with nothing to read.
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() | 1
}

/// Whether this packet is lost (xorshift64*).
fn lost(random: &mut u64, percent: u32) -> bool {
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    (random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % 100 < u64::from(percent)
}
