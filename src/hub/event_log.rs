//! The log of what happened, numbered, and its replay.
//!
//! Four rings under one numbering, so that none pushes another out: what was said, what was asked of machines, emergency
//! stops, who came and went. Anybody with a name may give stops, as many as they like: of these, those of the user who
//! gave most go first. Never does: files.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::config::Chat;
use crate::msg::{Epoch, Event, EventId, Now, Type, Types, What};

/// About what a told event takes beside what people and devices may write at will: its names, its members, its frame.
pub(super) const EVENT_BYTES: u64 = 512;
/// Bytes of one ring: long texts, arguments and results count as what they are.
const RING_BYTES: u64 = 1 << 20;
/// Where `chat.history` is long, so many for each event of it, if that is more.
const RING_BYTES_OF_EVENT: u64 = 1 << 10;

/// A part of the log.
#[derive(Clone, PartialEq, Debug)]
pub struct Slice {
    /// In order.
    pub events: Vec<Rc<Event>>,
    /// Some that were asked for are gone, or the id that was asked for is unknown.
    pub gap: bool,
}

/// What is kept together.
#[derive(Clone, Copy)]
enum Ring {
    /// The chat.
    Said,
    /// Control, commands and their answers.
    Orders,
    /// Emergency stops and their answers.
    Stops,
    /// Who came and went, people and devices.
    People,
}

/// The newest events of one run.
#[derive(Debug)]
pub struct EventLog {
    epoch: Epoch,
    newest: u64,
    /// Events of each ring that are kept.
    history: usize,
    /// Bytes of each ring that are kept.
    most: [u64; 4],
    /// In the order of [`Ring`], each in the order of its numbers.
    rings: [VecDeque<Rc<Event>>; 4],
    /// About how many bytes each of them takes.
    bytes: [u64; 4],
    /// Of each type, the newest that is gone; 0: none is.
    dropped: [u64; Type::ALL.len()],
}

impl EventLog {
    /// An empty log that keeps as much as `chat` says.
    pub fn new(epoch: Epoch, chat: &Chat) -> EventLog {
        let mut log = EventLog {
            epoch,
            newest: 0,
            history: 0,
            most: [0; 4],
            rings: Default::default(),
            bytes: [0; 4],
            dropped: [0; Type::ALL.len()],
        };
        log.set_history(chat);
        log
    }

    /// The newest event, or the place before the first.
    pub fn newest(&self) -> EventId {
        EventId { epoch: self.epoch, seq: self.newest }
    }

    /// Numbers and keeps what happened. `stop`: it is an emergency stop or the answer to one.
    pub fn push(&mut self, now: Now, what: What, stop: bool) -> Rc<Event> {
        self.newest += 1;
        let event = Rc::new(Event { id: self.newest(), time_ms: now.wall_ms, what });
        let ring = match event.what {
            What::Said { .. } => Ring::Said,
            What::Commanded { .. } | What::Answered { .. } if stop => Ring::Stops,
            What::Control { .. } | What::Commanded { .. } | What::Answered { .. } => Ring::Orders,
            What::Joined { .. }
            | What::Left { .. }
            | What::Lost { .. }
            | What::TurnedAway { .. }
            | What::Device { .. } => Ring::People,
        };
        self.bytes[ring as usize] += size(&event);
        self.rings[ring as usize].push_back(event.clone());
        self.trim(true);
        event
    }

    /// Keeps as much as `chat` says from now on.
    pub fn set_history(&mut self, chat: &Chat) {
        self.history = chat.history;
        let of_each = |bytes: u64| RING_BYTES.max(chat.history as u64 * bytes);
        self.most = [of_each(RING_BYTES_OF_EVENT); 4];
        // as many as were asked for, if they are as long as they may be, in letters of one byte
        self.most[Ring::Said as usize] = of_each(RING_BYTES_OF_EVENT.max(EVENT_BYTES + chat.text_max as u64));
        self.trim(false); // a shorter history is no reason to look for each one that goes
    }

    /// The events of `types` after the one that the text `last` names; `None` if that is no event of this log, or
    /// if one of them is gone.
    pub fn replay(&self, last: &str, types: Types) -> Option<Vec<Rc<Event>>> {
        let after = self.parse(last)?;
        let gone = Type::ALL.iter().any(|&t| types.has(t) && self.dropped[t as usize] > after);
        if gone {
            return None;
        }
        Some(self.after(after).filter(|e| types.has(e.what.kind())).cloned().collect())
    }

    /// With an id the first `limit` events after it, else the last `limit`. An unknown id counts as none, and as
    /// a gap.
    pub fn since(&self, id: Option<&str>, limit: usize) -> Slice {
        let from = id.and_then(|id| self.parse(id));
        let events: Vec<Rc<Event>> = match from {
            Some(seq) => self.after(seq).take(limit).cloned().collect(),
            None => {
                let skip = self.len().saturating_sub(limit);
                self.after(0).skip(skip).cloned().collect()
            }
        };
        let before = match (from, events.first()) {
            (Some(seq), _) => seq,
            // Fewer than asked for: everything was meant.
            (None, _) if events.len() < limit => 0,
            (None, Some(first)) => first.id.seq - 1,
            (None, None) => self.newest,
        };
        let last = match (from, events.last()) {
            (Some(seq), _) if limit == 0 => seq,
            (Some(_), Some(last)) if events.len() == limit => last.id.seq,
            _ => self.newest,
        };
        // One numbering without holes: what is missing between them is gone.
        let gap = (id.is_some() && from.is_none()) || last - before != events.len() as u64;
        Slice { events, gap }
    }

    /// Events kept.
    pub fn len(&self) -> usize {
        self.rings.iter().map(VecDeque::len).sum()
    }

    /// The number in `EPOCH-SEQ`, if it is of this log and has come to pass.
    fn parse(&self, id: &str) -> Option<u64> {
        let digits = id.strip_prefix(self.epoch.as_str())?.strip_prefix('-')?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        let seq: u64 = if plain { digits.parse().ok()? } else { return None };
        (seq <= self.newest).then_some(seq)
    }

    fn after(&self, seq: u64) -> impl Iterator<Item = &Rc<Event>> {
        let mut tails = self.rings.each_ref().map(|ring| {
            let first = ring.partition_point(|e| e.id.seq <= seq);
            ring.range(first..).peekable()
        });
        std::iter::from_fn(move || {
            let mut nearest: Option<(usize, u64)> = None;
            for (n, tail) in tails.iter_mut().enumerate() {
                let seq = tail.peek().map_or(u64::MAX, |e| e.id.seq);
                if seq < nearest.map_or(u64::MAX, |(_, seq)| seq) {
                    nearest = Some((n, seq));
                }
            }
            tails[nearest?.0].next()
        })
    }

    /// `fair`: of stops, those of the user who gave most go first; else the oldest.
    fn trim(&mut self, fair: bool) {
        for (n, ring) in self.rings.iter_mut().enumerate() {
            while ring.len() > self.history || self.bytes[n] > self.most[n] {
                let at = if fair && n == Ring::Stops as usize { of_the_busiest(ring) } else { 0 };
                let Some(gone) = ring.remove(at) else { break };
                self.bytes[n] -= size(&gone);
                let newest = &mut self.dropped[gone.what.kind() as usize];
                *newest = gone.id.seq.max(*newest);
            }
        }
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.iter().sum()
    }
}

/// About how many bytes an event takes.
pub(super) fn size(event: &Event) -> u64 {
    EVENT_BYTES + event.what.free_bytes()
}

/// Where the oldest stop lies of the user whose stops take most; the first event if that is an answer: its
/// command is gone already.
fn of_the_busiest(ring: &VecDeque<Rc<Event>>) -> usize {
    let user = |e: &Rc<Event>| if let What::Commanded { by, .. } = &e.what { Some(by.user.clone()) } else { None };
    if ring.front().is_none_or(|first| user(first).is_none()) {
        return 0;
    }
    // of each user: the oldest one's place, and the bytes of all
    let mut users: Vec<(Rc<str>, usize, u64)> = Vec::new();
    for (at, user, bytes) in ring.iter().enumerate().filter_map(|(at, e)| Some((at, user(e)?, size(e)))) {
        match users.iter_mut().find(|(known, ..)| *known == user) {
            Some((.., sum)) => *sum += bytes,
            None => users.push((user, at, bytes)),
        }
    }
    users.iter().rev().max_by_key(|(.., sum)| *sum).map_or(0, |(_, at, _)| *at)
}

#[cfg(test)]
mod tests;
