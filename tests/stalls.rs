//! The dead man's switch while the server itself hardly runs: its process is stopped and continued in turn, which is what
//! a flood, a stuck disk or an overloaded processor come to. Whatever keeps the loop from running, a machine whose
//! holder's page is frozen is told `safe` in time.
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::disallowed_methods)] // it stands outside: it has a clock of its own

mod attached;
mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use attached::{Device, Panel, server};
use serde_json::json;

const MAX_SILENCE: Duration = Duration::from_millis(2_500);
/// What `safe` may take beyond `max_silence`, of the time in which the server runs.
const RUNNING: Duration = Duration::from_millis(250);
const CONTROL: &str = "page_after = \"2s\"\nmax_silence = \"2500ms\"";

/// Stops and continues the server until the device hears something; how long it has run since `from` + `max_silence`.
fn ran_until_safe(stopped: u64, runs: u64) -> Duration {
    let (server, addr) = server(CONTROL);
    let mut pump = Device::pump(addr);
    let mut ann = Panel::open(&server, "ann", "t1", &["pump-1"]);
    assert_eq!(ann.control("take").status, 200);
    assert_eq!(pump.next()["control"]["holder"], "ann");
    // a beat or two are answered, then the page freezes; its kernel acknowledges as before
    let first = ann.beat();
    support::until("the next beat", || ann.beat() > first);
    ann.answers.store(false, Ordering::Relaxed);
    let due = Instant::now() + MAX_SILENCE;
    let end = due + Duration::from_secs(20);
    let mut ran = Duration::ZERO;
    loop {
        server.signal("STOP");
        std::thread::park_timeout(Duration::from_millis(stopped)); // the stall is what is tested
        let began = Instant::now();
        server.signal("CONT");
        std::thread::park_timeout(Duration::from_millis(runs));
        let paused = Instant::now();
        if let Some((at, line)) = pump.lines.try_iter().find(|(_, line)| line.get("ping").is_none()) {
            assert_eq!((&line["safe"], &line["by"]), (&json!("page"), &json!("ann")), "{line}");
            return ran + at.saturating_duration_since(began.max(due));
        }
        ran += paused.saturating_duration_since(began.max(due));
        assert!(Instant::now() < end, "no `safe` although the holder's page has been frozen for {:?}", end - due);
    }
}

#[test]
fn a_server_that_runs_one_eighth_of_the_time_says_safe_in_time() {
    let ran = ran_until_safe(700, 100);
    assert!(ran <= RUNNING + Duration::from_millis(100), "{ran:?} of running time");
}

#[test]
fn a_server_that_runs_one_sixteenth_of_the_time_says_safe_in_time() {
    let ran = ran_until_safe(1_500, 100);
    assert!(ran <= RUNNING + Duration::from_millis(100), "{ran:?} of running time");
}

#[test]
fn one_long_stall_does_not_carry_control_beyond_its_bound() {
    let ran = ran_until_safe(3_000, 500);
    assert!(ran <= RUNNING + Duration::from_millis(100), "{ran:?} of running time");
}
