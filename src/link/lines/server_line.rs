//! What a device is told.

use std::borrow::Cow;

use serde_json::Value;

use super::wire::{BadLine, Fields, PROTO, Raw, object};
use crate::json::Object;

/// A sign of life of the server's; its answer is one of the device's.
pub const PING: &[u8] = b"{\"ping\":1}\n";

/// [`ServerLine::Link`] as a line without its end.
pub const LINK_UP: &[u8] = b"{\"link\":\"up\"}";
/// The same for the end of the link.
pub const LINK_DOWN: &[u8] = b"{\"link\":\"down\"}";

/// One line to a device, as it stands there.
#[derive(Clone, PartialEq, Debug)]
pub enum ServerLine<'a> {
    /// Its hello was good.
    Welcome {
        /// The name it goes by.
        name: Cow<'a, str>,
        /// A line comes at least so often.
        heartbeat_ms: u64,
        /// Which run of the server this is; event ids begin with it. Empty: an older server does not say.
        epoch: Cow<'a, str>,
    },
    /// Something it said was not.
    Error {
        /// One word.
        error: Cow<'a, str>,
        /// A sentence with the remedy.
        message: Cow<'a, str>,
    },
    /// Do that.
    Command {
        /// What.
        command: Cow<'a, str>,
        /// How; an object.
        args: Raw<'a>,
        /// What the answer has to name.
        id: Cow<'a, str>,
        /// Whose wish it is.
        by: Cow<'a, str>,
    },
    /// Who commands it from now on; `None`: nobody.
    Control(Option<Cow<'a, str>>),
    /// Go to the safe state.
    Safe {
        /// Why, in a word.
        why: Cow<'a, str>,
        /// Who held control.
        by: Cow<'a, str>,
        /// Milliseconds since the last sign that the holder can act.
        after_ms: u64,
    },
    /// A sign of life that wants an answer with this number.
    Ping(Raw<'a>),
    /// The answer to the device's ping.
    Pong(Raw<'a>),
    /// The server ends this link; why, in a word.
    Bye(Cow<'a, str>),
    /// Said by `boatswain link` to its program, never by the server: whether there is a link.
    Link(bool),
    /// What a later server may say.
    Other,
}

type Read = fn(&mut Fields) -> ServerLine<'static>;

/// Everything that a device may be told. If a line had two of these the first would count: nothing hides a `safe`.
const KINDS: [(&str, Read); 9] = [
    ("safe", |f| ServerLine::Safe { why: word(f, "safe"), by: word(f, "by"), after_ms: number(f, "after_ms") }),
    ("bye", |f| ServerLine::Bye(word(f, "bye"))),
    ("welcome", |f| ServerLine::Welcome {
        name: word(f, "welcome"),
        heartbeat_ms: number(f, "heartbeat_ms"),
        epoch: word(f, "epoch"),
    }),
    ("error", |f| ServerLine::Error { error: word(f, "error"), message: word(f, "message") }),
    ("command", |f| ServerLine::Command {
        command: word(f, "command"),
        args: Raw::Value(f.remove("args").unwrap_or_default()),
        id: word(f, "id"),
        by: word(f, "by"),
    }),
    ("control", |f| {
        let holder = f.get_mut("control").and_then(|c| c.get_mut("holder")).map(Value::take);
        ServerLine::Control(holder.and_then(|h| h.as_str().map(|user| user.to_owned().into())))
    }),
    ("ping", |f| ServerLine::Ping(Raw::Value(f.remove("ping").unwrap_or_default()))),
    ("pong", |f| ServerLine::Pong(Raw::Value(f.remove("pong").unwrap_or_default()))),
    ("link", |f| ServerLine::Link(word(f, "link") == "up")),
];

impl ServerLine<'_> {
    /// What `line` says, which is without its end. Every object says something: a word that is missing is empty, a number 0,
    /// since a device had better obey half a line than none, and a later server may say more.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn read(line: &[u8]) -> Result<ServerLine<'static>, BadLine> {
        let mut fields = object(line)?;
        let kind = KINDS.iter().find(|(name, _)| fields.contains_key(*name));
        Ok(kind.map_or(ServerLine::Other, |(_, read)| read(&mut fields)))
    }

    /// Appends it, without a line's end.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut o = Object::open(out);
        match self {
            ServerLine::Welcome { name, heartbeat_ms, epoch } => {
                o.text("welcome", name).plain("proto", PROTO).plain("heartbeat_ms", heartbeat_ms).text("epoch", epoch);
            }
            ServerLine::Error { error, message } => drop(o.text("error", error).text("message", message)),
            ServerLine::Command { command, args, id, by } => {
                o.text("command", command).plain("args", args).text("id", id).text("by", by);
            }
            ServerLine::Control(holder) => {
                let mut o = o.object("control");
                match holder {
                    Some(user) => o.text("holder", user),
                    None => o.plain("holder", "null"),
                };
            }
            ServerLine::Safe { why, by, after_ms } => {
                o.text("safe", why).text("by", by).plain("after_ms", after_ms);
            }
            ServerLine::Ping(n) => drop(o.plain("ping", n)),
            ServerLine::Pong(n) => drop(o.plain("pong", n)),
            ServerLine::Bye(why) => drop(o.text("bye", why)),
            ServerLine::Link(up) => drop(o.text("link", if *up { "up" } else { "down" })),
            ServerLine::Other => {}
        }
    }
}

/// The text of this name; empty without one.
fn word(fields: &mut Fields, name: &str) -> Cow<'static, str> {
    match fields.remove(name) {
        Some(Value::String(text)) => text.into(),
        _ => "".into(),
    }
}

/// The number of this name; 0 without one.
fn number(fields: &Fields, name: &str) -> u64 {
    fields.get(name).and_then(Value::as_u64).unwrap_or(0)
}
