//! The deadlines of the connections: one each, in one lazy heap. Moving a deadline later costs nothing: the entry in
//! the heap stays, comes up early, touches its connection, and settling arms it anew.
//!
//! An entry counts only while the connection's [`Armed`] says its very moment; all others are dead and are dropped when
//! they come up, or swept when they are more than the living. Only this module can write an [`Armed`], and whatever
//! comes up is touched here, so a connection cannot lose its deadline and entries cannot pile up.

use super::table::Table;
use crate::msg::{ConnId, Moment};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Which entry of the heap speaks for a connection. Lives in the connection; new ones are unarmed.
#[derive(Debug, Default)]
pub struct Armed(Option<Moment>);

/// What has an [`Armed`]: whatever the [`Table`] holds.
pub trait Deadlined {
    /// To look at.
    fn armed(&self) -> &Armed;
    /// For the timers to write.
    fn armed_mut(&mut self) -> &mut Armed;
}

/// The heap. See the module.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Moment, ConnId)>>,
}

/// Dead entries that are not worth a sweep (16 bytes each).
const DEAD_ALLOWED: usize = 64;

impl Timers {
    /// No deadlines.
    pub fn new() -> Self {
        Timers::default()
    }

    /// `id` wants to be woken at `want`, at the latest: to be said when a touched connection is settled. `None`: no
    /// deadline now (an entry that is there may still come up once, early).
    pub fn arm(&mut self, id: ConnId, armed: &mut Armed, want: Option<Moment>) {
        let Some(want) = want else { return };
        if armed.0.is_none_or(|at| want < at) {
            armed.0 = Some(want);
            self.heap.push(Reverse((want, id)));
        }
    }

    /// The next connection whose entry is due, and when that was; it has been touched, so it is settled and armed
    /// anew at the end of the turn. That its own deadline has moved since is normal: look before acting.
    pub fn pop_due<T: Deadlined>(&mut self, now: Moment, table: &mut Table<T>) -> Option<(Moment, ConnId)> {
        while let Some(&Reverse((at, id))) = self.heap.peek() {
            if at > now {
                break;
            }
            self.heap.pop();
            if !lives(table, at, id) {
                continue;
            }
            if let Some(item) = table.touch(id) {
                item.armed_mut().0 = None;
                return Some((at, id));
            }
        }
        self.sweep(table);
        None
    }

    /// How long the poller may sleep: until the first living entry, in whole milliseconds rounded up (rounded down it
    /// would wake too early and spin); `None`: for ever.
    pub fn wait<T: Deadlined>(&mut self, now: Moment, table: &Table<T>) -> Option<Duration> {
        while let Some(&Reverse((at, id))) = self.heap.peek() {
            if lives(table, at, id) {
                let micros = at.micros().saturating_sub(now.micros());
                return Some(Duration::from_millis(micros.div_ceil(1000)));
            }
            self.heap.pop();
        }
        None
    }

    /// Drops the dead once they can be more than half of the heap: nobody has more than one living entry.
    fn sweep<T: Deadlined>(&mut self, table: &Table<T>) {
        if self.heap.len() <= 2 * table.len() + DEAD_ALLOWED {
            return;
        }
        self.heap.retain(|&Reverse((at, id))| lives(table, at, id));
        self.heap.shrink_to(2 * self.heap.len());
    }
}

fn lives<T: Deadlined>(table: &Table<T>, at: Moment, id: ConnId) -> bool {
    table.get(id).is_some_and(|item| item.armed().0 == Some(at))
}
