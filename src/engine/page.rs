//! What a page says on its link, and what it is told: bytes become steps, steps go to the routes or straight back; messages
//! become frames.

use std::rc::Rc;

use crate::codec::{Decoded, ProtoError};
use crate::engine::connection::Connection;
use crate::engine::protocols::Engine;
use crate::engine::send_queue::Chunk;
use crate::engine::shared::{Cx, Shared};
use crate::hub::Input;
use crate::link::{Link, Step, lines};
use crate::liveness::{HOLD_AFTER, Pulse};
use crate::msg::{CloseReason, Effect, LinkEnd, Message, Moment, Passing, Type};
use crate::routes::page_requests;
use crate::secret::Received;

/// Steps taken in one turn: who floods us has its turns like everybody else.
const STEPS_MAX: usize = 64;

/// A message as it was encoded for links of each kind: all that hear it share the bytes.
#[derive(Default)]
pub struct Encoded(Vec<(&'static str, Rc<[u8]>)>);

impl Encoded {
    fn of(&mut self, link: &dyn Link, message: &Message) -> Rc<[u8]> {
        if let Some((_, bytes)) = self.0.iter().find(|(name, _)| *name == link.name()) {
            return bytes.clone();
        }
        let mut out = Vec::new();
        link.encode(message, &mut out);
        let bytes: Rc<[u8]> = out.into();
        self.0.push((link.name(), bytes.clone()));
        bytes
    }
}

impl Connection {
    /// Takes what the peer of a link says, behind what was kept.
    pub(super) fn hear(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) {
        self.held = false;
        if self.closing.is_some() || self.parked.is_some() {
            // all is said, or the hub knows it no more
            self.input = Received::default();
            return;
        }
        if self.input.is_empty() {
            let used = self.steps(cx, bytes);
            self.input = Received::new(&bytes[used..]);
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(bytes);
            let used = self.steps(cx, &input);
            self.input = Received::new(&input[used..]);
        }
    }

    /// Takes steps as far as they may be taken now; says how many bytes they took.
    fn steps(&mut self, cx: &mut Cx<'_>, input: &[u8]) -> usize {
        let mut used = 0;
        for _ in 0..STEPS_MAX {
            let rest = &input[used..];
            if rest.is_empty() {
                return used;
            }
            let Engine::Page(page) = &mut self.engine else { return input.len() };
            match page.link.decode(rest) {
                Ok(Decoded::Need) => return used,
                Ok(Decoded::Got { msg, used: n }) => {
                    used += n.clamp(1, rest.len());
                    self.step(cx, msg);
                }
                Err(e) => self.refuse_page(cx, &e),
            }
            if self.closing.is_some() {
                return input.len();
            }
        }
        self.held = used < input.len();
        used
    }

    fn step(&mut self, cx: &mut Cx<'_>, step: Step) {
        match step {
            Step::Noise => {}
            Step::Return(bytes) => {
                let owed = self.output.owed() + bytes.len() as u64;
                if self.is_link() && owed > self.may_owe(cx.shared) {
                    cx.tell_hub(Input::LinkEnded { conn: cx.id, end: LinkEnd::Slow });
                    cx.shared.fx.push(Effect::Close { conn: cx.id, why: CloseReason::Slow });
                } else {
                    self.output.push(Chunk::Bytes(bytes));
                }
            }
            Step::End(bytes) => self.end_page(cx, bytes, CloseReason::Closed),
            Step::Page(request) => {
                if let Some(session) = self.session {
                    self.with_ctx(cx, None, |ctx| page_requests::take(ctx, session, request));
                }
            }
        }
    }

    /// Bytes that a link may owe.
    fn may_owe(&self, shared: &Shared) -> u64 {
        (shared.site.config.limits.link_queue as u64).saturating_add(self.replay_quota)
    }

    /// The peer broke the protocol: it is told how, and that is the end.
    fn refuse_page(&mut self, cx: &mut Cx<'_>, error: &ProtoError) {
        if cx.shared.site.ration.takes(cx.now.mono, self.party()) {
            let (id, addr) = (cx.id, self.origin.peer);
            log::info!("refused conn={id} addr={addr} code={} why={:?}", error.close_code, error.what);
        }
        let Engine::Page(page) = &self.engine else { return };
        let mut out = Vec::new();
        page.link.refuse(error, &mut out);
        self.end_page(cx, out, CloseReason::Protocol);
    }

    fn end_page(&mut self, cx: &mut Cx<'_>, bytes: Vec<u8>, why: CloseReason) {
        let end = if why == CloseReason::Protocol { LinkEnd::Protocol } else { LinkEnd::Closed };
        cx.tell_hub(Input::LinkEnded { conn: cx.id, end });
        self.output.push(Chunk::Bytes(bytes));
        self.close_after_output(cx.now.mono, why);
    }

    /// Tells the page `message`. `encoded`: what is shared with others that are told it; `None` if it is the only one.
    /// `unacknowledged`: asks the kernel whether anything that was written is.
    pub fn told(
        &mut self,
        cx: &mut Cx<'_>,
        message: &Message,
        encoded: Option<&mut Encoded>,
        unacknowledged: impl FnOnce() -> bool,
    ) {
        if self.closing.is_some() {
            return; // its last words are in the output already: nothing may follow a close frame
        }
        let late = message.kind() == Type::Telemetry && self.waits_for_peer(cx.now.mono, unacknowledged);
        let Engine::Page(page) = &mut self.engine else { return };
        if late {
            // it would come late; the newest follows when there is room
            page.missed_telemetry = true;
            return;
        }
        let chunk = match encoded {
            Some(encoded) => Chunk::Shared(encoded.of(&*page.link, message)),
            None => {
                // nobody else is told: it is this link's own, as the ledger counts it
                let mut out = Vec::new();
                page.link.encode(message, &mut out);
                out.shrink_to_fit();
                Chunk::Bytes(out)
            }
        };
        if self.output.owed() + chunk.len() > self.may_owe(cx.shared) {
            cx.tell_hub(Input::LinkEnded { conn: cx.id, end: LinkEnd::Slow });
            self.farewell(cx.now.mono, CloseReason::Slow);
        } else {
            self.output.push(chunk);
        }
    }

    /// Whether output has been unacknowledged for so long that nothing is to be written that must not come late.
    fn waits_for_peer(&self, now: Moment, unacknowledged: impl FnOnce() -> bool) -> bool {
        let missed = matches!(&self.engine, Engine::Page(page) if page.missed_telemetry);
        let long = self.live.waiting(now).is_some_and(|waited| waited >= HOLD_AFTER);
        // what is known may be a heartbeat old: ask
        missed || self.live.is_withheld() || (long && unacknowledged())
    }

    /// A link whose output was held back has room again: the newest of what it has missed.
    pub fn catch_up(&mut self, shared: &Shared) {
        let Engine::Page(page) = &mut self.engine else { return };
        if !page.missed_telemetry {
            return;
        }
        page.missed_telemetry = false;
        for telemetry in shared.hub.view().telemetry_now() {
            let mut out = Vec::new();
            page.link.encode(&Message::Passing(telemetry), &mut out);
            self.output.push(Chunk::Bytes(out));
        }
    }

    /// Says on a link why it ends, and ends it.
    pub fn farewell(&mut self, now: Moment, why: CloseReason) {
        if self.closing.is_some() {
            return;
        }
        let mut out = Vec::new();
        match &self.engine {
            Engine::Page(page) => {
                page.link.farewell(why, &mut out);
                if why == CloseReason::Slow {
                    self.output.drop_unsent();
                }
            }
            Engine::Device(device) if device.is_up() => lines::farewell(why, &mut out),
            _ => {}
        }
        self.output.push(Chunk::Bytes(out));
        self.close_after_output(now, why);
    }

    /// A lost peer was heard again: it is told, so that its page comes back by a new connection.
    pub fn returned(&mut self, now: Moment) {
        self.parked = None;
        if self.closing.is_some() {
            return;
        }
        if let Engine::Page(page) = &self.engine {
            let mut out = Vec::new();
            page.link.farewell(CloseReason::Lost, &mut out);
            self.output.push(Chunk::Bytes(out));
        }
        self.close_after_output(now, CloseReason::Lost);
    }

    /// Puts a sign of life into the output; a beat is encoded once for all links that get it in its time. `Some`: so many
    /// bytes are to be written at once, past what is held back, into the part of the peer's window that is kept for them.
    pub fn pulse(&mut self, cx: &mut Cx<'_>, pulse: Pulse) -> Option<usize> {
        if self.is_link() {
            cx.shared.site.metrics.heartbeats += 1;
        }
        let page = match &self.engine {
            Engine::Page(page) => page,
            Engine::Device(device) if device.is_up() => {
                self.output.push(Chunk::Static(lines::PING));
                return None;
            }
            _ => return None,
        };
        if self.live.is_withheld() {
            let heartbeat = page.link.heartbeat();
            if self.output.mid_chunk() {
                return None;
            }
            self.output.push_front(Chunk::Static(heartbeat));
            return Some(heartbeat.len());
        }
        match pulse {
            Pulse::Heartbeat => self.output.push(Chunk::Static(page.link.heartbeat())),
            Pulse::Beat => {
                let n = cx.shared.hub.view().beat_number(cx.now);
                self.output.push(Chunk::Shared(beat(cx.shared, &*page.link, n)));
                if self.live.asks() {
                    self.output.push(Chunk::Static(page.link.heartbeat()));
                }
                cx.tell_hub(Input::BeatSent { conn: cx.id, n });
            }
        }
        None
    }
}

/// The beat `n` as links of this kind get it.
fn beat(shared: &mut Shared, link: &dyn Link, n: u64) -> Rc<[u8]> {
    let known = shared.beats.iter().position(|(name, ..)| *name == link.name());
    match known.map(|i| &shared.beats[i]) {
        Some((_, number, bytes)) if *number == n => bytes.clone(),
        _ => {
            let mut out = Vec::new();
            link.encode(&Message::Passing(Passing::Beat { n }.into()), &mut out);
            let bytes: Rc<[u8]> = out.into();
            let newest = (link.name(), n, bytes.clone());
            match known {
                Some(i) => shared.beats[i] = newest,
                None => shared.beats.push(newest),
            }
            bytes
        }
    }
}
