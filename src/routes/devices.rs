//! `/api/devices`: which devices there are, who controls them, and what they are asked to do.

use std::time::Duration;

use crate::ask;
use crate::config::parse_duration;
use crate::hub::{Ask, CommandRequest, ControlAction, Done, Issued, Purpose, Take};
use crate::json;
use crate::msg::{ConnId, Event, EventId, Role, SessionId, What};
use crate::routes::denied::{Refusal, told};
use crate::routes::links::query;
use crate::routes::reply::{self, Call, Ctx, Full, Reply, json, refusal};
use crate::routes::{access, full};

/// The longest that a request waits for an answer, whatever it asks for: proxies give up at about that.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// `GET /api/devices`.
pub(super) fn show(ctx: &mut Ctx<'_>, _: &Call<'_>) -> Reply {
    let mut body = Vec::new();
    json::array(&mut body, &ctx.hub.view().devices(), json::device);
    body.push(b'\n');
    Full::new(200, crate::http::response::JSON, body).into()
}

// --------------------------------------------------------------------------------------------------- control

const ACTIONS: &str = r#"`action` has to be "take", "release", "give" or "force", as in {"action":"take"}"#;

/// `POST /api/devices/NAME/control`.
pub(super) fn control(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    let done = ask::control(call.param, call.body)
        .map_err(Refusal::shape)
        .and_then(|control| change_control(ctx, call.caller.session, &control));
    match done {
        Ok(done) => json(200, |o| {
            o.text("device", call.param);
            if let Done::Controlled(done) = done {
                o.somebody("holder", done.holder.as_deref());
                if let Some(lease) = done.lease {
                    o.plain("lease_ms", lease.as_millis());
                }
            }
        })
        .into(),
        Err(refused) => refused.full().into(),
    }
}

/// Does what `control` says; for every carrier.
///
/// # Errors
/// What to answer.
pub fn change_control(ctx: &mut Ctx<'_>, session: SessionId, control: &ask::Control) -> Result<Done, Refusal> {
    let action = action(control)?;
    let device = &*control.device;
    ctx.ask(session, Ask::Control { device, action }).map_err(|why| told(ctx, device, "", why))
}

fn action(control: &ask::Control) -> Result<ControlAction, Refusal> {
    let force = match control.action.as_str() {
        "take" => false,
        "force" => true,
        "release" => return Ok(ControlAction::Release),
        "give" => {
            let to = control.to.as_deref().and_then(|to| to.parse().ok());
            return to.map(ControlAction::Give).ok_or(Refusal::shape("`to` has to name a session; see /api/roster"));
        }
        _ => return Err(Refusal::shape(ACTIONS)),
    };
    match control.lease.as_deref().map(parse_duration) {
        None => Ok(ControlAction::Take(Take { lease: None, force })),
        Some(Ok(lease)) => Ok(ControlAction::Take(Take { lease: Some(lease), force })),
        Some(Err(fault)) => Err(Refusal::new(400, "shape", format!("`lease`: {fault}"))),
    }
}

// -------------------------------------------------------------------------------------------------- commands

/// `POST /api/devices/NAME/command`.
pub(super) fn command(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    let wait = match query(call.request, "wait").map(|wait| parse_duration(&wait)) {
        None => None,
        Some(Ok(wait)) => Some(wait.min(WAIT_MAX)),
        Some(Err(fault)) => return reply::bad_query("wait", &fault),
    };
    // who may is decided before what the body says; only it says whether everybody may
    let command = ask::command(call.param, call.body);
    if command.as_ref().is_ok_and(|command| is_stop(ctx, command)) {
        // a sign of life; a stop passes whatever has become of its session meanwhile
        let _ = ctx.ask(call.caller.session, Ask::Serve(Purpose::Read));
    } else {
        if let Some(only) = call.caller.only_stops {
            return access::only_stops(only).into();
        }
        // as every request that needs a name: an ended session is told so before its role is
        if let Err(why) = ctx.ask(call.caller.session, Ask::Serve(Purpose::Read)) {
            return full::answer(ctx, call.request, why).into();
        }
        if call.caller.role < Role::Operator {
            let said = format!("this needs the role operator; {} is a {}", call.caller.user, call.caller.role);
            return refusal(403, "role", &said).into();
        }
        if let Err(why) = ctx.ask(call.caller.session, Ask::Serve(Purpose::Act)) {
            return full::answer(ctx, call.request, why).into();
        }
    }
    let conn = ctx.peer.conn;
    let done = command.map_err(Refusal::shape);
    let done = done.and_then(|command| send(ctx, call.caller.session, &command, wait.map(|_| conn)));
    match (wait, done) {
        (Some(_), Ok(Done::Issued(Issued { answer: Some(answer), .. }))) => answered(&answer).into(),
        (Some(wait), Ok(Done::Issued(Issued { id, .. }))) => Reply::Hold { command: id, until: ctx.now.mono + wait },
        (_, Ok(done)) => json(202, |o| {
            if let Some(id) = done.id() {
                o.shown("id", id);
            }
        })
        .into(),
        (_, Err(refused)) => refused.full().into(),
    }
}

/// Whether it is an emergency stop, which everybody with a name may give at any time: the device's description says so.
/// Asked once for each carrier, before anything else is; the hub goes by the same word of the description.
fn is_stop(ctx: &Ctx<'_>, request: &ask::Command) -> bool {
    ctx.hub.view().is_for_anyone(&request.device, &request.command)
}

/// Sends the command; for every carrier. `waiter`: the connection whose request waits for the answer.
///
/// # Errors
/// What to answer.
pub fn send(
    ctx: &mut Ctx<'_>,
    session: SessionId,
    ask: &ask::Command,
    waiter: Option<ConnId>,
) -> Result<Done, Refusal> {
    if let (Some(flaw), false) = (ask.flaw, is_stop(ctx, ask)) {
        return Err(Refusal::shape(flaw));
    }
    let request = CommandRequest {
        device: &ask.device,
        command: &ask.command,
        args: &ask.args,
        beat: ask.beat,
        reference: ask.reference.as_ref(),
        waiter,
    };
    let done = ctx.ask(session, Ask::Command(&request));
    done.map_err(|why| told(ctx, &ask.device, &ask.command, why))
}

/// The answer to a request that waited for it.
pub fn answered(answer: &Event) -> Full {
    json(200, |o| {
        if let What::Answered { to, ok, result, late, .. } = &answer.what {
            o.shown("id", to).maybe("ok", *ok).plain("result", result).plain("late", late);
        }
    })
}

/// The answer to a request that has waited in vain.
pub fn unanswered(command: EventId) -> Full {
    json(504, |o| {
        o.text("error", "timeout")
            .text("message", "the device has not answered yet; the log will tell what came of it");
        o.shown("id", command);
    })
}
