//! Standard error without waiting for its reader.
//!
//! What is behind descriptor 2 is often shared with other programs (a shell's terminal, one pipe of many services), so its
//! mode is not ours to change. A socket takes MSG_DONTWAIT (send(2)). A pipe or a terminal is opened a second time
//! (proc(5), `/proc/self/fd`), for an open file description of our own that does not block. Where that is refused (a pipe
//! of another user's), and for regular files, where nothing says beforehand how long the disk takes, only a thread that
//! may wait can write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::time::Duration;

use super::child::{Watch, wait};

/// How one can write to it without waiting.
#[derive(Debug)]
enum Way {
    Send,
    Own(File),
    /// Not at all.
    Waiting(Option<File>),
}

/// Standard error.
#[derive(Debug)]
pub struct Stderr(Way);

/// It says that it takes something and takes nothing: look again after so long.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// So often: a second.
const TRIES: u32 = 20;

/// What is behind the descriptor `fd`, opened a second time with `options`, so that nobody else's mode is changed and it
/// never waits. `None`: it is neither a pipe nor a terminal or another character device, or that is refused.
pub fn own(fd: RawFd, options: &mut OpenOptions) -> Option<File> {
    let path = format!("/proc/self/fd/{fd}");
    let kind = fs::metadata(&path).ok()?.file_type();
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let may = kind.is_fifo() || kind.is_char_device();
    may.then(|| options.custom_flags(flags).open(path).ok()).flatten()
}

impl Stderr {
    /// Opens it. Call it while this process still has the rights of the user that started it.
    #[allow(clippy::disallowed_methods)] // what the log writes to is made here
    pub fn open() -> Stderr {
        let Ok(file) = io::stderr().as_fd().try_clone_to_owned().map(File::from) else {
            return Stderr(Way::Waiting(None));
        };
        let kind = file.metadata().map(|meta| meta.file_type());
        Stderr(match kind {
            Ok(kind) if kind.is_socket() => Way::Send,
            Ok(_) => match own(libc::STDERR_FILENO, OpenOptions::new().write(true)) {
                Some(own) => Way::Own(own),
                None => Way::Waiting(Some(file)),
            },
            Err(_) => Way::Waiting(Some(file)),
        })
    }

    /// Whether [`Stderr::write_now`] can ever write.
    pub fn can_write_now(&self) -> bool {
        !matches!(self.0, Way::Waiting(_))
    }

    /// Writes as much of `bytes` as it takes at once. Errors: `WouldBlock` when that is nothing; others: nobody reads it.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Way::Send => {
                let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
                // SAFETY: `bytes` is readable for its length.
                let n = unsafe { libc::send(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len(), flags) };
                usize::try_from(n).map_err(|_| io::Error::last_os_error())
            }
            Way::Own(file) => (&*file).write(bytes),
            Way::Waiting(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes all of `bytes`, for a process without a log yet; it is given up if nothing is taken for a second. Errors: that, or
    /// nobody reads it.
    pub fn write_or_give_up(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut tries = 0;
        while !bytes.is_empty() {
            let outcome = match &self.0 {
                Way::Waiting(None) => return Err(io::ErrorKind::NotConnected.into()),
                Way::Waiting(Some(file)) => self.takes_some().and_then(|takes| match takes {
                    // what poll(2) calls writable takes so much without waiting (PIPE_BUF)
                    true => (&*file).write(bytes.get(..libc::PIPE_BUF).unwrap_or(bytes)),
                    false => Err(io::ErrorKind::WouldBlock.into()),
                }),
                Way::Send | Way::Own(_) => self.write_now(bytes),
            };
            match outcome {
                Ok(n) if n > 0 => (bytes, tries) = (&bytes[n..], 0),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && tries < TRIES => {
                    tries += 1;
                    wait(&mut [], Some(LOOK_AGAIN))?;
                }
                Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Whether poll(2) says that it takes something now.
    fn takes_some(&self) -> io::Result<bool> {
        let mut one = [Watch::write(&libc::STDERR_FILENO)];
        wait(&mut one, Some(Duration::ZERO))?;
        Ok(one[0].ready)
    }

    /// Writes some of `bytes`, however long that takes. For a thread that has nothing else to do. Errors: nobody reads it.
    pub fn write_waiting(&self, bytes: &[u8]) -> io::Result<usize> {
        let watch = match &self.0 {
            Way::Send => Watch::write(&libc::STDERR_FILENO),
            Way::Own(file) => Watch::write(&file.as_raw_fd()),
            Way::Waiting(Some(file)) => return (&*file).write(bytes),
            Way::Waiting(None) => return Err(io::ErrorKind::NotConnected.into()),
        };
        loop {
            wait(&mut [watch], None)?;
            match self.write_now(bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => wait(&mut [], Some(LOOK_AGAIN))?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}
