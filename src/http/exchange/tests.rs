use super::*;
use crate::http::request::slots;

const LIMITS: HeadLimits = HeadLimits { bytes: 16 * 1024, headers: 100 };

/// What became of a request whose bytes came in the given pieces.
#[derive(PartialEq, Eq, Debug)]
enum End {
    Complete { used: usize, body: Vec<u8> },
    Refused(u16),
    Waits,
}

/// Shows `input` up to each of `ends` in turn, accepting bodies up to `max`.
fn run(input: &[u8], ends: impl Iterator<Item = usize>, max: usize) -> End {
    let mut exchange = Exchange::default();
    let mut heads = 0;
    for end in ends {
        let seen = &input[..end];
        let mut room = slots();
        if let Some(request) = exchange.at_once(seen, &mut room, &LIMITS) {
            heads += 1;
            if let Err(e) = exchange.accept_body(&request, max) {
                return End::Refused(e.status);
            }
        }
        loop {
            match exchange.advance(seen, &LIMITS) {
                Err(e) => {
                    assert_eq!(exchange.advance(seen, &LIMITS), Ok(Progress::Need), "nothing after an error");
                    return End::Refused(e.status);
                }
                Ok(Progress::Need) => break,
                Ok(Progress::Head { len }) => {
                    heads += 1;
                    assert_eq!((heads, len), (1, exchange.head_len()), "a head is said once");
                    let mut room = slots();
                    let taken =
                        Request::parse(&seen[..len], &mut room, &LIMITS).and_then(|r| exchange.accept_body(&r, max));
                    if let Err(e) = taken {
                        return End::Refused(e.status);
                    }
                }
                Ok(Progress::Complete { used }) => {
                    return End::Complete { used, body: exchange.body(seen).into_owned() };
                }
            }
        }
    }
    End::Waits
}

/// The same whether it comes at once, byte by byte, or in two pieces cut anywhere.
fn any_way(input: &[u8], max: usize) -> End {
    let n = input.len();
    // at once it is found by `at_once`, else line by line
    let at_once = run(input, [n].into_iter(), max);
    assert_eq!(run(input, 0..=n, max), at_once, "byte by byte: {:?}", input.escape_ascii().to_string());
    for cut in 0..n {
        assert_eq!(run(input, [cut, n].into_iter(), max), at_once, "cut at {cut}: {}", input.escape_ascii());
    }
    at_once
}

fn post(lines: &str, body: &str) -> Vec<u8> {
    ["POST /x HTTP/1.1\r\nHost: h\r\n", lines, "\r\n\r\n", body].concat().into_bytes()
}

fn chunked(body: &str) -> End {
    any_way(&post("Transfer-Encoding: chunked", body), 100)
}

#[test]
fn requests_end_where_they_end_however_they_are_cut() {
    let get = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(any_way(get, 0), End::Complete { used: get.len(), body: vec![] });
    assert_eq!(any_way(b"\r\n\r\nGET / HTTP/1.0\n\n", 0), End::Complete { used: 20, body: vec![] });
    let fixed = post("Content-Length: 5", "12345");
    assert_eq!(any_way(&fixed, 5), End::Complete { used: fixed.len(), body: b"12345".to_vec() });
    assert_eq!(any_way(&fixed, 4), End::Refused(413));
    assert_eq!(any_way(&post("Content-Length: 6", "12345"), 9), End::Waits);
    assert_eq!(any_way(&post("Content-Length: 99999999999999", ""), 9), End::Refused(413));
}

#[test]
fn the_next_request_is_left_alone() {
    let mut two = post("Content-Length: 5", "12345");
    let first = two.len();
    two.extend_from_slice(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    let all = [two.len()].into_iter();
    assert_eq!(run(&two, all, 5), End::Complete { used: first, body: b"12345".to_vec() });
}

#[test]
fn chunked_bodies_are_joined() {
    for (body, want) in [
        ("5\r\n12345\r\n0\r\n\r\n", "12345"),
        ("3\r\n123\r\n2\r\n45\r\n0\r\n\r\n", "12345"),
        ("a\r\n1234567890\r\nB\r\n12345678901\r\n0\r\n\r\n", "123456789012345678901"),
        ("0005\r\n12345\r\n000\r\n\r\n", "12345"),
        ("5;a=b\r\n12345\r\n0;x\r\n\r\n", "12345"),
        ("5 ;a=\"q;\\\"x\"\r\n12345\r\n0\r\n\r\n", "12345"),
        ("5\r\n12345\r\n0\r\nX-T: 1\r\nContent-Length: 500\r\n\r\n", "12345"),
        ("0\r\n\r\n", ""),
        ("5\r\n\r\n0\r\n\r\n0\r\n\r\n", "\r\n0\r\n"),
    ] {
        match chunked(body) {
            End::Complete { body: got, .. } => assert_eq!(got, want.as_bytes(), "{body:?}"),
            other => panic!("{body:?}: {other:?}"),
        }
    }
}

#[test]
fn malformed_chunks_are_refused() {
    for body in [
        "zz\r\n12345\r\n0\r\n\r\n",
        "-5\r\n12345\r\n",
        "0x5\r\n12345\r\n",
        "+5\r\n12345\r\n",
        " 5\r\n12345\r\n",
        "\r\n12345\r\n",
        "3\r\n12345\r\n0\r\n\r\n",
        "5\r\n123450\r\n\r\n",
        "5\r12345\r\n0\r\n\r\n",
        "5\n12345\r\n0\r\n\r\n",
        "5;a\n\r\n12345\r\n",
        "5;a=\x01\r\n12345\r\n",
        "5 5\r\n12345\r\n0\r\n\r\n",
        "5 \r\n12345\r\n0\r\n\r\n",
        "10000000000000005\r\n12345\r\n0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nX : 1\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\n\n",
    ] {
        assert_eq!(chunked(body), End::Refused(400), "{body:?}");
    }
    assert_eq!(chunked("ffffffff\r\n12345\r\n0\r\n\r\n"), End::Refused(413));
    assert_eq!(
        chunked("32\r\n01234567890123456789012345678901234567890123456789\r\n33\r\n"),
        End::Refused(413),
        "50 + 51"
    );
}

#[test]
fn what_stands_around_chunks_is_bounded() {
    let extension = ["5;a=", &"x".repeat(10_000), "\r\n12345\r\n0\r\n\r\n"].concat();
    let trailers = ["0\r\n", &"X-T: abcdefgh\r\n".repeat(1000), "\r\n"].concat();
    let endless = "1".repeat(10_000);
    let tiny = ["1\r\nx\r\n".repeat(60_000), "0\r\n\r\n".into()].concat();
    for (body, max) in [(extension, 100), (trailers, 100), (endless, 100), (tiny, 60_000)] {
        let bytes = post("Transfer-Encoding: chunked", &body);
        assert_eq!(run(&bytes, [bytes.len()].into_iter(), max), End::Refused(413));
        assert_eq!(run(&bytes, (0..=bytes.len()).step_by(997), max), End::Refused(413));
    }
}

#[test]
fn a_head_is_bounded_while_it_comes_and_when_it_is_whole() {
    let limits = HeadLimits { bytes: 100, headers: 10 };
    let long_line = ["GET /", &"a".repeat(100), " HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
    let long_field = ["GET / HTTP/1.1\r\nHost: h\r\nX: ", &"a".repeat(100), "\r\n\r\n"].concat();
    let exact = ["GET / HTTP/1.1\r\nHost: h\r\nX: ", &"a".repeat(100 - 32), "\r\n\r\n"].concat();
    assert_eq!(exact.len(), 100);
    for (head, want) in [(&long_line, Err(414)), (&long_field, Err(431)), (&exact, Ok(Progress::Head { len: 100 }))] {
        for step in [1, 7, 1000] {
            let mut exchange = Exchange::default();
            let mut got = Ok(Progress::Need);
            for end in (step..head.len()).step_by(step).chain([head.len()]) {
                got = exchange.advance(&head.as_bytes()[..end], &limits).map_err(|e| e.status);
                if got != Ok(Progress::Need) {
                    break;
                }
            }
            assert_eq!(got, want, "{step}: {head}");
        }
    }
    assert_eq!(run(&b"\r\n".repeat(9), [18].into_iter(), 0), End::Refused(400), "empty lines are bounded too");
}

#[test]
fn what_is_not_http_is_refused_at_its_first_byte() {
    assert_eq!(run(b"\x16", [1].into_iter(), 0), End::Refused(400), "a TLS ClientHello");
    assert_eq!(run(b"\r\n\x80", [3].into_iter(), 0), End::Refused(400));
    assert_eq!(run(b"G", [1].into_iter(), 0), End::Waits);
}

#[test]
fn a_refused_body_is_skipped_if_it_is_here_and_closes_if_not() {
    let refuse = |bytes: &[u8]| {
        let mut exchange = Exchange::default();
        let Ok(Progress::Head { len }) = exchange.advance(bytes, &LIMITS) else { panic!("no head") };
        let mut room = slots();
        let request = Request::parse(&bytes[..len], &mut room, &LIMITS).unwrap();
        let unread = exchange.refuse_body(&request, bytes);
        assert!(!exchange.take_continue(bytes), "a refused body is not invited");
        (unread, exchange.advance(bytes, &LIMITS))
    };
    for whole in [
        post("Content-Length: 5", "12345"),
        post("Transfer-Encoding: chunked", "5\r\n12345\r\n0\r\n\r\n"),
        post("X: y", ""),
    ] {
        let used = whole.len();
        let next = [&whole[..], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(refuse(&next), (Unread::InStep, Ok(Progress::Complete { used })));
    }
    for part in [
        post("Content-Length: 6", "12345"),
        post("Content-Length: 99999999999999999", "12345"),
        post("Expect: 100-continue\r\nContent-Length: 5", ""),
        post("Transfer-Encoding: chunked", "5\r\n12345\r\n0\r\n"),
        post("Transfer-Encoding: chunked", "zz\r\n"),
    ] {
        assert_eq!(refuse(&part), (Unread::Close, Ok(Progress::Need)), "{}", part.escape_ascii());
    }
}

#[test]
fn a_body_is_invited_once_and_only_if_it_is_not_coming() {
    let accept = |bytes: &[u8]| {
        let mut exchange = Exchange::default();
        let Ok(Progress::Head { len }) = exchange.advance(bytes, &LIMITS) else { panic!("no head") };
        let mut room = slots();
        exchange.accept_body(&Request::parse(&bytes[..len], &mut room, &LIMITS).unwrap(), 10).unwrap();
        assert!(exchange.is_in_body());
        [exchange.take_continue(bytes), exchange.take_continue(bytes)]
    };
    assert_eq!(accept(&post("Expect: 100-continue\r\nContent-Length: 5", "")), [true, false]);
    assert_eq!(accept(&post("Expect: 100-continue\r\nContent-Length: 5", "1")), [false, false]);
    assert_eq!(accept(&post("Content-Length: 5", "")), [false, false]);
}

#[test]
fn a_dribbling_peer_costs_no_more_than_its_bytes() {
    let head = ["GET / HTTP/1.1\r\nX: ", &"a".repeat(1000)].concat();
    let chunk = String::from_utf8(post("Transfer-Encoding: chunked", &["5;a=", &"x".repeat(1000)].concat())).unwrap();
    for bytes in [head, chunk] {
        let mut exchange = Exchange::default();
        for end in 1..bytes.len() {
            let seen = &bytes.as_bytes()[..end];
            if let Ok(Progress::Head { len }) = exchange.advance(seen, &LIMITS) {
                let mut room = slots();
                exchange.accept_body(&Request::parse(&seen[..len], &mut room, &LIMITS).unwrap(), 10).unwrap();
            }
            assert_eq!(exchange.seen, end, "all has been searched, and none of it will be again");
        }
    }
}

#[test]
fn an_idle_exchange_is_small_and_knows_that_it_is_idle() {
    assert!(size_of::<Exchange>() <= 7 * size_of::<usize>());
    let exchange = Exchange::default();
    assert!(exchange.is_idle(b"") && exchange.is_idle(b"\r\n") && !exchange.is_idle(b"G"));
}

#[test]
fn no_bytes_whatsoever_make_it_panic() {
    let whole = post("Transfer-Encoding: chunked", "5;x=y\r\n12345\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n");
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        let mut bent = whole.clone();
        for _ in 0..2 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = (seed >> 8) as usize % bent.len();
            bent[at] = if seed & 1 == 0 { seed as u8 } else { b"\r\n0;f"[seed as usize % 5] };
        }
        let n = bent.len();
        let cut = (seed >> 20) as usize % n;
        assert_eq!(run(&bent, [n].into_iter(), 64), run(&bent, [cut, n].into_iter(), 64), "{}", bent.escape_ascii());
    }
}
