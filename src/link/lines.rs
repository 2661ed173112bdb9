//! Device lines: one JSON object a line (RFC 8259 in UTF-8), in both directions; docs/devices.md is what is promised.
//!
//! One codec for both ends. What stands in a line is a [`DeviceLine`] or a [`ServerLine`], each with one reader and one writer:
//! a device reads what the server writes, and `boatswain link` is a device. How bytes become lines is [`Framer`]'s. What the
//! server makes of a device's line, and checks in it, is in [`checked`].
//!
//! A line that makes no sense is told apart from bytes that are no lines: after the first the link goes on, after the
//! second nobody knows any more where a line begins.

pub mod checked;
mod device_line;
mod frame;
mod server_line;
mod wire;

pub use self::checked::{HEARTBEAT_MS, Line, Lines, RESULT_MAX, encode, farewell};
pub use self::device_line::DeviceLine;
pub use self::frame::{Framer, LINE_MAX, LineBuffer, TooLong};
pub use self::server_line::{LINK_DOWN, LINK_UP, PING, ServerLine};
pub use self::wire::{BadLine, Fields, PROTO, Raw, object};
pub use crate::describe::device_name_fault as name_fault;

#[cfg(test)]
mod tests;
