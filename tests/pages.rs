//! The built-in pages, as files: small, and written so that they work under a strict content security policy.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::print_stdout)] // a skipped test says why

use std::path::{Path, PathBuf};

/// Bytes of everything in `www`, each file compressed by gzip, as here all sizes: what counts is what a phone downloads.
const ALL_MAX: usize = 60_000;
/// The first visit to the panel: all of it, in whatever language, but not the full-house page.
const VISIT_MAX: usize = 36_000;
/// The page client alone: for pages of the user's own.
const CLIENT_MAX: usize = 11_000;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("www");
    let within = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> =
        within(folder.clone()).chain(within(folder.join("lang"))).filter(|p| p.is_file()).collect();
    files.sort();
    files
}

fn is_language(file: &Path) -> bool {
    file.parent().is_some_and(|folder| folder.ends_with("lang"))
}

fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("www").join(name)).unwrap()
}

/// Bytes of a file as gzip compresses it.
fn packed(file: &Path) -> usize {
    let packed = std::process::Command::new("gzip").arg("-9c").arg(file).output().expect("gzip: install it");
    assert!(packed.status.success(), "{}", file.display());
    packed.stdout.len()
}

#[test]
fn a_visit_is_small_in_every_language_and_so_is_all_there_is() {
    let (mut all, mut visit, mut language) = (0, 0, 0);
    for file in files() {
        let bytes = packed(&file);
        all += bytes;
        match file.file_name().and_then(|n| n.to_str()) {
            Some("full.html") => {}
            _ if is_language(&file) => language = language.max(bytes),
            name => {
                assert!(name != Some("boatswain.js") || bytes <= CLIENT_MAX, "{bytes} bytes of the page client");
                visit += bytes;
            }
        }
    }
    println!("gzip: {all} bytes in all, {} for a first visit", visit + language);
    assert!(all <= ALL_MAX, "{all} bytes in all");
    assert!(visit + language <= VISIT_MAX, "{} bytes for a first visit", visit + language);
}

#[test]
fn every_language_has_the_same_words() {
    /// Each key with the names in braces that its sentence has filled in.
    fn words(file: &Path) -> Vec<(String, Vec<String>)> {
        let text = std::fs::read_to_string(file).unwrap();
        let body = text.strip_prefix("export default `\n").and_then(|t| t.strip_suffix("\n`;\n")).unwrap();
        assert!(!body.contains(['`', '\\', '$']), "{}: a sentence is plain text", file.display());
        let mut words: Vec<_> =
            body.lines().filter(|line| !line.is_empty()).map(|line| line.split_once(": ").unwrap()).collect();
        words.sort_unstable();
        let filled = |sentence: &str| {
            let mut names: Vec<_> =
                sentence.split('{').skip(1).map(|s| s.split_once('}').unwrap().0.to_owned()).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        words.into_iter().map(|(key, sentence)| (key.to_owned(), filled(sentence))).collect()
    }
    let english = words(files().iter().find(|f| f.ends_with("lang/en.js")).unwrap());
    assert!(english.len() > 100 && english.windows(2).all(|w| w[0].0 != w[1].0), "{english:?}");
    for language in files().iter().filter(|f| is_language(f)) {
        assert_eq!(words(language), english, "{}", language.display());
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
