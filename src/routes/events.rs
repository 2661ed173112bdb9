//! `GET /api/events`: everything that happens, as server-sent events.

use crate::http::request::Request;
use crate::msg::{Type, Types};
use crate::routes::links::{open_sse, query};
use crate::routes::reply::{self, Call, Ctx, Reply};

pub(super) fn open(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    match types(call.request) {
        Ok(types) => open_sse(ctx, call, types, types.has(Type::Beat)),
        Err(reply) => reply,
    }
}

/// What a link wants to hear: `?types=said,lost`, else everything.
pub(super) fn types(request: &Request<'_>) -> Result<Types, Reply> {
    let Some(list) = query(request, "types") else { return Ok(Types::ALL) };
    let mut types = Types::ALWAYS;
    for word in list.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        match Type::from_word(word) {
            Some(t) => types = types.and(Types::of(&[t])),
            None => return Err(unknown(word)),
        }
    }
    Ok(types)
}

fn unknown(word: &str) -> Reply {
    let known: Vec<&str> = Type::ALL.iter().map(|t| t.word()).collect();
    reply::bad_query("types", &format!("there is no type {word:?}; there are {}", known.join(",")))
}
