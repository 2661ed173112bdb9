use super::*;
use crate::http::request::{HeadLimits, slots};
use crate::http::response::Persist;

const CHANGED: u64 = 1_704_164_645;
const CHANGED_DATE: &str = "Tue, 02 Jan 2024 03:04:05 GMT";
const BEFORE: &str = "Tue, 02 Jan 2024 03:04:04 GMT";
const AFTER: &str = "Tue, 02 Jan 2024 03:04:06 GMT";
const NOW: u64 = CHANGED + 1_000_000;
const LEN: u64 = 100;

fn meta() -> FileMeta {
    FileMeta {
        len: LEN,
        modified: FileMeta::modified_at(CHANGED as i64),
        etag: Etag::of_bytes(b"x", Coding::Identity),
        content_type: TEXT.into(),
        coding: Coding::Identity,
        varies: true,
        policy: None,
    }
}

fn tag() -> String {
    String::from_utf8(meta().etag.as_bytes().to_vec()).unwrap()
}

/// Plan and head for a request with `lines`, for the file `meta`.
fn planned_for(meta: &FileMeta, method: &str, lines: &[&str], now_s: u64) -> (Plan, String) {
    let lines: String = lines.iter().map(|l| [l, "\r\n"].concat()).collect();
    let head = [method, " /x HTTP/1.1\r\nHost: h\r\n", &lines, "\r\n"].concat();
    let mut room = slots();
    let request = Request::parse(head.as_bytes(), &mut room, &HeadLimits::default()).unwrap();
    let date = http_date(now_s);
    let envelope = Envelope { date: &date, persist: Persist::Keep, extra: b"", is_head: method == "HEAD" };
    let mut out = Vec::new();
    let plan = plan(&request, &Described::new(meta.clone()), now_s, &envelope, &mut out);
    (plan, String::from_utf8(out).unwrap())
}

fn planned(method: &str, lines: &[&str]) -> (Plan, String) {
    planned_for(&meta(), method, lines, NOW)
}

fn status(lines: &[&str]) -> u16 {
    planned("GET", lines).0.status
}

#[test]
fn a_whole_file_is_described() {
    let (plan, head) = planned("GET", &[]);
    assert_eq!(plan, Plan { status: 200, body: PlanBody::Whole });
    let now = http_date(NOW);
    let want = [
        "HTTP/1.1 200 OK\r\nDate: ",
        std::str::from_utf8(&now).unwrap(),
        "\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: 100\r\nETag: ",
        &tag(),
        "\r\nLast-Modified: ",
        CHANGED_DATE,
        "\r\nCache-Control: no-cache\r\nVary: Accept-Encoding\r\nAccept-Ranges: bytes\r\n\r\n",
    ];
    assert_eq!(head, want.concat());
}

#[test]
fn head_is_get_without_body_or_range() {
    let (plan, head) = planned("HEAD", &["Range: bytes=0-4"]);
    assert_eq!(plan, Plan { status: 200, body: PlanBody::None });
    assert_eq!(head, planned("GET", &[]).1);
    assert_eq!(planned("HEAD", &["Range: bytes=9999-"]).0.status, 200);
    let (plan, head) = planned("HEAD", &["If-Match: \"no\""]);
    assert_eq!((plan.status, head.ends_with("\r\n\r\n")), (412, true));
}

#[test]
fn files_can_only_be_read() {
    for (method, want) in [("OPTIONS", 204), ("POST", 405), ("DELETE", 405), ("TRACE", 405), ("FOO", 501), ("get", 501)]
    {
        let (plan, head) = planned(method, &["If-None-Match: *"]);
        assert_eq!((plan.status, plan.body), (want, PlanBody::None), "{method}");
        assert!(head.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"), "{method}: {head}");
    }
}

#[test]
fn pages_are_not_stored_and_all_else_is_asked_for_again() {
    let page = FileMeta { content_type: types::content_type("a/index.html", &[]), varies: false, ..meta() };
    let head = planned_for(&page, "GET", &[], NOW).1;
    assert!(head.contains("Cache-Control: no-store\r\n") && !head.contains("Vary"), "{head}");
    let with_policy = FileMeta { policy: Some("default-src 'self'"), ..page };
    assert!(planned_for(&with_policy, "GET", &[], NOW).1.contains("Content-Security-Policy: default-src 'self'\r\n"));
}

#[test]
fn the_four_conditionals_count_in_their_order() {
    let tag = tag();
    let weak = ["W/", &tag].concat();
    let inm = |v: &str| ["If-None-Match: ", v].concat();
    let im = |v: &str| ["If-Match: ", v].concat();
    let ims = |v: &str| ["If-Modified-Since: ", v].concat();
    let ius = |v: &str| ["If-Unmodified-Since: ", v].concat();
    let hundred = (0..100).map(|i| format!("\"tag{i}\", ")).collect::<String>();
    for (lines, want) in [
        (vec![inm(&tag)], 304),
        (vec![inm(&weak)], 304),
        (vec![inm(&format!("\"a\", {tag}, \"b\""))], 304),
        (vec![inm(&format!("\"a\",W/\"c\",{tag}"))], 304),
        (vec![inm(&format!("\"a,b\", {tag}"))], 304),
        (vec![inm(&format!(", \"a\", , {tag},"))], 304),
        (vec![inm("\"a\""), inm(&tag)], 304),
        (vec![inm(&[&hundred, &*tag].concat())], 304),
        (vec![inm("*")], 304),
        (vec![inm("\"nope\"")], 200),
        (vec![inm(tag.trim_end_matches('"'))], 200),
        (vec![inm(&format!("{}\", {}x\"", &tag[..tag.len() - 2], &tag[..tag.len() - 1]))], 200),
        (vec![inm("\"nope\""), ims(AFTER)], 200),
        (vec![inm(&tag), ims(BEFORE)], 304),
        (vec![ims(CHANGED_DATE)], 304),
        (vec![ims(AFTER)], 304),
        (vec![ims("Tuesday, 02-Jan-24 03:04:05 GMT")], 304),
        (vec![ims("Tue Jan  2 03:04:05 2024")], 304),
        (vec![ims(BEFORE)], 200),
        (vec![ims("yesterday")], 200),
        (vec![ims("")], 200),
        (vec![im(&tag)], 200),
        (vec![im("*")], 200),
        (vec![im(&format!("\"a\", {tag}"))], 200),
        (vec![im("\"nope\"")], 412),
        (vec![im(&weak)], 412),
        (vec![ius(CHANGED_DATE)], 200),
        (vec![ius(BEFORE)], 412),
        (vec![ius("garbage")], 200),
        (vec![im("*"), ius(BEFORE)], 200),
        (vec![im("\"nope\""), inm(&tag)], 412),
        (vec![im(&tag), inm(&tag)], 304),
        (vec![inm(&tag), "Range: bytes=0-4".into()], 304),
        (vec![im("\"nope\""), "Range: bytes=0-4".into()], 412),
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(status(&lines), want, "{lines:?}");
    }
}

#[test]
fn a_304_says_what_the_200_says_of_the_file_and_nothing_of_a_body() {
    let (plan, head) = planned("GET", &["If-None-Match: *"]);
    assert_eq!(plan.body, PlanBody::None);
    for field in ["ETag", "Last-Modified", "Cache-Control", "Vary", "Date"] {
        assert!(head.contains(&[field, ": "].concat()), "{field}");
    }
    assert!(!head.contains("Content-"), "{head}");
}

#[test]
fn a_time_in_the_future_is_neither_said_nor_compared() {
    for lines in [
        &["If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT"][..],
        &["If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"],
    ] {
        let (plan, head) = planned_for(&meta(), "GET", lines, 1000);
        assert_eq!((plan.status, head.contains("Last-Modified")), (200, false));
    }
}

#[test]
fn single_ranges_are_cut_out_and_what_is_no_range_is_ignored() {
    let part = |start, len| (206, PlanBody::Range { start, len });
    let (whole, none) = ((200, PlanBody::Whole), (416, PlanBody::None));
    for (range, want) in [
        ("bytes=0-4", part(0, 5)),
        ("Bytes=0-0", part(0, 1)),
        ("bytes=7-20", part(7, 14)),
        ("bytes=10-", part(10, 90)),
        ("bytes=-5", part(95, 5)),
        ("bytes=-150", part(0, 100)),
        ("bytes=5-600", part(5, 95)),
        ("bytes=0-99", part(0, 100)),
        ("bytes=3-99999999999999999999999", part(3, 97)),
        ("bytes=000-004", part(0, 5)),
        ("bytes=,0-4,", part(0, 5)),
        ("bytes=100-", none),
        ("bytes=18446744073709551616-", none),
        ("bytes=-0", none),
        ("bytes=0-1,4-5", whole),
        ("bytes=999-,9999-", whole),
        ("bytes=5-2", whole),
        ("bytes=abc", whole),
        ("bytes=", whole),
        ("bytes=-", whole),
        ("bytes", whole),
        ("bytes=1-2-3", whole),
        ("bytes=0x0-4", whole),
        ("bytes=--5", whole),
        ("bytes=1", whole),
        ("bytes 0-4", whole),
        ("=0-4", whole),
        ("bytes=0-4;5", whole),
        ("bytes=+1-4", whole),
        ("items=0-4", whole),
    ] {
        let (plan, head) = planned("GET", &[&["Range: ", range].concat()]);
        assert_eq!((plan.status, plan.body), want, "{range}");
        let said = head.lines().find_map(|l| l.strip_prefix("Content-Range: "));
        match plan.body {
            PlanBody::Range { start, len } => {
                assert_eq!(said, Some(&*format!("bytes {start}-{}/100", start + len - 1)));
                assert!(head.contains(&format!("Content-Length: {len}\r\n")));
            }
            _ if plan.status == 416 => assert_eq!(said, Some("bytes */100")),
            _ => assert_eq!(said, None),
        }
    }
    let empty = FileMeta { len: 0, ..meta() };
    for range in ["Range: bytes=0-0", "Range: bytes=-5"] {
        assert_eq!(planned_for(&empty, "GET", &[range], NOW).0.status, 416);
    }
    assert_eq!(planned_for(&empty, "GET", &[], NOW).0, Plan { status: 200, body: PlanBody::None });
}

#[test]
fn if_range_wants_the_very_same_file() {
    let (tag, other) = (tag(), "\"nope\"");
    for (condition, want) in [
        (&*tag, 206),
        (other, 200),
        (&["W/", &tag].concat(), 200),
        (CHANGED_DATE, 200), // other bytes may have had the same time
        (BEFORE, 200),
        (AFTER, 200),
        ("garbage", 200),
    ] {
        let line = ["If-Range: ", condition].concat();
        assert_eq!(status(&["Range: bytes=0-4", &line]), want, "{condition}");
    }
    let weak = FileMeta { etag: Etag::of_state(&[1], false), ..meta() };
    let weak_tag = String::from_utf8(weak.etag.as_bytes().to_vec()).unwrap();
    assert!(weak_tag.starts_with("W/\""), "{weak_tag}");
    for tag in [&*weak_tag, &weak_tag[2..]] {
        let planned = |lines: &[&str]| planned_for(&weak, "GET", lines, NOW).0.status;
        assert_eq!(planned(&["Range: bytes=0-4", &format!("If-Range: {tag}")]), 200, "a weak tag joins nothing");
        assert_eq!(planned(&[&format!("If-Match: {tag}")]), 412);
        assert_eq!(planned(&[&format!("If-None-Match: {tag}")]), 304);
    }
    assert_eq!(status(&["If-Range: \"nope\""]), 200);
    assert_eq!(status(&["Range: bytes=999-", "If-Range: \"nope\""]), 200);
}

#[test]
fn tags_differ_when_anything_of_a_file_differs() {
    let tag = Etag::of_state(&[1, 2, 3, 4], true);
    for other in [[0, 2, 3, 4], [1, 3, 3, 4], [1, 2, 4, 4], [1, 2, 3, 5], [2, 1, 3, 4]] {
        assert_ne!(tag, Etag::of_state(&other, true));
    }
    assert_eq!(tag, Etag::of_state(&[1, 2, 3, 4], true));
    assert_ne!(Etag::of_bytes(b"", Coding::Identity), Etag::of_bytes(b"", Coding::Gzip), "each coding has its own");
    let text = tag.as_bytes();
    assert!(text.len() == 18 && text[0] == b'"' && text[17] == b'"' && text[1..17].iter().all(u8::is_ascii_hexdigit));
}

#[test]
fn the_best_liked_coding_comes_first() {
    use Coding::{Brotli as B, Gzip as G, Identity as I};
    for (accept, want) in [
        (&[][..], &[I][..]),
        (&["gzip"], &[G, I]),
        (&["gzip, deflate, br, zstd"], &[B, G, I]),
        (&["br", "gzip"], &[B, G, I]),
        (&["GZip;Q=0.5, br;q=0.4"], &[G, B, I]),
        (&["x-gzip"], &[G, I]),
        (&["gzip;q=0"], &[I]),
        (&["gzip ; q=0.000"], &[I]),
        (&["xgzip-foo"], &[I]),
        (&["gzip;q=0, *"], &[B, I]),
        (&["*"], &[B, G, I]),
        (&["identity"], &[I]),
        (&[""], &[I]),
        (&["gzip;q=0.1, identity;q=0"], &[G, I]),
        (&["identity;q=1, gzip;q=0.2"], &[I, G]),
        (&["gzip;q=abc"], &[I]),
        (&["gzip;q=1.001"], &[I]),
    ] {
        let lines: String = accept.iter().map(|a| format!("Accept-Encoding: {a}\r\n")).collect();
        let head = ["GET / HTTP/1.1\r\nHost: h\r\n", &lines, "\r\n"].concat();
        let mut room = slots();
        let request = Request::parse(head.as_bytes(), &mut room, &HeadLimits::default()).unwrap();
        assert_eq!(encoding::preferred(&request).collect::<Vec<_>>(), want, "{accept:?}");
    }
}

#[test]
fn types_go_by_the_extension() {
    for (path, want) in [
        ("index.html", "text/html; charset=utf-8"),
        ("a/B.MJS", "text/javascript; charset=utf-8"),
        ("a.b/noext", types::UNKNOWN),
        ("x.unknownext", types::UNKNOWN),
        ("", types::UNKNOWN),
        ("a.tar.gz", "application/gzip"),
    ] {
        assert_eq!(types::content_type(path, &[]), want, "{path}");
    }
    for (extensions, want) in [
        ("m3u8", "application/vnd.apple.mpegurl"),
        ("ts", "video/mp2t"),
        ("m4s", "video/iso.segment"),
        ("mp4 m4v", "video/mp4"),
        ("mov", "video/quicktime"),
        ("webm", "video/webm"),
        ("m4a", "audio/mp4"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("opus ogg", "audio/ogg"),
        ("wav", "audio/wav"),
        ("vtt", "text/vtt; charset=utf-8"),
        ("mpd", "application/dash+xml"),
        ("yaml yml", "application/yaml"),
        ("conf log txt ini", "text/plain; charset=utf-8"),
        ("csv", "text/csv; charset=utf-8"),
        ("md", "text/markdown; charset=utf-8"),
        ("jsonl ndjson", "application/x-ndjson"),
        ("bin", types::UNKNOWN),
    ] {
        for extension in extensions.split(' ') {
            assert_eq!(types::content_type(&format!("a/b.{extension}"), &[]), want, "{extension}");
        }
    }
    let more = [("m3u8".to_string(), "audio/mpegurl".to_string()), ("st\u{e4}".to_string(), "a/b".to_string())];
    assert_eq!(types::content_type("live/A.M3U8", &more), "audio/mpegurl", "the given ones win");
    assert_eq!(types::content_type("x.ST\u{e4}", &more), "a/b", "only the letters from A to Z have two forms");
    let packed = |path| !types::may_be_precompressed(&types::content_type(path, &[]));
    assert!(packed("a.png") && packed("a.gz") && !packed("a.svg") && !packed("a.js") && !packed("a.bin"));
}

#[test]
fn paths_are_decoded_once_and_lead_nowhere_else() {
    let ok = |path: &str, is_dir| Ok((path.to_owned(), is_dir));
    for (raw, want) in [
        ("/", ok("", true)),
        ("/hello.txt", ok("hello.txt", false)),
        ("/hell%6F.txt", ok("hello.txt", false)),
        ("/sub/", ok("sub", true)),
        ("/a+b.txt", ok("a+b.txt", false)),
        ("/100%25.txt", ok("100%.txt", false)),
        ("/%2568ello", ok("%68ello", false)),
        ("/q%3F.txt", ok("q?.txt", false)),
        ("/sp%C3%A4ce%20x", ok("sp\u{e4}ce x", false)),
        ("//hello.txt", ok("hello.txt", false)),
        ("//etc//passwd", ok("etc/passwd", false)),
        ("/./a", ok("a", false)),
        ("/a/.", ok("a", true)),
        ("/a/b/..", ok("a", true)),
        ("/a/%2e%2E/b", ok("b", false)),
        ("/hello.txt::$DATA", ok("hello.txt::$DATA", false)),
        ("/..", Err(400)),
        ("/a/../../b", Err(400)),
        ("/%2e%2e/etc/passwd", Err(400)),
        ("/.%2e/a", Err(400)),
        ("/a%00", Err(400)),
        ("/%01%0d%0a%7f", Err(400)),
        ("/%ff%fe", Err(400)),
        ("/%c0%ae%c0%ae/a", Err(400)),
        ("/..\\a", Err(400)),
        ("/..%5ca", Err(400)),
        ("/%zz", Err(400)),
        ("/%", Err(400)),
        ("/%2", Err(400)),
        ("/%+1", Err(400)),
        ("*", Err(400)),
        ("", Err(400)),
        ("/..%2fetc", Err(404)),
        ("/a%2fb", Err(404)),
        ("/%2fetc/passwd", Err(404)),
        ("/.hidden", Err(404)),
        ("/%2ehidden", Err(404)),
        ("/sub/.git/config", Err(404)),
        ("/sub/../.hidden", Err(404)),
        ("/..;/a", Err(404)),
        ("/....//a", Err(404)),
    ] {
        let got = path::decode(raw).map(|r| (r.path, r.is_dir)).map_err(|e| match e {
            path::NoPath::Bad(_) => 400,
            path::NoPath::Nothing => 404,
        });
        assert_eq!(got, want, "{raw}");
    }
    assert_eq!(path::decode(&"/a".repeat(600)), Err(path::NoPath::Nothing));
}

#[test]
fn the_short_way_gives_what_the_long_way_gives() {
    let pieces = ["/", "a", ".", "..", "%2e", "%41", "\\", "b.txt", "//", "%", "~", "a.b"];
    let mut plain = 0;
    for i in 0..pieces.len().pow(4) {
        let raw: String = (0..4).map(|k| pieces[i / pieces.len().pow(k) % pieces.len()]).collect();
        let raw = ["/", &raw].concat();
        if let Some(short) = path::plain(&raw) {
            plain += 1;
            let long = path::decode(&raw).unwrap();
            let slash = if long.is_dir && !long.path.is_empty() { "/" } else { "" };
            assert_eq!(short, [&long.path, slash].concat(), "{raw}");
        }
    }
    assert!(plain > 100);
    assert_eq!((path::plain("/"), path::plain("/sub/"), path::plain("*")), (Some(""), Some("sub/"), None));
}

#[test]
fn an_encoded_path_leads_back_to_itself() {
    for path in ["", "a b/\u{e4}", "100%", "q?x#y", "a:b@c"] {
        let encoded = path::encode(path);
        assert!(encoded.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"<>\\".contains(&b)), "{encoded}");
        assert_eq!(path::decode(&encoded).unwrap().path, path);
    }
}
