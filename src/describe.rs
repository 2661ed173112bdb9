//! What a device says of itself, as data: its commands with the arguments they take, and what it measures in which
//! units. And whether arguments fit.
//!
//! A device is a stranger to the pages that show it. So nothing of what it said is kept but what has a type here and fits
//! its bounds; names that are not known are dropped, and pages get the text that is written from these types. What does
//! not fit is refused by name and never cut to size: a machine that runs with other limits than its maker wrote is worse
//! than one that does not start.
//!
//! Never does: knowing any device.

use std::rc::Rc;

use serde_json::{Map, Number, Value};

use crate::shown::{Unseen, unseen};

/// Bytes of a description: it is sent to every page in `hello`, with those of all other devices.
pub const TEXT_MAX: usize = 8 << 10;
/// Commands of one device; more is a mistake, not a device.
const COMMANDS_MAX: usize = 64;
/// Arguments of one command.
const ARGS_MAX: usize = 32;
/// Choices of one argument.
const CHOICES_MAX: usize = 64;
/// Bytes of a name (a device's, a command's, an argument's, a value's), of a unit and of a choice: each is shown on one
/// line of a page.
pub const NAME_MAX: usize = 64;
/// Names of values that one device measures.
pub const VALUES_MAX: usize = 256;
/// Bytes of the arguments of one command as text: the log keeps hundreds of them.
pub const ARGS_TEXT_MAX: usize = 4 << 10;

/// A device's description.
#[derive(Clone, PartialEq, Debug)]
pub struct Describe {
    text: Rc<str>,
    /// By name.
    commands: Vec<(Box<str>, CommandSpec)>,
}

/// Units by the names of values.
type Units = Vec<(Box<str>, Box<str>)>;

/// One command.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CommandSpec {
    /// Everybody with good credentials may send it: an emergency stop.
    pub anyone: bool,
    /// By name.
    args: Vec<(Box<str>, ArgSpec)>,
}

#[derive(Clone, PartialEq, Debug)]
struct ArgSpec {
    kind: Kind,
    choices: Vec<Choice>,
    /// As they were written: 3000 is shown as 3000 and not as 3000.0.
    min: Option<Number>,
    max: Option<Number>,
    optional: bool,
}

/// One of the values that an argument may have.
#[derive(Clone, PartialEq, Debug)]
enum Choice {
    Number(Number),
    Text(Box<str>),
    Flag(bool),
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

impl Kind {
    const NAMED: [(&str, Kind); 4] =
        [("number", Kind::Number), ("integer", Kind::Integer), ("string", Kind::Text), ("boolean", Kind::Flag)];

    /// As `type` names it.
    fn word(self) -> Option<&'static str> {
        Kind::NAMED.iter().find(|(_, kind)| *kind == self).map(|(word, _)| *word)
    }
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
        // what is written from the types is never longer: it says the same with fewer names
        let len = value.to_string().len();
        if len > TEXT_MAX {
            return Err(format!("`describe` has {len} bytes, at most {TEXT_MAX} are taken"));
        }
        let units = match map.get("telemetry") {
            None => Units::new(),
            Some(value) => units(value)?,
        };
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
                    check_name("a command", name)?;
                    commands.push((name.as_str().into(), command(name, spec)?));
                }
            }
            Some(_) => return Err("`describe.commands` has to be an object, as in {\"stop\":{}}".into()),
        }
        Ok(Describe { text: written(&commands, &units).into(), commands })
    }

    /// In one line of JSON, with only what is known here: what pages get.
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

impl CommandSpec {
    fn value(&self) -> Value {
        let mut map = Map::new();
        if self.anyone {
            map.insert("anyone".into(), true.into());
        }
        if !self.args.is_empty() {
            map.insert("args".into(), by_name(&self.args, ArgSpec::value));
        }
        map.into()
    }
}

impl ArgSpec {
    fn value(&self) -> Value {
        let mut map = Map::new();
        let mut put = |name: &str, value: Option<Value>| drop(value.and_then(|v| map.insert(name.into(), v)));
        put("type", self.kind.word().map(Value::from));
        let choices: Vec<Value> = self.choices.iter().map(Choice::value).collect();
        put("choices", (!choices.is_empty()).then(|| choices.into()));
        put("min", self.min.clone().map(Value::Number));
        put("max", self.max.clone().map(Value::Number));
        put("optional", self.optional.then(|| true.into()));
        map.into()
    }

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
        let bound = |bound: &Option<Number>| bound.as_ref().and_then(Number::as_f64);
        let low = bound(&self.min).is_none_or(|min| number.is_some_and(|n| n >= min));
        let high = bound(&self.max).is_none_or(|max| number.is_some_and(|n| n <= max));
        let chosen = self.choices.is_empty() || self.choices.iter().any(|c| c.is(value));
        if right_type && low && high && chosen {
            return Ok(());
        }
        Err(format!("the argument {name:?} is {}; it has to be {}", cut(&value.to_string()), self.wish()))
    }

    /// What would be right.
    fn wish(&self) -> String {
        if !self.choices.is_empty() {
            let all: Vec<String> = self.choices.iter().map(|c| c.value().to_string()).collect();
            return format!("one of {}", all.join(", "));
        }
        let kind = match self.kind {
            Kind::Number => "a number",
            Kind::Integer => "a whole number",
            Kind::Text => "a string",
            Kind::Flag => "true or false",
            Kind::Any => "anything",
        };
        match (&self.min, &self.max) {
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

impl Choice {
    fn read(value: &Value) -> Result<Choice, String> {
        match value {
            Value::Number(n) => Ok(Choice::Number(n.clone())),
            Value::Bool(b) => Ok(Choice::Flag(*b)),
            Value::String(text) if is_label(text) => Ok(Choice::Text(text.as_str().into())),
            other => Err(format!(
                "{} is no choice: it has to be a number, true, false or a string of at most {NAME_MAX} bytes {PLAIN}",
                shown(other)
            )),
        }
    }

    fn value(&self) -> Value {
        match self {
            Choice::Number(n) => Value::Number(n.clone()),
            Choice::Text(text) => (&**text).into(),
            Choice::Flag(flag) => (*flag).into(),
        }
    }

    /// 1 and 1.0 are the same choice.
    fn is(&self, value: &Value) -> bool {
        match self {
            Choice::Number(n) => value.is_number() && n.as_f64() == value.as_f64(),
            Choice::Text(text) => value.as_str() == Some(text),
            Choice::Flag(flag) => value.as_bool() == Some(*flag),
        }
    }
}

/// JSON of nothing but what these types hold.
fn written(commands: &[(Box<str>, CommandSpec)], units: &[(Box<str>, Box<str>)]) -> String {
    let mut all = Map::new();
    if !commands.is_empty() {
        all.insert("commands".into(), by_name(commands, CommandSpec::value));
    }
    if !units.is_empty() {
        all.insert("telemetry".into(), by_name(units, |unit| (&**unit).into()));
    }
    Value::Object(all).to_string()
}

fn by_name<T>(all: &[(Box<str>, T)], value: impl Fn(&T) -> Value) -> Value {
    all.iter().map(|(name, of)| (name.to_string(), value(of))).collect::<Map<_, _>>().into()
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

/// A value as a message shows it.
fn shown(value: &Value) -> String {
    cut(&value.to_string()).into()
}

/// Whether `c` cannot be seen, or changes the order in which what is around it is shown: in a name it makes one thing
/// look like another. Joiners stay, and what looks like a space: some scripts are not written without them.
pub fn is_hidden(c: char) -> bool {
    matches!(unseen(c), Some(Unseen::Control | Unseen::Hidden))
}

/// What [`is_hidden`] keeps out, as messages say it.
const PLAIN: &str = "without control and invisible characters";

/// Whether `text` fits as a name, a unit or a choice; those two may also be empty.
fn is_label(text: &str) -> bool {
    text.len() <= NAME_MAX && !text.contains(is_hidden)
}

/// What is wrong with `name` as the name of a command, an argument or a value.
pub fn name_fault(what: &str, name: &str) -> Option<String> {
    let fits = !name.is_empty() && is_label(name);
    (!fits).then(|| format!("{:?} is no name for {what}: 1 to {NAME_MAX} bytes {PLAIN}", cut(name)))
}

/// What is wrong with `name` as a device's name: it has to fit into a path and into a line of the tokens file.
pub fn device_name_fault(name: &str) -> Option<String> {
    let bad = |c: char| is_hidden(c) || matches!(c, ':' | '/' | '\\' | '?' | '#' | '%');
    let fits = !name.is_empty() && name.len() <= NAME_MAX && !name.starts_with('.') && name.trim() == name;
    if fits && !name.contains(bad) {
        return None;
    }
    Some(format!(
        "the name has to have 1 to {NAME_MAX} bytes, none of : / \\ ? # %, nothing invisible, no dot or space at its beginning"
    ))
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    name_fault(what, name).map_or(Ok(()), Err)
}

/// What is measured, and its units.
fn units(value: &Value) -> Result<Units, String> {
    let Value::Object(all) = value else {
        return Err("`describe.telemetry` has to be an object of names and units, as in {\"rpm\":\"1/min\"}".into());
    };
    if all.len() > VALUES_MAX {
        return Err(format!("`describe.telemetry` has {} names, at most {VALUES_MAX} are taken", all.len()));
    }
    let unit = |(name, unit): (&String, &Value)| {
        check_name("a value", name)?;
        match unit {
            Value::String(unit) if is_label(unit) => Ok((name.as_str().into(), unit.as_str().into())),
            other => Err(format!(
                "`describe.telemetry`: the unit of {name:?} is {}; it has to be a string of at most {NAME_MAX} bytes {PLAIN}, as in \"1/min\"",
                shown(other)
            )),
        }
    };
    all.iter().map(unit).collect()
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
                check_name("an argument", arg)?;
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
        Some(Value::Array(all)) if !all.is_empty() && all.len() <= CHOICES_MAX => {
            all.iter().map(Choice::read).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(format!("`choices` has to be a list of 1 to {CHOICES_MAX} values")),
    };
    let named = |word: &Value| Kind::NAMED.iter().find(|(name, _)| word.as_str() == Some(name));
    let kind = match spec.get("type").map(named) {
        Some(Some((_, kind))) => *kind,
        None if !choices.is_empty() => Kind::Any,
        _ => return Err("`type` has to be number, integer, string or boolean".into()),
    };
    let bound = |name: &str| match spec.get(name) {
        None => Ok(None),
        Some(value) => match value {
            Value::Number(n) if matches!(kind, Kind::Number | Kind::Integer) => Ok(Some(n.clone())),
            _ => Err(format!("`{name}` has to be a number, and goes with numbers only")),
        },
    };
    let (min, max) = (bound("min")?, bound("max")?);
    if let (Some(min), Some(max)) = (&min, &max) {
        if min.as_f64() > max.as_f64() {
            return Err(format!("`min` ({min}) is above `max` ({max}): nothing fits"));
        }
    }
    let spec = ArgSpec { kind, choices, min, max, optional: flag(spec, "optional")? };
    match spec.choices.iter().map(Choice::value).find(|choice| spec.check("", choice).is_err()) {
        Some(choice) => {
            Err(format!("the choice {choice} does not fit its `type`, `min` or `max`: it could never be sent"))
        }
        None => Ok(spec),
    }
}

fn flag(map: &Map<String, Value>, name: &str) -> Result<bool, String> {
    match map.get(name) {
        None => Ok(false),
        Some(Value::Bool(b)) => Ok(*b),
        Some(_) => Err(format!("`{name}` has to be true or false")),
    }
}

#[cfg(test)]
mod tests;
