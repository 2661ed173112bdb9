//! Control: the exclusive right to command one device. Who may have it, and what its end brings with it. When it ends is
//! decided by the dead man's switch of each hold (`dead_man`).

use std::rc::Rc;
use std::time::Duration;

use super::dead_man::{Hold, Means, OFFER_FOR, Offer, Reach};
use super::{ControlError, Controlled, Hub, Take};
use crate::diag::KEPT;
use crate::msg::{
    ControlReason, DeviceEffect, DeviceState, Effect, Effects, Member, Message, Moment, Now, Passing, Presence, Role,
    SessionId, ToDevice, Type, What,
};
use crate::shown::LogName;

impl Hub {
    /// The member `id` takes control of `device`, or says that it goes on holding it.
    pub(super) fn take_control(
        &mut self,
        now: Now,
        id: SessionId,
        device: &str,
        take: Take,
        fx: &mut Effects,
    ) -> Result<Controlled, ControlError> {
        let me = self.operator(id)?;
        if take.force && me.role < Role::Admin {
            return Err(ControlError::Role);
        }
        // what has run out before the loop could look is over: neither renewed nor handed on
        self.check_control(now, device, fx);
        let d = self.devices.get(device).ok_or(ControlError::NoDevice)?;
        if d.state == DeviceState::Down {
            return Err(ControlError::Down);
        }
        let reason = match &d.hold {
            None => ControlReason::Taken,
            Some(hold) if hold.session == id => return self.keep_control(now, id, device, take),
            Some(hold) if hold.offered_to(now.mono, id) => ControlReason::Given,
            Some(_) if take.force => ControlReason::Forced,
            Some(hold) => return Err(ControlError::Held(self.holder(hold))),
        };
        let means = self.means(id, take)?;
        let hold = Hold::new(now.mono, me.clone(), means, self.reach(id));
        let Some(d) = self.devices.get_mut(device) else { return Err(ControlError::NoDevice) };
        let was = d.hold.replace(hold);
        let (name, conn) = (d.name.clone(), d.conn());
        let was = was.map(|hold| self.holder(&hold));
        if let Some(conn) = conn {
            let line = ToDevice::Control { holder: Some(me.user.clone()) };
            fx.push(Effect::Device(DeviceEffect::Tell { conn, line }));
        }
        self.control_changed(
            now,
            What::Control { device: name, holder: Some(me.clone()), was: was.clone(), reason },
            fx,
        );
        self.pace(id, fx);
        if let Some(was) = was {
            self.pace(was.session, fx);
        }
        self.arm_device(device);
        Ok(Controlled { holder: Some(me), lease: lease(means) })
    }

    /// The holder takes once more: a lease begins anew. A page's time does not; only its answers count.
    fn keep_control(&mut self, now: Now, id: SessionId, device: &str, take: Take) -> Result<Controlled, ControlError> {
        let means = self.means(id, take)?;
        let (holder, reach) = (self.member(id), self.reach(id));
        if let Some(hold) = self.devices.get_mut(device).and_then(|d| d.hold.as_mut()) {
            hold.retake(now.mono, means, reach);
        }
        self.arm_device(device);
        Ok(Controlled { holder, lease: lease(means) })
    }

    /// The holder lets go.
    ///
    /// # Errors
    /// See [`ControlError`]; nothing has changed then.
    pub(super) fn release_control(
        &mut self,
        now: Now,
        id: SessionId,
        device: &str,
        fx: &mut Effects,
    ) -> Result<Controlled, ControlError> {
        self.held_by(id, device)?;
        self.end_control(now, device, ControlReason::Released, Duration::ZERO, fx);
        Ok(Controlled { holder: None, lease: None })
    }

    /// The holder offers control to the member `to`, who has [`OFFER_FOR`] to take it. Until then the holder keeps it.
    ///
    /// # Errors
    /// See [`ControlError`]; nothing has changed then.
    pub(super) fn give_control(
        &mut self,
        now: Now,
        id: SessionId,
        device: &str,
        to: SessionId,
        fx: &mut Effects,
    ) -> Result<Controlled, ControlError> {
        let from = self.held_by(id, device)?;
        let to = self.member(to).filter(|to| to.session != id).ok_or(ControlError::NoMember)?;
        if to.role < Role::Operator {
            return Err(ControlError::CannotHold);
        }
        let Some(d) = self.devices.get_mut(device) else { return Err(ControlError::NoDevice) };
        if let Some(hold) = &mut d.hold {
            hold.offer = Some(Offer { to: to.session, until: now.mono + OFFER_FOR });
        }
        let mut both = Vec::new();
        for (&conn, link) in &self.links {
            if [id, to.session].contains(&link.session) && link.greeted && link.types.has(Type::Offered) {
                both.push(conn);
            }
        }
        let offered = Passing::Offered { device: d.name.clone(), from: from.clone(), to };
        if !both.is_empty() {
            fx.push(Effect::Deliver { to: both, message: Message::Passing(Rc::new(offered)) });
        }
        Ok(Controlled { holder: Some(from), lease: None })
    }

    /// The member `id`, if they may command.
    fn operator(&self, id: SessionId) -> Result<Rc<Member>, ControlError> {
        let me = self.member(id).ok_or(ControlError::NoSeat)?;
        if me.role < Role::Operator { Err(ControlError::Role) } else { Ok(me) }
    }

    /// The member `id`, if they hold control of `device`.
    pub(super) fn held_by(&self, id: SessionId, device: &str) -> Result<Rc<Member>, ControlError> {
        let me = self.operator(id)?;
        let d = self.devices.get(device).ok_or(ControlError::NoDevice)?;
        match &d.hold {
            Some(hold) if hold.session == id => Ok(me),
            other => Err(ControlError::NotHeld(other.as_ref().map(|hold| self.holder(hold)))),
        }
    }

    /// What can keep control for `id`: a page if there is one, else the lease that was asked for.
    fn means(&self, id: SessionId, take: Take) -> Result<Means, ControlError> {
        let max = self.settings.control.lease_max;
        if self.has_page(id) {
            return Ok(Means::Page);
        }
        match take.lease {
            Some(lease) if !lease.is_zero() && lease <= max => Ok(Means::Lease(lease)),
            _ => Err(ControlError::Lease),
        }
    }

    /// Whether `id` has a link of a page that answers beats: one with a page's name (over SSE it answers only while it
    /// holds control), or one that has answered.
    pub(super) fn has_page(&self, id: SessionId) -> bool {
        let Some(s) = self.sessions.get(id) else { return false };
        s.links.iter().filter_map(|c| self.links.get(c)).any(super::roster::Link::is_page)
    }

    fn reach(&self, id: SessionId) -> Reach {
        match self.sessions.get(id) {
            Some(s) if s.links.is_empty() => Reach::Unlinked,
            Some(s) if s.shown.state == Presence::Suspect => Reach::Suspect(s.shown.silent_from),
            Some(_) => Reach::Heard,
            None => Reach::Unlinked,
        }
    }

    /// The holder as they look now, or as they last did.
    pub(super) fn holder(&self, hold: &Hold) -> Rc<Member> {
        self.member(hold.session).unwrap_or_else(|| hold.member.clone())
    }

    /// Whether the member holds control of a device.
    pub(super) fn holds_control(&self, id: SessionId) -> bool {
        self.devices.values().any(|d| d.hold.as_ref().is_some_and(|hold| hold.session == id))
    }

    /// The devices that `id` holds control of.
    fn held(&self, id: SessionId) -> Vec<Rc<str>> {
        let theirs = self.devices.values().filter(|d| d.hold.as_ref().is_some_and(|hold| hold.session == id));
        theirs.map(|d| d.name.clone()).collect()
    }

    /// Ends control of whatever `id` holds: they cannot act any more. `after`: since the last sign that they could.
    pub(super) fn holder_gone(
        &mut self,
        now: Now,
        id: SessionId,
        reason: ControlReason,
        after: Option<Duration>,
        fx: &mut Effects,
    ) {
        for device in self.held(id) {
            let hold = self.devices.get(&device).and_then(|d| d.hold.as_ref());
            let since = hold.and_then(|hold| hold.unlinked).map_or(Duration::ZERO, |at| now.mono.since(at));
            self.end_control(now, &device, reason, after.unwrap_or(since), fx);
        }
    }

    /// The links of `id` may have changed: notes it with whatever they hold.
    pub(super) fn holder_moved(&mut self, now: Now, id: SessionId, fx: &mut Effects) {
        if !self.holds_control(id) {
            return;
        }
        let reach = self.reach(id);
        for device in self.held(id) {
            if let Some(hold) = self.devices.get_mut(&device).and_then(|d| d.hold.as_mut()) {
                hold.follow(now.mono, reach);
            }
            self.check_control(now, &device, fx);
        }
    }

    /// A page of `id` answered beat `n`, sent at `sent`, and named these devices.
    pub(super) fn devices_named(&mut self, now: Now, id: SessionId, n: u64, sent: Moment, names: &[String]) {
        for name in names {
            let (control, linger) = (&self.settings.control, self.settings.seats.linger);
            let hold = self.devices.get_mut(name.as_str()).and_then(|d| d.hold.as_mut());
            // what has run out before the loop could look is over: an answer that lay unread meanwhile does not renew it
            let hold = hold.filter(|hold| hold.session == id && hold.end(control, linger).0 > now.mono);
            if let Some(hold) = hold {
                hold.named(now.mono, n, sent);
                self.arm_device(name);
            }
        }
    }

    /// A command of the holder renews a lease.
    pub(super) fn renew_control(&mut self, now: Now, device: &str) {
        if let Some(hold) = self.devices.get_mut(device).and_then(|d| d.hold.as_mut()) {
            hold.renew(now.mono);
        }
    }

    /// When time alone ends control of `device`.
    pub(super) fn control_due(&self, hold: &Hold) -> Moment {
        hold.end(&self.settings.control, self.settings.seats.linger).0
    }

    /// Ends control of `device` if its time is over.
    pub(super) fn check_control(&mut self, now: Now, device: &str, fx: &mut Effects) {
        let Some(hold) = self.devices.get(device).and_then(|d| d.hold.as_ref()) else { return };
        let (at, reason) = hold.end(&self.settings.control, self.settings.seats.linger);
        if at <= now.mono {
            let after = hold.since_sign(now.mono, reason);
            self.end_control(now, device, reason, after, fx);
        } else {
            self.arm_device(device);
        }
    }

    /// Control of `device` ends. The device hears `safe` before it hears that, unless a person decided it.
    pub(super) fn end_control(
        &mut self,
        now: Now,
        device: &str,
        reason: ControlReason,
        after: Duration,
        fx: &mut Effects,
    ) {
        let Some(d) = self.devices.get_mut(device) else { return };
        let Some(hold) = d.hold.take() else { return };
        let (device, conn) = (d.name.clone(), d.conn());
        let was = self.holder(&hold);
        let after_ms = super::roster::millis(after);
        if let Some(conn) = conn {
            if reason.is_safe_sent() {
                let line = ToDevice::Safe { why: reason, by: was.user.clone(), after_ms };
                fx.push(Effect::Device(DeviceEffect::Tell { conn, line }));
                let (device, by) = (LogName(&device), LogName(&was.user));
                log::info!(target: KEPT, "safe device={device} by={by} reason={reason} after_ms={after_ms}");
                if !matches!(reason, ControlReason::Device | ControlReason::Shutdown) {
                    self.counters.safe.count(after_ms);
                }
            }
            let line = ToDevice::Control { holder: None };
            fx.push(Effect::Device(DeviceEffect::Tell { conn, line }));
        }
        let session = was.session;
        self.control_changed(now, What::Control { device, holder: None, was: Some(was), reason }, fx);
        self.pace(session, fx);
    }

    fn control_changed(&mut self, now: Now, what: What, fx: &mut Effects) {
        if let What::Control { reason, .. } = &what {
            self.counters.control[*reason as usize] += 1;
        }
        self.record(now, what, fx);
    }

    /// Beats come fast to pages of holders, so that a dead one is noticed in time whatever the profile.
    pub(super) fn pace(&self, id: SessionId, fx: &mut Effects) {
        if self.settings.beat <= super::BEAT {
            return;
        }
        let fast = self.holds_control(id);
        let Some(s) = self.sessions.get(id) else { return };
        for &conn in s.links.iter().filter(|c| self.links.get(c).is_some_and(|l| l.beats)) {
            fx.push(Effect::Device(DeviceEffect::Pace { conn, fast }));
        }
    }

    /// See [`Input::StoodStill`](super::Input::StoodStill).
    pub(super) fn control_stood_still(&mut self, gap: Duration) {
        for hold in self.devices.values_mut().filter_map(|d| d.hold.as_mut()) {
            hold.stood_still(gap, self.settings.control.page_after);
        }
    }

    /// See [`Input::Look`](super::Input::Look).
    pub(super) fn look_at_holders(&mut self, now: Now, fx: &mut Effects) {
        if self.next.is_none_or(|next| next > now.mono) {
            return;
        }
        let over = |hold: &Hold| self.control_due(hold) <= now.mono;
        let devices = self.devices.values().filter(|d| d.hold.as_ref().is_some_and(over));
        let ended: Vec<Rc<str>> = devices.map(|d| d.name.clone()).collect();
        for device in ended {
            self.check_control(now, &device, fx);
        }
    }

    /// See [`Input::Slept`](super::Input::Slept).
    pub(super) fn control_slept(&mut self, gap: Duration) {
        for hold in self.devices.values_mut().filter_map(|d| d.hold.as_mut()) {
            hold.slept(gap);
        }
    }
}

fn lease(means: Means) -> Option<Duration> {
    match means {
        Means::Page => None,
        Means::Lease(length) => Some(length),
    }
}
