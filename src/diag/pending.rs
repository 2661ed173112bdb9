//! Lines that the receiver of the log has not taken yet: a few, the important ones last to be dropped.
//!
//! Never does: writing, and waiting for anything.

/// Bytes of lines that wait.
pub const PENDING_MAX: usize = 16 << 10;

/// Of these, only for lines that are kept: see [`KEPT`](super::KEPT).
pub const RESERVED: usize = 4 << 10;

/// Once a line was dropped, others are only taken again when no more than this waits: else every other line would be the
/// one that says so.
const GOES_ON_AT: usize = (PENDING_MAX - RESERVED) / 2;

/// Bytes written at once: a pipe takes so many in one piece (PIPE_BUF, pipe(7)).
pub const AT_ONCE: usize = 4096;

/// Lines that wait to be written.
#[derive(Debug, Default)]
pub struct Pending {
    bytes: Vec<u8>,
    /// Of these, so many are written.
    written: usize,
    /// Lines dropped since the newest line that says how many.
    lost: u32,
}

impl Pending {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Takes `line`, with its end, if there is room. `head`: what a line begins with now, for the one that says that lines
    /// were lost. Whether it was taken.
    pub fn push(&mut self, line: &[u8], kept: bool, head: &str) -> bool {
        let most = match kept {
            true => PENDING_MAX,
            false if self.lost > 0 => GOES_ON_AT,
            false => PENDING_MAX - RESERVED,
        };
        if self.waiting() + line.len() > most {
            self.lost = self.lost.saturating_add(1);
            return false;
        }
        if !kept {
            self.say_lost(head);
        }
        self.append(line);
        true
    }

    /// Says how many lines were lost, if there were any: it goes on.
    pub fn say_lost(&mut self, head: &str) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            self.append(format!("{head}warn log_dropped lines={lost} (what reads the log was too slow)\n").as_bytes());
        }
    }

    fn append(&mut self, line: &[u8]) {
        self.bytes.drain(..self.written);
        self.written = 0;
        self.bytes.extend_from_slice(line);
    }

    /// What is to be written next: at most [`AT_ONCE`] bytes, whole lines while these are short enough.
    pub fn next(&self) -> &[u8] {
        let rest = &self.bytes[self.written..];
        if rest.len() <= AT_ONCE {
            return rest;
        }
        let end = rest[..AT_ONCE].iter().rposition(|b| *b == b'\n').map_or(AT_ONCE, |at| at + 1);
        &rest[..end]
    }

    /// The receiver took so many bytes of it.
    pub fn took(&mut self, n: usize) {
        self.written = (self.written + n).min(self.bytes.len());
        if self.written == self.bytes.len() {
            *self = Pending { lost: self.lost, ..Pending::default() }; // at rest nothing is kept
        }
    }

    /// The receiver is gone; how many lines have nobody now.
    pub fn gone(&mut self) -> usize {
        let lines = self.bytes[self.written..].iter().filter(|b| **b == b'\n').count();
        *self = Pending::default();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pending: &Pending) -> String {
        String::from_utf8(pending.bytes[pending.written..].to_vec()).unwrap()
    }

    fn line(n: usize) -> Vec<u8> {
        let mut line = vec![b'x'; n - 1];
        line.push(b'\n');
        line
    }

    #[test]
    fn what_is_kept_has_room_when_others_have_none_and_even_that_has_an_end() {
        let mut pending = Pending::default();
        let taken = (0..100).filter(|_| pending.push(&line(1024), false, "")).count();
        assert_eq!(taken, 12);
        assert!(!pending.push(b"short\n", false, ""), "after one was dropped the others wait until it goes on");
        let kept = (0..100).filter(|_| pending.push(&line(1024), true, "")).count();
        assert_eq!(kept, 4);
        assert_eq!(pending.waiting(), PENDING_MAX);
        assert_eq!(pending.lost, 88 + 1 + 96);
    }

    #[test]
    fn when_it_goes_on_one_line_says_how_many_were_lost() {
        let mut pending = Pending::default();
        let taken = (0..20).filter(|_| pending.push(&line(1024), false, "T ")).count();
        assert_eq!(taken, 12);
        while pending.waiting() > GOES_ON_AT - 5 {
            assert!(!pending.push(b"more\n", false, "T "));
            assert!(pending.push(b"safe\n", true, "T "));
            pending.took(pending.next().len());
        }
        let lost = pending.lost;
        assert!(lost > 8);
        assert!(pending.push(b"again\n", false, "T ") && pending.push(b"more\n", false, "T "));
        let all = text(&pending);
        let said = format!("safe\nT warn log_dropped lines={lost} (what reads the log was too slow)\nagain\nmore\n");
        assert!(all.ends_with(&said), "{all}");
    }

    #[test]
    fn a_part_that_was_written_is_not_written_again() {
        let mut pending = Pending::default();
        assert!(pending.push(b"one\n", false, "") && pending.push(b"two\n", false, ""));
        pending.took(2);
        assert_eq!(pending.next(), b"e\ntwo\n");
        assert!(pending.push(b"three\n", false, ""));
        assert_eq!(pending.next(), b"e\ntwo\nthree\n");
        pending.took(12);
        assert!(pending.is_empty() && pending.bytes.capacity() == 0);
    }

    #[test]
    fn what_is_written_at_once_is_short_and_ends_with_a_line() {
        let mut pending = Pending::default();
        for _ in 0..9 {
            assert!(pending.push(&line(1000), false, ""));
        }
        assert_eq!(pending.next().len(), 4000);
        pending.took(4000);
        assert_eq!(pending.gone(), 5);
        assert!(pending.is_empty());
    }
}
