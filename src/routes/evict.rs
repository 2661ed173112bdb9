//! `POST /api/members/SESSION/evict`: an admin takes a member's seat.

use crate::hub::EvictError;
use crate::routes::reply::{Call, Ctx, Full, Reply, refusal};

pub(super) fn evict(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    let Ok(whom) = call.param.parse() else { return nobody(call.param) };
    match ctx.hub.evict(ctx.now, call.caller.session, whom, ctx.fx) {
        Ok(()) => Full::empty(204).into(),
        Err(EvictError::Role) => refusal(403, "role", "only admins may evict").into(),
        Err(EvictError::Nobody) => nobody(call.param),
    }
}

fn nobody(param: &str) -> Reply {
    let said = format!("there is no member with the session {param:?}; see /api/roster");
    refusal(404, "not_found", &said).into()
}
