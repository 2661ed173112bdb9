//! The built-in pages, as files: small, and written so that they work under a strict content security policy.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::print_stdout)] // a skipped test says why

use std::path::{Path, PathBuf};

/// All pages, styles, scripts and languages, but the page client.
const ALL_MAX: u64 = 60_000;
/// What a first visit over a slow link has to carry, the client included, in whatever language: not the full-house page,
/// one language, and not the part for machines, which a board without them need not have had.
const VISIT_MAX: u64 = 60_000;
/// The page client alone, as compressed by gzip: for pages of the user's own.
const CLIENT_GZIP_MAX: usize = 8_000;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("www");
    let within = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> =
        within(folder.clone()).chain(within(folder.join("lang"))).filter(|p| p.is_file()).collect();
    files.sort();
    files
}

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("www").join(name)).unwrap()
}

#[test]
fn all_is_small_and_a_visit_in_every_language_too() {
    let (mut all, mut common, mut languages) = (0, 0, Vec::new());
    for file in files() {
        let bytes = file.metadata().unwrap().len();
        let name = file.file_name().and_then(|n| n.to_str());
        all += if name == Some("boatswain.js") { 0 } else { bytes };
        match name {
            Some("full.html" | "machines.js") => {}
            _ if file.parent().is_some_and(|p| p.ends_with("lang")) => languages.push((bytes, file)),
            _ => common += bytes,
        }
    }
    assert!(all <= ALL_MAX, "{all} bytes without the page client");
    assert_eq!(languages.len(), 3);
    for (bytes, file) in languages {
        assert!(common + bytes <= VISIT_MAX, "{} bytes with {}", common + bytes, file.display());
    }
}

#[test]
fn the_page_client_is_under_8_kilobytes_compressed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("www/boatswain.js");
    let Ok(packed) = std::process::Command::new("gzip").arg("-9c").arg(file).output() else {
        return println!("skipped: there is no gzip");
    };
    assert!(packed.status.success() && packed.stdout.len() <= CLIENT_GZIP_MAX, "{} bytes", packed.stdout.len());
}

#[test]
fn every_language_has_the_same_words() {
    let words = |language: &str| {
        let text = text(&format!("lang/{language}.js"));
        let body = text.strip_prefix("export default `\n").and_then(|t| t.strip_suffix("\n`;\n")).unwrap();
        let lines = body.lines().filter(|line| !line.is_empty());
        let mut keys: Vec<String> = lines.map(|line| line.split_once(": ").unwrap().0.to_owned()).collect();
        keys.sort();
        keys
    };
    let english = words("en");
    assert!(english.len() > 100 && english.windows(2).all(|w| w[0] != w[1]), "{english:?}");
    for language in ["ru", "zh"] {
        assert_eq!(words(language), english, "{language}");
    }
}

#[test]
fn no_page_fetches_anything_from_elsewhere() {
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        let far = text.replace("http://www.w3.org/2000/svg", "").replace("http://user:password@board/", "");
        for line in far.lines().filter(|l| l.contains("http://") || l.contains("https://")) {
            assert!(line.contains("curl"), "{}: {line}", file.display());
        }
    }
}

/// What could make markup, style or code of a text.
const WAYS: [&str; 15] = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "setHTML",
    "srcdoc",
    "createContextualFragment",
    "DOMParser",
    "document.write",
    "eval(",
    "new Function",
    "cssText",
    ".style",
    "adoptedStyleSheets",
    "javascript:",
    "import(w",
];

#[test]
fn text_of_users_never_becomes_markup() {
    for way in WAYS {
        for file in files().iter().filter(|f| f.extension().is_some_and(|e| e == "js" || e == "html")) {
            assert!(!std::fs::read_to_string(file).unwrap().contains(way), "{} uses {way}", file.display());
        }
    }
}

/// The arguments of each call of `name` in `text`, as they are written.
fn calls<'a>(text: &'a str, name: &str) -> Vec<Vec<&'a str>> {
    let mut all = Vec::new();
    for (at, _) in text.match_indices(&format!("{name}(")) {
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.');
        if text[..at].ends_with(is_part) && !text[..at].ends_with("...") {
            continue;
        }
        let begin = at + name.len() + 1;
        let (mut depth, mut from, mut arguments) = (1, begin, Vec::new());
        for (i, c) in text[begin..].char_indices() {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && c == ',') {
                arguments.push(text[from..begin + i].trim());
                from = begin + i + 1;
            }
            if depth == 0 {
                break;
            }
        }
        all.push(arguments);
    }
    all
}

/// Foreign objects are data: were one a bag of properties, its names would decide what the page does.
#[test]
fn properties_of_elements_are_named_in_the_code() {
    let literal = |bag: &str| bag.split(" ? ").last().unwrap().split(" : ").all(is_literal) || is_literal(bag);
    fn is_literal(bag: &str) -> bool {
        bag.starts_with('{') && bag.ends_with('}') && !bag.contains("...")
    }
    let mut seen = 0;
    for file in ["machines.js", "panel.js", "words.js"] {
        let text = text(file);
        for arguments in calls(&text, "set") {
            assert!(arguments.len() == 2 && literal(arguments[1]), "{file}: set({})", arguments.join(", "));
            seen += 1;
        }
        for arguments in calls(&text, "el") {
            for child in arguments.iter().skip(1) {
                assert!(!child.starts_with('{'), "{file}: el({}): properties are for `set`", arguments.join(", "));
            }
        }
        assert!(!text.contains("Object.assign(el") && !text.contains("Object.assign($"), "{file}");
    }
    assert!(seen > 10, "{seen} calls");
}

#[test]
fn the_page_has_no_inline_script_or_style() {
    let page = text("index.html");
    assert!(!page.contains("<style") && !page.contains("style="), "inline style");
    assert!(page.matches("<script").count() == page.matches("<script type=\"module\" src=").count(), "inline script");
    assert!(!["onclick=", "onload=", "onerror="].iter().any(|h| page.contains(h)), "inline handler");
}
