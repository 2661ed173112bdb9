//! Sockets: what std does not say, or says with more calls than needed. Plain options go through socket2.

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::ffi::CString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A non-blocking TCP socket that listens on `addr`: SO_REUSEADDR (a restart need not wait for old connections) and,
/// for IPv6, IPV6_V6ONLY (ipv6(7)).
pub fn listen_tcp(addr: SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// A non-blocking unix stream socket, bound to `path` but not yet listening, so that nobody can connect.
/// `InvalidInput` for a path of more than 107 bytes (unix(7)).
pub fn bind_unix(path: &Path) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// listen(2).
pub fn listen(fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    SockRef::from(&fd).listen(backlog)
}

/// O_NONBLOCK on.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    SockRef::from(&fd).set_nonblocking(true)
}

/// Whether it is a stream socket that listens (SO_TYPE, SO_ACCEPTCONN; socket(7)).
pub fn is_listening_stream(fd: BorrowedFd<'_>) -> bool {
    let socket = SockRef::from(&fd);
    socket.r#type().is_ok_and(|t| t == Type::STREAM) && socket.is_listener().unwrap_or(false)
}

/// The local end of a socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Local {
    /// IPv4 or IPv6.
    Ip(SocketAddr),
    /// The path of a unix socket; empty without one.
    Unix(PathBuf),
}

/// getsockname(2). `InvalidInput` for other kinds of sockets.
pub fn local_address(fd: BorrowedFd<'_>) -> io::Result<Local> {
    let addr = SockRef::from(&fd).local_addr()?;
    if let Some(ip) = addr.as_socket() {
        return Ok(Local::Ip(ip));
    }
    if addr.is_unix() {
        return Ok(Local::Unix(addr.as_pathname().map(Path::to_owned).unwrap_or_default()));
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "neither an internet nor a unix socket"))
}

/// Takes a connection: accept4(2), non-blocking and close-on-exec at once (2.6.28). The address is `None` on a unix
/// socket. Interruptions are retried.
pub fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<IpAddr>)> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: socket2 hands in storage for any address and its length, which the kernel fills and sets.
    let (raw, addr) = unsafe {
        SockAddr::try_init(|storage, len| {
            retry(|| libc::accept4(fd.as_raw_fd(), storage.cast(), len, flags) as isize).map(|raw| raw as i32)
        })?
    };
    // SAFETY: the kernel has just given us this descriptor; nobody else has it.
    let owned = unsafe { OwnedFd::from_raw_fd(raw) };
    Ok((owned, addr.as_socket().map(|a| a.ip())))
}

/// Whether an error of [`accept`] belongs to the connection that would have come and not to the listener (accept(2): Linux
/// passes on errors that are pending on the new socket).
pub fn is_peers_fault(e: &io::Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EPROTO
                | libc::EPERM
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::ETIMEDOUT
        )
    )
}

/// recv(2): bytes read, 0 at the end of the stream. Interruptions are retried.
///
/// Like [`send_vectored`] of one slice by syscall(2): the C library's own function is a point at which a thread may be
/// cancelled, for which glibc changes a lock before and after each call once there has been a second thread.
pub fn recv(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    let (fd, none) = (fd.as_raw_fd(), std::ptr::null_mut::<libc::c_void>());
    // SAFETY: `buf` is writable for its whole length, and no address is asked for.
    retry(|| unsafe { libc::syscall(libc::SYS_recvfrom, fd, buf.as_mut_ptr(), buf.len(), 0, none, none) as isize })
}

/// send(2) for one slice, sendmsg(2) for more, without SIGPIPE; `more`: MSG_MORE. Bytes taken. Interruptions are retried.
pub fn send_vectored(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    if let [one] = slices {
        let none = std::ptr::null::<libc::c_void>();
        // SAFETY: `one` is readable for its whole length, and there is no address.
        return retry(|| unsafe {
            libc::syscall(libc::SYS_sendto, fd.as_raw_fd(), one.as_ptr(), one.len(), flags, none, 0) as isize
        });
    }
    // SAFETY: all zeros is a valid msghdr (no address, no control data), with padding that differs between C libraries.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    // IoSlice has the layout of iovec (its documentation); sendmsg does not write through it.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len() as _;
    // SAFETY: `message` points to `slices`, which live as long as the call.
    retry(|| unsafe { libc::sendmsg(fd.as_raw_fd(), &message, flags) })
}

/// sendfile(2) with 64-bit offsets everywhere: bytes taken, 0 at the end of the file. Interruptions are retried. A closed
/// peer raises SIGPIPE, so that must be ignored (`process::ignore_sigpipe`).
pub fn sendfile(to: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<usize> {
    let mut at = libc::off64_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    // SAFETY: `at` is ours and lives as long as the call.
    retry(|| unsafe { libc::sendfile64(to.as_raw_fd(), file.as_raw_fd(), &mut at, len) })
}

/// Sends small segments at once (TCP_NODELAY, tcp(7)): responses and events are written whole, so holding them back for
/// more would only delay them. Accepted connections inherit it from their listener.
pub fn set_nodelay(fd: BorrowedFd<'_>) -> io::Result<()> {
    SockRef::from(&fd).set_tcp_nodelay(true)
}

/// shutdown(2) of the writing side.
pub fn shutdown_write(fd: BorrowedFd<'_>) -> io::Result<()> {
    SockRef::from(&fd).shutdown(Shutdown::Write)
}

/// SO_LINGER with zero seconds: close(2) says RST and forgets what was not sent (socket(7)).
pub fn reset_on_close(fd: BorrowedFd<'_>) -> io::Result<()> {
    SockRef::from(&fd).set_linger(Some(Duration::ZERO))
}

/// The number of the network interface called `name` (if_nametoindex(3)).
pub fn interface(name: &str) -> io::Result<u32> {
    let text = CString::new(name).map_err(io::Error::other)?;
    // SAFETY: `text` ends in a zero byte and lives as long as the call.
    match unsafe { libc::if_nametoindex(text.as_ptr()) } {
        0 => Err(io::Error::other(format!("there is no network interface {name} now"))),
        number => Ok(number),
    }
}

/// Begins a connection to `peer` with a non-blocking, close-on-exec socket: connect(2). `true`: it stands already; else
/// it stands, or has failed ([`take_error`]), once the socket can be written.
pub fn connect(peer: &Local) -> io::Result<(OwnedFd, bool)> {
    let (domain, addr) = match peer {
        Local::Ip(addr) => (Domain::for_address(*addr), (*addr).into()),
        Local::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&addr) {
        Ok(()) => Ok((socket.into(), true)),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok((socket.into(), false)),
        Err(e) => Err(e),
    }
}

/// The error that is pending on a socket (SO_ERROR, socket(7)), which is taken away by asking.
pub fn take_error(fd: BorrowedFd<'_>) -> io::Result<()> {
    match SockRef::from(&fd).take_error()? {
        Some(e) => Err(e),
        None => Ok(()),
    }
}

/// The kernel gives a TCP connection up when sent data stays unacknowledged for so long (TCP_USER_TIMEOUT, tcp(7), 2.6.37).
pub fn set_user_timeout(fd: BorrowedFd<'_>, limit: Duration) -> io::Result<()> {
    SockRef::from(&fd).set_tcp_user_timeout(Some(limit))
}

/// Bytes or a descriptor from a call that says -1 and errno; again when a signal interrupted it.
fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(n) = usize::try_from(call()) {
            return Ok(n);
        }
        let e = io::Error::last_os_error();
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(e);
        }
    }
}
