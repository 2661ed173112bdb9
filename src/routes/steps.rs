//! What a page asks for on its link, done: each [`Request`] becomes a question to the hub, and a `done` or an `error`
//! message to that link.

use std::rc::Rc;

use crate::ask::{Ask, Request};
use crate::msg::{Effect, EventId, Message, Passing, SessionId};
use crate::routes::chat::unsaid;
use crate::routes::devices;
use crate::routes::reply::Ctx;

/// What a page is refused: one word, one sentence.
type Refusal = (&'static str, String);

/// Does what the page at the end of the link `ctx.peer.conn` of `session` asks for.
pub fn take(ctx: &mut Ctx<'_>, session: SessionId, request: Request) {
    let conn = ctx.peer.conn;
    let bye = request.ask == Ok(Ask::Bye);
    let denied = |denied: devices::Denied| (denied.word, denied.message);
    let outcome = match request.ask {
        Ok(Ask::Say(text)) => ctx.hub.say(ctx.now, session, &text, ctx.fx).map(Some).map_err(|why| {
            let (_, word, said) = unsaid(ctx, why);
            (word, said)
        }),
        Ok(Ask::Beat(beat)) => {
            let hold: Vec<&str> = beat.hold.iter().map(String::as_str).collect();
            ctx.hub.link_beat_answer(ctx.now, conn, beat.n, &hold, ctx.fx);
            Ok(None)
        }
        Ok(Ask::Bye) => Ok(None),
        Ok(Ask::Command(order)) => {
            devices::send(ctx, session, &order, None).map(|ordered| Some(ordered.id)).map_err(denied)
        }
        Ok(Ask::Control(wish)) => devices::change_control(ctx, session, &wish).map(|_| None).map_err(denied),
        Err(why) => Err(("shape", why.into())),
    };
    if let Some(passing) = reply(request.reference, outcome) {
        ctx.fx.push(Effect::Deliver { to: vec![conn], message: Message::Passing(Rc::new(passing)) });
    }
    if bye {
        ctx.hub.link_bye(ctx.now, conn, ctx.fx);
    }
}

/// What the link is told. Whoever gave no `ref` does not wait to hear that it was done.
fn reply(reference: Option<crate::msg::Ref>, outcome: Result<Option<EventId>, Refusal>) -> Option<Passing> {
    match (outcome, reference) {
        (Ok(id), Some(reference)) => Some(Passing::Done { reference, id }),
        (Ok(_), None) => None,
        (Err((error, said)), reference) => Some(Passing::Error { reference, error, message: said.into() }),
    }
}
