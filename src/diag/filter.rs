//! Which lines are logged: the level of the settings, and what `RUST_LOG` says beyond it.
//!
//! `RUST_LOG` is a list of `LEVEL`, `MODULE` (all of it) and `MODULE=LEVEL`, separated by commas; the longest module that
//! fits decides. After a `/` comes a text that a line has to contain.

use log::LevelFilter;

/// Modules and their levels, the shortest name first; one has no name and fits all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    levels: Vec<(String, LevelFilter)>,
    contains: String,
}

impl Filter {
    /// By the settings' `level` and the value of `RUST_LOG`. The second is what of the latter was not understood.
    pub fn new(level: LevelFilter, variable: &str) -> (Filter, Vec<&str>) {
        let mut levels = vec![(String::new(), level)];
        let mut unknown = Vec::new();
        let (list, contains) = variable.split_once('/').unwrap_or((variable, ""));
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (module, level) = match word.split_once('=') {
                Some((module, level)) => (module.trim(), level.trim().parse()),
                None => word.parse().map_or((word, Ok(LevelFilter::max())), |level| ("", Ok(level))),
            };
            match level {
                Ok(level) => {
                    levels.retain(|(known, _)| known != module);
                    levels.push((module.into(), level));
                }
                Err(_) => unknown.push(word),
            }
        }
        levels.sort_by_key(|(module, _)| module.len());
        (Filter { levels, contains: contains.into() }, unknown)
    }

    /// The finest level of any module.
    pub fn finest(&self) -> LevelFilter {
        self.levels.iter().map(|(_, level)| *level).max().unwrap_or(LevelFilter::Off)
    }

    /// The level of the module called `target`.
    pub fn level(&self, target: &str) -> LevelFilter {
        let fits = self.levels.iter().rev().find(|(module, _)| target.starts_with(module.as_str()));
        fits.map_or(LevelFilter::Off, |(_, level)| *level)
    }

    /// Whether a line may have this text.
    pub fn takes(&self, line: &str) -> bool {
        line.contains(&self.contains)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LevelFilter::{Debug, Error, Info, Off, Trace, Warn};

    #[test]
    fn the_variable_wins_and_the_longest_module_decides() {
        let of = |variable, target: &str| Filter::new(Info, variable).0.level(target);
        for (variable, net, hub, other) in [
            ("", Info, Info, Info),
            ("debug", Debug, Debug, Debug),
            ("DEBUG", Debug, Debug, Debug),
            ("boatswain=debug", Debug, Debug, Info),
            ("warn,boatswain::net=debug", Debug, Warn, Warn),
            ("boatswain::net=debug,warn", Debug, Warn, Warn),
            ("boatswain=error, boatswain::net::serve=off ,", Off, Error, Info),
            ("boatswain::net", Trace, Info, Info),
            ("boatswain=loud", Info, Info, Info),
            ("off", Off, Off, Off),
        ] {
            let found = ["boatswain::net::serve", "boatswain::hub", "mio"].map(|target| of(variable, target));
            assert_eq!(found, [net, hub, other], "{variable}");
        }
        assert_eq!(Filter::new(Info, "boatswain=loud,x=").1, ["boatswain=loud", "x="]);
        assert_eq!(Filter::new(Warn, "boatswain=debug").0.finest(), Debug);
    }

    #[test]
    fn a_text_after_a_slash_has_to_be_there() {
        let (filter, unknown) = Filter::new(Info, "debug/addr=127");
        assert!(unknown.is_empty() && filter.level("x") == Debug);
        assert!(filter.takes("closed addr=127.0.0.1") && !filter.takes("closed addr=10.0.0.1"));
    }
}
