//! Whether the peer of one connection is still there: a state machine fed with time, bytes written and looks at
//! the kernel's send queue.
//!
//! In short: one small write is kept outstanding; the peer's kernel acknowledges it without anybody's help. A healthy
//! connection costs one look (SIOCOUTQ) a heartbeat; only one that has not acknowledged is looked at closely
//! (TCP_INFO) every `poll`. Why each rule is as it is, with measurements: docs/liveness.md.
//!
//! Never does: system calls, clocks, deciding what a vanished peer means for its session.

use std::time::Duration;

use crate::msg::{Change, Evidence, LinkEnd, Moment, TcpHealth};
use look::{Parked, Verdict};
use room::Room;

mod answers;
mod judging;
mod look;
mod parked;
mod room;
mod rules;
#[cfg(test)]
mod tests;
mod withheld;

pub use look::{Ask, Carrier, Outcome, Pulse, Sample};
pub use rules::Rules;

/// Output unacknowledged for so long: write no beat, ping or telemetry (see docs/protocol.md). Whatever is written behind
/// unacknowledged output comes late, and keeps the kernel from treating the stream as thin.
pub const HOLD_AFTER: Duration = Duration::from_millis(250);

/// The state of one connection.
#[derive(Clone, Debug)]
pub struct Liveness {
    carrier: Carrier,
    /// Offset of this connection's ticks, so that not all beat at once; rounded to [`PHASE_GRID`], so that many share
    /// a wake-up.
    phase: Duration,
    /// From one tick to the next.
    period: Duration,
    next_tick: Moment,
    beat: Option<Duration>,
    /// Number of the newest beat slot used.
    beat_slot: u64,
    /// Bytes taken by the socket, and how many of them were acknowledged at the newest look. Bytes from before the
    /// first report make `acked` start below 0; only its growth means anything.
    written: i64,
    acked: i64,
    last_write: Moment,
    /// Since when output is outstanding without progress, as far as known. A later write never moves it.
    pending: Option<Moment>,
    /// The newest sign of life known.
    alive: Moment,
    /// When a segment without data, or an acknowledgement of ours, was last noticed: proof that we are heard.
    answered: Moment,
    empty_segs: Option<u32>,
    /// The peer's receive window was closed at the newest look, and since when a probe of it is unanswered.
    window_closed: bool,
    unanswered_probe: Option<Moment>,
    /// How much may be written before the peer's window closes.
    room: Room,
    /// Since when the peer takes nothing: output is held back so that its window stays open, or (of a unix socket)
    /// the socket is full.
    stuck: Option<Moment>,
    /// The caller was told to set the socket's options, so that probes of a closed window do not thin out.
    prepared: bool,
    /// Silence of the announced suspicion, at its longest.
    suspected: Option<Duration>,
    stalled: bool,
    parked: Option<Parked>,
    /// Called slow: the caller closes it.
    over: bool,
    next_poll: Option<Moment>,
    next_nudge: Moment,
    next_info: Moment,
    /// Retransmission timeout before any backoff, in microseconds.
    rto_us: u32,
    rtt_us: Option<u32>,
    own_gap: Option<(Moment, Duration)>,
}

/// Phases are multiples of this, so that links share wake-ups: waking costs a board more than the beat it wakes for, and
/// ten members in five phases cost half of what they do in twenty-five.
const PHASE_GRID: Duration = Duration::from_millis(100);
/// The round-trip time of a healthy link is refreshed so often.
const INFO_EVERY: Duration = Duration::from_secs(10);

impl Liveness {
    /// A connection accepted at `now`. `phase` (random) spreads heartbeats over the period.
    pub fn new(carrier: Carrier, rules: &Rules, now: Moment, phase: u32) -> Liveness {
        let mut new = Liveness {
            carrier,
            phase: PHASE_GRID * (phase % 512),
            period: rules.heartbeat,
            next_tick: now,
            beat: None,
            beat_slot: 0,
            written: 0,
            acked: 0,
            last_write: now,
            pending: None,
            alive: now,
            answered: now,
            empty_segs: None,
            window_closed: false,
            unanswered_probe: None,
            room: Room::default(),
            stuck: None,
            prepared: false,
            suspected: None,
            stalled: false,
            parked: None,
            over: false,
            next_poll: None,
            next_nudge: now,
            next_info: now,
            rto_us: 0,
            rtt_us: None,
            own_gap: None,
        };
        new.set_beat(rules, now, None);
        new
    }

    /// It carries events from now on, on a socket set up for that (`sys::tcp::prepare_link`): a heartbeat every `rules.heartbeat`, and if `beat` is given a beat every `beat`.
    pub fn become_link(&mut self, carrier: Carrier, rules: &Rules, now: Moment, beat: Option<Duration>) {
        self.carrier = carrier;
        if carrier == Carrier::Answering {
            self.pending = None; // from now on: a heartbeat without an answer
            // the request may be older than its password's check, but not its session's last sign of life
            self.alive = self.alive.max(now);
        }
        self.next_info = now;
        self.prepared = true;
        self.set_beat(rules, now, beat);
    }

    /// What it carries.
    pub fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// Beats every `beat` from now on (holders of control get them faster).
    pub fn set_beat(&mut self, rules: &Rules, now: Moment, beat: Option<Duration>) {
        self.beat = beat;
        self.period = beat.map_or(rules.heartbeat, |b| b.min(rules.heartbeat)).max(PHASE_GRID);
        self.next_tick = self.tick_after(now);
        self.beat_slot = self.slot(now);
    }

    /// The socket took `bytes` (more than 0) at `now`. To be called for every write and sendfile.
    pub fn wrote(&mut self, now: Moment, bytes: usize) {
        self.written = self.written.wrapping_add(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.last_write = now;
        self.room.wrote(bytes);
        if self.pending.is_none() && matches!(self.carrier, Carrier::Link | Carrier::Response) {
            self.pending = Some(now);
            if self.carrier == Carrier::Response {
                self.next_tick = self.tick_after(now);
            }
        }
    }

    /// Bytes came in at `now`.
    pub fn heard(&mut self, now: Moment) {
        self.alive = self.alive.max(now);
        if self.carrier == Carrier::Answering {
            self.answered(now);
        }
        if let Some(parked) = &mut self.parked {
            parked.heard = true;
            self.next_poll = Some(now);
        }
    }

    /// When [`Liveness::check`] wants to be called next; `None`: not before something is written.
    pub fn due(&self) -> Option<Moment> {
        let tick = match self.carrier {
            _ if self.over => return None,
            _ if self.parked.is_some() => None,
            Carrier::Link | Carrier::Application | Carrier::Answering => Some(self.next_tick),
            Carrier::Response => self.pending.map(|_| self.next_tick),
        };
        match (tick, self.next_poll) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// How long the oldest unacknowledged output waits, as far as is known without asking the kernel. If that is
    /// [`HOLD_AFTER`] or more and something is to be written that must not come late, take a sample and check first.
    pub fn waiting(&self, now: Moment) -> Option<Duration> {
        self.pending.map(|since| now.since(since))
    }

    /// Looks at the connection. To be called when [`Liveness::due`] is reached; earlier does no harm.
    pub fn check(&mut self, rules: &Rules, now: Moment, sample: Sample) -> Outcome {
        match self.carrier {
            Carrier::Application => return self.check_taking(rules, now, sample),
            Carrier::Answering => return self.check_answers(rules, now, sample),
            Carrier::Link | Carrier::Response => {}
        }
        if let Some(parked) = self.parked {
            return self.check_parked(rules, now, sample, parked);
        }
        let acked = self.written.wrapping_sub(i64::from(sample.outq));
        if sample.outq == 0 || acked > self.acked {
            return self.check_moving(rules, now, sample, acked);
        }
        let waited = match self.pending {
            Some(since) => now.since(since),
            // Outstanding from before anything was reported.
            None => {
                self.pending = Some(now);
                self.acked = acked;
                Duration::ZERO
            }
        };
        // A round trip may take a while; nothing is suspicious before half a heartbeat.
        if waited < rules.heartbeat / 2 {
            return self.ticked(now, waited < HOLD_AFTER);
        }
        match sample.info {
            None => Outcome { ask: Some(Ask::Info), ..Outcome::default() },
            Some(health) => self.check_closely(rules, now, health, sample.drained, waited),
        }
    }

    /// The loop did not run for `gap` until `now` (blocked, or the machine was suspended): what the peers did
    /// meanwhile is unknown, so nobody is judged before their kernels had as much time to answer.
    pub fn loop_gap(&mut self, now: Moment, gap: Duration) {
        self.own_gap = Some((now, gap));
    }

    /// Time since the last sign of life, as far as is known: `after` of an end that the socket itself reported.
    pub fn silent_for(&self, now: Moment) -> Duration {
        now.since(self.alive)
    }

    /// Round-trip time as last seen, in microseconds.
    pub fn rtt_us(&self) -> Option<u32> {
        self.rtt_us
    }

    /// Whether the peer was called lost and is waited for.
    pub fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// All or some of what was outstanding has been acknowledged since the last look.
    fn check_moving(&mut self, rules: &Rules, now: Moment, sample: Sample, acked: i64) -> Outcome {
        // Heartbeats are acknowledged, but what was said lies here.
        let stuck = self.stuck.map_or(Duration::ZERO, |since| now.since(since));
        if stuck >= rules.stalled_after * 2 && self.may_judge(now, rules.stalled_after) {
            if !sample.drained {
                return Outcome { ask: Some(Ask::Drain), ..Outcome::default() };
            }
            return self.ended(rules, now, None);
        }
        let refresh = self.carrier == Carrier::Link && sample.outq == 0 && now >= self.next_info;
        match sample.info {
            None if refresh => return Outcome { ask: Some(Ask::Info), ..Outcome::default() },
            None => {}
            Some(health) => {
                self.next_info = now + INFO_EVERY;
                self.learn(now, &health);
            }
        }
        // The acknowledgement came after the write that it acknowledges; when exactly, only TCP_INFO could tell.
        self.alive = self.alive.max(self.pending.unwrap_or(self.alive));
        self.acked = acked;
        self.answered = now;
        // What is counted from here on answers what is outstanding from here on.
        self.empty_segs = None;
        self.pending = (sample.outq > 0).then_some(now);
        self.window_closed = false;
        self.unanswered_probe = None;
        self.next_poll = None;
        let mut outcome = self.ticked(now, true);
        // Two changes at once: the second one waits for the next call.
        if let Some(silent) = self.suspected.take() {
            outcome.change = Some(Change::Recovered { silent });
            self.next_poll = self.stalled.then_some(now);
        } else if self.stalled && self.stuck.is_none() {
            self.stalled = false;
            outcome.change = Some(Change::Moving);
        } else if !self.stalled && stuck >= rules.stalled_after {
            self.stalled = true;
            outcome.change = Some(Change::Stalled);
        }
        outcome
    }

    /// Output has been outstanding for `waited` without progress.
    fn check_closely(
        &mut self,
        rules: &Rules,
        now: Moment,
        health: TcpHealth,
        drained: bool,
        waited: Duration,
    ) -> Outcome {
        self.learn(now, &health);
        let Some(verdict) = self.judge(rules, now, &health) else {
            // The kernel tells too little: its own timeouts are all there is.
            self.next_poll = Some(now + rules.heartbeat);
            return self.ticked(now, false);
        };
        let gone = verdict.silent >= verdict.limit;
        let stuck = self.stuck.map_or(waited, |since| waited.max(now.since(since)));
        let slow = self.carrier == Carrier::Link && !gone && stuck >= rules.stalled_after * 2;
        if (gone || slow) && self.may_judge(now, verdict.limit) {
            if !drained {
                return Outcome { ask: Some(Ask::Drain), ..Outcome::default() };
            }
            return self.ended(rules, now, gone.then_some(verdict));
        }
        let mut outcome = self.ticked(now, false);
        outcome.hold = waited >= HOLD_AFTER;
        outcome.prepare = !self.prepared;
        self.prepared = true;
        outcome.nudge = rules.has_nudge && verdict.silent >= rules.nudge_after && now >= self.next_nudge;
        if outcome.nudge {
            self.next_nudge = now + rules.nudge_every;
        }
        outcome.change = self.change(rules, now, &verdict, stuck);
        self.next_poll = Some(now + self.pause(rules, &verdict));
        outcome
    }

    /// What there is to tell of a connection without progress that is not judged (yet).
    fn change(&mut self, rules: &Rules, now: Moment, verdict: &Verdict, stuck: Duration) -> Option<Change> {
        let Verdict { silent, suspect_after, .. } = *verdict;
        match self.suspected {
            None if silent >= suspect_after && self.may_judge(now, suspect_after) => {
                self.suspected = Some(silent);
                return Some(Change::Suspected { silent });
            }
            Some(longest) if silent < suspect_after => {
                self.suspected = None;
                return Some(Change::Recovered { silent: longest });
            }
            Some(longest) => self.suspected = Some(longest.max(silent)),
            None => {}
        }
        if !self.stalled && self.carrier == Carrier::Link && self.suspected.is_none() && stuck >= rules.stalled_after {
            self.stalled = true;
            return Some(Change::Stalled);
        }
        None
    }

    /// How long until the next close look: `poll` while silent, longer while a closed window's probes are answered.
    fn pause(&self, rules: &Rules, verdict: &Verdict) -> Duration {
        if !self.window_closed || self.suspected.is_some() {
            return rules.poll;
        }
        let mut next = rules.heartbeat.min(verdict.limit.saturating_sub(verdict.silent));
        if rules.has_nudge {
            next = next.min(rules.nudge_after.saturating_sub(verdict.silent).max(rules.nudge_every));
        }
        next.min(verdict.suspect_after.saturating_sub(verdict.silent)).max(rules.poll)
    }

    /// The verdict: lost, or (`None`) alive but taking nothing for too long.
    fn ended(&mut self, rules: &Rules, now: Moment, verdict: Option<Verdict>) -> Outcome {
        let mut outcome = Outcome { hold: true, ..Outcome::default() };
        let Some(verdict) = verdict else {
            outcome.end = Some(LinkEnd::Slow);
            self.over = true;
            return outcome;
        };
        let one_way = verdict.evidence == Evidence::OneWay;
        let last = if one_way { self.answered } else { self.alive };
        let after = now.since(last).max(verdict.silent);
        outcome.end = Some(LinkEnd::Lost { after, evidence: verdict.evidence });
        self.parked = Some(Parked { since: now, one_way, heard: false });
        self.next_poll = Some(now + rules.heartbeat);
        outcome
    }

    /// Takes over what TCP_INFO says of the past.
    fn learn(&mut self, now: Moment, health: &TcpHealth) {
        let times = [health.last_ack_recv_ms, health.last_data_recv_ms];
        if let Some(ms) = times.into_iter().flatten().min() {
            self.alive = self.alive.max(now - Duration::from_millis(ms.into()));
        }
        if let Some(count) = health.empty_segs_in {
            if self.empty_segs.is_some_and(|old| old != count) {
                self.answered = now;
            }
            self.empty_segs = Some(count);
        }
        if let (Some(rto), 0, 0) = (health.rto_us, health.backoff, health.retransmits) {
            self.rto_us = rto;
        }
        self.rtt_us = health.rtt_us.filter(|&us| us > 0).or(self.rtt_us);
    }

    /// If a tick is due: moves it on, and says what to write unless output is to be held.
    fn ticked(&mut self, now: Moment, clear: bool) -> Outcome {
        let mut outcome = Outcome { hold: !clear, ..Outcome::default() };
        if now < self.next_tick {
            return outcome;
        }
        self.next_tick = self.tick_after(now);
        if !clear || self.carrier == Carrier::Response {
            return outcome;
        }
        let slot = self.slot(now);
        if self.beat.is_some() && slot != self.beat_slot && self.stuck.is_none() {
            self.beat_slot = slot;
            outcome.pulse = Some(Pulse::Beat);
        } else if self.pending.is_none() && now.since(self.last_write) >= self.period / 10 {
            // Output in flight serves as heartbeat; so does what has just been acknowledged.
            outcome.pulse = Some(Pulse::Heartbeat);
        }
        outcome
    }

    /// No verdict before the peer had as much time to answer as this loop was away.
    fn may_judge(&self, now: Moment, limit: Duration) -> bool {
        self.own_gap.is_none_or(|(at, gap)| now >= at + gap.min(limit))
    }

    /// The first tick after `now`: drift-free, on a grid that starts with the clock.
    fn tick_after(&self, now: Moment) -> Moment {
        let period = u64::try_from(self.period.as_micros()).unwrap_or(u64::MAX).max(1);
        let phase = u64::try_from(self.phase.as_micros()).unwrap_or(0) % period;
        let ticks = (now.micros() + period - phase) / period;
        Moment::from_micros(ticks * period + phase)
    }

    /// Number of the beat period that `now` is in.
    fn slot(&self, now: Moment) -> u64 {
        let Some(beat) = self.beat else { return 0 };
        let beat = u64::try_from(beat.as_micros()).unwrap_or(u64::MAX).max(1);
        let phase = u64::try_from(self.phase.as_micros()).unwrap_or(0) % beat;
        (now.micros() + beat - phase) / beat
    }
}
