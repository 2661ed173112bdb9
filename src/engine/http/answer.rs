//! Answers: what a route or the pages say becomes bytes in the output, and the connection goes on, ends, waits or
//! becomes a link.

use std::rc::Rc;

use crate::codec::ProtoError;
use crate::engine::connection::{Connection, REPLAY_ALL};
use crate::engine::pages::Body;
use crate::engine::protocols::{Engine, Held, Page, Stage};
use crate::engine::send_queue::Chunk;
use crate::engine::shared::{Cx, Shared};
use crate::http::auth;
use crate::http::request::{Method, Request};
use crate::http::response::{
    Audience, EVENT_STREAM, Envelope, Full, Persist, end_head, push_complaint, push_field, start_head,
};
use crate::link::Link;
use crate::liveness::Carrier;
use crate::msg::{CloseReason, EventId, Now, Party};
use crate::routes::reply::{Caller, Reply};
use crate::routes::{self, Admitted};
use crate::secret::Received;
use crate::shown::Quoted;

/// Bytes of a body that travel in one piece with their head.
const JOIN_MAX: usize = 2048;

impl Connection {
    /// Answers a complete request. `cut`: the connection cannot go on behind it.
    pub(super) fn finish(
        &mut self,
        cx: &mut Cx<'_>,
        request: &Request<'_>,
        admitted: &Admitted,
        body: &[u8],
        cut: bool,
    ) {
        self.requests += 1;
        cx.shared.site.metrics.requests += 1;
        if admitted.is_page() {
            return self.serve_page(cx, request, admitted, cut);
        }
        let reply = self.with_ctx(cx, None, |ctx| routes::answer(ctx, request, admitted, body));
        self.respond(cx, request, admitted.caller.as_ref(), reply, cut);
    }

    /// Answers with a file. Whether there is one is known before a seat is taken for it.
    fn serve_page(&mut self, cx: &mut Cx<'_>, request: &Request<'_>, admitted: &Admitted, cut: bool) {
        let mut out = blank(cx.shared);
        let date = cx.shared.date(cx.now);
        self.cookie_line(cx.shared, admitted.caller.as_ref());
        let persist = Persist::of(request, cut);
        let is_head = request.method == Method::Head;
        let envelope = Envelope { date: &date, persist, extra: &cx.shared.extra, is_head };
        let served = cx.shared.pages.serve(cx.now, request, &envelope, &mut out);
        if matches!(served.status, 200 | 206 | 304) {
            let html = served.html && served.status == 200 && request.method == Method::Get;
            let seat = self.with_ctx(cx, None, |ctx| routes::page_seat(ctx, request, admitted, html));
            if let Err(full) = seat {
                cx.shared.spare = out;
                return self.respond(cx, request, admitted.caller.as_ref(), full.into(), cut);
            }
        }
        cx.shared.site.metrics.response(served.status);
        self.refused |= served.status >= 400;
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
        self.output.push(Chunk::Bytes(out));
        match served.body {
            Body::None => {}
            Body::Static(_) | Body::Shared(..) if joined => {}
            Body::Static(bytes) => self.output.push(Chunk::Static(bytes)),
            Body::Shared(bytes, range) => self.output.push(Chunk::SharedRange(bytes, range)),
            Body::File { file, offset, len } => self.output.push(Chunk::File { fd: Rc::new(file), offset, len }),
        }
        self.answered(cx.now, persist);
    }

    /// Answers with what a route said.
    pub(super) fn respond(
        &mut self,
        cx: &mut Cx<'_>,
        request: &Request<'_>,
        caller: Option<&Caller>,
        reply: Reply,
        cut: bool,
    ) {
        let date = cx.shared.date(cx.now);
        self.cookie_line(cx.shared, caller);
        let is_head = request.method == Method::Head;
        let persist = match &reply {
            Reply::Stream { .. } => Persist::Close, // the stream ends with the connection: nothing can follow it
            Reply::Upgrade { .. } => Persist::Keep,
            Reply::Full(_) | Reply::Hold { .. } => Persist::of(request, cut),
        };
        match reply {
            Reply::Full(mut full) => {
                let mut out = blank(cx.shared);
                cx.shared.pages.dress(cx.now, &mut full);
                let envelope = Envelope { date: &date, persist, extra: &cx.shared.extra, is_head };
                out.reserve(256 + full.body.len());
                full.write(&mut out, &envelope);
                self.count_answer(cx, request, caller, full.status);
                self.output.push(Chunk::Bytes(out));
                self.answered(cx.now, persist);
            }
            Reply::Stream { link, opening, beats } => {
                let envelope = Envelope { date: &date, persist, extra: &cx.shared.extra, is_head };
                let mut out = Vec::with_capacity(384);
                start_head(&mut out, 200, &envelope);
                push_field(&mut out, "Content-Type", EVENT_STREAM.as_bytes());
                push_field(&mut out, "X-Content-Type-Options", b"nosniff");
                push_field(&mut out, "Cache-Control", b"no-store");
                // nginx would otherwise keep events back until its buffer is full
                push_field(&mut out, "X-Accel-Buffering", b"no");
                if link.is_chunked() {
                    push_field(&mut out, "Transfer-Encoding", b"chunked");
                }
                end_head(&mut out);
                out.extend_from_slice(&opening);
                cx.shared.site.metrics.response(200);
                self.output.push(Chunk::Bytes(out));
                self.become_link(cx, link, beats, false);
            }
            Reply::Upgrade { link, accept, beats, carries } => {
                let envelope = Envelope { date: &date, persist, extra: &cx.shared.extra, is_head };
                let mut out = Vec::with_capacity(256);
                start_head(&mut out, 101, &envelope);
                push_field(&mut out, "Upgrade", b"websocket");
                push_field(&mut out, "Connection", b"Upgrade");
                push_field(&mut out, "Sec-WebSocket-Accept", accept.as_bytes());
                end_head(&mut out);
                cx.shared.site.metrics.response(101);
                self.output.push(Chunk::Bytes(out));
                if carries {
                    self.become_link(cx, link, beats, true);
                } else {
                    self.engine = Engine::Page(Page { link, missed_telemetry: false });
                }
            }
            Reply::Hold { command, until } => {
                if let Engine::Http(http) = &mut self.engine {
                    let extra = cx.shared.extra.clone();
                    http.stage = Stage::Held(Box::new(Held { command, until, persist, extra }));
                }
            }
        }
    }

    fn count_answer(&mut self, cx: &mut Cx<'_>, request: &Request<'_>, caller: Option<&Caller>, status: u16) {
        cx.shared.site.metrics.response(status);
        if status < 400 {
            return;
        }
        self.refused = true;
        if request.header("upgrade").is_none() {
            return;
        }
        let peer = self.origin.peer;
        let named = caller.filter(|c| !c.user.is_empty()).map(|c| Party::User(c.user.clone()));
        if cx.shared.site.ration.takes(cx.now.mono, named.unwrap_or(Party::Network(peer.network()))) {
            // a page cannot see the status of its handshake: who looks for the reason finds it here
            log::info!("refused addr={peer} status={status} path={}", Quoted(request.path));
        }
    }

    /// Answers the request that waits for `command`, and goes on with the next one.
    pub fn release(&mut self, cx: &mut Cx<'_>, command: EventId, full: Full) {
        let Engine::Http(http) = &mut self.engine else { return };
        let held = match std::mem::take(&mut http.stage) {
            Stage::Held(held) if held.command == command => held,
            other => return http.stage = other,
        };
        let date = cx.shared.date(cx.now);
        let envelope = Envelope { date: &date, persist: held.persist, extra: &held.extra, is_head: false };
        cx.shared.site.metrics.response(full.status);
        let mut out = Vec::with_capacity(256 + full.body.len());
        full.write(&mut out, &envelope);
        self.output.push(Chunk::Bytes(out));
        self.answered(cx.now, held.persist);
        if !self.input.is_empty() {
            self.requests_again(cx);
        }
    }

    /// A request has waited long enough for the answer to its command.
    pub fn unanswered(&mut self, cx: &mut Cx<'_>) {
        let Engine::Http(http) = &self.engine else { return };
        if let Stage::Held(held) = &http.stage {
            let command = held.command;
            self.release(cx, command, routes::devices::unanswered(command));
        }
    }

    /// Turns the connection into a link: its socket is set up for liveness from here on, because browsers open their
    /// links on connections that have carried pages before.
    /// `answers`: its peer answers heartbeats.
    fn become_link(&mut self, cx: &mut Cx<'_>, link: Box<dyn Link>, beats: bool, answers: bool) {
        let carrier = match (self.is_tcp(), answers) {
            (true, _) => Carrier::Link,
            (false, true) => Carrier::Answering,
            (false, false) => Carrier::Application,
        };
        let beat = beats.then(|| cx.shared.site.config.liveness.beat());
        self.live.become_link(carrier, &cx.shared.rules, cx.now.mono, beat);
        self.rules = Some(cx.shared.rules.clone());
        self.replay_quota = REPLAY_ALL;
        self.engine = Engine::Page(Page { link, missed_telemetry: false });
        self.input = Received::default();
        cx.shared.prepare = Some(cx.shared.times);
    }

    /// A response is in the output: what becomes of the connection.
    fn answered(&mut self, now: Now, persist: Persist) {
        self.since = now.mono;
        self.taken = now.mono;
        if persist == Persist::Close {
            self.close_after_output(now.mono, CloseReason::Done);
        }
    }

    /// The peer broke the protocol in what begins with `head`: one answer, then nothing more is read from it.
    pub(super) fn refuse_request(&mut self, cx: &mut Cx<'_>, head: &[u8], error: &ProtoError) {
        let date = cx.shared.date(cx.now);
        let mut out = Vec::with_capacity(512);
        push_complaint(&mut out, error, head, &date);
        cx.shared.site.metrics.response(error.status);
        self.refused = true;
        self.output.push(Chunk::Bytes(out));
        self.taken = cx.now.mono;
        self.close_after_output(cx.now.mono, CloseReason::Protocol);
        log::debug!("refused addr={} status={} why={:?}", self.origin.peer, error.status, error.what);
    }

    /// Tells one beyond a limit so, and closes it. `crowd`: beyond that of its address.
    pub fn turn_away(&mut self, shared: &mut Shared, now: Now, crowd: bool) {
        let said = if crowd {
            "too many connections from this address; close some (limits.per_address)"
        } else {
            "too many connections; try again in a moment (limits.connections)"
        };
        let date = shared.date(now);
        let envelope = Envelope { date: &date, persist: Persist::Close, extra: &[], is_head: false };
        let mut out = Vec::new();
        let full = Full::error(503, "busy", said, Audience::Terminal).with("Retry-After", "5");
        full.write(&mut out, &envelope);
        shared.site.metrics.response(503);
        self.refused = true;
        self.output.push(Chunk::Bytes(out));
        self.close_after_output(now.mono, CloseReason::Limit);
    }

    /// Leaves in `shared.extra` the line that gives a session its cookie, if this answer has to; nothing if not. Often it is
    /// the line that is there already.
    fn cookie_line(&self, shared: &mut Shared, caller: Option<&Caller>) {
        let wanted = caller.and_then(|c| c.cookie).map(|cookie| (self.origin.port, cookie));
        if shared.extra_for == wanted {
            return;
        }
        let mut line = std::mem::take(&mut shared.extra);
        line.clear();
        if let Some((port, cookie)) = &wanted {
            line.extend_from_slice(b"Set-Cookie: ");
            auth::push_session_cookie(&mut line, shared.cookie_name(*port), cookie);
            line.extend_from_slice(b"\r\n");
        }
        shared.extra = line;
        shared.extra_for = wanted;
    }
}

/// An empty buffer for an answer: that of the last one, if it has gone.
fn blank(shared: &mut Shared) -> Vec<u8> {
    let mut out = std::mem::take(&mut shared.spare);
    out.clear();
    out
}
