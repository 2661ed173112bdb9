//! SIGHUP: everything is read again and checked; then users, roles, seats, pages and liveness are exchanged at once, or
//! nothing is.
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::disallowed_methods)] // the tests stand outside: they have a clock of their own

mod support;

use std::fs;
use std::time::{Duration, Instant};

use support::{Client, Link, PASSWORD, Server, Setup, hash, until};

/// Writes `text` into the settings in the place of `old`.
fn edit(server: &Server, old: &str, text: &str) {
    let file = server.dir().join("boatswain.toml");
    let before = fs::read_to_string(&file).unwrap();
    assert!(before.contains(old), "{before}");
    fs::write(file, before.replacen(old, text, 1)).unwrap();
}

/// Asks for a reload and waits until it is done well.
fn reload(server: &Server) {
    let done = |s: &Server| s.log().matches(" info reloaded").count();
    let before = done(server);
    server.signal("HUP");
    until("the reload", || done(server) > before);
}

/// Asks for a reload that must change nothing; what the log says of it.
fn reload_fails(server: &Server) -> String {
    let before = server.log().len();
    server.signal("HUP");
    until("the refused reload", || server.log()[before..].contains("reload: nothing was changed"));
    server.log()[before..].to_string()
}

/// The link still carries what is said.
fn still_hears(link: &mut Link, by: &mut Client, text: &str) {
    by.say(text);
    assert_eq!(link.wait("said").data["text"], text);
}

fn reason_of_end(link: Link) -> String {
    let told = link.drain();
    let last = told.last().expect("a link is told why it ends");
    assert_eq!(last.kind, "closing", "{told:?}");
    last.data["reason"].as_str().unwrap().to_string()
}

#[test]
fn a_changed_or_removed_line_of_the_users_file_ends_that_users_sessions_and_no_others() {
    let server = Setup::default().start();
    let mut ann = Client::browser(&server, "ann", "A").from(2);
    let mut bob = Client::browser(&server, "bob", "B").from(3);
    let mut eve = Client::browser(&server, "eve", "E").from(4);
    let (gone, changed, mut same) = (
        ann.link("/api/events?tab=a&n=1"),
        bob.link("/api/events?tab=b&n=1"),
        eve.link("/api/events?tab=e&n=1&types=left,said"),
    );
    same.wait("hello");

    let users = server.dir().join("users");
    let text = fs::read_to_string(&users).unwrap();
    let mut lines: Vec<String> = text.lines().filter(|l| !l.starts_with("ann:")).map(Into::into).collect();
    let line = lines.iter_mut().find(|l| l.starts_with("bob:")).unwrap();
    *line = format!("bob:{}", hash("new"));
    fs::write(&users, lines.join("\n")).unwrap();
    reload(&server);

    assert_eq!([reason_of_end(gone), reason_of_end(changed)], ["expired", "expired"]);
    let left = [same.wait("left"), same.wait("left")];
    let mut who =
        left.each_ref().map(|l| (l.data["member"]["user"].as_str().unwrap(), l.data["reason"].as_str().unwrap()));
    who.sort_unstable();
    assert_eq!(who, [("ann", "expired"), ("bob", "expired")]);
    for left in ["left session=", "reason=expired"] {
        server.wait_log(left);
    }
    let ended = server.wait_log("addr=127.0.0.2 user=");
    assert!(
        ended.contains(" closed conn=") && ended.contains(" user=ann ") && ended.contains(" reason=expired "),
        "{ended}"
    );
    // neither the cookie nor what was known of the old password opens anything
    assert_eq!([ann.get("/api/session").status, bob.get("/api/session").status], [401, 401]);
    assert_eq!(Client::new(&server, "ann").from(2).get("/api/session").status, 401);
    assert_eq!(Client::new(&server, "bob").from(3).get("/api/session").status, 401);
    assert_eq!(Client::new(&server, "bob").from(3).credentials(Some("bob:new")).get("/api/session").status, 200);
    still_hears(&mut same, &mut eve, "still here");
}

#[test]
fn roles_are_swapped_at_once_for_those_who_are_here() {
    let server = Setup::default().start();
    let mut admin = Client::browser(&server, "admin", "A").from(2);
    let mut ann = Client::browser(&server, "ann", "B").from(3);
    let mut link = ann.link("/api/events?tab=a&n=1");
    let me = link.wait("hello").data["you"].clone();
    assert_eq!(me["role"], "operator");
    assert_eq!(admin.get("/api/session").json()["role"], "admin");
    edit(&server, "admins = [\"admin\"]", "admins = [\"ann\"]\noperators = [\"bob\"]");
    reload(&server);
    assert_eq!(ann.get("/api/session").json()["role"], "admin");
    assert_eq!(admin.get("/api/session").json()["role"], "viewer", "in no list");
    let session = me["session"].as_str().unwrap();
    let refused = admin.post(&format!("/api/members/{session}/evict"), "");
    assert_eq!((refused.status, refused.json()["error"].as_str()), (403, Some("role")));
    assert_eq!(Client::new(&server, "bob").from(4).get("/api/session").json()["role"], "operator");
    still_hears(&mut link, &mut ann, "promoted");
    let roster = ann.get("/api/roster").json();
    assert_eq!(roster["members"][0]["role"], "admin", "{roster}");
}

#[test]
fn roles_of_the_one_time_user_are_swapped_too() {
    // the users file set to nothing: the one-time password
    let server = Setup::default().env("BOATSWAIN_AUTH_USERS", "").start();
    let line = server.wait_log("with password ");
    let password = line.split("with password ").nth(1).unwrap().split(' ').next().unwrap().to_string();
    let mut me = Client::browser(&server, "operator", "A").credentials(Some(&format!("operator:{password}")));
    assert_eq!(me.get("/api/session").json()["role"], "operator");
    edit(&server, "admins = [\"admin\"]", "admins = [\"operator\"]");
    reload(&server);
    assert_eq!(me.get("/api/session").json()["role"], "admin", "the session, the password and the user stay");
    assert_eq!(me.clone().agent("another").get("/api/session").status, 200);
}

#[test]
fn a_lower_max_evicts_nobody_and_a_higher_one_lets_in_at_once() {
    let server = Server::with_seats("max = 3\nreserved = 0");
    let mut watch = Client::new(&server, "eve").from(9);
    let mut link = watch.link("/api/events");
    link.wait("hello");
    let mut ann = Client::browser(&server, "ann", "A").from(2);
    let mut bob = Client::browser(&server, "bob", "B").from(3);
    let links = [ann.link("/api/events?tab=a&n=1"), bob.link("/api/events?tab=b&n=1")];
    edit(&server, "max = 3", "max = 1");
    reload(&server);
    assert_eq!(ann.get("/api/session").json()["seats"], serde_json::json!({ "max": 1, "taken": 3 }));
    let mut late = Client::browser(&server, "admin", "C").from(4);
    let refused = late.get("/");
    assert_eq!((refused.status, refused.json()["seats"].as_u64()), (503, Some(1)));
    still_hears(&mut link, &mut bob, "nobody left");
    edit(&server, "max = 1", "max = 4");
    reload(&server);
    assert_eq!(late.get("/").status, 200);
    drop(links);
}

#[test]
fn each_setting_of_the_seats_is_exchanged() {
    let server =
        Server::with_seats("max = 4\nreserved = 0\nper_user = 0\nlinger = \"60s\"\nplain = \"60s\"\nidle = \"0s\"");
    let mut watch = Client::browser(&server, "eve", "E").from(9);
    let mut link = watch.link("/api/events?tab=e&n=1");
    link.wait("hello");
    let user = |name: &str, agent: &str, last: u8| Client::browser(&server, name, agent).from(last);
    let mut tabs = [user("ann", "one", 2), user("ann", "two", 2), user("ann", "three", 2)];
    assert_eq!(tabs[0].get("/").status, 200);
    edit(&server, "per_user = 0", "per_user = 1");
    reload(&server);
    assert_eq!(tabs[1].get("/").status, 503, "per_user");
    edit(&server, "reserved = 0\nper_user = 1", "reserved = 2\nper_user = 0");
    reload(&server);
    assert_eq!(tabs[1].get("/").status, 503, "reserved: two of four are for admins");
    edit(&server, "reserved = 2", "reserved = 0");
    edit(&server, "plain = \"60s\"", "plain = \"1s\"");
    reload(&server);
    assert_eq!(tabs[1].get("/").status, 200);
    let since = Instant::now();
    assert_eq!(link.wait("left").data["reason"], "closed");
    assert!(since.elapsed() > Duration::from_millis(900), "plain");
    edit(&server, "linger = \"60s\"", "linger = \"0s\"");
    reload(&server);
    drop(tabs[2].link("/api/events?tab=a&n=1"));
    assert_eq!(link.wait("left").data["reason"], "closed", "linger");
    edit(&server, "idle = \"0s\"", "idle = \"1s\"");
    reload(&server);
    assert_eq!(reason_of_end(link), "idle");
}

#[test]
fn other_pages_are_served_at_once_and_so_are_the_built_in_ones() {
    let server = Setup::default().top("# pages").start();
    let mut ann = Client::new(&server, "ann");
    let built_in = ann.get("/").text();
    let www = server.dir().join("pages");
    fs::create_dir(&www).unwrap();
    fs::write(www.join("index.html"), "<p>mine").unwrap();
    edit(&server, "# pages", &format!("www = {:?}", www.to_str().unwrap()));
    reload(&server);
    assert_eq!(ann.get("/").text(), "<p>mine");
    edit(&server, "www = ", "# www = ");
    reload(&server);
    assert_eq!(ann.get("/").text(), built_in);
}

#[test]
fn liveness_values_are_for_new_links_and_old_ones_keep_their_beat() {
    let server = Setup::default().table("liveness", "profile = \"standard\"").start();
    let mut old = Client::browser(&server, "ann", "A").from(2).link("/api/events?tab=a&n=1");
    assert_eq!(old.wait("hello").data["beat_ms"], 500);
    edit(&server, "profile = \"standard\"", "profile = \"relaxed\"\nkeepalive_idle = \"1000s\"");
    reload(&server);
    let mut new = Client::browser(&server, "bob", "B").from(3).link("/api/events?tab=b&n=1");
    assert_eq!(new.wait("hello").data["beat_ms"], 10_000);
    old.wait("beat"); // of before
    let beats = [old.wait("beat"), old.wait("beat"), old.wait("beat")];
    let gaps = beats[2].at - beats[0].at;
    assert!(gaps < Duration::from_millis(2500), "the old link keeps its 500 ms: {gaps:?} for two");

    // the keepalive of a new connection, as the kernel tells of it: its timer runs in hundredths of a second
    let stream = Client::new(&server, "eve").connect().unwrap();
    let (ours, theirs) = (server.addr.port(), stream.local_addr().unwrap().port());
    let pair = format!("0100007F:{ours:04X} 0100007F:{theirs:04X}");
    let mut line = String::new();
    until("the connection is accepted", || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        line = table.lines().find(|l| l.contains(&pair)).unwrap_or_default().to_string();
        line.split_whitespace().nth(5).is_some_and(|timer| timer.starts_with("02:"))
    });
    let when = line.split_whitespace().nth(5).unwrap().split(':').nth(1).unwrap();
    let when = u64::from_str_radix(when, 16).unwrap();
    assert!(when > 50_000, "{when} hundredths of a second, in {line}");
}

#[test]
fn any_mistake_leaves_everything_as_it_was_and_the_log_says_where_it_is() {
    let server = Setup::default().top("# more").table("seats", "max = 5").start();
    let mut ann = Client::browser(&server, "ann", "A").from(2);
    let mut link = ann.link("/api/events?tab=a&n=1&types=said,left");
    link.wait("hello");
    let (settings, users) = (server.dir().join("boatswain.toml"), server.dir().join("users"));
    let good = [fs::read_to_string(&settings).unwrap(), fs::read_to_string(&users).unwrap()];
    let shown = |path: &std::path::Path| path.display().to_string();
    // every mistake beside a change that is right: that must not happen either
    let changed = good[0].replace("max = 5", "max = 2");
    let at = good[0].lines().position(|l| l == "# more").unwrap() + 1;
    let with = |line: &str| changed.replace("# more", line);
    let cases = [
        (with("wwww = \"x\""), good[1].clone(), format!("{}:{at}:1: wwww: there is no such setting", shown(&settings))),
        (with("hosts = "), good[1].clone(), format!("{}:{at}:", shown(&settings))),
        (with("www = \"/nowhere\""), good[1].clone(), format!("{}:{at}:8: www: ", shown(&settings))),
        (changed.clone(), good[1].replace("bob:", "bob:x"), format!("{}:3:5: ", shown(&users))),
        (changed.clone(), String::new(), String::from("WITHOUT")),
    ];
    for (toml, text, words) in cases {
        fs::write(&settings, toml).unwrap();
        match words.as_str() {
            "WITHOUT" => fs::remove_file(&users).unwrap(),
            _ => fs::write(&users, text).unwrap(),
        }
        let said = reload_fails(&server);
        let words =
            if words == "WITHOUT" { format!("auth.users: {users:?} cannot be read: it does not exist") } else { words };
        assert!(said.contains(&words), "{words}: {said}");
        assert_eq!(ann.get("/api/session").json()["seats"]["max"], 5, "{words}");
        assert_eq!(Client::new(&server, "bob").from(3).get("/api/session").status, 200, "{words}");
        still_hears(&mut link, &mut ann, "unharmed");
    }
    fs::write(&settings, &changed).unwrap();
    fs::write(&users, &good[1]).unwrap();
    reload(&server);
    assert_eq!(ann.get("/api/session").json()["seats"]["max"], 2, "and the next good one counts");
}

#[test]
fn what_can_act_at_once_does_and_what_waits_for_a_restart_is_said() {
    let setup =
        Setup::default().top("hosts = []\n# end").table("chat", "text_max = 100").table("limits", "headers = 100");
    let server = setup
        .table("auth", "realm = \"old\"\nfailures = 9\nopen = [\"/healthz\"]")
        .table("control", "page_after = \"3s\"")
        .env("BOATSWAIN_LIMITS_BODY_BYTES", "2KiB")
        .start();
    edit(
        &server,
        "realm = \"old\"\nfailures = 9\nopen = [\"/healthz\"]",
        "realm = \"new\"\nfailures = 1\nopen = [\"/healthz\", \"/none/\"]",
    );
    edit(&server, "hosts = []", "hosts = [\"panel.example.com\"]");
    edit(&server, "text_max = 100", "text_max = 10");
    edit(&server, "headers = 100", "headers = 8\nconnections = 100\nbody_bytes = \"3KiB\"");
    edit(&server, "page_after = \"3s\"", "page_after = \"4s\"");
    edit(&server, "drain = \"300ms\"", "drain = \"200ms\"");
    edit(&server, "\"127.0.0.1:0\"", "\"127.0.0.1:1\"");
    reload(&server);
    let line = server.wait_log("needs a restart");
    assert!(line.ends_with(" warn reload: needs a restart: listen, limits.connections"), "{line}");
    let mut nobody = Client::new(&server, "ann").credentials(None);
    let asked = nobody.get("/");
    assert_eq!(asked.status, 401);
    assert_eq!(asked.header("www-authenticate"), "Basic realm=\"new\", charset=\"UTF-8\"");
    assert_eq!(nobody.get("/none/x").status, 404, "open");
    let mut ann = Client::new(&server, "ann");
    assert_eq!(ann.post("/api/chat", "longer than ten characters").status, 413, "text_max");
    let fields: String = (0..20).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(ann.request("GET", "/", &fields, b"").status, 431, "headers");
    assert_eq!(ann.request("POST", "/api/chat", "", &[b'x'; 2500]).status, 413, "the environment still wins");
    let mut wrong = Client::new(&server, "ann").from(7).credentials(Some("ann:wrong"));
    assert_eq!([wrong.get("/").status, wrong.get("/").status], [401, 429], "failures");
    server.signal("TERM");
    server.wait_log("stopping drain_ms=200");
}

#[test]
fn users_that_are_not_set_any_more_stay_until_a_restart() {
    let server = Setup::default().start();
    edit(&server, "users = ", "# users = ");
    reload(&server);
    server.wait_log("warn reload: needs a restart: auth.users");
    assert_eq!(Client::new(&server, "ann").get("/").status, 200);
    assert!(!server.log().contains(PASSWORD));
}
