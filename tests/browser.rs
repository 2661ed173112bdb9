//! The built-in pages in real browsers: Chromium and Firefox as Debian packages them, driven by the scripts in
//! tests/browser (Node, puppeteer-core). What is missing on this machine is said, and that part is skipped.
//!
//! One browser test at a time: they measure times, and browsers take what they can get.
#![allow(clippy::print_stdout)] // a skipped test says why

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser")
}

fn is_there(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output();
    found.is_ok_and(|o| o.status.success())
}

/// What is missing to run a script in `browser`, if anything is.
fn missing(browser: &str, cuts: bool) -> Option<String> {
    if std::env::var_os("TEST_BROWSERS").is_none() {
        return Some("they take minutes: ./test browser runs them, or TEST_BROWSERS=1".into());
    }
    if !is_there("node") {
        return Some("there is no node (Debian: apt install nodejs npm)".into());
    }
    let program = if browser == "firefox" { "firefox-esr" } else { "chromium" };
    if !is_there(program) {
        return Some(format!("there is no {program} (Debian: apt install {program})"));
    }
    if cuts && !Command::new("unshare").args(["-n", "true"]).output().is_ok_and(|o| o.status.success()) {
        return Some("network namespaces need root".into());
    }
    if cuts && !is_there("nft") {
        return Some("there is no nft (Debian: apt install nftables)".into());
    }
    if !folder().join("node_modules/puppeteer-core").exists() {
        let install = Command::new("npm")
            .args(["ci", "--omit=optional", "--no-audit", "--no-fund"])
            .current_dir(folder())
            .output();
        match install {
            Ok(o) if o.status.success() => {}
            Ok(o) => return Some(format!("npm ci failed in tests/browser: {}", String::from_utf8_lossy(&o.stderr))),
            Err(e) => return Some(format!("there is no npm ({e}; Debian: apt install npm)")),
        }
    }
    None
}

fn run(script: &str, browser: &str) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    let cuts = script == "cuts";
    if let Some(why) = missing(browser, cuts) {
        println!("skipped: {why}");
        return;
    }
    let file = folder().join(format!("{script}.test.mjs"));
    let mut command = Command::new(if cuts { "unshare" } else { "node" });
    if cuts {
        command.args(["-n", "node"]);
    }
    let done = command
        .args(["--test", "--test-reporter=spec"])
        .arg(file)
        .env("BOATSWAIN", env!("CARGO_BIN_EXE_boatswain"))
        .env("BROWSER", browser)
        .output()
        .expect("node starts");
    println!("{}", String::from_utf8_lossy(&done.stdout));
    assert!(done.status.success(), "{script} in {browser}: see above\n{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn everyday_life_in_chromium() {
    run("everyday", "chromium");
}

#[test]
fn everyday_life_in_firefox() {
    run("everyday", "firefox");
}

#[test]
fn what_becomes_of_a_page_in_chromium() {
    run("states", "chromium");
}

#[test]
fn what_becomes_of_a_page_in_firefox() {
    run("states", "firefox");
}

#[test]
fn a_cut_cable_seen_from_chromium() {
    run("cuts", "chromium");
}

#[test]
fn a_cut_cable_seen_from_firefox() {
    run("cuts", "firefox");
}

#[test]
fn every_view_is_accessible_and_has_its_picture() {
    run("views", "chromium");
}

#[test]
fn machines_in_chromium() {
    run("machines", "chromium");
}

#[test]
fn machines_in_firefox() {
    run("machines", "firefox");
}

#[test]
fn strangers_in_chromium() {
    run("strangers", "chromium");
}

#[test]
fn strangers_in_firefox() {
    run("strangers", "firefox");
}
