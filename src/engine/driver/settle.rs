//! The end of a turn: whatever was touched is written, closed if it is to close, and armed anew.

use crate::engine::connection::{End, Next};
use crate::engine::driver::timers::Deadlined;
use crate::engine::driver::{Driver, Host, Socket, effects, queue};
use crate::hub::Input;
use crate::msg::{CloseReason, ConnId, LinkEnd, Now};

impl<H: Host> Driver<H> {
    /// Settles whatever was touched, and closes what the ledger has no room for. Whether anything was touched.
    pub(super) fn settle(&mut self, now: Now) -> bool {
        let mut any = self.settle_touched(now);
        while let Some(id) = self.shared.site.ledger.over() {
            self.shed(now, id);
            any |= self.settle_touched(now);
        }
        any
    }

    /// Closes one that keeps too much memory: with a last word if a frame of it can still begin.
    fn shed(&mut self, now: Now, id: ConnId) {
        self.shared.site.metrics.shed += 1;
        let Some(conn) = self.conns.touch(id) else {
            debug_assert!(false, "the ledger knows one that is gone");
            self.shared.site.ledger.clear(id);
            return;
        };
        let state = &conn.state;
        let says = state.is_link() && state.closing.is_none() && !state.output.mid_chunk();
        self.shared.tell_hub(now, Input::LinkEnded { conn: id, end: LinkEnd::Slow });
        if says {
            return self.say_farewell(now, id, CloseReason::Slow);
        }
        conn.socket.reset();
        self.close(now, id, CloseReason::Slow);
    }

    fn settle_touched(&mut self, now: Now) -> bool {
        let mut any = false;
        loop {
            if let Some(now) = self.look_before_writing() {
                self.apply_effects(now); // `safe` takes its place before what waits
                continue;
            }
            let Some((id, conn)) = self.conns.pop_touched() else { break };
            any = true;
            let settled = conn.settle(now, &mut self.shared.spare);
            let state = &mut conn.state;
            let kept = state.kept();
            if kept > 0 || state.in_ledger {
                state.in_ledger = kept > 0;
                self.shared.site.ledger.keeps(id, state.party(), kept);
            }
            let (next, written) = match settled {
                Ok(done) => done,
                Err(e) => {
                    self.broken(now, id, &e);
                    continue;
                }
            };
            self.shared.site.metrics.bytes_out += written;
            match next {
                Next::Stay { more } => {
                    if more {
                        queue(&mut self.ready, conn, id);
                    }
                    let stops = self.stopping.is_some() && conn.state.is_idle();
                    let want = conn.state.deadline(&self.shared.timeouts).map(|(at, _)| at);
                    self.timers.arm(id, conn.armed_mut(), want);
                    if stops {
                        self.close(now, id, CloseReason::Shutdown);
                    }
                }
                Next::Said(why) => self.said_all(now, id, why),
            }
        }
        any
    }

    /// All is said on a connection that is closing: FIN. If its peer may still be talking, it is heard out first.
    fn said_all(&mut self, now: Now, id: ConnId, why: CloseReason) {
        let Some(conn) = self.conns.touch(id) else { return };
        if conn.state.said(conn.ready, why) == End::Close {
            return self.close(now, id, why);
        }
        if conn.state.is_link() {
            self.shared.tell_hub(now, Input::LinkEnded { conn: id, end: LinkEnd::Closed });
        }
        if conn.socket.shutdown_write().is_err() {
            return self.close(now, id, why);
        }
        conn.state.drain(now.mono);
        conn.ready.read_on = true;
        queue(&mut self.ready, conn, id);
    }

    /// Ends a connection, now.
    pub fn close(&mut self, now: Now, id: ConnId, why: CloseReason) {
        let Some(conn) = self.conns.remove(id) else { return };
        let state = &conn.state;
        let why = state.closing.unwrap_or(why);
        if state.is_link() {
            // a parked one is forgotten by this, too
            self.shared.tell_hub(now, Input::LinkEnded { conn: id, end: LinkEnd::Closed });
        }
        if state.is_devices() {
            self.shared.devices.connections -= 1;
        } else {
            self.turned_away -= usize::from(state.closing == Some(CloseReason::Limit));
            self.origins.leave(state.origin.peer);
        }
        self.shared.site.ledger.clear(id);
        self.shared.site.metrics.close(why);
        self.shared.load.connections = self.conns.len();
        effects::log_close(state, id, &mut self.shared.site, now, why);
    }
}
