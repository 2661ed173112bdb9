//! Every kind of line, both ways; what makes no sense; and bytes into lines.

use serde_json::json;

use super::*;
use crate::codec::{Decoded, ProtoError};
use crate::msg::{CloseReason, CommandId, ControlReason, Epoch, EventId, FromDevice, ToDevice};

/// Every kind of line of a device, and how it is written.
fn device_lines() -> Vec<(DeviceLine<'static>, &'static str)> {
    let value = |v: serde_json::Value| Some(Raw::Value(v));
    let Some(values) = json!({"rpm": 1200, "t": "ü\n"}).as_object().cloned() else { unreachable!() };
    vec![
        (DeviceLine::Blank, ""),
        (DeviceLine::Hello { name: "pump-1".into(), token: None, describe: None }, r#"{"hello":"pump-1","proto":1}"#),
        (
            DeviceLine::Hello {
                name: "p".into(),
                token: Some("\"x".into()),
                describe: value(json!({"commands": {"stop": {"anyone": true}}})),
            },
            r#"{"hello":"p","token":"\"x","proto":1,"describe":{"commands":{"stop":{"anyone":true}}}}"#,
        ),
        (DeviceLine::Telemetry(values), "{\"telemetry\":{\"rpm\":1200,\"t\":\"ü\\n\"}}"),
        (DeviceLine::Answer { to: "k-1".into(), ok: true, result: None }, r#"{"answer":"k-1","ok":true}"#),
        (
            DeviceLine::Answer { to: "k-1".into(), ok: false, result: value(json!("too hot")) },
            r#"{"answer":"k-1","ok":false,"result":"too hot"}"#,
        ),
        (DeviceLine::Ping(7.into()), r#"{"ping":7}"#),
        (DeviceLine::Pong(7.into()), r#"{"pong":7}"#),
        (DeviceLine::Bye("shutdown".into()), r#"{"bye":"shutdown"}"#),
    ]
}

/// Every kind of line to a device, and how it is written.
fn server_lines() -> Vec<(ServerLine<'static>, &'static str)> {
    let text = |text: &'static str| std::borrow::Cow::Borrowed(text);
    vec![
        (
            ServerLine::Welcome { name: text("p\"1"), heartbeat_ms: 500, epoch: text("k3x9a1") },
            r#"{"welcome":"p\"1","proto":1,"heartbeat_ms":500,"epoch":"k3x9a1"}"#,
        ),
        (ServerLine::Error { error: text("x"), message: text("a b") }, r#"{"error":"x","message":"a b"}"#),
        (
            ServerLine::Command {
                command: text("speed"),
                args: Raw::Value(json!({"rpm": 900})),
                id: text("k-42"),
                by: text("ann"),
            },
            r#"{"command":"speed","args":{"rpm":900},"id":"k-42","by":"ann"}"#,
        ),
        (ServerLine::Control(Some(text("ann"))), r#"{"control":{"holder":"ann"}}"#),
        (ServerLine::Control(None), r#"{"control":{"holder":null}}"#),
        (
            ServerLine::Safe { why: text("lost"), by: text("ann"), after_ms: 2310 },
            r#"{"safe":"lost","by":"ann","after_ms":2310}"#,
        ),
        (ServerLine::Ping(Raw::Value(1.into())), r#"{"ping":1}"#),
        (ServerLine::Pong(Raw::Value(7.into())), r#"{"pong":7}"#),
        (ServerLine::Bye(text("replaced")), r#"{"bye":"replaced"}"#),
        (ServerLine::Link(true), r#"{"link":"up"}"#),
        (ServerLine::Link(false), r#"{"link":"down"}"#),
        (ServerLine::Other, "{}"),
    ]
}

/// Which kind it is: a new one is missed here by the compiler, and then in the table by the test.
fn device_kind(line: &DeviceLine<'_>) -> usize {
    match line {
        DeviceLine::Blank => 0,
        DeviceLine::Hello { .. } => 1,
        DeviceLine::Telemetry(_) => 2,
        DeviceLine::Answer { .. } => 3,
        DeviceLine::Ping(_) => 4,
        DeviceLine::Pong(_) => 5,
        DeviceLine::Bye(_) => 6,
    }
}

fn server_kind(line: &ServerLine<'_>) -> usize {
    match line {
        ServerLine::Welcome { .. } => 0,
        ServerLine::Error { .. } => 1,
        ServerLine::Command { .. } => 2,
        ServerLine::Control(_) => 3,
        ServerLine::Safe { .. } => 4,
        ServerLine::Ping(_) => 5,
        ServerLine::Pong(_) => 6,
        ServerLine::Bye(_) => 7,
        ServerLine::Link(_) => 8,
        ServerLine::Other => 9,
    }
}

fn written(write: impl Fn(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn every_line_of_a_device_is_read_as_it_was_written() {
    let mut kinds = [false; 7];
    for (line, text) in device_lines() {
        assert_eq!(written(|out| line.write(out)), text);
        assert_eq!(DeviceLine::read(text.as_bytes()), Ok(line.clone()), "{text}");
        kinds[device_kind(&line)] = true;
        // and the server takes each
        let mut input = text.to_owned();
        input.push('\n');
        assert!(matches!(Lines::default().decode(input.as_bytes()), Ok(Decoded::Got { msg: Ok(_), .. })), "{text}");
    }
    assert_eq!(kinds, [true; 7]);
}

#[test]
fn every_line_to_a_device_is_read_as_it_was_written() {
    let mut kinds = [false; 10];
    for (line, text) in server_lines() {
        assert_eq!(written(|out| line.write(out)), text);
        assert_eq!(ServerLine::read(text.as_bytes()), Ok(line.clone()), "{text}");
        kinds[server_kind(&line)] = true;
    }
    assert_eq!(kinds, [true; 10]);
    let ready = |text: &[u8]| ServerLine::read(text.trim_ascii()).unwrap();
    assert_eq!(ready(PING), ServerLine::Ping(Raw::Value(1.into())));
    assert_eq!((ready(LINK_UP), ready(LINK_DOWN)), (ServerLine::Link(true), ServerLine::Link(false)));
    for line in [ready(PING), ready(LINK_UP), ready(LINK_DOWN)] {
        let text = written(|out| line.write(out));
        assert!([PING, LINK_UP, LINK_DOWN].iter().any(|l| l.trim_ascii() == text.as_bytes()), "{text}");
    }
}

#[test]
fn a_device_obeys_half_a_line_and_what_it_does_not_know_hides_nothing() {
    for (text, kind) in [
        (r#"{"safe":7}"#, 4),
        (r#"{"safe":"new word","after_ms":"x"}"#, 4),
        (r#"{"command":"go","safe":null}"#, 4),
        (r#"{"bye":null,"command":"go"}"#, 7),
        (r#"{"control":7}"#, 3),
        (r#"{"control":{"holder":7}}"#, 3),
        (r#"{"command":"jog","args":{},"id":"k-1","hold":{"ms":400}}"#, 2),
        (r#"{"hold":"k-1","k":1}"#, 9),
    ] {
        assert_eq!(server_kind(&ServerLine::read(text.as_bytes()).unwrap()), kind, "{text}");
    }
    for text in ["", "[]", "{", "\u{feff}{}"] {
        assert!(ServerLine::read(text.as_bytes()).is_err(), "{text}");
    }
}

fn read(line: &str) -> Line {
    match Lines::default().decode(format!("{line}\n").as_bytes()) {
        Ok(Decoded::Got { msg, .. }) => msg,
        other => panic!("{line}: {other:?}"),
    }
}

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
        let bad = read(line).expect_err(line);
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

// ---------------------------------------------------------------------------------------- bytes that are kept meanwhile

fn buffered(pieces: &[&[u8]]) -> Vec<Result<Vec<u8>, TooLong>> {
    let mut lines = LineBuffer::default();
    let mut found = Vec::new();
    for piece in pieces {
        lines.feed(piece);
        while let Some(line) = lines.line() {
            found.push(line);
        }
    }
    found
}

fn whole(text: &str) -> Result<Vec<u8>, TooLong> {
    Ok(text.into())
}

#[test]
fn lines_are_found_however_the_bytes_are_split() {
    let text = b"{\"a\":1}\r\n\n{}\nrest";
    let expected = [whole("{\"a\":1}"), whole(""), whole("{}")];
    for at in 0..text.len() {
        assert_eq!(buffered(&[&text[..at], &text[at..]]), expected, "split at {at}");
    }
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(buffered(&bytes), expected);
}

#[test]
fn a_byte_order_mark_before_the_first_line_is_skipped_at_every_split() {
    let text = b"\xef\xbb\xbf{}\n\xef\xbb\xbf{}\n";
    for at in 0..text.len() {
        assert_eq!(buffered(&[&text[..at], &text[at..]]), [whole("{}"), whole("\u{feff}{}")], "split at {at}");
    }
    assert_eq!(buffered(&[b"\xef\xbb\xbf\n"]), [whole("")]);
}

#[test]
fn a_line_that_is_too_long_is_said_once_and_skipped() {
    let long = vec![b'x'; LINE_MAX];
    let fits = [Ok(long.clone())];
    assert_eq!(buffered(&[&long, b"\n"]), fits);
    assert_eq!(buffered(&[&long, b"\r\n"]), fits);
    assert_eq!(buffered(&[&long, b"\r", b"\n"]), fits, "whatever comes between the two");
    assert_eq!(buffered(&[&long, b"x\nnext\n"]), [Err(TooLong), whole("next")]);
    assert_eq!(buffered(&[&long, b"xy", &long, &long, b"\nnext\n"]), [Err(TooLong), whole("next")]);
}

#[test]
fn what_is_skipped_is_not_kept() {
    let mut lines = LineBuffer::default();
    for _ in 0..100 {
        lines.feed(&[b'x'; 4096]);
        lines.line();
        assert!(lines.kept() <= LINE_MAX + 4096);
    }
}
