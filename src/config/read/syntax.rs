//! Mistakes in the writing of a TOML file: all of them as far as that can be told, not only the first.
//!
//! The parser stops at the first. So the line in which it stopped is blanked out and the rest is parsed again, as long
//! as that line is wrong by itself; when it is not (a bracket left open some lines before), what follows would be guesses.

use toml_span::ErrorKind;

/// Bytes of a settings file at most.
pub(in super::super) const FILE_BYTES_MAX: usize = 64 << 10;

/// Faults told of one file.
const FAULTS_MAX: usize = 20;

/// Brackets within brackets, and dots of one key: nothing here needs more than two; the parser recurses.
const DEPTH_MAX: usize = 8;

/// What is wrong with the writing.
pub(super) struct Torn {
    /// Byte offset and sentence of each fault.
    pub(super) faults: Vec<(usize, String)>,
    /// The text without the faulty lines, of the same length, if what is left makes sense.
    pub(super) rest: Option<String>,
}

/// Looks for faults in `text`.
pub(super) fn faults(text: &str) -> Result<(), Torn> {
    if text.len() > FILE_BYTES_MAX {
        let what = format!("the file has more than {} KiB; is it the right one?", FILE_BYTES_MAX >> 10);
        return Err(Torn { faults: vec![(0, what)], rest: None });
    }
    if let Some(offset) = too_deep(text) {
        let what = "too many brackets or dots within each other".to_string();
        return Err(Torn { faults: vec![(offset, what)], rest: None });
    }
    let mut rest = text.to_string();
    let mut faults = Vec::new();
    loop {
        let error = match toml_span::parse(&rest) {
            Ok(_) => break,
            Err(error) => error,
        };
        let offset = error.span.start.min(rest.len());
        faults.push((offset, sentence(&error)));
        let (start, end) = line_around(&rest, offset);
        let alone = toml_span::parse(&rest[start..end]);
        let whole = match error.kind {
            // Right by itself, wrong only beside the first one.
            ErrorKind::DuplicateKey { .. } => alone.is_ok() && !rest[start..end].trim_start().starts_with('['),
            _ => alone.is_err(),
        };
        if !whole || faults.len() == FAULTS_MAX {
            return Err(Torn { faults, rest: None });
        }
        let blank = " ".repeat(end - start);
        rest.replace_range(start..end, &blank);
    }
    if faults.is_empty() { Ok(()) } else { Err(Torn { faults, rest: Some(rest) }) }
}

/// The line around a byte, without its end. An error at the very end of a line is in that line.
fn line_around(text: &str, offset: usize) -> (usize, usize) {
    let bytes = text.as_bytes();
    let start = bytes[..offset].iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let end = bytes[offset..].iter().position(|b| *b == b'\n').map_or(text.len(), |i| offset + i);
    (start, end)
}

fn sentence(error: &toml_span::Error) -> String {
    match &error.kind {
        ErrorKind::UnquotedString => "a text needs quotes around it, like \"2s\"".into(),
        ErrorKind::DuplicateKey { key, .. } => format!("{key} is set twice; keep one of the two"),
        ErrorKind::DuplicateTable { name, .. } => {
            format!("the section [{name}] is there twice; put its settings under one of the two")
        }
        ErrorKind::InvalidNumber => {
            "not a number; times, sizes and addresses need quotes around them, like \"2s\", \"16KiB\"".into()
        }
        ErrorKind::UnterminatedString => "the text has no closing quote".into(),
        ErrorKind::UnexpectedEof => "the file ends in the middle of a value; is a bracket or quote left open?".into(),
        _ => format!("not TOML: {error}"),
    }
}

/// The offset at which brackets or dots go deeper than [`DEPTH_MAX`].
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut dots) = (0usize, 0usize);
    let mut bytes = text.bytes().enumerate();
    while let Some((offset, byte)) = bytes.next() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'.' => dots += 1,
            b'\n' | b',' | b'=' => dots = 0,
            b'#' => {
                bytes.find(|(_, b)| *b == b'\n');
                dots = 0;
            }
            // Within the quotes of one line nothing nests; texts of several lines are looked through like the rest,
            // at worst refused for their brackets.
            b'"' => {
                let mut escaped = false;
                bytes.find(|(_, b)| {
                    let ends = (*b == b'"' && !escaped) || *b == b'\n';
                    escaped = *b == b'\\' && !escaped;
                    ends
                });
            }
            b'\'' => {
                bytes.find(|(_, b)| *b == b'\'' || *b == b'\n');
            }
            _ => {}
        }
        if depth > DEPTH_MAX || dots > DEPTH_MAX {
            return Some(offset);
        }
    }
    None
}
