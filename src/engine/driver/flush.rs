//! Writing what a connection owes, with as few calls as can be.
//!
//! Never does: waiting; deciding what is owed or in what order ([`SendQueue`]).

use std::io::{self, ErrorKind, IoSlice};

use super::Socket;
use crate::engine::send_queue::{Next, SLICES_MAX, SendQueue};

/// How a [`flush`] ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flush {
    /// All of it is with the kernel.
    Empty,
    /// The socket takes no more; go on when it is writable again.
    Blocked,
    /// The budget is used up and the socket may take more: go on in the next turn, after the others.
    Yield,
}

/// Gives the kernel at most about `budget` bytes of `queue`: how that ended, and how many bytes it took. The buffer of a
/// small answer that has gone is left in `spare`.
///
/// # Errors
/// The socket's own, or `UnexpectedEof` when a file became shorter than it was when it was promised. They end the connection.
pub fn flush(
    queue: &mut SendQueue,
    socket: &impl Socket,
    budget: usize,
    spare: &mut Vec<u8>,
) -> io::Result<(Flush, u64)> {
    let mut written = 0u64;
    let mut left = budget;
    while !queue.is_empty() {
        if left == 0 {
            return Ok((Flush::Yield, written));
        }
        match write(queue, socket, left) {
            Ok((n, asked)) => {
                queue.took(n as u64, spare);
                written += n as u64;
                left = left.saturating_sub(n);
                if n < asked {
                    // The buffer is full, and the kernel has noted that we want to hear when it is not (epoll(7)).
                    return Ok((Flush::Blocked, written));
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok((Flush::Blocked, written)),
            Err(e) => return Err(e),
        }
    }
    if socket.holds_output() {
        match socket.push() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok((Flush::Blocked, written)),
            other => other?,
        }
    }
    Ok((Flush::Empty, written))
}

/// One call: how many bytes were taken, and how many were offered.
fn write(queue: &SendQueue, socket: &impl Socket, budget: usize) -> io::Result<(usize, usize)> {
    match queue.next(budget) {
        Next::Nothing => Ok((0, 0)),
        Next::One(bytes) => Ok((socket.writev(&[IoSlice::new(bytes)], false)?, bytes.len())),
        Next::Many => {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let (count, asked, more) = queue.gather(&mut slices, budget);
            // `more` lets the head travel in the same segment as the beginning of the file
            Ok((socket.writev(&slices[..count], more)?, asked))
        }
        // a short count says nothing here (a hole in the page cache, the file's end): ask again
        Next::File { fd, offset, len } => match socket.sendfile(fd, offset, len)? {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "the file was cut while being sent")),
            n => Ok((n, n)),
        },
    }
}
