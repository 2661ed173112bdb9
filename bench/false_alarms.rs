//! How often somebody who is there is called lost: random loss and outages, in network namespaces (root).
//!
//! `cargo bench --bench false_alarms -- [--minutes 3] [--people 100] [--loss 0,5,10,20] [--outages 1000,1500,2000]`
//! `[--state idle] [--profile standard] [--rules] [--without nudge]`
//! `[--rtt 50]`
//!
//! `VANISH_LOG=FILE` keeps what the server says meanwhile.
#![allow(clippy::print_stdout, clippy::disallowed_methods, missing_docs)]

#[path = "../tests/vanishing/mod.rs"]
mod vanishing;

use std::time::{Duration, Instant};

use vanishing::cells::{Alarms, Cell, Cut, Server, State, World, cell};
use vanishing::space::Actor;

/// People in one namespace.
const HOUSEHOLD: usize = 250;
/// So many of them also have a connection that the kernel's keepalive watches.
const CLASSIC: usize = 100;

fn main() {
    vanishing::play_role();
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| arguments.iter().position(|a| a == name).and_then(|i| arguments.get(i + 1).cloned());
    let numbers = |name: &str, default: &str| -> Vec<u64> {
        let list = option(name).unwrap_or(default.into());
        list.split(',').filter_map(|n| n.parse().ok()).collect()
    };
    if let Some(why) = vanishing::space::missing() {
        println!("skipped: {why}; run as root");
        return;
    }
    let people = numbers("--people", "100")[0] as usize;
    let rtt = Duration::from_millis(numbers("--rtt", "0")[0]);
    if let Some(why) = vanishing::relay::missing().filter(|_| !rtt.is_zero()) {
        println!("skipped: {why}; run as root");
        return;
    }
    let minutes: f64 = option("--minutes").and_then(|n| n.parse().ok()).unwrap_or(3.0);
    let profile = option("--profile").unwrap_or("standard".into());
    let without = option("--without").unwrap_or_default();
    let state = option("--state").unwrap_or("idle".into());
    let (state, _) = cell(&format!("{state}/nothing")).expect("a state of the matrix");
    let server = if arguments.iter().any(|a| a == "--rules") {
        Server::Detector { profile: profile.clone(), without: without.clone() }
    } else {
        vanishing::boatswain(&profile, &without)
    };
    println!("{people} {} connections, profile {profile}, without `{without}`, RTT {rtt:?}", state.word());
    println!("| trouble | ours | keepalive 1/1/2 |\n|---|---|---|");
    for loss in numbers("--loss", "0,5,10,20") {
        let mut scene = Scene::begin(&server, state, people, rtt);
        let since = scene.lose(loss);
        scene.world.rest(Duration::from_secs_f64(minutes * 60.0));
        let (ours, classic) = (scene.alarms(since), scene.world.classic_alarms(since));
        let hours = ours.exposure.as_secs_f64() / 3600.0;
        println!(
            "| {loss} % each way, {hours:.1} connection-hours | {} ({:.3}/h, at most {:.3}/h) | {classic} ({:.1}/h) |",
            ours.lost,
            ours.lost as f64 / hours,
            upper(ours.lost) / hours,
            classic as f64 * 3600.0 / (scene.classic as f64 * since.elapsed().as_secs_f64()),
        );
        scene.remarks(&ours);
    }
    for outage in numbers("--outages", "1000,1500,2000") {
        let mut scene = Scene::begin(&server, state, people, rtt);
        let since = Instant::now();
        let times = (minutes * 60.0 / 11.0).ceil() as usize;
        for _ in 0..times {
            scene.lose(100);
            scene.world.rest(Duration::from_millis(outage));
            scene.lose(0);
            scene.world.rest(Duration::from_secs(8));
        }
        let (ours, classic) = (scene.alarms(since), scene.world.classic_alarms(since));
        let share = |n: usize, of: usize| 100.0 * n as f64 / (times * of) as f64;
        println!(
            "| {times} outages of {outage} ms | {} ({:.2} %) | {classic} ({:.0} %) |",
            ours.lost,
            share(ours.lost, people),
            share(classic, scene.classic)
        );
        scene.remarks(&ours);
    }
}

/// A server, and people who stay.
struct Scene {
    world: World,
    cells: Vec<Cell>,
    /// So many connections are watched by the kernel's keepalive.
    classic: usize,
    _actors: Vec<Actor>,
}

impl Scene {
    fn begin(server: &Server, state: State, people: usize, rtt: Duration) -> Scene {
        let mut world = World::new(server);
        let mut cells = Vec::new();
        for first in (0..people).step_by(HOUSEHOLD) {
            let cell = world.enter_from(state, Cut::Nothing, HOUSEHOLD.min(people - first), rtt);
            world.introduce(&cell);
            cells.push(cell);
        }
        let classic = CLASSIC.min(people).min(HOUSEHOLD);
        let actors = world.classic(&cells[0], classic);
        if let State::Stopped(_) = state {
            world.rest(Duration::from_secs(1));
            cells.iter_mut().for_each(|cell| world.stop_reading(cell));
        }
        world.rest(Duration::from_secs(3));
        Scene { world, cells, classic, _actors: actors }
    }

    /// Loses so many of 100 packets each way, on all their paths; returns the moment before.
    fn lose(&mut self, percent: u64) -> Instant {
        let before = Instant::now();
        self.cells.iter_mut().for_each(|cell| _ = self.world.lose(cell, percent));
        before
    }

    fn alarms(&self, since: Instant) -> Alarms {
        let mut all = Alarms::default();
        for one in self.cells.iter().map(|cell| self.world.alarms(cell, since)) {
            all.lost += one.lost;
            all.held += one.held;
            all.left += one.left;
            all.suspected += one.suspected;
            all.exposure += one.exposure;
            all.words.extend(one.words);
        }
        all
    }

    fn remarks(&self, alarms: &Alarms) {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!("  suspected {}, left {}, load average {}", alarms.suspected, alarms.left, load.trim());
        let held: Vec<Duration> =
            self.cells.iter().flat_map(|cell| self.world.held(cell)).map(|(_, time)| time).collect();
        if let Some(longest) = held.iter().max() {
            println!(
                "  {} of the lost while this machine held packets back on the path itself ({} times, up to {longest:?})",
                alarms.held,
                held.len()
            );
        }
        for word in alarms.words.iter().take(20) {
            println!("  {word}");
        }
    }
}

/// The most that may be behind `seen` events, with a certainty of 95 % (Poisson): 3.0 for none.
fn upper(seen: usize) -> f64 {
    let below = |mean: f64| {
        let (mut term, mut sum) = ((-mean).exp(), 0.0);
        for n in 0..=seen {
            sum += term;
            term *= mean / (n + 1) as f64;
        }
        sum
    };
    let (mut low, mut high) = (0.0, 10.0 + 3.0 * seen as f64);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if below(middle) > 0.05 { low = middle } else { high = middle }
    }
    high
}
