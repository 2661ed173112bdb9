//! One accepted connection's socket, the same for TCP and unix: reading, writing, ending.
//!
//! Never does: waiting (every socket here is non-blocking), buffering, registering with the poller.

use crate::sys::socket;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// What carries a [`Stream`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// TCP over IPv4 or IPv6: has TCP_INFO, keepalive probes and the like.
    Tcp,
    /// A unix socket: its peer cannot vanish without the kernel telling.
    Unix,
}

/// A connected, non-blocking stream socket. Dropping it closes it.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    /// What carries it.
    pub kind: Kind,
}

impl Stream {
    /// Takes over `fd`, which must be a connected stream socket in non-blocking mode.
    pub fn new(fd: OwnedFd, kind: Kind) -> Self {
        Stream { fd, kind }
    }

    /// Reads what is there: the number of bytes, 0 at the end of the stream (FIN). `WouldBlock` when there is
    /// nothing yet; interruptions are retried.
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        socket::recv(self.fd.as_fd(), buf)
    }

    /// Writes as much of `slices` as the socket takes, in one call that raises no SIGPIPE. With `more` the kernel
    /// holds back a last partial segment for what follows at once (MSG_MORE, send(2)).
    pub fn writev(&self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        socket::send_vectored(self.fd.as_fd(), slices, more)
    }

    /// Sends up to `len` bytes of `file` from `offset`, without moving the file's own position. 0: the file ends there.
    pub fn sendfile(&self, file: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<usize> {
        socket::sendfile(self.fd.as_fd(), file, offset, len)
    }

    /// Says FIN: the peer reads the end after what was written. Reading goes on.
    pub fn shutdown_write(&self) -> io::Result<()> {
        socket::shutdown_write(self.fd.as_fd())
    }

    /// From now on closing throws away what was not sent and says RST, and leaves nothing behind in the kernel
    /// (SO_LINGER with zero seconds, socket(7)). Drop the stream after it. On a unix socket it changes nothing.
    pub fn reset(&self) -> io::Result<()> {
        socket::reset_on_close(self.fd.as_fd())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
