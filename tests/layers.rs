//! Holds the import rules of `src/lib.rs` and the habits that a compiler does not: who may use whom, where the clock,
//! the poller and `unsafe` live, how long a file may be. Reads the sources as text, without their comments, strings and tests.
#![allow(clippy::unwrap_used)] // A test; its helpers too.

use std::fs;
use std::path::Path;

/// A part of the crate and the parts that it must not use.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("ask", &["codec", "config", "json", "metrics", "sys", "http", "hub", "link", "routes", "net", "cli"]),
    ("msg", &["ask", "codec", "config", "json", "metrics", "sys", "http", "hub", "link", "routes", "net", "cli"]),
    (
        "describe",
        &["ask", "msg", "codec", "config", "json", "metrics", "sys", "http", "hub", "link", "routes", "net", "cli"],
    ),
    (
        "shown",
        &[
            "ask", "msg", "describe", "diag", "fnv", "ledger", "codec", "config", "json", "metrics", "sys", "http",
            "hub", "link", "routes", "net", "cli",
        ],
    ),
    (
        "diag",
        &[
            "ask", "describe", "fnv", "ledger", "codec", "config", "json", "metrics", "sys", "http", "hub", "link",
            "routes", "net", "cli",
        ],
    ),
    (
        "secret",
        &["ask", "msg", "codec", "config", "json", "metrics", "http", "hub", "auth", "link", "routes", "net", "cli"],
    ),
    ("auth", &["ask", "codec", "config", "json", "metrics", "sys", "http", "hub", "link", "routes", "net", "cli"]),
    ("codec", &["config", "json", "metrics", "sys", "http", "hub", "link", "routes", "net", "cli"]),
    ("fnv", &["msg", "codec", "config", "json", "metrics", "sys", "http", "hub", "link", "routes", "net", "cli"]),
    ("config", &["http", "hub", "link", "routes", "net", "cli"]),
    ("json", &["sys", "http", "hub", "link", "routes", "net", "cli"]),
    ("ledger", &["codec", "json", "metrics", "sys", "http", "hub", "link", "routes", "net", "cli"]),
    ("metrics", &["sys", "http", "hub", "link", "routes", "net", "cli"]),
    ("sys", &["codec", "config", "json", "metrics", "http", "hub", "link", "routes", "net", "cli"]),
    ("http", &["sys", "hub", "auth", "link", "routes", "net", "cli"]),
    ("hub", &["liveness", "codec", "json", "sys", "http", "auth", "link", "routes", "net", "cli"]),
    ("liveness", &["hub", "codec", "json", "sys", "http", "auth", "link", "routes", "net", "cli"]),
    ("link", &["sys", "http", "hub", "routes", "net", "cli"]),
    ("routes", &["sys", "engine", "net", "cli"]),
    ("engine", &["sys", "net", "cli"]),
    ("net", &["cli"]),
];

/// What may be said only in some places, and why.
const ONLY_IN: &[(&str, &[&str], &str)] = &[
    ("mio", &["net", "main", "cli"], "the poller belongs to the loop"),
    ("Instant::now", &["net::clock", "main", "cli"], "time comes in as a value"),
    ("SystemTime::now", &["net::clock", "main", "cli"], "time comes in as a value"),
    ("libc", &["sys"], "the kernel is spoken to in one place"),
    ("unsafe", &["sys"], "the kernel is spoken to in one place"),
    (".unwrap()", &[], "nothing reachable from outside panics"),
    (".expect(\"", &[], "nothing reachable from outside panics"),
    ("panic!", &[], "nothing reachable from outside panics"),
    ("stderr()", &["net::stderr", "sys", "cli"], "nothing but the log says anything: it escapes, and never waits"),
    ("eprintln!", &[], "nothing but the log says anything: it escapes, and never waits"),
    ("eprint!", &[], "nothing but the log says anything: it escapes, and never waits"),
    ("println!", &[], "what is said on standard output is said by cli::print"),
    ("stdout()", &["cli"], "what is said on standard output is said by cli::print"),
    ("todo!", &[], "nothing reachable from outside panics"),
    ("unimplemented!", &[], "nothing reachable from outside panics"),
    ("dbg!", &[], "left over from a search"),
];

/// Lines of code in one file, without comments, blank lines and tests: what can still be read in one go.
const LINES_MAX: usize = 500;

#[test]
fn the_sources_keep_the_rules_of_the_house() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    assert!(files.len() > 20, "looked in the wrong place: {}", root.display());
    let complaints: Vec<String> = files.iter().flat_map(|(path, text)| complaints(path, text)).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_hub_has_two_doors_and_little_else_is_public() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/hub");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    let mut public: Vec<&str> = files.iter().flat_map(|(_, text)| methods_of_hub(text)).collect();
    public.sort_unstable();
    assert_eq!(public, ["ask", "handle", "new", "sign_in", "view"], "see ARCHITECTURE.md: the hub has two doors");
}

/// The public methods in a source's `impl Hub` blocks.
fn methods_of_hub(text: &str) -> Vec<&str> {
    let blocks = text.split("\nimpl Hub {\n").skip(1).filter_map(|rest| rest.split("\n}").next());
    blocks.flat_map(|block| block.split("\n    pub fn ").skip(1)).map(|rest| &rest[..rest.find('(').unwrap()]).collect()
}

#[test]
fn the_rules_are_seen_to_be_broken() {
    let one = |path: &str, text: &str| {
        let found = complaints(path, text);
        assert_eq!(found.len(), 1, "{path}: {text}: {found:?}");
    };
    one("hub/mod.rs", "use crate::json::encode;");
    one("hub/mod.rs", "use crate::{msg::Now, json};");
    one("hub/mod.rs", "use crate::{\n    msg::{Event, What},\n    http::{\n        auth,\n    },\n};");
    one("hub/chat.rs", "fn f() { crate::net::clock::read(); }");
    one("hub/mod.rs", "use super::net;");
    one("hub/chat.rs", "use super::super::net;");
    one("link/ws/mod.rs", "use super::super::{routes};");
    one("http/request.rs", "use boatswain::routes;");
    one("routes/mod.rs", "use mio::Token;");
    one("net/server.rs", "let now = Instant::now();");
    one("net/server.rs", "let now = std::time::SystemTime::now();");
    one("net/table.rs", "fn f() { unsafe { g() } }");
    one("http/mod.rs", "x.unwrap();");
    one("http/mod.rs", "x.expect(\"there\");");
    one("json.rs", &"a();\n".repeat(LINES_MAX + 1));
    // What comes after a test module that is a file of its own is code.
    one("http/mod.rs", "#[cfg(test)]\nmod tests;\nuse crate::hub;");
    // A character that looks like the beginning of a string is none.
    one("http/mod.rs", "let quote = '\"'; use crate::hub; let other = '\\'';");
}

#[test]
fn what_is_allowed_is_not_complained_about() {
    let none = |path: &str, text: &str| {
        let found = complaints(path, text);
        assert!(found.is_empty(), "{path}: {text}: {found:?}");
    };
    none("hub/mod.rs", "use crate::msg::{self, net as other, http};");
    none("hub/mod.rs", "// use crate::net;\n/* crate::json\n /* mio */ crate::net */ let a = \"crate::net \\\" mio\";");
    none("hub/mod.rs", "let a = r#\"crate::net \" mio\"#; let b: &'static str = \"mio\";");
    none("hub/chat.rs", "use super::net;");
    none("hub/mod.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::net;\n    fn f() { x.unwrap(); }\n}\n");
    none("hub/tests.rs", "use crate::net; x.unwrap();");
    none("http/mod.rs", "self.expect(b'x')?; x.unwrap_or_default(); #![deny(unsafe_code)]");
    none("net/clock.rs", "Instant::now()");
    none("sys/tcp.rs", "unsafe { libc::close(3) }");
    none("cli/mod.rs", "use mio::Poll;");
    none("json.rs", &"// why\n\n".repeat(LINES_MAX));
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Every rule that the file at `path` (below `src`) breaks.
fn complaints(path: &str, text: &str) -> Vec<String> {
    let place: Vec<&str> = path.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").collect();
    if place.contains(&"tests") {
        return Vec::new();
    }
    let code = without_tests(&bare(text));
    let mut found = Vec::new();
    let forbidden = FORBIDDEN.iter().find(|(part, _)| *part == place[0]).map_or(&[][..], |(_, list)| list);
    for used in used_parts(&code, place.len()) {
        if forbidden.contains(&used.as_str()) {
            found.push(format!("{path}: uses `{used}`, which is on a higher floor or not its business (src/lib.rs)"));
        }
    }
    let place = place.join("::");
    for (word, places, why) in ONLY_IN {
        let allowed = places.iter().any(|p| place == *p || place.starts_with(&format!("{p}::")));
        if !allowed && has_word(&code, word) {
            found.push(format!("{path}: says `{word}`: {why}"));
        }
    }
    let lines = code.lines().filter(|line| !line.trim().is_empty()).count();
    if lines > LINES_MAX {
        found.push(format!("{path}: {lines} lines of code; split it (at most {LINES_MAX})"));
    }
    found
}

/// The top-level modules that `code` names through `crate::`, the crate's own name, or enough `super::` from a module
/// `depth` levels down.
fn used_parts(code: &str, depth: usize) -> Vec<String> {
    let mut used = Vec::new();
    for root in ["crate::".to_owned(), "boatswain::".to_owned(), "super::".repeat(depth)] {
        for (at, _) in code.match_indices(&root) {
            let before = &code[..at];
            if before.ends_with("::") || before.ends_with(is_word) {
                continue;
            }
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => used.extend(group_heads(group)),
                None => used.push(first_word(rest)),
            }
        }
    }
    used
}

/// The first words of the parts of a `{a::b, c::{d, e}}`, given what comes after its first brace.
fn group_heads(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 0 => {
                heads.push(first_word(&group[start..at]));
                start = at + 1;
            }
            '}' if depth == 0 => {
                heads.push(first_word(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| is_word(*c)).collect()
}

fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = word.starts_with(is_word) && code[..at].ends_with(is_word);
        let after = word.ends_with(is_word) && code[at + word.len()..].starts_with(is_word);
        !before && !after
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Without modules (in braces) and items that are compiled for tests only.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut left = code;
    let mut kept = String::new();
    while let Some(at) = left.find(MARK) {
        kept.push_str(&left[..at]);
        left = &left[at + MARK.len()..];
        let mut depth = 0;
        let end = left.char_indices().find_map(|(i, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ';' => return (depth == 0).then_some(i + 1),
                _ => return None,
            }
            (depth == 0).then_some(i + 1)
        });
        left = &left[end.unwrap_or(left.len())..];
    }
    kept + left
}

/// The text without comments, and with nothing in its strings and characters.
fn bare(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let raw =
            ["r\"", "r#\"", "r##\"", "br\"", "br#\""].iter().find(|p| rest.starts_with(**p) && !out.ends_with(is_word));
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if rest.starts_with("/*") {
            rest = &rest[block_comment(rest)..];
        } else if let Some(start) = raw {
            let end = format!("\"{}", "#".repeat(start.matches('#').count()));
            let body = &rest[start.len()..];
            rest = body.find(&end).map_or("", |at| &body[at + end.len()..]);
            out.push_str("\"\"");
        } else if c == '"' {
            rest = &rest[quoted(rest, '"')..];
            out.push_str("\"\"");
        } else if c == '\'' && is_character(rest) {
            rest = &rest[quoted(rest, '\'')..];
            out.push_str("' '");
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Bytes of a nested block comment.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let step = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Bytes of a string or character that begins and ends with `quote`.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether a `'` begins a character and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    matches!((chars.next(), chars.next()), (Some('\\'), _) | (Some(_), Some('\'')))
}
