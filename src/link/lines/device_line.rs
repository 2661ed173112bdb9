//! What a device says.

use std::borrow::Cow;

use serde_json::{Number, Value};

use super::wire::{BadLine, Fields, PROTO, Raw, object};
use crate::json::Object;

/// One line of a device, as it stands there; what is in it is checked no further than its shape.
#[derive(Clone, PartialEq, Debug)]
pub enum DeviceLine<'a> {
    /// An empty line: a sign of life and nothing more.
    Blank,
    /// The first line.
    Hello {
        /// The device's name.
        name: Cow<'a, str>,
        /// Its token, if it has one.
        token: Option<Cow<'a, str>>,
        /// What it can do, if it says so.
        describe: Option<Raw<'a>>,
    },
    /// Values by name.
    Telemetry(Fields),
    /// What came of a command.
    Answer {
        /// The command's id.
        to: Cow<'a, str>,
        /// Whether it was done.
        ok: bool,
        /// What the device says of it.
        result: Option<Raw<'a>>,
    },
    /// A sign of life that wants an answer with this number.
    Ping(Number),
    /// The answer to the server's ping; a number, but any will do.
    Pong(Value),
    /// It goes; a word for why.
    Bye(Cow<'a, str>),
}

type Read = fn(&mut Fields) -> Result<DeviceLine<'static>, BadLine>;

/// Everything that a device may say.
const KINDS: [(&str, Read); 6] = [
    ("hello", hello),
    ("telemetry", telemetry),
    ("answer", answer),
    ("ping", ping),
    ("pong", |fields| Ok(DeviceLine::Pong(fields.remove("pong").unwrap_or_default()))),
    ("bye", |fields| Ok(DeviceLine::Bye(word(fields, "bye").unwrap_or_default().into()))),
];

impl DeviceLine<'_> {
    /// What `line` says, which is without its end.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn read(line: &[u8]) -> Result<DeviceLine<'static>, BadLine> {
        if line.trim_ascii().is_empty() {
            return Ok(DeviceLine::Blank);
        }
        DeviceLine::of(object(line)?)
    }

    /// What an object says as a line.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn of(mut fields: Fields) -> Result<DeviceLine<'static>, BadLine> {
        let mut kinds = KINDS.iter().filter(|(name, _)| fields.contains_key(*name));
        let Some((name, read)) = kinds.next() else {
            let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
            let message = format!("a line says one of {}", known.join(", "));
            return Err(BadLine { error: "unknown", message });
        };
        if let Some((other, _)) = kinds.next() {
            return Err(format!("a line says one thing; this one has {name:?} and {other:?}").into());
        }
        read(&mut fields)
    }

    /// Appends it, without a line's end.
    pub fn write(&self, out: &mut Vec<u8>) {
        if *self == DeviceLine::Blank {
            return;
        }
        let mut o = Object::open(out);
        match self {
            DeviceLine::Blank => {}
            DeviceLine::Hello { name, token, describe } => {
                o.text("hello", name);
                if let Some(token) = token {
                    o.text("token", token);
                }
                o.plain("proto", PROTO);
                if let Some(describe) = describe {
                    o.plain("describe", describe);
                }
            }
            DeviceLine::Telemetry(values) => {
                let mut o = o.object("telemetry");
                for (name, value) in values {
                    o.plain(name, value);
                }
            }
            DeviceLine::Answer { to, ok, result } => {
                o.text("answer", to).plain("ok", ok);
                if let Some(result) = result {
                    o.plain("result", result);
                }
            }
            DeviceLine::Ping(n) => drop(o.plain("ping", n)),
            DeviceLine::Pong(n) => drop(o.plain("pong", n)),
            DeviceLine::Bye(why) => drop(o.text("bye", why)),
        }
    }
}

fn hello(fields: &mut Fields) -> Result<DeviceLine<'static>, BadLine> {
    let bad = |message: String| BadLine { error: "hello", message };
    let name = word(fields, "hello").ok_or_else(|| bad("`hello` has to be the device's name".into()))?;
    if fields.get("proto").is_some_and(|v| v.as_u64() != Some(PROTO)) {
        return Err(bad(format!("`proto` has to be {PROTO}")));
    }
    let token = match fields.remove("token") {
        None | Some(Value::Null) => None,
        Some(Value::String(token)) => Some(token.into()),
        Some(_) => return Err(bad("`token` has to be a string".into())),
    };
    let describe = fields.remove("describe").filter(|d| !d.is_null()).map(Raw::Value);
    Ok(DeviceLine::Hello { name: name.into(), token, describe })
}

fn telemetry(fields: &mut Fields) -> Result<DeviceLine<'static>, BadLine> {
    match fields.remove("telemetry") {
        Some(Value::Object(values)) => Ok(DeviceLine::Telemetry(values)),
        _ => Err(String::from("`telemetry` has to be an object, as in {\"rpm\":1200}").into()),
    }
}

fn answer(fields: &mut Fields) -> Result<DeviceLine<'static>, BadLine> {
    let to = word(fields, "answer").ok_or_else(|| String::from("`answer` has to be the id of a command"))?;
    let ok = fields.get("ok").and_then(Value::as_bool).ok_or_else(|| String::from("`ok` has to be true or false"))?;
    Ok(DeviceLine::Answer { to: to.into(), ok, result: fields.remove("result").map(Raw::Value) })
}

fn ping(fields: &mut Fields) -> Result<DeviceLine<'static>, BadLine> {
    match fields.remove("ping") {
        Some(Value::Number(n)) => Ok(DeviceLine::Ping(n)),
        _ => Err(String::from("`ping` has to be a number").into()),
    }
}

/// The text of this name.
fn word(fields: &mut Fields, name: &str) -> Option<String> {
    match fields.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}
