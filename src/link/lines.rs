//! Device lines: one JSON object a line (RFC 8259 in UTF-8), in both directions.
//!
//! A line that makes no sense is told apart from bytes that are no lines: after the first the link goes on, after the
//! second nobody knows any more where a line begins.

use std::rc::Rc;

use serde_json::{Map, Value};

use crate::codec::{Decoded, ProtoError};
pub use crate::describe::device_name_fault as name_fault;
use crate::describe::{self, Describe, VALUES_MAX};
use crate::json::Object;
use crate::msg::{CloseReason, DeviceHello, FromDevice, ToDevice};

/// Bytes of a line without its end. A device with more to say says it in several lines.
pub const LINE_MAX: usize = 64 << 10;
/// Bytes of one value: it goes to every page up to ten times a second.
const VALUE_TEXT_MAX: usize = 256;
/// Bytes of a result that are kept: the log keeps hundreds of them.
pub const RESULT_MAX: usize = 16 << 10;
/// The version of these lines.
pub const PROTO: u64 = 1;
/// What `welcome` promises: a line at least so often.
pub const HEARTBEAT_MS: u64 = 500;

/// A sign of life of ours; its answer is one of the device's.
pub const PING: &[u8] = b"{\"ping\":1}\n";

/// Why a line makes no sense. The link goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadLine {
    /// One word.
    pub error: &'static str,
    /// A sentence with the remedy.
    pub message: String,
}

/// What one line says, or why it says nothing.
pub type Line = Result<FromDevice, BadLine>;

/// The reading side of one link.
#[derive(Debug, Default)]
pub struct Lines {
    /// Bytes of an unfinished line that were searched for its end already.
    searched: usize,
    /// The first line is out, and with it a byte order mark that some programs begin with.
    begun: bool,
}

impl Lines {
    /// The next line.
    ///
    /// # Errors
    /// Bytes that are no lines: too long, or not UTF-8. The link cannot go on.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded<Line>, ProtoError> {
        const LONG: ProtoError = ProtoError::http(400, "a line has at most 64 KiB; send several");
        let searched = self.searched.min(input.len());
        let Some(end) = input[searched..].iter().position(|b| *b == b'\n').map(|at| searched + at) else {
            self.searched = input.len();
            // one more: the line's end may be CR LF
            return if input.len() > LINE_MAX + 1 { Err(LONG) } else { Ok(Decoded::Need) };
        };
        self.searched = 0;
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        if line.len() > LINE_MAX {
            return Err(LONG);
        }
        match std::str::from_utf8(line) {
            Ok(text) => {
                let marked = text.strip_prefix('\u{feff}').filter(|_| !self.begun);
                self.begun = true;
                Ok(Decoded::Got { msg: parse(marked.unwrap_or(text)), used: end + 1 })
            }
            Err(_) => Err(ProtoError::http(400, "a line has to be UTF-8")),
        }
    }
}

/// Appends `line` as one line.
pub fn encode(line: &ToDevice, out: &mut Vec<u8>) {
    let mut o = Object::open(out);
    match line {
        ToDevice::Welcome { name, epoch } => {
            o.text("welcome", name).plain("proto", PROTO).plain("heartbeat_ms", HEARTBEAT_MS);
            o.text("epoch", epoch.as_str());
        }
        ToDevice::Error { error, message } => drop(o.text("error", error).text("message", message)),
        ToDevice::Command { command, args, id, by, anyone: _ } => {
            o.text("command", command).plain("args", args).shown("id", id).text("by", by);
        }
        ToDevice::Control { holder } => {
            let mut o = o.object("control");
            match holder {
                Some(user) => o.text("holder", user),
                None => o.plain("holder", "null"),
            };
        }
        ToDevice::Safe { why, by, after_ms } => {
            o.shown("safe", why).text("by", by).plain("after_ms", after_ms);
        }
        ToDevice::Pong(n) => drop(o.plain("pong", n)),
    }
    drop(o);
    out.push(b'\n');
}

/// Appends the last words of a link that ends for this reason; nothing where the peer knows or has been told.
pub fn farewell(why: CloseReason, out: &mut Vec<u8>) {
    if !matches!(why, CloseReason::Closed | CloseReason::Protocol) {
        Object::open(out).shown("bye", why);
        out.push(b'\n');
    }
}

/// What one line says.
fn parse(text: &str) -> Line {
    if text.trim_ascii().is_empty() {
        return Ok(FromDevice::Blank);
    }
    let bad = |error, message: String| Err(BadLine { error, message });
    let map = match serde_json::from_slice::<Value>(text.as_bytes()) {
        Ok(Value::Object(map)) => map,
        Ok(_) => return bad("json", "a line has to be a JSON object".into()),
        Err(e) => return bad("json", format!("the line is no JSON: {e}")),
    };
    let mut kinds = KINDS.iter().filter(|(name, _)| map.contains_key(*name));
    let Some((name, read)) = kinds.next() else {
        let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        return bad("unknown", format!("a line says one of {}", known.join(", ")));
    };
    if let Some((other, _)) = kinds.next() {
        return bad("shape", format!("a line says one thing; this one has {name:?} and {other:?}"));
    }
    read(&map)
}

type Read = fn(&Map<String, Value>) -> Result<FromDevice, BadLine>;

impl From<String> for BadLine {
    /// What has the wrong shape, as most that is wrong.
    fn from(message: String) -> BadLine {
        BadLine { error: "shape", message }
    }
}

/// Everything that a device may say.
const KINDS: [(&str, Read); 6] =
    [("hello", hello), ("telemetry", telemetry), ("answer", answer), ("ping", ping), ("pong", pong), ("bye", bye)];

fn hello(map: &Map<String, Value>) -> Result<FromDevice, BadLine> {
    let bad = |message: &str| BadLine { error: "hello", message: message.into() };
    let name = map.get("hello").and_then(Value::as_str).ok_or_else(|| bad("`hello` has to be the device's name"))?;
    if let Some(fault) = name_fault(name) {
        return Err(bad(&fault));
    }
    match map.get("proto") {
        None => {}
        Some(v) if v.as_u64() == Some(PROTO) => {}
        Some(_) => return Err(bad(&format!("`proto` has to be {PROTO}"))),
    }
    let token = match map.get("token") {
        None | Some(Value::Null) => None,
        Some(Value::String(token)) => Some(Rc::from(token.as_str())),
        Some(_) => return Err(bad("`token` has to be a string")),
    };
    let describe = match map.get("describe") {
        None | Some(Value::Null) => Describe::default(),
        Some(value) => Describe::parse(value).map_err(|message| BadLine { error: "describe", message })?,
    };
    Ok(FromDevice::Hello(DeviceHello { name: name.into(), token, describe: Rc::new(describe) }))
}

fn telemetry(map: &Map<String, Value>) -> Result<FromDevice, BadLine> {
    let Some(Value::Object(values)) = map.get("telemetry") else {
        return Err(String::from("`telemetry` has to be an object, as in {\"rpm\":1200}").into());
    };
    if values.len() > VALUES_MAX {
        return Err(format!("{} values, at most {VALUES_MAX} are taken", values.len()).into());
    }
    let mut out = Vec::with_capacity(values.len());
    for (name, value) in values {
        if let Some(fault) = describe::name_fault("a value", name) {
            return Err(fault.into());
        }
        let text = value.to_string();
        if value.is_object() || value.is_array() || text.len() > VALUE_TEXT_MAX {
            return Err(format!(
                "the value of {name:?} has to be a number, true, false, null or a string of at most {VALUE_TEXT_MAX} bytes"
            )
            .into());
        }
        out.push((name.as_str().into(), text.into()));
    }
    Ok(FromDevice::Telemetry(out))
}

fn answer(map: &Map<String, Value>) -> Result<FromDevice, BadLine> {
    let to = map
        .get("answer")
        .and_then(Value::as_str)
        .ok_or_else(|| "`answer` has to be the id of a command".to_string())?;
    let ok = map.get("ok").and_then(Value::as_bool).ok_or_else(|| "`ok` has to be true or false".to_string())?;
    let result = map.get("result").map_or("null".into(), Value::to_string);
    // too long to be kept; that the command was done is worth more than what is said of it
    let result = if result.len() > RESULT_MAX { "\"too_long\"".into() } else { result };
    Ok(FromDevice::Answer { to: to.into(), ok, result: result.into() })
}

fn ping(map: &Map<String, Value>) -> Result<FromDevice, BadLine> {
    match map.get("ping") {
        Some(Value::Number(n)) => Ok(FromDevice::Ping(n.to_string().into())),
        _ => Err("`ping` has to be a number".to_string().into()),
    }
}

fn pong(_: &Map<String, Value>) -> Result<FromDevice, BadLine> {
    Ok(FromDevice::Pong)
}

fn bye(_: &Map<String, Value>) -> Result<FromDevice, BadLine> {
    Ok(FromDevice::Bye)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::{CommandId, ControlReason, Epoch, EventId};

    fn all(bytes: &[u8], cuts: &[usize]) -> Result<Vec<Line>, ProtoError> {
        let (mut lines, mut got, mut input) = (Lines::default(), Vec::new(), Vec::new());
        let mut from = 0;
        for &to in cuts.iter().chain([&bytes.len()]) {
            input.extend_from_slice(&bytes[from..to]);
            from = to;
            while let Decoded::Got { msg, used } = lines.decode(&input)? {
                got.push(msg);
                input.drain(..used);
            }
        }
        Ok(got)
    }

    const TALK: &str = concat!(
        r#"{"hello":"pump-1","token":"x","proto":1,"describe":{"commands":{"stop":{"anyone":true}}}}"#,
        "\r\n\n",
        r#"{"telemetry":{"rpm":1200,"temp":41.5,"mode":"über"}}"#,
        "\n{nonsense}\n",
        r#"{"answer":"k3x9-42","ok":true,"result":{"rpm":900}}"#,
        "\n",
        r#"{"ping":7}"#,
        "\n",
        r#"{"bye":"shutdown"}"#,
        "\n"
    );

    #[test]
    fn a_byte_order_mark_is_skipped_before_the_first_line_only() {
        let mut lines = Lines::default();
        let marked = b"\xef\xbb\xbf{\"ping\":1}\n";
        for (input, good) in [(&marked[..2], None), (&marked[..], Some(true)), (&marked[..], Some(false))] {
            let got = match lines.decode(input).unwrap() {
                Decoded::Got { msg, used } => Some((msg.is_ok(), used)),
                _ => None,
            };
            assert_eq!(got, good.map(|good| (good, marked.len())));
        }
    }

    #[test]
    fn lines_are_the_same_at_every_split_of_their_bytes() {
        let whole = all(TALK.as_bytes(), &[]).unwrap();
        assert_eq!(whole.len(), 7);
        assert!(matches!(&whole[0], Ok(FromDevice::Hello(h)) if &*h.name == "pump-1"));
        assert_eq!(whole[1], Ok(FromDevice::Blank));
        assert_eq!(whole[3].as_ref().unwrap_err().error, "json");
        for a in 0..=TALK.len() {
            for b in (a..=TALK.len()).step_by(7) {
                assert_eq!(all(TALK.as_bytes(), &[a, b]).unwrap(), whole, "split at {a} and {b}");
            }
        }
        let each: Vec<usize> = (0..TALK.len()).collect();
        assert_eq!(all(TALK.as_bytes(), &each).unwrap(), whole);
    }

    #[test]
    fn a_line_of_64_kib_passes_and_one_more_byte_breaks_the_link_however_it_comes() {
        for (fill, end, fits) in [(0, "\n", true), (0, "\r\n", true), (1, "\n", false), (1, "\r\n", false)] {
            let text = format!("{{\"bye\":\"{}\"}}", "x".repeat(LINE_MAX - 10 + fill));
            let bytes = format!("{text}{end}");
            assert_eq!(text.len(), LINE_MAX + fill);
            for cuts in [vec![], vec![10], vec![LINE_MAX], vec![LINE_MAX, text.len()]] {
                assert_eq!(all(bytes.as_bytes(), &cuts).is_ok(), fits, "{fill} {end:?} {cuts:?}");
            }
        }
        assert!(all(&[b'x'; LINE_MAX + 2], &[]).is_err(), "without an end in sight");
    }

    #[test]
    fn bytes_that_are_not_utf_8_break_the_link() {
        assert!(all(b"{\"bye\":\"\xff\"}\n", &[]).is_err());
    }

    #[test]
    fn a_line_that_makes_no_sense_is_told_what_would() {
        for (line, error, says) in [
            ("[]", "json", "a JSON object"),
            ("1", "json", "a JSON object"),
            ("{", "json", "no JSON"),
            ("{}", "unknown", "hello, telemetry, answer, ping, pong, bye"),
            (r#"{"status":1}"#, "unknown", "a line says one of"),
            (r#"{"ping":1,"telemetry":{}}"#, "shape", "one thing"),
            (r#"{"ping":"1"}"#, "shape", "a number"),
            (r#"{"telemetry":5}"#, "shape", "an object"),
            (r#"{"telemetry":{"a":[1]}}"#, "shape", "\"a\" has to be a number"),
            (r#"{"answer":5,"ok":true}"#, "shape", "the id"),
            (r#"{"answer":"a-1"}"#, "shape", "`ok`"),
            (r#"{"answer":"a-1","ok":null}"#, "shape", "`ok`"),
            (r#"{"hello":5}"#, "hello", "name"),
            (r#"{"hello":""}"#, "hello", "1 to 64"),
            (r#"{"hello":"a/b"}"#, "hello", "none of"),
            (r#"{"hello":".."}"#, "hello", "no dot"),
            (r#"{"hello":"a","proto":2}"#, "hello", "`proto` has to be 1"),
            (r#"{"hello":"a","token":5}"#, "hello", "`token`"),
            ("{\"hello\":\"a\\u202eb\"}", "hello", "nothing invisible"),
            (r#"{"hello":"a","describe":{"commands":{"x":1}}}"#, "describe", "\"x\""),
            (r#"{"hello":"a","describe":{"telemetry":{"t":{"innerHTML":"<b>"}}}}"#, "describe", "the unit of \"t\""),
            (r#"{"telemetry":{"t":{"innerHTML":"<b>"}}}"#, "shape", "\"t\" has to be a number"),
            ("{\"telemetry\":{\"a\\u200b\":1}}", "shape", "invisible"),
        ] {
            let bad = parse(line).expect_err(line);
            assert!(bad.error == error && bad.message.contains(says), "{line}: {bad:?}");
        }
    }

    #[test]
    fn what_is_said_to_a_device_has_the_shape_of_the_contract() {
        let said = |line: ToDevice| {
            let mut out = Vec::new();
            encode(&line, &mut out);
            String::from_utf8(out).unwrap()
        };
        let epoch = Epoch::from_random(0);
        assert_eq!(
            said(ToDevice::Welcome { name: "pump-1".into(), epoch }),
            "{\"welcome\":\"pump-1\",\"proto\":1,\"heartbeat_ms\":500,\"epoch\":\"000000\"}\n"
        );
        let id = EventId { epoch, seq: 42 };
        assert_eq!(
            said(ToDevice::Command {
                command: "speed".into(),
                args: "{\"rpm\":900}".into(),
                id: CommandId { event: id, again: 0 },
                by: "ann".into(),
                anyone: false
            }),
            "{\"command\":\"speed\",\"args\":{\"rpm\":900},\"id\":\"000000-42\",\"by\":\"ann\"}\n"
        );
        assert_eq!(said(ToDevice::Control { holder: Some("ann".into()) }), "{\"control\":{\"holder\":\"ann\"}}\n");
        assert_eq!(said(ToDevice::Control { holder: None }), "{\"control\":{\"holder\":null}}\n");
        assert_eq!(
            said(ToDevice::Safe { why: ControlReason::Lost, by: "ann".into(), after_ms: 2310 }),
            "{\"safe\":\"lost\",\"by\":\"ann\",\"after_ms\":2310}\n"
        );
        assert_eq!(said(ToDevice::Pong("7".into())), "{\"pong\":7}\n");
        let mut out = Vec::new();
        farewell(CloseReason::Replaced, &mut out);
        assert_eq!(out, b"{\"bye\":\"replaced\"}\n");
    }
}
