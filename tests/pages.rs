//! The built-in pages, as files: small, and written so that they work under a strict content security policy.

#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

use std::path::{Path, PathBuf};

/// All of them together: what a first visit over a slow link has to carry.
const BYTES_MAX: u64 = 60_000;

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
fn the_built_in_pages_are_under_60_kilobytes_together() {
    let bytes: u64 = files().iter().map(|f| f.metadata().unwrap().len()).sum();
    assert!(bytes <= BYTES_MAX, "{bytes} bytes");
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
