//! What commands say to the user who runs them, and their exit status.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::Mistake;
use crate::net::stderr;
use crate::shown::Excerpt;

/// Exit status of a failure at run time.
pub const FAILED: u8 = 1;

/// Exit status of bad usage or configuration.
pub const MISUSED: u8 = 2;

/// Tells every mistake on stderr, one line each; the exit status for them.
pub fn misconfigured(mistakes: &[Mistake]) -> ExitCode {
    for mistake in mistakes {
        complain(&mistake.to_string());
    }
    ExitCode::from(MISUSED)
}

/// One line on stderr; the exit status `code`.
pub fn fail(code: u8, what: &str) -> ExitCode {
    complain(what);
    ExitCode::from(code)
}

/// One line on stderr.
pub fn complain(what: &str) {
    stderr::tell(what);
}

/// Asks for something on stderr.
#[allow(clippy::disallowed_methods)] // a question, not a message
pub fn prompt(text: &str) {
    // A prompt that cannot be shown is no reason not to read.
    let _ = write!(io::stderr(), "{}", Excerpt(text, usize::MAX));
}

/// Ends the line of a question whose answer is not shown.
#[allow(clippy::disallowed_methods)] // the end of a question
pub fn end_of_line() {
    let _ = writeln!(io::stderr());
}

/// Lines on stdout.
#[allow(clippy::disallowed_methods)] // the one place that prints
pub fn print(text: &str) -> ExitCode {
    let lines: String = text.lines().map(|line| format!("{}\n", Excerpt(line, usize::MAX))).collect();
    let mut out = io::stdout().lock();
    match out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // `boatswain --help | head -1` has got what it wanted.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => fail(FAILED, &format!("cannot write to stdout: {e}")),
    }
}
