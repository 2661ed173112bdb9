//! A device's connection: hello and its token, lines in and out, the last words.
//!
//! Never does: deciding what a line means for control or commands; that is the hub's.

use std::hash::{DefaultHasher, Hasher};
use std::time::Duration;

use crate::auth::credentials::Look;
use crate::auth::{Door, Verdict};
use crate::codec::{Decoded, ProtoError};
use crate::engine::connection::Connection;
use crate::engine::protocols::{DeviceStage, Engine};
use crate::engine::send_queue::Chunk;
use crate::engine::shared::{Cx, Shared};
use crate::hub::Input;
use crate::link::lines::{self, Line};
use crate::liveness::Carrier;
use crate::msg::{CloseReason, DeviceEffect, DeviceHello, Effect, FromDevice, LinkEnd, Now, Party, ToDevice};
use crate::shown::{LogName, Quoted};

/// A ping so often whatever the profile: [`lines::HEARTBEAT_MS`] is promised, and a wake-up may come some milliseconds late.
const PING_EVERY: Duration = Duration::from_millis(480);

/// Bytes that a device may send while its token is being checked.
const EARLY_MAX: usize = lines::LINE_MAX;

/// About what a line with an emergency stop takes beside its arguments.
const STOP_BYTES: usize = 512;

/// What a device is told whose token cannot be checked now.
const BUSY: &str = "too many tokens are being checked; try again in a moment";

impl Connection {
    /// Takes bytes of a device.
    pub(super) fn take_lines(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) {
        if self.closing.is_some() {
            return;
        }
        if self.input.is_empty() {
            let used = self.read_lines(cx, bytes);
            self.input.extend_from_slice(&bytes[used..]);
        } else {
            self.input.extend_from_slice(bytes);
            self.lines_again(cx);
        }
        if self.input.len() > EARLY_MAX && !self.is_link() {
            self.refuse_device(cx, CloseReason::Protocol, "hello", "wait for the welcome before you say more");
        }
    }

    /// Whole lines may lie in the input.
    fn lines_again(&mut self, cx: &mut Cx<'_>) {
        let mut input = std::mem::take(&mut self.input);
        let used = self.read_lines(cx, &input);
        if used < input.len() {
            input.consume(used);
            self.input = input;
        }
    }

    /// Does what the lines in `input` say; how many bytes they took.
    fn read_lines(&mut self, cx: &mut Cx<'_>, input: &[u8]) -> usize {
        let mut used = 0;
        while self.closing.is_none() {
            let Engine::Device(device) = &mut self.engine else { break };
            if matches!(device.stage, DeviceStage::Checking(_)) {
                break;
            }
            match device.lines.decode(&input[used..]) {
                Ok(Decoded::Need) => return used,
                Ok(Decoded::Got { msg, used: n }) => {
                    used += n;
                    self.line(cx, msg);
                }
                Err(e) => {
                    self.broke(cx, &e);
                    break;
                }
            }
        }
        if self.closing.is_some() { input.len() } else { used }
    }

    /// One line.
    fn line(&mut self, cx: &mut Cx<'_>, line: Line) {
        match (self.is_link(), line) {
            (true, Ok(line)) => cx.tell_hub(Input::DeviceLine { conn: cx.id, line }),
            (true, Err(bad)) => {
                cx.shared.site.metrics.bad_lines += 1;
                cx.tell_hub(Input::DeviceHeard(cx.id));
                let line = ToDevice::Error { error: bad.error, message: bad.message.into() };
                cx.shared.fx.push(Effect::Device(DeviceEffect::Tell { conn: cx.id, line }));
            }
            (false, Ok(FromDevice::Hello(hello))) => self.check(cx, hello),
            (false, Ok(FromDevice::Blank)) => {}
            (false, Ok(_)) => {
                self.refuse_device(cx, CloseReason::Protocol, "hello", "the first line has to be the hello")
            }
            (false, Err(bad)) => self.refuse_device(cx, CloseReason::Protocol, bad.error, &bad.message),
        }
    }

    /// Is its token good?
    fn check(&mut self, cx: &mut Cx<'_>, hello: DeviceHello) {
        let peer = self.origin.peer;
        let Some(credentials) = &mut cx.shared.devices.credentials else {
            if peer.is_local() {
                return self.greet(cx, hello);
            }
            let said = "this server has no tokens file (devices.tokens), so that only its own machine's programs may be devices";
            return self.refuse_device(cx, CloseReason::Protocol, "token", said);
        };
        let token = hello.token.clone().unwrap_or_default();
        // no line break can be in a name, so that no two pairs of name and token run together
        let key = credentials.key_of(&[hello.name.as_bytes(), b"\n", &token]);
        if credentials.known(&key).is_some() {
            return self.greet(cx, hello);
        }
        match credentials.look(cx.now.mono, peer, key, &hello.name, &token) {
            Look::Throttled(left) => {
                let said = format!("too many wrong tokens; try again in {} s", left.as_secs() + 1);
                self.refuse_device(cx, CloseReason::Protocol, "throttled", &said);
            }
            Look::Ask(job) => {
                if !cx.shared.ask(Door::Devices, cx.now, job, cx.id) {
                    return self.refuse_device(cx, CloseReason::Limit, "busy", BUSY);
                }
                if let Engine::Device(device) = &mut self.engine {
                    device.stage = DeviceStage::Checking(Box::new((key, hello)));
                }
            }
        }
    }

    /// The token that this device waited for has been checked; `None`: it has to be looked at anew.
    pub(super) fn token_checked(&mut self, cx: &mut Cx<'_>, verdict: Option<Verdict>) {
        let Engine::Device(device) = &mut self.engine else { return };
        let DeviceStage::Checking(checking) = std::mem::take(&mut device.stage) else { return };
        let (_, hello) = *checking;
        match verdict {
            None => self.check(cx, hello),
            Some(Verdict::Good) => self.greet(cx, hello),
            Some(Verdict::Bad) => {
                let said = "no such device, or not its token; make one with `boatswain passwd TOKENS NAME`";
                self.refuse_device(cx, CloseReason::Protocol, "token", said);
            }
            Some(Verdict::GaveWay) => self.refuse_device(cx, CloseReason::Limit, "busy", BUSY),
        }
        self.lines_again(cx);
    }

    /// It is who it says it is.
    fn greet(&mut self, cx: &mut Cx<'_>, mut hello: DeviceHello) {
        hello.token = None; // it has done its work
        let Engine::Device(device) = &mut self.engine else { return };
        device.stage = DeviceStage::Up;
        self.user = Some(hello.name.clone());
        let devices = &cx.shared.devices;
        let carrier = if self.origin.port.is_some() { Carrier::Link } else { Carrier::Application };
        self.live.become_link(carrier, &devices.rules, cx.now.mono, Some(PING_EVERY));
        self.rules = Some(devices.rules.clone());
        if cx.shared.site.ration.takes(cx.now.mono, Party::Device(hello.name.clone())) {
            log::info!("device_link conn={} device={} addr={}", cx.id, LogName(&hello.name), self.origin.peer);
        }
        cx.tell_hub(Input::DeviceHello { conn: cx.id, hello });
        cx.shared.prepare = Some(cx.shared.devices.times);
    }

    /// The peer sent bytes that are no lines.
    fn broke(&mut self, cx: &mut Cx<'_>, error: &ProtoError) {
        cx.shared.site.metrics.bad_lines += 1;
        if !self.is_link() {
            return self.refuse_device(cx, CloseReason::Protocol, "protocol", error.what);
        }
        self.say(&ToDevice::Error { error: "protocol", message: error.what.into() });
        cx.tell_hub(Input::DeviceBroke(cx.id));
    }

    /// Says what is wrong, and closes.
    fn refuse_device(&mut self, cx: &mut Cx<'_>, why: CloseReason, error: &'static str, message: &str) {
        self.turn_device_away(cx.shared, cx.now, why, (error, message));
    }

    /// The same, also to a device that has no place yet.
    pub fn turn_device_away(
        &mut self,
        shared: &mut Shared,
        now: Now,
        why: CloseReason,
        (error, message): (&'static str, &str),
    ) {
        self.refused = true;
        if shared.site.ration.takes(now.mono, Party::Network(self.origin.peer.network())) {
            log::info!("device_refused addr={} error={error} message={}", self.origin.peer, Quoted(message));
        }
        self.say(&ToDevice::Error { error, message: message.into() });
        self.taken = now.mono;
        self.close_after_output(now.mono, why);
    }

    /// It has said no hello in time.
    pub(super) fn hello_late(&mut self, cx: &mut Cx<'_>, why: CloseReason) {
        self.refuse_device(cx, why, "hello", "no hello came; a device says it within 5 s");
    }

    fn say(&mut self, line: &ToDevice) {
        let mut out = Vec::new();
        lines::encode(line, &mut out);
        // `safe` takes back commands that are no emergency stops, and who held control
        self.output.push(match line {
            ToDevice::Command { anyone: true, by, .. } => {
                let mut whose = DefaultHasher::new();
                whose.write(by.as_bytes());
                Chunk::Stop(out, whose.finish() as u32)
            }
            ToDevice::Command { .. } | ToDevice::Control { .. } => Chunk::Revocable(out),
            _ => Chunk::Bytes(out),
        });
    }

    /// Tells the device `line`.
    pub fn told_line(&mut self, cx: &mut Cx<'_>, line: &ToDevice) {
        if self.closing.is_some() || !matches!(self.engine, Engine::Device(_)) {
            return;
        }
        let max = cx.shared.site.config.limits.link_queue as u64;
        if matches!(line, ToDevice::Safe { .. }) {
            // whatever it was still to do before this must not be done after it
            let unsent = self.output.take_unsent();
            self.say(line);
            let stays = |chunk: &Chunk| !matches!(chunk, Chunk::Revocable(_));
            unsent.into_iter().filter(stays).for_each(|chunk| self.output.push(chunk));
        } else {
            if let ToDevice::Command { anyone: true, args, .. } = line {
                // stops without end do not cut it off: that would stop it, but nobody could start it
                let dropped = self.output.give_way_to_stop((args.len() + STOP_BYTES) as u64, max / 2);
                cx.shared.site.metrics.stops_dropped += dropped;
            }
            self.say(line);
        }
        if self.output.owed() > max {
            cx.tell_hub(Input::LinkEnded { conn: cx.id, end: LinkEnd::Slow });
        }
    }

    /// How often the device hears a ping: more often while somebody holds control.
    pub fn pace(&mut self, cx: &mut Cx<'_>, fast: bool) {
        let beat = if fast { crate::config::BEAT } else { cx.shared.site.config.liveness.beat() };
        let rules = self.rules.clone().unwrap_or_else(|| cx.shared.rules.clone());
        self.live.set_beat(&rules, cx.now.mono, Some(beat));
    }
}
