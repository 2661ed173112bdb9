//! `boatswain link`: makes any program a device. It carries lines between the server and the program's standard input and
//! output, connects again and again, starts the program again when it ends, and says when there is no link.
//!
//! Small on purpose: one thread and a handful of descriptors, for boards with 32 MB.

pub mod address;
pub mod driver;
pub mod inbox;
pub mod machine;
pub mod outbox;
pub mod program;
pub mod remains;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::address::{Addresses, Server};
use self::driver::Driver;
use self::machine::{Machine, Setup};
use super::say::{FAILED, MISUSED, fail};
use crate::config::text;
use crate::net::{clock, stderr};
use crate::sys::child::Exits;
use crate::sys::process::{self, Signals};

/// Longest token: as long as a password may be (bcrypt reads 72 bytes).
const TOKEN_MAX: usize = 72;

/// Bytes read of its file at most: a larger one is not the right one.
const TOKEN_FILE_MAX: usize = 4 << 10;

/// What `boatswain link` was asked to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Where the server is.
    pub server: Server,
    /// Of the device.
    pub name: String,
    /// Where the token is.
    pub token_file: Option<PathBuf>,
    /// The program and its arguments; empty: our own standard input and output.
    pub command: Vec<OsString>,
}

/// Runs until it is told to stop, or its own standard input ends.
pub fn run(options: Options) -> ExitCode {
    stderr::start(log::LevelFilter::Info);
    match prepare(options).and_then(|mut driver| driver.run()) {
        Ok(status) => ExitCode::from(status),
        Err((status, what)) => fail(status, &format!("link: {what}")),
    }
}

fn prepare(options: Options) -> Result<Driver, (u8, String)> {
    let failed = |e: std::io::Error| (FAILED, e.to_string());
    let token = options.token_file.as_deref().map(token).transpose().map_err(|what| (MISUSED, what))?;
    process::ignore_sigpipe();
    let signals = Signals::take().map_err(failed)?;
    let exits = Exits::take().map_err(failed)?;
    let mut seed = [0; 4];
    process::getrandom(&mut seed).map_err(failed)?;
    let setup =
        Setup { name: options.name, token, command: !options.command.is_empty(), seed: u32::from_ne_bytes(seed) };
    let machine = Machine::new(clock::read(), setup);
    Driver::new(machine, options.command, Addresses::new(options.server), signals, exits).map_err(failed)
}

/// Reads the token: the file's only line.
fn token(file: &Path) -> Result<String, String> {
    let cannot = |why: &str| format!("--token-file {}: {why}", file.display());
    let open = File::open(file).map_err(|e| cannot(&format!("{e}; write the device's token into it")))?;
    if open.metadata().is_ok_and(|m| m.mode() & 0o004 != 0) {
        log::warn!("{}", cannot("everybody on this machine can read it; chmod o-r"));
    }
    let mut bytes = Vec::new();
    open.take(TOKEN_FILE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|e| cannot(&e.to_string()))?;
    let place = |(line, column, what): text::Fault| cannot(&format!("line {line}, column {column}: {what}"));
    let text = text::decode(&bytes, TOKEN_FILE_MAX).map_err(place)?;
    let line = text.trim_end_matches(['\r', '\n']);
    match line.chars().enumerate().find_map(|(i, c)| Some((1, i + 1, text::unseen_char(c)?))) {
        _ if line.is_empty() => Err(cannot("it is empty; write the device's token into it")),
        _ if line.contains('\n') => Err(cannot("it has more than one line")),
        Some(fault) => Err(place(fault)),
        _ if line.trim() != line => Err(cannot("the token begins or ends with a blank; leave it out")),
        _ if line.len() > TOKEN_MAX => Err(cannot(&format!("a token has at most {TOKEN_MAX} bytes"))),
        None => Ok(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_only_line_of_its_file() {
        let file = std::env::temp_dir().join(format!("boatswain-token-{}", std::process::id()));
        let read = |text: &[u8]| {
            std::fs::write(&file, text).unwrap();
            token(&file)
        };
        assert_eq!(read(b"s3cret\n"), Ok("s3cret".into()));
        assert_eq!(read(b"s3 cret\r\n"), Ok("s3 cret".into()));
        assert_eq!(read("\u{feff}s3cret\r\n\r\n".as_bytes()), Ok("s3cret".into()));
        assert_eq!(read(&[b'x'; TOKEN_MAX]), Ok("x".repeat(TOKEN_MAX)));
        for (text, words) in [
            (&b""[..], "empty"),
            (b"\n", "empty"),
            (b"a\nb\n", "more than one line"),
            (b"\xff", "not UTF-8"),
            (&[b'x'; TOKEN_MAX + 1], "at most 72"),
            (&[b'x'; 5000], "more than 4 KiB"),
            ("s3cret\u{a0}\n".as_bytes(), "line 1, column 7: the invisible character U+00A0"),
            (b"\xff\xfes\x003\x00", "UTF-16"),
            (b" s3cret\n", "blank"),
        ] {
            let what = read(text).unwrap_err();
            assert!(what.starts_with("--token-file /") && what.contains(words), "{what}");
        }
        std::fs::remove_file(&file).unwrap();
        assert!(token(&file).unwrap_err().contains("write the device's token"));
    }
}
