//! JSON out: members, events and messages as the outside sees them, written straight into a byte buffer.
//!
//! Reading JSON is serde_json's business; writing is ours, because every event is written here exactly once per
//! kind of link and nothing else needs a tree. Text is escaped per RFC 8259, section 7; the output has no line
//! breaks, so that it can be one SSE `data:` line.

use std::fmt::Display;
use std::io::Write;

use crate::msg::{Decimal, DeviceView, Event, Hello, Json, Member, Message, Passing, What};
use std::rc::Rc;

/// A JSON object being written; closed when dropped.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens an object at the end of `out`.
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, empty: true }
    }

    /// The buffer right behind `"name":`; the caller writes one value there.
    pub fn value(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        string(self.out, name);
        self.out.push(b':');
        self.out
    }

    /// A text value.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        string(self.value(name), value);
        self
    }

    /// A value written as text by its `Display`, which must need no escapes (ids, addresses, words).
    pub fn shown(&mut self, name: &str, value: impl Display) -> &mut Self {
        put(self.value(name), format_args!("\"{value}\""));
        self
    }

    /// A number or boolean: whatever `Display` writes is taken as JSON.
    pub fn plain(&mut self, name: &str, value: impl Display) -> &mut Self {
        put(self.value(name), format_args!("{value}"));
        self
    }

    /// `null` for `None`, else as [`Object::plain`].
    pub fn maybe(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(v) => self.plain(name, v),
            None => self.plain(name, "null"),
        }
    }

    /// A moment, as [`time`] writes it.
    pub fn time(&mut self, name: &str, wall_ms: u64) -> &mut Self {
        let out = self.value(name);
        out.push(b'"');
        time(out, wall_ms);
        out.push(b'"');
        self
    }

    /// An object within.
    pub fn object(&mut self, name: &str) -> Object<'_> {
        Object::open(self.value(name))
    }

    /// A member, or `null`.
    pub fn somebody(&mut self, name: &str, m: Option<&Member>) -> &mut Self {
        match m {
            Some(m) => self.member(name, m),
            None => self.plain(name, "null"),
        }
    }

    /// A member.
    pub fn member(&mut self, name: &str, m: &Member) -> &mut Self {
        member(self.value(name), m);
        self
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        self.out.push(b'}');
    }
}

/// An array of whatever `each` writes.
pub fn array<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        each(out, item);
    }
    out.push(b']');
}

/// A JSON string with its quotes.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut start = 0;
    for (i, &b) in bytes.iter().enumerate() {
        if b >= 0x20 && b != b'"' && b != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[start..i]);
        start = i + 1;
        match b {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => put(out, format_args!("\\u{b:04x}")),
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// `2026-11-20T08:50:00.123Z` (RFC 3339, UTC) from milliseconds since 1970.
pub fn time(out: &mut Vec<u8>, wall_ms: u64) {
    let (secs, ms) = (wall_ms / 1000, wall_ms % 1000);
    let (days, second) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil(days);
    put(
        out,
        format_args!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z",
            second / 3600,
            second / 60 % 60,
            second % 60
        ),
    );
}

/// The Gregorian date of a day counted from 1970-01-01: years are taken to begin in March, so that the leap day
/// is the last of its year and month lengths follow one linear rule.
fn civil(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097; // days in 400 years
    let day = days + 719_468; // from 0000-03-01
    let (era, of_era) = (day / ERA, day % ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153; // 0 is March
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

/// MEMBER.
pub fn member(out: &mut Vec<u8>, m: &Member) {
    let mut o = Object::open(out);
    o.shown("session", m.session).text("user", &m.user).shown("role", m.role);
    // an emergency stop may come from somebody without a seat
    o.maybe("seat", (m.seat > 0).then_some(m.seat));
    o.shown("addr", m.addr).time("since", m.since_ms).shown("state", m.state).plain("links", m.links);
    let tenths = |us: u32| Decimal { digits: (u64::from(us) + 50) / 100, places: 1 };
    o.maybe("rtt_ms", m.rtt_us.map(tenths)).text("agent", &m.agent);
}

/// A message, whichever it is.
pub fn message(out: &mut Vec<u8>, m: &Message) {
    match m {
        Message::Logged(e) => event(out, e),
        Message::Passing(p) => passing(out, p),
    }
}

/// A logged event with its id, time and type.
pub fn event(out: &mut Vec<u8>, e: &Event) {
    let mut o = Object::open(out);
    o.shown("id", e.id).time("time", e.time_ms).shown("type", e.what.kind());
    match &e.what {
        What::Joined { member, returned } => o.member("member", member).plain("returned", returned),
        What::Left { member, reason } => o.member("member", member).shown("reason", reason),
        What::Lost { member, after_ms, evidence } => {
            o.member("member", member).plain("after_ms", after_ms).shown("evidence", evidence)
        }
        What::Said { from, text } => o.member("from", from).text("text", text),
        What::TurnedAway { addr, user } => o.shown("addr", addr).text("user", user),
        What::Control { device, holder, was, reason } => {
            o.text("device", device).somebody("holder", holder.as_deref()).somebody("was", was.as_deref());
            o.shown("reason", reason)
        }
        What::Commanded { by, device, command, args } => {
            o.member("by", by).text("device", device).text("command", command).plain("args", args)
        }
        What::Answered { device, to, ok, result, late } => {
            o.text("device", device).shown("to", to).maybe("ok", *ok).plain("result", result).plain("late", late)
        }
        What::Device { device, state, reason } => {
            o.text("device", device).shown("state", state);
            match reason {
                Some(reason) => o.shown("reason", reason),
                None => o.plain("reason", "null"),
            }
        }
    };
}

/// A passing message with its type.
pub fn passing(out: &mut Vec<u8>, p: &Passing) {
    let mut o = Object::open(out);
    o.shown("type", p.kind());
    match p {
        Passing::Hello(h) => hello(&mut o, h),
        Passing::Beat { n } => drop(o.plain("n", n)),
        Passing::Suspected { member, silent_ms } | Passing::Recovered { member, silent_ms } => {
            o.member("member", member).plain("silent_ms", silent_ms);
        }
        Passing::Stalled { member, layer } | Passing::Moving { member, layer } => {
            o.member("member", member).shown("layer", layer);
        }
        Passing::Telemetry { device, values: all, at_ms } => {
            values(o.text("device", device).value("values"), all);
            o.time("at", *at_ms);
        }
        Passing::Offered { device, from, to } => drop(o.text("device", device).member("from", from).member("to", to)),
        Passing::Closing { reason } => drop(o.shown("reason", reason)),
        Passing::Error { reference, error, message } => {
            if let Some(reference) = reference {
                o.plain("ref", reference.json());
            }
            o.text("error", error).text("message", message);
        }
        Passing::Done { reference, id } => {
            o.plain("ref", reference.json());
            match id {
                Some(id) => o.shown("id", id),
                None => o.plain("id", "null"),
            };
        }
    }
}

fn hello(o: &mut Object<'_>, h: &Hello) {
    o.shown("id", h.id).member("you", &h.you);
    o.object("seats").plain("max", h.max).plain("taken", h.taken);
    array(o.value("members"), &h.members, |out, m| member(out, m));
    array(o.value("devices"), &h.devices, device);
    o.plain("replayed", h.replayed).plain("beat_ms", h.beat_ms);
}

/// A device as `/api/devices` and `hello` show it.
pub fn device(out: &mut Vec<u8>, d: &DeviceView) {
    let mut o = Object::open(out);
    o.text("name", &d.name).shown("state", d.state).time("since", d.since_ms);
    o.somebody("holder", d.holder.as_deref()).plain("describe", &d.describe);
    values(o.value("telemetry"), &d.telemetry);
    match d.telemetry_ms {
        Some(ms) => o.time("telemetry_at", ms),
        None => o.plain("telemetry_at", "null"),
    };
}

/// Values by name.
fn values(out: &mut Vec<u8>, values: &[(Rc<str>, Json)]) {
    let mut o = Object::open(out);
    for (name, value) in values {
        o.plain(name, value);
    }
}

/// Writing to a `Vec` cannot fail; this says so once.
fn put(out: &mut Vec<u8>, args: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(args);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::{Epoch, EventId, PeerAddr, Presence, Role, SessionId};
    use std::rc::Rc;

    fn shown(f: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        f(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_that_looks_like_markup_or_line_breaks_stays_one_json_string() {
        let nasty = "a\"b\\c\nd\re\tf\u{1}g\u{2028}é<script>";
        let out = shown(|o| string(o, nasty));
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), nasty);
        assert!(!out.contains('\n') && !out.contains('\r'));
    }

    #[test]
    fn times_are_right_on_leap_days_and_at_the_ends_of_years() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (1_709_164_800_123, "2024-02-29T00:00:00.123Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(shown(|o| time(o, ms)), text);
        }
    }

    #[test]
    fn an_event_has_the_shape_of_the_contract() {
        let m = Rc::new(Member {
            session: SessionId(0x7f3a91c2),
            user: "ann".into(),
            role: Role::Operator,
            seat: 3,
            addr: PeerAddr::canonical("::ffff:192.168.1.20".parse().unwrap()),
            since_ms: 0,
            state: Presence::Present,
            links: 2,
            rtt_us: Some(840),
            agent: "curl/8".into(),
        });
        let id = EventId { epoch: Epoch::from_random(0), seq: 17 };
        let what = What::Lost { member: m, after_ms: 2310, evidence: crate::msg::Evidence::NoAck };
        let out = shown(|o| event(o, &Event { id, time_ms: 1, what }));
        assert_eq!(
            out,
            "{\"id\":\"000000-17\",\"time\":\"1970-01-01T00:00:00.001Z\",\"type\":\"lost\",\"member\":{\
             \"session\":\"7f3a91c2\",\"user\":\"ann\",\"role\":\"operator\",\"seat\":3,\"addr\":\"192.168.1.20\",\
             \"since\":\"1970-01-01T00:00:00.000Z\",\"state\":\"present\",\"links\":2,\"rtt_ms\":0.8,\"agent\":\"curl/8\"},\
             \"after_ms\":2310,\"evidence\":\"no_ack\"}"
        );
    }
}
