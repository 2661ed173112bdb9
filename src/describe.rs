//! What a device says of itself, as data: its commands with the arguments they take. And whether arguments fit.
//!
//! Never does: knowing any device. The text is kept as the device gave it (pages draw their forms from it); what is
//! checked here is only what the server enforces.

use std::rc::Rc;

use serde_json::{Map, Value};

/// Bytes of a description: it is sent to every page in `hello`, with those of all other devices.
pub const TEXT_MAX: usize = 8 << 10;
/// Commands of one device; more is a mistake, not a device.
const COMMANDS_MAX: usize = 64;
/// Arguments of one command.
const ARGS_MAX: usize = 32;
/// Choices of one argument.
const CHOICES_MAX: usize = 64;
/// Bytes of a command's or an argument's name.
pub const NAME_MAX: usize = 64;
/// Bytes of the arguments of one command as text: the log keeps hundreds of them.
pub const ARGS_TEXT_MAX: usize = 4 << 10;

/// A device's description.
#[derive(Clone, PartialEq, Debug)]
pub struct Describe {
    text: Rc<str>,
    /// By name.
    commands: Vec<(Box<str>, CommandSpec)>,
}

/// One command.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CommandSpec {
    /// Whoever has credentials may send it: an emergency stop.
    pub anyone: bool,
    /// By name.
    args: Vec<(Box<str>, ArgSpec)>,
}

#[derive(Clone, PartialEq, Debug)]
struct ArgSpec {
    kind: Kind,
    choices: Vec<Value>,
    min: Option<f64>,
    max: Option<f64>,
    optional: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Number,
    Integer,
    Text,
    Flag,
    /// One of the choices, whatever their type.
    Any,
}

/// Arguments of a command that is asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Args(Map<String, Value>);

impl Args {
    /// From the JSON value of `args`; a missing one is none. `None`: it is no object.
    pub fn new(value: Option<Value>) -> Option<Args> {
        match value {
            None | Some(Value::Null) => Some(Args::default()),
            Some(Value::Object(map)) => Some(Args(map)),
            Some(_) => None,
        }
    }

    /// As JSON text; the same arguments give the same text, in whatever order they came.
    pub fn text(&self) -> Rc<str> {
        serde_json::to_string(&self.0).unwrap_or_else(|_| "{}".into()).into()
    }
}

impl Default for Describe {
    fn default() -> Self {
        Describe { text: "{}".into(), commands: Vec::new() }
    }
}

impl Describe {
    /// Reads the value of `describe`.
    ///
    /// # Errors
    /// A sentence that names the place and what would be right.
    pub fn parse(value: &Value) -> Result<Describe, String> {
        let Value::Object(map) = value else { return Err("`describe` has to be an object".into()) };
        let text = value.to_string();
        if text.len() > TEXT_MAX {
            return Err(format!("`describe` has {} bytes, at most {TEXT_MAX} are taken", text.len()));
        }
        if let Some(telemetry) = map.get("telemetry") {
            let fits =
                telemetry.as_object().is_some_and(|t| t.values().all(|unit| unit.is_string() || unit.is_object()));
            if !fits {
                return Err(
                    "`describe.telemetry` has to be an object of names and units, as in {\"rpm\":\"1/min\"}".into()
                );
            }
        }
        // in their order: that of serde_json's maps is that of the names
        let mut commands = Vec::new();
        match map.get("commands") {
            None => {}
            Some(Value::Object(all)) => {
                if all.len() > COMMANDS_MAX {
                    return Err(format!(
                        "`describe.commands` has {} commands, at most {COMMANDS_MAX} are taken",
                        all.len()
                    ));
                }
                for (name, spec) in all {
                    check_name("command", name)?;
                    commands.push((name.as_str().into(), command(name, spec)?));
                }
            }
            Some(_) => return Err("`describe.commands` has to be an object, as in {\"stop\":{}}".into()),
        }
        Ok(Describe { text: text.into(), commands })
    }

    /// As the device gave it, in one line.
    pub fn text(&self) -> &Rc<str> {
        &self.text
    }

    /// The command of that name.
    pub fn command(&self, name: &str) -> Option<&CommandSpec> {
        find(&self.commands, name)
    }

    /// All commands' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().map(|(n, _)| &**n)
    }
}

impl CommandSpec {
    /// Whether `args` are what this command takes.
    ///
    /// # Errors
    /// A sentence that names the argument and what would be right.
    pub fn check(&self, args: &Args) -> Result<(), String> {
        for (name, value) in &args.0 {
            match find(&self.args, name) {
                Some(spec) => spec.check(name, value)?,
                None => return Err(unknown(name, &self.args)),
            }
        }
        for (name, spec) in &self.args {
            if !spec.optional && !args.0.contains_key(&**name) {
                return Err(format!("the argument {name:?} is missing; it has to be {}", spec.wish()));
            }
        }
        if args.text().len() > ARGS_TEXT_MAX {
            return Err(format!("the arguments have more than {ARGS_TEXT_MAX} bytes"));
        }
        Ok(())
    }
}

impl ArgSpec {
    fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        let right_type = match self.kind {
            Kind::Number => value.is_number(),
            Kind::Integer => value.is_i64() || value.is_u64(),
            Kind::Text => value.is_string(),
            Kind::Flag => value.is_boolean(),
            Kind::Any => true,
        };
        // not `<`: whatever cannot be compared does not fit either
        let number = value.as_f64();
        let low = self.min.is_none_or(|min| number.is_some_and(|n| n >= min));
        let high = self.max.is_none_or(|max| number.is_some_and(|n| n <= max));
        let chosen = self.choices.is_empty() || self.choices.iter().any(|c| same(c, value));
        if right_type && low && high && chosen {
            return Ok(());
        }
        Err(format!("the argument {name:?} is {}; it has to be {}", cut(&value.to_string()), self.wish()))
    }

    /// What would be right.
    fn wish(&self) -> String {
        if !self.choices.is_empty() {
            let all: Vec<String> = self.choices.iter().map(Value::to_string).collect();
            return format!("one of {}", all.join(", "));
        }
        let kind = match self.kind {
            Kind::Number => "a number",
            Kind::Integer => "a whole number",
            Kind::Text => "a string",
            Kind::Flag => "true or false",
            Kind::Any => "anything",
        };
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{kind} from {min} to {max}"),
            (Some(min), None) => format!("{kind} of at least {min}"),
            (None, Some(max)) => format!("{kind} of at most {max}"),
            (None, None) => kind.into(),
        }
    }
}

fn find<'a, T>(sorted: &'a [(Box<str>, T)], name: &str) -> Option<&'a T> {
    debug_assert!(sorted.is_sorted_by(|a, b| a.0 < b.0));
    sorted.binary_search_by(|(n, _)| (**n).cmp(name)).ok().map(|at| &sorted[at].1)
}

/// 1 and 1.0 are the same choice.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && b.is_number() && a.as_f64() == b.as_f64())
}

fn unknown(name: &str, known: &[(Box<str>, ArgSpec)]) -> String {
    let known: Vec<&str> = known.iter().map(|(n, _)| &**n).collect();
    if known.is_empty() {
        return format!("there is no argument {:?}: this command takes none", cut(name));
    }
    format!("there is no argument {:?}; there are {}", cut(name), known.join(", "))
}

/// So much of a text as a message shows.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(NAME_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(format!(
            "{:?} is no name of a {what}: 1 to {NAME_MAX} bytes without control characters",
            cut(name)
        ));
    }
    Ok(())
}

fn command(name: &str, spec: &Value) -> Result<CommandSpec, String> {
    let Value::Object(spec) = spec else {
        return Err(format!("the command {name:?} has to be an object, as in {{}} or {{\"args\":{{...}}}}"));
    };
    let anyone = flag(spec, "anyone").map_err(|e| format!("the command {name:?}: {e}"))?;
    let mut args = Vec::new();
    match spec.get("args") {
        None => {}
        Some(Value::Object(all)) => {
            if all.len() > ARGS_MAX {
                return Err(format!("the command {name:?} has {} arguments, at most {ARGS_MAX} are taken", all.len()));
            }
            for (arg, spec) in all {
                check_name("argument", arg)?;
                let spec = argument(spec).map_err(|e| format!("the argument {arg:?} of {name:?}: {e}"))?;
                args.push((arg.as_str().into(), spec));
            }
        }
        Some(_) => return Err(format!("`args` of the command {name:?} has to be an object of names")),
    }
    Ok(CommandSpec { anyone, args })
}

fn argument(spec: &Value) -> Result<ArgSpec, String> {
    let Value::Object(spec) = spec else { return Err("it has to be an object, as in {\"type\":\"number\"}".into()) };
    let choices = match spec.get("choices") {
        None => Vec::new(),
        Some(Value::Array(all)) if !all.is_empty() && all.len() <= CHOICES_MAX => all.clone(),
        Some(_) => return Err(format!("`choices` has to be a list of 1 to {CHOICES_MAX} values")),
    };
    let kind = match spec.get("type").map(Value::as_str) {
        Some(Some("number")) => Kind::Number,
        Some(Some("integer")) => Kind::Integer,
        Some(Some("string")) => Kind::Text,
        Some(Some("boolean")) => Kind::Flag,
        None if !choices.is_empty() => Kind::Any,
        _ => return Err("`type` has to be number, integer, string or boolean".into()),
    };
    let bound = |name: &str| match spec.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(n) if matches!(kind, Kind::Number | Kind::Integer) => Ok(Some(n)),
            _ => Err(format!("`{name}` has to be a number, and goes with numbers only")),
        },
    };
    let (min, max) = (bound("min")?, bound("max")?);
    if let (Some(min), Some(max)) = (min, max) {
        if min > max {
            return Err(format!("`min` ({min}) is above `max` ({max}): nothing fits"));
        }
    }
    Ok(ArgSpec { kind, choices, min, max, optional: flag(spec, "optional")? })
}

fn flag(map: &Map<String, Value>, name: &str) -> Result<bool, String> {
    match map.get(name) {
        None => Ok(false),
        Some(Value::Bool(b)) => Ok(*b),
        Some(_) => Err(format!("`{name}` has to be true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pump() -> Describe {
        let value = json!({
            "commands": {
                "start": {},
                "speed": {"args": {"rpm": {"type": "number", "min": 0, "max": 3000}}},
                "mode": {"args": {
                    "to": {"type": "string", "choices": ["eco", "boost"]},
                    "level": {"type": "integer", "optional": true},
                    "soft": {"type": "boolean", "optional": true},
                    "gear": {"choices": [1, "r"], "optional": true},
                }},
                "stop": {"anyone": true},
            },
            "telemetry": {"rpm": "1/min"},
        });
        Describe::parse(&value).unwrap()
    }

    fn check(command: &str, args: Value) -> Result<(), String> {
        pump().command(command).unwrap().check(&Args::new(Some(args)).unwrap())
    }

    #[test]
    fn arguments_that_fit_pass() {
        for (command, args) in [
            ("start", json!({})),
            ("stop", Value::Null),
            ("speed", json!({"rpm": 0})),
            ("speed", json!({"rpm": 3000})),
            ("speed", json!({"rpm": 41.5})),
            ("mode", json!({"to": "eco"})),
            ("mode", json!({"to": "boost", "level": -3, "soft": false, "gear": "r"})),
            ("mode", json!({"to": "boost", "gear": 1.0})),
        ] {
            assert_eq!(check(command, args.clone()), Ok(()), "{command} {args}");
        }
        assert!(pump().command("stop").unwrap().anyone && !pump().command("start").unwrap().anyone);
    }

    #[test]
    fn every_argument_that_does_not_fit_is_refused_by_name_with_the_remedy() {
        for (command, args, says) in [
            ("start", json!({"x": 1}), "takes none"),
            ("speed", json!({}), "\"rpm\" is missing"),
            ("speed", json!({"rpm": null}), "a number from 0 to 3000"),
            ("speed", json!({"rpm": "900"}), "is \"900\"; it has to be a number"),
            ("speed", json!({"rpm": -0.1}), "from 0 to 3000"),
            ("speed", json!({"rpm": 3000.1}), "from 0 to 3000"),
            ("speed", json!({"rpm": 1, "Rpm": 1}), "there is no argument \"Rpm\"; there are rpm"),
            ("mode", json!({"to": "turbo"}), "one of \"eco\", \"boost\""),
            ("mode", json!({"to": "eco", "level": 1.5}), "a whole number"),
            ("mode", json!({"to": "eco", "level": 1e300}), "a whole number"),
            ("mode", json!({"to": "eco", "soft": 1}), "true or false"),
            ("mode", json!({"to": "eco", "gear": true}), "one of 1, \"r\""),
        ] {
            let found = check(command, args.clone()).expect_err(&args.to_string());
            assert!(found.contains(says), "{args}: {found}");
        }
        assert_eq!(Args::new(Some(json!([1]))), None);
        let text = Describe::parse(&json!({"commands": {"say": {"args": {"text": {"type": "string"}}}}})).unwrap();
        let long = Args::new(Some(json!({"text": "x".repeat(ARGS_TEXT_MAX)}))).unwrap();
        assert!(text.command("say").unwrap().check(&long).unwrap_err().contains("bytes"));
    }

    #[test]
    fn a_description_that_cannot_be_meant_is_refused() {
        for (value, says) in [
            (json!([]), "an object"),
            (json!({"commands": []}), "`describe.commands`"),
            (json!({"commands": {"": {}}}), "no name"),
            (json!({"commands": {"a\n": {}}}), "no name"),
            (json!({"commands": {"go": true}}), "\"go\" has to be an object"),
            (json!({"commands": {"go": {"anyone": "yes"}}}), "`anyone` has to be true or false"),
            (json!({"commands": {"go": {"args": {"x": {}}}}}), "`type` has to be"),
            (json!({"commands": {"go": {"args": {"x": {"type": "float"}}}}}), "`type` has to be"),
            (json!({"commands": {"go": {"args": {"x": {"type": "string", "min": 1}}}}}), "numbers only"),
            (json!({"commands": {"go": {"args": {"x": {"type": "number", "min": 2, "max": 1}}}}}), "nothing fits"),
            (json!({"commands": {"go": {"args": {"x": {"choices": []}}}}}), "`choices`"),
            (json!({"telemetry": ["rpm"]}), "`describe.telemetry`"),
            (json!({"note": "x".repeat(TEXT_MAX)}), "bytes"),
        ] {
            let found = Describe::parse(&value).expect_err(&value.to_string());
            assert!(found.contains(says), "{value}: {found}");
        }
    }

    #[test]
    fn equal_arguments_have_one_text() {
        let text = |s: &str| Args::new(Some(serde_json::from_str(s).unwrap())).unwrap().text();
        assert_eq!(text(r#"{"b":1,"a":"x"}"#), text(r#"{ "a":"x", "b":1 }"#));
    }
}
