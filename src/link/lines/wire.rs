//! What lines of both directions have in common.

use std::fmt;

use serde_json::{Map, Value};

/// The version of these lines.
pub const PROTO: u64 = 1;

/// The members of a line's object.
pub type Fields = Map<String, Value>;

/// Why a line makes no sense. The link goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadLine {
    /// One word.
    pub error: &'static str,
    /// A sentence with the remedy.
    pub message: String,
}

impl From<String> for BadLine {
    /// What has the wrong shape, as most that is wrong.
    fn from(message: String) -> BadLine {
        BadLine { error: "shape", message }
    }
}

/// A JSON value within a line.
#[derive(Clone, PartialEq, Debug)]
pub enum Raw<'a> {
    /// As it was read.
    Value(Value),
    /// JSON text of one line, written as it is.
    Text(&'a str),
}

impl Raw<'_> {
    /// The value; null for text that is no JSON.
    pub fn into_value(self) -> Value {
        match self {
            Raw::Value(value) => value,
            Raw::Text(text) => serde_json::from_str(text).unwrap_or_default(),
        }
    }

    /// The whole number that was read.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Raw::Value(value) => value.as_u64(),
            Raw::Text(_) => None,
        }
    }
}

impl fmt::Display for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raw::Value(value) => value.fmt(f),
            Raw::Text(text) => f.write_str(text),
        }
    }
}

/// The object that a line is.
///
/// # Errors
/// It is none.
pub fn object(line: &[u8]) -> Result<Fields, BadLine> {
    let bad = |message| Err(BadLine { error: "json", message });
    match serde_json::from_slice(line) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => bad("a line has to be a JSON object".into()),
        Err(e) => bad(format!("the line is no JSON: {e}")),
    }
}
