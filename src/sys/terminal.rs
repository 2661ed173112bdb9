//! The terminal: a line typed without being shown.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What came from the terminal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Typed {
    /// A line, without its end; also what was typed before the end of the input.
    Line(Vec<u8>),
    /// Ctrl-C or Ctrl-\.
    Interrupted,
}

/// Bytes of a line that are kept; more is read and dropped.
const LINE_MAX: usize = 4096;

/// Reads a line from a terminal without showing it, after `prompt` has asked for it: only once the terminal is mute, so
/// that nothing is shown or lost of what is typed as soon as the question is seen. Backspace and Ctrl-U work. Signals of the keyboard are off
/// meanwhile, so that Ctrl-C comes here and cannot leave the terminal mute. (termios(3), `ECHO`, `ICANON`, `ISIG`.)
pub fn read_secret(terminal: BorrowedFd<'_>, prompt: impl FnOnce()) -> io::Result<Typed> {
    let before = get(terminal)?;
    let mut mute = before;
    mute.c_lflag &= !(libc::ECHO | libc::ECHONL | libc::ICANON | libc::ISIG);
    mute.c_cc[libc::VMIN] = 1;
    mute.c_cc[libc::VTIME] = 0;
    set(terminal, &mute, libc::TCSAFLUSH)?;
    prompt();
    let typed = read_line(terminal);
    // Also when reading failed: a terminal that shows nothing is worse than a lost error.
    set(terminal, &before, libc::TCSADRAIN)?;
    typed
}

fn read_line(terminal: BorrowedFd<'_>) -> io::Result<Typed> {
    const CTRL_C: u8 = 3;
    const CTRL_D: u8 = 4;
    const BACKSPACE: u8 = 8;
    const CTRL_U: u8 = 21;
    const CTRL_BACKSLASH: u8 = 28;
    const DELETE: u8 = 127;
    let mut line = Vec::new();
    loop {
        match read_byte(terminal)? {
            None | Some(b'\n' | b'\r' | CTRL_D) => return Ok(Typed::Line(line)),
            Some(CTRL_C | CTRL_BACKSLASH) => return Ok(Typed::Interrupted),
            Some(BACKSPACE | DELETE) => {
                // One character of UTF-8: its continuation bytes, then its first.
                while line.last().is_some_and(|b| b & 0xc0 == 0x80) {
                    line.pop();
                }
                line.pop();
            }
            Some(CTRL_U) => line.clear(),
            Some(byte) if line.len() < LINE_MAX => line.push(byte),
            Some(_) => {}
        }
    }
}

/// read(2) of one byte; `None` at the end of the input.
fn read_byte(fd: BorrowedFd<'_>) -> io::Result<Option<u8>> {
    let mut byte = 0u8;
    loop {
        // SAFETY: `byte` is one writable byte, and one byte is asked for.
        match unsafe { libc::read(fd.as_raw_fd(), (&raw mut byte).cast(), 1) } {
            0 => return Ok(None),
            1.. => return Ok(Some(byte)),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// tcgetattr(3)
fn get(fd: BorrowedFd<'_>) -> io::Result<libc::termios> {
    let mut termios = std::mem::MaybeUninit::uninit();
    // SAFETY: the pointer is to room for a termios; it is read only if the call has filled it.
    unsafe {
        if libc::tcgetattr(fd.as_raw_fd(), termios.as_mut_ptr()) == 0 {
            Ok(termios.assume_init())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// tcsetattr(3), once all that was written is out; `TCSAFLUSH` also drops what was typed ahead.
fn set(fd: BorrowedFd<'_>, termios: &libc::termios, when: libc::c_int) -> io::Result<()> {
    // SAFETY: the pointer is to a whole termios that lives during the call.
    match unsafe { libc::tcsetattr(fd.as_raw_fd(), when, termios) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A terminal of our own: our end, and the end that a program has.
#[cfg(test)]
pub fn pair() -> (std::fs::File, std::fs::File) {
    use std::os::fd::FromRawFd;
    let (mut ours, mut theirs) = (0, 0);
    let null = std::ptr::null_mut();
    // SAFETY: two writable ints; no name, no termios and no size are passed.
    let made = unsafe { libc::openpty(&mut ours, &mut theirs, null, null.cast(), null.cast()) };
    assert_eq!(made, 0, "{}", io::Error::last_os_error());
    // SAFETY: both were just opened and belong to nobody else.
    unsafe { (std::fs::File::from_raw_fd(ours), std::fs::File::from_raw_fd(theirs)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    /// Types `keys` when asked; what was read, and what was shown.
    fn type_in(keys: &[u8]) -> (Typed, Vec<u8>) {
        let (mut ours, theirs) = pair();
        let before = get(theirs.as_fd()).unwrap();
        let typed = read_secret(theirs.as_fd(), || (&ours).write_all(keys).unwrap()).unwrap();
        let after = get(theirs.as_fd()).unwrap();
        assert_eq!(before.c_lflag, after.c_lflag, "the terminal is as it was");
        (&theirs).write_all(b"|").unwrap();
        let mut shown = vec![0; 64];
        let n = ours.read(&mut shown).unwrap();
        shown.truncate(n);
        (typed, shown)
    }

    #[test]
    fn a_secret_is_read_without_being_shown() {
        let (typed, shown) = type_in(b"s3cret\n");
        assert_eq!(typed, Typed::Line(b"s3cret".to_vec()));
        assert_eq!(shown, b"|");
    }

    #[test]
    fn backspace_takes_a_whole_character_back_and_ctrl_u_the_line() {
        assert_eq!(type_in("ab\u{15}xé\u{7f}y\u{8}\u{8}\u{8}\u{8}z\r".as_bytes()).0, Typed::Line(b"z".to_vec()));
    }

    #[test]
    fn ctrl_c_interrupts_and_leaves_the_terminal_as_it_was() {
        assert_eq!(type_in(b"abc\x03").0, Typed::Interrupted);
    }

    #[test]
    fn what_is_no_terminal_is_an_error() {
        let null = File::open("/dev/null").unwrap();
        assert!(read_secret(null.as_fd(), || ()).is_err());
    }
}
