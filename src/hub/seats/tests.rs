//! The transition table: one row for each rule of the seats. Times in milliseconds; the moment of the cue is 100 s.

use super::*;
use crate::config::Config;

const NOW: u64 = 100_000;

fn at(ms: u64) -> Moment {
    Moment::from_millis(ms)
}

fn facts() -> Facts {
    Facts {
        now: at(NOW),
        linger: Duration::from_secs(3),
        plain: Duration::from_secs(60),
        returned_within: Duration::from_secs(30),
        beat: Duration::from_millis(500),
        asked: at(50_000),
        heard: at(50_000),
        html: false,
        cookieless: false,
    }
}

fn lingering() -> Stand {
    Stand::Lingering { until: at(NOW + 3_000) }
}

fn plain() -> Stand {
    Stand::Plain { until: at(NOW + 60_000) }
}

fn lost() -> Stand {
    Stand::Lost { until: at(NOW + 30_000) }
}

fn doubt(until: u64, last: u64, evidence: Evidence) -> Stand {
    Stand::Doubt { until: at(until), last: at(last), evidence }
}

struct Row {
    rule: &'static str,
    from: Stand,
    cue: Cue,
    facts: Facts,
    to: Stand,
    tell: Tell,
}

fn row(rule: &'static str, from: Stand, cue: Cue, facts: Facts, to: Stand, tell: Tell) -> Row {
    Row { rule, from, cue, facts, to, tell }
}

#[test]
fn every_rule_of_the_seats_is_a_row_of_this_table() {
    use Evidence::{Keepalive, NoAck, Reset};
    use Stand::{Ended, Linked, Unseated};
    use Tell::Nothing;
    let f = facts();
    let html = Facts { html: true, asked: at(NOW - 10), heard: at(NOW - 10), ..f };
    let curl = Facts { cookieless: true, ..f };
    let page = |html| Cue::Asked(Asked::Page { html });
    let (act, read, link) = (Cue::Asked(Asked::Act), Cue::Asked(Asked::Read), Cue::Asked(Asked::Link));
    let gone = |last| Cue::Vanished { last: at(last), evidence: NoAck };
    let reset = Cue::Vanished { last: at(NOW - 100), evidence: Reset };
    let plain_gone = |last| Cue::PlainVanished { last: at(last), evidence: Keepalive };
    let heard = |ms| Facts { heard: at(ms), asked: at(ms), ..f };
    let was_lost = |until| Stand::Lost { until: at(until) };
    let joined = |returned| Tell::Joined { returned };
    let short_plain = Facts { plain: Duration::from_secs(1), ..html };
    let said_lost = |last, evidence| Tell::Lost { last: at(last), evidence };

    let rows = [
        // Taking a seat.
        row("a page takes a seat", Unseated, page(true), f, plain(), joined(false)),
        row("a file takes a seat", Unseated, page(false), f, plain(), joined(false)),
        row("whoever changes something takes a seat", Unseated, act, f, plain(), joined(false)),
        row("asking for a link takes a seat, and the link has to come", Unseated, link, f, lingering(), joined(false)),
        row("a link takes a seat", Unseated, Cue::Opened, f, Linked, joined(false)),
        row("reading takes none", Unseated, read, f, Unseated, Nothing),
        row("nor does reading bring a lost one back", was_lost(NOW + 1), read, f, was_lost(NOW + 1), Nothing),
        // Coming back after a loss.
        row("a link brings a lost one back", was_lost(NOW), Cue::Opened, f, Linked, joined(true)),
        row("a page brings a lost one back", was_lost(NOW + 1), page(true), f, plain(), joined(true)),
        row("too late, it only joins", was_lost(NOW - 1), Cue::Opened, f, Linked, joined(false)),
        row("too late, a page only joins", was_lost(NOW - 1), page(true), f, plain(), joined(false)),
        // With a link.
        row("a link carries as long as it lives", Linked, Cue::Tick, f, Linked, Nothing),
        row("requests beside a link change nothing", Linked, page(true), f, Linked, Nothing),
        row("a further link changes nothing", Linked, Cue::Opened, f, Linked, Nothing),
        row("a lost plain connection beside a link changes nothing", Linked, plain_gone(1), f, Linked, Nothing),
        // The last link ends in order.
        row("it lingers", Linked, Cue::Closed, f, lingering(), Nothing),
        row(
            "HTML asked for since then carries from its own time",
            Linked,
            Cue::Closed,
            html,
            Stand::Plain { until: at(NOW - 10 + 60_000) },
            Nothing,
        ),
        row(
            "but never shorter than lingering",
            Linked,
            Cue::Closed,
            short_plain,
            Stand::Plain { until: at(NOW + 3_000) },
            Nothing,
        ),
        row("the same member returns by a link", lingering(), Cue::Opened, f, Linked, Nothing),
        row("a reload in time carries", lingering(), page(true), f, plain(), Nothing),
        row(
            "a page's other requests keep it warm",
            Stand::Lingering { until: at(NOW + 1) },
            act,
            f,
            lingering(),
            Nothing,
        ),
        row("a parting word of a page is no visit", lingering(), page(false), f, lingering(), Nothing),
        row("curl's next request is a visit", lingering(), act, curl, plain(), Nothing),
        row("curl's next link is a link to come", lingering(), link, curl, lingering(), Nothing),
        row(
            "lingering goes on until its end",
            Stand::Lingering { until: at(NOW + 1) },
            Cue::Tick,
            f,
            Stand::Lingering { until: at(NOW + 1) },
            Nothing,
        ),
        row(
            "lingering ends",
            Stand::Lingering { until: at(NOW) },
            Cue::Tick,
            f,
            Unseated,
            Tell::Left(LeftReason::Closed),
        ),
        // Without a link.
        row(
            "every request renews a plain visit",
            Stand::Plain { until: at(NOW + 1) },
            page(false),
            f,
            plain(),
            Nothing,
        ),
        row("reading too", Stand::Plain { until: at(NOW + 1) }, read, f, plain(), Nothing),
        row("a link takes a plain visit over", plain(), Cue::Opened, f, Linked, Nothing),
        row(
            "a plain visit goes on until its end",
            Stand::Plain { until: at(NOW + 1) },
            Cue::Tick,
            f,
            Stand::Plain { until: at(NOW + 1) },
            Nothing,
        ),
        row(
            "a plain visit ends",
            Stand::Plain { until: at(NOW) },
            Cue::Tick,
            f,
            Unseated,
            Tell::Left(LeftReason::Closed),
        ),
        // The last link is lost.
        row("all that carried it is lost", Linked, gone(NOW - 2_300), f, lost(), said_lost(NOW - 2_300, NoAck)),
        row(
            "HTML from before the loss carries nothing over it",
            Linked,
            gone(NOW - 5),
            html,
            lost(),
            said_lost(NOW - 5, NoAck),
        ),
        row(
            "heard between two heartbeats: the same silence runs from there",
            Linked,
            gone(NOW - 2_300),
            heard(NOW - 2_000),
            doubt(NOW + 300, NOW - 2_000, NoAck),
            Nothing,
        ),
        row(
            "heard while the link had missed a whole beat: the link died alone",
            Linked,
            gone(NOW - 2_300),
            heard(NOW - 1_200),
            lingering(),
            Nothing,
        ),
        row(
            "and with HTML asked for, that page carries",
            Linked,
            gone(NOW - 2_300),
            Facts { html: true, ..heard(NOW - 1_200) },
            Stand::Plain { until: at(NOW - 1_200 + 60_000) },
            Nothing,
        ),
        // Reset.
        row("a reset waits for a reload to be read", Linked, reset, f, doubt(NOW + 200, NOW - 100, Reset), Nothing),
        row(
            "a reload read before the reset carries",
            Linked,
            reset,
            html,
            Stand::Plain { until: at(NOW - 10 + 60_000) },
            Nothing,
        ),
        row("a reload read after it carries", doubt(NOW + 1, 1, Reset), page(true), f, plain(), Nothing),
        row("no reload: lost", doubt(NOW, NOW - 300, Reset), Cue::Tick, f, lost(), said_lost(NOW - 300, Reset)),
        // In doubt.
        row("doubt goes on until its end", doubt(NOW + 1, 1, NoAck), Cue::Tick, f, doubt(NOW + 1, 1, NoAck), Nothing),
        row("doubt ends", doubt(NOW, 9, NoAck), Cue::Tick, f, lost(), said_lost(9, NoAck)),
        row("a request ends doubt: the next link is expected", doubt(NOW + 1, 9, NoAck), act, f, lingering(), Nothing),
        row("reading too", doubt(NOW + 1, 9, NoAck), read, f, lingering(), Nothing),
        row("a link ends doubt", doubt(NOW + 1, 9, NoAck), Cue::Opened, f, Linked, Nothing),
        // Plain connections.
        row(
            "the only connection of a visit is lost",
            plain(),
            plain_gone(NOW - 3_000),
            f,
            lost(),
            said_lost(NOW - 3_000, Keepalive),
        ),
        row(
            "the only connection of a lingering one is lost",
            lingering(),
            plain_gone(NOW - 3_000),
            f,
            lost(),
            said_lost(NOW - 3_000, Keepalive),
        ),
        row(
            "heard elsewhere long after it: nothing",
            plain(),
            plain_gone(NOW - 3_000),
            heard(NOW - 1_000),
            plain(),
            Nothing,
        ),
        row(
            "heard just after it: the silence runs from there",
            plain(),
            plain_gone(NOW - 3_000),
            heard(NOW - 2_900),
            doubt(NOW + 100, NOW - 2_900, Keepalive),
            Nothing,
        ),
        row(
            "a reset plain connection is no news",
            plain(),
            Cue::PlainVanished { last: at(1), evidence: Reset },
            f,
            plain(),
            Nothing,
        ),
        row("without a seat there is nothing to lose", Unseated, plain_gone(1), f, Unseated, Nothing),
        // Ends.
        row(
            "evicted is final",
            Linked,
            Cue::End(LeftReason::Evicted),
            f,
            Ended(LeftReason::Evicted),
            Tell::Left(LeftReason::Evicted),
        ),
        row(
            "logged out is final",
            plain(),
            Cue::End(LeftReason::Logout),
            f,
            Ended(LeftReason::Logout),
            Tell::Left(LeftReason::Logout),
        ),
        row(
            "idle is final",
            Linked,
            Cue::End(LeftReason::Idle),
            f,
            Ended(LeftReason::Idle),
            Tell::Left(LeftReason::Idle),
        ),
        row(
            "replaced is final",
            Linked,
            Cue::End(LeftReason::Replaced),
            f,
            Ended(LeftReason::Replaced),
            Tell::Left(LeftReason::Replaced),
        ),
        row("too slow may come again", Linked, Cue::End(LeftReason::Slow), f, Unseated, Tell::Left(LeftReason::Slow)),
        row(
            "a dead page may come again",
            Linked,
            Cue::End(LeftReason::Stalled),
            f,
            Unseated,
            Tell::Left(LeftReason::Stalled),
        ),
        row(
            "logging out without a seat is final and quiet",
            Unseated,
            Cue::End(LeftReason::Logout),
            f,
            Ended(LeftReason::Logout),
            Nothing,
        ),
        row("logging out when lost too", lost(), Cue::End(LeftReason::Logout), f, Ended(LeftReason::Logout), Nothing),
        row(
            "what is over stays over: requests",
            Ended(LeftReason::Idle),
            page(true),
            f,
            Ended(LeftReason::Idle),
            Nothing,
        ),
        row(
            "what is over stays over: links",
            Ended(LeftReason::Idle),
            Cue::Opened,
            f,
            Ended(LeftReason::Idle),
            Nothing,
        ),
        row(
            "what is over stays over: other ends",
            Ended(LeftReason::Idle),
            Cue::End(LeftReason::Logout),
            f,
            Ended(LeftReason::Idle),
            Nothing,
        ),
        row("what is over stays over: time", Ended(LeftReason::Idle), Cue::Tick, f, Ended(LeftReason::Idle), Nothing),
    ];
    for r in rows {
        let got = r.from.next(r.cue, &r.facts);
        assert_eq!(got, (r.to, r.tell), "{}: {:?} + {:?}", r.rule, r.from, r.cue);
    }
}

#[test]
fn what_is_told_agrees_with_who_sits_for_every_state_and_cue() {
    let f = facts();
    let stands = [
        Stand::Unseated,
        Stand::Linked,
        lingering(),
        plain(),
        doubt(NOW, 1, Evidence::NoAck),
        lost(),
        Stand::Ended(LeftReason::Idle),
    ];
    let (last, evidence) = (at(5), Evidence::OneWay);
    let mut cues = vec![
        Cue::Opened,
        Cue::Closed,
        Cue::Tick,
        Cue::Vanished { last, evidence },
        Cue::Vanished { last, evidence: Evidence::Reset },
        Cue::PlainVanished { last, evidence },
        Cue::Asked(Asked::Page { html: true }),
        Cue::Asked(Asked::Page { html: false }),
        Cue::Asked(Asked::Act),
        Cue::Asked(Asked::Link),
        Cue::Asked(Asked::Read),
    ];
    cues.extend(LeftReason::ALL.iter().map(|&r| Cue::End(r)));
    for from in stands {
        for &cue in &cues {
            let (to, tell) = from.next(cue, &f);
            let expected = match tell {
                Tell::Nothing => from.is_seated() == to.is_seated(),
                Tell::Joined { .. } => !from.is_seated() && to.is_seated(),
                Tell::Left(_) | Tell::Lost { .. } => from.is_seated() && !to.is_seated(),
            };
            assert!(expected, "{from:?} + {cue:?} -> {to:?}, {tell:?}");
        }
    }
}

#[test]
fn who_may_sit_down() {
    let seats = |max, per_user, reserved| Seats { max, per_user, reserved, ..Config::default().seats };
    let taken = |all, admins, of_user| Taken { all, admins, of_user };
    let rows = [
        // settings, taken (all, admins, own), role, answer
        (seats(2, 0, 0), taken(1, 0, 0), Role::Viewer, Ok(())),
        (seats(2, 0, 0), taken(2, 0, 0), Role::Viewer, Err(NoSeat::Full)),
        (seats(2, 0, 0), taken(2, 0, 0), Role::Admin, Err(NoSeat::Full)),
        (seats(2, 0, 1), taken(1, 0, 0), Role::Operator, Err(NoSeat::Full)),
        (seats(2, 0, 1), taken(1, 0, 0), Role::Admin, Ok(())),
        (seats(2, 0, 1), taken(1, 1, 0), Role::Operator, Ok(())),
        (seats(4, 0, 2), taken(2, 1, 0), Role::Operator, Ok(())),
        (seats(4, 0, 2), taken(2, 0, 0), Role::Operator, Err(NoSeat::Full)),
        (seats(4, 0, 2), taken(3, 2, 0), Role::Operator, Ok(())),
        (seats(9, 1, 0), taken(1, 0, 1), Role::Operator, Err(NoSeat::PerUser)),
        (seats(9, 2, 0), taken(1, 0, 1), Role::Operator, Ok(())),
        (seats(1, 1, 0), taken(1, 0, 1), Role::Operator, Err(NoSeat::PerUser)),
        // After `max` was lowered.
        (seats(1, 0, 0), taken(3, 0, 0), Role::Admin, Err(NoSeat::Full)),
    ];
    for (s, t, role, answer) in rows {
        assert_eq!(admits(&s, t, role), answer, "{s:?} {t:?} {role}");
    }
}
