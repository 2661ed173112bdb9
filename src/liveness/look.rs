//! What goes into a look at a connection and what comes out of it.

use std::time::Duration;

use crate::msg::{Change, Evidence, LinkEnd, Moment, TcpHealth};

/// What kind of connection it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// Carries events: heartbeats, always watched.
    Link,
    /// Requests and responses: no heartbeat; watched while output is unacknowledged, otherwise the kernel's
    /// keepalive watches.
    Response,
    /// A link on a unix socket: heartbeats, but only its end tells whether the peer is there; and whether it takes what
    /// it is sent.
    Application,
    /// The same, but its peer answers heartbeats (WebSocket): what it says tells.
    Answering,
}

/// One look at a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sample {
    /// Bytes not yet acknowledged (SIOCOUTQ, tcp(7)); on a unix socket those that it does not take.
    pub outq: u32,
    /// TCP_INFO, when it was asked for. If the kernel refuses it: the default, which leads to no verdict.
    pub info: Option<TcpHealth>,
    /// The socket was read empty before `info` was taken.
    pub drained: bool,
}

/// What the caller has to fetch before anything is decided; then call [`super::Liveness::check`] again in the same turn.
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
    /// Write this now, and report it with [`super::Liveness::wrote`].
    pub pulse: Option<Pulse>,
    /// Set up the socket of a response that is not taken (`sys::tcp::prepare_response`). Said once a connection.
    pub prepare: bool,
    /// Make the kernel probe the peer now.
    pub nudge: bool,
    /// Output has been unacknowledged for [`super::HOLD_AFTER`].
    pub hold: bool,
    /// What to tell the hub; one at a time.
    pub change: Option<Change>,
    /// The verdict. After `Lost` the caller keeps the socket and goes on checking: only `returned` can follow.
    pub end: Option<LinkEnd>,
    /// A lost peer was heard again.
    pub returned: bool,
}

/// What a close look says.
pub(super) struct Verdict {
    /// How long nothing proved the peer alive.
    pub(super) silent: Duration,
    /// How long that may last, and what it then proves.
    pub(super) limit: Duration,
    pub(super) evidence: Evidence,
    pub(super) suspect_after: Duration,
}

/// The peer was called lost, and the socket is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Parked {
    pub(super) since: Moment,
    /// It never stopped talking, so only an acknowledgement of ours means that it is back.
    pub(super) one_way: bool,
    pub(super) heard: bool,
}
