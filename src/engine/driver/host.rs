//! What the loop needs of its sockets and of what it runs on; the kernel, or a test's own networks.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::auth::credentials::{Job, Outcome};
use crate::msg::{ConnId, Evidence, KernelFeatures, Now, TcpHealth, Times};

/// A connected socket that never waits. Dropping it closes it.
pub trait Socket {
    /// Reads what is there: the number of bytes, 0 at the end of the stream (FIN).
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing yet; all others end the connection.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes as much of `slices` as the socket takes; with `more` something follows at once.
    ///
    /// # Errors
    /// As of [`Socket::read`].
    fn writev(&self, slices: &[IoSlice<'_>], more: bool) -> io::Result<usize>;

    /// Sends up to `len` bytes of `file` from `offset`. 0: the file ends there.
    ///
    /// # Errors
    /// As of [`Socket::read`].
    fn sendfile(&self, file: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<usize>;

    /// Whether it holds bytes of the peer that were not read yet and of which no event tells: a secured transport unpacks
    /// more at once than is asked for. The kernel's own socket holds none.
    fn holds_input(&self) -> bool {
        false
    }

    /// Whether it holds bytes for the peer that [`Socket::writev`] has taken and the kernel has not, or that it has to say of
    /// its own: the rest of a record, a step of a handshake.
    fn holds_output(&self) -> bool {
        false
    }

    /// Gives the kernel what [`Socket::holds_output`] speaks of.
    ///
    /// # Errors
    /// As of [`Socket::read`].
    fn push(&self) -> io::Result<()> {
        Ok(())
    }

    /// Says FIN: the peer reads the end after what was written. Reading goes on.
    ///
    /// # Errors
    /// The socket's own; there is nobody to say it to then.
    fn shutdown_write(&self) -> io::Result<()>;

    /// From now on closing throws away what was not sent and says RST.
    fn reset(&self);

    /// Bytes written but not yet acknowledged; 0 if that cannot be told.
    fn outq(&self) -> u32;

    /// What the kernel knows of the peer; nothing if it does not tell.
    fn health(&self) -> TcpHealth;

    /// Makes the kernel probe the peer now. Whether it did.
    fn nudge(&self) -> bool;

    /// It carries a link from now on.
    fn prepare_link(&self, times: &Times, features: &KernelFeatures);

    /// It carries a response that its peer does not take.
    fn prepare_response(&self, features: &KernelFeatures);

    /// What an error of a socket says of its peer; `None`: nothing. `outstanding`: output was unacknowledged.
    fn evidence(error: &io::Error, outstanding: bool) -> Option<Evidence>;
}

/// What the loop runs on.
pub trait Host {
    /// Its sockets.
    type Socket: Socket;

    /// The time, read now.
    fn now(&self) -> Now;

    /// How long the board has slept since it was started.
    fn asleep(&self) -> Duration;

    /// Says from now on when `socket` is ready: [`super::Driver::noted`] of `id`.
    ///
    /// # Errors
    /// The poller's.
    fn watch(&mut self, id: ConnId, socket: &Self::Socket) -> io::Result<()>;

    /// Has a password checked.
    ///
    /// # Errors
    /// The job, if that cannot be done now.
    fn check(&mut self, job: Box<Job>) -> Result<(), Box<Job>>;

    /// What came of a check.
    fn checked(&mut self) -> Option<Outcome>;
}

/// What an event says of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Event {
    /// It takes bytes.
    pub writable: bool,
    /// It has bytes, or FIN.
    pub readable: bool,
    /// One of its sides is closed, or it is broken.
    pub closed: bool,
}
