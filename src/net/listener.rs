//! Sockets that others connect to: bound here or passed by systemd, and the connections taken from them.
//!
//! Never does: counting connections or refusing peers (its owner does), setting options that accepted sockets would
//! inherit (keepalive, TCP_USER_TIMEOUT and the like are for links only).

use super::stream::{Kind, Stream};
use crate::msg::PeerAddr;
use crate::sys::child::{self, Watch};
use crate::sys::{process, socket};
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Connections that the kernel may hold for us before we take them: enough for every browser of a full house coming
/// back at once after a restart (six connections each). The kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 511;

/// Owner and group may connect to a unix socket: the group is how a proxy gets in.
const UNIX_MODE: u32 = 0o660;

/// A listening socket, non-blocking. Dropping it closes it and removes the file of a unix socket that it has made.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    address: Address,
    /// The socket file that we made, and its inode.
    made: Option<(PathBuf, u64)>,
}

/// Where a [`Listener`] listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// With the real port.
    Tcp(SocketAddr),
    /// The path of the socket file; empty for a passed socket without one.
    Unix(PathBuf),
}

/// What [`Listener::accept`] found.
#[derive(Debug)]
pub enum Accept {
    /// A connection.
    Stream(Stream, PeerAddr),
    /// Nobody waits.
    Empty,
    /// No file descriptor or memory for another one: try again after [`Listener::PAUSE`], and now and then say why.
    Pause(io::Error),
}

impl Listener {
    /// Connections to take from one listener in one turn, so that a flood of new ones does not hold up the old ones. If so
    /// many came, come back in the next turn without waiting for an event: the poller tells of changes only.
    pub const BATCH: usize = 16;

    /// How long to leave a listener alone after [`Accept::Pause`]. Those who wait stay in the backlog meanwhile and are
    /// served then; taking them with a spare descriptor only to close them would turn visitors away for nothing, and
    /// nothing spins, since the poller tells of changes only.
    pub const PAUSE: Duration = Duration::from_millis(100);

    /// Listens on `addr`; port 0 takes a free one. IPv6 sockets take IPv6 only, so `0.0.0.0` and `[::]` go together.
    pub fn tcp(addr: SocketAddr) -> io::Result<Self> {
        let fd = socket::listen_tcp(addr, BACKLOG)?;
        Listener::over(fd)
    }

    /// Listens at `path`. A file that is there is replaced if it is a socket on which nobody answers; else
    /// `AddrInUse` (somebody answers) or `AlreadyExists` (it is no socket).
    pub fn unix(path: &Path) -> io::Result<Self> {
        remove_stale(path)?;
        let fd = socket::bind_unix(path)?;
        // Between bind and listen nobody can connect: the mode is right before anybody can.
        fs::set_permissions(path, fs::Permissions::from_mode(UNIX_MODE))?;
        socket::listen(fd.as_fd(), BACKLOG)?;
        let inode = fs::symlink_metadata(path)?.ino();
        Ok(Listener { fd, address: Address::Unix(path.to_owned()), made: Some((path.to_owned(), inode)) })
    }

    /// Takes over a socket that is there already. `InvalidInput` if it is no listening stream socket.
    pub fn over(fd: OwnedFd) -> io::Result<Self> {
        if !socket::is_listening_stream(fd.as_fd()) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a listening stream socket"));
        }
        socket::set_nonblocking(fd.as_fd())?;
        let address = match socket::local_address(fd.as_fd())? {
            socket::Local::Ip(addr) => Address::Tcp(addr),
            socket::Local::Unix(path) => Address::Unix(path),
        };
        Ok(Listener { fd, address, made: None })
    }

    /// Takes one connection, if there is one. Never waits.
    pub fn accept(&self) -> Accept {
        // A peer that gave up while it waited is an error of that connection only (accept(2)): the next one then.
        for _ in 0..Listener::BATCH {
            match socket::accept(self.fd.as_fd()) {
                Ok((fd, Some(ip))) => return Accept::Stream(Stream::new(fd, Kind::Tcp), PeerAddr::canonical(ip)),
                Ok((fd, None)) => return Accept::Stream(Stream::new(fd, Kind::Unix), PeerAddr::Unix),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Accept::Empty,
                Err(e) if socket::is_peers_fault(&e) => continue,
                Err(e) => return Accept::Pause(e),
            }
        }
        Accept::Pause(io::Error::from(ErrorKind::ConnectionAborted))
    }

    /// Whether somebody waits, as far as can be told without a descriptor for them.
    pub fn is_awaited(&self) -> bool {
        let mut watch = [Watch::read(self)];
        child::wait(&mut watch, Some(Duration::ZERO)).is_err() || watch[0].ready
    }

    /// Where it listens, with the real port.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The real port; 0 on a unix socket.
    pub fn port(&self) -> u16 {
        match &self.address {
            Address::Tcp(addr) => addr.port(),
            Address::Unix(_) => 0,
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((path, inode)) = &self.made {
            // Only ours: another server may have replaced it. If we may not (privileges dropped), the next start does it.
            if fs::symlink_metadata(path).is_ok_and(|m| m.ino() == *inode) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(addr) => addr.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Sockets passed by systemd, by what they are for. An empty list: none passed, the setting counts.
#[derive(Debug, Default)]
pub struct Passed {
    /// Named `web`, or not named.
    pub web: Vec<Listener>,
    /// Named `devices`.
    pub devices: Vec<Listener>,
}

impl Passed {
    /// Takes what LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES announce (sd_listen_fds(3)) and removes these variables. Once,
    /// at start, before any thread. The error names the socket and the remedy.
    pub fn take() -> Result<Passed, String> {
        Passed::sort(process::take_passed_sockets()?)
    }

    fn sort(sockets: Vec<(OwnedFd, String)>) -> Result<Passed, String> {
        let mut passed = Passed::default();
        for (fd, name) in sockets {
            let number = fd.as_raw_fd();
            let listener = Listener::over(fd).map_err(|e| {
                format!("LISTEN_FDS: descriptor {number} ({name}): {e}; pass ListenStream= sockets only")
            })?;
            match name.as_str() {
                // systemd calls a socket without a name `unknown`, or by its unit: `boatswain.socket`.
                "devices" => passed.devices.push(listener),
                "web" | "" | "unknown" => passed.web.push(listener),
                other if other.ends_with(".socket") => passed.web.push(listener),
                other => {
                    return Err(format!(
                        "LISTEN_FDNAMES: `{other}`: a passed socket is called `web` or `devices`; set FileDescriptorName="
                    ));
                }
            }
        }
        Ok(passed)
    }
}

/// Whether this machine speaks IPv6, tried by binding a socket to `::1`.
pub fn ipv6_exists() -> bool {
    UdpSocket::bind((IpAddr::V6(Ipv6Addr::LOCALHOST), 0)).is_ok()
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !meta.file_type().is_socket() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "a file is there that is no socket; remove it or name another path",
        ));
    }
    match UnixStream::connect(path) {
        Ok(_) => {
            Err(io::Error::new(ErrorKind::AddrInUse, "another server answers there; stop it or name another path"))
        }
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests;
