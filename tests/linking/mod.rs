//! The other side of a device in tests: a plain listener that speaks the lines of the protocol as a test tells it to, also
//! wrongly, late or not at all, which a real server cannot be made to do. And processes with their lines.
//!
//! Every wait has a deadline; nothing sleeps to give something time.
#![allow(dead_code, clippy::disallowed_methods, clippy::print_stdout)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a test waits for anything that should come at once, on a machine with other work to do.
pub const SOON: Duration = Duration::from_secs(10);

/// A folder of its own for one test, gone at its end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("boatswain-link-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).expect("a file");
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

// ------------------------------------------------------------------------------------------- the server's side

/// Something that devices connect to.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    pub fn new() -> Listener {
        Listener::at("127.0.0.1:0".parse().expect("an address"))
    }

    pub fn at(addr: SocketAddr) -> Listener {
        // std sets SO_REUSEADDR, so that a test can be the server that comes back
        Listener::Tcp(TcpListener::bind(addr).expect("the port is free"))
    }

    pub fn unix(path: &str) -> Listener {
        Listener::Unix(UnixListener::bind(path).expect("a socket"), path.into())
    }

    /// As `--server` wants it.
    pub fn shown(&self) -> String {
        match self {
            Listener::Tcp(l) => l.local_addr().expect("bound").to_string(),
            Listener::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }

    pub fn addr(&self) -> SocketAddr {
        match self {
            Listener::Tcp(l) => l.local_addr().expect("bound"),
            Listener::Unix(..) => panic!("a unix socket"),
        }
    }

    /// The next connection.
    pub fn accept(&self) -> Peer {
        self.accept_within(SOON)
    }

    pub fn accept_within(&self, limit: Duration) -> Peer {
        let end = Instant::now() + limit;
        loop {
            let accepted = match self {
                Listener::Tcp(l) => {
                    l.set_nonblocking(true).expect("a socket");
                    l.accept().map(|(s, _)| Wire::Tcp(s))
                }
                Listener::Unix(l, _) => {
                    l.set_nonblocking(true).expect("a socket");
                    l.accept().map(|(s, _)| Wire::Unix(s))
                }
            };
            if let Ok(wire) = accepted {
                return Peer::new(wire);
            }
            assert!(Instant::now() < end, "nobody connected within {limit:?}");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// The next device, welcomed, with a ping every 400 ms from now on.
    pub fn welcome(&self, epoch: &str) -> Peer {
        let mut peer = self.accept();
        peer.welcome(epoch);
        peer
    }
}

enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Wire {
    fn try_clone(&self) -> Wire {
        match self {
            Wire::Tcp(s) => Wire::Tcp(s.try_clone().expect("a socket")),
            Wire::Unix(s) => Wire::Unix(s.try_clone().expect("a socket")),
        }
    }

    fn blocking(&self) {
        match self {
            Wire::Tcp(s) => s.set_nonblocking(false).expect("a socket"),
            Wire::Unix(s) => s.set_nonblocking(false).expect("a socket"),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Wire::Tcp(s) => s.read(buf),
            Wire::Unix(s) => s.read(buf),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        match self {
            Wire::Tcp(s) => s.write(buf),
            Wire::Unix(s) => s.write(buf),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One connected device, as the server sees it.
pub struct Peer {
    wire: Arc<Mutex<Wire>>,
    lines: Receiver<Value>,
    beating: Arc<AtomicBool>,
    /// Pongs to our own pings that came.
    pub pongs: Arc<AtomicU32>,
    /// What it said in `hello`.
    pub hello: Value,
}

impl Peer {
    fn new(wire: Wire) -> Peer {
        wire.blocking();
        let (to, lines) = channel();
        let pongs = Arc::new(AtomicU32::new(0));
        let (reader, count) = (BufReader::new(wire.try_clone()), Arc::clone(&pongs));
        let wire = Arc::new(Mutex::new(wire));
        let answering = Arc::clone(&wire);
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                let value: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                if value.get("pong").is_some_and(|n| n.as_u64() < Some(1_000_000)) {
                    count.fetch_add(1, Ordering::SeqCst);
                } else if let Some(n) = value.get("ping") {
                    let pong = format!("{{\"pong\":{n}}}\n");
                    let _ = answering.lock().expect("the lock").write_all(pong.as_bytes());
                } else if to.send(value).is_err() {
                    break;
                }
            }
        });
        Peer { wire, lines, beating: Arc::new(AtomicBool::new(false)), pongs, hello: Value::Null }
    }

    pub fn welcome(&mut self, epoch: &str) {
        self.hello = self.next();
        assert!(self.hello["hello"].is_string(), "{:?}", self.hello);
        let name = self.hello["hello"].clone();
        self.say(&format!(r#"{{"welcome":{name},"proto":1,"heartbeat_ms":500,"epoch":"{epoch}"}}"#));
        self.say(r#"{"control":{"holder":null}}"#);
        self.beat();
    }

    /// A ping every 400 ms from now on.
    pub fn beat(&self) {
        self.beating.store(true, Ordering::SeqCst);
        let (wire, beating) = (Arc::clone(&self.wire), Arc::clone(&self.beating));
        std::thread::spawn(move || {
            for n in 0.. {
                if !beating.load(Ordering::SeqCst) {
                    break;
                }
                let line = format!("{{\"ping\":{n}}}\n");
                if wire.lock().expect("the lock").write_all(line.as_bytes()).is_err() {
                    break;
                }
                std::thread::park_timeout(Duration::from_millis(400));
            }
        });
    }

    /// No ping any more, and no pong: as if the cable were cut.
    pub fn hush(&self) {
        self.beating.store(false, Ordering::SeqCst);
    }

    pub fn say(&self, line: &str) {
        // The device may be gone already; then the test finds out by what does not come.
        let _ = self.wire.lock().expect("the lock").write_all(format!("{line}\n").as_bytes());
    }

    /// The next line, pings and pongs left out.
    pub fn next(&self) -> Value {
        self.try_next().expect("the connection ended before any line came")
    }

    /// The next line; `None` at the end of the connection.
    pub fn try_next(&self) -> Option<Value> {
        match self.lines.recv_timeout(SOON) {
            Ok(value) => Some(value),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(e) => panic!("no line within {SOON:?}: {e}"),
        }
    }

    /// The next line with that field; others are passed over.
    pub fn wait(&self, field: &str) -> Value {
        loop {
            let value = self.try_next().unwrap_or_else(|| panic!("the connection ended before any {field}"));
            if value.get(field).is_some() {
                return value;
            }
        }
    }

    /// The answer to that command; others are passed over.
    pub fn wait_answer(&self, id: &str) -> Value {
        loop {
            let answer = self.wait("answer");
            if answer["answer"] == id {
                return answer;
            }
        }
    }

    /// Whatever comes within `limit`.
    pub fn within(&self, limit: Duration) -> Vec<Value> {
        let end = Instant::now() + limit;
        let mut all = Vec::new();
        while let Ok(value) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            all.push(value);
        }
        all
    }

    /// Reads to the end of the connection.
    pub fn rest(&self) -> Vec<Value> {
        std::iter::from_fn(|| self.try_next()).collect()
    }

    /// Ends the connection in order.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.beating.store(false, Ordering::SeqCst);
        match &*self.wire.lock().expect("the lock") {
            Wire::Tcp(s) => drop(s.shutdown(Shutdown::Both)),
            Wire::Unix(s) => drop(s.shutdown(Shutdown::Both)),
        }
    }
}

// ----------------------------------------------------------------------------------------------------- processes

/// A line of a process, and when it came.
pub struct Said {
    pub at: Instant,
    pub text: String,
}

/// A process with its lines; killed at the end, and shown if the test fails.
pub struct Process {
    child: Child,
    pub stdin: Option<ChildStdin>,
    out: Receiver<Said>,
    err: Receiver<Said>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let mut child = command
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let told = Arc::new(Mutex::new(Vec::new()));
        let out = follow(child.stdout.take().expect("piped"), "out", Arc::clone(&told));
        let err = follow(child.stderr.take().expect("piped"), "err", Arc::clone(&told));
        let stdin = child.stdin.take();
        Process { child, stdin, out, err, told }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().expect("its input is open"), "{line}").expect("it listens");
    }

    /// The next line on its standard output that contains `what`.
    pub fn wait_out(&self, what: &str) -> Said {
        self.wait_in(&self.out, what)
    }

    /// The next line on its standard error that contains `what`.
    pub fn wait_err(&self, what: &str) -> Said {
        self.wait_in(&self.err, what)
    }

    fn wait_in(&self, lines: &Receiver<Said>, what: &str) -> Said {
        let end = Instant::now() + SOON;
        loop {
            let said = lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let said = said.unwrap_or_else(|_| panic!("it never said {what:?}"));
            if said.text.contains(what) {
                return said;
            }
        }
    }

    /// Whether any line so far contains `what`.
    pub fn has_said(&self, what: &str) -> bool {
        self.count_said(what) > 0
    }

    /// How many lines so far contain `what`.
    pub fn count_said(&self, what: &str) -> usize {
        self.told.lock().expect("the lock").iter().filter(|l| l.contains(what)).count()
    }

    /// Sends a signal by name; only ever to this very child.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for its end; the exit status, `None` if a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        let end = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(Instant::now() < end, "it does not end");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // In order, so that it ends what it has started; then for sure.
        drop(self.stdin.take());
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(self.pid(), "TERM");
            let end = Instant::now() + Duration::from_secs(6);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
                std::thread::park_timeout(Duration::from_millis(2));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let told = self.told.lock().expect("the lock");
            eprintln!("--- process {} said\n{}\n---", self.child.id(), told.join("\n"));
        }
    }
}

fn follow(from: impl Read + Send + 'static, name: &'static str, told: Arc<Mutex<Vec<String>>>) -> Receiver<Said> {
    let (to, lines): (Sender<Said>, _) = channel();
    std::thread::spawn(move || {
        for text in BufReader::new(from).lines().map_while(Result::ok) {
            told.lock().expect("the lock").push(format!("{name}: {text}"));
            let _ = to.send(Said { at: Instant::now(), text });
        }
    });
    lines
}

/// Sends a signal by name to a process that a test has started, or a child of one. After STOP it stands still.
pub fn signal(pid: u32, name: &str) {
    assert!(pid > 1);
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill -{name} {pid}");
    if name == "STOP" {
        until("it stands still", || state(pid) == Some('T'));
    }
}

/// Whether that process is there and no zombie.
pub fn lives(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Waits until `is` holds.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is() {
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// `boatswain link` with these arguments.
pub fn link(server: &str, name: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_boatswain"));
    command.args(["link", "--server", server, "--name", name]).args(more);
    command
}

/// Whether a program can be run here.
pub fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    found.is_ok_and(|o| o.status.success())
}

/// A file of the project.
pub fn project(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_str().expect("UTF-8").to_owned()
}
