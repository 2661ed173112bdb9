//! A socket and the connection on it.

use std::io;
use std::os::fd::AsFd;

use crate::engine::connection::{Connection, Next};
use crate::engine::readiness::Readiness;
use crate::liveness::Sample;
use crate::msg::{Moment, Now, TcpHealth};
use crate::net::flush::{Flush, flush};
use crate::net::stream::{Kind, Stream};
use crate::net::timers::{Armed, Deadlined};
use crate::sys::tcp;

/// Bytes written to one connection in one turn: a large download takes its turns like everybody else.
const WRITE_BUDGET: usize = 256 * 1024;

/// One accepted socket, and what is said on it.
pub struct Conn {
    /// The socket.
    pub stream: Stream,
    /// What is known of it without a call.
    pub ready: Readiness,
    /// What is said on it.
    pub state: Connection,
    /// It is on the ready queue.
    pub queued: bool,
    armed: Armed,
}

impl Conn {
    /// The connection `state` on `stream`.
    pub fn new(stream: Stream, state: Connection) -> Conn {
        Conn { stream, ready: Readiness::new(), state, queued: false, armed: Armed::default() }
    }

    /// Reads once. How many bytes came; 0 if none did. Errors end the connection.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.stream.read(buffer);
        self.ready.after_read(got, buffer.len())
    }

    /// Whether it may be read now.
    pub fn wants_read(&self) -> bool {
        self.ready.readable && !self.state.is_full(self.ready)
    }

    /// Whether settling it would write lines to a device.
    pub fn tells_device(&self) -> bool {
        self.ready.writable && self.state.owes_lines()
    }

    /// Gives the kernel at most about `budget` bytes of what is owed: how that ended, and how many it took.
    ///
    /// # Errors
    /// Those of [`flush`]; they end the connection.
    pub fn flush(&mut self, budget: usize, now: Moment, spare: &mut Vec<u8>) -> io::Result<(Flush, u64)> {
        let (flush, n) = flush(&mut self.state.output, &self.stream, budget, spare)?;
        if n > 0 {
            self.state.wrote(now, n);
        }
        self.ready.writable &= flush != Flush::Blocked;
        Ok((flush, n))
    }

    /// Writes what it owes, as far as that goes now: what follows, and how many bytes went.
    ///
    /// # Errors
    /// Those of [`Conn::flush`].
    pub fn settle(&mut self, now: Now, spare: &mut Vec<u8>) -> io::Result<(Next, u64)> {
        let (mut more, mut written) = (false, 0);
        let state = &mut self.state;
        state.spared = state.spared.min(state.output.owed());
        if !state.output.is_empty() && self.ready.writable {
            let fd = self.stream.as_fd();
            let window = || (tcp::health(fd).ok().and_then(|h| h.send_window), tcp::outq(fd).unwrap_or(0));
            let budget = state.allowance(now.mono, window).min(WRITE_BUDGET);
            let (flush, n) = self.flush(budget, now.mono, spare)?;
            written = n;
            more = flush == Flush::Yield && budget == WRITE_BUDGET;
        }
        Ok((self.state.written(self.ready, more), written))
    }

    /// One look at what its peer has not acknowledged.
    pub fn look(&self) -> Sample {
        let outq = match self.stream.kind {
            Kind::Tcp => tcp::outq(self.stream.as_fd()).unwrap_or(0),
            Kind::Unix if self.ready.writable => 0,
            Kind::Unix => u32::try_from(self.state.output.owed()).unwrap_or(u32::MAX),
        };
        Sample { outq, info: None, drained: false }
    }

    /// What the kernel knows of its peer.
    pub fn health(&self) -> TcpHealth {
        tcp::health(self.stream.as_fd()).unwrap_or_default()
    }
}

impl Deadlined for Conn {
    fn armed(&self) -> &Armed {
        &self.armed
    }
    fn armed_mut(&mut self) -> &mut Armed {
        &mut self.armed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        let size = size_of::<Conn>();
        println!("a connection is {size} bytes");
        // with its slot, its timer and what malloc adds (which rounds up to 656 from 633 on) an idle connection costs some
        // 670 bytes of the process's memory
        assert!(size <= 648, "{size}");
    }
}
