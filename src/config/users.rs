//! Who has which password: the users file, in htpasswd's format (`NAME:HASH` lines). Files of device tokens are the same.
//!
//! Never does: deciding who may do what, remembering who came. [`Hash::verify`] takes long on purpose; it belongs on a
//! helper thread.

mod hash;

pub use hash::{BCRYPT_BYTES, Cost, Hash, Sha};

use std::rc::Rc;

use super::{LOGOUT, text};

/// Bytes of a users file at most: thousands of lines, and still nothing that hurts a small board.
pub const FILE_BYTES_MAX: usize = 256 << 10;

/// Bytes of a user's name at most: it is shown in rosters and kept with every event.
pub const NAME_BYTES_MAX: usize = 64;

/// One user.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The name, as typed at the prompt.
    pub name: Rc<str>,
    /// What the password is checked against.
    pub hash: Hash,
}

/// Everybody who has a password.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Users {
    /// Sorted by name.
    entries: Vec<Entry>,
    generation: u32,
}

impl Users {
    /// Reads the text of a users file. Every mistake comes with its line and column, counted from 1.
    pub fn parse(text: &[u8]) -> Result<Users, Vec<(usize, usize, String)>> {
        let text = text::decode(text, FILE_BYTES_MAX).map_err(|fault| vec![fault])?;
        let mut entries: Vec<(Entry, usize)> = Vec::new();
        let mut mistakes: Vec<(usize, usize, String)> = Vec::new();
        for (i, line) in text::lines(text).enumerate() {
            match text::unseen(line).map_or_else(|| entry(line), Err) {
                Ok(None) => {}
                Ok(Some(entry)) => entries.push((entry, i + 1)),
                Err((column, what)) => mistakes.push((i + 1, column, what)),
            }
        }
        // Stable, so that of two lines of one name the later one is the mistake.
        entries.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        for pair in entries.windows(2) {
            if let [(first, at), (second, again)] = pair {
                if first.name == second.name {
                    let what = format!("{:?} is already in line {at}; keep one of the two", first.name);
                    let place = mistakes.partition_point(|(line, ..)| line < again);
                    mistakes.insert(place, (*again, 1, what));
                }
            }
        }
        if mistakes.is_empty() {
            Ok(Users { entries: entries.into_iter().map(|(entry, _)| entry).collect(), generation: 0 })
        } else {
            Err(mistakes)
        }
    }

    /// Just one user.
    pub fn single(name: &str, hash: Hash) -> Users {
        Users { entries: vec![Entry { name: name.into(), hash }], generation: 0 }
    }

    /// The same users, numbered as the next ones after `old`: an answer of the helper thread that was asked for under
    /// another number is stale.
    pub fn after(self, old: &Users) -> Users {
        Users { generation: old.generation.wrapping_add(1), ..self }
    }

    /// Which reading of the file this is, from 0.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The user of that name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|e| (*e.name).cmp(name)).ok()?;
        self.entries.get(at)
    }

    /// All users, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is nobody, so that nobody can come in.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A hash that no password fits, and that takes as long as the most common kind here (the costliest of several): what an
    /// unknown user's password is checked against, so that its answer takes as long as that of a wrong password.
    pub fn decoy(&self) -> Hash {
        let mut kinds: Vec<(usize, Cost)> = Vec::new(); // few, however many users there are
        for cost in self.entries.iter().map(|e| e.hash.cost()) {
            match kinds.iter_mut().find(|(_, kind)| *kind == cost) {
                Some((many, _)) => *many += 1,
                None => kinds.push((1, cost)),
            }
        }
        let commonest = kinds.into_iter().max().map(|(_, cost)| cost);
        Hash::decoy(commonest.unwrap_or(Cost::Bcrypt(hash::BCRYPT_COST)))
    }
}

/// What is wrong with `name` as the name of a user, if anything: the rest of a sentence.
pub fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        Some("the name is empty".into())
    } else if name == LOGOUT {
        Some(format!("the name {LOGOUT:?} is reserved for signing out; choose another"))
    } else if name.len() > NAME_BYTES_MAX {
        Some(format!("the name has {} bytes, at most {NAME_BYTES_MAX} are allowed", name.len()))
    } else if name == "*" {
        Some("the name \"*\" means everybody in the lists of [auth]; choose another".into())
    } else if let Some(bad) = name.chars().find(|c| *c == ':' || c.is_control()) {
        Some(format!("the name {name:?} contains {bad:?}; no colon and no control character can be in a name"))
    } else if let Some(unseen) = name.chars().find_map(text::unseen_char) {
        Some(format!("the name {name:?} contains {unseen}, so it would never be typed alike"))
    } else if name.trim() != name {
        Some(format!("the name {name:?} begins or ends with a blank; leave it out"))
    } else if name.starts_with('#') {
        Some(format!("the name {name:?} begins with #, which begins a comment in a users file; choose another"))
    } else {
        None
    }
}

/// Name and hash of a line, without the blanks around them.
pub fn parts(line: &str) -> Option<(&str, &str)> {
    line.split_once(':').map(|(name, hash)| (name.trim(), hash.trim()))
}

/// One line: nothing (blank, comment), a user, or column and mistake.
fn entry(line: &str) -> Result<Option<Entry>, (usize, String)> {
    if line.trim().is_empty() || line.trim_start().starts_with('#') {
        return Ok(None);
    }
    let Some((name, hash)) = parts(line) else {
        return Err((
            1,
            "the line has no colon; it must read NAME:HASH, as `boatswain passwd FILE USER` writes it".into(),
        ));
    };
    if let Some(fault) = name_fault(name) {
        return Err((1, fault));
    }
    let column = line.chars().take_while(|c| *c != ':').count() + 2;
    let hash = Hash::parse(hash)
        .map_err(|what| (column, format!("{what}; give {name:?} a new one with `boatswain passwd FILE {name}`")))?;
    Ok(Some(Entry { name: name.into(), hash }))
}

#[cfg(test)]
mod tests;
