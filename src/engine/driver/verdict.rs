//! Is the peer still there? Fetching what the liveness rules ask for, and doing what follows from their verdict or
//! from the socket's own errors.

use std::io;
use std::time::Duration;

use crate::engine::connection::Connection;
use crate::engine::driver::{Driver, Host, Socket};
use crate::engine::shared::Cx;
use crate::hub::Input;
use crate::liveness::{Ask, Outcome, Sample};
use crate::msg::{CloseReason, ConnId, Evidence, LinkEnd, Now, SessionId};

impl<H: Host> Driver<H> {
    /// The liveness rules want a look at this connection.
    pub(super) fn check_liveness(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.conns.touch(id) else { return };
        let rules = *conn.state.rules.as_deref().unwrap_or(&self.shared.rules);
        let mut sample = conn.look();
        let outcome = loop {
            let Some(conn) = self.conns.touch(id) else { return };
            let outcome = conn.state.live.check(&rules, now.mono, sample);
            match outcome.ask {
                None => break outcome,
                Some(Ask::Info) => sample.info = Some(conn.socket.health()),
                Some(Ask::Drain) => {
                    // a FIN or an error that lies in the socket wins over any verdict
                    conn.ready.readable = true;
                    conn.ready.read_on = true;
                    if let Err(e) = self.read(now, id) {
                        return self.broken(now, id, &e);
                    }
                    let Some(conn) = self.conns.touch(id) else { return };
                    if conn.ready.fin {
                        return self.peer_closed(now, id);
                    }
                    sample = Sample { info: Some(conn.socket.health()), drained: true, ..conn.look() };
                }
            }
        };
        let Some(conn) = self.conns.touch(id) else { return };
        if conn.state.is_devices() {
            let waiting = conn.state.live.waiting(now.mono).map(|waited| now.mono - waited);
            self.shared.tell_hub(now, Input::DeviceWaits { conn: id, since: waiting });
        }
        self.act_on(now, id, outcome);
    }

    /// Does what a check found.
    fn act_on(&mut self, now: Now, id: ConnId, outcome: Outcome) {
        let Some(conn) = self.conns.touch(id) else { return };
        let shared = &mut self.shared;
        if outcome.nudge && conn.socket.nudge() {
            shared.site.metrics.nudges += 1;
        }
        if outcome.prepare && conn.state.is_tcp() {
            conn.socket.prepare_response(&shared.features);
        }
        if outcome.returned {
            shared.tell_hub(now, Input::HeardAfterLost(id));
            return conn.state.returned(now.mono);
        }
        if conn.state.closing.is_none() && conn.state.parked.is_none() {
            // before the pulse, which would make the output look full
            if !outcome.hold && conn.state.output.is_empty() {
                conn.state.catch_up(shared);
            }
            // else it would only lie behind what is owed; and on a unix socket nothing else bounds what heartbeats add up to
            if let (Some(pulse), true) = (outcome.pulse, conn.ready.writable) {
                if let Some(n) = conn.state.pulse(&mut Cx { now, id, shared }, pulse) {
                    // an error is met again by the next read
                    let written = conn.flush(n, now.mono, &mut self.shared.spare).map_or(0, |(_, n)| n);
                    self.shared.site.metrics.bytes_out += written;
                }
            }
        }
        if !conn.state.is_link() {
            if let Some(LinkEnd::Lost { after, evidence }) = outcome.end {
                self.plain_lost(now, id, after, evidence);
            }
            return;
        }
        if let (Some(LinkEnd::Lost { .. }), Some(session)) = (outcome.end, conn.state.session) {
            self.heard_elsewhere(now, id, session);
        }
        let Some(conn) = self.conns.touch(id) else { return };
        let shared = &mut self.shared;
        if let Some(change) = outcome.change {
            shared.tell_hub(now, Input::LinkChanged { conn: id, change });
        }
        if let Some(rtt_us) = conn.state.live.rtt_us() {
            shared.tell_hub(now, Input::RoundTrip { conn: id, rtt_us });
        }
        if let Some(end) = outcome.end {
            shared.tell_hub(now, Input::LinkEnded { conn: id, end });
            if !matches!(end, LinkEnd::Lost { .. }) {
                conn.state.farewell(now.mono, CloseReason::Slow);
            }
        }
    }

    /// A connection that is no link lost its peer: its session ends if nothing else carries it.
    fn plain_lost(&mut self, now: Now, id: ConnId, after: Duration, evidence: Evidence) {
        let Some(session) = self.conns.get(id).and_then(|c| c.state.session) else {
            return self.close(now, id, CloseReason::Lost);
        };
        let others = self.carried_elsewhere(id, session);
        self.shared.tell_hub(now, Input::PlainLost { session, after, evidence, others });
        if let Some(conn) = self.conns.touch(id) {
            // nobody is there to hear the rest
            conn.socket.reset();
        }
        self.close(now, id, CloseReason::Lost);
    }

    /// Tells the hub when a session was last heard on its connections that are no links, such as a download: one dead link
    /// does not end somebody who is being heard.
    fn heard_elsewhere(&mut self, now: Now, id: ConnId, session: SessionId) {
        let of_session = self
            .conns
            .iter()
            .filter(|(other, c)| *other != id && c.state.session == Some(session) && !c.state.is_link());
        let heard = of_session.map(|(_, c)| now.mono - c.state.live.silent_for(now.mono)).max();
        if let Some(at) = heard {
            self.shared.tell_hub(now, Input::PlainHeard { session, at });
        }
    }

    fn carried_elsewhere(&self, id: ConnId, session: SessionId) -> bool {
        let carries = |c: &Connection| c.session == Some(session) && c.closing.is_none();
        self.conns.iter().any(|(other, conn)| other != id && carries(&conn.state))
    }

    /// The socket reported an error: what it says of the peer, and the end of the connection.
    pub(super) fn broken(&mut self, now: Now, id: ConnId, error: &io::Error) {
        let Some(conn) = self.conns.touch(id) else { return };
        if !conn.state.is_tcp() {
            // a local program that closes with our bytes unread is reported as a reset: it has closed, no more and no less
            log::debug!("broken conn={id} addr={} error={error}", conn.state.origin.peer);
            return self.close(now, id, CloseReason::Closed);
        }
        let evidence = H::Socket::evidence(error, conn.state.live.waiting(now.mono).is_some());
        let after = conn.state.live.silent_for(now.mono);
        let why = match evidence {
            Some(Evidence::Reset) => CloseReason::Reset,
            Some(_) => CloseReason::Lost,
            None => CloseReason::Error,
        };
        log::debug!("broken conn={id} addr={} error={error}", conn.state.origin.peer);
        match (conn.state.is_link() && conn.state.parked.is_none(), evidence) {
            (true, Some(evidence)) => {
                let end = LinkEnd::Lost { after, evidence };
                self.shared.tell_hub(now, Input::LinkEnded { conn: id, end });
            }
            // a reset of a plain connection says nothing of the person: browsers drop connections at will
            (false, Some(evidence)) if evidence != Evidence::Reset && conn.state.parked.is_none() => {
                return self.plain_lost(now, id, after, evidence);
            }
            _ => {}
        }
        self.close(now, id, why);
    }

    /// The peer said FIN.
    pub(super) fn peer_closed(&mut self, now: Now, id: ConnId) {
        if self.conns.get(id).is_some_and(|conn| conn.state.ends_with_fin()) {
            self.close(now, id, CloseReason::Closed);
        }
    }
}
