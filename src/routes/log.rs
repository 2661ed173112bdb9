//! `GET /api/log?since=ID&limit=N`: what happened, a page at a time.

use crate::json;
use crate::ledger::Party;
use crate::routes::links::query;
use crate::routes::reply::{self, Call, Ctx, Reply, json, refusal};

/// Events in one answer, unless `limit` says otherwise.
const LIMIT: usize = 100;
/// At most, whatever `limit` says: an answer is built in memory.
const LIMIT_MAX: usize = 1000;

pub(super) fn show(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    let limit = match query(call.request, "limit").map(|n| n.parse::<usize>()) {
        None => LIMIT,
        Some(Ok(n)) => n.min(LIMIT_MAX),
        Some(Err(_)) => return reply::bad_query("limit", "a whole number, at most 1000 count"),
    };
    let since = query(call.request, "since");
    let slice = ctx.hub.view().log_since(since.as_deref(), limit);
    let epoch = ctx.hub.view().newest().epoch;
    let full = json(200, |o| {
        o.text("epoch", epoch.as_str());
        json::array(o.value("events"), &slice.events, |out, e| json::event(out, e));
        o.plain("gap", slice.gap);
    });
    if !ctx.site.ledger.has_room(&Party::User(call.caller.user.clone()), full.body.len() as u64) {
        let said = "too many others are being sent the log; try again in a moment, or ask for less";
        return refusal(503, "busy", said).with("Retry-After", "1").into();
    }
    full.into()
}
