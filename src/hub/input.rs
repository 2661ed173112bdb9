//! The door for what happened. Read [`Input`] first: it is the list of everything that the hub reacts to, beside what
//! a session asks for ([`Ask`](super::Ask)).

use std::rc::Rc;
use std::time::Duration;

use super::session_state::Trigger;
use super::{Hub, Settings};
use crate::msg::{Change, ConnId, DeviceHello, Effects, Evidence, FromDevice, LinkEnd, Moment, Now, Role, SessionId};

/// What can happen. At most 64 bytes, so that telling it costs next to nothing.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    // ------------------------------------------------------------------------------------------------ time
    /// It is [`View::deadline`](super::View::deadline) or later: what time alone brings about is done.
    Tick,
    /// A look at every dead man's switch: ends what control is over by now, and does nothing else that time brings about.
    /// Cheap and without an effect while all is well, so that the loop can look at any time: before a line to a device is
    /// written, and while a turn takes long.
    Look,
    /// The loop did not run for so long (stopped, blocked, suspended): what people were to say could not be heard, and is
    /// waited for as much longer, so that none of them is called lost. Machines get next to nothing of it (`dead_man`): who
    /// can make this server slow must not be able to keep one running.
    StoodStill(Duration),
    /// The whole board slept for so long, which the monotonic clock has not counted. It counts for leases, for the age of
    /// commands and for `control.max_silence`.
    Slept(Duration),

    // ---------------------------------------------------------------------------------------------- people
    /// A request has shown the cookie of this session: it is used, and its client keeps cookies. If its lifetime is over, it
    /// is forgotten.
    CookieShown(SessionId),
    /// A plain connection (no link) of the session was heard without a new request: a download that goes on. To be told
    /// before a verdict on a link of that session, so that one dead link does not end a session that is being heard; there is
    /// no need to tell at every acknowledgement.
    PlainHeard {
        /// Whose.
        session: SessionId,
        /// When.
        at: Moment,
    },
    /// A plain connection (no link) of the session was called lost. Ends the session's seat only if nothing else carries it.
    PlainLost {
        /// Whose.
        session: SessionId,
        /// Since its last sign of life.
        after: Duration,
        /// How we know.
        evidence: Evidence,
        /// Another plain connection of that session is open and not called lost, as the loop knows.
        others: bool,
    },

    // ----------------------------------------------------------------------------------------------- links
    /// The link (or the parked socket) has ended, or is called lost; a device's, too. After [`LinkEnd::Closed`] no effect
    /// asks for a close: the caller has closed or is closing it. A lost one is to be parked if an effect says so.
    LinkEnded {
        /// Which.
        conn: ConnId,
        /// How.
        end: LinkEnd,
    },
    /// The liveness rules say that something has changed on the link.
    LinkChanged {
        /// Which.
        conn: ConnId,
        /// What.
        change: Change,
    },
    /// The peer of a parked socket was heard again. The caller says `closing` `lost` and closes it, so that the page connects
    /// anew; its session only gets the time for that.
    HeardAfterLost(ConnId),
    /// The smoothed round-trip time of the link.
    RoundTrip {
        /// Which.
        conn: ConnId,
        /// In microseconds.
        rtt_us: u32,
    },
    /// Beat `n` was written to the link.
    BeatSent {
        /// Which.
        conn: ConnId,
        /// Its number: [`View::beat_number`](super::View::beat_number).
        n: u64,
    },

    // --------------------------------------------------------------------------------------------- devices
    /// A device whose token is good says hello on a link of its own. It is told `welcome`, and that it is not controlled. An older
    /// link of that name is told `bye` `replaced`.
    DeviceHello {
        /// Its link.
        conn: ConnId,
        /// What it says.
        hello: DeviceHello,
    },
    /// A further line of a device, which makes sense.
    DeviceLine {
        /// Its link.
        conn: ConnId,
        /// What it says.
        line: FromDevice,
    },
    /// A further line of a device that makes no sense: a sign of life all the same. The caller answers it.
    DeviceHeard(ConnId),
    /// A device's link broke the protocol. The caller has told it and closes it.
    DeviceBroke(ConnId),
    /// Output on a device's link is unacknowledged since a moment; `None`: none is.
    DeviceWaits {
        /// Its link.
        conn: ConnId,
        /// Since when.
        since: Option<Moment>,
    },

    // ---------------------------------------------------------------------------------------- configuration
    /// Other settings from now on. A lowered `max` evicts no member. Seats that wait already keep their time.
    Reloaded(Box<Settings>),
    /// The line of this user in the users file was changed or removed: their sessions are over and forgotten.
    UserChanged(Rc<str>),
    /// What a user may do has changed. No link is told: the next `hello` and every later event show it. A user who may not
    /// command any more loses control.
    RoleChanged {
        /// Whose.
        user: Rc<str>,
        /// To this.
        role: Role,
    },
    /// The token of this device was changed or removed: its link is closed, and it has to show the new one.
    TokenChanged(Rc<str>),
    /// The server stops: every link is told and closed, without a `left`. From now on no session gets a seat, and no device a
    /// welcome.
    Shutdown,
}

impl Hub {
    /// Something has happened.
    pub fn handle(&mut self, now: Now, input: Input, fx: &mut Effects) {
        match input {
            Input::Tick => self.tick(now, fx),
            Input::Look => self.look_at_holders(now, fx),
            Input::StoodStill(gap) => self.stood_still(gap),
            Input::Slept(gap) => self.slept(now, gap),
            Input::CookieShown(session) => self.cookie_shown(now, session),
            Input::PlainHeard { session, at } => self.plain_heard(session, at),
            Input::PlainLost { others: true, .. } => {}
            Input::PlainLost { session, after, evidence, others: false } => {
                self.advance(now, session, Trigger::PlainVanished { last: now.mono - after, evidence }, fx);
            }
            Input::LinkEnded { conn, end } => self.link_ended(now, conn, end, fx),
            Input::LinkChanged { conn, change } => self.link_changed(now, conn, change, fx),
            Input::HeardAfterLost(conn) => self.link_heard_after_lost(now, conn),
            Input::RoundTrip { conn, rtt_us } => self.link_rtt(conn, rtt_us),
            Input::BeatSent { conn, n } => self.beat_sent(now, conn, n),
            Input::DeviceHello { conn, hello } => self.device_hello(now, conn, hello, fx),
            Input::DeviceLine { conn, line } => self.device_line(now, conn, line, fx),
            Input::DeviceHeard(conn) => drop(self.device_heard(now, conn, fx)),
            Input::DeviceBroke(conn) => self.device_broke(now, conn, fx),
            Input::DeviceWaits { conn, since } => self.device_waits(now, conn, since, fx),
            Input::Reloaded(settings) => self.reload(now, *settings, fx),
            Input::UserChanged(user) => self.user_changed(now, &user, fx),
            Input::RoleChanged { user, role } => self.role_changed(now, &user, role, fx),
            Input::TokenChanged(device) => self.token_changed(now, &device, fx),
            Input::Shutdown => self.shutdown(now, fx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ask, Denied, Done};
    use super::*;

    #[test]
    fn what_passes_the_doors_is_small() {
        assert!(size_of::<Input>() <= 64, "{}", size_of::<Input>());
        assert!(size_of::<Ask<'_>>() <= 64, "{}", size_of::<Ask<'_>>());
        assert!(size_of::<Result<Done, Denied>>() <= 64, "{}", size_of::<Result<Done, Denied>>());
    }
}
