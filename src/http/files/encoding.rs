//! Content codings: which of those at hand the peer likes best (RFC 9110, section 12.5.3).

use std::cmp::Reverse;

use crate::http::request::{Request, elements, trim};

/// How a file is encoded on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Coding {
    /// As it is.
    Identity,
    /// gzip, a `.gz` beside the file.
    Gzip,
    /// Brotli, a `.br` beside the file.
    Brotli,
}

impl Coding {
    /// The codings that may lie beside a file, the smallest first.
    pub const SIBLINGS: [Coding; 2] = [Coding::Brotli, Coding::Gzip];

    /// As Content-Encoding says it; `None` for identity, which is not said.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Coding::Identity => None,
            Coding::Gzip => Some("gzip"),
            Coding::Brotli => Some("br"),
        }
    }

    /// What the name of the sibling ends with.
    pub const fn suffix(self) -> &'static str {
        match self {
            Coding::Identity => "",
            Coding::Gzip => ".gz",
            Coding::Brotli => ".br",
        }
    }
}

/// The codings that the request takes, best liked first. Identity is always among them, whatever the request says,
/// since a file that may be read is better than a 406.
pub fn preferred(request: &Request<'_>) -> impl Iterator<Item = Coding> + use<> {
    let accepts = Accepts::of(request);
    // The sort is stable: of codings liked the same, the smallest comes first.
    let mut order =
        [(accepts.brotli, Coding::Brotli), (accepts.gzip, Coding::Gzip), (accepts.identity, Coding::Identity)];
    order.sort_by_key(|&(weight, _)| Reverse(weight));
    order.into_iter().filter(|&(weight, c)| weight > 0 || c == Coding::Identity).map(|(_, c)| c)
}

/// Weights of the three in thousandths.
struct Accepts {
    brotli: u16,
    gzip: u16,
    identity: u16,
}

impl Accepts {
    fn of(request: &Request<'_>) -> Self {
        let (mut brotli, mut gzip, mut identity, mut any) = (None, None, None, None);
        for element in request.headers_named("accept-encoding").flat_map(elements) {
            let mut parts = element.split(|&b| b == b';').map(trim);
            let name = parts.next().unwrap_or_default();
            let q = weight(parts);
            let slot = if name.eq_ignore_ascii_case(b"br") {
                &mut brotli
            } else if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
                &mut gzip
            } else if name.eq_ignore_ascii_case(b"identity") {
                &mut identity
            } else if name == b"*" {
                &mut any
            } else {
                continue;
            };
            *slot = Some(q);
        }
        Accepts {
            brotli: brotli.or(any).unwrap_or(0),
            gzip: gzip.or(any).unwrap_or(0),
            // Not named, it is acceptable, but liked less than anything that is named.
            identity: identity.unwrap_or(if any == Some(0) { 0 } else { 1 }),
        }
    }
}

/// The weight among the parameters of an element, in thousandths; one that cannot be read counts as 0.
pub fn weight<'a>(parameters: impl Iterator<Item = &'a [u8]>) -> u16 {
    for p in parameters {
        if let [b'q' | b'Q', b'=', digits @ ..] = p {
            return thousandths(digits).unwrap_or(0);
        }
    }
    1000
}

fn thousandths(digits: &[u8]) -> Option<u16> {
    let (whole, fraction) = match digits {
        [w @ (b'0' | b'1')] => (w, &[][..]),
        [w @ (b'0' | b'1'), b'.', rest @ ..] if rest.len() <= 3 => (w, rest),
        _ => return None,
    };
    let mut q = u16::from(whole - b'0') * 1000;
    for (d, scale) in fraction.iter().zip([100, 10, 1]) {
        q += u16::from(d.is_ascii_digit().then(|| d - b'0')?) * scale;
    }
    (q <= 1000).then_some(q)
}
