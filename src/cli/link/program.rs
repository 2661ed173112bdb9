//! The program behind the device: COMMAND with its pipes, or our own standard input and output.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::link::lines::LineBuffer;
use crate::sys::child::{self, End, Tie, Watch};
use crate::sys::{socket, stderr, tcp};

/// At most so much is written at once to a pipe or socket of somebody else's, which may be in blocking mode: what poll(2) calls
/// writable takes that much without waiting (PIPE_BUF, pipe(7)).
const POLITE: usize = 4096;
/// The same for a terminal, which is called writable when there is room for one byte.
const POLITE_TERMINAL: usize = 1;

/// A running program.
#[derive(Debug)]
pub struct Program {
    child: Option<Child>,
    /// How one can tell whether it has read what was written.
    tells: Tells,
    /// Reading may wait: it is asked before whether there is something.
    reads_may_wait: bool,
    /// The same for writing; at most so many bytes are written then.
    writes_may_wait: Option<usize>,
    /// To it; `None` once it has closed it.
    pub to: Option<File>,
    /// From it; `None` at its end.
    pub from: Option<File>,
    /// What it has written so far of a line.
    pub lines: LineBuffer,
}

/// How one can tell how much of what was written has been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tells {
    /// A pipe: FIONREAD.
    Unread,
    /// A socket, or a serial port, which tells what it has not sent: TIOCOUTQ.
    Unsent,
    /// Not at all.
    Nothing,
}

/// What came of reading or writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Io {
    /// So many bytes.
    Some(usize),
    /// Nothing now.
    Later,
    /// The other end is closed.
    Closed,
}

impl Program {
    /// Starts COMMAND. The error says what to do.
    pub fn start(command: &[OsString]) -> Result<Program, String> {
        let Some((name, arguments)) = command.split_first() else { return Err("no COMMAND after --".into()) };
        let mut prepared = Command::new(name);
        prepared.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        child::prepare(&mut prepared, Tie::Loose);
        let mut child = prepared.spawn().map_err(|e| {
            let remedy = match e.kind() {
                ErrorKind::NotFound => "is the name right, and in PATH?",
                ErrorKind::PermissionDenied => "is it executable?",
                _ => "try it by hand",
            };
            format!("cannot start {}: {e}; {remedy}", name.to_string_lossy())
        })?;
        let to: Option<OwnedFd> = child.stdin.take().map(Into::into);
        let from: Option<OwnedFd> = child.stdout.take().map(Into::into);
        for fd in [&to, &from].into_iter().flatten() {
            socket::set_nonblocking(fd.as_fd()).map_err(|e| format!("the program's pipes: {e}"))?;
        }
        let (to, from) = (to.map(File::from), from.map(File::from));
        let (tells, lines) = (Tells::Unread, LineBuffer::default());
        Ok(Program { child: Some(child), tells, reads_may_wait: false, writes_may_wait: None, to, from, lines })
    }

    /// Our own standard input and output.
    #[allow(clippy::disallowed_methods)] // it is a pipe to a program
    pub fn ourselves() -> io::Result<Program> {
        Program::between(io::stdin().as_fd(), io::stdout().as_fd())
    }

    /// Whatever is behind these. They may be shared with others, so their mode is left alone, and where that can be, they are
    /// opened anew.
    fn between(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<Program> {
        let kind = File::from(to.try_clone_to_owned()?).metadata()?.file_type();
        let (tells, most) = match kind {
            kind if kind.is_fifo() => (Tells::Unread, POLITE),
            kind if kind.is_char_device() => (Tells::Unsent, POLITE_TERMINAL),
            kind if kind.is_socket() => (Tells::Unsent, POLITE),
            _ => (Tells::Nothing, POLITE),
        };
        let own_from = stderr::own(from.as_raw_fd(), OpenOptions::new().read(true));
        let own_to = stderr::own(to.as_raw_fd(), OpenOptions::new().write(true));
        Ok(Program {
            child: None,
            tells,
            reads_may_wait: own_from.is_none(),
            writes_may_wait: own_to.is_none().then_some(most),
            from: Some(own_from.map_or_else(|| from.try_clone_to_owned().map(File::from), Ok)?),
            to: Some(own_to.map_or_else(|| to.try_clone_to_owned().map(File::from), Ok)?),
            lines: LineBuffer::default(),
        })
    }

    /// COMMAND's process id; 0 for ourselves.
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Whether it has read all that was written to it. Of what nobody can tell (a file, a terminal without a queue): yes.
    pub fn has_read_all(&self) -> bool {
        match (&self.to, self.tells) {
            (Some(to), Tells::Unread) => child::unread(to.as_fd()).is_ok_and(|n| n == 0),
            (Some(to), Tells::Unsent) => !tcp::outq(to.as_fd()).is_ok_and(|n| n > 0),
            _ => true,
        }
    }

    /// Reads what is there.
    pub fn read(&mut self, buffer: &mut [u8]) -> Io {
        let Some(from) = &mut self.from else { return Io::Closed };
        if self.reads_may_wait && !ready(Watch::read(from)) {
            return Io::Later;
        }
        match from.read(buffer) {
            Ok(0) => {
                self.from = None;
                Io::Closed
            }
            Ok(n) => Io::Some(n),
            Err(e) if is_later(&e) => Io::Later,
            Err(_) => {
                self.from = None;
                Io::Closed
            }
        }
    }

    /// Writes as much as it takes.
    pub fn write(&mut self, bytes: &[u8]) -> Io {
        let Some(to) = &mut self.to else { return Io::Closed };
        let mut bytes = bytes;
        if let Some(most) = self.writes_may_wait {
            if !ready(Watch::write(to)) {
                return Io::Later;
            }
            bytes = &bytes[..bytes.len().min(most)];
        }
        match to.write(bytes) {
            Ok(n) => Io::Some(n),
            Err(e) if is_later(&e) => Io::Later,
            Err(_) => {
                self.to = None;
                Io::Closed
            }
        }
    }

    /// Asks COMMAND and what it has started to end.
    pub fn end(&mut self, how: End) {
        if let Some(child) = &self.child {
            // Gone already: that is what was wanted.
            let _ = child::end_group(child.id(), how);
        }
    }

    /// Whether COMMAND has ended, and how, in the words of the log.
    pub fn ended(&mut self) -> Option<String> {
        let child = self.child.as_mut()?;
        child::ended(Some(child.id()))?;
        // while its number is still its own: what it has started in its group
        let _ = child::end_group(child.id(), End::Please);
        let status = match child.try_wait() {
            Ok(status) => status?,
            Err(e) => return Some(format!("status unknown: {e}")),
        };
        Some(how(status))
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status={code}"),
        (None, Some(signal)) => format!("signal={signal}"),
        (None, None) => "status unknown".into(),
    }
}

fn ready(watch: Watch) -> bool {
    let mut one = [watch];
    child::wait(&mut one, Some(Duration::ZERO)).is_ok() && one[0].ready
}

fn is_later(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::terminal::pair;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    /// Writes long lines until it takes no more, reads a little, and writes again. Whether that came back.
    fn goes_on(mut program: Program, ours: File) -> bool {
        let (done, is_done) = channel();
        std::thread::spawn(move || {
            let mut ours = ours;
            for _ in 0..3 {
                let full = (0..100_000).any(|_| program.write(&[b'x'; 4096]) == Io::Later);
                assert!(full, "it takes without end");
                assert!(ours.read(&mut [0; 700]).unwrap() > 0);
            }
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(10)).is_ok()
    }

    #[test]
    fn a_terminal_that_nobody_reads_holds_nothing_up_and_its_mode_stays() {
        let (ours, theirs) = pair();
        let program = Program::between(theirs.as_fd(), theirs.as_fd()).unwrap();
        assert!(goes_on(program, ours));
        let flags = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", theirs.as_raw_fd())).unwrap();
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:\t")).unwrap();
        const O_NONBLOCK: u32 = 0o4000;
        assert_eq!(u32::from_str_radix(flags, 8).unwrap() & O_NONBLOCK, 0, "{flags}");
    }

    #[test]
    fn one_that_cannot_be_opened_anew_does_neither() {
        let (ours, theirs) = pair();
        let mut program = Program::between(theirs.as_fd(), theirs.as_fd()).unwrap();
        program.to = Some(theirs.try_clone().unwrap());
        program.writes_may_wait = Some(POLITE_TERMINAL);
        assert!(goes_on(program, ours));
    }

    #[test]
    fn what_lies_in_a_socket_has_not_been_read() {
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut program = Program::between(theirs.as_fd(), theirs.as_fd()).unwrap();
        assert!(program.has_read_all());
        assert_eq!(program.write(b"{}\n"), Io::Some(3));
        assert!(!program.has_read_all());
        assert_eq!(ours.read(&mut [0; 8]).unwrap(), 3);
        assert!(program.has_read_all());
    }
}
