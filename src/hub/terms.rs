//! What is said at the hub's door: settings, questions and answers.

use std::rc::Rc;
use std::time::Duration;

use crate::config::{Chat, Control, Seats};
use crate::describe::Args;
use crate::msg::{
    ConnId, ControlReason, DeviceReason, Epoch, Event, EventId, Evidence, LeftReason, Member, PeerAddr, Ref, Role,
    SessionId, Types,
};

/// The settings that matter here.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Of the seats; `reserved` is 0 if no admins are configured. Which addresses may come is not asked here.
    pub seats: Seats,
    /// A session unused for so long is forgotten (`auth.lifetime`); one with a link is in use.
    pub lifetime: Duration,
    /// A page that answered beats and stops for so long is stalled (`liveness.page_after`); zero: off.
    pub page_after: Duration,
    /// How long a lost session may come back as `returned` (the profile's value).
    pub returned_within: Duration,
    /// Between two beats: 500 ms, or the profile's heartbeat if that is longer. At least 1 ms.
    pub beat: Duration,
    /// Of the chat.
    pub chat: Chat,
    /// Of control.
    pub control: Control,
    /// `devices.silent_after`.
    pub silent_after: Duration,
    /// What may be remembered of all devices together, in bytes: see [`devices::bytes_of_all`](super::devices::bytes_of_all).
    pub device_bytes: u64,
}

/// What chance gives to one run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Seed {
    /// Name of this run's log.
    pub epoch: Epoch,
    /// The first beat's number. Its upper 16 bits are dropped, so that every number fits a page's 53 bits.
    pub beat_base: u64,
    /// For the public names of sessions, which are no secrets.
    pub names: u64,
}

/// A session as the routes see it.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionView {
    /// Public name.
    pub id: SessionId,
    /// User name.
    pub user: Rc<str>,
    /// What the user may do.
    pub role: Role,
    /// Where it came from when it began.
    pub addr: PeerAddr,
    /// Its seat, if it has one.
    pub seat: Option<u16>,
    /// Wall-clock milliseconds: since it has the seat, or else since it began.
    pub since_ms: u64,
    /// Over for good, and why: `evicted`, `idle`, `logout` or `replaced`. Its cookie opens nothing any more:
    /// `tab=` requests get 403, others need good credentials and then [`Hub::enter`].
    pub ended: Option<LeftReason>,
}

/// Somebody with good credentials and without a session's cookie.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Newcomer<'a> {
    /// User name.
    pub user: &'a str,
    /// What that user may do.
    pub role: Role,
    /// Where the request comes from.
    pub addr: PeerAddr,
    /// Its User-Agent; empty without one. Cut to `Member::AGENT_MAX` bytes.
    pub agent: &'a str,
    /// The cookie that it showed, if that one is unknown, of another user or of an ended session.
    pub stale: Option<[u8; 16]>,
    /// The session of the last request on the same connection: most likely this one's, too.
    pub last: Option<SessionId>,
    /// Secret random bytes: the cookie, if a new session begins.
    pub random: [u8; 16],
}

/// What a complete request asks for, as far as seats go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// A page or a file: needs a seat, is activity.
    Page {
        /// It asked for HTML by navigation (a browser's address bar, link or reload), not for a page's part.
        html: bool,
    },
    /// Something is changed (chat, a command, an eviction): needs a seat, is activity.
    Act,
    /// A link is opened: needs a seat, is no activity (pages reconnect by themselves). [`Hub::open_link`] asks
    /// by itself; ask so before it only to answer 503 in good time.
    Link,
    /// One of the lists that need credentials only. Takes no seat, but is a sign of life.
    Read,
}

/// Why there is no seat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoSeat {
    /// None is free (for this role).
    Full,
    /// The user has as many as `seats.per_user` allows; told as full.
    PerUser,
    /// The session is over for good.
    Ended(LeftReason),
    /// No such session (any more): its lifetime ended, or too many newer ones came.
    Unknown,
    /// The server stops: pages on their way are still served, but nobody comes in any more.
    Stopping,
}

/// Why a link was not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoLink {
    /// No seat for its session.
    Seat(NoSeat),
    /// A request that its page has given up long ago: that page has a newer link, or said goodbye. To be told
    /// `closing` `replaced` and closed.
    Ghost,
}

/// A page's name and the rising number of its connection (`?tab=T&n=N`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tab {
    /// Drawn by the page; at most [`Tab::NAME_MAX`] bytes, longer ones are for the routes to refuse.
    pub name: Rc<str>,
    /// Grows with each connection that the page opens.
    pub n: u64,
}

impl Tab {
    /// Bytes of a page's name: pages draw about 11 characters; more would let a client make us remember a lot.
    pub const NAME_MAX: usize = 64;
}

/// What a link asked for.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkSpec {
    /// What it wants to hear; `Types::ALWAYS` is added.
    pub types: Types,
    /// Whether beats are sent to it.
    pub beats: bool,
    /// The id after which it asks for a replay, as it came (`Last-Event-ID` or `?last=`).
    pub last: Option<Rc<str>>,
    /// Its page, if it is one.
    pub tab: Option<Tab>,
}

/// Why something was not said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SayError {
    /// Nothing but white space.
    Empty,
    /// More than `chat.text_max` characters.
    TooLong,
    /// Faster than `chat.rate`.
    TooFast {
        /// When the next one may come.
        retry_after: Duration,
    },
    /// The session has no seat ([`Hub::request`] comes first).
    NoSeat,
}

/// What an answer to a beat was worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BeatAnswer {
    /// Fresh: the page can act.
    Counted,
    /// Answered before, or older than one that was.
    Old,
    /// No link of that page here, or a number that was never sent to it.
    Unknown,
}

/// Why nobody was evicted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EvictError {
    /// Only admins may.
    Role,
    /// No member of that name.
    Nobody,
}

/// How somebody wants control.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Take {
    /// For a session without a page that answers beats: for so long at a time.
    pub lease: Option<Duration>,
    /// From whoever has it. For admins.
    pub force: bool,
}

/// What keeps control.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Means {
    /// A page's answers to beats.
    Page,
    /// A lease of this length.
    Lease(Duration),
}

/// What became of control.
#[derive(Clone, PartialEq, Debug)]
pub struct Controlled {
    /// Who has it now.
    pub holder: Option<Rc<Member>>,
    /// The length of the lease, if a lease keeps it.
    pub lease: Option<Duration>,
}

/// Why control is not changed.
#[derive(Clone, PartialEq, Debug)]
pub enum ControlError {
    /// No device of that name.
    NoDevice,
    /// The device is not connected.
    Down,
    /// The session has no seat.
    NoSeat,
    /// Only operators may; only admins may force.
    Role,
    /// Another member holds it.
    Held(Rc<Member>),
    /// It is not the caller's to let go of; who holds it.
    NotHeld(Option<Rc<Member>>),
    /// Neither a page that answers beats nor a lease (above zero, at most `lease_max`).
    Lease,
    /// To be given to somebody else who is here: there is no such member.
    Nobody,
    /// That member may not hold control.
    CannotHold,
}

/// A wish to be carried out by a device.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Order<'a> {
    /// The device's name.
    pub device: &'a str,
    /// The command's name.
    pub command: &'a str,
    /// Its arguments.
    pub args: &'a Args,
    /// The last beat that the page saw.
    pub beat: Option<u64>,
    /// The session's own name for this command: asked twice, it is done once.
    pub reference: Option<&'a Ref>,
    /// The connection whose request waits for the answer.
    pub waiter: Option<ConnId>,
}

/// A command that is on its way, or was already.
#[derive(Clone, PartialEq, Debug)]
pub struct Ordered {
    /// The event by which it is answered.
    pub id: EventId,
    /// The answer, if there was one already.
    pub answer: Option<Rc<Event>>,
}

/// Why a device was not asked, in the order in which it is checked.
#[derive(Clone, PartialEq, Debug)]
pub enum CommandError {
    /// No device of that name.
    NoDevice,
    /// It has no such command.
    NoCommand {
        /// Those it has.
        known: String,
    },
    /// It is not connected.
    Down,
    /// It is not heard, or takes nothing: a command would run late.
    Suspect,
    /// Only operators may.
    Role,
    /// The caller does not hold control; who does.
    NoControl(Option<Rc<Member>>),
    /// A session with a page has to name the last beat that it saw.
    BeatMissing,
    /// That beat is too old, or not one of ours.
    Stale {
        /// How old; `None`: unknown.
        age: Option<Duration>,
        /// `command_age`.
        max: Duration,
    },
    /// The arguments are not what the command takes: a sentence.
    Args(String),
    /// Too many are unanswered.
    Busy,
}

/// A histogram of times, one count for each of [`Counters::DETECTION_BOUNDS_MS`] and one for what is above; not
/// cumulative.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TimesSeen {
    /// The counts.
    pub counts: [u64; Counters::DETECTION_BOUNDS_MS.len() + 1],
    /// Sum of the times, in milliseconds.
    pub sum_ms: u64,
}

impl TimesSeen {
    /// Counts one.
    pub(super) fn count(&mut self, ms: u64) {
        self.counts[Counters::DETECTION_BOUNDS_MS.partition_point(|&bound| bound < ms)] += 1;
        self.sum_ms += ms;
    }
}

/// What was counted since start.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Counters {
    /// Seats taken.
    pub joined: u64,
    /// Of these: lost ones that came back.
    pub returned: u64,
    /// By reason, in the order of `LeftReason::ALL`.
    pub left: [u64; LeftReason::ALL.len()],
    /// By evidence, in the order of `Evidence::ALL`.
    pub lost: [u64; Evidence::ALL.len()],
    /// Members who became suspect.
    pub suspicions: u64,
    /// Suspects who were heard again.
    pub recoveries: u64,
    /// `turned_away` events.
    pub turned_away: u64,
    /// Messages of the chat.
    pub said: u64,
    /// Time from the last sign of life to `lost`, one count for each of [`Counters::DETECTION_BOUNDS_MS`] and one
    /// for what is above; not cumulative.
    pub detection: [u64; Counters::DETECTION_BOUNDS_MS.len() + 1],
    /// Sum of those times, in milliseconds.
    pub detection_sum_ms: u64,
    /// Changes of control by reason, in the order of `ControlReason::ALL`.
    pub control: [u64; ControlReason::ALL.len()],
    /// From the last sign that a holder could act to the `safe` that followed.
    pub safe: TimesSeen,
    /// Devices that came or went, by reason, in the order of `DeviceReason::ALL`.
    pub devices: [u64; DeviceReason::ALL.len()],
    /// Devices that became suspect.
    pub device_suspicions: u64,
    /// Lines of telemetry.
    pub telemetry: u64,
    /// Commands sent to devices.
    pub commands: u64,
    /// Answered as done.
    pub answers_ok: u64,
    /// Answered as not done.
    pub answers_failed: u64,
    /// Answered `unknown`.
    pub answers_unknown: u64,
    /// Answers after that.
    pub answers_late: u64,
    /// Emergency stops that were told and are no events.
    pub stops_left_out: u64,
}

impl Counters {
    /// Upper bounds of the histogram: around what the profiles promise.
    pub const DETECTION_BOUNDS_MS: [u64; 12] =
        [250, 500, 1000, 1500, 2000, 2500, 3000, 5000, 8000, 10_000, 20_000, 40_000];
}
