//! Operation: how the real server starts, listens, stops, and what it says about it.
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::disallowed_methods)] // the tests stand outside: they have a clock of their own

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Client, PASSWORD, SOON, Setup, auth, base64, read_answer, temp_dir, until};

/// A file that fits into no socket buffer.
const BIG: u64 = 10 * 1024 * 1024;

/// A folder of pages with a big file, gone with the value.
struct Www(std::path::PathBuf);

impl Www {
    fn new() -> Www {
        let www = Www(temp_dir());
        fs::File::create(www.0.join("big.bin")).unwrap().set_len(BIG).unwrap();
        fs::write(www.0.join("index.html"), "<p>mine").unwrap();
        www
    }

    fn setting(&self) -> String {
        format!("www = {:?}", self.0.to_str().unwrap())
    }
}

impl Drop for Www {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Asks for the big file over a connection that takes little, and reads only the head and a bit.
fn slow_download(client: &Client) -> TcpStream {
    let mut stream = client.connect().unwrap();
    socket2::SockRef::from(&stream).set_recv_buffer_size(16 * 1024).unwrap();
    stream.write_all(client.head("GET", "/big.bin", "").as_bytes()).unwrap();
    let mut some = [0; 1000];
    stream.read_exact(&mut some).unwrap();
    assert!(some.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&some));
    stream
}

/// All that still comes, with the head and the bit that [`slow_download`] has read: bytes of the body.
fn rest_of_download(mut stream: TcpStream) -> u64 {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    rest.len() as u64 + 1000
}

// ------------------------------------------------------------------------------------------------------ stopping

#[test]
fn a_stop_refuses_new_ones_tells_links_closes_idle_ones_and_drains_what_is_on_its_way() {
    let www = Www::new();
    let mut server = Setup::default().top(&www.setting()).top("drain = \"20s\"").start();
    let mut ann = Client::browser(&server, "ann", "A").from(2);
    let link = ann.link("/api/events?tab=a&n=1");
    let bob = Client::new(&server, "bob").from(3);
    let mut idle = bob.connect().unwrap();
    idle.write_all(bob.head("GET", "/", "").as_bytes()).unwrap();
    assert_eq!(read_answer(&idle, "GET").unwrap().status, 200);
    let download = slow_download(&bob);

    server.signal("TERM");
    server.wait_log("stopping drain_ms=20000");
    let told = link.drain();
    let last = told.last().unwrap();
    assert_eq!((last.kind.as_str(), last.data["reason"].as_str()), ("closing", Some("shutdown")), "{told:?}");
    assert_eq!(idle.read(&mut [0; 10]).unwrap(), 0, "an idle connection is closed in order");
    let refused = TcpStream::connect(server.addr).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let got = rest_of_download(download);
    assert!(got > BIG && got < BIG + 2000, "all of it came: {got}");
    assert_eq!(server.wait_exit(), Some(0));
    let log = server.whole_log();
    assert!(log.trim_end().ends_with(" stopped"), "{log}");
}

#[test]
fn who_comes_while_it_drains_is_told_that_it_stops_and_pages_on_their_way_are_served() {
    let www = Www::new();
    let mut server = Setup::default().top(&www.setting()).top("drain = \"20s\"").start();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let say = "Content-Type: text/plain\r\nContent-Length: 2\r\n";
    let asked = [
        ("GET", "/api/events", "", 503),
        ("GET", "/api/socket?tab=a&n=1", upgrade, 503),
        ("POST", "/api/chat", say, 503),
        ("GET", "/", "", 200),
        ("GET", "/api/roster", "", 200),
    ];
    let ann = Client::new(&server, "ann");
    let begun: Vec<_> = asked
        .iter()
        .map(|(method, target, more, status)| {
            let mut stream = ann.connect().unwrap();
            let head = ann.head(method, target, more) + if more.contains("Length") { "hi" } else { "" };
            let (first, rest) = head.split_at(20);
            stream.write_all(first.as_bytes()).unwrap();
            (stream, *method, *target, rest.to_owned(), *status)
        })
        .collect();
    // the last of them has been taken up, and so have all before it
    until("all are connected", || server.metric("boatswain_connections") > asked.len() as f64);
    server.signal("TERM");
    server.wait_log("stopping drain_ms=20000");
    for (mut stream, method, target, rest, status) in begun {
        stream.write_all(rest.as_bytes()).unwrap();
        let answer = read_answer(&stream, method).unwrap();
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        if status == 503 {
            let retry = if target.contains("tab=") { "1" } else { "5" };
            assert_eq!((answer.json()["error"].as_str(), answer.header("retry-after")), (Some("stopping"), retry));
        }
        assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0, "{target}: closed in order");
    }
    assert_eq!(server.wait_exit(), Some(0));
    let log = server.whole_log();
    assert!(!log.contains(" joined "), "{log}");
}

#[test]
fn drain_is_the_longest_that_a_stop_waits_and_even_then_every_end_is_told() {
    let www = Www::new();
    let mut server = Setup::default().top(&www.setting()).start(); // drain = "300ms"
    let download = slow_download(&Client::new(&server, "bob").from(3));
    server.signal("INT"); // the same as TERM
    let asked = Instant::now();
    assert_eq!(server.wait_exit(), Some(0));
    assert!(asked.elapsed() >= Duration::from_millis(250), "it waited for the download");
    drop(download);
    let log = server.whole_log();
    let line = log.lines().find(|l| l.contains("closed conn=") && l.contains("addr=127.0.0.3")).expect(&log);
    assert!(line.contains("user=bob") && line.contains("reason=shutdown"), "{line}");
}

#[test]
fn a_second_signal_ends_it_at_once_with_status_1() {
    let www = Www::new();
    let mut server = Setup::default().top(&www.setting()).top("drain = \"60s\"").start();
    let _download = slow_download(&Client::new(&server, "bob"));
    server.signal("TERM");
    server.wait_log("stopping drain_ms=60000");
    server.signal("INT");
    assert_eq!(server.wait_exit(), Some(1));
}

#[test]
fn a_closed_pipe_never_kills_it() {
    let www = Www::new();
    let server = Setup::default().top(&www.setting()).start();
    server.signal("PIPE");
    let mut bob = Client::new(&server, "bob");
    // sendfile(2) to a peer that has reset knows no MSG_NOSIGNAL
    let download = slow_download(&bob);
    socket2::SockRef::from(&download).set_linger(Some(Duration::ZERO)).unwrap();
    drop(download);
    server.wait_log("reason=reset");
    assert_eq!(bob.get("/").status, 200);
}

// ----------------------------------------------------------------------------------------------------- listening

#[test]
fn every_listener_has_its_line_with_the_real_port_and_its_own_cookie() {
    let server = Setup::default().also_listen("127.0.0.2:0").start();
    server.wait_log("started version=");
    let log = server.log();
    let addresses: Vec<SocketAddr> = log
        .lines()
        .filter(|l| l.contains("kind=web"))
        .filter_map(|l| l.split("listening addr=").nth(1)?.split(' ').next()?.parse().ok())
        .collect();
    assert!(addresses.len() == 2 && addresses[0].port() != addresses[1].port(), "{log}");
    for addr in addresses {
        let mut ann = Client::browser(&server, "ann", "A").to(addr);
        assert_eq!(ann.get("/api/session").status, 200);
        assert!(ann.cookie().unwrap().starts_with(&format!("boatswain_{}=", addr.port())), "{:?}", ann.cookie());
    }
}

#[test]
fn what_cannot_be_listened_on_is_one_line_with_the_setting_and_the_remedy_and_status_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = temp_dir();
    let (answers, file) = (dir.join("answers.sock"), dir.join("file"));
    let _answers = UnixListener::bind(&answers).unwrap();
    fs::write(&file, "precious").unwrap();
    let unix = |path: &Path| format!("unix:{}", path.display());
    for (listen, words) in [
        (taken.local_addr().unwrap().to_string(), "another program listens there: stop it or choose another"),
        ("192.0.2.1:0".into(), "this machine has no such address"),
        (unix(&answers), "another server answers there"),
        (unix(&file), "no socket"),
        (unix(&dir.join("nowhere/web.sock")), "create its folder first"),
    ] {
        let (code, said) = Setup::default().args(&["--listen", &listen]).fail();
        let lines: Vec<&str> = said.lines().filter(|l| l.starts_with("boatswain: ")).collect();
        assert_eq!((code, lines.len()), (Some(1), 1), "{listen}: {said}");
        let begin = format!("boatswain: listen: {listen}: ");
        assert!(lines[0].starts_with(&begin) && lines[0].contains(words), "{listen}: {said}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    let _ = fs::remove_dir_all(dir);
}

#[test]
fn both_families_listen_at_one_port() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return eprintln!("skipped: no IPv6 here");
    }
    // a port that is free now may be taken in a moment, so a few are tried
    let said = (0..5).find_map(|_| {
        let port = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port();
        let args = [format!("0.0.0.0:{port}"), format!("[::]:{port}")];
        let mut child = Command::new(env!("CARGO_BIN_EXE_boatswain"))
            .args(["--listen", &args[0], "--listen", &args[1]])
            .env_remove("RUST_LOG")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut statuses = Vec::new();
        for ip in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            let addr = SocketAddr::new(ip, port);
            let mut stream = None;
            until("it listens or has ended", || {
                stream = TcpStream::connect(addr).ok();
                stream.is_some() || child.try_wait().unwrap().is_some()
            });
            let Some(mut stream) = stream else { continue };
            stream.set_read_timeout(Some(SOON)).unwrap();
            write!(stream, "GET /healthz HTTP/1.1\r\nHost: {addr}\r\n\r\n").unwrap();
            statuses.push(read_answer(&stream, "GET").unwrap().status);
        }
        let _ = child.kill();
        let _ = child.wait();
        (statuses.len() == 2).then_some(statuses)
    });
    assert_eq!(said, Some(vec![200, 200]));
}

/// One request over a unix socket; the answer's head and body as text.
fn ask_unix(path: &Path, more: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let basic = base64(&auth("ann"));
    write!(
        stream,
        "GET /api/session HTTP/1.1\r\nHost: board\r\nAuthorization: Basic {basic}\r\nConnection: close\r\n{more}\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn cookie_of(answer: &str) -> &str {
    let line = answer.lines().find(|l| l.to_ascii_lowercase().starts_with("set-cookie:")).expect(answer);
    line.split(": ").nth(1).unwrap().split(';').next().unwrap()
}

#[test]
fn a_unix_listener_is_for_owner_and_group_replaces_a_stale_file_and_removes_its_own() {
    let dir = temp_dir();
    let path = dir.join("web.sock");
    drop(UnixListener::bind(&path).unwrap()); // left over from a crash
    let mut server = Setup::default().also_listen(&format!("unix:{}", path.display())).start();
    server.wait_log(&format!("listening addr=unix:{}", path.display()));
    let meta = fs::metadata(&path).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o660);

    let one = ask_unix(&path, "User-Agent: same\r\n");
    assert!(one.starts_with("HTTP/1.1 200"), "{one}");
    assert!(cookie_of(&one).starts_with("boatswain_unix="), "{one}");
    let two = ask_unix(&path, "User-Agent: same\r\n");
    assert_ne!(cookie_of(&one), cookie_of(&two), "behind one proxy all look alike: never one session");
    let again = ask_unix(&path, &format!("Cookie: {}\r\n", cookie_of(&one)));
    assert!(again.starts_with("HTTP/1.1 200") && !again.to_ascii_lowercase().contains("set-cookie"), "{again}");

    server.signal("TERM");
    assert_eq!(server.wait_exit(), Some(0));
    assert!(!path.exists(), "it leaves no socket behind");
    let _ = fs::remove_dir_all(dir);
}

#[test]
fn the_end_of_a_unix_link_is_a_leave() {
    let dir = temp_dir();
    let path = dir.join("web.sock");
    let setup = Setup::default().also_listen(&format!("unix:{}", path.display()));
    let server = setup.table("seats", "linger = \"50ms\"").start();
    let mut eve = Client::new(&server, "eve").from(9);
    let mut watch = eve.link("/api/events");
    watch.wait("hello");
    let mut stream = UnixStream::connect(&path).unwrap();
    let basic = base64(&auth("ann"));
    write!(stream, "GET /api/events HTTP/1.1\r\nHost: board\r\nAuthorization: Basic {basic}\r\n\r\n").unwrap();
    let joined = watch.wait("joined");
    assert_eq!((&joined.data["member"]["user"], &joined.data["member"]["addr"]), (&"ann".into(), &"unix".into()));
    drop(stream);
    let left = watch.wait("left");
    assert_eq!((&left.data["member"]["user"], &left.data["reason"]), (&"ann".into(), &"closed".into()));
    let _ = fs::remove_dir_all(dir);
}

#[test]
fn a_unix_link_that_takes_nothing_is_stalled_and_then_slow() {
    let dir = temp_dir();
    let path = dir.join("web.sock");
    let setup = Setup::default().also_listen(&format!("unix:{}", path.display()));
    let setup = setup.table("liveness", "profile = \"lan\"\nstalled_after = \"1s\"");
    let server = setup.table("chat", "rate = \"1000/s\"").table("limits", "link_queue = \"8MiB\"").start();
    server.wait_log("started version=");
    let mut admin = Client::browser(&server, "admin", "watch").from(9);
    let mut watch = admin.link("/api/events?types=stalled,left&tab=w&n=1");
    let mut link = UnixStream::connect(&path).unwrap();
    let basic = base64(&auth("ann"));
    write!(link, "GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {basic}\r\n\r\n").unwrap();
    let mut status = [0; 12];
    link.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    let mut bob = Client::browser(&server, "bob", "B").from(3);
    let text = "\u{1f600}".repeat(2000);
    for _ in 0..100 {
        bob.say(&text); // 800 kB: more than the socket takes, less than the link may owe
    }
    let stalled = watch.wait("stalled");
    assert_eq!((&stalled.data["member"]["user"], &stalled.data["layer"]), (&"ann".into(), &"transport".into()));
    let left = watch.wait("left");
    assert_eq!((&left.data["member"]["user"], &left.data["reason"]), (&"ann".into(), &"slow".into()));
    drop(link);
    let _ = fs::remove_dir_all(dir);
}

// ----------------------------------------------------------------------------------- passed sockets, supervisor

/// Hands standard input and output on as the first two passed sockets, as systemd does.
fn passing(count: u32, names: &str) -> [String; 4] {
    let script = format!(
        "exec 3<&0 4>&1 0</dev/null 1>/dev/null; export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names}; exec \"$@\""
    );
    ["sh".into(), "-c".into(), script, "sh".into()]
}

fn through(setup: Setup, command: &[String]) -> Setup {
    setup.through(&command.iter().map(String::as_str).collect::<Vec<_>>())
}

fn stdio(listener: impl Into<std::os::fd::OwnedFd>) -> Stdio {
    Stdio::from(listener.into())
}

#[test]
fn sockets_passed_by_systemd_replace_the_list_and_addresses_are_canonical() {
    let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = v4.local_addr().unwrap();
    // systemd's default for a port alone: one socket for both families
    let both = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None);
    let both = match both.and_then(|s| {
        s.set_only_v6(false)?;
        s.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
        s.listen(16)?;
        Ok(s)
    }) {
        Ok(s) => TcpListener::from(s),
        Err(e) => return eprintln!("skipped: no IPv6 here: {e}"),
    };
    let dual = both.local_addr().unwrap();
    // `listen` names an address that this machine does not have: it is not looked at
    let setup = Setup::default().args(&["--listen", "192.0.2.1:80"]).descriptors(stdio(v4), stdio(both));
    let server = through(setup, &passing(2, "web:web")).start();
    assert_eq!(server.addr, addr);
    server.wait_log(&format!("listening addr=[::]:{} kind=web", dual.port()));
    let mut ann = Client::new(&server, "ann").to(([127, 0, 0, 1], dual.port()).into());
    assert_eq!(ann.get("/").status, 200);
    server.wait_log("joined session=");
    let members = Client::new(&server, "bob").get("/api/roster").json();
    assert_eq!(members["members"][0]["addr"], "127.0.0.1", "{members}");
    // and so it is the same member over the other socket
    assert_eq!(Client::new(&server, "ann").get("/").status, 200);
    let members = Client::new(&server, "bob").get("/api/roster").json();
    assert_eq!(members["members"].as_array().unwrap().len(), 1, "{members}");
}

#[test]
fn passed_sockets_of_the_wrong_kind_or_name_are_refused_by_name() {
    let udp = || stdio(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let tcp = || stdio(TcpListener::bind("127.0.0.1:0").unwrap());
    for (descriptor, count, name, words) in [
        (
            udp(),
            1,
            "web",
            "LISTEN_FDS: descriptor 3 (web): not a listening stream socket; pass ListenStream= sockets only",
        ),
        (
            tcp(),
            1,
            "pages",
            "LISTEN_FDNAMES: `pages`: a passed socket is called `web` or `devices`; set FileDescriptorName=",
        ),
        (tcp(), 9, "web", "LISTEN_FDS: descriptor 5"),
    ] {
        let setup = Setup::default().descriptors(descriptor, Stdio::null());
        let (code, said) = through(setup, &passing(count, name)).fail();
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn systemd_is_told_of_ready_reloading_and_stopping() {
    let dir = temp_dir();
    let socket = UnixDatagram::bind(dir.join("notify")).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let heard = || {
        let mut text = [0; 200];
        let n = socket.recv(&mut text).unwrap();
        String::from_utf8(text[..n].to_vec()).unwrap()
    };
    let mut server = Setup::default().env("NOTIFY_SOCKET", dir.join("notify").to_str().unwrap()).start();
    assert_eq!(heard(), "READY=1");
    server.signal("HUP");
    let reloading = heard();
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    let at: f64 = micros.parse().unwrap();
    assert!((uptime - at / 1e6).abs() < 60.0, "the monotonic clock: {at} at {uptime}");
    assert_eq!(heard(), "READY=1");
    // a reload that fails is over too
    fs::write(server.dir().join("boatswain.toml"), "nonsense = 1\n").unwrap();
    server.signal("HUP");
    assert!(heard().starts_with("RELOADING=1\n"));
    assert_eq!(heard(), "READY=1");
    server.signal("TERM");
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(server.wait_exit(), Some(0));
    let _ = fs::remove_dir_all(dir);
}

#[test]
fn a_supervisor_that_takes_nothing_for_a_while_holds_nobody_and_hears_it_later() {
    let dir = temp_dir();
    let path = dir.join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let fills = UnixDatagram::unbound().unwrap();
    fills.set_nonblocking(true).unwrap();
    while fills.send_to(b"X=1", &path).is_ok() {}
    let server = Setup::default().env("NOTIFY_SOCKET", path.to_str().unwrap()).start();
    assert_eq!(Client::new(&server, "ann").get("/healthz").status, 200);
    let mut text = [0; 200];
    until("READY=1", || socket.recv(&mut text).is_ok_and(|n| &text[..n] == b"READY=1"));
    drop(server);
    let _ = fs::remove_dir_all(dir);
}

#[test]
fn the_watchdog_of_systemd_is_told_from_the_loop_and_not_if_it_is_meant_for_another() {
    let dir = temp_dir();
    // in a place that is no file, as systemd has it in containers
    let name = format!("boatswain-watchdog-{}", std::process::id());
    let address =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    let heard = |limit| {
        socket.set_read_timeout(Some(limit)).unwrap();
        let mut text = [0; 200];
        socket.recv(&mut text).ok().map(|n| String::from_utf8(text[..n].to_vec()).unwrap())
    };
    let setup = || Setup::default().env("NOTIFY_SOCKET", &format!("@{name}")).env("WATCHDOG_USEC", "400000");
    let mut server = setup().start();
    assert_eq!(heard(SOON).as_deref(), Some("READY=1"));
    let since = Instant::now();
    for _ in 0..5 {
        assert_eq!(heard(SOON).as_deref(), Some("WATCHDOG=1"));
    }
    assert!(since.elapsed() >= Duration::from_millis(700), "twice a period, no more: {:?}", since.elapsed());
    server.signal("STOP");
    while heard(Duration::from_millis(100)).is_some() {} // what was under way
    assert_eq!(heard(Duration::from_millis(600)), None, "a process that hangs says nothing");
    server.signal("CONT");
    assert_eq!(heard(SOON).as_deref(), Some("WATCHDOG=1"));
    server.signal("TERM");
    assert_eq!(server.wait_exit(), Some(0));
    while heard(Duration::from_millis(10)).is_some() {}
    let server = setup().env("WATCHDOG_PID", "1").start();
    assert_eq!(heard(SOON).as_deref(), Some("READY=1"));
    assert_eq!(heard(Duration::from_millis(600)), None);
    drop((server, socket));
    let mut server = setup().start();
    server.wait_log("notify: ");
    server.signal("TERM");
    assert_eq!(server.wait_exit(), Some(0));
    assert_eq!(server.whole_log().matches("notify: ").count(), 1, "said once: {}", server.whole_log());
    let _ = fs::remove_dir_all(dir);
}

// ------------------------------------------------------------------------------------------------------- the log

/// `key=value` of a log line.
fn field<'l>(line: &'l str, key: &str) -> &'l str {
    let at = format!(" {key}=");
    line.split(&at).nth(1).and_then(|r| r.split(' ').next()).unwrap_or_else(|| panic!("no {key} in {line}"))
}

#[test]
fn the_log_has_one_line_an_end_and_a_seat_change_in_the_words_of_events_and_metrics() {
    let www = Www::new();
    let setup = Setup::default().top(&www.setting()).table("seats", "linger = \"50ms\"");
    let setup = setup.table("limits", "header_timeout = \"300ms\"");
    let mut server = setup.env("RUST_LOG", "debug").start(); // ends of no interest are lines of that level
    let mut eve = Client::browser(&server, "eve", "watch").from(9);
    let mut watch = eve.link("/api/events?tab=e&n=1");
    let mut ann = Client::browser(&server, "ann", "A").from(2);
    let link = ann.link("/api/events?tab=a&n=1");
    drop(link);
    let left = watch.wait("left");
    let line = server.wait_log("left session=");
    assert_eq!(field(&line, "reason"), left.data["reason"]);
    assert_eq!(field(&line, "session"), left.data["member"]["session"].as_str().unwrap());
    assert_eq!((field(&line, "user"), field(&line, "seat"), field(&line, "addr")), ("ann", "2", "127.0.0.2"));
    let joined = server.wait_log("joined session=");
    assert_eq!((field(&joined, "user"), field(&joined, "seat"), field(&joined, "returned")), ("eve", "1", "false"));
    // ends of every common kind
    let dribble = ann.connect().unwrap(); // says nothing: header_timeout
    let mut garbage = ann.connect().unwrap();
    garbage.write_all(b"\x16\x03\x01 what?\r\n\r\n").unwrap();
    let reset = slow_download(&ann);
    socket2::SockRef::from(&reset).set_linger(Some(Duration::ZERO)).unwrap();
    drop(reset);
    drop(read_answer(&garbage, "GET"));
    drop(garbage);
    let mut admin = Client::browser(&server, "admin", "boss").from(4);
    let session = eve.get("/api/session").json()["session"].as_str().unwrap().to_string();
    assert_eq!(admin.post(&format!("/api/members/{session}/evict"), "").status, 204);
    let told = watch.drain();
    assert_eq!(told.last().unwrap().data["reason"], "evicted");
    assert_eq!(dribble.peek(&mut [0; 1]).unwrap_or(0), 0);
    for reason in ["closed", "header_timeout", "protocol", "reset", "evicted"] {
        server.wait_log(&format!(" reason={reason} requests="));
    }
    server.wait_log("left session=");
    assert!(server.log().lines().any(|l| l.contains("left session=") && field(l, "reason") == "evicted"));
    // counted under the same words: nothing but this request's own connection is open now
    let mut stream = admin.connect().unwrap();
    stream.write_all(admin.head("GET", "/metrics", "").as_bytes()).unwrap();
    let metrics = read_answer(&stream, "GET").unwrap().text();
    let log = server.log();
    let ends: Vec<&str> = log.lines().filter(|l| l.contains(" closed conn=")).collect();
    let mut total = 0;
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix("boatswain_connections_closed_total{reason=\"") else { continue };
        let (reason, n) = rest.split_once("\"} ").unwrap();
        let n: usize = n.parse().unwrap();
        assert_eq!(ends.iter().filter(|l| field(l, "reason") == reason).count(), n, "{reason}\n{log}");
        total += n;
    }
    assert_eq!(total, ends.len());
    let accepted = metrics.lines().find_map(|l| l.strip_prefix("boatswain_connections_accepted_total ")).unwrap();
    assert_eq!(accepted.parse::<usize>().unwrap(), total + 1);
    server.signal("TERM");
    assert_eq!(server.wait_exit(), Some(0));
    let log = server.whole_log();
    assert_eq!(log.lines().filter(|l| l.contains(" closed conn=")).count(), total + 1, "{log}");
    assert!(log.contains(" stopping drain_ms=") && log.trim_end().ends_with(" stopped"));
    for line in log.lines().filter(|l| l.contains(" closed conn=")) {
        for key in ["conn", "addr", "user", "kind", "reason", "requests", "sent", "ms"] {
            field(line, key);
        }
    }
}

#[test]
fn secrets_never_reach_the_log_at_any_level() {
    let mut server = Setup::default().env("RUST_LOG", "debug").start();
    let mut ann = Client::browser(&server, "ann", "A");
    let mut secrets = vec![PASSWORD.to_string(), base64(&auth("ann"))];
    drop(ann.link("/api/events?tab=a&n=1"));
    secrets.push(ann.cookie().unwrap().split('=').nth(1).unwrap().to_string());
    let mut wrong = Client::browser(&server, "ann", "W").credentials(Some("ann:wrong-but-secret"));
    assert_eq!(wrong.get("/").status, 401);
    secrets.extend(["wrong-but-secret".into(), base64("ann:wrong-but-secret")]);
    // a broken head with credentials in it
    let mut stream = ann.connect().unwrap();
    let basic = base64("ann:in-a-broken-head");
    write!(stream, "GET / HTTP/1.1\r\nAuthorization: Basic {basic}\r\nbro ken: yes\r\n\r\n").unwrap();
    assert_eq!(read_answer(&stream, "GET").unwrap().status, 400);
    secrets.extend([basic, "in-a-broken-head".into()]);
    // the users file with a mistake in a line, read again
    fs::write(server.dir().join("users"), "ann:plain-text-password\nbob:$apr1$salty$hash-of-bob\n").unwrap();
    server.signal("HUP");
    server.wait_log("reload: nothing was changed");
    secrets.extend(["plain-text-password".into(), "hash-of-bob".into()]);
    ann.say("words of the chat are nobody's business");
    secrets.push("words of the chat".into());
    server.signal("TERM");
    assert_eq!(server.wait_exit(), Some(0));
    let log = server.whole_log();
    assert!(log.contains(" debug "), "{log}");
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret:?} is in the log:\n{log}");
    }
}
