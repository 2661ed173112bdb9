//! What members are and what is told of them: events, which are kept and numbered, and messages that pass.

use std::rc::Rc;

use super::*;

// ------------------------------------------------------------------------------------------------- members

/// A seated session as the others see it.
#[derive(Clone, PartialEq, Debug)]
pub struct Member {
    /// Public name of the session.
    pub session: SessionId,
    /// User name.
    pub user: Rc<str>,
    /// What that user may do.
    pub role: Role,
    /// 1 to `seats.max` (may be higher after `max` was lowered).
    pub seat: u16,
    /// Where it comes from.
    pub addr: PeerAddr,
    /// Wall-clock milliseconds at which it took the seat.
    pub since_ms: u64,
    /// How it is.
    pub state: Presence,
    /// Links that carry it now.
    pub links: u16,
    /// Smoothed round-trip time of its best link, in microseconds; `None` without one.
    pub rtt_us: Option<u32>,
    /// Its User-Agent, cut to [`Member::AGENT_MAX`] bytes.
    pub agent: Rc<str>,
}

impl Member {
    /// Bytes of a User-Agent kept for the roster.
    pub const AGENT_MAX: usize = 200;
}

// -------------------------------------------------------------------------------------------------- events

/// Something that happened: numbered, immutable, kept for replay.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// Its name.
    pub id: EventId,
    /// Wall-clock milliseconds since 1970.
    pub time_ms: u64,
    /// What it was.
    pub what: What,
}

/// The kinds of logged events and their fields (contract: see docs/protocol.md).
#[derive(Clone, PartialEq, Debug)]
pub enum What {
    /// A session took a seat.
    Joined {
        /// Who.
        member: Rc<Member>,
        /// The same session was lost and is back.
        returned: bool,
    },
    /// A member is gone in order.
    Left {
        /// Who, as last seen.
        member: Rc<Member>,
        /// Why.
        reason: LeftReason,
    },
    /// A member is gone without a goodbye.
    Lost {
        /// Who, as last seen.
        member: Rc<Member>,
        /// Milliseconds since the last sign of life.
        after_ms: u64,
        /// How we know.
        evidence: Evidence,
    },
    /// A member said something.
    Said {
        /// Who.
        from: Rc<Member>,
        /// What; plain text, never markup.
        text: Rc<str>,
    },
    /// Control of a device changed hands or ended.
    Control {
        /// Which.
        device: Rc<str>,
        /// Who has it now.
        holder: Option<Rc<Member>>,
        /// Who had it.
        was: Option<Rc<Member>>,
        /// Why.
        reason: ControlReason,
    },
    /// A device was asked to do something.
    Commanded {
        /// By whom.
        by: Rc<Member>,
        /// Which.
        device: Rc<str>,
        /// What.
        command: Rc<str>,
        /// How; an object.
        args: Json,
    },
    /// What came of a command.
    Answered {
        /// Which device.
        device: Rc<str>,
        /// The command.
        to: EventId,
        /// Whether it was done; `None`: nobody knows.
        ok: Option<bool>,
        /// What the device says of it.
        result: Json,
        /// It corrects an earlier answer.
        late: bool,
    },
    /// A device came, went, or fell silent.
    Device {
        /// Which.
        device: Rc<str>,
        /// How it is.
        state: DeviceState,
        /// Why; `None` for one that was suspect and is heard again.
        reason: Option<DeviceReason>,
    },
    /// Somebody with good credentials found no seat.
    TurnedAway {
        /// From where.
        addr: PeerAddr,
        /// As whom.
        user: Rc<str>,
    },
}

/// What is told but not kept: no id, never replayed.
#[derive(Clone, PartialEq, Debug)]
pub enum Passing {
    /// The first message of every link.
    Hello(Hello),
    /// A numbered message which a page answers.
    Beat {
        /// Its number.
        n: u64,
    },
    /// A member has been silent for a while.
    Suspected {
        /// Who.
        member: Rc<Member>,
        /// Milliseconds of silence.
        silent_ms: u64,
    },
    /// A suspected member was heard again.
    Recovered {
        /// Who.
        member: Rc<Member>,
        /// Milliseconds of silence before that.
        silent_ms: u64,
    },
    /// A member takes no data, or its page does not answer.
    Stalled {
        /// Who.
        member: Rc<Member>,
        /// Which of the two.
        layer: Layer,
    },
    /// A stalled member moves again.
    Moving {
        /// Who.
        member: Rc<Member>,
        /// In which layer.
        layer: Layer,
    },
    /// New values of a device, by name.
    Telemetry {
        /// Which.
        device: Rc<str>,
        /// The values that changed.
        values: Vec<(Rc<str>, Json)>,
        /// Wall-clock milliseconds of the newest.
        at_ms: u64,
    },
    /// Control of a device is offered to a member, who has a few seconds to take it.
    Offered {
        /// Which.
        device: Rc<str>,
        /// Who holds it.
        from: Rc<Member>,
        /// To whom.
        to: Rc<Member>,
    },
    /// This link ends, and why.
    Closing {
        /// Why.
        reason: CloseReason,
    },
    /// Something that this link asked for was refused.
    Error {
        /// What it was, if it had a `ref`.
        reference: Option<Ref>,
        /// One word.
        error: &'static str,
        /// A sentence with the remedy.
        message: Rc<str>,
    },
    /// Something that this link asked for with a `ref` was done.
    Done {
        /// What it was.
        reference: Ref,
        /// The event that it became, if it became one.
        id: Option<EventId>,
    },
}

/// The `ref` of something asked on a link or by POST: echoed as it came, a JSON string or whole number as JSON text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ref(Rc<str>);

impl Ref {
    /// Bytes of its JSON text: a page draws or counts them; more would let a client make us remember a lot.
    pub const LEN_MAX: usize = 128;

    /// From JSON text; `None` if that is too long. The caller knows that it is a string or a number.
    pub fn from_json(text: &str) -> Option<Ref> {
        (text.len() <= Self::LEN_MAX).then(|| Ref(text.into()))
    }

    /// Its JSON text.
    pub fn json(&self) -> &str {
        &self.0
    }
}

/// The first message of a link: the state of things at that moment.
#[derive(Clone, PartialEq, Debug)]
pub struct Hello {
    /// The newest event, or the log's beginning.
    pub id: EventId,
    /// The session that this link belongs to.
    pub you: Rc<Member>,
    /// Seats in all.
    pub max: u16,
    /// Seats taken.
    pub taken: u16,
    /// Everybody here.
    pub members: Vec<Rc<Member>>,
    /// The devices.
    pub devices: Vec<DeviceView>,
    /// Whether the events after the asked id follow.
    pub replayed: bool,
    /// Milliseconds between beats.
    pub beat_ms: u64,
}

words! {
    /// The types of events and passing messages, as `?types=` names them.
    Type {
        /// See [`What::Joined`].
        Joined => "joined",
        /// See [`What::Left`].
        Left => "left",
        /// See [`What::Lost`].
        Lost => "lost",
        /// See [`What::Said`].
        Said => "said",
        /// See [`What::TurnedAway`].
        TurnedAway => "turned_away",
        /// See [`What::Control`].
        Control => "control",
        /// See [`What::Commanded`].
        Commanded => "commanded",
        /// See [`What::Answered`].
        Answered => "answered",
        /// See [`What::Device`].
        Device => "device",
        /// See [`Passing::Hello`].
        Hello => "hello",
        /// See [`Passing::Beat`].
        Beat => "beat",
        /// See [`Passing::Suspected`].
        Suspected => "suspected",
        /// See [`Passing::Recovered`].
        Recovered => "recovered",
        /// See [`Passing::Stalled`].
        Stalled => "stalled",
        /// See [`Passing::Moving`].
        Moving => "moving",
        /// See [`Passing::Telemetry`].
        Telemetry => "telemetry",
        /// See [`Passing::Offered`].
        Offered => "offered",
        /// See [`Passing::Closing`].
        Closing => "closing",
        /// See [`Passing::Error`].
        Error => "error",
        /// See [`Passing::Done`].
        Done => "done",
    }
}

/// A set of [`Type`]s: what a link wants to hear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Types(u32);

impl Types {
    /// Everything.
    pub const ALL: Types = Types(u32::MAX);
    /// What comes whatever was asked for.
    pub const ALWAYS: Types = Types::of(&[Type::Hello, Type::Closing, Type::Error, Type::Done]);

    /// Just these.
    pub const fn of(types: &[Type]) -> Types {
        let (mut bits, mut i) = (0, 0);
        while i < types.len() {
            bits |= 1 << types[i] as u32;
            i += 1;
        }
        Types(bits)
    }

    /// These and those.
    pub const fn and(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    /// Whether `t` is among them.
    pub const fn has(self, t: Type) -> bool {
        self.0 & (1 << t as u32) != 0
    }
}

/// What goes over a link: an event, or a passing message.
#[derive(Clone, PartialEq, Debug)]
pub enum Message {
    /// Kept and numbered.
    Logged(Rc<Event>),
    /// Told once.
    Passing(Rc<Passing>),
}

impl What {
    /// Bytes in it whose number people and devices choose.
    pub fn free_bytes(&self) -> u64 {
        let bytes = match self {
            What::Said { text, .. } => text.len(),
            What::Commanded { args, .. } => args.len(),
            What::Answered { result, .. } => result.len(),
            _ => 0,
        };
        bytes as u64
    }

    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            What::Joined { .. } => Type::Joined,
            What::Left { .. } => Type::Left,
            What::Lost { .. } => Type::Lost,
            What::Said { .. } => Type::Said,
            What::TurnedAway { .. } => Type::TurnedAway,
            What::Control { .. } => Type::Control,
            What::Commanded { .. } => Type::Commanded,
            What::Answered { .. } => Type::Answered,
            What::Device { .. } => Type::Device,
        }
    }
}

impl Passing {
    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            Passing::Hello(_) => Type::Hello,
            Passing::Beat { .. } => Type::Beat,
            Passing::Suspected { .. } => Type::Suspected,
            Passing::Recovered { .. } => Type::Recovered,
            Passing::Stalled { .. } => Type::Stalled,
            Passing::Moving { .. } => Type::Moving,
            Passing::Telemetry { .. } => Type::Telemetry,
            Passing::Offered { .. } => Type::Offered,
            Passing::Closing { .. } => Type::Closing,
            Passing::Error { .. } => Type::Error,
            Passing::Done { .. } => Type::Done,
        }
    }
}

impl Message {
    /// Its type.
    pub fn kind(&self) -> Type {
        match self {
            Message::Logged(e) => e.what.kind(),
            Message::Passing(p) => p.kind(),
        }
    }
}
