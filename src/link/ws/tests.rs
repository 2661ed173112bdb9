use super::*;
use crate::ask::Ask;
use crate::msg::{Epoch, Event, EventId, PeerAddr, What};
use std::rc::Rc;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A masked frame as a client sends it; `first` is its first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m));
    out
}

/// What a link makes of `pieces` that come one after the other: its steps without the noise, or the close code.
fn hear(link: &mut dyn Link, pieces: &[&[u8]]) -> (Vec<Step>, Option<u16>) {
    let (mut steps, mut kept) = (Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            match link.decode(&kept) {
                Ok(Decoded::Need) => break,
                Ok(Decoded::Got { msg, used }) => {
                    assert!(used > 0 && used <= kept.len());
                    kept.drain(..used);
                    if msg != Step::Noise {
                        steps.push(msg);
                    }
                }
                Err(e) => return (steps, Some(e.close_code)),
            }
        }
        assert!(kept.len() < 14, "only a piece of a header may be left to the caller");
    }
    (steps, None)
}

/// The same for every way to cut `bytes` in two, and for one byte at a time; all must agree.
fn hear_anyhow(make: impl Fn() -> Box<dyn Link>, bytes: &[u8]) -> (Vec<Step>, Option<u16>) {
    let whole = hear(&mut *make(), &[bytes]);
    for at in 1..bytes.len() {
        let (a, b) = bytes.split_at(at);
        assert_eq!(hear(&mut *make(), &[a, b]), whole, "cut at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(hear(&mut *make(), &single), whole, "one byte at a time");
    whole
}

fn page(bytes: &[u8]) -> (Vec<Step>, Option<u16>) {
    hear_anyhow(|| Box::new(Ws::page()), bytes)
}

fn echo(bytes: &[u8]) -> (Vec<Step>, Option<u16>) {
    hear_anyhow(|| Box::new(Echo::open()), bytes)
}

fn said(steps: &[Step]) -> Vec<&str> {
    let text = |step| match step {
        &Step::Page(Request { ask: Ok(Ask::Say(ref text)), .. }) => text.as_str(),
        other => panic!("{other:?}"),
    };
    steps.iter().map(text).collect()
}

#[test]
fn the_accept_value_is_that_of_the_rfc() {
    assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ==").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for bad in [&b""[..], b"dGhlIHNhbXBsZSBub25jZQ=", b"dGhlIHNhbXBsZSBub25j", b"dGhlIHNhbXBsZSBub25jZQ== ", b"\xff"] {
        assert_eq!(accept(bad), None, "{bad:?}");
    }
}

#[test]
fn a_message_is_understood_wherever_its_bytes_and_fragments_are_cut() {
    let text = "{\"say\":\"h\u{e9}llo \u{1f600}\"}".as_bytes();
    assert_eq!(said(&page(&frame(FIN | TEXT, text)).0), ["h\u{e9}llo \u{1f600}"]);
    for at in 0..=text.len() {
        let (a, b) = text.split_at(at);
        let bytes = [frame(TEXT, a), frame(FIN | PING, b"x"), frame(0, b""), frame(FIN, b)].concat();
        let (steps, code) = page(&bytes);
        assert_eq!((steps.len(), code), (2, None), "fragmented at {at}");
        assert_eq!(steps[0], Step::Return(vec![0x8a, 1, b'x']), "a ping within a message is answered at once");
        assert_eq!(said(&steps[1..]), ["h\u{e9}llo \u{1f600}"]);
    }
}

#[test]
fn every_size_class_comes_back_whole_from_the_echo() {
    for len in [0, 1, 3, 4, 125, 126, 127, 4096, 0xffff, 0x10000, 300_001] {
        let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let sent = frame(FIN | BINARY, &payload);
        let pieces: Vec<&[u8]> = sent.chunks(4093).collect();
        let (steps, code) = hear(&mut Echo::open(), &pieces);
        assert_eq!(code, None);
        let [Step::Return(back)] = &steps[..] else { panic!("{len}") };
        let head = back.len() - payload.len();
        assert_eq!(
            head,
            if len < 126 {
                2
            } else if len < 0x10000 {
                4
            } else {
                10
            }
        );
        assert!(back[0] == FIN | BINARY && back[1] & 0x80 == 0 && back[head..] == payload, "unmasked, as it was");
    }
    assert_eq!(echo(&frame(FIN | TEXT, "\u{20ac}".as_bytes())).0, [Step::Return(b"\x81\x03\xe2\x82\xac".to_vec())]);
}

#[test]
fn what_breaks_the_protocol_is_refused_with_the_right_code_however_it_is_cut() {
    let unmasked = vec![FIN | TEXT, 2, b'{', b'}'];
    let with = |first: u8| frame(first, b"x");
    let long = |len: u64| [&[FIN | TEXT, 0xff][..], &len.to_be_bytes(), &MASK].concat();
    let close = |payload: &[u8]| frame(FIN | CLOSE, payload);
    for (bytes, code, why) in [
        (unmasked, 1002, "unmasked"),
        (with(FIN | 0x40 | TEXT), 1002, "reserved bit 1"),
        (with(FIN | 0x20 | PING), 1002, "reserved bit 2"),
        (with(FIN | 0x10 | TEXT), 1002, "reserved bit 3"),
        (with(FIN | 3), 1002, "reserved data opcode"),
        (with(FIN | 11), 1002, "reserved control opcode"),
        (with(PING), 1002, "fragmented ping"),
        (with(CLOSE), 1002, "fragmented close"),
        (frame(FIN | PING, &[0; 126]), 1002, "long ping"),
        (with(FIN), 1002, "continuation of nothing"),
        ([with(TEXT), with(FIN | TEXT)].concat(), 1002, "message within a message"),
        (vec![FIN | TEXT, 0xfe, 0, 1, 0, 0, 0, 0, b'x'], 1002, "length of one byte in two"),
        ([&[FIN | TEXT, 0xff][..], &200u64.to_be_bytes(), &MASK].concat(), 1002, "length of two bytes in eight"),
        (with(FIN | BINARY), 1003, "binary"),
        (with(BINARY), 1003, "binary in fragments"),
        (long(MESSAGE_MAX as u64 + 1), 1009, "too long"),
        (long(u64::MAX), 1009, "absurdly long"),
        (long(1 << 63), 1009, "absurdly long"),
        (frame(FIN | TEXT, b"\xc0\xaf"), 1007, "overlong encoding"),
        (frame(FIN | TEXT, b"\xed\xa0\x80"), 1007, "surrogate"),
        (frame(FIN | TEXT, b"a\xe2\x82"), 1007, "a character without its end"),
        ([frame(TEXT, b"a\xe2"), frame(FIN, b"\x28")].concat(), 1007, "broken between fragments"),
        (close(b"\x03"), 1002, "half a close code"),
        (close(b"\x00\x00"), 1002, "close code 0"),
        (close(b"\x03\xe7"), 1002, "close code 999"),
        (close(b"\x03\xec"), 1002, "close code 1004"),
        (close(b"\x03\xed"), 1002, "close code 1005"),
        (close(b"\x03\xee"), 1002, "close code 1006"),
        (close(b"\x03\xe8\xff"), 1007, "close reason not UTF-8"),
        (close(b"\x03\xf7"), 1002, "close code 1015"),
        (close(b"\x04\x4c"), 1002, "close code 1100"),
        (close(b"\x13\x88"), 1002, "close code 5000"),
    ] {
        assert_eq!(page(&bytes), (vec![], Some(code)), "{why}");
    }
}

#[test]
fn a_text_that_is_not_utf8_is_refused_before_it_is_over() {
    let bytes = frame(FIN | TEXT, &[b"{\"say\":\"\xff".as_slice(), &[b'x'; 1000]].concat());
    assert_eq!(hear(&mut Ws::page(), &[&bytes[..20]]), (vec![], Some(1007)));
}

#[test]
fn a_long_message_is_refused_at_its_header_also_in_fragments() {
    let most = frame(TEXT, &vec![b'x'; MESSAGE_MAX]);
    assert_eq!(hear(&mut Ws::page(), &[&most, &frame(FIN, b"")]).1, None, "as long as may be");
    assert_eq!(hear(&mut Ws::page(), &[&most, &frame(FIN, b"y")[..6]]), (vec![], Some(1009)));
}

#[test]
fn a_close_is_answered_with_its_code_and_pongs_are_signs_of_life_only() {
    assert_eq!(page(&frame(FIN | CLOSE, b"")).0, [Step::End(vec![0x88, 0])]);
    assert_eq!(page(&frame(FIN | CLOSE, b"\x03\xe9bye")).0, [Step::End(vec![0x88, 2, 0x03, 0xe9])]);
    assert_eq!(page(&frame(FIN | PONG, b"anything")), (vec![], None));
}

#[test]
fn messages_go_out_as_one_unmasked_text_frame_of_every_size() {
    let json = |m: &Message| {
        let mut out = Vec::new();
        json::message(&mut out, m);
        out
    };
    for len in [0, 1, 20, 30, 100, 1000, 65_300, 65_536, 70_000] {
        let id = EventId { epoch: Epoch::from_random(0), seq: 1 };
        let what = What::TurnedAway { addr: PeerAddr::Unix, user: "x".repeat(len).into() };
        let m = Message::Logged(Rc::new(Event { id, time_ms: 0, what }));
        let mut out = b"before".to_vec();
        Ws::page().encode(&m, &mut out);
        let body = json(&m);
        let mut head = vec![0x81];
        match body.len() {
            n @ 0..=125 => head.push(n as u8),
            n @ 126..=0xffff => head.extend([126, (n >> 8) as u8, n as u8]),
            n => head.extend([&[127][..], &(n as u64).to_be_bytes()].concat()),
        }
        assert!(out == [&b"before"[..], &head, &body].concat(), "{len}");
    }
    let beat = Message::Passing(Passing::Beat { n: 7 }.into());
    let mut out = Vec::new();
    Ws::page().encode(&beat, &mut out);
    assert_eq!(out, b"\x81\x15{\"type\":\"beat\",\"n\":7}");
}

#[test]
fn the_last_words_say_why_and_close_with_a_code() {
    let last = |why| {
        let mut out = Vec::new();
        Ws::page().farewell(why, &mut out);
        out
    };
    let code = |out: &[u8], word: &str| {
        let start = out.len() - word.len() - 4;
        assert_eq!(&out[start..start + 2], [0x88, word.len() as u8 + 2], "{word}");
        assert!(out.ends_with(word.as_bytes()));
        u16::from_be_bytes([out[start + 2], out[start + 3]])
    };
    let shutdown = last(CloseReason::Shutdown);
    assert!(String::from_utf8_lossy(&shutdown).contains(r#"{"type":"closing","reason":"shutdown"}"#));
    assert_eq!(code(&shutdown, "shutdown"), 1001);
    assert_eq!(code(&last(CloseReason::Evicted), "evicted"), 1008);
    assert_eq!(code(&last(CloseReason::Replaced), "replaced"), 1000);
    assert_eq!(last(CloseReason::Closed), b"\x88\x08\x03\xe8closed", "who asked for it needs no reason");
    let mut out = Vec::new();
    Ws::page().refuse(&ProtoError::socket(1009, "too long"), &mut out);
    assert_eq!(out, b"\x88\x0a\x03\xf1too long");
    for &why in CloseReason::ALL {
        let out = last(why);
        assert!(out.len() < 200 && !out.is_empty());
    }
}

#[test]
fn after_its_messages_a_link_holds_no_buffer() {
    let mut link = Ws::page();
    let bytes = [frame(FIN | TEXT, &[b' '; 5000]), frame(FIN | PING, b"abc"), frame(FIN | PONG, b"abc")].concat();
    assert_eq!(hear(&mut link, &[&bytes]).1, None);
    assert!(link.reader.open.is_none() && link.reader.control.capacity() == 0);
    assert!(std::mem::size_of::<Ws>() <= 160, "{}", std::mem::size_of::<Ws>());
}
