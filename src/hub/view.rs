//! What may be read of the hub, by the routes for their answers and by the loop for its timer. Changes nothing.

use std::rc::Rc;

use super::event_log::{self, EVENT_BYTES, Slice};
use super::session_state::SessionState;
use super::{Counters, Hub, NoSeat, commands, devices};
use crate::msg::{DeviceView, EventId, LeftReason, Member, Moment, Now, Passing, PeerAddr, Role, SessionId, Types};

/// The hub as it is, to be read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a>(&'a Hub);

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
    /// `tab=` requests get 403, others need good credentials and then [`Hub::sign_in`].
    pub ended: Option<LeftReason>,
}

impl Hub {
    /// What may be read.
    pub fn view(&self) -> View<'_> {
        View(self)
    }
}

impl<'a> View<'a> {
    // ------------------------------------------------------------------------------------------------ time

    /// When [`Input::Tick`](super::Input::Tick) has something to do at the earliest. None without members and devices: no wake-ups.
    pub fn deadline(self) -> Option<Moment> {
        self.0.next
    }

    /// The number of the beat of this moment: one numbering for all links, so that equal beats are encoded once.
    /// Counted in units of [`BEAT`](super::BEAT) whatever the period, so that the numbers say how old they are.
    pub fn beat_number(self, now: Now) -> u64 {
        self.0.beat_number(now)
    }

    // -------------------------------------------------------------------------------------------- sessions

    /// Whose cookie that is. Its lifetime may be over: to be believed it has to be told by
    /// [`Input::CookieShown`](super::Input::CookieShown), and [`View::session`] to find it after that.
    pub fn session_by_cookie(self, cookie: &[u8; 16]) -> Option<SessionId> {
        self.0.sessions.by_cookie(cookie)
    }

    /// What the routes may know of a session.
    pub fn session(self, id: SessionId) -> Option<SessionView> {
        let s = self.0.sessions.get(id)?;
        let ended = match s.state {
            SessionState::Ended(reason) => Some(reason),
            _ => None,
        };
        let (user, role, addr) = (s.user.clone(), s.role, s.addr);
        Some(SessionView { id, user, role, addr, seat: s.seat, since_ms: s.since_ms, ended })
    }

    /// Whether this user was evicted at this address less than `EVICTED_FOR` (`sessions`) ago.
    pub fn is_evicted(self, now: Now, user: &str, addr: PeerAddr) -> bool {
        self.0.is_evicted(now, user, addr)
    }

    /// Whether [`Ask::Serve`](super::Ask::Serve) would find a seat; changes nothing. For the check before a body is read.
    ///
    /// # Errors
    /// Why there is none.
    pub fn seat_available(self, now: Now, id: SessionId) -> Result<(), NoSeat> {
        self.0.seat_available(now, id)
    }

    /// Everybody here, by seat.
    pub fn members(self) -> Vec<Rc<Member>> {
        self.0.members()
    }

    /// Seats taken; may be more than [`View::seats_max`] after that was lowered.
    pub fn seats_taken(self) -> u16 {
        self.0.seats_taken()
    }

    /// Seats in all.
    pub fn seats_max(self) -> u16 {
        self.0.settings.seats.max
    }

    /// Links open now.
    pub fn links(self) -> usize {
        self.0.links.len()
    }

    // --------------------------------------------------------------------------------------------- devices

    /// All devices that are known, by name.
    pub fn devices(self) -> Vec<DeviceView> {
        self.0.devices()
    }

    /// Devices that are connected.
    pub fn devices_up(self) -> usize {
        self.0.device_conns.len()
    }

    /// The newest values of all devices, for a page that had to do without telemetry for a while.
    pub fn telemetry_now(self) -> Vec<Rc<Passing>> {
        self.0.telemetry_now()
    }

    /// Whether the member holds control of a device.
    pub fn holds_control(self, id: SessionId) -> bool {
        self.0.holds_control(id)
    }

    /// Whether anybody with credentials may send that command to that device.
    pub fn is_for_anyone(self, device: &str, command: &str) -> bool {
        self.0.is_for_anyone(device, command)
    }

    // ------------------------------------------------------------------------------- the log and the counters

    /// Name of the newest event, or of the place before the first.
    pub fn newest(self) -> EventId {
        self.0.log.newest()
    }

    /// A part of the log: with an id (as text) the first `limit` events after it, else the last `limit`.
    pub fn log_since(self, since: Option<&str>, limit: usize) -> Slice {
        self.0.log.since(since, limit)
    }

    /// About how many bytes it takes to tell a link of `types` what came after the event `last`.
    pub fn replay_bytes(self, last: &str, types: Types) -> u64 {
        self.0.log.replay(last, types).unwrap_or_default().iter().map(|e| event_log::size(e)).sum()
    }

    /// About how many bytes are remembered, by what they are. Each has a bound in number and one in length
    /// (docs/settings.md); nothing here grows beside them.
    pub fn remembered(self) -> [(&'static str, u64); 4] {
        [
            ("log", self.0.log.bytes()),
            ("refs", self.0.refs.iter().map(commands::Named::bytes).sum()),
            ("devices", self.0.devices.values().map(devices::Device::bytes).sum()),
            ("sessions", self.0.sessions.known() as u64 * EVENT_BYTES),
        ]
    }

    /// What was counted since start.
    pub fn counters(self) -> &'a Counters {
        &self.0.counters
    }
}
