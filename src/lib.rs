//! Boatswain: the web server on the board. This page is the map: the modules in floor order, lowest first.
//! Imports go down only; the compiler holds that (`scripts/floors.sh`, which lists exactly what each may use).
//!
//! ```text
//! 5  cli      the command line
//! 5  net      sockets, clock, files, the waiting; decides no policy, parses no bytes itself
//! 4  engine   a connection without its socket, and the loop without its waiting (pure)
//! 3  routes   which URL does what; never touches a socket
//! 2  link     how things are said on a connection that stays: SSE, WebSocket, device lines (pure)
//! 1  http     bytes <-> requests (pure)
//! 1  hub      who is here and who hears what, behind two doors (pure)
//! 1  liveness whether the peer of one connection is still there (pure)
//! 1  auth     whose password is checked next, and who has to wait (pure)
//! 0  ask, codec, config, describe, diag, fnv, json, ledger, memory, metrics, msg, places, secret, shown, sys    words and ground
//! ```
#![deny(unsafe_code)]
// nothing reachable from outside panics, and nothing but the log and cli::print says anything
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::todo,
    clippy::unimplemented,
    clippy::dbg_macro
)]
#![deny(clippy::print_stdout, clippy::print_stderr)]
#![warn(missing_docs)]

pub mod ask;
pub mod codec;
pub mod config;
pub mod describe;
pub mod diag;
pub mod fnv;
pub mod json;
pub mod ledger;
pub mod liveness;
pub mod memory;
pub mod metrics;
pub mod msg;
pub mod places;
pub mod secret;
pub mod shown;
pub mod sys;

pub mod auth;
pub mod http;
pub mod hub;

pub mod link;

pub mod routes;

pub mod engine;

pub mod net;

pub mod cli;
