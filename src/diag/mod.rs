//! What is said in the log: which lines, how many that nobody in particular has caused, and what waits while the receiver
//! of the log takes nothing. `net::stderr` does the writing.

pub mod filter;
pub mod pending;
pub mod ration;

/// Target of the lines that come through when others are dropped: `safe`, control, start and stop. Use it as
/// `log::info!(target: KEPT, ...)`.
pub const KEPT: &str = "boatswain::kept";
