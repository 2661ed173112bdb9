//! Thousands of random steps against a simple shadow: after each one the house is in order, every link that hears
//! everything could draw the roster itself, nobody misses or hears twice, and whoever has a link is here.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// SplitMix64: the same steps for the same seed everywhere.
pub(in crate::hub) struct Dice(pub(in crate::hub) u64);

impl Dice {
    pub(in crate::hub) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        if of.is_empty() { None } else { Some(of[self.roll(of.len() as u64) as usize]) }
    }
}

/// What has to be true, told from outside with a few plain collections.
#[derive(Default)]
struct Shadow {
    /// Live links and their sessions.
    links: BTreeMap<u16, SessionId>,
    /// Sessions that are over for good.
    over: BTreeSet<SessionId>,
    known: Vec<SessionId>,
    next_conn: u16,
}

impl Shadow {
    /// The hub has closed some links by itself.
    fn note_closed(&mut self, w: &mut World) {
        for (c, why) in std::mem::take(&mut w.closed) {
            if let Some(id) = self.links.remove(&c.slot()) {
                let last = !self.links.values().any(|&other| other == id);
                let over = [CloseReason::Logout, CloseReason::Evicted, CloseReason::Idle];
                if last && over.contains(&why) {
                    self.over.insert(id);
                }
            }
        }
    }

    fn check(&self, w: &World) {
        let members = w.hub.view().members();
        let here: BTreeMap<SessionId, Presence> = members.iter().map(|m| (m.session, m.state)).collect();
        assert_eq!(here.len(), members.len(), "nobody is here twice");
        for (&c, id) in &self.links {
            assert!(here.contains_key(id), "link {c} of {id:?}, who is not here");
            let ear = &w.ears[&conn(c)];
            assert_eq!(ear.roster, here, "what link {c} has heard makes another roster");
            assert_eq!(ear.newest, w.hub.view().newest().seq, "link {c} has missed the newest event");
            assert!(ear.whole, "link {c} has missed something");
        }
        for id in &self.over {
            assert!(!here.contains_key(id), "{id:?} is over for good and here");
        }
        for m in &members {
            let links = self.links.values().filter(|&&id| id == m.session).count();
            assert_eq!(usize::from(m.links), links, "links of {}", m.session);
        }
        assert!(members.len() <= usize::from(w.hub.view().seats_max()));
        assert_eq!(w.hub.view().links(), self.links.len());
    }
}

fn simulate(seed: u64, steps: usize) -> Counters {
    let mut dice = Dice(seed);
    let mut w = World::with(|s| {
        s.seats.max = 3 + (seed % 4) as u16;
        s.seats.per_user = (seed % 3) as u16 * 2;
        s.seats.reserved = (seed % 2) as u16;
        s.seats.idle = Duration::from_secs([0, 120][(seed % 2) as usize]);
        s.lifetime = Duration::from_secs(300);
        s.chat.history = 20;
    });
    let mut shadow = Shadow::default();
    for _ in 0..steps {
        let wait = [0, 1, 50, 500, 2_000, 20_000][dice.roll(6) as usize];
        w.at(w.ms + dice.roll(wait + 1));
        shadow.note_closed(&mut w);
        step(&mut w, &mut shadow, &mut dice);
        shadow.note_closed(&mut w);
        shadow.check(&w);
    }
    // Everybody goes home.
    for &c in shadow.links.keys() {
        w.fin(c);
    }
    shadow.links.clear();
    w.after(61_000);
    assert_eq!((w.hub.view().seats_taken(), w.hub.view().deadline()), (0, None));
    w.hub.view().counters().clone()
}

fn step(w: &mut World, shadow: &mut Shadow, dice: &mut Dice) {
    let links: Vec<u16> = shadow.links.keys().copied().collect();
    let link = dice.pick(&links);
    let session = dice.pick(&shadow.known);
    let now = w.now();
    match dice.roll(20) {
        0 => {
            let user = ["ann", "bob", "mia", "vic", "admin"][dice.roll(5) as usize];
            let from = addr(dice.roll(3) as u8);
            let id = if dice.roll(3) == 0 { w.curl(user, from) } else { w.browser(user, from) };
            shadow.known.retain(|&known| w.hub.view().session(known).is_some());
            if !shadow.known.contains(&id) {
                shadow.known.push(id);
            }
        }
        1..=4 => {
            let Some(id) = session else { return };
            shadow.next_conn += 1;
            let c = shadow.next_conn;
            let tab = (dice.roll(2) == 0).then(|| Tab { name: format!("t{}", dice.roll(2)).into(), n: dice.roll(50) });
            let back = dice.roll(30).min(w.hub.view().newest().seq);
            let last = (dice.roll(2) == 0).then(|| {
                let newest = w.hub.view().newest();
                EventId { seq: newest.seq - back, ..newest }.to_string().into()
            });
            let spec = LinkSpec { tab, last, ..spec() };
            let asked = spec.last.is_some().then(|| w.hub.view().newest().seq - back);
            if let Some(from) = asked {
                // A replay has to go on exactly where it was asked for.
                w.ears.insert(conn(c), Ear { newest: 0, ..Ear::default() });
                shadow_replay(w, shadow, id, c, spec, from);
            } else if w.open(id, c, spec).is_ok() {
                shadow.links.insert(c, id);
            }
        }
        5 | 6 => {
            let Some(id) = session else { return };
            let purpose = [
                Purpose::Page { html: true },
                Purpose::Page { html: false },
                Purpose::Act,
                Purpose::Link,
                Purpose::Read,
            ];
            let purpose = purpose[dice.roll(5) as usize];
            let available = w.hub.view().session(id).map(|_| w.hub.view().seat_available(now, id));
            let got = w.ask(id, purpose);
            if purpose != Purpose::Read {
                assert_eq!(available.unwrap_or(Err(NoSeat::Unknown)), got.map(|_| ()), "the same question twice");
                assert!(got.map_or(true, |seat| seat.is_some()));
            }
            assert!(!shadow.over.contains(&id) || got.is_err());
        }
        7 => {
            let Some(c) = link else { return };
            w.fin(c);
            shadow.links.remove(&c);
        }
        8 | 9 => {
            let Some(c) = link else { return };
            let evidence = dice.pick(Evidence::ALL).unwrap_or(Evidence::NoAck);
            w.lose(c, dice.roll(3_000), evidence);
            shadow.links.remove(&c);
        }
        10 => {
            let Some(c) = link else { return };
            w.end(c, LinkEnd::Slow);
            shadow.links.remove(&c);
        }
        11..=14 => {
            let Some(c) = link else { return };
            match dice.roll(4) {
                0 => w.suspect(c, 1200 + dice.roll(100)),
                1 => w.recover(c),
                2 => w.change(c, Change::Stalled),
                _ => w.change(c, Change::Moving),
            };
        }
        15 => {
            // The page of a link answers its beat, or does not.
            let Some(c) = link else { return };
            let id = shadow.links[&c];
            w.happens(Input::BeatSent { conn: conn(c), n: w.hub.view().beat_number(now) });
            let hold: &[&str] = if dice.roll(5) == 0 { &[] } else { &["p"] };
            for tab in ["t0", "t1"] {
                if dice.roll(2) == 0 {
                    w.answer(id, tab, w.hub.view().beat_number(now), hold);
                }
            }
            w.settle();
        }
        16 => {
            let Some(id) = session else { return };
            if w.say(id, "hi").is_ok() {
                assert!(w.hub.view().members().iter().any(|m| m.session == id), "{id:?} speaks from nowhere");
            }
            w.settle();
        }
        17 => {
            let Some(id) = session else { return };
            w.bye(id, &format!("t{}", dice.roll(2)), dice.roll(50));
            w.settle();
            // Its links are closed by the hub; `note_closed` hears of it.
        }
        18 => {
            let Some(id) = session else { return };
            let after = Duration::from_millis(dice.roll(5_000));
            w.happens(Input::PlainLost {
                session: id,
                after,
                evidence: Evidence::Keepalive,
                others: dice.roll(2) == 0,
            });
            w.settle();
        }
        _ => {
            let Some(id) = session else { return };
            match dice.roll(4) {
                0 => {
                    w.logout(id);
                    shadow.over.insert(id);
                }
                1 => {
                    if let Some(by) = dice.pick(&shadow.known) {
                        if w.evict(by, id).is_ok() {
                            shadow.over.insert(id);
                        }
                    }
                }
                2 => {
                    if dice.roll(5) == 0 {
                        w.happens(Input::UserChanged("bob".into()));
                    }
                }
                _ => w.happens(Input::StoodStill(Duration::from_millis(dice.roll(1_000)))),
            }
            w.settle();
            shadow.known.retain(|&known| w.hub.view().session(known).is_some());
        }
    }
}

/// Opens a link that asks for what came after `from`.
fn shadow_replay(w: &mut World, shadow: &mut Shadow, id: SessionId, c: u16, spec: LinkSpec, from: u64) {
    if w.open(id, c, spec).is_err() {
        return;
    }
    shadow.links.insert(c, id);
    let newest = w.hub.view().newest().seq;
    let complete =
        !w.hub.view().log_since(Some(&EventId { seq: from, ..w.hub.view().newest() }.to_string()), 10_000).gap;
    let replayed = w.ears[&conn(c)].unread[0].ends_with("true");
    assert_eq!(replayed, complete, "replayed exactly if nothing of it is gone");
    let ear = w.ears.get_mut(&conn(c)).expect("it has heard hello");
    let heard = ear.unread.len() as u64 - 1;
    assert_eq!(heard, if replayed { newest - from } else { 0 });
    // From here on it has to hear everything.
    (ear.newest, ear.whole) = (newest, true);
}

#[test]
fn thousands_of_random_steps_leave_the_house_in_order() {
    let mut seen = Counters::default();
    for seed in 0..10 {
        let c = simulate(seed, 1_500);
        seen.joined += c.joined;
        seen.returned += c.returned;
        seen.suspicions += c.suspicions;
        seen.recoveries += c.recoveries;
        seen.turned_away += c.turned_away;
        seen.said += c.said;
        for (sum, n) in seen.left.iter_mut().zip(c.left) {
            *sum += n;
        }
        for (sum, n) in seen.lost.iter_mut().zip(c.lost) {
            *sum += n;
        }
    }
    // The dice have been everywhere; else this shows nothing.
    assert!(seen.left.iter().chain(&seen.lost).all(|&n| n > 0), "{seen:?}");
    assert!(seen.returned > 0 && seen.recoveries > 0 && seen.turned_away > 0 && seen.said > 0, "{seen:?}");
}
