//! Text files that people write with whatever editor they have: users, tokens, settings. One reader for all of them takes
//! what does no harm (a byte order mark, CR LF) and names what cannot be seen and would make a word another one.
//!
//! Never does: opening files.

use crate::shown::{Unseen, unseen as unseen_kind};

/// What is wrong, at which line and column, both counted from 1.
pub type Fault = (usize, usize, String);

/// What is said of a file that is not UTF-8.
pub const NOT_UTF8: &str = "the file is not UTF-8";

/// The text in `bytes`, without a byte order mark. Errors: more than `most` bytes, no text, not UTF-8.
pub fn decode(bytes: &[u8], most: usize) -> Result<&str, Fault> {
    if bytes.len() > most {
        return Err((1, 1, format!("the file has more than {} KiB; is it the right one?", most >> 10)));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err((1, 1, "the file is UTF-16; save it as UTF-8".into()));
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let good = |end: usize| String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let text = std::str::from_utf8(bytes).map_err(|e| at(&good(e.valid_up_to()), NOT_UTF8))?;
    match text.find('\0') {
        Some(offset) => Err(at(&text[..offset], "a NUL byte is here, so the file is no text; is it the right one?")),
        None => Ok(text),
    }
}

/// Its lines without their ends: LF or CR LF.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line))
}

/// The column of the first character in `line` that cannot be seen, and what it is. What a comment says does not matter.
pub fn unseen(line: &str) -> Option<(usize, String)> {
    let mut before = ' ';
    for (i, c) in line.chars().enumerate() {
        if c == '#' && matches!(before, ' ' | '\t') {
            return None;
        }
        if c != '\t' {
            if let Some(what) = unseen_char(c) {
                return Some((i + 1, format!("{what} is here; remove it")));
            }
        }
        before = c;
    }
    None
}

/// Names `c` if it is a control character, or cannot be seen, or looks like a blank and is none.
pub fn unseen_char(c: char) -> Option<String> {
    let kind = if unseen_kind(c)? == Unseen::Control { "control" } else { "invisible" };
    Some(format!("the {kind} character U+{:04X}", u32::from(c)))
}

/// A fault behind `before`, the text up to it.
fn at(before: &str, what: &str) -> Fault {
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_no_harm_is_taken() {
        assert_eq!(decode("\u{feff}a\r\nb".as_bytes(), 9), Ok("a\r\nb"));
        assert_eq!(lines("a\r\n\r\nb \n").collect::<Vec<_>>(), ["a", "", "b ", ""]);
        for line in ["", "ann smith:x", "\tb\t", "\u{fc}\u{4e2d}\u{1f600}", "# a\u{a0}b\u{200b}", "a = 1 # \u{a0}"] {
            assert_eq!(unseen(line), None, "{line:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_named_with_its_place() {
        for (bytes, line, column, words) in [
            (&b"12345678901"[..], 1, 1, "more than"),
            (b"\xff\xfea\0", 1, 1, "UTF-16"),
            (b"\xfe\xff\0a", 1, 1, "UTF-16"),
            (b"a\n\xc3\xa4b\0", 2, 3, "NUL"),
            (b"\xef\xbb\xbfa\nb\xff", 2, 2, "not UTF-8"),
        ] {
            let (l, c, what) = decode(bytes, 10).unwrap_err();
            assert_eq!((l, c), (line, column), "{what}");
            assert!(what.contains(words), "{what}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_named() {
        for c in "\u{1}\u{7f}\u{85}\u{9b}\r\u{a0}\u{ad}\u{200b}\u{200d}\u{200e}\u{202e}\u{2028}\u{2060}\u{2066}\u{2003}\u{3000}\u{feff}\u{e0041}"
            .chars()
        {
            let (column, what) = unseen(&format!("\u{e4}{c}n:#")).unwrap();
            assert!(column == 2 && what.contains(&format!("U+{:04X}", u32::from(c))), "{what}");
        }
    }
}
