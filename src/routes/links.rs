//! What the routes that open links have in common, and what pages without a WebSocket say by POST: `/api/beat`
//! (the answer to a beat) and `/api/bye` (the page goes).

use std::borrow::Cow;
use std::rc::Rc;

use crate::ask;
use crate::http::request::{Method, Request, Version};
use crate::http::response::EVENT_STREAM;
use crate::hub::{Ask, Denied, LinkSpec, Purpose, Tab};
use crate::ledger::Party;
use crate::link::Link;
use crate::link::sse::Sse;
use crate::msg::{CloseReason, Types};
use crate::routes::full;
use crate::routes::reply::{self, Call, Ctx, Full, Reply, refusal};

/// Opens an SSE link for `types`.
pub(super) fn open_sse(ctx: &mut Ctx<'_>, call: &Call<'_>, types: Types, beats: bool) -> Reply {
    let request = call.request;
    if request.method == Method::Head {
        if let Err(why) = ctx.ask(call.caller.session, Ask::Serve(Purpose::Link)) {
            return full::answer(ctx, request, why).into();
        }
        return Full::new(200, EVENT_STREAM, Vec::new()).into();
    }
    let tab = match tab(request) {
        Ok(tab) => tab,
        Err(reply) => return reply,
    };
    let last = request.header("last-event-id").map(String::from_utf8_lossy).or_else(|| query(request, "last"));
    let spec = Box::new(LinkSpec { types, beats, last: replay(ctx, &call.caller.user, last, types), tab });
    let link = Sse::events(request.version != Version::Http10);
    let mut opening = Vec::new();
    link.opening(&mut opening);
    match ctx.ask(call.caller.session, Ask::Link { conn: ctx.peer.conn, spec }) {
        Ok(_) => {}
        Err(Denied::Superseded) => {
            let mut body = Vec::new();
            Sse::events(false).farewell(CloseReason::Replaced, &mut body);
            return Full::new(200, EVENT_STREAM, body).into();
        }
        Err(why) => return full::answer(ctx, request, why).into(),
    }
    Reply::Stream { link: Box::new(link), opening, beats }
}

/// The id after which to replay, if there is room for that; without it the page takes the snapshot.
pub(super) fn replay(ctx: &mut Ctx<'_>, user: &Rc<str>, last: Option<Cow<'_, str>>, types: Types) -> Option<Rc<str>> {
    let last = last?;
    let bytes = ctx.hub.view().replay_bytes(&last, types);
    ctx.site.ledger.has_room(&Party::User(user.clone()), bytes).then(|| Rc::from(&*last))
}

/// `POST /api/beat?tab=T`: `{"beat":N,"hold":["pump-1"]}`.
pub(super) fn beat(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    let refused = |why: &str| Reply::from(refusal(400, "shape", why));
    let Some(tab) = query(call.request, "tab").filter(|t| !t.is_empty()) else {
        return refused("the page that answers is named by ?tab= in the query");
    };
    let beat = match ask::beat(call.body) {
        Ok(beat) => beat,
        Err(why) => return refused(why),
    };
    let _ = ctx.ask(call.caller.session, Ask::Beat { tab: &tab, beat: &beat }); // never denied
    Full::empty(204).into()
}

/// `POST /api/bye?tab=T&n=N`: by `navigator.sendBeacon`, which cannot choose its content type and hears no answer.
pub(super) fn bye(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    match tab(call.request) {
        Ok(Some(tab)) => {
            let _ = ctx.ask(call.caller.session, Ask::Bye(&tab)); // never denied
            Full::empty(204).into()
        }
        Ok(None) => reply::bad_query("tab", "the name of the page that goes, as in ?tab=x7k2&n=3"),
        Err(reply) => reply,
    }
}

/// The page that asks, if one does: `?tab=T&n=N`.
pub(super) fn tab(request: &Request<'_>) -> Result<Option<Tab>, Reply> {
    let Some(name) = query(request, "tab") else { return Ok(None) };
    if name.is_empty() || name.len() > Tab::NAME_MAX {
        return Err(reply::bad_query("tab", "1 to 64 bytes, drawn at random by the page"));
    }
    let n = match query(request, "n") {
        None => 0,
        Some(text) => match text.parse() {
            Ok(n) => n,
            Err(_) => return Err(reply::bad_query("n", "a whole number that grows with each connection of the page")),
        },
    };
    Ok(Some(Tab { name: Rc::from(&*name), n }))
}

/// A value of the query, percent-escapes decoded.
pub(super) fn query<'r>(request: &Request<'r>, name: &str) -> Option<Cow<'r, str>> {
    let raw = request.query_value(name)?;
    Some(percent_encoding::percent_decode_str(raw).decode_utf8_lossy())
}
