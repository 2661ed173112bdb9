//! Which request belongs to which session, and how sessions end.

use super::super::session_table::{TABS_MAX, UNSEATED_MAX, UNSEATED_OF_USER};
use super::super::tests::{World, addr, conn};
use super::super::{Denied, Input, LinkSpec, NoSeat, Purpose, Tab};
use super::*;
use crate::msg::{Evidence, LinkEnd};

fn enter(w: &mut World, user: &str, from: PeerAddr, agent: &str, stale: Option<u8>) -> SessionId {
    let mut who = w.newcomer(user, from, agent);
    who.stale = stale.map(|b| [b; 16]);
    let id = w.hub.sign_in(w.now(), who).0;
    w.settle();
    id
}

fn show_cookie(w: &mut World, id: SessionId) {
    let cookie = w.hub.sessions.get(id).expect("known").cookie;
    assert_eq!(w.by_cookie(&cookie).map(|v| v.id), Some(id));
}

#[test]
fn a_request_without_a_cookie_joins_the_same_curl_only() {
    let mut w = World::new();
    let first = enter(&mut w, "ann", addr(1), "curl", None);
    assert_eq!(enter(&mut w, "ann", addr(1), "curl", None), first);
    assert_ne!(enter(&mut w, "bob", addr(1), "curl", None), first);
    assert_ne!(enter(&mut w, "ann", addr(2), "curl", None), first);
    assert_ne!(enter(&mut w, "ann", addr(1), "wget", None), first);
    assert_eq!(enter(&mut w, "ann", addr(1), "curl", None), first);
}

#[test]
fn two_browsers_of_one_kind_are_two_once_the_first_has_shown_its_cookie() {
    let mut w = World::new();
    let first = enter(&mut w, "ann", addr(1), "Browser", None);
    assert_eq!(enter(&mut w, "ann", addr(1), "Browser", None), first, "its parallel requests");
    show_cookie(&mut w, first);
    let second = enter(&mut w, "ann", addr(1), "Browser", None);
    assert_ne!(second, first);
    assert_eq!(enter(&mut w, "ann", addr(1), "Browser", None), second);
}

#[test]
fn on_a_unix_listener_only_the_same_cookie_joins() {
    let mut w = World::new();
    let first = enter(&mut w, "ann", PeerAddr::Unix, "curl", None);
    assert_ne!(enter(&mut w, "ann", PeerAddr::Unix, "curl", None), first);
    let stale = enter(&mut w, "ann", PeerAddr::Unix, "curl", Some(1));
    assert_eq!(enter(&mut w, "ann", PeerAddr::Unix, "curl", Some(1)), stale);
    assert_ne!(enter(&mut w, "ann", PeerAddr::Unix, "curl", Some(2)), stale);
}

#[test]
fn after_a_restart_each_old_cookie_finds_one_session_even_behind_one_address() {
    let mut w = World::new();
    let a = enter(&mut w, "ann", addr(1), "Browser", Some(1));
    let b = enter(&mut w, "ann", addr(1), "Browser", Some(2));
    assert_ne!(a, b);
    show_cookie(&mut w, a);
    // Requests that were on their way with the old cookie.
    assert_eq!(enter(&mut w, "ann", addr(1), "Browser", Some(1)), a);
    assert_eq!(enter(&mut w, "ann", addr(1), "Browser", Some(2)), b);
    assert_ne!(enter(&mut w, "bob", addr(1), "Browser", Some(1)), a);
    assert_ne!(enter(&mut w, "ann", addr(3), "Browser", Some(1)), a);
}

#[test]
fn an_unknown_cookie_counts_as_none_for_curl() {
    let mut w = World::new();
    let first = enter(&mut w, "ann", addr(1), "curl", None);
    assert_eq!(enter(&mut w, "ann", addr(1), "curl", Some(1)), first);
    assert_eq!(enter(&mut w, "ann", addr(1), "curl", None), first);
}

#[test]
fn a_cookie_dies_with_the_lifetime_unless_it_is_in_use() {
    let mut w = World::with(|s| s.lifetime = Duration::from_secs(100));
    let idle = w.browser("ann", addr(1));
    let linked = w.member("bob", 2);
    let (idle_cookie, linked_cookie) = [idle, linked].map(|id| w.hub.sessions.get(id).expect("known").cookie).into();
    w.at(99_999);
    assert!(w.by_cookie(&idle_cookie).is_some());
    w.at(199_999);
    assert_eq!(w.by_cookie(&idle_cookie), None);
    assert!(w.by_cookie(&linked_cookie).is_some());
    assert_eq!(w.hub.sessions.known(), 1);
}

#[test]
fn a_lifetime_shorter_than_a_plain_visit_ends_it_as_expired() {
    let mut w = World::with(|s| s.lifetime = Duration::from_secs(10));
    w.member("bob", 2);
    let ann = w.browser("ann", addr(1));
    w.page(ann).expect("a seat");
    w.news(2);
    w.at(10_000).expect(2, &["left ann@2 expired"]);
    assert_eq!(w.hub.view().session(ann), None);
}

#[test]
fn logging_out_frees_the_seat_closes_the_links_and_is_final() {
    let mut w = World::new();
    w.member("bob", 2);
    let ann = w.member("ann", 1);
    let cookie = w.hub.sessions.get(ann).expect("known").cookie;
    w.link(ann, 3);
    w.news(2);
    w.logout(ann);
    w.settle();
    w.expect(2, &["left ann@2 logout"]).expect_closed(&[(1, CloseReason::Logout), (3, CloseReason::Logout)]);
    let view = w.by_cookie(&cookie).expect("remembered");
    assert_eq!((view.seat, view.ended), (None, Some(LeftReason::Logout)));
    assert_eq!(w.page(ann), Err(NoSeat::Ended(LeftReason::Logout)));
    assert_eq!(w.ask(ann, Purpose::Read), Err(NoSeat::Ended(LeftReason::Logout)));
    let spec = LinkSpec { tab: Some(Tab { name: "t".into(), n: 1 }), ..super::super::tests::spec() };
    assert_eq!(w.open(ann, 4, spec), Err(Denied::Seat(NoSeat::Ended(LeftReason::Logout))));
}

#[test]
fn whoever_logged_out_comes_back_as_a_new_session() {
    let mut w = World::new();
    let curl = w.curl("ann", addr(1));
    w.page(curl).expect("a seat");
    w.logout(curl);
    w.settle();
    let again = w.curl("ann", addr(1));
    assert_ne!(again, curl);
    assert_eq!(w.page(again), Ok(Some(1)));
}

#[test]
fn an_evicted_user_is_barred_from_that_address_for_a_minute() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    let bob = w.member("bob", 2);
    let admin = w.member("admin", 3);
    w.news(2);
    assert_eq!(w.evict(bob, ann), Err(EvictError::Role));
    assert_eq!(w.evict(admin, SessionId(1)), Err(EvictError::NoMember));
    assert_eq!(w.evict(admin, ann), Ok(()));
    w.settle();
    assert_eq!(w.evict(admin, ann), Err(EvictError::NoMember));
    w.expect(2, &["left ann@1 evicted"]).expect_closed(&[(1, CloseReason::Evicted)]);
    w.at(59_999);
    assert!(w.hub.view().is_evicted(w.now(), "ann", addr(1)));
    assert!(!w.hub.view().is_evicted(w.now(), "ann", addr(2)) && !w.hub.view().is_evicted(w.now(), "bob", addr(1)));
    w.at(60_000);
    assert!(!w.hub.view().is_evicted(w.now(), "ann", addr(1)));
    assert_eq!(w.page(ann), Err(NoSeat::Ended(LeftReason::Evicted)), "that session is over for good");
}

#[test]
fn a_changed_line_of_the_users_file_ends_and_forgets_all_their_sessions() {
    let mut w = World::new();
    w.member("bob", 2);
    let seated = w.member("ann", 1);
    let other = w.browser("ann", addr(7));
    let lost = w.member("ann", 3);
    w.lose(3, 2300, Evidence::NoAck);
    w.news(2);
    w.happens(Input::UserChanged("ann".into()));
    w.settle();
    w.expect(2, &["left ann@2 expired"]);
    w.closed.sort();
    w.expect_closed(&[(1, CloseReason::Expired), (3, CloseReason::Expired)]);
    for id in [seated, other, lost] {
        assert_eq!(w.hub.view().session(id), None);
        assert_eq!(w.page(id), Err(NoSeat::Unknown));
    }
}

#[test]
fn a_changed_role_shows_at_once() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    w.happens(Input::RoleChanged { user: "ann".into(), role: Role::Viewer });
    assert_eq!(w.hub.view().session(ann).map(|v| v.role), Some(Role::Viewer));
    assert_eq!(w.hub.view().members()[0].role, Role::Viewer);
}

#[test]
fn sessions_that_one_user_opens_push_out_only_that_users_own() {
    let mut w = World::new();
    let others = [w.browser("ann", addr(1)), w.browser("bob", addr(1))];
    let eves: Vec<SessionId> = (0..2000)
        .map(|i| {
            w.at(1 + i);
            enter(&mut w, "eve", addr(3), &format!("agent {i}"), None)
        })
        .collect();
    assert!(others.iter().all(|&id| w.hub.view().session(id).is_some()));
    assert_eq!(w.hub.sessions.known(), 2 + UNSEATED_OF_USER);
    let known = |id: &SessionId| w.hub.view().session(*id).is_some();
    assert!(!eves[..2000 - UNSEATED_OF_USER].iter().any(known) && eves[2000 - UNSEATED_OF_USER..].iter().all(known));
}

#[test]
fn of_too_many_without_a_seat_the_longest_unused_is_forgotten() {
    let mut w = World::new();
    let seated = w.member("bob", 2);
    let (first, second) = (w.browser("ann", addr(1)), w.browser("ann", addr(1)));
    for i in 0..UNSEATED_MAX - 2 {
        w.at(1 + i as u64);
        enter(&mut w, &format!("eve{}", i / 200), addr(3), &format!("agent {i}"), None);
    }
    w.after(1);
    show_cookie(&mut w, first);
    w.after(1);
    enter(&mut w, "eve", addr(3), "one more", None);
    assert!(w.hub.view().session(first).is_some(), "used just now");
    assert!(w.hub.view().session(second).is_none());
    assert!(w.hub.view().session(seated).is_some());
    assert_eq!(w.hub.sessions.known(), UNSEATED_MAX + 1);
}

#[test]
fn a_slow_link_takes_the_seat_along_only_if_it_is_the_last() {
    let mut w = World::new();
    w.member("bob", 2);
    let ann = w.member("ann", 1);
    w.link(ann, 3);
    w.news(2);
    w.end(1, LinkEnd::Slow).expect(2, &[]);
    w.end(3, LinkEnd::Slow).expect(2, &["left ann@2 slow"]);
    w.link(ann, 4);
    w.expect(2, &["joined ann@2"]);
}

#[test]
fn a_page_has_one_link_and_its_ghosts_are_known() {
    let mut w = World::new();
    let ann = w.browser("ann", addr(1));
    w.member("bob", 9);
    w.news(9);
    assert_eq!(w.tab(ann, 1, "t", 5), Ok(()));
    assert_eq!(w.tab(ann, 2, "t", 6), Ok(()));
    w.expect_closed(&[(1, CloseReason::Replaced)]);
    assert_eq!(w.tab(ann, 3, "t", 5), Err(Denied::Superseded));
    assert_eq!(w.tab(ann, 4, "other", 1), Ok(()), "another page");
    // A browser that reconnects by itself asks with the same number.
    assert_eq!(w.tab(ann, 5, "t", 6), Ok(()));
    w.expect_closed(&[(2, CloseReason::Replaced)]);
    // Also when the old one is called lost already.
    w.lose(5, 2300, Evidence::NoAck);
    assert_eq!(w.tab(ann, 6, "t", 7), Ok(()));
    w.expect_closed(&[(5, CloseReason::Replaced)]).expect(9, &["joined ann@2"]);
    assert!(w.ears.contains_key(&conn(6)) && w.hub.view().links() == 3);
}

#[test]
fn after_goodbye_only_a_new_number_opens_a_link() {
    let mut w = World::new();
    let ann = w.browser("ann", addr(1));
    w.member("bob", 9);
    assert_eq!(w.tab(ann, 1, "t", 5), Ok(()));
    w.news(9);
    w.bye(ann, "t", 4);
    assert_eq!(w.hub.view().links(), 2, "an older goodbye");
    w.bye(ann, "t", 5);
    w.settle();
    w.expect_closed(&[(1, CloseReason::Closed)]);
    assert_eq!(w.tab(ann, 2, "t", 5), Err(Denied::Superseded));
    w.at(2_999).expect(9, &[]);
    assert_eq!(w.tab(ann, 3, "t", 6), Ok(()));
    w.fin(3).after(3_000).expect(9, &["left ann@2 closed"]);
}

#[test]
fn a_goodbye_takes_no_seat() {
    let mut w = World::new();
    let ann = w.browser("ann", addr(1));
    w.bye(ann, "t", 5);
    w.settle();
    assert_eq!(w.hub.view().seats_taken(), 0);
}

#[test]
fn of_too_many_pages_the_oldest_is_forgotten() {
    let mut w = World::new();
    let ann = w.browser("ann", addr(1));
    for i in 0..=TABS_MAX as u64 {
        w.bye(ann, &format!("t{i}"), 5);
    }
    assert_eq!(w.tab(ann, 1, "t0", 1), Ok(()));
    assert_eq!(w.tab(ann, 2, "t2", 1), Err(Denied::Superseded));
}
