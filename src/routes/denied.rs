//! What the hub denies, in words: one status, one word and one sentence, whatever it was asked over.

use std::rc::Rc;
use std::time::Duration;

use crate::hub::{CommandError, ControlError, Denied, EvictError, SayError};
use crate::msg::{Decimal, Member};
use crate::routes::reply::{Ctx, Full, json};

/// What is answered to a question that was denied.
#[derive(Clone, PartialEq, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// One word.
    pub word: &'static str,
    /// A sentence with the remedy.
    pub message: String,
    /// Who holds control, where that is the reason; the inner `None`: nobody.
    pub holder: Option<Option<Rc<Member>>>,
    /// After how many seconds another try is worth it, where that is known.
    pub retry_after: Option<u64>,
}

impl Refusal {
    pub(super) fn new(status: u16, word: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, word, message: message.into(), holder: None, retry_after: None }
    }

    /// What was asked for has not the shape that it has to have.
    pub fn shape(message: &'static str) -> Refusal {
        Refusal::new(400, "shape", message)
    }

    /// As the answer to a request.
    pub(super) fn full(&self) -> Full {
        let full = json(self.status, |o| {
            o.text("error", self.word).text("message", &self.message);
            if let Some(holder) = &self.holder {
                o.somebody("holder", holder.as_deref());
            }
        });
        match self.retry_after {
            Some(seconds) => full.with("Retry-After", seconds.to_string()),
            None => full,
        }
    }
}

/// The answer to a question about `device` and its `command`, where it was about one.
pub(super) fn told(ctx: &Ctx<'_>, device: &str, command: &str, why: Denied) -> Refusal {
    match why {
        Denied::Control(error) => control_denied(ctx, device, error),
        Denied::Command(error) => command_denied(device, command, error),
        Denied::Say(error) => unsaid(ctx, error),
        Denied::Evict(EvictError::Role) => Refusal::new(403, "role", "only admins may evict"),
        Denied::Evict(EvictError::NoMember) => {
            Refusal::new(404, "not_found", "there is no member with that session; see /api/roster")
        }
        Denied::Seat(_) | Denied::Superseded => unsaid(ctx, SayError::NoSeat),
    }
}

fn unsaid(ctx: &Ctx<'_>, why: SayError) -> Refusal {
    match why {
        SayError::Empty => Refusal::new(400, "empty", "there is no text to say"),
        SayError::TooLong => {
            let max = ctx.site.config.chat.text_max;
            Refusal::new(413, "too_long", format!("a message has at most {max} characters"))
        }
        SayError::TooFast { retry_after } => {
            let seconds = seconds(retry_after);
            let message = format!("too many messages; the next one in {seconds} s");
            Refusal { retry_after: Some(seconds), ..Refusal::new(429, "too_fast", message) }
        }
        SayError::NoSeat => Refusal::new(403, "no_seat", "this session has no seat any more; sign in again"),
    }
}

fn seconds(wait: Duration) -> u64 {
    (wait.as_millis() as u64).div_ceil(1000).max(1)
}

fn control_denied(ctx: &Ctx<'_>, device: &str, error: ControlError) -> Refusal {
    match error {
        ControlError::NoDevice => no_device(device),
        ControlError::Down => down(device),
        ControlError::NoSeat => Refusal::new(503, "full", "this needs a seat, and the session has none"),
        ControlError::Role => Refusal::new(403, "role", "operators may control devices, admins may force"),
        ControlError::Held(holder) => {
            let message = format!("{} holds control of {device}; ask for it, or an admin may force", holder.user);
            Refusal { holder: Some(Some(holder)), ..Refusal::new(409, "held", message) }
        }
        ControlError::NotHeld(holder) => no_control(device, holder),
        ControlError::Lease => {
            let max = Decimal::seconds(ctx.site.config.control.lease_max, 3);
            let message = format!(
                r#"no page of this session answers beats: give a lease of at most {max} s, as in {{"action":"take","lease":"30s"}}"#
            );
            Refusal::new(422, "lease", message)
        }
        ControlError::NoMember => {
            Refusal::new(404, "not_found", "there is no other member with that session; see /api/roster")
        }
        ControlError::CannotHold => Refusal::new(422, "role", "that member is a viewer and may not command"),
    }
}

fn command_denied(device: &str, command: &str, error: CommandError) -> Refusal {
    match error {
        CommandError::NoDevice => no_device(device),
        CommandError::NoCommand { known } => {
            let message = format!("{device} has no command {command:?}; it has: {known}");
            Refusal::new(404, "not_found", message)
        }
        CommandError::Down => down(device),
        CommandError::Suspect => {
            let message = format!("{device} is not heard at the moment: a command would run late, so none is sent");
            Refusal::new(503, "suspect", message)
        }
        CommandError::Role => Refusal::new(403, "role", "operators may command devices"),
        CommandError::NoControl(holder) => no_control(device, holder),
        CommandError::BeatMissing => {
            Refusal::new(422, "beat", "name the last beat that the page saw, as in {\"command\":\"stop\",\"beat\":17}")
        }
        CommandError::Stale { age, max } => {
            let max = Decimal::seconds(max, 3);
            let message = match age {
                Some(age) => {
                    format!("the beat it names is {} s old, at most {max} s are allowed", Decimal::seconds(age, 1))
                }
                None => "the beat it names was never sent to this session".to_string(),
            };
            Refusal::new(409, "stale", message)
        }
        CommandError::Args(fault) => Refusal::new(422, "args", fault),
        CommandError::Busy => Refusal::new(429, "busy", format!("{device} has left too many commands unanswered")),
    }
}

fn no_device(device: &str) -> Refusal {
    Refusal::new(404, "not_found", format!("there is no device {device:?}; see /api/devices"))
}

fn down(device: &str) -> Refusal {
    Refusal::new(503, "down", format!("{device} is not connected"))
}

fn no_control(device: &str, holder: Option<Rc<Member>>) -> Refusal {
    let message = match &holder {
        Some(holder) => format!("{} holds control of {device}", holder.user),
        None => format!("nobody holds control of {device}; take it first"),
    };
    Refusal { holder: Some(holder), ..Refusal::new(409, "no_control", message) }
}
