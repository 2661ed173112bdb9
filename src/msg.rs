//! The words: what is said between the floors. Plain values, no behaviour beyond naming and ordering them.
//!
//! Never does: input, output, clocks, randomness. Time comes in as [`Now`].

use std::fmt;
use std::net::IpAddr;
use std::ops::{Add, Sub};
use std::rc::Rc;
use std::time::Duration;

// ---------------------------------------------------------------------------------------------------- time

/// A point on the monotonic clock, in microseconds since some fixed start (on the board: CLOCK_MONOTONIC,
/// clock_gettime(2)). Unlike `std::time::Instant` it can be written down, so tests need no clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Moment(u64);

impl Moment {
    /// `micros` microseconds after the clock's start.
    pub const fn from_micros(micros: u64) -> Self {
        Moment(micros)
    }

    /// `millis` milliseconds after the clock's start.
    pub const fn from_millis(millis: u64) -> Self {
        Moment(millis * 1000)
    }

    /// Microseconds since the clock's start.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;
    fn add(self, d: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;
    fn sub(self, d: Duration) -> Moment {
        Moment(self.0.saturating_sub(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// This turn's clocks, read once a turn and handed to everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// For deadlines and durations.
    pub mono: Moment,
    /// For people: milliseconds since 1970 (UTC). Boards boot in 1970 and jump: never used for a deadline.
    pub wall_ms: u64,
}

// --------------------------------------------------------------------------------------------------- names

/// One connection: slot in the table and the generation of that slot, so that a stale id finds nothing.
/// 32 bits, to fit mio's `Token` on 32-bit ARM.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u32);

impl ConnId {
    /// The id of `slot` in its `generation`.
    pub const fn new(slot: u16, generation: u16) -> Self {
        ConnId(((generation as u32) << 16) | slot as u32)
    }

    /// From [`ConnId::raw`].
    pub const fn from_raw(raw: u32) -> Self {
        ConnId(raw)
    }

    /// As one number, for the poller's token.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Place in the table.
    pub const fn slot(self) -> u16 {
        self.0 as u16
    }

    /// How often that place has been given out (modulo 65536).
    pub const fn generation(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}.{}", self.slot(), self.generation())
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot(), self.generation())
    }
}

/// The public name of a session: eight hexadecimal digits. Never the cookie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{:08x}", self.0)
    }
}

impl std::str::FromStr for SessionId {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        if s.len() != 8 || s.bytes().any(|b| !b.is_ascii_hexdigit() || b.is_ascii_uppercase()) {
            return Err(());
        }
        u32::from_str_radix(s, 16).map(SessionId).map_err(|_| ())
    }
}

/// The name of one run's event log: lower-case letters and digits, drawn at random at start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Epoch([u8; Epoch::LEN]);

impl Epoch {
    /// Characters of a name: 36^6 names, so that two runs of one board do not share one.
    pub const LEN: usize = 6;

    /// A name from random bytes.
    pub fn from_random(random: u64) -> Self {
        let mut left = random;
        Epoch(std::array::from_fn(|_| {
            let digit = (left % 36) as u8;
            left /= 36;
            if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
        }))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The name of a logged event: `EPOCH-SEQ`. SEQ grows by one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EventId {
    /// The log it is in.
    pub epoch: Epoch,
    /// Its number there, from 1; 0 names the place before the first event.
    pub seq: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch.as_str(), self.seq)
    }
}

/// Where a peer comes from: its address in canonical form (an IPv4-mapped IPv6 address is the IPv4 one), or a
/// unix socket, where every peer is the same local one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PeerAddr {
    /// Over TCP.
    Ip(IpAddr),
    /// Over a unix socket.
    Unix,
}

impl PeerAddr {
    /// The canonical form of `ip`.
    pub fn canonical(ip: IpAddr) -> Self {
        PeerAddr::Ip(ip.to_canonical())
    }

    /// Whether it is this very machine: loopback or a unix socket.
    pub fn is_local(self) -> bool {
        match self {
            PeerAddr::Ip(ip) => ip.is_loopback(),
            PeerAddr::Unix => true,
        }
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddr::Ip(ip) => ip.fmt(f),
            PeerAddr::Unix => f.write_str("unix"),
        }
    }
}

/// Defines a closed set of words: the variants, and the one word by which each is known in events, metrics and logs.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// Every one of them, in the order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The word for it.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            /// What that word means; `None` for a word that is not one of these.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

mod devices;

pub use devices::*;

words! {
    /// What a user may do. Ordered: a later one may do all that an earlier one may.
    Role {
        /// Look and chat.
        Viewer => "viewer",
        /// Also take control and command devices.
        Operator => "operator",
        /// Also evict and force.
        Admin => "admin",
    }
}

words! {
    /// How a member is, as far as the server can tell.
    Presence {
        /// Heard lately, on at least one link (or a plain visitor within its time).
        Present => "present",
        /// Silent for longer than `suspect_after` on every link.
        Suspect => "suspect",
        /// Alive, but takes no data or its page does not answer.
        Stalled => "stalled",
    }
}

words! {
    /// Which layer of a member stalls.
    Layer {
        /// The peer acknowledges but takes no data.
        Transport => "transport",
        /// The page answers no beat.
        Page => "page",
    }
}

words! {
    /// Why a member is called lost.
    Evidence {
        /// Data in flight and nothing heard.
        NoAck => "no_ack",
        /// Heard, but nothing of ours arrives.
        OneWay => "one_way",
        /// The kernel's keepalive probes were not answered.
        Keepalive => "keepalive",
        /// The peer's kernel does not know the connection any more.
        Reset => "reset",
        /// The network says that there is no way there.
        Unreachable => "unreachable",
    }
}

words! {
    /// Why a member left; the `reason` of `left`.
    LeftReason {
        /// Its last link closed in order, or its plain visit ran out.
        Closed => "closed",
        /// It logged out.
        Logout => "logout",
        /// An admin took its seat.
        Evicted => "evicted",
        /// Nothing done for `seats.idle`.
        Idle => "idle",
        /// The same user came back elsewhere and took its own seat over.
        Replaced => "replaced",
        /// Its link owed more than `link_queue`, or took no data for twice `stalled_after`.
        Slow => "slow",
        /// Its page was dead at a full house.
        Stalled => "stalled",
        /// The session's lifetime ended, or its user was changed or removed.
        Expired => "expired",
    }
}

words! {
    /// Why a connection ended: the same word in log line, metric and event.
    CloseReason {
        /// The response was the last one of its connection.
        Done => "done",
        /// The peer closed in order (FIN), or its page said bye.
        Closed => "closed",
        /// The peer's kernel reset it.
        Reset => "reset",
        /// Vanished: the verdict of the liveness rules or of the kernel's probes.
        Lost => "lost",
        /// Another error of the socket.
        Error => "error",
        /// A request head did not come within `header_timeout`.
        HeaderTimeout => "header_timeout",
        /// A request body did not come within `body_timeout`.
        BodyTimeout => "body_timeout",
        /// Nothing asked for `keep_alive`.
        KeepAlive => "keep_alive",
        /// A response not taken for `send_timeout`.
        SendTimeout => "send_timeout",
        /// The peer broke the protocol.
        Protocol => "protocol",
        /// A limit on connections was reached.
        Limit => "limit",
        /// Logged out.
        Logout => "logout",
        /// Evicted by an admin.
        Evicted => "evicted",
        /// Nothing done for `seats.idle`.
        Idle => "idle",
        /// A newer link of the same page, or the same user from elsewhere, took its place.
        Replaced => "replaced",
        /// Owed too much, or took nothing for too long.
        Slow => "slow",
        /// A device from which no line came for `devices.silent_after`.
        Silent => "silent",
        /// Page dead at a full house.
        Stalled => "stalled",
        /// Session over.
        Expired => "expired",
        /// The server stops.
        Shutdown => "shutdown",
    }
}

impl From<LeftReason> for CloseReason {
    fn from(r: LeftReason) -> Self {
        match r {
            LeftReason::Closed => CloseReason::Closed,
            LeftReason::Logout => CloseReason::Logout,
            LeftReason::Evicted => CloseReason::Evicted,
            LeftReason::Idle => CloseReason::Idle,
            LeftReason::Replaced => CloseReason::Replaced,
            LeftReason::Slow => CloseReason::Slow,
            LeftReason::Stalled => CloseReason::Stalled,
            LeftReason::Expired => CloseReason::Expired,
        }
    }
}

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
    /// Smoothed round-trip time of its best link, in milliseconds; `None` without one.
    pub rtt_ms: Option<f32>,
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

// ------------------------------------------------------------------------------------------------- effects

/// What the hub wants done; the loop does it at the end of the turn, in this order.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// Put `message` into the output of each of these links.
    Deliver {
        /// The links.
        to: Vec<ConnId>,
        /// What they hear.
        message: Message,
    },
    /// Say farewell on this link (a `closing` message), then close it.
    Close {
        /// The link.
        conn: ConnId,
        /// Why.
        why: CloseReason,
    },
    /// The peer of this link has vanished: drop what it is owed, keep the socket, listen until then.
    Park {
        /// The link.
        conn: ConnId,
        /// Until when it may come back.
        until: Moment,
    },
    /// Something about devices and their control.
    Device(DeviceEffect),
}

/// What the hub wants done, in order. Filled by the hub, emptied by the loop; nothing re-enters.
pub type Effects = Vec<Effect>;

/// What the liveness rules say of a link; the change, not the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Silent for longer than `suspect_after`.
    Suspected {
        /// How long nothing was heard.
        silent: Duration,
    },
    /// A suspected peer was heard.
    Recovered {
        /// How long nothing had been heard.
        silent: Duration,
    },
    /// The peer lives but has taken no data for `stalled_after`.
    Stalled,
    /// A stalled peer takes data again.
    Moving,
}

/// How a link ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkEnd {
    /// In order: FIN, a WebSocket close, or its page's `bye`.
    Closed,
    /// The peer vanished.
    Lost {
        /// Since the last sign of life.
        after: Duration,
        /// How we know.
        evidence: Evidence,
    },
    /// It owed more than `link_queue`, or stalled for twice `stalled_after`.
    Slow,
    /// The peer broke the protocol; counts as closed.
    Protocol,
}

// ---------------------------------------------------------------------------------------- times and health

/// The times by which a vanished peer is noticed; see docs/liveness.md for what each costs. They come from
/// [`crate::config::LivenessValues::times`], where the one table of profiles is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// From one heartbeat of a link to the next.
    pub heartbeat: Duration,
    /// From one look at a suspicious connection to the next.
    pub poll: Duration,
    /// Output unacknowledged and nothing heard for so long: lost.
    pub silence: Duration,
    /// Silent for so long: suspect.
    pub suspect_after: Duration,
    /// Heard, but no data taken for so long: stalled.
    pub stalled_after: Duration,
    /// The socket of a lost link is kept so long.
    pub returned_within: Duration,
    /// The kernel's probes for connections that cannot carry heartbeats.
    pub keepalive: Keepalive,
    /// Smallest retransmission timeout to ask the kernel for (TCP_RTO_MIN_US); `None`: the kernel's own 200 ms.
    pub rto_min: Option<Duration>,
}

/// The kernel's keepalive of an idle connection (tcp(7): TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Seconds of silence before the first probe.
    pub idle_s: u16,
    /// Seconds between probes.
    pub interval_s: u16,
    /// Unanswered probes before the connection is given up.
    pub count: u8,
}

/// What the kernel knows of one TCP connection: the fields of `struct tcp_info` (linux/tcp.h) that the liveness
/// rules use. Older kernels fill less of it, and qemu's user mode almost nothing: what is missing is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TcpHealth {
    /// TCP state: 1 established, 7 closed, 8 close-wait (the peer said FIN).
    pub state: u8,
    /// Timeouts in a row without progress (tcpi_retransmits).
    pub retransmits: u8,
    /// Unanswered window or keepalive probes.
    pub probes: u8,
    /// How often the retransmission timeout has been doubled.
    pub backoff: u8,
    /// The retransmission timeout as it is now, in microseconds.
    pub rto_us: Option<u32>,
    /// Segments in flight. `Some(0)` with bytes in the send queue: the peer's window is closed.
    pub unacked: Option<u32>,
    /// Milliseconds since data came in.
    pub last_data_recv_ms: Option<u32>,
    /// Milliseconds since an acknowledgement came in, data that carried one included.
    pub last_ack_recv_ms: Option<u32>,
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: Option<u32>,
    /// Segments sent again in all.
    pub total_retrans: Option<u32>,
    /// Segments that came in without data (tcpi_segs_in - tcpi_data_segs_in, Linux 4.6): a peer that hears us
    /// and talks sends these too; one that hears nothing sends data only.
    pub empty_segs_in: Option<u32>,
    /// Congestion window in segments.
    pub cwnd: Option<u32>,
    /// The window that the peer offers, in bytes (Linux 5.4).
    pub send_window: Option<u32>,
}
