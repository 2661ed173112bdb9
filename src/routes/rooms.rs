//! Memory for answers that are long: pages of the log, and replays. Whoever asks for many and reads none would otherwise
//! fill it, one log's length for each connection.

use std::collections::HashMap;

use crate::msg::ConnId;

/// Bytes that all long answers together may owe, of the 32 MB that a small board has; a single one may always be sent,
/// however long it is.
const ROOM: u64 = 8 << 20;

/// Shorter answers are not counted: they are no longer than what any request may get.
const LONG: u64 = 16 << 10;

/// Who has been given room.
#[derive(Debug, Default)]
pub struct Rooms {
    given: HashMap<ConnId, u64>,
    total: u64,
    refused: u64,
}

impl Rooms {
    /// Whether there is room for an answer of about `bytes` on `conn`; it has it then until [`Rooms::leave`].
    pub fn take(&mut self, conn: ConnId, bytes: u64) -> bool {
        if bytes < LONG {
            return true;
        }
        if self.total > 0 && self.total.saturating_add(bytes) > ROOM {
            self.refused += 1;
            return false;
        }
        *self.given.entry(conn).or_insert(0) += bytes;
        self.total += bytes;
        true
    }

    /// `conn` owes nothing any more.
    pub fn leave(&mut self, conn: ConnId) {
        if let Some(bytes) = self.given.remove(&conn) {
            self.total -= bytes;
        }
    }

    /// Whether nobody has any: then there is nothing to look up.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// How often there was none.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_one_whatever_its_length_and_for_many_up_to_a_bound() {
        let (mut rooms, conn) = (Rooms::default(), |n| ConnId::new(n, 0));
        assert!(rooms.take(conn(0), 10 * ROOM));
        assert!(!rooms.take(conn(1), LONG) && rooms.take(conn(1), LONG - 1));
        rooms.leave(conn(0));
        for n in 0..4 {
            assert!(rooms.take(conn(n), ROOM / 4));
        }
        assert!(!rooms.take(conn(4), LONG));
        rooms.leave(conn(2));
        rooms.leave(conn(2));
        assert!(rooms.take(conn(4), ROOM / 8) && rooms.take(conn(4), ROOM / 8) && !rooms.take(conn(4), LONG));
        (0..5).for_each(|n| rooms.leave(conn(n)));
        assert!(rooms.is_empty() && rooms.total == 0);
        assert_eq!(rooms.refused(), 3);
    }
}
