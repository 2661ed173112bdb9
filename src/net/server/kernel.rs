//! What the driver runs on here: the kernel's sockets, its poller and clocks, and the helper thread for passwords.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};

use crate::auth::credentials::{Job, Outcome};
use crate::engine::driver::Host;
use crate::msg::{ConnId, Now};
use crate::net::clock;
use crate::net::stream::Stream;
use crate::net::worker::{Submit, Worker};

/// See the module.
pub(in crate::net) struct Kernel {
    pub(super) poll: Poll,
    /// The helper thread for passwords.
    pub(super) worker: Worker<Box<Job>, Outcome>,
}

impl Host for Kernel {
    type Socket = Stream;

    fn now(&self) -> Now {
        clock::read()
    }

    fn asleep(&self) -> Duration {
        clock::asleep()
    }

    fn watch(&mut self, id: ConnId, socket: &Stream) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), token(id), both)
    }

    fn check(&mut self, job: Box<Job>) -> Result<(), Box<Job>> {
        match self.worker.submit(job) {
            Submit::Accepted => Ok(()),
            Submit::Busy(job) | Submit::Failed(job, _) => Err(job),
        }
    }

    fn checked(&mut self) -> Option<Outcome> {
        self.worker.fetch()
    }
}

/// How the poller names what is ready.
pub(super) fn token(id: ConnId) -> Token {
    Token(id.raw() as usize)
}
