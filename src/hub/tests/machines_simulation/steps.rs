//! What people, devices and networks do in one step, and what the model says of it.

use super::*;

impl Model {
    pub(super) fn step(&mut self) {
        let who = self.dice.roll(self.people.len() as u64) as usize;
        let m = self.dice.roll(self.machines.len() as u64) as usize;
        match self.dice.roll(26) {
            0..=2 => self.connect(who),
            3 => self.people[who].answers = !self.people[who].answers,
            4 => self.fin(who),
            5 => self.lose(who),
            6 | 7 => self.suspect(who),
            8..=10 => self.take(who, m),
            11 => self.release(who, m),
            12 => self.give(who, m),
            13..=16 => self.command(who, m),
            17 => self.stop(m),
            18 | 19 => self.hello(m),
            20 => self.device_goes(m),
            21 => self.machines[m].talks = self.dice.roll(3) > 0,
            22 => self.device_answers(m),
            23 => self.change_role(who),
            24 => self.stall(),
            _ => self.logout(who),
        }
        self.check();
    }

    fn connect(&mut self, who: usize) {
        let c = self.link();
        let p = &mut self.people[who];
        p.n += 1;
        let (id, n, tab) = (p.id, p.n, p.tab.clone());
        if p.link.is_none() || p.suspect {
            self.heard_again(who);
        }
        assert_eq!(self.w.tab(id, c, &tab, n), Ok(()));
        let p = &mut self.people[who];
        (p.link, p.suspect, p.heard) = (Some(c), false, self.w.ms);
        self.follow(who);
    }

    fn fin(&mut self, who: usize) {
        let Some(c) = self.people[who].link.take() else { return };
        self.people[who].suspect = false;
        self.people[who].seat_until = self.w.ms + 3_000;
        self.w.fin(c);
        self.follow(who);
    }

    fn lose(&mut self, who: usize) {
        let Some(c) = self.people[who].link.take() else { return };
        self.people[who].suspect = false;
        let after = self.w.ms - self.people[who].heard;
        self.w.lose(c, after, Evidence::NoAck);
        self.person_ends(who, ControlReason::Lost);
    }

    fn suspect(&mut self, who: usize) {
        let Some(c) = self.people[who].link else { return };
        if self.people[who].suspect {
            self.w.recover(c);
            self.heard_again(who);
        } else {
            self.w.suspect(c, 1_200);
            // the silence began before it was noticed: no answer was owed from then on
            let ms = self.w.ms;
            for h in self.machines.iter_mut().filter_map(|m| m.holding.as_mut()).filter(|h| h.who == who) {
                h.quiet -= ms.saturating_sub(h.since).min(1_200).min(h.quiet);
            }
        }
        self.people[who].suspect = !self.people[who].suspect;
    }

    /// Answers are owed again from now on.
    fn heard_again(&mut self, who: usize) {
        let ms = self.w.ms;
        for h in self.machines.iter_mut().filter_map(|m| m.holding.as_mut()).filter(|h| h.who == who) {
            h.since = ms;
        }
    }

    fn take(&mut self, who: usize, m: usize) {
        let force = self.dice.roll(3) == 0;
        let lease = (self.dice.roll(2) == 0).then(|| Duration::from_secs(1 + self.dice.roll(20)));
        let id = self.people[who].id;
        let seated = self.w.hub.view().session(id).is_some_and(|v| v.seat.is_some());
        let done = self.w.take_by(id, DEVICES[m], Take { lease, force });
        let known = self.w.hub.view().devices().iter().any(|d| &*d.name == DEVICES[m]);
        let (p, machine, ms) = (&self.people[who], &self.machines[m], self.w.ms);
        let means = p.link.is_some() || lease.is_some();
        let offered = |h: &Holding| h.offer.is_some_and(|(to, until)| to == who && ms < until);
        let expected = match &machine.holding {
            _ if !seated || p.viewer || (force && p.user != "admin") || !known || machine.link.is_none() => None,
            _ if !means => None,
            None => Some("taken"),
            Some(h) if h.who == who => Some("kept"),
            Some(h) if offered(h) => Some("given"),
            Some(_) if force => Some("forced"),
            Some(_) => None,
        };
        assert_eq!(done.is_ok(), expected.is_some(), "{} {} {expected:?} {done:?}", p.user, DEVICES[m]);
        let Some(expected) = expected else { return };
        self.seen.insert(expected);
        let lease_ms = lease.filter(|_| p.link.is_none()).map(|l| l.as_millis() as u64);
        let lease = lease_ms.map(|length| (ms + length, length));
        let linked = p.link.is_some();
        let fresh = Holding {
            who,
            quiet: 0,
            since: ms,
            credit: 0,
            sign: ms,
            unlinked: None,
            had_link: linked,
            lease,
            offer: None,
        };
        self.machines[m].holding = match self.machines[m].holding.take() {
            Some(h) if expected == "kept" => Some(match (h.lease, lease) {
                (None, None) => h,
                (Some(_), Some(_)) => Holding { lease, sign: ms, ..h },
                _ => Holding {
                    unlinked: h.unlinked,
                    had_link: h.had_link || linked,
                    offer: h.offer,
                    credit: h.credit,
                    ..fresh
                },
            }),
            _ => Some(fresh),
        };
    }

    fn holds(&self, who: usize, m: usize) -> bool {
        self.machines[m].holding.as_ref().is_some_and(|h| h.who == who)
    }

    fn release(&mut self, who: usize, m: usize) {
        let holds = self.holds(who, m);
        let done = self.w.release(self.people[who].id, DEVICES[m]);
        assert_eq!(done.is_ok(), holds);
        if holds {
            self.ends(m, ControlReason::Released);
        }
    }

    fn give(&mut self, who: usize, m: usize) {
        let to = self.dice.roll(self.people.len() as u64) as usize;
        let seated = self.w.hub.view().session(self.people[to].id).is_some_and(|v| v.seat.is_some());
        let done = self.w.give(self.people[who].id, DEVICES[m], self.people[to].id);
        let good = self.holds(who, m) && to != who && seated && !self.people[to].viewer;
        assert_eq!(done.is_ok(), good);
        if let (true, Some(h)) = (good, self.machines[m].holding.as_mut()) {
            h.offer = Some((to, self.w.ms + 10_000));
        }
    }

    fn command(&mut self, who: usize, m: usize) {
        let now = self.w.now();
        let old = self.dice.roll(8);
        let newest = self.w.hub.view().beat_number(now);
        let p = &self.people[who];
        // The newest beat that its link was sent is at most as old as its newest answer.
        let beat = p.link.map(|_| newest - old);
        let args = Args::default();
        let order =
            CommandRequest { device: DEVICES[m], command: "start", args: &args, beat, reference: None, waiter: None };
        let done = self.w.order(p.id, &order);
        let machine = &self.machines[m];
        let suspect = self.w.ms >= machine.heard + 1_200;
        let busy = self.fates.values().filter(|f| f.device == m && f.answers == 0).count() >= 16;
        let may = machine.link.is_some() && !suspect && self.holds(who, m) && !busy;
        match &done {
            Ok(done) => {
                assert!(may, "{} commands {} without the right", self.people[who].user, DEVICES[m]);
                assert!(beat.is_none() || old * 500 <= 2_500, "run late");
                self.fates.insert(done.id.seq, Fate { device: m, ..Fate::default() });
                let told = self.w.machines.commands.last().map(|&(c, id)| (c, id.seq));
                assert_eq!(told, machine.link.map(|c| (conn(c), done.id.seq)));
                if let Some((until, length)) = self.machines[m].holding.as_mut().and_then(|h| h.lease.as_mut()) {
                    *until = self.w.ms + *length;
                    let ms = self.w.ms;
                    self.machines[m].holding.iter_mut().for_each(|h| h.sign = ms);
                }
                self.seen.insert("commanded");
            }
            Err(CommandError::Stale { .. }) => {
                assert!(may && old * 500 >= 1_500, "a fresh command was refused");
                self.seen.insert("stale");
            }
            Err(_) => assert!(!may || busy, "{done:?}"),
        }
    }

    /// Anybody's emergency stop, always another one.
    fn stop(&mut self, m: usize) {
        let vic = self.w.curl("vic", addr(250));
        let args = Args::new(Some(json(if self.dice.roll(2) == 0 { "{}" } else { "{\"hard\":true}" }))).expect("args");
        let order = CommandRequest {
            device: DEVICES[m],
            command: "stop",
            args: &args,
            beat: None,
            reference: None,
            waiter: None,
        };
        let done = self.w.order(vic, &order);
        assert_eq!(done.is_ok(), self.machines[m].link.is_some());
        if let Ok(done) = done {
            self.fates.entry(done.id.seq).or_insert(Fate { device: m, ..Fate::default() });
            self.seen.insert("stopped");
        }
    }

    fn hello(&mut self, m: usize) {
        if self.machines[m].link.is_some() {
            self.machine_ends(m);
            self.seen.insert("replaced");
        }
        let c = self.link();
        let describe = Rc::new(Describe::parse(&json(PUMP)).expect("a good description"));
        let name = DEVICES[m].into();
        self.w.happens(Input::DeviceHello { conn: conn(c), hello: DeviceHello { name, token: None, describe } });
        self.w.settle();
        (self.machines[m].link, self.machines[m].talks) = (Some(c), true);
        self.machines[m].is_heard(self.w.ms);
    }

    fn device_goes(&mut self, m: usize) {
        let Some(c) = self.machines[m].link else { return };
        self.machine_ends(m);
        match self.dice.roll(3) {
            0 => self.w.says(c, FromDevice::Bye),
            1 => self.w.fin(c),
            _ => self.w.lose(c, 2_300, Evidence::NoAck),
        };
    }

    fn device_answers(&mut self, m: usize) {
        let Some(c) = self.machines[m].link else { return };
        // any command of its life, answered before or not
        let ids: Vec<u64> = self.fates.iter().filter(|(_, f)| f.device == m).map(|(&id, _)| id).collect();
        let newest = &ids[ids.len().saturating_sub(20)..];
        for &id in newest {
            if self.dice.roll(2) == 0 {
                self.w.answers(c, id, true);
                self.machines[m].is_heard(self.w.ms);
            }
        }
    }

    /// The settings are read again: somebody may only look from now on, or command again.
    fn change_role(&mut self, who: usize) {
        if !self.people[who].viewer && self.dice.roll(4) > 0 {
            return;
        }
        let p = &mut self.people[who];
        p.viewer = !p.viewer;
        let role = match p.user {
            _ if p.viewer => Role::Viewer,
            "admin" => Role::Admin,
            _ => Role::Operator,
        };
        self.w.happens(Input::RoleChanged { user: p.user.into(), role });
        self.w.settle();
        if self.people[who].viewer {
            self.person_ends(who, ControlReason::Left);
            self.seen.insert("demoted");
        }
    }

    fn logout(&mut self, who: usize) {
        if self.dice.roll(3) > 0 {
            return;
        }
        self.w.logout(self.people[who].id);
        self.w.settle();
        self.person_ends(who, ControlReason::Left);
        let user = self.people[who].user;
        self.people[who] = self.person(user);
    }

    // ------------------------------------------------------------------------------------------------ checks
}
