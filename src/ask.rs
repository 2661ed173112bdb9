//! What a page, a script or a program asks for in JSON, read. The one reader: a message on a WebSocket and the body of a
//! POST are two ways to write the same thing, and what one of them takes the other takes, too.
//!
//! A name whose value is `null` is as good as not there. Never does: deciding whether it may be done.

use serde_json::{Map, Value};

use crate::describe::Args;
use crate::msg::Ref;

/// One message on a WebSocket.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Echoed in the reply; without one only a refusal is told.
    pub reference: Option<Ref>,
    /// What it asks for, or what shape it should have had.
    pub ask: Result<Ask, &'static str>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// `{"say":"text"}`: a line of chat.
    Say(String),
    /// `{"beat":N,"hold":["pump-1"]}`: the answer to a beat.
    Beat(Beat),
    /// `{"bye":true}`: the page goes.
    Bye,
    /// `{"command":{"device","command","args"},"beat":N}`. Whether it is an emergency stop only the device's description
    /// says.
    Command(Command),
    /// `{"control":{"device","action","to","lease"}}`.
    Control(Control),
}

/// The answer to a beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The beat's number.
    pub n: u64,
    /// The devices that this page controls.
    pub hold: Vec<String>,
}

/// A command. Names are not checked yet, nor whether the device takes the arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The device's name.
    pub device: String,
    /// The command's name.
    pub command: String,
    /// Its arguments.
    pub args: Args,
    /// The last beat that the page saw.
    pub beat: Option<u64>,
    /// The session's own name for it.
    pub reference: Option<Ref>,
    /// What is wrong with `beat` or `ref`, which then count as not there. An emergency stop needs neither, and is not
    /// refused for it.
    pub flaw: Option<&'static str>,
}

/// A wish about control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The device's name.
    pub device: String,
    /// `take`, `release`, `force`, `give`; not checked.
    pub action: String,
    /// Whom to give it to: a session's public name, not checked.
    pub to: Option<String>,
    /// How long to hold it without a page (`"30s"`), not checked.
    pub lease: Option<String>,
}

const OBJECT: &str = "this has to be one JSON object, like {\"say\":\"hello\"} on a WebSocket, and name what it asks for; see docs/protocol.md";
const SAY: &str = "the text, `say` on a WebSocket and `text` by POST, has to be a string";
const BYE: &str = "`bye` has to be true";
const BEAT: &str = "a beat's answer is like {\"beat\":17,\"hold\":[]}: its number and the names of devices";
const COMMAND: &str = "`command` and `device` have to be names: {\"command\":\"stop\",\"args\":{}} by POST to the device's URL, \
                       {\"command\":{\"device\":\"pump-1\",\"command\":\"stop\",\"args\":{}}} on a WebSocket";
const ARGS: &str = "`args` has to be an object of names and values";
const SEEN: &str = "`beat` has to be the number of the last beat that the page saw";
const CONTROL: &str = "`action` has to be \"take\", \"release\", \"give\" or \"force\": {\"action\":\"take\"} by POST to the \
                       device's URL, {\"control\":{\"device\":\"pump-1\",\"action\":\"take\"}} on a WebSocket; \
                       `to` and `lease` are strings";
const REF: &str = "`ref` has to be a string or a whole number of at most 128 bytes";

impl Request {
    /// Reads one message. Names that are not known are ignored.
    pub fn read(text: &str) -> Request {
        match object(text.as_bytes()) {
            Ok(map) => {
                let reference = reference(&map);
                let kept = reference.clone().unwrap_or_default();
                let ask = ask(map, &reference);
                Request { reference: kept, ask }
            }
            Err(why) => Request { reference: None, ask: Err(why) },
        }
    }
}

fn ask(mut map: Map<String, Value>, reference: &Result<Option<Ref>, &'static str>) -> Result<Ask, &'static str> {
    if let Some(command) = take(&mut map, "command") {
        let Value::Object(inner) = command else { return Err(COMMAND) };
        let beat = map.remove("beat");
        return Ok(Ask::Command(read_command(None, inner, beat, reference)?));
    }
    reference.as_ref().map_err(|why| *why)?;
    if let Some(control) = take(&mut map, "control") {
        let Value::Object(inner) = control else { return Err(CONTROL) };
        return Ok(Ask::Control(read_control(None, inner)?));
    }
    if let Some(said) = take(&mut map, "say") {
        return read_text(said).map(Ask::Say);
    }
    match take(&mut map, "bye") {
        Some(Value::Bool(true)) => return Ok(Ask::Bye),
        Some(_) => return Err(BYE),
        None => {}
    }
    // a page that has no number yet has nothing to answer
    if map.contains_key("beat") { Ok(Ask::Beat(read_beat(map)?)) } else { Err(OBJECT) }
}

/// The body of a POST that commands `device`.
///
/// # Errors
/// What shape it has to have; so for all of these.
pub fn command(device: &str, body: &[u8]) -> Result<Command, &'static str> {
    let mut map = object(body)?;
    let (reference, beat) = (reference(&map), map.remove("beat"));
    read_command(Some(device), map, beat, &reference)
}

/// The body of a POST about control of `device`.
///
/// # Errors
/// See [`command`].
pub fn control(device: &str, body: &[u8]) -> Result<Control, &'static str> {
    read_control(Some(device), object(body)?)
}

/// The body of a POST that answers a beat.
///
/// # Errors
/// See [`command`].
pub fn beat(body: &[u8]) -> Result<Beat, &'static str> {
    read_beat(object(body)?)
}

/// The JSON body of a POST that says something.
///
/// # Errors
/// See [`command`].
pub fn text(body: &[u8]) -> Result<String, &'static str> {
    read_text(take(&mut object(body)?, "text").unwrap_or_default())
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, &'static str> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(OBJECT),
    }
}

/// What stands by that name; `null` is nothing.
fn take(map: &mut Map<String, Value>, name: &str) -> Option<Value> {
    map.remove(name).filter(|value| !value.is_null())
}

fn reference(map: &Map<String, Value>) -> Result<Option<Ref>, &'static str> {
    match map.get("ref") {
        None | Some(Value::Null) => Ok(None),
        Some(value @ Value::String(_)) => Ref::from_json(&value.to_string()).map(Some).ok_or(REF),
        Some(Value::Number(n)) if n.is_u64() || n.is_i64() => Ref::from_json(&n.to_string()).map(Some).ok_or(REF),
        Some(_) => Err(REF),
    }
}

/// `device`: from the URL of a POST.
fn read_command(
    device: Option<&str>,
    mut inner: Map<String, Value>,
    beat: Option<Value>,
    reference: &Result<Option<Ref>, &'static str>,
) -> Result<Command, &'static str> {
    let device = match device {
        Some(device) => device.to_owned(),
        None => name(&mut inner, "device").ok_or(COMMAND)?,
    };
    let command = name(&mut inner, "command").ok_or(COMMAND)?;
    let args = Args::new(inner.remove("args")).ok_or(ARGS)?;
    let beat = match beat {
        None | Some(Value::Null) => Ok(None),
        Some(n) => n.as_u64().map(Some).ok_or(SEEN),
    };
    let flaw = beat.err().or(reference.as_ref().err().copied());
    let (beat, reference) = (beat.unwrap_or_default(), reference.clone().unwrap_or_default());
    Ok(Command { device, command, args, beat, reference, flaw })
}

fn read_control(device: Option<&str>, mut map: Map<String, Value>) -> Result<Control, &'static str> {
    let device = match device {
        Some(device) => device.to_owned(),
        None => name(&mut map, "device").ok_or(CONTROL)?,
    };
    let action = name(&mut map, "action").ok_or(CONTROL)?;
    let mut optional = |what: &str| match take(&mut map, what) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(CONTROL),
    };
    Ok(Control { device, action, to: optional("to")?, lease: optional("lease")? })
}

fn read_beat(mut map: Map<String, Value>) -> Result<Beat, &'static str> {
    let n = map.get("beat").and_then(Value::as_u64).ok_or(BEAT)?;
    let hold = match take(&mut map, "hold") {
        None => Vec::new(),
        Some(Value::Array(names)) => {
            let name = |name| if let Value::String(name) = name { Ok(name) } else { Err(BEAT) };
            names.into_iter().map(name).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(BEAT),
    };
    Ok(Beat { n, hold })
}

fn read_text(said: Value) -> Result<String, &'static str> {
    if let Value::String(text) = said { Ok(text) } else { Err(SAY) }
}

fn name(map: &mut Map<String, Value>, what: &str) -> Option<String> {
    match map.remove(what) {
        Some(Value::String(name)) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
