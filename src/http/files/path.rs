//! Which file a URL path names, as a path below the root: decoded once, without dot segments, and nothing hidden.
//!
//! This is the first of two walls: what comes out of here has no way up in it; the second is how the file is opened.

use crate::http::bytes::PLAIN;

/// Longest path below the root, in decoded bytes; a longer one names nothing.
pub const PATH_MAX: usize = 1024;

/// A path below the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Relative {
    /// Names joined by `/`, without one at either end; empty for the root. No name is empty, begins with a dot, or
    /// has `/`, `\` or control characters in it; all is UTF-8.
    pub path: String,
    /// The URL ended in `/`: it names a directory.
    pub is_dir: bool,
}

/// Why a URL path names no file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoPath {
    /// Malformed, or an attempt: a bad escape, NUL or control characters, a backslash, bytes that are not UTF-8, more
    /// `..` than there are directories. 400.
    Bad(&'static str),
    /// Nothing that is ever served: a hidden name, an escaped slash, too long. 404.
    Nothing,
}

/// Decodes `raw`, the path of a request target.
pub fn decode(raw: &str) -> Result<Relative, NoPath> {
    let Some(below) = raw.strip_prefix('/') else { return Err(NoPath::Bad("the path does not begin with /")) };
    let mut names: Vec<String> = Vec::new();
    let mut bytes = 0;
    let mut is_dir = true;
    for segment in below.split('/') {
        // `//` counts as `/`, so that no path can begin with two slashes and become another host in a redirect.
        is_dir = segment.is_empty();
        if is_dir {
            continue;
        }
        let name = decode_segment(segment)?;
        match name.as_str() {
            "." => is_dir = true,
            ".." => {
                is_dir = true;
                let gone = names.pop().ok_or(NoPath::Bad("the path leads out of the root"))?;
                bytes -= gone.len() + 1;
            }
            _ if name.starts_with('.') || name.contains('/') => return Err(NoPath::Nothing),
            _ => {
                bytes += name.len() + 1;
                if bytes > PATH_MAX {
                    return Err(NoPath::Nothing);
                }
                names.push(name);
            }
        }
    }
    Ok(Relative { path: names.join("/"), is_dir })
}

/// The path as it stands if nothing in `raw` needs decoding or resolving: the common case, without allocating.
pub fn plain(raw: &str) -> Option<&str> {
    let below = raw.strip_prefix('/')?;
    if below.len() > PATH_MAX || below.starts_with(['.', '/']) {
        return None;
    }
    let mut before = b'/';
    for b in below.bytes() {
        let fine = PLAIN.has(b) && !(before == b'/' && matches!(b, b'.' | b'/'));
        if !fine {
            return None;
        }
        before = b;
    }
    Some(below)
}

/// `path` as a URL path: `/`, and everything percent-encoded that is not unreserved (RFC 3986, section 2.3), a slash,
/// or harmless in a path.
pub fn encode(path: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(path.len() + 1);
    out.push('/');
    for b in path.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=:@".contains(&b) {
            out.push(char::from(b));
        } else {
            out.extend(['%', char::from(HEX[usize::from(b >> 4)]), char::from(HEX[usize::from(b & 15)])]);
        }
    }
    out
}

fn decode_segment(segment: &str) -> Result<String, NoPath> {
    let mut out = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    loop {
        let b = match rest {
            [] => break,
            [b'%', a, b, after @ ..] => {
                rest = after;
                let (Some(a), Some(b)) = (char::from(*a).to_digit(16), char::from(*b).to_digit(16)) else {
                    return Err(NoPath::Bad("the path has a malformed percent-escape"));
                };
                (a * 16 + b) as u8
            }
            [b'%', ..] => return Err(NoPath::Bad("the path has a malformed percent-escape")),
            [b, after @ ..] => {
                rest = after;
                *b
            }
        };
        match b {
            b'\\' => return Err(NoPath::Bad("the path has a backslash")),
            0..=0x1f | 0x7f => return Err(NoPath::Bad("the path has a control character")),
            _ => out.push(b),
        }
    }
    String::from_utf8(out).map_err(|_| NoPath::Bad("the path is not UTF-8"))
}
