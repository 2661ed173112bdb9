//! The rules in a dialect with time, over a small model of the peer's kernel, and over traces of real kernels.

use super::*;
use crate::config::Profile;

mod traces;
mod withheld;

const BEAT: Option<Duration> = Some(Duration::from_millis(500));

/// What the peer and the way to it are like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    /// Acknowledges after so many milliseconds.
    Well(u64),
    /// Nothing gets through.
    Gone,
    /// Its data comes in every 300 ms; nothing of ours arrives.
    Talks,
    /// The window is closed; every probe (once a second) is answered.
    Stuffed,
}

/// One connection, its kernel and its peer, stepped through time every 5 ms.
struct Sim {
    rules: Rules,
    live: Liveness,
    now: u64,
    peer: Peer,
    /// Bytes on their way, and when they were written.
    flight: Vec<(u64, usize)>,
    last_ack: u64,
    last_data: u64,
    counts_empty: bool,
    empty: u32,
    /// What came of it: (milliseconds, change or end).
    said: Vec<(u64, String)>,
    pulses: Vec<u64>,
    infos: usize,
    nudges: usize,
    checks: usize,
    blind: bool,
}

fn link(profile: Profile) -> Sim {
    Sim::new(Carrier::Link, Rules::new(&profile.values().times(), true, false))
}

fn moment(ms: u64) -> Moment {
    Moment::from_millis(ms)
}

impl Sim {
    fn new(carrier: Carrier, rules: Rules) -> Sim {
        let mut live = Liveness::new(Carrier::Response, &rules, moment(1000), 3);
        if carrier != Carrier::Response {
            live.become_link(carrier, &rules, moment(1000), BEAT);
        }
        Sim {
            rules,
            live,
            now: 1000,
            peer: Peer::Well(1),
            flight: Vec::new(),
            last_ack: 1000,
            last_data: 1000,
            counts_empty: true,
            empty: 1,
            said: Vec::new(),
            pulses: Vec::new(),
            infos: 0,
            nudges: 0,
            checks: 0,
            blind: false,
        }
    }

    fn write(&mut self, bytes: usize) {
        self.live.wrote(moment(self.now), bytes);
        self.flight.push((self.now, bytes));
    }

    fn outq(&self) -> u32 {
        self.flight.iter().map(|(_, n)| *n as u32).sum()
    }

    fn health(&self) -> TcpHealth {
        if self.blind {
            return TcpHealth { state: 1, ..TcpHealth::default() };
        }
        TcpHealth {
            state: 1,
            rto_us: Some(204_000),
            unacked: Some(if self.peer == Peer::Stuffed { 0 } else { self.flight.len() as u32 }),
            last_ack_recv_ms: Some((self.now - self.last_ack) as u32),
            last_data_recv_ms: Some((self.now - self.last_data) as u32),
            rtt_us: Some(1000),
            empty_segs_in: self.counts_empty.then_some(self.empty),
            send_window: None,
            ..TcpHealth::default()
        }
    }

    /// Runs until `end` with `peer` at the other side.
    fn until(&mut self, end: u64, peer: Peer) -> &mut Sim {
        self.peer = peer;
        while self.now < end {
            self.now += 5;
            match peer {
                Peer::Well(rtt) => {
                    let before = self.flight.len();
                    self.flight.retain(|(at, _)| at + rtt > self.now);
                    if self.flight.len() < before {
                        self.last_ack = self.now;
                        self.empty += 1;
                    }
                }
                Peer::Talks if self.now % 300 == 0 => {
                    (self.last_ack, self.last_data) = (self.now, self.now);
                    self.live.heard(moment(self.now));
                }
                Peer::Stuffed if self.now % 1000 == 0 => {
                    self.last_ack = self.now;
                    self.empty += 1;
                }
                _ => {}
            }
            self.step();
        }
        self
    }

    fn step(&mut self) {
        if self.live.due().is_none_or(|at| at > moment(self.now)) {
            return;
        }
        self.checks += 1;
        let mut sample = Sample { outq: self.outq(), ..Sample::default() };
        let mut outcome = self.live.check(&self.rules, moment(self.now), sample);
        while let Some(ask) = outcome.ask {
            self.infos += 1;
            sample.drained = ask == Ask::Drain;
            sample.info = Some(self.health());
            outcome = self.live.check(&self.rules, moment(self.now), sample);
        }
        self.nudges += usize::from(outcome.nudge);
        if let Some(change) = outcome.change {
            let word = format!("{change:?}");
            self.said.push((self.now, word.split(' ').next().unwrap().to_ascii_lowercase()));
        }
        assert!(outcome.end.is_none() || sample.drained, "a verdict before the socket was read empty");
        match outcome.end {
            Some(LinkEnd::Lost { after, evidence }) => {
                assert!(after >= self.rules.silence, "{after:?}");
                self.said.push((self.now, format!("lost {evidence}")));
            }
            Some(end) => self.said.push((self.now, format!("{end:?}").to_ascii_lowercase())),
            None => {}
        }
        if outcome.returned {
            self.said.push((self.now, "returned".into()));
        }
        if outcome.pulse.is_some() {
            self.pulses.push(self.now);
            self.write(8);
        }
    }

    /// Exactly these things were said, each within its time.
    #[track_caller]
    fn expect(&mut self, wanted: &[(&str, std::ops::RangeInclusive<u64>)]) -> &mut Sim {
        let words: Vec<&str> = self.said.iter().map(|(_, w)| w.as_str()).collect();
        assert_eq!(words, wanted.iter().map(|(w, _)| *w).collect::<Vec<_>>(), "{:?}", self.said);
        for ((at, word), (_, range)) in self.said.iter().zip(wanted) {
            assert!(range.contains(at), "{word} at {at}, not in {range:?}");
        }
        self.said.clear();
        self
    }
}

#[test]
fn a_cut_cable_is_known_in_time_at_every_phase_and_in_every_profile() {
    for (profile, promised) in
        [(Profile::Lan, 1300), (Profile::Standard, 3000), (Profile::Mobile, 10_000), (Profile::Relaxed, 40_000)]
    {
        for cut in 0..20 {
            let mut sim = link(profile);
            let at = 20_000 + cut * 53;
            sim.until(at, Peer::Well(1)).expect(&[]);
            let times = profile.values().times();
            sim.until(at + 45_000, Peer::Gone);
            let suspected = times.suspect_after.as_millis() as u64;
            sim.expect(&[("suspected", at + suspected - 10..=at + promised), ("lost no_ack", at..=at + promised)]);
        }
    }
}

#[test]
fn a_busy_link_is_known_in_time_too_and_not_looked_at_closely_while_it_moves() {
    for cut in 0..10 {
        let mut sim = link(Profile::Standard);
        let at = 10_000 + cut * 53;
        while sim.now < at {
            sim.write(200);
            let next = sim.now + 50;
            sim.until(next, Peer::Well(50));
        }
        assert!(sim.infos <= 3, "{} close looks at a link that moves", sim.infos);
        assert!(sim.checks <= 25, "{} checks in 9 s", sim.checks);
        let end = at + 3100;
        while sim.now < end {
            sim.write(200);
            let next = sim.now + 50;
            sim.until(next, Peer::Gone);
        }
        sim.expect(&[("suspected", at + 1100..=at + 1800), ("lost no_ack", at + 2300..=at + 3000)]);
    }
}

#[test]
fn an_idle_link_costs_one_look_and_one_write_a_heartbeat() {
    let mut sim = link(Profile::Standard);
    sim.until(61_000, Peer::Well(1)).expect(&[]);
    assert_eq!(sim.pulses.len(), 120);
    assert_eq!(sim.checks, 120);
    assert!(sim.infos <= 7, "{}", sim.infos);
    assert!(sim.pulses.windows(2).all(|w| w[1] - w[0] == 500), "beats drift: {:?}", &sim.pulses[..9]);
}

#[test]
fn nothing_is_written_behind_output_that_waits() {
    let mut sim = link(Profile::Standard);
    sim.until(5000, Peer::Well(1)).until(7800, Peer::Gone);
    assert_eq!(sim.pulses.iter().filter(|&&at| at > 5000).count(), 1);
}

#[test]
fn a_peer_that_talks_but_hears_nothing_is_one_way() {
    for cut in 0..10 {
        let mut sim = link(Profile::Standard);
        let at = 9000 + cut * 53;
        sim.until(at, Peer::Well(1)).until(at + 5000, Peer::Talks);
        sim.expect(&[("suspected", at + 1100..=at + 1800), ("lost one_way", at + 2300..=at + 3000)]);
    }
}

#[test]
fn one_way_takes_longer_on_kernels_that_do_not_count_empty_segments() {
    let mut sim = link(Profile::Standard);
    sim.counts_empty = false;
    sim.until(9000, Peer::Well(1)).until(17_000, Peer::Talks);
    sim.expect(&[("lost one_way", 14_900..=15_600)]);
}

#[test]
fn a_peer_that_does_not_read_is_stalled_and_then_slow_but_never_lost() {
    let mut sim = link(Profile::Standard);
    sim.until(5000, Peer::Well(1));
    sim.write(1000);
    sim.until(70_000, Peer::Stuffed);
    sim.expect(&[("stalled", 35_000..=35_600), ("slow", 65_000..=65_600)]);
}

#[test]
fn a_peer_that_does_not_read_is_not_even_suspect_where_silence_is_shorter_than_its_probes_are_apart() {
    let mut sim = link(Profile::Lan);
    sim.until(5000, Peer::Well(1));
    sim.write(1000);
    sim.until(19_000, Peer::Stuffed).expect(&[]);
}

#[test]
fn a_stalled_peer_that_reads_again_moves() {
    let mut sim = link(Profile::Standard);
    sim.until(5000, Peer::Well(1));
    sim.write(1000);
    sim.until(40_000, Peer::Stuffed).until(42_000, Peer::Well(1));
    sim.expect(&[("stalled", 35_000..=35_600), ("moving", 40_000..=40_600)]);
}

#[test]
fn a_peer_that_had_stopped_reading_and_vanishes_is_lost_in_time() {
    for cut in 0..10 {
        let mut sim = link(Profile::Standard);
        sim.until(5000, Peer::Well(1));
        sim.write(1000);
        let at = 11_000 + cut * 103;
        sim.until(at, Peer::Stuffed);
        // The window stays closed, but nobody answers.
        let mut gone = at;
        while gone < at + 4000 {
            gone += 5;
            sim.now = gone;
            sim.step();
        }
        sim.expect(&[("suspected", at + 200..=at + 1900), ("lost no_ack", at + 1200..=at + 3000)]);
    }
}

#[test]
fn without_rto_max_and_nudge_only_an_unanswered_probe_counts() {
    let mut sim = Sim::new(Carrier::Link, Rules::new(&Profile::Standard.values().times(), false, false));
    sim.until(5000, Peer::Well(1));
    sim.write(1000);
    sim.peer = Peer::Stuffed;
    // Probes have backed off: long silence, none unanswered.
    while sim.now < 25_000 {
        sim.now += 5;
        sim.step();
    }
    sim.expect(&[]);
}

#[test]
fn an_outage_of_two_seconds_is_survived() {
    for start in 0..20 {
        let mut sim = link(Profile::Standard);
        let at = 9000 + start * 27;
        sim.until(at, Peer::Well(1)).until(at + 2000, Peer::Gone).until(at + 9000, Peer::Well(1));
        assert!(sim.said.iter().all(|(_, w)| !w.starts_with("lost")), "{:?}", sim.said);
        let words: Vec<_> = sim.said.iter().map(|(_, w)| w.as_str()).collect();
        assert!(words.is_empty() || words == ["suspected", "recovered"], "{words:?}");
    }
}

#[test]
fn time_in_which_this_loop_did_not_run_is_not_counted() {
    let mut sim = link(Profile::Standard);
    sim.until(9000, Peer::Well(1));
    sim.until(9900, Peer::Gone);
    // Suspended for a minute: the peer could not be heard, and is not judged before it had time to answer.
    sim.now = 70_000;
    sim.live.loop_gap(moment(sim.now), Duration::from_secs(60));
    sim.step();
    sim.until(70_900, Peer::Gone).until(73_000, Peer::Well(1));
    assert!(sim.said.iter().all(|(_, w)| !w.starts_with("lost")), "{:?}", sim.said);
    // One that stays silent is lost all the same.
    let mut sim = link(Profile::Standard);
    sim.until(9000, Peer::Well(1)).until(9900, Peer::Gone);
    sim.now = 70_000;
    sim.live.loop_gap(moment(sim.now), Duration::from_secs(60));
    sim.until(73_000, Peer::Gone);
    assert!(sim.said.iter().any(|(at, w)| w == "lost no_ack" && (72_300..72_500).contains(at)), "{:?}", sim.said);
}

#[test]
fn a_lost_peer_that_is_heard_again_has_returned() {
    let mut sim = link(Profile::Standard);
    sim.until(9000, Peer::Well(1)).until(15_000, Peer::Gone);
    sim.expect(&[("suspected", 10_100..=10_800), ("lost no_ack", 11_300..=12_000)]);
    assert!(sim.live.is_parked());
    sim.until(16_000, Peer::Well(1)).expect(&[("returned", 15_000..=15_600)]);
}

#[test]
fn a_one_way_peer_that_goes_on_talking_has_not_returned() {
    let mut sim = link(Profile::Standard);
    sim.until(9000, Peer::Well(1)).until(20_000, Peer::Talks);
    sim.said.clear();
    assert!(sim.live.is_parked());
    sim.until(25_000, Peer::Talks).expect(&[]);
    sim.until(26_000, Peer::Well(1)).expect(&[("returned", 25_000..=25_600)]);
}

#[test]
fn a_parked_socket_is_left_alone_when_its_time_is_over() {
    let mut sim = link(Profile::Standard);
    sim.until(9000, Peer::Well(1)).until(45_000, Peer::Gone);
    assert_eq!(sim.live.due(), None);
}

#[test]
fn a_response_is_watched_only_while_output_is_owed() {
    let rules = Rules::new(&Profile::Standard.values().times(), true, false);
    let mut sim = Sim::new(Carrier::Response, rules);
    assert_eq!(sim.live.due(), None);
    sim.write(1000);
    sim.until(2000, Peer::Well(1));
    assert_eq!((sim.live.due(), sim.pulses.len()), (None, 0));
    sim.write(1000);
    sim.until(9000, Peer::Gone).expect(&[("suspected", 3200..=3300), ("lost no_ack", 4300..=4400)]);
    assert!(sim.pulses.is_empty());
}

#[test]
fn a_paused_download_is_not_lost_nor_slow() {
    let rules = Rules::new(&Profile::Standard.values().times(), true, false);
    let mut sim = Sim::new(Carrier::Response, rules);
    sim.write(100_000);
    sim.until(90_000, Peer::Stuffed).expect(&[]);
}

#[test]
fn a_kernel_that_tells_nothing_leads_to_no_verdict() {
    let mut sim = link(Profile::Standard);
    sim.blind = true;
    sim.until(9000, Peer::Well(1)).until(100_000, Peer::Gone).expect(&[]);
}

#[test]
fn an_application_link_beats_and_is_not_judged_while_it_takes_what_it_is_sent() {
    let mut sim = Sim::new(Carrier::Application, Rules::new(&Profile::Standard.values().times(), true, false));
    sim.until(21_000, Peer::Well(1)).expect(&[]);
    assert_eq!(sim.pulses.len(), 40);
}

#[test]
fn suspects_are_nudged_where_that_is_possible() {
    let mut sim = Sim::new(Carrier::Link, Rules::new(&Profile::Standard.values().times(), true, true));
    sim.until(9000, Peer::Well(1));
    assert_eq!(sim.nudges, 0);
    sim.until(11_000, Peer::Gone);
    assert!((5..=8).contains(&sim.nudges), "{}", sim.nudges);
}

#[test]
fn a_slow_path_stretches_the_verdict_but_only_so_far() {
    let mut live =
        Liveness::new(Carrier::Response, &Rules::new(&Profile::Lan.values().times(), true, false), moment(0), 0);
    let rules = Rules::new(&Profile::Lan.values().times(), true, false);
    live.become_link(Carrier::Link, &rules, moment(0), None);
    let slow = TcpHealth { rto_us: Some(600_000), unacked: Some(1), ..TcpHealth::default() };
    live.check(&rules, moment(250), Sample { outq: 0, info: Some(slow), drained: false });
    live.wrote(moment(300), 8);
    let silent = |ms| TcpHealth { last_ack_recv_ms: Some(ms), last_data_recv_ms: Some(9000), retransmits: 3, ..slow };
    let at = |live: &mut Liveness, ms: u64| {
        let sample = Sample { outq: 8, info: Some(silent(ms as u32)), drained: true };
        live.check(&rules, moment(ms), sample).end.is_some()
    };
    assert!(!at(&mut live, 2600), "4 x 600 ms are not over");
    assert!(at(&mut live, 2710));
}

#[test]
fn output_does_not_wait_while_acknowledgements_come() {
    let mut sim = link(Profile::Standard);
    sim.until(5000, Peer::Well(1));
    sim.write(5);
    assert!(sim.live.waiting(moment(5250)) >= Some(HOLD_AFTER));
    let outcome = sim.live.check(&sim.rules, moment(5250), Sample { outq: 0, ..Sample::default() });
    assert!(!outcome.hold);
    assert_eq!(sim.live.waiting(moment(5250)), None);
}
