//! The plainest of clients: what a test sends is what goes over the wire.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

use super::{SOON, Server, auth};

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

    pub(super) fn keep_cookie(&mut self, answer: &Answer) {
        if let Some(jar) = &mut self.jar {
            for (_, value) in answer.headers.iter().filter(|(n, _)| n == "set-cookie") {
                *jar = value.split(';').next().map(Into::into);
            }
        }
    }
}

/// The reading side of a connection.
pub(super) struct Wire(pub(super) BufReader<TcpStream>);

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Wire {
        Wire(BufReader::new(stream))
    }

    pub(super) fn line(&mut self) -> std::io::Result<String> {
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

    pub(super) fn head(&mut self) -> std::io::Result<Answer> {
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

    pub(super) fn body(&mut self, method: &str, answer: &mut Answer) -> std::io::Result<()> {
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

    pub(super) fn answer(&mut self, method: &str) -> std::io::Result<Answer> {
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
