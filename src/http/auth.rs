//! Credentials and cookies as they stand in header fields: RFC 7617 (Basic) and RFC 6265 (Cookie, Set-Cookie).
//!
//! Never does: verify, remember or log anything.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::request::{Request, trim};
use crate::codec::write_hex;
use crate::secret::{Secret, carefully};

/// Longest Authorization value that is looked at, in bytes: a long user name and password in base64, no more.
pub const CREDENTIALS_MAX: usize = 1024;

/// Most well-formed cookies of ours that are looked at: a browser shows one, leftovers of other paths a few more. Another
/// server on this host, on another port, can plant more and longer paths come first, so it is not just a few.
pub const COOKIES_MAX: usize = 64;

/// What a request says of who is asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Credentials {
    /// Nothing.
    None,
    /// Something that cannot be right: another scheme, bad base64, not UTF-8, two fields.
    Malformed,
    /// User and password.
    Basic(Basic),
}

/// A user and a password, not verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Basic {
    /// User name; never has a colon.
    pub user: String,
    /// Password; UTF-8.
    pub password: Secret,
}

impl fmt::Debug for Basic {
    /// Without the password: it must never come into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The credentials that `request` carries.
pub fn credentials(request: &Request<'_>) -> Credentials {
    let mut fields = request.headers_named("authorization");
    match (fields.next(), fields.next()) {
        (None, _) => Credentials::None,
        (Some(value), None) => basic(value).map_or(Credentials::Malformed, Credentials::Basic),
        (Some(_), Some(_)) => Credentials::Malformed,
    }
}

/// User and password of an Authorization value; `None` if it is not exactly `Basic BASE64`, is too long, is not UTF-8
/// or has control characters (which RFC 7617, section 2, forbids).
pub fn basic(value: &[u8]) -> Option<Basic> {
    if value.len() > CREDENTIALS_MAX {
        return None;
    }
    let blank = value.iter().position(|&b| b == b' ')?;
    let (scheme, token) = value.split_at(blank);
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    carefully(|| {
        let text = String::from_utf8(STANDARD.decode(trim(token)).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        if text.chars().any(char::is_control) {
            return None;
        }
        Some(Basic { user: user.to_owned(), password: Secret::new(password.as_bytes()) })
    })
}

/// The values of the cookies called `name`, in order.
pub fn cookies<'a, 'n>(request: &Request<'a>, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
    request
        .headers_named("cookie")
        .flat_map(|value| value.split(|&b| b == b';'))
        .filter_map(move |pair| trim(pair).strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Appends the value of a Set-Cookie field for a session: not for scripts, not for other sites. `name` must be a token.
pub fn push_session_cookie(out: &mut Vec<u8>, name: &str, value: &[u8; 16]) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    let mut digits = [0; 32];
    for (pair, b) in digits.chunks_exact_mut(2).zip(value) {
        write_hex((*b).into(), pair);
    }
    out.extend_from_slice(&digits);
    out.extend_from_slice(b"; HttpOnly; SameSite=Lax; Path=/");
}

/// The value of a Set-Cookie field that makes a browser forget that cookie.
pub fn forget_cookie(name: &str) -> String {
    [name, "=; Max-Age=0; HttpOnly; SameSite=Lax; Path=/"].concat()
}

#[cfg(test)]
mod tests;
