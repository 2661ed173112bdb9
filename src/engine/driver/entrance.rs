//! Who comes in: new connections are counted, limited and watched.

use crate::auth::Door;
use crate::engine::connection::{Connection, Origin};
use crate::engine::driver::conn::Conn;
use crate::engine::driver::{Driver, Giving, Host, TURNED_AWAY_MAX};
use crate::engine::protocols::Engine;
use crate::msg::{CloseReason, ConnId, Now, PeerAddr};
use crate::places::{GivingWay, Occupant};

impl<H: Host> Driver<H> {
    /// Those who come now belong together: who gives way to them is found out once.
    pub fn new_batch(&mut self) {
        self.giving = Giving::default();
    }

    /// A new connection, at whatever door.
    pub fn welcome(&mut self, now: Now, socket: H::Socket, origin: Origin) {
        match origin.door {
            Door::Web => self.welcome_web(now, socket, origin),
            Door::Devices => self.welcome_device(now, socket, origin),
        }
    }

    /// Whether the next one may be taken from a listener in this turn. If all places are taken, the last of them by a
    /// connection that came in this turn, it waits in the kernel's queue for the next turn: by then those who are in have
    /// been heard, and it is known which of them give way.
    pub fn may_accept(&self, now: Now, door: Door) -> bool {
        let config = &self.shared.site.config;
        let full = match door {
            Door::Web => self.inside() >= config.limits.connections as usize,
            Door::Devices => self.shared.devices.connections >= config.devices.connections as usize,
        };
        !full || self.arrived < now.mono
    }

    /// A new connection: counted, limited, registered.
    fn welcome_web(&mut self, now: Now, socket: H::Socket, origin: Origin) {
        let limits = &self.shared.site.config.limits;
        let (max, per_address) = (limits.connections as usize, limits.per_address);
        self.shared.site.metrics.accepted += 1;
        let peer = origin.peer;
        self.origins.enter(peer);
        // all that come over a unix socket come from one proxy
        let mut many = peer != PeerAddr::Unix && self.origins.others(peer).at_address >= per_address;
        if many {
            many = !self.give_way(now, &|o| !o.device && o.from == peer);
        }
        let reserve = !many && !self.make_place(now, peer, None);
        let inside = self.inside();
        let phase = self.shared.phase();
        let mut state = Connection::new(origin, &self.shared.rules, now.mono, phase);
        if let Engine::Http(http) = &mut state.engine {
            http.reserve = reserve;
        }
        if many || inside >= max {
            self.shared.site.metrics.refused_limit += 1;
            if self.turned_away >= TURNED_AWAY_MAX {
                return self.origins.leave(peer);
            }
            self.turned_away += 1;
            state.turn_away(&mut self.shared, now, many);
        } else {
            self.arrived = now.mono;
        }
        if !self.register(now, Conn::new(socket, state)) {
            self.origins.leave(peer);
        }
    }

    /// Whether there is a place outside of the last ones, which are for those with a seat, for a connection from `peer`;
    /// others give way until these are free. `conn`: it is counted among those inside already.
    fn make_place(&mut self, now: Now, peer: PeerAddr, conn: Option<ConnId>) -> bool {
        let limits = &self.shared.site.config.limits;
        let per_network = limits.per_address.max(limits.connections / 2);
        let open =
            limits.connections.saturating_sub(crate::config::KEPT_FOR_SEATED) as usize + usize::from(conn.is_some());
        // a whole network may be one person's, or everybody's: beyond its share, who has a seat still gets in
        let wide = self.origins.others(peer).in_network >= per_network
            && !self.give_way(now, &|o| !o.device && Some(o.conn) != conn && o.from.network() == peer.network());
        while self.inside() >= open && self.give_way(now, &|o| !o.device && Some(o.conn) != conn) {}
        !wide && self.inside() < open
    }

    /// A request on this connection is about to be decided. If only the last places were free when it came, those that had
    /// come just before could not give way, since they had not been heard either: now they can.
    pub(super) fn find_place(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.get(id).filter(|conn| conn.state.in_reserve()) else { return };
        let peer = conn.state.origin.peer;
        let place = self.make_place(now, peer, Some(id));
        if let Some(Engine::Http(http)) = self.conns.touch(id).map(|conn| &mut conn.state.engine) {
            http.reserve = !place;
        }
    }

    /// A new connection at a device listener.
    fn welcome_device(&mut self, now: Now, socket: H::Socket, origin: Origin) {
        self.shared.site.metrics.accepted += 1;
        let max = self.shared.site.config.devices.connections as usize;
        let (mut inside, mut told) = (self.shared.devices.connections, 0);
        if inside >= max {
            // one that is being turned away has no place
            let limit = |c: &Connection| c.is_devices() && c.closing == Some(CloseReason::Limit);
            told = self.conns.iter().filter(|(_, c)| limit(&c.state)).count();
            inside -= told;
        }
        let refused = if !self.shared.site.config.seats.allows(origin.peer) {
            Some(("address", "this address may not come here: it is in none of the ranges of seats.allow"))
        } else if inside >= max && !self.give_way(now, &|o| o.device) {
            Some(("busy", "too many devices are connected (devices.connections)"))
        } else {
            None
        };
        if refused.is_some() && told >= TURNED_AWAY_MAX {
            self.shared.site.metrics.refused_limit += 1;
            return; // so many are being told already that they may not come in
        }
        self.shared.site.metrics.refused_limit += u64::from(refused.is_some());
        let phase = self.shared.phase();
        let mut state = Connection::new(origin, &self.shared.devices.rules, now.mono, phase);
        if let Some(said) = refused {
            state.turn_device_away(&mut self.shared, now, CloseReason::Limit, said);
        }
        self.shared.devices.connections += 1;
        if state.closing.is_none() {
            self.arrived = now.mono;
        }
        if !self.register(now, Conn::new(socket, state)) {
            self.shared.devices.connections -= 1;
        }
    }

    /// Connections at the listeners for browsers. One that is being turned away takes no place: else those from one
    /// address would fill the house.
    fn inside(&self) -> usize {
        self.conns.len().saturating_sub(self.turned_away + self.shared.devices.connections)
    }

    /// Makes one place free, of those that `wanted` picks, if anything gives way (see [`Standing`]). What could not be
    /// heard yet stays: what came in this turn, and what waits to be heard by [`Driver::find_place`].
    ///
    /// [`Standing`]: crate::places::Standing
    fn give_way(&mut self, now: Now, wanted: &dyn Fn(&Occupant) -> bool) -> bool {
        if self.giving.way.is_none() {
            let holds = |session| self.shared.hub.view().holds_control(session);
            let heard =
                |conn: &Conn<H::Socket>| conn.state.opened < now.mono && !(conn.queued && conn.state.in_reserve());
            let all = self.conns.iter().filter(|(_, conn)| heard(conn)).filter_map(|(id, conn)| {
                let (standing, since) = conn.state.standing(holds)?;
                let (device, from) = (conn.state.is_devices(), conn.state.origin.peer);
                let user = conn.state.user.clone().filter(|_| !device);
                Some(Occupant { conn: id, device, standing, from, user, since })
            });
            let places =
                if self.giving.starved { self.inside() } else { self.shared.site.config.limits.connections as usize };
            self.giving.way = Some(GivingWay::new(all.collect(), places / 2));
        }
        let Some(id) = self.giving.way.as_mut().and_then(|giving| giving.next(wanted)) else { return false };
        self.shared.site.metrics.gave_way += 1;
        self.close(now, id, CloseReason::Limit);
        true
    }

    /// The same where there are fewer descriptors than places: of all that are open, at whatever listener.
    pub fn give_way_starved(&mut self, now: Now) -> bool {
        if !self.giving.starved {
            self.giving = Giving { way: None, starved: true };
        }
        self.give_way(now, &|_| true)
    }

    /// Takes a connection into the table and has the poller watch it. Whether there was room.
    fn register(&mut self, now: Now, conn: Conn<H::Socket>) -> bool {
        let inserted = match self.conns.insert(conn) {
            Ok(id) => {
                let watched = self.conns.get(id).map_or(Ok(()), |conn| self.host.watch(id, &conn.socket));
                if let Err(e) = watched {
                    log::warn!("poll: {e}");
                    self.close(now, id, CloseReason::Error);
                }
                true
            }
            Err(conn) => {
                debug_assert!(false, "the table has room for all who are inside and all who are turned away");
                self.turned_away -=
                    usize::from(!conn.state.is_devices() && conn.state.closing == Some(CloseReason::Limit));
                false
            }
        };
        self.shared.load.connections = self.conns.len();
        inserted
    }
}
