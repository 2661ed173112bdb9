//! What a connection is without its socket: bytes, time and what the hub says go in; output and what to do come out.
//!
//! | file | what it has |
//! |---|---|
//! | `connection` | what all connections have; when something about one falls due, who gives way, how one ends |
//! | `protocols` | what a connection speaks, and where it is in that |
//! | `http` | requests and their answers |
//! | `page` | links of pages and programs |
//! | `device` | links of devices |
//! | `devices` | what all devices' connections share |
//! | `shared` | what all connections share |
//! | `send_queue` | what is owed |
//! | `readiness` | what is known of the socket |
//! | `driver` | the loop, but for its waiting: readiness, time and effects become calls of the connections |
//! | `simulation` | tests: all of it together, over simulated networks, in virtual time |
//! | `pages` | the pages as a connection sees them |
//!
//! Never does: system calls, clocks, randomness. `net` owns the sockets and turns what is said here into calls.

pub mod connection;
pub mod device;
pub mod devices;
pub mod driver;
pub mod http;
pub mod page;
pub mod pages;
pub mod protocols;
pub mod readiness;
pub mod send_queue;
pub mod shared;
#[cfg(test)]
mod simulation;

use crate::auth::{Door, Key, Verdict};
use crate::msg::CloseReason;
use connection::Connection;
use protocols::Engine;
use shared::Cx;

impl Connection {
    /// Takes bytes that came, never none.
    pub fn received(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) {
        self.live.heard(cx.now.mono);
        match &self.engine {
            Engine::Draining => {}
            Engine::Device(_) => self.take_lines(cx, bytes),
            Engine::Page(_) => self.hear(cx, bytes),
            Engine::Http(_) => self.take_requests(cx, bytes),
        }
    }

    /// Goes on with what was left in the input because too much was owed, or because the turn was over.
    pub fn go_on(&mut self, cx: &mut Cx<'_>) {
        match &self.engine {
            Engine::Page(_) => self.hear(cx, &[]),
            Engine::Http(_) => self.requests_again(cx),
            Engine::Device(_) | Engine::Draining => {}
        }
    }

    /// The credentials that it waited for have been checked at their door; `None`: they are to be looked at anew.
    pub fn checked(&mut self, cx: &mut Cx<'_>, (door, key): (Door, Key), verdict: Option<Verdict>) {
        match door {
            Door::Web => self.password_checked(cx, (key, verdict.unwrap_or(Verdict::Good))),
            Door::Devices => self.token_checked(cx, verdict),
        }
    }

    /// What was to come, a request or a hello, came too slowly.
    pub fn too_slow(&mut self, cx: &mut Cx<'_>, why: CloseReason) {
        match self.origin.door {
            Door::Web => self.request_late(cx, why),
            Door::Devices => self.hello_late(cx, why),
        }
    }
}
