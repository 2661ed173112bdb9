//! Serving one connection's bytes: the exchange says where requests are, the routes say what to answer, the pages
//! say which bytes; here it is only put together and put into the output.

use std::os::fd::AsFd;
use std::rc::Rc;

use crate::auth::{Door, Key, Verdict};
use crate::codec::ProtoError;
use crate::engine::send_queue::Chunk;
use crate::http::auth;
use crate::http::exchange::{Exchange, Progress, Unread};
use crate::http::request::{Framing, Method, Request, slots};
use crate::http::response::{
    Audience, CONTINUE, EVENT_STREAM, Envelope, Full, Persist, end_head, push_complaint, push_field, start_head,
};
use crate::link::Link;
use crate::liveness::Carrier;
use crate::msg::{CloseReason, ConnId, EventId, Now};
use crate::net::conn::{Conn, Held, Protocol, SPARED_ALL, Stage};
use crate::net::devices;
use crate::net::files::Body;
use crate::net::hear::hear;
use crate::net::stderr;
use crate::net::world::World;
use crate::routes::gate::Job;
use crate::routes::reply::{Caller, Ctx, Load, Peer, Reply};
use crate::routes::{self, Admitted, Refused, access};
use crate::secret::{Input, wipe};
use crate::shown::Quoted;
use crate::sys::tcp;

/// Output owed at which no further pipelined request is taken up.
const PIPELINE_MAX: u64 = 64 * 1024;

/// Bytes of a body that travel in one piece with their head.
const JOIN_MAX: usize = 2048;

/// Reads once and serves what came.
pub fn read(conn: &mut Conn, id: ConnId, world: &mut World, now: Now) -> std::io::Result<()> {
    let mut buffer = std::mem::take(&mut world.buffer);
    let got = conn.read(&mut buffer);
    if let Ok(n @ 1..) = got {
        conn.live.heard(now.mono);
        let secret = !conn.is_link();
        take(conn, id, world, now, &buffer[..n]);
        if secret {
            wipe(&mut buffer[..n]); // a request's credentials, a device's token
        }
    }
    world.buffer = buffer;
    got.map(|_| ())
}

/// Takes `bytes` in.
fn take(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, bytes: &[u8]) {
    match &mut conn.protocol {
        Protocol::Draining => {}
        Protocol::Device(_) => devices::take(conn, id, world, now, bytes),
        Protocol::Link(_) => hear(conn, id, world, now, bytes),
        Protocol::Http(..) if conn.closing.is_some() => {}
        Protocol::Http(..) => {
            if conn.input.is_empty() {
                let used = requests(conn, id, world, now, bytes);
                if matches!(conn.protocol, Protocol::Link(_)) {
                    // whoever asked for a WebSocket may have gone on at once
                    hear(conn, id, world, now, &bytes[used..]);
                } else if used < bytes.len() && matches!(conn.protocol, Protocol::Http(..)) {
                    conn.input.extend_from_slice(&bytes[used..]);
                    if matches!(conn.protocol, Protocol::Http(Stage::Head, _)) {
                        conn.since = now.mono; // the first bytes of a head: its time begins
                    }
                }
            } else {
                conn.input.extend_from_slice(bytes);
                again(conn, id, world, now);
            }
        }
    }
}

/// Serves what lies in the input: pipelined requests once their predecessors are answered.
pub fn again(conn: &mut Conn, id: ConnId, world: &mut World, now: Now) {
    let mut input = std::mem::take(&mut conn.input);
    let used = requests(conn, id, world, now, &input);
    if matches!(conn.protocol, Protocol::Link(_)) {
        return hear(conn, id, world, now, &input[used..]);
    }
    if used == input.len() || !matches!(conn.protocol, Protocol::Http(..)) {
        return;
    }
    input.consume(used);
    conn.input = input;
}

/// The password that this connection's request waited for has been checked.
pub fn resume(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, verdict: (Key, Verdict)) {
    let Protocol::Http(stage @ Stage::Waiting(_), _) = &mut conn.protocol else { return };
    *stage = Stage::Head;
    let mut input = std::mem::take(&mut conn.input);
    let used = head(conn, id, world, now, &input, Some(verdict)).unwrap_or(0);
    if matches!(conn.protocol, Protocol::Link(_)) {
        return hear(conn, id, world, now, &input[used..]);
    }
    if matches!(conn.protocol, Protocol::Http(..)) {
        input.consume(used);
        conn.input = input;
        if !conn.input.is_empty() {
            again(conn, id, world, now);
        }
    }
}

/// Serves as many of the requests in `input` as may be served now; says how many bytes they took.
fn requests(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, input: &[u8]) -> usize {
    let mut used = 0;
    conn.held = false;
    while conn.closing.is_none() {
        if conn.output.owed() >= PIPELINE_MAX {
            conn.held = used < input.len();
            break;
        }
        let Protocol::Http(stage, exchange) = &mut conn.protocol else { break };
        if matches!(stage, Stage::Waiting(_) | Stage::Held(_)) {
            break;
        }
        let rest = &input[used..];
        let mut room = slots();
        if let Some(request) = exchange.at_once(rest, &mut room, &world.heads) {
            used += decide(conn, id, world, now, rest, &request, None).unwrap_or(0);
            continue;
        }
        match exchange.advance(rest, &world.heads) {
            Ok(Progress::Need) => {
                if exchange.take_continue(rest) {
                    conn.output.push(Chunk::Static(CONTINUE));
                }
                break;
            }
            Ok(Progress::Head { .. }) => used += head(conn, id, world, now, rest, None).unwrap_or(0),
            Ok(Progress::Complete { used: n }) => {
                complete(conn, id, world, now, &rest[..n]);
                used += n;
            }
            Err(e) => {
                refuse(conn, world, now, rest, &e);
                used = input.len();
            }
        }
    }
    used
}

/// A head is complete: reads it and decides.
fn head(
    conn: &mut Conn,
    id: ConnId,
    world: &mut World,
    now: Now,
    rest: &[u8],
    verdict: Option<(Key, Verdict)>,
) -> Option<usize> {
    let Protocol::Http(_, exchange) = &conn.protocol else { return Some(rest.len()) };
    let mut room = slots();
    match Request::parse(&rest[..exchange.head_len()], &mut room, &world.heads) {
        Ok(request) => decide(conn, id, world, now, rest, &request, verdict),
        Err(e) => {
            refuse(conn, world, now, rest, &e);
            Some(rest.len())
        }
    }
}

/// Is this request, at the beginning of `rest`, let in? `Some`: it is done with, and took so many bytes.
fn decide(
    conn: &mut Conn,
    id: ConnId,
    world: &mut World,
    now: Now,
    rest: &[u8],
    request: &Request<'_>,
    verdict: Option<(Key, Verdict)>,
) -> Option<usize> {
    let admitted = with_ctx(conn, id, world, now, verdict, |ctx| routes::admit(ctx, request));
    if let Ok(Admitted { caller: Some(caller), .. }) | Err(Refused { caller: Some(caller), .. }) = &admitted {
        conn.belongs_to(caller);
    }
    let Protocol::Http(stage, exchange) = &mut conn.protocol else { return Some(rest.len()) };
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(Refused { reply: Reply::Later(job), .. }) => {
            wait(conn, id, world, now, request, job);
            return None;
        }
        Err(Refused { reply, caller }) => {
            let unread = exchange.refuse_body(request, rest);
            *stage = Stage::Skip;
            let close = unread == Unread::Close;
            respond(conn, world, now, request, caller.as_ref(), reply, close);
            return if close { Some(rest.len()) } else { None };
        }
    };
    if conn.reserve && !admitted.may_stop() && !seated(world, &admitted) {
        let unread = exchange.refuse_body(request, rest);
        debug_assert!(unread == Unread::Close || unread == Unread::InStep);
        world.site.metrics.refused_limit += 1;
        let said = "the last connections are kept for those who have a seat; try again in a moment";
        let full = Full::error(503, "busy", said, Audience::of(Some(request))).with("Retry-After", "5");
        respond(conn, world, now, request, admitted.caller.as_ref(), full.into(), true);
        return Some(rest.len());
    }
    conn.reserve = false;
    if request.framing == Framing::None {
        let len = exchange.head_len();
        *exchange = Exchange::default();
        finish(conn, id, world, now, request, &admitted, &[], false);
        return Some(len);
    }
    if !admitted.takes_body() {
        // a page needs no body: skip it if it is there, else the connection cannot go on
        let close = exchange.refuse_body(request, rest) == Unread::Close;
        *stage = Stage::Skip;
        finish(conn, id, world, now, request, &admitted, &[], close);
        return if close { Some(rest.len()) } else { None };
    }
    match exchange.accept_body(request, world.site.config.limits.body_bytes) {
        Ok(()) => {
            *stage = Stage::Body(Box::new(admitted));
            conn.since = now.mono;
            None
        }
        Err(e) => {
            let said = format!("{}; at most {} bytes are taken", e.what, world.site.config.limits.body_bytes);
            let full = Full::error(e.status, "too_large", &said, Audience::of(Some(request)));
            respond(conn, world, now, request, admitted.caller.as_ref(), full.into(), true);
            Some(rest.len())
        }
    }
}

/// A request with a body is complete.
fn complete(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, whole: &[u8]) {
    let Protocol::Http(stage, exchange) = &mut conn.protocol else { return };
    let stage = std::mem::replace(stage, Stage::Head);
    let exchange = std::mem::take(exchange);
    conn.since = now.mono;
    let Stage::Body(admitted) = stage else { return };
    let mut room = slots();
    // it was parsed once already when it was let in; keeping the result would mean keeping a self-reference
    match Request::parse(&whole[..exchange.head_len()], &mut room, &world.heads) {
        Ok(request) => {
            let body = exchange.body(whole);
            finish(conn, id, world, now, &request, &admitted, &body, false);
        }
        Err(e) => refuse(conn, world, now, whole, &e),
    }
}

/// Answers a complete request.
#[allow(clippy::too_many_arguments)] // one call for each of two callers; a struct would only rename the list
fn finish(
    conn: &mut Conn,
    id: ConnId,
    world: &mut World,
    now: Now,
    request: &Request<'_>,
    admitted: &Admitted,
    body: &[u8],
    close: bool,
) {
    conn.requests += 1;
    world.site.metrics.requests += 1;
    if admitted.is_page() {
        return page(conn, id, world, now, request, admitted, close);
    }
    let reply = with_ctx(conn, id, world, now, None, |ctx| routes::answer(ctx, request, admitted, body));
    respond(conn, world, now, request, admitted.caller.as_ref(), reply, close);
}

/// Answers with a file. Whether there is one is known before a seat is taken for it.
fn page(
    conn: &mut Conn,
    id: ConnId,
    world: &mut World,
    now: Now,
    request: &Request<'_>,
    admitted: &Admitted,
    close: bool,
) {
    let mut out = blank(world);
    let date = world.date(now);
    cookie_line(conn, world, admitted.caller.as_ref());
    let persist = Persist::of(request, close);
    let is_head = request.method == Method::Head;
    let envelope = Envelope { date: &date, persist, extra: &world.extra, is_head };
    let served = world.pages.serve(now, request, &envelope, &mut out);
    if matches!(served.status, 200 | 206 | 304) {
        let html = served.html && served.status == 200 && request.method == Method::Get;
        let seat = with_ctx(conn, id, world, now, None, |ctx| routes::page_seat(ctx, request, admitted, html));
        if let Err(full) = seat {
            world.spare = out;
            return respond(conn, world, now, request, admitted.caller.as_ref(), full.into(), close);
        }
    }
    world.site.metrics.response(served.status);
    conn.refused |= served.status >= 400;
    let small = match &served.body {
        Body::Static(bytes) => *bytes,
        Body::Shared(bytes, range) => &bytes[range.clone()],
        Body::None | Body::File { .. } => &[],
    };
    // copying a small body behind its head costs less than a second chunk
    let joined = small.len() <= JOIN_MAX;
    if joined {
        out.extend_from_slice(small);
    }
    conn.output.push(Chunk::Bytes(out));
    match served.body {
        Body::None => {}
        Body::Static(_) | Body::Shared(..) if joined => {}
        Body::Static(bytes) => conn.output.push(Chunk::Static(bytes)),
        Body::Shared(bytes, range) => conn.output.push(Chunk::SharedRange(bytes, range)),
        Body::File { file, offset, len } => conn.output.push(Chunk::File { fd: Rc::new(file), offset, len }),
    }
    answered(conn, now, persist);
}

/// Answers with what a route said.
#[allow(clippy::too_many_arguments)]
fn respond(
    conn: &mut Conn,
    world: &mut World,
    now: Now,
    request: &Request<'_>,
    caller: Option<&Caller>,
    reply: Reply,
    close: bool,
) {
    let date = world.date(now);
    cookie_line(conn, world, caller);
    let is_head = request.method == Method::Head;
    match reply {
        Reply::Full(mut full) => {
            let mut out = blank(world);
            world.pages.dress(now, &mut full);
            let persist = Persist::of(request, close);
            let envelope = Envelope { date: &date, persist, extra: &world.extra, is_head };
            world.site.metrics.response(full.status);
            conn.refused |= full.status >= 400;
            let upgrade = full.status >= 400 && request.header("upgrade").is_some();
            if upgrade
                && (caller.is_some_and(|c| !c.user.is_empty()) || world.site.ration.takes(now.mono, conn.stream.peer))
            {
                // a page cannot see the status of its handshake: whoever looks for the reason finds it here
                log::info!("refused addr={} status={} path={}", conn.stream.peer, full.status, Quoted(request.path));
            }
            out.reserve(256 + full.body.len());
            full.write(&mut out, &envelope);
            conn.output.push(Chunk::Bytes(out));
            answered(conn, now, persist);
        }
        Reply::Stream { link, opening, beats } => {
            // the stream ends with the connection: nothing can follow it
            let envelope = Envelope { date: &date, persist: Persist::Close, extra: &world.extra, is_head };
            world.site.metrics.response(200);
            let mut out = Vec::with_capacity(384);
            start_head(&mut out, 200, &envelope);
            push_field(&mut out, "Content-Type", EVENT_STREAM.as_bytes());
            push_field(&mut out, "X-Content-Type-Options", b"nosniff");
            push_field(&mut out, "Cache-Control", b"no-store");
            // nginx would otherwise keep events back until its buffer is full
            push_field(&mut out, "X-Accel-Buffering", b"no");
            if link.name() == "sse" {
                push_field(&mut out, "Transfer-Encoding", b"chunked");
            }
            end_head(&mut out);
            out.extend_from_slice(&opening);
            conn.output.push(Chunk::Bytes(out));
            become_link(conn, world, now, link, beats, false);
        }
        Reply::Upgrade { link, accept, beats, carries } => {
            let envelope = Envelope { date: &date, persist: Persist::Keep, extra: &world.extra, is_head };
            world.site.metrics.response(101);
            let mut out = Vec::with_capacity(256);
            start_head(&mut out, 101, &envelope);
            push_field(&mut out, "Upgrade", b"websocket");
            push_field(&mut out, "Connection", b"Upgrade");
            push_field(&mut out, "Sec-WebSocket-Accept", accept.as_bytes());
            end_head(&mut out);
            conn.output.push(Chunk::Bytes(out));
            if carries {
                become_link(conn, world, now, link, beats, true);
            } else {
                conn.protocol = Protocol::Link(link);
            }
        }
        Reply::Hold { command, until } => {
            let persist = Persist::of(request, close);
            if let Protocol::Http(stage, _) = &mut conn.protocol {
                *stage = Stage::Held(Box::new(Held { command, until, persist, extra: world.extra.clone() }));
            }
        }
        Reply::Page | Reply::Later(_) => debug_assert!(false, "a page is served, a wait is waited, elsewhere"),
    }
}

/// Answers the request that waits for `command`, and goes on with the next one.
pub fn release(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, command: EventId, full: Full) {
    let Protocol::Http(stage, _) = &mut conn.protocol else { return };
    let held = match std::mem::replace(stage, Stage::Head) {
        Stage::Held(held) if held.command == command => held,
        other => return *stage = other,
    };
    let date = world.date(now);
    let envelope = Envelope { date: &date, persist: held.persist, extra: &held.extra, is_head: false };
    world.site.metrics.response(full.status);
    let mut out = Vec::with_capacity(256 + full.body.len());
    full.write(&mut out, &envelope);
    conn.output.push(Chunk::Bytes(out));
    answered(conn, now, held.persist);
    if !conn.input.is_empty() {
        again(conn, id, world, now);
    }
}

/// A request has waited long enough for the answer to its command.
pub fn unanswered(conn: &mut Conn, id: ConnId, world: &mut World, now: Now) {
    if let Protocol::Http(Stage::Held(held), _) = &conn.protocol {
        let command = held.command;
        release(conn, id, world, now, command, routes::devices::unanswered(command));
    }
}

/// Turns the connection into a link: its socket is set up for liveness from here on, because browsers open their
/// links on connections that have carried pages before.
/// `answers`: its peer answers heartbeats.
fn become_link(conn: &mut Conn, world: &mut World, now: Now, link: Box<dyn Link>, beats: bool, answers: bool) {
    let carrier = match (conn.is_tcp(), answers) {
        (true, _) => Carrier::Link,
        (false, true) => Carrier::Answering,
        (false, false) => Carrier::Application,
    };
    if conn.is_tcp() {
        tcp::prepare_link(conn.stream.as_fd(), &world.times, &world.features);
    }
    let beat = beats.then(|| world.site.config.liveness.beat());
    conn.live.become_link(carrier, &world.rules, now.mono, beat);
    conn.rules = Some(world.rules.clone());
    conn.spared = SPARED_ALL;
    conn.protocol = Protocol::Link(link);
    conn.input = Input::default();
}

/// An empty buffer for an answer: that of the last one, if it has gone.
fn blank(world: &mut World) -> Vec<u8> {
    let mut out = std::mem::take(&mut world.spare);
    out.clear();
    out
}

/// A response is in the output: what becomes of the connection.
fn answered(conn: &mut Conn, now: Now, persist: Persist) {
    conn.since = now.mono;
    conn.taken = now.mono;
    if persist == Persist::Close {
        conn.close_after_output(now.mono, CloseReason::Done);
    }
}

/// The peer broke the protocol in what begins with `head`: one answer, then nothing more is read from it.
fn refuse(conn: &mut Conn, world: &mut World, now: Now, head: &[u8], error: &ProtoError) {
    let date = world.date(now);
    let mut out = Vec::with_capacity(512);
    push_complaint(&mut out, error, head, &date);
    world.site.metrics.response(error.status);
    conn.refused = true;
    conn.output.push(Chunk::Bytes(out));
    conn.taken = now.mono;
    conn.close_after_output(now.mono, CloseReason::Protocol);
    log::debug!("refused addr={} status={} why={:?}", conn.stream.peer, error.status, error.what);
}

/// A request came too slowly: 408 if any of it came.
pub fn too_slow(conn: &mut Conn, world: &mut World, now: Now, why: CloseReason) {
    if conn.device.is_some() {
        return devices::too_slow(conn, world, now, why);
    }
    if conn.is_idle() {
        return conn.close_after_output(now.mono, why);
    }
    let head = std::mem::take(&mut conn.input);
    refuse(conn, world, now, &head, &ProtoError::http(408, "the request did not come in time; send it at once"));
    conn.closing = Some(why);
}

/// A password has to be checked before this request can be let in. Equal ones are checked once.
fn wait(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, request: &Request<'_>, job: Box<Job>) {
    let key = job.key;
    if !world.ask(Door::Web, now, job, id) {
        let full = access::busy(Audience::of(Some(request)));
        return respond(conn, world, now, request, None, full.into(), true);
    }
    if let Protocol::Http(stage, _) = &mut conn.protocol {
        *stage = Stage::Waiting(key);
    }
}

/// Whether the caller has a seat already, and so a claim on the last connections.
fn seated(world: &World, admitted: &Admitted) -> bool {
    let view = admitted.caller.as_ref().and_then(|c| world.hub.view().session(c.session));
    view.is_some_and(|v| v.seat.is_some())
}

/// Leaves in `world.extra` the line that gives a session its cookie, if this answer has to; nothing if not. Often it is the
/// line that is there already.
fn cookie_line(conn: &Conn, world: &mut World, caller: Option<&Caller>) {
    let wanted = caller.and_then(|c| c.cookie).map(|cookie| (conn.port(), cookie));
    if world.extra_for == wanted {
        return;
    }
    let mut line = std::mem::take(&mut world.extra);
    line.clear();
    if let Some((port, cookie)) = &wanted {
        line.extend_from_slice(b"Set-Cookie: ");
        auth::push_session_cookie(&mut line, world.cookie_name(*port), cookie);
        line.extend_from_slice(b"\r\n");
    }
    world.extra = line;
    world.extra_for = wanted;
}

/// Calls a route with what it may see.
pub fn with_ctx<T>(
    conn: &Conn,
    id: ConnId,
    world: &mut World,
    now: Now,
    verdict: Option<(Key, Verdict)>,
    run: impl FnOnce(&mut Ctx<'_>) -> T,
) -> T {
    let load = Load { log_dropped: stderr::dropped(), ..world.load };
    let (site, hub, fx, random) = world.parts();
    let peer = Peer { conn: id, addr: conn.stream.peer, port: conn.port(), session: conn.session };
    let mut draw = || random.bytes();
    run(&mut Ctx { now, peer, site, hub, fx, random: &mut draw, verdict, load })
}
