//! Standard error that nobody reads, of every kind: the server and `boatswain link` go on as if it were not there, end when
//! they are told to, and say later what was lost.
#![allow(clippy::unwrap_used)] // A test; its helpers too.
#![allow(clippy::disallowed_methods)] // it stands outside: it has a clock of its own

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mio::unix::pipe::{self, Receiver};

/// Whatever is awaited comes within this, also on a slow machine.
const SOON: Duration = Duration::from_secs(20);

const SERVER: &str = env!("CARGO_BIN_EXE_boatswain");

/// Waits until `is` gives something.
fn until<T>(what: &str, mut is: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + SOON;
    loop {
        if let Some(found) = is() {
            return found;
        }
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("boatswain-undrained-{}-{n}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// Writes into `to`, which does not block, until it takes nothing more.
fn fill(mut to: impl Write) {
    for piece in [&[b'.'; 4096][..], b"."] {
        while !matches!(to.write(piece), Err(e) if e.kind() == ErrorKind::WouldBlock) {}
    }
}

/// A pipe in which there is no room, blocking as a shell makes it.
fn full_pipe() -> (Receiver, Stdio) {
    let (to, from) = pipe::new().unwrap();
    fill(&to);
    to.set_nonblocking(false).unwrap();
    (from, to.as_fd().try_clone_to_owned().unwrap().into())
}

/// All that comes out of `from` until `what` does.
fn read_until(mut from: impl Read, what: &str) -> String {
    let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
    until(what, || {
        match from.read(&mut buffer) {
            Ok(n) => said.extend_from_slice(&buffer[..n]),
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock, "{e}"),
        }
        let text = String::from_utf8_lossy(&said).into_owned();
        text.contains(what).then_some(text)
    })
}

/// A child that does not outlive its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn terminate(&self) {
        let done = Command::new("kill").args(["-s", "TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Its status, once it has ended.
    fn status(&mut self) -> Option<i32> {
        until("it ends", || self.0.try_wait().unwrap()).code()
    }
}

struct Server {
    process: Process,
    dir: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Server {
    /// Starts it by `command`, at a socket in a folder of its own.
    fn start(command: &mut Command, stderr: Stdio) -> Server {
        let dir = folder();
        fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let listen = format!("unix:{}", dir.join("web").display());
        command.args(["serve", "--listen", &listen]).env("RUST_LOG", "debug");
        let child = command.stdin(Stdio::null()).stderr(stderr).spawn().unwrap();
        let server = Server { process: Process(child), dir };
        until("it listens", || UnixStream::connect(server.socket()).ok());
        server
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("web")
    }

    /// One request on a connection of its own; the answer's status line.
    fn ask(&self, path: &str, more: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap_or_else(|e| panic!("{path}: no answer: {e}"));
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_string()
    }

    /// What the log makes many lines of.
    fn be_visited(&self) {
        for _ in 0..300 {
            assert_eq!(self.ask("/healthz", ""), "HTTP/1.1 200 OK");
        }
        let long = format!("/{}", "x".repeat(14_000));
        for _ in 0..8 {
            self.ask(&long, "Upgrade: x\r\n");
        }
        assert_eq!(self.ask("/healthz", ""), "HTTP/1.1 200 OK");
    }

    fn ends_when_told_to(mut self) {
        let told = Instant::now();
        self.process.terminate();
        assert_eq!(self.process.status(), Some(0));
        assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    }
}

#[test]
fn a_server_whose_log_is_a_full_pipe_serves_ends_and_says_later_what_was_lost() {
    let (from, to) = full_pipe();
    let server = Server::start(&mut Command::new(SERVER), to);
    server.be_visited();
    let said = read_until(&from, " warn log_dropped lines=");
    let after = said.split(" warn log_dropped lines=").nth(1).unwrap();
    let lost: usize = after.split(' ').next().unwrap().parse().unwrap_or(300);
    assert!(lost > 100, "{lost}");
    for first in ["this run only", " info started version="] {
        assert!(said.contains(first), "{first} in {said}");
    }
    assert_eq!(server.ask("/healthz", ""), "HTTP/1.1 200 OK");
    read_until(&from, " closed conn="); // it goes on
    server.be_visited(); // and is full again, or nearly
    server.ends_when_told_to();
}

#[test]
fn a_server_whose_log_is_a_full_socket_serves_and_ends() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    fill(&theirs);
    theirs.set_nonblocking(false).unwrap();
    let server = Server::start(&mut Command::new(SERVER), Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    server.be_visited();
    ours.set_nonblocking(true).unwrap();
    read_until(&ours, " warn log_dropped lines=");
    server.be_visited();
    server.ends_when_told_to();
}

#[test]
fn a_full_pipe_of_another_users_holds_nothing_either() {
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--", SERVER];
    let can = Command::new("setpriv").args(nobody).arg("--version").stderr(Stdio::null()).output();
    if !can.is_ok_and(|done| done.status.success()) {
        return eprintln!("skipped: it takes root, setpriv, and a folder that others may read");
    }
    let (from, to) = full_pipe();
    let server = Server::start(Command::new("setpriv").args(nobody), to);
    server.be_visited();
    read_until(&from, " warn log_dropped lines=");
    server.be_visited();
    server.ends_when_told_to();
}

#[test]
fn what_is_wrong_at_the_start_ends_the_program_also_if_nobody_reads_it() {
    for arguments in [&["serve", "-c", "/nonexistent.toml"][..], &["serve", "--nonsense"], &["link"]] {
        let (from, to) = full_pipe();
        let mut command = Command::new(SERVER);
        let child = command.args(arguments).stdin(Stdio::null()).stderr(to).spawn().unwrap();
        assert_eq!(Process(child).status(), Some(2), "{arguments:?}");
        drop(from);
        let (to, from) = pipe::new().unwrap();
        to.set_nonblocking(false).unwrap();
        let to = Stdio::from(to.as_fd().try_clone_to_owned().unwrap());
        let child = Command::new(SERVER).args(arguments).stdin(Stdio::null()).stderr(to).spawn().unwrap();
        read_until(&from, "boatswain: ");
        assert_eq!(Process(child).status(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_log_in_a_file_has_every_line_in_order_and_the_last_one_too() {
    let dir = folder();
    let file = dir.join("log");
    let server = Server::start(&mut Command::new(SERVER), fs::File::create(&file).unwrap().into());
    server.be_visited();
    server.ends_when_told_to();
    let log = fs::read_to_string(&file).unwrap();
    assert!(log.trim_end().ends_with(" info stopped"), "{log}");
    assert!(!log.contains("log_dropped"), "{log}");
    let ends = log.lines().filter(|line| line.contains(" closed conn=")).count();
    assert!(ends >= 301, "{ends}");
    let times: Vec<&str> = log.lines().filter_map(|line| line.get(..24).filter(|t| t.ends_with('Z'))).collect();
    assert!(times.len() > 301 && times.is_sorted());
    fs::remove_dir_all(dir).unwrap();
}

/// A device's program that keeps what it hears, and its link, whose log is a full pipe.
fn link(server: &TcpListener, heard: &Path) -> (Receiver, Process) {
    let (from, to) = full_pipe();
    let mut command = Command::new(SERVER);
    command.args(["link", "--server", &server.local_addr().unwrap().to_string(), "--name", "pump-1", "--"]);
    command.args(["sh", "-c", "echo '{\"describe\":{}}'; cat >\"$0\"; :"]).arg(heard);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(to).spawn().unwrap();
    (from, Process(child))
}

#[test]
fn a_link_whose_log_is_a_full_pipe_tells_its_program_that_it_is_down_and_ends_when_told_to() {
    let dir = folder();
    let heard = dir.join("heard");
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (from, mut link) = link(&server, &heard);
    let (mut peer, _) = server.accept().unwrap();
    peer.set_read_timeout(Some(SOON)).unwrap();
    assert!(peer.read(&mut [0; 4096]).unwrap() > 0, "hello");
    peer.write_all(b"{\"welcome\":\"pump-1\",\"proto\":1,\"heartbeat_ms\":500,\"epoch\":\"abc123\"}\n").unwrap();
    let hears =
        |what: &str| until(what, || fs::read_to_string(&heard).unwrap_or_default().contains(what).then_some(()));
    hears("{\"link\":\"up\"}");
    drop(server);
    let silent = Instant::now(); // the other end says nothing any more
    hears("{\"link\":\"down\"}");
    assert!(silent.elapsed() < Duration::from_secs(4), "{:?}", silent.elapsed());
    link.terminate();
    assert_eq!(link.status(), Some(0));
    drop((peer, from));
    fs::remove_dir_all(dir).unwrap();
}
