//! The unwinder, for a program that never unwinds.
//!
//! Where a panic aborts, std uses the C compiler's unwinder for one thing only: to list callers after a panic, if
//! RUST_BACKTRACE asks for it. A file without unwind tables (build.rs) has no callers to list. With the functions here the
//! compiler sees that, and leaves out std's reader of debug information, a seventh of the code; and libgcc_s.so is
//! not loaded. The message of a panic, and where it was, are printed as ever.
//!
//! The names and shapes are those of the Itanium C++ ABI, "Exception Handling", section 1.

use std::ffi::{c_int, c_void};

/// What a walk over the stack ends with when there is nothing further (_URC_END_OF_STACK).
const END_OF_STACK: c_int = 5;

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_each: *const c_void, _with: *mut c_void) -> c_int {
    END_OF_STACK
}

// Asked for by what std has for panics that unwind. Nothing calls it.
macro_rules! never {
    ($($name:ident)*) => {
        $(#[unsafe(no_mangle)]
        extern "C" fn $name() -> ! {
            std::process::abort()
        })*
    };
}

never! {
    _Unwind_GetDataRelBase _Unwind_GetIP _Unwind_GetIPInfo _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart
    _Unwind_GetTextRelBase _Unwind_Resume _Unwind_SetGR _Unwind_SetIP
}
