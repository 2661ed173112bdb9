//! The heap, and how memory is wiped so that no compiler leaves it out. No call of the kernel, but `unsafe`: it stands apart from
//! `sys`, so that what is pure may hold secrets and see nothing of `sys`.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{Ordering, compiler_fence};

/// Bytes of stack that [`scrub_stack`] overwrites: more than a hash of sha-crypt and a parsed line take in a debug build.
const STACK: usize = 16 * 1024;

thread_local! {
    static CAREFUL: Cell<bool> = const { Cell::new(false) };
}

/// Overwrites `bytes` with zeroes, by volatile writes, which happen even where nobody reads the memory again.
pub fn wipe(bytes: &mut [u8]) {
    // SAFETY: every pattern of bits is a usize, and every usize is bytes.
    let (before, words, after) = unsafe { bytes.align_to_mut::<usize>() };
    for byte in before.iter_mut().chain(after) {
        // SAFETY: a reference to a byte may be written to.
        unsafe { std::ptr::write_volatile(byte, 0) };
    }
    for word in words {
        // SAFETY: as above.
        unsafe { std::ptr::write_volatile(word, 0) };
    }
    compiler_fence(Ordering::SeqCst);
}

/// Whether this thread's heap wipes what it gives back, from now on. Returns what was so before.
pub fn careful(on: bool) -> bool {
    CAREFUL.with(|careful| careful.replace(on))
}

/// Overwrites what functions that have returned left on this thread's stack.
#[inline(never)]
pub fn scrub_stack() {
    let mut frame = [0u8; STACK];
    wipe(&mut frame);
}

/// The system's heap. While a thread is careful, what it gives back is wiped before: so libraries' copies are wiped too.
struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

fn is_careful() -> bool {
    CAREFUL.try_with(Cell::get).unwrap_or(false)
}

// SAFETY: every call goes on to the system's allocator under the same contract; memory is only written to while it is
// allocated, within its layout.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if is_careful() {
            for n in 0..layout.size() {
                unsafe { at.add(n).write_volatile(0) };
            }
        }
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_careful() {
            return unsafe { System.realloc(at, layout, size) };
        }
        // moved by hand, so that the old place can be wiped; the caller has seen to it that `size` makes a layout
        let new = unsafe { System.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            unsafe {
                new.copy_from_nonoverlapping(at, layout.size().min(size));
                self.dealloc(at, layout);
            }
        }
        new
    }
}
