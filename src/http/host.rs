//! Whose server is asked, in one form: the authority of a `Host` field or an absolute target (RFC 9110, section 7.2) and
//! of an `Origin` (RFC 6454, section 7). All that compares hosts compares this form, so that a spelling never decides.
//!
//! Never does: decide which hosts are ours, keep anything.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::bytes::HOST;

/// A host without its spelling: letters in either case, the root's dot and leading zeros make no difference.
#[derive(Clone, Copy, Debug)]
pub enum Host<'a> {
    /// A name that only a name server can make an address of.
    Name(&'a str),
    /// Four decimal numbers.
    V4(Ipv4Addr),
    /// In brackets; a zone is left out, since it names an interface of the client's (RFC 6874, section 4).
    V6(Ipv6Addr),
}

/// A host and its port, if one is named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Authority<'a> {
    /// The host.
    pub host: Host<'a>,
    /// The port; `None` is the default one of the scheme.
    pub port: Option<u16>,
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Host::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (Host::V4(a), Host::V4(b)) => a == b,
            (Host::V6(a), Host::V6(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Host<'_> {}

impl<'a> Host<'a> {
    /// A name as DNS and browsers know it, or an IPv4 address; `None` for what is valid in a `Host` and yet neither: empty, an
    /// empty label, escapes, and numbers in other notations (`0x7f.1`), which a browser would have written as an address.
    pub fn named(text: &'a str) -> Option<Host<'a>> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > 253 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            return None;
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        // what ends in a number is an address or nothing (WHATWG URL, "ends in a number checker")
        let hexadecimal = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
        if last.bytes().all(|b| b.is_ascii_digit())
            || hexadecimal.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return name.parse().ok().map(Host::V4);
        }
        name.split('.').all(|label| !label.is_empty()).then_some(Host::Name(name))
    }

    /// Whether it is a name that ends in `end`, which begins with a dot, and has more before it.
    pub fn is_below(self, end: &str) -> bool {
        let Host::Name(name) = self else { return false };
        let Some(at) = name.len().checked_sub(end.len()) else { return false };
        at > 0 && name.get(at..).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    }
}

impl<'a> Authority<'a> {
    /// The authority that a `Host` names; `None` if it names none that could be meant.
    pub fn of_host(text: &'a [u8]) -> Option<Authority<'a>> {
        let (host, port) = split(text)?;
        let host = match host {
            Written::V6(addr) => Host::V6(addr),
            Written::Name(name) => Host::named(std::str::from_utf8(name).ok()?)?,
        };
        Some(Authority { host, port })
    }

    /// Whether a page of `origin`, as an `Origin` field says it, is a page of this host. The port that `origin` leaves out is
    /// that of its scheme, and so is the one left out here: a proxy in front may speak TLS where this server does not.
    pub fn is_origin(self, origin: &[u8]) -> bool {
        let Some((theirs, default)) = of_origin(origin) else { return false };
        theirs.host == self.host && theirs.port.unwrap_or(default) == self.port.unwrap_or(default)
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::V4(addr) => addr.fmt(f),
            Host::V6(addr) => write!(f, "[{addr}]"),
        }
    }
}

/// The authority of an origin or of a URL (a `Referer`), and the default port of its scheme; `None` for `null`, other
/// schemes, lists, and what has user information.
fn of_origin(origin: &[u8]) -> Option<(Authority<'_>, u16)> {
    let (rest, default) = match (strip(origin, b"http://"), strip(origin, b"https://")) {
        (Some(rest), _) => (rest, 80),
        (None, Some(rest)) => (rest, 443),
        (None, None) => return None,
    };
    Some((Authority::of_host(rest)?, default))
}

/// The origin at the beginning of a URL.
pub fn origin_of(url: &[u8]) -> &[u8] {
    let scheme = url.windows(3).position(|w| w == b"://").map_or(0, |at| at + 3);
    let end = url[scheme..].iter().position(|b| matches!(b, b'/' | b'?' | b'#')).map_or(url.len(), |at| scheme + at);
    &url[..end]
}

fn strip<'a>(text: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Whether `host` is a host with an optional port (RFC 9110, section 4.2.1; RFC 3986, section 3.2.2), as a Host field
/// may have it. Empty is valid, and names no one.
pub fn is_valid_host(host: &[u8]) -> bool {
    split(host).is_some()
}

/// A host as it stands in an authority.
enum Written<'a> {
    Name(&'a [u8]),
    V6(Ipv6Addr),
}

fn split(text: &[u8]) -> Option<(Written<'_>, Option<u16>)> {
    if let [b'[', rest @ ..] = text {
        let (literal, after) = split_at_byte(rest, b']')?;
        let port = match after {
            [] => after,
            [b':', port @ ..] => port,
            _ => return None,
        };
        let literal = match split_at_byte(literal, b'%') {
            Some((literal, zone)) if is_zone(zone) => literal,
            Some(_) => return None,
            None => literal,
        };
        let addr = std::str::from_utf8(literal).ok()?.parse().ok()?;
        return Some((Written::V6(addr), port_of(port)?));
    }
    let (name, port) = split_at_byte(text, b':').unwrap_or((text, b""));
    if !is_reg_name(name) || (name.is_empty() && !text.is_empty()) {
        return None;
    }
    Some((Written::Name(name), port_of(port)?))
}

/// A zone as RFC 6874 writes it, `25` before its name, or as people do.
fn is_zone(zone: &[u8]) -> bool {
    let plain = |&b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    (1..=64).contains(&zone.len()) && zone.iter().all(plain)
}

/// What is before and behind the first `at`.
fn split_at_byte(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == at)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Nothing, or a number of 16 bits.
fn port_of(digits: &[u8]) -> Option<Option<u16>> {
    let push = |n: u16, &d: &u8| match d {
        b'0'..=b'9' => n.checked_mul(10)?.checked_add(u16::from(d - b'0')),
        _ => None,
    };
    let port = digits.iter().try_fold(0, push)?;
    Some((!digits.is_empty()).then_some(port))
}

fn is_reg_name(name: &[u8]) -> bool {
    if HOST.has_all(name) {
        return true;
    }
    let mut escaped = name.split(|&b| b == b'%');
    escaped.next().is_some_and(|plain| HOST.has_all(plain))
        && escaped.all(|part| {
            matches!(part, [a, b, rest @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() && HOST.has_all(rest))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Option<String> {
        let found = Authority::of_host(text.as_bytes())?;
        let port = found.port.map(|p| format!(":{p}")).unwrap_or_default();
        Some(format!("{}{port}", found.host.to_string().to_ascii_lowercase()))
    }

    #[test]
    fn a_host_has_one_form() {
        for (text, expected) in [
            ("pump.local", Some("pump.local")),
            ("PUMP.Local", Some("pump.local")),
            ("pump.local.", Some("pump.local")),
            ("pump.local:", Some("pump.local")),
            ("pump.local.:8080", Some("pump.local:8080")),
            ("pump:080", Some("pump:80")),
            ("pump_1", Some("pump_1")),
            ("xn--pmp-hoa.local", Some("xn--pmp-hoa.local")),
            ("0xen.local", Some("0xen.local")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("127.0.0.1.:1", Some("127.0.0.1:1")),
            ("[::1]", Some("[::1]")),
            ("[0:0::1]:8080", Some("[::1]:8080")),
            ("[FE80::A]", Some("[fe80::a]")),
            ("[fe80::1%25eth0]:1", Some("[fe80::1]:1")),
            ("[fe80::1%eth0]", Some("[fe80::1]")),
            ("[::ffff:10.0.0.1]", Some("[::ffff:10.0.0.1]")),
            // valid in a Host field, and no host that could be meant
            ("", None),
            (".", None),
            ("a..b", None),
            ("..", None),
            (".local", None),
            ("pump.local..", None),
            ("evil%2etest", None),
            ("a!b", None),
            ("0x7f.1", None),
            ("0x7f000001", None),
            ("0x", None),
            ("127.1", None),
            ("2130706433", None),
            ("010.0.0.1", None),
            ("1.2.3.4.5", None),
            ("256.0.0.1", None),
            ("pump.1", None),
        ] {
            assert!(is_valid_host(text.as_bytes()), "{text}");
            assert_eq!(form(text).as_deref(), expected, "{text}");
        }
        for text in [
            ":80",
            "a:b",
            "a:65536",
            "a:1:2",
            "ann@pump",
            "ann:pw@pump",
            "pump/",
            "pump?",
            "a b",
            "a,b",
            "%",
            "%zz",
            "[::1",
            "[::1]x",
            "[]",
            "[:::]",
            "[::1%]",
            "[::1%a b]",
            "[::1%a]]",
            "[127.0.0.1]",
            "::1",
            "p\u{fc}mp",
            "a\"b",
        ] {
            assert!(!is_valid_host(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn an_origin_is_ours_by_host_and_port_and_nothing_else() {
        for (host, origin, same) in [
            ("pump.local", "http://pump.local", true),
            ("PUMP.local.", "http://pump.LOCAL", true),
            ("pump.local", "HTTP://pump.local", true),
            ("pump.local", "http://pump.local:80", true),
            ("pump.local:80", "http://pump.local", true),
            ("pump.local:", "http://pump.local", true),
            ("pump.local:8080", "http://pump.local:8080", true),
            ("[::1]:8080", "http://[0::1]:8080", true),
            ("[fe80::1%25eth0]", "http://[fe80::1]", true),
            // a proxy in front speaks TLS
            ("pump.local", "https://pump.local", true),
            ("pump.local", "https://pump.local:443", true),
            ("pump.local:443", "https://pump.local", true),
            ("pump.local:8443", "https://pump.local:8443", true),
            ("pump.local:80", "https://pump.local", false),
            ("pump.local:443", "http://pump.local", false),
            // a proxy in front leaves the port out of Host
            ("pump.local", "http://pump.local:8080", false),
            ("pump.local:8080", "http://pump.local", false),
            ("pump.local:8080", "http://pump.local:8081", false),
            ("pump.local", "http://evil.test", false),
            ("pump.local", "http://pump.local.evil.test", false),
            ("pump.local", "http://xpump.local", false),
            ("127.0.0.1", "http://localhost", false),
            ("127.0.0.1", "http://0x7f.1", false),
            ("127.0.0.1", "http://[::ffff:127.0.0.1]", false),
            ("pump.local", "null", false),
            ("pump.local", "", false),
            ("pump.local", "http://", false),
            ("", "http://", false),
            ("", "", false),
            ("a..b", "http://a..b", false),
            ("pump.local", "pump.local", false),
            ("pump.local", "//pump.local", false),
            ("pump.local", "ftp://pump.local", false),
            ("pump.local", "http://ann@pump.local", false),
            ("pump.local", "http://pump.local/", false),
            ("pump.local", "http://evil.test http://pump.local", false),
            ("pump.local", "http://pump.local http://evil.test", false),
            ("pump.local", "http://pump.local, http://evil.test", false),
        ] {
            let ours = Authority::of_host(host.as_bytes());
            assert_eq!(ours.is_some_and(|h| h.is_origin(origin.as_bytes())), same, "{host} {origin}");
        }
    }

    #[test]
    fn the_origin_of_a_url_is_its_beginning() {
        for (url, origin) in [
            ("http://pump.local/a/b?c#d", "http://pump.local"),
            ("http://pump.local?x=http://a/", "http://pump.local"),
            ("http://pump.local", "http://pump.local"),
            ("about:blank", "about:blank"),
            ("/x", ""),
            ("", ""),
        ] {
            assert_eq!(origin_of(url.as_bytes()), origin.as_bytes(), "{url}");
        }
    }
}
