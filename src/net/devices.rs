//! Devices' connections: hello and its token, lines in and out, the last words.
//!
//! Never does: deciding what a line means for control or commands; that is the hub's.

use std::hash::{DefaultHasher, Hasher};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use crate::auth::{Door, Key, Verdict};
use crate::codec::{Decoded, ProtoError};
use crate::config::Config;
use crate::config::users::Users;
use crate::engine::send_queue::Chunk;
use crate::hub::Input;
use crate::link::lines::{self, Line, Lines};
use crate::liveness::{Carrier, Rules};
use crate::msg::KernelFeatures;
use crate::msg::{CloseReason, ConnId, DeviceEffect, DeviceHello, FromDevice, LinkEnd, Now, Times, ToDevice, What};
use crate::net::conn::{Conn, Protocol};
use crate::net::server::{Server, TURNED_AWAY_MAX};
use crate::net::stream::Stream;
use crate::net::world::{self, World};
use crate::net::{effects, serve};
use crate::routes;
use crate::routes::gate::{Gate, Look};
use crate::shown::{LogName, Quoted};
use crate::sys::tcp;

/// A device says hello within so long.
pub const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// A ping so often whatever the profile: [`lines::HEARTBEAT_MS`] is promised, and a wake-up may come some milliseconds late.
const PING_EVERY: Duration = Duration::from_millis(480);

/// Bytes that a device may send while its token is being checked.
const EARLY_MAX: usize = lines::LINE_MAX;

/// About what a line with an emergency stop takes beside its arguments.
const STOP_BYTES: usize = 512;

/// What a device is told whose token cannot be checked now.
const BUSY: &str = "too many tokens are being checked; try again in a moment";

/// What all devices' connections share.
pub struct Devices {
    /// Their tokens; `None`: no file, so that only this machine's own programs may be devices.
    pub gate: Option<Gate>,
    /// Connections open, those without a hello included.
    pub connections: usize,
    times: Times,
    rules: Rc<Rules>,
}

/// The talk with one device.
#[derive(Default)]
pub struct Talk {
    lines: Lines,
    stage: Stage,
}

/// How far it is.
#[derive(Default)]
enum Stage {
    /// Its hello is awaited.
    #[default]
    Hello,
    /// Its token is being checked.
    Checking(Box<(Key, DeviceHello)>),
    /// It is a device.
    Up,
}

impl Talk {
    /// Whether it has been welcomed.
    pub fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up)
    }

    /// Whether it waits for the check of these credentials.
    pub fn waits_for(&self, key: &Key) -> bool {
        matches!(&self.stage, Stage::Checking(checking) if checking.0 == *key)
    }

    /// Whether its hello is awaited.
    pub fn is_awaited(&self) -> bool {
        matches!(self.stage, Stage::Hello)
    }
}

impl Devices {
    /// By `config`, with these tokens.
    pub fn new(config: &Config, tokens: Option<Users>, features: &KernelFeatures) -> Devices {
        let times = config.devices.profile.values().times();
        Devices {
            gate: tokens.map(|tokens| Gate::new(tokens, config.auth.failures)),
            connections: 0,
            times,
            rules: Rc::new(Rules::new(&times, features.rto_max, features.nudge)),
        }
    }

    /// Takes new settings for links that come from now on. Returns the devices whose token has changed.
    pub fn reload(&mut self, config: &Config, tokens: Option<Users>, features: &KernelFeatures) -> Vec<Rc<str>> {
        self.times = config.devices.profile.values().times();
        self.rules = Rc::new(Rules::new(&self.times, features.rto_max, features.nudge));
        // whether tokens are asked for at all stays as it was at start: a file that is gone is no open door
        let Some(gate) = &mut self.gate else { return Vec::new() };
        gate.allow(config.auth.failures);
        tokens.map(|tokens| gate.reload(tokens)).unwrap_or_default()
    }

    /// One sentence for the log at start, if devices may come without a token.
    pub fn warning(&self) -> Option<&'static str> {
        let said = "devices: no tokens file (devices.tokens): any program on this machine may be any device, and \
                    nobody else may be one";
        self.gate.is_none().then_some(said)
    }
}

/// A new connection at a device listener.
pub(super) fn welcome(server: &mut Server, now: Now, stream: Stream) {
    let from = stream.peer;
    server.world.site.metrics.accepted += 1;
    let max = server.world.site.config.devices.connections as usize;
    let (mut inside, mut told) = (server.world.devices.connections, 0);
    if inside >= max {
        // one that is being turned away has no place
        let limit = |c: &Conn| c.device.is_some() && c.closing == Some(CloseReason::Limit);
        told = server.conns.iter().filter(|(_, c)| limit(c)).count();
        inside -= told;
    }
    let refused = if !server.world.site.config.seats.allows(from) {
        Some(("address", "this address may not come here: it is in none of the ranges of seats.allow"))
    } else if inside >= max && !server.give_way(now, |o| o.device) {
        Some(("busy", "too many devices are connected (devices.connections)"))
    } else {
        None
    };
    if refused.is_some() && told >= TURNED_AWAY_MAX {
        server.world.site.metrics.refused_limit += 1;
        return; // so many are being told already that they may not come in
    }
    let world = &mut server.world;
    world.site.metrics.refused_limit += u64::from(refused.is_some());
    let phase = world.phase();
    let mut conn = Conn::new(stream, &world.devices.rules, now.mono, phase);
    conn.protocol = Protocol::Device(Box::default());
    conn.device = Some("-".into());
    if let Some((error, message)) = refused {
        refuse(&mut conn, world, now, CloseReason::Limit, error, message);
    }
    world.devices.connections += 1;
    if !server.register(now, conn) {
        server.world.devices.connections -= 1;
    }
}

/// Bytes of a device.
pub(super) fn take(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, bytes: &[u8]) {
    if conn.closing.is_some() {
        return;
    }
    if conn.input.is_empty() {
        let used = read_lines(conn, id, world, now, bytes);
        conn.input.extend_from_slice(&bytes[used..]);
    } else {
        conn.input.extend_from_slice(bytes);
        again(conn, id, world, now);
    }
    if conn.input.len() > EARLY_MAX && matches!(&conn.protocol, Protocol::Device(t) if !t.is_up()) {
        refuse(conn, world, now, CloseReason::Protocol, "hello", "wait for the welcome before you say more");
    }
}

/// Whole lines may lie in the input.
fn again(conn: &mut Conn, id: ConnId, world: &mut World, now: Now) {
    let mut input = std::mem::take(&mut conn.input);
    let used = read_lines(conn, id, world, now, &input);
    if used < input.len() {
        input.consume(used);
        conn.input = input;
    }
}

/// Does what the lines in `input` say; how many bytes they took.
fn read_lines(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, input: &[u8]) -> usize {
    let mut used = 0;
    while conn.closing.is_none() {
        let Protocol::Device(talk) = &mut conn.protocol else { break };
        if matches!(talk.stage, Stage::Checking(_)) {
            break;
        }
        match talk.lines.decode(&input[used..]) {
            Ok(Decoded::Need) => return used,
            Ok(Decoded::Got { msg, used: n }) => {
                used += n;
                line(conn, id, world, now, msg);
            }
            Err(e) => {
                broke(conn, id, world, now, &e);
                break;
            }
        }
    }
    if conn.closing.is_some() { input.len() } else { used }
}

/// One line.
fn line(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, line: Line) {
    let Protocol::Device(talk) = &conn.protocol else { return };
    match (talk.is_up(), line) {
        (true, Ok(line)) => world.hub.handle(now, Input::DeviceLine { conn: id, line }, &mut world.fx),
        (true, Err(bad)) => {
            world.site.metrics.bad_lines += 1;
            world.hub.handle(now, Input::DeviceHeard(id), &mut world.fx);
            let line = ToDevice::Error { error: bad.error, message: bad.message.into() };
            world.fx.push(crate::msg::Effect::Device(DeviceEffect::Tell { conn: id, line }));
        }
        (false, Ok(FromDevice::Hello(hello))) => check(conn, id, world, now, hello),
        (false, Ok(FromDevice::Blank)) => {}
        (false, Ok(_)) => {
            refuse(conn, world, now, CloseReason::Protocol, "hello", "the first line has to be the hello")
        }
        (false, Err(bad)) => refuse(conn, world, now, CloseReason::Protocol, bad.error, &bad.message),
    }
}

/// Is its token good?
fn check(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, hello: DeviceHello) {
    let peer = conn.stream.peer;
    let Some(gate) = &mut world.devices.gate else {
        if peer.is_local() {
            return greet(conn, id, world, now, hello);
        }
        let said =
            "this server has no tokens file (devices.tokens), so that only its own machine's programs may be devices";
        return refuse(conn, world, now, CloseReason::Protocol, "token", said);
    };
    let token = hello.token.clone().unwrap_or_default();
    // no line break can be in a name, so that no two pairs of name and token run together
    let key = gate.key_of(&[hello.name.as_bytes(), b"\n", &token]);
    if gate.known(&key).is_some() {
        return greet(conn, id, world, now, hello);
    }
    match gate.look(now.mono, peer, key, &hello.name, &token) {
        Look::Throttled(left) => {
            let said = format!("too many wrong tokens; try again in {} s", left.as_secs() + 1);
            refuse(conn, world, now, CloseReason::Protocol, "throttled", &said);
        }
        Look::Ask(job) => {
            if !world.ask(Door::Devices, now, job, id) {
                return refuse(conn, world, now, CloseReason::Limit, "busy", BUSY);
            }
            if let Protocol::Device(talk) = &mut conn.protocol {
                talk.stage = Stage::Checking(Box::new((key, hello)));
            }
        }
    }
}

/// The token that this device waited for has been checked, or not.
pub(super) fn resume(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, verdict: Option<Verdict>) {
    let Protocol::Device(talk) = &mut conn.protocol else { return };
    let Stage::Checking(checking) = std::mem::take(&mut talk.stage) else { return };
    let (_, hello) = *checking;
    match verdict {
        None => check(conn, id, world, now, hello),
        Some(Verdict::Good) => greet(conn, id, world, now, hello),
        Some(Verdict::Bad) => {
            let said = "no such device, or not its token; make one with `boatswain passwd TOKENS NAME`";
            refuse(conn, world, now, CloseReason::Protocol, "token", said);
        }
        Some(Verdict::GaveWay) => refuse(conn, world, now, CloseReason::Limit, "busy", BUSY),
    }
    again(conn, id, world, now);
}

/// It is who it says it is.
fn greet(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, mut hello: DeviceHello) {
    hello.token = None; // it has done its work
    let Protocol::Device(talk) = &mut conn.protocol else { return };
    talk.stage = Stage::Up;
    conn.device = Some(hello.name.clone());
    let devices = &world.devices;
    let carrier = if conn.is_tcp() { Carrier::Link } else { Carrier::Application };
    if conn.is_tcp() {
        tcp::prepare_link(conn.stream.as_fd(), &devices.times, &world.features);
    }
    conn.live.become_link(carrier, &devices.rules, now.mono, Some(PING_EVERY));
    conn.rules = Some(devices.rules.clone());
    log::info!("device_link conn={id} device={} addr={}", LogName(&hello.name), conn.stream.peer);
    world.hub.handle(now, Input::DeviceHello { conn: id, hello }, &mut world.fx);
}

/// The peer sent bytes that are no lines.
fn broke(conn: &mut Conn, id: ConnId, world: &mut World, now: Now, error: &ProtoError) {
    world.site.metrics.bad_lines += 1;
    if !conn.is_link() {
        return refuse(conn, world, now, CloseReason::Protocol, "protocol", error.what);
    }
    say(conn, &ToDevice::Error { error: "protocol", message: error.what.into() });
    world.hub.handle(now, Input::DeviceBroke(id), &mut world.fx);
}

/// Says what is wrong, and closes.
fn refuse(conn: &mut Conn, world: &mut World, now: Now, why: CloseReason, error: &'static str, message: &str) {
    conn.refused = true;
    if world.site.ration.takes(now.mono, conn.stream.peer) {
        log::info!("device_refused addr={} error={error} message={}", conn.stream.peer, Quoted(message));
    }
    say(conn, &ToDevice::Error { error, message: message.into() });
    conn.taken = now.mono;
    conn.close_after_output(now.mono, why);
}

/// It has said no hello in time.
pub(super) fn too_slow(conn: &mut Conn, world: &mut World, now: Now, why: CloseReason) {
    refuse(conn, world, now, why, "hello", "no hello came; a device says it within 5 s");
}

fn say(conn: &mut Conn, line: &ToDevice) {
    let mut out = Vec::new();
    lines::encode(line, &mut out);
    // `safe` takes back commands that are no emergency stops, and who held control
    conn.output.push(match line {
        ToDevice::Command { anyone: true, by, .. } => {
            let mut whose = DefaultHasher::new();
            whose.write(by.as_bytes());
            Chunk::Stop(out, whose.finish() as u32)
        }
        ToDevice::Command { .. } | ToDevice::Control { .. } => Chunk::Revocable(out),
        _ => Chunk::Bytes(out),
    });
}

/// Does what the hub wants done about devices.
pub(super) fn apply(server: &mut Server, now: Now, effect: DeviceEffect) {
    match effect {
        DeviceEffect::Tell { conn, line } => tell(server, now, conn, &line),
        DeviceEffect::Close { conn, why } => effects::say_farewell(server, now, conn, why),
        DeviceEffect::Reset { conn: id } => {
            if let Some(conn) = server.conns.touch(id) {
                // what the kernel still holds for it must not arrive once the network is back
                let _ = conn.stream.reset();
                server.close(now, id, CloseReason::Lost);
            }
        }
        DeviceEffect::Pace { conn, fast } => {
            let world = &server.world;
            let Some(conn) = server.conns.touch(conn) else { return };
            let beat = if fast { crate::config::BEAT } else { world.site.config.liveness.beat() };
            let rules = conn.rules.clone().unwrap_or_else(|| world.rules.clone());
            conn.live.set_beat(&rules, now.mono, Some(beat));
        }
        DeviceEffect::Answered { conn: id, answer } => {
            let Some(conn) = server.conns.touch(id) else { return };
            if let What::Answered { to, .. } = &answer.what {
                serve::release(conn, id, &mut server.world, now, *to, routes::devices::answered(&answer));
            }
        }
    }
}

fn tell(server: &mut Server, now: Now, id: ConnId, line: &ToDevice) {
    let max = server.world.site.config.limits.link_queue as u64;
    let Some(conn) = server.conns.touch(id) else { return };
    if conn.closing.is_some() || !matches!(conn.protocol, Protocol::Device(_)) {
        return;
    }
    if matches!(line, ToDevice::Safe { .. }) {
        // whatever it was still to do before this must not be done after it
        let unsent = conn.output.take_unsent();
        say(conn, line);
        let stays = |chunk: &Chunk| !matches!(chunk, Chunk::Revocable(_));
        unsent.into_iter().filter(stays).for_each(|chunk| conn.output.push(chunk));
    } else {
        if let ToDevice::Command { anyone: true, args, .. } = line {
            // whoever stops it without end does not cut it off: that would stop it, but nobody could start it
            let dropped = conn.output.give_way_to_stop((args.len() + STOP_BYTES) as u64, max / 2);
            server.world.site.metrics.stops_dropped += dropped;
        }
        say(conn, line);
    }
    if conn.output.owed() > max {
        server.world.hub.handle(now, Input::LinkEnded { conn: id, end: LinkEnd::Slow }, &mut server.world.fx);
    }
}

/// A link whose output was held back has room again: the newest of what it has missed.
pub(super) fn catch_up(conn: &mut Conn, world: &mut world::World) {
    let Protocol::Link(link) = &conn.protocol else { return };
    conn.missed_telemetry = false;
    for telemetry in world.hub.view().telemetry_now() {
        let mut out = Vec::new();
        link.encode(&crate::msg::Message::Passing(telemetry), &mut out);
        conn.output.push(Chunk::Bytes(out));
    }
}
