//! Password hashes: bcrypt and sha-crypt, and the one-time password of a start without a users file.
//!
//! Formats: crypt(5). bcrypt as Apache's htpasswd writes it ($2y$), sha-crypt as mkpasswd and /etc/shadow have it.

use std::fmt;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// The cost of new hashes: a tenth of a second on a desktop, about half a second on a slow board. It is paid once per
/// sign-in and off the loop, since verified credentials are remembered.
pub const BCRYPT_COST: u8 = 10;

/// The highest cost taken from a file: 2^15 rounds are several seconds of a small board's only core for each wrong
/// password. More would let anybody keep it busy.
pub const BCRYPT_COST_MAX: u8 = 15;

/// Bytes of a password that bcrypt looks at.
pub const BCRYPT_BYTES: usize = 72;

/// The most rounds of sha-crypt taken from a file, for the same reason as [`BCRYPT_COST_MAX`].
pub const SHA_ROUNDS_MAX: u32 = 1_000_000;

/// Bytes of a password that sha-crypt is given: its work grows with the square of the length, and crypt(3) itself
/// takes no more.
const SHA_BYTES: usize = 512;

/// Reads bcrypt's own base64. Bits behind the last byte are ignored, as crypt(3) does.
const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// What a password is checked against. Equal hashes are the same line of the file: a changed line is a changed user.
#[derive(Clone, PartialEq)]
pub enum Hash {
    /// `$2a$`, `$2b$`, `$2y$`: the same function under three names.
    Bcrypt {
        /// log2 of the rounds.
        cost: u8,
        /// Salt.
        salt: [u8; 16],
        /// Result.
        digest: [u8; 23],
    },
    /// `$5$` (SHA-256) and `$6$` (SHA-512).
    Sha {
        /// Which of the two.
        kind: Sha,
        /// Rounds.
        rounds: u32,
        /// Salt, up to 16 characters.
        salt: Box<str>,
        /// Result, in crypt's base64.
        digest: Box<str>,
    },
    /// The password itself, made up at start and never stored; an empty one fits nothing.
    OneTime(String),
}

/// The two kinds of sha-crypt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sha {
    /// `$5$`
    Sha256,
    /// `$6$`
    Sha512,
}

/// How long a check takes; ordered by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cost {
    /// log2 of the rounds.
    Bcrypt(u8),
    /// Kind and rounds.
    Sha(Sha, u32),
    /// Comparing so many bytes.
    OneTime,
}

impl Cost {
    /// In rounds of sha-crypt, roughly: one round of bcrypt is two key schedules of Blowfish, about a hundred of them.
    fn weight(self) -> u64 {
        match self {
            Cost::Bcrypt(cost) => 100 << cost,
            Cost::Sha(_, rounds) => u64::from(rounds),
            Cost::OneTime => 0,
        }
    }
}

impl PartialOrd for Cost {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cost {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.weight().cmp(&other.weight())
    }
}

impl Hash {
    /// From its text in a users file. `Err` is the rest of a sentence: what it is instead.
    pub fn parse(text: &str) -> Result<Hash, String> {
        const TAKEN: &str = "only bcrypt ($2y$) and sha-crypt ($5$, $6$) are taken";
        let refused = |what: &str| Err(format!("{what} is refused: {TAKEN}"));
        if text.is_empty() {
            return Err("the password hash is missing".into());
        }
        let bytes = text.as_bytes();
        match text.strip_prefix('$').and_then(|rest| rest.split_once('$')) {
            Some(("2a" | "2b" | "2y", rest)) => bcrypt(rest),
            Some(("5", rest)) => sha(Sha::Sha256, rest),
            Some(("6", rest)) => sha(Sha::Sha512, rest),
            Some(("apr1", _)) => refused("an MD5 hash of Apache ($apr1$), which is quick to guess,"),
            Some(("1", _)) => refused("an MD5 hash ($1$), which is quick to guess,"),
            Some(("2x", _)) => refused("a bcrypt hash of a faulty library ($2x$)"),
            Some(("y" | "gy" | "7", _)) => refused("a yescrypt or scrypt hash"),
            Some((kind, _)) if kind.starts_with("argon2") => refused("an Argon2 hash"),
            Some(_) => refused("a hash of an unknown kind"),
            None if text.starts_with("{SHA}") => refused("an unsalted SHA-1 hash ({SHA}), which is quick to guess,"),
            None if text.starts_with('{') => refused("a hash of LDAP's kind"),
            None if text.contains(':') => refused("an htdigest line (NAME:REALM:MD5) or a plain password"),
            None if bytes.len() == 13 && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"./".contains(b)) => {
                refused("a DES hash of crypt(3) or a plain password")
            }
            None => refused("a plain password"),
        }
    }

    /// A new hash of `password` with this salt. `Err` says what is wrong with the password.
    pub fn new(password: &str, salt: [u8; 16]) -> Result<Hash, String> {
        if password.is_empty() {
            return Err("the password is empty; choose one".into());
        }
        if password.len() > BCRYPT_BYTES {
            return Err(format!(
                "the password has {} bytes; bcrypt looks at the first {BCRYPT_BYTES} only, so choose a shorter one",
                password.len()
            ));
        }
        if password.chars().any(char::is_control) {
            return Err("the password contains a control character, which no browser can send".into());
        }
        Ok(Hash::Bcrypt { cost: BCRYPT_COST, salt, digest: bcrypt_digest(BCRYPT_COST, salt, password.as_bytes()) })
    }

    /// A hash that takes so long and fits no password.
    pub(super) fn decoy(cost: Cost) -> Hash {
        match cost {
            // No password with these digests is known; finding one would mean that the function is broken.
            Cost::Bcrypt(cost) => Hash::Bcrypt { cost, salt: [0; 16], digest: [0; 23] },
            Cost::Sha(kind, rounds) => Hash::Sha { kind, rounds, salt: "decoydecoydecoyd".into(), digest: "".into() },
            Cost::OneTime => Hash::OneTime(String::new()),
        }
    }

    /// Whether `password` fits. Takes from milliseconds to seconds of processor time, the same for every password of
    /// one length. As for htpasswd's own checks (C strings), a password ends at its first NUL; bcrypt looks at 72 bytes.
    pub fn verify(&self, password: &[u8]) -> bool {
        let password = password.split(|b| *b == 0).next().unwrap_or_default();
        match self {
            Hash::Bcrypt { cost, salt, digest } => same(&bcrypt_digest(*cost, *salt, password), digest),
            Hash::Sha { kind, rounds, salt, digest } => {
                let whole = password.len() <= SHA_BYTES;
                let password = &password[..password.len().min(SHA_BYTES)];
                same(sha_digest(*kind, *rounds, salt, password).as_bytes(), digest.as_bytes()) && whole
            }
            Hash::OneTime(expected) => same(password, expected.as_bytes()) && !expected.is_empty(),
        }
    }

    /// How long a check takes.
    pub fn cost(&self) -> Cost {
        match self {
            Hash::Bcrypt { cost, .. } => Cost::Bcrypt(*cost),
            Hash::Sha { kind, rounds, .. } => Cost::Sha(*kind, *rounds),
            Hash::OneTime(_) => Cost::OneTime,
        }
    }
}

/// As in a users file; a one-time password has no such form and shows as nothing.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hash::Bcrypt { cost, salt, digest } => {
                write!(f, "$2y${cost:02}${}{}", BCRYPT_BASE64.encode(salt), BCRYPT_BASE64.encode(digest))
            }
            Hash::Sha { kind, rounds, salt, digest } => {
                let id = if *kind == Sha::Sha256 { 5 } else { 6 };
                write!(f, "${id}$rounds={rounds}${salt}${digest}")
            }
            Hash::OneTime(_) => Ok(()),
        }
    }
}

/// Kind and cost only: a hash has no place in a log.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cost().fmt(f)
    }
}

/// `COST$SALTDIGEST`
fn bcrypt(rest: &str) -> Result<Hash, String> {
    let damaged = || "the bcrypt hash is damaged".to_string();
    let (cost, body) = rest.split_once('$').ok_or_else(damaged)?;
    let cost: u8 = match cost.parse() {
        Ok(c) if cost.len() == 2 && (4..=31).contains(&c) => c,
        _ => return Err(damaged()),
    };
    if cost > BCRYPT_COST_MAX {
        return Err(format!(
            "the bcrypt hash has cost {cost}, which would keep a board busy; at most {BCRYPT_COST_MAX} is taken"
        ));
    }
    if body.len() != 53 || !body.is_ascii() {
        return Err(damaged());
    }
    let (salt, digest) = body.split_at(22);
    let salt = BCRYPT_BASE64.decode(salt).map_err(|_| damaged())?.try_into().map_err(|_| damaged())?;
    let digest = BCRYPT_BASE64.decode(digest).map_err(|_| damaged())?.try_into().map_err(|_| damaged())?;
    Ok(Hash::Bcrypt { cost, salt, digest })
}

/// `[rounds=N$]SALT$DIGEST`
fn sha(kind: Sha, rest: &str) -> Result<Hash, String> {
    let damaged = || "the sha-crypt hash is damaged".to_string();
    let (rounds, rest) = match rest.strip_prefix("rounds=") {
        None => (5000, rest), // what crypt(5) means by no number
        Some(with) => {
            let (n, rest) = with.split_once('$').ok_or_else(damaged)?;
            if n.is_empty() || !n.bytes().all(|b| b.is_ascii_digit()) {
                return Err(damaged());
            }
            (n.parse::<u32>().unwrap_or(u32::MAX), rest)
        }
    };
    if rounds > SHA_ROUNDS_MAX {
        return Err(format!(
            "the sha-crypt hash has {rounds} rounds, which would keep a board busy; at most {SHA_ROUNDS_MAX} are taken"
        ));
    }
    let (salt, digest) = rest.split_once('$').ok_or_else(damaged)?;
    let length = if kind == Sha::Sha256 { 43 } else { 86 };
    let letters = |s: &str| s.bytes().all(|b| CRYPT64.contains(&b));
    // crypt(3) never writes fewer than 1000 rounds nor a salt of more than 16 characters.
    let salted = salt.len() <= 16 && salt.bytes().all(|b| b.is_ascii_graphic());
    if rounds < 1000 || !salted || digest.len() != length || !letters(digest) {
        return Err(damaged());
    }
    Ok(Hash::Sha { kind, rounds, salt: salt.into(), digest: digest.into() })
}

fn bcrypt_digest(cost: u8, salt: [u8; 16], password: &[u8]) -> [u8; 23] {
    // The C string with its NUL, of which 72 bytes count.
    let mut key = [0u8; BCRYPT_BYTES];
    let length = password.len().min(BCRYPT_BYTES);
    key[..length].copy_from_slice(&password[..length]);
    let key = &key[..(length + 1).min(BCRYPT_BYTES)];
    let digest = bcrypt::bcrypt(u32::from(cost), salt, key);
    std::array::from_fn(|i| digest[i])
}

fn sha_digest(kind: Sha, rounds: u32, salt: &str, password: &[u8]) -> String {
    let rounds = rounds as usize;
    match kind {
        Sha::Sha256 => sha_crypt::Sha256Params::new(rounds)
            .and_then(|p| sha_crypt::sha256_crypt(password, salt.as_bytes(), &p))
            .map(|digest| crypt64(&digest, [0, 10, 20])),
        Sha::Sha512 => sha_crypt::Sha512Params::new(rounds)
            .and_then(|p| sha_crypt::sha512_crypt(password, salt.as_bytes(), &p))
            .map(|digest| crypt64(&digest, [0, 21, 42])),
    }
    .unwrap_or_default() // only for rounds outside the library's limits, which are wider than ours
}

const CRYPT64: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A digest in the base64 of crypt(3): least significant bits first, of bytes that are taken from three thirds in turn
/// (SHA-crypt.txt, step 22). `start` is the first three bytes taken.
fn crypt64(digest: &[u8], start: [usize; 3]) -> String {
    let third = start[1];
    let mut out = String::with_capacity(86);
    let mut put = |mut bits: u32, letters: usize| {
        for _ in 0..letters {
            out.push(char::from(CRYPT64[(bits & 63) as usize]));
            bits >>= 6;
        }
    };
    let byte = |i: usize| u32::from(digest.get(i).copied().unwrap_or(0));
    for step in 0..third {
        // SHA-256 turns the three thirds one way from step to step, SHA-512 the other.
        let turn = if digest.len() == 32 { [0, 2, 1][step % 3] } else { step % 3 };
        let at = |k: usize| byte(start[(k + turn) % 3] + step);
        put(at(0) << 16 | at(1) << 8 | at(2), 4);
    }
    if digest.len() == 32 {
        put(byte(31) << 8 | byte(30), 3);
    } else {
        put(byte(63), 2);
    }
    out
}

/// Compares in a time that depends on the length of `given` only.
fn same(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = given.len() ^ expected.len();
    for (i, byte) in given.iter().enumerate() {
        let other = expected.get(i % expected.len().max(1)).copied().unwrap_or(0);
        difference |= usize::from(byte ^ other);
    }
    std::hint::black_box(difference) == 0
}
