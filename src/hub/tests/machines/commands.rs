//! Commands and what comes of them.

use super::*;

#[test]
fn a_command_is_in_the_log_before_the_device_gets_it_and_is_answered_once() {
    let (mut w, ann) = held();
    let now = w.now();
    let args = Args::new(Some(json(r#"{"rpm":900}"#))).expect("an object");
    let beat = Some(w.hub.view().beat_number(now));
    let order =
        CommandRequest { device: "pump", command: "speed", args: &args, beat, reference: None, waiter: Some(conn(30)) };
    let done = w.hub.ask(now, ann, Ask::Command(&order), &mut w.fx).expect("sent");
    let id = done.id().expect("an event");
    let kinds: Vec<&str> =
        w.fx.iter()
            .map(|effect| match effect {
                Effect::Deliver { message, .. } => message.kind().word(),
                Effect::Device(DeviceEffect::Tell { .. }) => "tell",
                other => panic!("{other:?}"),
            })
            .collect();
    assert_eq!(kinds, ["commanded", "tell"]);
    w.settle();
    let line = format!("{} speed {{\"rpm\":900}} ann", id.seq);
    w.expect_device(50, &[&line]).expect_about(2, &["commanded ann@1 pump speed {\"rpm\":900}"]);
    w.answers(50, id.seq, true);
    w.expect_about(2, &[&format!("answered pump {} true 1", id.seq)]);
    assert_eq!(w.machines.answered, [(conn(30), "Some(true) 1".into())]);
    w.answers(50, id.seq, true).expect_about(2, &[]).expect_device(50, &["error answer"]);
}

#[test]
fn refusals_come_in_their_order_and_nothing_reaches_the_device() {
    let (mut w, ann) = held();
    let bob = w.hub.view().members()[1].session;
    let vic = w.panel("vic", 4, &[]);
    let args = Args::default();
    let fresh = w.hub.view().beat_number(w.now());
    let order = |command: &'static str, beat: Option<u64>| (command, beat);
    let ask = |w: &mut World, id: SessionId, device: &str, (command, beat): (&str, Option<u64>)| {
        w.order(id, &CommandRequest { device, command, args: &args, beat, reference: None, waiter: None }).map(|_| ())
    };
    w.device_news(50);
    assert_eq!(ask(&mut w, ann, "fan", order("speed", None)), Err(CommandError::NoDevice));
    assert!(matches!(ask(&mut w, bob, "pump", order("fly", None)), Err(CommandError::NoCommand { .. })));
    assert!(matches!(ask(&mut w, vic, "pump", order("start", None)), Err(CommandError::Role)));
    assert!(matches!(ask(&mut w, bob, "pump", order("start", None)), Err(CommandError::NoControl(Some(_)))));
    assert_eq!(ask(&mut w, ann, "pump", order("speed", None)), Err(CommandError::BeatMissing));
    let stale = |r: Result<(), CommandError>| matches!(r, Err(CommandError::Stale { .. }));
    assert!(stale(ask(&mut w, ann, "pump", order("speed", Some(fresh - 10)))), "too old");
    assert!(stale(ask(&mut w, ann, "pump", order("speed", Some(fresh + 1)))), "never sent");
    assert!(stale(ask(&mut w, ann, "pump", order("speed", Some(7)))), "of another epoch");
    assert!(matches!(ask(&mut w, ann, "pump", order("speed", Some(fresh))), Err(CommandError::Args(_))));
    w.hang(50).at(11_300);
    let fresh = w.hub.view().beat_number(w.now());
    assert_eq!(ask(&mut w, ann, "pump", order("start", Some(fresh))), Err(CommandError::Suspect));
    w.fin(50);
    assert_eq!(ask(&mut w, ann, "pump", order("start", Some(fresh))), Err(CommandError::Down));
    assert_eq!(w.machines.commands, []);
}

#[test]
fn the_age_of_a_command_is_that_of_the_beat_it_names() {
    for (age_ms, good) in [(0, true), (500, true), (1_900, true), (2_000, true), (2_001, false), (5_000, false)] {
        let (mut w, ann) = held();
        w.live(20_000);
        let beat = Some(w.hub.view().beat_number(w.now()));
        // the page goes on answering; only this command was on its way for so long
        w.live(20_000 + age_ms);
        let order = CommandRequest {
            device: "pump",
            command: "start",
            args: &Args::default(),
            beat,
            reference: None,
            waiter: None,
        };
        assert_eq!(w.order(ann, &order).is_ok(), good, "{age_ms} ms");
    }
}

#[test]
fn a_beat_that_came_over_an_earlier_link_is_as_old_as_it_can_be() {
    for (ms, good) in [(21_950, true), (22_050, false)] {
        let (mut w, ann) = held();
        w.live(20_000);
        let beat = Some(w.hub.view().beat_number(w.now()));
        w.freeze(1).live(20_100);
        assert_eq!(w.tab(ann, 3, "tab1", 2), Ok(()));
        // the new link beats at other moments than the old one did
        w.live(20_900);
        let n = w.hub.view().beat_number(w.now());
        w.happens(Input::BeatSent { conn: conn(3), n });
        w.live(ms);
        let order = CommandRequest {
            device: "pump",
            command: "start",
            args: &Args::default(),
            beat,
            reference: None,
            waiter: None,
        };
        assert_eq!(w.order(ann, &order).is_ok(), good, "at {ms} ms");
    }
}

#[test]
fn a_beat_from_before_the_board_slept_makes_a_command_stale() {
    let (mut w, ann) = held();
    let beat = Some(w.hub.view().beat_number(w.now()));
    w.happens(Input::Slept(Duration::from_secs(4)));
    let order = CommandRequest {
        device: "pump",
        command: "start",
        args: &Args::default(),
        beat,
        reference: None,
        waiter: None,
    };
    assert!(matches!(w.order(ann, &order), Err(CommandError::Stale { .. })));
    w.live(10_500);
    let beat = Some(w.hub.view().beat_number(w.now()));
    assert!(w.order(ann, &CommandRequest { beat, ..order }).is_ok());
}

#[test]
fn a_device_owes_at_most_sixteen_answers_and_one_that_stays_away_is_unknown_in_time() {
    let (mut w, ann) = held();
    let ids: Vec<u64> = (0..16).map(|_| w.command(ann, "start", "{}").expect("sent")).collect();
    assert_eq!(w.command(ann, "start", "{}"), Err(CommandError::Busy));
    w.answers(50, ids[3], false);
    let last = w.command(ann, "start", "{}").expect("room for one");
    w.news(2);
    w.live(39_999).expect_about(2, &[]);
    w.live(40_000);
    let news = w.news(2);
    assert_eq!(news.len(), 16);
    assert!(news.iter().all(|line| line.ends_with("null \"unknown\"")), "{news:?}");
    w.answers(50, last, true).expect_about(2, &[&format!("answered pump {last} true 1 late")]);
    assert_eq!(w.hub.view().counters().answers_unknown, 16);
}

#[test]
fn the_same_reference_of_a_session_does_a_command_once_for_a_minute() {
    let (mut w, ann) = held();
    let reference = Ref::from_json("\"a\"");
    let args = Args::default();
    let order = |w: &World| CommandRequest {
        device: "pump",
        command: "start",
        args: &args,
        beat: Some(w.hub.view().beat_number(w.now())),
        reference: reference.as_ref(),
        waiter: Some(conn(30)),
    };
    let ask = order(&w);
    let first = w.order(ann, &ask).expect("sent");
    assert_eq!(w.order(ann, &CommandRequest { waiter: Some(conn(31)), ..ask }).expect("the same"), first);
    w.answers(50, first.id.seq, true);
    assert_eq!(w.machines.answered.len(), 2, "both requests are answered");
    w.live(69_999);
    // also when it could not be done now: it was done
    assert_eq!(w.order(ann, &ask).expect("the same").id, first.id);
    assert!(w.order(ann, &ask).expect("the same").answer.is_some());
    w.live(70_000);
    let ask = order(&w);
    assert_ne!(w.order(ann, &ask).expect("a new one").id, first.id);
    assert_eq!(w.machines.commands.len(), 2);
}

#[test]
fn an_emergency_stop_gets_through_though_something_else_was_named_like_it() {
    let (mut w, ann) = held();
    let reference = Ref::from_json("1");
    let ask = |w: &mut World, command: &str, args: &str| {
        let args = Args::new(Some(json(args))).expect("an object");
        let beat = Some(w.hub.view().beat_number(w.now()));
        let order =
            CommandRequest { device: "pump", command, args: &args, beat, reference: reference.as_ref(), waiter: None };
        w.order(ann, &order).expect("sent").id.seq
    };
    let start = ask(&mut w, "start", "{}");
    assert_eq!(ask(&mut w, "speed", r#"{"rpm":1}"#), start, "named alike: done already");
    let stop = ask(&mut w, "stop", "{}");
    let hard = ask(&mut w, "stop", r#"{"hard":true}"#);
    assert_eq!([stop, hard], [start + 1, start + 2]);
    for id in [stop, hard] {
        w.answers(50, id, true);
    }
    w.live(20_000);
    assert_eq!((ask(&mut w, "stop", "{}"), ask(&mut w, "stop", r#"{"hard":true}"#)), (stop, hard), "these were done");
}

#[test]
fn stops_without_end_keep_nobody_from_naming_commands() {
    let (mut w, ann) = held();
    let vic = w.curl("vic", addr(9));
    let args = Args::default();
    for n in 0..3000 {
        let reference = Ref::from_json(&n.to_string());
        let reference = reference.as_ref();
        let order =
            CommandRequest { device: "pump", command: "stop", args: &args, beat: None, reference, waiter: None };
        let id = w.order(vic, &order).expect("a stop is always sent").id;
        w.answers(50, id.seq, true);
    }
    let (beat, reference) = (Some(w.hub.view().beat_number(w.now())), Ref::from_json("1"));
    let reference = reference.as_ref();
    let order = CommandRequest { device: "pump", command: "start", args: &args, beat, reference, waiter: None };
    let id = w.order(ann, &order).expect("sent").id;
    assert_eq!(w.order(ann, &order).map(|known| known.id), Ok(id), "and it is known by its name");
}

#[test]
fn a_stop_that_is_pressed_again_and_again_is_waited_for_by_a_bounded_number() {
    let (mut w, ann) = held();
    let args = Args::default();
    let order =
        |waiter| CommandRequest { device: "pump", command: "stop", args: &args, beat: None, reference: None, waiter };
    let id = w.order(ann, &order(Some(conn(1000)))).expect("sent").id;
    for n in 0..3000 {
        let waiter = if n < 2000 { conn(1000) } else { conn(n) };
        assert_eq!(w.order(ann, &order(Some(waiter))).expect("the same").id, id);
    }
    w.answers(50, id.seq, true);
    assert_eq!(w.machines.answered.len(), 256);
    assert!((2744..3000).all(|n| w.machines.answered.iter().any(|(c, _)| *c == conn(n))), "the newest");
}

#[test]
fn a_stop_that_was_never_answered_keeps_nobody_from_stopping_what_was_started_after_it() {
    let (mut w, ann) = held();
    let stop = |w: &mut World| w.command(ann, "stop", "{}").expect("sent");
    let first = stop(&mut w);
    assert_eq!(stop(&mut w), first, "it is on its way");
    let start = w.command(ann, "start", "{}").expect("sent");
    let second = stop(&mut w);
    assert!(second > start, "the device has to hear it after `start`");
    assert_eq!(stop(&mut w), second);
    let news = w.device_news(50);
    let told: Vec<&str> = news.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(told, ["stop", "start", "stop"]);
}

#[test]
fn an_emergency_stop_gets_through_whoever_sends_it_and_however_busy_the_device_is() {
    let (mut w, ann) = held();
    while w.command(ann, "start", "{}").is_ok() {}
    w.device_news(50);
    // a viewer without a seat, without control, without a beat
    let vic = w.curl("vic", addr(9));
    let mut waiters = 30..;
    let mut stop = |w: &mut World, args: &str| {
        let args = Args::new(Some(json(args))).expect("an object");
        let waiter = waiters.next().map(conn);
        let order =
            CommandRequest { device: "pump", command: "stop", args: &args, beat: None, reference: None, waiter };
        w.order(vic, &order).map(|done| done.id.seq)
    };
    let id = stop(&mut w, "{}").expect("sent");
    w.expect_device(50, &[&format!("{id} stop {{}} vic")]);
    assert_eq!(stop(&mut w, "{}"), Ok(id), "pressed again: it is on its way");
    assert!(matches!(stop(&mut w, r#"{"hard":5}"#), Err(CommandError::Args(_))));
    assert_ne!(stop(&mut w, r#"{"hard":true}"#), Ok(id));
    // also while the device is not heard: late is better than never
    w.hang(50).after(1_300);
    w.answers(50, id, true).after(1_300);
    assert_ne!(stop(&mut w, "{}").expect("sent"), id);
    assert_eq!(w.machines.answered.len(), 2);
    w.fin(50);
    assert_eq!(stop(&mut w, "{}"), Err(CommandError::Down));
}

#[test]
fn references_that_one_user_takes_leave_others_theirs_and_long_results_are_kept_by_the_log_alone() {
    let (mut w, ann) = held();
    let bob = w.hub.view().members()[1].session;
    let args = Args::default();
    let ask = |w: &mut World, id: SessionId, n: u64| {
        let (beat, reference) = (Some(w.hub.view().beat_number(w.now())), Ref::from_json(&n.to_string()));
        let reference = reference.as_ref();
        let done = w.order(
            id,
            &CommandRequest { device: "pump", command: "start", args: &args, beat, reference, waiter: None },
        );
        if let Ok(Issued { id: EventId { seq, .. }, answer: None }) = done {
            w.answers(50, seq, true);
        }
        done
    };
    let result = |known: &Issued| match &known.answer.as_ref().expect("answered").what {
        What::Answered { ok: Some(true), result, .. } => result.to_string(),
        other => panic!("{other:?}"),
    };
    let mut sent = 0;
    while ask(&mut w, ann, sent).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 2048, "half of all");
    let kept =
        |w: &World| w.hub.view().remembered().iter().find(|(of, _)| *of == "refs").map_or(0, |&(_, bytes)| bytes);
    assert!(kept(&w) < 2048 * 512, "{}", kept(&w));
    assert_eq!(result(&ask(&mut w, ann, 2047).expect("known")), "1");
    assert_eq!(result(&ask(&mut w, ann, 0).expect("known")), "\"too_long\"", "the log has it no more");
    w.release(ann, "pump").expect("was hers");
    w.take(bob, "pump").expect("free");
    assert!(ask(&mut w, bob, 0).is_ok(), "another user has places");
}
