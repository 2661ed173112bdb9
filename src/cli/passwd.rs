//! `boatswain passwd FILE USER`: puts one line into a users file and leaves the others alone.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use super::edit::{edit, present};
use super::say::{FAILED, MISUSED, fail, print};
use crate::config::text;
use crate::config::users::{FILE_BYTES_MAX, Hash, name_fault, parts};
use crate::sys::terminal::{self, Typed};

/// Bytes read from a pipe for one line: more than any password may have, so that a longer one is seen to be too long.
const LINE_MAX: u64 = 4096;

/// Asks for the password and writes the line.
pub fn run(file: &Path, user: &str) -> ExitCode {
    if let Some(fault) = name_fault(user) {
        return fail(MISUSED, &fault);
    }
    // Before anybody types a password for nothing.
    if let Err(what) = present(file, FILE_BYTES_MAX) {
        return fail(MISUSED, &what);
    }
    let hash = match ask(user).and_then(|password| Hash::new(&password, salt()?)) {
        Ok(hash) => hash,
        Err(what) => return fail(MISUSED, &what),
    };
    // Read again: it may have been changed while the password was typed.
    let written = edit(file, FILE_BYTES_MAX, |old| {
        if old.contains(&0) {
            return Err(format!("{} is no text; is it the right file? nothing was changed", file.display()));
        }
        Ok(with_line(old, user, &hash.to_string()))
    });
    match written {
        Ok(replaced) => {
            let done = if replaced { "password changed" } else { "user added" };
            print(&format!("{}: {done}: {user}\n", file.display()))
        }
        Err(what) => fail(FAILED, &what),
    }
}

/// `old` with the line of `user` replaced, or added at the end; whether it was there. All other bytes stay. Of several
/// lines of that name one remains: the server refuses a file with two.
fn with_line(old: &[u8], user: &str, hash: &str) -> (Vec<u8>, bool) {
    let mut new = Vec::with_capacity(old.len() + user.len() + hash.len() + 2);
    let mut replaced = false;
    let mark = "\u{feff}".as_bytes();
    for line in old.strip_prefix(mark).unwrap_or(old).split_inclusive(|b| *b == b'\n') {
        // The same as the server reads in it.
        let theirs = std::str::from_utf8(line).ok().and_then(parts).is_some_and(|(name, _)| name == user);
        if !theirs {
            new.extend_from_slice(line);
        } else if !replaced {
            replaced = true;
            new.extend_from_slice(format!("{user}:{hash}\n").as_bytes());
        }
    }
    if !replaced {
        if new.last().is_some_and(|b| *b != b'\n') {
            new.push(b'\n');
        }
        new.extend_from_slice(format!("{user}:{hash}\n").as_bytes());
    }
    (new, replaced)
}

/// The new password: typed twice on a terminal, one line of a pipe.
fn ask(user: &str) -> Result<String, String> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let mut line = Vec::new();
        let read = stdin.lock().take(LINE_MAX).read_until(b'\n', &mut line);
        read.map_err(|e| format!("cannot read the password from stdin: {e}"))?;
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        return utf8(line.to_vec());
    }
    let typed = |prompt: &str| {
        // A prompt that cannot be shown is no reason not to read.
        let show = || super::say::prompt(prompt);
        match terminal::read_secret(stdin.as_fd(), show) {
            Ok(Typed::Line(line)) => {
                super::say::end_of_line();
                utf8(line)
            }
            Ok(Typed::Interrupted) => {
                super::say::end_of_line();
                Err("interrupted; nothing was changed".into())
            }
            Err(e) => Err(format!("cannot read the password from the terminal: {e}")),
        }
    };
    let first = typed(&format!("New password for {user}: "))?;
    if first.is_empty() {
        return Ok(first); // refused with the right words where hashes are made
    }
    if typed("Once more: ")? != first {
        return Err("the two passwords differ; nothing was changed".into());
    }
    Ok(first)
}

fn utf8(password: Vec<u8>) -> Result<String, String> {
    // What an editor or a shell puts before a text is no part of it.
    let password = password.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&password);
    let word = std::str::from_utf8(password).map_err(|_| "the password is not UTF-8, in which browsers send it")?;
    match word.chars().find_map(text::unseen_char) {
        Some(what) => Err(format!("the password contains {what}, so it would never be typed alike; leave it out")),
        None => Ok(word.to_owned()),
    }
}

fn salt() -> Result<[u8; 16], String> {
    let mut salt = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut salt))
        .map_err(|e| format!("cannot read /dev/urandom, which the salt comes from: {e}"))?;
    Ok(salt)
}

#[cfg(test)]
mod tests;
