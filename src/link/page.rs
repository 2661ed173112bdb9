//! What a page may say on its link: one JSON object a message (docs/protocol.md). Read here, done in `routes::steps`.
//!
//! Never does: knowing how messages are framed, or what becomes of them.

use serde_json::{Map, Value};

use crate::msg::Ref;

/// One message of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Echoed in the reply; without one only a refusal is told.
    pub reference: Option<Ref>,
    /// What it asks for.
    pub ask: Ask,
}

/// What a page asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// `{"say":"text"}`: a line of chat.
    Say {
        /// What.
        text: String,
    },
    /// `{"beat":N,"hold":["pump-1"]}`: the answer to a beat.
    Beat {
        /// The beat's number.
        n: u64,
        /// The devices that this page controls.
        hold: Vec<String>,
    },
    /// `{"bye":true}`: the page goes.
    Bye,
    /// `{"command":{"device","command","args"},"beat":N}`.
    Command {
        /// The device's name.
        device: String,
        /// The command's name.
        command: String,
        /// Its arguments as they came; `Null` if none did. Not checked.
        args: Value,
        /// The last beat that the page saw.
        beat: Option<u64>,
    },
    /// `{"control":{"device","action","to","lease"}}`.
    Control {
        /// The device's name.
        device: String,
        /// `take`, `release`, `force`, `give`; not checked.
        action: String,
        /// Whom to give it to: a session's public name, not checked.
        to: Option<String>,
        /// How long to hold it without a page (`"30s"`), not checked.
        lease: Option<String>,
    },
    /// Nothing that is understood here: why.
    Unclear(&'static str),
}

const SHAPE: &str = "a message is one JSON object like {\"say\":\"hello\"}; see docs/protocol.md";
const SAY: &str = "`say` is a string";
const BYE: &str = "`bye` is true";
const BEAT: &str = "a beat's answer is like {\"beat\":17,\"hold\":[]}: its number and the names of devices";
const COMMAND: &str =
    "a command is like {\"command\":{\"device\":\"pump-1\",\"command\":\"start\",\"args\":{}},\"beat\":17}";
const CONTROL: &str = "control is like {\"control\":{\"device\":\"pump-1\",\"action\":\"take\"}}";
const REF: &str = "`ref` is a string or a whole number of at most 128 bytes";

impl Request {
    /// Reads one message. What is not understood becomes [`Ask::Unclear`]; names that are not known are ignored.
    pub fn read(text: &str) -> Request {
        let Ok(Value::Object(map)) = serde_json::from_slice(text.as_bytes()) else {
            return Request { reference: None, ask: Ask::Unclear(SHAPE) };
        };
        let reference = match map.get("ref") {
            None | Some(Value::Null) => None,
            Some(value) => match reference(value) {
                Some(reference) => Some(reference),
                None => return Request { reference: None, ask: Ask::Unclear(REF) },
            },
        };
        Request { reference, ask: ask(map).unwrap_or_else(Ask::Unclear) }
    }
}

/// A `ref` as it may come, here and in the body of a POST: a string or a whole number.
pub fn reference(value: &Value) -> Option<Ref> {
    match value {
        Value::String(_) => Ref::from_json(&value.to_string()),
        Value::Number(n) if n.is_u64() || n.is_i64() => Ref::from_json(&value.to_string()),
        _ => None,
    }
}

fn ask(mut map: Map<String, Value>) -> Result<Ask, &'static str> {
    if let Some(command) = map.remove("command") {
        return self::command(command, map.get("beat"));
    }
    if let Some(control) = map.get("control") {
        return self::control(control);
    }
    match map.remove("say") {
        Some(Value::String(text)) => return Ok(Ask::Say { text }),
        Some(_) => return Err(SAY),
        None => {}
    }
    if let Some(bye) = map.get("bye") {
        return if *bye == Value::Bool(true) { Ok(Ask::Bye) } else { Err(BYE) };
    }
    let Some(beat) = map.get("beat") else { return Err(SHAPE) };
    let n = beat.as_u64().ok_or(BEAT)?;
    let hold = match map.get("hold") {
        None => Vec::new(),
        Some(Value::Array(names)) => {
            names.iter().map(|name| name.as_str().map(str::to_owned).ok_or(BEAT)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(BEAT),
    };
    Ok(Ask::Beat { n, hold })
}

fn command(mut command: Value, beat: Option<&Value>) -> Result<Ask, &'static str> {
    let beat = match beat {
        None => None,
        Some(n) => Some(n.as_u64().ok_or(COMMAND)?),
    };
    let mut text = |name: &str| match command.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(COMMAND),
    };
    let (device, name) = (text("device")?, text("command")?);
    let args = command.get_mut("args").map(Value::take).unwrap_or_default();
    Ok(Ask::Command { device, command: name, args, beat })
}

fn control(control: &Value) -> Result<Ask, &'static str> {
    let text = |name: &str| match control.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(CONTROL),
    };
    let (Some(device), Some(action)) = (text("device")?, text("action")?) else { return Err(CONTROL) };
    Ok(Ask::Control { device, action, to: text("to")?, lease: text("lease")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Ask {
        Request::read(text).ask
    }

    fn unclear(text: &str) -> &'static str {
        match Request::read(text).ask {
            Ask::Unclear(why) => why,
            other => panic!("{text} is understood as {other:?}"),
        }
    }

    #[test]
    fn every_message_of_the_protocol_is_understood() {
        assert_eq!(ask(r#"{"say":"a\u00e9\nb"}"#), Ask::Say { text: "a\u{e9}\nb".into() });
        assert_eq!(ask(r#"{"bye":true}"#), Ask::Bye);
        assert_eq!(ask(r#"{"beat":17}"#), Ask::Beat { n: 17, hold: vec![] });
        assert_eq!(
            ask(r#" {"hold":["pump-1","b"],"beat":9007199254740991,"new":1} "#),
            Ask::Beat { n: 9_007_199_254_740_991, hold: vec!["pump-1".into(), "b".into()] }
        );
        assert_eq!(
            ask(r#"{"command":{"device":"p","command":"speed","args":{"rpm":900}},"beat":3}"#),
            Ask::Command {
                device: "p".into(),
                command: "speed".into(),
                args: serde_json::json!({"rpm": 900}),
                beat: Some(3)
            }
        );
        assert_eq!(
            ask(r#"{"command":{"device":"p","command":"stop"}}"#),
            Ask::Command { device: "p".into(), command: "stop".into(), args: Value::Null, beat: None }
        );
        assert_eq!(
            ask(r#"{"control":{"device":"p","action":"give","to":"7f3a91c2"}}"#),
            Ask::Control { device: "p".into(), action: "give".into(), to: Some("7f3a91c2".into()), lease: None }
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
            assert_eq!(unclear(text), SHAPE, "{text}");
        }
        assert_eq!(unclear(r#"{"say":1}"#), SAY);
        assert_eq!(unclear(r#"{"bye":false}"#), BYE);
        for text in [r#"{"beat":-1}"#, r#"{"beat":"1"}"#, r#"{"beat":1,"hold":"p"}"#, r#"{"beat":1,"hold":[1]}"#] {
            assert_eq!(unclear(text), BEAT, "{text}");
        }
        for text in [
            r#"{"command":"start"}"#,
            r#"{"command":{"device":"p"}}"#,
            r#"{"command":{"device":"p","command":1}}"#,
            r#"{"command":{"device":"p","command":"a"},"beat":"x"}"#,
        ] {
            assert_eq!(unclear(text), COMMAND, "{text}");
        }
        for text in [r#"{"control":1}"#, r#"{"control":{"device":"p"}}"#, r#"{"control":{"device":1,"action":"take"}}"#]
        {
            assert_eq!(unclear(text), CONTROL, "{text}");
        }
    }

    #[test]
    fn nesting_without_end_is_refused_and_does_not_overflow_the_stack() {
        assert_eq!(unclear(&"[".repeat(60_000)), SHAPE);
        assert_eq!(unclear(&format!("{{\"say\":{}", "{\"a\":".repeat(10_000))), SHAPE);
    }
}
