//! What is said with devices and about them.

use std::fmt;
use std::rc::Rc;

use super::{CloseReason, ConnId, Epoch, Event, EventId, Member};
use crate::describe::Describe;
use crate::secret::Secret;

words! {
    /// How a device is.
    DeviceState {
        /// Connected and heard.
        Up => "up",
        /// Connected, but not heard for a moment, or it takes nothing: no command is sent now, because it would run late.
        Suspect => "suspect",
        /// Not connected.
        Down => "down",
    }
}

words! {
    /// Why a device is as it is; the `reason` of `device`.
    DeviceReason {
        /// It came and said so.
        Hello => "hello",
        /// Its link ended in order.
        Left => "left",
        /// It vanished.
        Lost => "lost",
        /// Its machine is there, its program says nothing.
        Silent => "silent",
        /// Another link said hello by the same name.
        Replaced => "replaced",
        /// It broke the protocol.
        Protocol => "protocol",
    }
}

words! {
    /// Why control changed hands or ended; the `reason` of `control`, and of `safe` where one is sent.
    ControlReason {
        /// Somebody took it while nobody had it.
        Taken => "taken",
        /// The holder let go.
        Released => "released",
        /// The holder offered it and another took it.
        Given => "given",
        /// An admin took it from the holder.
        Forced => "forced",
        /// The holder vanished.
        Lost => "lost",
        /// The holder's last link ended in order and no other came, or the seat or the role was taken away.
        Left => "left",
        /// No page of the holder's answers any more.
        Page => "page",
        /// The lease ran out.
        Lease => "lease",
        /// The device is gone, or began anew.
        Device => "device",
        /// The server stops.
        Shutdown => "shutdown",
    }
}

impl ControlReason {
    /// Whether the device goes to its safe state: always, unless a person decided otherwise.
    pub const fn is_safe_sent(self) -> bool {
        !matches!(self, ControlReason::Taken | ControlReason::Released | ControlReason::Given | ControlReason::Forced)
    }
}

/// A JSON value as text, checked and without line breaks.
pub type Json = Rc<str>;

/// One line of a device.
#[derive(Clone, PartialEq, Debug)]
pub enum FromDevice {
    /// An empty line: a sign of life and nothing more.
    Blank,
    /// The first line.
    Hello(DeviceHello),
    /// Values by name.
    Telemetry(Vec<(Rc<str>, Json)>),
    /// What came of a command.
    Answer {
        /// The command's id as it came.
        to: Rc<str>,
        /// Whether it was done.
        ok: bool,
        /// What the device says of it; `null` if nothing.
        result: Json,
    },
    /// A sign of life that wants an answer with this number.
    Ping(Json),
    /// The answer to ours.
    Pong,
    /// It goes.
    Bye,
}

/// What a device says first.
#[derive(Clone, PartialEq, Debug)]
pub struct DeviceHello {
    /// Its name.
    pub name: Rc<str>,
    /// Its token, if it has one.
    pub token: Option<Secret>,
    /// What it can do.
    pub describe: Rc<Describe>,
}

/// By what a device answers a command: `EPOCH-SEQ`, the event's id; `EPOCH-SEQ.N` for a further emergency stop that stands
/// under that event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandId {
    /// The event.
    pub event: EventId,
    /// N; 0: it is the event's own.
    pub again: u32,
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.event.fmt(f)?;
        if self.again > 0 { write!(f, ".{}", self.again) } else { Ok(()) }
    }
}

/// One line to a device.
#[derive(Clone, PartialEq, Debug)]
pub enum ToDevice {
    /// Its hello was good.
    Welcome {
        /// The name it goes by.
        name: Rc<str>,
        /// This run's log.
        epoch: Epoch,
    },
    /// Something it said was not.
    Error {
        /// One word.
        error: &'static str,
        /// A sentence with the remedy.
        message: Rc<str>,
    },
    /// Do that.
    Command {
        /// What.
        command: Rc<str>,
        /// How; an object.
        args: Json,
        /// By which it is answered.
        id: CommandId,
        /// Whose wish it is.
        by: Rc<str>,
        /// Whether it stops things, as `describe` says: `safe` does not take it back.
        anyone: bool,
    },
    /// Who commands it from now on.
    Control {
        /// The user's name; `None`: nobody.
        holder: Option<Rc<str>>,
    },
    /// Go to the safe state.
    Safe {
        /// Why.
        why: ControlReason,
        /// Who held control.
        by: Rc<str>,
        /// Milliseconds since the last sign that the holder can act.
        after_ms: u64,
    },
    /// The answer to its ping.
    Pong(Json),
}

/// A device as the others see it.
#[derive(Clone, PartialEq, Debug)]
pub struct DeviceView {
    /// Its name.
    pub name: Rc<str>,
    /// How it is.
    pub state: DeviceState,
    /// Wall-clock milliseconds since when.
    pub since_ms: u64,
    /// Who holds control.
    pub holder: Option<Rc<Member>>,
    /// What it can do, as it said it.
    pub describe: Json,
    /// The newest value of each name.
    pub telemetry: Vec<(Rc<str>, Json)>,
    /// Wall-clock milliseconds of the newest of them; `None`: there was none.
    pub telemetry_ms: Option<u64>,
}

/// What the hub wants done about devices.
#[derive(Clone, PartialEq, Debug)]
pub enum DeviceEffect {
    /// Write this line on the device's link `conn`.
    Tell {
        /// The link.
        conn: ConnId,
        /// What it hears.
        line: ToDevice,
    },
    /// Say bye on this device's link, unless its peer ended it, and close it.
    Close {
        /// The link.
        conn: ConnId,
        /// Why.
        why: CloseReason,
    },
    /// The device vanished: reset its link, so that nothing that is on its way arrives late.
    Reset {
        /// The link.
        conn: ConnId,
    },
    /// Beats on this page's link come every 500 ms (`true`: it holds control), or as the profile says.
    Pace {
        /// The link.
        conn: ConnId,
        /// Fast.
        fast: bool,
    },
    /// The command that the request on `conn` waits for has been answered by this event.
    Answered {
        /// The connection.
        conn: ConnId,
        /// The event.
        answer: Rc<Event>,
    },
}
