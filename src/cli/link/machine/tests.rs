use super::*;

mod program;
mod simulation;

/// A machine, a clock that only moves when told, and what was said and done since it was last asked.
struct Play {
    machine: Machine,
    now: Now,
    actions: Vec<String>,
    log: Vec<String>,
    /// The program reads what it is given.
    reading: bool,
}

const WELCOME: &str = r#"{"welcome":"pump-1","proto":1,"heartbeat_ms":500,"epoch":"k3"}"#;
const DESCRIBE: &str = r#"{"describe":{"commands":{"stop":{"anyone":true},"speed":{}}}}"#;

impl Play {
    fn new(command: bool, token: Option<&str>) -> Play {
        let now = Now { mono: Moment::from_millis(1_000_000), wall_ms: 5_000_000 };
        let setup = Setup { name: "pump-1".into(), token: token.map(Into::into), command, seed: 7 };
        let machine = Machine::new(now, setup);
        Play { machine, now, actions: Vec::new(), log: Vec::new(), reading: true }
    }

    /// With a program that has described itself, and a link that is up.
    fn up() -> Play {
        let mut play = Play::new(true, None);
        play.machine.program_started(play.now, 42);
        play.program(DESCRIBE).connect().server(WELCOME);
        play.forget();
        play
    }

    fn forget(&mut self) {
        self.acts();
        self.server_hears();
        self.program_hears();
        self.log.clear();
    }

    /// Time passes; everything that falls due is done at its time.
    fn after(&mut self, ms: u64) -> &mut Play {
        let end = self.now.mono + Duration::from_millis(ms);
        while let Some(at) = self.machine.deadline().filter(|at| *at <= end) {
            let step = at.since(self.now.mono);
            self.now = Now { mono: self.now.mono.max(at), wall_ms: self.now.wall_ms + step.as_millis() as u64 };
            self.machine.wake(self.now);
        }
        let step = end.since(self.now.mono).as_millis() as u64;
        self.now = Now { mono: end, wall_ms: self.now.wall_ms + step };
        self
    }

    /// Time passes with a heartbeat every 500 ms.
    fn beating(&mut self, ms: u64) -> &mut Play {
        for n in 0..ms / 500 {
            self.after(500).server(&format!("{{\"ping\":{n}}}"));
        }
        self.after(ms % 500)
    }

    fn server(&mut self, line: &str) -> &mut Play {
        self.machine.server_line(self.now, line.as_bytes());
        self
    }

    fn program(&mut self, line: &str) -> &mut Play {
        self.machine.program_line(self.now, line.as_bytes());
        self
    }

    /// An attempt that succeeds as soon as one is asked for.
    fn connect(&mut self) -> &mut Play {
        self.after(0);
        let acts = self.acts();
        assert!(acts.iter().any(|a| a == "Connect"), "nobody asked to connect: {acts:?}");
        self.machine.connected(self.now);
        self
    }

    fn acts(&mut self) -> Vec<String> {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Log(_, line) => self.log.push(line),
                other => self.actions.push(format!("{other:?}")),
            }
        }
        std::mem::take(&mut self.actions)
    }

    fn server_hears(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while !self.machine.for_server().is_empty() {
            let bytes = self.machine.for_server().to_vec();
            self.machine.sent(self.now, bytes.len());
            all.extend(bytes);
        }
        lines(&all)
    }

    fn program_hears(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(bytes) = self.machine.for_program(self.reading) {
            let n = bytes.len();
            all.extend_from_slice(bytes);
            self.machine.handed(n);
        }
        lines(&all)
    }

    fn log(&mut self) -> String {
        let acts = self.acts();
        self.actions = acts;
        self.log.join("\n")
    }
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8(bytes.to_vec()).unwrap().lines().map(Into::into).collect()
}

const NONE: [String; 0] = [];
const OWN: u64 = 1 << 52;

fn own_ping(n: u64) -> String {
    format!("{{\"ping\":{}}}", OWN + n)
}

fn own_pong(n: u64) -> String {
    format!("{{\"pong\":{}}}", OWN + n)
}

fn refused(id: &str, why: &str) -> String {
    format!("{{\"answer\":\"{id}\",\"ok\":false,\"result\":\"not executed: {why}\"}}")
}

// ------------------------------------------------------------------------------------------------ describe, hello

#[test]
fn the_server_hears_of_the_device_once_it_has_described_itself() {
    let mut play = Play::new(true, Some("s3 \"cret"));
    assert_eq!(play.acts(), ["Start"]);
    play.machine.program_started(play.now, 42);
    assert_eq!(play.after(1999).acts(), NONE, "2 s are the program's");
    play.program(r#"{"describe":{"telemetry":{"z":"1/min","a":"C"}}}"#).connect();
    assert_eq!(
        play.server_hears(),
        [r#"{"hello":"pump-1","token":"s3 \"cret","proto":1,"describe":{"telemetry":{"z":"1/min","a":"C"}}}"#]
    );
    assert_eq!(play.program_hears(), NONE);
    play.server(WELCOME);
    assert_eq!(play.program_hears(), [r#"{"link":"up"}"#]);
    assert_eq!(play.server_hears(), NONE);
}

#[test]
fn a_program_that_does_not_describe_itself_is_a_device_after_its_first_line_or_two_seconds() {
    let mut play = Play::new(true, None);
    play.machine.program_started(play.now, 42);
    play.after(100).program(r#"{"telemetry":{"rpm":1}}"#).connect();
    assert_eq!(play.server_hears(), [r#"{"hello":"pump-1","proto":1}"#]);
    play.server(WELCOME);
    assert_eq!(play.server_hears(), [r#"{"telemetry":{"rpm":1}}"#]);

    let mut play = Play::new(false, None);
    assert_eq!(play.after(1999).acts(), NONE);
    assert_eq!(play.after(1).acts(), ["Connect"]);
}

#[test]
fn a_description_that_comes_late_is_told_in_another_hello() {
    let mut play = Play::new(true, None);
    play.machine.program_started(play.now, 42);
    play.after(2000).connect().server(WELCOME);
    play.forget();
    play.program(DESCRIBE);
    assert_eq!(play.program_hears(), [r#"{"link":"down"}"#]);
    play.connect();
    assert_eq!(play.server_hears(), [format!(r#"{{"hello":"pump-1","proto":1,{}"#, &DESCRIBE[1..])]);
    play.server(WELCOME).program(DESCRIBE);
    assert_eq!(play.program_hears(), [r#"{"link":"up"}"#], "the same again changes nothing");
}

// --------------------------------------------------------------------------------------------------- reconnecting

#[test]
fn it_tries_every_second_for_ever_and_says_why_once() {
    let mut play = Play::new(true, None);
    play.machine.program_started(play.now, 42);
    play.program(DESCRIBE);
    let mut times = Vec::new();
    for ms in 0..600_000u64 {
        if play.after(1).acts().contains(&"Connect".into()) {
            times.push(ms);
            play.machine.unreachable("refused");
        }
    }
    assert!(times.windows(2).all(|w| (800..=1001).contains(&(w[1] - w[0]))), "{times:?}");
    assert!(times.len() >= 598);
    let distinct: std::collections::BTreeSet<u64> = times.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(distinct.len() > 50, "no jitter");
    assert_eq!(play.log().matches("not connected: refused").count(), 1);
}

#[test]
fn a_closed_connection_is_told_to_the_program_and_mended() {
    let mut play = Play::up();
    play.machine.server_ended(play.now, "reset");
    assert_eq!(play.program_hears(), [r#"{"link":"down"}"#]);
    assert_eq!(play.acts(), ["Close"]);
    play.after(500).connect();
    assert!(play.server_hears()[0].starts_with(r#"{"hello":"pump-1""#));
    assert_eq!(play.program_hears(), NONE, "up is up when welcome");
    play.server(WELCOME);
    assert_eq!(play.program_hears(), [r#"{"link":"up"}"#]);
    assert!(play.log().contains("link down device=pump-1 reason=reset"));
}

#[test]
fn a_server_that_says_nothing_for_three_seconds_has_vanished() {
    let mut play = Play::up();
    play.beating(10_000);
    play.forget();
    play.after(2999);
    assert_eq!(play.program_hears(), NONE);
    play.after(1);
    assert_eq!(play.program_hears(), [r#"{"link":"down"}"#]);
    assert_eq!(play.acts(), ["Close", "Connect"], "and hello again at once");
}

#[test]
fn a_line_that_is_read_before_the_deadline_is_looked_at_keeps_the_link() {
    let mut play = Play::up();
    // this process was stopped for 10 s; the server's lines waited in the socket
    play.now.mono = play.now.mono + Duration::from_secs(10);
    play.server(r#"{"ping":1}"#);
    play.machine.wake(play.now);
    assert_eq!(play.program_hears(), [r#"{"ping":1}"#]);
}

#[test]
fn replaced_or_refused_it_waits_five_seconds() {
    for line in [r#"{"bye":"replaced"}"#, r#"{"bye":"shutdown"}"#] {
        let mut play = Play::up();
        play.server(line);
        assert_eq!(play.program_hears(), [r#"{"link":"down"}"#]);
        let pause = if line.contains("replaced") { 5000 } else { 800 };
        assert_eq!(play.after(pause - 1).acts(), ["Close"], "{line}");
        assert_eq!(play.after(500).acts(), ["Connect"], "{line}");
    }
    let mut play = Play::up();
    play.machine.server_ended(play.now, "closed");
    play.after(500).connect().server(r#"{"error":"token","message":"no such token"}"#);
    assert_eq!(play.after(4999).acts(), ["Close"]);
    assert_eq!(play.after(501).acts(), ["Connect"]);
    assert!(play.log().contains("refused: token: no such token"), "{}", play.log());
}

#[test]
fn a_server_that_takes_the_connection_and_never_welcomes_is_tried_again() {
    let mut play = Play::new(true, None);
    play.machine.program_started(play.now, 42);
    play.program(DESCRIBE).connect();
    assert_eq!(play.after(9999).acts(), NONE);
    assert_eq!(play.after(1).acts(), ["Close", "Connect"]);
    assert_eq!(play.program_hears(), NONE, "it was never up");
}

// ------------------------------------------------------------------------------------------------ lines both ways

#[test]
fn pings_go_to_the_program_and_its_pongs_come_back() {
    let mut play = Play::up();
    play.server(r#"{"ping":7}"#).program(r#"{"pong":7}"#);
    assert_eq!(
        (play.program_hears(), play.server_hears()),
        (vec![r#"{"ping":7}"#.into()], vec![r#"{"pong":7}"#.into()])
    );
    play.program(r#"{"ping":1}"#).server(r#"{"pong":1}"#);
    assert_eq!(
        (play.program_hears(), play.server_hears()),
        (vec![r#"{"pong":1}"#.into()], vec![r#"{"ping":1}"#.into()])
    );
}

#[test]
fn commands_go_to_the_program_as_they_came_and_answers_back() {
    let mut play = Play::up();
    let command = r#"{"command":"speed","args":{"rpm":900},"id":"k3-42","by":"ann"}"#;
    play.server(r#"{"control":{"holder":"ann"}}"#).server(command);
    assert_eq!(play.program_hears(), [r#"{"control":{"holder":"ann"}}"#, command]);
    play.program(r#"{"answer":"k3-42","ok":true}"#);
    assert_eq!(play.server_hears(), [r#"{"answer":"k3-42","ok":true}"#.to_owned(), own_ping(1)]);
    play.server(&own_pong(1));
    assert_eq!(play.program_hears(), NONE, "that pong was ours");
    play.machine.server_ended(play.now, "reset");
    play.after(500).connect().server(WELCOME);
    assert_eq!(play.server_hears().len(), 1, "only hello: the answer had arrived");
}

#[test]
fn an_answer_that_was_sent_into_a_cut_cable_is_sent_again() {
    let mut play = Play::up();
    play.server(r#"{"command":"speed","id":"k3-42"}"#);
    assert_eq!(play.program_hears().len(), 1);
    play.program(r#"{"answer":"k3-42","ok":true}"#);
    assert_eq!(play.server_hears().len(), 2, "with a ping that proves it");
    play.after(3000).connect().server(WELCOME);
    assert_eq!(play.server_hears()[1..], [r#"{"answer":"k3-42","ok":true}"#.to_owned(), own_ping(2)]);
}

#[test]
fn answers_given_without_a_link_are_said_on_the_next_one_but_not_to_another_server() {
    for epoch in ["k3", "zz"] {
        let mut play = Play::up();
        play.machine.server_ended(play.now, "reset");
        play.program(r#"{"answer":"k3-1","ok":true}"#);
        play.after(500).connect().server(&WELCOME.replace("k3", epoch));
        let said = play.server_hears();
        assert_eq!(said.iter().any(|l| l.contains("answer")), epoch == "k3", "{said:?}");
    }
}

#[test]
fn what_the_program_should_not_write_is_dropped_and_remarked_now_and_then() {
    let mut play = Play::up();
    for line in ["Starting...", "[1]", r#"{"hello":"x"}"#, r#"{"bye":"x"}"#, r#"{"telemetry":3}"#, "{\"a\":\"\u{7f}"] {
        play.program(line);
        play.after(10_000).server("{\"ping\":1}");
    }
    play.machine.program_line(play.now, b"\xff\xfe");
    play.program(r#"  "#);
    assert_eq!(play.server_hears().iter().filter(|l| !l.contains("ping")).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn nonsense_does_not_fill_the_log() {
    let mut play = Play::up();
    for _ in 0..1000 {
        play.program("nonsense");
    }
    assert_eq!(play.log().matches("no JSON object").count(), 1);
    play.beating(10_000).program("nonsense");
    assert_eq!(play.log().matches("no JSON object").count(), 2);
}

// ------------------------------------------------------------------------------------------- nothing happens late

#[test]
fn safe_overtakes_what_waits_and_what_it_overtakes_is_answered() {
    let mut play = Play::up();
    play.reading = false;
    play.server(r#"{"command":"stop","id":"k3-2"}"#).server(r#"{"command":"speed","id":"k3-1"}"#);
    assert_eq!(play.program_hears(), NONE, "it does not read");
    let safe = r#"{"safe":"lost","by":"ann","after_ms":2310}"#;
    play.server(safe);
    assert_eq!(play.program_hears(), [safe]);
    let why = "the device was told to go to its safe state";
    assert_eq!(play.server_hears(), [refused("k3-1", why), own_ping(1)]);
    play.reading = true;
    assert_eq!(play.program_hears(), [r#"{"command":"stop","id":"k3-2"}"#], "a stop is never dropped for it");
}

#[test]
fn an_emergency_stop_is_not_done_after_what_waits_before_it_but_in_its_place() {
    let mut play = Play::up();
    play.reading = false;
    play.server(r#"{"command":"speed","id":"k3-1"}"#).server(r#"{"control":{"holder":"ann"}}"#);
    play.server(r#"{"command":"stop","id":"k3-2"}"#).server(r#"{"command":"speed","id":"k3-3"}"#);
    assert_eq!(play.server_hears()[0], refused("k3-1", "an emergency stop came after it"));
    play.reading = true;
    let heard = play.program_hears();
    let commands: Vec<&String> = heard.iter().filter(|l| l.contains("command")).collect();
    assert_eq!(commands, [r#"{"command":"stop","id":"k3-2"}"#, r#"{"command":"speed","id":"k3-3"}"#]);
}

#[test]
fn commands_not_handed_over_when_the_link_ends_are_dropped_and_answered_late() {
    let mut play = Play::up();
    play.reading = false;
    play.server(r#"{"command":"speed","id":"k3-1"}"#);
    play.machine.server_ended(play.now, "reset");
    assert_eq!(play.program_hears(), [r#"{"link":"down"}"#]);
    play.reading = true;
    assert_eq!(play.program_hears(), NONE);
    play.after(500).connect().server(WELCOME);
    assert_eq!(play.server_hears()[1], refused("k3-1", "the link went down before it was handed over"));
}

#[test]
fn after_a_gap_commands_are_refused_until_the_server_is_known_to_be_current() {
    let late = "it came late, after a gap in the link";
    let mut play = Play::up();
    play.beating(5000);
    play.forget();
    play.after(2500).server(r#"{"command":"speed","id":"k3-1"}"#);
    assert_eq!(play.program_hears(), NONE);
    let said = play.server_hears();
    assert_eq!(said[..2], [own_ping(1), refused("k3-1", late)]);
    play.server(r#"{"command":"stop","id":"k3-2"}"#).server(r#"{"safe":"lost"}"#);
    assert_eq!(play.program_hears(), [r#"{"safe":"lost"}"#, r#"{"command":"stop","id":"k3-2"}"#]);
    play.server(&own_pong(1)).server(r#"{"command":"speed","id":"k3-3"}"#);
    assert_eq!(play.program_hears(), [r#"{"command":"speed","id":"k3-3"}"#]);
}

#[test]
fn a_welcome_that_was_long_on_its_way_leaves_the_same_doubt() {
    let mut play = Play::new(true, None);
    play.machine.program_started(play.now, 42);
    play.program(DESCRIBE).connect();
    play.server_hears();
    // we were stopped: somebody has been in control meanwhile, and has lost it perhaps
    play.after(2500).server(WELCOME).server(r#"{"command":"speed","id":"k3-1"}"#);
    assert_eq!(play.server_hears()[..2], [own_ping(1), refused("k3-1", "it came late, after a gap in the link")]);
    assert_eq!(play.program_hears(), [r#"{"link":"up"}"#]);
    play.server(&own_pong(1)).server(r#"{"command":"speed","id":"k3-2"}"#);
    assert_eq!(play.program_hears(), [r#"{"command":"speed","id":"k3-2"}"#]);
}

#[test]
fn a_gap_is_also_seen_when_only_the_board_slept() {
    let mut play = Play::up();
    play.now.wall_ms += 60_000;
    play.server(r#"{"command":"speed","id":"k3-1"}"#);
    assert_eq!(play.program_hears(), NONE);
    // without one there is no doubt
    let mut play = Play::up();
    play.after(1100).server(r#"{"command":"speed","id":"k3-1"}"#);
    assert_eq!(play.program_hears().len(), 1);
}

#[test]
fn a_program_that_closed_its_input_is_still_heard_and_its_commands_are_answered() {
    let mut play = Play::up();
    play.machine.program_deaf();
    play.server(r#"{"command":"speed","id":"k3-1"}"#).program(r#"{"telemetry":{"rpm":1}}"#);
    assert_eq!(play.server_hears()[0], refused("k3-1", "the program takes no more"));
    assert!(play.server_hears().is_empty());
    assert_eq!(play.program_hears(), NONE);
}
