//! What it is started with: settings from everywhere, whose rights it keeps, and a first start without any file.
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::disallowed_methods)] // the tests stand outside: they have a clock of their own

mod support;

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use support::{Client, SOON, Setup, base64, namespaces, read_answer, root, status_line, temp_dir};

// ------------------------------------------------------------------------------------------------------ settings

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let seats = |setup: Setup| {
        let server = setup.table("seats", "max = 7").start();
        Client::new(&server, "ann").get("/api/session").json()["seats"]["max"].as_u64().unwrap()
    };
    assert_eq!(seats(Setup::default()), 7);
    assert_eq!(seats(Setup::default().env("BOATSWAIN_SEATS_MAX", "4")), 4);
    assert_eq!(seats(Setup::default().env("BOATSWAIN_SEATS_MAX", "4").args(&["--seats", "3"])), 3);
}

#[test]
fn lists_come_from_the_environment_and_unknown_variables_are_a_warning() {
    let setup = Setup::default().env("BOATSWAIN_AUTH_ADMINS", "ann,bob").env("BOATSWAIN_SEAT_MAX", "2");
    let server = setup.env("BOATSWAIN_WITHOUT", "nudge").start();
    for (user, role) in [("ann", "admin"), ("bob", "admin"), ("admin", "operator"), ("viewer", "viewer")] {
        assert_eq!(Client::new(&server, user).get("/api/session").json()["role"], role, "{user}");
    }
    let warning = server.wait_log("warn BOATSWAIN_SEAT_MAX: ");
    assert!(warning.contains("did you mean BOATSWAIN_SEATS_MAX?"), "{warning}");
    assert_eq!(server.log().matches(" warn ").count(), 1, "a known one is no reason to warn");
}

#[test]
fn rust_log_wins_over_the_level_of_the_settings() {
    let server = Setup::default().table("log", "level = \"error\"").env("RUST_LOG", "debug").start();
    let ann = Client::new(&server, "ann");
    let mut stream = ann.connect().unwrap();
    stream.write_all(b"nonsense\r\n\r\n").unwrap();
    server.wait_log(" debug refused addr=127.0.0.1 status=400");
}

#[test]
fn check_and_serve_find_the_same_mistakes() {
    for (top, table) in [
        ("", "maxx = 3"),
        ("drain = \"2\"", "max = 3\nreserved = 3"),
        ("www = \"/nowhere\"", "max = 0"),
        ("listen = [\"nowhere\"", ""), // no TOML at all
    ] {
        let setup = || Setup::default().top(top).table("seats", table);
        let (code, said) = setup().fail();
        assert_eq!(code, Some(2), "{said}");
        // the same file, in another folder: checked by the command
        let check = ["sh", "-c", "shift; exec \"$0\" check \"$@\" 1>&2"];
        let (code, checked) = setup().through(&check).fail();
        assert_eq!(code, Some(2), "{checked}");
        let bare = |text: &str| -> Vec<String> {
            let lines = text.lines().map(|l| l.strip_prefix("boatswain: ").unwrap_or(l));
            lines.map(|l| l.split_once("boatswain.toml:").expect(l).1.to_string()).collect()
        };
        assert_eq!(bare(&said), bare(&checked), "{top} {table}");
        assert!(!said.is_empty());
    }
}

#[test]
fn the_file_limit_is_raised_to_fit_the_connections() {
    let setup = Setup::default().through(&["sh", "-c", "ulimit -S -n 64; exec \"$@\"", "sh"]);
    let server = setup.table("limits", "connections = 500").start();
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap();
    let soft: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(soft >= 564, "{line}");
}

// ------------------------------------------------------------------------------------------------------ identity

#[test]
fn root_becomes_the_user_of_the_settings_and_keeps_only_the_right_to_nudge() {
    if !root() {
        return;
    }
    let server = Setup::default().top("user = \"nobody\"").start();
    let started = server.wait_log("started version=");
    assert!(started.contains(&format!("pid={}", server.pid())), "{started}");
    let out = Command::new("id").args(["-u", "nobody"]).output().unwrap();
    let uid = String::from_utf8(out.stdout).unwrap().trim().to_string();
    assert_eq!(status_line(&server, "Uid:"), [uid.as_str(); 4].join("\t"));
    assert!(!status_line(&server, "Gid:").split('\t').any(|g| g == "0"), "root's group is gone");
    let had: u64 = {
        let own = fs::read_to_string("/proc/self/status").unwrap();
        u64::from_str_radix(own.lines().find_map(|l| l.strip_prefix("CapPrm:")).unwrap().trim(), 16).unwrap()
    };
    let net_admin = had & (1 << 12);
    for set in ["CapPrm:", "CapEff:"] {
        assert_eq!(status_line(&server, set), format!("{net_admin:016x}"), "{set}");
    }
    let line = server.wait_log(" kernel ");
    assert_eq!(line.contains(" nudge "), net_admin != 0, "{line}");
    // who comes is let in: hashing, pages, links work with fewer rights
    Client::new(&server, "ann").link("/api/events").wait("hello");
    // and it can reload by what it may read now
    server.signal("HUP");
    server.wait_log(" reloaded");
}

#[test]
fn without_the_right_to_nudge_none_is_left() {
    if !root() {
        return;
    }
    let drop = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-all"];
    let server = Setup::default().through(&drop).top("user = \"nobody\"").start();
    server.wait_log("started version=");
    assert_eq!(status_line(&server, "CapPrm:"), "0".repeat(16));
    let line = server.wait_log(" kernel ");
    assert!(line.contains(" no-nudge "), "{line}");
}

#[test]
fn files_that_the_user_of_the_settings_cannot_read_are_named() {
    if !root() {
        return;
    }
    let dir = temp_dir();
    let www = dir.join("pages");
    fs::create_dir(&www).unwrap();
    fs::set_permissions(&www, fs::Permissions::from_mode(0o700)).unwrap();
    let setup = Setup::default().top("user = \"nobody\"").args(&["--www", www.to_str().unwrap()]);
    let (code, said) = setup.fail();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&format!("--www: www: {:?} cannot be read: permission denied", www)), "{said}");
    assert!(said.contains("user: \"nobody\" cannot read what the settings name"), "{said}");
    let (code, said) = Setup::default().top("user = \"nemo-the-unknown\"").fail();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("user: there is no user \"nemo-the-unknown\" on this machine"), "{said}");
    let _ = fs::remove_dir_all(dir);
}

#[test]
fn a_port_below_1024_is_bound_before_the_rights_go() {
    if !root() || !namespaces() {
        return;
    }
    // in a namespace of its own, where the port is free
    let inside = ["unshare", "--net", "sh", "-c", "ip link set lo up; exec \"$@\"", "sh"];
    let setup = Setup::default().through(&inside).listen("127.0.0.1:80".parse().unwrap());
    let server = setup.top("user = \"nobody\"").start();
    assert_eq!(server.addr.port(), 80);
    server.wait_log("started version=");
    assert!(!status_line(&server, "Uid:").starts_with('0'));
}

// --------------------------------------------------------------------------------------------------- first start

/// Starts it without any file, through `wrapper`; what it says until it has started.
fn first_start(wrapper: &[&str], args: &[&str]) -> (std::process::Child, String) {
    let mut command = match wrapper.split_first() {
        Some((first, rest)) => {
            let mut c = Command::new(first);
            c.args(rest).arg(env!("CARGO_BIN_EXE_boatswain"));
            c
        }
        None => Command::new(env!("CARGO_BIN_EXE_boatswain")),
    };
    let mut child = command.args(args).env_remove("RUST_LOG").stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap());
    while !said.contains("started version=") {
        let n = std::io::BufRead::read_line(&mut lines, &mut said).unwrap();
        assert!(n > 0, "it ended: {said}");
    }
    // nobody reads what it says from here on: that must not hurt it
    (child, said)
}

#[test]
fn a_first_start_without_any_file_prints_an_address_and_a_password_that_work() {
    let (mut child, said) = first_start(&[], &["--listen", "127.0.0.1:0"]);
    let line = said.lines().find(|l| l.starts_with("boatswain: ")).expect(&said);
    let word = |after: &str| line.split(after).nth(1).and_then(|r| r.split(' ').next()).expect(line).to_string();
    let (url, user, password) = (word("open "), word("as user "), word("password "));
    assert_eq!(user, "operator");
    assert!(password.len() >= 12, "{line}");
    assert_eq!(said.matches(&password).count(), 1, "shown once: {said}");
    let addr: SocketAddr = url.trim_start_matches("http://").trim_end_matches('/').parse().expect(line);
    let ask = |credentials: &str| {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let basic = base64(credentials);
        let head =
            format!("GET / HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Basic {basic}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        read_answer(&stream, "GET").unwrap()
    };
    assert_eq!(ask(&format!("operator:{password}x")).status, 401);
    let page = ask(&format!("operator:{password}"));
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(child.try_wait().unwrap().is_none(), "a closed stderr does not hurt it");
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn without_ipv6_the_default_is_ipv4_alone() {
    if !root() || !namespaces() {
        return;
    }
    let off = "ip link set lo up; for f in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 >$f; done; exec \"$@\"";
    let probe = Command::new("unshare").args(["--net", "sh", "-ec", off, "sh", "true"]).output().unwrap();
    if !probe.status.success() {
        return eprintln!("skipped: {}", String::from_utf8_lossy(&probe.stderr));
    }
    for (shell, listeners) in
        [(off, &["0.0.0.0:8080"][..]), ("ip link set lo up; exec \"$@\"", &["0.0.0.0:8080", "[::]:8080"])]
    {
        let (mut child, said) = first_start(&["unshare", "--net", "sh", "-ec", shell, "sh"], &[]);
        let _ = child.kill();
        let _ = child.wait();
        let found: Vec<&str> =
            said.lines().filter_map(|l| l.split("listening addr=").nth(1)?.split(' ').next()).collect();
        assert_eq!(found, listeners, "{said}");
        assert!(said.contains(":8080/ as user operator"), "{said}");
    }
}
