//! The server's side: what it takes from a device, checked, and what it says to one.

use std::borrow::Cow;
use std::rc::Rc;

use serde_json::Value;

use super::device_line::DeviceLine;
use super::frame::{Framer, TooLong};
use super::server_line::ServerLine;
use super::wire::{BadLine, Fields, Raw};
use crate::codec::{Decoded, ProtoError};
use crate::describe::{self, Describe, VALUES_MAX, device_name_fault};
use crate::msg::{CloseReason, DeviceHello, FromDevice, Json, ToDevice};
use crate::secret::{Secret, carefully};

/// Bytes of one value: it goes to every page up to ten times a second.
const VALUE_TEXT_MAX: usize = 256;
/// Bytes of a result that are kept: the log keeps hundreds of them.
pub const RESULT_MAX: usize = 16 << 10;
/// What `welcome` promises: a line at least so often.
pub const HEARTBEAT_MS: u64 = 500;

/// What one line says, or why it says nothing.
pub type Line = Result<FromDevice, BadLine>;

/// The reading side of one link.
#[derive(Debug, Default)]
pub struct Lines {
    framer: Framer,
    /// The hello, with its token, is behind us.
    greeted: bool,
}

impl Lines {
    /// The next line.
    ///
    /// # Errors
    /// Bytes that are no lines: too long, or not UTF-8. The link cannot go on.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded<Line>, ProtoError> {
        let (line, used) = self.framer.next(input);
        match line {
            None => Ok(Decoded::Need),
            Some(Err(TooLong)) => Err(ProtoError::http(400, "a line has at most 64 KiB; send several")),
            Some(Ok(line)) if std::str::from_utf8(line).is_err() => {
                Err(ProtoError::http(400, "a line has to be UTF-8"))
            }
            Some(Ok(line)) => {
                let read = || DeviceLine::read(line).and_then(check);
                let msg = if self.greeted { read() } else { carefully(read) };
                self.greeted |= matches!(msg, Ok(FromDevice::Hello(_)));
                Ok(Decoded::Got { msg, used })
            }
        }
    }
}

/// Appends `line` as one line.
pub fn encode(line: &ToDevice, out: &mut Vec<u8>) {
    let id;
    let line = match line {
        ToDevice::Welcome { name, epoch } => {
            ServerLine::Welcome { name: part(name), heartbeat_ms: HEARTBEAT_MS, epoch: part(epoch.as_str()) }
        }
        ToDevice::Error { error, message } => ServerLine::Error { error: part(error), message: part(message) },
        ToDevice::Command { command, args, id: event, by, anyone: _ } => {
            id = event.to_string();
            ServerLine::Command { command: part(command), args: Raw::Text(args), id: part(&id), by: part(by) }
        }
        ToDevice::Control { holder } => ServerLine::Control(holder.as_deref().map(part)),
        ToDevice::Safe { why, by, after_ms } => {
            ServerLine::Safe { why: part(why.word()), by: part(by), after_ms: *after_ms }
        }
        ToDevice::Pong(n) => ServerLine::Pong(Raw::Text(n)),
    };
    line.write(out);
    out.push(b'\n');
}

fn part(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// Appends the last words of a link that ends for this reason; nothing where the peer knows or has been told.
pub fn farewell(why: CloseReason, out: &mut Vec<u8>) {
    if !matches!(why, CloseReason::Closed | CloseReason::Protocol) {
        ServerLine::Bye(part(why.word())).write(out);
        out.push(b'\n');
    }
}

/// What the server makes of a line.
fn check(line: DeviceLine<'static>) -> Line {
    Ok(match line {
        DeviceLine::Blank => FromDevice::Blank,
        DeviceLine::Hello { name, token, describe } => {
            if let Some(fault) = device_name_fault(&name) {
                return Err(BadLine { error: "hello", message: fault });
            }
            let describe = match describe {
                Some(Raw::Value(value)) => {
                    Describe::parse(&value).map_err(|message| BadLine { error: "describe", message })?
                }
                _ => Describe::default(),
            };
            let token = token.map(|token| Secret::new(token.as_bytes()));
            FromDevice::Hello(DeviceHello { name: Rc::from(&*name), token, describe: Rc::new(describe) })
        }
        DeviceLine::Telemetry(values) => FromDevice::Telemetry(telemetry(&values)?),
        DeviceLine::Answer { to, ok, result } => {
            let result = result.map_or("null".into(), |r| r.to_string());
            // too long to be kept; that the command was done is worth more than what is said of it
            let result = if result.len() > RESULT_MAX { "\"too_long\"".into() } else { result };
            FromDevice::Answer { to: Rc::from(&*to), ok, result: result.into() }
        }
        DeviceLine::Ping(n) => FromDevice::Ping(n.to_string().into()),
        DeviceLine::Pong(_) => FromDevice::Pong,
        DeviceLine::Bye(_) => FromDevice::Bye,
    })
}

fn telemetry(values: &Fields) -> Result<Vec<(Rc<str>, Json)>, BadLine> {
    if values.len() > VALUES_MAX {
        return Err(format!("{} values, at most {VALUES_MAX} are taken", values.len()).into());
    }
    let mut out = Vec::with_capacity(values.len());
    for (name, value) in values {
        if let Some(fault) = describe::name_fault("a value", name) {
            return Err(fault.into());
        }
        let text = value.to_string();
        if matches!(value, Value::Object(_) | Value::Array(_)) || text.len() > VALUE_TEXT_MAX {
            return Err(format!(
                "the value of {name:?} has to be a number, true, false, null or a string of at most {VALUE_TEXT_MAX} bytes"
            )
            .into());
        }
        out.push((name.as_str().into(), text.into()));
    }
    Ok(out)
}
