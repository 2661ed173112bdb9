//! Everything together in one simulation: the real driver with all of its connections, the hub, pages, devices and guests,
//! over networks that cut, stall and close their windows, on a board that stalls and sleeps. Seeded, in virtual time: an hour takes
//! seconds, and a seed is the same everywhere. What must hold after every turn is in `check`.
//!
//! | variable | what it does |
//! |---|---|
//! | `SIM_SEED=N` | runs this one seed |
//! | `SIM_SEEDS=N` | runs so many seeds |
//! | `SIM_STEPS=N` | runs so many steps of each |
//! | `SIM_SHOW=1` | shows every event |

mod check;
mod host;
mod network;
mod page;
mod plain;
mod pump;
mod server_end;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

/// Seeds and steps of each that a plain run has.
const SEEDS: u64 = 24;
const STEPS: u64 = 5000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_happens_the_contract_holds_after_every_step() {
    let steps = number("SIM_STEPS").unwrap_or(STEPS);
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("SIM_SEEDS").unwrap_or(SEEDS),
    };
    let one = seeds.start() == seeds.end();
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in seeds {
        let mut world = World::new(seed);
        let mut step = 0;
        let done = catch_unwind(AssertUnwindSafe(|| {
            while step < steps {
                step += 1;
                world.step();
            }
        }));
        assert!(
            done.is_ok(),
            "step {step}; again: SIM_SEED={seed} SIM_STEPS={step} cargo test --lib engine::simulation"
        );
        if one {
            println!("{} turns, {} ms: {:?}", world.turns, world.now() / network::MS, world.checks.seen);
        }
        for (what, n) in &world.checks.seen {
            *seen.entry(what).or_default() += n;
        }
    }
    println!("{seen:?}");
}
