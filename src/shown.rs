//! Text of others where people read it: in the log and on a terminal. What cannot be seen, moves the cursor or turns the
//! order of what is around it is shown by its number, and what is long is cut and says so.
//!
//! Never does: judging whether a text is good for anything else.

use std::fmt::{self, Write};

/// Bytes of a name that a line of the log shows. A line has three names and one longer text at most, 492 bytes together.
pub const NAME_SHOWN: usize = 64;

/// Bytes of any other text of others that a line of the log shows.
pub const TEXT_SHOWN: usize = 300;

/// Why a character is not seen as what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unseen {
    /// C0, DEL and C1: terminals obey them.
    Control,
    /// It shows nothing, or changes the order in which what is around it is shown, or ends a line.
    Hidden,
    /// It shows nothing, but some scripts and pictures are not written without it.
    Joiner,
    /// It looks like a space and is none.
    Blank,
}

/// The one list of characters that are not seen as what they are (Unicode 16: general categories Cc, Cf, Zl, Zp and Zs,
/// and what has the property Default_Ignorable_Code_Point or is drawn as nothing).
pub fn unseen(c: char) -> Option<Unseen> {
    Some(match c {
        ' '..='~' => return None,
        _ if c.is_control() => Unseen::Control,
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' => Unseen::Joiner,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' => {
            Unseen::Hidden
        }
        '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => Unseen::Hidden,
        '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' => Unseen::Hidden,
        '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => Unseen::Hidden,
        _ if c.is_whitespace() => Unseen::Blank,
        _ => return None,
    })
}

/// Writes `text`, each [`unseen`] character as `\n`, `\t`, `\r` or `\u{202e}`, and `also` with a backslash before it. Ends
/// before what would be more than `room` bytes, of which it takes what it wrote; how many bytes of `text` are missing.
pub fn escape(out: &mut dyn Write, text: &str, room: &mut usize, also: &[char]) -> Result<usize, fmt::Error> {
    let mut from = 0;
    for (i, c) in text.char_indices() {
        let special = match c {
            _ if also.contains(&c) => Some(2),
            '\n' | '\r' | '\t' => Some(2),
            _ if unseen(c).is_some() => Some(c.escape_unicode().len()),
            _ => None,
        };
        let len = special.unwrap_or(c.len_utf8());
        if len > *room {
            out.write_str(&text[from..i])?;
            return Ok(text.len() - i);
        }
        *room -= len;
        if special.is_some() {
            out.write_str(&text[from..i])?;
            from = i + c.len_utf8();
            match c {
                '\n' => out.write_str("\\n")?,
                '\r' => out.write_str("\\r")?,
                '\t' => out.write_str("\\t")?,
                _ if also.contains(&c) => write!(out, "\\{c}")?,
                _ => write!(out, "{}", c.escape_unicode())?,
            }
        }
    }
    out.write_str(&text[from..])?;
    Ok(0)
}

/// Says that `missing` bytes are not shown, if any.
fn say_cut(out: &mut dyn Write, missing: usize) -> fmt::Result {
    if missing > 0 { write!(out, "...(cut {missing} bytes)") } else { Ok(()) }
}

/// A text of others: escaped, and cut to so many bytes.
#[derive(Clone, Copy, Debug)]
pub struct Excerpt<'a>(pub &'a str, pub usize);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = escape(f, self.0, &mut { self.1 }, &[])?;
        say_cut(f, missing)
    }
}

/// A text of others in quotes: escaped, the quotes and backslashes in it too, and cut to [`TEXT_SHOWN`] bytes.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quoted(f, self.0, TEXT_SHOWN)
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str, mut most: usize) -> fmt::Result {
    f.write_char('"')?;
    let missing = escape(f, text, &mut most, &['"', '\\'])?;
    f.write_char('"')?;
    say_cut(f, missing)
}

/// A name as a value of a `key=value` line of the log, cut to [`NAME_SHOWN`] bytes: quoted where it would read as more than
/// one value. People choose names of users, devices choose their own and those of commands.
#[derive(Clone, Copy, Debug)]
pub struct LogName<'a>(pub &'a str);

impl fmt::Display for LogName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = |c: char| matches!(c, ' ' | '=' | '"' | '\\') || unseen(c).is_some();
        if self.0.is_empty() || self.0.contains(parts) {
            return quoted(f, self.0, NAME_SHOWN);
        }
        Excerpt(self.0, NAME_SHOWN).fmt(f)
    }
}

/// Passes on what is written, escaped: for lines that are made of words of ours and of others.
pub struct Escaping<'a> {
    out: &'a mut dyn Write,
    /// So many bytes more are taken.
    room: usize,
    /// So many bytes found no room.
    missing: usize,
}

impl Escaping<'_> {
    /// What `said` writes, in one line of about `most` bytes at most. Errors: those of `out`.
    pub fn line(out: &mut dyn Write, said: fmt::Arguments<'_>, most: usize) -> fmt::Result {
        let mut all = Escaping { out, room: most, missing: 0 };
        all.write_fmt(said)?;
        let missing = all.missing;
        say_cut(out, missing)
    }
}

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.missing > 0 {
            self.missing += text.len();
            return Ok(());
        }
        self.missing = escape(self.out, text, &mut self.room, &[])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        Excerpt(text, usize::MAX).to_string()
    }

    #[test]
    fn nothing_that_is_not_seen_as_what_it_is_goes_through() {
        // C0, DEL, C1, bidi, zero width, separators, blanks, fillers, tags
        let ranges = [
            (0x00, 0x1f),
            (0x7f, 0x9f),
            (0xa0, 0xa0),
            (0xad, 0xad),
            (0x34f, 0x34f),
            (0x61c, 0x61c),
            (0x115f, 0x1160),
            (0x1680, 0x1680),
            (0x17b4, 0x17b5),
            (0x180b, 0x180f),
            (0x2000, 0x200f),
            (0x2028, 0x202f),
            (0x205f, 0x206f),
            (0x2800, 0x2800),
            (0x3000, 0x3000),
            (0x3164, 0x3164),
            (0xfe00, 0xfe0f),
            (0xfeff, 0xfeff),
            (0xffa0, 0xffa0),
            (0xfff9, 0xfffb),
            (0x1bca0, 0x1bca3),
            (0x1d173, 0x1d17a),
            (0xe0001, 0xe0001),
            (0xe0020, 0xe007f),
            (0xe0100, 0xe01ef),
        ];
        for c in ranges.into_iter().flat_map(|(a, b)| a..=b).filter_map(char::from_u32) {
            let shown = escaped(&format!("a{c}b"));
            assert!(shown.is_ascii() && shown.starts_with("a\\") && shown.ends_with('b'), "{:x} {shown}", u32::from(c));
        }
        assert_eq!(escaped("\0\n\t\r\u{9b}31m\u{202e}"), "\\u{0}\\n\\t\\r\\u{9b}31m\\u{202e}");
        for plain in ["", "ann smith", "\u{fc}\u{4e2d}\u{1f600}\u{5d0}\u{627}", "C:\\x \"y\" = {\"rpm\":1}"] {
            assert_eq!(escaped(plain), plain);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(Excerpt("aä€b", 6).to_string(), "aä€...(cut 1 bytes)");
        assert_eq!(Excerpt("aä€b", 5).to_string(), "aä...(cut 4 bytes)");
        assert_eq!(
            Excerpt("a\u{202e}b", 8).to_string(),
            "a...(cut 4 bytes)",
            "what is written counts, not what it was"
        );
        assert_eq!(Excerpt("a\u{202e}b", 10).to_string(), "a\\u{202e}b");
        let long = Quoted(&"\u{1b}\"x".repeat(5000)).to_string();
        assert!(long.len() < TEXT_SHOWN + 40 && long.ends_with(" bytes)"), "{long}");
        assert_eq!(LogName(&"n".repeat(65)).to_string(), format!("{}...(cut 1 bytes)", "n".repeat(64)));
    }

    #[test]
    fn names_that_read_as_more_than_one_value_are_quoted() {
        for (name, shown) in [
            ("pump-1", "pump-1"),
            ("größer", "größer"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("x=1", "\"x=1\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("a\u{9b}\u{2066}\u{200b}", "\"a\\u{9b}\\u{2066}\\u{200b}\""),
        ] {
            assert_eq!(LogName(name).to_string(), shown);
        }
    }

    #[test]
    fn a_line_is_one_line_and_has_a_bound() {
        let mut out = String::from("> ");
        Escaping::line(&mut out, format_args!("a={} b={}", "1\n2", "\u{202e}"), 99).unwrap();
        assert_eq!(out, "> a=1\\n2 b=\\u{202e}");
        let mut out = String::new();
        Escaping::line(&mut out, format_args!("{}{}", "123456", "789"), 5).unwrap();
        assert_eq!(out, "12345...(cut 4 bytes)");
    }
}
