//! What the hub wants done.

use super::*;

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
