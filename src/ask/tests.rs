use super::*;
use serde_json::json;

fn read(text: &str) -> Result<Ask, &'static str> {
    Request::read(text).ask
}

fn unclear(text: &str) -> &'static str {
    match read(text) {
        Err(why) => why,
        Ok(other) => panic!("{text} is understood as {other:?}"),
    }
}

fn order(args: Value, beat: Option<u64>) -> Command {
    let args = Args::new(Some(args)).expect("an object");
    Command { device: "p".into(), command: "stop".into(), args, beat, reference: None, flaw: None }
}

#[test]
fn every_message_of_the_protocol_is_understood() {
    assert_eq!(read(r#"{"say":"a\u00e9\nb"}"#), Ok(Ask::Say("a\u{e9}\nb".into())));
    assert_eq!(read(r#"{"bye":true}"#), Ok(Ask::Bye));
    assert_eq!(read(r#"{"beat":17}"#), Ok(Ask::Beat(Beat { n: 17, hold: vec![] })));
    assert_eq!(
        read(r#" {"hold":["pump-1","b"],"beat":9007199254740991,"new":1} "#),
        Ok(Ask::Beat(Beat { n: 9_007_199_254_740_991, hold: vec!["pump-1".into(), "b".into()] }))
    );
    let stop = |more: &str| format!(r#"{{"command":{{"device":"p","command":"stop"{more}}}"#);
    assert_eq!(read(&(stop(r#","args":{"x":9}"#) + r#","beat":3}"#)), Ok(Ask::Command(order(json!({"x":9}), Some(3)))));
    assert_eq!(read(&(stop("") + "}")), Ok(Ask::Command(order(json!({}), None))));
    // the first second of a page, in which it has seen no beat
    assert_eq!(read(&(stop(r#","args":null"#) + r#","beat":null}"#)), Ok(Ask::Command(order(json!({}), None))));
    assert_eq!(command("p", br#"{"command":"stop","beat":null}"#), Ok(order(json!({}), None)));
    assert_eq!(
        read(r#"{"control":{"device":"p","action":"give","to":"7f3a91c2","lease":null}}"#),
        Ok(Ask::Control(Control {
            device: "p".into(),
            action: "give".into(),
            to: Some("7f3a91c2".into()),
            lease: None
        }))
    );
}

#[test]
fn a_ref_is_kept_as_it_came_and_is_kept_for_what_is_unclear_too() {
    let shown = |text: &str| Request::read(text).reference.map(|r| r.json().to_owned());
    assert_eq!(shown(r#"{"say":"a","ref":"x\n\"1"}"#).as_deref(), Some(r#""x\n\"1""#));
    assert_eq!(shown(r#"{"say":"a","ref":17}"#).as_deref(), Some("17"));
    assert_eq!(shown(r#"{"say":1,"ref":"b"}"#).as_deref(), Some(r#""b""#));
    assert_eq!(shown(r#"{"say":"a"}"#), None);
    for bad in [r#"{}"#, "[1]", "1.5", "true"] {
        assert_eq!(unclear(&format!(r#"{{"say":"a","ref":{bad}}}"#)), REF);
    }
    assert_eq!(unclear(&format!(r#"{{"say":"a","ref":"{}"}}"#, "x".repeat(Ref::LEN_MAX))), REF);
}

#[test]
fn what_has_another_shape_is_named_not_guessed() {
    for text in ["", "x", "[]", "1", "null", "{}", r#"{"said":"a"}"#, r#"{"say":"a""#, r#"{"say":"a"} {}"#] {
        assert_eq!(unclear(text), OBJECT, "{text}");
    }
    assert_eq!(unclear(r#"{"say":1}"#), SAY);
    assert_eq!(unclear(r#"{"bye":false}"#), BYE);
    for text in [r#"{"beat":-1}"#, r#"{"beat":"1"}"#, r#"{"beat":1,"hold":"p"}"#, r#"{"beat":1,"hold":[1]}"#] {
        assert_eq!(unclear(text), BEAT, "{text}");
    }
    for text in [r#"{"command":"start"}"#, r#"{"command":{"device":"p"}}"#, r#"{"command":{"device":"p","command":1}}"#]
    {
        assert_eq!(unclear(text), COMMAND, "{text}");
    }
    for text in [r#"{"control":1}"#, r#"{"control":{"device":"p"}}"#, r#"{"control":{"device":1,"action":"take"}}"#] {
        assert_eq!(unclear(text), CONTROL, "{text}");
    }
}

#[test]
fn nesting_without_end_is_refused_and_does_not_overflow_the_stack() {
    assert_eq!(unclear(&"[".repeat(60_000)), OBJECT);
    assert_eq!(unclear(&format!("{{\"say\":{}", "{\"a\":".repeat(10_000))), OBJECT);
}

/// What becomes of `fields` as a command on a WebSocket and by POST; and of control, a beat's answer and a text.
fn both(fields: &Map<String, Value>) -> [[Result<Ask, &'static str>; 2]; 4] {
    let socket = |kind: &str, outside: &[&str]| {
        let mut inner = fields.clone();
        let mut message = Map::new();
        for name in outside {
            if let Some(value) = inner.remove(*name) {
                message.insert((*name).into(), value);
            }
        }
        inner.insert("device".into(), "p".into());
        message.insert(kind.into(), Value::Object(inner));
        read(&Value::Object(message).to_string())
    };
    let body = Value::Object(fields.clone()).to_string();
    let mut said = Map::new();
    said.insert("say".into(), fields.get("text").cloned().filter(|v| !v.is_null()).unwrap_or(json!(0)));
    let mut beat_only = Map::new();
    for name in ["beat", "hold"] {
        if let Some(value) = fields.get(name) {
            beat_only.insert(name.into(), value.clone());
        }
    }
    beat_only.entry("beat").or_insert(Value::Null);
    [
        [socket("command", &["beat", "ref"]), command("p", body.as_bytes()).map(Ask::Command)],
        [socket("control", &[]), control("p", body.as_bytes()).map(Ask::Control)],
        [read(&Value::Object(beat_only).to_string()), beat(body.as_bytes()).map(Ask::Beat)],
        [read(&Value::Object(said).to_string()), text(body.as_bytes()).map(Ask::Say)],
    ]
}

#[test]
fn a_websocket_and_a_post_take_and_refuse_the_same_with_the_same_words() {
    let values = [
        "null",
        "true",
        "0",
        "17",
        "-1",
        "1.5",
        "1.0",
        "18446744073709551615",
        "18446744073709551616",
        "1e400",
        "\"\"",
        "\"stop\"",
        "\"7f3a91c2\"",
        "\"30s\"",
        "[]",
        "[\"p\"]",
        "[1]",
        "[null]",
        "{}",
        "{\"x\":1}",
        "{\"x\":null}",
    ];
    let names = ["command", "args", "beat", "ref", "action", "to", "lease", "hold", "text", "new"];
    let good = [("command", json!("stop")), ("action", json!("take")), ("text", json!("hi")), ("beat", json!(1))];
    let mut seen = [[0; 2]; 4];
    let mut look = |fields: &Map<String, Value>| {
        for (n, [socket, post]) in both(fields).into_iter().enumerate() {
            assert_eq!(socket, post, "{fields:?}");
            seen[n][usize::from(post.is_ok())] += 1;
        }
    };
    // each value by each name, in a body that is right but for it and in an empty one
    for name in names {
        for value in values {
            let Ok(value) = serde_json::from_str::<Value>(value) else { continue };
            for start in [Map::new(), good.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect()] {
                let mut fields: Map<String, Value> = start;
                fields.insert(name.into(), value.clone());
                look(&fields);
            }
        }
    }
    // and many of them at random
    let mut seed = 0x5eed_u64;
    let mut draw = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    };
    for _ in 0..20_000 {
        let mut fields = Map::new();
        for _ in 0..draw(7) {
            let name = names[draw(names.len())];
            if let Ok(value) = serde_json::from_str(values[draw(values.len())]) {
                fields.insert(name.into(), value);
            }
        }
        look(&fields);
    }
    assert!(seen.iter().flatten().all(|&n| n > 100), "each is taken and refused: {seen:?}");
}

#[test]
fn bytes_that_are_no_object_are_refused_alike() {
    for text in
        ["", " ", "x", "[]", "1", "null", "\"a\"", "{", "{}x", "{\"command\":}", "\u{feff}{\"command\":\"stop\"}"]
    {
        let alike = [read(text).err(), command("p", text.as_bytes()).err(), control("p", text.as_bytes()).err()];
        assert_eq!(alike, [Some(OBJECT); 3], "{text}");
    }
}

#[test]
fn an_unreadable_beat_or_ref_is_a_flaw_that_a_stop_does_not_mind() {
    for (more, flaw) in
        [(r#""beat":"x""#, SEEN), (r#""beat":-1"#, SEEN), (r#""ref":[]"#, REF), (r#""beat":1e400"#, OBJECT)]
    {
        let by_post = command("p", format!(r#"{{"command":"stop",{more}}}"#).as_bytes());
        let on_socket = read(&format!(r#"{{"command":{{"device":"p","command":"stop"}},{more}}}"#));
        if flaw == OBJECT {
            assert_eq!((by_post.err(), on_socket.err()), (Some(OBJECT), Some(OBJECT)), "no JSON number");
            continue;
        }
        let by_post = by_post.expect(more);
        assert_eq!((by_post.flaw, by_post.beat, &by_post.reference), (Some(flaw), None, &None), "{more}");
        assert_eq!(on_socket, Ok(Ask::Command(by_post)), "{more}");
    }
}
