//! Leaves the unwind tables out of the program that is built for release.
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

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
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
