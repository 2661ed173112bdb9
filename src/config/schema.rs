//! Every setting by its path, what kind of value it takes, and within which limits. One row a setting.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::units::{self, AddrRange, ListenAddr, Rate};
use super::users::name_fault;
use super::{Config, KEPT_FOR_SEATED, Place, Profile};

/// A value as it was given, whatever the layer: what a file says in TOML's types, an environment variable or an option
/// in words.
#[derive(Debug)]
pub(super) enum Given {
    /// A string.
    Text(String),
    /// A whole number.
    Number(i64),
    /// True or false.
    Flag(bool),
    /// A list, each element with its own place.
    List(Vec<(Given, Place)>),
    /// A table: names, their values, and where those are.
    Table(Vec<(String, Given, Place)>),
    /// A value of a type that no setting has, by the name of the type.
    Other(&'static str),
    /// Words outside a file: they take the type of the setting; lists are comma-separated.
    Words(String),
}

impl Given {
    fn kind(&self) -> &'static str {
        match self {
            Given::Text(_) | Given::Words(_) => "a string",
            Given::Number(_) => "a number",
            Given::Flag(_) => "true or false",
            Given::List(_) => "a list",
            Given::Table(_) => "a table",
            Given::Other(kind) => kind,
        }
    }
}

/// Where a value goes, with its limits.
pub(super) enum Slot<'a> {
    Listen(&'a mut Vec<ListenAddr>),
    Path(&'a mut Option<PathBuf>),
    Types(&'a mut Vec<(String, String)>),
    Hosts(&'a mut Vec<String>),
    Account(&'a mut Option<String>),
    Time(&'a mut Duration, RangeInclusive<Duration>),
    /// A time that may also be zero, which switches something off.
    TimeOrOff(&'a mut Duration, RangeInclusive<Duration>),
    /// Whole seconds, as the kernel's keepalive takes them.
    Seconds(&'a mut Duration, RangeInclusive<u32>),
    Size(&'a mut usize, RangeInclusive<usize>),
    Count(&'a mut usize, RangeInclusive<usize>),
    Count32(&'a mut u32, RangeInclusive<u32>),
    Count16(&'a mut u16, RangeInclusive<u16>),
    Realm(&'a mut String),
    Names(&'a mut Vec<String>),
    OpenPaths(&'a mut Vec<String>),
    Ranges(&'a mut Vec<AddrRange>),
    Profile(&'a mut Profile),
    Rate(&'a mut Rate),
    Level(&'a mut log::LevelFilter),
    Flag(&'a mut bool),
}

/// The row whose value the others of its section start from, so it is assigned before them.
pub(super) const PROFILE: &str = "liveness.profile";

/// When a changed value acts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum When {
    /// At the reload.
    Now,
    /// For connections and links that begin after the reload.
    Links,
    /// At the next start: sockets, the user and the size of tables are made once.
    Restart,
}

/// All settings.
pub(super) fn slots(c: &mut Config) -> Vec<(&'static str, When, Slot<'_>)> {
    use Slot::*;
    use When::{Links, Now, Restart};
    let ms = |from, to| Duration::from_millis(from)..=Duration::from_millis(to);
    let secs = |from, to| Duration::from_secs(from)..=Duration::from_secs(to);
    const HOUR: u64 = 3600;
    const YEAR: u64 = 365 * 24 * HOUR;
    let live = &mut c.liveness;
    vec![
        ("listen", Restart, Listen(&mut c.listen)),
        ("www", Now, Path(&mut c.www)),
        ("types", Now, Types(&mut c.types)),
        ("hosts", Now, Hosts(&mut c.hosts)),
        ("user", Restart, Account(&mut c.user)),
        ("drain", Now, TimeOrOff(&mut c.drain, ms(1, 60_000))),
        ("auth.realm", Now, Realm(&mut c.auth.realm)),
        ("auth.users", Now, Path(&mut c.auth.users)),
        ("auth.operators", Now, Names(&mut c.auth.operators)),
        ("auth.viewers", Now, Names(&mut c.auth.viewers)),
        ("auth.admins", Now, Names(&mut c.auth.admins)),
        ("auth.failures", Now, Count32(&mut c.auth.failures, 1..=1000)),
        ("auth.open", Now, OpenPaths(&mut c.auth.open)),
        ("auth.lifetime", Now, Time(&mut c.auth.lifetime, secs(1, YEAR))),
        ("seats.max", Now, Count16(&mut c.seats.max, 1..=1000)),
        ("seats.per_user", Now, Count16(&mut c.seats.per_user, 0..=1000)),
        ("seats.reserved", Now, Count16(&mut c.seats.reserved, 0..=999)),
        ("seats.linger", Now, TimeOrOff(&mut c.seats.linger, ms(1, 600_000))),
        ("seats.plain", Now, Time(&mut c.seats.plain, secs(1, 24 * HOUR))),
        ("seats.idle", Now, TimeOrOff(&mut c.seats.idle, secs(1, YEAR))),
        ("seats.allow", Now, Ranges(&mut c.seats.allow)),
        (PROFILE, Links, Profile(&mut live.profile)),
        ("liveness.heartbeat", Links, Time(&mut live.heartbeat, ms(100, 60_000))),
        ("liveness.poll", Links, Time(&mut live.poll, ms(10, 10_000))),
        ("liveness.silence", Links, Time(&mut live.silence, ms(300, 600_000))),
        ("liveness.suspect_after", Links, Time(&mut live.suspect_after, ms(100, 600_000))),
        ("liveness.stalled_after", Links, Time(&mut live.stalled_after, secs(1, HOUR))),
        ("liveness.returned_within", Now, TimeOrOff(&mut live.returned_within, secs(1, HOUR))),
        ("liveness.page_after", Now, TimeOrOff(&mut live.page_after, secs(1, HOUR))),
        ("liveness.keepalive_idle", Links, Seconds(&mut live.keepalive.0, 1..=7200)),
        ("liveness.keepalive_interval", Links, Seconds(&mut live.keepalive.1, 1..=600)),
        ("liveness.keepalive_count", Links, Count32(&mut live.keepalive.2, 1..=20)),
        ("control.page_after", Now, Time(&mut c.control.page_after, ms(1, 600_000))),
        ("control.max_silence", Now, Time(&mut c.control.max_silence, ms(1, 600_000))),
        ("control.lease_max", Now, Time(&mut c.control.lease_max, secs(1, HOUR))),
        ("control.command_age", Now, Time(&mut c.control.command_age, ms(1, 60_000))),
        ("control.answer_after", Now, Time(&mut c.control.answer_after, ms(100, HOUR * 1000))),
        ("chat.history", Now, Count(&mut c.chat.history, 1..=10_000)),
        ("chat.text_max", Now, Count(&mut c.chat.text_max, 1..=100_000)),
        ("chat.rate", Now, Rate(&mut c.chat.rate)),
        ("devices.listen", Restart, Listen(&mut c.devices.listen)),
        ("devices.tokens", Now, Path(&mut c.devices.tokens)),
        ("devices.profile", Links, Profile(&mut c.devices.profile)),
        ("devices.connections", Restart, Count32(&mut c.devices.connections, 1..=10_000)),
        ("devices.silent_after", Now, Time(&mut c.devices.silent_after, secs(1, HOUR))),
        ("limits.connections", Restart, Count32(&mut c.limits.connections, KEPT_FOR_SEATED + 1..=50_000)),
        ("limits.per_address", Now, Count32(&mut c.limits.per_address, 1..=50_000)),
        ("limits.header_bytes", Now, Size(&mut c.limits.header_bytes, 1 << 10..=1 << 20)),
        ("limits.headers", Now, Count(&mut c.limits.headers, 8..=256)),
        ("limits.body_bytes", Now, Size(&mut c.limits.body_bytes, 1 << 10..=16 << 20)),
        ("limits.header_timeout", Now, Time(&mut c.limits.header_timeout, ms(100, HOUR * 1000))),
        ("limits.body_timeout", Now, Time(&mut c.limits.body_timeout, ms(100, HOUR * 1000))),
        ("limits.keep_alive", Now, Time(&mut c.limits.keep_alive, ms(100, 24 * HOUR * 1000))),
        ("limits.send_timeout", Now, Time(&mut c.limits.send_timeout, ms(100, HOUR * 1000))),
        ("limits.link_queue", Now, Size(&mut c.limits.link_queue, 16 << 10..=64 << 20)),
        ("log.level", Restart, Level(&mut c.log.level)),
        ("debug.echo", Now, Flag(&mut c.debug.echo)),
    ]
}

impl Slot<'_> {
    /// Exchanges the values of one setting in two configurations. Whether they were different.
    pub(super) fn exchange(self, other: Slot<'_>) -> bool {
        fn swap<T: PartialEq>(a: &mut T, b: &mut T) -> bool {
            std::mem::swap(a, b);
            a != b
        }
        use Slot::*;
        match (self, other) {
            (Listen(a), Listen(b)) => swap(a, b),
            (Path(a), Path(b)) => swap(a, b),
            (Account(a), Account(b)) => swap(a, b),
            (Realm(a), Realm(b)) => swap(a, b),
            (Hosts(a), Hosts(b)) | (Names(a), Names(b)) | (OpenPaths(a), OpenPaths(b)) => swap(a, b),
            (Ranges(a), Ranges(b)) => swap(a, b),
            (Types(a), Types(b)) => swap(a, b),
            (Time(a, _), Time(b, _)) | (TimeOrOff(a, _), TimeOrOff(b, _)) | (Seconds(a, _), Seconds(b, _)) => {
                swap(a, b)
            }
            (Size(a, _), Size(b, _)) | (Count(a, _), Count(b, _)) => swap(a, b),
            (Count32(a, _), Count32(b, _)) => swap(a, b),
            (Count16(a, _), Count16(b, _)) => swap(a, b),
            (Profile(a), Profile(b)) => swap(a, b),
            (Rate(a), Rate(b)) => swap(a, b),
            (Level(a), Level(b)) => swap(a, b),
            (Flag(a), Flag(b)) => swap(a, b),
            _ => false, // rows of one table are of one kind
        }
    }
}

/// What is wrong, and at which place if that is a part of the value.
pub(super) type Fault = (Option<Place>, String);

/// Puts `given` where it belongs. On a fault the slot keeps what it had. Each fault is the rest of a sentence that
/// begins with the setting's name.
pub(super) fn assign(slot: Slot<'_>, given: Given) -> Result<(), Vec<Fault>> {
    let one = match slot {
        Slot::Listen(out) => return list(given, "[\"0.0.0.0:8080\"]", ListenAddr::parse, out),
        Slot::Hosts(out) => return list(given, "[\"panel.example.com\"]", host, out),
        Slot::Names(out) => return list(given, "[\"ann\", \"bob\"]", user_name, out),
        Slot::OpenPaths(out) => return list(given, "[\"/healthz\", \"/public/\"]", open_path, out),
        Slot::Ranges(out) => return list(given, "[\"192.168.0.0/16\"]", AddrRange::parse, out),
        Slot::Types(out) => return types(given, out),
        Slot::Path(out) => text(given, "\"/srv/www\"").map(|s| *out = (!s.is_empty()).then(|| s.into())),
        Slot::Account(out) => text(given, "\"www-data\"").and_then(account).map(|name| *out = name),
        Slot::Time(out, range) => time(given, &range, false).map(|value| *out = value),
        Slot::TimeOrOff(out, range) => time(given, &range, true).map(|value| *out = value),
        Slot::Seconds(out, range) => seconds(given, &range).map(|value| *out = value),
        Slot::Size(out, range) => bytes(given, &range).map(|value| *out = value),
        Slot::Count(out, range) => {
            count(given, *range.start() as u64, *range.end() as u64).map(|n| *out = narrow(n, &range))
        }
        Slot::Count32(out, range) => {
            count(given, u64::from(*range.start()), u64::from(*range.end())).map(|n| *out = narrow(n, &range))
        }
        Slot::Count16(out, range) => {
            count(given, u64::from(*range.start()), u64::from(*range.end())).map(|n| *out = narrow(n, &range))
        }
        Slot::Realm(out) => text(given, "\"boatswain\"").and_then(realm).map(|value| *out = value),
        Slot::Profile(out) => text(given, "\"standard\"").and_then(profile).map(|value| *out = value),
        Slot::Rate(out) => text(given, "\"5/s\"").and_then(|s| units::rate(&s)).map(|value| *out = value),
        Slot::Level(out) => text(given, "\"info\"").and_then(level).map(|value| *out = value),
        Slot::Flag(out) => flag(given).map(|value| *out = value),
    };
    one.map_err(|fault| vec![(None, fault)])
}

/// A number that is within `range` already, as its type.
fn narrow<T: TryFrom<u64> + Copy>(n: u64, range: &RangeInclusive<T>) -> T {
    T::try_from(n).unwrap_or(*range.end())
}

fn wrong_type(given: &Given, expected: &str) -> String {
    format!("expected {expected}, found {}", given.kind())
}

fn text(given: Given, example: &str) -> Result<String, String> {
    match given {
        Given::Text(s) | Given::Words(s) => Ok(s),
        other => Err(wrong_type(&other, &format!("a string like {example}"))),
    }
}

/// The most elements of any list: it is searched from front to back.
const LIST_MAX: usize = 256;

/// An element of a list: the word, or what is wrong with it; and its place.
type Element = (Result<String, String>, Option<Place>);

/// What was given for a list.
fn elements(given: Given, example: &str) -> Result<Vec<Element>, String> {
    let found: Vec<Element> = match given {
        Given::List(items) => {
            let word = |item| match item {
                Given::Text(s) | Given::Words(s) => Ok(s),
                other => Err(wrong_type(&other, &format!("a list of strings like {example}"))),
            };
            items.into_iter().map(|(item, place)| (word(item), Some(place))).collect()
        }
        Given::Words(words) if words.trim().is_empty() => Vec::new(),
        Given::Words(words) => words.split(',').map(|w| (Ok(w.trim().to_string()), None)).collect(),
        other => return Err(wrong_type(&other, &format!("a list like {example}"))),
    };
    if found.len() > LIST_MAX {
        return Err(format!("has {} elements, at most {LIST_MAX} are allowed", found.len()));
    }
    Ok(found)
}

fn list<T: PartialEq>(
    given: Given,
    example: &str,
    parse: fn(&str) -> Result<T, String>,
    out: &mut Vec<T>,
) -> Result<(), Vec<Fault>> {
    let elements = elements(given, example).map_err(|fault| vec![(None, fault)])?;
    let (mut values, mut faults) = (Vec::with_capacity(elements.len()), Vec::new());
    for (word, place) in elements {
        let value = word.and_then(|s| match parse(&s)? {
            value if values.contains(&value) => Err(format!("{s:?} is in the list twice; remove one")),
            value => Ok(value),
        });
        match value {
            Ok(value) => values.push(value),
            Err(fault) => faults.push((place, fault)),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    *out = values;
    Ok(())
}

/// A table of extensions and media types; in words `EXT=TYPE`, comma-separated.
fn types(given: Given, out: &mut Vec<(String, String)>) -> Result<(), Vec<Fault>> {
    const EXAMPLE: &str = "{ m3u8 = \"application/vnd.apple.mpegurl\" }";
    let whole = |fault| Err(vec![(None, fault)]);
    let rows: Vec<(String, Result<String, String>, Option<Place>)> = match given {
        Given::Table(rows) => rows
            .into_iter()
            .map(|(extension, value, place)| (extension, text(value, "\"video/mp4\""), Some(place)))
            .collect(),
        Given::Words(words) if words.trim().is_empty() => Vec::new(),
        Given::Words(words) => words
            .split(',')
            .map(|row| match row.split_once('=') {
                Some((extension, value)) => (extension.trim().to_string(), Ok(value.trim().to_string()), None),
                None => (String::new(), Err(format!("{row:?} has no =; write it like m3u8=audio/mpegurl")), None),
            })
            .collect(),
        other => return whole(wrong_type(&other, &format!("a table like {EXAMPLE}"))),
    };
    if rows.len() > LIST_MAX {
        return whole(format!("has {} elements, at most {LIST_MAX} are allowed", rows.len()));
    }
    let (mut values, mut faults): (Vec<(String, String)>, _) = (Vec::with_capacity(rows.len()), Vec::new());
    for (extension, value, place) in rows {
        let row = value.and_then(|value| Ok((units::extension(&extension)?, units::media_type(&value)?)));
        match row {
            Ok((extension, _)) if values.iter().any(|(known, _)| *known == extension) => {
                faults.push((place, format!("{extension:?} is there twice (case does not count); remove one")));
            }
            Ok(row) => values.push(row),
            Err(fault) => faults.push((place, fault)),
        }
    }
    if faults.is_empty() {
        *out = values;
        Ok(())
    } else {
        Err(faults)
    }
}

fn time(given: Given, range: &RangeInclusive<Duration>, off: bool) -> Result<Duration, String> {
    let example = "a time like \"2s\" or \"500ms\"";
    let text = match given {
        Given::Text(s) | Given::Words(s) => s,
        Given::Number(n) => return Err(format!("{n} has no unit; write a time like \"{n}s\" or \"{n}ms\"")),
        other => return Err(wrong_type(&other, example)),
    };
    let value = units::duration(&text)?;
    if range.contains(&value) || (off && value.is_zero()) {
        return Ok(value);
    }
    let (from, to) = (units::show_duration(*range.start()), units::show_duration(*range.end()));
    let zero = if off { "\"0s\" or " } else { "" };
    Err(format!("{text:?} is out of range; it must be {zero}from \"{from}\" to \"{to}\""))
}

fn seconds(given: Given, range: &RangeInclusive<u32>) -> Result<Duration, String> {
    let secs = |n: &u32| Duration::from_secs(u64::from(*n));
    let value = time(given, &(secs(range.start())..=secs(range.end())), false)?;
    match value.subsec_nanos() {
        0 => Ok(value),
        _ => Err(format!(
            "\"{}\" is not whole seconds, and the kernel's keepalive knows no parts of them; write \"{}s\"",
            units::show_duration(value),
            value.as_secs().max(1)
        )),
    }
}

fn bytes(given: Given, range: &RangeInclusive<usize>) -> Result<usize, String> {
    let value = match given {
        Given::Text(s) | Given::Words(s) => units::size(&s)?,
        Given::Number(n) => u64::try_from(n).map_err(|_| format!("{n} is no size; write it like \"16KiB\""))?,
        other => return Err(wrong_type(&other, "a size like \"16KiB\" or \"1MiB\"")),
    };
    usize::try_from(value).ok().filter(|v| range.contains(v)).ok_or_else(|| {
        let show = |n: usize| units::show_size(n as u64);
        format!(
            "{} is out of range; it must be from \"{}\" to \"{}\"",
            units::show_size(value),
            show(*range.start()),
            show(*range.end())
        )
    })
}

fn count(given: Given, from: u64, to: u64) -> Result<u64, String> {
    let number = match given {
        Given::Number(n) => n,
        Given::Words(ref s) => {
            s.trim().parse().map_err(|_| format!("{s:?} is no number; write a whole number like {from}"))?
        }
        Given::Text(ref s) if s.parse::<i64>().is_ok() => {
            return Err(format!("expected a number, found a string; write {s} without quotes"));
        }
        other => return Err(wrong_type(&other, &format!("a whole number like {}", from.max(1)))),
    };
    let fits = u64::try_from(number).ok().filter(|n| (from..=to).contains(n));
    fits.ok_or_else(|| format!("{number} is out of range; it must be from {from} to {to}"))
}

fn flag(given: Given) -> Result<bool, String> {
    match given {
        Given::Flag(b) => Ok(b),
        Given::Words(s) if s == "true" => Ok(true),
        Given::Words(s) if s == "false" => Ok(false),
        Given::Words(s) => Err(format!("expected true or false, found {s:?}")),
        other => Err(wrong_type(&other, "true or false (without quotes)")),
    }
}

fn realm(text: String) -> Result<String, String> {
    // It is sent as a quoted string (RFC 9110, section 5.6.4); what needs no escape there needs none here.
    let plain = |b: u8| (b == b' ' || b.is_ascii_graphic()) && b != b'"' && b != b'\\';
    if text.len() > 100 || !text.bytes().all(plain) {
        return Err(format!("{text:?} must be at most 100 printable ASCII characters, without \" and \\"));
    }
    Ok(text)
}

fn profile(word: String) -> Result<Profile, String> {
    let known = Profile::ALL.map(Profile::word);
    Profile::from_word(&word).ok_or_else(|| unknown_word(&word, "profile", &known))
}

fn level(word: String) -> Result<log::LevelFilter, String> {
    use log::LevelFilter::{Debug, Error, Info, Off, Warn};
    const LEVELS: [(&str, log::LevelFilter); 5] =
        [("off", Off), ("error", Error), ("warn", Warn), ("info", Info), ("debug", Debug)];
    let found = LEVELS.iter().find(|(name, _)| *name == word).map(|(_, level)| *level);
    found.ok_or_else(|| unknown_word(&word, "level", &LEVELS.map(|(name, _)| name)))
}

fn unknown_word(word: &str, what: &str, known: &[&str]) -> String {
    format!("there is no {what} {word:?}; choose one of {}", known.join(", "))
}

fn account(name: String) -> Result<Option<String>, String> {
    if name.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control() || b == b':' || b == b'/') {
        return Err(format!("{name:?} is no name of a user of this system; write it like \"www-data\""));
    }
    Ok((!name.is_empty()).then_some(name))
}

fn host(text: &str) -> Result<String, String> {
    const HOW: &str = "write a name like \"panel.example.com\", without scheme, port or path";
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if text.is_empty() || text.len() > 253 || !text.bytes().all(letters) {
        return Err(format!("{text:?} is no host name; {HOW}"));
    }
    Ok(text.trim_end_matches('.').to_ascii_lowercase())
}

fn user_name(name: &str) -> Result<String, String> {
    match name_fault(name) {
        Some(fault) if name != "*" => Err(fault),
        _ => Ok(name.to_string()),
    }
}

fn open_path(path: &str) -> Result<String, String> {
    if !path.starts_with('/') || path.contains(['?', '#', '*']) || path.chars().any(char::is_control) {
        return Err(format!("{path:?} is no path; write it like \"/healthz\", or \"/public/\" for all below it"));
    }
    Ok(path.to_string())
}
