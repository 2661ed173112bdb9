//! The world: sockets, timers, files and the loop. Decides no policy, parses no bytes itself: a connection without its socket is in `engine`.
pub mod clock;
pub mod conn;
mod effects;
pub mod files;
pub mod flush;
pub mod listener;
pub mod server;
pub mod stderr;
pub mod stream;
pub mod table;
pub mod timers;
mod verdict;
pub mod worker;
