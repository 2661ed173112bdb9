use super::*;
use crate::http::request::{HeadLimits, slots};

const DATE: &HttpDate = b"Tue, 02 Jan 2024 03:04:05 GMT";

fn envelope(persist: Persist) -> Envelope<'static> {
    Envelope { date: DATE, persist, extra: b"", is_head: false }
}

fn written(full: &Full, envelope: &Envelope<'_>) -> String {
    let mut out = Vec::new();
    full.write(&mut out, envelope);
    String::from_utf8(out).unwrap()
}

#[test]
fn dates_are_written_and_read_in_all_three_forms() {
    assert_eq!(&http_date(1_704_164_645), DATE);
    assert_eq!(&http_date(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(&http_date(u64::MAX), b"Fri, 31 Dec 9999 23:59:59 GMT");
    for date in ["Tue, 02 Jan 2024 03:04:05 GMT", "Tuesday, 02-Jan-24 03:04:05 GMT", "Tue Jan  2 03:04:05 2024"] {
        assert_eq!(parse_http_date(date.as_bytes()), Some(1_704_164_645), "{date}");
    }
    for bad in ["", "yesterday", "1700000000", "Tue, 32 Jan 2035 03:04:05 GMT", "Thu, 01 Jan 1960 00:00:00 GMT"] {
        assert_eq!(parse_http_date(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(parse_http_date(b"\xff"), None);
}

#[test]
fn a_whole_response_is_written() {
    let full = Full::new(200, TEXT, &b"hello\n"[..]);
    assert_eq!(
        written(&full, &envelope(Persist::Keep)),
        "HTTP/1.1 200 OK\r\nDate: Tue, 02 Jan 2024 03:04:05 GMT\r\nCache-Control: no-store\r\n\
         Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 6\r\n\r\nhello\n"
    );
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let full = Full::new(200, TEXT, &b"hello\n"[..]);
    let get = written(&full, &envelope(Persist::Keep));
    let head = written(&full, &Envelope { is_head: true, ..envelope(Persist::Keep) });
    assert_eq!(get.strip_suffix("hello\n"), Some(&*head));
}

#[test]
fn a_204_has_neither_body_nor_length() {
    let text = written(&Full::empty(204), &envelope(Persist::Keep));
    assert!(text.starts_with("HTTP/1.1 204 No Content\r\n") && !text.contains("Content-"), "{text}");
    assert!(written(&Full::empty(200), &envelope(Persist::Keep)).contains("\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn the_connection_is_spoken_of_where_it_differs_from_the_default() {
    for (persist, line) in [
        (Persist::Keep, None),
        (Persist::KeepOld, Some("Connection: keep-alive")),
        (Persist::Close, Some("Connection: close")),
    ] {
        let text = written(&Full::empty(204), &envelope(persist));
        assert_eq!(text.lines().find(|l| l.starts_with("Connection")), line);
    }
    for (head, must_close, want) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", false, Persist::Keep),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", true, Persist::Close),
        ("GET / HTTP/1.0\r\n\r\n", false, Persist::Close),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false, Persist::KeepOld),
    ] {
        let mut room = slots();
        let request = Request::parse(head.as_bytes(), &mut room, &HeadLimits::default()).unwrap();
        assert_eq!(Persist::of(&request, must_close), want, "{head}");
    }
}

#[test]
fn no_value_makes_a_line_of_its_own() {
    let full = Full::empty(204).with("Location", "/a\r\nX-Injected: 1\0");
    assert!(written(&full, &envelope(Persist::Keep)).contains("\r\nLocation: /aX-Injected: 1\r\n"));
}

#[test]
fn the_envelope_s_lines_are_in_every_head() {
    let with_cookie = Envelope { extra: b"Set-Cookie: a=b\r\n", ..envelope(Persist::Close) };
    assert!(written(&Full::empty(204), &with_cookie).contains("\r\nSet-Cookie: a=b\r\n"));
}

#[test]
fn errors_suit_who_reads_them_and_carry_no_markup() {
    let message = "no \"<b>\" & such\\";
    let error = |audience| Full::error(404, "not_found", message, audience);
    let json = error(Audience::Program);
    let value: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!((value["error"].as_str(), value["message"].as_str()), (Some("not_found"), Some(message)));
    assert_eq!(json.content_type, JSON);
    let page = error(Audience::Browser);
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert!(text.contains("<h1>404 Not Found</h1>") && text.contains("no &quot;&lt;b&gt;&quot; &amp; such"), "{text}");
    assert_eq!(error(Audience::Terminal).body, [message.as_bytes(), b"\n"].concat());
}

#[test]
fn the_audience_is_told_by_path_and_accept() {
    for (path, accept, want) in [
        ("/api/chat", "text/html", Audience::Program),
        ("/x", "text/html,*/*", Audience::Browser),
        ("/x", "*/*", Audience::Terminal),
        ("/apiary", "*/*", Audience::Terminal),
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\n\r\n");
        let mut room = slots();
        let request = Request::parse(head.as_bytes(), &mut room, &HeadLimits::default()).unwrap();
        assert_eq!(Audience::of(Some(&request)), want, "{path} {accept}");
    }
    assert_eq!(Audience::of(None), Audience::Terminal);
}

#[test]
fn numbers_are_written_in_digits() {
    for n in [0, 7, 10, 65_535, u64::MAX] {
        let mut out = Vec::new();
        push_number(&mut out, n);
        assert_eq!(out, n.to_string().as_bytes());
    }
}

#[test]
fn a_complaint_has_no_body_for_head_and_is_json_under_api() {
    let error = ProtoError::http(400, "no Host field");
    for (input, is_json, has_body) in [
        (&b"HEAD / HTTP/1.1\r\n\r\n"[..], false, false),
        (b"\r\nHEAD /api/x HTTP/1.1\r\n\r\n", true, false),
        (b"GET /api/x HTTP/1.1\r\n\r\n", true, true),
        (b"GET / HTTP/1.1\r\n\r\n", false, true),
        (b"HEAD", false, true),
        (b"\x16\x03 HEAD ", false, true),
        (b"", false, true),
    ] {
        let mut out = Vec::new();
        push_complaint(&mut out, &error, input, DATE);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n") && text.contains("\r\nConnection: close\r\n"));
        assert_eq!(text.contains("application/json"), is_json, "{text}");
        assert_eq!(!text.ends_with("\r\n\r\n"), has_body, "{text}");
    }
}
