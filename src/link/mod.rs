//! (being written)
pub mod sse;
