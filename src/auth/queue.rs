//! In which order passwords are checked: a short queue, and fair.
//!
//! The doors take turns. At a door those go first who have signed in well from there before, though every fourth turn is a
//! newcomer's as long as there is one. Within these, sources take turns, whatever each has waiting. If all places are taken,
//! the newest of the source gives way from which most wait. One that waits alone gives way only to one of a source that has
//! guessed wrong less often: so guesses from many addresses keep nobody out who has not guessed. A check that is in, alone of
//! its source and has not guessed wrong, is checked after at most [`PLACES`] others of its lane, however many come.

use std::collections::VecDeque;

use crate::auth::{Door, Key, Source};
use crate::msg::ConnId;

/// Checks that may wait in a lane. One takes a board some 100 ms: later ones would wait longer than people do.
pub const PLACES: usize = 32;

/// Turns in a row that go to those who are known, while newcomers wait.
const KNOWN_IN_A_ROW: u8 = 3;

/// One check.
#[derive(Debug)]
pub struct Check<J> {
    /// What is to be done.
    pub job: J,
    /// The credentials: who waits for equal ones waits for this.
    pub key: Key,
    /// Whose turn it takes.
    pub source: Source,
    /// Whether this user has signed in well from there before.
    pub known: bool,
    /// Wrong ones that have come from there lately.
    pub wrong: u32,
    /// The connections that wait for it.
    pub waiting: Vec<ConnId>,
}

/// Who waits for the check that is under way.
#[derive(Debug, PartialEq, Eq)]
pub struct Running {
    /// Where they knocked.
    pub door: Door,
    /// The credentials.
    pub key: Key,
    /// The connections.
    pub waiting: Vec<ConnId>,
}

/// All that wait, at both doors, and those whose check is under way.
#[derive(Debug)]
pub struct Queue<J> {
    web: Lanes<J>,
    devices: Lanes<J>,
    /// Whose turn it is.
    turn: Door,
    running: Option<Running>,
    /// Those who had to give way and have not been told yet.
    gave_way: Vec<(Door, Check<J>)>,
}

impl<J> Default for Queue<J> {
    fn default() -> Self {
        let (web, devices) = (Lanes::default(), Lanes::default());
        Queue { web, devices, turn: Door::Web, running: None, gave_way: Vec::new() }
    }
}

impl<J> Queue<J> {
    fn lanes(&mut self, door: Door) -> &mut Lanes<J> {
        match door {
            Door::Web => &mut self.web,
            Door::Devices => &mut self.devices,
        }
    }

    /// Lets `conn` wait for the check of equal credentials. Whether there is one.
    pub fn join(&mut self, door: Door, key: &Key, conn: ConnId) -> bool {
        if let Some(running) = self.running.as_mut().filter(|r| r.door == door && r.key == *key) {
            running.waiting.push(conn);
            return true;
        }
        let lanes = self.lanes(door);
        let mut all = lanes.known.checks_mut().chain(lanes.new.checks_mut());
        all.find(|check| check.key == *key).map(|check| check.waiting.push(conn)).is_some()
    }

    /// Queues `check`. `Err`: there is no place for it.
    pub fn push(&mut self, door: Door, check: Check<J>) -> Result<(), Check<J>> {
        let lanes = self.lanes(door);
        let lane = if check.known { &mut lanes.known } else { &mut lanes.new };
        let gone = lane.push(check)?;
        self.gave_way.extend(gone.map(|check| (door, check)));
        Ok(())
    }

    /// Whether nobody waits for anything: so it is at nearly every turn of the loop.
    pub fn is_idle(&self) -> bool {
        let empty = |lanes: &Lanes<J>| lanes.known.len + lanes.new.len == 0;
        self.running.is_none() && self.gave_way.is_empty() && empty(&self.web) && empty(&self.devices)
    }

    /// One that had to give way; its waiters are to be told.
    pub fn gave_way(&mut self) -> Option<(Door, Check<J>)> {
        self.gave_way.pop()
    }

    /// The next check, if none is under way. It is that one then, unless the caller says otherwise: see [`Queue::start`].
    pub fn take_next(&mut self) -> Option<(Door, Check<J>)> {
        if self.running.is_some() {
            return None;
        }
        let other = if self.turn == Door::Web { Door::Devices } else { Door::Web };
        for door in [self.turn, other] {
            if let Some(check) = self.lanes(door).next() {
                self.turn = if door == Door::Web { Door::Devices } else { Door::Web };
                return Some((door, check));
            }
        }
        None
    }

    /// The check of these is under way.
    pub fn start(&mut self, running: Running) {
        self.running = Some(running);
    }

    /// The check that was under way is done: who waits for it.
    pub fn done(&mut self) -> Option<Running> {
        self.running.take()
    }
}

/// Those who wait at one door.
#[derive(Debug)]
struct Lanes<J> {
    known: Lane<J>,
    new: Lane<J>,
    in_a_row: u8,
}

impl<J> Default for Lanes<J> {
    fn default() -> Self {
        Lanes { known: Lane::default(), new: Lane::default(), in_a_row: 0 }
    }
}

impl<J> Lanes<J> {
    fn next(&mut self) -> Option<Check<J>> {
        let newcomers = self.in_a_row >= KNOWN_IN_A_ROW && self.new.len > 0;
        if let Some(check) = if newcomers { None } else { self.known.pop() } {
            self.in_a_row = self.in_a_row.saturating_add(1);
            return Some(check);
        }
        self.in_a_row = 0;
        self.new.pop()
    }
}

/// Sources that take turns.
#[derive(Debug)]
struct Lane<J> {
    /// Whose turn is next stands in front. None is empty.
    ring: VecDeque<(Source, VecDeque<Check<J>>)>,
    len: usize,
}

impl<J> Default for Lane<J> {
    fn default() -> Self {
        Lane { ring: VecDeque::new(), len: 0 }
    }
}

impl<J> Lane<J> {
    fn checks_mut(&mut self) -> impl Iterator<Item = &mut Check<J>> {
        self.ring.iter_mut().flat_map(|(_, checks)| checks)
    }

    /// Takes `check` in, perhaps instead of the one that is returned.
    fn push(&mut self, check: Check<J>) -> Result<Option<Check<J>>, Check<J>> {
        let mut gone = None;
        if self.len >= PLACES {
            let own = self.ring.iter().find(|(s, _)| *s == check.source).map_or(0, |(_, checks)| checks.len());
            let wrong = |checks: &VecDeque<Check<J>>| checks.back().map_or(0, |newest| newest.wrong);
            let gives = |checks: &VecDeque<Check<J>>| match checks.len() {
                1 => own == 0 && wrong(checks) > check.wrong,
                // or else the two would only change places
                many => many > own + 1,
            };
            let at = (0..self.ring.len())
                .filter(|&at| gives(&self.ring[at].1))
                .max_by_key(|&at| (self.ring[at].1.len(), wrong(&self.ring[at].1)));
            let Some(at) = at else { return Err(check) };
            gone = self.ring[at].1.pop_back();
            if self.ring[at].1.is_empty() {
                self.ring.remove(at);
            }
            self.len -= 1;
        }
        self.len += 1;
        match self.ring.iter_mut().find(|(s, _)| *s == check.source) {
            Some((_, checks)) => checks.push_back(check),
            None => self.ring.push_back((check.source, VecDeque::from([check]))),
        }
        Ok(gone)
    }

    fn pop(&mut self) -> Option<Check<J>> {
        let (source, mut checks) = self.ring.pop_front()?;
        let check = checks.pop_front();
        self.len -= 1;
        if !checks.is_empty() {
            self.ring.push_back((source, checks));
        }
        check
    }
}

#[cfg(test)]
mod tests;
