//! What a page asks for on its link, done: each [`Request`] becomes a question to the hub, and a `done` or an `error`
//! message to that link.

use std::rc::Rc;

use crate::ask::{self, Request};
use crate::hub::{Ask, Done};
use crate::msg::{Effect, EventId, Message, Passing, SessionId};
use crate::routes::denied::{Refusal, told};
use crate::routes::devices;
use crate::routes::reply::Ctx;

/// Does what the page at the end of the link `ctx.peer.conn` of `session` asks for.
pub fn take(ctx: &mut Ctx<'_>, session: SessionId, request: Request) {
    let conn = ctx.peer.conn;
    let bye = request.ask == Ok(ask::Ask::Bye);
    let outcome = match &request.ask {
        Ok(ask::Ask::Say(text)) => ctx.ask(session, Ask::Say(text)).map_err(|why| told(ctx, "", "", why)),
        Ok(ask::Ask::Beat(beat)) => {
            ctx.ask(session, Ask::LinkBeat { conn, beat }).map_err(|why| told(ctx, "", "", why))
        }
        Ok(ask::Ask::Bye) => Ok(Done::Nothing), // it hears so before its link closes
        Ok(ask::Ask::Command(command)) => devices::send(ctx, session, command, None),
        Ok(ask::Ask::Control(control)) => devices::change_control(ctx, session, control),
        Err(why) => Err(Refusal::shape(why)),
    };
    if let Some(passing) = reply(request.reference, outcome.map(|done| done.id())) {
        ctx.fx.push(Effect::Deliver { to: vec![conn], message: Message::Passing(Rc::new(passing)) });
    }
    if bye {
        let _ = ctx.ask(session, Ask::LinkBye(conn)); // never denied
    }
}

/// What the link is told. A page that gave no `ref` does not wait to hear that it was done.
fn reply(reference: Option<crate::msg::Ref>, outcome: Result<Option<EventId>, Refusal>) -> Option<Passing> {
    match (outcome, reference) {
        (Ok(id), Some(reference)) => Some(Passing::Done { reference, id }),
        (Ok(_), None) => None,
        (Err(refused), reference) => {
            Some(Passing::Error { reference, error: refused.word, message: refused.message.into() })
        }
    }
}
