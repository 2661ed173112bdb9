//! Who controls a device, and the dead man's switch.

use super::*;

#[test]
fn every_way_in_which_control_ends_has_its_reason_and_its_time_and_safe_where_nobody_decided_it() {
    type Act = fn(&mut World, SessionId);
    // What happens at 10 s, when control has ended, what the device hears before `control -`, and why.
    let table: &[(&str, u64, &str, &str, Act)] = &[
        ("released", 10_000, "", "released", |w, ann| {
            w.release(ann, "pump").unwrap();
        }),
        ("cable cut", 12_300, "safe lost ann 2300", "lost", |w, _| {
            w.freeze(1).live(11_200).suspect(1, 1_200).live(12_300).lose(1, 2_300, Evidence::NoAck);
        }),
        ("reset", 10_200, "safe lost ann 300", "lost", |w, _| {
            w.freeze(1).lose(1, 100, Evidence::Reset);
        }),
        ("browser killed", 13_000, "safe left ann 3000", "left", |w, _| {
            w.freeze(1).fin(1);
        }),
        ("evicted", 10_000, "safe left ann 0", "left", |w, ann| {
            let admin = w.browser("admin", addr(9));
            w.page(admin).expect("a seat");
            w.freeze(1);
            w.evict(admin, ann).expect("evicted");
        }),
        ("logged out", 10_000, "safe left ann 0", "left", |w, ann| {
            w.freeze(1);
            w.logout(ann);
        }),
        ("expired", 10_000, "safe left ann 0", "left", |w, _| {
            w.freeze(1);
            w.happens(Input::UserChanged("ann".into()));
        }),
        ("role lost", 10_000, "safe left ann 0", "left", |w, _| {
            w.happens(Input::RoleChanged { user: "ann".into(), role: Role::Viewer });
        }),
        ("too slow", 10_000, "safe left ann 0", "left", |w, _| {
            w.freeze(1).end(1, LinkEnd::Slow);
        }),
        ("page frozen", 13_000, "safe page ann 3000", "page", |w, _| {
            w.freeze(1);
        }),
        ("silent for ever", 15_000, "safe page ann 5000", "page", |w, _| {
            w.freeze(1).suspect(1, 0);
        }),
        ("page lets go of it", 13_000, "safe page ann 3000", "page", |w, ann| {
            w.freeze(1);
            w.machines.pages.push(Page { id: ann, conn: 1, tab: "tab1".into(), hold: vec!["other"] });
        }),
        ("device gone", 10_000, "safe device ann 0", "device", |w, _| {
            w.says(50, FromDevice::Bye);
        }),
    ];
    for (what, at, safe, reason, act) in table {
        let (mut w, ann) = held();
        act(&mut w, ann);
        w.settle();
        if *at > w.ms {
            w.live(at - 1);
            assert_eq!(w.holder("pump"), Some(ann), "{what}: too soon");
        }
        w.live(*at);
        assert_eq!(w.holder("pump"), None, "{what}: too late");
        let log = w.hub.view().log_since(None, 100).events;
        let control = log.iter().filter_map(|e| match &e.what {
            What::Control { holder: None, reason, .. } => Some(reason.word()),
            _ => None,
        });
        assert_eq!(control.collect::<Vec<_>>(), [*reason], "{what}");
        let expected: Vec<&str> = [*safe, "control -"].into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(w.device_news(50), expected, "{what}");
        if *reason != "device" {
            let bob =
                w.hub.view().members().iter().find(|m| &*m.user == "bob").map(|m| m.session).expect("bob is here");
            w.take(bob, "pump").expect("free for the next one at once");
        }
    }
}

#[test]
fn a_server_that_stops_says_safe_before_bye() {
    let (mut w, ann) = held();
    let id = w.command(ann, "start", "{}").expect("sent");
    w.device_news(50);
    w.hub.handle(w.now(), Input::Shutdown, &mut w.fx);
    let mut told = Vec::new();
    for effect in std::mem::take(&mut w.fx) {
        match effect {
            Effect::Device(DeviceEffect::Close { conn: c, why }) if c == conn(50) => {
                told.append(&mut w.device_news(50));
                told.push(format!("bye {why}"));
            }
            Effect::Device(effect) => w.machines.take(effect),
            Effect::Deliver { to, message } => to.iter().for_each(|c| w.ears.entry(*c).or_default().hear(&message)),
            Effect::Close { .. } | Effect::Park { .. } => {}
        }
    }
    assert_eq!(told, ["safe shutdown ann 0", "control -", "bye shutdown"]);
    let answered = format!("answered pump {id} null \"unknown\"");
    w.news(1);
    w.expect_about(2, &["commanded ann@1 pump start {}", "control pump - ann shutdown", &answered]);
    assert_eq!(w.hub.view().deadline(), None);
}

#[test]
fn a_device_whose_token_was_being_checked_when_the_server_stopped_is_told_bye() {
    let mut w = World::new();
    w.hub.handle(w.now(), Input::Shutdown, &mut w.fx);
    w.device("pump", 50);
    assert_eq!(w.machines.ended, [(conn(50), "shutdown".into())]);
    assert_eq!((w.device_news(50), w.hub.view().devices_up(), w.hub.view().newest().seq), (vec![], 0, 0));
}

#[test]
fn control_is_taken_by_one_and_the_others_are_told_who_has_it() {
    let (mut w, ann) = held();
    let bob = w.hub.view().members()[1].session;
    let Err(ControlError::Held(holder)) = w.take(bob, "pump") else { panic!("two holders") };
    assert_eq!((&*holder.user, w.holder("pump")), ("ann", Some(ann)));
    assert_eq!(w.take(bob, "fan"), Err(ControlError::NoDevice));
    let Err(ControlError::NotHeld(Some(_))) = w.release(bob, "pump") else { panic!("not bob's to release") };
    assert!(w.take(ann, "pump").is_ok(), "once more is no news");
    w.expect_about(2, &[]).expect_device(50, &[]);
    w.release(ann, "pump").expect("released");
    w.expect_about(2, &["control pump - ann released"]).expect_device(50, &["control -"]);
    assert!(matches!(w.release(ann, "pump"), Err(ControlError::NotHeld(None))));
    w.take(bob, "pump").expect("free");
    w.expect_about(2, &["control pump bob - taken"]);
    let vic = w.panel("vic", 3, &[]);
    assert_eq!(w.take(vic, "pump"), Err(ControlError::Role));
    assert_eq!(w.take_by(bob, "pump", Take { lease: None, force: true }), Err(ControlError::Role));
    w.fin(50);
    assert_eq!(w.take(ann, "pump"), Err(ControlError::Down));
}

#[test]
fn an_admin_may_force_and_the_device_runs_on() {
    let (mut w, _) = held();
    let admin = w.panel("admin", 3, &["pump"]);
    assert!(matches!(w.take(admin, "pump"), Err(ControlError::Held(_))));
    w.take_by(admin, "pump", Take { lease: None, force: true }).expect("forced");
    w.expect_device(50, &["control admin"]).expect_about(2, &["control pump admin ann forced"]);
    assert_eq!(w.command(admin, "start", "{}").map(|_| ()), Ok(()));
}

#[test]
fn an_offer_is_taken_within_ten_seconds_or_the_giver_keeps_control() {
    let (mut w, ann) = held();
    let bob = w.hub.view().members()[1].session;
    let mia = w.panel("mia", 3, &["pump"]);
    let vic = w.panel("vic", 4, &[]);
    w.news(3);
    assert_eq!(w.give(ann, "pump", vic), Err(ControlError::CannotHold));
    assert_eq!(w.give(ann, "pump", ann), Err(ControlError::NoMember));
    assert_eq!(w.give(ann, "pump", SessionId(1)), Err(ControlError::NoMember));
    assert!(matches!(w.give(bob, "pump", mia), Err(ControlError::NotHeld(Some(_)))));
    w.give(ann, "pump", mia).expect("offered");
    w.expect_about(3, &["offered pump ann mia"]).expect_about(2, &[]);
    assert!(matches!(w.take(bob, "pump"), Err(ControlError::Held(_))), "it was not offered to bob");
    assert!(w.command(ann, "start", "{}").is_ok(), "until then the giver has it");
    w.live(20_000);
    assert!(matches!(w.take(mia, "pump"), Err(ControlError::Held(_))), "too late");
    w.give(ann, "pump", mia).expect("offered");
    w.live(29_999).device_news(50);
    w.news(2);
    w.take(mia, "pump").expect("given");
    w.expect_about(2, &["control pump mia ann given"]).expect_device(50, &["control mia"]);
    w.live(40_000);
    assert_eq!(w.holder("pump"), Some(mia), "and her page keeps it");
}

#[test]
fn a_reloaded_page_keeps_control_and_one_that_comes_back_too_late_does_not() {
    let (mut w, ann) = held();
    w.freeze(1).fin(1);
    w.live(12_900);
    w.panel_again(ann, 101, 2, &["pump"]);
    w.live(60_000);
    assert_eq!(w.holder("pump"), Some(ann));
    w.expect_device(50, &[]);
    w.freeze(101).fin(101);
    w.live(63_000);
    w.panel_again(ann, 201, 3, &["pump"]);
    w.live(70_000).expect_device(50, &["safe left ann 3000", "control -"]);
    assert_eq!(w.holder("pump"), None, "control never returns by itself");
}

#[test]
fn control_does_not_outlast_a_short_linger_either() {
    let mut w = World::with(|s| s.seats.linger = Duration::from_millis(700));
    let ann = w.panel("ann", 1, &["pump"]);
    w.device("pump", 50);
    w.live(10_000);
    w.take(ann, "pump").expect("control");
    w.device_news(50);
    w.freeze(1).fin(1);
    w.live(10_699).expect_device(50, &[]);
    w.live(10_700).expect_device(50, &["safe left ann 700", "control -"]);
}

#[test]
fn reconnecting_without_an_answer_gains_a_page_nothing() {
    let (mut w, ann) = held();
    w.freeze(1);
    for n in 0..6 {
        // every 700 ms a new link, never an answer
        w.live(10_000 + 700 * u64::from(n));
        assert_eq!(w.tab(ann, 300 + n, "tab1", 10 + u64::from(n)), Ok(()));
    }
    assert_eq!(w.holder("pump"), None);
    assert_eq!(w.device_news(50)[0], "safe page ann 3000");
}

#[test]
fn one_answer_counts_once_whoever_gives_it() {
    let (mut w, ann) = held();
    w.freeze(1);
    let n = w.hub.view().beat_number(w.now());
    for (c, ms) in (7..).zip([10_500, 11_000, 11_500, 12_000, 12_500, 13_000]) {
        w.live(ms);
        // always another page, always the same old beat
        let tab = format!("other{c}");
        assert_eq!(w.tab(ann, c, &tab, 1), Ok(()));
        w.happens(Input::BeatSent { conn: conn(c), n });
        assert_eq!(w.answer(ann, &tab, n, &["pump"]), BeatAnswer::Counted);
        w.settle();
    }
    w.live(13_500);
    assert_eq!(w.holder("pump"), None);
}

#[test]
fn an_outage_of_two_seconds_stops_nothing() {
    let (mut w, ann) = held();
    let pages = w.machines.pages.clone();
    w.freeze(1).live(11_200);
    w.suspect(1, 1_200).live(12_900).recover(1);
    w.machines.pages = pages;
    w.live(60_000);
    assert_eq!(w.holder("pump"), Some(ann));
    w.expect_device(50, &[]);
}

#[test]
fn a_stall_of_the_server_ends_no_control_while_the_newest_answer_is_young() {
    let (mut w, ann) = held();
    w.live(14_000);
    w.ms = 18_400;
    w.happens(Input::StoodStill(Duration::from_millis(4_400)));
    w.live(60_000);
    assert_eq!(w.holder("pump"), Some(ann));
}

#[test]
fn no_stall_of_the_server_carries_control_beyond_max_silence() {
    let (mut w, _) = held();
    w.live(14_000);
    w.ms = 19_000;
    w.happens(Input::StoodStill(Duration::from_secs(5)));
    w.at(19_000);
    assert_eq!(w.holder("pump"), None);
    // stop and go: what a stranger can make of this server, again and again
    for (stopped, runs) in [(700, 100), (1_500, 100), (251, 49)] {
        let (mut w, _) = held();
        w.live(14_000);
        w.device_news(50);
        let mut runs_from = 0;
        while w.ms < 19_000 {
            w.ms += stopped;
            w.happens(Input::StoodStill(Duration::from_millis(stopped)));
            runs_from = w.ms;
            w.at(runs_from + runs);
        }
        assert_eq!(w.holder("pump"), None, "{stopped}/{runs}");
        let after = runs_from.max(19_000) - 14_000;
        w.expect_device(50, &[&format!("safe page ann {after}"), "control -"]);
    }
}

#[test]
fn an_answer_that_lay_unread_while_the_server_stood_still_renews_nothing_that_has_run_out() {
    let (mut w, ann) = held();
    let page = w.machines.pages[0].tab.clone();
    w.live(14_000);
    // one stall has earned all that stalls may earn
    w.ms = 17_000;
    w.happens(Input::StoodStill(Duration::from_secs(3)));
    w.live(17_500).at(18_000);
    let n = w.hub.view().beat_number(w.now());
    w.happens(Input::BeatSent { conn: conn(1), n });
    w.ms = 20_900;
    w.happens(Input::StoodStill(Duration::from_millis(2_900)));
    assert_eq!(w.answer(ann, &page, n, &["pump"]), BeatAnswer::Counted);
    w.at(20_900);
    assert_eq!(w.holder("pump"), None, "page_after was over at 20.5 s, and nobody could look");
}

#[test]
fn a_look_ends_control_in_time_and_nothing_else() {
    let (mut w, _) = held();
    w.live(14_000);
    w.device_news(50);
    w.ms = 16_999;
    w.happens(Input::Look);
    assert!(w.fx.is_empty());
    w.ms = 40_000;
    w.happens(Input::Look);
    w.settle();
    w.expect_device(50, &["safe page ann 26000", "control -"]);
    let device = w.hub.view().devices().into_iter().next().expect("the pump");
    assert_eq!(device.state, DeviceState::Up, "what people and devices have said since is not read yet");
}

#[test]
fn an_answer_swallowed_by_an_outage_is_waited_for_again() {
    let (mut w, ann) = held();
    let pages = w.machines.pages.clone();
    // its last answer that came was to the beat of 11 s; the next one was sent and lost with all that followed
    w.live(11_400);
    w.freeze(1).at(12_600);
    w.suspect(1, 1_200).at(13_400);
    w.recover(1).at(15_400);
    assert_eq!(w.holder("pump"), Some(ann), "4.4 s after the newest answer, of which 2 s were silent");
    w.machines.pages = pages;
    w.live(60_000);
    assert_eq!(w.holder("pump"), Some(ann));
    w.expect_device(50, &[]);
}

#[test]
fn a_sleep_of_the_board_counts_for_the_age_of_the_newest_answer() {
    let (mut w, _) = held();
    w.live(14_000);
    w.happens(Input::Slept(Duration::from_secs(5)));
    w.at(14_001);
    assert_eq!(w.holder("pump"), None);
}

#[test]
fn an_answer_to_a_beat_from_before_the_board_slept_keeps_no_control_on_any_link() {
    let (mut w, ann) = held();
    w.live(14_000);
    w.freeze(1);
    // sent, not answered yet
    w.at(14_500);
    let n = w.hub.view().beat_number(w.now());
    w.happens(Input::BeatSent { conn: conn(1), n });
    w.happens(Input::Slept(Duration::from_secs(4)));
    w.answer(ann, "tab1", n, &["pump"]);
    w.settle();
    // the same over a link that the page opened after the sleep
    w.at(14_600);
    assert_eq!(w.tab(ann, 101, "tab1", 2), Ok(()));
    w.at(15_000);
    w.happens(Input::BeatSent { conn: conn(101), n: n + 1 });
    w.answer(ann, "tab1", n, &["pump"]);
    w.settle();
    let order = CommandRequest {
        device: "pump",
        command: "start",
        args: &Args::default(),
        beat: Some(n),
        reference: None,
        waiter: None,
    };
    assert!(matches!(w.order(ann, &order), Err(CommandError::Stale { .. }) | Err(CommandError::NoControl(_))));
    w.at(15_001);
    assert_eq!(w.holder("pump"), None, "5 s after the newest answered beat, 4 of them slept");
}

#[test]
fn an_older_beat_was_sent_no_later_than_it_was() {
    let (mut w, ann) = held();
    w.live(14_000);
    w.freeze(1);
    // sent in its time, and the next one late, as after a stall
    w.at(14_500);
    let n = w.hub.view().beat_number(w.now());
    w.happens(Input::BeatSent { conn: conn(1), n });
    w.at(15_450);
    let now = w.now();
    assert_eq!(w.hub.view().beat_number(now), n + 1);
    w.happens(Input::BeatSent { conn: conn(1), n: n + 1 });
    w.at(16_900).says(50, FromDevice::Pong);
    assert_eq!(w.answer(ann, "tab1", n, &["pump"]), BeatAnswer::Counted);
    w.settle();
    w.at(19_499);
    assert_eq!(w.holder("pump"), Some(ann));
    w.at(19_500);
    assert_eq!(w.holder("pump"), None, "5 s after it was sent");
}

#[test]
fn what_has_run_out_before_the_loop_could_look_is_not_taken_up_again() {
    let mut w = World::new();
    let ann = w.curl("ann", addr(1));
    w.ask(ann, Purpose::Act).expect("a seat");
    w.device("pump", 50);
    w.lease(ann, "pump", 10).expect("control");
    w.device_news(50);
    // the loop stood still for longer than the lease; the request to renew it lay in the socket
    w.ms = 12_000;
    w.happens(Input::StoodStill(Duration::from_secs(12)));
    w.lease(ann, "pump", 10).expect("a new one");
    w.expect_device(50, &["safe lease ann 12000", "control -", "control ann"]);

    let (mut w, _) = held();
    w.live(14_000);
    w.device_news(50);
    w.ms = 17_000;
    w.fin(1);
    w.expect_device(50, &["safe page ann 3000", "control -"]);
}

#[test]
fn without_a_page_control_needs_a_lease_which_only_use_renews() {
    let mut w = World::new();
    let ann = w.curl("ann", addr(1));
    w.ask(ann, Purpose::Act).expect("a seat");
    w.device("pump", 50);
    assert_eq!(w.take(ann, "pump"), Err(ControlError::Lease));
    assert_eq!(w.lease(ann, "pump", 61), Err(ControlError::Lease), "above lease_max");
    assert_eq!(w.lease(ann, "pump", 0), Err(ControlError::Lease));
    w.lease(ann, "pump", 10).expect("control");
    w.live(9_000);
    w.lease(ann, "pump", 10).expect("renewed");
    w.live(18_000);
    w.command(ann, "start", "{}").expect("renews too");
    w.ask(ann, Purpose::Act).expect("reading does not");
    w.device_news(50);
    w.live(27_999).expect_device(50, &[]);
    w.live(28_000).expect_device(50, &["safe lease ann 10000", "control -"]);
}

#[test]
fn a_lease_does_not_outlast_the_last_link_and_counts_the_boards_sleep() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    w.device("pump", 50);
    w.lease(ann, "pump", 60).expect("an SSE link of curl is no page");
    w.live(5_000);
    w.device_news(50);
    w.fin(1).live(7_999).expect_device(50, &[]);
    w.live(8_000).expect_device(50, &["safe left ann 3000", "control -"]);

    let bob = w.curl("bob", addr(2));
    w.ask(bob, Purpose::Act).expect("a seat");
    w.lease(bob, "pump", 60).expect("control");
    w.device_news(50);
    w.happens(Input::Slept(Duration::from_secs(59)));
    w.live(8_999).expect_device(50, &[]);
    w.live(9_000).expect_device(50, &["safe lease bob 1000", "control -"]);
}

#[test]
fn a_member_whose_control_counts_on_their_seat_is_not_taken_it_away() {
    let mut w = World::with(|s| s.seats.max = 1);
    let ann = w.panel("ann", 1, &["pump"]);
    w.device("pump", 50);
    w.live(1_000);
    w.take(ann, "pump").expect("control");
    w.suspect(1, 1_200);
    let newer = w.browser("ann", addr(1));
    assert_eq!(w.page(newer), Err(NoSeat::Full));
    w.release(ann, "pump").expect("released");
    assert_eq!(w.page(newer), Ok(Some(1)));
}

#[test]
fn holders_get_beats_twice_a_second_whatever_the_profile() {
    let mut w = World::with(|s| s.beat = Duration::from_secs(10));
    let ann = w.panel("ann", 1, &["pump"]);
    w.device("pump", 50);
    w.machines.paces.clear();
    w.take(ann, "pump").expect("control");
    assert_eq!(std::mem::take(&mut w.machines.paces), [(conn(1), true)]);
    w.panel_again(ann, 101, 2, &["pump"]);
    assert_eq!(std::mem::take(&mut w.machines.paces), [(conn(101), true)]);
    w.release(ann, "pump").expect("released");
    assert_eq!(w.machines.paces, [(conn(101), false)]);
}
