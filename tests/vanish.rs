//! Who vanishes is announced in time, and nobody else is: the quick part of the matrix, in network namespaces.
//!
//! Needs root (or CAP_NET_ADMIN and CAP_SYS_ADMIN) and the tools of util-linux, iproute2 and nftables; says so if not.
//! The whole of it: `cargo bench --bench vanish`, `cargo bench --bench false_alarms`.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

mod vanishing;

use std::io::Write;
use std::time::{Duration, Instant};

use vanishing::cells::{Cell, Cut, Server, State, Verdict, World, summary};

/// Not a test of its own: what this program is when a test runs it again inside a namespace.
#[test]
fn role() {
    vanishing::play_role();
}

/// A whole matrix at once: all cells begin together, so it takes as long as its slowest cell.
fn matrix(server: &Server, cells: &[(State, Cut)], people: usize, warm_up: Duration) -> Vec<(Cell, Vec<Verdict>)> {
    matrix_from(Duration::ZERO, server, cells, people, warm_up)
}

/// The same of people `rtt` away.
fn matrix_from(
    rtt: Duration,
    server: &Server,
    cells: &[(State, Cut)],
    people: usize,
    warm_up: Duration,
) -> Vec<(Cell, Vec<Verdict>)> {
    let mut world = World::new(server);
    let mut entered: Vec<Cell> = cells.iter().map(|&(state, cut)| world.enter_from(state, cut, people, rtt)).collect();
    for cell in entered.iter_mut().filter(|c| matches!(c.state, State::Stopped(_))) {
        world.stop_reading(cell);
    }
    world.rest(warm_up);
    for cell in &mut entered {
        let armed = world.arm(cell);
        world.rest(Duration::from_millis(70));
        world.cut(cell, armed);
    }
    let patience = Duration::from_secs(5);
    let verdicts: Vec<_> = entered.iter().map(|cell| world.verdicts(cell, patience)).collect();
    entered.into_iter().zip(verdicts).collect()
}

/// Every cell of `cells`: all that vanished were announced by `promised`, and nobody who had not.
fn assert_promise(results: &[(Cell, Vec<Verdict>)], promised: Duration) {
    // This machine may be busy with other tests: what the scheduler adds is not the rules' doing.
    let slack = Duration::from_millis(400);
    let mut wrong = Vec::new();
    for (cell, verdicts) in results {
        let name = format!("{}/{}", cell.state.word(), cell.cut.word());
        println!("{name}: {}", summary(verdicts));
        for v in verdicts {
            let right = match v.after {
                Some(after) => cell.cut.is_fatal() && after <= promised + slack,
                None => !cell.cut.is_fatal() && v.what == "-",
            };
            let evidence = match cell.cut {
                Cut::Killed => v.what.starts_with("left") || v.what == "lost reset",
                Cut::Rebooted => v.what == "lost reset",
                _ => v.after.is_none() || v.what.starts_with("lost"),
            };
            if !(right && evidence) {
                wrong.push(format!("{name} {}: {} {:?}", v.address, v.what, v.after));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn skipped() -> bool {
    let missing = vanishing::space::missing();
    if let Some(why) = &missing {
        // Past the capture of the test harness: who reads the summary must see it.
        let _ = writeln!(std::io::stderr(), "skipped: {why}; run as root");
    }
    missing.is_some()
}

const LINKS: &[(State, Cut)] = &[
    (State::Idle, Cut::LinkDown),
    (State::Idle, Cut::Both),
    (State::Idle, Cut::ServerToClient),
    (State::Idle, Cut::ClientToServer),
    (State::Idle, Cut::Killed),
    (State::Idle, Cut::Halted),
    (State::Idle, Cut::Rebooted),
    (State::Used, Cut::Both),
    (State::Busy, Cut::Both),
    (State::Busy, Cut::ServerToClient),
    (State::Download, Cut::Both),
    (State::Stopped(6), Cut::Both),
    (State::Stopped(6), Cut::Nothing),
];

#[test]
fn the_rules_alone_announce_who_vanished_and_nobody_else() {
    if skipped() {
        return;
    }
    let started = Instant::now();
    let server = Server::Detector { profile: "standard".into(), without: String::new() };
    let cells: Vec<_> = LINKS.iter().copied().chain([(State::Chatty, Cut::ServerToClient)]).collect();
    let results = matrix(&server, &cells, 5, Duration::from_secs(3));
    assert_promise(&results, Duration::from_secs(3));
    println!("in {:?}", started.elapsed());
}

#[test]
fn the_server_announces_who_vanished_and_nobody_else() {
    if skipped() {
        return;
    }
    let results = matrix(&vanishing::boatswain("standard", ""), LINKS, 5, Duration::from_secs(3));
    assert_promise(&results, Duration::from_secs(3));
}

#[test]
fn pages_on_a_websocket_that_vanish_are_announced_and_no_others() {
    if skipped() {
        return;
    }
    let cuts = [
        Cut::LinkDown,
        Cut::Both,
        Cut::ServerToClient,
        Cut::ClientToServer,
        Cut::Killed,
        Cut::Halted,
        Cut::Rebooted,
        Cut::Nothing,
    ];
    let cells = cuts.map(|cut| (State::Socket, cut));
    let results = matrix(&vanishing::boatswain("standard", ""), &cells, 5, Duration::from_secs(3));
    assert_promise(&results, Duration::from_secs(3));
}

#[test]
fn the_rules_keep_the_shorter_promise_of_the_lan_profile() {
    if skipped() {
        return;
    }
    let server = Server::Detector { profile: "lan".into(), without: "nudge".into() };
    let cells = [
        (State::Idle, Cut::Both),
        (State::Idle, Cut::LinkDown),
        (State::Busy, Cut::ServerToClient),
        (State::Idle, Cut::Halted),
    ];
    assert_promise(&matrix(&server, &cells, 5, Duration::from_secs(2)), Duration::from_millis(1300));
}

#[test]
fn who_vanishes_at_the_end_of_a_longer_path_is_announced_as_soon() {
    let missing = vanishing::space::missing().or_else(vanishing::relay::missing);
    if let Some(why) = missing {
        let _ = writeln!(std::io::stderr(), "skipped: {why}; run as root");
        return;
    }
    let rtt = Duration::from_millis(50);
    let cells = [
        (State::Idle, Cut::Both),
        (State::Idle, Cut::LinkDown),
        (State::Idle, Cut::ClientToServer),
        (State::Busy, Cut::ServerToClient),
        (State::Stopped(6), Cut::Both),
        (State::Busy, Cut::Nothing),
        (State::Stopped(6), Cut::Nothing),
    ];
    let results = matrix_from(rtt, &vanishing::boatswain("standard", ""), &cells, 5, Duration::from_secs(3));
    for (cell, _) in &results {
        assert!(cell.handshake >= rtt, "{}: a path of {:?}", cell.state.word(), cell.handshake);
    }
    assert_promise(&results, Duration::from_secs(3));
}

#[test]
fn who_had_stopped_reading_is_announced_as_soon_on_an_older_kernel_without_privileges() {
    if skipped() {
        return;
    }
    let server = vanishing::boatswain("standard", "rto_max,nudge");
    let cells = [
        (State::Stopped(6), Cut::Both),
        (State::Stopped(6), Cut::ServerToClient),
        (State::Stopped(6), Cut::ClientToServer),
        (State::Stopped(6), Cut::Nothing),
    ];
    assert_promise(&matrix(&server, &cells, 5, Duration::from_secs(6)), Duration::from_secs(3));
}

#[test]
fn an_outage_of_two_seconds_costs_nobody_their_seat() {
    if skipped() {
        return;
    }
    for without in ["", "nudge"] {
        let server = Server::Detector { profile: "standard".into(), without: without.into() };
        let mut world = World::new(&server);
        let mut cell = world.enter(State::Idle, Cut::Both, 20);
        world.rest(Duration::from_secs(2));
        let (armed, mend) = (world.arm(&cell), world.mend(&cell));
        world.cut(&mut cell, armed);
        world.rest(Duration::from_secs(2));
        mend.fire();
        let verdicts = world.verdicts(&cell, Duration::from_secs(6));
        assert!(verdicts.iter().all(|v| v.what == "-"), "without `{without}`: {}", summary(&verdicts));
    }
}
