//! The pages as a connection sees them: who has them, finds one and says what to send.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::http::request::Request;
use crate::http::response::{Envelope, Full};
use crate::msg::Now;

/// Where pages come from.
pub trait Pages {
    /// Answers `request` (any method, any path outside of `/api/`): appends the head to `out` and says what follows. A caller
    /// that must refuse after all what exists here (no seat) truncates `out` again and drops the body.
    fn serve(&mut self, now: Now, request: &Request<'_>, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Served;

    /// Puts the site's own `NNN.html`, if it has one, in the place of the page that a route made for a browser. What has a
    /// page of its own already, as the full house, keeps it.
    fn dress(&mut self, now: Now, full: &mut Full);
}

/// What follows a head that was appended to the buffer.
#[derive(Debug)]
pub enum Body {
    /// Nothing, or it is in the buffer already.
    None,
    /// A part of a small file, shared with the cache.
    Shared(Rc<[u8]>, Range<usize>),
    /// (A part of) a built-in page.
    Static(&'static [u8]),
    /// `len` bytes of a file from `offset`, for sendfile(2) with an explicit offset. The file may become shorter
    /// meanwhile: then the connection must close, since the length has been promised.
    File {
        /// The file, open for reading.
        file: OwnedFd,
        /// First byte.
        offset: u64,
        /// Bytes, at least one.
        len: u64,
    },
}

/// What is answered; the head, and the body of small answers, have been appended to the buffer.
#[derive(Debug)]
pub struct Served {
    /// Status.
    pub status: u16,
    /// It is a page: a file of HTML that is there, whichever of 200, 206 and 304 says so. Not an error page.
    pub html: bool,
    /// What follows.
    pub body: Body,
}
