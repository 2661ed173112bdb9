//! `boatswain check`: says `ok`, or every mistake in the settings.

use std::fmt::Write;
use std::process::ExitCode;

use super::machine::ThisMachine;
use super::say::{MISUSED, complain, print};
use crate::config::Source;

/// Reads and checks everything that a start would; findings go to stdout, warnings to stderr.
pub fn run(source: &Source) -> ExitCode {
    match source.load(&ThisMachine) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                complain(&format!("warning: {warning}"));
            }
            print("ok\n")
        }
        Err(mistakes) => {
            let mut text = String::new();
            for mistake in &mistakes {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{mistake}");
            }
            print(&text);
            ExitCode::from(MISUSED)
        }
    }
}
