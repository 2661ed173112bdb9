//! The arguments. Values of settings are not looked at here: they are checked with the settings of the other layers.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg;

use super::link;
use super::link::address::Server;
use crate::config::{Environment, Options, Source};
use crate::link::lines::name_fault;

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Be the server.
    Serve(Start),
    /// Check the settings.
    Check(Source),
    /// Set a user's password.
    Passwd {
        /// The users file.
        file: PathBuf,
        /// The user.
        user: String,
    },
    /// Make a program a device.
    Link(link::Options),
    /// Be a pump that does not exist, for `--demo`; not in the help.
    Pump,
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
}

/// What the server was asked to be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Start {
    /// Where its settings are.
    pub source: Source,
    /// With a simulated pump attached.
    pub demo: bool,
}

/// What `--help` prints.
pub const HELP: &str = "\
Boatswain: the web server on the board. Pages, seats for people, and who has vanished within 3 seconds.

Usage:
  boatswain [serve] [-c FILE] [--listen ADDR:PORT]... [--www DIR] [--users FILE] [--seats N] [--demo]
  boatswain passwd FILE USER     set a user's password; asks twice on a terminal, reads one line from a pipe
  boatswain link --server HOST:PORT --name NAME [--token-file FILE] [-- COMMAND ARG...]
                                 make a program a device: commands on its stdin, telemetry and answers on its stdout
  boatswain check -c FILE        print `ok`, or every mistake as FILE:LINE:COLUMN: what is wrong
  boatswain --help | --version

Options of serve (they win over the environment, that over the file, that over the defaults):
  -c, --config FILE     settings (TOML)
  --listen ADDR:PORT    listen here instead, also unix:/PATH; may be repeated       [0.0.0.0:8080 and [::]:8080]
  --www DIR             folder of the pages                                         [the built-in pages]
  --users FILE          users and password hashes, made by `boatswain passwd`       [operator, password printed once]
  --seats N             how many people may be here at a time                       [10]
  --demo                with a simulated pump attached, to see control, telemetry and the dead man's switch

Every setting can also be given by a variable: seats.max is BOATSWAIN_SEATS_MAX. RUST_LOG sets what is logged.
Signals: HUP reads the settings and the users again, TERM and INT stop, a second one at once.
Exit status: 0 asked to stop, 1 a failure at run time, 2 bad usage or configuration.
";

/// Understands the arguments (without the program's name). `Err` is one line for the user.
pub fn parse(arguments: impl IntoIterator<Item = OsString>, environment: Environment) -> Result<Command, String> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut source = Source { environment, ..Source::default() };
    let mut demo = false;
    // The name of the command, once it is known; options alone mean `serve`.
    let mut command: Option<&'static str> = None;
    let mut operands: Vec<OsString> = Vec::new();
    while let Some(arg) = parser.next().map_err(|e| with_hint(&e.to_string()))? {
        let asked = command.unwrap_or("serve");
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Version),
            Arg::Short('c') | Arg::Long("config") if asked != "passwd" => {
                let file = value(&mut parser, "-c", "the settings file")?;
                if source.file.replace(file.into()).is_some() {
                    return Err(with_hint("-c was given twice; there is one settings file"));
                }
            }
            Arg::Long("listen") if asked == "serve" => {
                let addr = word(&mut parser, "--listen", "an address like 0.0.0.0:8080")?;
                source.options.listen.push(addr);
            }
            Arg::Long("www") if asked == "serve" => {
                let value = word(&mut parser, "--www", "a folder")?;
                once(&mut source.options.www, value, "--www")?;
            }
            Arg::Long("users") if asked == "serve" => {
                let value = word(&mut parser, "--users", "a users file")?;
                once(&mut source.options.users, value, "--users")?;
            }
            Arg::Long("seats") if asked == "serve" => {
                let value = word(&mut parser, "--seats", "a number")?;
                once(&mut source.options.seats, value, "--seats")?;
            }
            Arg::Long("demo") if asked == "serve" => demo = true,
            Arg::Long(name) if ["tls", "ssl", "https", "cert"].iter().any(|tls| name.starts_with(tls)) => {
                return Err(format!(
                    "--{name}: TLS is not in this version; put a proxy that speaks TLS in front, on the same machine"
                ));
            }
            Arg::Value(value) if command.is_none() => {
                // Options before the command are those of `serve` or `check`; `passwd` has none.
                command = Some(match value.to_str() {
                    Some("serve") => "serve",
                    Some("check") => "check",
                    Some("passwd") => "passwd",
                    Some("help") => return Ok(Command::Help),
                    Some("pump") => return Ok(Command::Pump),
                    Some("link") if source.file.is_none() && source.options == Options::default() && !demo => {
                        return link(parser);
                    }
                    Some("link") => return Err(with_hint("options of link come after `link`")),
                    _ => return Err(with_hint(&format!("there is no command {value:?}"))),
                });
            }
            Arg::Value(value) if asked == "passwd" && operands.len() < 2 => operands.push(value),
            Arg::Value(value) => return Err(with_hint(&format!("{asked} takes no argument {value:?}"))),
            other => {
                let (name, near) = match other {
                    Arg::Long(name) => (format!("--{name}"), like(name).filter(|near| *near != name)),
                    Arg::Short(letter) => (format!("-{letter}"), None),
                    Arg::Value(value) => (format!("{value:?}"), None),
                };
                let near = near.map(|near| format!("; did you mean --{near}?")).unwrap_or_default();
                return Err(with_hint(&format!("{asked} has no option {name}{near}")));
            }
        }
    }
    match command.unwrap_or("serve") {
        "serve" => Ok(Command::Serve(Start { source, demo })),
        other if demo => Err(with_hint(&format!("--demo is an option of serve, not of {other}"))),
        other => finish(other, source, operands),
    }
}

fn finish(command: &str, source: Source, operands: Vec<OsString>) -> Result<Command, String> {
    match command {
        "passwd" => {
            if source.file.is_some() || source.options != Options::default() {
                return Err(with_hint("passwd has no options: boatswain passwd FILE USER"));
            }
            let mut operands = operands.into_iter();
            let (Some(file), Some(user)) = (operands.next(), operands.next()) else {
                return Err(with_hint("passwd needs a users file and a name: boatswain passwd FILE USER"));
            };
            let user = user.into_string().map_err(|user| format!("the name {user:?} is not UTF-8; choose another"))?;
            Ok(Command::Passwd { file: file.into(), user })
        }
        _ => {
            if source.options != Options::default() {
                return Err(with_hint("check has one option: boatswain check -c FILE"));
            }
            if source.file.is_none() {
                return Err(with_hint("check needs a settings file: boatswain check -c FILE"));
            }
            Ok(Command::Check(source))
        }
    }
}

/// What comes after `boatswain link`.
fn link(mut parser: lexopt::Parser) -> Result<Command, String> {
    const USAGE: &str = "boatswain link --server HOST:PORT --name NAME [--token-file FILE] [-- COMMAND ARG...]";
    let (mut server, mut name, mut token_file) = (None, None, None);
    let mut command = Vec::new();
    loop {
        // `--` is looked for here: what comes after it is COMMAND's, options included.
        if let Some(mut rest) = parser.try_raw_args() {
            if rest.peek().is_some_and(|next| next == "--") {
                rest.next();
                command.extend(rest);
                if command.is_empty() {
                    return Err(with_hint("link: there is no COMMAND after --"));
                }
                break;
            }
        }
        match parser.next().map_err(|e| with_hint(&e.to_string()))? {
            None => break,
            Some(Arg::Short('h') | Arg::Long("help")) => return Ok(Command::Help),
            Some(Arg::Long("server")) => {
                once(&mut server, word(&mut parser, "--server", "HOST:PORT of a device listener")?, "--server")?;
            }
            Some(Arg::Long("name")) => once(&mut name, word(&mut parser, "--name", "the device's name")?, "--name")?,
            Some(Arg::Long("token-file")) => {
                once(&mut token_file, word(&mut parser, "--token-file", "a file")?, "--token-file")?;
            }
            Some(Arg::Value(value)) => {
                return Err(with_hint(&format!("link: write -- before COMMAND: ... -- {}", value.to_string_lossy())));
            }
            Some(Arg::Long(name)) => return Err(with_hint(&format!("link has no option --{name}: {USAGE}"))),
            Some(Arg::Short(letter)) => return Err(with_hint(&format!("link has no option -{letter}: {USAGE}"))),
        }
    }
    let server = server.ok_or_else(|| with_hint(&format!("link needs --server: {USAGE}")))?;
    let name = name.ok_or_else(|| with_hint(&format!("link needs --name: {USAGE}")))?;
    let server = Server::parse(&server)?;
    match name_fault(&name) {
        Some(fault) => Err(format!("--name: {fault}")),
        None => Ok(Command::Link(link::Options { server, name, token_file: token_file.map(Into::into), command })),
    }
}

fn value(parser: &mut lexopt::Parser, option: &str, what: &str) -> Result<OsString, String> {
    let given = parser.value().map_err(|_| with_hint(&format!("{option} needs {what} after it")))?;
    if given.is_empty() {
        return Err(with_hint(&format!("{option} needs {what} after it, and there is an empty word")));
    }
    Ok(given)
}

fn word(parser: &mut lexopt::Parser, option: &str, what: &str) -> Result<String, String> {
    value(parser, option, what)?.into_string().map_err(|given| format!("{option}: {given:?} is not UTF-8"))
}

fn once(slot: &mut Option<String>, value: String, option: &str) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(with_hint(&format!("{option} was given twice"))),
    }
}

fn with_hint(what: &str) -> String {
    format!("{what} (see boatswain --help)")
}

/// The option that begins like `name`.
fn like(name: &str) -> Option<&'static str> {
    const OPTIONS: [&str; 8] = ["config", "demo", "help", "listen", "seats", "users", "version", "www"];
    let begins = |option: &&str| {
        let same = option.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        same >= 2 || (same == 1 && name.len() == 1)
    };
    OPTIONS.into_iter().find(begins)
}

#[cfg(test)]
mod tests;
