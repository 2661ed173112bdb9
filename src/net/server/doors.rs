//! Who comes in: new connections are taken, counted, limited and watched.

use std::os::fd::AsRawFd;

use mio::Interest;
use mio::unix::SourceFd;

use super::{Server, TURNED_AWAY_MAX, token};
use crate::msg::{CloseReason, ConnId, Moment, Now, PeerAddr};
use crate::net::conn::Conn;
use crate::net::listener::{Accept, Listener};
use crate::net::stream::Stream;
use crate::net::{devices, effects};

/// A listener and what it waits for.
pub(super) struct Door {
    pub(super) listener: Listener,
    /// Devices come here.
    pub(super) devices: bool,
    /// Somebody may be waiting.
    pub(super) ready: bool,
    /// No descriptor for them until then.
    pub(super) paused: Option<Moment>,
}

impl Server {
    /// Takes new connections, a bounded batch of each listener.
    pub(super) fn accept(&mut self, now: Now) {
        for i in 0..self.listeners.len() {
            if self.listeners[i].paused.is_some_and(|until| until > now.mono) {
                continue;
            }
            self.listeners[i].paused = None;
            for _ in 0..Listener::BATCH {
                if !self.listeners[i].ready || self.stopping.is_some() {
                    break;
                }
                match self.listeners[i].listener.accept() {
                    Accept::Stream(stream) if self.listeners[i].devices => devices::welcome(self, now, stream),
                    Accept::Stream(stream) => self.welcome(now, stream),
                    Accept::Empty => self.listeners[i].ready = false,
                    Accept::Pause(e) => {
                        if self.world.site.metrics.accept_pauses == 0 {
                            log::warn!(
                                "accept: {e}; raise the limit on open files (ulimit -n) or lower limits.connections"
                            );
                        }
                        self.world.site.metrics.accept_pauses += 1;
                        self.listeners[i].paused = Some(now.mono + Listener::PAUSE);
                        break;
                    }
                }
            }
        }
    }

    /// A new connection: counted, limited, registered.
    fn welcome(&mut self, now: Now, stream: Stream) {
        let limits = &self.world.site.config.limits;
        let (max, per_address) = (limits.connections as usize, limits.per_address);
        let per_network = per_address.max(limits.connections / 2);
        self.world.site.metrics.accepted += 1;
        let peer = stream.peer;
        let others = self.crowd.enter(peer);
        // all that come over a unix socket come from one proxy
        let crowd = peer != PeerAddr::Unix && others.at_address >= per_address;
        let phase = self.world.phase();
        let mut conn = Conn::new(stream, &self.world.rules, now.mono, phase);
        // who is being turned away takes nobody's place: else a crowd from one address would fill the house
        let mut inside = self.conns.len().saturating_sub(self.turned_away + self.world.devices.connections);
        if inside >= max && !crowd && self.make_room(now) {
            inside -= 1;
        }
        // a whole network may be one person's, or everybody's: beyond its share, who has a seat still gets in
        conn.reserve = inside + crate::config::KEPT_FOR_SEATED as usize >= max || others.in_network >= per_network;
        if crowd || inside >= max {
            self.world.site.metrics.refused_limit += 1;
            if self.turned_away >= TURNED_AWAY_MAX {
                return self.crowd.leave(peer);
            }
            self.turned_away += 1;
            effects::turn_away(&mut conn, &mut self.world, now, crowd);
        }
        if !self.register(now, conn) {
            self.crowd.leave(peer);
        }
    }

    /// All places are taken: whoever has waited in the last ones for longest and asked for nothing gives way. So
    /// strangers cannot keep those with a seat out by sitting there. Whoever came in this turn could not be heard yet.
    fn make_room(&mut self, now: Now) -> bool {
        let Some(id) = self.oldest_undecided() else { return false };
        if self.conns.get(id).is_some_and(|conn| conn.opened >= now.mono) {
            return false;
        }
        self.last_places.pop_front();
        self.world.site.metrics.refused_limit += 1;
        if self.turned_away >= TURNED_AWAY_MAX {
            self.close(now, id, CloseReason::Limit);
        } else if let Some(conn) = self.conns.touch(id) {
            self.turned_away += 1;
            effects::turn_away(conn, &mut self.world, now, false);
        }
        true
    }

    /// Who has waited in the last places for longest and asked for nothing; forgets those who have asked or gone.
    fn oldest_undecided(&mut self) -> Option<ConnId> {
        while let Some(&id) = self.last_places.front() {
            if self.conns.get(id).is_some_and(Conn::is_undecided) {
                return Some(id);
            }
            self.last_places.pop_front();
        }
        None
    }

    /// Takes a connection into the table and has the poller watch it. Whether there was room.
    pub(in crate::net) fn register(&mut self, now: Now, conn: Conn) -> bool {
        let fd = conn.stream.as_raw_fd();
        let undecided = conn.is_undecided();
        let inserted = match self.conns.insert(conn) {
            Ok(id) => {
                if undecided {
                    self.oldest_undecided(); // so that those who are done with do not pile up
                    self.last_places.push_back(id);
                }
                let both = Interest::READABLE | Interest::WRITABLE;
                if let Err(e) = self.poll.registry().register(&mut SourceFd(&fd), token(id), both) {
                    log::warn!("poll: {e}");
                    self.close(now, id, CloseReason::Error);
                }
                true
            }
            Err(conn) => {
                debug_assert!(false, "the table has room for all who are inside and all who are turned away");
                self.turned_away -= usize::from(conn.device.is_none() && conn.closing == Some(CloseReason::Limit));
                false
            }
        };
        self.world.load.connections = self.conns.len();
        inserted
    }
}
