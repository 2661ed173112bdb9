//! What a connection still owes its peer: chunks in order, written with as few calls as can be.
//!
//! Never does: writing (`driver::flush` does), deciding how much may be owed (its owner compares [`SendQueue::owed`] with its
//! limit), waiting. Holds no heap memory while it is empty.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// A piece of output. For [`SendQueue::drop_unsent`] each chunk is one frame: what must not be torn apart on a
/// link goes into one chunk.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes of its own.
    Bytes(Vec<u8>),
    /// Bytes of its own that what is said later may take back: a command to a device.
    Revocable(Vec<u8>),
    /// Bytes of its own that give way to newer ones of their kind: an emergency stop, and whose it is in 32 bits.
    Stop(Vec<u8>, u32),
    /// Bytes that several connections send: a broadcast, a cached page.
    Shared(Rc<[u8]>),
    /// A part of shared bytes; a range beyond their end is cut to it.
    SharedRange(Rc<[u8]>, Range<usize>),
    /// Bytes of the binary itself.
    Static(&'static [u8]),
    /// Part of a file, by sendfile(2).
    File {
        /// The open file; its position is not used.
        fd: Rc<OwnedFd>,
        /// First byte.
        offset: u64,
        /// How many bytes; they were promised to the peer.
        len: u64,
    },
}

/// What [`SendQueue::next`] wants written.
#[derive(Debug)]
pub enum Next<'a> {
    /// Nothing is owed.
    Nothing,
    /// These bytes: most responses are one piece, and no list has to be made.
    One(&'a [u8]),
    /// More than one chunk of memory: see [`SendQueue::gather`].
    Many,
    /// Part of a file.
    File {
        /// The open file.
        fd: BorrowedFd<'a>,
        /// From here.
        offset: u64,
        /// So many bytes.
        len: usize,
    },
}

/// Most slices in one call: beyond it copying the list costs more than another call saves. (The kernel's own bound is 1024.)
pub const SLICES_MAX: usize = 32;

/// A buffer that is larger is not kept for the next answer.
const SPARE_MAX: usize = 4096;

/// What a chunk takes beside its bytes: its place in the queue, and what an allocation costs.
const CHUNK: u64 = 64;

/// Chunks in the order in which they will be sent.
#[derive(Debug, Default)]
pub struct SendQueue {
    /// The chunk that is being sent. A response is one or two, so most connections never need the list behind it.
    first: Option<Chunk>,
    rest: VecDeque<Chunk>,
    /// Bytes of the first chunk that are with the kernel already.
    sent: u64,
    owed: u64,
    /// See [`SendQueue::kept`].
    kept: u64,
}

impl SendQueue {
    /// Nothing owed.
    pub fn new() -> Self {
        SendQueue::default()
    }

    /// Adds a chunk behind the others; an empty one is ignored.
    pub fn push(&mut self, chunk: Chunk) {
        let len = chunk.len();
        if len == 0 {
            return;
        }
        self.owed = self.owed.saturating_add(len);
        self.kept += chunk.kept();
        match self.first {
            None => self.first = Some(chunk),
            Some(_) => self.rest.push_back(chunk),
        }
    }

    /// Adds a chunk ahead of the others. Nothing may be half written: see [`SendQueue::mid_chunk`].
    pub fn push_front(&mut self, chunk: Chunk) {
        debug_assert!(!self.mid_chunk() && !chunk.is_empty());
        self.owed = self.owed.saturating_add(chunk.len());
        self.kept += chunk.kept();
        if let Some(next) = self.first.replace(chunk) {
            self.rest.push_front(next);
        }
    }

    /// How many bytes the chunks make that can go whole in `room`, from the first one on. What is left of a half-written
    /// chunk counts always; so does the first one if `anyhow`.
    pub fn whole(&self, room: u64, anyhow: bool) -> u64 {
        let mut sum = 0;
        for (n, chunk) in self.first.iter().chain(&self.rest).enumerate() {
            let begun = n == 0 && (self.mid_chunk() || anyhow);
            let len = chunk.len() - if n == 0 { self.sent } else { 0 };
            if sum + len > room && !begun {
                break;
            }
            sum += len;
        }
        sum
    }

    /// Bytes not yet with the kernel.
    pub fn owed(&self) -> u64 {
        self.owed
    }

    /// Bytes of memory that only this queue keeps: of its own chunks, and of a half-written one all.
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whether the first chunk is half written: what comes next on the wire is the rest of a frame.
    pub fn mid_chunk(&self) -> bool {
        self.sent > 0
    }

    /// What to write next, at most about `budget` bytes of it; the driver makes one call of it and says with
    /// [`SendQueue::took`] how many bytes went.
    pub fn next(&self, budget: usize) -> Next<'_> {
        let skip = usize::try_from(self.sent).unwrap_or(usize::MAX);
        match &self.first {
            None => Next::Nothing,
            Some(Chunk::File { fd, offset, len }) => Next::File {
                fd: fd.as_fd(),
                offset: offset + self.sent,
                len: usize::try_from(len - self.sent).unwrap_or(usize::MAX).min(budget),
            },
            Some(only) if self.rest.is_empty() => {
                let bytes = only.memory().and_then(|bytes| bytes.get(skip..)).unwrap_or_default();
                Next::One(&bytes[..bytes.len().min(budget)])
            }
            Some(_) => Next::Many,
        }
    }

    /// For [`Next::Many`]: puts as many memory chunks as fit into `slices`; how many they are, how many bytes, and
    /// whether a file follows, so that its beginning can travel in the same segment.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX], budget: usize) -> (usize, usize, bool) {
        let mut skip = usize::try_from(self.sent).unwrap_or(usize::MAX);
        let (mut count, mut asked) = (0, 0);
        for chunk in self.first.iter().chain(&self.rest) {
            let Some(bytes) = chunk.memory() else { return (count, asked, asked < budget) };
            if count == SLICES_MAX || asked >= budget {
                break;
            }
            let bytes = bytes.get(skip..).unwrap_or_default();
            let bytes = &bytes[..bytes.len().min(budget - asked)];
            skip = 0;
            slices[count] = IoSlice::new(bytes);
            count += 1;
            asked += bytes.len();
        }
        (count, asked, false)
    }

    /// `n` bytes more are with the kernel. The buffer of a small answer that has gone is left in `spare`, for the next one.
    pub fn took(&mut self, n: u64, spare: &mut Vec<u8>) {
        self.owed = self.owed.saturating_sub(n);
        self.sent += n;
        while let Some(front) = &self.first {
            let len = front.len();
            if self.sent < len {
                return;
            }
            self.sent -= len;
            let done = std::mem::replace(&mut self.first, self.rest.pop_front());
            self.kept -= done.as_ref().map_or(0, Chunk::kept);
            if let Some(Chunk::Bytes(bytes)) = done {
                if bytes.capacity() <= SPARE_MAX {
                    *spare = bytes;
                }
            }
        }
        self.release();
    }

    /// Takes out every chunk of which the peer has got nothing yet; the rest of a half-written one stays, so that what the
    /// peer reads ends with a whole frame.
    pub fn take_unsent(&mut self) -> VecDeque<Chunk> {
        let mut unsent = std::mem::take(&mut self.rest);
        if self.sent == 0 {
            if let Some(first) = self.first.take() {
                unsent.push_front(first);
            }
        }
        self.owed = self.first.as_ref().map_or(0, |front| front.len() - self.sent);
        self.kept = self.first.as_ref().map_or(0, Chunk::kept);
        self.release();
        unsent
    }

    /// Makes room for one more [`Chunk::Stop`] of `len` bytes: drops others that are not begun until all have `max` bytes
    /// together, the oldest of whose there are most. Says how many.
    pub fn give_way_to_stop(&mut self, len: u64, max: u64) -> u64 {
        let whose = |chunk: &Chunk| if let Chunk::Stop(_, whose) = chunk { Some(*whose) } else { None };
        let mut dropped = 0;
        loop {
            let mut sums: Vec<(u32, u64)> = Vec::new();
            for (whose, bytes) in self.rest.iter().filter_map(|chunk| Some((whose(chunk)?, chunk.len()))) {
                match sums.iter_mut().find(|(known, _)| *known == whose) {
                    Some((_, sum)) => *sum += bytes,
                    None => sums.push((whose, bytes)),
                }
            }
            if sums.iter().map(|(_, sum)| sum).sum::<u64>() + len <= max {
                return dropped;
            }
            let most = sums.iter().max_by_key(|(_, sum)| *sum).map(|(whose, _)| *whose);
            let Some(at) = most.and_then(|_| self.rest.iter().position(|chunk| whose(chunk) == most)) else {
                return dropped;
            };
            if let Some(gone) = self.rest.remove(at) {
                self.owed -= gone.len();
                self.kept -= gone.kept();
                dropped += 1;
            }
        }
    }

    /// For parking: drops what [`SendQueue::take_unsent`] takes out. Says how many bytes that were.
    pub fn drop_unsent(&mut self) -> u64 {
        self.take_unsent().iter().map(Chunk::len).sum()
    }

    fn release(&mut self) {
        if self.rest.is_empty() {
            self.rest = VecDeque::new();
        }
        if self.first.is_none() {
            self.sent = 0;
        }
    }
}

impl Chunk {
    /// Its bytes in all.
    pub fn len(&self) -> u64 {
        match self {
            Chunk::File { len, .. } => *len,
            other => other.memory().map_or(0, |bytes| bytes.len() as u64),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it keeps for itself.
    fn kept(&self) -> u64 {
        match self {
            Chunk::Bytes(bytes) | Chunk::Revocable(bytes) | Chunk::Stop(bytes, _) => bytes.capacity() as u64 + CHUNK,
            _ => 0,
        }
    }

    fn memory(&self) -> Option<&[u8]> {
        match self {
            Chunk::Bytes(bytes) | Chunk::Revocable(bytes) | Chunk::Stop(bytes, _) => Some(bytes),
            Chunk::Shared(bytes) => Some(bytes),
            Chunk::SharedRange(bytes, range) => {
                let end = range.end.min(bytes.len());
                Some(&bytes[range.start.min(end)..end])
            }
            Chunk::Static(bytes) => Some(bytes),
            Chunk::File { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_queue_holds_no_memory() {
        let mut queue = SendQueue::new();
        for _ in 0..2 {
            queue.push(Chunk::Static(b"a whole answer"));
            assert_eq!(queue.rest.capacity(), 0, "one chunk needs no list");
            queue.took(14, &mut Vec::new());
            queue.push(Chunk::Static(b"head"));
            queue.push(Chunk::Static(b"body"));
            assert!(queue.rest.capacity() > 0);
            queue.took(8, &mut Vec::new());
            assert_eq!((queue.rest.capacity(), queue.owed()), (0, 0));
        }
        queue.push(Chunk::Static(b"never sent"));
        queue.drop_unsent();
        assert_eq!((queue.rest.capacity(), queue.owed()), (0, 0));
    }

    #[test]
    fn only_whole_chunks_fit_unless_one_is_begun_or_is_to_go_anyhow() {
        let mut queue = SendQueue::new();
        assert_eq!(queue.whole(100, true), 0);
        for bytes in [&b"12345"[..], b"678", b"9"] {
            queue.push(Chunk::Static(bytes));
        }
        let fits: Vec<u64> = [0, 4, 5, 7, 8, 9, 100].iter().map(|&room| queue.whole(room, false)).collect();
        assert_eq!(fits, [0, 0, 5, 5, 8, 9, 9]);
        assert_eq!((queue.whole(0, true), queue.whole(4, true), queue.whole(8, true)), (5, 5, 8));
        queue.took(2, &mut Vec::new());
        // three bytes of the first one are left, and must follow
        assert_eq!((queue.whole(0, false), queue.whole(5, false), queue.whole(6, false)), (3, 3, 6));
    }

    /// What all of it would write.
    fn text(queue: &SendQueue) -> String {
        let left = queue.first.iter().chain(&queue.rest).filter_map(Chunk::memory).flatten().copied().collect();
        String::from_utf8(left).unwrap()
    }

    #[test]
    fn a_stop_pushes_out_the_oldest_of_whose_there_are_most_and_never_what_is_begun() {
        let mut queue = SendQueue::new();
        let stop = |text: &str, whose| Chunk::Stop(text.as_bytes().to_vec(), whose);
        queue.push(stop("begun ", 1));
        queue.took(2, &mut Vec::new());
        queue.push(stop("eve-1 ", 1));
        queue.push(Chunk::Static(b"ping "));
        queue.push(stop("ann-1 ", 2));
        queue.push(stop("eve-2 ", 1));
        assert_eq!(queue.give_way_to_stop(6, 24), 0);
        for n in 3..=5 {
            assert_eq!(queue.give_way_to_stop(6, 24), u64::from(n > 3));
            queue.push(stop(&format!("eve-{n} "), 1));
        }
        assert_eq!(text(&queue), "begun ping ann-1 eve-3 eve-4 eve-5 ");
        assert_eq!((queue.give_way_to_stop(30, 24), queue.owed()), (4, 4 + 5), "one is sent however long it is");
        queue.push(stop("eve-6 ", 1));
        assert_eq!(text(&queue), "begun ping eve-6 ");
        queue.took(15, &mut Vec::new());
        assert_eq!((queue.owed(), queue.kept(), queue.is_empty()), (0, 0, true));

        queue.push(Chunk::Static(b"first "));
        for (text, whose) in [("ann-1 ", 2), ("eve-1 ", 1), ("eve-2 ", 1), ("bob-1 ", 3)] {
            queue.give_way_to_stop(6, 18);
            queue.push(stop(text, whose));
        }
        assert_eq!(text(&queue), "first ann-1 eve-2 bob-1 ");
    }
}
