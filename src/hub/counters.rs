//! What is counted here.

use crate::msg::{ControlReason, DeviceReason, Evidence, LeftReason};

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
