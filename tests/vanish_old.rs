//! Who vanishes is announced in time on kernels that lack a help, each for itself, in network namespaces (root).
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

mod kernel;
mod vanishing;

use std::io::Write;
use std::time::Duration;

use vanishing::cells::{Cell, Cut, Server, State, World, summary};

/// Not a test of its own: what this program is when a test runs it again inside a namespace.
#[test]
fn role() {
    vanishing::play_role();
}

/// The server on a kernel without `helps`; `nudge` among them takes its capability away.
fn server(helps: &str) -> Server {
    let (nudge, others): (Vec<&str>, Vec<&str>) = helps.split(',').partition(|h| *h == "nudge");
    let mut server = vanishing::boatswain("standard", "");
    if let Server::Boatswain { program, arguments, .. } = &mut server {
        let mut command = kernel::without(&others.join(","));
        if !nudge.is_empty() {
            command.splice(0..0, std::iter::once("setpriv").chain(kernel::DROP.iter().copied()).map(str::to_owned));
        }
        command.push(std::mem::take(program));
        command.append(arguments);
        *program = command.remove(0);
        *arguments = command;
    }
    server
}

#[test]
fn a_missing_help_keeps_nobody_who_read_from_being_announced_in_time() {
    if let Some(why) = vanishing::space::not_asked() {
        // Past the capture of the test harness: who reads the summary must see it.
        let _ = writeln!(std::io::stderr(), "skipped: {why}; run as root");
        return;
    }
    // This machine may be busy with other tests: what the scheduler adds is not the rules' doing.
    let promised = Duration::from_millis(3000 + 400);
    let cells = [(State::Idle, Cut::Both), (State::Busy, Cut::ServerToClient), (State::Idle, Cut::Halted)];
    let kernels = [
        "cubic",
        "control",
        "thin",
        "rto_max",
        "nudge",
        "user_timeout",
        "info=104",
        "cubic,thin,rto_max,rto_min,user_timeout,nudge,info=104",
    ];
    let mut wrong = Vec::new();
    for helps in kernels {
        let mut world = World::new(&server(helps));
        let mut entered: Vec<Cell> = cells.iter().map(|&(state, cut)| world.enter(state, cut, 5)).collect();
        world.rest(Duration::from_secs(2));
        for cell in &mut entered {
            let armed = world.arm(cell);
            world.rest(Duration::from_millis(70));
            world.cut(cell, armed);
        }
        for cell in &entered {
            let verdicts = world.verdicts(cell, Duration::from_secs(4));
            let name = format!("without {helps}: {}/{}", cell.state.word(), cell.cut.word());
            println!("{name}: {}", summary(&verdicts));
            wrong.extend(verdicts.iter().filter_map(|v| {
                let right = match v.after {
                    Some(after) => cell.cut.is_fatal() && after <= promised,
                    None => !cell.cut.is_fatal() && v.what == "-",
                };
                (!right).then(|| format!("{name} {}: {} {:?}", v.address, v.what, v.after))
            }));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
