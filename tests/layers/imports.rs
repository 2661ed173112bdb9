//! Which file of `src` takes names from which other one, read from the sources as rustfmt leaves them: `use` items and paths
//! that begin with `crate`, `self`, `super`, a child module or a module that was imported. A name counts for the file that
//! defines it, not for those that hand it on. What methods call each other is not seen, nor what tests use.

use std::collections::{BTreeMap, BTreeSet};

type Path = Vec<String>;

/// Files in a circle, each with those of them that it takes names from.
pub type Circle<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// One file: the module that it is.
struct File {
    name: String,
    module: Path,
    text: String,
    /// What it defines.
    defines: BTreeSet<String>,
    /// Its `use` items: the path, the name that it has here, and whether it is handed on.
    uses: Vec<(Path, String, bool)>,
}

/// The files of a tree.
pub struct Tree(Vec<File>);

impl Tree {
    /// Of these names (below `src`) and texts.
    pub fn new(files: &[(String, String)]) -> Tree {
        let tests: Vec<String> = files.iter().flat_map(|(name, text)| modules_of_tests(name, text)).collect();
        let code = files.iter().filter(|(name, _)| {
            let inside = name.trim_end_matches(".rs");
            let test =
                |module: &String| inside.strip_prefix(&**module).is_some_and(|s| s.is_empty() || s.starts_with('/'));
            !tests.iter().any(test) && inside != "main" && inside != "lib"
        });
        let files = code.map(|(name, text)| {
            let module = name.trim_end_matches(".rs").trim_end_matches("/mod").split('/').map(str::to_owned).collect();
            let text = bare(text);
            let (uses, text) = uses(&text);
            let defines = defined(&text).map(str::to_owned).collect();
            File { name: name.clone(), module, text, defines, uses }
        });
        Tree(files.collect())
    }

    /// Every circle: files each of which leads to all the others.
    pub fn circles(&self) -> Vec<Circle<'_>> {
        let arrows: BTreeMap<&str, BTreeSet<&str>> = self.0.iter().map(|f| (&*f.name, self.arrows(f))).collect();
        let reached = |from| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(file) = next.pop() {
                next.extend(arrows[file].iter().filter(|to| seen.insert(**to)));
            }
            seen
        };
        let reach: BTreeMap<&str, BTreeSet<&str>> = arrows.keys().map(|file| (*file, reached(file))).collect();
        let circle = |file| reach[file].iter().copied().filter(|other| reach[other].contains(file)).collect();
        let circles: BTreeSet<BTreeSet<&str>> = reach.keys().map(|file| circle(*file)).collect();
        let within = |circle: &BTreeSet<_>, file| (file, arrows[file].intersection(circle).copied().collect());
        let circles = circles.iter().filter(|circle| !circle.is_empty());
        circles.map(|circle| circle.iter().map(|file| within(circle, *file)).collect()).collect()
    }

    /// The files that `file` takes names from.
    fn arrows<'a>(&'a self, file: &'a File) -> BTreeSet<&'a str> {
        let mut to = BTreeSet::new();
        for (path, name, handed_on) in &file.uses {
            if name == "*" {
                let module = absolute(path, file);
                let words = file.text.split(|c| !is_word(c)).filter(|word| word.starts_with(char::is_uppercase));
                let words: BTreeSet<&str> = words.collect();
                to.extend(words.into_iter().filter_map(|word| self.source(&module, word, 0)));
            } else if !handed_on || has_word(&file.text, name) {
                to.extend(self.defines(&absolute(path, file), 0));
            }
        }
        for path in paths(&file.text) {
            let known = file.uses.iter().find(|(_, name, _)| *name == path[0]);
            let path = match known {
                Some((path_of_it, ..)) => absolute(path_of_it, file).into_iter().chain(path[1..].to_vec()).collect(),
                None => absolute(&path, file),
            };
            to.extend(self.defines(&path, 0));
        }
        to.remove(&*file.name);
        to
    }

    fn module(&self, path: &[String]) -> Option<&File> {
        self.0.iter().find(|file| file.module == path)
    }

    /// The file that defines what is at `path` (from the root of the crate); `None` for a module, or what is not ours.
    fn defines(&self, path: &[String], depth: usize) -> Option<&str> {
        let (file, n) = (1..=path.len()).rev().find_map(|n| Some((self.module(&path[..n])?, n)))?;
        let name = path.get(n)?;
        self.source(&path[..n], name, depth).or(Some(&file.name))
    }

    /// The file that defines the `name` that the module at `path` has or hands on.
    fn source(&self, path: &[String], name: &str, depth: usize) -> Option<&str> {
        let file = self.module(path)?;
        if file.defines.contains(name) {
            return Some(&file.name);
        }
        let mut uses = file.uses.iter().filter(|_| depth < 8);
        uses.find_map(|(from, handed, _)| match &**handed {
            "*" => self.source(&absolute(from, file), name, depth + 1),
            handed if handed == name => self.defines(&absolute(from, file), depth + 1),
            _ => None,
        })
    }
}

/// `path` as it is said in `file`, from the root of the crate.
fn absolute(path: &[String], file: &File) -> Path {
    let mut at = match &*path[0] {
        "crate" => Path::new(),
        _ => file.module.clone(),
    };
    for part in path {
        match &**part {
            "crate" | "self" => {}
            "super" => drop(at.pop()),
            part => at.push(part.to_owned()),
        }
    }
    at
}

/// Where the modules are that the file `name` has for tests only.
fn modules_of_tests(name: &str, text: &str) -> Vec<String> {
    let folder = name.trim_end_matches(".rs").trim_end_matches("/mod");
    let marked = text.split("#[cfg(test)]\n").skip(1).filter_map(|after| after.lines().next());
    let modules = marked.filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'));
    modules.map(|module| format!("{folder}/{module}")).collect()
}

/// The text without comments and without the tests at its end.
fn bare(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.contains('$')); // within a macro
    code.map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect()
}

/// The `use` items of a file, and its text without them.
fn uses(text: &str) -> (Vec<(Path, String, bool)>, String) {
    let (mut found, mut rest, mut inside) = (Vec::new(), String::new(), String::new());
    for line in text.lines() {
        let item = line.trim_start();
        let begins = item.starts_with("use ") || (item.starts_with("pub") && item.contains(" use "));
        if inside.is_empty() && !begins {
            rest.push_str(line);
            rest.push('\n');
            continue;
        }
        inside.push_str(item);
        if let Some(whole) = inside.strip_suffix(';') {
            let handed_on = whole.starts_with("pub");
            let tree = whole.split_once("use ").map_or("", |(_, tree)| tree);
            expand(&Path::new(), tree, &mut |path, name| found.push((path, name, handed_on)));
            inside.clear();
        }
    }
    (found, rest)
}

/// Every path of `a::{b, c::{self, d as e}}`, and the name that it has from then on.
fn expand(before: &[String], tree: &str, found: &mut dyn FnMut(Path, String)) {
    let (head, group) = match tree.split_once('{') {
        Some((head, group)) => (head, Some(group.strip_suffix('}').unwrap_or(group))),
        None => (tree, None),
    };
    let (head, renamed) = head.split_once(" as ").map_or((head, None), |(head, name)| (head, Some(name.trim())));
    let mut path = before.to_vec();
    path.extend(head.split("::").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned));
    let Some(group) = group else {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self" || last == "*") {
            let last = path.pop();
            let name = if last.as_deref() == Some("*") { last } else { path.last().cloned() };
            return found(path, name.unwrap_or_default());
        }
        let name = renamed.map(str::to_owned).or_else(|| path.last().cloned());
        return if let Some(name) = name {
            found(path, name)
        };
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[start..at].trim().is_empty() {
                    expand(&path, group[start..at].trim(), found);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The paths of two and more parts in `text`.
fn paths(text: &str) -> impl Iterator<Item = Path> {
    let words = text.split(|c: char| !is_word(c) && c != ':');
    let paths = words.map(|word| word.trim_matches(':')).filter(|word| word.contains("::"));
    paths.map(|word| word.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

/// The names of what `text` defines, by itself or by the macro `words`.
fn defined(text: &str) -> impl Iterator<Item = &str> {
    let sets = text.split("words! {\n").skip(1).filter_map(|set| set.split('{').next()?.split_whitespace().last());
    let mut words = text.split(|c| !is_word(c)).filter(|word| !word.is_empty());
    let items = std::iter::from_fn(move || {
        words.find(|word| matches!(*word, "struct" | "enum" | "trait" | "type" | "fn" | "const" | "static"))?;
        words.next()
    });
    items.chain(sets)
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c| !is_word(c)).any(|found| found == word)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
