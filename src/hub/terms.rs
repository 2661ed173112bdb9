//! What the hub is made with and what it counts.

use std::time::Duration;

use crate::config::{Chat, Control, Seats};
use crate::msg::{ControlReason, DeviceReason, Epoch, Evidence, LeftReason, PeerAddr, Role, SessionId};

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

/// Somebody with good credentials and without a session's cookie.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Newcomer<'a> {
    /// User name.
    pub user: &'a str,
    /// What that user may do.
    pub role: Role,
    /// Where the request comes from.
    pub addr: PeerAddr,
    /// Its User-Agent; empty without one. Cut to `Member::AGENT_MAX` bytes.
    pub agent: &'a str,
    /// The cookie that it showed, if that one is unknown, of another user or of an ended session.
    pub stale: Option<[u8; 16]>,
    /// The session of the last request on the same connection: most likely this one's, too.
    pub last: Option<SessionId>,
    /// Secret random bytes: the cookie, if a new session begins.
    pub random: [u8; 16],
}

/// A histogram of times, one count for each of [`Counters::DETECTION_BOUNDS_MS`] and one for what is above; not
/// cumulative.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TimesSeen {
    /// The counts.
    pub counts: [u64; Counters::DETECTION_BOUNDS_MS.len() + 1],
    /// Sum of the times, in milliseconds.
    pub sum_ms: u64,
}

impl TimesSeen {
    /// Counts one.
    pub(super) fn count(&mut self, ms: u64) {
        self.counts[Counters::DETECTION_BOUNDS_MS.partition_point(|&bound| bound < ms)] += 1;
        self.sum_ms += ms;
    }
}

/// What was counted since start.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Counters {
    /// Seats taken.
    pub joined: u64,
    /// Of these: lost ones that came back.
    pub returned: u64,
    /// By reason, in the order of `LeftReason::ALL`.
    pub left: [u64; LeftReason::ALL.len()],
    /// By evidence, in the order of `Evidence::ALL`.
    pub lost: [u64; Evidence::ALL.len()],
    /// Members who became suspect.
    pub suspicions: u64,
    /// Suspects who were heard again.
    pub recoveries: u64,
    /// `turned_away` events.
    pub turned_away: u64,
    /// Messages of the chat.
    pub said: u64,
    /// Time from the last sign of life to `lost`, one count for each of [`Counters::DETECTION_BOUNDS_MS`] and one
    /// for what is above; not cumulative.
    pub detection: [u64; Counters::DETECTION_BOUNDS_MS.len() + 1],
    /// Sum of those times, in milliseconds.
    pub detection_sum_ms: u64,
    /// Changes of control by reason, in the order of `ControlReason::ALL`.
    pub control: [u64; ControlReason::ALL.len()],
    /// From the last sign that a holder could act to the `safe` that followed.
    pub safe: TimesSeen,
    /// Devices that came or went, by reason, in the order of `DeviceReason::ALL`.
    pub devices: [u64; DeviceReason::ALL.len()],
    /// Devices that became suspect.
    pub device_suspicions: u64,
    /// Lines of telemetry.
    pub telemetry: u64,
    /// Commands sent to devices.
    pub commands: u64,
    /// Answered as done.
    pub answers_ok: u64,
    /// Answered as not done.
    pub answers_failed: u64,
    /// Answered `unknown`.
    pub answers_unknown: u64,
    /// Answers after that.
    pub answers_late: u64,
    /// Emergency stops that were told and are no events.
    pub stops_left_out: u64,
}

impl Counters {
    /// Upper bounds of the histogram: around what the profiles promise.
    pub const DETECTION_BOUNDS_MS: [u64; 12] =
        [250, 500, 1000, 1500, 2000, 2500, 3000, 5000, 8000, 10_000, 20_000, 40_000];
}
