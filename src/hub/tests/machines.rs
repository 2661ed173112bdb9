//! Devices, control and commands: the language for them, and the rules one by one.

use std::collections::BTreeSet;

use super::*;
use crate::describe::{Args, Describe};
use crate::msg::{DeviceEffect, DeviceHello, DeviceState, FromDevice, Ref, ToDevice};

/// What devices hear, and who takes part by itself while time passes.
#[derive(Default)]
pub(in crate::hub) struct Machines {
    heard: BTreeMap<ConnId, Vec<String>>,
    /// All of it in order.
    pub(super) told: Vec<(ConnId, String)>,
    pub(super) ended: Vec<(ConnId, String)>,
    pub(super) answered: Vec<(ConnId, String)>,
    pub(super) paces: Vec<(ConnId, bool)>,
    /// Commands that reached a device, in order: link, event.
    pub(super) commands: Vec<(ConnId, EventId)>,
    /// `safe` lines.
    pub(super) safes: Vec<(ConnId, crate::msg::ControlReason)>,
    /// Devices that answer pings.
    talking: BTreeSet<u16>,
    pages: Vec<Page>,
}

/// A page that answers beats while time passes.
#[derive(Clone)]
struct Page {
    id: SessionId,
    conn: u16,
    tab: String,
    hold: Vec<&'static str>,
}

impl Machines {
    pub(super) fn take(&mut self, effect: DeviceEffect) {
        match effect {
            DeviceEffect::Tell { conn, line } => {
                let text = match line {
                    ToDevice::Welcome { name, .. } => format!("welcome {name}"),
                    ToDevice::Error { error, .. } => format!("error {error}"),
                    ToDevice::Command { command, args, id, by } => {
                        self.commands.push((conn, id));
                        format!("{} {command} {args} {by}", id.seq)
                    }
                    ToDevice::Control { holder } => format!("control {}", holder.as_deref().unwrap_or("-")),
                    ToDevice::Safe { why, by, after_ms } => {
                        self.safes.push((conn, why));
                        format!("safe {why} {by} {after_ms}")
                    }
                    ToDevice::Pong(n) => format!("pong {n}"),
                };
                self.told.push((conn, text.clone()));
                self.heard.entry(conn).or_default().push(text);
            }
            DeviceEffect::Close { conn, why } => {
                self.talking.remove(&conn.slot());
                self.ended.push((conn, why.to_string()));
            }
            DeviceEffect::Reset { conn } => {
                self.talking.remove(&conn.slot());
                self.ended.push((conn, "reset".into()));
            }
            DeviceEffect::Pace { conn, fast } => self.paces.push((conn, fast)),
            DeviceEffect::Answered { conn, answer } => {
                let What::Answered { ok, result, .. } = &answer.what else { panic!("no answer: {answer:?}") };
                self.answered.push((conn, format!("{ok:?} {result}")));
            }
        }
    }
}

pub(super) const PUMP: &str = r#"{"commands":{
    "start":{},
    "speed":{"args":{"rpm":{"type":"number","min":0,"max":3000}}},
    "stop":{"anyone":true,"args":{"hard":{"type":"boolean","optional":true}}}}}"#;

pub(super) fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect(text)
}

impl World {
    // Who takes part.

    /// A device says hello on link `c` and answers pings from then on.
    pub(super) fn device(&mut self, name: &str, c: u16) {
        let describe = Rc::new(Describe::parse(&json(PUMP)).expect("a good description"));
        let now = self.now();
        let hello = DeviceHello { name: name.into(), token: None, describe };
        self.hub.device_hello(now, conn(c), hello, &mut self.fx);
        self.machines.talking.insert(c);
        self.settle();
    }

    /// A member with a page over a WebSocket or SSE on link `c`, whose page answers beats and names `hold`.
    pub(super) fn panel(&mut self, user: &str, c: u16, hold: &[&'static str]) -> SessionId {
        let id = self.browser(user, addr(c as u8));
        self.panel_again(id, c, 1, hold);
        id
    }

    /// The page of `id` (of link `c` modulo 100) connects, or connects again.
    pub(super) fn panel_again(&mut self, id: SessionId, c: u16, n: u64, hold: &[&'static str]) {
        let tab = format!("tab{}", c % 100);
        assert_eq!(self.tab(id, c, &tab, n), Ok(()));
        self.machines.pages.retain(|p| p.conn % 100 != c % 100);
        self.machines.pages.push(Page { id, conn: c, tab, hold: hold.to_vec() });
    }

    /// The page of link `c` does not answer any more.
    pub(super) fn freeze(&mut self, c: u16) -> &mut World {
        self.machines.pages.retain(|p| p.conn != c);
        self
    }

    /// The device of link `c` does not say anything any more.
    pub(super) fn hang(&mut self, c: u16) -> &mut World {
        self.machines.talking.remove(&c);
        self
    }

    /// Time passes to `ms`: devices answer pings, pages answer beats, both every 500 ms.
    pub(super) fn live(&mut self, ms: u64) -> &mut World {
        while self.ms / 500 < ms / 500 {
            let next = (self.ms / 500 + 1) * 500;
            self.at(next);
            let now = self.now();
            for c in self.machines.talking.clone() {
                self.hub.device_line(now, conn(c), FromDevice::Pong, &mut self.fx);
            }
            for page in self.machines.pages.clone() {
                self.beat(&page);
            }
            self.settle();
        }
        self.at(ms)
    }

    fn beat(&mut self, page: &Page) {
        let now = self.now();
        let n = self.hub.beat_number(now);
        self.hub.beat_sent(now, conn(page.conn), n);
        self.hub.beat_answer(now, page.id, &page.tab, n, &page.hold, &mut self.fx);
    }

    // What they do.

    pub(super) fn take(&mut self, id: SessionId, device: &str) -> Result<Controlled, ControlError> {
        self.take_by(id, device, Take::default())
    }

    pub(super) fn take_by(&mut self, id: SessionId, device: &str, take: Take) -> Result<Controlled, ControlError> {
        let now = self.now();
        let done = self.hub.take_control(now, id, device, take, &mut self.fx);
        self.settle();
        done
    }

    pub(super) fn lease(&mut self, id: SessionId, device: &str, seconds: u64) -> Result<Controlled, ControlError> {
        self.take_by(id, device, Take { lease: Some(Duration::from_secs(seconds)), force: false })
    }

    pub(super) fn release(&mut self, id: SessionId, device: &str) -> Result<Controlled, ControlError> {
        let now = self.now();
        let done = self.hub.release_control(now, id, device, &mut self.fx);
        self.settle();
        done
    }

    pub(super) fn give(&mut self, id: SessionId, device: &str, to: SessionId) -> Result<Controlled, ControlError> {
        let now = self.now();
        let done = self.hub.give_control(now, id, device, to, &mut self.fx);
        self.settle();
        done
    }

    pub(super) fn order(&mut self, id: SessionId, order: &Order<'_>) -> Result<Ordered, CommandError> {
        let now = self.now();
        let done = self.hub.command(now, id, order, &mut self.fx);
        self.settle();
        done
    }

    /// `command` with `args`, naming the newest beat if there is a page that sees beats.
    pub(super) fn command(&mut self, id: SessionId, command: &str, args: &str) -> Result<u64, CommandError> {
        let args = Args::new(Some(json(args))).expect("an object");
        let beat = self.hub.has_page(id).then(|| self.hub.beat_number(self.now()));
        let order = Order { device: "pump", command, args: &args, beat, reference: None, waiter: None };
        self.order(id, &order).map(|done| done.id.seq)
    }

    pub(super) fn says(&mut self, c: u16, line: FromDevice) -> &mut World {
        let now = self.now();
        self.hub.device_line(now, conn(c), line, &mut self.fx);
        self.settle();
        self
    }

    pub(super) fn answers(&mut self, c: u16, seq: u64, ok: bool) -> &mut World {
        let to = EventId { seq, ..self.hub.newest() }.to_string();
        self.says(c, FromDevice::Answer { to: to.as_str().into(), ok, result: "1".into() })
    }

    // What is heard of it.

    pub(super) fn device_news(&mut self, c: u16) -> Vec<String> {
        self.machines.heard.remove(&conn(c)).unwrap_or_default()
    }

    #[track_caller]
    pub(super) fn expect_device(&mut self, c: u16, lines: &[&str]) -> &mut World {
        assert_eq!(self.device_news(c), lines, "heard by device link {c} until {} ms", self.ms);
        self
    }

    /// What link `c` has heard about devices.
    #[track_caller]
    pub(super) fn expect_about(&mut self, c: u16, news: &[&str]) -> &mut World {
        let about = ["control", "commanded", "answered", "device", "telemetry", "offered"];
        let mut heard = self.news(c);
        heard.retain(|line| about.iter().any(|kind| line.starts_with(kind)));
        assert_eq!(heard, news, "heard about devices on link {c} until {} ms", self.ms);
        self
    }

    pub(super) fn holder(&self, device: &str) -> Option<SessionId> {
        self.hub.devices().iter().find(|d| &*d.name == device).and_then(|d| d.holder.as_ref().map(|m| m.session))
    }
}

impl Hub {
    /// What is true of devices between any two calls.
    pub(in crate::hub) fn check_devices(&self) {
        for (name, d) in &self.devices {
            assert_eq!(d.conn().is_none(), d.state == DeviceState::Down, "{name}");
            assert_eq!(d.conn().and_then(|c| self.device_conns.get(&c)), d.conn().map(|_| name), "{name}");
            if let Some(hold) = &d.hold {
                assert!(d.conn().is_some(), "{name} is down and held");
                let s = self.sessions.get(hold.session).expect("held by nobody that is known");
                assert!(s.seat.is_some() && s.role >= Role::Operator, "{name} is held by one who may not");
            }
            assert!(d.conn().is_some() || d.pending.is_empty(), "{name} is down and owes answers");
            if let Some(due) = self.device_due(d) {
                assert!(self.next.is_some_and(|next| next <= due), "nothing wakes for {name}");
            }
        }
        assert_eq!(self.device_conns.len(), self.devices.values().filter(|d| d.conn().is_some()).count());
    }
}

// --------------------------------------------------------------------------------------------------- devices

#[test]
fn a_device_is_welcomed_and_everybody_is_told_how_it_is() {
    let mut w = World::new();
    w.member("ann", 1);
    w.news(1);
    w.device("pump", 50);
    w.expect_device(50, &["welcome pump", "control -"]).expect(1, &["device pump up hello"]);
    w.says(50, FromDevice::Ping("7".into())).expect_device(50, &["pong 7"]);
    w.live(10_000).expect(1, &[]);
    // It falls silent, is heard again, falls silent for good.
    w.hang(50).at(11_199).expect(1, &[]);
    w.at(11_200).expect(1, &["device pump suspect silent"]);
    w.at(12_000).says(50, FromDevice::Blank).expect(1, &["device pump up -"]);
    w.at(16_999).expect(1, &["device pump suspect silent"]);
    w.at(17_000).expect(1, &["device pump down silent"]);
    assert_eq!(w.machines.ended, [(conn(50), "silent".into())]);
    assert_eq!(w.hub.devices()[0].state, DeviceState::Down);
}

#[test]
fn output_that_a_device_does_not_take_makes_it_suspect_even_if_it_talks() {
    let mut w = World::new();
    w.member("ann", 1);
    w.device("pump", 50);
    w.live(2_000).news(1);
    let waits = |w: &mut World, since: Option<u64>| {
        let now = w.now();
        w.hub.device_waits(now, conn(50), since.map(Moment::from_millis), &mut w.fx);
        w.settle();
    };
    waits(&mut w, Some(2_000));
    w.live(3_199).expect(1, &[]);
    w.live(3_200).expect(1, &["device pump suspect silent"]);
    waits(&mut w, None);
    w.expect(1, &["device pump up -"]);
}

#[test]
fn every_end_of_a_devices_link_has_its_reason() {
    type End = fn(&mut World);
    let table: [(&str, &str, End); 6] = [
        ("left", "closed", |w| {
            w.says(50, FromDevice::Bye);
        }),
        ("left", "closed", |w| {
            w.fin(50);
        }),
        ("lost", "reset", |w| {
            w.lose(50, 2_300, Evidence::NoAck);
        }),
        ("lost", "reset", |w| {
            w.lose(50, 0, Evidence::Reset);
        }),
        ("silent", "silent", |w| {
            w.end(50, LinkEnd::Slow);
        }),
        ("protocol", "protocol", |w| {
            let now = w.now();
            w.hub.device_broke(now, conn(50), &mut w.fx);
            w.settle();
        }),
    ];
    for (reason, ended, end) in table {
        let mut w = World::new();
        let ann = w.panel("ann", 1, &["pump"]);
        w.device("pump", 50);
        w.take(ann, "pump").expect("control");
        let id = w.command(ann, "start", "{}").expect("sent");
        w.news(1);
        w.device_news(50);
        end(&mut w);
        let down = format!("device pump down {reason}");
        let answered = format!("answered pump {id} null \"unknown\"");
        w.expect_about(1, &[&down, "control pump - ann device", &answered]);
        w.expect_device(50, &["safe device ann 0", "control -"]);
        assert_eq!(w.machines.ended, [(conn(50), ended.to_string())], "{reason}");
        assert_eq!(w.holder("pump"), None);
    }
}

#[test]
fn a_second_hello_replaces_the_older_link() {
    let mut w = World::new();
    let ann = w.panel("ann", 1, &["pump"]);
    w.device("pump", 50);
    w.take(ann, "pump").expect("control");
    let id = w.command(ann, "start", "{}").expect("sent");
    w.device_news(50);
    w.news(1);
    w.device("pump", 51);
    w.expect_device(50, &["safe device ann 0", "control -"]).expect_device(51, &["welcome pump", "control -"]);
    let answered = format!("answered pump {id} null \"unknown\"");
    w.expect_about(1, &["device pump down replaced", "control pump - ann device", &answered, "device pump up hello"]);
    assert_eq!(w.machines.ended, [(conn(50), "replaced".into())]);
    // What the old link still says is nobody's word; its end is no news.
    w.says(50, FromDevice::Bye).fin(50).expect(1, &[]);
    // The answer comes over the new link: late, once.
    w.answers(51, id, true).expect(1, &[&format!("answered pump {id} true 1 late")]);
    w.answers(51, id, true).expect(1, &[]).expect_device(51, &["error answer"]);
}

#[test]
fn telemetry_comes_at_most_ten_times_a_second_and_the_newest_value_wins() {
    let mut w = World::new();
    w.member("ann", 1);
    w.device("pump", 50);
    w.news(1);
    for i in 0..50 {
        let values = vec![("rpm".into(), i.to_string().into()), (format!("t{}", i % 2).into(), "1".into())];
        w.at(20 * i).says(50, FromDevice::Telemetry(values));
    }
    let heard = w.news(1);
    assert_eq!(heard.len(), 10, "{heard:?}");
    assert_eq!(heard[0], "telemetry pump rpm=0 t0=1");
    assert_eq!(heard[1], "telemetry pump rpm=4 t0=1 t1=1");
    w.at(1_100);
    assert_eq!(w.news(1), ["telemetry pump rpm=49 t0=1 t1=1"]);
    let device = &w.hub.devices()[0];
    assert_eq!(device.telemetry[0], ("rpm".into(), "49".into()));
    assert_eq!(device.telemetry_ms, Some(1_700_000_000_980));
}

#[test]
fn devices_that_are_down_are_remembered_up_to_a_bound() {
    let mut w = World::new();
    for i in 0..100 {
        w.device(&format!("d{i:03}"), 50 + i);
        w.after(10).fin(50 + i);
    }
    let names: Vec<_> = w.hub.devices().iter().map(|d| d.name.to_string()).collect();
    assert_eq!((names.len(), names[0].as_str(), names[63].as_str()), (64, "d036", "d099"));
}

// --------------------------------------------------------------------------------------------------- control

/// Ann with a page holds the pump (link 50); bob watches on link 2.
fn held() -> (World, SessionId) {
    let mut w = World::new();
    let ann = w.panel("ann", 1, &["pump"]);
    w.panel("bob", 2, &[]);
    w.device("pump", 50);
    w.live(10_000);
    w.take(ann, "pump").expect("control");
    w.expect_device(50, &["welcome pump", "control -", "control ann"]);
    w.news(2);
    (w, ann)
}

#[test]
fn every_way_in_which_control_ends_has_its_reason_and_its_time_and_safe_where_nobody_decided_it() {
    type Act = fn(&mut World, SessionId);
    // What happens at 10 s, when control has ended, what the device hears before `control -`, and why.
    let table: &[(&str, u64, &str, &str, Act)] = &[
        ("released", 10_000, "", "released", |w, ann| {
            w.release(ann, "pump").unwrap();
        }),
        ("cable cut", 12_300, "safe lost ann 2300", "lost", |w, _| {
            w.freeze(1).live(11_200).suspect(1, 1_200).live(12_300).lose(1, 2_300, Evidence::NoAck);
        }),
        ("reset", 10_200, "safe lost ann 300", "lost", |w, _| {
            w.freeze(1).lose(1, 100, Evidence::Reset);
        }),
        ("browser killed", 13_000, "safe left ann 3000", "left", |w, _| {
            w.freeze(1).fin(1);
        }),
        ("evicted", 10_000, "safe left ann 0", "left", |w, ann| {
            let admin = w.browser("admin", addr(9));
            w.page(admin).expect("a seat");
            w.freeze(1);
            let now = w.now();
            w.hub.evict(now, admin, ann, &mut w.fx).expect("evicted");
        }),
        ("logged out", 10_000, "safe left ann 0", "left", |w, ann| {
            w.freeze(1);
            let now = w.now();
            w.hub.logout(now, ann, &mut w.fx);
        }),
        ("expired", 10_000, "safe left ann 0", "left", |w, _| {
            w.freeze(1);
            let now = w.now();
            w.hub.user_changed(now, "ann", &mut w.fx);
        }),
        ("role lost", 10_000, "safe left ann 0", "left", |w, _| {
            let now = w.now();
            w.hub.role_changed(now, "ann", Role::Viewer, &mut w.fx);
        }),
        ("too slow", 10_000, "safe left ann 0", "left", |w, _| {
            w.freeze(1).end(1, LinkEnd::Slow);
        }),
        ("page frozen", 13_000, "safe page ann 3000", "page", |w, _| {
            w.freeze(1);
        }),
        ("silent for ever", 15_000, "safe page ann 5000", "page", |w, _| {
            w.freeze(1).suspect(1, 0);
        }),
        ("page lets go of it", 13_000, "safe page ann 3000", "page", |w, ann| {
            w.freeze(1);
            w.machines.pages.push(Page { id: ann, conn: 1, tab: "tab1".into(), hold: vec!["other"] });
        }),
        ("device gone", 10_000, "safe device ann 0", "device", |w, _| {
            w.says(50, FromDevice::Bye);
        }),
    ];
    for (what, at, safe, reason, act) in table {
        let (mut w, ann) = held();
        act(&mut w, ann);
        w.settle();
        if *at > w.ms {
            w.live(at - 1);
            assert_eq!(w.holder("pump"), Some(ann), "{what}: too soon");
        }
        w.live(*at);
        assert_eq!(w.holder("pump"), None, "{what}: too late");
        let log = w.hub.log_since(None, 100).events;
        let control = log.iter().filter_map(|e| match &e.what {
            What::Control { holder: None, reason, .. } => Some(reason.word()),
            _ => None,
        });
        assert_eq!(control.collect::<Vec<_>>(), [*reason], "{what}");
        let expected: Vec<&str> = [*safe, "control -"].into_iter().filter(|line| !line.is_empty()).collect();
        assert_eq!(w.device_news(50), expected, "{what}");
        if *reason != "device" {
            let bob = w.hub.members().iter().find(|m| &*m.user == "bob").map(|m| m.session).expect("bob is here");
            w.take(bob, "pump").expect("free for the next one at once");
        }
    }
}

#[test]
fn a_server_that_stops_says_safe_before_bye() {
    let (mut w, ann) = held();
    let id = w.command(ann, "start", "{}").expect("sent");
    w.device_news(50);
    let now = w.now();
    w.hub.shutdown(now, &mut w.fx);
    let mut told = Vec::new();
    for effect in std::mem::take(&mut w.fx) {
        match effect {
            Effect::Device(DeviceEffect::Close { conn: c, why }) if c == conn(50) => {
                told.append(&mut w.device_news(50));
                told.push(format!("bye {why}"));
            }
            Effect::Device(effect) => w.machines.take(effect),
            Effect::Deliver { to, message } => to.iter().for_each(|c| w.ears.entry(*c).or_default().hear(&message)),
            Effect::Close { .. } | Effect::Park { .. } => {}
        }
    }
    assert_eq!(told, ["safe shutdown ann 0", "control -", "bye shutdown"]);
    let answered = format!("answered pump {id} null \"unknown\"");
    w.news(1);
    w.expect_about(2, &["commanded ann@1 pump start {}", "control pump - ann shutdown", &answered]);
    assert_eq!(w.hub.deadline(), None);
}

#[test]
fn a_device_whose_token_was_being_checked_when_the_server_stopped_is_told_bye() {
    let mut w = World::new();
    let now = w.now();
    w.hub.shutdown(now, &mut w.fx);
    w.device("pump", 50);
    assert_eq!(w.machines.ended, [(conn(50), "shutdown".into())]);
    assert_eq!((w.device_news(50), w.hub.devices_up(), w.hub.newest().seq), (vec![], 0, 0));
}

#[test]
fn control_is_taken_by_one_and_the_others_are_told_who_has_it() {
    let (mut w, ann) = held();
    let bob = w.hub.members()[1].session;
    let Err(ControlError::Held(holder)) = w.take(bob, "pump") else { panic!("two holders") };
    assert_eq!((&*holder.user, w.holder("pump")), ("ann", Some(ann)));
    assert_eq!(w.take(bob, "fan"), Err(ControlError::NoDevice));
    let Err(ControlError::NotHeld(Some(_))) = w.release(bob, "pump") else { panic!("not bob's to release") };
    assert!(w.take(ann, "pump").is_ok(), "once more is no news");
    w.expect_about(2, &[]).expect_device(50, &[]);
    w.release(ann, "pump").expect("released");
    w.expect_about(2, &["control pump - ann released"]).expect_device(50, &["control -"]);
    assert!(matches!(w.release(ann, "pump"), Err(ControlError::NotHeld(None))));
    w.take(bob, "pump").expect("free");
    w.expect_about(2, &["control pump bob - taken"]);
    let vic = w.panel("vic", 3, &[]);
    assert_eq!(w.take(vic, "pump"), Err(ControlError::Role));
    assert_eq!(w.take_by(bob, "pump", Take { lease: None, force: true }), Err(ControlError::Role));
    w.fin(50);
    assert_eq!(w.take(ann, "pump"), Err(ControlError::Down));
}

#[test]
fn an_admin_may_force_and_the_device_runs_on() {
    let (mut w, _) = held();
    let admin = w.panel("admin", 3, &["pump"]);
    assert!(matches!(w.take(admin, "pump"), Err(ControlError::Held(_))));
    w.take_by(admin, "pump", Take { lease: None, force: true }).expect("forced");
    w.expect_device(50, &["control admin"]).expect_about(2, &["control pump admin ann forced"]);
    assert_eq!(w.command(admin, "start", "{}").map(|_| ()), Ok(()));
}

#[test]
fn an_offer_is_taken_within_ten_seconds_or_the_giver_keeps_control() {
    let (mut w, ann) = held();
    let bob = w.hub.members()[1].session;
    let mia = w.panel("mia", 3, &["pump"]);
    let vic = w.panel("vic", 4, &[]);
    w.news(3);
    assert_eq!(w.give(ann, "pump", vic), Err(ControlError::CannotHold));
    assert_eq!(w.give(ann, "pump", ann), Err(ControlError::Nobody));
    assert_eq!(w.give(ann, "pump", SessionId(1)), Err(ControlError::Nobody));
    assert!(matches!(w.give(bob, "pump", mia), Err(ControlError::NotHeld(Some(_)))));
    w.give(ann, "pump", mia).expect("offered");
    w.expect_about(3, &["offered pump ann mia"]).expect_about(2, &[]);
    assert!(matches!(w.take(bob, "pump"), Err(ControlError::Held(_))), "it was not offered to bob");
    assert!(w.command(ann, "start", "{}").is_ok(), "until then the giver has it");
    w.live(20_000);
    assert!(matches!(w.take(mia, "pump"), Err(ControlError::Held(_))), "too late");
    w.give(ann, "pump", mia).expect("offered");
    w.live(29_999).device_news(50);
    w.news(2);
    w.take(mia, "pump").expect("given");
    w.expect_about(2, &["control pump mia ann given"]).expect_device(50, &["control mia"]);
    w.live(40_000);
    assert_eq!(w.holder("pump"), Some(mia), "and her page keeps it");
}

#[test]
fn a_reloaded_page_keeps_control_and_one_that_comes_back_too_late_does_not() {
    let (mut w, ann) = held();
    w.freeze(1).fin(1);
    w.live(12_900);
    w.panel_again(ann, 101, 2, &["pump"]);
    w.live(60_000);
    assert_eq!(w.holder("pump"), Some(ann));
    w.expect_device(50, &[]);
    w.freeze(101).fin(101);
    w.live(63_000);
    w.panel_again(ann, 201, 3, &["pump"]);
    w.live(70_000).expect_device(50, &["safe left ann 3000", "control -"]);
    assert_eq!(w.holder("pump"), None, "control never returns by itself");
}

#[test]
fn control_does_not_outlast_a_short_linger_either() {
    let mut w = World::with(|s| s.seats.linger = Duration::from_millis(700));
    let ann = w.panel("ann", 1, &["pump"]);
    w.device("pump", 50);
    w.live(10_000);
    w.take(ann, "pump").expect("control");
    w.device_news(50);
    w.freeze(1).fin(1);
    w.live(10_699).expect_device(50, &[]);
    w.live(10_700).expect_device(50, &["safe left ann 700", "control -"]);
}

#[test]
fn reconnecting_without_an_answer_gains_a_page_nothing() {
    let (mut w, ann) = held();
    w.freeze(1);
    for n in 0..6 {
        // every 700 ms a new link, never an answer
        w.live(10_000 + 700 * u64::from(n));
        assert_eq!(w.tab(ann, 300 + n, "tab1", 10 + u64::from(n)), Ok(()));
    }
    assert_eq!(w.holder("pump"), None);
    assert_eq!(w.device_news(50)[0], "safe page ann 3000");
}

#[test]
fn one_answer_counts_once_whoever_gives_it() {
    let (mut w, ann) = held();
    w.freeze(1);
    let n = w.hub.beat_number(w.now());
    for (c, ms) in (7..).zip([10_500, 11_000, 11_500, 12_000, 12_500, 13_000]) {
        w.live(ms);
        // always another page, always the same old beat
        let tab = format!("other{c}");
        assert_eq!(w.tab(ann, c, &tab, 1), Ok(()));
        let now = w.now();
        w.hub.beat_sent(now, conn(c), n);
        assert_eq!(w.hub.beat_answer(now, ann, &tab, n, &["pump"], &mut w.fx), BeatAnswer::Counted);
        w.settle();
    }
    w.live(13_500);
    assert_eq!(w.holder("pump"), None);
}

#[test]
fn an_outage_of_two_seconds_stops_nothing() {
    let (mut w, ann) = held();
    let pages = w.machines.pages.clone();
    w.freeze(1).live(11_200);
    w.suspect(1, 1_200).live(12_900).recover(1);
    w.machines.pages = pages;
    w.live(60_000);
    assert_eq!(w.holder("pump"), Some(ann));
    w.expect_device(50, &[]);
}

#[test]
fn time_in_which_the_server_stood_still_ends_no_control() {
    let (mut w, ann) = held();
    w.hub.stood_still(Duration::from_secs(20));
    w.at(30_000);
    assert_eq!(w.holder("pump"), Some(ann));
    w.live(60_000);
    assert_eq!(w.holder("pump"), Some(ann));
}

#[test]
fn without_a_page_control_needs_a_lease_which_only_use_renews() {
    let mut w = World::new();
    let ann = w.curl("ann", addr(1));
    w.ask(ann, Asked::Act).expect("a seat");
    w.device("pump", 50);
    assert_eq!(w.take(ann, "pump"), Err(ControlError::Lease));
    assert_eq!(w.lease(ann, "pump", 61), Err(ControlError::Lease), "above lease_max");
    assert_eq!(w.lease(ann, "pump", 0), Err(ControlError::Lease));
    w.lease(ann, "pump", 10).expect("control");
    w.live(9_000);
    w.lease(ann, "pump", 10).expect("renewed");
    w.live(18_000);
    w.command(ann, "start", "{}").expect("renews too");
    w.ask(ann, Asked::Act).expect("reading does not");
    w.device_news(50);
    w.live(27_999).expect_device(50, &[]);
    w.live(28_000).expect_device(50, &["safe lease ann 10000", "control -"]);
}

#[test]
fn a_lease_does_not_outlast_the_last_link_and_counts_the_boards_sleep() {
    let mut w = World::new();
    let ann = w.member("ann", 1);
    w.device("pump", 50);
    w.lease(ann, "pump", 60).expect("an SSE link of curl is no page");
    w.live(5_000);
    w.device_news(50);
    w.fin(1).live(7_999).expect_device(50, &[]);
    w.live(8_000).expect_device(50, &["safe left ann 3000", "control -"]);

    let bob = w.curl("bob", addr(2));
    w.ask(bob, Asked::Act).expect("a seat");
    w.lease(bob, "pump", 60).expect("control");
    w.device_news(50);
    let now = w.now();
    w.hub.slept(now, Duration::from_secs(59));
    w.live(8_999).expect_device(50, &[]);
    w.live(9_000).expect_device(50, &["safe lease bob 1000", "control -"]);
}

#[test]
fn a_member_whose_control_counts_on_their_seat_is_not_taken_it_away() {
    let mut w = World::with(|s| s.seats.max = 1);
    let ann = w.panel("ann", 1, &["pump"]);
    w.device("pump", 50);
    w.live(1_000);
    w.take(ann, "pump").expect("control");
    w.suspect(1, 1_200);
    let newer = w.browser("ann", addr(1));
    assert_eq!(w.page(newer), Err(NoSeat::Full));
    w.release(ann, "pump").expect("released");
    assert_eq!(w.page(newer), Ok(Some(1)));
}

#[test]
fn holders_get_beats_twice_a_second_whatever_the_profile() {
    let mut w = World::with(|s| s.beat = Duration::from_secs(10));
    let ann = w.panel("ann", 1, &["pump"]);
    w.device("pump", 50);
    w.machines.paces.clear();
    w.take(ann, "pump").expect("control");
    assert_eq!(std::mem::take(&mut w.machines.paces), [(conn(1), true)]);
    w.panel_again(ann, 101, 2, &["pump"]);
    assert_eq!(std::mem::take(&mut w.machines.paces), [(conn(101), true)]);
    w.release(ann, "pump").expect("released");
    assert_eq!(w.machines.paces, [(conn(101), false)]);
}

// -------------------------------------------------------------------------------------------------- commands

#[test]
fn a_command_is_in_the_log_before_the_device_gets_it_and_is_answered_once() {
    let (mut w, ann) = held();
    let now = w.now();
    let args = Args::new(Some(json(r#"{"rpm":900}"#))).expect("an object");
    let beat = Some(w.hub.beat_number(now));
    let order = Order { device: "pump", command: "speed", args: &args, beat, reference: None, waiter: Some(conn(30)) };
    let id = w.hub.command(now, ann, &order, &mut w.fx).expect("sent").id;
    let kinds: Vec<&str> =
        w.fx.iter()
            .map(|effect| match effect {
                Effect::Deliver { message, .. } => message.kind().word(),
                Effect::Device(DeviceEffect::Tell { .. }) => "tell",
                other => panic!("{other:?}"),
            })
            .collect();
    assert_eq!(kinds, ["commanded", "tell"]);
    w.settle();
    let line = format!("{} speed {{\"rpm\":900}} ann", id.seq);
    w.expect_device(50, &[&line]).expect_about(2, &["commanded ann@1 pump speed {\"rpm\":900}"]);
    w.answers(50, id.seq, true);
    w.expect_about(2, &[&format!("answered pump {} true 1", id.seq)]);
    assert_eq!(w.machines.answered, [(conn(30), "Some(true) 1".into())]);
    w.answers(50, id.seq, true).expect_about(2, &[]).expect_device(50, &["error answer"]);
}

#[test]
fn refusals_come_in_their_order_and_nothing_reaches_the_device() {
    let (mut w, ann) = held();
    let bob = w.hub.members()[1].session;
    let vic = w.panel("vic", 4, &[]);
    let args = Args::default();
    let fresh = w.hub.beat_number(w.now());
    let order = |command: &'static str, beat: Option<u64>| (command, beat);
    let ask = |w: &mut World, id: SessionId, device: &str, (command, beat): (&str, Option<u64>)| {
        w.order(id, &Order { device, command, args: &args, beat, reference: None, waiter: None }).map(|_| ())
    };
    w.device_news(50);
    assert_eq!(ask(&mut w, ann, "fan", order("speed", None)), Err(CommandError::NoDevice));
    assert!(matches!(ask(&mut w, bob, "pump", order("fly", None)), Err(CommandError::NoCommand { .. })));
    assert!(matches!(ask(&mut w, vic, "pump", order("start", None)), Err(CommandError::Role)));
    assert!(matches!(ask(&mut w, bob, "pump", order("start", None)), Err(CommandError::NoControl(Some(_)))));
    assert_eq!(ask(&mut w, ann, "pump", order("speed", None)), Err(CommandError::BeatMissing));
    let stale = |r: Result<(), CommandError>| matches!(r, Err(CommandError::Stale { .. }));
    assert!(stale(ask(&mut w, ann, "pump", order("speed", Some(fresh - 10)))), "too old");
    assert!(stale(ask(&mut w, ann, "pump", order("speed", Some(fresh + 1)))), "never sent");
    assert!(stale(ask(&mut w, ann, "pump", order("speed", Some(7)))), "of another epoch");
    assert!(matches!(ask(&mut w, ann, "pump", order("speed", Some(fresh))), Err(CommandError::Args(_))));
    w.hang(50).at(11_300);
    let fresh = w.hub.beat_number(w.now());
    assert_eq!(ask(&mut w, ann, "pump", order("start", Some(fresh))), Err(CommandError::Suspect));
    w.fin(50);
    assert_eq!(ask(&mut w, ann, "pump", order("start", Some(fresh))), Err(CommandError::Down));
    assert_eq!(w.machines.commands, []);
}

#[test]
fn the_age_of_a_command_is_that_of_the_beat_it_names() {
    for (age_ms, good) in [(0, true), (500, true), (1_900, true), (2_000, true), (2_001, false), (5_000, false)] {
        let (mut w, ann) = held();
        w.live(20_000);
        let beat = Some(w.hub.beat_number(w.now()));
        // the page goes on answering; only this command was on its way for so long
        w.live(20_000 + age_ms);
        let order =
            Order { device: "pump", command: "start", args: &Args::default(), beat, reference: None, waiter: None };
        assert_eq!(w.order(ann, &order).is_ok(), good, "{age_ms} ms");
    }
}

#[test]
fn a_beat_that_came_over_an_earlier_link_is_as_old_as_it_can_be() {
    for (ms, good) in [(21_950, true), (22_050, false)] {
        let (mut w, ann) = held();
        w.live(20_000);
        let beat = Some(w.hub.beat_number(w.now()));
        w.freeze(1).live(20_100);
        assert_eq!(w.tab(ann, 3, "tab1", 2), Ok(()));
        // the new link beats at other moments than the old one did
        w.live(20_900);
        let (now, n) = (w.now(), w.hub.beat_number(w.now()));
        w.hub.beat_sent(now, conn(3), n);
        w.live(ms);
        let order =
            Order { device: "pump", command: "start", args: &Args::default(), beat, reference: None, waiter: None };
        assert_eq!(w.order(ann, &order).is_ok(), good, "at {ms} ms");
    }
}

#[test]
fn a_beat_from_before_the_board_slept_makes_a_command_stale() {
    let (mut w, ann) = held();
    let beat = Some(w.hub.beat_number(w.now()));
    let now = w.now();
    w.hub.slept(now, Duration::from_secs(30));
    let order = Order { device: "pump", command: "start", args: &Args::default(), beat, reference: None, waiter: None };
    assert!(matches!(w.order(ann, &order), Err(CommandError::Stale { .. })));
    w.live(10_500);
    let beat = Some(w.hub.beat_number(w.now()));
    assert!(w.order(ann, &Order { beat, ..order }).is_ok());
}

#[test]
fn a_device_owes_at_most_sixteen_answers_and_one_that_stays_away_is_unknown_in_time() {
    let (mut w, ann) = held();
    let ids: Vec<u64> = (0..16).map(|_| w.command(ann, "start", "{}").expect("sent")).collect();
    assert_eq!(w.command(ann, "start", "{}"), Err(CommandError::Busy));
    w.answers(50, ids[3], false);
    let last = w.command(ann, "start", "{}").expect("room for one");
    w.news(2);
    w.live(39_999).expect_about(2, &[]);
    w.live(40_000);
    let news = w.news(2);
    assert_eq!(news.len(), 16);
    assert!(news.iter().all(|line| line.ends_with("null \"unknown\"")), "{news:?}");
    w.answers(50, last, true).expect_about(2, &[&format!("answered pump {last} true 1 late")]);
    assert_eq!(w.hub.counters().answers_unknown, 16);
}

#[test]
fn the_same_reference_of_a_session_does_a_command_once_for_a_minute() {
    let (mut w, ann) = held();
    let reference = Ref::from_json("\"a\"");
    let args = Args::default();
    let order = |w: &World| Order {
        device: "pump",
        command: "start",
        args: &args,
        beat: Some(w.hub.beat_number(w.now())),
        reference: reference.as_ref(),
        waiter: Some(conn(30)),
    };
    let ask = order(&w);
    let first = w.order(ann, &ask).expect("sent");
    assert_eq!(w.order(ann, &ask).expect("the same"), first);
    w.answers(50, first.id.seq, true);
    assert_eq!(w.machines.answered.len(), 2, "both requests are answered");
    w.live(69_999);
    // also when it could not be done now: it was done
    assert_eq!(w.order(ann, &ask).expect("the same").id, first.id);
    assert!(w.order(ann, &ask).expect("the same").answer.is_some());
    w.live(70_000);
    let ask = order(&w);
    assert_ne!(w.order(ann, &ask).expect("a new one").id, first.id);
    assert_eq!(w.machines.commands.len(), 2);
}

#[test]
fn an_emergency_stop_gets_through_though_something_else_was_named_like_it() {
    let (mut w, ann) = held();
    let reference = Ref::from_json("1");
    let ask = |w: &mut World, command: &str, args: &str| {
        let args = Args::new(Some(json(args))).expect("an object");
        let beat = Some(w.hub.beat_number(w.now()));
        let order = Order { device: "pump", command, args: &args, beat, reference: reference.as_ref(), waiter: None };
        w.order(ann, &order).expect("sent").id.seq
    };
    let start = ask(&mut w, "start", "{}");
    assert_eq!(ask(&mut w, "speed", r#"{"rpm":1}"#), start, "named alike: done already");
    let stop = ask(&mut w, "stop", "{}");
    let hard = ask(&mut w, "stop", r#"{"hard":true}"#);
    assert_eq!([stop, hard], [start + 1, start + 2]);
    for id in [stop, hard] {
        w.answers(50, id, true);
    }
    w.live(20_000);
    assert_eq!((ask(&mut w, "stop", "{}"), ask(&mut w, "stop", r#"{"hard":true}"#)), (stop, hard), "these were done");
}

#[test]
fn an_emergency_stop_gets_through_whoever_sends_it_and_however_busy_the_device_is() {
    let (mut w, ann) = held();
    while w.command(ann, "start", "{}").is_ok() {}
    w.device_news(50);
    // a viewer without a seat, without control, without a beat
    let vic = w.curl("vic", addr(9));
    let stop = |w: &mut World, args: &str| {
        let args = Args::new(Some(json(args))).expect("an object");
        let order =
            Order { device: "pump", command: "stop", args: &args, beat: None, reference: None, waiter: Some(conn(30)) };
        w.order(vic, &order).map(|done| done.id.seq)
    };
    let id = stop(&mut w, "{}").expect("sent");
    w.expect_device(50, &[&format!("{id} stop {{}} vic")]);
    assert_eq!(stop(&mut w, "{}"), Ok(id), "pressed again: it is on its way");
    assert!(matches!(stop(&mut w, r#"{"hard":5}"#), Err(CommandError::Args(_))));
    assert_ne!(stop(&mut w, r#"{"hard":true}"#), Ok(id));
    // also while the device is not heard: late is better than never
    w.hang(50).after(1_300);
    w.answers(50, id, true).after(1_300);
    assert_ne!(stop(&mut w, "{}").expect("sent"), id);
    assert_eq!(w.machines.answered.len(), 2);
    w.fin(50);
    assert_eq!(stop(&mut w, "{}"), Err(CommandError::Down));
}
