//! Who is here and who hears what.
pub mod chat;
pub mod event_log;
pub mod liveness;
pub mod roster;
pub mod seats;
pub mod sessions;
