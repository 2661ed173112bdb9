//! `GET /api/socket`: everything that happens and what a page has to say, over one WebSocket. `GET /api/echo`, behind
//! the setting `debug.echo`: one that sends back what it gets, for conformance tests.

use crate::http::request::{Method, Request, Version};
use crate::hub::{Ask, Denied, LinkSpec};
use crate::link::ws::{Echo, Ws, accept};
use crate::msg::{CloseReason, Effect, Type};
use crate::routes::events::types;
use crate::routes::full;
use crate::routes::links::{query, replay, tab};
use crate::routes::reply::{Call, Ctx, Full, Reply, refusal};

pub(super) fn open(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    let request = call.request;
    let accept = match handshake(call) {
        Ok(accept) => accept,
        Err(full) => return full.into(),
    };
    let (types, tab) = match (types(request), tab(request)) {
        (Ok(types), Ok(tab)) => (types, tab),
        (Err(reply), _) | (_, Err(reply)) => return reply,
    };
    let beats = types.has(Type::Beat);
    let last = replay(ctx, &call.caller.user, query(request, "last"), types);
    let spec = Box::new(LinkSpec { types, beats, last, tab });
    match ctx.ask(call.caller.session, Ask::Link { conn: ctx.peer.conn, spec }) {
        Ok(_) => {}
        // a page cannot see the status of a handshake: it is told over the socket
        Err(Denied::Superseded) => ctx.fx.push(Effect::Close { conn: ctx.peer.conn, why: CloseReason::Replaced }),
        Err(why) => return full::answer(ctx, request, why).into(),
    }
    Reply::Upgrade { link: Box::new(Ws::page()), accept, beats, carries: true }
}

pub(super) fn echo(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    if !ctx.site.config.debug.echo {
        return refusal(404, "not_found", "there is an echo only with debug.echo = true").into();
    }
    match handshake(call) {
        Ok(accept) => Reply::Upgrade { link: Box::new(Echo::open()), accept, beats: false, carries: false },
        Err(full) => full.into(),
    }
}

/// The opening handshake (RFC 6455, section 4.2.1): the value of `Sec-WebSocket-Accept`, or what is wrong.
fn handshake(call: &Call<'_>) -> Result<String, Full> {
    let request = call.request;
    if !asks(request) {
        let said = "here is a WebSocket: a GET with HTTP/1.1, Connection: Upgrade and Upgrade: websocket; \
                    a proxy on the way has to pass them on. Without one there is /api/events";
        return Err(refusal(426, "upgrade", said).with("Upgrade", "websocket"));
    }
    if the_only(request, "sec-websocket-version") != Some(b"13") {
        let said = "this server speaks version 13 of WebSocket only";
        let full = refusal(426, "version", said).with("Upgrade", "websocket");
        return Err(full.with("Sec-WebSocket-Version", "13"));
    }
    if !call.body.is_empty() {
        return Err(refusal(400, "body", "a WebSocket's request has no body"));
    }
    the_only(request, "sec-websocket-key")
        .and_then(accept)
        .ok_or_else(|| refusal(400, "key", "Sec-WebSocket-Key is one field: the base64 of sixteen random bytes"))
}

/// Whether it asks for a WebSocket at all. In HTTP/1.0 an `Upgrade` means nothing (RFC 9110, section 7.8).
fn asks(request: &Request<'_>) -> bool {
    request.method == Method::Get
        && request.version != Version::Http10
        && request.lists("connection", "upgrade")
        && request.lists("upgrade", "websocket")
}

fn the_only<'r>(request: &Request<'r>, name: &str) -> Option<&'r [u8]> {
    let mut values = request.headers_named(name);
    values.next().filter(|_| values.next().is_none())
}
