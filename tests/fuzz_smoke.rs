//! The fuzz targets' functions (fuzz/cases.rs) on random bytes from a fixed seed and on mutations of good ones: what a
//! plain `cargo test` can do without a fuzzer.
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

#[path = "../fuzz/cases.rs"]
mod cases;

/// Rounds for each function.
const ROUNDS: u32 = 3000;

/// Good input to begin with; the first byte of some says into what pieces it is cut.
const SEEDS: &[(&str, &[&[u8]])] = &[
    (
        "head",
        &[
            b"\x05GET /a?b=c HTTP/1.1\r\nHost: pump.local\r\n\r\nHEAD * HTTP/1.0\r\n\r\n",
            b"\x02POST /api/chat HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhelloGET / HTTP/1.1\r\n",
            b"\x07POST /x HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n00\r\nA: b\r\n\r\n",
            b"\x01\r\n\r\nGET http://a/ HTTP/1.1\r\nHost: a\r\nConnection: close, keep-alive\r\n\r\n",
        ],
    ),
    ("path", &[b"/a/b.html", b"/%2e%2e/a", b"/a/../b/./c/", b"//a%2fb", b"/\xc3\xa9%C3%A9"]),
    ("auth", &[b"ann:pass word:1", b"a=0123456789abcdef0123456789abcdef; b=c", b"Basic YTpi"]),
    (
        "config",
        &[
            b"listen = [\"0.0.0.0:8080\"]\n[seats]\nmax = 4\nallow = [\"10.0.0.0/8\", \"fd00::/8\"]\n",
            b"[limits]\nheader_bytes = \"16KiB\"\nkeep_alive = \"75s\"\n[chat]\nrate = \"5/s\"\n",
            b"[liveness]\nprofile = \"lan\"\nheartbeat = \"250ms\"\n[auth]\nopen = [\"/x/\"]\nlifetime = \"12h\"\n",
        ],
    ),
    (
        "users",
        &[
            b"ann:$2y$05$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDEFG\n",
            b"# people\nbob:$6$rounds=5000$saltsalt$x\r\n\neve:$5$salt$y\n",
        ],
    ),
    (
        "links",
        &[
            b"\x03\x81\x84\x01\x02\x03\x04zzzz\x89\x80\x01\x02\x03\x04\x88\x82\x00\x00\x00\x00\x03\xe8",
            b"\x01\x01\x81\x00\x00\x00\x00{\x80\x81\x00\x00\x00\x00}\x82\xfe\x00\x7e\x00\x00\x00\x00abc",
        ],
    ),
    (
        "lines",
        &[
            b"\x09{\"hello\":\"pump-1\",\"proto\":1}\n{\"telemetry\":{\"rpm\":1}}\r\n{\"ping\":7}\n",
            b"\x04{\"hello\":\"p\",\"token\":\"x\",\"describe\":{\"commands\":{\"go\":{\"args\":{\"n\":{\"type\":\"integer\",\"min\":0}}},\"stop\":{\"anyone\":true}}}}\n",
            b"\x06{\"hello\":\"p\",\"describe\":{\"telemetry\":{\"t\":\"C\",\"__proto__\":\"\"},\"commands\":{\"g\":{\"args\":{\"to\":{\"choices\":[1,2.5,\"a\",true]},\"n\":{\"type\":\"number\",\"max\":1e300,\"optional\":true}}}},\"x\":{\"innerHTML\":1}}}\n",
            b"\x11{\"answer\":\"k3x9a1-42\",\"ok\":true,\"result\":{\"a\":[1,null]}}\n\n{\"bye\":\"x\"}\n{\"pong\":1}\nno\n",
        ],
    ),
    (
        "server_lines",
        &[
            b"\x09{\"welcome\":\"p\",\"proto\":1,\"heartbeat_ms\":500,\"epoch\":\"k3x9a1\"}\r\n{\"control\":{\"holder\":null}}\n{\"ping\":1}\n",
            b"\x04{\"command\":\"speed\",\"args\":{\"rpm\":900.5},\"id\":\"k-42\",\"by\":\"ann\"}\n{\"safe\":\"lost\",\"by\":\"ann\",\"after_ms\":2310}\n",
            b"\x11\xef\xbb\xbf{\"link\":\"down\"}\n\n{\"error\":\"x\",\"message\":\"y\"}\n{\"bye\":\"shutdown\"}\n{\"hold\":\"k-1\"}\nno\n",
        ],
    ),
    (
        "bodies",
        &[
            b"text/plain; charset=utf-8\nvalve 3 is open \xc3\xa9",
            b"application/json\n{\"text\":\"a\\u00e9\\n\"}",
            b"\n{\"action\":\"take\",\"lease\":\"30s\",\"to\":null}",
            b"application/json\n{\"command\":\"speed\",\"args\":{\"rpm\":900},\"beat\":17,\"ref\":\"x\"}",
        ],
    ),
    (
        "page",
        &[
            b"{\"say\":\"a\\u00e9\",\"ref\":\"x\"}",
            b"{\"beat\":17,\"hold\":[\"p\"]}",
            b"{\"command\":{\"device\":\"p\",\"command\":\"c\",\"args\":{\"a\":1}},\"beat\":3}",
        ],
    ),
    (
        "hub",
        &[
            // ann connects and takes the pump; beats and answers, then stalls
            b"\x00\x14\x00\x07\x00\x0e\x00\x01\x40\x0b\x00\x0b\x42\x01\x40\x15\x00\x0b\x00\x0b\x42\x03\x20\x03\x40\x03\xff",
            b"\x01\x14\x00\x07\x00\x0e\x00\x01\x40\x0b\x00\x0b\x42\x15\x00\x0a\x60\x01\xff\x15\x00\x0a\x00\x01\xff\x15\x00\x01\x80\x05\x40\x12\x00",
            // bob by a lease, from link to link
            b"\x00\x14\x10\x07\x01\x08\x01\x0e\x19\x12\x10\x01\x80\x15\x10\x83\xff\x0e\x19\x05\x90\x07\x04\x0b\x04\x0b\x52\x11\x14",
        ],
    ),
    (
        "connection",
        &[
            // requests, some cut by time; a password's check; FIN
            b"\x00\x00\x30GET /healthz HTTP/1.1\r\nHost: 192.168.1.1\r\n\r\nGET\x03\x09\x00\x22 /page HTTP/1.1\r\nHost: 192.168.1.1\r\n\r\n\x05\x00",
            b"\x00\x00\x79POST /api/chat HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YW5uOnB3\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello\x03\x20\x06\x01\x06\xff",
            // a WebSocket that answers a beat, stalls, closes its window, and goes
            b"\x04\x00\xbdGET /api/socket?tab=t&n=1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Basic YW5uOnB3\r\n\r\n\x03\x40\x00\x12\x81\x8c\0\0\0\0{\"say\":\"hi\"}\x07\x00\x03\x60\x04\x50\x06\x00\x03\xff\x05\x00",
            b"\x00\x00\x5aGET /api/events?tab=t&n=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YW5uOnB3\r\n\r\n\x03\x40\x07\x00\x03\x60\x05\x03",
            // a device
            b"\x01\x00\x43{\"hello\":\"pump\",\"describe\":{\"commands\":{\"stop\":{\"anyone\":true}}}}\n\x03\x80\x07\x00\x00\x1a{\"telemetry\":{\"rpm\":900}}\n\x00\x0d{\"ping\":1}\nx\n\x04\xff\x05\x00",
            b"\x03\x00\x1e{\"hello\":\"ann\",\"token\":\"pw\"}\n\x03\x20\x06\x00\x03\xff\x03\xff",
        ],
    ),
    (
        "ranges",
        &[
            b"\x00\x00\x00\x00\x00\x00\x10\x00\nbytes=5-90\n\n\n\n",
            b"\x00\x00\x00\x00\x00\x00\x10\x00\nbytes=-5\n\"x\"\n\"y\", W/\"z\"\nThu, 01 Jan 1970 00:00:00 GMT\n*",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\nbytes=18446744073709551614-\n\n\n\n",
        ],
    ),
];

/// xorshift64* (Vigna 2016).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }

    /// Good input with some of it changed, left out, doubled or mixed with another.
    fn mutate(&mut self, seeds: &[&[u8]]) -> Vec<u8> {
        let mut out = seeds[self.below(seeds.len())].to_vec();
        for _ in 0..self.below(6) {
            let (at, n) = (self.below(out.len()), self.below(12));
            let end = (at + n).min(out.len());
            match self.below(6) {
                0 => drop(out.drain(at..end)),
                1 => drop(out.splice(at..at, out[at..end].to_vec())),
                2 => {
                    let other = seeds[self.below(seeds.len())];
                    let from = self.below(other.len());
                    out.splice(at..end, other[from..].iter().copied());
                }
                3 => out.truncate(end),
                _ => {
                    let byte = self.below(256) as u8;
                    if let Some(b) = out.get_mut(at) {
                        *b = byte;
                    }
                }
            }
        }
        out
    }
}

#[test]
fn nothing_that_reads_bytes_panics_or_depends_on_how_they_are_cut() {
    for (name, case) in cases::ALL {
        let seeds = SEEDS.iter().find(|(n, _)| n == name).unwrap().1;
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        for seed in seeds {
            case(seed);
        }
        for round in 0..ROUNDS {
            let input = if round % 10 == 0 {
                (0..dice.below(200)).map(|_| dice.below(256) as u8).collect()
            } else {
                dice.mutate(seeds)
            };
            let done = std::panic::catch_unwind(|| case(&input));
            assert!(done.is_ok(), "{name}: {:?}", input.escape_ascii().to_string());
        }
    }
}
