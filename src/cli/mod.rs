//! The commands that are not the server.
pub mod args;
pub mod check;
pub mod passwd;
