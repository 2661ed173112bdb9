//! What a peer says on its link: bytes become steps, steps go to the routes or straight back.

use crate::codec::{Decoded, ProtoError};
use crate::engine::send_queue::Chunk;
use crate::hub;
use crate::link::Step;
use crate::msg::{CloseReason, ConnId, Effect, LinkEnd, Now};
use crate::net::conn::{Conn, Protocol};
use crate::net::serve::with_ctx;
use crate::net::world::World;
use crate::routes::steps;
use crate::secret::Input;

/// Steps taken in one turn: who floods us has its turns like everybody else.
const STEPS_MAX: usize = 64;

/// Takes `bytes` in, behind those that were kept.
pub fn hear(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, bytes: &[u8]) {
    conn.held = false;
    if conn.closing.is_some() || conn.parked.is_some() {
        // all is said, or the hub knows it no more
        conn.input = Input::default();
        return;
    }
    if conn.input.is_empty() {
        let used = steps(conn, id, world, now, bytes);
        conn.input = Input::new(&bytes[used..]);
    } else {
        let mut input = std::mem::take(&mut conn.input);
        input.extend_from_slice(bytes);
        let used = steps(conn, id, world, now, &input);
        conn.input = Input::new(&input[used..]);
    }
}

/// Takes steps as far as they may be taken now; says how many bytes they took.
fn steps(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, input: &[u8]) -> usize {
    let mut used = 0;
    for _ in 0..STEPS_MAX {
        let rest = &input[used..];
        if rest.is_empty() {
            return used;
        }
        let Protocol::Link(link) = &mut conn.protocol else { return input.len() };
        match link.decode(rest) {
            Ok(Decoded::Need) => return used,
            Ok(Decoded::Got { msg, used: n }) => {
                used += n.clamp(1, rest.len());
                act(conn, id, world, now, msg);
            }
            Err(e) => refuse(conn, id, world, now, &e),
        }
        if conn.closing.is_some() {
            return input.len();
        }
    }
    conn.held = used < input.len();
    used
}

fn act(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, step: Step) {
    match step {
        Step::Noise => {}
        Step::Return(bytes) => {
            let owed = conn.output.owed() + bytes.len() as u64;
            let max = (world.site.config.limits.link_queue as u64).saturating_add(conn.spared);
            if conn.is_link() && owed > max {
                world.hub.handle(now, hub::Input::LinkEnded { conn: id, end: LinkEnd::Slow }, &mut world.fx);
                world.fx.push(Effect::Close { conn: id, why: CloseReason::Slow });
            } else {
                conn.output.push(Chunk::Bytes(bytes));
            }
        }
        Step::End(bytes) => end(conn, id, world, now, bytes, CloseReason::Closed),
        Step::Page(request) => {
            if let Some(session) = conn.session {
                with_ctx(conn, id, world, now, None, |ctx| steps::take(ctx, session, request));
            }
        }
    }
}

/// The peer broke the protocol: it is told how, and that is the end.
fn refuse(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, error: &ProtoError) {
    let Protocol::Link(link) = &conn.protocol else { return };
    log::info!("refused conn={id} addr={} code={} why={:?}", conn.stream.peer, error.close_code, error.what);
    let mut out = Vec::new();
    link.refuse(error, &mut out);
    end(conn, id, world, now, out, CloseReason::Protocol);
}

fn end(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, bytes: Vec<u8>, why: CloseReason) {
    let end = if why == CloseReason::Protocol { LinkEnd::Protocol } else { LinkEnd::Closed };
    world.hub.handle(now, hub::Input::LinkEnded { conn: id, end }, &mut world.fx);
    conn.output.push(Chunk::Bytes(bytes));
    conn.close_after_output(now.mono, why);
}
