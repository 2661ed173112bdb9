//! What a connection speaks, and where it is in that. What happens then is in `http`, `page` and `device`.

use std::time::Duration;

use crate::auth::Key;
use crate::http::exchange::Exchange;
use crate::http::response::Persist;
use crate::link::Link;
use crate::link::lines::Lines;
use crate::msg::{DeviceHello, EventId, Moment};
use crate::routes::Admitted;

/// A device says hello within so long.
pub const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// What a connection speaks. A closed set: the compiler finds every place that has to know.
pub enum Engine {
    /// Requests and responses.
    Http(Http),
    /// Events, to a page or a program.
    Page(Page),
    /// Device lines.
    Device(Box<Device>),
    /// Last words are said: what still comes is thrown away.
    Draining,
}

/// A connection that carries requests.
#[derive(Default)]
pub struct Http {
    /// Where the newest exchange is.
    pub stage: Stage,
    /// Its framing.
    pub exchange: Exchange,
    /// It takes one of the last places, which are for sessions that have a seat.
    pub reserve: bool,
}

/// Where an exchange is.
#[derive(Default)]
pub enum Stage {
    /// A request head is awaited.
    #[default]
    Head,
    /// A body is awaited, for a request that has been let in.
    Body(Box<Admitted>),
    /// A body is skipped, for a request that has been answered.
    Skip,
    /// A password is being checked for the request whose head lies in the input.
    Waiting(Key),
    /// The answer to a command is awaited.
    Held(Box<Held>),
}

/// A request that waits for the answer to a command.
pub struct Held {
    /// The command.
    pub command: EventId,
    /// How long it waits.
    pub until: Moment,
    /// Whether the connection goes on after the answer.
    pub persist: Persist,
    /// Header lines of the answer.
    pub extra: Vec<u8>,
}

/// The link of a page or a program.
pub struct Page {
    /// How events are written and requests read.
    pub link: Box<dyn Link>,
    /// Telemetry was held back from it.
    pub missed_telemetry: bool,
}

/// A connection to a device.
#[derive(Default)]
pub struct Device {
    pub(super) lines: Lines,
    pub(super) stage: DeviceStage,
}

/// How far it is.
#[derive(Default)]
pub(super) enum DeviceStage {
    /// Its hello is awaited.
    #[default]
    Hello,
    /// Its token is being checked.
    Checking(Box<(Key, DeviceHello)>),
    /// It is a device.
    Up,
}

impl Device {
    /// Whether it has been welcomed.
    pub fn is_up(&self) -> bool {
        matches!(self.stage, DeviceStage::Up)
    }

    /// Whether it waits for the check of these credentials.
    pub fn waits_for(&self, key: &Key) -> bool {
        matches!(&self.stage, DeviceStage::Checking(checking) if checking.0 == *key)
    }

    /// Whether its hello is awaited.
    pub fn is_awaited(&self) -> bool {
        matches!(self.stage, DeviceStage::Hello)
    }
}
