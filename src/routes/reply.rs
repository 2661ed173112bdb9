//! What a handler may see ([`Ctx`], [`Call`]) and what it may answer ([`Reply`]). Values only: no sockets.

use std::rc::Rc;

use crate::auth::credentials::{Credentials, Job};
use crate::auth::{Key, Verdict};
use crate::config::Config;
use crate::diag::ration::Ration;
use crate::http::request::Request;
pub use crate::http::response::Full;
use crate::http::response::{Audience, JSON};
use crate::hub::{Ask, Denied, Done, Hub};
use crate::json::Object;
use crate::ledger::Ledger;
use crate::link::Link;
use crate::metrics::Metrics;
use crate::msg::{ConnId, Effects, EventId, LeftReason, Moment, Now, PeerAddr, Role, SessionId};

/// What the routes keep between requests.
pub struct Site {
    /// The settings in force.
    pub config: Rc<Config>,
    /// Users and what is known of credentials.
    pub credentials: Credentials,
    /// Counters.
    pub metrics: Metrics,
    /// The machine's own name, lower case: a Host that we answer to.
    pub hostname: String,
    /// Lines of the log that strangers may cause.
    pub ration: Ration,
    /// When the log was told last of an origin that is not ours.
    pub remarked: Option<Moment>,
    /// When the server started.
    pub started: Now,
    /// A secret that was drawn and not needed yet; nobody has seen it.
    pub secret: Option<[u8; 16]>,
    /// What everybody makes us keep.
    pub ledger: Ledger,
}

/// The connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its name.
    pub conn: ConnId,
    /// Where it comes from.
    pub addr: PeerAddr,
    /// Port of the listener; `None` on a unix socket.
    pub port: Option<u16>,
    /// The session of the last request that came on it.
    pub session: Option<SessionId>,
}

/// How busy the server is; for `/api/status` and `/metrics`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Connections open now.
    pub connections: usize,
    /// Lines of the log that nobody took.
    pub log_dropped: usize,
}

/// Everything that a handler may see and change.
pub struct Ctx<'a> {
    /// This turn's clocks.
    pub now: Now,
    /// The connection.
    pub peer: Peer,
    /// Settings, users, counters.
    pub site: &'a mut Site,
    /// Who is here.
    pub hub: &'a mut Hub,
    /// What is to be done about it.
    pub fx: &'a mut Effects,
    /// Sixteen fresh random bytes a call, fit for secrets.
    pub random: &'a mut dyn FnMut() -> [u8; 16],
    /// The outcome of the password check that this request waited for.
    pub verdict: Option<(Key, Verdict)>,
    /// How busy the server is.
    pub load: Load,
}

impl Ctx<'_> {
    /// What `session` wants of the hub.
    ///
    /// # Errors
    /// See [`Hub::ask`].
    pub fn ask(&mut self, session: SessionId, ask: Ask<'_>) -> Result<Done, Denied> {
        self.hub.ask(self.now, session, ask, self.fx)
    }
}

/// Who asks: a session whose user is known.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The session.
    pub session: SessionId,
    /// Its user.
    pub user: Rc<str>,
    /// What that user may do.
    pub role: Role,
    /// The session's cookie, if this answer has to set it.
    pub cookie: Option<[u8; 16]>,
    /// Why it may give nothing but emergency stops, if that is so: `admit` asks for this before it lets a request in.
    pub only_stops: Option<OnlyStops>,
}

/// Why somebody with good credentials may give nothing but emergency stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnlyStops {
    /// An admin took the user's seat a moment ago.
    Evicted,
    /// It is the page of a session that is over for good.
    Ended(LeftReason),
}

impl Caller {
    /// Nobody: who asks on an open path. No session has this name's rights.
    pub fn nobody() -> Caller {
        Caller { session: SessionId(0), user: "".into(), role: Role::Viewer, cookie: None, only_stops: None }
    }
}

/// One request, as a handler sees it.
pub struct Call<'a> {
    /// The request's head.
    pub request: &'a Request<'a>,
    /// The part of the path that the route's `*` stands for, percent-escapes decoded; empty without one.
    pub param: &'a str,
    /// Who asks.
    pub caller: &'a Caller,
    /// The decoded body; empty for routes that take none.
    pub body: &'a [u8],
}

/// What comes of a request.
pub enum Reply {
    /// A whole response.
    Full(Full),
    /// This connection is a link from now on: a 200 with these headers, these first bytes, then events.
    Stream {
        /// How events are written.
        link: Box<dyn Link>,
        /// The body's first bytes.
        opening: Vec<u8>,
        /// Whether beats are sent on it.
        beats: bool,
    },
    /// The answer to a command is awaited; until then nothing further is read from this connection.
    Hold {
        /// The command.
        command: EventId,
        /// How long.
        until: Moment,
    },
    /// This connection speaks WebSocket from now on: a 101, then what the link says.
    Upgrade {
        /// How events are written.
        link: Box<dyn Link>,
        /// The value of `Sec-WebSocket-Accept`.
        accept: String,
        /// Whether beats are sent on it.
        beats: bool,
        /// Whether it carries a member, so that the liveness rules of links hold for it.
        carries: bool,
    },
}

/// A JSON object, written by `fill`.
pub fn json(status: u16, fill: impl FnOnce(&mut Object<'_>)) -> Full {
    let mut body = Vec::new();
    fill(&mut Object::open(&mut body));
    body.push(b'\n');
    Full::new(status, JSON, body)
}

/// The refusal of something under `/api/`: a word for programs, a sentence with the remedy for people.
pub fn refusal(status: u16, word: &str, message: &str) -> Full {
    Full::error(status, word, message, Audience::Program)
}

impl From<Full> for Reply {
    fn from(full: Full) -> Self {
        Reply::Full(full)
    }
}

/// The name of the session cookie on a listener: cookies do not tell ports apart, so the name has to.
pub fn cookie_name(port: Option<u16>) -> String {
    let mut name = String::with_capacity(16);
    name.push_str("boatswain_");
    match port {
        Some(port) => name.push_str(&port.to_string()),
        None => name.push_str("unix"),
    }
    name
}

/// A cookie's value as [`crate::http::auth::push_session_cookie`] writes it.
pub fn read_cookie(value: &[u8]) -> Option<[u8; 16]> {
    if value.len() != 32 {
        return None;
    }
    let mut out = [0; 16];
    for (place, pair) in out.iter_mut().zip(value.chunks_exact(2)) {
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        *place = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

/// A request that is not let in.
pub enum Refused {
    /// It is answered.
    With {
        /// The answer.
        full: Full,
        /// Who asked, if that is known: the answer may set a cookie.
        caller: Option<Caller>,
    },
    /// Not yet: a password has to be checked first; ask again with the verdict.
    Later(Box<Job>),
}

impl From<Full> for Refused {
    fn from(full: Full) -> Self {
        Refused::With { full, caller: None }
    }
}

/// What a handler says of a query value that it cannot use.
pub(super) fn bad_query(name: &str, remedy: &str) -> Reply {
    refusal(400, "query", &format!("`{name}` in the query: {remedy}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::auth;

    #[test]
    fn a_cookie_is_read_as_it_was_set_and_nothing_else_is() {
        let cookie: [u8; 16] = std::array::from_fn(|i| (i * 17) as u8);
        let mut text = Vec::new();
        auth::push_session_cookie(&mut text, &cookie_name(Some(8080)), &cookie);
        let text = String::from_utf8(text).unwrap();
        let value = text.strip_prefix("boatswain_8080=").unwrap().split(';').next().unwrap();
        assert_eq!(read_cookie(value.as_bytes()), Some(cookie));
        for bad in ["", "00", &value[1..], &value.to_ascii_uppercase(), &format!("{value}0"), &value.replace('0', "g")]
        {
            assert_eq!(read_cookie(bad.as_bytes()), None, "{bad}");
        }
    }
}
