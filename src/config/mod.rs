//! (being written)
pub mod users;
