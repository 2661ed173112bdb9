//! What neither the compiler nor clippy holds: no file of `src` is too long to be read in one go, and no files take names from
//! each other in a circle; and the hub has two doors. (The floors of `src/lib.rs` are held by scripts/floors.sh.)
#![allow(clippy::unwrap_used)] // A test; its helpers too.

#[path = "layers/imports.rs"]
mod imports;

use std::fs;
use std::path::Path;

use imports::{Circle, Tree};

/// Lines in one file, tests and comments included.
const LINES_MAX: usize = 500;

/// Files that take names from each other all the same, each by the beginning of their names, and why.
const CIRCLES: &[(&str, &str)] =
    &[("hub", "the hub's methods lie in the file of what they are about: ARCHITECTURE.md")];

#[test]
fn no_file_is_longer_than_can_be_read_in_one_go() {
    let long: Vec<String> = sources().iter().filter_map(|(name, text)| too_long(name, text)).collect();
    assert!(long.is_empty(), "\n{}\n", long.join("\n"));
    assert!(too_long("long.rs", &"a();\n".repeat(LINES_MAX + 1)).is_some());
}

#[test]
fn no_files_take_names_from_each_other_in_a_circle() {
    let sources = sources();
    let tree = Tree::new(&sources);
    let circles = tree.circles();
    let within = |circle: &Circle, begin: &str| circle.keys().all(|file| file.starts_with(begin));
    let new: Vec<_> = circles.iter().filter(|c| !CIRCLES.iter().any(|(begin, _)| within(c, begin))).collect();
    assert!(new.is_empty(), "circles: {new:#?}");
    let gone: Vec<_> = CIRCLES.iter().filter(|(begin, _)| !circles.iter().any(|c| within(c, begin))).collect();
    assert!(gone.is_empty(), "no circle any more: take them out of the list: {gone:?}");
}

#[test]
fn circles_are_found() {
    let circles = |files: &[(&str, &str)]| {
        let files: Vec<_> = files.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        let tree = Tree::new(&files);
        tree.circles().iter().map(|circle| circle.keys().copied().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let two = [("a.rs", "use crate::b::{B, self};\nstruct A;"), ("b.rs", "fn f(a: crate::a::A) {}\nstruct B;")];
    assert_eq!(circles(&two), ["a.rs b.rs"]);
    // through what a parent hands on, which is in no circle itself
    let parent = ("p/mod.rs", "pub mod x;\npub mod y;\npub use x::X;\npub use y::*;");
    let three = [parent, ("p/x.rs", "use super::Y;\npub struct X;"), ("p/y.rs", "use crate::p::X;\npub struct Y;")];
    assert_eq!(circles(&three), ["p/x.rs p/y.rs"]);
    // the parent has something itself that its child takes, and takes what the child has
    let child = [("p.rs", "mod x;\nuse x::X;\nstruct P(X);"), ("p/x.rs", "impl super::P {}\npub struct X;")];
    assert_eq!(circles(&child), ["p.rs p/x.rs"]);
    // by the name of an imported module
    let module = [("a.rs", "use crate::b;\nfn f() { b::g() }"), ("b.rs", "use super::a;\nfn g() { a::f() }")];
    assert_eq!(circles(&module), ["a.rs b.rs"]);
    // neither comments nor tests count, nor what is named in passing
    let none = [
        ("a.rs", "use crate::b::B;\nstruct A;"),
        (
            "b.rs",
            "// crate::a::A\nstruct B;\n#[cfg(test)]\nmod checks;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n",
        ),
        ("b/checks.rs", "use crate::a::A;\nuse super::c::C;"),
        ("b/checks/c.rs", "use super::super::B;\nuse super::D;\nstruct C;"),
    ];
    assert!(circles(&none).is_empty());
}

#[test]
fn the_hub_has_two_doors_and_little_else_is_public() {
    let sources = sources();
    let of_hub = sources.iter().filter(|(name, _)| name.starts_with("hub/"));
    let mut public: Vec<&str> = of_hub.flat_map(|(_, text)| methods_of_hub(text)).collect();
    public.sort_unstable();
    assert_eq!(public, ["ask", "handle", "new", "sign_in", "view"], "see ARCHITECTURE.md: the hub has two doors");
}

/// The public methods in a source's `impl Hub` blocks.
fn methods_of_hub(text: &str) -> Vec<&str> {
    let blocks = text.split("\nimpl Hub {\n").skip(1).filter_map(|rest| rest.split("\n}").next());
    blocks.flat_map(|block| block.split("\n    pub fn ").skip(1)).map(|rest| &rest[..rest.find('(').unwrap()]).collect()
}

fn too_long(name: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LINES_MAX).then(|| format!("{name}: {lines} lines; split it by sense (at most {LINES_MAX})"))
}

/// The names below `src` and texts of all sources.
fn sources() -> Vec<(String, String)> {
    fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, files);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &root, &mut files);
    assert!(files.len() > 100, "looked in the wrong place: {}", root.display());
    files
}
