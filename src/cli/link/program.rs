//! The program behind the device: COMMAND with its pipes, or our own standard input and output.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::link::lines::LineBuffer;
use crate::sys::child::{self, End, Tie, Watch};
use crate::sys::socket;

/// At most so much is written at once to a pipe of somebody else's, which may be in blocking mode: what poll(2) calls writable
/// takes that much without waiting (PIPE_BUF, pipe(7)).
const POLITE: usize = 4096;

/// A running program.
#[derive(Debug)]
pub struct Program {
    child: Option<Child>,
    /// What is written to it goes into a pipe.
    piped: bool,
    /// To it; `None` once it has closed it.
    pub to: Option<File>,
    /// From it; `None` at its end.
    pub from: Option<File>,
    /// What it has written so far of a line.
    pub lines: LineBuffer,
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
        Ok(Program { child: Some(child), piped: true, to, from, lines: LineBuffer::default() })
    }

    /// Our own standard input and output. They may be shared with others, so their mode is left alone.
    pub fn ourselves() -> io::Result<Program> {
        let from = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let to = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let piped = to.metadata()?.file_type().is_fifo();
        Ok(Program { child: None, piped, to: Some(to), from: Some(from), lines: LineBuffer::default() })
    }

    /// COMMAND's process id; 0 for ourselves.
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Whether it has read all that was written to it. For what is no pipe, nobody can tell: yes.
    pub fn has_read_all(&self) -> bool {
        match &self.to {
            Some(to) if self.piped => child::unread(to.as_fd()).is_ok_and(|n| n == 0),
            _ => true,
        }
    }

    /// Reads what is there.
    pub fn read(&mut self, buffer: &mut [u8]) -> Io {
        let Some(from) = &mut self.from else { return Io::Closed };
        if self.child.is_none() && !ready(Watch::read(from)) {
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
        if self.child.is_none() {
            if !ready(Watch::write(to)) {
                return Io::Later;
            }
            bytes = &bytes[..bytes.len().min(POLITE)];
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
