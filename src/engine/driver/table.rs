//! The connections by [`ConnId`]. Code that gets a `&mut T` has touched it, and whatever was touched is handed out once
//! more at the end of the turn, to be settled; so nobody can forget to.
//!
//! Memory: each `T` is in a box of its own, given back when it is removed. What stays is 16 bytes a slot ever used
//! at the same time (8 on 32-bit), because a slot must remember its generation.

use crate::msg::ConnId;
use std::collections::VecDeque;

/// Connections in numbered slots. See the module.
#[derive(Debug)]
pub struct Table<T> {
    slots: Vec<Slot<T>>,
    /// Free slots are a list through the slots; `NONE` ends it.
    free: u16,
    max: u16,
    len: u16,
    touched: VecDeque<ConnId>,
}

/// No slot; ids with this slot are never given out, so the poller's tokens with it are free for listeners and the like.
const NONE: u16 = u16::MAX;

/// A touched list that grew beyond this (a broadcast to many) gives its memory back when it is empty.
const TOUCHED_KEPT: usize = 64;

#[derive(Debug)]
struct Slot<T> {
    generation: u16,
    /// Of a free slot: the next free one.
    next_free: u16,
    touched: bool,
    item: Option<Box<T>>,
}

impl<T> Table<T> {
    /// The most that a table can hold: slots are 16 bits wide and one value of them is kept back.
    pub const MAX: usize = NONE as usize;

    /// An empty table of at most `max` items, and never more than [`Table::MAX`].
    pub fn new(max: usize) -> Self {
        let max = u16::try_from(max).unwrap_or(NONE);
        Table { slots: Vec::new(), free: NONE, max, len: 0, touched: VecDeque::new() }
    }

    /// An id that no item ever has, number `n` of 65536 of them: for what else is registered with the poller.
    pub const fn outside(n: u16) -> ConnId {
        ConnId::new(NONE, n)
    }

    /// Puts `item` in, touched, and names it; gives it back when the table is full.
    pub fn insert(&mut self, item: T) -> Result<ConnId, T> {
        if self.len >= self.max {
            return Err(item);
        }
        let index = match self.free {
            NONE => {
                // Fits: every slot is taken here, so slots.len() == len < max <= NONE.
                let index = self.slots.len() as u16;
                self.slots.push(Slot { generation: 0, next_free: NONE, touched: false, item: None });
                index
            }
            index => index,
        };
        let slot = &mut self.slots[usize::from(index)];
        self.free = slot.next_free;
        slot.item = Some(Box::new(item));
        slot.touched = true;
        self.len += 1;
        let id = ConnId::new(index, slot.generation);
        self.touched.push_back(id);
        Ok(id)
    }

    /// To look at only. `None` for an id that is stale.
    pub fn get(&self, id: ConnId) -> Option<&T> {
        let slot = self.slots.get(usize::from(id.slot()))?;
        if slot.generation != id.generation() {
            return None;
        }
        slot.item.as_deref()
    }

    /// To change it: from now until the next [`Table::pop_touched`] of it, it is on the touched list (once).
    pub fn touch(&mut self, id: ConnId) -> Option<&mut T> {
        let slot = self.slots.get_mut(usize::from(id.slot()))?;
        if slot.generation != id.generation() {
            return None;
        }
        let item = slot.item.as_deref_mut()?;
        if !slot.touched {
            slot.touched = true;
            self.touched.push_back(id);
        }
        Some(item)
    }

    /// The one that [`Table::pop_touched`] gives next, to look at only.
    pub fn next_touched(&mut self) -> Option<&T> {
        while let Some(&id) = self.touched.front() {
            if self.get(id).is_some() {
                return self.get(id);
            }
            self.touched.pop_front();
        }
        None
    }

    /// The one that was touched longest ago, off the list, to be settled.
    pub fn pop_touched(&mut self) -> Option<(ConnId, &mut T)> {
        if self.next_touched().is_none() {
            if self.touched.capacity() > TOUCHED_KEPT {
                self.touched = VecDeque::new();
            }
            return None;
        }
        let id = self.touched.pop_front()?;
        let slot = self.slots.get_mut(usize::from(id.slot()))?;
        slot.touched = false;
        slot.item.as_deref_mut().map(|item| (id, item))
    }

    /// Takes it out; its id is stale from now on.
    pub fn remove(&mut self, id: ConnId) -> Option<T> {
        let slot = self.slots.get_mut(usize::from(id.slot()))?;
        if slot.generation != id.generation() {
            return None;
        }
        let item = slot.item.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.touched = false;
        slot.next_free = self.free;
        self.free = id.slot();
        self.len -= 1;
        Some(*item)
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The ids of all, by slot.
    pub fn ids(&self) -> impl Iterator<Item = ConnId> + '_ {
        self.iter().map(|(id, _)| id)
    }

    /// All of them, to look at only, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> + '_ {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let item = slot.item.as_deref()?;
            Some((ConnId::new(index as u16, slot.generation), item))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_id_finds_nothing_though_its_slot_is_taken_again() {
        let mut table = Table::new(10);
        let first = table.insert("first").unwrap();
        assert_eq!(table.remove(first), Some("first"));
        let second = table.insert("second").unwrap();
        assert_eq!(first.slot(), second.slot());
        assert_eq!(table.get(first), None);
        assert_eq!(table.touch(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get(second), Some(&"second"));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_full_table_gives_the_item_back() {
        let mut table = Table::new(2);
        let a = table.insert('a').unwrap();
        table.insert('b').unwrap();
        assert_eq!(table.insert('c'), Err('c'));
        table.remove(a);
        let c = table.insert('c').unwrap();
        assert_eq!(table.ids().collect::<Vec<_>>(), [c, ConnId::new(1, 0)]);
    }

    #[test]
    fn the_largest_table_leaves_the_last_slot_to_others() {
        let mut table = Table::new(usize::MAX);
        for i in 0..Table::<usize>::MAX {
            assert_eq!(usize::from(table.insert(i).unwrap().slot()), i);
        }
        assert_eq!(table.insert(0), Err(0));
        assert_eq!(table.get(Table::<usize>::outside(0)), None);
        assert!(table.ids().all(|id| id.slot() != Table::<usize>::outside(7).slot()));
    }

    #[test]
    fn what_is_touched_is_handed_out_once_in_order() {
        let mut table = Table::new(10);
        let ids: Vec<_> = (0..4).map(|i| table.insert(i).unwrap()).collect();
        let settle = |table: &mut Table<i32>| {
            let mut settled = Vec::new();
            while let Some((id, item)) = table.pop_touched() {
                *item += 100;
                settled.push(id);
            }
            settled
        };
        assert_eq!(settle(&mut table), ids, "new ones are touched");
        for i in [2, 0, 2, 3, 0] {
            table.touch(ids[i]).unwrap();
        }
        table.get(ids[1]);
        table.remove(ids[3]);
        assert_eq!(settle(&mut table), [ids[2], ids[0]]);
        table.touch(ids[2]);
        assert_eq!(settle(&mut table), [ids[2]], "again in the next turn");
        assert_eq!(table.get(ids[2]), Some(&302));
    }

    #[test]
    fn one_that_takes_a_touched_slot_is_handed_out_once() {
        let mut table = Table::new(10);
        let old = table.insert('o').unwrap();
        table.remove(old);
        let new = table.insert('n').unwrap();
        assert_eq!(table.pop_touched().map(|(id, _)| id), Some(new));
        assert!(table.pop_touched().is_none());
    }

    #[test]
    fn generations_wrap_around() {
        let mut table = Table::new(1);
        let first = table.insert(0).unwrap();
        table.remove(first);
        for _ in 0..65535 {
            let id = table.insert(0).unwrap();
            assert_ne!(id, first);
            table.remove(id);
        }
        assert_eq!(table.insert(0).unwrap(), first);
    }

    #[test]
    fn a_removed_item_is_dropped_and_leaves_a_small_slot() {
        assert!(size_of::<Slot<[u8; 1000]>>() <= 16);
        let item = std::rc::Rc::new(());
        let mut table = Table::new(1);
        let id = table.insert(std::rc::Rc::clone(&item)).unwrap();
        table.remove(id);
        assert_eq!(std::rc::Rc::strong_count(&item), 1);
    }

    #[test]
    fn a_touched_list_that_grew_is_given_back() {
        let mut table = Table::new(1000);
        for i in 0..1000 {
            table.insert(i).unwrap();
        }
        while table.pop_touched().is_some() {}
        assert_eq!(table.touched.capacity(), 0);
    }
}
