//! What every decoder answers: how far it came, or what is wrong with the peer's bytes.
//!
//! Never does: reading, writing, waiting. A decoder sees the bytes from the first one not yet used and says
//! how many of them it has used up; the caller keeps the rest.

/// Writes the lowest digits of `n`, hexadecimal, as many as there is room for.
pub fn write_hex(mut n: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(n & 15) as usize];
        n >>= 4;
    }
}

/// Outcome of one decoding step over the bytes at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<T> {
    /// The bytes end before the message does; call again with more of them.
    Need,
    /// One message, and how many bytes it took.
    Got {
        /// What was said.
        msg: T,
        /// Bytes used up, counted from the first one given.
        used: usize,
    },
}

/// The peer broke the protocol: answered once with the status or close code it deserves, then the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtoError {
    /// HTTP status for a peer that speaks HTTP (RFC 9110, section 15).
    pub status: u16,
    /// WebSocket close code for a peer on a WebSocket (RFC 6455, section 7.4.1).
    pub close_code: u16,
    /// What is wrong, in the words of the log line and of the error body.
    pub what: &'static str,
}

impl ProtoError {
    /// A fault in an HTTP request.
    pub const fn http(status: u16, what: &'static str) -> Self {
        ProtoError { status, close_code: 1002, what }
    }

    /// A fault in a WebSocket frame or message.
    pub const fn socket(close_code: u16, what: &'static str) -> Self {
        ProtoError { status: 400, close_code, what }
    }
}
