//! The scripts of `board/` say in one line what is wrong and what to do. Nothing is fetched or built here.

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
