//! The document root, opened once: everything in it is opened from there, and nothing outside of it ever.

use std::ffi::CString;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::sys::file::{Access, leads_out, open_beneath, open_folder, open_name};

/// A folder that nothing leads out of.
#[derive(Debug)]
pub(super) struct Root {
    folder: OwnedFd,
    how: How,
}

/// How its files are opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    /// By openat2(2), which follows the links that stay inside.
    Beneath,
    /// Name by name, following no link at all: kernels before 5.6, and containers that refuse openat2.
    Walk,
}

/// How often openat2 is tried again when something is being renamed under its feet (EAGAIN).
const TRIES: usize = 4;

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let folder = open_folder(path)?;
        let how = match open_beneath(folder.as_fd(), c".", Access::Enter) {
            Ok(_) => How::Beneath,
            Err(_) => How::Walk,
        };
        Ok(Root { folder, how })
    }

    /// As on a kernel without openat2.
    #[cfg(test)]
    pub(super) fn open_walking(path: &Path) -> io::Result<Self> {
        Ok(Root { folder: open_folder(path)?, how: How::Walk })
    }

    #[cfg(test)]
    pub(super) fn follows_links(&self) -> bool {
        self.how == How::Beneath
    }

    /// Opens `path`, names joined by `/`. Errors: as of open(2).
    pub(super) fn open_file(&self, path: &str, access: Access) -> io::Result<File> {
        let fd = match self.how {
            How::Beneath => self.beneath(path, access),
            How::Walk => self.walk(path, access),
        };
        fd.map(File::from)
    }

    fn beneath(&self, path: &str, access: Access) -> io::Result<OwnedFd> {
        let path = CString::new(if path.is_empty() { "." } else { path })?;
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match open_beneath(self.folder.as_fd(), &path, access) {
                Err(e) if tries > 0 && e.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }

    fn walk(&self, path: &str, access: Access) -> io::Result<OwnedFd> {
        let Some((parents, name)) = path.rsplit_once('/') else { return self.in_folder(None, path, access) };
        let mut at = None;
        for parent in parents.split('/') {
            at = Some(self.in_folder(at, parent, Access::Enter)?);
        }
        self.in_folder(at, name, access)
    }

    fn in_folder(&self, at: Option<OwnedFd>, name: &str, access: Access) -> io::Result<OwnedFd> {
        // What comes in has been decoded by http::files::path; this is the second wall, so it relies on nothing.
        if name == ".." || name.contains('/') {
            return Err(leads_out());
        }
        let name = CString::new(if name.is_empty() { "." } else { name })?;
        open_name(at.as_ref().unwrap_or(&self.folder).as_fd(), &name, access)
    }
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) len: u64,
    pub(super) inode: u64,
    device: u64,
    /// Time of modification: seconds and nanoseconds.
    pub(super) modified: (i64, i64),
    /// Time of the last change of anything, permissions included.
    changed: (i64, i64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Regular,
    Directory,
    /// Never served: fifo, socket, device, link.
    Other,
}

impl Facts {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let meta: Metadata = file.metadata()?;
        let kind = match meta.file_type() {
            t if t.is_file() => Kind::Regular,
            t if t.is_dir() => Kind::Directory,
            _ => Kind::Other,
        };
        Ok(Facts {
            kind,
            len: meta.len(),
            inode: meta.ino(),
            device: meta.dev(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Whether the file changed so shortly before `wall_ms` that a second change might leave the same times: file
    /// systems count in ticks of some milliseconds. Also true for changes in the future (the clock was set back).
    pub(super) fn are_young(&self, wall_ms: u64) -> bool {
        const TICK_MS: i64 = 50;
        let changed_ms = self.changed.0.saturating_mul(1000).saturating_add(self.changed.1 / 1_000_000);
        changed_ms.saturating_add(TICK_MS) > i64::try_from(wall_ms).unwrap_or(i64::MAX)
    }
}
