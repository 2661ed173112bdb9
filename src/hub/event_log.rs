//! The log of what happened, numbered, and its replay.
//!
//! Two rings under one numbering: what was said, and who came and went, so that a flapping link cannot push the
//! conversation out. Never does: files.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::msg::{Epoch, Event, EventId, Now, Type, Types, What};

/// A part of the log.
#[derive(Clone, PartialEq, Debug)]
pub struct Slice {
    /// In order.
    pub events: Vec<Rc<Event>>,
    /// Some that were asked for are gone, or the id that was asked for is unknown.
    pub gap: bool,
}

/// The newest events of one run.
#[derive(Debug)]
pub struct EventLog {
    epoch: Epoch,
    newest: u64,
    /// Events of each ring that are kept.
    history: usize,
    talk: VecDeque<Rc<Event>>,
    people: VecDeque<Rc<Event>>,
    /// Of each type, the newest that is gone; 0: none is.
    dropped: [u64; Type::ALL.len()],
}

impl EventLog {
    /// An empty log that keeps `history` events of each ring.
    pub fn new(epoch: Epoch, history: usize) -> EventLog {
        EventLog {
            epoch,
            newest: 0,
            history,
            talk: VecDeque::new(),
            people: VecDeque::new(),
            dropped: [0; Type::ALL.len()],
        }
    }

    /// The newest event, or the place before the first.
    pub fn newest(&self) -> EventId {
        EventId { epoch: self.epoch, seq: self.newest }
    }

    /// Numbers and keeps what happened.
    pub fn push(&mut self, now: Now, what: What) -> Rc<Event> {
        self.newest += 1;
        let event = Rc::new(Event { id: self.newest(), time_ms: now.wall_ms, what });
        match event.what {
            What::Said { .. } | What::Control { .. } | What::Commanded { .. } | What::Answered { .. } => {
                self.talk.push_back(event.clone())
            }
            What::Joined { .. }
            | What::Left { .. }
            | What::Lost { .. }
            | What::TurnedAway { .. }
            | What::Device { .. } => self.people.push_back(event.clone()),
        }
        self.trim();
        event
    }

    /// Keeps `history` events of each ring from now on.
    pub fn set_history(&mut self, history: usize) {
        self.history = history;
        self.trim();
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
                // The last `limit` of both are among the last `limit` of each.
                let skip = (self.talk.len() + self.people.len()).saturating_sub(limit);
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
        self.talk.len() + self.people.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number in `EPOCH-SEQ`, if it is of this log and has come to pass.
    fn parse(&self, id: &str) -> Option<u64> {
        let digits = id.strip_prefix(self.epoch.as_str())?.strip_prefix('-')?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        let seq: u64 = if plain { digits.parse().ok()? } else { return None };
        (seq <= self.newest).then_some(seq)
    }

    fn after(&self, seq: u64) -> impl Iterator<Item = &Rc<Event>> {
        let tail = |ring: &VecDeque<Rc<Event>>| ring.partition_point(|e| e.id.seq <= seq);
        let mut talk = self.talk.range(tail(&self.talk)..).peekable();
        let mut people = self.people.range(tail(&self.people)..).peekable();
        std::iter::from_fn(move || match (talk.peek(), people.peek()) {
            (Some(t), Some(p)) if t.id.seq < p.id.seq => talk.next(),
            (Some(_), None) => talk.next(),
            _ => people.next(),
        })
    }

    fn trim(&mut self) {
        for ring in [&mut self.talk, &mut self.people] {
            while ring.len() > self.history {
                if let Some(gone) = ring.pop_front() {
                    self.dropped[gone.what.kind() as usize] = gone.id.seq;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
