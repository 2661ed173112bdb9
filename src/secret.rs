//! Bytes that must not outlive their use: passwords, tokens, and whatever a peer sends that may hold them.
//!
//! Three means for three places: [`Secret`] is wiped when it goes, [`Received`] when it goes, grows or is used up, and
//! [`carefully`] wipes what libraries leave on the heap and on the stack while they read a secret.

use std::fmt;
use std::ops::Deref;

use crate::memory;
pub use crate::memory::wipe;

/// A password or a token. Never shown, wiped at its end.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// A copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Secret {
        Secret(bytes.into())
    }
}

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Without what it is: it must never come into a log.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Bytes that came from a peer and are not used yet. No copy stays behind of what was used.
#[derive(Default)]
pub struct Received(Vec<u8>);

impl Received {
    /// A copy of `bytes`; owns nothing if there are none.
    pub fn new(bytes: &[u8]) -> Received {
        Received(bytes.to_vec())
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let len = self.0.len() + bytes.len();
        if len > self.0.capacity() {
            let mut grown = Vec::with_capacity(len.max(2 * self.0.capacity()));
            grown.extend_from_slice(&self.0);
            wipe(&mut self.0);
            self.0 = grown;
        }
        self.0.extend_from_slice(bytes);
    }

    /// The first `used` bytes are done with.
    pub fn consume(&mut self, used: usize) {
        let used = used.min(self.0.len());
        self.0.copy_within(used.., 0);
        let left = self.0.len() - used;
        wipe(&mut self.0[left..]);
        self.0.truncate(left);
    }

    /// Bytes of memory that it takes.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Does `work` so that it leaves nothing behind: memory that it gives back to the heap is wiped, in whatever code it was allocated, and
/// so is its stack. What it returns is the caller's care.
pub fn carefully<T>(work: impl FnOnce() -> T) -> T {
    /// A frame of its own, which [`memory::scrub_stack`] then overwrites.
    #[inline(never)]
    fn apart<T>(work: impl FnOnce() -> T) -> T {
        work()
    }
    let before = memory::careful(true);
    let made = apart(work);
    memory::careful(before);
    memory::scrub_stack();
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2")), "Secret");
    }

    #[test]
    fn what_was_used_of_an_input_is_gone_and_the_rest_is_there() {
        let mut input = Received::new(b"user:password GET");
        input.extend_from_slice(b" / HTTP");
        input.consume(14);
        assert_eq!(&*input, b"GET / HTTP");
        let used = input.0.len();
        // a vector made longer within its capacity shows what lay there
        let Received(bytes) = &mut input;
        let spare: Vec<u8> = bytes.spare_capacity_mut()[..14].iter_mut().map(|b| *b.write(0)).collect();
        assert_eq!((used, spare), (10, vec![0; 14]));
        input.consume(99);
        assert!(input.is_empty());
    }

    /// Whether this process's memory that can be written to has these bytes anywhere; they are given with each bit turned.
    fn is_in_memory(turned: &[u8; 32]) -> bool {
        use std::os::unix::fs::FileExt;
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let mut chunk = vec![0; 1 << 16];
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let ranges = maps.lines().filter(|line| line.contains(" rw")).filter_map(|line| line.split(' ').next());
        for (from, to) in ranges.filter_map(|range| range.split_once('-')) {
            let at = |hex| u64::from_str_radix(hex, 16).unwrap();
            let (mut from, to) = (at(from), at(to));
            while from < to {
                let n = memory.read_at(&mut chunk, from).unwrap_or(0).min((to - from) as usize);
                let is = |part: &[u8]| part.iter().zip(turned).all(|(byte, turned)| *byte == !turned);
                if chunk[..n].iter().enumerate().any(|(i, b)| *b == !turned[0] && n - i >= 32 && is(&chunk[i..i + 32]))
                {
                    return true;
                }
                from += n.max(4096) as u64;
            }
        }
        false
    }

    /// What a library does with a secret: copies on the heap that grow, and one on the stack.
    #[inline(never)]
    fn use_up(turned: &[u8; 32]) -> usize {
        let mut heap = Vec::new();
        // more than the heap itself writes into what is free, and deeper than those go who look for it
        for byte in turned.iter().cycle().take(1024) {
            heap.push(!byte);
        }
        let mut stack = [0u8; 8192];
        stack.iter_mut().zip(turned.iter().cycle()).for_each(|(to, byte)| *to = !byte);
        std::hint::black_box((&heap, &stack)).0.len()
    }

    #[test]
    fn what_was_done_carefully_leaves_nothing_on_the_heap_nor_on_the_stack() {
        let turned: [u8; 32] = std::array::from_fn(|i| (i as u8).wrapping_mul(37) ^ 0xa5);
        // on a thread of its own, whose stack nobody else uses meanwhile
        let found = std::thread::spawn(move || {
            let before = is_in_memory(&turned);
            assert_eq!(carefully(|| use_up(&turned)), 1024);
            (before, is_in_memory(&turned))
        });
        assert_eq!(found.join().unwrap(), (false, false));
    }
}
