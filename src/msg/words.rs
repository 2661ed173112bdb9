//! The closed sets: each with the one word by which it is known in events, metrics and logs.

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
