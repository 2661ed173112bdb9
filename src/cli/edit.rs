//! Changing a file that another run may be changing too: under a lock, read again there, replaced in one step.
//!
//! What is kept: owner, group, mode, and a link that leads to the file. What is not: other names of the same file (hard
//! links), and extended attributes such as access lists, which is said.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::say::complain;
use crate::sys::file::{attributes, lock};

/// How often a lock that another has is tried for, and how long lies between: half a minute, since each holder writes to
/// a card that may be slow.
const TRIES: usize = 600;
const BETWEEN: Duration = Duration::from_millis(50);

/// Links from a name to its file at most.
const LINKS_MAX: usize = 16;

/// A file as it is.
pub(super) struct Present {
    /// The file itself, if the name is that of a link to it.
    path: PathBuf,
    /// Empty if there is none yet.
    pub(super) bytes: Vec<u8>,
    /// What is there.
    file: Option<File>,
}

/// Replaces what is in `file` by what `change` makes of it; no other run changes it meanwhile. `most`: bytes in it.
pub(super) fn edit<T>(
    file: &Path,
    most: usize,
    change: impl FnOnce(&[u8]) -> Result<(Vec<u8>, T), String>,
) -> Result<T, String> {
    let (_lock, old) = loop {
        let path = target(file)?;
        let lock = locked(folder_of(&path))?;
        let old = present(file, most)?;
        // The link may have been switched while another had the lock.
        if old.path == path {
            break (lock, old);
        }
    };
    let (bytes, outcome) = change(&old.bytes)?;
    write(&old, &bytes).map_err(|e| format!("cannot write {}: {e}; nothing was changed", file.display()))?;
    if let Some(lost) = old.file.as_ref().and_then(|f| attributes(f.as_fd())) {
        complain(&format!("{}: these attributes were not kept, set them again: {lost}", file.display()));
    }
    Ok(outcome)
}

/// Reads `file`.
pub(super) fn present(file: &Path, most: usize) -> Result<Present, String> {
    let cannot = |why: &dyn std::fmt::Display| format!("cannot read the file {}: {why}", file.display());
    let path = target(file)?;
    let meta = match fs::metadata(&path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let folder = folder_of(&path);
            if !folder.is_dir() {
                return Err(cannot(&format!("there is no folder {}; create it first", folder.display())));
            }
            if path.file_name().is_none() {
                return Err(cannot(&"this is no name of a file"));
            }
            return Ok(Present { path, bytes: Vec::new(), file: None });
        }
        Err(e) => return Err(cannot(&e)),
    };
    if !meta.is_file() {
        return Err(cannot(&"it is no regular file"));
    }
    let open = File::open(&path).map_err(|e| cannot(&e))?;
    let mut bytes = Vec::new();
    (&open).take(most as u64 + 1).read_to_end(&mut bytes).map_err(|e| cannot(&e))?;
    if bytes.len() > most {
        return Err(cannot(&format!("it has more than {} KiB; is it the right one?", most >> 10)));
    }
    Ok(Present { path, bytes, file: Some(open) })
}

/// Where `file` is, whatever links lead to it, whether it is there or not.
fn target(file: &Path) -> Result<PathBuf, String> {
    let mut path = file.to_path_buf();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(next) => path = folder_of(&path).join(next),
            Err(_) => return Ok(path),
        }
    }
    Err(format!("{}: too many links lead to it", file.display()))
}

/// The lock on `folder` is the one for every file in it: a file itself is another one after each change. It ends with
/// what is returned.
fn locked(folder: &Path) -> Result<Option<File>, String> {
    let shown = folder.display();
    let open = match File::open(folder) {
        Ok(open) => open,
        // Told better where the file is read.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(format!("cannot lock the folder {shown}: {e}; nothing was changed")),
    };
    for _ in 0..TRIES {
        match lock(open.as_fd()) {
            Ok(true) => return Ok(Some(open)),
            Ok(false) => pause(),
            Err(e) => {
                // Some file systems of a network know no locks on folders.
                complain(&format!("cannot lock the folder {shown}: {e}; let no other command change the file now"));
                return Ok(None);
            }
        }
    }
    Err(format!("another program has locked the folder {shown}; try again when it is done; nothing was changed"))
}

#[allow(clippy::disallowed_methods)] // a command of its own: there is no loop here that must not sleep
fn pause() {
    std::thread::sleep(BETWEEN);
}

/// Replaces the file in one step: a server that reads it meanwhile, and a power cut, find the old or the new one whole.
fn write(old: &Present, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(&old.path);
    let mut name = OsString::from(".");
    name.push(old.path.file_name().unwrap_or_default());
    name.push(".new");
    let temporary = folder.join(name);
    // One name for all runs, under the lock: what a run left that was cut off is gone with the next.
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let finished = (|| {
        file.write_all(bytes)?;
        if let Some(before) = &old.file {
            let (before, now) = (before.metadata()?, file.metadata()?);
            if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
                fchown(&file, Some(before.uid()), Some(before.gid())).map_err(|e| {
                    io::Error::new(e.kind(), format!("cannot keep its owner ({e}); do it as root or as the owner"))
                })?;
            }
            // After the change of owner, which may clear bits.
            file.set_permissions(Permissions::from_mode(before.mode() & 0o7777))?;
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
