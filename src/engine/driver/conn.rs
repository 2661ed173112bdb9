//! A socket and the connection on it.

use std::io;

use crate::engine::connection::{Connection, Next};
use crate::engine::driver::Socket;
use crate::engine::driver::flush::{Flush, flush};
use crate::engine::driver::timers::{Armed, Deadlined};
use crate::engine::readiness::Readiness;
use crate::liveness::Sample;
use crate::msg::{Moment, Now};

/// Bytes written to one connection in one turn: a large download takes its turns like everybody else.
const WRITE_BUDGET: usize = 256 * 1024;

/// One accepted socket, and what is said on it.
pub struct Conn<S> {
    /// The socket.
    pub socket: S,
    /// What is known of it without a call.
    pub ready: Readiness,
    /// What is said on it.
    pub state: Connection,
    /// It is on the ready queue.
    pub queued: bool,
    armed: Armed,
}

impl<S: Socket> Conn<S> {
    /// The connection `state` on `socket`.
    pub fn new(socket: S, state: Connection) -> Conn<S> {
        Conn { socket, ready: Readiness::new(), state, queued: false, armed: Armed::default() }
    }

    /// Reads once. How many bytes came; 0 if none did. Errors end the connection.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.socket.read(buffer);
        let got = self.ready.after_read(got, buffer.len());
        self.ready.readable |= self.socket.holds_input();
        got
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
        let (flush, n) = flush(&mut self.state.output, &self.socket, budget, spare)?;
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
        state.replay_quota = state.replay_quota.min(state.output.owed());
        if (!state.output.is_empty() || self.socket.holds_output()) && self.ready.writable {
            let socket = &self.socket;
            let window = || (socket.health().send_window, socket.outq());
            let budget = state.allowance(now.mono, window).min(WRITE_BUDGET);
            let (flush, n) = self.flush(budget, now.mono, spare)?;
            written = n;
            more = flush == Flush::Yield && budget == WRITE_BUDGET;
        }
        let next = match self.state.written(self.ready, more) {
            Next::Said(_) if self.socket.holds_output() => Next::Stay { more: false },
            next => next,
        };
        Ok((next, written))
    }

    /// One look at what its peer has not acknowledged.
    pub fn look(&self) -> Sample {
        let outq = match self.state.is_tcp() {
            true => self.socket.outq(),
            false if self.ready.writable => 0,
            false => u32::try_from(self.state.output.owed()).unwrap_or(u32::MAX),
        };
        Sample { outq, info: None, drained: false }
    }
}

impl<S> Deadlined for Conn<S> {
    fn armed(&self) -> &Armed {
        &self.armed
    }
    fn armed_mut(&mut self) -> &mut Armed {
        &mut self.armed
    }
}

#[cfg(test)]
mod tests;
