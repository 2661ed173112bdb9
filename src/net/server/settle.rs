//! Settling one connection: what it owes goes out, and it is seen what is left to do.

use std::io;
use std::os::fd::AsFd;

use crate::liveness::Carrier;
use crate::msg::{CloseReason, Moment, Now};
use crate::net::conn::{Conn, Protocol, Stage};
use crate::net::flush::Flush;
use crate::net::world::World;
use crate::sys::tcp;

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
pub(super) fn one(conn: &mut Conn, world: &mut World, now: Now) -> Settled {
    let mut more = false;
    conn.spared = conn.spared.min(conn.output.owed());
    if !conn.output.is_empty() && conn.writable {
        let budget = allowance(conn, now.mono).min(WRITE_BUDGET);
        match conn.flush(budget, now.mono, &mut world.spare) {
            Ok((flush, n)) => {
                world.site.metrics.bytes_out += n;
                more = flush == Flush::Yield && budget == WRITE_BUDGET;
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

/// How much may be written now: to a link only so much that its peer's window stays open for heartbeats.
fn allowance(conn: &mut Conn, now: Moment) -> usize {
    let ends = conn.closing.is_some() || conn.parked.is_some();
    if ends || !matches!(conn.protocol, Protocol::Link(_)) || conn.live.carrier() != Carrier::Link {
        return usize::MAX;
    }
    let owed = conn.output.owed();
    if owed > conn.live.room().into() {
        let fd = conn.stream.as_fd();
        let window = tcp::health(fd).ok().and_then(|health| health.send_window);
        conn.live.see_window(window, tcp::outq(fd).unwrap_or(0));
    }
    if owed <= conn.live.room().into() {
        conn.live.release();
        return usize::MAX;
    }
    let fits = conn.output.whole(conn.live.room().into(), conn.live.takes_all());
    if fits == owed {
        conn.live.release();
    } else {
        conn.live.withhold(now, fits > 0);
    }
    usize::try_from(fits).unwrap_or(usize::MAX)
}
