//! Doing what the hub wants done, and the log line of every connection's end.

use crate::engine::connection::Connection;
use crate::engine::driver::{Driver, Host, Socket};
use crate::engine::page::Encoded;
use crate::engine::shared::Cx;
use crate::msg::{CloseReason, ConnId, DeviceEffect, Effect, Message, Now, What};
use crate::routes;
use crate::routes::reply::Site;
use crate::shown::LogName;

impl<H: Host> Driver<H> {
    /// Does what the hub wants done, in order. Whether there was anything.
    pub(super) fn apply_effects(&mut self, now: Now) -> bool {
        let mut any = false;
        while !self.shared.fx.is_empty() {
            any = true;
            for effect in std::mem::take(&mut self.shared.fx) {
                match effect {
                    Effect::Deliver { to, message } => self.deliver(now, &to, &message),
                    Effect::Close { conn, why } => self.say_farewell(now, conn, why),
                    Effect::Park { conn, until } => {
                        if let Some(conn) = self.conns.touch(conn) {
                            conn.state.output.drop_unsent();
                            conn.state.parked = Some(until);
                        }
                    }
                    Effect::Device(effect) => self.device_effect(now, effect),
                }
            }
        }
        any
    }

    /// Puts `message` into the output of each link: encoded once for each kind of link, shared by all.
    fn deliver(&mut self, now: Now, to: &[ConnId], message: &Message) {
        let mut encoded = Encoded::default();
        for &id in to {
            let Some(conn) = self.conns.touch(id) else { continue };
            let shares = (to.len() > 1).then_some(&mut encoded);
            let socket = &conn.socket;
            let unacknowledged = || socket.outq() > 0;
            let mut cx = Cx { now, id, shared: &mut self.shared };
            conn.state.told(&mut cx, message, shares, unacknowledged);
        }
    }

    /// Says on a link why it ends, and ends it.
    pub(super) fn say_farewell(&mut self, now: Now, id: ConnId, why: CloseReason) {
        if let Some(conn) = self.conns.touch(id) {
            conn.state.farewell(now.mono, why);
        }
    }

    /// Does what the hub wants done about a device.
    fn device_effect(&mut self, now: Now, effect: DeviceEffect) {
        match effect {
            DeviceEffect::Tell { conn, line } => {
                self.with(now, conn, |state, cx| state.told_line(cx, &line));
            }
            DeviceEffect::Close { conn, why } => self.say_farewell(now, conn, why),
            DeviceEffect::Reset { conn: id } => {
                if let Some(conn) = self.conns.touch(id) {
                    // what the kernel still holds for it must not arrive once the network is back
                    conn.socket.reset();
                    self.close(now, id, CloseReason::Lost);
                }
            }
            DeviceEffect::Pace { conn, fast } => {
                self.with(now, conn, |state, cx| state.pace(cx, fast));
            }
            DeviceEffect::Answered { conn, answer } => {
                if let What::Answered { to, .. } = &answer.what {
                    self.with(now, conn, |state, cx| state.release(cx, *to, routes::devices::answered(&answer)));
                }
            }
        }
    }
}

/// The one line of a connection's end: at level info if it was a link, if something on it was refused, or if it was somebody's and
/// did not end as connections do; else at level debug.
pub(super) fn log_close(conn: &Connection, id: ConnId, site: &mut Site, now: Now, why: CloseReason) {
    let ordinary = matches!(why, CloseReason::Done | CloseReason::Closed | CloseReason::KeepAlive);
    let named = conn.user.is_some() || conn.rules.is_some();
    let told = conn.rules.is_some() || conn.refused || (named && !ordinary);
    let level = if told { log::Level::Info } else { log::Level::Debug };
    if level > log::max_level() || (told && !site.ration.takes(now.mono, conn.party())) {
        return;
    }
    log::log!(
        level,
        "closed conn={id} addr={} user={} kind={} reason={why} requests={} sent={} ms={}",
        conn.origin.peer,
        LogName(conn.user.as_deref().unwrap_or("-")),
        conn.kind(),
        conn.requests,
        conn.sent,
        now.mono.since(conn.opened).as_millis()
    );
}
