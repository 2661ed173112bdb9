//! The log: lines on stderr, and which of them `RUST_LOG` asks for.

use std::io::Write;

use log::{LevelFilter, Metadata, Record};

use crate::net::clock;
use crate::{json, msg};

/// Lines on stderr: time, level, text; without the time where a journal adds its own. `RUST_LOG` wins over `level`.
pub fn start(level: LevelFilter) {
    let (filter, faults) = Filter::new(level, &std::env::var("RUST_LOG").unwrap_or_default());
    for fault in faults {
        super::complain(&format!("RUST_LOG: {fault} is ignored; write it like debug, or boatswain::net=debug,info"));
    }
    log::set_max_level(filter.most());
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    // a second logger can only come from a second call in one process
    let _ = log::set_boxed_logger(Box::new(Lines { filter, journal }));
}

struct Lines {
    filter: Filter,
    journal: bool,
}

impl log::Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.filter.level(metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut line = Vec::new();
        if !self.journal {
            let msg::Now { wall_ms, .. } = clock::read();
            json::time(&mut line, wall_ms);
            line.push(b' ');
        }
        line.extend(record.level().as_str().bytes().map(|b| b.to_ascii_lowercase()));
        line.push(b' ');
        let text = line.len();
        // a Vec takes everything, and nobody is left to tell when stderr is gone
        let _ = write!(line, "{}", record.args());
        if self.filter.wants(&line[text..]) {
            line.push(b'\n');
            let _ = std::io::stderr().write_all(&line);
        }
    }

    fn flush(&self) {}
}

/// What is logged, as `RUST_LOG` says it (the form of Rust's env_logger): `LEVEL` for everything, `PART=LEVEL` or `PART` for
/// the parts of the program that begin so, with commas between them; then perhaps `/TEXT`, which every line has to contain.
struct Filter {
    /// Parts and their levels; the more a part's name says, the later it is here. The empty name is for all.
    parts: Vec<(String, LevelFilter)>,
    text: Option<String>,
}

impl Filter {
    /// `level`: what counts where `spec` does not say. Also what of `spec` made no sense.
    fn new(level: LevelFilter, spec: &str) -> (Filter, Vec<String>) {
        let mut filter = Filter { parts: vec![(String::new(), level)], text: None };
        let mut faults = Vec::new();
        let (parts, text) = spec.split_once('/').map_or((spec, None), |(parts, text)| (parts, Some(text)));
        if text.is_some_and(|t| t.contains('/')) {
            return (filter, vec![format!("{spec:?} (two slashes)")]);
        }
        filter.text = text.filter(|t| !t.is_empty()).map(str::to_string);
        for part in parts.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=').map(|(name, level)| (name, level.trim())) {
                None => match part.parse() {
                    Ok(level) => filter.set("", level),
                    Err(_) => filter.set(part, LevelFilter::max()),
                },
                Some((name, "")) => filter.set(name.trim_end(), LevelFilter::max()),
                Some((name, level)) => match level.parse() {
                    Ok(level) => filter.set(name.trim_end(), level),
                    Err(_) => faults.push(format!("{part:?}")),
                },
            }
        }
        (filter, faults)
    }

    fn set(&mut self, name: &str, level: LevelFilter) {
        self.parts.retain(|(known, _)| known != name);
        let at = self.parts.partition_point(|(known, _)| known.len() <= name.len());
        self.parts.insert(at, (name.to_string(), level));
    }

    /// The level of the part that `target` is in.
    fn level(&self, target: &str) -> LevelFilter {
        let part = self.parts.iter().rev().find(|(name, _)| target.starts_with(name.as_str()));
        part.map_or(LevelFilter::Off, |(_, level)| *level)
    }

    /// The highest of all levels.
    fn most(&self) -> LevelFilter {
        self.parts.iter().map(|(_, level)| *level).max().unwrap_or(LevelFilter::Off)
    }

    fn wants(&self, line: &[u8]) -> bool {
        self.text.as_ref().is_none_or(|text| line.windows(text.len()).any(|w| w == text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LevelFilter::{Debug, Error, Info, Off, Trace, Warn};

    #[track_caller]
    fn levels(spec: &str, expected: [LevelFilter; 3]) {
        let (filter, faults) = Filter::new(Info, spec);
        assert_eq!(faults, [""; 0], "{spec}");
        let levels = ["boatswain::net::serve", "boatswain::hub", "mio::poll"].map(|target| filter.level(target));
        assert_eq!(levels, expected, "{spec}");
        assert_eq!(filter.most(), filter.parts.iter().map(|p| p.1).max().unwrap());
    }

    #[test]
    fn rust_log_names_a_level_for_all_or_for_parts_and_the_longest_name_counts() {
        levels("", [Info; 3]);
        levels("debug", [Debug; 3]);
        levels("WARN", [Warn; 3]);
        levels("off", [Off; 3]);
        levels("boatswain", [Trace, Trace, Info]);
        levels("boatswain=", [Trace, Trace, Info]);
        levels("boatswain::net=debug,boatswain=error", [Debug, Error, Info]);
        levels("boatswain=error,boatswain::net=debug", [Debug, Error, Info]);
        levels(" error , mio = debug ,,", [Error, Error, Debug]);
        levels("error,warn", [Warn; 3]);
        levels("mio= warn", [Info, Info, Warn]);
    }

    #[test]
    fn what_makes_no_sense_is_named_and_the_rest_counts() {
        let (filter, faults) = Filter::new(Info, "mio=loud,boatswain=debug,a=b=c");
        assert_eq!(faults, ["\"mio=loud\"", "\"a=b=c\""]);
        assert_eq!((filter.level("mio"), filter.level("boatswain::hub")), (Info, Debug));
        let (filter, faults) = Filter::new(Info, "debug/a/b");
        assert_eq!((faults.len(), filter.most(), filter.wants(b"x")), (1, Info, true));
    }

    #[test]
    fn a_text_picks_lines() {
        let (filter, _) = Filter::new(Info, "debug/seat");
        assert_eq!((filter.most(), filter.wants(b" a seat is free"), filter.wants(b" nobody")), (Debug, true, false));
        let (filter, _) = Filter::new(Info, "/");
        assert!(filter.wants(b" anything"));
    }
}
