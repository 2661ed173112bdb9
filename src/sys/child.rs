//! Programs that this one starts, and waiting for a handful of descriptors of any kind.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::time::Duration;

/// That a child has ended, as a file descriptor to poll: SIGCHLD by signalfd(2) (2.6.27; pidfd_open(2) would need 5.3).
#[derive(Debug)]
pub struct Exits(OwnedFd);

impl Exits {
    /// From now on SIGCHLD is delivered here only. Call it before the first child is started.
    pub fn take() -> io::Result<Self> {
        let set = child_set();
        mask(libc::SIG_BLOCK, &set)?;
        // SAFETY: `set` was initialised by sigemptyset; -1 asks for a new descriptor.
        let raw = unsafe { libc::signalfd(-1, &set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor; nobody else has it.
        Ok(Exits(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// Takes what is there, so that polling waits for the next one. One signal may stand for several children.
    pub fn clear(&self) {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `info` is writable for `size` bytes.
        while unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) } > 0 {}
    }
}

impl AsRawFd for Exits {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// What the child gets beside its program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tie {
    /// It outlives this process; it sees the end of its pipes.
    Loose,
    /// It gets SIGTERM when this process ends, however that comes about (PR_SET_PDEATHSIG, prctl(2)).
    DiesWithUs,
}

/// Makes `command` start in a process group of its own, with no signal blocked: a child inherits what this process has
/// blocked for its signalfds, and would never hear SIGTERM.
pub fn prepare(command: &mut Command, tie: Tie) {
    command.process_group(0);
    let parent = std::process::id();
    let before_exec = move || {
        let mut none = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: sigemptyset initialises the set.
        let none = unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            none.assume_init()
        };
        mask(libc::SIG_SETMASK, &none)?;
        if tie == Tie::DiesWithUs {
            // SAFETY: takes numbers only.
            if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong, 0, 0, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: takes nothing and cannot fail. Another parent by now: ours ended before the line above.
            if unsafe { libc::getppid() } as u32 != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only calls that are safe in signal handlers are made (signal-safety(7)), no memory
    // is taken and no lock is needed.
    unsafe { command.pre_exec(before_exec) };
}

/// How hard a child is asked to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// SIGTERM.
    Please,
    /// SIGKILL.
    Now,
    /// Nothing: whether it is there at all.
    Probe,
}

/// Asks the process group of a child to end (kill(2)); it was made by [`prepare`] and is named by the child's id. The child
/// must not have been waited for yet, or the number may be somebody else's.
pub fn end_group(child: u32, how: End) -> io::Result<()> {
    kill(child, -1, how)
}

/// The process `id`, or with the sign -1 its group. Never all processes, nor the first.
fn kill(id: u32, sign: i32, how: End) -> io::Result<()> {
    let id = i32::try_from(id).ok().filter(|id| *id > 1).ok_or(io::Error::from_raw_os_error(libc::ESRCH))?;
    let signal = match how {
        End::Please => libc::SIGTERM,
        End::Now => libc::SIGKILL,
        End::Probe => 0,
    };
    // SAFETY: takes numbers only.
    if unsafe { libc::kill(sign * id, signal) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes this process the parent of its descendants that lose theirs (PR_SET_CHILD_SUBREAPER, prctl(2), 3.4), as process 1 is
/// anyway: what a program has left behind can be found, also when it began a session of its own.
pub fn adopt_orphans() -> io::Result<()> {
    // SAFETY: takes numbers only.
    if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A child that has ended and was not waited for yet, which it still is afterwards (WNOWAIT, waitid(2)): of all, or just this one.
pub fn ended(which: Option<u32>) -> Option<u32> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let (kind, id) = which.map_or((libc::P_ALL, 0), |id| (libc::P_PID, id));
    // SAFETY: `info` is writable and zeroed, which is what stays there if no child has ended.
    let (status, info) = unsafe {
        let status = libc::waitid(kind, id, info.as_mut_ptr(), libc::WEXITED | libc::WNOHANG | libc::WNOWAIT);
        (status, info.assume_init())
    };
    if status < 0 {
        return None;
    }
    // SAFETY: waitid(2) has filled in a child's end, or left zeros.
    u32::try_from(unsafe { info.si_pid() }).ok().filter(|id| *id > 0)
}

/// Waits for a child that [`ended`] has named, so that its number is free (waitpid(2)).
pub fn reap(child: u32) {
    let Ok(id) = i32::try_from(child) else { return };
    // SAFETY: the status is not asked for.
    unsafe { libc::waitpid(id, ptr::null_mut(), libc::WNOHANG) };
}

/// Children looked at in one go; the others are found when these are gone.
const CHILDREN_MAX: usize = 1024;

/// The children of this process that have not ended (proc(5)). Error: there is no /proc.
pub fn children() -> io::Result<Vec<u32>> {
    let us = std::process::id();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // one that has gone meanwhile is none any more
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        if parent_if_alive(&stat) == Some(us) && found.len() < CHILDREN_MAX {
            found.push(id);
        }
    }
    Ok(found)
}

/// The parent's id in the text of /proc/PID/stat, unless that process has ended. The name before it may have blanks and brackets.
fn parent_if_alive(stat: &str) -> Option<u32> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X" | "x")).then_some(parent)
}

/// Asks one child to end (kill(2)). It must not have been waited for yet, or the number may be another's.
pub fn end_one(child: u32, how: End) -> io::Result<()> {
    kill(child, 1, how)
}

/// Bytes written into a pipe and not yet read, asked at either end (FIONREAD, pipe(7)).
pub fn unread(pipe: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    if unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &mut bytes) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Descriptors that [`wait`] watches at most: more than any of our programs has.
pub const WATCHED_MAX: usize = 16;

/// A descriptor, what it is watched for, and what came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watch {
    /// Which.
    pub fd: RawFd,
    /// Whether reading would not block is asked.
    pub read: bool,
    /// Whether writing would not block is asked.
    pub write: bool,
    /// Something happened: what was asked for, the end or an error.
    pub ready: bool,
}

impl Watch {
    /// Waits until it can be read.
    pub fn read(fd: &impl AsRawFd) -> Watch {
        Watch { fd: fd.as_raw_fd(), read: true, write: false, ready: false }
    }

    /// Waits until it can be written.
    pub fn write(fd: &impl AsRawFd) -> Watch {
        Watch { fd: fd.as_raw_fd(), read: false, write: true, ready: false }
    }
}

/// poll(2): waits until one of the first [`WATCHED_MAX`] of `watches` is ready, or `timeout` is over; `None`: for ever. Takes
/// any descriptor, also a terminal or a file, which epoll(7) refuses. A signal ends the wait with nothing ready.
pub fn wait(watches: &mut [Watch], timeout: Option<Duration>) -> io::Result<()> {
    let mut polled = [libc::pollfd { fd: -1, events: 0, revents: 0 }; WATCHED_MAX];
    let n = watches.len().min(WATCHED_MAX);
    for (p, w) in polled.iter_mut().zip(watches.iter()) {
        p.fd = w.fd;
        p.events = if w.read { libc::POLLIN } else { 0 } | if w.write { libc::POLLOUT } else { 0 };
    }
    // Whole milliseconds, rounded up: rounded down it would end too early and be called again at once.
    let ms = timeout.map_or(-1, |t| i32::try_from(t.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
    // SAFETY: `polled` has `n` or more elements and lives as long as the call.
    if unsafe { libc::poll(polled.as_mut_ptr(), n as libc::nfds_t, ms) } < 0 {
        let e = io::Error::last_os_error();
        if e.kind() != io::ErrorKind::Interrupted {
            return Err(e);
        }
        return Ok(());
    }
    for (p, w) in polled.iter().zip(watches) {
        w.ready = p.revents != 0;
    }
    Ok(())
}

fn child_set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigemptyset initialises the set before it is used; the number is a valid signal.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        set.assume_init()
    }
}

fn mask(how: libc::c_int, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` is initialised; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, set, ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::process::Stdio;

    fn pipe() -> io::Result<(File, File)> {
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: both were just opened and belong to nobody else.
        Ok(unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) })
    }

    #[test]
    fn bytes_in_a_pipe_are_counted_until_they_are_read() {
        let (mut from, mut to) = pipe().unwrap();
        assert_eq!(unread(to.as_fd()).unwrap(), 0);
        to.write_all(b"12345").unwrap();
        assert_eq!(unread(to.as_fd()).unwrap(), 5);
        from.read_exact(&mut [0; 2]).unwrap();
        assert_eq!(unread(to.as_fd()).unwrap(), 3);
    }

    #[test]
    fn waiting_sees_what_can_be_read_and_gives_up_in_time() {
        let (from, mut to) = pipe().unwrap();
        let mut watches = [Watch::read(&from), Watch::write(&to)];
        wait(&mut watches, None).unwrap();
        assert_eq!(watches.map(|w| w.ready), [false, true]);
        to.write_all(b"x").unwrap();
        let mut one = [Watch::read(&from)];
        wait(&mut one, None).unwrap();
        assert!(one[0].ready);
        (&from).read_exact(&mut [0]).unwrap();
        let mut none = [Watch::read(&from)];
        wait(&mut none, Some(Duration::from_micros(1))).unwrap();
        assert!(!none[0].ready);
    }

    #[test]
    fn a_prepared_child_hears_sigterm_also_when_we_block_it() {
        let blocked = std::thread::spawn(|| {
            crate::sys::process::block_all_signals().unwrap();
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            prepare(&mut command, Tie::Loose);
            let mut child = command.spawn().unwrap();
            let asked = end_group(child.id(), End::Please);
            let ended = child.wait().unwrap();
            asked.unwrap();
            std::os::unix::process::ExitStatusExt::signal(&ended)
        });
        assert_eq!(blocked.join().unwrap(), Some(libc::SIGTERM));
    }

    #[test]
    fn the_parent_stands_behind_a_name_of_any_kind() {
        assert_eq!(parent_if_alive("12 (sh) S 7 12 12 0"), Some(7));
        assert_eq!(parent_if_alive("12 (a) Z 1 (b) ) R 8 12"), Some(8));
        assert_eq!(parent_if_alive("12 (sh) Z 7 12 12 0"), None);
        assert_eq!(parent_if_alive("12 sh"), None);
        assert_eq!(parent_if_alive(""), None);
    }

    #[test]
    fn a_child_is_seen_alive_and_then_ended_until_it_is_waited_for() {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let id = child.id();
        assert!(children().unwrap().contains(&id));
        assert_eq!(ended(Some(id)), None);
        end_one(id, End::Probe).unwrap();
        drop(child.stdin.take());
        while ended(Some(id)).is_none() {
            std::thread::yield_now();
        }
        assert_eq!(ended(Some(id)), Some(id), "still to be waited for");
        assert!(!children().unwrap().contains(&id));
        reap(id);
        assert_eq!(ended(Some(id)), None);
        assert!(child.wait().is_err(), "nothing is left to be waited for");
    }

    #[test]
    fn nobody_else_is_ever_asked_to_end() {
        for id in [0, 1, u32::MAX] {
            assert!(end_group(id, End::Now).is_err() && end_one(id, End::Now).is_err());
        }
    }
}
