//! Which values do not go together. Each rule is one row: the settings it is about, and what is wrong with them.

use super::units::{show_duration, show_size};
use super::{BEAT, Config, PAGE_FLOOR};

/// The settings a complaint is about (the first one that was set is named as the place), and the complaint.
pub(super) type Conflict = (&'static [&'static str], String);

/// Everything that does not go together.
pub(super) fn conflicts(c: &Config) -> Vec<Conflict> {
    let mut found = Vec::new();
    roles(c, &mut found);
    seats(c, &mut found);
    liveness(c, &mut found);
    control(c, &mut found);
    sizes(c, &mut found);
    found
}

fn roles(c: &Config, found: &mut Vec<Conflict>) {
    let (admins, viewers) = (&c.auth.admins, &c.auth.viewers);
    let all = |list: &[String]| list.iter().any(|name| name == "*");
    let both = if all(viewers) {
        admins.first()
    } else if all(admins) {
        viewers.first()
    } else {
        admins.iter().find(|name| viewers.contains(name))
    };
    if let Some(name) = both {
        let remedy = if all(viewers) {
            "; for viewers by default set auth.operators = [] instead: a name in no list is a viewer"
        } else {
            "; remove one of the two"
        };
        found.push((&["auth.viewers", "auth.admins"], format!("{name:?} is both in admins and in viewers{remedy}")));
    }
}

fn seats(c: &Config, found: &mut Vec<Conflict>) {
    let seats = &c.seats;
    if seats.reserved >= seats.max {
        let what = format!("reserved ({}) must be below max ({}): others need a seat too", seats.reserved, seats.max);
        found.push((&["seats.reserved", "seats.max"], what));
    }
}

fn liveness(c: &Config, found: &mut Vec<Conflict>) {
    let live = &c.liveness;
    let show = show_duration;
    if live.poll > live.heartbeat {
        let what = format!("poll ({}) must not be longer than heartbeat ({})", show(live.poll), show(live.heartbeat));
        found.push((&["liveness.poll", "liveness.heartbeat", "liveness.profile"], what));
    }
    if live.suspect_after <= live.heartbeat {
        let what = format!(
            "suspect_after ({}) must be longer than heartbeat ({}), or everybody is suspect all the time",
            show(live.suspect_after),
            show(live.heartbeat)
        );
        found.push((&["liveness.suspect_after", "liveness.heartbeat", "liveness.profile"], what));
    }
    if live.silence <= live.suspect_after {
        let what = format!(
            "silence ({}) must be longer than suspect_after ({}): who is lost was suspect before",
            show(live.silence),
            show(live.suspect_after)
        );
        found.push((&["liveness.silence", "liveness.suspect_after", "liveness.profile"], what));
    }
    if live.stalled_after <= live.silence {
        let what = format!(
            "stalled_after ({}) must be longer than silence ({}), or who is lost looks stalled first",
            show(live.stalled_after),
            show(live.silence)
        );
        found.push((&["liveness.stalled_after", "liveness.silence", "liveness.profile"], what));
    }
    if !live.page_after.is_zero() && live.page_after < live.page_floor() {
        let what = format!(
            "page_after ({}) must be 0s (off) or at least {}: two beats of {} and 1s",
            show(live.page_after),
            show(live.page_floor()),
            show(live.beat())
        );
        found.push((&["liveness.page_after", "liveness.heartbeat", "liveness.profile"], what));
    }
}

fn control(c: &Config, found: &mut Vec<Conflict>) {
    let control = &c.control;
    let floor = |name, value| {
        format!(
            "{name} ({}) must be at least {}: two beats of {} and 1s, so that one late beat is no verdict",
            show_duration(value),
            show_duration(PAGE_FLOOR),
            show_duration(BEAT)
        )
    };
    if control.page_after < PAGE_FLOOR {
        found.push((&["control.page_after"], floor("page_after", control.page_after)));
    }
    if control.command_age < PAGE_FLOOR {
        found.push((&["control.command_age"], floor("command_age", control.command_age)));
    }
    if control.max_silence < control.page_after {
        let what = format!(
            "max_silence ({}) must not be shorter than page_after ({}): it is the later of the two limits",
            show_duration(control.max_silence),
            show_duration(control.page_after)
        );
        found.push((&["control.max_silence", "control.page_after"], what));
    }
}

fn sizes(c: &Config, found: &mut Vec<Conflict>) {
    let (limits, text_max) = (&c.limits, c.chat.text_max);
    // A character has up to four bytes in UTF-8.
    let text_bytes = text_max.saturating_mul(4);
    if text_bytes.saturating_mul(2) > limits.link_queue {
        let what = format!(
            "two texts of {text_max} characters (chat.text_max) may take {} and must fit into limits.link_queue ({})",
            show_size(text_bytes as u64 * 2),
            show_size(limits.link_queue as u64)
        );
        found.push((&["chat.text_max", "limits.link_queue"], what));
    }
}

/// What works, but hardly as it was meant.
pub(super) fn oddities(c: &Config) -> Option<String> {
    let (text_max, body_bytes) = (c.chat.text_max, c.limits.body_bytes);
    // A character has up to four bytes in UTF-8.
    (text_max.saturating_mul(4) > body_bytes).then(|| {
        format!(
            "limits.body_bytes ({}) may cut off a text by POST before it has the {text_max} characters of chat.text_max",
            show_size(body_bytes as u64)
        )
    })
}
