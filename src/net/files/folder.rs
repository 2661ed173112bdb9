//! The folder that has the name of `www` now: another one may have taken its place since the start, by a switched link,
//! a rebuilt tree, a card that was mounted.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::cache::{Cache, Content, Found, RECHECK, Types};
use super::root::Root;
use crate::http::files::encoding::Coding;
use crate::msg::{Moment, Now};
use crate::sys::file::Obstacle;

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// `None` while nothing has the name.
    pub(super) root: Option<Root>,
    /// When it was last looked whether the name leads to the same folder.
    checked: Option<Moment>,
    /// It has been said that this cannot be told.
    is_blind: bool,
    pub(super) cache: Cache,
    /// Error pages that were not there, and when that was last seen: an error must not cost a search every time.
    absent: Vec<(u16, Moment)>,
}

impl Folder {
    /// Errors: `path` is no folder that can be opened.
    pub(super) fn open(path: &Path, types: Types) -> io::Result<Self> {
        let root = Some(Root::open(path)?);
        let cache = Cache::new(types);
        Ok(Folder { path: path.into(), root, checked: None, is_blind: false, cache, absent: Vec::new() })
    }

    /// The file at `key`, in the first of the codings `liked` in which it is there.
    pub(super) fn find<'c>(&'c mut self, now: Now, key: &str, liked: impl Iterator<Item = Coding>) -> Found<'c> {
        self.look(now);
        match &self.root {
            Some(root) => self.cache.find(root, now, key, liked),
            None => Found::Away,
        }
    }

    /// The site's own page for errors of `status`, if it has one that is small.
    pub(super) fn error_page(&mut self, now: Now, status: u16) -> Option<(Cow<'static, str>, Rc<[u8]>)> {
        self.look(now);
        let known = self.absent.iter().position(|&(s, _)| s == status);
        if known.is_some_and(|i| now.mono.since(self.absent[i].1) < RECHECK) {
            return None;
        }
        let name = [&status.to_string(), ".html"].concat();
        match self.find(now, &name, [Coding::Identity].into_iter()) {
            Found::File(file, Content::Small(data)) => Some((file.meta().content_type.clone(), data)),
            _ => {
                match known {
                    Some(i) => self.absent[i].1 = now.mono,
                    None => self.absent.push((status, now.mono)),
                }
                None
            }
        }
    }

    /// Looks, at most once in [`RECHECK`], whether the name still leads to the folder that is open. While none is open
    /// each request looks: pages are there again at once.
    fn look(&mut self, now: Now) {
        if self.root.is_some() && self.checked.is_some_and(|at| now.mono.since(at) < RECHECK) {
            return;
        }
        self.checked = Some(now.mono);
        let found = match fs::metadata(&self.path) {
            Ok(meta) if self.root.as_ref().is_some_and(|root| root.is(&meta)) => return,
            Ok(_) => Root::open(&self.path),
            Err(e) => Err(e),
        };
        let path = self.path.display();
        match found {
            Ok(root) => {
                log::warn!("www: another folder is at {path} now; its pages are served");
                self.root = Some(root);
            }
            Err(e) if Obstacle::of(&e) == Obstacle::Nothing => {
                if self.root.is_some() {
                    log::warn!("www: {path}: {e}; no pages are served until there is a folder again");
                }
                self.root = None;
            }
            // The one that is open may still be the right one: a user who may not pass the folders above it, or a
            // moment without descriptors.
            Err(e) => {
                if !self.is_blind {
                    log::warn!("www: {path}: {e}; whether it is still the same folder cannot be told");
                }
                self.is_blind = true;
                return;
            }
        }
        self.is_blind = false;
        self.cache.clear();
        self.absent.clear();
    }
}
