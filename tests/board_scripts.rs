//! The scripts of `board/` say in one line what is wrong and what to do. Nothing is fetched or built here.
#![allow(clippy::unwrap_used)] // A test; its helpers too.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn script(name: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("board").join(name));
    command.env("BOARD_DIR", folder(name)).env_remove("BOARD_WITH").env_remove("BOARD_MIRROR");
    command
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("board-{name}-{}", std::process::id()))
}

/// Its exit status and the last line on stderr.
fn ends(output: &Output) -> (Option<i32>, String) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn a_wrong_target_is_answered_with_the_nearest() {
    for (given, nearest) in [
        ("arm7", "armv7?"),
        ("aarch46", "aarch64?"),
        ("armv7-unknown-linux-musleabi", "armv7-unknown-linux-musleabihf?"),
        ("aarch64-linux-gnu", "aarch64-gnu?"),
    ] {
        let (code, said) = ends(&script("build").arg(given).output().unwrap());
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(&format!("there is no target `{given}`; did you mean {nearest}")), "{said}");
    }
    let (code, said) = ends(&script("package").arg("mips").output().unwrap());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("armhf, arm64 and amd64"), "{said}");
}

#[test]
fn a_missing_tool_is_named_with_how_to_get_it() {
    // The plainest of machines: the shell and what no machine is without.
    let bin = folder("bin");
    std::fs::create_dir_all(&bin).unwrap();
    for tool in ["sh", "dirname", "basename", "sed", "grep", "awk", "tr", "cat", "mkdir"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().unwrap();
        let _ = std::os::unix::fs::symlink(String::from_utf8_lossy(&found.stdout).trim(), bin.join(tool));
    }
    let poor = |with: &str| {
        let mut command = script("build");
        command.arg("armv7").env("PATH", &bin).env("HOME", "/nonexistent").env("BOARD_WITH", with);
        ends(&command.output().unwrap())
    };
    let (code, said) = poor("");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cargo is missing; get it from https://rustup.rs"), "{said}");
    std::fs::write(bin.join("cargo"), "").unwrap();
    let _ = Command::new("chmod").arg("+x").arg(bin.join("cargo")).status();
    std::fs::write(bin.join("cross"), "").unwrap();
    let _ = Command::new("chmod").arg("+x").arg(bin.join("cross")).status();
    let (code, said) = poor("cross");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cross needs docker or podman, and neither is here"), "{said}");
    let (_, said) = poor("");
    assert!(
        said.ends_with("rustup target add armv7-unknown-linux-musleabihf"),
        "cross without an engine is none: {said}"
    );
    std::fs::remove_file(bin.join("cross")).unwrap();
    for (with, remedy) in [
        ("", "rustup target add armv7-unknown-linux-musleabihf"),
        ("rustup", "rustup target add armv7-unknown-linux-musleabihf"),
        ("cross", "cargo install cross"),
    ] {
        let (code, said) = poor(with);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.ends_with(remedy), "{with}: {said}");
    }
    std::fs::remove_dir_all(bin).unwrap();
}

#[test]
fn without_a_network_it_says_so_and_how_to_name_another_mirror() {
    if !Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").exists() || cfg!(not(target_arch = "x86_64")) {
        eprintln!("skipped: Debian's packages are fetched on Debian's amd64 only");
        return;
    }
    let mut build = script("build");
    let nobody = "http://127.0.0.1:1/debian";
    let (code, said) =
        ends(&build.arg("armv7").env("BOARD_WITH", "debian").env("BOARD_MIRROR", nobody).output().unwrap());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("no package lists from {nobody}: is there a network?")), "{said}");
    assert!(said.contains("BOARD_MIRROR"), "{said}");
    let _ = std::fs::remove_dir_all(folder("build"));
}

/// Only OpenWrt's build system can show that OpenWrt builds it. This shows that make reads the recipe, and that its own
/// lines do what they should: whole sources, and files that the server can use as the user that procd gives it.
#[test]
fn the_openwrt_recipe_copies_whole_sources_and_installs_what_the_server_may_read() {
    if !Command::new("make").arg("--version").output().is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: make is not installed");
        return;
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = folder("openwrt");
    let make = |goal: &str| {
        let mut make = Command::new("make");
        make.args(["-s", "--warn-undefined-variables", "-C"]).arg(project.join("board/openwrt")).arg(goal);
        make.arg(format!("TOPDIR={}", project.join("tests/openwrt").display())).arg(format!("OUT={}", out.display()));
        let done = make.env_remove("MAKEFLAGS").output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success() && !said.contains("warning"), "make {goal}: {said}");
        said
    };
    let info = make("info");
    assert!(
        info.starts_with(concat!("boatswain ", env!("CARGO_PKG_VERSION"), "-1 MIT OR Apache-2.0: net, Network, ")),
        "{info}"
    );
    assert!(info.contains("kept: /etc/boatswain/"), "{info}");
    make("prepare");
    let sources = out.join(concat!("boatswain-", env!("CARGO_PKG_VERSION")));
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1", "--manifest-path"]);
    let read = cargo.arg(sources.join("Cargo.toml")).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    // The program that is under test stands for the one that cargo would make of these sources for the board.
    let made = sources.join("ipkg-install/bin");
    std::fs::create_dir_all(&made).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_boatswain"), made.join("boatswain")).unwrap();
    make("install");
    let mode = |file: &str| {
        let found = std::fs::metadata(out.join("root").join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o777
    };
    assert_eq!(mode("usr/bin/boatswain"), 0o755);
    assert_eq!(mode("etc/init.d/boatswain"), 0o755);
    assert_eq!(mode("etc/boatswain/boatswain.toml"), 0o644, "the server reads it as nobody");
    let check = Command::new(out.join("root/usr/bin/boatswain"))
        .args(["check", "-c"])
        .arg(out.join("root/etc/boatswain/boatswain.toml"))
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    std::fs::remove_dir_all(out).unwrap();
}

/// All shell scripts below `folder`.
fn shell_scripts(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            shell_scripts(&entry, found);
        } else if let Ok(text) = std::fs::read_to_string(&entry) {
            if text.starts_with("#!/bin/sh") {
                found.push((entry, text));
            }
        }
    }
}

#[test]
fn no_script_writes_a_file_of_a_fixed_name_where_everybody_may_make_links() {
    let mut found = Vec::new();
    shell_scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("board"), &mut found);
    assert!(found.len() > 10, "looked in the wrong place");
    for (file, text) in found {
        for (i, line) in text.lines().enumerate() {
            let fixed = ["/tmp/", "/var/tmp/", "/dev/shm/"].iter().any(|open| line.contains(open));
            assert!(!fixed, "{}:{}: use mktemp, or no file at all: {line}", file.display(), i + 1);
        }
    }
}

/// The init script of BusyBox, for a server whose settings are wrong.
#[test]
fn the_init_script_says_what_is_wrong_with_the_settings() {
    let folder = folder("init");
    std::fs::create_dir_all(&folder).unwrap();
    let settings = folder.join("boatswain.toml");
    std::fs::write(&settings, "seats = 3\n").unwrap();
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("board/busybox/S80boatswain")).unwrap();
    let text = text
        .replace("DAEMON=/usr/bin/boatswain", &format!("DAEMON={}", env!("CARGO_BIN_EXE_boatswain")))
        .replace("CONFIG=/etc/boatswain/boatswain.toml", &format!("CONFIG={}", settings.display()))
        .replace("/etc/default/", "/nonexistent/");
    let init = folder.join("S80boatswain");
    std::fs::write(&init, text).unwrap();
    let started = Command::new("sh").arg(&init).arg("start").output().unwrap();
    let said = String::from_utf8_lossy(&started.stdout);
    assert_eq!(started.status.code(), Some(1), "{said}");
    assert!(said.contains("FAIL") && said.contains("boatswain.toml:1:1: seats is a section"), "{said}");
    std::fs::remove_dir_all(folder).unwrap();
}
