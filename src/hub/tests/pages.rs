//! Pages that answer beats, stop, and go on.

use super::*;

/// A page on link `c` that answers beats, sent every 500 ms, until `until`.
pub(super) fn beats(w: &mut World, id: SessionId, c: u16, answer: bool, until: u64) {
    while w.ms < until {
        let next = w.ms + 500;
        w.at(next.min(until));
        let n = w.hub.view().beat_number(w.now());
        w.happens(Input::BeatSent { conn: conn(c), n });
        if answer {
            assert_eq!(w.answer(id, &format!("tab{c}"), n, &["pump-1"]), BeatAnswer::Counted);
        }
        w.settle();
    }
}

pub(super) fn page_member(w: &mut World, user: &str, c: u16) -> SessionId {
    let id = w.browser(user, addr(c as u8));
    assert_eq!(w.tab(id, c, &format!("tab{c}"), 1), Ok(()));
    id
}

#[test]
fn a_page_that_answered_and_stops_is_stalled_and_moves_again() {
    let mut w = World::new();
    let ann = page_member(&mut w, "ann", 1);
    w.member("bob", 2);
    w.news(2);
    beats(&mut w, ann, 1, true, 5_000);
    beats(&mut w, ann, 1, false, 15_499);
    w.expect(2, &[]);
    beats(&mut w, ann, 1, false, 15_500);
    w.expect(2, &["stalled ann@1 page"]);
    beats(&mut w, ann, 1, false, 60_000);
    beats(&mut w, ann, 1, true, 60_500);
    w.expect(2, &["moving ann@1 page"]);
}

#[test]
fn a_page_that_never_answered_is_not_expected_to() {
    let mut w = World::new();
    let ann = page_member(&mut w, "ann", 1);
    beats(&mut w, ann, 1, false, 60_000);
    assert_eq!(w.roster(), "ann@1 present");
}

#[test]
fn a_page_that_lets_go_of_control_may_stop_answering() {
    let mut w = World::new();
    let ann = page_member(&mut w, "ann", 1);
    beats(&mut w, ann, 1, true, 5_000);
    w.after(500);
    let n = w.hub.view().beat_number(w.now());
    w.happens(Input::BeatSent { conn: conn(1), n });
    assert_eq!(w.answer(ann, "tab1", n, &[]), BeatAnswer::Counted);
    beats(&mut w, ann, 1, false, 60_000);
    assert_eq!(w.roster(), "ann@1 present");
}

#[test]
fn a_page_that_could_not_hear_need_not_answer() {
    let mut w = World::new();
    let ann = page_member(&mut w, "ann", 1);
    w.member("bob", 2);
    w.news(2);
    beats(&mut w, ann, 1, true, 5_000);
    beats(&mut w, ann, 1, false, 6_000);
    w.suspect(1, 1200).at(20_000).recover(1);
    w.expect(2, &["suspected ann@1 1200", "recovered ann@1 15200"]);
    // Its time begins anew with the next beat, at 20 500.
    beats(&mut w, ann, 1, false, 30_499);
    w.expect(2, &[]);
    beats(&mut w, ann, 1, false, 30_500);
    w.expect(2, &["stalled ann@1 page"]);
}

#[test]
fn an_answer_counts_once_and_only_for_a_beat_that_was_sent() {
    let mut w = World::new();
    let ann = page_member(&mut w, "ann", 1);
    let answer = |w: &mut World, tab: &str, n| w.answer(ann, tab, n, &[]);
    assert_eq!(answer(&mut w, "tab1", 1000), BeatAnswer::Unknown);
    w.happens(Input::BeatSent { conn: conn(1), n: 1000 });
    w.happens(Input::BeatSent { conn: conn(1), n: 1001 });
    assert_eq!(answer(&mut w, "tab2", 1000), BeatAnswer::Unknown);
    assert_eq!(answer(&mut w, "tab1", 1002), BeatAnswer::Unknown);
    assert_eq!(answer(&mut w, "tab1", 1000), BeatAnswer::Counted);
    assert_eq!(answer(&mut w, "tab1", 1000), BeatAnswer::Old);
    assert_eq!(answer(&mut w, "tab1", 1001), BeatAnswer::Counted);
    assert_eq!(answer(&mut w, "tab1", 1000), BeatAnswer::Old);
}
