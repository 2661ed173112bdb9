//! `POST /api/members/SESSION/evict`: an admin takes a member's seat.

use crate::hub::{Ask, Denied, EvictError};
use crate::routes::denied::told;
use crate::routes::reply::{Call, Ctx, Full, Reply, refusal};

pub(super) fn evict(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    let Ok(whom) = call.param.parse() else { return nobody(call.param) };
    match ctx.ask(call.caller.session, Ask::Evict(whom)) {
        Ok(_) => Full::empty(204).into(),
        Err(Denied::Evict(EvictError::NoMember)) => nobody(call.param),
        Err(why) => told(ctx, "", "", why).full().into(),
    }
}

fn nobody(param: &str) -> Reply {
    let said = format!("there is no member with the session {param:?}; see /api/roster");
    refusal(404, "not_found", &said).into()
}
