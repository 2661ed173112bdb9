//! What the operator of this machine orders by signals: stop, stop at once, read everything again.

use std::os::fd::AsFd;
use std::rc::Rc;

use super::{Ended, Reloaded, Server};
use crate::config::take_up;
use crate::diag::KEPT;
use crate::diag::ration::{LeftOut, PERIOD};
use crate::engine::shared::settings;
use crate::hub::Input;
use crate::msg::{ConnId, Now, Party};
use crate::net::files::Site as Pages;
use crate::shown::LogName;
use crate::sys::process::{self, Signal};
use crate::sys::tcp;

impl Server {
    /// What the operator of this machine wants. `Some`: how to end.
    pub(super) fn on_signals(&mut self, now: Now) -> Option<Ended> {
        while let Some(signal) = self.signals.next() {
            match signal {
                Signal::Stop if self.driver.stopping.is_some() => {
                    log::warn!(target: KEPT, "stopping at once");
                    return Some(Ended::AtOnce);
                }
                Signal::Stop => self.stop(now),
                Signal::Reload => self.on_reload(now),
            }
        }
        None
    }

    fn stop(&mut self, now: Now) {
        log::info!(target: KEPT, "stopping drain_ms={}", self.driver.shared.site.config.drain.as_millis());
        self.supervisor.tell(now.mono, "STOPPING=1".into());
        self.driver.stopping = Some(now.mono + self.driver.shared.site.config.drain);
        self.listeners.clear();
        self.driver.shared.tell_hub(now, Input::Shutdown);
        let ids: Vec<ConnId> = self.driver.conns.ids().collect();
        for id in ids {
            let _ = self.driver.conns.touch(id); // settling closes those that are idle
        }
    }

    fn on_reload(&mut self, now: Now) {
        let reloading = format!("RELOADING=1\nMONOTONIC_USEC={}", process::monotonic_micros());
        self.supervisor.tell(now.mono, reloading);
        match self.read_again() {
            Ok((Reloaded { config, users, tokens }, pages, waiting)) => {
                self.driver.shared.site.credentials.allow(config.auth.failures);
                for user in users.map(|users| self.driver.shared.site.credentials.reload(users)).into_iter().flatten() {
                    self.driver.shared.tell_hub(now, Input::UserChanged(user));
                }
                for entry in self.driver.shared.site.credentials.users().iter() {
                    let role = config.role_of(&entry.name);
                    self.driver.shared.hub.handle(
                        now,
                        Input::RoleChanged { user: entry.name.clone(), role },
                        &mut self.driver.shared.fx,
                    );
                }
                let hub = settings(&config, self.driver.shared.site.credentials.users().len());
                self.driver.shared.tell_hub(now, Input::Reloaded(Box::new(hub)));
                for name in self.driver.shared.devices.reload(&config, tokens, &self.driver.shared.features) {
                    self.driver.shared.tell_hub(now, Input::TokenChanged(name));
                }
                self.driver.shared.reload(Rc::new(config), Box::new(pages));
                for door in self.listeners.iter().filter(|d| d.listener.port() != 0) {
                    // connections that come from now on inherit it
                    if let Err(e) = tcp::prepare_plain(door.listener.as_fd(), &self.driver.shared.times) {
                        log::warn!("keepalive: {}: {e}", door.listener.address());
                    }
                }
                if !waiting.is_empty() {
                    log::warn!("reload: needs a restart: {}", waiting.join(", "));
                }
                log::info!("reloaded");
            }
            Err(mistakes) => {
                for mistake in &mistakes {
                    log::error!("reload: {mistake}");
                }
                let s = if mistakes.len() == 1 { "" } else { "s" };
                log::error!("reload: nothing was changed; {} mistake{s}", mistakes.len());
            }
        }
        self.supervisor.tell(now.mono, "READY=1".into());
    }

    /// What of the lines about connections was left out, once it is time to say so.
    pub(super) fn say_left_out(&mut self, now: Now) {
        let Some(LeftOut { lines, parties, most }) = self.driver.shared.site.ration.over(now.mono) else { return };
        let (from, of_these) = match most {
            Some((Party::Network(addr), n)) => (addr.to_string(), n),
            Some((Party::User(name) | Party::Device(name), n)) => (LogName(&name).to_string(), n),
            None => ("many".into(), lines),
        };
        log::warn!(
            "left_out lines={lines} parties={parties} most_from={from} most={of_these} seconds={} (what each may cause is rationed)",
            PERIOD.as_secs()
        );
    }

    /// What is in force from now on, and which changed settings wait for a restart.
    fn read_again(&mut self) -> Result<(Reloaded, Pages, Vec<&'static str>), Vec<String>> {
        let Reloaded { config: read, users, tokens } = (self.reload)()?;
        let (config, waiting) = take_up(&self.driver.shared.site.config, read);
        let pages = Pages::open(config.www.as_deref(), &config.types).map_err(|e| vec![format!("www: {e}")])?;
        Ok((Reloaded { config, users, tokens }, pages, waiting))
    }
}
