//! What a byte may be part of, in a table: these questions are asked of every byte of every request.

/// A set of bytes that may be part of something; one bit of [`CLASSES`].
#[derive(Clone, Copy)]
pub struct Class(u8);

/// A token: a method, a field name (RFC 9110, section 5.6.2).
pub const TOKEN: Class = Class(1);

/// A request target as this server takes it. What browsers never send raw and what confuses logs, pages or proxies is not
/// in it; others outside of RFC 3986, such as `|` or `{` in a query, do come from browsers and harm nothing.
pub const TARGET: Class = Class(2);

/// A registered name without its escapes (RFC 3986, section 3.2.2). Commas are not taken although the grammar has them: no
/// host name has one.
pub const HOST: Class = Class(4);

/// A path of which nothing has to be decoded.
pub const PLAIN: Class = Class(8);

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut b = 0;
    while b < 128 {
        let c = b as u8;
        let alphanumeric = c.is_ascii_alphanumeric();
        let target = c.is_ascii_graphic() && !matches!(c, b'"' | b'<' | b'>' | b'#');
        let host = matches!(c, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&'..=b'+' | b';' | b'=');
        let token = matches!(c, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        let plain = c.is_ascii_graphic() && !matches!(c, b'%' | b'\\');
        classes[b] |= if alphanumeric || token { TOKEN.0 } else { 0 };
        classes[b] |= if target { TARGET.0 } else { 0 };
        classes[b] |= if alphanumeric || host { HOST.0 } else { 0 };
        classes[b] |= if plain { PLAIN.0 } else { 0 };
        b += 1;
    }
    classes
};

impl Class {
    /// Whether `b` is in it.
    #[inline]
    pub fn has(self, b: u8) -> bool {
        CLASSES[usize::from(b)] & self.0 != 0
    }

    /// Whether all of `bytes` are.
    pub fn has_all(self, bytes: &[u8]) -> bool {
        bytes.iter().all(|&b| self.has(b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_are_those_of_the_grammars() {
        let of =
            |class: Class| (0..=255_u8).filter(|&b| !b.is_ascii_alphanumeric() && class.has(b)).collect::<Vec<_>>();
        assert_eq!(of(TOKEN), b"!#$%&'*+-.^_`|~");
        assert_eq!(of(HOST), b"!$&'()*+-.;=_~");
        assert_eq!(of(TARGET), b"!$%&'()*+,-./:;=?@[\\]^_`{|}~");
        assert_eq!(of(PLAIN), b"!\"#$&'()*+,-./:;<=>?@[]^_`{|}~");
        for class in [TOKEN, HOST, TARGET, PLAIN] {
            assert!((0..=255_u8).filter(u8::is_ascii_alphanumeric).all(|b| class.has(b)));
            assert!(class.has_all(b"aZ09") && class.has_all(b"") && !class.has_all(b"a b"));
        }
    }
}
