//! Who comes in: new connections are taken from the listeners.

use super::{AcceptQueue, Server};
use crate::engine::connection::Origin;
use crate::msg::{Now, PeerAddr};
use crate::net::listener::{Accept, Listener};

impl Server {
    /// Takes new connections, a bounded batch of each listener.
    pub(super) fn accept(&mut self, now: Now) {
        self.driver.new_batch();
        for i in 0..self.listeners.len() {
            if self.listeners[i].paused.is_some_and(|until| until > now.mono) {
                continue;
            }
            self.listeners[i].paused = None;
            for _ in 0..Listener::BATCH {
                let AcceptQueue { door, ready, .. } = self.listeners[i];
                if !ready || self.driver.stopping.is_some() || !self.driver.may_accept(now, door) {
                    break;
                }
                match self.listeners[i].listener.accept() {
                    Accept::Stream(stream, peer) => {
                        let port = (peer != PeerAddr::Unix).then(|| self.listeners[i].listener.port());
                        let origin = Origin { door, peer, port };
                        self.driver.welcome(now, stream, origin);
                    }
                    Accept::Empty => self.listeners[i].ready = false,
                    // the kernel wants a descriptor before it looks whether there is anybody to take it
                    Accept::Pause(_) if !self.listeners[i].listener.is_awaited() => self.listeners[i].ready = false,
                    Accept::Pause(_) if self.driver.give_way_starved(now) => {}
                    Accept::Pause(e) => {
                        if self.driver.shared.site.metrics.accept_pauses == 0 {
                            log::warn!(
                                "accept: {e}; raise the limit on open files (ulimit -n) or lower limits.connections"
                            );
                        }
                        self.driver.shared.site.metrics.accept_pauses += 1;
                        self.listeners[i].paused = Some(now.mono + Listener::PAUSE);
                        break;
                    }
                }
            }
        }
    }
}
