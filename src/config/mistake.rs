//! What is wrong with the settings, and where.

use std::fmt;
use std::path::PathBuf;

use crate::shown::Escaping;

/// Where a value came from, or where a mistake is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a file, at a line and column (in characters), both counted from 1.
    At {
        /// The file as it was named.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// A file as a whole: it is missing, or cannot be read.
    File(PathBuf),
    /// A variable of the environment, by name.
    Variable(String),
    /// An option of the command line, by name.
    Option(&'static str),
}

/// One mistake: where, and a sentence that says what is wrong and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// Where it is.
    pub place: Place,
    /// What is wrong; names the setting.
    pub what: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::At { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Place::File(file) => file.display().fmt(f),
            Place::Variable(name) => f.write_str(name),
            Place::Option(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // names of files and what stands in them may be anything
        Escaping::line(f, format_args!("{}: {}", self.place, self.what), usize::MAX)
    }
}
