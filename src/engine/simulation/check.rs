//! What must be true after every turn of the server, said from outside.

use std::collections::BTreeMap;

use super::network::MS;
use super::world::World;
use crate::engine::connection::Connection;
use crate::engine::driver::timers::Deadlined;
use crate::engine::protocols::{Engine, Stage};
use crate::msg::{ControlReason, Evidence, Presence, SessionId, What};

/// `control.max_silence` and `control.page_after`.
const MAX_SILENCE: u64 = 7000 * MS;
const PAGE_AFTER: u64 = 2000 * MS;
/// What the server may take beyond a bound while it runs.
const RUNNING: u64 = 250 * MS;
/// A vanished peer is noticed within so long (`standard`).
const NOTICED: u64 = 3000 * MS;
const ANSWER_AFTER: u64 = 30_000 * MS;

/// What became of a command.
#[derive(Debug)]
struct Fate {
    at: u64,
    answers: u32,
    unknown: bool,
    late: u32,
}

/// `safe` is due at a device.
struct Safe {
    due: u64,
    pump: usize,
    /// As many as it must have heard then.
    told: u64,
    /// Since when it hears what it is told.
    from: Option<u64>,
}

/// What is remembered from turn to turn.
#[derive(Default)]
pub struct Checks {
    /// When the newest turn ended.
    pub turned: u64,
    read: u64,
    fates: BTreeMap<u64, Fate>,
    /// Who holds each device, by the log; and since when.
    holders: BTreeMap<String, (SessionId, u64)>,
    safes: Vec<Safe>,
    /// Who was suspect, and when last.
    suspected: BTreeMap<SessionId, u64>,
    pub seen: BTreeMap<&'static str, u64>,
}

impl World {
    pub fn check(&mut self) {
        self.check_log();
        self.check_holders();
        self.check_roster();
        self.check_connections();
        self.check_safes();
    }

    fn saw(&mut self, what: &'static str) {
        *self.checks.seen.entry(what).or_default() += 1;
    }

    fn check_log(&mut self) {
        let view = self.driver.shared.hub.view();
        let newest = view.newest();
        if newest.seq > self.checks.read {
            let since = format!("{}-{}", newest.epoch.as_str(), self.checks.read);
            let slice = view.log_since(Some(&since), 10_000);
            assert!(!slice.gap, "events are lost between turns");
            self.checks.read = newest.seq;
            for event in &slice.events {
                self.event(event.id.seq, &event.what);
            }
        }
        let (now, down) = (self.now(), self.stalled_since(0));
        let late = |f: &Fate| f.answers == 0 && now > f.at + ANSWER_AFTER + RUNNING;
        if down == 0 {
            let bad = self.checks.fates.iter().find(|(_, f)| late(f));
            assert!(bad.is_none(), "never answered: {bad:?}");
        }
        if self.checks.fates.len() > 300 {
            self.checks.fates.retain(|_, f| f.answers == 0 || now < f.at + 120_000 * MS);
        }
    }

    fn event(&mut self, seq: u64, what: &What) {
        let now = self.now();
        if super::number("SIM_SHOW").is_some() {
            println!("{} ms: {what:?}", now / MS);
        }
        match what {
            What::Commanded { .. } => {
                self.checks.fates.insert(seq, Fate { at: now, answers: 0, unknown: false, late: 0 });
                self.saw("commanded");
            }
            What::Answered { to, ok, late, .. } => {
                if let Some(fate) = self.checks.fates.get_mut(&to.seq) {
                    if *late {
                        assert!(fate.unknown && ok.is_some(), "late without reason: {fate:?}");
                        fate.late += 1;
                    } else {
                        fate.answers += 1;
                        fate.unknown = ok.is_none();
                    }
                    assert!(fate.answers == 1 && fate.late <= 1, "answered twice: {fate:?}");
                }
                self.saw(if *late { "late" } else { "answered" });
            }
            What::Control { device, holder, was, reason } => {
                let held = self.checks.holders.remove(&**device).map(|(session, _)| session);
                assert_eq!(was.as_ref().map(|m| m.session), held, "{device}: two at once");
                if let Some(holder) = holder {
                    self.checks.holders.insert(device.to_string(), (holder.session, now));
                } else if reason.is_safe_sent() && *reason != ControlReason::Device {
                    let heard = self.pumps.iter().position(|p| p.name == &**device && p.hears_from().is_some());
                    if let Some(n) = heard {
                        let (told, from) = (self.pumps[n].safes + 1, self.pumps[n].hears_from());
                        self.checks.safes.push(Safe { due: now + 1000 * MS, pump: n, told, from });
                    }
                }
                self.saw(reason.word());
            }
            What::Lost { member, evidence, .. } => {
                self.saw("vanished");
                // a browser that is closed with something unread says RST
                assert!(
                    !self.net.calm || *evidence == Evidence::Reset,
                    "{} is here and answers, and is called lost",
                    member.user
                );
            }
            What::Joined { returned, .. } => self.saw(if *returned { "returned" } else { "joined" }),
            What::Left { reason, .. } => self.saw(reason.word()),
            What::TurnedAway { .. } => self.saw("turned_away"),
            What::Device { reason, .. } => self.saw(reason.map_or("heard", |r| r.word())),
            What::Said { .. } => self.saw("said"),
        }
    }

    /// Nobody holds a device who gives no sign.
    fn check_holders(&mut self) {
        let now = self.now();
        let view = self.driver.shared.hub.view();
        for member in view.members().iter().filter(|m| m.state == Presence::Suspect) {
            if super::number("SIM_SHOW").is_some() {
                println!("{} ms: suspect {} {}", now / MS, member.user, member.session);
            }
            self.checks.suspected.insert(member.session, now);
        }
        for device in view.devices() {
            let by_log = self.checks.holders.get(&*device.name);
            assert_eq!(device.holder.as_ref().map(|m| m.session), by_log.map(|(s, _)| *s), "{}", device.name);
            let (Some(holder), Some((_, taken))) = (&device.holder, by_log) else { continue };
            let name = holder.session.to_string();
            let Some(page) = self.pages.iter().find(|p| p.session.as_deref() == Some(&*name)) else { continue };
            let sign = page.signs.get(&*device.name).map_or(*taken, |at| *at.max(taken));
            let silent = now - sign;
            assert!(
                silent <= MAX_SILENCE + RUNNING,
                "{} holds {} and gave no sign for {} ms",
                holder.user,
                device.name,
                silent / MS
            );
            let heard = self.checks.suspected.get(&holder.session).is_none_or(|at| *at < sign);
            let whole = heard && page.linked <= sign && page.wire.as_ref().is_some_and(|w| !w.borrow().was_cut);
            let slept = self.slept_since(sign);
            let earned = (self.stalled_since(sign) - slept).min(PAGE_AFTER) + slept;
            assert!(
                !whole || silent <= PAGE_AFTER + earned + RUNNING,
                "{}'s page is {:?} for {} ms, and it holds {}: {:?}",
                holder.user,
                page.mood,
                silent / MS,
                device.name,
                view.members().iter().find(|m| m.session == holder.session)
            );
        }
    }

    fn check_roster(&mut self) {
        let view = self.driver.shared.hub.view();
        let members = view.members();
        assert!(view.seats_taken() <= view.seats_max(), "more seats than there are");
        assert_eq!(members.len(), usize::from(view.seats_taken()));
        for pair in members.windows(2) {
            assert!(pair[0].seat < pair[1].seat, "two on one seat");
        }
        for member in &members {
            assert_eq!(view.session(member.session).and_then(|s| s.seat), Some(member.seat));
        }
        let live = |c: &Connection| c.is_link() && c.is_page() && c.parked.is_none() && c.closing.is_none();
        for (id, conn) in self.driver.conns.iter().filter(|(_, c)| live(&c.state)) {
            let here = conn.state.session.is_some_and(|s| members.iter().any(|m| m.session == s));
            assert!(here, "{id:?} is the link of nobody who is here");
        }
    }

    /// Each connection: what it owes, and what it waits for.
    fn check_connections(&mut self) {
        let now = self.now();
        let shared = &self.driver.shared;
        let queue = shared.site.config.limits.link_queue as u64;
        for (id, wire) in &self.ids {
            let Some(conn) = self.driver.conns.get(*id) else { continue };
            let (state, ready) = (&conn.state, conn.ready);
            let tcp = wire.borrow();
            let owed = state.output.owed();
            if state.is_link() {
                assert!(owed <= queue.saturating_add(state.replay_quota) + 8192, "{id:?} owes {owed}");
            }
            assert!(state.input.len() <= 2 * 64 * 1024, "{id:?} keeps {} bytes", state.input.len());

            let what = || format!("{id:?} {} {ready:?} queued={}: {}", state.kind(), conn.queued, self.describe());
            // an end that has been noted is no news any more
            let news = tcp.has_news_beside(ready.fin) && !tcp.has_event();
            assert!(!news || ready.readable, "an edge was lost: {}", what());
            let reads = news && !state.is_full(ready);
            assert!(!reads || conn.queued, "nobody reads what has come: {}", what());
            assert!(!ready.fin || !state.ends_with_fin() || conn.queued, "nobody ends it: {}", what());
            assert!(
                ready.writable || tcp.is_blocked() || tcp.has_event(),
                "nobody says that it takes more: {}",
                what()
            );
            let due = state.deadline(&shared.timeouts);
            let waits = match &state.engine {
                Engine::Http(http) => matches!(http.stage, Stage::Waiting(_)),
                Engine::Device(device) => !device.is_awaited() && !device.is_up(),
                _ => false,
            };
            // for a check, if one is under way
            let waits = waits && self.driver.host.job.is_some();
            assert!(due.is_some() || waits || conn.queued, "it waits for nothing: {}", what());
            if let Some((at, _)) = due {
                let armed = conn.armed().at();
                assert!(armed.is_some_and(|armed| armed <= at), "no timer for {at:?}: {}", what());
            }
            // who has vanished is noticed
            let live = state.is_link() && state.parked.is_none() && state.closing.is_none();
            if let (true, Some(cut)) = (live, tcp.cut) {
                let gone = now - cut;
                let stalled = self.stalled_since(cut) * 2;
                assert!(gone <= NOTICED + RUNNING + stalled, "cut for {} ms, and not noticed: {}", gone / MS, what());
            }
        }
    }

    /// `safe` came to every device that could hear it.
    fn check_safes(&mut self) {
        let now = self.now();
        let (due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.checks.safes).into_iter().partition(|s| s.due <= now);
        self.checks.safes = rest;
        for Safe { pump, told, from, .. } in due {
            let pump = &self.pumps[pump];
            assert!(
                pump.hears_from() != from || pump.safes >= told,
                "{}: control is over, and `safe` did not come",
                pump.name
            );
        }
    }
}
