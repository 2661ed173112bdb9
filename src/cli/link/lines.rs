//! Bytes into lines, none longer than the protocol allows.

/// Longest line either way, without its end (docs/link.md).
pub const LINE_MAX: usize = 64 * 1024;

/// The byte order mark in UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What was found in the bytes so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// A line without its end; LF and CR LF both end one.
    Whole(Vec<u8>),
    /// More than [`LINE_MAX`] bytes; said once, what belongs to that line is skipped.
    TooLong,
}

/// The bytes of one side that are not a line yet.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    /// So many of them hold no line end.
    searched: usize,
    skipping: bool,
    /// The first line is out, and with it a byte order mark that some programs begin with.
    begun: bool,
}

impl Lines {
    /// More bytes came. Take all lines out before the next call: that bounds what is kept.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line, if it is whole.
    pub fn line(&mut self) -> Option<Line> {
        loop {
            let end = self.bytes[self.searched..].iter().position(|b| *b == b'\n').map(|at| self.searched + at);
            let Some(end) = end else {
                self.searched = self.bytes.len();
                if self.searched <= LINE_MAX {
                    return None;
                }
                self.bytes = Vec::new();
                self.searched = 0;
                let first = !self.skipping;
                self.skipping = true;
                return first.then_some(Line::TooLong);
            };
            let rest = self.bytes.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.bytes, rest);
            self.searched = 0;
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if !std::mem::replace(&mut self.begun, true) && line.starts_with(BOM) {
                line.drain(..BOM.len());
            }
            if std::mem::take(&mut self.skipping) {
                continue; // the end of the one that was too long
            }
            return Some(if line.len() > LINE_MAX { Line::TooLong } else { Line::Whole(line) });
        }
    }

    /// Forgets what is not a line yet: the other side is another one now.
    pub fn reset(&mut self) {
        *self = Lines::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in pieces {
            lines.feed(piece);
            while let Some(line) = lines.line() {
                found.push(line);
            }
        }
        found
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.into())
    }

    #[test]
    fn lines_are_found_however_the_bytes_are_split() {
        let text = b"{\"a\":1}\r\n\n{}\nrest";
        let expected = [whole("{\"a\":1}"), whole(""), whole("{}")];
        for at in 0..text.len() {
            assert_eq!(all(&[&text[..at], &text[at..]]), expected, "split at {at}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(all(&bytes), expected);
    }

    #[test]
    fn a_byte_order_mark_before_the_first_line_is_skipped() {
        let text = b"\xef\xbb\xbf{}\n\xef\xbb\xbf{}\n";
        for at in 0..text.len() {
            assert_eq!(all(&[&text[..at], &text[at..]]), [whole("{}"), whole("\u{feff}{}")], "split at {at}");
        }
        assert_eq!(all(&[b"\xef\xbb\xbf\n"]), [whole("")]);
    }

    #[test]
    fn a_line_may_be_just_so_long() {
        let long = vec![b'x'; LINE_MAX];
        assert_eq!(all(&[&long, b"\n"]), [Line::Whole(long.clone())]);
        assert_eq!(all(&[&long, b"x\nnext\n"]), [Line::TooLong, whole("next")]);
        assert_eq!(all(&[&long, b"xy", &long, &long, b"\nnext\n"]), [Line::TooLong, whole("next")]);
    }

    #[test]
    fn what_is_skipped_is_not_kept() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.feed(&[b'x'; 4096]);
            lines.line();
            assert!(lines.bytes.len() <= LINE_MAX + 4096);
        }
    }
}
