//! The program's life, and how all of it is stopped.

use super::*;

#[test]
fn a_program_that_ends_is_said_goodbye_for_and_started_again_with_growing_pauses() {
    let mut play = Play::up();
    let mut pauses = Vec::new();
    for _ in 0..7 {
        play.machine.program_ended(play.now, "status=1");
        let ended = play.now.mono;
        assert_eq!(play.server_hears().last().map(String::as_str), Some(r#"{"bye":"program"}"#));
        assert_eq!(play.acts(), ["Finish"]);
        play.machine.server_ended(play.now, "closed");
        assert_eq!(play.acts(), ["Close"]);
        while !play.acts().contains(&"Start".into()) {
            play.after(100);
        }
        pauses.push(play.now.mono.since(ended).as_secs());
        play.machine.program_started(play.now, 43);
        play.program(DESCRIBE).connect().server(WELCOME);
        play.forget();
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    play.beating(60_000);
    play.machine.program_ended(play.now, "status=1");
    play.acts();
    assert_eq!(play.after(1000).acts(), ["Start", "Close"], "it had run well");
}

#[test]
fn the_last_answer_of_a_program_goes_out_before_its_goodbye() {
    let mut play = Play::up();
    play.program(r#"{"answer":"k3-1","ok":true}"#);
    play.machine.program_ended(play.now, "signal=9");
    assert_eq!(
        play.server_hears(),
        [r#"{"answer":"k3-1","ok":true}"#.to_owned(), own_ping(1), r#"{"bye":"program"}"#.into()]
    );
}

#[test]
fn a_new_program_gets_nothing_that_was_meant_for_the_old_one() {
    let mut play = Play::up();
    play.reading = false;
    play.server(r#"{"command":"speed","id":"k3-1"}"#);
    play.machine.program_ended(play.now, "status=0");
    assert_eq!(play.server_hears()[0], refused("k3-1", "the program ended before it was handed over"));
    play.server(r#"{"command":"speed","id":"k3-2"}"#);
    play.after(1000);
    play.machine.program_started(play.now, 43);
    play.reading = true;
    assert_eq!(play.program_hears(), NONE);
}

#[test]
fn what_a_program_measured_is_not_told_once_it_has_ended() {
    let mut play = Play::up();
    play.machine.server_ended(play.now, "reset");
    play.program(r#"{"telemetry":{"rpm":1200}}"#);
    play.machine.program_ended(play.now, "status=1");
    play.after(1000);
    play.machine.program_started(play.now, 43);
    play.program(DESCRIBE).connect().server(WELCOME);
    assert_eq!(play.server_hears().len(), 1, "hello, and no value of the program before");
}

#[test]
fn a_program_that_is_back_before_the_goodbye_is_over_gets_a_connection_of_its_own() {
    let mut play = Play::up();
    play.machine.program_ended(play.now, "status=1");
    play.server_hears();
    play.acts();
    play.now.mono = play.now.mono + Duration::from_millis(500);
    play.machine.program_started(play.now, 43);
    play.program(DESCRIBE);
    assert_eq!(play.after(0).acts(), ["Close", "Connect"]);
}

#[test]
fn a_program_that_closes_its_output_is_asked_to_end_and_made_to() {
    let mut play = Play::up();
    play.reading = false;
    play.server(r#"{"command":"stop","id":"k3-2"}"#).server(r#"{"command":"speed","id":"k3-1"}"#);
    play.machine.program_mute(play.now);
    assert_eq!(play.acts(), ["Terminate"]);
    play.server(r#"{"command":"speed","id":"k3-3"}"#);
    let said = play.server_hears();
    for id in ["k3-1", "k3-3"] {
        assert!(said.contains(&refused(id, "the program is being ended")), "{said:?}");
    }
    play.reading = true;
    assert_eq!(play.program_hears(), [r#"{"command":"stop","id":"k3-2"}"#], "its safe state is not to be undone");
    play.beating(5000);
    assert_eq!(play.acts(), ["Kill"]);
    play.machine.program_ended(play.now, "signal=9");
    play.beating(1000);
    assert!(play.acts().contains(&"Start".into()));
}

#[test]
fn told_to_stop_it_asks_the_program_then_says_goodbye_and_goes() {
    let mut play = Play::up();
    play.machine.stop(play.now);
    assert_eq!(play.acts(), ["Terminate"]);
    play.server(r#"{"command":"speed","id":"k3-1"}"#).program(r#"{"answer":"k3-0","ok":true}"#);
    play.machine.program_ended(play.now, "signal=15");
    let said = play.server_hears();
    assert!(said.contains(&r#"{"answer":"k3-0","ok":true}"#.to_owned()), "{said:?}");
    assert!(said.contains(&refused("k3-1", "the program is being ended")), "{said:?}");
    assert_eq!(said.last().map(String::as_str), Some(r#"{"bye":"shutdown"}"#));
    assert_eq!(play.acts(), ["Finish"]);
    play.machine.server_ended(play.now, "closed");
    assert_eq!(play.acts(), ["Close", "Exit(0)"]);
}

#[test]
fn a_program_that_will_not_end_is_killed_after_five_seconds() {
    let mut play = Play::up();
    play.machine.stop(play.now);
    play.acts();
    play.beating(4999);
    assert_eq!(play.acts(), NONE);
    assert_eq!(play.after(1).acts(), ["Kill"]);
}

#[test]
fn a_vanished_server_does_not_hold_up_the_end() {
    let mut play = Play::up();
    play.machine.stop(play.now);
    play.machine.program_ended(play.now, "signal=15");
    play.acts();
    assert_eq!(play.after(1000).acts(), ["Close", "Exit(0)"]);

    let mut play = Play::up();
    play.machine.server_ended(play.now, "reset");
    play.machine.stop(play.now);
    play.machine.program_ended(play.now, "signal=15");
    assert_eq!(play.acts(), ["Close", "Terminate", "Close", "Exit(0)"]);
}

#[test]
fn told_twice_it_goes_at_once() {
    let mut play = Play::up();
    play.machine.stop(play.now);
    play.machine.stop(play.now);
    assert_eq!(play.acts(), ["Terminate", "Kill", "Exit(1)"]);
}

#[test]
fn between_two_programs_it_can_be_stopped_too() {
    let mut play = Play::up();
    play.machine.program_ended(play.now, "status=1");
    play.after(999);
    play.acts();
    play.machine.stop(play.now);
    assert_eq!(play.acts(), NONE, "the goodbye is still being said");
    play.after(1);
    assert_eq!(play.acts().last().map(String::as_str), Some("Exit(0)"));
}

#[test]
fn without_a_command_the_end_of_input_is_the_end_once_all_is_said() {
    let mut play = Play::new(false, None);
    play.program(r#"{"telemetry":{"rpm":1}}"#).program(r#"{"answer":"k3-1","ok":true}"#);
    play.machine.program_ended(play.now, "end of input");
    play.connect();
    play.server_hears();
    play.server(WELCOME);
    let said = play.server_hears();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(!play.acts().contains(&"Finish".into()), "the answer is not proven");
    play.server(&own_pong(1));
    assert_eq!(play.server_hears(), [r#"{"bye":"program"}"#]);
    assert_eq!(play.acts(), ["Finish"]);
    play.machine.server_ended(play.now, "closed");
    assert_eq!(play.acts(), ["Close", "Exit(0)"]);
}

#[test]
fn without_a_command_and_without_a_server_the_end_comes_after_five_seconds() {
    let mut play = Play::new(false, None);
    play.program(r#"{"telemetry":{"rpm":1}}"#);
    play.machine.program_ended(play.now, "end of input");
    assert!(!play.after(4999).acts().contains(&"Exit(0)".into()));
    assert!(play.after(1).acts().contains(&"Exit(0)".into()));
    assert!(play.log().contains("given up"));
}

#[test]
fn what_a_program_leaves_behind_keeps_the_next_from_starting_until_it_is_gone() {
    let mut play = Play::up();
    play.machine.program_left_some();
    play.machine.program_ended(play.now, "status=1");
    assert!(play.machine.is_clearing());
    assert_eq!(play.server_hears(), ["{\"bye\":\"program\"}"]);
    play.acts();
    play.after(4_900);
    assert!(!play.acts().iter().any(|a| a == "Start" || a == "Kill"));
    play.after(200);
    assert!(play.acts().iter().any(|a| a == "Kill"), "after its grace");
    play.after(60_000);
    assert!(!play.acts().iter().any(|a| a == "Start"), "never beside it");
    play.machine.cleared(play.now);
    assert!(!play.machine.is_clearing());
    play.after(1_100);
    assert!(play.acts().iter().any(|a| a == "Start"));
}

#[test]
fn a_stop_waits_for_what_the_program_has_left() {
    let mut play = Play::up();
    play.machine.stop(play.now);
    play.machine.program_left_some();
    play.machine.program_ended(play.now, "signal=15");
    play.after(3_000);
    assert!(!play.acts().iter().any(|a| a.starts_with("Exit")));
    play.machine.cleared(play.now);
    assert!(play.acts().iter().any(|a| a.starts_with("Exit(0")));
}
