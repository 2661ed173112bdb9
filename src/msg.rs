//! The words: what is said between the floors. Plain values, no behaviour beyond naming and ordering them. Here are the
//! closed sets and what the hub wants done; time and names are in `ground`, events in `events`, what concerns devices in
//! `devices`.
//!
//! Never does: input, output, clocks, randomness. Time comes in as [`Now`].

use std::time::Duration;

/// Defines a closed set of words: the variants, and the one word by which each is known in events, metrics and logs.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// Every one of them, in the order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The word for it.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            /// What that word means; `None` for a word that is not one of these.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

mod devices;
mod events;
mod ground;
mod kernel;

pub use devices::*;
pub use events::*;
pub use ground::*;
pub use kernel::*;

words! {
    /// What a user may do. Ordered: a later one may do all that an earlier one may.
    Role {
        /// Look and chat.
        Viewer => "viewer",
        /// Also take control and command devices.
        Operator => "operator",
        /// Also evict and force.
        Admin => "admin",
    }
}

words! {
    /// How a member is, as far as the server can tell.
    Presence {
        /// Heard lately, on at least one link (or a plain visitor within its time).
        Present => "present",
        /// Silent for longer than `suspect_after` on every link.
        Suspect => "suspect",
        /// Alive, but takes no data or its page does not answer.
        Stalled => "stalled",
    }
}

words! {
    /// Which layer of a member stalls.
    Layer {
        /// The peer acknowledges but takes no data.
        Transport => "transport",
        /// The page answers no beat.
        Page => "page",
    }
}

words! {
    /// Why a member is called lost.
    Evidence {
        /// Data in flight and nothing heard.
        NoAck => "no_ack",
        /// Heard, but nothing of ours arrives.
        OneWay => "one_way",
        /// The kernel's keepalive probes were not answered.
        Keepalive => "keepalive",
        /// The peer's kernel does not know the connection any more.
        Reset => "reset",
        /// The network says that there is no way there.
        Unreachable => "unreachable",
    }
}

words! {
    /// Why a member left; the `reason` of `left`.
    LeftReason {
        /// Its last link closed in order, or its plain visit ran out.
        Closed => "closed",
        /// It logged out.
        Logout => "logout",
        /// An admin took its seat.
        Evicted => "evicted",
        /// Nothing done for `seats.idle`.
        Idle => "idle",
        /// The same user came back elsewhere and took its own seat over.
        Replaced => "replaced",
        /// Its link owed more than `link_queue`, or took no data for twice `stalled_after`.
        Slow => "slow",
        /// Its page was dead at a full house.
        Stalled => "stalled",
        /// The session's lifetime ended, or its user was changed or removed.
        Expired => "expired",
    }
}

words! {
    /// Why a connection ended: the same word in log line, metric and event.
    CloseReason {
        /// The response was the last one of its connection.
        Done => "done",
        /// The peer closed in order (FIN), or its page said bye.
        Closed => "closed",
        /// The peer's kernel reset it.
        Reset => "reset",
        /// Vanished: the verdict of the liveness rules or of the kernel's probes.
        Lost => "lost",
        /// Another error of the socket.
        Error => "error",
        /// A request head did not come within `header_timeout`.
        HeaderTimeout => "header_timeout",
        /// A request body did not come within `body_timeout`.
        BodyTimeout => "body_timeout",
        /// Nothing asked for `keep_alive`.
        KeepAlive => "keep_alive",
        /// A response not taken for `send_timeout`.
        SendTimeout => "send_timeout",
        /// The peer broke the protocol.
        Protocol => "protocol",
        /// A limit on connections was reached.
        Limit => "limit",
        /// Logged out.
        Logout => "logout",
        /// Evicted by an admin.
        Evicted => "evicted",
        /// Nothing done for `seats.idle`.
        Idle => "idle",
        /// A newer link of the same page, or the same user from elsewhere, took its place.
        Replaced => "replaced",
        /// Owed too much, or took nothing for too long.
        Slow => "slow",
        /// A device from which no line came for `devices.silent_after`.
        Silent => "silent",
        /// Page dead at a full house.
        Stalled => "stalled",
        /// Session over.
        Expired => "expired",
        /// The server stops.
        Shutdown => "shutdown",
    }
}

impl From<LeftReason> for CloseReason {
    fn from(r: LeftReason) -> Self {
        match r {
            LeftReason::Closed => CloseReason::Closed,
            LeftReason::Logout => CloseReason::Logout,
            LeftReason::Evicted => CloseReason::Evicted,
            LeftReason::Idle => CloseReason::Idle,
            LeftReason::Replaced => CloseReason::Replaced,
            LeftReason::Slow => CloseReason::Slow,
            LeftReason::Stalled => CloseReason::Stalled,
            LeftReason::Expired => CloseReason::Expired,
        }
    }
}

// ------------------------------------------------------------------------------------------------- effects

/// What the hub wants done; the loop does it at the end of the turn, in this order.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Put `message` into the output of each of these links.
    Deliver {
        /// The links.
        to: Vec<ConnId>,
        /// What they hear.
        message: Message,
    },
    /// Say farewell on this link (a `closing` message), then close it.
    Close {
        /// The link.
        conn: ConnId,
        /// Why.
        why: CloseReason,
    },
    /// The peer of this link has vanished: drop what it is owed, keep the socket, listen until then.
    Park {
        /// The link.
        conn: ConnId,
        /// Until when it may come back.
        until: Moment,
    },
    /// Something about devices and their control.
    Device(DeviceEffect),
}

/// What the hub wants done, in order. Filled by the hub, emptied by the loop; nothing re-enters.
pub type Effects = Vec<Effect>;

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

// ---------------------------------------------------------------------------------------- times and health

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
