//! The WebSocket of the real server: handshake, events, what a page says, and what breaks the protocol.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test stands outside: it may fail, and has a clock

mod support;

use std::time::{Duration, Instant};

use support::ws::{Frame, KEY, UPGRADE, frame};
use support::{Client, SOON, Server, Setup};

fn house() -> Setup {
    Setup::default().table("seats", "max = 6\nreserved = 0\nlinger = \"300ms\"\nplain = \"1s\"")
}

// -------------------------------------------------------------------------------------------------- handshake

#[test]
fn a_socket_says_hello_and_hears_what_the_chat_hears() {
    let server = house().start();
    let mut ann = Client::browser(&server, "ann", "Browser").from(2);
    let mut socket = ann.socket("/api/socket?tab=a&n=1");
    assert!(ann.cookie().is_some(), "the 101 sets the cookie");
    let hello = socket.message();
    assert_eq!(hello["type"], "hello");
    assert_eq!(hello["you"]["user"], "ann");
    assert_eq!(hello["replayed"], false);
    Client::new(&server, "bob").from(3).say("hello \u{1f600}");
    let said = socket.wait("said");
    assert_eq!(said["text"], "hello \u{1f600}");
    assert_eq!(said["from"]["user"], "bob");
}

#[test]
fn a_cookie_alone_opens_a_socket_because_safari_sends_no_password_there() {
    let server = house().start();
    let mut ann = Client::browser(&server, "ann", "Browser").from(2);
    ann.page("/");
    let mut ann = ann.credentials(None);
    assert_eq!(ann.socket("/api/socket").wait("hello")["you"]["user"], "ann");
}

#[test]
fn what_a_client_sends_right_behind_its_handshake_is_heard() {
    let server = house().start();
    let ann = Client::new(&server, "ann").from(2);
    // once while the password is checked, once when it is known
    for n in 1..3 {
        let text = format!("quick {n}");
        let said = frame(0x81, format!(r#"{{"say":"{text}"}}"#).as_bytes());
        let mut stream = ann.connect().unwrap();
        let head = ann.head("GET", "/api/socket", UPGRADE);
        std::io::Write::write_all(&mut stream, &[head.as_bytes(), &said].concat()).unwrap();
        let mut bob = Client::new(&server, "bob").from(3);
        support::until("it is in the log", || bob.get("/api/log").text().contains(&text));
    }
}

#[test]
fn a_handshake_that_is_none_gets_the_right_status() {
    let server = house().start();
    let mut ann = Client::new(&server, "ann").from(2);
    let without = |name: &str| -> String { UPGRADE.split_inclusive("\r\n").filter(|l| !l.starts_with(name)).collect() };
    let plain = ann.get("/api/socket");
    assert_eq!((plain.status, plain.header("upgrade")), (426, "websocket"), "{plain:?}");
    assert_eq!(plain.json()["error"], "upgrade");
    assert_eq!(ann.request("HEAD", "/api/socket", UPGRADE, b"").status, 426);
    assert_eq!(ann.request("POST", "/api/socket", UPGRADE, b"").status, 405);
    let mut status = |fields: &str| match ann.try_socket("/api/socket", fields) {
        Ok(_) => panic!("let in with {fields}"),
        Err(answer) => (answer.status, answer.json()["error"].as_str().unwrap().to_owned(), answer),
    };
    for (fields, code, word) in [
        (without("Upgrade"), 426, "upgrade"),
        (without("Connection"), 426, "upgrade"),
        (UPGRADE.replace("websocket", "h2c"), 426, "upgrade"),
        (UPGRADE.replace(": Upgrade", ": keep-alive"), 426, "upgrade"),
        (without("Sec-WebSocket-Version"), 426, "version"),
        (UPGRADE.replace(": 13", ": 8"), 426, "version"),
        (format!("{UPGRADE}Sec-WebSocket-Version: 13\r\n"), 426, "version"),
        (without("Sec-WebSocket-Key"), 400, "key"),
        (UPGRADE.replace(KEY, "short"), 400, "key"),
        (UPGRADE.replace(KEY, "dGhlIHNhbXBsZSBub25j"), 400, "key"),
        (format!("{UPGRADE}Sec-WebSocket-Key: {KEY}\r\n"), 400, "key"),
        (format!("{UPGRADE}Content-Length: 1\r\n\r\nx"), 400, "body"),
        (format!("{UPGRADE}Origin: http://evil.test\r\n"), 403, "origin"),
        (format!("{UPGRADE}Origin: http://{}\r\nOrigin: http://evil.test\r\n", server.addr), 403, "origin"),
        (format!("{UPGRADE}Sec-Fetch-Site: cross-site\r\n"), 403, "origin"),
    ] {
        let (got, error, answer) = status(&fields);
        assert_eq!((got, &*error), (code, word), "{fields}");
        if word == "version" {
            assert_eq!(answer.header("sec-websocket-version"), "13");
        }
    }
    // HTTP/1.0 knows no upgrade
    let head = ann.head("GET", "/api/socket", UPGRADE).replace("HTTP/1.1", "HTTP/1.0");
    let mut stream = ann.connect().unwrap();
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    assert_eq!(support::read_answer(&stream, "GET").unwrap().status, 426);
    // a foreign Host, and nobody at all
    let head = ann.head("GET", "/api/socket", UPGRADE).replace(&format!("Host: {}", server.addr), "Host: evil.test");
    let mut stream = ann.connect().unwrap();
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    assert_eq!(support::read_answer(&stream, "GET").unwrap().status, 421);
    let mut nobody = ann.clone().credentials(None);
    assert_eq!(nobody.try_socket("/api/socket", UPGRADE).err().unwrap().status, 401);
    let refused = nobody.try_socket("/api/socket?tab=a&n=1", UPGRADE).err().unwrap();
    assert_eq!((refused.status, refused.header("www-authenticate")), (403, ""), "no prompt over the page");
    for query in ["types=said,nonsense", "tab=&n=1", "tab=a&n=x"] {
        let refused = ann.try_socket(&format!("/api/socket?{query}"), UPGRADE).err().unwrap();
        assert_eq!(refused.json()["error"], "query", "{query}");
    }
    for status in [400, 401, 403, 405, 421, 426] {
        server.wait_log(&format!("refused addr=127.0.0.2 status={status} path=\"/api/socket\""));
    }
    assert!(!server.log().contains("joined "), "none of that took a seat");
}

#[test]
fn a_page_of_the_own_origin_and_a_client_with_other_offers_are_let_in() {
    let server = house().start();
    let mut ann = Client::new(&server, "ann").from(2);
    for more in [
        format!("Origin: http://{}\r\n", server.addr),
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Protocol: chat\r\n"
            .into(),
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: websocket\r\n".into(),
    ] {
        let mut socket = ann.try_socket("/api/socket", &(UPGRADE.to_owned() + &more)).map_err(|a| a.text()).unwrap();
        socket.wait("hello");
    }
    let odd = UPGRADE.replace(": Upgrade", ": keep-alive, UPGRADE").replace("websocket", "WebSocket");
    assert!(ann.try_socket("/api/socket", &odd).is_ok(), "tokens in any case, among others (Firefox)");
}

#[test]
fn a_full_house_answers_the_handshake_with_503() {
    let server = Server::with_seats("max = 1\nreserved = 0");
    let mut eve = Client::new(&server, "eve").socket("/api/socket");
    eve.wait("hello");
    let refused = Client::new(&server, "ann").from(2).try_socket("/api/socket?tab=a&n=1", UPGRADE).err().unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{refused:?}");
    assert_eq!(eve.wait("turned_away")["user"], "ann");
}

// ----------------------------------------------------------------------------------------------------- events

#[test]
fn a_page_that_comes_back_misses_nothing_and_hears_nothing_twice() {
    let server = house().start();
    let mut ann = Client::browser(&server, "ann", "Browser").from(2);
    let mut bob = Client::new(&server, "bob").from(3);
    let mut socket = ann.socket("/api/socket?tab=a&n=1");
    socket.wait("hello");
    bob.say("one");
    let last = socket.wait("said")["id"].as_str().unwrap().to_owned();
    drop(socket);
    bob.say("two");
    bob.say("three");
    let mut socket = ann.socket(&format!("/api/socket?tab=a&n=2&last={last}"));
    assert_eq!(socket.message()["replayed"], true);
    bob.say("four");
    let texts = [(); 3].map(|()| socket.wait("said")["text"].as_str().unwrap().to_owned());
    assert_eq!(texts, ["two", "three", "four"]);
}

#[test]
fn a_filter_lets_through_what_it_names_and_pings_stand_in_for_beats() {
    let server = house().start();
    let mut ann = Client::browser(&server, "ann", "Browser").from(2);
    let mut socket = ann.socket("/api/socket?types=said");
    socket.wait("hello");
    socket.text(r#"{"say":"a","ref":1}"#);
    assert_eq!(socket.message()["type"], "said");
    assert_eq!(socket.message()["type"], "done", "what answers this link comes whatever it filters");
    let mut beat = false;
    let ping = socket.wait_frame(|f| {
        beat |= matches!(f, Frame::Text(t) if t.contains("beat"));
        matches!(f, Frame::Ping(_))
    });
    assert_eq!(ping, Frame::Ping(vec![]));
    assert!(!beat);
}

// ---------------------------------------------------------------------------------------- what a page may say

#[test]
fn say_is_heard_by_all_and_answered_with_the_id_of_its_event() {
    let server = house().start();
    let mut ann = Client::browser(&server, "ann", "Browser").from(2).socket("/api/socket?tab=a&n=1");
    let mut bob = Client::browser(&server, "bob", "Browser").from(3).socket("/api/socket?tab=b&n=1");
    bob.wait("hello");
    ann.text(r#"{"say":"<b>\u00e9</b>","ref":"r1"}"#);
    let done = ann.wait("done");
    let said = bob.wait("said");
    assert_eq!((&done["ref"], &done["id"]), (&"r1".into(), &said["id"]));
    assert_eq!(said["text"], "<b>\u{e9}</b>");
    ann.text(r#"{"say":"  ","ref":2}"#);
    let error = ann.wait("error");
    assert_eq!((&error["ref"], &error["error"]), (&2.into(), &"empty".into()));
    ann.text(&format!(r#"{{"say":"{}"}}"#, "x".repeat(2001)));
    let error = ann.wait("error");
    assert_eq!((error.get("ref"), &error["error"]), (None, &"too_long".into()));
}

#[test]
fn what_is_not_understood_gets_an_error_and_the_link_stays() {
    let server = house().start();
    let mut ann = Client::browser(&server, "ann", "Browser").from(2).socket("/api/socket?tab=a&n=1");
    for bad in ["", "{", "[1]", "hello", r#"{"say":7}"#, r#"{"unknown":1}"#] {
        ann.text(bad);
        assert_eq!(ann.wait("error")["error"], "shape", "{bad}");
    }
    for none in [
        r#"{"command":{"device":"pump-1","command":"stop"},"ref":3}"#,
        r#"{"control":{"device":"pump-1","action":"take"},"ref":3}"#,
    ] {
        ann.text(none);
        let error = ann.wait("error");
        assert_eq!((&error["ref"], &error["error"]), (&3.into(), &"not_found".into()), "{none}");
    }
    ann.text(r#"{"say":"still here"}"#);
    assert_eq!(ann.wait("said")["text"], "still here");
}

#[test]
fn a_flood_of_chat_is_throttled_one_of_frames_takes_turns_and_the_others_hear_on() {
    let server = house().start();
    let mut ann = Client::browser(&server, "ann", "Browser").from(2).socket("/api/socket?types=said");
    let mut bob = Client::browser(&server, "bob", "Browser").from(3).socket("/api/socket");
    ann.wait("hello");
    bob.wait("hello");
    ann.pongs = false; // nothing of its own wakes the server while it works through this
    let flood: Vec<u8> = (0..100).flat_map(|i| frame(0x81, format!(r#"{{"say":"{i}"}}"#).as_bytes())).collect();
    ann.raw(&flood);
    let mut said = 0;
    while ann.message()["type"] == "said" {
        said += 1;
    }
    assert_eq!(said, 10, "the burst");
    // pings, pongs and empty messages: as many as a turn takes, many times over
    let noise = [frame(0x89, b""), frame(0x8a, b"x"), frame(0x81, b"{}")].concat().repeat(500);
    ann.raw(&noise);
    bob.text(r#"{"say":"me too","ref":1}"#);
    assert_eq!(bob.wait("done")["ref"], 1);
    let mut pongs = 0;
    while pongs < 500 {
        pongs += u32::from(ann.frame(SOON) == Some(Frame::Pong(vec![])));
    }
}

#[test]
fn a_page_that_floods_and_reads_nothing_is_closed_as_slow() {
    let server = house().table("limits", "link_queue = \"16KiB\"").start();
    let mut bob = Client::browser(&server, "bob", "Browser").from(3).socket("/api/socket");
    let mut ann = Client::browser(&server, "ann", "Browser").from(2).socket("/api/socket?types=said&tab=a&n=1");
    let (until, mut taken) = (Instant::now() + SOON, 0);
    let ping = frame(0x89, &[b'x'; 125]).repeat(100);
    while ann.try_raw(&ping).is_ok() {
        taken += ping.len();
        assert!(Instant::now() < until, "still taken after {taken} bytes");
    }
    assert_eq!(bob.wait("left")["reason"], "slow");
}

// -------------------------------------------------------------------------------------------------- the ending

#[test]
fn a_close_is_answered_and_the_server_closes_the_connection_at_once() {
    let server = house().start();
    let mut bob = Client::browser(&server, "bob", "Browser").from(3).socket("/api/socket");
    let mut ann = Client::browser(&server, "ann", "Browser").from(2).socket("/api/socket");
    ann.wait("hello");
    let begun = Instant::now();
    ann.raw(&frame(0x88, b"\x03\xe9going"));
    assert_eq!(ann.drain().1, Some((1001, String::new())), "and drain saw FIN");
    assert!(begun.elapsed() < Duration::from_millis(900), "Firefox would wait a second for it");
    assert_eq!(bob.wait("left")["reason"], "closed");
    server.wait_log("kind=closing reason=closed");
}

#[test]
fn what_was_said_right_before_a_close_is_heard_and_nothing_follows_the_close() {
    let server = house().start();
    let mut bob = Client::browser(&server, "bob", "Browser").from(3).socket("/api/socket");
    for last in [frame(0x88, b"\x03\xe8"), frame(0x82, b"")] {
        let mut ann = Client::browser(&server, "ann", "Browser").from(2).socket("/api/socket");
        ann.wait("hello");
        ann.raw(&[frame(0x81, br#"{"say":"last words","ref":1}"#), last].concat());
        assert_eq!(bob.wait("said")["text"], "last words");
        assert!(ann.drain().1.is_some());
    }
}

#[test]
fn bye_ends_the_link_in_order_and_what_its_page_opened_before() {
    let server = house().start();
    let mut bob = Client::browser(&server, "bob", "Browser").from(3).socket("/api/socket");
    let mut browser = Client::browser(&server, "ann", "Browser").from(2);
    let mut ann = browser.socket("/api/socket?tab=a&n=5");
    ann.wait("hello");
    ann.text(r#"{"bye":true,"ref":"x"}"#);
    let (messages, close) = ann.drain();
    assert_eq!(messages.last().unwrap()["type"], "done");
    assert_eq!(close, Some((1000, "closed".into())));
    // what comes late from before is a ghost, and says so
    let (messages, close) = browser.socket("/api/socket?tab=a&n=5").drain();
    assert_eq!(messages.last().unwrap()["reason"], "replaced");
    assert_eq!(close, Some((1000, "replaced".into())));
    assert_eq!(bob.wait("left")["reason"], "closed");
    // and it may come back
    browser.socket("/api/socket?tab=a&n=6").wait("hello");
    // without a tab, too
    let mut plain = browser.socket("/api/socket");
    plain.wait("hello");
    plain.text(r#"{"bye":true}"#);
    assert_eq!(plain.drain().1, Some((1000, "closed".into())));
}

#[test]
fn a_newer_connection_of_a_page_replaces_the_older_one() {
    let server = house().start();
    let mut browser = Client::browser(&server, "ann", "Browser").from(2);
    let old = browser.socket("/api/socket?tab=a&n=1");
    let mut other_tab = browser.socket("/api/socket?tab=b&n=1");
    let mut new = browser.socket("/api/socket?tab=a&n=2");
    let (messages, close) = old.drain();
    assert_eq!(messages.last().unwrap()["reason"], "replaced");
    assert_eq!(close, Some((1000, "replaced".into())));
    new.wait("hello");
    other_tab.text(r#"{"say":"here","ref":1}"#);
    other_tab.wait("done");
}

#[test]
fn the_reason_of_an_end_comes_as_a_message_and_as_a_close_code() {
    let mut server = house().start();
    let mut ann = Client::browser(&server, "ann", "Browser").from(2);
    let mut socket = ann.socket("/api/socket");
    let session = socket.wait("hello")["you"]["session"].as_str().unwrap().to_owned();
    let mut admin = Client::browser(&server, "admin", "Browser").from(3);
    assert_eq!(admin.post(&format!("/api/members/{session}/evict"), "").status, 204);
    let (messages, close) = socket.drain();
    assert_eq!(messages.last().unwrap()["reason"], "evicted");
    assert_eq!(close, Some((1008, "evicted".into())));
    let mut bob = Client::browser(&server, "bob", "Browser").from(4);
    let socket = bob.socket("/api/socket");
    assert_eq!(bob.post("/api/logout", "").status, 204);
    assert_eq!(socket.drain().1, Some((1000, "logout".into())));
    let socket = admin.socket("/api/socket");
    server.signal("TERM");
    let (messages, close) = socket.drain();
    assert_eq!(messages.last().unwrap()["reason"], "shutdown");
    assert_eq!(close, Some((1001, "shutdown".into())));
    assert_eq!(server.wait_exit(), Some(0));
}

#[test]
fn what_breaks_the_protocol_is_closed_with_its_code_named_in_the_log_and_counts_as_left() {
    let server = house().start();
    let mut bob = Client::browser(&server, "bob", "Browser").from(3).socket("/api/socket?types=left");
    bob.wait("hello");
    for (bytes, code) in [
        (vec![0x81, 2, b'{', b'}'], 1002),
        (frame(0xc1, b"{}"), 1002),
        (frame(0x83, b"{}"), 1002),
        (frame(0x80, b"{}"), 1002),
        (frame(0x82, b"{}"), 1003),
        (frame(0x81, b"\xff"), 1007),
        ([&[0x81, 0xff][..], &(65_537u64).to_be_bytes(), b"mask"].concat(), 1009),
        (frame(0x88, b"\x03"), 1002),
    ] {
        for at in 1..=bytes.len() {
            let mut eve = Client::new(&server, "eve").from(4).socket("/api/socket");
            eve.wait("hello");
            let (a, b) = bytes.split_at(at);
            eve.raw(a);
            if !b.is_empty() {
                // what is wrong may be wrong before it is over
                std::thread::park_timeout(Duration::from_millis(1));
                let _ = eve.try_raw(b);
            }
            let (_, close) = eve.drain();
            assert_eq!(close.map(|c| c.0), Some(code), "{bytes:x?} cut at {at}");
        }
        server.wait_log(&format!("code={code} why="));
    }
    assert_eq!(bob.wait("left")["reason"], "closed");
    server.wait_log("reason=protocol");
}

#[test]
fn the_echo_is_there_only_when_it_is_set_and_takes_no_seat() {
    let server = house().start();
    let mut ann = Client::new(&server, "ann");
    assert_eq!(ann.try_socket("/api/echo", UPGRADE).err().unwrap().status, 404);
    let server = house().table("debug", "echo = true").start();
    let mut ann = Client::new(&server, "ann").from(2);
    let mut echo = ann.socket("/api/echo");
    echo.raw(&[frame(0x01, b"he"), frame(0x89, b"p"), frame(0x80, b"llo"), frame(0x82, &[7; 70_000])].concat());
    assert_eq!(echo.frame(SOON), Some(Frame::Pong(b"p".to_vec())));
    assert_eq!(echo.frame(SOON), Some(Frame::Text("hello".into())));
    assert_eq!(echo.frame(SOON), Some(Frame::Binary(vec![7; 70_000])));
    let mut eve = Client::new(&server, "eve").from(9);
    assert_eq!(eve.get("/api/session").json()["seats"]["taken"], 0);
    assert_eq!(eve.get("/api/status").json()["links"], 0);
    for _ in 0..20 {
        echo.raw(&frame(0x82, &[1; 60_000]));
    }
    for _ in 0..20 {
        assert_eq!(echo.frame(SOON), Some(Frame::Binary(vec![1; 60_000])));
    }
    echo.raw(&frame(0x88, b"\x03\xe8"));
    assert_eq!(echo.drain().1, Some((1000, String::new())));
    // who does not take what comes back is not read from: more than the kernel's buffers hold is not taken
    let mut deaf = ann.socket("/api/echo");
    deaf.write_timeout(Duration::from_millis(500));
    let (big, mut taken) = (frame(0x82, &vec![1; 1 << 20]), 0);
    while deaf.try_raw(&big).is_ok() {
        taken += big.len();
        assert!(taken < 100 << 20, "it takes and takes");
    }
    deaf.abandon();
}

// ------------------------------------------------------------------------------------------------ dead or alive

#[test]
fn a_page_that_stops_answering_beats_is_stalled_keeps_its_seat_and_moves_again() {
    let server = house().table("liveness", "page_after = \"2s\"").start();
    let mut bob =
        Client::browser(&server, "bob", "Browser").from(3).socket("/api/socket?types=stalled,moving,left,lost");
    bob.wait("hello");
    let mut ann = Client::browser(&server, "ann", "Browser").from(2).socket("/api/socket?tab=a&n=1");
    // somebody who never answers a beat is no page: nothing is to be said of it
    let mut curl = Client::new(&server, "eve").from(4).socket("/api/socket");
    curl.beats = false;
    ann.idle(Duration::from_millis(700)); // one beat at least is answered
    ann.beats = false; // alert(), a frozen tab, an endless loop: pongs go on
    let begun = Instant::now();
    ann.idle(Duration::from_millis(2900));
    curl.idle(Duration::from_millis(1));
    let stalled = bob.message();
    assert_eq!((&stalled["type"], &stalled["layer"]), (&"stalled".into(), &"page".into()));
    assert_eq!(stalled["member"]["user"], "ann");
    assert!(begun.elapsed() < Duration::from_secs(4));
    ann.beats = true;
    ann.idle(Duration::from_millis(700));
    let moving = bob.message();
    assert_eq!((&moving["type"], &moving["layer"]), (&"moving".into(), &"page".into()));
    curl.text(r#"{"say":"me","ref":1}"#);
    curl.wait("done");
}

#[test]
fn at_a_full_house_a_dead_page_gives_way() {
    let setup = Setup::default().table("seats", "max = 1\nreserved = 0");
    let server = setup.table("liveness", "page_after = \"2s\"").start();
    let mut ann = Client::browser(&server, "ann", "Browser").from(2).socket("/api/socket?tab=a&n=1");
    ann.idle(Duration::from_millis(700));
    ann.beats = false;
    let mut eve = Client::browser(&server, "eve", "Browser").from(3);
    assert!(eve.try_socket("/api/socket?tab=e&n=1", UPGRADE).is_err(), "while it may yet answer");
    ann.idle(Duration::from_millis(2900));
    eve.socket("/api/socket?tab=e&n=2").wait("hello");
    let (messages, close) = ann.drain();
    assert_eq!(messages.last().unwrap()["reason"], "stalled");
    assert_eq!(close, Some((1008, "stalled".into())));
}

#[test]
fn an_answer_to_a_beat_by_post_counts_for_the_page_that_is_named() {
    let server = house().start();
    let mut ann = Client::browser(&server, "ann", "Browser").from(2);
    let mut socket = ann.socket("/api/socket?tab=a&n=1");
    socket.beats = false;
    let beat = socket.wait_frame(|f| matches!(f, Frame::Text(t) if t.contains(r#""beat""#)));
    let Frame::Text(text) = beat else { unreachable!() };
    let n = serde_json::from_str::<serde_json::Value>(&text).unwrap()["n"].clone();
    let answer = ann.request(
        "POST",
        "/api/beat?tab=a",
        "Content-Type: application/json\r\n",
        format!(r#"{{"beat":{n}}}"#).as_bytes(),
    );
    assert_eq!(answer.status, 204);
    // the same by the socket, with a ref
    socket.text(&format!(r#"{{"beat":{n},"hold":[],"ref":"b"}}"#));
    assert_eq!(socket.wait("done")["ref"], "b");
}

#[test]
fn behind_a_unix_socket_silence_is_a_loss_and_a_frozen_page_is_not() {
    let path = std::env::temp_dir().join(format!("boatswain-ws-{}.sock", std::process::id()));
    let server = house()
        .also_listen(&format!("unix:{}", path.display()))
        .table("liveness", "profile = \"lan\"\npage_after = \"2s\"")
        .start();
    let mut bob = Client::browser(&server, "bob", "Browser")
        .from(3)
        .socket("/api/socket?types=suspected,recovered,stalled,lost,left,joined");
    bob.wait("hello");
    let mut frozen = Client::browser(&server, "eve", "B").unix_socket(&path, "/api/socket?tab=e&n=1");
    frozen.idle(Duration::from_millis(700)); // one beat at least is answered
    frozen.beats = false;
    // its browser goes on answering pings, whatever else happens
    let (thaw, thawed) = std::sync::mpsc::channel::<()>();
    let frozen = std::thread::spawn(move || {
        while thawed.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            frozen.idle(Duration::from_millis(20));
        }
        frozen
    });
    let mut gone = Client::browser(&server, "ann", "A").unix_socket(&path, "/api/socket?tab=a&n=1");
    gone.idle(Duration::from_millis(1));
    let begun = Instant::now();
    gone.pongs = false;
    gone.beats = false;
    let mut tales = Vec::new();
    let told = |tales: &[serde_json::Value], user: &str| -> Vec<String> {
        let of_user = tales.iter().filter(|t| t["member"]["user"] == user && t["type"] != "joined");
        of_user
            .map(|t| format!("{} {}", t["type"], t.get("evidence").or(t.get("layer")).unwrap_or(&"".into())))
            .collect()
    };
    while !told(&tales, "ann").iter().any(|t| t.contains("lost")) {
        assert!(begun.elapsed() < SOON, "{tales:?}");
        tales.extend(bob.idle(Duration::from_millis(20)));
    }
    let of_ann = told(&tales, "ann");
    let (last, before) = of_ann.split_last().unwrap();
    assert_eq!(last, r#""lost" "no_ack""#);
    // on a busy machine a look may come so late that both are due
    assert!(before.iter().all(|t| t == r#""suspected" """#), "{before:?}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}: on an idle machine it takes 1.3 s", begun.elapsed());
    // heard again it is told, so that its page comes back
    gone.raw(&frame(0x8a, b""));
    let (messages, close) = gone.drain();
    assert_eq!(messages.last().unwrap()["reason"], "lost");
    assert_eq!(close, Some((1000, "lost".into())));
    while told(&tales, "eve").is_empty() {
        assert!(begun.elapsed() < SOON, "{tales:?}");
        tales.extend(bob.idle(Duration::from_millis(20)));
    }
    assert_eq!(told(&tales, "eve"), [r#""stalled" "page""#]);
    thaw.send(()).unwrap();
    let mut frozen = frozen.join().unwrap();
    frozen.text(r#"{"say":"thawed","ref":1}"#);
    frozen.wait("done");
    let _ = std::fs::remove_file(&path);
}
