//! Links: opening with `hello` and replay, ending, their verdicts, beats and their answers.

use std::rc::Rc;
use std::time::Duration;

use super::roster::{Link, Page};
use super::session_state::{SessionState, Trigger};
use super::{BeatAnswer, Denied, Hub, LinkSpec, NoSeat};
use crate::ask::Beat;
use crate::msg::{
    Change, CloseReason, ConnId, Effect, Effects, Evidence, Hello, LeftReason, LinkEnd, Message, Moment, Now, Passing,
    SessionId, Type, Types,
};

/// A lost peer that was heard again has at least so long to come back as `returned`: its page connects anew within
/// a second, on a network that has just been away.
const COMEBACK: Duration = Duration::from_secs(10);

/// The socket of a lost link, kept open by the loop.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) session: SessionId,
    pub(super) tab: Option<super::Tab>,
    pub(super) until: Moment,
}

impl Hub {
    /// See [`Ask::Link`](super::Ask::Link).
    pub(super) fn open_link(
        &mut self,
        now: Now,
        id: SessionId,
        conn: ConnId,
        spec: LinkSpec,
        fx: &mut Effects,
    ) -> Result<(), Denied> {
        debug_assert!(!self.links.contains_key(&conn), "{conn:?} is a link already");
        self.forget_expired(now, id);
        let s = self.sessions.get(id).ok_or(NoSeat::Unknown)?;
        if let SessionState::Ended(reason) = s.state {
            return Err(NoSeat::Ended(reason).into());
        }
        if self.stopping {
            return Err(NoSeat::Stopping.into());
        }
        if spec.tab.as_ref().is_some_and(|tab| tab.n < s.lowest_of(&tab.name)) {
            return Err(Denied::Superseded);
        }
        self.ensure_seat(now, id, fx)?;
        if let Some(tab) = &spec.tab {
            self.close_ghosts(id, tab, fx);
        }
        let types = spec.types.and(Types::ALWAYS);
        let link = Link {
            session: id,
            types,
            beats: spec.beats && types.has(Type::Beat),
            tab: spec.tab,
            greeted: false,
            silent_from: None,
            stalled: false,
            page: Page::Untracked,
            beat: None,
            beat_first: None,
            beat_into: Duration::MAX,
            rtt_us: None,
        };
        self.links.insert(conn, link);
        if let Some(s) = self.sessions.get_mut(id) {
            s.links.push(conn);
            s.html = false;
            (s.used, s.requested, s.heard) = (now.mono, now.mono, now.mono);
        }
        self.advance(now, id, Trigger::Opened, fx);
        self.refresh(now, id, fx);
        self.greet(id, conn, types, spec.last.as_deref(), fx);
        self.pace(id, fx);
        Ok(())
    }

    /// A page has one link: what it had before this one, it has given up.
    fn close_ghosts(&mut self, id: SessionId, tab: &super::Tab, fx: &mut Effects) {
        let why = CloseReason::Replaced;
        let Some(s) = self.sessions.get_mut(id) else { return };
        s.raise_tab(&tab.name, tab.n);
        let links = &mut self.links;
        s.links.retain(|&conn| {
            let ghost = links.get(&conn).is_some_and(|l| l.tab.as_ref().is_some_and(|t| t.name == tab.name));
            if ghost {
                links.remove(&conn);
                fx.push(Effect::Close { conn, why });
            }
            !ghost
        });
        self.close_parked(|p| p.session == id && p.tab.as_ref().is_some_and(|t| t.name == tab.name), why, fx);
    }

    fn greet(&mut self, id: SessionId, conn: ConnId, types: Types, last: Option<&str>, fx: &mut Effects) {
        let Some(you) = self.member(id) else { return };
        let replay = last.and_then(|last| self.log.replay(last, types));
        let hello = Hello {
            id: self.log.newest(),
            you,
            max: self.settings.seats.max,
            taken: self.seats_taken(),
            members: self.members(),
            devices: self.devices(),
            replayed: replay.is_some(),
            beat_ms: super::roster::millis(self.settings.beat),
        };
        let mut tell = |message| fx.push(Effect::Deliver { to: vec![conn], message });
        tell(Message::Passing(Rc::new(Passing::Hello(hello))));
        for event in replay.unwrap_or_default() {
            tell(Message::Logged(event));
        }
        if let Some(link) = self.links.get_mut(&conn) {
            link.greeted = true;
        }
    }

    pub(super) fn link_ended(&mut self, now: Now, conn: ConnId, end: LinkEnd, fx: &mut Effects) {
        self.parked.remove(&conn);
        if self.device_ended(now, conn, end, fx) {
            return;
        }
        let Some(link) = self.links.remove(&conn) else { return };
        let id = link.session;
        let Some(s) = self.sessions.get_mut(id) else { return };
        s.links.retain(|&c| c != conn);
        s.used = now.mono;
        let carried_on = !s.links.is_empty();
        match end {
            LinkEnd::Closed | LinkEnd::Protocol => {
                s.heard = now.mono;
                if !carried_on {
                    self.advance(now, id, Trigger::Closed, fx);
                }
            }
            LinkEnd::Lost { after, evidence } => {
                s.heard_on_lost = s.heard_on_lost.max(now.mono - after);
                let last = s.heard_on_lost;
                // A reset socket is gone; the others may yet be heard on.
                if evidence != Evidence::Reset {
                    self.park(now, conn, link, fx);
                }
                if !carried_on {
                    self.advance(now, id, Trigger::Vanished { last, evidence }, fx);
                }
            }
            LinkEnd::Slow if !carried_on => self.end(now, id, LeftReason::Slow, fx),
            LinkEnd::Slow => {}
        }
        self.refresh(now, id, fx);
    }

    fn park(&mut self, now: Now, conn: ConnId, link: Link, fx: &mut Effects) {
        let until = now.mono + self.settings.returned_within;
        // The loop closes them when their time is over, and may tell; this holds even if it does not.
        self.parked.retain(|_, p| p.until > now.mono);
        self.parked.insert(conn, Parked { session: link.session, tab: link.tab, until });
        fx.push(Effect::Park { conn, until });
    }

    /// Closes those parked sockets that `which` picks.
    pub(super) fn close_parked(&mut self, which: impl Fn(&Parked) -> bool, why: CloseReason, fx: &mut Effects) {
        self.parked.retain(|&conn, p| {
            let close = which(p);
            if close {
                fx.push(Effect::Close { conn, why });
            }
            !close
        });
    }

    pub(super) fn link_heard_after_lost(&mut self, now: Now, conn: ConnId) {
        let Some(parked) = self.parked.remove(&conn) else { return };
        if let Some(s) = self.sessions.get_mut(parked.session) {
            if let SessionState::Lost { until } = &mut s.state {
                *until = (*until).max(now.mono + COMEBACK);
            }
        }
    }

    pub(super) fn link_changed(&mut self, now: Now, conn: ConnId, change: Change, fx: &mut Effects) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        match change {
            Change::Suspected { silent } => link.silent_from = Some(now.mono - silent),
            Change::Recovered { .. } => link.silent_from = None,
            Change::Stalled => link.stalled = true,
            Change::Moving => link.stalled = false,
        }
        link.page.excuse();
        let id = link.session;
        self.refresh(now, id, fx);
    }

    pub(super) fn link_rtt(&mut self, conn: ConnId, rtt_us: u32) {
        if let Some(link) = self.links.get_mut(&conn) {
            link.rtt_us = Some(rtt_us);
        }
    }

    /// See [`Ask::Bye`](super::Ask::Bye).
    pub(super) fn bye(&mut self, now: Now, id: SessionId, tab: &str, n: u64, fx: &mut Effects) {
        let Some(s) = self.sessions.get_mut(id) else { return };
        s.heard = now.mono;
        s.raise_tab(tab, n.saturating_add(1));
        let theirs = |conn: &ConnId| {
            self.links.get(conn).is_some_and(|l| l.tab.as_ref().is_some_and(|t| &*t.name == tab && t.n <= n))
        };
        let going: Vec<ConnId> = s.links.iter().copied().filter(theirs).collect();
        for conn in going {
            fx.push(Effect::Close { conn, why: CloseReason::Closed });
            self.link_ended(now, conn, LinkEnd::Closed, fx);
        }
    }

    /// See [`Ask::LinkBye`](super::Ask::LinkBye).
    pub(super) fn link_bye(&mut self, now: Now, conn: ConnId, fx: &mut Effects) {
        let Some(link) = self.links.get(&conn) else { return };
        if let Some(tab) = link.tab.clone() {
            return self.bye(now, link.session, &tab.name, tab.n, fx);
        }
        fx.push(Effect::Close { conn, why: CloseReason::Closed });
        self.link_ended(now, conn, LinkEnd::Closed, fx);
    }

    // ------------------------------------------------------------------------------------------------- beats

    /// See [`View::beat_number`](super::View::beat_number).
    pub(super) fn beat_number(&self, now: Now) -> u64 {
        self.beat_base + micros(now.mono.since(self.beat_start)) / micros(super::BEAT)
    }

    /// When the period of beat `n` began.
    pub(super) fn beat_began(&self, n: u64) -> Moment {
        self.beat_start + Duration::from_micros(n.saturating_sub(self.beat_base).saturating_mul(micros(super::BEAT)))
    }

    pub(super) fn beat_sent(&mut self, now: Now, conn: ConnId, n: u64) {
        let into = now.mono.since(self.beat_began(n));
        let Some(link) = self.links.get_mut(&conn) else { return };
        if !link.beats {
            return;
        }
        link.beat = Some((n, now.mono));
        link.beat_into = link.beat_into.min(into);
        link.beat_first.get_or_insert(n);
        if let Page::Answers { owes_since: owes @ None, .. } = &mut link.page {
            *owes = Some(now.mono);
            let due = link.page_due(self.settings.page_after);
            self.arm(due);
        }
    }

    /// The page `tab` answers a beat and names the devices that it controls.
    pub(super) fn beat_answer(
        &mut self,
        now: Now,
        id: SessionId,
        tab: &str,
        beat: &Beat,
        fx: &mut Effects,
    ) -> BeatAnswer {
        let Some(s) = self.sessions.get_mut(id) else { return BeatAnswer::Unknown };
        s.heard = now.mono;
        let named = |c: &&ConnId| self.links.get(c).is_some_and(|l| l.tab.as_ref().is_some_and(|t| &*t.name == tab));
        let Some(&conn) = s.links.iter().find(named) else { return BeatAnswer::Unknown };
        self.link_beat_answer(now, conn, beat, fx)
    }

    /// The page at the end of the link `conn` answers a beat on it and names the devices that it controls.
    pub(super) fn link_beat_answer(&mut self, now: Now, conn: ConnId, beat: &Beat, fx: &mut Effects) -> BeatAnswer {
        let (n, hold) = (beat.n, &beat.hold);
        let Some(link) = self.links.get_mut(&conn) else { return BeatAnswer::Unknown };
        let id = link.session;
        let Some((sent, _)) = link.beat.filter(|&(sent, _)| n <= sent) else { return BeatAnswer::Unknown };
        let held = match link.page {
            Page::Untracked => false,
            Page::Answers { newest, .. } | Page::Stalled { newest, .. } if n <= newest => return BeatAnswer::Old,
            Page::Answers { holds, .. } | Page::Stalled { holds, .. } => holds,
        };
        let holds = !hold.is_empty();
        link.page = if held && !holds {
            // A page on SSE answers only while it holds control, and says so once when it has let go.
            Page::Untracked
        } else {
            Page::Answers { newest: n, holds, owes_since: (n < sent).then_some(now.mono) }
        };
        let due = link.page_due(self.settings.page_after);
        let sent_at = self.links.get(&conn).and_then(|link| self.beat_sent_at(now, link, n));
        self.arm(due);
        self.refresh(now, id, fx);
        // how old an answer to a beat from before the board slept is cannot be told: it keeps no control
        if let Some(sent_at) = sent_at {
            self.devices_named(now, id, n, sent_at, hold);
        }
        BeatAnswer::Counted
    }

    /// Calls those pages of `id` stalled whose time is over.
    pub(super) fn check_pages(&mut self, now: Now, id: SessionId, fx: &mut Effects) {
        let Some(s) = self.sessions.get(id) else { return };
        let page_after = self.settings.page_after;
        for conn in &s.links {
            let Some(link) = self.links.get_mut(conn) else { continue };
            if link.page_due(page_after).is_none_or(|due| due > now.mono) {
                continue;
            }
            if let Page::Answers { newest, holds, .. } = link.page {
                link.page = Page::Stalled { newest, holds, since: now.mono };
            }
        }
        self.refresh(now, id, fx);
    }
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}
