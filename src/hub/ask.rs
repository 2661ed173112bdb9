//! The door for what sessions ask for: every question that a session can put to the hub, and every answer. An answer comes at
//! once, since a request or a link waits for it; whatever else follows goes out as effects.

use std::rc::Rc;
use std::time::Duration;

use super::Hub;
use crate::ask::Beat;
use crate::describe::Args;
use crate::msg::{ConnId, Effects, Event, EventId, LeftReason, Member, Now, Ref, SessionId, Types};

/// What a session wants. Each says what [`Done`] it comes back with, and what [`Denied`] it may meet; then nothing has
/// happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Ask<'a> {
    /// To be served: a request of its is complete. Takes a seat if it needs one and has none. Not to be asked for `logout`,
    /// `bye`, `beat`, errors and open paths. While the server stops pages need no seat. [`Done::Served`], or
    /// [`Denied::Seat`]: then those inside may have been told `turned_away`.
    Serve(Purpose),
    /// To hear on the connection `conn` what happens; takes a seat if it has none. On success that link is told, in this
    /// order, `hello`, the replay if one was asked for and is possible, and from then on what happens. Its own `joined` lies
    /// before `hello`: `hello.id` and `hello.members` contain it, and the link hears it only as a part of a replay. Older
    /// links of the same page are closed as `replaced`. [`Done::Nothing`], or [`Denied::Seat`] or [`Denied::Superseded`]: nothing
    /// is remembered of `conn` then.
    Link {
        /// The connection.
        conn: ConnId,
        /// What it wants to hear.
        spec: Box<LinkSpec>,
    },
    /// To say this to all, as a member; line breaks at its end are dropped. [`Done::Said`]: it is in the log; or
    /// [`Denied::Say`].
    Say(&'a str),
    /// An answer to a beat, by POST. [`Done::Beat`].
    Beat {
        /// The page's name.
        tab: &'a str,
        /// Which beat, and the devices that the page controls.
        beat: &'a Beat,
    },
    /// An answer to a beat on the link over which it came. [`Done::Beat`].
    LinkBeat {
        /// The link.
        conn: ConnId,
        /// Which beat, and the devices that the page controls.
        beat: &'a Beat,
    },
    /// That a device does something. [`Done::Issued`]: it is in the log, and the device will hear it; or
    /// [`Denied::Command`].
    Command(&'a CommandRequest<'a>),
    /// Something about control of a device. [`Done::Controlled`], or [`Denied::Control`].
    Control {
        /// The device's name.
        device: &'a str,
        /// What about it.
        action: ControlAction,
    },
    /// As an admin: that this member gives its seat back. Its user is refused from that address for
    /// `EVICTED_FOR` (`sessions`). [`Done::Nothing`], or [`Denied::Evict`].
    Evict(SessionId),
    /// The page says goodbye to its connections up to number `n` (`pagehide`): they end in request. Requests of that page with
    /// such a number that come later are ghosts. [`Done::Nothing`].
    Bye(&'a Tab),
    /// The page at the end of this link says goodbye on it: it ends in order, and with it what the same page had opened
    /// before. [`Done::Nothing`].
    LinkBye(ConnId),
    /// To end: its seat is free, its links are closed, its cookie opens nothing any more. [`Done::Nothing`].
    Logout,
}

/// What came of a question.
#[derive(Clone, PartialEq, Debug)]
pub enum Done {
    /// It is done, and there is no more to say of it.
    Nothing,
    /// The seat that the session has now; none if it needed none.
    Served(Option<u16>),
    /// The event.
    Said(EventId),
    /// What the answer was worth.
    Beat(BeatAnswer),
    /// The command.
    Issued(Issued),
    /// What became of control.
    Controlled(Controlled),
}

impl Done {
    /// The event by which it is known from now on, if there is one.
    pub fn id(&self) -> Option<EventId> {
        match self {
            Done::Said(id) => Some(*id),
            Done::Issued(issued) => Some(issued.id),
            Done::Nothing | Done::Served(_) | Done::Beat(_) | Done::Controlled(_) => None,
        }
    }
}

/// Why it was not done.
#[derive(Clone, PartialEq, Debug)]
pub enum Denied {
    /// There is no seat.
    Seat(NoSeat),
    /// A request that its page has given up long ago: that page has a newer link, or said goodbye. To be told
    /// `closing` `replaced` and closed.
    Superseded,
    /// It was not said.
    Say(SayError),
    /// The device was not asked.
    Command(CommandError),
    /// Control is as it was.
    Control(ControlError),
    /// No member was evicted.
    Evict(EvictError),
}

impl From<NoSeat> for Denied {
    fn from(no: NoSeat) -> Denied {
        Denied::Seat(no)
    }
}

impl Hub {
    /// What the session `session` wants, done or denied at once.
    ///
    /// # Errors
    /// Why not, see [`Ask`]; nothing has changed then.
    pub fn ask(&mut self, now: Now, session: SessionId, ask: Ask<'_>, fx: &mut Effects) -> Result<Done, Denied> {
        match ask {
            Ask::Serve(purpose) => self.request(now, session, purpose, fx).map(Done::Served).map_err(Denied::Seat),
            Ask::Link { conn, spec } => self.open_link(now, session, conn, *spec, fx).map(|()| Done::Nothing),
            Ask::Say(text) => self.say(now, session, text, fx).map(Done::Said).map_err(Denied::Say),
            Ask::Beat { tab, beat } => Ok(Done::Beat(self.beat_answer(now, session, tab, beat, fx))),
            Ask::LinkBeat { conn, beat } => Ok(Done::Beat(self.link_beat_answer(now, conn, beat, fx))),
            Ask::Command(request) => self.command(now, session, request, fx).map(Done::Issued).map_err(Denied::Command),
            Ask::Control { device, action } => {
                let done = match action {
                    ControlAction::Take(take) => self.take_control(now, session, device, take, fx),
                    ControlAction::Release => self.release_control(now, session, device, fx),
                    ControlAction::Give(to) => self.give_control(now, session, device, to, fx),
                };
                done.map(Done::Controlled).map_err(Denied::Control)
            }
            Ask::Evict(whom) => self.evict(now, session, whom, fx).map(|()| Done::Nothing).map_err(Denied::Evict),
            Ask::Bye(tab) => {
                self.bye(now, session, &tab.name, tab.n, fx);
                Ok(Done::Nothing)
            }
            Ask::LinkBye(conn) => {
                self.link_bye(now, conn, fx);
                Ok(Done::Nothing)
            }
            Ask::Logout => {
                self.end(now, session, LeftReason::Logout, fx);
                Ok(Done::Nothing)
            }
        }
    }
}

/// The purpose of a complete request, as far as seats go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A page or a file: needs a seat, is activity.
    Page {
        /// It asked for HTML by navigation (a browser's address bar, link or reload), not for a page's part.
        html: bool,
    },
    /// Something is changed (chat, a command, an eviction): needs a seat, is activity.
    Act,
    /// A link is opened: needs a seat, is no activity (pages reconnect by themselves). [`Ask::Link`] takes it
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
    /// The server stops: pages on their way are still served, but no session gets a seat any more.
    Stopping,
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
    /// The session has no seat ([`Ask::Serve`] comes first).
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

/// Why no member was evicted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EvictError {
    /// Only admins may.
    Role,
    /// No member of that name.
    NoMember,
}

/// What is to become of control of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlAction {
    /// To hold it, or to go on holding it.
    Take(Take),
    /// To let go of it.
    Release,
    /// To offer it to this member, who has `OFFER_FOR` (`dead_man`) to take it. Until then the holder
    /// keeps it.
    Give(SessionId),
}

/// How control is to be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Take {
    /// For a session without a page that answers beats: for so long at a time.
    pub lease: Option<Duration>,
    /// Also from another holder. For admins.
    pub force: bool,
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
    /// It can be given to another member only: there is none of that name.
    NoMember,
    /// That member may not hold control.
    CannotHold,
}

/// What a device is to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CommandRequest<'a> {
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
pub struct Issued {
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
