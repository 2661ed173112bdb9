//! The rules of the house as an operator sets them: who gets a seat, who loses it and why, what is open to all, and
//! what those see who are turned away.
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::disallowed_methods)] // the tests stand outside: they have a clock of their own

mod support;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use support::{Answer, Client, Server, Setup, auth, temp_dir};

fn word(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_string())
}

#[test]
fn who_does_nothing_for_long_is_evicted_as_idle_and_who_acts_stays() {
    let server = Server::with_seats("max = 4\nreserved = 0\nidle = \"1s\"");
    let mut ann = Client::browser(&server, "ann", "A").from(2);
    let mut bob = Client::browser(&server, "bob", "B").from(3);
    let mut link = ann.link("/api/events?tab=a&n=1");
    let mut watch = bob.link("/api/events?tab=b&n=1&types=left");
    link.wait("hello");
    watch.wait("hello");
    let begin = Instant::now();
    // bob talks, ann only reads: answers to beats and reading are no activity
    while begin.elapsed() < Duration::from_millis(1500) {
        bob.say("busy");
        if begin.elapsed() < Duration::from_millis(700) {
            assert_eq!(ann.get("/api/roster").status, 200);
        }
        std::thread::park_timeout(Duration::from_millis(300)); // the pause is what is tested
    }
    let left = watch.wait("left");
    assert_eq!((left.data["member"]["user"].as_str(), left.data["reason"].as_str()), (Some("ann"), Some("idle")));
    let told = link.drain();
    assert_eq!(told.last().unwrap().data["reason"], "idle", "{told:?}");
    // final: the page waits for a click, and the cookie opens nothing
    let refused = ann.try_link("/api/events?tab=a&n=2").err().unwrap();
    assert_eq!((word(&refused).0, refused.json()["reason"].as_str()), (403, Some("idle")));
    // signing in again is a new session
    assert_eq!(ann.page("/").status, 200);
}

#[test]
fn one_user_has_so_many_seats_and_no_more() {
    let server = Server::with_seats("max = 4\nreserved = 0\nper_user = 1");
    assert_eq!(Client::browser(&server, "ann", "one").from(2).get("/").status, 200);
    let mut second = Client::browser(&server, "ann", "two").from(2);
    let refused = second.get("/");
    assert_eq!(word(&refused), (503, "full".into()));
    assert!(refused.json()["message"].as_str().unwrap().contains("as many seats as one user may have"));
    assert_eq!(refused.header("retry-after"), "5");
    assert!(!refused.header("set-cookie").is_empty(), "a 503 brings the cookie too");
    assert_eq!(word(&second.get("/api/events?tab=t&n=1")), (503, "full".into()));
    assert_eq!(second.get("/api/session").status, 200, "reading needs no seat");
    assert_eq!(Client::browser(&server, "bob", "one").from(2).get("/").status, 200);
}

#[test]
fn by_default_one_user_has_half_of_the_seats_and_the_only_user_all() {
    for (users, seats) in [(None, 3), (Some("ann"), 5)] {
        let server = Server::with_seats("max = 6\nreserved = 1");
        if let Some(name) = users {
            let file = server.dir().join("users");
            let theirs = std::fs::read_to_string(&file).unwrap();
            let line = theirs.lines().find(|l| l.starts_with(&format!("{name}:"))).unwrap();
            std::fs::write(&file, line).unwrap();
            let config = server.dir().join("boatswain.toml");
            let toml = std::fs::read_to_string(&config).unwrap().replace("viewers = [\"viewer\"]", "");
            std::fs::write(&config, toml).unwrap();
            server.signal("HUP");
            server.wait_log("reloaded");
        }
        let mut open: Vec<Client> =
            (0..seats).map(|n| Client::browser(&server, "ann", &format!("agent {n}")).from(2)).collect();
        for one in &mut open {
            assert_eq!(one.get("/").status, 200);
        }
        let mut one_more = Client::browser(&server, "ann", "one more").from(3);
        assert_eq!(word(&one_more.get("/")), (503, "full".into()));
        if users.is_none() {
            assert_eq!(Client::browser(&server, "bob", "one").from(2).get("/").status, 200, "others have the rest");
        }
    }
}

#[test]
fn a_seat_is_kept_for_admins_and_given_to_them_only() {
    let server = Server::with_seats("max = 2\nreserved = 1");
    assert_eq!(Client::browser(&server, "ann", "A").from(2).get("/").status, 200);
    assert_eq!(word(&Client::browser(&server, "bob", "B").from(3).get("/")), (503, "full".into()));
    assert_eq!(Client::browser(&server, "admin", "C").from(4).get("/").status, 200);
    assert_eq!(word(&Client::browser(&server, "admin", "D").from(5).get("/")), (503, "full".into()));
}

#[test]
fn without_admins_no_seat_is_kept() {
    let setup = Setup::default().table("seats", "max = 2\nreserved = 1").env("BOATSWAIN_AUTH_ADMINS", "");
    let server = setup.start();
    for (user, last) in [("ann", 2), ("bob", 3)] {
        assert_eq!(Client::browser(&server, user, "A").from(last).get("/").status, 200, "{user}");
    }
}

#[test]
fn an_evicted_user_is_refused_from_that_address_and_welcome_from_another() {
    let server = Setup::default().start();
    let mut admin = Client::browser(&server, "admin", "boss").from(9);
    let mut ann = Client::browser(&server, "ann", "A").from(2);
    let mut link = ann.link("/api/events?tab=a&n=1");
    let session = link.wait("hello").data["you"]["session"].as_str().unwrap().to_string();
    assert_eq!(admin.post(&format!("/api/members/{session}/evict"), "").status, 204);
    let told = link.drain();
    assert_eq!(told.last().unwrap().data["reason"], "evicted", "{told:?}");
    let page = ann.get("/api/roster?tab=a");
    assert_eq!((word(&page), page.json()["reason"].as_str()), ((403, "ended".into()), Some("evicted")));
    let mut anew = Client::browser(&server, "ann", "another browser").from(2);
    let refused = anew.get("/api/session");
    assert_eq!((word(&refused), refused.header("retry-after")), ((403, "evicted".into()), "60"));
    assert_eq!(Client::browser(&server, "ann", "A").from(3).get("/").status, 200, "another address");
    assert_eq!(Client::browser(&server, "bob", "B").from(2).get("/").status, 200, "another user");
    assert_eq!(word(&admin.post(&format!("/api/members/{session}/evict"), "")), (404, "not_found".into()));
    assert_eq!(word(&anew.from(3).post("/api/members/x/evict", "")), (403, "role".into()));
}

#[test]
fn logging_out_by_get_challenges_until_the_user_is_logout() {
    let server = Setup::default().start();
    let mut ann = Client::new(&server, "ann");
    for target in ["/api/logout", "/api/logout?tab=a"] {
        for credentials in [Some(auth("ann")), None, Some("logout".into())] {
            let mut who = ann.clone().credentials(credentials.as_deref());
            let answer = who.get(target);
            assert_eq!(answer.status, 401, "{target} {credentials:?}");
            assert!(answer.header("www-authenticate").starts_with("Basic realm="), "{answer:?}");
        }
        let out = ann.clone().credentials(Some("logout:whatever")).get(target);
        assert_eq!(out.status, 200);
    }
    assert_eq!(ann.get("/").status, 200, "nobody was throttled by that");
}

#[test]
fn a_page_of_another_origin_cannot_log_anybody_out_by_get() {
    let server = Setup::default().start();
    let mut out = Client::new(&server, "ann").credentials(Some("logout:x"));
    let addr = server.addr;
    for foreign in [
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n".to_string(),
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n".into(),
        "Sec-Fetch-Site: same-site\r\n".into(),
        "Origin: http://evil.test\r\n".into(),
        "Origin: null\r\n".into(),
        format!("Origin: http://{addr}\r\nOrigin: http://evil.test\r\n"),
        "Referer: http://evil.test/page\r\n".into(),
        format!("Referer: http://{}:1/page\r\n", addr.ip()),
    ] {
        for target in ["/api/logout", "/api/logout?tab=a"] {
            let answer = out.request("GET", target, &foreign, b"");
            assert_eq!(word(&answer), (403, "origin".into()), "{foreign}");
            assert_eq!(answer.header("set-cookie"), "", "{foreign}");
        }
    }
    for own in [
        String::new(),
        "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\n".into(),
        "Sec-Fetch-Site: same-origin\r\n".into(),
        format!("Origin: http://{addr}\r\nReferer: http://{addr}/people.html?x=1\r\n"),
    ] {
        assert_eq!(out.request("GET", "/api/logout", &own, b"").status, 200, "{own}");
    }
}

#[test]
fn an_origin_that_a_proxy_makes_foreign_is_told_with_both_hosts_and_the_remedy() {
    let server = Setup::default().start();
    let mut ann = Client::new(&server, "ann");
    for _ in 0..3 {
        let refused = ann.request("POST", "/api/chat", "Origin: https://panel.lan:8443\r\n", b"x");
        assert_eq!(word(&refused), (403, "origin".into()));
        let said = refused.json()["message"].as_str().unwrap().to_string();
        for part in ["\"https://panel.lan:8443\"", &format!("\"{}\"", server.addr), "proxy_set_header Host $http_host"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let line = server.wait_log("https://panel.lan:8443");
    assert!(line.contains(" warn refused ") && line.contains("$http_host"), "{line}");
    assert_eq!(server.log().matches("panel.lan").count(), 1, "once a minute");
    let stranger = ann.clone().credentials(Some("ann:wrong")).request("POST", "/api/chat", "Origin: null\r\n", b"x");
    assert_eq!(word(&stranger), (403, "origin".into()), "before passwords are looked at");
}

#[test]
fn no_get_changes_anything_but_pages_and_links() {
    use boatswain::http::request::Method;
    use boatswain::routes::{Need, ROUTES};
    let server = Setup::default().start();
    let mut eve = Client::browser(&server, "eve", "E").from(4);
    let mut watch = eve.link("/api/events?tab=e&n=1");
    let hello = watch.wait("hello");
    let mut ann = Client::browser(&server, "ann", "A").from(2);
    assert_eq!(ann.get("/").status, 200);
    watch.wait("joined");
    let who = |from: &mut Client| from.get("/api/session").json();
    let before = (who(&mut ann), who(&mut eve));
    let me = hello.data["you"]["session"].as_str().unwrap();
    let mut walked = 0;
    let is_link = |path| ROUTES.iter().any(|r| r.shape().1 == path && r.shape().2 == Need::Link);
    for (method, path, _) in ROUTES.iter().map(|r| r.shape()).filter(|(_, path, _)| !is_link(*path)) {
        // what changes something is not to be had by GET, whatever the query says
        let path = path.replace('*', me);
        for verb in ["GET", "HEAD"] {
            for query in ["", "?text=x&take=1&force=true&command=go&args={}&ref=a&user=eve&wait=1s"] {
                let query = query.replace(['{', '}'], "");
                let answer = ann.request(verb, &format!("{path}{query}"), "", b"");
                let own = ROUTES.iter().any(|r| r.shape().0 == Method::Get && r.shape().1 == path);
                assert!(own || answer.status == 405, "{verb} {path}{query}: {answer:?}");
                if path == "/api/logout" {
                    let mut out = ann.clone().credentials(Some("logout:x"));
                    assert_eq!(out.request(verb, &format!("{path}{query}"), "", b"").status, 200);
                }
            }
        }
        walked += usize::from(method == Method::Get);
    }
    assert!(walked >= 8, "{walked}");
    assert_eq!((who(&mut ann), who(&mut eve)), before);
    eve.say("the end");
    let next = || watch.next(Duration::from_secs(5)).expect("the text");
    let heard = std::iter::repeat_with(next).find(|heard| heard.kind != "beat").expect("an event");
    assert_eq!((heard.kind.as_str(), heard.data["text"].as_str()), ("said", Some("the end")), "nothing before it");
}

#[test]
fn each_cookie_of_ours_is_looked_at_and_a_session_of_the_user_who_signs_in_comes_first() {
    let server = Setup::default().start();
    let (mut ann, mut bob) = (Client::browser(&server, "ann", "A"), Client::browser(&server, "bob", "B"));
    let session = |c: &mut Client, more: &str| {
        let answer = c.request("GET", "/api/session", more, b"");
        let user = answer.json()["user"].as_str().unwrap_or_default().to_string();
        (user, answer.json()["session"].as_str().unwrap_or_default().to_string())
    };
    let (anns, bobs) = (session(&mut ann, ""), session(&mut bob, ""));
    let (a, b) = (ann.cookie().unwrap().to_string(), bob.cookie().unwrap().to_string());
    let name = a.split('=').next().unwrap();
    let stale: String = (0..60).map(|n| format!("{name}={n:032x}; {name}=old{n}; ")).collect();
    let mut bare = Client::new(&server, "eve").credentials(None);
    assert_eq!(session(&mut bare, &format!("Cookie: {stale}{a}\r\n")), anns, "behind many that are over");
    assert_eq!(session(&mut bare, &format!("Cookie: {stale}\r\nCookie: {b}; {a}\r\n")), bobs, "the first that lives");
    let mut signs_in = Client::new(&server, "ann").agent("another");
    assert_eq!(session(&mut signs_in, &format!("Cookie: {b}; {a}\r\n")), anns, "of the user whose password is there");
    let new = session(&mut Client::new(&server, "eve").agent("E"), &format!("Cookie: {b}; {a}\r\n"));
    assert_eq!(new.0, "eve", "credentials of another user beat all cookies");
    let many: String = (0..64).map(|n| format!("{name}={n:032x}; ")).collect();
    let answer = bare.request("GET", "/api/session", &format!("Cookie: {many}{a}\r\n"), b"");
    assert_eq!(answer.status, 401, "no more than 64");
}

#[test]
fn cookies_of_two_listeners_do_not_mix() {
    let server = Setup::default().also_listen("127.0.0.2:0").start();
    let line = server.wait_log("listening addr=127.0.0.2:");
    let other = line.split("addr=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let mut here = Client::browser(&server, "ann", "A");
    assert_eq!(here.get("/").status, 200);
    let mine = here.cookie().unwrap().to_string();
    // the cookie of the other port opens nothing here, credentials or not
    let mut there = here.clone().to(other).credentials(None);
    assert_eq!(there.get("/").status, 401);
    let mut both = Client::browser(&server, "ann", "A").to(other);
    assert_eq!(both.get("/").status, 200);
    assert_ne!(both.cookie().unwrap().split('=').next(), mine.split('=').next());
    // and the first one still does where it came from
    assert_eq!(here.credentials(None).get("/").status, 200);
}

#[test]
fn open_paths_ask_nobody_and_take_no_seat() {
    let www = temp_dir();
    fs::create_dir(www.join("pub")).unwrap();
    fs::write(www.join("index.html"), "<p>house").unwrap();
    fs::write(www.join("pub/logo.svg"), "<svg/>").unwrap();
    let setup = Setup::default().top(&format!("www = {:?}", www.to_str().unwrap()));
    let server =
        setup.table("auth", "open = [\"/healthz\", \"/pub/\"]").table("seats", "max = 1\nreserved = 0").start();
    let mut nobody = Client::browser(&server, "ann", "A").credentials(None);
    for target in ["/pub/logo.svg", "/healthz"] {
        let answer = nobody.get(target);
        assert_eq!((answer.status, answer.header("set-cookie")), (200, ""), "{target}");
    }
    assert_eq!(nobody.get("/pub//%6cogo.svg").status, 200, "written in another way, and still there");
    for target in ["/", "/pub", "/pubs", "/healthz/x", "/metrics", "/x/../healthz"] {
        assert_eq!(nobody.get(target).status, 401, "{target}");
    }
    // no way leads out of an open folder
    for target in [
        "/pub/..",
        "/pub/../",
        "/pub/../index.html",
        "/pub/%2e%2e/index.html",
        "/pub/.%2E/index.html",
        "/pub/x/../../index.html",
        "/pub/..//index.html",
        "/pub/%2e%2e%2findex.html",
        "/pub/..%5cindex.html",
        "/pub/../../index.html",
    ] {
        assert_eq!(nobody.get(target).status, 401, "{target}");
    }
    assert_eq!(Client::new(&server, "bob").get("/").status, 200, "the only seat was free");
    let _ = fs::remove_dir_all(www);
}

#[test]
fn the_board_itself_always_may_and_other_addresses_only_from_the_ranges() {
    let server = Server::with_seats("allow = [\"10.0.0.0/8\"]");
    assert_eq!(Client::new(&server, "ann").from(77).get("/").status, 200, "loopback");

    let make = "ip link set lo up; ip addr add 192.0.2.2/32 dev lo; ip addr add 10.1.2.3/32 dev lo; exec \"$@\"";
    let can = Command::new("unshare").args(["--net", "sh", "-ec", make, "sh", "true"]).output();
    if !can.is_ok_and(|o| o.status.success()) {
        return eprintln!("skipped in part: no network namespaces here (root, util-linux, iproute2)");
    }
    let setup = Setup::default().through(&["unshare", "--net", "sh", "-ec", make, "sh"]);
    let setup = setup.also_listen("192.0.2.2:7777").also_listen("10.1.2.3:7777");
    let setup = setup.table("devices", "listen = [\"192.0.2.2:7070\", \"10.1.2.3:7070\"]");
    let server = setup.table("seats", "allow = [\"10.0.0.0/8\"]").start();
    server.wait_log("started version=");
    let ask = |ip: &str, target: &str| {
        let out = Command::new("nsenter")
            .args(["-t", &server.pid().to_string(), "-n", "curl", "-s", "-m", "5", "-w", " %{http_code}"])
            .args(["-u", &auth("ann"), &format!("http://{ip}:7777{target}")])
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let refused = ask("192.0.2.2", "/api/session");
    assert!(refused.contains("\"error\":\"address\"") && refused.ends_with(" 403"), "{refused}");
    assert!(ask("192.0.2.2", "/healthz").ends_with(" 403"), "not even open paths");
    assert!(ask("10.1.2.3", "/api/session").ends_with(" 200"));
    // nor may devices: these have no tokens file, which is the second thing that they would be told
    let hello = |ip: &str| {
        let talk = format!("exec 3<>/dev/tcp/{ip}/7070; echo '{{\"hello\":\"pump-1\"}}' >&3; timeout 5 head -n1 <&3");
        let mut bash = Command::new("nsenter");
        bash.args(["-t", &server.pid().to_string(), "-n", "bash", "-c", &talk]);
        String::from_utf8_lossy(&bash.output().unwrap().stdout).into_owned()
    };
    let (outside, inside) = (hello("192.0.2.2"), hello("10.1.2.3"));
    assert!(outside.contains("\"error\":\"address\""), "{outside}");
    assert!(inside.contains("\"error\":\"token\""), "{inside}");
}

#[test]
fn errors_are_told_to_browsers_by_the_pages_of_the_site() {
    let www = temp_dir();
    let page = |status: u16| format!("<!DOCTYPE html><p>house page for {status}");
    fs::write(www.join("index.html"), "<p>house").unwrap();
    for status in [401, 403, 404, 421, 429, 503] {
        fs::write(www.join(format!("{status}.html")), page(status)).unwrap();
    }
    let setup = Setup::default().top(&format!("www = {:?}", www.to_str().unwrap()));
    let server = setup.table("auth", "failures = 1").table("seats", "max = 1\nreserved = 0").start();
    let mut ann = Client::new(&server, "ann");
    let shows = |answer: &Answer, status: u16| {
        assert_eq!((answer.status, answer.text()), (status, page(status)));
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
        assert_eq!((answer.header("cache-control"), answer.header("content-security-policy")), ("no-store", ""));
    };
    let unknown = ann.clone().credentials(None).page("/");
    shows(&unknown, 401);
    assert!(unknown.header("www-authenticate").starts_with("Basic realm="), "the challenge stays");
    shows(&ann.page("/nothing"), 404);
    let html = "Accept: text/html\r\n";
    shows(&ann.request("POST", "/", &format!("{html}Origin: http://evil.test\r\n"), b"x"), 403);
    // Host is in the head already: a second one would be 400, so it is sent by hand
    let mut stream = ann.connect().unwrap();
    let head = ann.head("GET", "/", html).replacen(&format!("Host: {}", server.addr), "Host: evil.test", 1);
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    shows(&support::read_answer(&stream, "GET").unwrap(), 421);
    let mut wrong = ann.clone().from(7).credentials(Some("ann:wrong"));
    shows(&wrong.page("/"), 401);
    let throttled = wrong.page("/");
    shows(&throttled, 429);
    assert!(!throttled.header("retry-after").is_empty());

    // the full house has a page of its own, which names who is on
    assert_eq!(ann.page("/").status, 200);
    let full = Client::new(&server, "bob").from(3).page("/");
    assert!(full.status == 503 && full.text().contains("ann") && !full.text().contains("house page"), "{full:?}");
    // in the reader's language, if it is there
    for (accept, language) in [("fr, zh-TW;q=0.8, en;q=0.7", "zh"), ("fr", "en")] {
        let fields = format!("Accept: text/html\r\nAccept-Language: {accept}\r\n");
        let full = Client::new(&server, "bob").from(3).request("GET", "/", &fields, b"").text();
        assert!(full.contains(&format!("<html lang=\"{language}\">")), "{full}");
    }
    // programs and terminals get what suits them
    let terminal = ann.clone().credentials(None).get("/");
    assert!(terminal.header("content-type").starts_with("text/plain"), "{terminal:?}");
    let program = ann.clone().credentials(None).page("/api/session");
    assert_eq!(word(&program), (401, "unauthorized".into()));
    // HEAD has the length and no body
    let head = ann.clone().credentials(None).request("HEAD", "/", html, b"");
    assert_eq!((head.status, head.header("content-length")), (401, page(401).len().to_string().as_str()));
    // and of a stream its type, but no length: it has none
    let head = ann.request("HEAD", "/api/events", "", b"");
    let fields = (head.header("content-type"), head.header("content-length"));
    assert_eq!((head.status, fields), (200, ("text/event-stream", "")));
    let _ = fs::remove_dir_all(www);
}
