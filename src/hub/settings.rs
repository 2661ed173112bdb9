//! What the hub is made with.

use std::time::Duration;

use crate::config::{Chat, Control, Seats};
use crate::msg::Epoch;

/// The settings that matter here.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Of the seats; `reserved` is 0 if no admins are configured. Which addresses may come is not asked here.
    pub seats: Seats,
    /// A session unused for so long is forgotten (`auth.lifetime`); one with a link is in use.
    pub lifetime: Duration,
    /// A page that answered beats and stops for so long is stalled (`liveness.page_after`); zero: off.
    pub page_after: Duration,
    /// How long a lost session may come back as `returned` (the profile's value).
    pub returned_within: Duration,
    /// Between two beats: 500 ms, or the profile's heartbeat if that is longer. At least 1 ms.
    pub beat: Duration,
    /// Of the chat.
    pub chat: Chat,
    /// Of control.
    pub control: Control,
    /// `devices.silent_after`.
    pub silent_after: Duration,
    /// What may be remembered of all devices together, in bytes: see [`bytes_of_all`](super::bytes_of_all).
    pub device_bytes: u64,
}

/// What chance gives to one run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Seed {
    /// Name of this run's log.
    pub epoch: Epoch,
    /// The first beat's number. Its upper 16 bits are dropped, so that every number fits a page's 53 bits.
    pub beat_base: u64,
    /// For the public names of sessions, which are no secrets.
    pub names: u64,
}
