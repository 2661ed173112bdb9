//! `/api/devices`: which devices there are, who controls them, and what they are asked to do.

use std::time::Duration;

use crate::ask;
use crate::config::parse_duration;
use crate::hub::{Asked, CommandError, ControlError, Controlled, Order, Ordered, Take};
use crate::json;
use crate::msg::{ConnId, Decimal, Event, EventId, Member, Role, SessionId, What};
use crate::routes::links::query;
use crate::routes::reply::{Call, Ctx, Full, Reply, json, refusal};
use crate::routes::{access, full};

/// The longest that a request waits for an answer, whatever it asks for: proxies give up at about that.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// `GET /api/devices`.
pub(super) fn show(ctx: &mut Ctx<'_>, _: &Call<'_>) -> Reply {
    let mut body = Vec::new();
    json::array(&mut body, &ctx.hub.devices(), json::device);
    body.push(b'\n');
    Full::new(200, crate::http::response::JSON, body).into()
}

/// Why something about a device was not done.
#[derive(Clone, PartialEq, Debug)]
pub struct Denied {
    /// The HTTP status.
    pub status: u16,
    /// One word.
    pub word: &'static str,
    /// A sentence with the remedy.
    pub message: String,
    /// Who holds control, where that is the reason; the inner `None`: nobody.
    pub holder: Option<Option<std::rc::Rc<Member>>>,
}

impl Denied {
    fn new(status: u16, word: &'static str, message: impl Into<String>) -> Denied {
        Denied { status, word, message: message.into(), holder: None }
    }

    /// What was asked for has not the shape that it has to have.
    pub fn shape(message: &'static str) -> Denied {
        Denied::new(400, "shape", message)
    }

    fn full(&self) -> Full {
        json(self.status, |o| {
            o.text("error", self.word).text("message", &self.message);
            if let Some(holder) = &self.holder {
                o.somebody("holder", holder.as_deref());
            }
        })
    }
}

// --------------------------------------------------------------------------------------------------- control

const ACTIONS: &str = r#"`action` has to be "take", "release", "give" or "force", as in {"action":"take"}"#;

/// `POST /api/devices/NAME/control`.
pub(super) fn control(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    let done = ask::control(call.param, call.body)
        .map_err(Denied::shape)
        .and_then(|wish| change_control(ctx, call.caller.session, &wish));
    match done {
        Ok(done) => json(200, |o| {
            o.text("device", call.param).somebody("holder", done.holder.as_deref());
            if let Some(lease) = done.lease {
                o.plain("lease_ms", lease.as_millis());
            }
        })
        .into(),
        Err(denied) => denied.full().into(),
    }
}

/// Does what `wish` says; for every carrier.
///
/// # Errors
/// What to tell whoever asked.
pub fn change_control(ctx: &mut Ctx<'_>, session: SessionId, wish: &ask::Control) -> Result<Controlled, Denied> {
    let device = &*wish.device;
    let force = match wish.action.as_str() {
        "take" => false,
        "force" => true,
        "release" => {
            let done = ctx.hub.release_control(ctx.now, session, device, ctx.fx);
            return done.map_err(|e| control_denied(ctx, device, e));
        }
        "give" => {
            let to = wish.to.as_deref().and_then(|to| to.parse().ok());
            let to = to.ok_or_else(|| Denied::new(400, "shape", "`to` has to name a session; see /api/roster"))?;
            let done = ctx.hub.give_control(ctx.now, session, device, to, ctx.fx);
            return done.map_err(|e| control_denied(ctx, device, e));
        }
        _ => return Err(Denied::new(400, "shape", ACTIONS)),
    };
    let lease = match wish.lease.as_deref().map(parse_duration) {
        None => None,
        Some(Ok(lease)) => Some(lease),
        Some(Err(fault)) => return Err(Denied::new(400, "shape", format!("`lease`: {fault}"))),
    };
    let done = ctx.hub.take_control(ctx.now, session, device, Take { lease, force }, ctx.fx);
    done.map_err(|e| control_denied(ctx, device, e))
}

fn control_denied(ctx: &Ctx<'_>, device: &str, error: ControlError) -> Denied {
    match error {
        ControlError::NoDevice => no_device(device),
        ControlError::Down => down(device),
        ControlError::NoSeat => Denied::new(503, "full", "this needs a seat, and the session has none"),
        ControlError::Role => Denied::new(403, "role", "operators may control devices, admins may force"),
        ControlError::Held(holder) => {
            let message = format!("{} holds control of {device}; ask for it, or an admin may force", holder.user);
            Denied { holder: Some(Some(holder)), ..Denied::new(409, "held", message) }
        }
        ControlError::NotHeld(holder) => no_control(device, holder),
        ControlError::Lease => {
            let max = Decimal::seconds(ctx.site.config.control.lease_max, 3);
            let message = format!(
                r#"no page of this session answers beats: give a lease of at most {max} s, as in {{"action":"take","lease":"30s"}}"#
            );
            Denied::new(422, "lease", message)
        }
        ControlError::Nobody => {
            Denied::new(404, "not_found", "there is no other member with that session; see /api/roster")
        }
        ControlError::CannotHold => Denied::new(422, "role", "that member is a viewer and may not command"),
    }
}

// -------------------------------------------------------------------------------------------------- commands

/// `POST /api/devices/NAME/command`.
pub(super) fn command(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    let wait = match query(call.request, "wait").map(|wait| parse_duration(&wait)) {
        None => None,
        Some(Ok(wait)) => Some(wait.min(WAIT_MAX)),
        Some(Err(fault)) => return super::bad_query("wait", &fault),
    };
    // who may is decided before what the body says; only it says whether everybody may
    let order = ask::command(call.param, call.body);
    if order.as_ref().is_ok_and(|order| is_stop(ctx, order)) {
        // a sign of life; a stop passes whatever has become of its session meanwhile
        let _ = ctx.hub.request(ctx.now, call.caller.session, Asked::Read, ctx.fx);
    } else {
        if let Some(only) = call.caller.only_stops {
            return access::only_stops(only).into();
        }
        // as every request that needs a name: an ended session is told so before its role is
        if let Err(why) = ctx.hub.request(ctx.now, call.caller.session, Asked::Read, ctx.fx) {
            return full::answer(ctx, call.request, why).into();
        }
        if call.caller.role < Role::Operator {
            let said = format!("this needs the role operator; {} is a {}", call.caller.user, call.caller.role);
            return refusal(403, "role", &said).into();
        }
        if let Err(why) = ctx.hub.request(ctx.now, call.caller.session, Asked::Act, ctx.fx) {
            return full::answer(ctx, call.request, why).into();
        }
    }
    let conn = ctx.peer.conn;
    let done = order.map_err(Denied::shape);
    let done = done.and_then(|order| send(ctx, call.caller.session, &order, wait.map(|_| conn)));
    let ordered = match done {
        Ok(ordered) => ordered,
        Err(denied) => return denied.full().into(),
    };
    match (wait, ordered.answer) {
        (Some(_), Some(answer)) => self::answered(&answer).into(),
        (Some(wait), None) => Reply::Hold { command: ordered.id, until: ctx.now.mono + wait },
        (None, _) => json(202, |o| {
            o.shown("id", ordered.id);
        })
        .into(),
    }
}

/// Whether it is an emergency stop, which everybody with a name may give at any time: the device's description says so.
/// Asked once for each carrier, before anything else is; the hub goes by the same word of the description.
fn is_stop(ctx: &Ctx<'_>, order: &ask::Command) -> bool {
    ctx.hub.is_for_anyone(&order.device, &order.command)
}

/// Sends the command; for every carrier. `waiter`: the connection whose request waits for the answer.
///
/// # Errors
/// What to tell whoever asked.
pub fn send(
    ctx: &mut Ctx<'_>,
    session: SessionId,
    ask: &ask::Command,
    waiter: Option<ConnId>,
) -> Result<Ordered, Denied> {
    if let (Some(flaw), false) = (ask.flaw, is_stop(ctx, ask)) {
        return Err(Denied::shape(flaw));
    }
    let order = Order {
        device: &ask.device,
        command: &ask.command,
        args: &ask.args,
        beat: ask.beat,
        reference: ask.reference.as_ref(),
        waiter,
    };
    let done = ctx.hub.command(ctx.now, session, &order, ctx.fx);
    done.map_err(|e| command_denied(&ask.device, &ask.command, e))
}

fn command_denied(device: &str, command: &str, error: CommandError) -> Denied {
    match error {
        CommandError::NoDevice => no_device(device),
        CommandError::NoCommand { known } => {
            let message = format!("{device} has no command {command:?}; it has: {known}");
            Denied::new(404, "not_found", message)
        }
        CommandError::Down => down(device),
        CommandError::Suspect => {
            let message = format!("{device} is not heard at the moment: a command would run late, so none is sent");
            Denied::new(503, "suspect", message)
        }
        CommandError::Role => Denied::new(403, "role", "operators may command devices"),
        CommandError::NoControl(holder) => no_control(device, holder),
        CommandError::BeatMissing => {
            Denied::new(422, "beat", "name the last beat that the page saw, as in {\"command\":\"stop\",\"beat\":17}")
        }
        CommandError::Stale { age, max } => {
            let max = Decimal::seconds(max, 3);
            let message = match age {
                Some(age) => {
                    format!("the beat it names is {} s old, at most {max} s are allowed", Decimal::seconds(age, 1))
                }
                None => "the beat it names was never sent to this session".to_string(),
            };
            Denied::new(409, "stale", message)
        }
        CommandError::Args(fault) => Denied::new(422, "args", fault),
        CommandError::Busy => Denied::new(429, "busy", format!("{device} has left too many commands unanswered")),
    }
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

fn no_device(device: &str) -> Denied {
    Denied::new(404, "not_found", format!("there is no device {device:?}; see /api/devices"))
}

fn down(device: &str) -> Denied {
    Denied::new(503, "down", format!("{device} is not connected"))
}

fn no_control(device: &str, holder: Option<std::rc::Rc<Member>>) -> Denied {
    let message = match &holder {
        Some(holder) => format!("{} holds control of {device}", holder.user),
        None => format!("nobody holds control of {device}; take it first"),
    };
    Denied { holder: Some(holder), ..Denied::new(409, "no_control", message) }
}
