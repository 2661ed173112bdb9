//! Who finds a seat, who gives way, who is turned away.

use super::pages::{beats, page_member};
use super::*;

#[test]
fn a_full_house_turns_away_and_says_so_once_a_minute_for_each_address() {
    let mut w = World::with(|s| s.seats.max = 2);
    w.member("ann", 1);
    w.member("bob", 2);
    w.news(1);
    let eve = w.browser("eve", addr(3));
    assert_eq!(w.hub.view().seat_available(w.now(), eve), Err(NoSeat::Full));
    assert_eq!(w.page(eve), Err(NoSeat::Full));
    assert_eq!(w.page(eve), Err(NoSeat::Full));
    w.expect(1, &["turned_away eve 192.168.1.3"]);
    assert_eq!(w.ask(eve, Purpose::Read), Ok(None));
    assert_eq!(w.open(eve, 3, spec()), Err(Denied::Seat(NoSeat::Full)));
    let mia = w.browser("mia", addr(3));
    assert_eq!(w.page(mia), Err(NoSeat::Full));
    w.expect(1, &[]);
    w.at(60_000);
    assert_eq!(w.page(mia), Err(NoSeat::Full));
    w.expect(1, &["turned_away mia 192.168.1.3"]);
    w.fin(2).after(3_000);
    assert_eq!(w.hub.view().seat_available(w.now(), eve), Ok(()));
    assert_eq!(w.page(eve), Ok(Some(2)));
    w.expect(1, &["left bob@2 closed", "joined eve@2"]);
}

#[test]
fn the_lowest_free_seat_is_given() {
    let mut w = World::new();
    for c in 1..=3 {
        w.member("ann", c);
    }
    w.fin(1).fin(2).after(3_000);
    assert_eq!(w.roster(), "ann@3 present");
    w.member("bob", 4);
    w.member("mia", 5);
    w.member("eve", 6);
    assert_eq!(w.roster(), "bob@1 present, mia@2 present, ann@3 present, eve@4 present");
}

#[test]
fn a_lowered_maximum_evicts_nobody_and_lets_nobody_in() {
    let mut w = World::new();
    w.member("ann", 1);
    w.member("bob", 2);
    w.member("mia", 3);
    let mut s = settings();
    s.seats.max = 1;
    w.happens(Input::Reloaded(Box::new(s)));
    w.settle();
    assert_eq!((w.hub.view().seats_taken(), w.hub.view().seats_max()), (3, 1));
    let eve = w.browser("eve", addr(4));
    assert_eq!(w.page(eve), Err(NoSeat::Full));
    w.fin(1).fin(2).after(3_000);
    assert_eq!(w.page(eve), Err(NoSeat::Full));
    w.fin(3).after(3_000);
    assert_eq!(w.page(eve), Ok(Some(1)));
}

#[test]
fn a_newcomer_takes_over_their_own_silent_session_only() {
    let mut w = World::with(|s| s.seats.max = 2);
    let old = w.member("ann", 1);
    w.member("bob", 2);
    w.news(2);
    let (elsewhere, again) = (w.browser("ann", addr(3)), w.browser("ann", addr(1)));
    assert_eq!(w.page(again), Err(NoSeat::Full), "the old one is present");
    w.suspect(1, 1200);
    assert_eq!(w.page(elsewhere), Err(NoSeat::Full), "another address");
    assert_eq!(w.hub.view().seat_available(w.now(), again), Ok(()));
    assert_eq!(w.page(again), Ok(Some(1)));
    w.expect_closed(&[(1, CloseReason::Replaced)]);
    assert_eq!(w.news(2).last().map(String::as_str), Some("joined ann@1"));
    assert_eq!(w.hub.view().session(old).and_then(|v| v.ended), Some(LeftReason::Replaced));
    assert_eq!(w.page(old), Err(NoSeat::Ended(LeftReason::Replaced)));
}

#[test]
fn with_free_seats_nobody_is_replaced() {
    let mut w = World::new();
    w.member("ann", 1);
    w.suspect(1, 1200);
    let again = w.browser("ann", addr(1));
    assert_eq!(w.page(again), Ok(Some(2)));
    assert_eq!(w.roster(), "ann@1 suspect, ann@2 present");
}

#[test]
fn behind_a_proxy_on_a_unix_socket_nobody_takes_over() {
    let mut w = World::with(|s| s.seats.max = 1);
    let old = w.browser("ann", PeerAddr::Unix);
    w.link(old, 1);
    w.suspect(1, 1200);
    let again = w.browser("ann", PeerAddr::Unix);
    assert_eq!(w.page(again), Err(NoSeat::Full));
}

#[test]
fn nobody_gives_way_in_vain() {
    let mut w = World::with(|s| (s.seats.max, s.seats.reserved) = (2, 1));
    let admin = page_member(&mut w, "admin", 1);
    w.member("ann", 2);
    beats(&mut w, admin, 1, true, 1_000);
    beats(&mut w, admin, 1, false, 12_000);
    assert_eq!(w.roster(), "admin@1 stalled, ann@2 present");
    // The admin's seat would then be kept for admins.
    let bob = w.browser("bob", addr(3));
    assert_eq!(w.page(bob), Err(NoSeat::Full));
    assert_eq!(w.roster(), "admin@1 stalled, ann@2 present");
}

#[test]
fn a_user_at_their_limit_is_refused_or_takes_over_their_own() {
    let mut w = World::with(|s| s.seats.per_user = 1);
    w.member("ann", 1);
    let again = w.browser("ann", addr(1));
    assert_eq!(w.page(again), Err(NoSeat::PerUser));
    w.suspect(1, 1200);
    assert_eq!(w.page(again), Ok(Some(1)));
}

#[test]
fn the_last_seats_are_for_admins() {
    let mut w = World::with(|s| (s.seats.max, s.seats.reserved) = (2, 1));
    w.member("ann", 1);
    let bob = w.browser("bob", addr(2));
    assert_eq!(w.page(bob), Err(NoSeat::Full));
    w.member("admin", 3);
    assert_eq!(w.page(bob), Err(NoSeat::Full));
    w.fin(1).after(3_000);
    assert_eq!(w.page(bob), Ok(Some(1)));
}

#[test]
fn at_a_full_house_the_page_that_stopped_longest_ago_gives_way() {
    let mut w = World::with(|s| s.seats.max = 3);
    let ids: Vec<SessionId> = [("ann", 1), ("bob", 2), ("mia", 3)].map(|(u, c)| page_member(&mut w, u, c)).into();
    for t in 1..=40 {
        w.at(t * 500);
        let n = w.hub.view().beat_number(w.now());
        for (i, &id) in ids.iter().enumerate() {
            let c = i as u16 + 1;
            w.happens(Input::BeatSent { conn: conn(c), n });
            // Bob stops at 2 s, Mia at 3 s, Ann goes on.
            if i == 0 || t <= 2 + 2 * i as u64 {
                w.answer(id, &format!("tab{c}"), n, &["p"]);
            }
        }
        w.settle();
    }
    assert_eq!(w.roster(), "ann@1 present, bob@2 stalled, mia@3 stalled");
    w.news(1);
    let eve = w.browser("eve", addr(9));
    assert_eq!(w.page(eve), Ok(Some(2)));
    w.expect(1, &["left bob@2 stalled", "joined eve@2"]);
    w.expect_closed(&[(2, CloseReason::Stalled)]);
    assert_eq!(w.page(ids[1]), Ok(Some(3)), "no final end: bob takes mia's in turn");
}
