//! Bytes into lines, none longer than the protocol allows.

/// Bytes of a line without its end, either way. What is longer is said in several lines.
pub const LINE_MAX: usize = 64 << 10;

/// The byte order mark in UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// More than [`LINE_MAX`] bytes; said once, and what belongs to that line is skipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

/// Finds the lines of one side in its bytes.
#[derive(Debug, Default)]
pub struct Framer {
    /// Bytes of an unfinished line that were searched for its end already.
    searched: usize,
    skipping: bool,
    /// The first line is out, and with it a byte order mark that some programs begin with.
    begun: bool,
}

impl Framer {
    /// The next line, without its end: LF and CR LF both are one. `input` begins with the first byte not used up; the number
    /// says how many are now, also if there is no line.
    pub fn next<'a>(&mut self, input: &'a [u8]) -> (Option<Result<&'a [u8], TooLong>>, usize) {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let searched = self.searched.min(rest.len());
            let Some(end) = rest[searched..].iter().position(|b| *b == b'\n').map(|at| searched + at) else {
                // one more: the line's end may be CR LF
                if !self.skipping && rest.len() <= LINE_MAX + 1 {
                    self.searched = rest.len();
                    return (None, used);
                }
                self.searched = 0;
                let news = !std::mem::replace(&mut self.skipping, true);
                return (news.then_some(Err(TooLong)), input.len());
            };
            self.searched = 0;
            used += end + 1;
            let first = !std::mem::replace(&mut self.begun, true);
            if std::mem::take(&mut self.skipping) {
                continue; // the end of the one that was too long
            }
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            if line.len() > LINE_MAX {
                return (Some(Err(TooLong)), used);
            }
            return (Some(Ok(line.strip_prefix(BOM).filter(|_| first).unwrap_or(line))), used);
        }
    }
}

/// A [`Framer`] with the bytes that are not a line yet.
#[derive(Debug, Default)]
pub struct LineBuffer {
    framer: Framer,
    bytes: Vec<u8>,
    /// So many of them are used up.
    used: usize,
}

impl LineBuffer {
    /// More bytes came. Take all lines out before the next call: that bounds what is kept.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.used));
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line, if it is whole.
    pub fn line(&mut self) -> Option<Result<Vec<u8>, TooLong>> {
        let (line, used) = self.framer.next(&self.bytes[self.used..]);
        let line = line.map(|line| line.map(<[u8]>::to_vec));
        self.used += used;
        if self.used == self.bytes.len() {
            // an idle link keeps nothing
            (self.bytes, self.used) = (Vec::new(), 0);
        }
        line
    }

    /// Forgets what is not a line yet: the other side is another one now.
    pub fn reset(&mut self) {
        *self = LineBuffer::default();
    }

    /// Bytes that it holds.
    pub fn kept(&self) -> usize {
        self.bytes.len()
    }
}
