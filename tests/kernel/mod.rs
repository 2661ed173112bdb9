//! Kernels older than the one that runs the tests: what they lack is refused to the server, as they would refuse it.
#![allow(dead_code)] // each test binary uses its own part of this

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// `env` and its arguments, before the program that is to run on a kernel without these helps (of `older.c`).
pub fn without(helps: &str) -> Vec<String> {
    let library = library().display().to_string();
    vec!["env".into(), format!("LD_PRELOAD={library}"), format!("OLDER_KERNEL={helps}")]
}

/// Compiled once a test run; `cc` is there, for Rust links by it.
fn library() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("older-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/older.c");
        let done =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&made).arg(source).arg("-ldl").output();
        let done = done.expect("cc runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        made
    })
}

/// Whether `setpriv` can take a capability away: util-linux, and the right to.
pub fn can_drop() -> bool {
    Command::new("setpriv").args(DROP).arg("true").output().is_ok_and(|o| o.status.success())
}

/// Before a program that is to run without CAP_NET_ADMIN.
pub const DROP: &[&str] = &["--bounding-set=-net_admin", "--inh-caps=-net_admin"];
