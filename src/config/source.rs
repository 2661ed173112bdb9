//! Where the settings come from, so that they can be read again: at start, by `check`, and on SIGHUP.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::check;
use super::read::{self, Draft, Environment, Options};
use super::users::{self, Users};
use super::{Config, Mistake, Place, text};
use crate::describe::device_name_fault;

/// The machine as settings refer to it: they name files, a folder and an account.
pub trait Machine {
    /// The bytes of a regular file, at most one more than `most`, so that its parser can tell that it is too long.
    ///
    /// # Errors
    /// Whatever keeps it from being read, that it is no regular file included.
    fn read(&self, file: &Path, most: usize) -> io::Result<Vec<u8>>;

    /// Whether there is a folder that can be read.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    fn folder(&self, folder: &Path) -> io::Result<()>;

    /// Whether there is no such account, for certain.
    fn lacks_account(&self, name: &str) -> bool;
}

/// Where the settings come from: defaults < file < environment < command line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Source {
    /// `-c`
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Environment,
    /// The command line.
    pub options: Options,
}

/// Settings that were read and checked, with the files that they name.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The users file; `None` if none is set, which means a one-time password.
    pub users: Option<Users>,
    /// The tokens of devices; `None` if no file is set.
    pub tokens: Option<Users>,
    /// Sentences for the log: what is odd, but not wrong.
    pub warnings: Vec<String>,
}

impl Source {
    /// Checks the text of a settings file alone: the files that it names are not touched. `file`: its name in mistakes.
    pub fn check_text(file: &Path, text: &str) -> Result<Config, Vec<Mistake>> {
        let draft = read::layers(Some((file, text)), &Environment::new(), &Options::default());
        if draft.mistakes.is_empty() { Ok(draft.config) } else { Err(draft.mistakes) }
    }

    /// Reads and checks everything, the files that the settings name included. Either all of it is good, or every
    /// mistake is told.
    pub fn load(&self, machine: &dyn Machine) -> Result<Loaded, Vec<Mistake>> {
        let text = match &self.file {
            None => None,
            Some(file) => match settings(machine, file) {
                Ok(text) => Some((file.as_path(), text)),
                Err(mistakes) => return Err(mistakes),
            },
        };
        let file = text.as_ref().map(|(file, text)| (*file, text.as_str()));
        let mut draft = read::layers(file, &self.environment, &self.options);
        let users = draft.users(machine, "auth.users", draft.config.auth.users.clone(), "user");
        let tokens = draft.users(machine, "devices.tokens", draft.config.devices.tokens.clone(), "device");
        draft.folder(machine);
        draft.account(machine);
        let Draft { config, mistakes, mut warnings, .. } = draft;
        if !mistakes.is_empty() {
            return Err(in_order(mistakes));
        }
        warnings.extend(check::oddities(&config));
        if let Some(users) = &users {
            strangers(&config, users, &mut warnings);
        }
        Ok(Loaded { config, users, tokens, warnings })
    }
}

impl Draft {
    /// Reads a file of names and hashes.
    fn users(
        &mut self,
        machine: &dyn Machine,
        setting: &'static str,
        file: Option<PathBuf>,
        who: &str,
    ) -> Option<Users> {
        let file = file?;
        let place = self.place_of(setting)?.clone();
        let text = match machine.read(&file, users::FILE_BYTES_MAX) {
            Ok(text) => text,
            Err(why) => {
                let remedy = match why.kind() {
                    ErrorKind::NotFound => format!("create it with `boatswain passwd {} NAME`", file.display()),
                    _ => "give the server's user the right to read it, or name another file".into(),
                };
                self.mistake(place, setting, &format!("{:?} cannot be read: {}; {remedy}", file, reason(&why)));
                return None;
            }
        };
        match Users::parse(&text) {
            Ok(users) => {
                let unfit = |name: &str| device_name_fault(name).filter(|_| setting == "devices.tokens");
                for (line, what) in
                    users.iter().filter_map(|user| Some((line_of(&text, &user.name), unfit(&user.name)?)))
                {
                    let place = Place::At { file: file.clone(), line, column: 1 };
                    self.mistakes.push(Mistake { place, what: format!("no device can have this name: {what}") });
                }
                if users.is_empty() {
                    let file = file.display();
                    self.warnings.push(format!(
                        "{setting}: {file} names no {who}, so none can come in; add one with `boatswain passwd {file} NAME`"
                    ));
                }
                Some(users)
            }
            Err(mistakes) => {
                for (line, column, what) in mistakes {
                    let place = Place::At { file: file.clone(), line, column };
                    self.mistakes.push(Mistake {
                        place,
                        what: what.replace("passwd FILE ", &format!("passwd {} ", file.display())),
                    });
                }
                None
            }
        }
    }

    /// Whether the user that the server is to become exists.
    fn account(&mut self, machine: &dyn Machine) {
        let (Some(name), Some(place)) = (self.config.user.clone(), self.place_of("user").cloned()) else { return };
        if machine.lacks_account(&name) {
            self.mistake(place, "user", &format!("there is no user {name:?} on this machine; see /etc/passwd"));
        }
    }

    /// Whether `www` is a folder that can be read.
    fn folder(&mut self, machine: &dyn Machine) {
        let (Some(www), Some(place)) = (self.config.www.clone(), self.place_of("www").cloned()) else { return };
        if let Err(why) = machine.folder(&www) {
            let remedy = match why.kind() {
                ErrorKind::NotFound => "create it, or leave www out for the built-in pages",
                ErrorKind::NotADirectory => "name the folder that holds the pages",
                _ => "give the server's user the right to read it",
            };
            self.mistake(place, "www", &format!("{www:?} cannot be read: {}; {remedy}", reason(&why)));
        }
    }
}

/// The text of the settings file.
fn settings(machine: &dyn Machine, file: &Path) -> Result<String, Vec<Mistake>> {
    let bytes = machine.read(file, read::FILE_BYTES_MAX).map_err(|why| {
        let what = format!("the settings file cannot be read: {}; check the name after -c", reason(&why));
        vec![Mistake { place: Place::File(file.into()), what }]
    })?;
    let mistake = |(line, column, mut what): text::Fault| {
        if what == text::NOT_UTF8 {
            what.push_str(", as TOML has to be");
        }
        Mistake { place: Place::At { file: file.into(), line, column }, what }
    };
    let text = text::decode(&bytes, read::FILE_BYTES_MAX).map_err(|fault| vec![mistake(fault)])?;
    let unseen = text::lines(text).enumerate().filter_map(|(i, line)| {
        let (column, what) = text::unseen(line)?;
        Some(mistake((i + 1, column, what)))
    });
    let unseen: Vec<Mistake> = unseen.collect();
    if unseen.is_empty() { Ok(text.to_owned()) } else { Err(unseen) }
}

/// The line of `name` in the text of a users file that was read without a mistake.
fn line_of(text: &[u8], name: &str) -> usize {
    let text = text::decode(text, users::FILE_BYTES_MAX).unwrap_or_default();
    let is_its = |line| users::parts(line).is_some_and(|(found, _)| found == name);
    text::lines(text).position(is_its).map_or(1, |i| i + 1)
}

fn reason(why: &io::Error) -> String {
    match why.kind() {
        ErrorKind::NotFound => "it does not exist".into(),
        ErrorKind::PermissionDenied => "permission denied".into(),
        ErrorKind::IsADirectory => "it is a folder".into(),
        ErrorKind::NotADirectory => "it is no folder".into(),
        ErrorKind::WouldBlock => "it is no regular file".into(),
        _ => why.to_string(),
    }
}

/// Names in the lists of roles that nobody has: most likely misspelt.
fn strangers(config: &Config, users: &Users, warnings: &mut Vec<String>) {
    let auth = &config.auth;
    for (list, names) in [("operators", &auth.operators), ("viewers", &auth.viewers), ("admins", &auth.admins)] {
        for name in names.iter().filter(|name| *name != "*" && users.get(name).is_none()) {
            warnings.push(format!("auth.{list}: {name:?} is not in the users file"));
        }
    }
}

/// Mistakes are told file by file from top to bottom, then the environment, then the command line; those at one place as
/// they were found. Most are in order already, so each goes behind those before it; a general sort is 6 KB of code.
fn in_order(mistakes: Vec<Mistake>) -> Vec<Mistake> {
    let mut told: Vec<Mistake> = Vec::with_capacity(mistakes.len());
    for mistake in mistakes {
        let key = order(&mistake.place);
        let at = told.partition_point(|m| order(&m.place) <= key);
        told.insert(at, mistake);
    }
    told
}

/// Where a place comes among others.
fn order(place: &Place) -> (u8, String, usize, usize) {
    match place {
        Place::File(file) => (0, file.display().to_string(), 0, 0),
        Place::At { file, line, column } => (0, file.display().to_string(), *line, *column),
        Place::Variable(name) => (1, name.clone(), 0, 0),
        Place::Option(name) => (2, (*name).to_string(), 0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_from_top_to_bottom_and_in_one_place_as_they_were_found() {
        let at = |file: &str, line, column| Place::At { file: file.into(), line, column };
        let found = [
            (at("a.toml", 3, 1), "third"),
            (Place::Option("--seats"), "last"),
            (at("users", 1, 1), "sixth"),
            (at("a.toml", 1, 9), "second"),
            (Place::Variable("BOATSWAIN_WWW".into()), "seventh"),
            (at("a.toml", 3, 1), "fourth"),
            (at("a.toml", 1, 2), "first"),
            (Place::File("b.toml".into()), "fifth"),
        ];
        let mistakes = found.map(|(place, what)| Mistake { place, what: what.into() }).to_vec();
        let told: Vec<String> = in_order(mistakes).into_iter().map(|m| m.what).collect();
        assert_eq!(told, ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "last"]);
    }
}
