//! A real server for a test: its own folder, its own users, a port of its own, gone when the value is.
//! And the plainest of clients: what a test sends is what goes over the wire.
//!
//! Every wait has a deadline and says what it waited for; nothing sleeps to give something time.
#![allow(dead_code)] // each test binary uses its own part of this
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::disallowed_methods)] // a test stands outside: it has a clock of its own

pub mod ws;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

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
        let log = Log::follow(child.stderr.take().unwrap());
        (child, dir, log)
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

// ------------------------------------------------------------------------------------------------ the clients

/// Somebody with a name, an address, a User-Agent and, for a browser, a cookie jar. One connection a request.
#[derive(Clone)]
pub struct Client {
    addr: SocketAddr,
    from: IpAddr,
    authorization: Option<String>,
    agent: String,
    jar: Option<Option<String>>,
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its head's fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, without any transfer coding.
    pub body: Vec<u8>,
}

impl Answer {
    /// The field's value; empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {:?}", self.text()))
    }
}

impl Client {
    /// `user` with the right password and no cookie jar, as curl comes.
    pub fn new(server: &Server, user: &str) -> Client {
        Client {
            addr: server.addr,
            from: IpAddr::V4(Ipv4Addr::LOCALHOST),
            authorization: Some(auth(user)),
            agent: "curl/8.0".into(),
            jar: None,
        }
    }

    /// `user` in a browser: keeps its cookie.
    pub fn browser(server: &Server, user: &str, agent: &str) -> Client {
        Client { jar: Some(None), ..Client::new(server, user).agent(agent) }
    }

    /// With this User-Agent.
    pub fn agent(mut self, agent: &str) -> Client {
        self.agent = agent.into();
        self
    }

    /// From 127.0.0.`last`: another machine, as far as the server can tell.
    pub fn from(mut self, last: u8) -> Client {
        self.from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        self
    }

    /// With these credentials, `user:password`; `None`: without.
    pub fn credentials(mut self, auth: Option<&str>) -> Client {
        self.authorization = auth.map(Into::into);
        self
    }

    /// The same one, but the server is now another.
    pub fn at(mut self, server: &Server) -> Client {
        self.addr = server.addr;
        self
    }

    /// The same one, asking at that address.
    pub fn to(mut self, addr: SocketAddr) -> Client {
        self.addr = addr;
        self
    }

    /// The cookie it has, `name=value`.
    pub fn cookie(&self) -> Option<&str> {
        self.jar.as_ref()?.as_deref()
    }

    /// A connection from its address.
    pub fn connect(&self) -> std::io::Result<TcpStream> {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(self.from, 0).into())?;
        socket.connect_timeout(&self.addr.into(), SOON)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.set_write_timeout(Some(SOON))?;
        Ok(stream)
    }

    /// The head of a request, to the empty line; `more` are further fields, each ended by CRLF.
    pub fn head(&self, method: &str, target: &str, more: &str) -> String {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\n", self.addr, self.agent);
        if let Some(auth) = &self.authorization {
            head += &format!("Authorization: Basic {}\r\n", base64::prelude::BASE64_STANDARD.encode(auth));
        }
        if let Some(cookie) = self.cookie() {
            head += &format!("Cookie: {cookie}\r\n");
        }
        head + more + "\r\n"
    }

    /// GET over a connection of its own.
    pub fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target, "Accept: */*\r\n", b"")
    }

    /// GET as a browser asks for a page.
    pub fn page(&mut self, target: &str) -> Answer {
        self.request("GET", target, "Accept: text/html,*/*;q=0.8\r\n", b"")
    }

    /// POST of plain text over a connection of its own.
    pub fn post(&mut self, target: &str, body: &str) -> Answer {
        self.request("POST", target, "Content-Type: text/plain\r\n", body.as_bytes())
    }

    /// A line of chat; it must be taken.
    pub fn say(&mut self, text: &str) {
        let answer = self.post("/api/chat", text);
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Any request over a connection of its own.
    pub fn request(&mut self, method: &str, target: &str, more: &str, body: &[u8]) -> Answer {
        let length = if body.is_empty() && method == "GET" {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let head = self.head(method, target, &format!("Connection: close\r\n{length}{more}"));
        let mut stream = self.connect().unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // A refusal may come, and the connection close, before all of a body is taken.
        let _ = stream.write_all(body);
        let mut wire = Wire::new(stream);
        let answer = wire.answer(method).unwrap_or_else(|e| panic!("{method} {target}: {e}"));
        self.keep_cookie(&answer);
        answer
    }

    /// Opens an SSE link at `target`; the status must be 200.
    pub fn link(&mut self, target: &str) -> Link {
        self.try_link(target).unwrap_or_else(|a| panic!("GET {target}: {a:?}"))
    }

    /// Opens an SSE link, or gets the refusal.
    pub fn try_link(&mut self, target: &str) -> Result<Link, Answer> {
        let mut stream = self.connect().unwrap();
        stream.write_all(self.head("GET", target, "Accept: text/event-stream\r\n").as_bytes()).unwrap();
        let mut wire = Wire::new(stream);
        let mut answer = wire.head().unwrap_or_else(|e| panic!("GET {target}: {e}"));
        self.keep_cookie(&answer);
        if answer.status != 200 {
            wire.body("GET", &mut answer).unwrap();
            return Err(answer);
        }
        let chunked = answer.header("transfer-encoding").eq_ignore_ascii_case("chunked");
        Ok(Link { wire, chunked, in_chunk: 0, text: Vec::new() })
    }

    fn keep_cookie(&mut self, answer: &Answer) {
        if let Some(jar) = &mut self.jar {
            for (_, value) in answer.headers.iter().filter(|(n, _)| n == "set-cookie") {
                *jar = value.split(';').next().map(Into::into);
            }
        }
    }
}

/// The reading side of a connection.
struct Wire(BufReader<TcpStream>);

impl Wire {
    fn new(stream: TcpStream) -> Wire {
        Wire(BufReader::new(stream))
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the server closed"));
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn head(&mut self) -> std::io::Result<Answer> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("no status line: {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_string())),
                None => return Ok(Answer { status, headers, body: Vec::new() }),
            }
        }
    }

    fn body(&mut self, method: &str, answer: &mut Answer) -> std::io::Result<()> {
        if method == "HEAD" || answer.status == 204 || answer.status == 304 {
            return Ok(());
        }
        if answer.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
            loop {
                let size = usize::from_str_radix(self.line()?.trim(), 16).map_err(std::io::Error::other)?;
                let mut chunk = vec![0; size];
                self.0.read_exact(&mut chunk)?;
                answer.body.append(&mut chunk);
                self.line()?;
                if size == 0 {
                    return Ok(());
                }
            }
        }
        match answer.header("content-length").parse() {
            Ok(length) => {
                answer.body = vec![0; length];
                self.0.read_exact(&mut answer.body)
            }
            Err(_) => self.0.read_to_end(&mut answer.body).map(|_| ()),
        }
    }

    fn answer(&mut self, method: &str) -> std::io::Result<Answer> {
        let mut answer = self.head()?;
        while answer.status / 100 == 1 {
            answer = self.head()?;
        }
        self.body(method, &mut answer)?;
        Ok(answer)
    }
}

/// Reads one whole answer to `method` from a connection that the test has written to itself.
pub fn read_answer(stream: &TcpStream, method: &str) -> std::io::Result<Answer> {
    Wire::new(stream.try_clone()?).answer(method)
}

/// An SSE link, read by the test. Closed in order (FIN) on drop.
pub struct Link {
    wire: Wire,
    chunked: bool,
    in_chunk: usize,
    text: Vec<u8>,
}

impl Drop for Link {
    /// Closing with bytes unread would send a reset, as a crashed program does: says FIN, then reads to the end.
    fn drop(&mut self) {
        let stream = self.wire.0.get_ref();
        let _ = stream.set_read_timeout(Some(SOON));
        if stream.shutdown(std::net::Shutdown::Write).is_ok() {
            let _ = std::io::copy(&mut self.wire.0, &mut std::io::sink());
        }
    }
}

/// One message of a link.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The `id:` line; empty without one.
    pub id: String,
    /// The `event:` line.
    pub kind: String,
    /// The `data:` line as JSON.
    pub data: Value,
    /// When it was read.
    pub at: Instant,
}

impl Link {
    /// The next message, beats included; `None` when the link has ended.
    pub fn next(&mut self, limit: Duration) -> Option<Heard> {
        let end = Instant::now() + limit;
        let (mut id, mut kind, mut data) = (String::new(), String::new(), String::new());
        loop {
            let line = self.line(end)?;
            match line.split_once(':') {
                Some(("id", v)) => id = v.trim_start().into(),
                Some(("event", v)) => kind = v.trim_start().into(),
                Some(("data", v)) => data += v.trim_start(),
                _ if line.is_empty() && !kind.is_empty() => {
                    let data =
                        serde_json::from_str(&data).unwrap_or_else(|e| panic!("{e} in the data of {kind}: {data}"));
                    return Some(Heard { id, kind, data, at: Instant::now() });
                }
                _ => {} // a comment, or `retry:`
            }
        }
    }

    /// The next message of that type; others are passed over.
    pub fn wait(&mut self, kind: &str) -> Heard {
        let end = Instant::now() + SOON;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let heard = self.next(left).unwrap_or_else(|| panic!("the link ended before any {kind}"));
            if heard.kind == kind {
                return heard;
            }
        }
    }

    /// Reads to the end of the link, which must come within [`SOON`]: what was said before it closed, beats left out.
    pub fn drain(mut self) -> Vec<Heard> {
        let end = Instant::now() + SOON;
        let mut all = Vec::new();
        while let Some(heard) = self.next(end.saturating_duration_since(Instant::now())) {
            if heard.kind != "beat" {
                all.push(heard);
            }
        }
        all
    }

    fn line(&mut self, end: Instant) -> Option<String> {
        loop {
            if let Some(at) = self.text.iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.text.drain(..=at).collect();
                line.pop();
                return Some(String::from_utf8(line).expect("SSE is UTF-8"));
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing more heard in time");
            self.wire.0.get_ref().set_read_timeout(Some(left)).unwrap();
            match self.more() {
                Ok(0) => return None,
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return None, // reset, or cut in the middle of a chunk: ended as well
            }
        }
    }

    /// Some more bytes into `text`; 0 at the end. A time-out inside a chunk's size line would lose that line, but
    /// the server writes it together with the chunk.
    fn more(&mut self) -> std::io::Result<usize> {
        if !self.chunked {
            let bytes = self.wire.0.fill_buf()?;
            let n = bytes.len();
            self.text.extend_from_slice(bytes);
            self.wire.0.consume(n);
            return Ok(n);
        }
        if self.in_chunk == 0 {
            let size = usize::from_str_radix(self.wire.line()?.trim(), 16).map_err(std::io::Error::other)?;
            if size == 0 {
                return Ok(0);
            }
            self.in_chunk = size;
        }
        let bytes = self.wire.0.fill_buf()?;
        let n = bytes.len().min(self.in_chunk);
        if n == 0 {
            return Ok(0);
        }
        self.text.extend_from_slice(&bytes[..n]);
        self.wire.0.consume(n);
        self.in_chunk -= n;
        if self.in_chunk == 0 {
            self.wire.line()?;
        }
        Ok(n)
    }
}

/// Waits until `is` holds, asking every few milliseconds.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !is() {
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
