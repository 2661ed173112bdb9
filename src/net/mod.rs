//! The world: sockets, timers, files and the loop. Decides no policy, parses no bytes itself.
pub mod clock;
pub mod files;
pub mod listener;
pub mod send_queue;
pub mod stream;
pub mod table;
pub mod timers;
pub mod worker;
