//! How often somebody who is there is called lost: random loss and outages, in network namespaces (root).
//!
//! `cargo bench --bench false_alarms -- [--minutes 3] [--people 100] [--loss 0,5,10,20] [--outages 1000,1500,2000]`
//! `[--state idle] [--profile standard] [--rules] [--without nudge]`
#![allow(clippy::print_stdout, missing_docs)]

#[path = "../tests/vanishing/mod.rs"]
mod vanishing;

use std::time::Duration;

use vanishing::cells::{Cell, Cut, Server, World, cell};

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
    println!("{people} {} connections, profile {profile}, without `{without}`", state.word());
    println!("| trouble | ours | keepalive 1/1/2 |\n|---|---|---|");
    for loss in numbers("--loss", "0,5,10,20") {
        let (mut world, cell, _classic) = begin(&server, state, people);
        let port = world.port_of(&cell);
        let drop = |way: &str| format!("{way} \"{port}\" numgen random mod 100 < {loss} drop");
        world.switch().rules(&port, &[drop("iifname"), drop("oifname")]).fire();
        world.rest(Duration::from_secs_f64(minutes * 60.0));
        let (ours, classic) = world.alarms(&cell);
        let hours = people as f64 * minutes / 60.0;
        println!(
            "| {loss} % each way, {hours:.1} connection-hours | {ours} ({:.2}/h) | {classic} ({:.1}/h) |",
            ours as f64 / hours,
            classic as f64 / hours
        );
    }
    for outage in numbers("--outages", "1000,1500,2000") {
        let (mut world, cell, _classic) = begin(&server, state, people);
        let port = world.port_of(&cell);
        let times = (minutes * 60.0 / 11.0).ceil() as usize;
        for _ in 0..times {
            let both = [format!("iifname \"{port}\" drop"), format!("oifname \"{port}\" drop")];
            let (cut, mend) = (world.switch().rules(&port, &both), world.switch().unrule(&port));
            world.rest(Duration::from_millis(100));
            cut.fire();
            world.rest(Duration::from_millis(outage));
            mend.fire();
            world.rest(Duration::from_secs(8));
        }
        let (ours, classic) = world.alarms(&cell);
        let share = |n: usize| 100.0 * n as f64 / (times * people) as f64;
        println!(
            "| {times} outages of {outage} ms | {ours} ({:.2} %) | {classic} ({:.0} %) |",
            share(ours),
            share(classic)
        );
    }
}

fn begin(
    server: &Server,
    state: vanishing::cells::State,
    people: usize,
) -> (World, Cell, Vec<vanishing::space::Actor>) {
    let mut world = World::new(server);
    let mut cell = world.enter(state, Cut::Nothing, people);
    let classic = world.classic(&cell);
    if let vanishing::cells::State::Stopped(_) = state {
        world.rest(Duration::from_secs(1));
        world.stop_reading(&mut cell);
    }
    world.rest(Duration::from_secs(3));
    (world, cell, classic)
}
