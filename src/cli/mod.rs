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
pub mod say;
pub mod serve;

use std::process::ExitCode;

use crate::config::Environment;
use crate::net::stderr;
use args::{Command, Start};
use say::{MISUSED, fail, print};

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
