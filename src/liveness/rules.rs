//! The rules by which connections are judged; why each is as it is, with measurements: docs/liveness.md.

use std::time::Duration;

use crate::msg::Times;

/// The times and helps by which connections are judged. `Copy`: links keep those they began with over a reload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// From one heartbeat to the next.
    pub heartbeat: Duration,
    /// From one close look to the next.
    pub poll: Duration,
    /// Segments in flight, nothing heard: lost.
    pub silence: Duration,
    /// Window closed, nothing heard: lost. Counted from the last sign of life, which is before any cut; so, other than
    /// with `silence`, no heartbeat comes on top.
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

impl Rules {
    /// The rules that follow from `times` on a kernel with these helps.
    pub fn new(times: &Times, has_rto_max: bool, has_nudge: bool) -> Rules {
        // With TCP_RTO_MAX_MS at its least, probes of a closed window are 1.02 s apart: two of them must fit.
        let zero_window = (times.silence + times.heartbeat).max(Duration::from_millis(2700));
        Rules {
            heartbeat: times.heartbeat,
            poll: times.poll,
            silence: times.silence,
            zero_window,
            one_way: (times.silence * 13 / 5).max(Duration::from_secs(3)),
            suspect_after: times.suspect_after,
            zero_window_suspect: times.suspect_after.max(Duration::from_millis(1500)),
            stalled_after: times.stalled_after,
            returned_within: times.returned_within,
            nudge_after: times.heartbeat.clamp(Duration::from_millis(250), Duration::from_millis(300)),
            nudge_every: Duration::from_millis(250),
            has_rto_max,
            has_nudge,
        }
    }

    /// The longest time from a cut to the verdict while the peer read, by these rules.
    pub fn worst(&self) -> Duration {
        self.heartbeat + self.silence + self.poll
    }

    /// The same when the peer had stopped reading; `None`: about as long again as it had not read, up to 2 minutes.
    pub fn worst_stalled(&self) -> Option<Duration> {
        (self.has_rto_max || self.has_nudge).then(|| self.zero_window + self.poll)
    }
}
