//! Who was called lost because nothing reached them, and went on talking all the time, is told so when something reaches
//! them again, and not before: last words into a cut cable are for nobody.
//!
//! Needs root (or CAP_NET_ADMIN and CAP_SYS_ADMIN) and the tools of util-linux, iproute2 and nftables; says so if not.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a test stands outside

mod linking;
mod vanishing;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use linking::{Process, until};
use vanishing::cells::{SERVER, Server, State};
use vanishing::clients::ROLE;
use vanishing::space::{Actor, Line, Netns, Switch, not_asked};

/// Not a test of its own: what this program is when the test runs it again inside a namespace.
#[test]
fn role() {
    vanishing::play_role();
}

#[test]
fn a_peer_that_talks_but_hears_nothing_is_told_that_it_was_lost_when_it_can_hear_again() {
    if let Some(why) = not_asked() {
        return println!("skipped: {why}; run as root");
    }
    let (switch, board, away) = (Switch::new(), Netns::new(), Netns::new());
    switch.plug(&board, "board", &["10.83.0.1".into()], "02:00:00:00:00:01");
    switch.plug(&away, "away", &["10.83.0.2".into()], "02:00:00:00:00:02");
    let Server::Boatswain { program, arguments, _folder, .. } = vanishing::boatswain("standard", "") else {
        unreachable!("it makes the real server");
    };
    // a nudge would be answered: it is small
    let server = Process::start(board.command(&program).args(arguments).env("BOATSWAIN_WITHOUT", "nudge"));
    server.wait_err("started version");
    let (to, lines) = channel();
    let me = std::env::current_exe().expect("a path");
    let mut talker = away.command(me.to_str().expect("a plain path"));
    talker.args(["--exact", "role", "--nocapture"]).env(ROLE, "victims").env("VANISH_SERVER", SERVER);
    talker.env("VANISH_MODE", State::Chatty.word()).env("VANISH_ADDRESSES", "10.83.0.2");
    let _talker = Actor::start(&mut talker, 1, &to);
    let up = next(&lines, Duration::from_secs(10)).expect("it is served").text;
    assert!(up.starts_with("up 10.83.0.2"), "{up}");

    // whatever carries data; acknowledgements pass, so that it can go on talking (a way that takes small packets only)
    let rule = "oifname \"away\" meta length > 66 drop".into();
    let (cut, mend) = (switch.rules("away", &[rule]), switch.unrule("away"));
    cut.fire();
    let lost = server.wait_err("evidence=one_way");
    // it talks on, every 300 ms: that tells nothing new
    until("a while", || lost.at.elapsed() > Duration::from_secs(4));
    assert!(!server.has_said(" closed "), "there was nobody to hear it");
    let mended = mend.fire();
    let end = next(&lines, Duration::from_secs(5)).expect("it is told");
    println!("{} after {:?}", end.text, end.at - mended);
    assert_eq!(end.text, "end 10.83.0.2 Ok(())", "a goodbye, not a reset");
    assert!(end.at - mended <= Duration::from_secs(2), "{:?}", end.at - mended);
}

fn next(lines: &Receiver<Line>, limit: Duration) -> Option<Line> {
    lines.recv_timeout(limit).ok()
}
