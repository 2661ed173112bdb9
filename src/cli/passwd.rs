//! `boatswain passwd FILE USER`: puts one line into a users file and leaves the others alone.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{FAILED, MISUSED, fail, print};
use crate::config::users::{FILE_BYTES_MAX, Hash, name_fault};
use crate::sys::terminal::{self, Typed};

/// Bytes read from a pipe for one line: more than any password may have, so that a longer one is seen to be too long.
const LINE_MAX: u64 = 4096;

/// Asks for the password and writes the line.
pub fn run(file: &Path, user: &str) -> ExitCode {
    if let Some(fault) = name_fault(user) {
        return fail(MISUSED, &fault);
    }
    // Before anybody types a password for nothing.
    if let Err(what) = present(file) {
        return fail(MISUSED, &what);
    }
    let hash = match ask(user).and_then(|password| Hash::new(&password, salt()?)) {
        Ok(hash) => hash,
        Err(what) => return fail(MISUSED, &what),
    };
    // Read again: it may have been changed while the password was typed.
    let written = present(file).and_then(|old| {
        let (text, replaced) = with_line(&old.text, user, &hash.to_string());
        write(&old, &text).map_err(|e| format!("cannot write {}: {e}; nothing was changed", file.display()))?;
        Ok(replaced)
    });
    match written {
        Ok(replaced) => {
            let done = if replaced { "password changed" } else { "user added" };
            print(&format!("{}: {done}: {user}\n", file.display()))
        }
        Err(what) => fail(FAILED, &what),
    }
}

/// The users file as it is.
struct Present {
    /// The file itself, if the name is that of a link to it.
    path: PathBuf,
    /// Empty if there is none yet.
    text: Vec<u8>,
    /// Mode, owner, group of what is there.
    meta: Option<(u32, u32, u32)>,
}

fn present(file: &Path) -> Result<Present, String> {
    let cannot = |why: &dyn std::fmt::Display| format!("cannot read the users file {}: {why}", file.display());
    let path = match fs::canonicalize(file) {
        Ok(path) => path,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let folder = folder_of(file);
            if !folder.is_dir() {
                return Err(cannot(&format!("there is no folder {}; create it first", folder.display())));
            }
            if file.file_name().is_none() {
                return Err(cannot(&"this is no name of a file"));
            }
            return Ok(Present { path: file.into(), text: Vec::new(), meta: None });
        }
        Err(e) => return Err(cannot(&e)),
    };
    let meta = fs::metadata(&path).map_err(|e| cannot(&e))?;
    if !meta.is_file() {
        return Err(cannot(&"it is no regular file"));
    }
    let mut text = Vec::new();
    let read = File::open(&path).and_then(|f| f.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text));
    read.map_err(|e| cannot(&e))?;
    if text.len() > FILE_BYTES_MAX {
        return Err(cannot(&format!("it has more than {} KiB; is it the right one?", FILE_BYTES_MAX >> 10)));
    }
    Ok(Present { path, text, meta: Some((meta.mode() & 0o7777, meta.uid(), meta.gid())) })
}

/// `old` with the line of `user` replaced, or added at the end; whether it was there. All other bytes stay. Of several
/// lines of that name one remains: the server refuses a file with two.
fn with_line(old: &[u8], user: &str, hash: &str) -> (Vec<u8>, bool) {
    let mut new = Vec::with_capacity(old.len() + user.len() + hash.len() + 2);
    let mut replaced = false;
    for line in old.split_inclusive(|b| *b == b'\n') {
        let theirs = line.strip_prefix(user.as_bytes()).is_some_and(|rest| rest.starts_with(b":"));
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

/// Replaces the file in one step: a server that reads it meanwhile, and a power cut, find the old or the new one whole.
fn write(old: &Present, text: &[u8]) -> io::Result<()> {
    let folder = folder_of(&old.path);
    let mut name = OsString::from(".");
    name.push(old.path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    let temporary = folder.join(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let finished = (|| {
        file.write_all(text)?;
        if let Some((mode, owner, group)) = old.meta {
            let now = file.metadata()?;
            if (now.uid(), now.gid()) != (owner, group) {
                fchown(&file, Some(owner), Some(group)).map_err(|e| {
                    io::Error::new(e.kind(), format!("cannot keep its owner ({e}); do it as root or as the owner"))
                })?;
            }
            // After the change of owner, which may clear bits.
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        file.sync_all()?;
        fs::rename(&temporary, &old.path)
    })();
    if finished.is_err() {
        // What is left over would only be in the way; the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return finished;
    }
    // The new name is on the disk only when the folder is. Some file systems cannot do that; the file is replaced all
    // the same.
    let _ = File::open(folder).and_then(|f| f.sync_all());
    Ok(())
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
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
        let show = || drop(write!(io::stderr(), "{prompt}"));
        match terminal::read_secret(stdin.as_fd(), show) {
            Ok(Typed::Line(line)) => {
                let _ = writeln!(io::stderr());
                utf8(line)
            }
            Ok(Typed::Interrupted) => {
                let _ = writeln!(io::stderr());
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
    String::from_utf8(password).map_err(|_| "the password is not UTF-8, in which browsers send it".into())
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
