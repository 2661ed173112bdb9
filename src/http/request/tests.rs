use super::*;

/// The request in `head`, or the status that it gets.
fn status(head: impl AsRef<[u8]>) -> u16 {
    match Request::parse(head.as_ref(), &mut slots(), &HeadLimits::default()) {
        Ok(_) => 200,
        Err(e) => e.status,
    }
}

/// A GET with these further lines.
fn get(lines: &str) -> Vec<u8> {
    ["GET /hello.txt HTTP/1.1\r\nHost: board.local\r\n", lines, "\r\n"].concat().into_bytes()
}

fn with_line(line: &str) -> u16 {
    status(get(&[line, "\r\n"].concat()))
}

#[test]
fn a_plain_request_is_taken_apart() {
    let head =
        b"\r\nGET /a%20b?x=1&tab=t7&y HTTP/1.1\r\nhOsT:\tboard.local:8080 \r\nAccept: a/b\r\naccept: c/d\r\n\r\n";
    let mut room = slots();
    let r = Request::parse(head, &mut room, &HeadLimits::default()).unwrap();
    assert_eq!((r.method, r.method_name, r.form), (Method::Get, "GET", TargetForm::Origin));
    assert_eq!((r.path, r.query, r.host_text()), ("/a%20b", Some("x=1&tab=t7&y"), "board.local:8080"));
    assert_eq!((r.version, r.framing, r.keep_alive), (Version::Http11, Framing::None, true));
    assert_eq!((r.query_value("tab"), r.query_value("y"), r.query_value("z")), (Some("t7"), Some(""), None));
    assert_eq!(r.header("accept"), Some(&b"a/b"[..]));
    assert_eq!(r.headers_named("accept").collect::<Vec<_>>(), [b"a/b", b"c/d"]);
    assert_eq!(r.headers().count(), 3);
    assert!(r.lists("accept", "C/D") && !r.lists("accept", "c"));
}

#[test]
fn every_form_of_target_leads_to_a_path_or_is_refused() {
    for (line, want) in [
        ("GET /hello.txt", Ok(("/hello.txt", None, "h"))),
        ("GET /a?b?c/d", Ok(("/a", Some("b?c/d"), "h"))),
        ("GET /a?", Ok(("/a", Some(""), "h"))),
        ("GET http://board.local:80/a?b", Ok(("/a", Some("b"), "board.local:80"))),
        ("GET HTTP://board.local", Ok(("/", None, "board.local"))),
        ("GET http://board.local?q", Ok(("/", Some("q"), "board.local"))),
        ("OPTIONS *", Ok(("*", None, "h"))),
        ("OPTIONS http://board.local", Ok(("*", None, "board.local"))),
        ("GET *", Err(400)),
        ("GET http:///a", Err(400)),
        ("GET http://u:p@h/a", Err(400)),
        ("GET https://h/a", Err(400)),
        ("GET gopher://x.example/a", Err(400)),
        ("GET 127.0.0.1:80", Err(400)),
        ("GET hello.txt", Err(400)),
        ("GET ", Err(400)),
        ("GET /a b", Err(400)),
        ("GET /a#b", Err(400)),
        ("GET /<\">", Err(400)),
        ("GET /a\x01", Err(400)),
        ("GET /a\x00.html", Err(400)),
        ("GET /a\x7f", Err(400)),
        ("GET /h\u{e9}llo", Err(400)),
        ("CONNECT 127.0.0.1:9", Err(501)),
        ("GET  /a", Err(400)),
        ("GET\t/a", Err(400)),
        ("G(T /a", Err(400)),
    ] {
        let head = [line, " HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
        let mut room = slots();
        let got = Request::parse(head.as_bytes(), &mut room, &HeadLimits::default());
        let got = got.map(|r| (r.path, r.query, r.host_text())).map_err(|e| e.status);
        assert_eq!(got, want, "{line:?}");
    }
}

#[test]
fn other_versions_are_505_and_what_is_no_version_is_400() {
    for (version, want) in [
        ("HTTP/1.1", 200),
        ("HTTP/1.0", 200),
        ("HTTP/1.2", 505),
        ("HTTP/2.0", 505),
        ("HTTP/3.0", 505),
        ("HTTP/0.9", 505),
        ("HTTP/9", 400),
        ("http/1.1", 400),
        ("HTTP/1.x", 400),
        ("HTTP/ 1.1", 400),
        ("HTTP1.1", 400),
        ("FTP/1.1", 400),
        ("HTTP/1.1x", 400),
        ("HTTP/11.1", 400),
        ("HTTP/1.1 ", 400),
        ("XYZ", 400),
        ("", 400),
    ] {
        assert_eq!(status(["GET / ", version, "\r\nHost: h\r\n\r\n"].concat()), want, "{version:?}");
    }
    for garbage in ["GET\r\nHost: h\r\n\r\n", "GET /\r\n\r\n", "GARBAGE\r\n\r\n", "\r\n\r\n", ""] {
        assert_eq!(status(garbage), 400, "{garbage:?}");
    }
    assert_eq!(status("PRI * HTTP/2.0\r\n\r\n"), 505);
}

#[test]
fn methods_are_known_by_name_and_case_counts() {
    for (name, want) in
        [("GET", Method::Get), ("DELETE", Method::Delete), ("get", Method::Other), ("GETX", Method::Other)]
    {
        let head = [name, " / HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
        assert_eq!(Request::parse(head.as_bytes(), &mut slots(), &HeadLimits::default()).unwrap().method, want);
    }
}

#[test]
fn there_is_exactly_one_valid_host() {
    for (version, hosts, want) in [
        ("1.1", &[][..], 400),
        ("1.1", &["h"], 200),
        ("1.1", &["h", "h"], 400),
        ("1.0", &[], 200),
        ("1.0", &["h", "h"], 400),
        ("1.1", &[""], 200),
    ] {
        let lines: String = hosts.iter().map(|h| format!("Host: {h}\r\n")).collect();
        assert_eq!(status(format!("GET / HTTP/{version}\r\n{lines}\r\n")), want, "{version} {hosts:?}");
    }
    let bad = [
        "a b",
        "a/b",
        "u@h",
        "127.0.0.1:99x",
        "[::1",
        "[::1]x",
        "[zz]",
        "a.example, b.example",
        "a\\b",
        "a?b",
        "<script>",
        "a%zz",
        "a\x01b",
        ":80",
        "h:65536",
        "a:b:c",
        "::1",
    ];
    for bad in bad {
        assert_eq!(status(format!("GET / HTTP/1.1\r\nHost: {bad}\r\n\r\n")), 400, "{bad}");
    }
}

#[test]
fn malformed_fields_are_refused() {
    for bad in [
        "X-Test : 1",
        "X-Test\t: 1",
        "Content-Length : 5",
        ": value",
        "NoColonHere",
        "X Y: 1",
        "X@Y: 1",
        "X\x01Y: 1",
        "X\0Y: 1",
        "X: a\0b",
        "X: a\x01b",
        "X: a\x7fb",
        "X: a\rContent-Length: 5",
        "X: a\r\n b",
        "X: a\r\n\tb",
        "X: a\r\n Content-Length: 500",
    ] {
        assert_eq!(with_line(bad), 400, "{bad:?}");
    }
    for good in ["X:", "X:\t1\t", "!#$%&'*+-.^_`|~0aZ: odd token", "X: a:b::c", "X: 1\nY: 2"] {
        assert_eq!(with_line(good), 200, "{good:?}");
    }
    assert_eq!(status([&get("X: caf")[..get("X: caf").len() - 2], b"\xe9 \xff\r\n\r\n"].concat()), 200, "obs-text");
    assert_eq!(status("GET / HTTP/1.1\r\n X: 1\r\nHost: h\r\n\r\n"), 400, "a blank before the first field");
}

#[test]
fn the_number_of_fields_is_bounded() {
    let lines = |n: usize| (0..n).map(|i| format!("X-{i}: v\r\n")).collect::<String>();
    assert_eq!(status(get(&lines(99))), 200);
    assert_eq!(status(get(&lines(100))), 431);
    let wide = HeadLimits { bytes: 1 << 20, headers: 100_000 };
    let many = get(&lines(HEADERS_MAX));
    assert_eq!(Request::parse(&many, &mut slots(), &wide).unwrap_err().status, 431);
}

#[test]
fn the_framing_of_the_body_has_one_meaning_or_is_refused() {
    for (lines, want) in [
        ("", Ok(Framing::None)),
        ("Content-Length: 0", Ok(Framing::None)),
        ("Content-Length: 5", Ok(Framing::Length(5))),
        ("Content-Length: 0005", Ok(Framing::Length(5))),
        ("Content-Length: \t 5 \t", Ok(Framing::Length(5))),
        ("Content-Length: 5, 5", Ok(Framing::Length(5))),
        ("Content-Length: 5\r\nContent-Length: 5", Ok(Framing::Length(5))),
        ("Content-Length: 18446744073709551615", Ok(Framing::Length(u64::MAX))),
        ("Content-Length: 18446744073709551621", Err(413)),
        ("Content-Length: 999999999999999999999999999999", Err(413)),
        ("Content-Length: 5, 6", Err(400)),
        ("Content-Length: 5\r\nContent-Length: 6", Err(400)),
        ("Content-Length: 0\r\nContent-Length: 5", Err(400)),
        ("Content-Length: 5,", Err(400)),
        ("Content-Length: abc", Err(400)),
        ("Content-Length: -1", Err(400)),
        ("Content-Length: +5", Err(400)),
        ("Content-Length: 0x5", Err(400)),
        ("Content-Length: 5 5", Err(400)),
        ("Content-Length: 5;", Err(400)),
        ("Content-Length: 1e1", Err(400)),
        ("Content-Length:", Err(400)),
        ("Content-Length: \x0b5", Err(400)),
        ("Transfer-Encoding: chunked", Ok(Framing::Chunked)),
        ("transfer-encoding: ChunKed", Ok(Framing::Chunked)),
        ("Transfer-Encoding: , chunked ,", Ok(Framing::Chunked)),
        ("Transfer-Encoding: chunked, chunked", Err(400)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Err(400)),
        ("Transfer-Encoding:", Err(400)),
        ("Transfer-Encoding: foo", Err(501)),
        ("Transfer-Encoding: foo, chunked", Err(501)),
        ("Transfer-Encoding: gzip", Err(501)),
        ("Transfer-Encoding: identity", Err(501)),
        ("Transfer-Encoding: chunked, identity", Err(501)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", Err(501)),
        ("Transfer-Encoding: \x0bchunked", Err(400)),
        ("Transfer-Encoding: xchunked", Err(501)),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", Err(400)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0", Err(400)),
    ] {
        let head = get(&if lines.is_empty() { String::new() } else { [lines, "\r\n"].concat() });
        let mut room = slots();
        let got = Request::parse(&head, &mut room, &HeadLimits::default());
        assert_eq!(got.map(|r| r.framing).map_err(|e| e.status), want, "{lines:?}");
    }
    assert_eq!(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

#[test]
fn persistence_follows_version_and_connection() {
    for (version, lines, want) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "connection: foo\r\nConnection: , CLOSE,\r\n", false),
        ("1.1", "Connection: closely\r\n", true),
        ("1.1", "Proxy-Connection: close\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: h\r\n{lines}\r\n");
        let r = Request::parse(head.as_bytes(), &mut slots(), &HeadLimits::default()).map(|r| r.keep_alive);
        assert_eq!(r, Ok(want), "{version} {lines:?}");
    }
}

#[test]
fn expectations_other_than_100_continue_are_417() {
    for (version, lines, want) in [
        ("1.1", "Expect: 100-cOntinue\r\nContent-Length: 5\r\n", Ok(true)),
        ("1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", Ok(true)),
        ("1.1", "Expect: 100-continue\r\n", Ok(false)),
        ("1.1", "Expect: foo\r\n", Err(417)),
        ("1.1", "Expect: 100-continue, foo\r\nContent-Length: 5\r\n", Err(417)),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 5\r\n", Ok(false)),
        ("1.0", "Expect: foo\r\n", Ok(false)),
    ] {
        let head = format!("POST / HTTP/{version}\r\nHost: h\r\n{lines}\r\n");
        let mut room = slots();
        let r = Request::parse(head.as_bytes(), &mut room, &HeadLimits::default());
        assert_eq!(r.map(|r| r.expects_continue).map_err(|e| e.status), want, "{version} {lines:?}");
    }
}

#[test]
fn html_is_asked_for_by_name_only() {
    for (accept, want) in [
        ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", true),
        ("*/*", false),
        ("application/json, Text/HTML ; q=0.5", true),
        ("text/htmlx", false),
        ("text/event-stream", false),
    ] {
        let head = get(&format!("Accept: {accept}\r\n"));
        assert_eq!(Request::parse(&head, &mut slots(), &HeadLimits::default()).unwrap().lists_html(), want, "{accept}");
    }
}

#[test]
fn no_bytes_whatsoever_make_it_panic() {
    let whole = get("Content-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n");
    for end in 0..whole.len() {
        assert_eq!(status(&whole[..end]), 400, "a head cut after {end} bytes is none");
    }
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..20_000 {
        let mut bent = whole.clone();
        for _ in 0..1 + seed % 3 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = (seed >> 8) as usize % bent.len();
            bent[at] = seed as u8;
        }
        status(&bent);
    }
}

#[test]
fn a_field_is_found_by_its_name_whatever_its_length() {
    for n in [1, 2, 31, 32, 33, 62, 63, 64, 65, 127, 200] {
        let name = "x".repeat(n);
        let sent = name.to_ascii_uppercase();
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{sent}: here\r\n\r\n");
        let mut room = slots();
        let request = Request::parse(head.as_bytes(), &mut room, &HeadLimits::default()).unwrap();
        assert_eq!(request.header(&name), Some(&b"here"[..]), "{n}");
        for other in [n - 1, n + 1, n + 64].into_iter().filter(|&other| other != n) {
            assert_eq!(request.header(&"x".repeat(other)), None, "{n} {other}");
        }
    }
}

#[test]
fn only_a_whole_head_within_its_bounds_is_taken_in_one_look() {
    let first = |input: &[u8], bytes| {
        let limits = HeadLimits { bytes, headers: 100 };
        Request::first(input, &mut slots(), &limits).map(|(request, len)| (request.path.to_owned(), len))
    };
    let head = get("Accept: */*\r\n");
    let n = head.len();
    let next = [&head[..], b"GET /next HTTP/1.1\r\n"].concat();
    for input in [&head, &next] {
        assert_eq!(first(input, n), Some(("/hello.txt".into(), n)));
        assert_eq!(first(input, n - 1), None, "too long");
    }
    for end in 0..n {
        assert_eq!(first(&head[..end], 1000), None, "cut after {end} bytes");
    }
    // what has to be counted or explained
    for input in [[b"\r\n", &head[..]].concat(), [b"\n", &head[..]].concat(), get("Bad Name: x\r\n")] {
        assert_eq!(first(&input, 1000), None);
    }
}
