//! Output is held back so that heartbeats still pass.

use super::*;

/// A peer that reads no more, of whose window so much is left that heartbeats still pass.
fn withheld() -> Sim {
    let mut sim = link(Profile::Standard);
    sim.until(5000, Peer::Well(1));
    sim.live.withhold(moment(sim.now), false);
    sim
}

#[test]
fn who_takes_nothing_but_heartbeats_is_stalled_and_then_slow() {
    let mut sim = withheld();
    // Beats would want an answer, and cost more of the window.
    let before = sim.live.beat_slot;
    sim.until(64_900, Peer::Well(1)).expect(&[("stalled", 35_000..=35_600)]);
    assert!(sim.pulses.iter().filter(|&&at| at > 5000).count() >= 119, "{}", sim.pulses.len());
    sim.until(66_000, Peer::Well(1)).expect(&[("slow", 65_000..=65_600)]);
    assert_eq!(sim.live.beat_slot, before);
}

#[test]
fn who_takes_nothing_but_heartbeats_and_vanishes_is_lost_as_soon_as_anybody() {
    for cut in 0..10 {
        let mut sim = withheld();
        let at = 11_000 + cut * 53;
        sim.until(at, Peer::Well(1)).until(at + 3100, Peer::Gone);
        sim.expect(&[("suspected", at + 1100..=at + 1800), ("lost no_ack", at + 2300..=at + 3000)]);
    }
}

#[test]
fn who_takes_everything_again_moves() {
    let mut sim = withheld();
    sim.until(40_000, Peer::Well(1));
    sim.live.release();
    let beat = sim.live.beat_slot;
    sim.until(42_000, Peer::Well(1)).expect(&[("stalled", 35_000..=35_600), ("moving", 40_000..=40_600)]);
    assert!(sim.live.beat_slot > beat);
    // What goes out bit by bit is not stuck.
    let mut sim = link(Profile::Standard);
    while sim.now < 50_000 {
        sim.live.withhold(moment(sim.now), true);
        let next = sim.now + 5000;
        sim.until(next, Peer::Well(1)).expect(&[]);
    }
}

#[test]
fn while_output_is_held_back_the_window_is_looked_at_often_and_later_at_each_heartbeat() {
    let mut sim = link(Profile::Standard);
    sim.until(5000, Peer::Well(1));
    let mut looks = Vec::new();
    for _ in 0..60 {
        sim.live.withhold(moment(sim.now), false);
        let due = sim.live.due().unwrap();
        looks.push((due - moment(sim.now).since(moment(0))).micros() / 1000);
        let next = due.micros() / 1000;
        sim.until(next, Peer::Well(1));
    }
    assert!(looks[..15].iter().all(|&ms| ms <= 50), "{looks:?}");
    assert!(looks[30..].iter().all(|&ms| ms == 500), "{looks:?}");
}
