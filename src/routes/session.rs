//! `GET /api/session`: who am I, and do I have a seat.

use crate::routes::reply::{Call, Ctx, Reply, json, refusal};

pub(super) fn show(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    let Some(view) = ctx.hub.view().session(call.caller.session) else {
        return refusal(403, "signed_out", "this session is over; sign in again").into();
    };
    let (max, taken) = (ctx.hub.view().seats_max(), ctx.hub.view().seats_taken());
    json(200, |o| {
        o.text("user", &view.user).shown("role", view.role).shown("session", view.id).maybe("seat", view.seat);
        o.object("seats").plain("max", max).plain("taken", taken);
        o.time("since", view.since_ms);
    })
    .into()
}
