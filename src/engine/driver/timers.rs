//! The deadlines of the connections: one each, in one lazy heap. Moving a deadline later costs nothing: the entry in
//! the heap stays, comes up early, touches its connection, and settling arms it anew.
//!
//! An entry counts only while the connection's [`Armed`] says its very moment; all others are dead and are dropped when
//! they come up, or swept when they are more than the living. Only this module can write an [`Armed`], and whatever
//! comes up is touched here, so a connection cannot lose its deadline and entries cannot pile up.

use crate::engine::driver::table::Table;
use crate::msg::{ConnId, Moment};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Which entry of the heap speaks for a connection. Lives in the connection; new ones are unarmed.
#[derive(Debug, Default)]
pub struct Armed(Option<Moment>);

#[cfg(test)]
impl Armed {
    /// When its entry is due.
    pub(in crate::engine) fn at(&self) -> Option<Moment> {
        self.0
    }
}

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

    /// When the first living entry is due; `None`: never. A moment in the past tells how late the loop is.
    pub fn next<T: Deadlined>(&mut self, table: &Table<T>) -> Option<Moment> {
        while let Some(&Reverse((at, id))) = self.heap.peek() {
            if lives(table, at, id) {
                return Some(at);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Item {
        armed: Armed,
        want: Option<Moment>,
    }

    impl Deadlined for Item {
        fn armed(&self) -> &Armed {
            &self.armed
        }
        fn armed_mut(&mut self) -> &mut Armed {
            &mut self.armed
        }
    }

    /// A table and its timers, used as the loop does.
    struct World {
        table: Table<Item>,
        timers: Timers,
        now: Moment,
    }

    impl World {
        fn new() -> Self {
            World { table: Table::new(1000), timers: Timers::new(), now: at(0) }
        }

        fn add(&mut self, want: Option<u64>) -> ConnId {
            let id = self.table.insert(Item { want: want.map(at), ..Item::default() }).ok().unwrap();
            self.settle();
            id
        }

        fn want(&mut self, id: ConnId, want: Option<u64>) {
            self.table.touch(id).unwrap().want = want.map(at);
            self.settle();
        }

        fn settle(&mut self) {
            while let Some((id, item)) = self.table.pop_touched() {
                let want = item.want;
                self.timers.arm(id, &mut item.armed, want);
            }
        }

        /// Who acts at `ms`: woken, and its own deadline has come. Also how many were woken in all.
        fn turn(&mut self, ms: u64) -> (Vec<ConnId>, usize) {
            self.now = at(ms);
            let (mut acted, mut woken) = (Vec::new(), 0);
            while let Some((moment, id)) = self.timers.pop_due(self.now, &mut self.table) {
                assert!(moment <= self.now);
                woken += 1;
                let item = self.table.touch(id).unwrap();
                if item.want.is_some_and(|want| want <= self.now) {
                    item.want = None;
                    acted.push(id);
                }
            }
            self.settle();
            (acted, woken)
        }

        fn wait_ms(&mut self) -> Option<u64> {
            self.timers.next(&self.table).map(|at| at.since(self.now).as_micros().div_ceil(1000) as u64)
        }
    }

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn nobody_waits_for_ever_and_deadlines_come_in_order() {
        let mut w = World::new();
        assert_eq!(w.wait_ms(), None);
        let (b, a) = (w.add(Some(200)), w.add(Some(100)));
        w.add(None);
        assert_eq!(w.wait_ms(), Some(100));
        assert_eq!(w.turn(99), (vec![], 0));
        assert_eq!(w.turn(100), (vec![a], 1));
        assert_eq!(w.wait_ms(), Some(100));
        assert_eq!(w.turn(250), (vec![b], 1));
        assert_eq!(w.wait_ms(), None);
    }

    #[test]
    fn moving_later_costs_no_entry_and_moving_earlier_wakes_earlier() {
        let mut w = World::new();
        let id = w.add(Some(100));
        for ms in 101..1000 {
            w.want(id, Some(ms));
        }
        assert_eq!(w.timers.heap.len(), 1);
        assert_eq!(w.turn(100), (vec![], 1), "woken early, armed anew");
        assert_eq!(w.wait_ms(), Some(899));
        w.want(id, Some(300));
        assert_eq!(w.wait_ms(), Some(200));
        assert_eq!(w.turn(300), (vec![id], 1));
        assert_eq!(w.wait_ms(), None, "the later entry is dead");
        assert_eq!(w.turn(2000), (vec![], 0));
    }

    #[test]
    fn an_entry_that_was_overtaken_wakes_nobody() {
        let mut w = World::new();
        let id = w.add(Some(1000));
        w.want(id, Some(300));
        assert_eq!(w.turn(300), (vec![id], 1));
        w.want(id, Some(5000));
        assert_eq!(w.turn(1000), (vec![], 0), "that was the first entry");
        assert_eq!(w.turn(5000), (vec![id], 1));
    }

    #[test]
    fn the_sleep_is_rounded_up_so_that_the_deadline_has_come() {
        let mut w = World::new();
        let id = w.table.insert(Item { want: Some(Moment::from_micros(1_001)), ..Item::default() }).ok().unwrap();
        w.settle();
        assert_eq!(w.wait_ms(), Some(2));
        assert_eq!(w.turn(1), (vec![], 0));
        assert_eq!(w.wait_ms(), Some(1));
        assert_eq!(w.turn(2), (vec![id], 1));
        w.add(Some(1));
        assert_eq!(w.wait_ms(), Some(0), "late already");
    }

    #[test]
    fn a_closed_connection_wakes_nobody() {
        let mut w = World::new();
        let id = w.add(Some(100));
        w.table.remove(id);
        assert_eq!(w.wait_ms(), None);
        let other = w.add(Some(500));
        assert_eq!(other.slot(), id.slot());
        assert_eq!(w.turn(100), (vec![], 0));
        assert_eq!(w.wait_ms(), Some(400));
    }

    #[test]
    fn the_dead_are_swept_when_they_are_more_than_the_living() {
        let mut w = World::new();
        let kept: Vec<_> = (0..10).map(|i| w.add(Some(900_000 + i))).collect();
        for i in 0..5_000 {
            let id = w.add(Some(500_000 + i));
            w.table.remove(id);
            w.turn(i);
            assert!(w.timers.heap.len() <= 2 * w.table.len() + DEAD_ALLOWED + 1);
        }
        // Back and forth: each earlier deadline leaves a dead entry.
        for i in 0..5_000 {
            w.want(kept[0], Some(400_000 - i));
            w.turn(5_000 + i);
            assert!(w.timers.heap.len() <= 2 * w.table.len() + DEAD_ALLOWED + 1);
        }
        assert_eq!(w.turn(1_000_000).0, kept.to_vec());
    }

    #[test]
    fn many_random_moves_lose_no_deadline() {
        let mut seed = 7u64;
        let mut random = |n: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) % n
        };
        let mut w = World::new();
        let ids: Vec<_> = (0..50).map(|_| w.add(None)).collect();
        let mut wants = vec![None; ids.len()];
        for ms in 0..20_000 {
            let i = random(ids.len() as u64) as usize;
            wants[i] = (random(5) > 0).then(|| ms + 1 + random(300));
            w.want(ids[i], wants[i]);
            let mut due: Vec<_> =
                (0..ids.len()).filter(|&i| wants[i].is_some_and(|at| at <= ms)).map(|i| ids[i]).collect();
            let (mut acted, _) = w.turn(ms);
            due.sort();
            acted.sort();
            assert_eq!(acted, due, "at {ms}");
            for want in &mut wants {
                *want = want.filter(|at| *at > ms);
            }
            let next = wants.iter().flatten().min();
            assert!(next.is_none_or(|next| w.wait_ms().is_some_and(|wait| ms + wait <= *next)));
        }
    }
}
