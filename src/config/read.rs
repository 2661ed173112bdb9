//! From text to [`Config`]: the layers, one over the other, and every mistake in them.
//!
//! Never does: touching files or the environment; both come in as text.

mod nearest;
mod syntax;

pub(super) use syntax::FILE_BYTES_MAX;

use std::ffi::OsString;
use std::path::Path;

use toml_span::value::{Value, ValueInner};

use super::check;
use super::schema::{self, Given, PROFILE};
use super::{Config, Mistake, Place};

/// Environment variables, all of them; only those that begin with `BOATSWAIN_` are looked at.
pub type Environment = Vec<(OsString, OsString)>;

/// What the command line sets. Values are checked with the rest, by [`super::Source::load`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// `--listen`, each one; replaces the whole list.
    pub listen: Vec<String>,
    /// `--www`
    pub www: Option<String>,
    /// `--users`
    pub users: Option<String>,
    /// `--seats`
    pub seats: Option<String>,
}

/// What the prefix of our environment variables is.
pub(super) const PREFIX: &str = "BOATSWAIN_";

/// Settings as far as they could be read.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<String>,
    /// Where each setting that was given got its value; the last one wins.
    given: Vec<(&'static str, Place)>,
    /// Settings whose value is not known because of a mistake: nothing further is said about them.
    unknown: Vec<&'static str>,
    /// A file could not be understood in full: whether values go together cannot be told.
    torn: bool,
}

/// One value of one layer.
struct Item {
    path: &'static str,
    given: Given,
    place: Place,
}

/// Puts the layers over the defaults: the file's text, the environment, the command line.
pub(super) fn layers(file: Option<(&Path, &str)>, environment: &Environment, options: &Options) -> Draft {
    let mut draft = Draft::default();
    let paths: Vec<&'static str> = schema::slots(&mut Config::default()).iter().map(|(path, ..)| *path).collect();
    let mut items = Vec::new();
    if let Some((file, text)) = file {
        draft.file(&paths, file, text, &mut items);
    }
    draft.environment(&paths, environment, &mut items);
    options_items(options, &mut items);
    draft.assign(items);
    draft.settle();
    draft
}

impl Draft {
    /// Where the value of `path` comes from; `None` for a default.
    pub(super) fn place_of(&self, path: &str) -> Option<&Place> {
        self.given.iter().rev().find(|(p, _)| *p == path).map(|(_, place)| place)
    }

    /// Notes a mistake about a setting.
    pub(super) fn mistake(&mut self, place: Place, path: &str, what: &str) {
        self.mistakes.push(Mistake { place, what: format!("{path}: {what}") });
    }

    // ---------------------------------------------------------------------------------------------- the file

    fn file(&mut self, paths: &[&'static str], file: &Path, text: &str, items: &mut Vec<Item>) {
        let readable = match syntax::faults(text) {
            Ok(()) => text.to_string(),
            Err(torn) => {
                self.torn = true;
                for (offset, what) in torn.faults {
                    self.mistakes.push(Mistake { place: place(file, text, offset), what });
                }
                match torn.rest {
                    Some(rest) => rest,
                    None => return,
                }
            }
        };
        let Ok(mut root) = toml_span::parse(&readable) else { return };
        let ValueInner::Table(table) = root.take() else { return };
        for (key, mut value) in table {
            let at = |offset| place(file, text, offset);
            let name = key.name.as_ref();
            if paths.iter().any(|p| section(p) == Some(name)) {
                match value.take() {
                    ValueInner::Table(keys) => {
                        for (key, value) in keys {
                            let path = format!("{name}.{}", key.name);
                            self.keep(item(paths, &path, value, at(key.span.start), &at), items);
                        }
                    }
                    _ => {
                        let what = format!("{name} is a section; write [{name}] and its settings below that line");
                        self.mistakes.push(Mistake { place: at(key.span.start), what });
                    }
                }
            } else {
                self.keep(item(paths, name, value, at(key.span.start), &at), items);
            }
        }
    }

    fn keep(&mut self, item: Result<Item, Mistake>, items: &mut Vec<Item>) {
        match item {
            Ok(item) => items.push(item),
            Err(mistake) => self.mistakes.push(mistake),
        }
    }

    // ---------------------------------------------------------------------------------------- the environment

    fn environment(&mut self, paths: &[&'static str], environment: &Environment, items: &mut Vec<Item>) {
        for (name, value) in environment {
            // A name that is not UTF-8 is none of ours, nor like one of ours.
            let Some(name) = name.to_str() else { continue };
            let Some(ours) = name.strip_prefix(PREFIX) else { continue };
            let place = Place::Variable(name.to_string());
            let Some(path) = paths.iter().find(|p| variable(p) == ours) else {
                let asked = ours.to_ascii_lowercase();
                match nearest::not_in_this_version(&asked) {
                    Some(what) => self.mistakes.push(Mistake { place, what }),
                    None => {
                        let near = nearest::nearest(&asked, paths.iter().map(|p| (*p, p.replace('.', "_"))));
                        let hint = near.map(|p| format!("; did you mean {PREFIX}{}?", variable(p))).unwrap_or_default();
                        self.warnings.push(format!("{name}: no setting has this name, it is ignored{hint}"));
                    }
                }
                continue;
            };
            match value.to_str() {
                Some(words) => items.push(Item { path, given: Given::Words(words.to_string()), place }),
                None => {
                    self.mistake(place, path, "the value is not UTF-8");
                    self.unknown.push(path);
                }
            }
        }
    }

    // ------------------------------------------------------------------------------------- over the defaults

    fn assign(&mut self, items: Vec<Item>) {
        let (profiles, others): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|i| i.path == PROFILE);
        for Item { path, given, place } in profiles.into_iter().chain(others) {
            let slot = schema::slots(&mut self.config).into_iter().find(|(p, ..)| *p == path);
            let Some((.., slot)) = slot else { continue };
            match schema::assign(slot, given) {
                Ok(()) => {
                    self.given.push((path, place));
                    if path == PROFILE {
                        self.config.liveness = self.config.liveness.profile.values();
                    }
                }
                Err(faults) => {
                    self.unknown.push(path);
                    for (part, what) in faults {
                        self.mistake(part.unwrap_or_else(|| place.clone()), path, &what);
                    }
                }
            }
        }
    }

    /// What follows from several values together.
    fn settle(&mut self) {
        if self.place_of("seats.reserved").is_none() {
            // One seat for everybody has none to keep back; only a number that somebody wrote can be wrong.
            self.config.seats.reserved = self.config.seats.reserved.min(self.config.seats.max.saturating_sub(1));
        }
        let page_given = self.place_of("liveness.page_after").is_some();
        let live = &mut self.config.liveness;
        live.promise_again();
        if !page_given {
            // Beats come as often as heartbeats: with longer ones a page is not late so soon.
            live.page_after = live.page_after.max(live.page_floor());
        }
        if self.torn {
            return;
        }
        for (about, what) in check::conflicts(&self.config) {
            if about.iter().any(|path| self.unknown.contains(path)) {
                continue;
            }
            let set = about.iter().find_map(|path| self.place_of(path).map(|place| (place.clone(), *path)));
            // Defaults do not contradict each other (a test holds that), so some value of these was given.
            if let Some((place, path)) = set {
                let section = section(path).map(|s| format!("[{s}] ")).unwrap_or_default();
                let named = if about.len() == 1 || section.is_empty() { format!("{path}: ") } else { section };
                self.mistakes.push(Mistake { place, what: format!("{named}{what}") });
            }
        }
    }
}

fn options_items(options: &Options, items: &mut Vec<Item>) {
    let mut one = |path, option, value: &Option<String>| {
        if let Some(value) = value {
            items.push(Item { path, given: Given::Words(value.clone()), place: Place::Option(option) });
        }
    };
    one("www", "--www", &options.www);
    one("auth.users", "--users", &options.users);
    one("seats.max", "--seats", &options.seats);
    if !options.listen.is_empty() {
        let place = Place::Option("--listen");
        let list = options.listen.iter().map(|addr| (Given::Text(addr.clone()), place.clone())).collect();
        items.push(Item { path: "listen", given: Given::List(list), place });
    }
}

/// The name of a setting's variable, without the prefix.
fn variable(path: &str) -> String {
    path.replace('.', "_").to_ascii_uppercase()
}

fn section(path: &str) -> Option<&str> {
    path.split_once('.').map(|(section, _)| section)
}

/// The place of a byte of `text`.
pub(super) fn place(file: &Path, text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    Place::At {
        file: file.into(),
        line: before.bytes().filter(|b| *b == b'\n').count() + 1,
        column: line.chars().count() + 1,
    }
}

/// One setting of the file: its name was read at `key`.
fn item(
    paths: &[&'static str],
    path: &str,
    value: Value<'_>,
    key: Place,
    at: &dyn Fn(usize) -> Place,
) -> Result<Item, Mistake> {
    match paths.iter().find(|p| **p == path) {
        Some(known) => {
            let place = at(value.span.start);
            Ok(Item { path: known, given: given(value, at), place })
        }
        None => Err(Mistake { place: key, what: nearest::unknown(path, paths) }),
    }
}

fn given(mut value: Value<'_>, at: &dyn Fn(usize) -> Place) -> Given {
    match value.take() {
        ValueInner::String(s) => Given::Text(s.into_owned()),
        ValueInner::Integer(n) => Given::Number(n),
        ValueInner::Boolean(b) => Given::Flag(b),
        ValueInner::Float(_) => Given::Other("a number with a fraction"),
        ValueInner::Table(rows) => Given::Table(
            rows.into_iter()
                .map(|(key, mut value)| {
                    let given = match value.take() {
                        ValueInner::String(s) => Given::Text(s.into_owned()),
                        ValueInner::Table(_) => Given::Other("a table, as a dot in a name without quotes makes it"),
                        _ => Given::Other("something else"),
                    };
                    (key.name.into_owned(), given, at(key.span.start))
                })
                .collect(),
        ),
        ValueInner::Array(items) => Given::List(
            items
                .into_iter()
                .map(|mut item| {
                    let place = at(item.span.start);
                    let given = match item.take() {
                        ValueInner::String(s) => Given::Text(s.into_owned()),
                        other => Given::Other(match other {
                            ValueInner::Array(_) => "a list in it",
                            ValueInner::Table(_) => "a table in it",
                            ValueInner::Boolean(_) => "true or false in it",
                            _ => "a number in it",
                        }),
                    };
                    (given, place)
                })
                .collect(),
        ),
    }
}
