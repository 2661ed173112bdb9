//! Finds the languages of the built-in pages, and leaves the unwind tables out of the program that is built for release.
//!
//! A language is one file in `www/lang/`: here it becomes a row of the table that the program has of them
//! (src/routes/languages.rs), and one word in the list that `www/words.js` has. Nothing else names the languages.
//!
//! The tables:
//!
//! There a panic says what it has to say and aborts: nobody unwinds. std still comes with a table entry for each of its
//! functions, and so does ours; together they are a twelfth of the file. What is lost with them: a debugger finds no
//! callers in a core dump, and RUST_BACKTRACE=full lists no addresses (with =1 a stripped file lists nothing in any case).
//! Whoever asks for debug information (CARGO_PROFILE_RELEASE_DEBUG=1) wants to see callers and keeps the tables.

use std::path::Path;
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

/// Writes what the program includes: the table of languages, and `words.js` with the list of them.
fn write_languages() {
    println!("cargo:rerun-if-changed=www/lang");
    println!("cargo:rerun-if-changed=www/words.js");
    let codes = languages();
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo names it");
    let row = |code: &String| {
        let file = format!("{root}/www/lang/{code}.js");
        format!("Language {{ code: {code:?}, path: \"lang/{code}.js\", text: include_str!({file:?}) }},\n")
    };
    let table = format!("[\n{}]", codes.iter().map(row).collect::<String>());
    let words = fs::read_to_string("www/words.js").expect("www/words.js can be read");
    assert!(words.matches(LIST).count() == 1, "www/words.js is to have one line {LIST:?}");
    let words = words.replace(LIST, &format!("const LANGUAGES = {codes:?};"));
    for (name, text) in [("languages.rs", table), ("words.js", words)] {
        let out = Path::new(&env::var("OUT_DIR").expect("cargo names it")).join(name);
        fs::write(out, text).expect("it can be written");
    }
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    write_languages();
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
