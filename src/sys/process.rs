//! This process as the kernel and its supervisor see it: signals, limits, privileges, randomness, names.

use std::env;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::ptr;
use std::time::Duration;

// -------------------------------------------------------------------------------------------------- randomness

/// Fills `buf` with random bytes fit for secrets: getrandom(2) (3.17; waits for the kernel's pool once after boot), on
/// older kernels `/dev/urandom`.
pub fn getrandom(buf: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < buf.len() {
        let rest = &mut buf[done..];
        // SAFETY: `rest` is writable for its whole length.
        let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(n) {
            Ok(n) => done += n,
            Err(_) => {
                let e = io::Error::last_os_error();
                match e.raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::ENOSYS) => return File::open("/dev/urandom")?.read_exact(rest),
                    _ => return Err(e),
                }
            }
        }
    }
    Ok(())
}

// ----------------------------------------------------------------------------------------------------- signals

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// SIGTERM, SIGINT and SIGHUP as a file descriptor to poll (signalfd(2), 2.6.27).
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// From now on these signals are delivered here only. Threads started later leave them alone too; so call it first.
    pub fn take() -> io::Result<Self> {
        let set = signal_set(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP]);
        mask(libc::SIG_BLOCK, &set)?;
        // SAFETY: `set` was initialised by sigemptyset; -1 asks for a new descriptor.
        let raw = unsafe { libc::signalfd(-1, &set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) };
        check(raw)?;
        // SAFETY: the kernel has just given us this descriptor; nobody else has it.
        Ok(Signals(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// The next signal that came, if there is one. Never waits.
    pub fn next(&self) -> Option<Signal> {
        loop {
            let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
            let size = size_of::<libc::signalfd_siginfo>();
            // SAFETY: `info` is writable for `size` bytes.
            let n = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
            if usize::try_from(n) != Ok(size) {
                if n < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return None;
            }
            // SAFETY: zeroed and then filled by the kernel; every bit pattern is valid.
            let number = unsafe { info.assume_init() }.ssi_signo;
            let reload = i32::try_from(number) == Ok(libc::SIGHUP);
            return Some(if reload { Signal::Reload } else { Signal::Stop });
        }
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Writing to a closed socket or pipe is an error to handle, never the end of the process.
pub fn ignore_sigpipe() {
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Blocks every signal in the calling thread: for helpers, which have no business with them.
pub fn block_all_signals() -> io::Result<()> {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigfillset initialises the set.
    let set = unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    };
    mask(libc::SIG_BLOCK, &set)
}

fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigemptyset initialises the set before it is used; the numbers are valid signals.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
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

// ------------------------------------------------------------------------------------------------------ limits

/// Raises the soft limit of open files to `want`, or as far as the hard one allows; root raises that too. Says the limit
/// in force then, which may be lower than `want`. Never lowers it.
#[allow(clippy::useless_conversion)] // rlim_t has 32 bits on some targets.
pub fn raise_file_limit(want: u64) -> io::Result<u64> {
    let mut limit = file_limit()?;
    // Nobody has more files than the narrow rlim_t can say.
    let want = libc::rlim_t::try_from(want).unwrap_or(libc::rlim_t::MAX);
    if limit.rlim_cur >= want {
        return Ok(u64::from(limit.rlim_cur));
    }
    if limit.rlim_max < want {
        let raised = libc::rlimit { rlim_cur: want, rlim_max: want };
        if set_file_limit(&raised).is_ok() {
            return Ok(u64::from(want));
        }
    }
    limit.rlim_cur = want.min(limit.rlim_max);
    set_file_limit(&limit)?;
    Ok(u64::from(limit.rlim_cur))
}

fn file_limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is writable.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    Ok(limit)
}

fn set_file_limit(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: `limit` is readable.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) })
}

// -------------------------------------------------------------------------------------------------- privileges

/// Whether the process has root's powers.
pub fn is_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// A user to become, looked up while `/etc/passwd` can surely be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    name: CString,
    /// Its number.
    pub uid: u32,
    /// The number of its main group.
    pub gid: u32,
}

impl User {
    /// Looks `name` up (getpwnam_r(3)); `None`: there is no such user.
    pub fn find(name: &str) -> io::Result<Option<User>> {
        let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // Lines of passwd are short; sysconf's answer for this is 1024 with both C libraries.
        let mut text = [0 as libc::c_char; 4096];
        let mut entry = MaybeUninit::<libc::passwd>::zeroed();
        let mut found = ptr::null_mut();
        // SAFETY: all four point to memory that lives as long as the call, `text` with its length.
        let errno =
            unsafe { libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), text.as_mut_ptr(), text.len(), &mut found) };
        if errno != 0 {
            return Err(io::Error::from_raw_os_error(errno));
        }
        if found.is_null() {
            return Ok(None);
        }
        // SAFETY: zeroed, and filled by the call since `found` points to it.
        let entry = unsafe { entry.assume_init() };
        Ok(Some(User { name, uid: entry.pw_uid, gid: entry.pw_gid }))
    }
}

/// Becomes `user` for good: groups, group, user, in this order (the last one takes the right to do the others away).
/// CAP_NET_ADMIN is kept if it was there: TCP_REPAIR on links asks for it. Call it before any thread
/// is started. An error leaves the process half way: end it.
pub fn drop_privileges(user: &User) -> io::Result<()> {
    let keep = capabilities()?.permitted & (1 << CAP_NET_ADMIN);
    if keep != 0 {
        keep_capabilities(true)?;
    }
    // SAFETY: the name ends in NUL.
    check(unsafe { libc::initgroups(user.name.as_ptr(), user.gid as _) })?;
    // SAFETY: takes numbers only.
    check(unsafe { libc::setgid(user.gid) })?;
    // SAFETY: takes numbers only.
    check(unsafe { libc::setuid(user.uid) })?;
    if keep != 0 {
        set_capabilities(keep)?;
        keep_capabilities(false)?;
    }
    Ok(())
}

/// capabilities(7).
const CAP_NET_ADMIN: u32 = 12;

/// _LINUX_CAPABILITY_VERSION_3 (2.6.26): two words of each set.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityWord {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// The lower word of this thread's sets (capget(2)); CAP_NET_ADMIN is in it.
fn capabilities() -> io::Result<CapabilityWord> {
    let mut header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let mut words = [CapabilityWord::default(); 2];
    // SAFETY: both have the kernel's layout, `words` with the two elements that this version means.
    let n = unsafe { libc::syscall(libc::SYS_capget, &mut header, words.as_mut_ptr()) };
    check(n as libc::c_int)?;
    Ok(words[0])
}

/// Effective and permitted become just `lower` (capset(2)).
fn set_capabilities(lower: u32) -> io::Result<()> {
    let mut header = CapabilityHeader { version: CAPABILITY_VERSION, pid: 0 };
    let words = [CapabilityWord { effective: lower, permitted: lower, inheritable: 0 }, CapabilityWord::default()];
    // SAFETY: both have the kernel's layout, `words` with the two elements that this version means.
    let n = unsafe { libc::syscall(libc::SYS_capset, &mut header, words.as_ptr()) };
    check(n as libc::c_int)
}

/// Whether the permitted set outlives setuid (prctl(2), PR_SET_KEEPCAPS).
fn keep_capabilities(keep: bool) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, libc::c_ulong::from(keep), 0, 0, 0) })
}

// -------------------------------------------------------------------------------------------------- supervisor

/// Tells systemd `state` (sd_notify(3)): `READY=1`, `STOPPING=1`, `RELOADING=1\nMONOTONIC_USEC=...`. Without a supervisor
/// (no NOTIFY_SOCKET) it does nothing. Never waits: `WouldBlock` when it takes nothing now.
pub fn notify(state: &str) -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    notify_at(path.as_bytes(), state)
}

fn notify_at(path: &[u8], state: &str) -> io::Result<()> {
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(|_| ())
}

/// How often systemd wants to hear `WATCHDOG=1` at least (sd_watchdog_enabled(3)); `None`: never. Errors: what is wrong with
/// WATCHDOG_USEC.
pub fn watchdog() -> Result<Option<Duration>, String> {
    let var = |name| env::var(name).ok();
    parse_watchdog(var("WATCHDOG_USEC").as_deref(), var("WATCHDOG_PID").as_deref(), std::process::id())
}

fn parse_watchdog(micros: Option<&str>, pid: Option<&str>, own_pid: u32) -> Result<Option<Duration>, String> {
    let Some(micros) = micros else { return Ok(None) };
    if pid.is_some_and(|pid| pid.parse() != Ok(own_pid)) {
        return Ok(None); // meant for a parent of ours
    }
    match micros.parse() {
        Ok(micros) if micros > 0 => Ok(Some(Duration::from_micros(micros))),
        _ => Err(format!("WATCHDOG_USEC: {micros:?} is no number of microseconds; the watchdog is not told anything")),
    }
}

/// The monotonic clock as `RELOADING=1` wants it beside it, in microseconds (sd_notify(3), MONOTONIC_USEC).
pub fn monotonic_micros() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: `time` is writable; all zeros is valid if the call failed, which it cannot for this clock.
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr());
        time.assume_init()
    };
    (time.tv_sec as u64).saturating_mul(1_000_000).saturating_add(time.tv_nsec as u64 / 1000)
}

/// CLOCK_BOOTTIME (clock_gettime(2)) in microseconds: runs on while the board sleeps.
pub fn boottime_micros() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: `time` is writable; all zeros is valid if the call failed, which it cannot for this clock (Linux 2.6.39).
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_BOOTTIME, time.as_mut_ptr());
        time.assume_init()
    };
    (time.tv_sec as u64).saturating_mul(1_000_000).saturating_add(time.tv_nsec as u64 / 1000)
}

/// First descriptor that systemd passes (sd_listen_fds(3), SD_LISTEN_FDS_START).
const FIRST_PASSED: RawFd = 3;

/// More sockets than anybody passes: a larger number is a mistake.
const PASSED_MAX: usize = 64;

/// What systemd passed: descriptors, close-on-exec set, each with its name (empty without one). LISTEN_FDS, LISTEN_PID
/// and LISTEN_FDNAMES are removed, so that a second call finds nothing. Call it before any thread is started: the
/// environment must not be read meanwhile. The error names the variable.
pub fn take_passed_sockets() -> Result<Vec<(OwnedFd, String)>, String> {
    let take = |name| {
        let value = env::var(name).ok();
        if value.is_some() {
            // SAFETY: the caller has started no thread yet, so nobody else reads or writes the environment.
            unsafe { env::remove_var(name) };
        }
        value
    };
    let (pid, count, names) = (take("LISTEN_PID"), take("LISTEN_FDS"), take("LISTEN_FDNAMES"));
    let announced = parse_passed(pid.as_deref(), count.as_deref(), names.as_deref(), std::process::id())?;
    announced.into_iter().map(|(number, name)| Ok((adopt(number)?, name))).collect()
}

fn parse_passed(
    pid: Option<&str>,
    count: Option<&str>,
    names: Option<&str>,
    own_pid: u32,
) -> Result<Vec<(RawFd, String)>, String> {
    let (Some(pid), Some(count)) = (pid, count) else { return Ok(Vec::new()) };
    if pid.parse() != Ok(own_pid) {
        // Meant for a parent of ours.
        return Ok(Vec::new());
    }
    let count = count.parse::<usize>().ok().filter(|n| *n <= PASSED_MAX);
    let count = count.ok_or_else(|| format!("LISTEN_FDS: not a number from 0 to {PASSED_MAX}; unset it"))?;
    let mut names = names.unwrap_or_default().split(':');
    Ok((FIRST_PASSED..).take(count).map(|number| (number, names.next().unwrap_or_default().to_owned())).collect())
}

fn adopt(number: RawFd) -> Result<OwnedFd, String> {
    // SAFETY: takes numbers only; a number that is not open is an error.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })
        .map_err(|e| format!("LISTEN_FDS: descriptor {number}: {e}; is it still open?"))?;
    // SAFETY: it is open, and the supervisor has given it to us; the variables that say so are gone, so only once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

// ------------------------------------------------------------------------------------------------------- names

/// The machine's own name (uname(2)), in the letters it has; characters that are not UTF-8 are replaced.
pub fn host_name() -> io::Result<String> {
    let mut names = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: `names` is writable; the kernel ends every name in NUL.
    unsafe {
        check(libc::uname(names.as_mut_ptr()))?;
        Ok(CStr::from_ptr(names.assume_init_ref().nodename.as_ptr()).to_string_lossy().into_owned())
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod tests;
