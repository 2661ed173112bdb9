//! Everyday life at a board: what people do all day must not make the roster lie or flicker. An observer's link sees
//! every event; each test says the exact sequence that it must see, and nothing else.
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails
#![allow(clippy::disallowed_methods)] // the tests stand outside: they have a clock of their own

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Client, Heard, Link, SOON, Server, Setup, until};

/// Short enough that a test need not wait long, long enough that a busy machine does not fail it.
const LINGER: Duration = Duration::from_millis(900);
const PLAIN: Duration = Duration::from_millis(1500);

fn house() -> Setup {
    Setup::default().table("seats", "max = 6\nreserved = 0\nlinger = \"900ms\"\nplain = \"1500ms\"")
}

/// Eve at a machine of her own, watching everything.
struct Observer {
    eve: Client,
    link: Link,
    marks: u32,
}

impl Observer {
    fn at(server: &Server) -> Observer {
        let mut eve = Client::browser(server, "eve", "observer").from(9);
        let mut link = eve.link("/api/events?tab=observer&n=1");
        let hello = link.wait("hello");
        assert_eq!(hello.data["you"]["user"], "eve");
        Observer { eve, link, marks: 0 }
    }

    /// Everything that happened since the last call, up to now, in order.
    fn story(&mut self) -> Vec<String> {
        self.marks += 1;
        let mark = format!("mark {}", self.marks);
        self.eve.say(&mark);
        self.up_to(|h| h.data["text"] == mark.as_str())
    }

    /// Everything up to the event that reads so, that one included.
    fn story_to(&mut self, last: &str) -> Vec<String> {
        let mut all = self.up_to(|h| in_words(h) == last);
        all.push(last.into());
        all
    }

    fn up_to(&mut self, is: impl Fn(&Heard) -> bool) -> Vec<String> {
        let end = Instant::now() + SOON;
        let mut words = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "so far: {words:?}");
            let heard = self.link.next(left).unwrap_or_else(|| panic!("the observer's link ended after {words:?}"));
            if is(&heard) {
                return words;
            }
            if heard.kind != "beat" {
                words.push(in_words(&heard));
            }
        }
    }

    /// Who is in the roster, by name, in the order of their seats.
    fn roster(&mut self) -> Vec<String> {
        names(&self.eve.get("/api/roster").json())
    }
}

fn names(roster: &Value) -> Vec<String> {
    let mut members: Vec<(u64, String)> = roster["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["seat"].as_u64().unwrap(), m["user"].as_str().unwrap().to_string()))
        .collect();
    members.sort();
    members.into_iter().map(|(_, user)| user).collect()
}

/// `joined ann`, `left ann closed`, `said ann hello`.
fn in_words(h: &Heard) -> String {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
    let who = if h.kind == "said" { &h.data["from"] } else { &h.data["member"] };
    let detail = match h.kind.as_str() {
        "left" | "closing" => text(&h.data["reason"]),
        "lost" => text(&h.data["evidence"]),
        "said" => text(&h.data["text"]),
        "joined" if h.data["returned"] == true => "returned".into(),
        _ => String::new(),
    };
    format!("{} {} {}", h.kind, text(&who["user"]), detail).trim_end().to_string()
}

#[test]
fn a_reload_shows_nobody_leaving_and_closing_the_page_shows_it_once() {
    let server = house().start();
    let mut observer = Observer::at(&server);
    let mut ann = Client::browser(&server, "ann", "Browser A").from(2);

    assert_eq!(ann.page("/").status, 200);
    let first = ann.link("/api/events?tab=a&n=1");
    // A browser asks for the page anew before it closes the old page's link, or after: both orders.
    assert_eq!(ann.page("/").status, 200);
    drop(first);
    let second = ann.link("/api/events?tab=b&n=1");
    drop(second);
    assert_eq!(ann.page("/").status, 200);
    let mut third = ann.link("/api/events?tab=c&n=1");
    third.wait("hello");
    assert_eq!(observer.story(), ["joined ann"]);
    assert_eq!(observer.roster(), ["eve", "ann"]);

    let closed = Instant::now();
    drop(third);
    assert_eq!(observer.story_to("left ann closed"), ["left ann closed"]);
    assert!(closed.elapsed() >= LINGER - Duration::from_millis(50), "the seat waits for a reload");
    assert_eq!(observer.story(), [""; 0]);
    assert_eq!(observer.roster(), ["eve"]);
}

#[test]
fn a_page_that_says_bye_and_comes_back_within_linger_never_left() {
    let server = house().start();
    let mut observer = Observer::at(&server);
    let mut ann = Client::browser(&server, "ann", "Browser A").from(2);
    let link = ann.link("/api/events?tab=a&n=1");
    assert_eq!(ann.post("/api/bye?tab=a&n=1", "").status, 204);
    assert!(link.drain().iter().all(|h| h.kind == "hello"), "bye closes the link in order");
    let mut back = ann.link("/api/events?tab=a&n=2");
    back.wait("hello");
    assert_eq!(observer.story(), ["joined ann"]);
}

#[test]
fn two_tabs_of_one_browser_are_one_member_until_the_second_is_closed() {
    let server = house().start();
    let mut observer = Observer::at(&server);
    let mut ann = Client::browser(&server, "ann", "Browser A").from(2);
    ann.page("/");
    let one = ann.link("/api/events?tab=a&n=1");
    let mut two = ann.link("/api/events?tab=b&n=1");
    assert_eq!(two.wait("hello").data["members"].as_array().unwrap().len(), 2);
    until("the roster counts two links of ann", || {
        let roster = observer.eve.get("/api/roster").json();
        roster["members"].as_array().unwrap().iter().any(|m| m["user"] == "ann" && m["links"] == 2)
    });
    drop(one);
    until("one link of ann is left", || {
        let roster = observer.eve.get("/api/roster").json();
        roster["members"].as_array().unwrap().iter().any(|m| m["user"] == "ann" && m["links"] == 1)
    });
    std::thread::park_timeout(LINGER + Duration::from_millis(100)); // the time in which a wrong server would say `left`
    assert_eq!(observer.story(), ["joined ann"]);
    drop(two);
    assert_eq!(observer.story_to("left ann closed"), ["left ann closed"]);
}

#[test]
fn a_page_without_script_keeps_its_seat_for_a_while_after_each_request() {
    let server = house().start();
    let mut observer = Observer::at(&server);
    let mut ann = Client::browser(&server, "ann", "Lynx").from(2);
    assert_eq!(ann.page("/").status, 200);
    let asked = Instant::now();
    assert_eq!(observer.story_to("left ann closed"), ["joined ann", "left ann closed"]);
    assert!(asked.elapsed() >= PLAIN - Duration::from_millis(50));
    assert_eq!(observer.roster(), ["eve"]);
}

#[test]
fn curl_every_now_and_then_is_one_member_who_stays() {
    let server = house().start();
    let mut observer = Observer::at(&server);
    let mut ann = Client::new(&server, "ann").from(2);
    let begin = Instant::now();
    while begin.elapsed() < PLAIN * 2 {
        assert_eq!(ann.get("/").status, 200);
        std::thread::park_timeout(PLAIN / 4); // the pause is what is tested
    }
    assert_eq!(observer.story(), ["joined ann"]);
    assert_eq!(observer.story_to("left ann closed"), ["left ann closed"]);
    assert_eq!(observer.story(), [""; 0]);
}

#[test]
fn a_listening_curl_beside_a_talking_curl_is_one_member() {
    let server = house().start();
    let mut observer = Observer::at(&server);
    let mut ann = Client::new(&server, "ann").from(2);
    let mut ear = ann.link("/api/chat");
    let me = ear.wait("hello").data["you"]["session"].clone();
    ann.say("one");
    ann.say("two");
    let heard = [ear.wait("said"), ear.wait("said")];
    assert_eq!(heard.each_ref().map(|h| h.data["text"].as_str().unwrap()), ["one", "two"]);
    assert!(heard.iter().all(|h| h.data["from"]["session"] == me), "{heard:?}");
    assert_eq!(observer.story(), ["joined ann", "said ann one", "said ann two"]);
    drop(ear);
    assert_eq!(observer.story_to("left ann closed"), ["left ann closed"]);
}

#[test]
fn two_browsers_behind_one_address_with_one_account_are_two_members() {
    let server = house().start();
    let mut observer = Observer::at(&server);
    let mut one = Client::browser(&server, "ann", "Browser A").from(2);
    let mut two = Client::browser(&server, "ann", "Browser B").from(2);
    // And a third that calls itself as the first does: a private window of the same browser.
    let mut three = Client::browser(&server, "ann", "Browser A").from(2);
    one.page("/");
    let mut first = one.link("/api/events?tab=a&n=1");
    let mine = first.wait("hello").data["you"]["session"].clone();
    two.page("/");
    let mut second = two.link("/api/events?tab=a&n=1");
    assert_ne!(second.wait("hello").data["you"]["session"], mine);
    three.page("/");
    let mut third = three.link("/api/events?tab=a&n=1");
    third.wait("hello");
    assert_eq!(observer.story(), ["joined ann", "joined ann", "joined ann"]);
    assert_eq!(observer.roster(), ["eve", "ann", "ann", "ann"]);
    drop(second);
    assert_eq!(observer.story_to("left ann closed"), ["left ann closed"]);
    assert_eq!(observer.roster(), ["eve", "ann", "ann"]);
}

#[test]
fn a_logout_frees_the_seat_at_once_and_ends_the_links_of_every_tab() {
    let server = house().start();
    let mut observer = Observer::at(&server);
    let mut ann = Client::browser(&server, "ann", "Browser A").from(2);
    let links = [ann.link("/api/events?tab=a&n=1"), ann.link("/api/events?tab=b&n=1")];
    assert_eq!(ann.post("/api/logout", "").status, 204);
    assert_eq!(observer.story(), ["joined ann", "left ann logout"]);
    for link in links {
        let last = link.drain().pop().unwrap();
        assert_eq!(in_words(&last), "closing  logout");
    }
}

#[test]
fn after_a_restart_everybody_comes_back_and_the_roster_is_true() {
    let mut server = house().start();
    let addr = server.addr;
    let mut people: Vec<Client> = vec![
        Client::browser(&server, "ann", "Browser A").from(2),
        Client::browser(&server, "bob", "Browser B").from(3),
        Client::browser(&server, "ann", "Browser C").from(4),
        Client::new(&server, "viewer").from(5), // curl
    ];
    let target = |who: usize, n: u32, last: &str| match who {
        3 => format!("/api/chat?last={last}"),
        _ => format!("/api/events?tab=t{who}&n={n}&last={last}"),
    };
    let mut links: Vec<Link> = people.iter_mut().enumerate().map(|(i, p)| p.link(&target(i, 1, ""))).collect();
    let old = links.iter_mut().map(|l| l.wait("hello")).last().unwrap().data["id"].as_str().unwrap().to_string();

    server.signal("TERM");
    for link in links {
        let told = link.drain();
        assert_eq!(told.last().map(in_words).as_deref(), Some("closing  shutdown"), "{told:?}");
    }
    assert_eq!(server.wait_exit(), Some(0), "asked to stop: {}", server.log());
    let server = house().listen(addr).start();

    let mut observer = Observer::at(&server);
    let mut back: Vec<Link> = people.iter_mut().enumerate().map(|(i, p)| p.link(&target(i, 2, &old))).collect();
    for link in &mut back {
        let hello = link.wait("hello");
        assert_eq!(hello.data["replayed"], false, "the log of the old run is gone");
        let id = hello.data["id"].as_str().unwrap();
        assert_ne!(id.split('-').next(), old.split('-').next(), "another run, another epoch");
    }
    // Two requests that show the same cookie of the old run, at once, are still one browser.
    let mut second_tab = people[0].link("/api/events?tab=other&n=1");
    second_tab.wait("hello");
    assert_eq!(observer.story(), ["joined ann", "joined bob", "joined ann", "joined viewer"]);
    assert_eq!(observer.roster(), ["eve", "ann", "bob", "ann", "viewer"]);
}
