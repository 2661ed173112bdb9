//! The log on standard error. A line is written at once if its receiver takes it at once; else it waits in
//! [`Pending`], and a helper thread, which is there only while something waits, does the waiting. So a receiver that is
//! stuck costs lines, which are counted, and never holds the thread that has something to say.
//!
//! A thread and not the poller, because nothing tells beforehand whether a write to a regular file or to a pipe of another
//! user's will wait; and because so nobody who logs needs a loop.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record};

use crate::diag::KEPT;
use crate::diag::filter::Filter;
use crate::diag::pending::{AT_ONCE, Pending};
use crate::json;
use crate::net::clock;
use crate::shown::Escaping;
use crate::sys::process;
use crate::sys::stderr::Stderr;

/// Bytes of a line, its time and level apart: what is longer is cut.
const LINE_MAX: usize = 1024;

/// How long the end of this process waits for a receiver that is slow.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long the helper stays for the next line where every line is its own to write.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes of the helper's stack.
const STACK: usize = 64 * 1024;

static LOG: OnceLock<Stream> = OnceLock::new();

/// Lines that nobody took.
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// The reader of standard error has taken nothing before there was a log.
static IS_STUCK: AtomicBool = AtomicBool::new(false);

struct Stream {
    filter: Filter,
    /// Each line begins with the time.
    timed: bool,
    out: Stderr,
    desk: Mutex<Desk>,
    /// There is something for the helper.
    called: Condvar,
    /// Nothing waits any more.
    emptied: Condvar,
}

#[derive(Default)]
struct Desk {
    pending: Pending,
    /// The helper is there: only it writes.
    helper: bool,
}

/// From now on lines are logged: time, level, text; without the time where a journal adds its own. `RUST_LOG` wins over
/// `level`. Call it while this process still has the rights of the user that started it.
pub fn start(level: LevelFilter) {
    let variable = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, unknown) = Filter::new(level, &variable);
    let finest = filter.finest();
    let stream = LOG.get_or_init(|| Stream {
        filter,
        timed: std::env::var_os("JOURNAL_STREAM").is_none(),
        out: Stderr::open(),
        desk: Mutex::default(),
        called: Condvar::new(),
        emptied: Condvar::new(),
    });
    // a second call in one process changes nothing
    if log::set_logger(stream).is_ok() {
        log::set_max_level(finest);
        std::panic::set_hook(Box::new(|info| stream.last_words(format_args!("{info}"))));
    }
    for word in unknown {
        log::warn!("RUST_LOG: {word:?} is no level and no module with one; it is ignored");
    }
}

/// One line for the user that has started this process, whatever is logged.
#[allow(clippy::disallowed_methods)] // nothing has been opened for the log yet
pub fn tell(what: &str) {
    let mut line = String::new();
    let _ = Escaping::line(&mut line, format_args!("boatswain: {what}"), usize::MAX);
    line.push('\n');
    match LOG.get() {
        Some(stream) => stream.put(&mut stream.desk(), &line, "", true),
        None if IS_STUCK.load(Ordering::Relaxed) => {}
        // Nobody is left to tell when stderr is gone, or stuck.
        None => IS_STUCK.store(Stderr::open().write_or_give_up(line.as_bytes()).is_err(), Ordering::Relaxed),
    }
}

/// Waits a moment for a slow receiver, before this process ends.
pub fn finish() {
    if let Some(stream) = LOG.get() {
        drop(stream.emptied.wait_timeout_while(stream.desk(), LAST_WORDS, |desk| !desk.pending.is_empty()));
    }
}

/// Ends this process with status 1, after the last words.
pub fn exit_failed() -> ! {
    finish();
    std::process::exit(1)
}

/// Lines that nobody took so far.
pub fn dropped() -> usize {
    DROPPED.load(Ordering::Relaxed)
}

fn drop_lines(n: usize) {
    DROPPED.fetch_add(n, Ordering::Relaxed);
}

impl Stream {
    /// What a line begins with now.
    fn head(&self) -> String {
        let mut head = Vec::new();
        if self.timed {
            json::time(&mut head, clock::read().wall_ms);
            head.push(b' ');
        }
        String::from_utf8(head).unwrap_or_default()
    }

    /// Nothing is done under the lock that could leave the desk half changed.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&'static self, desk: &mut Desk, line: &str, head: &str, kept: bool) {
        if !desk.pending.push(line.as_bytes(), kept, head) {
            drop_lines(1);
        }
        if desk.helper {
            return self.called.notify_one();
        }
        while self.out.can_write_now() && !desk.pending.is_empty() {
            match self.out.write_now(desk.pending.next()) {
                Ok(n) if n > 0 => desk.pending.took(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                _ => drop_lines(desk.pending.gone()),
            }
        }
        if !desk.pending.is_empty() {
            // Without a thread it waits for the next line to be tried again.
            let started = thread::Builder::new().name("log".into()).stack_size(STACK).spawn(|| self.help());
            desk.helper = started.is_ok();
        }
    }

    /// The helper: writes what waits, however long that takes.
    fn help(&self) {
        // An unblocked signal would be no worse than the same one before this thread.
        let _ = process::block_all_signals();
        let mut chunk = Vec::with_capacity(AT_ONCE);
        while self.wait_for_work(&mut chunk) {
            let outcome = self.out.write_waiting(&chunk);
            let mut desk = self.desk();
            match outcome {
                Ok(n) if n > 0 => desk.pending.took(n),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                _ => drop_lines(desk.pending.gone()),
            }
        }
    }

    /// Fills `chunk` with what is to be written next; false: the helper is not needed any more.
    fn wait_for_work(&self, chunk: &mut Vec<u8>) -> bool {
        let mut desk = self.desk();
        if desk.pending.is_empty() {
            desk.pending.say_lost(&self.head());
        }
        if desk.pending.is_empty() {
            self.emptied.notify_all();
            if !self.out.can_write_now() {
                let nothing = |desk: &mut Desk| desk.pending.is_empty();
                let waited = self.called.wait_timeout_while(desk, LINGER, nothing);
                desk = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        chunk.clear();
        chunk.extend_from_slice(desk.pending.next());
        desk.helper = !chunk.is_empty();
        desk.helper
    }

    /// A panic ends the process. It says where it was, unless it was in the middle of this.
    fn last_words(&'static self, what: fmt::Arguments<'_>) {
        if let Ok(mut desk) = self.desk.try_lock() {
            let mut line = self.head();
            let _ = Escaping::line(&mut line, format_args!("error {what}"), LINE_MAX);
            line.push('\n');
            self.put(&mut desk, &line, "", true);
        } else {
            return;
        }
        finish();
    }
}

impl Log for Stream {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        about.level() <= self.filter.level(about.target())
    }

    fn log(&self, record: &Record<'_>) {
        // by the module: the target may say how important the line is
        let module = record.module_path().unwrap_or(record.target());
        let Some(stream) = LOG.get().filter(|_| record.level() <= self.filter.level(module)) else { return };
        let mut line = self.head();
        let head = line.len();
        line.push_str(&record.level().as_str().to_ascii_lowercase());
        line.push(' ');
        let _ = Escaping::line(&mut line, *record.args(), LINE_MAX); // a String takes everything
        if self.filter.takes(&line) {
            line.push('\n');
            stream.put(&mut self.desk(), &line, &line[..head], record.target() == KEPT);
        }
    }

    fn flush(&self) {}
}
