//! The transition table: one row for each rule of the seats. Times in milliseconds; the moment of the trigger is 100 s.

use super::*;

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
        requested: at(50_000),
        heard: at(50_000),
        html: false,
        cookieless: false,
    }
}

fn lingering() -> SessionState {
    SessionState::Lingering { until: at(NOW + 3_000) }
}

fn plain() -> SessionState {
    SessionState::Plain { until: at(NOW + 60_000) }
}

fn lost() -> SessionState {
    SessionState::Lost { until: at(NOW + 30_000) }
}

fn doubt(until: u64, last: u64, evidence: Evidence) -> SessionState {
    SessionState::Doubt { until: at(until), last: at(last), evidence }
}

struct Row {
    rule: &'static str,
    from: SessionState,
    trigger: Trigger,
    facts: Facts,
    to: SessionState,
    announcement: Announcement,
}

fn row(
    rule: &'static str,
    from: SessionState,
    trigger: Trigger,
    facts: Facts,
    to: SessionState,
    announcement: Announcement,
) -> Row {
    Row { rule, from, trigger, facts, to, announcement }
}

#[test]
fn every_rule_of_the_seats_is_a_row_of_this_table() {
    use Announcement::Nothing;
    use Evidence::{Keepalive, NoAck, Reset};
    use SessionState::{Ended, Linked, Unseated};
    let f = facts();
    let html = Facts { html: true, requested: at(NOW - 10), heard: at(NOW - 10), ..f };
    let curl = Facts { cookieless: true, ..f };
    let page = |html| Trigger::Requested(Purpose::Page { html });
    let (act, read, link) =
        (Trigger::Requested(Purpose::Act), Trigger::Requested(Purpose::Read), Trigger::Requested(Purpose::Link));
    let gone = |last| Trigger::Vanished { last: at(last), evidence: NoAck };
    let reset = Trigger::Vanished { last: at(NOW - 100), evidence: Reset };
    let plain_gone = |last| Trigger::PlainVanished { last: at(last), evidence: Keepalive };
    let heard = |ms| Facts { heard: at(ms), requested: at(ms), ..f };
    let was_lost = |until| SessionState::Lost { until: at(until) };
    let joined = |returned| Announcement::Joined { returned };
    let short_plain = Facts { plain: Duration::from_secs(1), ..html };
    let said_lost = |last, evidence| Announcement::Lost { last: at(last), evidence };

    let rows = [
        // Taking a seat.
        row("a page takes a seat", Unseated, page(true), f, plain(), joined(false)),
        row("a file takes a seat", Unseated, page(false), f, plain(), joined(false)),
        row("whoever changes something takes a seat", Unseated, act, f, plain(), joined(false)),
        row("asking for a link takes a seat, and the link has to come", Unseated, link, f, lingering(), joined(false)),
        row("a link takes a seat", Unseated, Trigger::Opened, f, Linked, joined(false)),
        row("reading takes none", Unseated, read, f, Unseated, Nothing),
        row("nor does reading bring a lost one back", was_lost(NOW + 1), read, f, was_lost(NOW + 1), Nothing),
        // Coming back after a loss.
        row("a link brings a lost one back", was_lost(NOW), Trigger::Opened, f, Linked, joined(true)),
        row("a page brings a lost one back", was_lost(NOW + 1), page(true), f, plain(), joined(true)),
        row("too late, it only joins", was_lost(NOW - 1), Trigger::Opened, f, Linked, joined(false)),
        row("too late, a page only joins", was_lost(NOW - 1), page(true), f, plain(), joined(false)),
        // With a link.
        row("a link carries as long as it lives", Linked, Trigger::Tick, f, Linked, Nothing),
        row("requests beside a link change nothing", Linked, page(true), f, Linked, Nothing),
        row("a further link changes nothing", Linked, Trigger::Opened, f, Linked, Nothing),
        row("a lost plain connection beside a link changes nothing", Linked, plain_gone(1), f, Linked, Nothing),
        // The last link ends in order.
        row("it lingers", Linked, Trigger::Closed, f, lingering(), Nothing),
        row(
            "HTML asked for since then carries from its own time",
            Linked,
            Trigger::Closed,
            html,
            SessionState::Plain { until: at(NOW - 10 + 60_000) },
            Nothing,
        ),
        row(
            "but never shorter than lingering",
            Linked,
            Trigger::Closed,
            short_plain,
            SessionState::Plain { until: at(NOW + 3_000) },
            Nothing,
        ),
        row("the same member returns by a link", lingering(), Trigger::Opened, f, Linked, Nothing),
        row("a reload in time carries", lingering(), page(true), f, plain(), Nothing),
        row(
            "a page's other requests keep it warm",
            SessionState::Lingering { until: at(NOW + 1) },
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
            SessionState::Lingering { until: at(NOW + 1) },
            Trigger::Tick,
            f,
            SessionState::Lingering { until: at(NOW + 1) },
            Nothing,
        ),
        row(
            "lingering ends",
            SessionState::Lingering { until: at(NOW) },
            Trigger::Tick,
            f,
            Unseated,
            Announcement::Left(LeftReason::Closed),
        ),
        // Without a link.
        row(
            "every request renews a plain visit",
            SessionState::Plain { until: at(NOW + 1) },
            page(false),
            f,
            plain(),
            Nothing,
        ),
        row("reading too", SessionState::Plain { until: at(NOW + 1) }, read, f, plain(), Nothing),
        row("a link takes a plain visit over", plain(), Trigger::Opened, f, Linked, Nothing),
        row(
            "a plain visit goes on until its end",
            SessionState::Plain { until: at(NOW + 1) },
            Trigger::Tick,
            f,
            SessionState::Plain { until: at(NOW + 1) },
            Nothing,
        ),
        row(
            "a plain visit ends",
            SessionState::Plain { until: at(NOW) },
            Trigger::Tick,
            f,
            Unseated,
            Announcement::Left(LeftReason::Closed),
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
            SessionState::Plain { until: at(NOW - 1_200 + 60_000) },
            Nothing,
        ),
        // Reset.
        row("a reset waits for a reload to be read", Linked, reset, f, doubt(NOW + 200, NOW - 100, Reset), Nothing),
        row(
            "a reload read before the reset carries",
            Linked,
            reset,
            html,
            SessionState::Plain { until: at(NOW - 10 + 60_000) },
            Nothing,
        ),
        row("a reload read after it carries", doubt(NOW + 1, 1, Reset), page(true), f, plain(), Nothing),
        row("no reload: lost", doubt(NOW, NOW - 300, Reset), Trigger::Tick, f, lost(), said_lost(NOW - 300, Reset)),
        // In doubt.
        row(
            "doubt goes on until its end",
            doubt(NOW + 1, 1, NoAck),
            Trigger::Tick,
            f,
            doubt(NOW + 1, 1, NoAck),
            Nothing,
        ),
        row("doubt ends", doubt(NOW, 9, NoAck), Trigger::Tick, f, lost(), said_lost(9, NoAck)),
        row("a request ends doubt: the next link is expected", doubt(NOW + 1, 9, NoAck), act, f, lingering(), Nothing),
        row("reading too", doubt(NOW + 1, 9, NoAck), read, f, lingering(), Nothing),
        row("a link ends doubt", doubt(NOW + 1, 9, NoAck), Trigger::Opened, f, Linked, Nothing),
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
            Trigger::PlainVanished { last: at(1), evidence: Reset },
            f,
            plain(),
            Nothing,
        ),
        row("without a seat there is nothing to lose", Unseated, plain_gone(1), f, Unseated, Nothing),
        // Ends.
        row(
            "evicted is final",
            Linked,
            Trigger::End(LeftReason::Evicted),
            f,
            Ended(LeftReason::Evicted),
            Announcement::Left(LeftReason::Evicted),
        ),
        row(
            "logged out is final",
            plain(),
            Trigger::End(LeftReason::Logout),
            f,
            Ended(LeftReason::Logout),
            Announcement::Left(LeftReason::Logout),
        ),
        row(
            "idle is final",
            Linked,
            Trigger::End(LeftReason::Idle),
            f,
            Ended(LeftReason::Idle),
            Announcement::Left(LeftReason::Idle),
        ),
        row(
            "replaced is final",
            Linked,
            Trigger::End(LeftReason::Replaced),
            f,
            Ended(LeftReason::Replaced),
            Announcement::Left(LeftReason::Replaced),
        ),
        row(
            "too slow may come again",
            Linked,
            Trigger::End(LeftReason::Slow),
            f,
            Unseated,
            Announcement::Left(LeftReason::Slow),
        ),
        row(
            "a dead page may come again",
            Linked,
            Trigger::End(LeftReason::Stalled),
            f,
            Unseated,
            Announcement::Left(LeftReason::Stalled),
        ),
        row(
            "logging out without a seat is final and quiet",
            Unseated,
            Trigger::End(LeftReason::Logout),
            f,
            Ended(LeftReason::Logout),
            Nothing,
        ),
        row(
            "logging out when lost too",
            lost(),
            Trigger::End(LeftReason::Logout),
            f,
            Ended(LeftReason::Logout),
            Nothing,
        ),
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
            Trigger::Opened,
            f,
            Ended(LeftReason::Idle),
            Nothing,
        ),
        row(
            "what is over stays over: other ends",
            Ended(LeftReason::Idle),
            Trigger::End(LeftReason::Logout),
            f,
            Ended(LeftReason::Idle),
            Nothing,
        ),
        row(
            "what is over stays over: time",
            Ended(LeftReason::Idle),
            Trigger::Tick,
            f,
            Ended(LeftReason::Idle),
            Nothing,
        ),
    ];
    for r in rows {
        let got = r.from.next(r.trigger, &r.facts);
        assert_eq!(got, (r.to, r.announcement), "{}: {:?} + {:?}", r.rule, r.from, r.trigger);
    }
}

#[test]
fn what_is_told_agrees_with_who_sits_for_every_state_and_cue() {
    let f = facts();
    let stands = [
        SessionState::Unseated,
        SessionState::Linked,
        lingering(),
        plain(),
        doubt(NOW, 1, Evidence::NoAck),
        lost(),
        SessionState::Ended(LeftReason::Idle),
    ];
    let (last, evidence) = (at(5), Evidence::OneWay);
    let mut cues = vec![
        Trigger::Opened,
        Trigger::Closed,
        Trigger::Tick,
        Trigger::Vanished { last, evidence },
        Trigger::Vanished { last, evidence: Evidence::Reset },
        Trigger::PlainVanished { last, evidence },
        Trigger::Requested(Purpose::Page { html: true }),
        Trigger::Requested(Purpose::Page { html: false }),
        Trigger::Requested(Purpose::Act),
        Trigger::Requested(Purpose::Link),
        Trigger::Requested(Purpose::Read),
    ];
    cues.extend(LeftReason::ALL.iter().map(|&r| Trigger::End(r)));
    for from in stands {
        for &trigger in &cues {
            let (to, announcement) = from.next(trigger, &f);
            let expected = match announcement {
                Announcement::Nothing => from.is_seated() == to.is_seated(),
                Announcement::Joined { .. } => !from.is_seated() && to.is_seated(),
                Announcement::Left(_) | Announcement::Lost { .. } => from.is_seated() && !to.is_seated(),
            };
            assert!(expected, "{from:?} + {trigger:?} -> {to:?}, {announcement:?}");
        }
    }
}
