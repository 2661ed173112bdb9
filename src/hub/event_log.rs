//! The log of what happened, numbered, and its replay.

use std::rc::Rc;

use crate::msg::Event;

/// A part of the log.
#[derive(Clone, PartialEq, Debug)]
pub struct Slice {
    /// In order.
    pub events: Vec<Rc<Event>>,
    /// Some that were asked for are gone, or the id that was asked for is unknown.
    pub gap: bool,
}
