//! How values are written in the settings: times, sizes, rates, addresses.
//!
//! Every `parse` here answers `Err` with the rest of a sentence that begins with the setting's name: what was expected,
//! with an example.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::msg::PeerAddr;

/// A place to listen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListenAddr {
    /// TCP; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// A unix socket at this path.
    Unix(PathBuf),
}

/// A range of addresses in canonical form (an IPv4-mapped IPv6 range is the IPv4 one).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddrRange {
    first: IpAddr,
    prefix: u8,
}

/// So many in such a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// How many; at least 1.
    pub count: u32,
    /// In which time; never zero.
    pub per: Duration,
}

impl ListenAddr {
    /// The most bytes of a unix socket's path: `sun_path` without its closing NUL (unix(7)).
    const UNIX_PATH_MAX: usize = 107;

    /// From `ADDR:PORT`, `[ADDR]:PORT` or `unix:/PATH`.
    pub fn parse(text: &str) -> Result<Self, String> {
        const HOW: &str = "write it like \"0.0.0.0:8080\", \"[::]:8080\" or \"unix:/run/boatswain/web.sock\"";
        if let Some(path) = text.strip_prefix("unix:") {
            return if !path.starts_with('/') {
                Err(format!("the path of a unix socket must begin with /, and {text:?} has none; {HOW}"))
            } else if path.len() > Self::UNIX_PATH_MAX {
                Err(format!(
                    "the path of a unix socket has at most {} bytes, this one {}; choose a shorter one",
                    Self::UNIX_PATH_MAX,
                    path.len()
                ))
            } else if path.bytes().any(|b| b == 0) || path.ends_with('/') {
                Err(format!("{text:?} names no file; {HOW}"))
            } else {
                Ok(ListenAddr::Unix(path.into()))
            };
        }
        text.parse().map(ListenAddr::Tcp).map_err(|_| {
            if text.parse::<IpAddr>().is_ok() {
                format!("{text:?} has no port; {HOW}")
            } else if text.parse::<u16>().is_ok() || text.starts_with(':') {
                format!("{text:?} has no address; {HOW}")
            } else if text.rsplit_once(':').is_some_and(|(host, _)| host.contains(|c: char| c.is_ascii_alphabetic())) {
                format!("{text:?} is no address and port, and names are not looked up; {HOW}")
            } else {
                format!("{text:?} is no address and port; {HOW}")
            }
        })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddr::Tcp(addr) => addr.fmt(f),
            ListenAddr::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl AddrRange {
    /// From `ADDR/PREFIX`, or one address.
    pub fn parse(text: &str) -> Result<Self, String> {
        const HOW: &str = "write it like \"192.168.0.0/16\", \"fd00::/8\" or \"192.168.1.20\"";
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| format!("{text:?} is no range of addresses; {HOW}"))?;
        let bits = if addr.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = match prefix {
            None => bits,
            Some(p) => p
                .parse()
                .ok()
                .filter(|n| *n <= bits && !p.starts_with('+'))
                .ok_or_else(|| format!("the prefix of {text:?} must be a number from 0 to {bits}; {HOW}"))?,
        };
        let first = masked(addr, prefix);
        if first != addr {
            return Err(format!("{text:?} names an address inside the range; write \"{first}/{prefix}\""));
        }
        match (addr.to_canonical(), addr) {
            (v4 @ IpAddr::V4(_), IpAddr::V6(_)) if prefix >= 96 => Ok(AddrRange { first: v4, prefix: prefix - 96 }),
            _ => Ok(AddrRange { first, prefix }),
        }
    }

    /// Whether `peer` is in it; a unix peer is in none.
    pub fn contains(&self, peer: PeerAddr) -> bool {
        match peer {
            PeerAddr::Ip(ip) => {
                let ip = ip.to_canonical();
                ip.is_ipv4() == self.first.is_ipv4() && masked(ip, self.prefix) == self.first
            }
            PeerAddr::Unix => false,
        }
    }
}

impl fmt::Display for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// `ip` with all bits behind the first `prefix` ones cleared.
fn masked(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
        }
    }
}

/// From `500ms`, `2s`, `10m`, `12h`, `1d`; a fraction is allowed (`1.5s`).
pub fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let wrong = || format!("{text:?} is no time; write it like \"500ms\", \"2s\", \"10m\" or \"12h\"");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    scaled(number, scale).map(Duration::from_millis).ok_or_else(wrong)
}

/// From `16KiB`, `1MiB`, `4096B` or `4096`, in bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 5] = [("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let wrong = || format!("{text:?} is no size; write it like \"16KiB\" or \"1MiB\" (1 KiB is 1024 bytes)");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let (_, scale) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    scaled(number, scale).ok_or_else(wrong)
}

/// From `5/s`, `30/m`, `100/h`.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || format!("{text:?} is no rate; write it like \"5/s\", \"30/m\" or \"100/h\"");
    let (count, per) = text.split_once('/').ok_or_else(wrong)?;
    let count = count.trim();
    let per = match per.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    match count.parse() {
        Ok(0) => Err("a rate of 0 would let nothing through; write at least \"1/h\"".into()),
        Ok(count) => Ok(Rate { count, per: Duration::from_secs(per) }),
        Err(_) => Err(wrong()),
    }
}

/// An extension of a file's name, in lower case.
pub(super) fn extension(text: &str) -> Result<String, String> {
    let fault = if text.is_empty() {
        "is empty"
    } else if text.contains('.') {
        "has a dot; only what follows the last dot of a name counts"
    } else if text.contains('/') || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "has a slash, a blank or a control character in it"
    } else {
        return Ok(text.to_ascii_lowercase());
    };
    Err(format!("the extension {text:?} {fault}; write it like m3u8"))
}

/// A media type (RFC 9110, section 8.3.1), what precedes its parameters in lower case.
pub(super) fn media_type(text: &str) -> Result<String, String> {
    let wrong =
        || Err(format!("{text:?} is no media type; write it like \"video/mp4\" or \"text/plain; charset=utf-8\""));
    let is_token =
        |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
    let (name, parameters) = text.split_once(';').map_or((text, None), |(name, more)| (name, Some(more)));
    let is_parameter = |parameter: &str| {
        parameter.trim_matches(' ').split_once('=').is_some_and(|(name, value)| {
            let quoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
            let plain = |b: u8| (b == b' ' || b.is_ascii_graphic()) && b != b'"' && b != b'\\';
            is_token(name) && quoted.map_or(is_token(value), |v| v.bytes().all(plain))
        })
    };
    let name = name.trim_end_matches(' ');
    let Some((kind, sub)) = name.split_once('/') else { return wrong() };
    if !is_token(kind) || !is_token(sub) || !parameters.is_none_or(|all| all.split(';').all(is_parameter)) {
        return wrong();
    }
    Ok([&name.to_ascii_lowercase(), &text[name.len()..]].concat())
}

/// Writes a time the way the settings do: the largest unit that leaves a whole number.
pub(super) fn show_duration(d: Duration) -> String {
    let ms = d.as_millis();
    if ms == 0 {
        return "0s".into();
    }
    for (unit, scale) in [("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if ms % scale == 0 {
            return format!("{}{unit}", ms / scale);
        }
    }
    format!("{ms}ms")
}

/// Writes a size the way the settings do.
pub(super) fn show_size(bytes: u64) -> String {
    for (unit, scale) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes != 0 && bytes % scale == 0 {
            return format!("{}{unit}", bytes / scale);
        }
    }
    format!("{bytes}B")
}

/// A number and what follows it, without the blank between them.
fn number_and_unit(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (!number.is_empty()).then_some((number, unit.trim_start()))
}

/// `number` (digits with at most one point) times `scale`, if that is a whole number that fits.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 6 || fraction.contains('.') {
        return None;
    }
    let tenths = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<u64>().ok()?.checked_mul(scale)?;
    if part % tenths != 0 {
        return None;
    }
    whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(part / tenths)
}
