//! Doing what the hub wants done, and the log line of every connection's end.

use std::os::fd::AsFd;
use std::rc::Rc;

use crate::engine::send_queue::Chunk;
use crate::http::response::{Audience, Envelope, Full, Persist};
use crate::hub::Input;
use crate::link::lines;
use crate::liveness::HOLD_AFTER;
use crate::msg::{CloseReason, ConnId, Effect, LinkEnd, Message, Now, Type};
use crate::net::conn::{Conn, Protocol};
use crate::net::devices;
use crate::net::server::Server;
use crate::net::world::World;
use crate::routes::reply::Site;
use crate::shown::LogName;
use crate::sys::tcp;

/// Does what the hub wants done, in order. Whether there was anything.
pub(super) fn apply(server: &mut Server, now: Now) -> bool {
    let mut any = false;
    while !server.world.fx.is_empty() {
        any = true;
        for effect in std::mem::take(&mut server.world.fx) {
            match effect {
                Effect::Deliver { to, message } => deliver(server, now, &to, &message),
                Effect::Close { conn, why } => say_farewell(server, now, conn, why),
                Effect::Park { conn, until } => {
                    if let Some(conn) = server.conns.touch(conn) {
                        conn.output.drop_unsent();
                        conn.parked = Some(until);
                    }
                }
                Effect::Device(effect) => devices::apply(server, now, effect),
            }
        }
    }
    any
}

/// Puts `message` into the output of each link: encoded once for each kind of link, shared by all.
fn deliver(server: &mut Server, now: Now, to: &[ConnId], message: &Message) {
    let max = server.world.site.config.limits.link_queue as u64;
    let mut encoded: Vec<(&'static str, Rc<[u8]>)> = Vec::new();
    for &id in to {
        let Some(conn) = server.conns.touch(id) else { continue };
        if conn.closing.is_some() {
            continue; // its last words are in the output already: nothing may follow a close frame
        }
        if message.kind() == Type::Telemetry && waits(conn, now) {
            // it would come late; the newest follows when there is room
            conn.missed_telemetry = true;
            continue;
        }
        let Protocol::Link(link) = &conn.protocol else { continue };
        let chunk = if to.len() == 1 {
            // nobody else is told: it is this link's own, as the ledger counts it
            let mut out = Vec::new();
            link.encode(message, &mut out);
            out.shrink_to_fit();
            Chunk::Bytes(out)
        } else if let Some((_, bytes)) = encoded.iter().find(|(name, _)| *name == link.name()) {
            Chunk::Shared(bytes.clone())
        } else {
            let mut out = Vec::new();
            link.encode(message, &mut out);
            let bytes: Rc<[u8]> = out.into();
            encoded.push((link.name(), bytes.clone()));
            Chunk::Shared(bytes)
        };
        // each chunk costs its place in the queue too
        let owed = conn.output.owed() + chunk.len();
        if owed > max.saturating_add(conn.spared) {
            server.world.hub.handle(now, Input::LinkEnded { conn: id, end: LinkEnd::Slow }, &mut server.world.fx);
            say_farewell(server, now, id, CloseReason::Slow);
        } else {
            conn.output.push(chunk);
        }
    }
}

/// Whether output on this link has been unacknowledged for so long that nothing is to be written that must not come late.
fn waits(conn: &Conn, now: Now) -> bool {
    let long = conn.live.waiting(now.mono).is_some_and(|waited| waited >= HOLD_AFTER);
    // what is known may be a heartbeat old: ask
    conn.missed_telemetry
        || conn.live.is_withheld()
        || (long && tcp::outq(conn.stream.as_fd()).is_ok_and(|bytes| bytes > 0))
}

/// Says on a link why it ends, and ends it.
pub(super) fn say_farewell(server: &mut Server, now: Now, id: ConnId, why: CloseReason) {
    let Some(conn) = server.conns.touch(id) else { return };
    if conn.closing.is_some() {
        return;
    }
    if let Protocol::Link(link) = &conn.protocol {
        let mut out = Vec::new();
        link.farewell(why, &mut out);
        if why == CloseReason::Slow {
            conn.output.drop_unsent();
        }
        conn.output.push(Chunk::Bytes(out));
    } else if conn.is_link() {
        let mut out = Vec::new();
        lines::farewell(why, &mut out);
        conn.output.push(Chunk::Bytes(out));
    }
    conn.close_after_output(now.mono, why);
}

/// Tells a connection beyond a limit so, and closes it.
pub(super) fn turn_away(conn: &mut Conn, world: &mut World, now: Now, crowd: bool) {
    let said = if crowd {
        "too many connections from this address; close some (limits.per_address)"
    } else {
        "too many connections; try again in a moment (limits.connections)"
    };
    let date = world.date(now);
    let envelope = Envelope { date: &date, persist: Persist::Close, extra: &[], is_head: false };
    let mut out = Vec::new();
    let full = Full::error(503, "busy", said, Audience::Terminal).with("Retry-After", "5");
    full.write(&mut out, &envelope);
    world.site.metrics.response(503);
    conn.refused = true;
    conn.output.push(Chunk::Bytes(out));
    conn.close_after_output(now.mono, CloseReason::Limit);
}

/// The one line of a connection's end: at level info if it was a link, if something on it was refused, or if it was somebody's and
/// did not end as connections do; else at level debug.
pub(super) fn log_close(conn: &Conn, id: ConnId, site: &mut Site, now: Now, why: CloseReason) {
    let ordinary = matches!(why, CloseReason::Done | CloseReason::Closed | CloseReason::KeepAlive);
    let named = conn.user.is_some() || conn.rules.is_some();
    let told = conn.rules.is_some() || conn.refused || (named && !ordinary);
    let level = if told { log::Level::Info } else { log::Level::Debug };
    if level > log::max_level() || (told && !named && !site.ration.takes(now.mono, conn.stream.peer)) {
        return;
    }
    let kind = match &conn.protocol {
        Protocol::Http(..) => "http",
        Protocol::Link(link) => link.name(),
        Protocol::Device(_) => "device",
        Protocol::Draining if conn.device.is_some() => "device",
        Protocol::Draining => "closing",
    };
    let user = LogName(conn.device.as_deref().or(conn.user.as_deref()).unwrap_or("-"));
    log::log!(
        level,
        "closed conn={id} addr={} user={user} kind={kind} reason={why} requests={} sent={} ms={}",
        conn.stream.peer,
        conn.requests,
        conn.sent,
        now.mono.since(conn.opened).as_millis()
    );
}
