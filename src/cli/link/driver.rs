//! The world of `boatswain link`: one thread that waits with poll(2) for the socket, the program's pipes, signals and the
//! end of a child, and carries bytes between them and the [`Machine`]. There are seven descriptors at most, and
//! our own standard input may be a terminal or a file, which epoll refuses.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::address::{Addresses, shown};
use super::machine::{Action, Machine, SILENT};
use super::program::{Io, Program};
use super::remains::Remains;
use crate::link::lines::{LineBuffer, TooLong};
use crate::net::clock;
use crate::sys::child::{self, End, Exits, Watch, wait};
use crate::sys::process::Signals;
use crate::sys::socket::{self, Local};

/// Attempts to connect that are under way at a time, each a second after the one before.
const ATTEMPTS_MAX: usize = 3;

/// Read at once from either side.
const CHUNK: usize = 16 * 1024;

/// Chunks that are read from the server before anything else happens: 16 unanswered commands with the longest arguments
/// and what else it may have said, eight times over.
const CHUNKS_MAX: usize = 32;

/// A program that has not read what it was given is looked at again after so long.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What is left of a program is looked for so often, until nothing is.
const LOOK_FOR_REMAINS: Duration = Duration::from_millis(50);

/// Everything that is open.
pub struct Driver {
    machine: Machine,
    command: Vec<OsString>,
    addresses: Addresses,
    attempts: VecDeque<Attempt>,
    socket: Option<OwnedFd>,
    lines: LineBuffer,
    program: Option<Program>,
    remains: Remains,
    /// COMMAND has run before: not starting now is no mistake of the user's.
    ran: bool,
    signals: Signals,
    exits: Exits,
}

/// A connection that may come to stand.
struct Attempt {
    fd: OwnedFd,
    to: Local,
    /// Further addresses to try at once if this one refuses.
    others: usize,
}

/// What a descriptor in the poll set is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Signal,
    Exit,
    Resolver,
    Attempt,
    Socket,
    FromProgram,
    ToProgram,
}

/// How it ended: the status, and for a failure one line.
pub type Ended = Result<u8, (u8, String)>;

impl Driver {
    /// Ready to run. `command` is empty for our own standard input and output.
    pub fn new(
        machine: Machine,
        command: Vec<OsString>,
        addresses: Addresses,
        signals: Signals,
        exits: Exits,
    ) -> io::Result<Driver> {
        let program = if command.is_empty() { Some(Program::ourselves()?) } else { None };
        Ok(Driver {
            machine,
            command,
            addresses,
            attempts: VecDeque::new(),
            socket: None,
            lines: LineBuffer::default(),
            program,
            remains: Remains::new(),
            ran: false,
            signals,
            exits,
        })
    }

    /// Runs until it is told to stop, or our own standard input ends.
    pub fn run(&mut self) -> Ended {
        loop {
            if let Some(ended) = self.settle() {
                return ended;
            }
            let mut watches: Vec<Watch> = Vec::new();
            let mut whats: Vec<What> = Vec::new();
            self.watched(|what, watch| {
                whats.push(what);
                watches.push(watch);
            });
            let now = clock::read();
            let due = self.machine.deadline().map(|at| at.since(now.mono));
            let held = self.machine.has_for_program() && !whats.contains(&What::ToProgram);
            let remains = self.machine.is_clearing().then_some(LOOK_FOR_REMAINS);
            let timeout = due.into_iter().chain(held.then_some(LOOK_AGAIN)).chain(remains).min();
            wait(&mut watches, timeout).map_err(|e| (1, format!("poll: {e}")))?;
            for (what, _) in whats.iter().zip(&watches).filter(|(_, w)| w.ready) {
                self.serve(*what);
            }
            if self.machine.is_clearing() && !self.remains.look() {
                self.machine.cleared(clock::read());
            }
            self.machine.wake(clock::read());
        }
    }

    /// Does what the machine asks for and writes what it has to say, until there is nothing left.
    fn settle(&mut self) -> Option<Ended> {
        loop {
            while let Some(action) = self.machine.next_action() {
                if let Some(ended) = self.act(action) {
                    return Some(ended);
                }
            }
            let wrote = self.write_server() | self.write_program();
            if !wrote {
                return None;
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Ended> {
        let now = clock::read();
        match action {
            Action::Start => match Program::start(&self.command) {
                Ok(program) => {
                    self.machine.program_started(now, program.id());
                    self.program = Some(program);
                    self.ran = true;
                }
                Err(why) if !self.ran => return Some(Err((2, why))),
                Err(why) => self.machine.program_failed(now, &why),
            },
            Action::Connect => {
                if let Err(e) = self.addresses.ask(now.mono) {
                    self.machine.unreachable(&format!("{}: {e}", self.addresses.shown()));
                }
                self.attempt(self.addresses.count());
            }
            Action::Finish => {
                if let Some(fd) = &self.socket {
                    // A connection that has broken down needs no FIN.
                    let _ = socket::shutdown_write(fd.as_fd());
                }
            }
            Action::Close => {
                self.attempts.clear();
                self.lines.reset();
                if let Some(fd) = self.socket.take() {
                    // What the kernel still has to send would arrive after a cut, when it is not true any more.
                    let _ = socket::reset_on_close(fd.as_fd());
                }
            }
            Action::Terminate => self.end(End::Please),
            Action::Kill => self.end(End::Now),
            Action::Exit(status) => return Some(Ok(status)),
            Action::Log(level, line) => log::log!(level, "{line}"),
        }
        None
    }

    fn end(&mut self, how: End) {
        match &mut self.program {
            Some(program) => program.end(how),
            None => self.remains.end(how),
        }
    }

    /// Begins a connection to the next address, and to as many others as refuse at once.
    fn attempt(&mut self, candidates: usize) {
        for others in (0..candidates).rev() {
            let Some(to) = self.addresses.turn() else { return };
            match socket::connect(&to) {
                Ok((fd, true)) => return self.connected(fd, &to),
                Ok((fd, false)) => {
                    if self.attempts.len() >= ATTEMPTS_MAX {
                        self.attempts.pop_front();
                    }
                    return self.attempts.push_back(Attempt { fd, to, others });
                }
                Err(e) if others == 0 => self.machine.unreachable(&format!("{}: {e}", shown(&to))),
                Err(_) => {}
            }
        }
    }

    fn connected(&mut self, fd: OwnedFd, to: &Local) {
        if matches!(to, Local::Ip(_)) {
            // Without these it works too, only less soon.
            let _ = socket::set_nodelay(fd.as_fd());
            let _ = socket::set_user_timeout(fd.as_fd(), SILENT);
        }
        self.attempts.clear();
        self.lines.reset();
        self.socket = Some(fd);
        self.machine.connected(clock::read());
    }

    /// Everything to wait for.
    fn watched(&self, mut add: impl FnMut(What, Watch)) {
        add(What::Signal, Watch::read(&self.signals));
        add(What::Exit, Watch::read(&self.exits));
        if let Some(end) = self.addresses.pending() {
            add(What::Resolver, Watch::read(end));
        }
        for attempt in &self.attempts {
            add(What::Attempt, Watch::write(&attempt.fd));
        }
        if let Some(fd) = &self.socket {
            add(What::Socket, Watch { write: !self.machine.for_server().is_empty(), ..Watch::read(fd) });
        }
        let Some(program) = &self.program else { return };
        if let Some(from) = &program.from {
            add(What::FromProgram, Watch::read(from));
        }
        if let Some(to) = &program.to {
            if self.machine.for_program(program.has_read_all()).is_some() {
                add(What::ToProgram, Watch::write(to));
            }
        }
    }

    fn serve(&mut self, what: What) {
        let now = clock::read();
        match what {
            What::Signal => {
                while self.signals.next().is_some() {
                    self.machine.stop(now);
                }
            }
            What::Exit => {
                self.exits.clear();
                self.reap();
            }
            What::Resolver => {
                let first = self.addresses.count() == 0;
                match self.addresses.take(now.mono) {
                    // the session that asked is waiting for it
                    Ok(()) if first => self.attempt(self.addresses.count()),
                    Ok(()) => {}
                    Err(why) => self.machine.unreachable(&why),
                }
            }
            What::Attempt => self.check_attempts(),
            What::Socket => self.read_server(),
            What::FromProgram => self.read_program(),
            // written when the loop settles
            What::ToProgram => {}
        }
    }

    fn check_attempts(&mut self) {
        for attempt in std::mem::take(&mut self.attempts) {
            let mut one = [Watch::write(&attempt.fd)];
            if wait(&mut one, Some(Duration::ZERO)).is_err() || !one[0].ready {
                self.attempts.push_back(attempt);
                continue;
            }
            match socket::take_error(attempt.fd.as_fd()) {
                Ok(()) if self.socket.is_none() => return self.connected(attempt.fd, &attempt.to),
                Ok(()) => {}
                Err(e) if attempt.others == 0 => {
                    self.machine.unreachable(&format!("{}: {e}", shown(&attempt.to)));
                }
                Err(_) => self.attempt(attempt.others),
            }
        }
    }

    /// Reads all that the server has said: what comes last may be `safe`, or the end, and takes back what came first.
    fn read_server(&mut self) {
        let mut buffer = [0; CHUNK];
        for _ in 0..CHUNKS_MAX {
            if !self.read_chunk(&mut buffer) {
                break;
            }
        }
    }

    /// Whether there may be more.
    fn read_chunk(&mut self, buffer: &mut [u8]) -> bool {
        let Some(fd) = &self.socket else { return false };
        let outcome = socket::recv(fd.as_fd(), buffer);
        let now = clock::read();
        match outcome {
            Ok(0) => self.socket_ended("closed"),
            Ok(n) => {
                self.lines.feed(&buffer[..n]);
                while let Some(line) = self.lines.line() {
                    match line {
                        Ok(line) => self.machine.server_line(now, &line),
                        Err(TooLong) => self.machine.server_line_too_long(now),
                    }
                }
                return true;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => self.socket_ended(word(&e)),
        }
        false
    }

    fn socket_ended(&mut self, why: &str) {
        self.socket = None;
        self.machine.server_ended(clock::read(), why);
    }

    /// Whether anything was written.
    fn write_server(&mut self) -> bool {
        let bytes = self.machine.for_server();
        let Some(fd) = self.socket.as_ref().filter(|_| !bytes.is_empty()) else { return false };
        match socket::send_vectored(fd.as_fd(), &[IoSlice::new(bytes)], false) {
            Ok(n) => {
                self.machine.sent(clock::read(), n);
                n > 0
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            Err(e) => {
                self.socket_ended(word(&e));
                true
            }
        }
    }

    fn read_program(&mut self) {
        let mut buffer = [0; CHUNK];
        let Some(program) = &mut self.program else { return };
        match program.read(&mut buffer) {
            Io::Some(n) => self.take_from_program(&buffer[..n]),
            Io::Later => {}
            Io::Closed if self.command.is_empty() => self.machine.program_ended(clock::read(), "end of input"),
            Io::Closed => {
                // It has most likely ended, which SIGCHLD says as well.
                self.program_exit();
                if self.program.is_some() {
                    self.machine.program_mute(clock::read());
                }
            }
        }
    }

    fn take_from_program(&mut self, bytes: &[u8]) {
        let now = clock::read();
        let Some(program) = &mut self.program else { return };
        program.lines.feed(bytes);
        while let Some(line) = program.lines.line() {
            match line {
                Ok(line) => self.machine.program_line(now, &line),
                Err(TooLong) => self.machine.program_line_too_long(now),
            }
        }
    }

    /// Waits for all children that have ended, also those of others that have become ours.
    fn reap(&mut self) {
        while let Some(id) = child::ended(None) {
            if self.program.as_ref().is_some_and(|p| p.id() == id) {
                self.program_exit();
            } else {
                child::reap(id);
                self.remains.forget(id);
            }
        }
    }

    /// If COMMAND has ended: takes what it has still written, then says so.
    fn program_exit(&mut self) {
        let id = self.program.as_ref().map_or(0, Program::id);
        let Some(how) = self.program.as_mut().and_then(Program::ended) else { return };
        let mut buffer = [0; CHUNK];
        // Something that it has left running may hold the pipe open, and write: only as much as a pipe holds.
        for _ in 0..64 * 1024 / CHUNK + 1 {
            match self.program.as_mut().map(|p| p.read(&mut buffer)) {
                Some(Io::Some(n)) => self.take_from_program(&buffer[..n]),
                _ => break,
            }
        }
        self.program = None;
        self.remains.begin(id);
        if self.remains.look() {
            self.machine.program_left_some();
        }
        self.machine.program_ended(clock::read(), &how);
    }

    /// Whether anything was written.
    fn write_program(&mut self) -> bool {
        let Some(program) = &mut self.program else { return false };
        let Some(bytes) = self.machine.for_program(program.has_read_all()) else { return false };
        match program.write(bytes) {
            Io::Some(n) => {
                self.machine.handed(n);
                n > 0
            }
            Io::Later => false,
            Io::Closed => {
                self.machine.program_deaf();
                true
            }
        }
    }
}

/// Why a connection broke down, in a word for the log.
fn word(e: &io::Error) -> &'static str {
    match e.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset",
        ErrorKind::TimedOut => "no_ack",
        _ => "unreachable",
    }
}
