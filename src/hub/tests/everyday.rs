//! Everyday life and the rules that need more than one part of the hub.

use super::pages::{beats, page_member};
use super::*;

#[test]
fn hello_comes_first_and_contains_ones_own_joining() {
    let mut w = World::new();
    w.member("ann", 1);
    w.expect(1, &["hello ann@1 1/10 false"]);
    w.member("bob", 2);
    w.expect(2, &["hello bob@2 2/10 false"]);
    w.expect(1, &["joined bob@2"]);
}

#[test]
fn a_replay_has_ones_own_joining_once_and_goes_over_into_live_events() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    let id = w.say(ann, "one").expect("said");
    w.say(ann, "two").expect("said");
    let bob = w.browser("bob", addr(2));
    let last = Some(id.to_string().into());
    assert_eq!(w.open(bob, 2, LinkSpec { last, ..spec() }), Ok(()));
    w.say(ann, "three").expect("said");
    w.expect(2, &["hello bob@2 2/10 true", "said ann@1 two", "joined bob@2", "said ann@1 three"]);
}

#[test]
fn a_link_hears_only_what_it_asked_for_and_hello() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    let bob = w.browser("bob", addr(2));
    let types = Types::of(&[crate::msg::Type::Said]);
    let last = Some(EventId { seq: 0, ..w.hub.view().newest() }.to_string().into());
    assert_eq!(w.open(bob, 2, LinkSpec { types, last, ..spec() }), Ok(()));
    w.say(ann, "hi").expect("said");
    w.suspect(1, 1200);
    w.expect(2, &["hello bob@2 2/10 true", "said ann@1 hi"]);
}

#[test]
fn an_event_is_one_effect_for_all() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    w.member("bob", 2);
    w.link(ann, 3);
    let now = w.now();
    let mut fx = Vec::new();
    w.hub.ask(now, ann, Ask::Say("hi"), &mut fx).expect("said");
    let [Effect::Deliver { to, .. }] = &fx[..] else { panic!("{fx:?}") };
    assert_eq!(to, &[conn(1), conn(2), conn(3)]);
}

#[test]
fn who_vanishes_is_suspected_then_lost_and_comes_back_as_returned() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    w.member("bob", 2);
    w.news(2);
    w.at(10_000).suspect(1, 1200).expect(2, &["suspected ann@1 1200"]);
    assert_eq!(w.roster(), "ann@1 suspect, bob@2 present");
    w.at(11_100).lose(1, 2300, Evidence::NoAck).expect(2, &["lost ann@1 2300 no_ack"]);
    assert_eq!(w.roster(), "bob@2 present");
    assert_eq!(w.parked, [(conn(1), 41_100)]);
    w.at(20_000);
    w.link(ann, 3);
    w.expect(2, &["joined ann@1 returned"]);
    assert_eq!((w.hub.view().counters().returned, w.hub.view().counters().suspicions), (1, 1));
}

#[test]
fn a_parked_peer_that_is_heard_at_the_last_moment_has_time_to_come_back() {
    for (heard, back, news) in [(true, 31_500, "joined ann@1 returned"), (false, 31_500, "joined ann@1")] {
        let mut w = World::new();
        let ann = w.member("ann", 1);
        w.member("bob", 2);
        w.at(1_000).lose(1, 999, Evidence::NoAck);
        w.news(2);
        w.at(30_999);
        if heard {
            w.happens(Input::HeardAfterLost(conn(1)));
        }
        w.at(back);
        w.link(ann, 3);
        w.expect(2, &[news]);
    }
}

#[test]
fn a_suspect_who_is_heard_recovers() {
    let mut w = World::new();
    w.member("ann", 1);
    w.member("bob", 2);
    w.news(2);
    w.at(10_000).suspect(1, 1200).at(10_300).recover(1);
    w.expect(2, &["suspected ann@1 1200", "recovered ann@1 1500"]);
    assert_eq!(w.hub.view().counters().recoveries, 1);
}

#[test]
fn a_member_is_as_good_as_its_best_link() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    w.link(ann, 2);
    w.member("bob", 3);
    w.news(3);
    w.at(10_000).suspect(1, 1200).expect(3, &[]);
    w.at(10_200).suspect(2, 1200).expect(3, &["suspected ann@1 1200"]);
    w.at(10_400).recover(1).expect(3, &["recovered ann@1 1400"]);
    // Stalled is better than silent, but not good.
    w.change(1, Change::Stalled).expect(3, &["stalled ann@1 transport"]);
    w.recover(2).expect(3, &["moving ann@1 transport"]);
    w.suspect(2, 1200).expect(3, &["stalled ann@1 transport"]);
    w.suspect(1, 1200).expect(3, &["suspected ann@1 1200"]);
    w.recover(1).expect(3, &["recovered ann@1 1200", "stalled ann@1 transport"]);
    w.change(1, Change::Moving).expect(3, &["moving ann@1 transport"]);
}

#[test]
fn a_lost_link_beside_a_good_one_is_parked_in_silence() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    w.link(ann, 2);
    w.member("bob", 3);
    w.news(3);
    w.at(10_000).lose(1, 2300, Evidence::NoAck).expect(3, &[]);
    assert_eq!(w.roster(), "ann@1 present, bob@2 present");
    assert_eq!(w.parked.len(), 1);
    // The last one is lost too; the time counts from the latest sign of life on any of them.
    w.at(10_500).lose(2, 3000, Evidence::NoAck).expect(3, &["lost ann@1 2800 no_ack"]);
}

#[test]
fn a_lost_link_beside_a_silent_one_waits_for_that_ones_verdict() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    w.link(ann, 2);
    w.member("bob", 3);
    w.news(3);
    w.at(10_000).suspect(2, 1200);
    w.lose(1, 2300, Evidence::NoAck).expect(3, &["suspected ann@1 1200"]);
    w.at(11_100).lose(2, 2300, Evidence::NoAck).expect(3, &["lost ann@1 2300 no_ack"]);
}

#[test]
fn a_tab_that_closed_in_order_just_before_counts_as_a_sign_of_life() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    w.link(ann, 2);
    w.member("bob", 3);
    w.news(3);
    w.at(10_000).fin(1);
    w.at(12_000).lose(2, 2300, Evidence::NoAck).expect(3, &[]);
    w.at(12_300).expect(3, &["lost ann@1 2300 no_ack"]);
}

#[test]
fn a_reload_flaps_nothing_whichever_comes_first() {
    for get_first in [true, false] {
        let mut w = World::new();
        let ann = w.browser("ann", addr(1));
        w.page(ann).expect("a seat");
        w.link(ann, 1);
        w.member("bob", 2);
        w.news(2);
        w.at(5_000);
        if get_first {
            w.page(ann).expect("a seat");
            w.after(25).fin(1);
        } else {
            w.fin(1).after(25).page(ann).expect("a seat");
        }
        w.after(6_000).link(ann, 3);
        w.at(200_000).expect(2, &[]);
        assert_eq!(w.roster(), "ann@1 present, bob@2 present");
    }
}

#[test]
fn a_reload_that_resets_its_old_connection_flaps_nothing() {
    for get_first in [true, false] {
        let mut w = World::new();
        let ann = w.browser("ann", addr(1));
        w.page(ann).expect("a seat");
        w.link(ann, 1);
        w.member("bob", 2);
        w.news(2);
        w.at(5_000);
        if get_first {
            w.page(ann).expect("a seat");
            w.after(25).lose(1, 100, Evidence::Reset);
        } else {
            w.lose(1, 100, Evidence::Reset).after(150).page(ann).expect("a seat");
        }
        w.after(6_000).link(ann, 3);
        w.at(200_000).expect(2, &[]);
    }
}

#[test]
fn a_reset_without_a_reload_is_a_loss_after_its_grace() {
    let mut w = World::new();
    w.member("ann", 1);
    w.member("bob", 2);
    w.news(2);
    w.at(5_000).lose(1, 100, Evidence::Reset).at(5_199).expect(2, &[]);
    w.at(5_200).expect(2, &["lost ann@1 300 reset"]);
    assert!(w.parked.is_empty(), "a reset socket is gone");
}

#[test]
fn a_closed_tab_lingers_and_leaves() {
    let mut w = World::new();
    let ann = w.browser("ann", addr(1));
    w.page(ann).expect("a seat");
    w.link(ann, 1);
    w.member("bob", 2);
    w.news(2);
    w.at(5_000).fin(1).at(7_999).expect(2, &[]);
    w.at(8_000).expect(2, &["left ann@1 closed"]);
    assert_eq!(w.hub.view().deadline(), None, "bob is linked: nothing to wait for");
}

#[test]
fn a_vanished_poster_is_lost_in_time_although_a_request_came_between_two_heartbeats() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    w.member("bob", 2);
    // Last heard on the link at 9 600, by a request at 9 900, cut at 10 000.
    w.at(9_900).ask(ann, Purpose::Act).expect("a seat");
    w.news(2);
    w.at(11_900).lose(1, 2300, Evidence::NoAck).expect(2, &[]);
    w.at(12_199).expect(2, &[]);
    w.at(12_200).expect(2, &["lost ann@1 2300 no_ack"]);
}

#[test]
fn a_person_who_goes_on_asking_is_not_lost_with_a_dead_link() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    w.member("bob", 2);
    w.news(2);
    w.at(9_900).ask(ann, Purpose::Act).expect("a seat");
    w.at(11_000).ask(ann, Purpose::Act).expect("a seat");
    w.at(11_900).lose(1, 2300, Evidence::OneWay);
    w.at(14_899).expect(2, &[]);
    w.link(ann, 3);
    w.at(60_000).expect(2, &[]);
}

#[test]
fn a_request_during_doubt_recovers_a_suspect() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    w.member("bob", 2);
    w.news(2);
    w.at(9_900).ask(ann, Purpose::Act).expect("a seat");
    w.at(10_800).suspect(1, 1200).expect(2, &["suspected ann@1 1200"]);
    w.at(11_900).lose(1, 2300, Evidence::NoAck).expect(2, &[]);
    w.at(12_000).ask(ann, Purpose::Act).expect("a seat");
    w.expect(2, &["recovered ann@1 2400"]);
    w.at(15_000).expect(2, &["left ann@1 closed"]);
}

#[test]
fn curl_every_five_seconds_is_one_member_and_its_last_visit_ends() {
    let mut w = World::new();
    w.member("bob", 2);
    w.news(2);
    for i in 0..10 {
        w.at(5_000 * i);
        let id = w.curl("ann", addr(9));
        assert_eq!(w.ask(id, Purpose::Page { html: false }), Ok(Some(2)));
    }
    w.at(45_000 + 59_999).expect(2, &["joined ann@2"]);
    w.after(1).expect(2, &["left ann@2 closed"]);
}

#[test]
fn a_curl_stream_beside_curl_posts_is_one_member() {
    let mut w = World::new();
    w.member("bob", 2);
    w.news(2);
    let ann = w.curl("ann", addr(9));
    w.link(ann, 1);
    for i in 1..5 {
        w.at(10_000 * i);
        let id = w.curl("ann", addr(9));
        w.ask(id, Purpose::Act).expect("a seat");
        w.say(id, "hi").expect("said");
    }
    w.fin(1).after(1_000);
    let id = w.curl("ann", addr(9));
    w.ask(id, Purpose::Act).expect("a seat");
    w.after(59_999);
    let mut news = w.news(2);
    news.dedup();
    assert_eq!(news, ["joined ann@2", "said ann@2 hi"]);
}

#[test]
fn a_plain_visitor_whose_only_connection_is_lost_is_lost() {
    let mut w = World::new();
    w.member("bob", 2);
    let ann = w.browser("ann", addr(1));
    w.page(ann).expect("a seat");
    w.news(2);
    w.at(10_000);
    let after = Duration::from_secs(3);
    w.happens(Input::PlainLost { session: ann, after, evidence: Evidence::Keepalive, others: true });
    w.settle();
    w.expect(2, &[]);
    w.happens(Input::PlainLost { session: ann, after, evidence: Evidence::Keepalive, others: false });
    w.settle();
    w.expect(2, &["lost ann@2 3000 keepalive"]);
}

#[test]
fn a_download_that_goes_on_outlives_the_link_beside_it() {
    for (heard, news) in [(11_800, "left ann@2 closed"), (9_900, "lost ann@2 2300 no_ack")] {
        let mut w = World::new();
        w.member("bob", 2);
        let ann = w.member("ann", 1);
        w.news(2);
        w.at(11_900);
        w.happens(Input::PlainHeard { session: ann, at: Moment::from_millis(heard) });
        w.lose(1, 2300, Evidence::NoAck).expect(2, &[]);
        w.at(12_199).expect(2, &[]);
        w.at(14_900).expect(2, &[news]);
    }
}

#[test]
fn whoever_does_nothing_for_too_long_is_evicted_as_idle() {
    let mut w = World::with(|s| s.seats.idle = Duration::from_secs(100));
    let ann = w.member("ann", 1);
    let bob = w.member("bob", 2);
    w.at(50_000).ask(bob, Purpose::Link).expect("a seat");
    w.at(60_000).say(ann, "hi").expect("said");
    w.at(99_999);
    assert_eq!(w.roster(), "ann@1 present, bob@2 present");
    w.at(100_000);
    assert_eq!(w.roster(), "ann@1 present");
    w.expect_closed(&[(2, CloseReason::Idle)]);
    w.at(159_999);
    assert_eq!(w.roster(), "ann@1 present");
    w.at(160_000);
    assert_eq!(w.page(ann), Err(NoSeat::Ended(LeftReason::Idle)));
}

#[test]
fn a_flood_of_words_is_slowed_after_its_burst() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    for _ in 0..10 {
        w.say(ann, "hi").expect("said");
    }
    let retry_after = Duration::from_millis(200);
    assert_eq!(w.say(ann, "hi"), Err(SayError::TooFast { retry_after }));
    w.after(199);
    assert!(w.say(ann, "hi").is_err());
    w.after(1);
    w.say(ann, "hi").expect("said");
    assert!(w.say(ann, "hi").is_err());
    assert_eq!(w.hub.view().counters().said, 11);
}

#[test]
fn what_may_be_said() {
    let mut w = World::with(|s| s.chat.text_max = 3);
    let ann = w.member("ann", 1);
    w.news(1);
    for (text, answer) in [
        ("", Err(SayError::Empty)),
        (" \t\r\n", Err(SayError::Empty)),
        ("abcd", Err(SayError::TooLong)),
        ("äöü\n", Ok("said ann@1 äöü")),
        ("a b\r\n", Ok("said ann@1 a b")),
        ("🙂🙂🙂🙂", Err(SayError::TooLong)),
    ] {
        let got = w.say(ann, text).map(|_| w.news(1).join("|"));
        assert_eq!(got.as_deref(), answer.as_deref(), "{text:?}");
    }
    let eve = w.browser("eve", addr(2));
    assert_eq!(w.say(eve, "hi"), Err(SayError::NoSeat));
}

#[test]
fn the_server_stops_and_nobody_has_left() {
    let mut w = World::new();
    w.member("ann", 1);
    w.member("bob", 2);
    w.lose(2, 2300, Evidence::NoAck);
    w.news(1);
    w.hub.handle(w.now(), Input::Shutdown, &mut w.fx);
    for effect in std::mem::take(&mut w.fx) {
        let Effect::Close { conn, why } = effect else { panic!("{effect:?}") };
        w.closed.push((conn, why));
    }
    w.expect_closed(&[(1, CloseReason::Shutdown), (2, CloseReason::Shutdown)]);
    assert_eq!((w.hub.view().seats_taken(), w.hub.view().deadline()), (0, None));
}

#[test]
fn while_the_server_stops_nobody_comes_in_and_pages_on_their_way_are_served() {
    let mut w = World::new();
    let ann = w.browser("ann", addr(1));
    w.hub.handle(w.now(), Input::Shutdown, &mut w.fx);
    for asked in [Purpose::Link, Purpose::Act] {
        assert_eq!(w.ask(ann, asked), Err(NoSeat::Stopping));
    }
    assert_eq!(w.open(ann, 1, spec()), Err(Denied::Seat(NoSeat::Stopping)));
    assert_eq!(w.hub.view().seat_available(w.now(), ann), Err(NoSeat::Stopping));
    assert_eq!((w.page(ann), w.ask(ann, Purpose::Read)), (Ok(None), Ok(None)));
    assert_eq!((w.roster().as_str(), w.hub.view().newest().seq, w.hub.view().deadline()), ("", 0, None));
}

#[test]
fn what_was_waited_for_while_the_server_stood_still_is_waited_for_again() {
    let mut w = World::new();
    let ann = page_member(&mut w, "ann", 1);
    let bob = page_member(&mut w, "bob", 2);
    beats(&mut w, bob, 2, true, 5_000);
    let n = w.hub.view().beat_number(w.now());
    w.happens(Input::BeatSent { conn: conn(2), n });
    w.fin(1);
    // Nothing runs for 20 s.
    w.happens(Input::StoodStill(Duration::from_secs(20)));
    w.at(25_000);
    assert_eq!(w.roster(), "ann@1 present, bob@2 present");
    assert_eq!(w.tab(ann, 3, "tab1", 2), Ok(()));
    w.at(34_999);
    assert_eq!(w.roster(), "ann@1 present, bob@2 present");
    w.at(35_000);
    assert_eq!(w.roster(), "ann@1 present, bob@2 stalled");
}

#[test]
fn beats_have_one_numbering_that_never_goes_back() {
    let mut w = World::new();
    let half = |ms: u64| Now { mono: Moment::from_millis(ms), wall_ms: 0 };
    for (ms, n) in [(0, 1000), (499, 1000), (500, 1001), (10_000, 1020)] {
        assert_eq!(w.hub.view().beat_number(half(ms)), n);
    }
    let mut s = settings();
    s.beat = Duration::from_secs(10);
    w.hub.handle(half(10_250), Input::Reloaded(Box::new(s)), &mut w.fx);
    assert_eq!(w.hub.view().beat_number(half(10_250)), 1020, "whatever the period, the numbers tell the time");
    assert_eq!(w.hub.view().beat_number(half(20_250)), 1040);
}

#[test]
fn a_house_with_links_only_needs_no_timer_and_an_empty_one_neither() {
    let mut w = World::new();
    assert_eq!(w.hub.view().deadline(), None);
    let ann = w.browser("ann", addr(1));
    assert_eq!(w.hub.view().deadline(), None);
    w.page(ann).expect("a seat");
    assert_eq!(w.hub.view().deadline(), Some(Moment::from_millis(60_000)));
    w.link(ann, 1);
    w.at(60_000);
    assert_eq!(w.hub.view().deadline(), None);
    w.lose(1, 2300, Evidence::NoAck);
    assert_eq!(w.hub.view().deadline(), None);
}

#[test]
fn the_session_of_the_request_before_on_a_connection_is_joined_only_by_the_same_person() {
    let mut w = World::new();
    let first = w.curl("ann", addr(2));
    let enter = |w: &mut World, user: &str, addr, agent: &str, last| {
        let who = SignIn { last, ..w.newcomer(user, addr, agent) };
        let now = w.now();
        w.hub.sign_in(now, who).0
    };
    assert_eq!(enter(&mut w, "ann", addr(2), "curl/8", Some(first)), first);
    for (user, addr, agent) in [("bob", addr(2), "curl/8"), ("ann", addr(3), "curl/8"), ("ann", addr(2), "wget")] {
        assert_ne!(enter(&mut w, user, addr, agent, Some(first)), first, "{user} {addr:?} {agent}");
    }
    // a browser by now: whoever shows no cookie is another
    let agent = format!("Browser {}", w.secret);
    let browser = w.browser("ann", addr(4));
    assert_ne!(enter(&mut w, "ann", addr(4), &agent, Some(browser)), browser);
    w.logout(first);
    assert_ne!(enter(&mut w, "ann", addr(2), "curl/8", Some(first)), first, "it has ended");
}
