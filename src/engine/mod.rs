//! What a connection is without its socket: bytes and time go in, output and what to do come out.
//!
//! Never does: system calls, clocks, randomness. `net` owns the sockets and turns what is said here into calls.

pub mod send_queue;
