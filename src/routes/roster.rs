//! `GET /api/roster`: who is here, and the event up to which that is true.

use crate::json;
use crate::routes::reply::{Call, Ctx, Reply, json};

pub(super) fn show(ctx: &mut Ctx<'_>, _: &Call<'_>) -> Reply {
    let (id, members) = (ctx.hub.view().newest(), ctx.hub.view().members());
    json(200, |o| {
        o.text("epoch", id.epoch.as_str()).shown("id", id);
        json::array(o.value("members"), &members, |out, m| json::member(out, m));
    })
    .into()
}
