//! Packs the built-in pages, finds their languages, and leaves the unwind tables out of the program that is built for release.
//!
//! The pages are in the program as gzip packs them, for that is how nearly all browsers take them (src/net/files/built_in.rs):
//! a third of the bytes, in the file and on the way. A language is one file in `www/lang/`: here it becomes a page, a row of
//! the table of what a full house says (src/routes/languages.rs), and one word in the list that `www/words.js` has. Nothing
//! else names the languages.
//!
//! The tables:
//!
//! There a panic says what it has to say and aborts: nobody unwinds. std still comes with a table entry for each of its
//! functions, and so does ours; together they are a twelfth of the file. What is lost with them: a debugger finds no
//! callers in a core dump, and RUST_BACKTRACE=full lists no addresses (with =1 a stripped file lists nothing in any case).
//! A build with debug information (CARGO_PROFILE_RELEASE_DEBUG=1) is made to see callers and keeps the tables.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Added to the linker's own script. GNU ld and lld take it; mold does not.
///
/// What marks the begin and the end of a program comes from the C compiler's files; on some machines those refer to their own
/// part of the tables, so that stays: a few bytes. On ARM a static program's unwinder names both ends of its table: there is
/// none. The unwinder that never unwinds (src/sys/unwind.rs) is for the program alone: a library that it loads finds the
/// real one.
const SCRIPT: &str = "SECTIONS { /DISCARD/ : {
    *(EXCLUDE_FILE(*crt*.o) .eh_frame EXCLUDE_FILE(*crt*.o) .eh_frame.*)
    *(.gcc_except_table .gcc_except_table.*)
    *(.ARM.exidx .ARM.exidx.* .ARM.extab .ARM.extab.*)
} } INSERT AFTER .comment;
PROVIDE(__exidx_start = 0);
PROVIDE(__exidx_end = 0);
VERSION { { local: _Unwind_*; }; }
";

/// The list of languages in `www/words.js`, as it lies there: a copy of the folder is a page in English.
const LIST: &str = "const LANGUAGES = ['en'];";

/// The codes of all languages, English first: it is taken where none of the reader's is there.
fn languages() -> Vec<String> {
    let files = fs::read_dir("www/lang").expect("www/lang is there").map(|e| e.expect("it can be read").file_name());
    let mut codes: Vec<String> = files.filter_map(|f| Some(f.to_str()?.strip_suffix(".js")?.to_owned())).collect();
    for code in &codes {
        let is_code = matches!(code.len(), 2 | 3) && code.bytes().all(|b| b.is_ascii_lowercase());
        assert!(
            is_code,
            "www/lang/{code}.js: the name is to be the language's two or three letters (ISO 639), as in en.js"
        );
    }
    codes.sort_by_key(|code| (code != "en", code.clone()));
    assert!(codes.first().is_some_and(|code| code == "en"), "www/lang/en.js is missing: it is for everybody else");
    codes
}

/// What a page of the full house needs of a language: its words are the lines that begin so.
const FULL_WORDS: &str = "full_";

/// Writes what the program includes: every page but that of the full house, packed, and the words of that one.
fn write_pages() {
    println!("cargo:rerun-if-changed=www");
    let codes = languages();
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo names it"));
    let read =
        |path: &str| fs::read_to_string(Path::new("www").join(path)).unwrap_or_else(|e| panic!("www/{path}: {e}"));
    let words = read("words.js");
    assert!(words.matches(LIST).count() == 1, "www/words.js is to have one line {LIST:?}");
    let words = words.replace(LIST, &format!("const LANGUAGES = {codes:?};"));
    let files = fs::read_dir("www").expect("www is there").map(|e| e.expect("it can be read").path());
    let files = files.filter(|p| p.is_file()).filter_map(|p| Some(p.file_name()?.to_str()?.to_owned()));
    let mut paths: Vec<String> = files.filter(|name| name != "full.html" && !name.starts_with('.')).collect();
    paths.extend(codes.iter().map(|code| format!("lang/{code}.js")));
    paths.sort();
    let (mut pages, mut full) = (String::from("[\n"), String::from("[\n"));
    for (n, path) in paths.iter().enumerate() {
        let text = if path == "words.js" { words.clone() } else { read(path) };
        let packed = out.join(format!("page{n}.gz"));
        fs::write(&packed, pack(text.as_bytes())).expect("it can be written");
        pages += &format!("({path:?}, include_bytes!({packed:?})),\n");
    }
    for code in &codes {
        let text: String = read(&format!("lang/{code}.js"))
            .lines()
            .filter(|l| l.starts_with(FULL_WORDS))
            .fold(String::new(), |text, line| text + line + "\n");
        full += &format!("Language {{ code: {code:?}, text: {text:?} }},\n");
    }
    for (name, table) in [("pages.rs", pages), ("languages.rs", full)] {
        fs::write(out.join(name), table + "]").expect("it can be written");
    }
}

/// As gzip packs it (RFC 1952), without a name and a time: the same page always becomes the same bytes.
fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).expect("memory takes it");
    packer.finish().expect("memory takes it")
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    write_pages();
    println!("cargo:rustc-check-cfg=cfg(no_unwind_tables)");
    let set = |name, value: &str| env::var(name).is_ok_and(|v| v == value);
    // Any other profile unwinds: the tests do.
    let program = set("PROFILE", "release") && set("DEBUG", "false");
    // Tried with glibc, dynamic and static. With musl rustc brings an unwinder and a linker of its own.
    let glibc = set("CARGO_CFG_TARGET_OS", "linux") && set("CARGO_CFG_TARGET_ENV", "gnu");
    let mold = env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("mold"));
    if program && glibc && !mold {
        let script = Path::new(&env::var("OUT_DIR").expect("cargo names it")).join("no-unwinding.ld");
        fs::write(&script, SCRIPT).expect("the linker's script can be written");
        // One word that the C compiler as well as a linker called directly understands.
        println!("cargo:rustc-link-arg-bins=-T{}", script.display());
        println!("cargo:rustc-cfg=no_unwind_tables");
    }
}
