//! Is the peer still there? Fetching what the liveness rules ask for, and doing what follows from their verdict or
//! from the socket's own errors.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::engine::send_queue::Chunk;
use crate::hub::Input;
use crate::link::lines;
use crate::liveness::{Ask, Outcome, Pulse, Sample};
use crate::msg::{CloseReason, ConnId, Evidence, LinkEnd, Message, Now, Passing, SessionId};
use crate::net::conn::{Conn, Protocol, Stage};
use crate::net::server::Server;
use crate::net::{devices, effects, serve};
use crate::sys::tcp;

/// The liveness rules want a look at this connection.
pub(super) fn check(server: &mut Server, now: Now, id: ConnId) {
    let Some(conn) = server.conns.touch(id) else { return };
    let rules = *conn.rules.as_deref().unwrap_or(&server.world.rules);
    let mut sample = look(conn);
    let outcome = loop {
        let outcome = conn.live.check(&rules, now.mono, sample);
        match outcome.ask {
            None => break outcome,
            Some(Ask::Info) => sample.info = Some(info(conn)),
            Some(Ask::Drain) => {
                // a FIN or an error that lies in the socket wins over any verdict
                conn.readable = true;
                conn.read_on = true;
                if let Err(e) = serve::read(conn, id, &mut server.world, now) {
                    return broken(server, now, id, &e);
                }
                if conn.peer_closed {
                    return peer_closed(server, now, id);
                }
                sample = Sample { info: Some(info(conn)), drained: true, ..look(conn) };
            }
        }
    };
    if matches!(conn.protocol, Protocol::Device(_)) {
        let waiting = conn.live.waiting(now.mono).map(|waited| now.mono - waited);
        server.world.hub.handle(now, Input::DeviceWaits { conn: id, since: waiting }, &mut server.world.fx);
    }
    act(server, now, id, outcome);
}

fn look(conn: &Conn) -> Sample {
    let outq = if conn.is_tcp() {
        tcp::outq(conn.stream.as_fd()).unwrap_or(0)
    } else if !conn.writable {
        u32::try_from(conn.output.owed()).unwrap_or(u32::MAX)
    } else {
        0
    };
    Sample { outq, info: None, drained: false }
}

fn info(conn: &Conn) -> crate::msg::TcpHealth {
    tcp::health(conn.stream.as_fd()).unwrap_or_default()
}

/// Does what a check found.
fn act(server: &mut Server, now: Now, id: ConnId, outcome: Outcome) {
    let Some(conn) = server.conns.touch(id) else { return };
    let world = &mut server.world;
    if outcome.nudge && tcp::nudge(conn.stream.as_fd()).is_ok() {
        world.site.metrics.nudges += 1;
    }
    if outcome.prepare && conn.is_tcp() {
        tcp::prepare_response(conn.stream.as_fd(), &world.features);
    }
    if outcome.returned {
        return server.returned(now, id);
    }
    if conn.closing.is_none() && conn.parked.is_none() {
        // before the pulse, which would make the output look full
        if conn.missed_telemetry && !outcome.hold && conn.output.is_empty() {
            devices::catch_up(conn, world);
        }
        if let Some(pulse) = outcome.pulse {
            pulse_now(conn, id, world, now, pulse);
        }
    }
    if !conn.is_link() {
        if let Some(LinkEnd::Lost { after, evidence }) = outcome.end {
            plain_lost(server, now, id, after, evidence);
        }
        return;
    }
    if let (Some(LinkEnd::Lost { .. }), Some(session)) = (outcome.end, conn.session) {
        heard_elsewhere(server, now, id, session);
    }
    let Some(conn) = server.conns.touch(id) else { return };
    let world = &mut server.world;
    if let Some(change) = outcome.change {
        world.hub.handle(now, Input::LinkChanged { conn: id, change }, &mut world.fx);
    }
    if conn.live.rtt_us() != conn.rtt_us {
        conn.rtt_us = conn.live.rtt_us();
        world.hub.handle(now, Input::RoundTrip { conn: id, rtt_us: conn.rtt_us.unwrap_or_default() }, &mut world.fx);
    }
    match outcome.end {
        None => {}
        Some(end @ LinkEnd::Lost { .. }) => world.hub.handle(now, Input::LinkEnded { conn: id, end }, &mut world.fx),
        Some(end) => {
            world.hub.handle(now, Input::LinkEnded { conn: id, end }, &mut world.fx);
            effects::say_farewell(server, now, id, CloseReason::Slow);
        }
    }
}

/// Writes a sign of life. A beat is encoded once for all links that get it in its time.
fn pulse_now(conn: &mut Conn, id: ConnId, world: &mut crate::net::world::World, now: Now, pulse: Pulse) {
    if !conn.writable {
        // it would only lie behind what is owed; and on a unix socket nothing else bounds what heartbeats add up to
        return;
    }
    if conn.is_link() {
        world.site.metrics.heartbeats += 1;
    }
    let link = match &conn.protocol {
        Protocol::Link(link) => link,
        Protocol::Device(_) if conn.is_link() => return conn.output.push(Chunk::Static(lines::PING)),
        _ => return,
    };
    if conn.live.is_withheld() {
        // past what waits, into the part of the peer's window that is kept for it
        let heartbeat = link.heartbeat();
        if !conn.output.mid_chunk() {
            conn.output.push_front(Chunk::Static(heartbeat));
            // an error is met again by whoever reads
            world.site.metrics.bytes_out +=
                conn.flush(heartbeat.len(), now.mono, &mut world.spare).map_or(0, |(_, n)| n);
        }
        return;
    }
    match pulse {
        Pulse::Heartbeat => conn.output.push(Chunk::Static(link.heartbeat())),
        Pulse::Beat => {
            let n = world.hub.view().beat_number(now);
            let known = world.beats.iter().position(|(name, ..)| *name == link.name());
            let bytes = match known.map(|i| &world.beats[i]) {
                Some((_, number, bytes)) if *number == n => bytes.clone(),
                _ => {
                    let mut out = Vec::new();
                    link.encode(&Message::Passing(Passing::Beat { n }.into()), &mut out);
                    let bytes: std::rc::Rc<[u8]> = out.into();
                    let newest = (link.name(), n, bytes.clone());
                    match known {
                        Some(i) => world.beats[i] = newest,
                        None => world.beats.push(newest),
                    }
                    bytes
                }
            };
            conn.output.push(Chunk::Shared(bytes));
            if conn.live.asks() {
                conn.output.push(Chunk::Static(link.heartbeat()));
            }
            world.hub.handle(now, Input::BeatSent { conn: id, n }, &mut world.fx);
        }
    }
}

/// A connection that is no link lost its peer: its session ends if nothing else carries it.
fn plain_lost(server: &mut Server, now: Now, id: ConnId, after: Duration, evidence: Evidence) {
    let Some(session) = server.conns.get(id).and_then(|c| c.session) else {
        return server.close(now, id, CloseReason::Lost);
    };
    let others = carried_elsewhere(server, id, session);
    server.world.hub.handle(now, Input::PlainLost { session, after, evidence, others }, &mut server.world.fx);
    if let Some(conn) = server.conns.touch(id) {
        // nobody is there to hear the rest
        let _ = conn.stream.reset();
    }
    server.close(now, id, CloseReason::Lost);
}

/// Tells the hub when a session was last heard on its connections that are no links, such as a download: one dead link
/// does not end somebody who is being heard.
fn heard_elsewhere(server: &mut Server, now: Now, id: ConnId, session: SessionId) {
    let of_session =
        server.conns.iter().filter(|(other, c)| *other != id && c.session == Some(session) && !c.is_link());
    let heard = of_session.map(|(_, c)| now.mono - c.live.silent_for(now.mono)).max();
    if let Some(at) = heard {
        server.world.hub.handle(now, Input::PlainHeard { session, at }, &mut server.world.fx);
    }
}

fn carried_elsewhere(server: &Server, id: ConnId, session: SessionId) -> bool {
    server.conns.iter().any(|(other, conn)| other != id && conn.session == Some(session) && conn.closing.is_none())
}

/// The socket reported an error: what it says of the peer, and the end of the connection.
pub(super) fn broken(server: &mut Server, now: Now, id: ConnId, error: &io::Error) {
    let Some(conn) = server.conns.touch(id) else { return };
    if !conn.is_tcp() {
        // a local program that closes with our bytes unread is reported as a reset: it has closed, no more and no less
        log::debug!("broken conn={id} addr={} error={error}", conn.stream.peer);
        return server.close(now, id, CloseReason::Closed);
    }
    let evidence = tcp::evidence(error, conn.live.waiting(now.mono).is_some());
    let after = conn.live.silent_for(now.mono);
    let why = match evidence {
        Some(Evidence::Reset) => CloseReason::Reset,
        Some(_) => CloseReason::Lost,
        None => CloseReason::Error,
    };
    log::debug!("broken conn={id} addr={} error={error}", conn.stream.peer);
    match (conn.is_link() && conn.parked.is_none(), evidence) {
        (true, Some(evidence)) => {
            let end = LinkEnd::Lost { after, evidence };
            server.world.hub.handle(now, Input::LinkEnded { conn: id, end }, &mut server.world.fx);
            conn.parked = Some(now.mono); // the hub has been told; the socket is of no use any more
        }
        // a reset of a plain connection says nothing of the person: browsers drop connections at will
        (false, Some(evidence)) if evidence != Evidence::Reset && conn.parked.is_none() => {
            return plain_lost(server, now, id, after, evidence);
        }
        _ => {}
    }
    server.close(now, id, why);
}

/// The peer said FIN.
pub(super) fn peer_closed(server: &mut Server, now: Now, id: ConnId) {
    let Some(conn) = server.conns.touch(id) else { return };
    match &conn.protocol {
        Protocol::Link(_) | Protocol::Device(_) | Protocol::Draining => server.close(now, id, CloseReason::Closed),
        // a half-closed peer still gets its answers
        Protocol::Http(Stage::Waiting(_) | Stage::Held(_), _) => {}
        Protocol::Http(..) if !conn.output.is_empty() => {}
        Protocol::Http(..) => server.close(now, id, CloseReason::Closed),
    }
}
