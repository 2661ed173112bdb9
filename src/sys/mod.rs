//! The kernel: every libc call of the project, one a function, units converted here. With `memory` the only place with `unsafe`.
//!
//! Never does: policy. Functions return `io::Result` and say in their doc which call and which kernel they need.
#![allow(unsafe_code)]

pub mod child;
pub mod file;
pub mod process;
pub mod socket;
pub mod stderr;
pub mod tcp;
pub mod terminal;
#[cfg(all(no_unwind_tables, panic = "abort", target_env = "gnu", not(target_feature = "crt-static")))]
mod unwind;
