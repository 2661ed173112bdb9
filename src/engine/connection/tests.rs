use std::rc::Rc;

use super::*;
use crate::auth::credentials::Credentials;
use crate::config::Config;
use crate::config::users::Users;
use crate::engine::pages::{Body, Pages, Served};
use crate::engine::send_queue::Chunk;
use crate::engine::shared::{Cx, Random, Shared, Start};
use crate::http::request::Request;
use crate::http::response::{Envelope, Full};
use crate::msg::{ConnId, KernelFeatures, Now};

/// One page, whatever is asked.
struct OnePage;

impl Pages for OnePage {
    fn serve(&mut self, _: Now, _: &Request<'_>, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Served {
        Full::new(200, "text/plain", b"page".to_vec()).write(out, envelope);
        Served { status: 200, html: false, body: Body::None }
    }

    fn dress(&mut self, _: Now, _: &mut Full) {}
}

/// One connection, the time, and what it shares with nobody else.
pub(in crate::engine) struct Line {
    pub(in crate::engine) shared: Shared,
    pub(in crate::engine) state: Connection,
    ready: Readiness,
    pub(in crate::engine) at: Now,
}

const USERS: &[u8] = b"ann:$2y$04$abcdefghijklmnopqrstuuIi/RDQ3fnQpoGFrjk1k7PYqlVQOS5qi\n";
pub(in crate::engine) const ID: ConnId = ConnId::from_raw(7);

impl Line {
    /// At the door `door`, where strangers may read all.
    pub(in crate::engine) fn new(door: Door) -> Line {
        Line::with(door, "/")
    }

    fn with(door: Door, open: &str) -> Line {
        let mut config = Config::default();
        config.auth.open = vec![open.into()];
        let credentials = Credentials::new(Users::parse(USERS).unwrap(), config.auth.failures);
        let at = Now { mono: Moment::from_millis(10_000), wall_ms: 1_700_000_000_000 };
        let start = Start {
            config: Rc::new(config),
            credentials,
            tokens: Some(Users::parse(USERS).unwrap()),
            features: KernelFeatures::default(),
            pages: Box::new(OnePage),
            hostname: "board".into(),
            random: Random::new(|bytes| bytes.fill(7)),
        };
        let shared = Shared::new(start, at);
        let origin = Origin { door, peer: PeerAddr::canonical([127, 0, 0, 1].into()), port: Some(8080) };
        let state = Connection::new(origin, &shared.rules, at.mono, 0);
        Line { shared, state, ready: Readiness::new(), at }
    }

    fn at(&mut self, ms: u64) -> &mut Line {
        self.at.mono = Moment::from_millis(10_000 + ms);
        self
    }

    fn says(&mut self, bytes: &str) -> &mut Line {
        self.state.received(&mut Cx { now: self.at, id: ID, shared: &mut self.shared }, bytes.as_bytes());
        self
    }

    /// The peer takes all that is owed.
    fn takes(&mut self) -> &mut Line {
        let owed = self.state.output.owed();
        self.state.output.took(owed, &mut Vec::new());
        self.state.wrote(self.at.mono, owed);
        self
    }

    /// When it wants to be looked at, in milliseconds since the beginning, and why.
    fn due(&self) -> Option<(u64, Due)> {
        self.state.own_deadline(&self.shared.timeouts).map(|(at, due)| (at.micros() / 1000 - 10_000, due))
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const SECRET: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Basic YW5uOng=\r\n\r\n";
const POST: &str = "POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Length: 9\r\n\r\n{}";

fn ms(time: Duration) -> u64 {
    time.as_millis() as u64
}

#[test]
fn a_head_has_its_time_and_an_idle_connection_another() {
    let mut line = Line::new(Door::Web);
    let timeouts = line.shared.timeouts;
    let late = Due::TooSlow(CloseReason::HeaderTimeout);
    assert_eq!(line.due(), Some((ms(timeouts.header), late)), "a new one, which has said nothing");
    line.at(50).says("GET");
    assert_eq!(line.due(), Some((50 + ms(timeouts.header), late)), "the first bytes of a head");
    line.at(90).says(&GET[3..]).takes();
    assert_eq!(line.due(), Some((90 + ms(timeouts.keep_alive), Due::Close(CloseReason::KeepAlive))));
    line.at(100).says("G");
    assert_eq!(line.due(), Some((100 + ms(timeouts.header), late)), "the next head");
}

#[test]
fn one_of_the_last_places_has_little_time_for_its_head() {
    let mut line = Line::new(Door::Web);
    let Engine::Http(http) = &mut line.state.engine else { panic!() };
    http.reserve = true;
    assert_eq!(line.due(), Some((ms(LINGER), Due::TooSlow(CloseReason::HeaderTimeout))));
}

#[test]
fn a_body_has_its_time_from_the_moment_at_which_it_was_let_in() {
    let mut line = Line::new(Door::Web);
    line.at(30).says(POST);
    let Engine::Http(http) = &line.state.engine else { panic!() };
    assert!(matches!(http.stage, Stage::Body(_)));
    assert_eq!(line.due(), Some((30 + ms(line.shared.timeouts.body), Due::TooSlow(CloseReason::BodyTimeout))));
}

#[test]
fn an_answer_that_is_not_taken_has_the_time_of_a_response() {
    let mut line = Line::new(Door::Web);
    line.at(40).says(GET);
    let end = Due::Close(CloseReason::SendTimeout);
    assert_eq!(line.due(), Some((40 + ms(line.shared.timeouts.send), end)));
    line.at(70).state.output.took(1, &mut Vec::new());
    line.state.wrote(line.at.mono, 1);
    assert_eq!(line.due(), Some((70 + ms(line.shared.timeouts.send), end)), "each byte taken renews it");
}

#[test]
fn who_waits_for_a_password_is_not_slow_and_who_waits_for_a_device_has_its_own_time() {
    let mut line = Line::with(Door::Web, "/open/");
    line.says(SECRET);
    assert!(line.state.waits() && line.due().is_none());
    let held = crate::engine::protocols::Held {
        command: crate::msg::EventId { epoch: crate::msg::Epoch::from_random(1), seq: 1 },
        until: Moment::from_millis(10_700),
        persist: crate::http::response::Persist::Keep,
        extra: Vec::new(),
    };
    let Engine::Http(http) = &mut line.state.engine else { panic!() };
    http.stage = Stage::Held(Box::new(held));
    assert_eq!(line.due(), Some((700, Due::Unanswered)));
}

#[test]
fn last_words_are_short_but_answers_are_taken_at_the_peers_pace() {
    let mut line = Line::new(Door::Web);
    line.says(GET);
    line.state.close_after_output(line.at.mono, CloseReason::Done);
    assert_eq!(line.due(), Some((ms(line.shared.timeouts.send), Due::Close(CloseReason::Done))));
    let mut line = Line::new(Door::Web);
    line.state.turn_away(&mut line.shared, line.at, false);
    assert_eq!(line.due(), Some((ms(LINGER), Due::Close(CloseReason::Limit))));
    line.takes().at(500);
    line.state.drain(line.at.mono);
    line.state.closing = None;
    assert_eq!(line.due(), Some((500 + ms(LINGER), Due::Close(CloseReason::Done))), "it is heard out");
}

#[test]
fn a_device_has_its_time_for_the_hello_and_a_parked_link_for_its_return() {
    let mut line = Line::new(Door::Devices);
    assert_eq!(line.due(), Some((ms(HELLO_WITHIN), Due::TooSlow(CloseReason::HeaderTimeout))));
    line.says("{\"hello\":\"ann\",\"token\":\"x\"}\n");
    assert_eq!(line.due(), None, "its token is being checked");
    line.state.parked = Some(Moment::from_millis(10_900));
    assert_eq!(line.due(), Some((900, Due::Close(CloseReason::Lost))));
}

#[test]
fn what_is_due_first_is_due() {
    let mut line = Line::new(Door::Web);
    line.says(GET);
    line.state.wrote(line.at.mono, 1); // something is unacknowledged: the liveness rules want a look soon
    let (at, due) = line.state.deadline(&line.shared.timeouts).unwrap();
    assert_eq!(due, Due::Liveness);
    assert!(at < Moment::from_millis(10_000) + line.shared.timeouts.send);
}

#[test]
fn who_does_not_take_answers_asks_no_further_questions() {
    let mut line = Line::new(Door::Web);
    assert!(!line.state.is_full(line.ready));
    line.says(GET);
    assert!(line.state.is_full(line.ready), "an answer is owed");
    line.ready.read_on = true;
    assert!(!line.state.is_full(line.ready), "behind FIN only what the kernel holds already can come");
    let mut line = Line::with(Door::Web, "/open/");
    line.says(SECRET);
    assert!(!line.state.is_full(line.ready), "while a password is checked a little more is kept");
    while line.state.input.len() < KEPT_MAX {
        line.says(&"x".repeat(8000));
    }
    assert!(line.state.is_full(line.ready));
}

#[test]
fn after_the_last_write_it_is_seen_what_is_left_to_do() {
    let mut line = Line::new(Door::Web);
    line.says(GET);
    let stay = |more| Next::Stay { more };
    assert_eq!(line.state.written(line.ready, false), stay(false), "it waits for the socket");
    assert_eq!(line.state.written(line.ready, true), stay(true), "its turn was over");
    line.takes();
    assert_eq!(line.state.written(line.ready, false), stay(false));
    for ready in [Readiness { fin: true, ..line.ready }, Readiness { readable: true, ..line.ready }] {
        assert_eq!(line.state.written(ready, false), stay(true), "what was held back while answers were owed");
    }
    line.state.held = true;
    assert_eq!(line.state.written(line.ready, false), stay(true));
    line.state.close_after_output(line.at.mono, CloseReason::Done);
    assert_eq!(line.state.written(line.ready, false), Next::Said(CloseReason::Done));
    line.state.drain(line.at.mono);
    assert_eq!(line.state.written(Readiness { readable: true, ..line.ready }, true), stay(false), "FIN is said");
}

#[test]
fn a_waiting_request_is_not_taken_up_again_by_a_fin() {
    let mut line = Line::with(Door::Web, "/open/");
    line.says(SECRET);
    line.ready.fin = true;
    assert_eq!(line.state.written(line.ready, false), Next::Stay { more: false });
    assert!(!line.state.ends_with_fin(), "it gets its answer");
}

#[test]
fn a_connection_is_cut_at_once_only_where_no_reset_can_take_the_last_words_away() {
    let mut line = Line::new(Door::Web);
    line.says(GET).takes();
    assert_eq!(line.state.said(line.ready, CloseReason::Done), End::Close, "in step, and silent");
    assert_eq!(line.state.said(Readiness { readable: true, ..line.ready }, CloseReason::Done), End::Linger);
    assert_eq!(line.state.said(line.ready, CloseReason::Protocol), End::Linger, "it may be talking still");
    assert_eq!(line.state.said(Readiness { fin: true, ..line.ready }, CloseReason::Protocol), End::Close);
    line.says("GE");
    assert_eq!(line.state.said(line.ready, CloseReason::Done), End::Linger);
}

#[test]
fn a_half_closed_peer_gets_its_answers() {
    let mut line = Line::new(Door::Web);
    line.says(GET);
    assert!(!line.state.ends_with_fin());
    line.takes();
    assert!(line.state.ends_with_fin());
}

#[test]
fn requests_byte_by_byte_are_answered_as_at_once() {
    let all = [GET, GET, "GET /x HTTP/1.0\r\n\r\n"].concat();
    let answer = |pieces: &mut dyn Iterator<Item = &str>| {
        let mut line = Line::new(Door::Web);
        let mut said = Vec::new();
        for piece in pieces {
            line.says(piece);
            let mut slices = [std::io::IoSlice::new(&[]); crate::engine::send_queue::SLICES_MAX];
            let (count, ..) = line.state.output.gather(&mut slices, usize::MAX);
            slices[..count].iter().for_each(|slice| said.extend_from_slice(slice));
            line.takes();
        }
        (String::from_utf8(said).unwrap(), line.state.requests, line.state.closing)
    };
    let whole = answer(&mut std::iter::once(all.as_str()));
    assert_eq!((whole.1, whole.2), (3, Some(CloseReason::Done)));
    assert_eq!(answer(&mut (0..all.len()).map(|i| &all[i..=i])), whole);
}

#[test]
fn answers_are_written_without_a_look_at_the_peers_window() {
    let mut line = Line::new(Door::Web);
    line.state.output.push(Chunk::Bytes(vec![0; 100_000]));
    assert_eq!(line.state.allowance(line.at.mono, || panic!("it is no link")), usize::MAX);
}

#[test]
fn a_peer_that_said_fin_while_its_password_was_checked_has_ended_the_link_that_it_gets() {
    let mut line = Line::new(Door::Web);
    let link = Box::new(crate::link::ws::Ws::page());
    line.state.engine = Engine::Page(crate::engine::protocols::Page { link, missed_telemetry: false });
    let mut ready = Readiness::new();
    assert_eq!(line.state.written(ready, false), Next::Stay { more: false });
    ready.fin = true;
    assert_eq!(line.state.written(ready, false), Next::Stay { more: true }, "nothing else comes to end it");
}
