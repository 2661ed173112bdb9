//! Opening files so that no path leads out of a folder: openat2(2), and openat(2) one name at a time.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What a file is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// To read it. Never blocks, also not on a fifo.
    Read,
    /// Only to ask what it is (`O_PATH`).
    Look,
    /// A directory, to open something in it.
    Enter,
}

/// What an error of opening or reading a file says about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// Nothing is there, or nothing that may be reached: a link that leaves the folder (EXDEV; on an old kernel any link,
    /// ELOOP), a socket or a fifo (ENXIO).
    Nothing,
    /// It is there, and this process may not open it.
    Forbidden,
    /// No descriptor or memory for it now; later there may be.
    Exhausted,
    /// Something else is wrong with it.
    Other,
}

impl Obstacle {
    /// What `error` means (open(2), openat2(2), read(2)).
    pub fn of(error: &io::Error) -> Obstacle {
        match error.raw_os_error() {
            Some(
                libc::ENOENT
                | libc::ENOTDIR
                | libc::EXDEV
                | libc::ELOOP
                | libc::ENAMETOOLONG
                | libc::ENXIO
                | libc::ENODEV,
            ) => Obstacle::Nothing,
            Some(libc::EACCES | libc::EPERM) => Obstacle::Forbidden,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN) => Obstacle::Exhausted,
            _ => Obstacle::Other,
        }
    }
}

/// The error of a path that leads out of its folder, as openat2(2) has it.
pub fn leads_out() -> io::Error {
    io::Error::from_raw_os_error(libc::EXDEV)
}

/// Whether an error says that there is a link where none is followed.
pub fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ELOOP)
}

/// The error of a file that is not there, as open(2) has it.
pub fn not_there() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOENT)
}

impl Access {
    fn flags(self) -> libc::c_int {
        // O_NONBLOCK: a fifo must not hold the loop up; O_NOCTTY: nor may a terminal become ours; O_LARGEFILE: 32-bit
        // boards serve files beyond 2 GiB too.
        match self {
            Access::Read => libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_LARGEFILE | libc::O_CLOEXEC,
            Access::Look => libc::O_PATH | libc::O_CLOEXEC,
            Access::Enter => libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC,
        }
    }
}

/// The folder at `path`, as a place to open things in (`O_PATH`). Errors: as of open(2).
pub fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    OpenOptions::new().read(true).custom_flags(flags).open(path).map(OwnedFd::from)
}

/// Opens `path` to read it, never waiting: not for the other end of a fifo, nor, when it is read, for the kernel to have
/// something to tell (EAGAIN). Errors: as of open(2).
pub fn open_now(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// openat2(2) (Linux 5.6) of `path` below `folder`, following no link: a path with one is ELOOP. Errors: ENOSYS before
/// 5.6, EPERM under some seccomp filters, else as of open(2).
pub fn open_beneath(folder: BorrowedFd<'_>, path: &CStr, access: Access) -> io::Result<OwnedFd> {
    // SAFETY: open_how is plain integers, for which zero is a value.
    let mut how: libc::open_how = unsafe { mem::zeroed() };
    how.flags = u64::from(access.flags().unsigned_abs());
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;
    // SAFETY: both pointers are valid for the call, and the size is that of what is pointed at.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            folder.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            mem::size_of::<libc::open_how>(),
        )
    };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        Ok(fd @ 0..) => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// openat(2) of one `name` (no `/` in it) in `folder`, following no link (`O_NOFOLLOW`). Errors: ELOOP for a link
/// (with [`Access::Look`] the link itself is opened), else as of open(2).
pub fn open_name(folder: BorrowedFd<'_>, name: &CStr, access: Access) -> io::Result<OwnedFd> {
    // SAFETY: the name is a valid C string for the call; no mode is needed without O_CREAT.
    let fd = unsafe { libc::openat(folder.as_raw_fd(), name.as_ptr(), access.flags() | libc::O_NOFOLLOW) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// readlinkat(2): where the link `name` in `folder` leads. Errors: EINVAL for what is no link, else as of readlink(2).
pub fn read_link(folder: BorrowedFd<'_>, name: &CStr) -> io::Result<Vec<u8>> {
    let mut target = vec![0; libc::PATH_MAX as usize];
    // SAFETY: the name is a valid C string, and `target` is writable for its whole length.
    let n = unsafe { libc::readlinkat(folder.as_raw_fd(), name.as_ptr(), target.as_mut_ptr().cast(), target.len()) };
    target.truncate(usize::try_from(n).map_err(|_| io::Error::last_os_error())?);
    Ok(target)
}

/// flock(2) for writing, without waiting: whether it is ours now. It ends when the descriptor is closed. Errors: the file
/// system knows no such locks.
pub fn lock(file: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: the descriptor is open for the call.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        e if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
        e => Err(e),
    }
}

/// flistxattr(2): the names of the extended attributes of a file that are not given by the system itself, if it has any.
pub fn attributes(file: BorrowedFd<'_>) -> Option<String> {
    let mut names = vec![0u8; 4096];
    // SAFETY: the descriptor is open for the call, and `names` is writable for its whole length.
    let n = unsafe { libc::flistxattr(file.as_raw_fd(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(usize::try_from(n).ok()?);
    let names = String::from_utf8_lossy(&names);
    let set: Vec<&str> = names.split('\0').filter(|name| !name.is_empty() && !name.starts_with("security.")).collect();
    (!set.is_empty()).then(|| set.join(", "))
}
