//! Whether the peer of one connection is still there: a state machine fed with time, bytes written and looks at
//! the kernel's send queue.
//!
//! In short: one small write is kept outstanding; the peer's kernel acknowledges it without anybody's help. A healthy
//! connection costs one look (SIOCOUTQ) a heartbeat; only one that has not acknowledged is looked at closely
//! (TCP_INFO) every `poll`. Why each rule is as it is, with measurements: docs/liveness.md.
//!
//! Never does: system calls, clocks, deciding what a vanished peer means for its session.

use std::time::Duration;

use crate::msg::{Change, Evidence, LinkEnd, Moment, TcpHealth, Times};

#[cfg(test)]
mod tests;

/// Output unacknowledged for so long: write no beat, ping or telemetry (see docs/protocol.md). Whatever is written behind
/// unacknowledged output comes late, and keeps the kernel from treating the stream as thin.
pub const HOLD_AFTER: Duration = Duration::from_millis(250);

/// The times and helps by which connections are judged. `Copy`: links keep those they began with over a reload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// From one heartbeat to the next.
    pub heartbeat: Duration,
    /// From one close look to the next.
    pub poll: Duration,
    /// Segments in flight, nothing heard: lost.
    pub silence: Duration,
    /// Window closed, nothing heard: lost.
    pub zero_window: Duration,
    /// Heard, but nothing of ours acknowledged, where the kernel does not count empty segments: lost.
    pub one_way: Duration,
    /// Silent: suspect.
    pub suspect_after: Duration,
    /// The same with a closed window, where probes are a second apart.
    pub zero_window_suspect: Duration,
    /// Takes no data: stalled; twice as long: slow.
    pub stalled_after: Duration,
    /// How long a lost link is kept.
    pub returned_within: Duration,
    /// Silent so long: nudge.
    pub nudge_after: Duration,
    /// From one nudge to the next.
    pub nudge_every: Duration,
    /// Window probes come at least every second (TCP_RTO_MAX_MS).
    pub has_rto_max: bool,
    /// The kernel can be made to probe (TCP_REPAIR with CAP_NET_ADMIN).
    pub has_nudge: bool,
}

/// What kind of connection it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// Carries events: heartbeats, always watched.
    Link,
    /// Requests and responses: no heartbeat; watched while output is unacknowledged, otherwise the kernel's
    /// keepalive watches.
    Response,
    /// A link on a unix socket: heartbeats, but only its end and the application tell whether the peer is there.
    Application,
}

/// One look at a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sample {
    /// Bytes not yet acknowledged (SIOCOUTQ, tcp(7)).
    pub outq: u32,
    /// TCP_INFO, when it was asked for. If the kernel refuses it: the default, which leads to no verdict.
    pub info: Option<TcpHealth>,
    /// The socket was read empty before `info` was taken.
    pub drained: bool,
}

/// What the caller has to fetch before anything is decided; then call [`Liveness::check`] again in the same turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// TCP_INFO.
    Info,
    /// Read the socket empty (it may hold a FIN or an error, which wins), then take a fresh sample with TCP_INFO.
    Drain,
}

/// What to write now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pulse {
    /// Any small sign of life.
    Heartbeat,
    /// A numbered beat.
    Beat,
}

/// What a check found. The default: nothing to do.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Outcome {
    /// Fetch this and call again; everything else is empty then and nothing has been decided.
    pub ask: Option<Ask>,
    /// Write this now, and report it with [`Liveness::wrote`].
    pub pulse: Option<Pulse>,
    /// Make the kernel probe the peer now.
    pub nudge: bool,
    /// Output has been unacknowledged for [`HOLD_AFTER`].
    pub hold: bool,
    /// What to tell the hub.
    pub change: Option<Change>,
    /// The verdict. After `Lost` the caller keeps the socket and goes on checking: only `returned` can follow.
    pub end: Option<LinkEnd>,
    /// A lost peer was heard again.
    pub returned: bool,
}

/// The state of one connection.
#[derive(Clone, Debug)]
pub struct Liveness {
    carrier: Carrier,
}

impl Rules {
    /// The rules that follow from `times` on a kernel with these helps.
    pub fn new(times: &Times, has_rto_max: bool, has_nudge: bool) -> Rules {
        todo!()
    }

    /// The longest time from a cut to the verdict while the peer read, by these rules.
    pub fn worst(&self) -> Duration {
        self.heartbeat + self.silence + self.poll
    }
}

impl Liveness {
    /// A connection accepted at `now`. `phase` (random) spreads heartbeats over the period.
    pub fn new(carrier: Carrier, now: Moment, phase: u32) -> Liveness {
        todo!()
    }

    /// It carries events from now on: a heartbeat every `rules.heartbeat`, and if `beat` is given a beat every `beat`.
    pub fn become_link(&mut self, carrier: Carrier, rules: &Rules, now: Moment, beat: Option<Duration>) {
        todo!()
    }

    /// What it carries.
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// Beats every `beat` from now on (holders of control get them faster).
    pub fn set_beat(&mut self, rules: &Rules, now: Moment, beat: Option<Duration>) {
        todo!()
    }

    /// The socket took `bytes` (more than 0) at `now`. To be called for every write and sendfile.
    pub fn wrote(&mut self, now: Moment, bytes: usize) {
        todo!()
    }

    /// Bytes came in at `now`.
    pub fn heard(&mut self, now: Moment) {
        todo!()
    }

    /// When [`Liveness::check`] wants to be called next; `None`: not before something is written.
    pub fn due(&self) -> Option<Moment> {
        todo!()
    }

    /// How long the oldest unacknowledged output waits, as far as is known without asking the kernel. If that is
    /// [`HOLD_AFTER`] or more and something is to be written that must not come late, take a sample and check first.
    pub fn waiting(&self, now: Moment) -> Option<Duration> {
        todo!()
    }

    /// Looks at the connection. To be called when [`Liveness::due`] is reached; earlier does no harm.
    pub fn check(&mut self, rules: &Rules, now: Moment, sample: Sample) -> Outcome {
        todo!()
    }

    /// The loop did not run for `gap` until `now` (blocked, or the machine was suspended): what the peers did
    /// meanwhile is unknown, so nobody is judged before their kernels had as much time to answer.
    pub fn loop_gap(&mut self, now: Moment, gap: Duration) {
        todo!()
    }

    /// Time since the last sign of life, as far as is known: `after` of an end that the socket itself reported.
    pub fn silent_for(&self, now: Moment) -> Duration {
        todo!()
    }

    /// Round-trip time as last seen, in microseconds.
    pub fn rtt_us(&self) -> Option<u32> {
        todo!()
    }

    /// Whether the peer was called lost and is waited for.
    pub fn is_parked(&self) -> bool {
        todo!()
    }
}
