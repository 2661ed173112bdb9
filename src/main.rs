//! The program: hands arguments and environment to the command that they ask for.

use std::process::ExitCode;

use boatswain::cli;

fn main() -> ExitCode {
    cli::run(std::env::args_os().skip(1), std::env::vars_os().collect(), cli::serve::serve)
}
