//! `boatswain link` as it is run: a real process, real pipes, real sockets. The server's side is the test, so that it can
//! fall silent, flap and lie; the same with the real server is in `tests/devices.rs` and `tests/netns_link.rs`.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::unwrap_used)] // a test stands outside: it has a clock of its own

mod linking;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use linking::{Folder, Listener, Process, link, lives, signal, until};
use serde_json::json;

/// A device as small as it can be: notes every line that it is handed in `$1`, answers pings and commands.
const PROGRAM: &str = r#"
echo $$ >"$1.pid"
echo '{"describe":{"commands":{"go":{},"stop":{"anyone":true}}}}'
trap 'echo terminated >>"$1"; exit 3' TERM
while read -r line; do
    echo "$line" >>"$1"
    case $line in
    '{"ping"'*) echo "{\"pong\":${line#*:}" ;;
    *'"command"'*) id=${line#*'"id":"'} && echo "{\"answer\":\"${id%%'"'*}\",\"ok\":true}" ;;
    esac
done
echo 'end of input' >>"$1"
"#;

struct Device {
    link: Process,
    notes: String,
    _folder: Folder,
}

impl Device {
    fn start(server: &str) -> Device {
        Device::of(server, PROGRAM)
    }

    fn of(server: &str, program: &str) -> Device {
        let folder = Folder::new();
        let notes = folder.path("notes");
        let link = Process::start(&mut link(server, "pump-1", &["--", "sh", "-c", program, "device", &notes]));
        Device { link, notes, _folder: folder }
    }

    /// What the program was handed so far, pings left out.
    fn noted(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.notes).unwrap_or_default();
        text.lines().filter(|l| !l.starts_with("{\"ping\"")).map(Into::into).collect()
    }

    fn wait_noted(&self, line: &str) {
        until(line, || self.noted().iter().any(|l| l == line));
    }

    fn program(&self) -> u32 {
        let file = format!("{}.pid", self.notes);
        until("the program's id", || fs::read_to_string(&file).is_ok_and(|t| t.ends_with('\n')));
        fs::read_to_string(&file).unwrap().trim().parse().unwrap()
    }
}

const UP: &str = r#"{"link":"up"}"#;
const DOWN: &str = r#"{"link":"down"}"#;
const NOBODY: &str = r#"{"control":{"holder":null}}"#;

#[test]
fn any_program_becomes_a_device() {
    let folder = Folder::new();
    for server in [Listener::new(), Listener::unix(&folder.path("socket"))] {
        let mut device = Device::start(&server.shown());
        let peer = server.welcome("k3");
        let describe = json!({"commands":{"go":{},"stop":{"anyone":true}}});
        assert_eq!(peer.hello, json!({"hello":"pump-1","proto":1,"describe":describe}));
        let command = r#"{"command":"go","args":{},"id":"k3-1","by":"ann"}"#;
        peer.say(command);
        assert_eq!(peer.next(), json!({"answer":"k3-1","ok":true}));
        assert_eq!(device.noted(), [UP, NOBODY, command]);
        until("pongs", || peer.pongs.load(std::sync::atomic::Ordering::SeqCst) >= 2);

        device.link.signal("TERM");
        assert_eq!(peer.rest(), [json!({"bye":"shutdown"})]);
        assert_eq!(device.link.wait(), Some(0));
        assert_eq!(device.noted().last().map(String::as_str), Some("terminated"));
    }
}

#[test]
fn without_a_command_its_own_input_and_output_are_the_program() {
    let server = Listener::new();
    let mut by_hand = Process::start(&mut link(&server.shown(), "hand", &[]));
    by_hand.say(r#"{"telemetry":{"t":1}}"#);
    let peer = server.welcome("k3");
    assert_eq!(peer.next(), json!({"telemetry":{"t":1}}));
    by_hand.wait_out(UP);
    peer.say(r#"{"command":"go","id":"k3-1"}"#);
    by_hand.wait_out("k3-1");
    by_hand.say(r#"{"answer":"k3-1","ok":true}"#);
    drop(by_hand.stdin.take());
    assert_eq!(peer.rest(), [json!({"answer":"k3-1","ok":true}), json!({"bye":"program"})]);
    assert_eq!(by_hand.wait(), Some(0));
}

#[test]
fn nothing_runs_late_behind_a_pipe_that_somebody_else_has_made_either() {
    let server = Listener::new();
    let mut command = link(&server.shown(), "piped", &[]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut to = process.stdin.take().unwrap();
    to.write_all(b"{\"telemetry\":{\"t\":1}}\n").unwrap();
    let peer = server.welcome("k3");
    // whoever is to read it does something else for a while
    for n in 1..=3 {
        peer.say(&format!(r#"{{"command":"go","id":"k3-{n}"}}"#));
    }
    // time in which they could be handed over
    assert_eq!(peer.within(Duration::from_millis(300)), [json!({"telemetry":{"t":1}})]);
    peer.say(r#"{"safe":"lost","by":"ann","after_ms":2310}"#);
    peer.wait_answer("k3-3");
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let before: Vec<String> = lines.by_ref().take_while(|l| !l.contains("safe")).collect();
    assert!(before.iter().all(|l| !l.contains("command")), "{before:?}");
    drop(to);
    assert!(process.wait().unwrap().success());
}

#[test]
fn a_file_or_nothing_as_its_input_is_fine_too() {
    let folder = Folder::new();
    let file = folder.write("values", "{\"telemetry\":{\"t\":1}}\n{\"telemetry\":{\"u\":2}}\n");
    let server = Listener::new();
    let shell = format!("\"$0\" link --server {} --name file <{file}", server.shown());
    let mut process = Process::start(Command::new("sh").args(["-c", &shell, env!("CARGO_BIN_EXE_boatswain")]));
    let peer = server.welcome("k3");
    assert_eq!(peer.rest(), [json!({"telemetry":{"t":1,"u":2}}), json!({"bye":"program"})]);
    assert_eq!(process.wait(), Some(0));
}

#[test]
fn the_token_is_in_its_file_and_nowhere_else() {
    let folder = Folder::new();
    let file = folder.write("token", "s3cret\n");
    let server = Listener::new();
    let device = Process::start(&mut link(&server.shown(), "pump-1", &["--token-file", &file, "--", "cat"]));
    let peer = server.accept();
    assert_eq!(peer.next(), json!({"hello":"pump-1","token":"s3cret","proto":1}));
    peer.say(r#"{"error":"token","message":"no such token"}"#);
    let said = device.wait_err("not welcomed");
    assert!(said.text.contains("refused: token: no such token") && !said.text.contains("s3cret"), "{}", said.text);
}

#[test]
fn a_server_that_falls_silent_is_noticed_in_three_seconds_and_tried_again() {
    let server = Listener::new();
    let device = Device::start(&server.shown());
    let peer = server.welcome("k3");
    device.wait_noted(NOBODY);
    until("pongs", || peer.pongs.load(std::sync::atomic::Ordering::SeqCst) >= 2);
    let hushed = Instant::now();
    peer.hush();
    device.wait_noted(DOWN);
    let took = hushed.elapsed();
    // the last ping was up to 400 ms before
    assert!((2500..3500).contains(&took.as_millis()), "{took:?}");
    let again = server.accept_within(Duration::from_millis(1500));
    assert_eq!(again.next()["hello"], "pump-1");
}

#[test]
fn a_server_that_was_killed_is_found_again_and_hears_what_was_answered() {
    let server = Listener::new();
    let addr = server.addr();
    // answers late, when it is told to
    let program = PROGRAM.replace("*'\"command\"'*)", "*'\"down\"'*) line='{\"id\":\"k3-7\"}';");
    let device = Device::of(&server.shown(), &program);
    let peer = server.welcome("k3");
    peer.say(r#"{"command":"go","id":"k3-7"}"#);
    device.wait_noted(r#"{"command":"go","id":"k3-7"}"#);
    drop(server);
    peer.close();
    device.wait_noted(DOWN);
    // refused a few times meanwhile
    device.link.wait_err("not connected");
    let back = Instant::now();
    let server = Listener::at(addr);
    let peer = server.welcome("k3");
    assert!(back.elapsed() < Duration::from_millis(1500), "{:?}", back.elapsed());
    assert_eq!(peer.next(), json!({"answer":"k3-7","ok":true}));
    until("up again", || device.noted().iter().filter(|l| *l == UP).count() == 2);
    let commands = device.noted().iter().filter(|l| l.contains("command")).count();
    assert_eq!(commands, 1, "nothing is executed twice");
}

#[test]
fn a_killed_program_is_said_goodbye_for_and_started_again() {
    let server = Listener::new();
    let device = Device::start(&server.shown());
    let peer = server.welcome("k3");
    device.wait_noted(NOBODY);
    let first = device.program();
    signal(first, "KILL");
    assert_eq!(peer.rest(), [json!({"bye":"program"})]);
    let peer = server.welcome("k3");
    until("another program", || device.program() != first);
    peer.say(r#"{"command":"go","id":"k3-2"}"#);
    assert_eq!(peer.next(), json!({"answer":"k3-2","ok":true}));
}

#[test]
fn a_program_whose_link_was_killed_sees_the_end_of_its_input() {
    let server = Listener::new();
    let mut device = Device::start(&server.shown());
    let peer = server.welcome("k3");
    device.wait_noted(NOBODY);
    let program = device.program();
    device.link.signal("KILL");
    device.link.wait();
    assert!(peer.rest().is_empty());
    device.wait_noted("end of input");
    until("the program's end", || !lives(program));
}

#[test]
fn nothing_runs_late_in_a_program_that_hung() {
    let server = Listener::new();
    let device = Device::start(&server.shown());
    let peer = server.welcome("k3");
    device.wait_noted(NOBODY);
    let program = device.program();
    signal(program, "STOP");
    for n in 1..=3 {
        peer.say(&format!(r#"{{"command":"go","id":"k3-{n}"}}"#));
    }
    peer.say(r#"{"safe":"lost","by":"ann","after_ms":2310}"#);
    peer.say(NOBODY);
    // the first may have been in its pipe already, the others cannot
    let refused = peer.wait("answer");
    let named = refused["answer"].as_str().unwrap().to_owned();
    assert!(["k3-1", "k3-2"].contains(&named.as_str()), "{refused}");
    assert_eq!((&refused["ok"], refused["result"].is_string()), (&json!(false), true));
    signal(program, "CONT");
    until("all of it", || device.noted().iter().filter(|l| *l == NOBODY).count() == 2);
    let noted = device.noted();
    let safe = noted.iter().position(|l| l.contains("safe")).unwrap();
    let commands: Vec<_> = noted.iter().enumerate().filter(|(_, l)| l.contains("command")).collect();
    assert!(commands.len() <= 1 && commands.iter().all(|(at, _)| *at < safe), "{noted:?}");
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_after_five_seconds() {
    let server = Listener::new();
    let mut device =
        Device::of(&server.shown(), &PROGRAM.replace("trap 'echo terminated >>\"$1\"; exit 3'", "trap ''"));
    let peer = server.welcome("k3");
    device.wait_noted(NOBODY);
    let program = device.program();
    let told = Instant::now();
    device.link.signal("INT");
    assert_eq!(device.link.wait(), Some(0));
    let took = told.elapsed();
    assert!((4900..6500).contains(&took.as_millis()), "{took:?}");
    assert!(!lives(program));
    assert_eq!(peer.rest(), [json!({"bye":"shutdown"})]);
}

#[test]
fn a_flapping_link_is_told_as_such_and_never_mixed_up() {
    let server = Listener::new();
    let device = Device::start(&server.shown());
    for n in 0..8 {
        let peer = server.welcome("k3");
        peer.say(&format!(r#"{{"command":"go","id":"k3-{n}"}}"#));
        if n % 2 == 0 {
            // an earlier one may come again: the link ended before it was shown to have been read
            let answered = json!({"answer":format!("k3-{n}"),"ok":true});
            while peer.wait("answer") != answered {}
        }
        peer.close();
    }
    let peer = server.welcome("k3");
    until("the last one", || device.noted().last().is_some_and(|l| l == NOBODY));
    let noted = device.noted();
    let links: Vec<&str> = noted.iter().filter(|l| l.contains("link")).map(String::as_str).collect();
    assert_eq!(links.first(), Some(&UP));
    assert!(links.windows(2).all(|w| w[0] != w[1]), "{links:?}");
    for n in 0..8 {
        let count = noted.iter().filter(|l| l.contains(&format!("k3-{n}\""))).count();
        assert!(count <= 1 && (count == 1 || n % 2 == 1), "k3-{n} was handed over {count} times");
    }
    drop(peer);
}

#[test]
fn mistakes_are_one_line_with_a_remedy() {
    let folder = Folder::new();
    let empty = folder.write("token", "");
    let server = ["--server", "127.0.0.1:9", "--name", "pump-1"];
    for (arguments, words) in [
        (&["--", "/nowhere/program"][..], "link: cannot start /nowhere/program: "),
        (&["--", "/etc/passwd"], "is it executable?"),
        (&["--token-file", "/nowhere/token"], "--token-file /nowhere/token: "),
        (&["--token-file", &empty], "it is empty; write the device's token into it"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_boatswain"));
        let done = command.arg("link").args(server).args(arguments).output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("boatswain: link: ") && last.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn a_server_by_name_is_found() {
    let server = Listener::new();
    let named = format!("localhost:{}", server.addr().port());
    let _device = Process::start(&mut link(&named, "pump-1", &["--", "cat"]));
    assert_eq!(server.welcome("k3").hello["hello"], "pump-1");
}

/// Notes whether what the run before has left is still there, leaves three processes of its own behind, and ends: one in its
/// group, one in a session of its own, and one that does not hear SIGTERM.
const LEAVES: &str = r#"
alone=alone
for left in $(cat "$1.left" 2>/dev/null); do kill -0 "$left" 2>/dev/null && alone=both; done
echo '{"describe":{"commands":{}}}'
sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >"$1.new"
setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >>"$1.new"
(trap '' TERM; exec setsid sh -c 'sleep 1000; sleep 1000' </dev/null >/dev/null 2>&1) & echo $! >>"$1.new"
mv "$1.new" "$1.left"
echo $alone >>"$1"
exit 1
"#;

#[test]
fn what_a_program_leaves_behind_is_ended_before_the_next_starts_and_at_the_stop() {
    let server = Listener::new();
    let mut device = Device::of(&server.shown(), LEAVES);
    until("a second start", || device.noted().len() >= 2);
    assert_eq!(device.noted(), ["alone", "alone"]);
    let left: Vec<u32> =
        fs::read_to_string(format!("{}.left", device.notes)).unwrap().lines().map(|l| l.parse().unwrap()).collect();
    assert_eq!(left.len(), 3);
    device.link.signal("TERM");
    assert_eq!(device.link.wait(), Some(0));
    assert!(!left.into_iter().any(lives), "nothing outlives the stop");
    assert!(device.link.has_said("the program left processes behind: asked to end"));
    assert!(device.link.has_said("what it left did not end within 5 s: killed"));
}

#[test]
fn as_the_first_process_it_reaps_what_others_leave() {
    let inside = |command: &mut Command| command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).output();
    if !inside(Command::new("unshare").arg("--mount")).is_ok_and(|o| o.status.success()) {
        println!("skipped: no PID namespaces here");
        return;
    }
    const COUNTS: &str = r#"
echo '{"describe":{"commands":{}}}'
(sleep 0.1 &); (sleep 0.1 &); (sleep 0.1 &)
for n in 1 2 3 4 5 6 7 8 9; do
    sleep 0.3
    echo "{\"telemetry\":{\"n\":$n,\"zombies\":$(cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ')}}"
done
exec sleep 1000
"#;
    let server = Listener::new();
    let run = link(&server.shown(), "first", &["--", "sh", "-c", COUNTS]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]).arg(run.get_program());
    command.args(run.get_args());
    let _first = Process::start(&mut command);
    let peer = server.welcome("k3");
    loop {
        let values = peer.wait("telemetry")["telemetry"].clone();
        if values["n"].as_u64() >= Some(4) {
            assert_eq!(values["zombies"], 0);
            break;
        }
    }
}
