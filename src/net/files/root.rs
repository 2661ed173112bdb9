//! The document root: everything in it is opened from there, and nothing outside of it ever. Links are followed by hand,
//! name by name, so that each step is seen: one that is absolute may lead inside, and none may lead to what is hidden.

use std::cell::RefCell;
use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::shown::{Excerpt, TEXT_SHOWN};
use crate::sys::file::{Access, is_link, leads_out, not_there, open_beneath, open_folder, open_name, read_link};
use crate::sys::process::getrandom;

/// A folder that nothing leads out of.
#[derive(Debug)]
pub(super) struct Root {
    folder: OwnedFd,
    /// Device and inode.
    identity: (u64, u64),
    how: How,
    /// Made at the opening: goes into tags that are to be others after the next one.
    pub(super) salt: u64,
    /// Where the links lead that have been complained about: each is said once.
    said: RefCell<Vec<Vec<u8>>>,
}

/// How its files are opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    /// By one openat2(2) if there is no link, else name by name, following the links that stay inside.
    Beneath,
    /// Name by name, following no link at all: kernels before 5.6, and containers that refuse openat2.
    Walk,
}

/// Links on the way to one file at most: a link may lead to itself.
const LINKS_MAX: usize = 16;

/// Links complained about at most, for one opening of the folder: a site full of them must not fill the log.
const SAID_MAX: usize = 16;

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let folder = File::from(open_folder(path)?);
        let identity = identity(&folder.metadata()?);
        let folder = OwnedFd::from(folder);
        let how = match open_beneath(folder.as_fd(), c".", Access::Enter) {
            Ok(_) => How::Beneath,
            Err(_) => How::Walk,
        };
        let mut salt = [0; 8];
        getrandom(&mut salt)?;
        Ok(Root { folder, identity, how, salt: u64::from_ne_bytes(salt), said: RefCell::default() })
    }

    /// As on a kernel without openat2.
    #[cfg(test)]
    pub(super) fn open_walking(path: &Path) -> io::Result<Self> {
        Ok(Root { how: How::Walk, ..Root::open(path)? })
    }

    #[cfg(test)]
    pub(super) fn follows_links(&self) -> bool {
        self.how == How::Beneath
    }

    /// Whether `meta` is of this very folder.
    pub(super) fn is(&self, meta: &Metadata) -> bool {
        identity(meta) == self.identity
    }

    /// Opens `path`, names joined by `/`. Errors: as of open(2).
    pub(super) fn open_file(&self, path: &str, access: Access) -> io::Result<File> {
        if self.how == How::Beneath {
            let whole = CString::new(if path.is_empty() { "." } else { path })?;
            match open_beneath(self.folder.as_fd(), &whole, access) {
                Err(e) if is_link(&e) => {}
                outcome => return outcome.map(File::from),
            }
        }
        self.walk(path, access).map(File::from)
    }

    /// Opens name by name. No step is left to the kernel but to the next name in a folder that is held open, so whatever
    /// is renamed or linked meanwhile, nothing but what lies below the root is opened.
    fn walk(&self, path: &str, access: Access) -> io::Result<OwnedFd> {
        let mut entered: Vec<OwnedFd> = Vec::new();
        let mut ahead: Vec<Vec<u8>> = Vec::new();
        push_names(&mut ahead, path.as_bytes());
        let mut links = 0;
        // The last link that was followed: what to complain about.
        let mut last: Option<Vec<u8>> = None;
        while let Some(name) = ahead.pop() {
            if name == b".." {
                if entered.pop().is_none() {
                    return Err(self.refuse(path, last));
                }
                continue;
            }
            // What comes in has been decoded by http::files::path; this is the second wall, so it relies on nothing.
            if name.starts_with(b".") {
                return Err(self.refuse(path, last));
            }
            let name = CString::new(name)?;
            let at = entered.last().unwrap_or(&self.folder).as_fd();
            if let Some(target) = self.link(at, &name)? {
                links += 1;
                if links > LINKS_MAX {
                    return Err(not_there());
                }
                let inside = match target.strip_prefix(b"/") {
                    Some(absolute) => {
                        entered.clear();
                        self.inside(absolute)
                    }
                    None => Some(&*target),
                };
                match inside {
                    Some(inside) => push_names(&mut ahead, inside),
                    None => return Err(self.refuse(path, Some(target))),
                }
                last = Some(target);
            } else if ahead.is_empty() {
                return open_name(at, &name, access);
            } else {
                let next = open_name(at, &name, Access::Enter)?;
                entered.push(next);
            }
        }
        open_name(entered.last().unwrap_or(&self.folder).as_fd(), c".", access)
    }

    /// Where `name` leads, if it is a link that may be followed.
    fn link(&self, at: BorrowedFd<'_>, name: &CString) -> io::Result<Option<Vec<u8>>> {
        if self.how == How::Walk {
            return Ok(None);
        }
        match read_link(at, name) {
            Ok(target) => Ok(Some(target)),
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// What is left of an absolute path (without its first `/`) behind the part that leads to this folder, by whatever
    /// name; `None` if it leads elsewhere.
    fn inside<'a>(&self, absolute: &'a [u8]) -> Option<&'a [u8]> {
        let ends = absolute.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(i, _)| i);
        let mut ends = std::iter::once(0).chain(ends).chain([absolute.len()]);
        let end = ends.find(|&end| {
            let mut prefix = vec![b'/'];
            prefix.extend_from_slice(&absolute[..end]);
            let prefix = Path::new(std::ffi::OsStr::from_bytes(&prefix));
            fs::metadata(prefix).is_ok_and(|meta| self.is(&meta))
        })?;
        Some(&absolute[end..])
    }

    /// The error of a path that may not be followed, said once in the log if a link, to `target`, is the cause.
    fn refuse(&self, path: &str, target: Option<Vec<u8>>) -> io::Error {
        let Some(target) = target else { return leads_out() };
        let mut said = self.said.borrow_mut();
        if said.len() < SAID_MAX && !said.contains(&target) {
            let shown = String::from_utf8_lossy(&target);
            let (path, shown) = (Excerpt(path, TEXT_SHOWN), Excerpt(&shown, TEXT_SHOWN));
            log::warn!(
                "www: \"{path}\" is not served: a link to \"{shown}\" leads out of the folder or to a hidden name"
            );
            said.push(target);
        }
        leads_out()
    }
}

/// Puts the names in `path` on top of `ahead`, the first one uppermost.
fn push_names(ahead: &mut Vec<Vec<u8>>, path: &[u8]) {
    let names = path.split(|b| *b == b'/').rev();
    ahead.extend(names.filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec));
}

fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    pub(super) len: u64,
    inode: u64,
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

    /// Whether the file changed so shortly before `wall_ms` that a second change might leave the same times: most file
    /// systems count in ticks of some milliseconds, that of memory cards in steps of two seconds. Also true for changes
    /// in the future (the clock was set back).
    pub(super) fn are_young(&self, wall_ms: u64) -> bool {
        const TICK_MS: i64 = 2_050;
        let changed_ms = self.changed.0.saturating_mul(1000).saturating_add(self.changed.1 / 1_000_000);
        changed_ms.saturating_add(TICK_MS) > i64::try_from(wall_ms).unwrap_or(i64::MAX)
    }

    /// Whether no change of the bytes leaves all of this as it is. File systems of memory cards and of images (FAT,
    /// squashfs) have no time of change of their own, only the one of modification again, in steps of 10 ms or
    /// more: there a program that writes other bytes can set it back, and images made twice have it alike.
    pub(super) fn tell_every_change(&self) -> bool {
        const COARSE_NS: i64 = 10_000_000;
        self.changed != self.modified || self.changed.1 % COARSE_NS != 0
    }

    /// All of it as numbers.
    pub(super) fn numbers(&self) -> [u64; 7] {
        let times = [self.modified.0, self.modified.1, self.changed.0, self.changed.1].map(|time| time as u64);
        let [a, b, c, d] = times;
        [self.device, self.inode, self.len, a, b, c, d]
    }
}
