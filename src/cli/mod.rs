//! The command line: what was asked for, and the commands that are not the server.
//!
//! Exit status: 0 asked to stop or done, 1 a failure at run time, 2 bad usage or configuration.

pub mod args;
pub mod check;
pub mod demo;
mod edit;
pub mod link;
mod machine;
pub mod passwd;
pub mod pump;
pub mod serve;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::{Environment, Mistake};
use crate::net::stderr;
use crate::shown::Excerpt;
use args::{Command, Start};

/// Exit status of a failure at run time.
pub const FAILED: u8 = 1;

/// Exit status of bad usage or configuration.
pub const MISUSED: u8 = 2;

/// Does what the arguments ask for. `serve` is the server: it gets where its settings come from, and reads them itself.
pub fn run(
    arguments: impl IntoIterator<Item = std::ffi::OsString>,
    mut environment: Environment,
    serve: fn(Start) -> ExitCode,
) -> ExitCode {
    environment.retain(|(name, _)| name != serve::WITHOUT); // known, but no setting
    let status = match args::parse(arguments, environment) {
        Ok(Command::Serve(start)) => serve(start),
        Ok(Command::Check(source)) => check::run(&source),
        Ok(Command::Passwd { file, user }) => passwd::run(&file, &user),
        Ok(Command::Link(options)) => link::run(options),
        Ok(Command::Pump) => pump::run(),
        Ok(Command::Help) => print(args::HELP),
        Ok(Command::Version) => print(concat!("boatswain ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(what) => fail(MISUSED, &what),
    };
    stderr::finish();
    status
}

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
fn prompt(text: &str) {
    // A prompt that cannot be shown is no reason not to read.
    let _ = write!(io::stderr(), "{}", Excerpt(text, usize::MAX));
}

/// Ends the line of a question whose answer is not shown.
#[allow(clippy::disallowed_methods)] // the end of a question
fn end_of_line() {
    let _ = writeln!(io::stderr());
}

/// Lines on stdout.
#[allow(clippy::disallowed_methods)] // the one place that prints
fn print(text: &str) -> ExitCode {
    let lines: String = text.lines().map(|line| format!("{}\n", Excerpt(line, usize::MAX))).collect();
    let mut out = io::stdout().lock();
    match out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // `boatswain --help | head -1` has got what it wanted.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => fail(FAILED, &format!("cannot write to stdout: {e}")),
    }
}
