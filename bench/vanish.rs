//! How long until the others are told that somebody has vanished: the matrix, in network namespaces (root).
//!
//! `cargo bench --bench vanish -- [--cell idle/both,busy/s2c] [--runs 20] [--profile standard] [--rules] [--without nudge]`
//! `[--rtt 50]`: milliseconds, by a path of its own; without it, by a cable.
#![allow(clippy::print_stdout, clippy::disallowed_methods, missing_docs)]

#[path = "../tests/vanishing/mod.rs"]
mod vanishing;

use std::time::{Duration, Instant};

use vanishing::cells::{Cell, Cut, Server, State, World, cell, summary};

fn main() {
    vanishing::play_role();
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| arguments.iter().position(|a| a == name).and_then(|i| arguments.get(i + 1).cloned());
    if let Some(why) = vanishing::space::missing() {
        println!("skipped: {why}; run as root");
        return;
    }
    let rtt = Duration::from_millis(option("--rtt").and_then(|n| n.parse().ok()).unwrap_or(0));
    if let Some(why) = vanishing::relay::missing().filter(|_| !rtt.is_zero()) {
        println!("skipped: {why}; run as root");
        return;
    }
    let runs: usize = option("--runs").and_then(|n| n.parse().ok()).unwrap_or(20);
    let profile = option("--profile").unwrap_or("standard".into());
    let without = option("--without").unwrap_or_default();
    let cells = match option("--cell") {
        Some(names) => names.split(',').map(|n| cell(n).unwrap_or_else(|| panic!("no cell `{n}`"))).collect(),
        None => matrix(),
    };
    let patience = Duration::from_secs(option("--patience").and_then(|n| n.parse().ok()).unwrap_or(10));
    let server = if arguments.iter().any(|a| a == "--rules") {
        Server::Detector { profile: profile.clone(), without: without.clone() }
    } else {
        vanishing::boatswain(&profile, &without)
    };
    let mut world = World::new(&server);
    println!("profile {profile}, helps: {}, {runs} connections a cell, seconds min/median/p99", world.helps);
    for group in cells.chunks(6) {
        for line in run(&mut world, group, runs, rtt, patience) {
            println!("{line}");
        }
    }
}

fn matrix() -> Vec<(State, Cut)> {
    let states =
        [State::Idle, State::Used, State::Busy, State::Chatty, State::Download, State::Stopped(6), State::Stopped(30)];
    let mut cells = Vec::new();
    for state in states {
        for cut in [Cut::LinkDown, Cut::Both, Cut::ServerToClient, Cut::ClientToServer] {
            cells.push((state, cut));
        }
    }
    cells.extend([Cut::Killed, Cut::Halted, Cut::Rebooted].map(|cut| (State::Idle, cut)));
    cells.extend([(State::Stopped(6), Cut::Nothing)]);
    cells
}

/// Some cells side by side, on one server.
fn run(world: &mut World, cells: &[(State, Cut)], runs: usize, rtt: Duration, patience: Duration) -> Vec<String> {
    let mut entered: Vec<Cell> = cells.iter().map(|&(state, cut)| world.enter_from(state, cut, runs, rtt)).collect();
    let longest = cells.iter().map(|(s, _)| if let State::Stopped(s) = s { *s } else { 2 }).max().unwrap_or(2);
    // Who is to have stopped reading for so long before the cut stops now or later.
    let end = Instant::now() + Duration::from_secs(longest);
    for wait in (0..=longest).rev() {
        for cell in &mut entered {
            if cell.state == State::Stopped(wait) {
                world.stop_reading(cell);
            }
        }
        let left =
            end.saturating_duration_since(Instant::now()).saturating_sub(Duration::from_secs(wait.saturating_sub(1)));
        if wait > 0 {
            world.rest(left);
        }
    }
    for cell in &mut entered {
        let armed = world.arm(cell);
        // Not all at the same point of the heartbeat.
        world.rest(Duration::from_millis(130));
        world.cut(cell, armed);
    }
    if let Some(longest) = entered.iter().flat_map(|cell| world.held(cell)).map(|(_, time)| time).max() {
        println!("this machine held packets back on the path itself, up to {longest:?}");
    }
    entered
        .iter()
        .map(|c| {
            let verdicts = world.verdicts(c, patience);
            format!("| {}/{} | {} |", c.state.word(), c.cut.word(), summary(&verdicts))
        })
        .collect()
}
