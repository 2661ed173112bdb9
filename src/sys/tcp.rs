//! TCP as the kernel shows it: its health, the socket options of links, and which of them this kernel has.
//!
//! Never does: verdicts. What the numbers mean is `liveness`'s business.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::msg::{Control, Evidence, INFO_NEEDED, Keepalive, KernelFeatures, TcpHealth, Times};

/// TCP_RTO_MAX_MS, linux/tcp.h since Linux 6.15; not in libc yet.
const TCP_RTO_MAX_MS: libc::c_int = 44;
/// TCP_RTO_MIN_US, linux/tcp.h since Linux 6.15; not in libc yet.
const TCP_RTO_MIN_US: libc::c_int = 45;
/// The smallest that the kernel accepts for TCP_RTO_MAX_MS.
const RTO_MAX: Duration = Duration::from_secs(1);
/// Beyond everything that may keep the socket of a living or parked peer: the user timeout is a backstop.
const BACKSTOP: Duration = Duration::from_secs(60);
/// Keepalive of links: a backstop for sockets which the heartbeat does not serve.
const LINK_KEEPALIVE: Keepalive = Keepalive { idle_s: 20, interval_s: 5, count: 3 };
/// Send buffer asked for a link (the kernel doubles it). See docs/liveness.md.
const LINK_SEND_BUFFER: usize = 16 * 1024;
/// Bytes of `struct tcp_info` that are of use; newer kernels have more, older ones less.
const INFO_LEN: usize = 232;

/// Tries each of the kernel's features on a scratch socket that is never connected. `without`: comma-separated
/// [`KernelFeatures::NAMES`] to do without, as on an older kernel (for tests).
pub fn probe(without: &str) -> KernelFeatures {
    let has = |name: &str| !without.split(',').any(|w| w.trim() == name);
    let none = KernelFeatures::default();
    let Ok(scratch) = scratch_socket() else { return none };
    let fd = borrow(&scratch);
    let mut control = None;
    for candidate in [Control::Cubic, Control::Reno] {
        if control.is_none() && has("control") && set_control(fd, candidate).is_ok() {
            control = Some(candidate);
        }
    }
    KernelFeatures {
        control,
        thin: has("thin") && set_thin(fd).is_ok(),
        rto_max: has("rto_max") && set_rto_max(fd, RTO_MAX).is_ok(),
        rto_min: has("rto_min") && set_rto_min(fd, Duration::from_millis(50)).is_ok(),
        user_timeout: has("user_timeout") && set_user_timeout(fd, BACKSTOP).is_ok(),
        nudge: has("nudge") && may_repair(fd).is_ok(),
        info_len: if has("info") { raw_info(fd).map_or(0, |(_, len)| len) } else { 0 },
    }
}

/// Sets up the socket of a connection that becomes a link. What the kernel refuses is left as it is: [`KernelFeatures`] has
/// said so at start. To be called once a connection: the kernel's documentation discourages changing RTO_MAX later.
pub fn prepare_link(fd: BorrowedFd<'_>, times: &Times, features: &KernelFeatures) {
    // One refused option must not keep the others from being set; each failure was reported at start.
    if let Some(control) = features.control {
        let _ = set_control(fd, control);
    }
    if features.thin {
        let _ = set_thin(fd);
    }
    if features.rto_max {
        let _ = set_rto_max(fd, RTO_MAX);
    }
    if let (true, Some(min)) = (features.rto_min, times.rto_min) {
        let _ = set_rto_min(fd, min);
    }
    if features.user_timeout {
        let _ = set_user_timeout(fd, (times.stalled_after * 2).max(times.returned_within) + BACKSTOP);
    }
    let _ = set_keepalive(fd, LINK_KEEPALIVE);
    let _ = set_send_buffer(fd, LINK_SEND_BUFFER);
}

/// Sets up the socket of a connection that cannot carry heartbeats: the kernel's keepalive.
///
/// # Errors
/// Those of setsockopt(2).
pub fn prepare_plain(fd: BorrowedFd<'_>, times: &Times) -> io::Result<()> {
    set_keepalive(fd, times.keepalive)
}

/// Sets up the socket of a response that its peer does not take: retransmissions and window probes that do not thin
/// out, so that silence means something. Failures as for [`prepare_link`].
pub fn prepare_response(fd: BorrowedFd<'_>, features: &KernelFeatures) {
    if features.thin {
        let _ = set_thin(fd);
    }
    if features.rto_max {
        let _ = set_rto_max(fd, RTO_MAX);
    }
}

/// Bytes written but not yet acknowledged (SIOCOUTQ, tcp(7)). On a unix socket buffer overhead is counted too.
///
/// # Errors
/// Those of ioctl(2); EINVAL on a listener.
pub fn outq(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (= TIOCOUTQ) writes one int to the address given, which is one.
    let rc = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ as _, &raw mut bytes) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(u32::try_from(bytes).unwrap_or(0)) }
}

/// The kernel's view of the connection (TCP_INFO, tcp(7)); what this kernel does not fill is `None`.
///
/// # Errors
/// Those of getsockopt(2): EOPNOTSUPP on a unix socket.
pub fn health(fd: BorrowedFd<'_>) -> io::Result<TcpHealth> {
    raw_info(fd).map(|(bytes, len)| decode(bytes.get(..len).unwrap_or(&bytes)))
}

/// Makes the kernel send a window probe at once, also with data in flight or a closed window, when a living peer
/// answers with an acknowledgement: leaving repair mode does (tcp_send_window_probe in net/ipv4/tcp.c). Needs
/// CAP_NET_ADMIN and Linux 3.5.
///
/// # Errors
/// Those of setsockopt(2).
pub fn nudge(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR, 1)?;
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR, 0)?;
    // Leaving repair mode clears it, and the port could then not be bound again while this socket lives.
    set_int(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)
}

/// What an error of a socket says of its peer; `None`: nothing. `outstanding`: output was unacknowledged, so the
/// timeout is one of retransmissions, not of keepalive probes.
pub fn evidence(error: &io::Error, outstanding: bool) -> Option<Evidence> {
    match error.raw_os_error()? {
        libc::ETIMEDOUT if outstanding => Some(Evidence::NoAck),
        libc::ETIMEDOUT => Some(Evidence::Keepalive),
        libc::ECONNRESET | libc::EPIPE => Some(Evidence::Reset),
        libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENETDOWN => Some(Evidence::Unreachable),
        _ => None,
    }
}

/// Turns on the kernel's keepalive with these times (SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT).
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_keepalive(fd: BorrowedFd<'_>, times: Keepalive) -> io::Result<()> {
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, times.idle_s.into())?;
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, times.interval_s.into())?;
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, times.count.into())?;
    set_int(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)
}

/// Sets SO_SNDBUF; the kernel doubles the value and stops adjusting it by itself (socket(7)).
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_send_buffer(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    set_int(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX))
}

fn set_control(fd: BorrowedFd<'_>, control: Control) -> io::Result<()> {
    let name: &[u8] = match control {
        Control::Cubic => b"cubic",
        Control::Reno => b"reno",
    };
    set(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION, name)
}

fn set_thin(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_THIN_LINEAR_TIMEOUTS, 1)
}

fn set_rto_max(fd: BorrowedFd<'_>, max: Duration) -> io::Result<()> {
    set_int(fd, libc::IPPROTO_TCP, TCP_RTO_MAX_MS, millis(max))
}

fn set_rto_min(fd: BorrowedFd<'_>, min: Duration) -> io::Result<()> {
    set_int(fd, libc::IPPROTO_TCP, TCP_RTO_MIN_US, libc::c_int::try_from(min.as_micros()).unwrap_or(libc::c_int::MAX))
}

fn set_user_timeout(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<()> {
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, millis(timeout))
}

/// Whether repair mode would be allowed. On a closed socket the kernel checks the permission and then toggles a
/// flag; nothing is sent, for there is nobody to send to.
fn may_repair(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR, 1)?;
    // -1 (TCP_REPAIR_OFF_NO_WP) would need Linux 4.19; the socket is closed next.
    set_int(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR, 0)
}

fn scratch_socket() -> io::Result<OwnedFd> {
    let mut last = io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
    for family in [libc::AF_INET, libc::AF_INET6] {
        // SAFETY: socket(2) takes no pointers.
        let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
        if fd >= 0 {
            // SAFETY: fd was just opened and belongs to nobody else.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
        }
        last = io::Error::last_os_error();
    }
    Err(last)
}

fn borrow(fd: &OwnedFd) -> BorrowedFd<'_> {
    use std::os::fd::AsFd;
    fd.as_fd()
}

fn millis(d: Duration) -> libc::c_int {
    libc::c_int::try_from(d.as_millis()).unwrap_or(libc::c_int::MAX)
}

fn set_int(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set(fd, level, name, &value.to_ne_bytes())
}

fn set(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: &[u8]) -> io::Result<()> {
    let len = value.len() as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `value`, which outlives the call.
    let rc = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), len) };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// TCP_INFO as bytes, and how many of them the kernel filled. Not `libc::tcp_info`: its size is the libc's, not the
/// kernel's.
fn raw_info(fd: BorrowedFd<'_>) -> io::Result<([u8; INFO_LEN], usize)> {
    let mut bytes = [0; INFO_LEN];
    let mut len = INFO_LEN as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `bytes`, which is that long, and the new length to `len`.
    let rc = unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, bytes.as_mut_ptr().cast(), &raw mut len)
    };
    if rc < 0 { Err(io::Error::last_os_error()) } else { Ok((bytes, (len as usize).min(INFO_LEN))) }
}

/// The fields of `struct tcp_info` (linux/tcp.h, a stable interface that only grows) by their offsets.
fn decode(info: &[u8]) -> TcpHealth {
    let byte = |at: usize| info.get(at).copied();
    let word = |at: usize| {
        let bytes = info.get(at..at.checked_add(size_of::<u32>())?)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    // The fields of the first 104 bytes came together; a shorter answer is no tcp_info at all (qemu: one int).
    let whole = info.len() >= INFO_NEEDED;
    let old = |at: usize| if whole { word(at) } else { None };
    let old_byte = |at: usize| if whole { byte(at).unwrap_or(0) } else { 0 };
    TcpHealth {
        state: byte(0).unwrap_or(0),
        retransmits: old_byte(2),
        probes: old_byte(3),
        backoff: old_byte(4),
        rto_us: old(8),
        unacked: old(24),
        last_data_recv_ms: old(52),
        last_ack_recv_ms: old(56),
        rtt_us: old(68),
        cwnd: old(80),
        total_retrans: old(100),
        empty_segs_in: match (word(140), word(152)) {
            (Some(all), Some(with_data)) => Some(all.wrapping_sub(with_data)),
            _ => None,
        },
        send_window: word(228),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    #[test]
    fn fields_beyond_the_returned_length_are_none() {
        let (server, _client) = pair();
        let (bytes, len) = raw_info(server.as_fd()).unwrap();
        assert!(len >= INFO_NEEDED);
        let four = decode(&bytes[..4]);
        assert_eq!(four, TcpHealth { state: 1, ..TcpHealth::default() });
        let old = decode(&bytes[..104]);
        assert_eq!((old.state, old.unacked, old.empty_segs_in, old.send_window), (1, Some(0), None, None));
        assert!(old.rto_us.unwrap() >= 1000);
        assert_eq!(decode(&[]), TcpHealth::default());
    }

    #[test]
    fn what_the_peer_sends_without_data_is_counted_apart() {
        let (mut server, mut client) = pair();
        let before = health(server.as_fd()).unwrap();
        client.write_all(b"hello").unwrap();
        let mut five = [0; 5];
        server.read_exact(&mut five).unwrap();
        let with_data = health(server.as_fd()).unwrap();
        assert_eq!(with_data.empty_segs_in, before.empty_segs_in);
        server.write_all(b"x").unwrap();
        client.read_exact(&mut five[..1]).unwrap();
        while outq(server.as_fd()).unwrap() > 0 {
            std::thread::yield_now();
        }
        let acked = health(server.as_fd()).unwrap();
        assert!(acked.empty_segs_in > with_data.empty_segs_in, "{acked:?}");
    }

    #[test]
    fn a_window_that_the_peer_closed_shows_as_bytes_without_segments() {
        let (mut server, client) = pair();
        server.set_nonblocking(true).unwrap();
        while server.write(&[0; 65536]).is_ok() {}
        // The last acknowledgements may still be under way.
        let closed = |server: &TcpStream| {
            let health = health(server.as_fd()).unwrap();
            health.unacked == Some(0) && outq(server.as_fd()).unwrap() > 0
        };
        while !closed(&server) {
            while server.write(&[0; 65536]).is_ok() {}
            std::thread::yield_now();
        }
        drop(client);
    }

    #[test]
    fn a_link_gets_every_option_that_was_found() {
        let (server, _client) = pair();
        let features = probe("");
        let times = crate::config::Profile::Standard.values().times();
        prepare_link(server.as_fd(), &times, &features);
        let get = |level, name| {
            let mut value: libc::c_int = 0;
            let mut len = size_of::<libc::c_int>() as libc::socklen_t;
            // SAFETY: an int is written to an int.
            let rc =
                unsafe { libc::getsockopt(server.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut len) };
            assert_eq!(rc, 0);
            value
        };
        assert!(features.control.is_some() && features.thin && features.user_timeout && features.info(), "{features}");
        assert_eq!(get(libc::IPPROTO_TCP, libc::TCP_THIN_LINEAR_TIMEOUTS), 1);
        assert_eq!(get(libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT), 120_000);
        assert_eq!(get(libc::SOL_SOCKET, libc::SO_KEEPALIVE), 1);
        if features.rto_max {
            assert_eq!(get(libc::IPPROTO_TCP, TCP_RTO_MAX_MS), 1000);
        }
        if features.nudge {
            nudge(server.as_fd()).unwrap();
            assert_eq!(get(libc::SOL_SOCKET, libc::SO_REUSEADDR), 1);
        }
    }

    #[test]
    fn features_can_be_done_without_by_name() {
        let none = probe(&KernelFeatures::NAMES.join(", "));
        assert_eq!(none.to_string(), "no-control no-thin no-rto_max no-rto_min no-user_timeout no-nudge tcp_info=0");
        assert!(probe("nudge").thin);
    }

    #[test]
    fn errors_say_what_they_prove() {
        let of = |errno, outstanding| evidence(&io::Error::from_raw_os_error(errno), outstanding);
        assert_eq!(of(libc::ETIMEDOUT, false), Some(Evidence::Keepalive));
        assert_eq!(of(libc::ETIMEDOUT, true), Some(Evidence::NoAck));
        assert_eq!(of(libc::ECONNRESET, true), Some(Evidence::Reset));
        assert_eq!(of(libc::EHOSTUNREACH, true), Some(Evidence::Unreachable));
        assert_eq!(of(libc::EBADF, true), None);
    }
}
