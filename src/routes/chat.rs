//! `/api/chat`: the chat as one URL. GET listens, POST says something.

use crate::ask;
use crate::hub::{Ask, Denied, NoSeat, SayError};
use crate::msg::{Type, Types};
use crate::routes::denied::told;
use crate::routes::full;
use crate::routes::links::open_sse;
use crate::routes::reply::{Call, Ctx, Full, Reply, json, refusal};

pub(super) fn open(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    let types = Types::of(&[Type::Said, Type::Joined, Type::Left, Type::Lost]).and(Types::ALWAYS);
    open_sse(ctx, call, types, false)
}

pub(super) fn say(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    let text = match text(call) {
        Ok(text) => text,
        Err(refusal) => return refusal.into(),
    };
    match ctx.ask(call.caller.session, Ask::Say(&text)) {
        Ok(done) => json(201, |o| {
            if let Some(id) = done.id() {
                o.shown("id", id);
            }
        })
        .into(),
        Err(Denied::Say(SayError::NoSeat)) => full::answer(ctx, call.request, NoSeat::Unknown.into()).into(),
        Err(why) => told(ctx, "", "", why).full().into(),
    }
}

/// The text in the body of a POST, or what to answer.
fn text(call: &Call<'_>) -> Result<String, Full> {
    read(call.request.header("content-type"), call.body).map_err(|why| match why {
        Unread::Utf8 => refusal(400, "utf8", "the text is not UTF-8"),
        Unread::Shape => refusal(400, "shape", r#"the body is {"text":"..."}"#),
        Unread::Type => {
            let host = Some(call.request.host_text()).filter(|h| !h.is_empty()).unwrap_or("HOST");
            let said = format!(
                "send it as text: curl -u USER -H 'Content-Type: text/plain' -d 'hello' http://{host}/api/chat"
            );
            refusal(415, "type", &said)
        }
    })
}

/// Why a body has no text in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unread {
    /// Text that is no UTF-8.
    Utf8,
    /// JSON of another shape.
    Shape,
    /// Neither text nor JSON.
    Type,
}

/// The text in a body of this content type; without one it is plain text.
///
/// # Errors
/// Why there is none.
pub fn read(content_type: Option<&[u8]>, body: &[u8]) -> Result<String, Unread> {
    let kind = content_type.unwrap_or(b"text/plain");
    let kind = kind.split(|&b| b == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    match kind.as_slice() {
        b"text/plain" => std::str::from_utf8(body).map(str::to_owned).map_err(|_| Unread::Utf8),
        b"application/json" => ask::text(body).map_err(|_| Unread::Shape),
        _ => Err(Unread::Type),
    }
}
