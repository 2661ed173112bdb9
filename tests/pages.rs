//! The built-in pages, as files: small, and written so that they work under a strict content security policy.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::print_stdout)] // a skipped test says why

use std::path::{Path, PathBuf};

/// What a first visit over a slow link has to carry, in whatever language: not the full-house page, and one language.
const VISIT_MAX: u64 = 60_000;
/// The part for machines, which a board without them need not have had, comes on top.
const MACHINES_MAX: u64 = 15_000;
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
fn a_visit_is_small_in_every_language() {
    let (mut common, mut languages) = (0, Vec::new());
    for file in files() {
        let bytes = file.metadata().unwrap().len();
        match file.file_name().and_then(|n| n.to_str()) {
            Some("full.html") => {}
            Some("machines.js") => assert!(bytes <= MACHINES_MAX, "{bytes} bytes for machines"),
            _ if file.parent().is_some_and(|p| p.ends_with("lang")) => languages.push((bytes, file)),
            _ => common += bytes,
        }
    }
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
        let mut keys: Vec<String> = text
            .split(": '")
            .filter_map(|before| before.rsplit([' ', '\n']).next().map(str::to_owned))
            .filter(|key| !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            .collect();
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

#[test]
fn text_of_users_never_becomes_markup() {
    for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
        for file in files().iter().filter(|f| f.extension().is_some_and(|e| e == "js")) {
            assert!(!std::fs::read_to_string(file).unwrap().contains(way), "{} uses {way}", file.display());
        }
    }
}

#[test]
fn the_page_has_no_inline_script_or_style() {
    let page = text("index.html");
    assert!(!page.contains("<style") && !page.contains("style="), "inline style");
    assert!(page.matches("<script").count() == page.matches("<script type=\"module\" src=").count(), "inline script");
    assert!(!["onclick=", "onload=", "onerror="].iter().any(|h| page.contains(h)), "inline handler");
}
