//! The liveness profiles: sets of times that were measured together.
//!
//! Never does: judging anybody. These are the numbers; `liveness` is the judge.

use std::time::Duration;

use crate::msg::{Keepalive, Times};

/// How often a page gets a beat, at least to holders of control (docs/protocol.md).
pub const BEAT: Duration = Duration::from_millis(500);

/// Heartbeats as fast as this leave no time for the kernel's smallest retransmission timeout of 200 ms.
const RTO_MIN_BELOW: Duration = Duration::from_millis(250);
const RTO_MIN: Duration = Duration::from_millis(50);

/// A named set of times; the table is in docs/liveness.md.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// Wired, one hop: 1.3 s.
    Lan,
    /// What a board meets in a building, WLAN included: 3 s.
    Standard,
    /// Over a mobile network or a bad link: 10 s.
    Mobile,
    /// Peers on batteries, which should not be woken often: 40 s.
    Relaxed,
}

/// The times of one link, in full.
#[derive(Clone, PartialEq, Debug)]
pub struct LivenessValues {
    /// The profile that they come from.
    pub profile: Profile,
    /// H: a heartbeat so often on an otherwise silent link.
    pub heartbeat: Duration,
    /// P: how often the kernel is asked while something is unacknowledged.
    pub poll: Duration,
    /// D: silence after which a peer is lost.
    pub silence: Duration,
    /// Silence after which a peer is suspect.
    pub suspect_after: Duration,
    /// A peer that takes no data for so long is stalled; twice as long: closed as slow.
    pub stalled_after: Duration,
    /// A lost link is kept so long in case the peer comes back.
    pub returned_within: Duration,
    /// A page that answered beats and stops for so long is stalled; zero: never.
    pub page_after: Duration,
    /// The kernel's keepalive for plain connections: idle, interval (whole seconds), count (tcp(7), `TCP_KEEPIDLE`).
    pub keepalive: (Duration, Duration, u32),
    /// From the cut to the announcement: what the start line and the docs promise.
    pub promised: Duration,
}

impl Profile {
    /// All of them, quickest first.
    pub const ALL: [Profile; 4] = [Profile::Lan, Profile::Standard, Profile::Mobile, Profile::Relaxed];

    /// Its name in the settings.
    pub const fn word(self) -> &'static str {
        match self {
            Profile::Lan => "lan",
            Profile::Standard => "standard",
            Profile::Mobile => "mobile",
            Profile::Relaxed => "relaxed",
        }
    }

    /// The profile of that name.
    pub fn from_word(word: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|p| p.word() == word)
    }

    /// Its times.
    pub const fn values(self) -> LivenessValues {
        // One row of the table: promised, H, P, D, suspect, stalled and returned, page, all in ms; keepalive in s.
        let (promised, h, p, d, suspect, stalled, page, keepalive) = match self {
            Profile::Lan => (1_300, 250, 25, 950, 600, 15_000, 10_000, (1, 1, 2)),
            Profile::Standard => (3_000, 500, 50, 2_300, 1_200, 30_000, 10_000, (1, 1, 3)),
            Profile::Mobile => (10_000, 1_000, 250, 8_400, 4_000, 60_000, 10_000, (5, 2, 4)),
            // Its beats come every 10 s: a page is not late after 10 s, but after two beats and a second.
            Profile::Relaxed => (40_000, 10_000, 1_000, 28_000, 15_000, 120_000, 21_000, (20, 5, 3)),
        };
        LivenessValues {
            profile: self,
            heartbeat: Duration::from_millis(h),
            poll: Duration::from_millis(p),
            silence: Duration::from_millis(d),
            suspect_after: Duration::from_millis(suspect),
            stalled_after: Duration::from_millis(stalled),
            returned_within: Duration::from_millis(stalled),
            page_after: Duration::from_millis(page),
            keepalive: (Duration::from_secs(keepalive.0), Duration::from_secs(keepalive.1), keepalive.2),
            promised: Duration::from_millis(promised),
        }
    }
}

impl LivenessValues {
    /// How often pages get a beat: every 500 ms, or every heartbeat if that is longer (holders of control: always
    /// every 500 ms).
    pub fn beat(&self) -> Duration {
        self.heartbeat.max(BEAT)
    }

    /// What the liveness rules and the kernel's options need of it.
    pub fn times(&self) -> Times {
        let seconds = |d: Duration| u16::try_from(d.as_secs()).unwrap_or(u16::MAX).max(1);
        Times {
            heartbeat: self.heartbeat,
            poll: self.poll,
            silence: self.silence,
            suspect_after: self.suspect_after,
            stalled_after: self.stalled_after,
            returned_within: self.returned_within,
            keepalive: Keepalive {
                idle_s: seconds(self.keepalive.0),
                interval_s: seconds(self.keepalive.1),
                count: u8::try_from(self.keepalive.2).unwrap_or(u8::MAX),
            },
            rto_min: (self.heartbeat <= RTO_MIN_BELOW).then_some(RTO_MIN),
        }
    }

    /// The shortest `page_after` that one late beat does not already exceed.
    pub(super) fn page_floor(&self) -> Duration {
        self.beat() * 2 + Duration::from_secs(1)
    }

    /// States the promise anew after single values were set: the worst case is a heartbeat just sent, then the silence,
    /// then one poll; a sixteenth on top, which is the margin that the table's own rows have.
    pub(super) fn promise_again(&mut self) {
        let row = self.profile.values();
        let same = (self.heartbeat, self.poll, self.silence) == (row.heartbeat, row.poll, row.silence);
        self.promised = if same {
            row.promised
        } else {
            let worst = self.heartbeat + self.silence + self.poll;
            worst + worst / 16
        };
    }
}
