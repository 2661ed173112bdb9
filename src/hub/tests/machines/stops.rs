//! Emergency stops without end: what they write is rationed, the device is always told.

use super::*;

/// A session asks the pump to stop with these arguments: the event under which that stands.
fn stop(w: &mut World, id: SessionId, args: &str, waiter: Option<u16>) -> u64 {
    let args = Args::new(Some(json(args))).expect("an object");
    let waiter = waiter.map(conn);
    let order = CommandRequest { device: "pump", command: "stop", args: &args, beat: None, reference: None, waiter };
    w.order(id, &order).expect("a stop is always sent").id.seq
}

const HARD: [&str; 2] = [r#"{"hard":false}"#, r#"{"hard":true}"#];

/// Gives stops, each answered at once, until one is no event of its own; that event.
fn use_up(w: &mut World, id: SessionId) -> u64 {
    let mut last = 0;
    loop {
        let seq = stop(w, id, "{}", None);
        if seq == last {
            return seq;
        }
        last = seq;
        w.answers(50, seq, true);
    }
}

#[test]
fn an_identical_one_is_told_again_ten_times_a_second_and_answered_once() {
    let (mut w, _) = held();
    let vic = w.curl("vic", addr(9));
    w.device_news(50);
    let id = stop(&mut w, vic, "{}", None);
    let line = format!("{id} stop {{}} vic");
    w.expect_device(50, &[&line]);
    for ms in 1..=300 {
        w.at(10_000 + ms);
        assert_eq!(stop(&mut w, vic, "{}", None), id);
    }
    w.expect_device(50, &[&line, &line, &line]);
    w.at(10_400).expect_device(50, &[&line]);
    w.at(10_900).expect_device(50, &[]);
    w.news(2);
    // the device does each line that it was told
    for _ in 0..5 {
        w.answers(50, id, true);
    }
    w.expect_device(50, &[]).expect_about(2, &[&format!("answered pump {id} true 1")]);
    assert_eq!(w.hub.view().counters().stops_left_out, 0);
}

#[test]
fn one_that_was_asked_again_just_before_its_answer_is_told_again_after_it() {
    let (mut w, _) = held();
    let vic = w.curl("vic", addr(9));
    let id = stop(&mut w, vic, "{}", None);
    w.at(10_050);
    assert_eq!(stop(&mut w, vic, "{}", None), id);
    w.answers(50, id, true);
    w.device_news(50);
    w.at(10_100).expect_device(50, &[&format!("{id}.1 stop {{}} vic")]);
}

#[test]
fn those_beyond_the_ration_are_told_within_a_tenth_of_a_second_and_the_newest_counts() {
    let (mut w, ann) = held();
    let vic = w.curl("vic", addr(9));
    let last = use_up(&mut w, vic);
    let events = w.hub.view().newest();
    w.after(100).after(100);
    w.device_news(50);
    for n in 0..50 {
        assert_eq!(stop(&mut w, vic, HARD[n % 2], Some(30)), last);
    }
    assert_eq!(w.hub.view().newest(), events, "nothing is written");
    let told = w.device_news(50);
    assert_eq!(told, [format!("{last}.2 stop {} vic", HARD[0])]);
    w.after(99).expect_device(50, &[]).after(1).expect_device(50, &[&format!("{last}.3 stop {} vic", HARD[1])]);
    // whoever waits is told what came of the newest; an answer to the others is no fault
    let answer = |w: &mut World, n: u32| {
        let to = format!("{}.{n}", EventId { seq: last, ..w.hub.view().newest() });
        w.says(50, FromDevice::Answer { to: to.as_str().into(), ok: true, result: "1".into() });
    };
    answer(&mut w, 2);
    assert_eq!(w.machines.answered, []);
    answer(&mut w, 3);
    assert_eq!(w.machines.answered, [(conn(30), "Some(true) 1".into())]);
    answer(&mut w, 3);
    w.expect_device(50, &[]);
    assert_eq!(w.hub.view().newest(), events);
    assert_eq!(w.hub.view().counters().stops_left_out, 51);

    // What was commanded in between has to be stopped by a stop of its own, which is in the log.
    w.command(ann, "start", "{}").expect("sent");
    let after = stop(&mut w, vic, "{}", None);
    assert!(after > last + 1);
    assert_eq!(w.device_news(50).last(), Some(&format!("{after} stop {{}} vic")));
}

#[test]
fn what_waits_is_told_before_what_is_commanded_after_it() {
    let (mut w, ann) = held();
    let vic = w.curl("vic", addr(9));
    let last = use_up(&mut w, vic);
    w.at(w.ms + 10);
    stop(&mut w, vic, HARD[1], Some(30));
    w.device_news(50);
    let start = w.command(ann, "start", "{}").expect("sent");
    w.expect_device(50, &[&format!("{last}.1 stop {} vic", HARD[1]), &format!("{start} start {{}} ann")]);
    w.fin(50);
    assert_eq!(w.machines.answered, [(conn(30), "None \"unknown\"".into())], "nobody knows");
}

#[test]
fn who_makes_sessions_gets_no_more_and_others_have_rations_of_their_own() {
    let (mut w, _) = held();
    let before = w.hub.view().newest().seq;
    let mut commanded = 0;
    for n in 0..200 {
        let id = w.browser("vic", addr(n));
        let seq = stop(&mut w, id, "{}", None);
        if seq == w.hub.view().newest().seq {
            commanded += 1;
            w.answers(50, seq, true);
        }
    }
    assert_eq!(commanded, 64, "{before}");
    let eve = w.curl("eve", addr(201));
    let seq = stop(&mut w, eve, "{}", None);
    assert_eq!(seq, w.hub.view().newest().seq);
    // all together may write so much, and who had none of it is in the log all the same
    for n in 0..20 {
        let id = w.curl(&format!("u{n}"), addr(202));
        let seq = use_up(&mut w, id);
        assert!(seq > before);
    }
    let of = |e: &&Rc<Event>| matches!(e.what, What::Commanded { .. });
    let all = w.hub.view().log_since(None, usize::MAX).events;
    assert!(all.iter().filter(of).count() <= 128 + 20 + 4, "{}", all.iter().filter(of).count());
    w.live(w.ms + 10_000);
    let seq = stop(&mut w, eve, "{}", None);
    assert_eq!(seq, w.hub.view().newest().seq, "time gives them back");
}
