//! A real server for a test: its own folder, its own users, a port of its own, gone when the value is.
//!
//! Every wait has a deadline and says what it waited for; nothing sleeps to give something time.
#![allow(dead_code)] // each test binary uses its own part of this
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::disallowed_methods)] // a test stands outside: it has a clock of its own

mod client;
pub mod ws;

use client::Wire;
pub use client::*;

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long a test waits for anything that should come at once, on a machine with other work to do.
pub const SOON: Duration = Duration::from_secs(8);

/// Password of every user of a test server.
pub const PASSWORD: &str = "pass word:1";

/// The users of every test server; `admin` is one, `viewer` may only look and chat.
pub const USERS: [&str; 5] = ["admin", "ann", "bob", "eve", "viewer"];

/// `ann:pass word:1`, as curl's `-u` takes it.
pub fn auth(user: &str) -> String {
    format!("{user}:{PASSWORD}")
}

// ------------------------------------------------------------------------------------------------- the server

/// A running `boatswain`. Killed and its folder removed on drop.
pub struct Server {
    child: Child,
    dir: PathBuf,
    log: Arc<Log>,
    /// Where it listens for browsers.
    pub addr: SocketAddr,
}

/// How to start one.
pub struct Setup {
    listen: String,
    top: String,
    tables: Vec<(String, String)>,
    wrapper: Vec<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    stdin: Stdio,
    stdout: Stdio,
    log_rate: Option<usize>,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            listen: "\"127.0.0.1:0\"".into(),
            top: String::new(),
            tables: Vec::new(),
            wrapper: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            stdin: Stdio::null(),
            stdout: Stdio::null(),
            log_rate: None,
        }
    }
}

impl Setup {
    /// Settings of the top level, as TOML lines.
    pub fn top(mut self, lines: &str) -> Self {
        self.top += lines;
        self.top.push('\n');
        self
    }

    /// Settings of one table, as TOML lines.
    pub fn table(mut self, name: &str, lines: &str) -> Self {
        match self.tables.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = format!("{old}\n{lines}"),
            None => self.tables.push((name.into(), lines.into())),
        }
        self
    }

    /// Listen there instead of at a free port.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen = format!("{:?}", addr.to_string());
        self
    }

    /// Listen there too.
    pub fn also_listen(mut self, at: &str) -> Self {
        self.listen += &format!(", {at:?}");
        self
    }

    /// Further arguments of `serve`.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|a| a.to_string()));
        self
    }

    /// With this variable in its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// With these as its standard input and output, for a `through` that does something with them.
    pub fn descriptors(mut self, stdin: Stdio, stdout: Stdio) -> Self {
        (self.stdin, self.stdout) = (stdin, stdout);
        self
    }

    /// What reads its log takes so many bytes a second, as a serial console does.
    pub fn log_rate(mut self, bytes_per_second: usize) -> Self {
        self.log_rate = Some(bytes_per_second);
        self
    }

    /// Start it through another command, such as `sh -c 'ulimit -n 64; exec "$@"' sh`.
    pub fn through(mut self, command: &[&str]) -> Self {
        self.wrapper = command.iter().map(|s| s.to_string()).collect();
        self
    }

    /// Starts it and waits until it listens.
    pub fn start(self) -> Server {
        let (mut child, dir, log) = self.spawn();
        let line = log.wait(SOON, |l| l.contains("listening addr=127.0.0.1:") && l.contains("kind=web"));
        let Some(line) = line else {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server does not listen; it says:\n{}", log.text());
        };
        let addr = line.split("addr=").nth(1).and_then(|r| r.split_whitespace().next()).unwrap().parse().unwrap();
        Server { child, dir, log, addr }
    }

    /// Starts one that must not come up: its exit status and what it said.
    pub fn fail(self) -> (Option<i32>, String) {
        let (child, dir, log) = self.spawn();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Server { child, dir, log, addr: nowhere };
        let code = server.wait_exit();
        let said = server.log.all();
        (code, said)
    }

    fn spawn(self) -> (Child, PathBuf, Arc<Log>) {
        let dir = temp_dir();
        let users = dir.join("users");
        std::fs::write(&users, users_text()).unwrap();
        let drain = if self.top.contains("drain =") { "" } else { "drain = \"300ms\"\n" };
        let mut toml = format!("listen = [{}]\n{drain}{}\n", self.listen, self.top);
        let auth = format!("users = {:?}\nadmins = [\"admin\"]\nviewers = [\"viewer\"]", users.to_str().unwrap());
        let setup = Setup { tables: self.tables, ..Setup::default() }.table("auth", &auth);
        for (name, lines) in &setup.tables {
            toml += &format!("[{name}]\n{lines}\n");
        }
        let config = dir.join("boatswain.toml");
        std::fs::write(&config, toml).unwrap();

        let mut command = match self.wrapper.split_first() {
            Some((first, rest)) => {
                let mut c = Command::new(first);
                c.args(rest).arg(env!("CARGO_BIN_EXE_boatswain"));
                c
            }
            None => Command::new(env!("CARGO_BIN_EXE_boatswain")),
        };
        // What the developer's shell has set must not decide how the tests end.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BOATSWAIN_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
        let mut child = command
            .args(["serve", "-c"])
            .arg(&config)
            .args(self.args)
            .envs(self.env)
            .stdin(self.stdin)
            .stdout(self.stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = match self.log_rate {
            None => Log::follow(stderr),
            Some(rate) => Log::follow(Console { of: stderr, rate }),
        };
        (child, dir, log)
    }
}

/// Reads a tenth of `rate` bytes ten times a second at most.
struct Console<R> {
    of: R,
    rate: usize,
}

impl<R: Read> Read for Console<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let max = buffer.len().min(self.rate / 10);
        let n = self.of.read(&mut buffer[..max])?;
        std::thread::park_timeout(
            Duration::from_secs(1) * u32::try_from(n).unwrap() / u32::try_from(self.rate).unwrap(),
        );
        Ok(n)
    }
}

impl Server {
    /// With these settings of `[seats]`.
    pub fn with_seats(lines: &str) -> Server {
        Setup::default().table("seats", lines).start()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn base(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its folder, with `users` and `boatswain.toml` in it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it has logged so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// All that it has said, once it has ended.
    pub fn whole_log(&self) -> String {
        self.log.all()
    }

    /// The first line it has logged or logs within [`SOON`] that contains `what`.
    pub fn wait_log(&self, what: &str) -> String {
        self.log
            .wait(SOON, |l| l.contains(what))
            .unwrap_or_else(|| panic!("never logged {what:?}; it said:\n{}", self.log.text()))
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Waits until it ends; its exit status.
    pub fn wait_exit(&mut self) -> Option<i32> {
        let end = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < end, "the server does not end; it said:\n{}", self.log.text());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// The value of the first metric line that begins with `name`, labels included; 0 if there is none.
    pub fn metric(&self, name: &str) -> f64 {
        let answer = Client::new(self, "admin").agent("metrics").get("/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = answer.text();
        text.lines()
            .filter(|l| !l.starts_with('#') && l.starts_with(name))
            .find_map(|l| l.rsplit(' ').next()?.parse().ok())
            .unwrap_or(0.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log\n{}---", self.log.text());
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// What a server has written to stderr, as it comes.
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
    ended: std::sync::atomic::AtomicBool,
}

impl Log {
    fn follow(from: impl Read + Send + 'static) -> Arc<Log> {
        let log = Arc::new(Log { lines: Mutex::new(Vec::new()), more: Condvar::new(), ended: false.into() });
        let write = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                write.lines().push(line);
                write.more.notify_all();
            }
            write.ended.store(true, Ordering::Release);
        });
        log
    }

    /// All of it, once the server has ended.
    fn all(&self) -> String {
        until("the log ends with the server", || self.ended.load(Ordering::Acquire));
        self.text()
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn text(&self) -> String {
        self.lines().iter().map(|l| format!("{l}\n")).collect()
    }

    fn wait(&self, limit: Duration, is: impl Fn(&str) -> bool) -> Option<String> {
        let end = Instant::now() + limit;
        let mut lines = self.lines();
        loop {
            if let Some(line) = lines.iter().find(|l| is(l)) {
                return Some(line.clone());
            }
            let left = end.checked_duration_since(Instant::now())?;
            lines = self.more.wait_timeout(lines, left).unwrap_or_else(|e| e.into_inner()).0;
        }
    }
}

/// A new, empty folder.
pub fn temp_dir() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("boatswain-test-{}-{n}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// What the users file says, made once a test process. Cheaper hashes than `boatswain passwd` makes: most tests sign in,
/// and few are about that.
fn users_text() -> &'static str {
    static MADE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    MADE.get_or_init(|| USERS.map(|user| format!("{user}:{}\n", hash(PASSWORD))).concat())
}

/// A hash as a users file has it.
pub fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

/// Waits until `is` holds, asking every few milliseconds.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is() {
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

// ---------------------------------------------------------------------------------------------- the machine

/// A connection whose kernel takes a few KiB: the window of a peer that does not read is soon closed. `mss`: the longest segment.
pub fn narrow(addr: SocketAddr, mss: Option<u32>) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    if let Some(mss) = mss {
        socket.set_tcp_mss(mss).unwrap();
    }
    socket.connect(&addr.into()).unwrap();
    socket.into()
}

/// Whether root's powers are there; else why the test cannot run.
pub fn root() -> bool {
    let out = Command::new("id").arg("-u").output().unwrap();
    let is = out.stdout == b"0\n";
    if !is {
        eprintln!("skipped: it takes root to become somebody else");
    }
    is
}

/// Whether network namespaces can be made.
pub fn namespaces() -> bool {
    let can = Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]).output();
    let is = can.is_ok_and(|o| o.status.success());
    if !is {
        eprintln!("skipped: no network namespaces here (root, util-linux, iproute2)");
    }
    is
}

/// As a header field wants it.
pub fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}

/// The line of the server's `/proc/PID/status` that begins with `name`, without it.
pub fn status_line(server: &Server, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    status.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim().to_string()
}
