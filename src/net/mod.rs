//! The world: sockets, timers, files and the loop. Decides no policy, parses no bytes itself.
pub mod clock;
pub mod conn;
mod devices;
mod effects;
pub mod files;
pub mod flush;
pub mod hear;
pub mod listener;
pub mod places;
mod serve;
pub mod server;
pub mod stderr;
pub mod stream;
pub mod table;
pub mod timers;
mod verdict;
pub mod worker;
pub mod world;
