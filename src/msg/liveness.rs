//! How the peer of a link is: what changes about it, how a link ends, and what the kernel tells.

use std::time::Duration;

use super::*;

/// What the liveness rules say of a link; the change, not the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Silent for longer than `suspect_after`.
    Suspected {
        /// How long nothing was heard.
        silent: Duration,
    },
    /// A suspected peer was heard.
    Recovered {
        /// How long nothing had been heard.
        silent: Duration,
    },
    /// The peer lives but has taken no data for `stalled_after`.
    Stalled,
    /// A stalled peer takes data again.
    Moving,
}

/// How a link ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkEnd {
    /// In order: FIN, a WebSocket close, or its page's `bye`.
    Closed,
    /// The peer vanished.
    Lost {
        /// Since the last sign of life.
        after: Duration,
        /// How we know.
        evidence: Evidence,
    },
    /// It owed more than `link_queue`, or stalled for twice `stalled_after`.
    Slow,
    /// The peer broke the protocol; counts as closed.
    Protocol,
}

/// The times by which a vanished peer is noticed; see docs/liveness.md for what each costs. They come from
/// [`crate::config::LivenessValues::times`], where the one table of profiles is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// From one heartbeat of a link to the next.
    pub heartbeat: Duration,
    /// From one look at a suspicious connection to the next.
    pub poll: Duration,
    /// Output unacknowledged and nothing heard for so long: lost.
    pub silence: Duration,
    /// Silent for so long: suspect.
    pub suspect_after: Duration,
    /// Heard, but no data taken for so long: stalled.
    pub stalled_after: Duration,
    /// The socket of a lost link is kept so long.
    pub returned_within: Duration,
    /// The kernel's probes for connections that cannot carry heartbeats.
    pub keepalive: Keepalive,
    /// Smallest retransmission timeout to ask the kernel for (TCP_RTO_MIN_US); `None`: the kernel's own 200 ms.
    pub rto_min: Option<Duration>,
}

/// The kernel's keepalive of an idle connection (tcp(7): TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Seconds of silence before the first probe.
    pub idle_s: u16,
    /// Seconds between probes.
    pub interval_s: u16,
    /// Unanswered probes before the connection is given up.
    pub count: u8,
}

/// What the kernel knows of one TCP connection: the fields of `struct tcp_info` (linux/tcp.h) that the liveness
/// rules use. Older kernels fill less of it, and qemu's user mode almost nothing: what is missing is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TcpHealth {
    /// TCP state: 1 established, 7 closed, 8 close-wait (the peer said FIN).
    pub state: u8,
    /// Timeouts in a row without progress (tcpi_retransmits).
    pub retransmits: u8,
    /// Unanswered window or keepalive probes.
    pub probes: u8,
    /// How often the retransmission timeout has been doubled.
    pub backoff: u8,
    /// The retransmission timeout as it is now, in microseconds.
    pub rto_us: Option<u32>,
    /// Segments in flight. `Some(0)` with bytes in the send queue: the peer's window is closed.
    pub unacked: Option<u32>,
    /// Milliseconds since data came in.
    pub last_data_recv_ms: Option<u32>,
    /// Milliseconds since an acknowledgement came in, data that carried one included.
    pub last_ack_recv_ms: Option<u32>,
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: Option<u32>,
    /// Segments sent again in all.
    pub total_retrans: Option<u32>,
    /// Segments that came in without data (tcpi_segs_in - tcpi_data_segs_in, Linux 4.6): a peer that hears us
    /// and talks sends these too; one that hears nothing sends data only.
    pub empty_segs_in: Option<u32>,
    /// Congestion window in segments.
    pub cwnd: Option<u32>,
    /// The window that the peer offers, in bytes (Linux 5.4).
    pub send_window: Option<u32>,
}
