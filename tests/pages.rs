//! The built-in pages, as files: small, and written so that they work under a strict content security policy.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use sha2::{Digest, Sha256};

/// All of them together: what a first visit over a slow link has to carry.
const BYTES_MAX: u64 = 60_000;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("www");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
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
        assert!(!text("app.js").contains(way), "app.js uses {way}");
    }
}

#[test]
fn the_page_has_no_inline_script_or_style() {
    let page = text("index.html");
    assert!(!page.contains("<style") && !page.contains("style="), "inline style");
    assert!(page.matches("<script").count() == page.matches("<script src=").count(), "inline script");
    assert!(!["onclick=", "onload=", "onerror="].iter().any(|h| page.contains(h)), "inline handler");
}

#[test]
fn the_full_house_page_allows_exactly_its_own_style() {
    let page = text("full.html");
    let style = page.split("<style>").nth(1).and_then(|s| s.split("</style>").next()).unwrap();
    let hash = base64::prelude::BASE64_STANDARD.encode(Sha256::digest(style));
    assert!(page.contains(&format!("style-src 'sha256-{hash}'")), "the style's hash is now sha256-{hash}");
    assert!(page.contains("{{seats}}") && page.contains("{{members}}"));
    assert!(
        !page.contains("src=") && !page.contains("url("),
        "it asks for nothing else: any request would be refused too"
    );
}
