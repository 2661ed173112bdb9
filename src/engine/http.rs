//! Requests: the exchange says where they are in the bytes, the routes say who is let in; here it is put together, up to the
//! answer (`answer`).

mod answer;

use crate::auth::credentials::Job;
use crate::auth::{Door, Key, Verdict};
use crate::codec::ProtoError;
use crate::engine::connection::Connection;
use crate::engine::protocols::{Engine, Http, Stage};
use crate::engine::send_queue::Chunk;
use crate::engine::shared::{Cx, Shared};
use crate::http::exchange::{Exchange, Progress, Unread};
use crate::http::request::{Framing, Request, slots};
use crate::http::response::{Audience, CONTINUE, Full};
use crate::msg::CloseReason;
use crate::routes::reply::{Ctx, Peer};
use crate::routes::{self, Admitted, Refused, access};
use crate::secret::Received;

/// Output owed at which no further pipelined request is taken up.
const PIPELINE_MAX: u64 = 64 * 1024;

/// What happens with the rest of a request that was refused or has no use for a body.
enum Rest {
    /// It is skipped, if there is any: the exchange goes on.
    Skipped,
    /// It is not listened to: the connection ends.
    Cut,
}

impl Connection {
    /// Takes bytes of a peer that sends requests.
    pub(super) fn take_requests(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) {
        if self.closing.is_some() {
            return;
        }
        if !self.input.is_empty() {
            self.input.extend_from_slice(bytes);
            return self.requests_again(cx);
        }
        let used = self.requests(cx, bytes);
        if self.is_page() {
            // who asked for a WebSocket may have gone on at once
            self.hear(cx, &bytes[used..]);
        } else if let (true, Engine::Http(http)) = (used < bytes.len(), &self.engine) {
            self.input.extend_from_slice(&bytes[used..]);
            if matches!(http.stage, Stage::Head) {
                self.since = cx.now.mono; // the first bytes of a head: its time begins
            }
        }
    }

    /// Serves what lies in the input: pipelined requests once their predecessors are answered.
    pub(super) fn requests_again(&mut self, cx: &mut Cx<'_>) {
        let input = std::mem::take(&mut self.input);
        let used = self.requests(cx, &input);
        self.keep_rest(cx, input, used);
    }

    /// `used` bytes of the input are done with, and what speaks may have changed.
    fn keep_rest(&mut self, cx: &mut Cx<'_>, mut input: Received, used: usize) {
        match self.engine {
            Engine::Page(_) => self.hear(cx, &input[used..]),
            Engine::Http(_) if used < input.len() => {
                input.consume(used);
                self.input = input;
            }
            _ => {}
        }
    }

    /// The password that this connection's request waited for has been checked.
    pub(super) fn password_checked(&mut self, cx: &mut Cx<'_>, verdict: (Key, Verdict)) {
        let Engine::Http(Http { stage: stage @ Stage::Waiting(_), .. }) = &mut self.engine else { return };
        *stage = Stage::Head;
        let input = std::mem::take(&mut self.input);
        let used = self.head(cx, &input, Some(verdict)).unwrap_or(0);
        self.keep_rest(cx, input, used);
        if matches!(self.engine, Engine::Http(_)) && !self.input.is_empty() {
            self.requests_again(cx);
        }
    }

    /// Serves as many of the requests in `input` as may be served now; says how many bytes they took.
    fn requests(&mut self, cx: &mut Cx<'_>, input: &[u8]) -> usize {
        let mut used = 0;
        self.held = false;
        while self.closing.is_none() {
            if self.output.owed() >= PIPELINE_MAX {
                self.held = used < input.len();
                break;
            }
            let Engine::Http(http) = &mut self.engine else { break };
            if matches!(http.stage, Stage::Waiting(_) | Stage::Held(_)) {
                break;
            }
            let rest = &input[used..];
            let mut room = slots();
            if let Some(request) = http.exchange.at_once(rest, &mut room, &cx.shared.heads) {
                used += self.decide(cx, rest, &request, None).unwrap_or(0);
                continue;
            }
            match http.exchange.advance(rest, &cx.shared.heads) {
                Ok(Progress::Need) => {
                    if http.exchange.take_continue(rest) {
                        self.output.push(Chunk::Static(CONTINUE));
                    }
                    break;
                }
                Ok(Progress::Head { .. }) => used += self.head(cx, rest, None).unwrap_or(0),
                Ok(Progress::Complete { used: n }) => {
                    self.complete(cx, &rest[..n]);
                    used += n;
                }
                Err(e) => {
                    self.refuse_request(cx, rest, &e);
                    used = input.len();
                }
            }
        }
        used
    }

    /// A head is complete: reads it and decides.
    fn head(&mut self, cx: &mut Cx<'_>, rest: &[u8], verdict: Option<(Key, Verdict)>) -> Option<usize> {
        let Engine::Http(http) = &self.engine else { return Some(rest.len()) };
        let mut room = slots();
        match Request::parse(&rest[..http.exchange.head_len()], &mut room, &cx.shared.heads) {
            Ok(request) => self.decide(cx, rest, &request, verdict),
            Err(e) => {
                self.refuse_request(cx, rest, &e);
                Some(rest.len())
            }
        }
    }

    /// Is this request, at the beginning of `rest`, let in? `Some`: it is done with, and took so many bytes.
    fn decide(
        &mut self,
        cx: &mut Cx<'_>,
        rest: &[u8],
        request: &Request<'_>,
        verdict: Option<(Key, Verdict)>,
    ) -> Option<usize> {
        let admitted = self.with_ctx(cx, verdict, |ctx| routes::admit(ctx, request));
        if let Ok(Admitted { caller: Some(caller), .. }) | Err(Refused::With { caller: Some(caller), .. }) = &admitted {
            self.belongs_to(caller);
        }
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(Refused::Later(job)) => {
                self.wait(cx, request, job);
                return None;
            }
            Err(Refused::With { full, caller }) => {
                let cut = matches!(self.refuse_body(request, rest), Rest::Cut);
                self.respond(cx, request, caller.as_ref(), full.into(), cut);
                return cut.then_some(rest.len());
            }
        };
        let Engine::Http(http) = &mut self.engine else { return Some(rest.len()) };
        if http.reserve && !admitted.may_stop() && !seated(cx.shared, &admitted) {
            http.exchange.refuse_body(request, rest);
            cx.shared.site.metrics.refused_limit += 1;
            let said = "the last connections are kept for those who have a seat; try again in a moment";
            let full = Full::error(503, "busy", said, Audience::of(Some(request))).with("Retry-After", "5");
            self.respond(cx, request, admitted.caller.as_ref(), full.into(), true);
            return Some(rest.len());
        }
        http.reserve = false;
        if request.framing == Framing::None {
            let len = http.exchange.head_len();
            http.exchange = Exchange::default();
            self.finish(cx, request, &admitted, &[], false);
            return Some(len);
        }
        if !admitted.takes_body() {
            // a page needs no body: skip it if it is there, else the connection cannot go on
            let cut = matches!(self.refuse_body(request, rest), Rest::Cut);
            self.finish(cx, request, &admitted, &[], cut);
            return cut.then_some(rest.len());
        }
        let max = cx.shared.site.config.limits.body_bytes;
        match http.exchange.accept_body(request, max) {
            Ok(()) => {
                http.stage = Stage::Body(Box::new(admitted));
                self.since = cx.now.mono;
                None
            }
            Err(e) => {
                let said = format!("{}; at most {max} bytes are taken", e.what);
                let full = Full::error(e.status, "too_large", &said, Audience::of(Some(request)));
                self.respond(cx, request, admitted.caller.as_ref(), full.into(), true);
                Some(rest.len())
            }
        }
    }

    /// Nobody wants the body of `request`.
    fn refuse_body(&mut self, request: &Request<'_>, rest: &[u8]) -> Rest {
        let Engine::Http(http) = &mut self.engine else { return Rest::Cut };
        http.stage = Stage::Skip;
        match http.exchange.refuse_body(request, rest) {
            Unread::InStep => Rest::Skipped,
            Unread::Close => Rest::Cut,
        }
    }

    /// A request with a body is complete.
    fn complete(&mut self, cx: &mut Cx<'_>, whole: &[u8]) {
        let Engine::Http(http) = &mut self.engine else { return };
        let stage = std::mem::take(&mut http.stage);
        let exchange = std::mem::take(&mut http.exchange);
        self.since = cx.now.mono;
        let Stage::Body(admitted) = stage else { return };
        let mut room = slots();
        // it was parsed once already when it was let in; keeping the result would mean keeping a self-reference
        match Request::parse(&whole[..exchange.head_len()], &mut room, &cx.shared.heads) {
            Ok(request) => {
                let body = exchange.body(whole);
                self.finish(cx, &request, &admitted, &body, false);
            }
            Err(e) => self.refuse_request(cx, whole, &e),
        }
    }

    /// A password has to be checked before this request can be let in. Equal ones are checked once.
    fn wait(&mut self, cx: &mut Cx<'_>, request: &Request<'_>, job: Box<Job>) {
        let key = job.key;
        if !cx.shared.ask(Door::Web, cx.now, job, cx.id) {
            let full = access::busy(Audience::of(Some(request)));
            return self.respond(cx, request, None, full.into(), true);
        }
        if let Engine::Http(http) = &mut self.engine {
            http.stage = Stage::Waiting(key);
        }
    }

    /// A request came too slowly: 408 if any of it came.
    pub(super) fn request_late(&mut self, cx: &mut Cx<'_>, why: CloseReason) {
        if self.is_idle() {
            return self.close_after_output(cx.now.mono, why);
        }
        let head = std::mem::take(&mut self.input);
        let error = ProtoError::http(408, "the request did not come in time; send it at once");
        self.refuse_request(cx, &head, &error);
        self.closing = Some(why);
    }

    /// Calls a route with what it may see.
    pub(super) fn with_ctx<T>(
        &self,
        cx: &mut Cx<'_>,
        verdict: Option<(Key, Verdict)>,
        run: impl FnOnce(&mut Ctx<'_>) -> T,
    ) -> T {
        let load = cx.shared.load;
        let (site, hub, fx, random) = cx.shared.parts();
        let peer = Peer { conn: cx.id, addr: self.origin.peer, port: self.origin.port, session: self.session };
        let mut draw = || random.bytes();
        run(&mut Ctx { now: cx.now, peer, site, hub, fx, random: &mut draw, verdict, load })
    }
}

/// Whether the caller has a seat already, and so a claim on the last connections.
fn seated(shared: &Shared, admitted: &Admitted) -> bool {
    let view = admitted.caller.as_ref().and_then(|c| shared.hub.view().session(c.session));
    view.is_some_and(|v| v.seat.is_some())
}
