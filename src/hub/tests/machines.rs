//! Devices, control and commands: the language for them, and, below, the rules one by one.

mod commands;
mod control;
mod devices;
mod stops;

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
                    ToDevice::Command { command, args, id, by, .. } => {
                        self.commands.push((conn, id.event));
                        let again = id.to_string().split_once('.').map_or(String::new(), |(_, n)| format!(".{n}"));
                        format!("{}{again} {command} {args} {by}", id.event.seq)
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
        self.hub.handle(now, Input::DeviceHello { conn: conn(c), hello }, &mut self.fx);
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
                self.hub.handle(now, Input::DeviceLine { conn: conn(c), line: FromDevice::Pong }, &mut self.fx);
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
        let n = self.hub.view().beat_number(now);
        self.hub.handle(now, Input::BeatSent { conn: conn(page.conn), n }, &mut self.fx);
        self.answer(page.id, &page.tab, n, &page.hold);
    }

    // What they do.

    pub(super) fn take(&mut self, id: SessionId, device: &str) -> Result<Controlled, ControlError> {
        self.take_by(id, device, Take::default())
    }

    pub(super) fn take_by(&mut self, id: SessionId, device: &str, take: Take) -> Result<Controlled, ControlError> {
        self.control(id, device, ControlAction::Take(take))
    }

    fn control(&mut self, id: SessionId, device: &str, action: ControlAction) -> Result<Controlled, ControlError> {
        match self.wants(id, Ask::Control { device, action }) {
            Ok(Done::Controlled(done)) => Ok(done),
            Err(Denied::Control(why)) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn lease(&mut self, id: SessionId, device: &str, seconds: u64) -> Result<Controlled, ControlError> {
        self.take_by(id, device, Take { lease: Some(Duration::from_secs(seconds)), force: false })
    }

    pub(super) fn release(&mut self, id: SessionId, device: &str) -> Result<Controlled, ControlError> {
        self.control(id, device, ControlAction::Release)
    }

    pub(super) fn give(&mut self, id: SessionId, device: &str, to: SessionId) -> Result<Controlled, ControlError> {
        self.control(id, device, ControlAction::Give(to))
    }

    pub(super) fn order(&mut self, id: SessionId, order: &CommandRequest<'_>) -> Result<Issued, CommandError> {
        match self.wants(id, Ask::Command(order)) {
            Ok(Done::Issued(done)) => Ok(done),
            Err(Denied::Command(why)) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    /// `command` with `args`, naming the newest beat if there is a page that sees beats.
    pub(super) fn command(&mut self, id: SessionId, command: &str, args: &str) -> Result<u64, CommandError> {
        let args = Args::new(Some(json(args))).expect("an object");
        let beat = self.hub.has_page(id).then(|| self.hub.view().beat_number(self.now()));
        let order = CommandRequest { device: "pump", command, args: &args, beat, reference: None, waiter: None };
        self.order(id, &order).map(|done| done.id.seq)
    }

    pub(super) fn says(&mut self, c: u16, line: FromDevice) -> &mut World {
        self.happens(Input::DeviceLine { conn: conn(c), line });
        self
    }

    pub(super) fn answers(&mut self, c: u16, seq: u64, ok: bool) -> &mut World {
        let to = EventId { seq, ..self.hub.view().newest() }.to_string();
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
        self.hub.view().devices().iter().find(|d| &*d.name == device).and_then(|d| d.holder.as_ref().map(|m| m.session))
    }
}

impl Hub {
    /// What is true of devices between any two calls.
    pub(in crate::hub) fn check_devices(&self) {
        for (name, d) in self.devices.iter() {
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
