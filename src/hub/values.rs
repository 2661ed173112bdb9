//! The newest values of one device, by name, within bounds.

use std::rc::Rc;

use crate::describe::VALUES_MAX;
use crate::msg::Json;

/// Bytes of the names and newest values of one device, together: every page gets them in `hello`.
const TEXT_MAX: usize = 32 << 10;

/// What one value takes beside its name and itself.
const READING_BYTES: usize = size_of::<Reading>() + 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// By name.
    all: Vec<Reading>,
    /// Bytes of their names and of themselves.
    text: usize,
}

/// The newest value of one name.
#[derive(Debug)]
struct Reading {
    name: Rc<str>,
    value: Json,
    /// It was not told yet.
    fresh: bool,
}

impl Reading {
    fn told(&self) -> (Rc<str>, Json) {
        (self.name.clone(), self.value.clone())
    }
}

impl Values {
    /// Takes the newest value of `name`, where all may take `room` bytes; says what is wrong if there is no room for it. What
    /// is told of that name then is null: an old number is no new one.
    pub(super) fn take(&mut self, name: Rc<str>, value: Json, room: u64) -> Option<String> {
        let at = self.all.binary_search_by(|r| r.name.cmp(&name));
        let old = at.map_or(0, |at| self.all[at].value.len());
        let (own, count) = if at.is_ok() { (0, 0) } else { (name.len(), 1) };
        let text = self.text + own + value.len() - old;
        let bytes = ((self.all.len() + count) * READING_BYTES + text) as u64;
        let why = if self.all.len() + count > VALUES_MAX {
            format!("more than {VALUES_MAX} names of values")
        } else if text > TEXT_MAX {
            format!("names and values have more than {TEXT_MAX} bytes together")
        } else if bytes > room && bytes > self.bytes() {
            "the values of all devices together have no room for more (see devices.connections)".into()
        } else {
            self.text = text;
            match at {
                Ok(at) => (self.all[at].value, self.all[at].fresh) = (value, true),
                Err(at) => self.all.insert(at, Reading { name, value, fresh: true }),
            }
            return None;
        };
        if let Ok(at) = at {
            let null: Json = "null".into();
            self.text = self.text + null.len() - old;
            (self.all[at].value, self.all[at].fresh) = (null, true);
        }
        Some(format!("{why}; {name:?} was not taken"))
    }

    /// About how many bytes they take.
    pub(super) fn bytes(&self) -> u64 {
        (self.all.len() * READING_BYTES + self.text) as u64
    }

    /// About how many bytes these would take at most.
    pub(super) fn bytes_of(values: &[(Rc<str>, Json)]) -> u64 {
        values.iter().map(|(name, value)| READING_BYTES + name.len() + value.len()).sum::<usize>() as u64
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<(Rc<str>, Json)> {
        self.all.iter().map(Reading::told).collect()
    }

    /// Whether some were not told yet.
    pub(super) fn has_fresh(&self) -> bool {
        self.all.iter().any(|r| r.fresh)
    }

    /// Those that were not told yet; they are now.
    pub(super) fn fresh(&mut self) -> Vec<(Rc<str>, Json)> {
        let fresh = self.all.iter().filter(|r| r.fresh).map(Reading::told).collect();
        self.stale();
        fresh
    }

    /// What was not told yet is not to be told any more.
    pub(super) fn stale(&mut self) {
        self.all.iter_mut().for_each(|r| r.fresh = false);
    }
}
