//! How a member looks to the others: the best of its links, told when it changes.

use std::rc::Rc;
use std::time::Duration;

use super::Hub;
use super::session_state::SessionState;
use crate::msg::{ConnId, Effect, Effects, Layer, Member, Message, Moment, Now, Passing, Presence, SessionId, Types};

/// One link, as far as the hub cares.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) session: SessionId,
    pub(super) types: Types,
    pub(super) beats: bool,
    pub(super) tab: Option<super::Tab>,
    /// It has had its `hello`: live messages may follow.
    pub(super) greeted: bool,
    /// Silent; since when.
    pub(super) silent_from: Option<Moment>,
    /// Takes no data.
    pub(super) stalled: bool,
    pub(super) page: Page,
    /// The newest beat that was sent to it, and when.
    pub(super) beat: Option<(u64, Moment)>,
    /// The first one.
    pub(super) beat_first: Option<u64>,
    /// How far into its period a beat was sent at the earliest: older ones were sent no earlier than that.
    pub(super) beat_into: Duration,
    pub(super) rtt_us: Option<u32>,
}

/// What answers to beats tell of the page at the end of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Page {
    /// Nothing: it answers none, or has stopped after it gave up control.
    Untracked,
    /// It answers.
    Answers {
        /// The newest beat that it answered.
        newest: u64,
        /// It named devices with it.
        holds: bool,
        /// When the oldest beat went out that it owes an answer to.
        owes_since: Option<Moment>,
    },
    /// It answered and has stopped.
    Stalled {
        /// The newest beat that it answered.
        newest: u64,
        /// It named devices with it.
        holds: bool,
        /// Since when it is called so.
        since: Moment,
    },
}

impl Page {
    /// The wait for an answer begins anew: what could not be heard need not be answered.
    pub(super) fn excuse(&mut self) {
        if let Page::Answers { owes_since, .. } = self {
            *owes_since = None;
        }
    }
}

impl Link {
    /// Whether a page is at its end that answers beats, or will once it holds control.
    pub(super) fn is_page(&self) -> bool {
        self.beats && (self.tab.is_some() || self.page != Page::Untracked)
    }

    /// When its page will be called stalled. Silence or a stall of the transport comes first and excuses it.
    pub(super) fn page_due(&self, page_after: Duration) -> Option<Moment> {
        match self.page {
            Page::Answers { owes_since: Some(since), .. }
                if !page_after.is_zero() && self.silent_from.is_none() && !self.stalled =>
            {
                Some(since + page_after)
            }
            _ => None,
        }
    }

    fn presence(&self) -> (Presence, Option<Layer>) {
        if self.silent_from.is_some() {
            (Presence::Suspect, None)
        } else if self.stalled {
            (Presence::Stalled, Some(Layer::Transport))
        } else if matches!(self.page, Page::Stalled { .. }) {
            (Presence::Stalled, Some(Layer::Page))
        } else {
            (Presence::Present, None)
        }
    }
}

/// How a member was last told to be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Shown {
    pub(super) state: Presence,
    /// Of a stall.
    pub(super) layer: Option<Layer>,
    /// Of a silence: the last sign of life on any link.
    pub(super) silent_from: Moment,
    /// Since when it looks so.
    pub(super) since: Moment,
}

impl Shown {
    /// A member who has just sat down.
    pub(super) fn present(now: Moment) -> Shown {
        Shown { state: Presence::Present, layer: None, silent_from: now, since: now }
    }

    /// Whether the page has stopped while the transport works.
    pub(super) fn page_stalled(&self) -> bool {
        self.state == Presence::Stalled && self.layer == Some(Layer::Page)
    }
}

impl Hub {
    /// Everybody here, by seat.
    pub(super) fn members(&self) -> Vec<Rc<Member>> {
        self.sessions.seated().filter_map(|id| self.member(id)).collect()
    }

    /// A seated session as the others see it.
    pub(super) fn member(&self, id: SessionId) -> Option<Rc<Member>> {
        let s = self.sessions.get(id)?;
        let seat = s.seat?;
        let rtts = s.links.iter().filter_map(|c| self.links.get(c)?.rtt_us);
        Some(Rc::new(Member {
            session: id,
            user: s.user.clone(),
            role: s.role,
            seat,
            addr: s.addr,
            since_ms: s.since_ms,
            state: s.shown.state,
            links: u16::try_from(s.links.len()).unwrap_or(u16::MAX),
            rtt_us: rtts.min(),
            agent: s.agent.clone(),
        }))
    }

    /// Tells the others if the member looks different now.
    pub(super) fn refresh(&mut self, now: Now, id: SessionId, fx: &mut Effects) {
        let Some(s) = self.sessions.get(id) else { return };
        // In doubt it looks as it did: the news comes with the end of the doubt.
        if s.seat.is_none() || matches!(s.state, SessionState::Doubt { .. }) {
            return;
        }
        let was = s.shown;
        let next = self.look(now.mono, &s.links, was);
        if next.state == was.state {
            // Also if the layer of a stall is another now: it stays the one that was told.
            return;
        }
        if let Some(s) = self.sessions.get_mut(id) {
            s.shown = next;
        }
        self.holder_moved(now, id, fx);
        let Some(member) = self.member(id) else { return };
        // What it no longer is, then what it is: each change of state is one or two messages.
        match was.state {
            Presence::Suspect => {
                self.counters.recoveries += 1;
                let silent_ms = millis(now.mono.since(was.silent_from));
                self.pass(Passing::Recovered { member: member.clone(), silent_ms }, fx);
            }
            Presence::Stalled if next.state == Presence::Present => {
                let layer = was.layer.unwrap_or(Layer::Transport);
                self.pass(Passing::Moving { member: member.clone(), layer }, fx);
            }
            Presence::Stalled | Presence::Present => {}
        }
        match next.state {
            Presence::Suspect => {
                self.counters.suspicions += 1;
                let silent_ms = millis(now.mono.since(next.silent_from));
                self.pass(Passing::Suspected { member, silent_ms }, fx);
            }
            Presence::Stalled => {
                let layer = next.layer.unwrap_or(Layer::Transport);
                self.pass(Passing::Stalled { member, layer }, fx);
            }
            Presence::Present => {}
        }
    }

    /// The best of the links; without any (plain visitors, reloads): present.
    fn look(&self, now: Moment, links: &[ConnId], was: Shown) -> Shown {
        let links = || links.iter().filter_map(|c| self.links.get(c));
        // A silent one may be gone, a stalled one is not: stalled is the better of the two.
        let rank = |&(state, _): &(Presence, Option<Layer>)| match state {
            Presence::Present => 0,
            Presence::Stalled => 1,
            Presence::Suspect => 2,
        };
        let best = links().map(Link::presence).min_by_key(rank).unwrap_or((Presence::Present, None));
        let silent_from = links().filter_map(|l| l.silent_from).max().unwrap_or(was.silent_from);
        let since = if best.0 == was.state { was.since } else { now };
        Shown { state: best.0, layer: best.1, silent_from, since }
    }

    /// Tells a passing message to all who want to hear it.
    pub(super) fn pass(&mut self, passing: Passing, fx: &mut Effects) {
        self.deliver(Message::Passing(Rc::new(passing)), fx);
    }

    /// One effect for all links that want it, so that it is encoded once.
    pub(super) fn deliver(&self, message: Message, fx: &mut Effects) {
        let kind = message.kind();
        let to: Vec<ConnId> =
            self.links.iter().filter(|(_, l)| l.greeted && l.types.has(kind)).map(|(&c, _)| c).collect();
        if !to.is_empty() {
            fx.push(Effect::Deliver { to, message });
        }
    }
}

/// Whole milliseconds.
pub(super) fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}
