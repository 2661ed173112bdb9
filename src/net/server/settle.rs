//! Settling one connection: what it owes goes out, and it is seen what is left to do.

use std::io;

use crate::metrics::Metrics;
use crate::msg::{CloseReason, Now};
use crate::net::conn::{Conn, Protocol, Stage};
use crate::net::send_queue::Flush;

/// Bytes written to one connection in one turn: a large download takes its turns like everybody else.
const WRITE_BUDGET: usize = 256 * 1024;

/// What settling one connection came to.
pub(super) enum Settled {
    /// It lives on; `more`: it has something to do in the next turn already.
    Stays { more: bool },
    /// It is closing, and all is said.
    Said(CloseReason),
    /// Its socket is broken.
    Broken(io::Error),
}

/// Writes what it owes, as far as that goes now.
pub(super) fn one(conn: &mut Conn, metrics: &mut Metrics, now: Now) -> Settled {
    let mut more = false;
    conn.spared = conn.spared.min(conn.output.owed());
    if !conn.output.is_empty() && conn.writable {
        match conn.output.flush(&conn.stream, WRITE_BUDGET) {
            Ok((flush, n)) => {
                if n > 0 {
                    conn.live.wrote(now.mono, usize::try_from(n).unwrap_or(usize::MAX));
                    conn.taken = now.mono;
                    conn.sent += n;
                    metrics.bytes_out += n;
                }
                match flush {
                    Flush::Empty => {}
                    Flush::Blocked => conn.writable = false,
                    Flush::Yield => more = true,
                }
            }
            Err(e) => return Settled::Broken(e),
        }
    }
    if conn.output.is_empty() {
        match conn.closing {
            // FIN is said: now the peer is heard out, until its own FIN or the deadline
            Some(_) if matches!(conn.protocol, Protocol::Draining) => return Settled::Stays { more: false },
            Some(why) => return Settled::Said(why),
            None => {}
        }
        // what was held back while answers were owed: requests, or the end of the peer's stream
        more |= match &conn.protocol {
            Protocol::Http(Stage::Waiting(_) | Stage::Held(_), _) | Protocol::Draining => false,
            Protocol::Http(..) => conn.peer_closed || conn.readable || conn.held,
            Protocol::Link(_) => conn.readable || conn.held,
            Protocol::Device(_) => conn.readable,
        };
    }
    more |= conn.held && conn.is_link();
    Settled::Stays { more }
}
