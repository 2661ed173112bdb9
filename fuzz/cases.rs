//! What is done with arbitrary bytes, one function for each thing that reads them. Run with coverage by the targets
//! beside this file (`cargo fuzz run head`), and on random bytes by `cargo test` (tests/fuzz_smoke.rs).
//!
//! Each of them must come to an end, must not panic, and must come to the same whatever pieces the bytes come in.

mod connection;
mod hub;

use std::path::Path;

use boatswain::ask::{self, Ask};
use boatswain::codec::{Decoded, ProtoError};
use boatswain::config::Source;
use boatswain::config::users::Users;
use boatswain::describe::{Describe, TEXT_MAX};
use boatswain::http::auth::{Credentials, cookies, credentials};
use boatswain::http::exchange::{Exchange, Progress};
use boatswain::http::files::encoding::{Coding, preferred};
use boatswain::http::files::{Described, Etag, FileMeta, PlanBody, path, plan};
use boatswain::http::request::{HeadLimits, Method, Request, slots};
use boatswain::http::response::{Envelope, Persist, http_date, push_complaint};
use boatswain::json;
use boatswain::link::lines::{
    DeviceLine, LINE_MAX, Line, LineBuffer, Lines, RESULT_MAX, ServerLine, TooLong, name_fault,
};
use boatswain::link::sse::Sse;
use boatswain::link::ws::{Echo, Ws};
use boatswain::link::{Link, Step};
use boatswain::msg::FromDevice;
use boatswain::routes::chat::{self, Unread};
use boatswain::routes::reply::read_cookie;

/// A function that reads bytes and must not mind which.
pub type Case = fn(&[u8]);

pub use connection::connection;
pub use hub::hub;

/// Every case, by the name of its target.
#[allow(dead_code)] // each target uses one of them
pub const ALL: &[(&str, Case)] = &[
    ("head", head),
    ("path", path_decode),
    ("auth", auth),
    ("config", config),
    ("users", users),
    ("links", links),
    ("lines", lines),
    ("server_lines", server_lines),
    ("bodies", bodies),
    ("page", page_json),
    ("ranges", ranges),
    ("hub", hub),
    ("connection", connection),
];

/// Bytes of a body taken here.
const BODY_MAX: usize = 300;

/// Cuts the rest into pieces by the first byte, and once more into single bytes: all must be understood alike.
fn cut(data: &[u8]) -> Option<(&[u8], usize)> {
    let (&first, rest) = data.split_first()?;
    Some((rest, usize::from(first % 32) + 1))
}

/// Requests as they come over a connection: heads, bodies, pipelining.
pub fn head(data: &[u8]) {
    let Some((input, piece)) = cut(data) else { return };
    let whole = requests(&[input]);
    assert_eq!(whole, requests(&input.chunks(piece).collect::<Vec<_>>()), "in pieces of {piece}");
    assert_eq!(whole, requests(&input.chunks(1).collect::<Vec<_>>()), "byte by byte");
}

/// What is understood of a connection's bytes: each request's line and body, then what was wrong.
fn requests(pieces: &[&[u8]]) -> Vec<Result<(String, Vec<u8>), u16>> {
    let limits = HeadLimits { bytes: 512, headers: 16 };
    let (mut seen, mut input, mut exchange) = (Vec::new(), Vec::new(), Exchange::default());
    let fail = |seen: &mut Vec<_>, input: &[u8], e: ProtoError| {
        let mut out = Vec::new();
        push_complaint(&mut out, &e, input, &http_date(0));
        assert!(out.starts_with(b"HTTP/1.1 ") && (400..=505).contains(&e.status));
        seen.push(Err(e.status));
    };
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let (mut room, mut other) = (slots(), slots());
            let first = exchange.at_once(&input, &mut room, &limits);
            let step = match first {
                Some(_) => Ok(Progress::Head { len: exchange.head_len() }),
                None => exchange.advance(&input, &limits),
            };
            match step {
                Ok(Progress::Need) => break,
                Ok(Progress::Head { len }) => {
                    let parsed = match first {
                        Some(request) => Ok(request),
                        None => Request::parse(&input[..len], &mut other, &limits),
                    };
                    let request = match parsed {
                        Ok(request) => request,
                        Err(e) => {
                            fail(&mut seen, &input, e);
                            return seen;
                        }
                    };
                    let line = format!("{} {} {:?}", request.method_name, request.path, request.query);
                    assert!(!line.chars().any(char::is_control));
                    seen.push(Ok((line, Vec::new())));
                    if let Err(e) = exchange.accept_body(&request, BODY_MAX) {
                        fail(&mut seen, &input, e);
                        return seen;
                    }
                }
                Ok(Progress::Complete { used }) => {
                    assert!(used > 0 && used <= input.len());
                    let body = exchange.body(&input).into_owned();
                    assert!(body.len() <= BODY_MAX);
                    seen.push(Ok((String::new(), body)));
                    input.drain(..used);
                    exchange = Exchange::default();
                }
                Err(e) => {
                    fail(&mut seen, &input, e);
                    return seen;
                }
            }
        }
    }
    seen
}

/// The path of a URL.
pub fn path_decode(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    let Ok(named) = path::decode(raw) else {
        assert_eq!(path::plain(raw), None);
        return;
    };
    for name in named.path.split('/').filter(|_| !named.path.is_empty()) {
        assert!(!name.is_empty() && !name.starts_with('.') && !name.chars().any(|c| c.is_ascii_control() || c == '\\'));
    }
    if let Some(plain) = path::plain(raw) {
        assert_eq!(plain.trim_end_matches('/'), named.path, "the short way and the long one");
    }
    let again = path::decode(&path::encode(&named.path)).map(|again| again.path);
    let again = again.or_else(|_| path::decode(&["/", &path::encode(&named.path)].concat()).map(|again| again.path));
    assert_eq!(again.ok(), Some(named.path));
}

/// A head of these fields, which have no line breaks.
fn with_head(fields: &[(&str, &[u8])], check: impl Fn(&Request<'_>)) {
    let mut head = b"GET /x HTTP/1.1\r\nHost: a\r\n".to_vec();
    for (name, value) in fields {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend(value.iter().filter(|b| !matches!(b, b'\r' | b'\n')));
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let mut room = slots();
    if let Ok(request) = Request::parse(&head, &mut room, &HeadLimits::default()) {
        check(&request);
    }
}

/// Credentials and cookies.
pub fn auth(data: &[u8]) {
    use base64::Engine as _;
    let encoded = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(data));
    for value in [data, encoded.as_bytes()] {
        with_head(&[("Authorization", value), ("Cookie", data)], |request| {
            if let Credentials::Basic(basic) = credentials(request) {
                assert!(!basic.user.contains(':') && !basic.user.chars().any(char::is_control));
                assert!(!format!("{basic:?}").contains("password: "));
            }
            for cookie in cookies(request, "a") {
                let _ = read_cookie(cookie);
            }
        });
    }
    let _ = read_cookie(data);
}

/// The settings.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(mistakes) = Source::check_text(Path::new("x.toml"), text) {
        assert!(!mistakes.is_empty());
        for mistake in mistakes {
            assert!(!mistake.to_string().is_empty());
        }
    }
}

/// The users file.
pub fn users(data: &[u8]) {
    match Users::parse(data) {
        Ok(users) => {
            for user in users.iter() {
                assert!(!user.name.contains(':') && !user.name.chars().any(char::is_control));
            }
            let _ = users.decoy();
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty() && mistakes.iter().all(|(line, column, _)| *line > 0 && *column > 0))
        }
    }
}

/// What peers say on links.
pub fn links(data: &[u8]) {
    let Some((input, piece)) = cut(data) else { return };
    let open: [fn() -> Box<dyn Link>; 3] =
        [|| Box::new(Ws::page()), || Box::new(Echo::open()), || Box::new(Sse::events(true))];
    for open in open {
        let whole = steps(&mut *open(), &[input]);
        assert_eq!(whole, steps(&mut *open(), &input.chunks(piece).collect::<Vec<_>>()), "in pieces of {piece}");
        assert_eq!(whole, steps(&mut *open(), &input.chunks(1).collect::<Vec<_>>()), "byte by byte");
    }
}

/// What devices say.
pub fn lines(data: &[u8]) {
    let Some((input, piece)) = cut(data) else { return };
    let whole = said(&[input]);
    assert_eq!(whole, said(&input.chunks(piece).collect::<Vec<_>>()), "in pieces of {piece}");
    assert_eq!(whole, said(&input.chunks(1).collect::<Vec<_>>()), "byte by byte");
    for line in whole.iter().flatten() {
        match line {
            Ok(FromDevice::Hello(hello)) => {
                assert_eq!(name_fault(&hello.name), None);
                let text = hello.describe.text();
                let typed = serde_json::from_str(text).expect("it is JSON");
                let again = Describe::parse(&typed).expect("what is passed on would be taken");
                assert!(text.len() <= TEXT_MAX && again.text() == text, "nothing is left that has no type");
            }
            Ok(FromDevice::Telemetry(values)) => {
                assert!(values.iter().all(|(name, value)| !name.is_empty() && !value.starts_with(['{', '['])));
            }
            Ok(FromDevice::Answer { result, .. }) => {
                assert!(result.len() <= RESULT_MAX && serde_json::from_str::<serde_json::Value>(result).is_ok());
            }
            Ok(_) => {}
            Err(bad) => assert!(!bad.error.is_empty() && !bad.message.is_empty()),
        }
    }
}

/// What devices are told, as `boatswain link` reads it; and that each line of either side means the same once more when it is
/// written by this codec.
pub fn server_lines(data: &[u8]) {
    let Some((input, piece)) = cut(data) else { return };
    let whole = buffered(&[input]);
    assert_eq!(whole, buffered(&input.chunks(piece).collect::<Vec<_>>()), "in pieces of {piece}");
    assert_eq!(whole, buffered(&input.chunks(1).collect::<Vec<_>>()), "byte by byte");
    for line in whole.iter().flatten() {
        let mut out = Vec::new();
        if let Ok(said) = ServerLine::read(line) {
            said.write(&mut out);
            let again = ServerLine::read(&out).expect("what is written can be read");
            // numbers with a fraction may come back as their neighbours
            let is_exact = !matches!(said, ServerLine::Command { .. } | ServerLine::Ping(_) | ServerLine::Pong(_));
            assert!(!is_exact || again == said, "{said:?}");
            assert_eq!(std::mem::discriminant(&again), std::mem::discriminant(&said), "{said:?}");
            let safe = serde_json::from_slice::<serde_json::Value>(line).is_ok_and(|v| v.get("safe").is_some());
            assert_eq!(safe, matches!(said, ServerLine::Safe { .. }), "nothing hides a `safe`");
        }
        out.clear();
        if let Ok(said) = DeviceLine::read(line) {
            said.write(&mut out);
            let again = DeviceLine::read(&out).expect("what is written can be read");
            assert_eq!(std::mem::discriminant(&again), std::mem::discriminant(&said), "{said:?}");
        }
        assert!(!out.contains(&b'\n'), "one line");
    }
}

fn buffered(pieces: &[&[u8]]) -> Vec<Result<Vec<u8>, TooLong>> {
    let (mut lines, mut seen) = (LineBuffer::default(), Vec::new());
    for piece in pieces {
        lines.feed(piece);
        while let Some(line) = lines.line() {
            assert!(line.as_ref().is_ok_and(|l| l.len() <= LINE_MAX && !l.contains(&b'\n')));
            seen.push(line);
        }
    }
    seen
}

/// Every line, and last, if the bytes are no lines any more, why.
fn said(pieces: &[&[u8]]) -> Vec<Result<Line, &'static str>> {
    let (mut lines, mut seen, mut input) = (Lines::default(), Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match lines.decode(&input) {
                Ok(Decoded::Need) => break,
                Ok(Decoded::Got { msg, used }) => {
                    assert!(used > 0 && used <= input.len());
                    input.drain(..used);
                    seen.push(Ok(msg));
                }
                Err(e) => {
                    seen.push(Err(e.what));
                    return seen;
                }
            }
        }
    }
    seen
}

/// The bodies of what is said, controlled and commanded by POST; before the first line break the content type.
pub fn bodies(data: &[u8]) {
    let mut parts = data.splitn(2, |b| *b == b'\n');
    let (kind, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match chat::read((!kind.is_empty()).then_some(kind), body) {
        Ok(text) => assert!(text.len() <= body.len(), "no escape is shorter than what it stands for"),
        Err(Unread::Utf8) => assert!(std::str::from_utf8(body).is_err()),
        Err(Unread::Shape | Unread::Type) => assert!(!kind.is_empty()),
    }
    if let Ok(order) = ask::command("p", body) {
        assert!(order.reference.is_none_or(|r| r.json().len() <= 128));
        // the same on a WebSocket is taken, and is the same
        let Ok(serde_json::Value::Object(mut inner)) = serde_json::from_slice(body) else {
            panic!("an object was read")
        };
        let outside = ["beat", "ref"].map(|name| (name, inner.remove(name).unwrap_or_default()));
        inner.insert("device".into(), "p".into());
        let mut message = serde_json::json!({"command": inner});
        for (name, value) in outside {
            message[name] = value;
        }
        assert_eq!(ask::Request::read(&message.to_string()).ask, ask::command("p", body).map(Ask::Command));
    }
    if let Ok(wish) = ask::control("p", body) {
        assert_eq!(wish.device, "p");
    }
}

fn steps(link: &mut dyn Link, pieces: &[&[u8]]) -> Vec<Result<Step, u16>> {
    let (mut seen, mut input) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match link.decode(&input) {
                Ok(Decoded::Need) => break,
                Ok(Decoded::Got { msg, used }) => {
                    assert!(used > 0 && used <= input.len());
                    input.drain(..used);
                    let over = matches!(msg, Step::End(_));
                    if msg != Step::Noise {
                        seen.push(Ok(msg));
                    }
                    if over {
                        return seen;
                    }
                }
                Err(e) => {
                    seen.push(Err(e.close_code));
                    return seen;
                }
            }
        }
    }
    seen
}

/// What pages say in JSON, and JSON out.
pub fn page_json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let request = ask::Request::read(text);
    if let Ok(Ask::Say(text)) = &request.ask {
        assert!(!text.is_empty() || data.windows(2).any(|w| w == b"\"\""));
    }
    if let Some(reference) = &request.reference {
        assert!(serde_json::from_str::<serde_json::Value>(reference.json()).is_ok());
    }
    let mut out = Vec::new();
    json::string(&mut out, text);
    assert!(!out.iter().any(|b| *b < b' '), "one line, whatever is in it");
    assert_eq!(serde_json::from_slice::<String>(&out).ok().as_deref(), Some(text));
}

/// Ranges and conditions.
pub fn ranges(data: &[u8]) {
    let mut parts = data.splitn(6, |b| *b == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let first = next();
    let len = first.iter().take(8).fold(0_u64, |n, b| n << 8 | u64::from(*b));
    let meta = FileMeta {
        len,
        modified: FileMeta::modified_at(i64::from(first.len() as u32) * 86_400),
        etag: Etag::of_bytes(b"x", Coding::Identity),
        content_type: "text/plain".into(),
        coding: Coding::Identity,
        varies: len % 2 == 0,
        policy: None,
    };
    let fields = [
        ("Range", next()),
        ("If-Range", next()),
        ("If-None-Match", next()),
        ("If-Modified-Since", next()),
        ("If-Match", next()),
    ];
    let fields: Vec<_> = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    with_head(&fields, |request| {
        let _ = preferred(request).count();
        let envelope = Envelope { date: &http_date(0), persist: Persist::Keep, extra: b"", is_head: false };
        let mut out = Vec::new();
        let plan = plan(request, &Described::new(meta.clone()), 4_000_000_000, &envelope, &mut out);
        assert!(matches!(plan.status, 200 | 206 | 304 | 412 | 416) && request.method == Method::Get);
        match plan.body {
            PlanBody::Range { start, len } => {
                assert!(len > 0 && start.checked_add(len).is_some_and(|end| end <= meta.len));
                assert!(matches!(plan.status, 200 | 206));
            }
            PlanBody::Whole => assert_eq!(plan.status, 200),
            PlanBody::None => {}
        }
        assert!(out.windows(4).any(|w| w == b"\r\n\r\n"));
    });
}
