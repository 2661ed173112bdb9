//! One accepted connection's socket, the same for TCP and unix: reading, writing, ending.
//!
//! Never does: waiting (every socket here is non-blocking), buffering, registering with the poller.

use crate::engine::driver::Socket;
use crate::msg::{Evidence, KernelFeatures, TcpHealth, Times};
use crate::sys::{socket, tcp};
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
}

impl Socket for Stream {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        socket::recv(self.fd.as_fd(), buffer)
    }

    // one call that raises no SIGPIPE; with `more` the kernel holds back a last partial segment (MSG_MORE, send(2))
    fn writev(&self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        socket::send_vectored(self.fd.as_fd(), slices, more)
    }

    fn sendfile(&self, file: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<usize> {
        socket::sendfile(self.fd.as_fd(), file, offset, len)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        socket::shutdown_write(self.fd.as_fd())
    }

    // SO_LINGER with zero seconds (socket(7)) leaves nothing behind in the kernel. On a unix socket it changes nothing.
    fn reset(&self) {
        let _ = socket::reset_on_close(self.fd.as_fd());
    }

    fn outq(&self) -> u32 {
        tcp::outq(self.fd.as_fd()).unwrap_or(0)
    }

    fn health(&self) -> TcpHealth {
        tcp::health(self.fd.as_fd()).unwrap_or_default()
    }

    fn nudge(&self) -> bool {
        tcp::nudge(self.fd.as_fd()).is_ok()
    }

    fn prepare_link(&self, times: &Times, features: &KernelFeatures) {
        tcp::prepare_link(self.fd.as_fd(), times, features);
    }

    fn prepare_response(&self, features: &KernelFeatures) {
        tcp::prepare_response(self.fd.as_fd(), features);
    }

    fn evidence(error: &io::Error, outstanding: bool) -> Option<Evidence> {
        tcp::evidence(error, outstanding)
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

#[cfg(test)]
mod tests;
