//! What somebody may have meant by a name that is none.

/// The complaint about the unknown setting `path`.
pub(super) fn unknown(path: &str, paths: &[&'static str]) -> String {
    if let Some(what) = not_in_this_version(path) {
        return what;
    }
    let (section, key) = match path.split_once('.') {
        Some((section, key)) => (Some(section), key),
        None => (None, path),
    };
    let meant = SYNONYMS.iter().find(|(other, _)| *other == key).map(|(_, path)| *path);
    // First among its neighbours, then the same key elsewhere, then anywhere.
    let neighbours = paths.iter().filter(|p| p.split_once('.').map(|(s, _)| s) == section);
    let near = meant
        .or_else(|| close(key, neighbours.map(|p| (*p, last(p).to_string()))))
        .or_else(|| close(path, sections(paths)))
        .or_else(|| close(key, paths.iter().map(|p| (*p, last(p).to_string()))))
        .or_else(|| nearest(path, paths.iter().map(|p| (*p, (*p).to_string()))));
    match near {
        Some(near) if near.ends_with(']') => {
            format!("{path}: there is no such setting; did you mean the section {near}?")
        }
        Some(near) => format!("{path}: there is no such setting; did you mean {near}?"),
        None => format!("{path}: there is no such setting"),
    }
}

/// The answer to who asks for what other servers have and this version has not. `path` in lower case.
pub(super) fn not_in_this_version(path: &str) -> Option<String> {
    let has = |words: &[&str]| {
        path.split(['.', '_', '-']).any(|part| words.iter().any(|word| part.eq_ignore_ascii_case(word)))
    };
    let (what, remedy) = if has(&["tls", "ssl", "https", "cert", "certificate", "acme"]) {
        ("TLS", "put a proxy that speaks TLS in front, on the same machine")
    } else if has(&["journal", "persist", "persistence"]) {
        ("the journal on disk", "remove it; the last events are kept in memory, see chat.history")
    } else if has(&["mqtt"]) {
        ("MQTT", "remove it")
    } else {
        return None;
    };
    Some(format!("{path}: {what} is not in this version; {remedy}"))
}

/// The nearest of `names` (what it stands for, what it is compared as), however far.
pub(super) fn nearest<T>(asked: &str, names: impl Iterator<Item = (T, String)>) -> Option<T> {
    names.map(|(what, name)| (distance(asked, &name), what)).min_by_key(|(d, _)| *d).map(|(_, what)| what)
}

/// What people call things elsewhere.
const SYNONYMS: &[(&str, &str)] = &[
    ("port", "listen"),
    ("bind", "listen"),
    ("address", "listen"),
    ("root", "www"),
    ("document_root", "www"),
    ("htpasswd", "auth.users"),
    ("passwords", "auth.users"),
    ("password_file", "auth.users"),
    ("max_clients", "seats.max"),
    ("max_connections", "limits.connections"),
    ("max_users", "seats.max"),
    ("timeout", "limits.keep_alive"),
    ("hostname", "hosts"),
    ("server_name", "hosts"),
];

/// The nearest, if it is near: a third of the letters wrong at most.
fn close<T>(asked: &str, names: impl Iterator<Item = (T, String)>) -> Option<T> {
    let near = names.map(|(what, name)| (distance(asked, &name), name.len(), what)).min_by_key(|(d, ..)| *d)?;
    let (distance, length, what) = near;
    (distance * 3 <= asked.len().max(length)).then_some(what)
}

fn sections(paths: &[&'static str]) -> impl Iterator<Item = (&'static str, String)> {
    // Section headers as the file has them; `unknown` tells them from settings by the bracket.
    const HEADERS: [&str; 9] =
        ["[auth]", "[seats]", "[liveness]", "[control]", "[chat]", "[devices]", "[limits]", "[log]", "[debug]"];
    debug_assert!(
        paths.iter().filter_map(|p| p.split_once('.')).all(|(s, _)| HEADERS.iter().any(|h| h[1..].starts_with(s)))
    );
    HEADERS.into_iter().map(|header| (header, header.trim_matches(['[', ']']).to_string()))
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// How many letters have to be put in, taken out, changed or swapped with their neighbour; capitals and hyphens count
/// as what they stand for.
fn distance(a: &str, b: &str) -> usize {
    // Only the beginning of a monstrous name is looked at.
    let letters = |s: &str| -> Vec<char> {
        s.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
    };
    let (a, b) = (letters(a), letters(b));
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let same = usize::from(a[i - 1] != b[j - 1]);
                let mut best = (rows[i - 1][j - 1] + same).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}
