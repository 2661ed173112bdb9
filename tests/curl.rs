//! Runs every script of `tests/curl/` against a server of its own: one script, one case. A new script in that
//! folder is picked up by itself. The scripts run by hand against any server just as well:
//! `BASE=http://board:8080 AUTH=user:password sh tests/curl/page.sh`.
//!
//! It has its own small runner (`harness = false`), because the cases are the folder's files; it understands what
//! `cargo test` and `cargo nextest` ask for: `--list`, a name to look for, `--exact`, `--skip`.
#![allow(clippy::print_stdout)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use support::{Server, Setup, auth};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    let scripts: Vec<PathBuf> = scripts().into_iter().filter(|s| wanted(&arguments, &name(s))).collect();
    if has("--list") {
        let scripts = if has("--ignored") { Vec::new() } else { scripts };
        scripts.iter().for_each(|s| println!("{}: test", name(s)));
        return ExitCode::SUCCESS;
    }

    println!("\nrunning {} tests", scripts.len());
    let (mut passed, mut failed) = (0, 0);
    for script in &scripts {
        match run(script) {
            Ok(note) => {
                println!("test {} ... ok{note}", name(script));
                passed += 1;
            }
            Err(why) => {
                println!("test {} ... FAILED\n{why}", name(script));
                failed += 1;
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/curl");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("tests/curl")
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "sh"))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no script in tests/curl");
    found
}

fn name(script: &Path) -> String {
    script.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn wanted(arguments: &[String], name: &str) -> bool {
    let exact = arguments.iter().any(|a| a == "--exact");
    let matches = |filter: &String| if exact { name == filter } else { name.contains(filter.as_str()) };
    let (mut filters, mut skipped) = (Vec::new(), Vec::new());
    let mut rest = arguments.iter();
    while let Some(a) = rest.next() {
        match a.as_str() {
            "--skip" => skipped.extend(rest.next()),
            "--format" | "--test-threads" | "--color" | "--report-time" | "-Z" => drop(rest.next()),
            flag if flag.starts_with('-') => {}
            _ => filters.push(a),
        }
    }
    (filters.is_empty() || filters.into_iter().any(matches)) && !skipped.into_iter().any(matches)
}

/// Runs it as an operator would, as an admin; what it printed, if it failed.
fn run(script: &Path) -> Result<String, String> {
    let setup = Setup::default().table("devices", "listen = [\"127.0.0.1:0\"]");
    let server: Server = setup.table("seats", "max = 4\nreserved = 0").start();
    let devices = server.wait_log("kind=devices");
    let devices = devices.split("addr=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let done = Command::new("sh")
        .arg(script)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("BASE", server.base())
        .env("AUTH", auth("admin"))
        .env("GUEST", auth("bob"))
        .env("DEVICES", devices)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("sh: {e}"))?;
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if !done.status.success() {
        return Err(format!("{said}--- the server's log\n{}---", server.log()));
    }
    // Against our own server nothing has to be skipped.
    match said.lines().find(|l| l.starts_with("skipped")) {
        Some(line) => Err(format!("{line}\n")),
        None => Ok(format!(" ({} checks)", said.lines().filter(|l| l.starts_with("  ok:")).count())),
    }
}
