//! A small language with time for the tests of the hub, its invariants, and what does not fit one file.

mod everyday;
mod machines;
mod machines_simulation;
mod pages;
mod seats;
pub(super) mod simulation;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::ask::Beat;
use crate::config::{Chat, Control, Rate, Seats};
use crate::msg::{Change, Effect, Epoch, Evidence, LinkEnd, Member, Passing, PeerAddr, Presence, Role, Types};

pub(super) fn settings() -> Settings {
    Settings {
        seats: Seats {
            max: 10,
            per_user: 0,
            reserved: 0,
            linger: Duration::from_secs(3),
            plain: Duration::from_secs(60),
            idle: Duration::ZERO,
            allow: Vec::new(),
        },
        lifetime: Duration::from_secs(12 * 3600),
        page_after: Duration::from_secs(10),
        returned_within: Duration::from_secs(30),
        beat: Duration::from_millis(500),
        chat: Chat { history: 500, text_max: 2000, rate: Rate { count: 5, per: Duration::from_secs(1) } },
        control: Control {
            page_after: Duration::from_secs(3),
            max_silence: Duration::from_secs(5),
            lease_max: Duration::from_secs(60),
            command_age: Duration::from_secs(2),
            answer_after: Duration::from_secs(30),
        },
        silent_after: Duration::from_secs(5),
        device_bytes: devices::bytes_of_all(64),
    }
}

pub(super) fn addr(last: u8) -> PeerAddr {
    PeerAddr::Ip(IpAddr::V4(Ipv4Addr::new(192, 168, 1, last)))
}

pub(super) fn conn(n: u16) -> ConnId {
    ConnId::new(n, 0)
}

/// What one link has heard: as text, and as a page would keep it.
#[derive(Default)]
pub(super) struct Ear {
    unread: Vec<String>,
    /// The roster as a page builds it from `hello` and what follows.
    pub(super) roster: BTreeMap<SessionId, Presence>,
    pub(super) newest: u64,
    /// What a replay tells is in the roster of `hello` already.
    hello: u64,
    pub(super) whole: bool,
}

/// A hub with a clock, and the ears at its links.
pub(super) struct World {
    pub(super) hub: Hub,
    pub(super) ms: u64,
    pub(super) fx: Effects,
    pub(super) ears: BTreeMap<ConnId, Ear>,
    pub(super) closed: Vec<(ConnId, CloseReason)>,
    pub(super) parked: Vec<(ConnId, u64)>,
    pub(super) machines: machines::Machines,
    secret: u128,
}

impl World {
    pub(super) fn new() -> World {
        World::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Settings)) -> World {
        let mut settings = settings();
        change(&mut settings);
        let seed = Seed { epoch: Epoch::from_random(1), beat_base: 1000, names: 42 };
        World {
            hub: Hub::new(settings, seed, Now::default()),
            ms: 0,
            fx: Vec::new(),
            ears: BTreeMap::new(),
            closed: Vec::new(),
            parked: Vec::new(),
            machines: machines::Machines::default(),
            secret: 1,
        }
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: Moment::from_millis(self.ms), wall_ms: 1_700_000_000_000 + self.ms }
    }

    /// Lets time pass to `ms`, stopping at every deadline on the way as the loop does.
    pub(super) fn at(&mut self, ms: u64) -> &mut World {
        while let Some(due) = self.hub.view().deadline() {
            let due = due.micros().div_ceil(1000);
            if due > ms {
                break;
            }
            self.ms = self.ms.max(due);
            let now = self.now();
            self.hub.handle(now, Input::Tick, &mut self.fx);
            assert!(self.hub.view().deadline().is_none_or(|d| d > now.mono), "the deadline has to move on");
            self.settle();
        }
        assert!(ms >= self.ms, "time runs forward");
        self.ms = ms;
        self
    }

    pub(super) fn after(&mut self, ms: u64) -> &mut World {
        self.at(self.ms + ms)
    }

    /// Does the effects and checks the house.
    pub(super) fn settle(&mut self) {
        for effect in std::mem::take(&mut self.fx) {
            match effect {
                Effect::Deliver { to, message } => {
                    assert!(!to.is_empty());
                    for c in to {
                        self.ears.entry(c).or_default().hear(&message);
                    }
                }
                Effect::Close { conn, why } => self.closed.push((conn, why)),
                Effect::Park { conn, until } => self.parked.push((conn, until.micros() / 1000)),
                Effect::Device(effect) => self.machines.take(effect),
            }
        }
        self.hub.check_invariants();
    }

    // Who comes.

    pub(super) fn newcomer<'a>(&mut self, user: &'a str, addr: PeerAddr, agent: &'a str) -> SignIn<'a> {
        self.secret += 1;
        let role = match user {
            "admin" => Role::Admin,
            "vic" => Role::Viewer,
            _ => Role::Operator,
        };
        SignIn { user, role, addr, agent, stale: None, last: None, random: self.secret.to_le_bytes() }
    }

    /// A browser of its own that has shown its cookie.
    pub(super) fn browser(&mut self, user: &str, addr: PeerAddr) -> SessionId {
        let agent = format!("Browser {}", self.secret);
        let who = self.newcomer(user, addr, &agent);
        let (id, cookie) = self.hub.sign_in(self.now(), who);
        assert_eq!(self.by_cookie(&cookie).map(|v| v.id), Some(id));
        self.settle();
        id
    }

    pub(super) fn curl(&mut self, user: &str, addr: PeerAddr) -> SessionId {
        let who = self.newcomer(user, addr, "curl/8");
        self.hub.sign_in(self.now(), who).0
    }

    // What they do.

    /// A request shows a cookie.
    pub(super) fn by_cookie(&mut self, cookie: &[u8; 16]) -> Option<SessionView> {
        let id = self.hub.view().session_by_cookie(cookie)?;
        self.happens(Input::CookieShown(id));
        self.hub.view().session(id)
    }

    pub(super) fn happens(&mut self, input: Input) {
        let now = self.now();
        self.hub.handle(now, input, &mut self.fx);
        self.settle();
    }

    pub(super) fn wants(&mut self, id: SessionId, ask: Ask<'_>) -> Result<Done, Denied> {
        let now = self.now();
        let done = self.hub.ask(now, id, ask, &mut self.fx);
        self.settle();
        done
    }

    pub(super) fn ask(&mut self, id: SessionId, purpose: Purpose) -> Result<Option<u16>, NoSeat> {
        match self.wants(id, Ask::Serve(purpose)) {
            Ok(Done::Served(seat)) => Ok(seat),
            Err(Denied::Seat(no)) => Err(no),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn page(&mut self, id: SessionId) -> Result<Option<u16>, NoSeat> {
        self.ask(id, Purpose::Page { html: true })
    }

    pub(super) fn open(&mut self, id: SessionId, c: u16, spec: LinkSpec) -> Result<(), Denied> {
        self.wants(id, Ask::Link { conn: conn(c), spec: Box::new(spec) }).map(|_| ())
    }

    pub(super) fn link(&mut self, id: SessionId, c: u16) {
        assert_eq!(self.open(id, c, spec()), Ok(()));
    }

    pub(super) fn tab(&mut self, id: SessionId, c: u16, name: &str, n: u64) -> Result<(), Denied> {
        self.open(id, c, LinkSpec { tab: Some(Tab { name: name.into(), n }), ..spec() })
    }

    /// A member with one link.
    pub(super) fn member(&mut self, user: &str, c: u16) -> SessionId {
        let id = self.browser(user, addr(c as u8));
        self.link(id, c);
        id
    }

    pub(super) fn end(&mut self, c: u16, end: LinkEnd) -> &mut World {
        self.happens(Input::LinkEnded { conn: conn(c), end });
        self
    }

    pub(super) fn fin(&mut self, c: u16) -> &mut World {
        self.end(c, LinkEnd::Closed)
    }

    pub(super) fn lose(&mut self, c: u16, after_ms: u64, evidence: Evidence) -> &mut World {
        self.end(c, LinkEnd::Lost { after: Duration::from_millis(after_ms), evidence })
    }

    pub(super) fn change(&mut self, c: u16, change: Change) -> &mut World {
        self.happens(Input::LinkChanged { conn: conn(c), change });
        self
    }

    pub(super) fn suspect(&mut self, c: u16, silent_ms: u64) -> &mut World {
        self.change(c, Change::Suspected { silent: Duration::from_millis(silent_ms) })
    }

    pub(super) fn recover(&mut self, c: u16) -> &mut World {
        self.change(c, Change::Recovered { silent: Duration::ZERO })
    }

    pub(super) fn say(&mut self, id: SessionId, text: &str) -> Result<EventId, SayError> {
        match self.wants(id, Ask::Say(text)) {
            Ok(done) => Ok(done.id().expect("an event")),
            Err(Denied::Say(why)) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn evict(&mut self, by: SessionId, id: SessionId) -> Result<(), EvictError> {
        match self.wants(by, Ask::Evict(id)) {
            Ok(_) => Ok(()),
            Err(Denied::Evict(why)) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn logout(&mut self, id: SessionId) {
        self.wants(id, Ask::Logout).expect("never denied");
    }

    pub(super) fn bye(&mut self, id: SessionId, tab: &str, n: u64) {
        self.wants(id, Ask::Bye(&Tab { name: tab.into(), n })).expect("never denied");
    }

    /// The page `tab` answers beat `n`.
    pub(super) fn answer(&mut self, id: SessionId, tab: &str, n: u64, hold: &[&str]) -> BeatAnswer {
        let beat = Beat { n, hold: hold.iter().map(|name| name.to_string()).collect() };
        match self.wants(id, Ask::Beat { tab, beat: &beat }) {
            Ok(Done::Beat(worth)) => worth,
            other => panic!("{other:?}"),
        }
    }

    // What is heard of it.

    /// What the link has heard since it was asked last.
    pub(super) fn news(&mut self, c: u16) -> Vec<String> {
        std::mem::take(&mut self.ears.entry(conn(c)).or_default().unread)
    }

    #[track_caller]
    pub(super) fn expect(&mut self, c: u16, news: &[&str]) -> &mut World {
        assert_eq!(self.news(c), news, "heard on link {c} until {} ms", self.ms);
        self
    }

    #[track_caller]
    pub(super) fn expect_closed(&mut self, closed: &[(u16, CloseReason)]) -> &mut World {
        let expected: Vec<_> = closed.iter().map(|&(c, why)| (conn(c), why)).collect();
        assert_eq!(std::mem::take(&mut self.closed), expected, "closed until {} ms", self.ms);
        self
    }

    /// The roster in short: `ann@1 present, bob@2 suspect`.
    pub(super) fn roster(&self) -> String {
        let members: Vec<String> =
            self.hub.view().members().iter().map(|m| format!("{} {}", short(m), m.state)).collect();
        members.join(", ")
    }
}

/// A link that wants everything and is no page.
pub(super) fn spec() -> LinkSpec {
    LinkSpec { types: Types::ALL, beats: true, last: None, tab: None }
}

fn short(m: &Rc<Member>) -> String {
    format!("{}@{}", m.user, m.seat)
}

impl Ear {
    fn hear(&mut self, message: &Message) {
        let text = match message {
            Message::Logged(event) => {
                if self.newest > 0 {
                    assert!(event.id.seq > self.newest, "heard twice or out of order: {event:?}");
                }
                self.whole &= event.id.seq == self.newest + 1;
                self.newest = event.id.seq;
                let live = event.id.seq > self.hello;
                match &event.what {
                    What::Joined { member, returned } => {
                        if live {
                            self.roster.insert(member.session, member.state);
                        }
                        format!("joined {}{}", short(member), if *returned { " returned" } else { "" })
                    }
                    What::Left { member, reason } => {
                        if live {
                            self.roster.remove(&member.session);
                        }
                        format!("left {} {reason}", short(member))
                    }
                    What::Lost { member, after_ms, evidence } => {
                        if live {
                            self.roster.remove(&member.session);
                        }
                        format!("lost {} {after_ms} {evidence}", short(member))
                    }
                    What::Said { from, text } => format!("said {} {text}", short(from)),
                    What::TurnedAway { addr, user } => format!("turned_away {user} {addr}"),
                    What::Control { device, holder, was, reason } => {
                        let name = |m: &Option<Rc<Member>>| m.as_ref().map_or("-".into(), |m| m.user.clone());
                        format!("control {device} {} {} {reason}", name(holder), name(was))
                    }
                    What::Commanded { by, device, command, args } => {
                        format!("commanded {} {device} {command} {args}", short(by))
                    }
                    What::Answered { device, to, ok, result, late } => {
                        let ok = ok.map_or("null".into(), |ok| ok.to_string());
                        format!("answered {device} {} {ok} {result}{}", to.seq, if *late { " late" } else { "" })
                    }
                    What::Device { device, state, reason } => {
                        format!("device {device} {state} {}", reason.map_or("-", |r| r.word()))
                    }
                }
            }
            Message::Passing(p) => match &**p {
                Passing::Hello(h) => {
                    assert_eq!(self.newest, 0, "hello comes first and once");
                    self.hello = h.id.seq;
                    self.roster = h.members.iter().map(|m| (m.session, m.state)).collect();
                    self.whole = !h.replayed;
                    self.newest = if h.replayed { 0 } else { h.id.seq };
                    assert!(h.members.contains(&h.you));
                    assert_eq!(usize::from(h.taken), h.members.len());
                    format!("hello {} {}/{} {}", short(&h.you), h.taken, h.max, h.replayed)
                }
                Passing::Suspected { member, silent_ms } => {
                    self.shown(member, format!("suspected {} {silent_ms}", short(member)))
                }
                Passing::Recovered { member, silent_ms } => {
                    self.shown(member, format!("recovered {} {silent_ms}", short(member)))
                }
                Passing::Stalled { member, layer } => self.shown(member, format!("stalled {} {layer}", short(member))),
                Passing::Telemetry { device, values, .. } => {
                    let values: Vec<String> = values.iter().map(|(n, v)| format!("{n}={v}")).collect();
                    format!("telemetry {device} {}", values.join(" "))
                }
                Passing::Offered { device, from, to } => format!("offered {device} {} {}", from.user, to.user),
                Passing::Moving { member, layer } => self.shown(member, format!("moving {} {layer}", short(member))),
                other => panic!("not the hub's to say: {other:?}"),
            },
        };
        self.unread.push(text);
    }

    fn shown(&mut self, member: &Rc<Member>, text: String) -> String {
        let was = self.roster.insert(member.session, member.state);
        assert!(was.is_some(), "told of somebody who is not here: {text}");
        text
    }
}

impl Hub {
    /// What is true between any two calls.
    pub(super) fn check_invariants(&self) {
        let mut seated = 0;
        for id in self.sessions.seated() {
            seated += 1;
            let s = self.sessions.get(id).expect("a seat of nobody");
            assert!(s.state.is_seated() && s.seat.is_some(), "{id:?} has a seat but stands as {:?}", s.state);
            assert_eq!(
                s.state == SessionState::Linked,
                !s.links.is_empty(),
                "{id:?}: {:?} with {:?}",
                s.state,
                s.links
            );
            for c in &s.links {
                let link = self.links.get(c).expect("a session's link that is none");
                assert!(link.session == id && link.greeted, "{c:?}");
                assert!(self.parked.get(c).is_none(), "{c:?} is alive and parked");
            }
            if let Some(due) = self.due(s) {
                assert!(self.next.is_some_and(|next| next <= due), "nothing wakes for {id:?}");
            }
        }
        let carried: usize = self.sessions.seated().filter_map(|id| self.sessions.get(id)).map(|s| s.links.len()).sum();
        assert_eq!(carried, self.links.len(), "each link belongs to one seated session");
        let machines = self.device_conns.len() > 0;
        assert!(seated > 0 || machines || self.next.is_none(), "an empty house needs no timer");
        self.check_devices();
        assert_eq!(usize::from(self.seats_taken()), seated);
        let gone = self.counters.left.iter().sum::<u64>() + self.counters.lost.iter().sum::<u64>();
        assert_eq!(self.counters.joined - gone, seated as u64, "who joined is here or has gone");
        assert_eq!(self.counters.detection.iter().sum::<u64>(), self.counters.lost.iter().sum::<u64>());
        assert!(self.log.len() <= 2 * self.settings.chat.history);
        self.sessions.check_invariants();
    }
}
