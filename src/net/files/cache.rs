//! What is known of files asked for lately, and the bytes of the small ones. Bounded in files and in bytes.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use super::root::{Facts, Kind, Root};
use crate::fnv::FnvMap;
use crate::http::files::encoding::Coding;
use crate::http::files::{Described, Etag, FileMeta, types};
use crate::http::response::HttpDate;
use crate::msg::{Moment, Now};
use crate::sys::file::{Access, Obstacle, not_there};

/// How long it is taken for granted that a file has not changed: a changed one is noticed within that time.
pub const RECHECK: Duration = Duration::from_secs(1);

/// Largest file whose bytes are kept: above it sendfile(2) is as cheap.
pub(super) const SMALL_MAX: u64 = 64 * 1024;

/// Bytes kept of all small files together: the pages of a panel, in a board's memory.
const BYTES_MAX: usize = 1024 * 1024;

/// Files of which something is known.
const FILES_MAX: usize = 256;

/// Types by extension, beside those that are known.
pub(super) type Types = Vec<(String, String)>;

/// Files by their path below the root; a path that ends in `/` is the directory's `index.html`.
#[derive(Debug, Default)]
pub(super) struct Cache {
    types: Types,
    files: FnvMap<Box<str>, Known>,
    /// Bytes of all variants kept.
    bytes: usize,
}

/// A file and its encoded siblings.
#[derive(Debug)]
struct Known {
    checked: Moment,
    used: Moment,
    variants: Vec<Variant>,
}

#[derive(Debug)]
struct Variant {
    facts: Facts,
    /// The tag in it is that of the bytes once they have been read, which is before any of a small file is sent.
    file: Described,
    /// Time of modification and tag of what was sent before under this name, and whether that time was said.
    before: Option<(i64, Etag, bool)>,
    /// Read when first asked for, if small.
    data: Option<Rc<[u8]>>,
    /// The bytes were read so soon after a change that they must be read again at the next check.
    is_young: bool,
}

/// What a path leads to.
pub(super) enum Found<'c> {
    /// A file, in the best of its encodings.
    File(&'c Described, Content),
    /// A directory, asked for without its slash.
    Directory,
    /// Nothing that is served.
    Nothing,
    /// The whole folder is away.
    Away,
    /// A file that this process may not read.
    Forbidden,
    /// The world's fault.
    Trouble(io::Error),
}

/// What is in a file.
pub(super) enum Content {
    /// All of its bytes.
    Small(Rc<[u8]>),
    /// The same, in the binary itself.
    BuiltIn(&'static [u8]),
    /// The file itself, open for reading.
    Large(OwnedFd),
}

impl Cache {
    pub(super) fn new(types: Types) -> Self {
        Cache { types, ..Cache::default() }
    }

    /// Forgets all files.
    pub(super) fn clear(&mut self) {
        self.files.clear();
        self.bytes = 0;
    }

    /// The file at `key`, in the first of the codings `liked` in which it is there.
    pub(super) fn find<'c>(
        &'c mut self,
        root: &Root,
        now: Now,
        key: &str,
        mut liked: impl Iterator<Item = Coding>,
    ) -> Found<'c> {
        let is_fresh = match self.files.get_mut(key) {
            Some(known) => {
                known.used = now.mono;
                now.mono.since(known.checked) < RECHECK
            }
            None => false,
        };
        if !is_fresh {
            match examine(root, &self.types, key) {
                Ok(Examined::File(seen)) => self.learn(root, now, key, seen),
                Ok(Examined::Directory) => {
                    self.forget(key);
                    return Found::Directory;
                }
                Ok(Examined::Nothing) => {
                    self.forget(key);
                    return Found::Nothing;
                }
                Err(e) => match refused(e) {
                    // Out of descriptors or memory: what is known is better than nothing, and is checked again next
                    // time.
                    Found::Trouble(_) if self.files.contains_key(key) => {}
                    outcome => {
                        self.forget(key);
                        return outcome;
                    }
                },
            }
        }
        let Some(known) = self.files.get(key) else { return Found::Nothing };
        let best = liked.find_map(|c| known.variants.iter().position(|v| v.file.meta().coding == c)).unwrap_or(0);
        let Some(variant) = known.variants.get(best) else { return Found::Nothing };
        if variant.data.is_some() || variant.facts.len > SMALL_MAX {
            return self.open_known(root, now, key, best);
        }
        match self.load(root, now, key, best) {
            Ok(()) => self.open_known(root, now, key, best),
            Err(e) => {
                self.forget(key);
                refused(e)
            }
        }
    }

    /// What is known of the variant, with its bytes or its file.
    fn open_known<'c>(&'c mut self, root: &Root, now: Now, key: &str, which: usize) -> Found<'c> {
        let Some(variant) = self.files.get_mut(key).and_then(|k| k.variants.get_mut(which)) else {
            return Found::Nothing;
        };
        if let Some(data) = &variant.data {
            return Found::File(&variant.file, Content::Small(Rc::clone(data)));
        }
        match open_regular(root, &file_path(key, variant.file.meta().coding)) {
            Ok((file, facts)) => {
                variant.take(facts, etag(root, &facts, variant.file.meta().coding, now));
                Found::File(&variant.file, Content::Large(file.into()))
            }
            Err(e) => refused(e),
        }
    }

    /// Reads the bytes of a small variant and keeps them.
    fn load(&mut self, root: &Root, now: Now, key: &str, which: usize) -> io::Result<()> {
        let Some(coding) = self.files.get(key).and_then(|k| k.variants.get(which)).map(|v| v.file.meta().coding) else {
            return Ok(());
        };
        let (file, mut facts) = open_regular(root, &file_path(key, coding))?;
        let data = if facts.len <= SMALL_MAX {
            let mut data = Vec::with_capacity(usize::try_from(facts.len).unwrap_or(0));
            (&file).take(facts.len).read_to_end(&mut data)?;
            // It may have become shorter meanwhile: then this is what there is, and the next check sees the change.
            facts.len = data.len() as u64;
            Some(Rc::<[u8]>::from(data))
        } else {
            None
        };
        let new = data.as_ref().map_or(0, |d| d.len());
        self.make_room(new, key);
        if let Some(variant) = self.files.get_mut(key).and_then(|k| k.variants.get_mut(which)) {
            let tag = match &data {
                Some(data) => Etag::of_bytes(data, coding),
                None => etag(root, &facts, coding, now),
            };
            variant.take(facts, tag);
            variant.is_young = facts.are_young(now.wall_ms);
            variant.data = data;
            self.bytes += new;
        }
        Ok(())
    }

    /// Takes over what a check has seen, and keeps the bytes of what has not changed.
    fn learn(&mut self, root: &Root, now: Now, key: &str, seen: Vec<(Coding, Facts)>) {
        let is_same = |known: &Known| {
            known.variants.len() == seen.len()
                && known
                    .variants
                    .iter()
                    .zip(&seen)
                    .all(|(v, (coding, facts))| v.file.meta().coding == *coding && v.facts == *facts && !v.is_young)
        };
        if let Some(known) = self.files.get_mut(key) {
            if is_same(known) {
                known.checked = now.mono;
                return;
            }
        }
        let before = self.forget(key);
        self.make_room(0, key);
        let content_type = types::content_type(&file_path(key, Coding::Identity), &self.types);
        let varies = seen.len() > 1;
        let variants = seen
            .into_iter()
            .map(|(coding, facts)| {
                let etag = etag(root, &facts, coding, now);
                let before = before.iter().flatten().find(|v| v.file.meta().coding == coding);
                let before = before.map(|v| (v.facts.modified.0, v.file.meta().etag, v.file.meta().modified.is_some()));
                Variant {
                    facts,
                    file: Described::new(FileMeta {
                        len: facts.len,
                        modified: modified(&facts, &etag, before.as_ref()),
                        etag,
                        content_type: content_type.clone(),
                        coding,
                        varies,
                        policy: None,
                    }),
                    before,
                    data: None,
                    is_young: false,
                }
            })
            .collect();
        self.files.insert(key.into(), Known { checked: now.mono, used: now.mono, variants });
    }

    /// Forgets a file; what was known of it.
    fn forget(&mut self, key: &str) -> Option<Vec<Variant>> {
        let Known { variants, .. } = self.files.remove(key)?;
        self.bytes -= variants.iter().filter_map(|v| v.data.as_ref()).map(|d| d.len()).sum::<usize>();
        Some(variants)
    }

    /// Forgets what was used longest ago, but not `keep`, until `bytes` more and one more file fit.
    fn make_room(&mut self, bytes: usize, keep: &str) {
        while self.files.len() >= FILES_MAX || self.bytes + bytes > BYTES_MAX {
            let others = self.files.iter().filter(|(key, _)| &***key != keep);
            let Some(oldest) = others.min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone()) else { return };
            self.forget(&oldest);
        }
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let bytes: usize =
            self.files.values().flat_map(|k| &k.variants).filter_map(|v| v.data.as_ref()).map(|d| d.len()).sum();
        assert_eq!(bytes, self.bytes, "bytes kept are counted");
        assert!(self.bytes <= BYTES_MAX && self.files.len() <= FILES_MAX, "the cache is bounded");
    }
}

impl Variant {
    /// The file was opened and is in this state now: what is said of it must be true of what is sent.
    fn take(&mut self, facts: Facts, etag: Etag) {
        if self.facts != facts || self.file.meta().etag != etag {
            self.facts = facts;
            self.file = Described::new(FileMeta {
                len: facts.len,
                modified: modified(&facts, &etag, self.before.as_ref()),
                etag,
                ..self.file.meta().clone()
            });
        }
    }
}

enum Examined {
    File(Vec<(Coding, Facts)>),
    Directory,
    Nothing,
}

/// Looks at the file that `key` names and at its encoded siblings, opening none.
fn examine(root: &Root, more: &Types, key: &str) -> io::Result<Examined> {
    let path = file_path(key, Coding::Identity);
    let facts = Facts::of(&root.open_file(&path, Access::Look)?)?;
    match facts.kind {
        Kind::Regular => {}
        Kind::Directory if key.ends_with('/') || key.is_empty() => return Ok(Examined::Nothing),
        Kind::Directory => return Ok(Examined::Directory),
        Kind::Other => return Ok(Examined::Nothing),
    }
    let mut variants = vec![(Coding::Identity, facts)];
    if types::may_be_precompressed(&types::content_type(&path, more)) {
        for coding in Coding::SIBLINGS {
            let Ok(file) = root.open_file(&file_path(key, coding), Access::Look) else { continue };
            match Facts::of(&file) {
                // An older sibling was made from an older file: nobody has compressed the new one yet.
                Ok(sibling) if sibling.kind == Kind::Regular && sibling.modified.0 >= facts.modified.0 => {
                    variants.push((coding, sibling));
                }
                _ => {}
            }
        }
    }
    Ok(Examined::File(variants))
}

fn open_regular(root: &Root, path: &str) -> io::Result<(File, Facts)> {
    let file = root.open_file(path, Access::Read)?;
    let facts = Facts::of(&file)?;
    // It was a regular file a moment ago.
    if facts.kind == Kind::Regular { Ok((file, facts)) } else { Err(not_there()) }
}

fn file_path(key: &str, coding: Coding) -> String {
    let index = if key.is_empty() || key.ends_with('/') { "index.html" } else { "" };
    [key, index, coding.suffix()].concat()
}

/// The tag of a file whose bytes are not looked at. It is strong once a further change would leave another time.
fn etag(root: &Root, facts: &Facts, coding: Coding, now: Now) -> Etag {
    let tells = facts.tell_every_change();
    let is_strong = tells && !facts.are_young(now.wall_ms);
    // Another card or image in the place of the last one may have a file with the very same numbers.
    let salt = if tells { 0 } else { root.salt };
    let [a, b, c, d, e, f, g] = facts.numbers();
    Etag::of_state(&[a, b, c, d, e, f, g, coding as u64, salt], is_strong)
}

/// The time of modification as it is said: not if other bytes have been sent under the same one, for then a client that
/// asks by the time alone would be told that its old ones are still right.
fn modified(facts: &Facts, etag: &Etag, before: Option<&(i64, Etag, bool)>) -> Option<(u64, HttpDate)> {
    match before {
        Some((time, other, was_said)) if *time == facts.modified.0 && !(other == etag && *was_said) => None,
        _ => FileMeta::modified_at(facts.modified.0),
    }
}

pub(super) fn refused<'c>(e: io::Error) -> Found<'c> {
    match Obstacle::of(&e) {
        Obstacle::Nothing => Found::Nothing,
        Obstacle::Forbidden => Found::Forbidden,
        Obstacle::Exhausted | Obstacle::Other => Found::Trouble(e),
    }
}
