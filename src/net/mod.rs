//! The world: sockets, timers, files and the loop. Decides no policy, parses no bytes itself: a connection without its socket is in `engine`.
pub mod clock;
pub mod files;
pub mod listener;
pub mod server;
pub mod stderr;
pub mod stream;
pub mod worker;
