//! What all devices' connections share: their tokens, and the times of their links.

use std::rc::Rc;

use crate::auth::credentials::Credentials;
use crate::config::Config;
use crate::config::users::Users;
use crate::liveness::Rules;
use crate::msg::{KernelFeatures, Times};

/// What all devices' connections share.
pub struct Devices {
    /// Their tokens; `None`: no file, so that only this machine's own programs may be devices.
    pub credentials: Option<Credentials>,
    /// Connections open, those without a hello included.
    pub connections: usize,
    pub(super) times: Times,
    /// The liveness rules of devices' links that begin now.
    pub rules: Rc<Rules>,
}

impl Devices {
    /// By `config`, with these tokens.
    pub fn new(config: &Config, tokens: Option<Users>, features: &KernelFeatures) -> Devices {
        let times = config.devices.profile.values().times();
        Devices {
            credentials: tokens.map(|tokens| Credentials::new(tokens, config.auth.failures)),
            connections: 0,
            times,
            rules: Rc::new(Rules::new(&times, features.rto_max, features.nudge)),
        }
    }

    /// Takes new settings for links that come from now on. Returns the devices whose token has changed.
    pub fn reload(&mut self, config: &Config, tokens: Option<Users>, features: &KernelFeatures) -> Vec<Rc<str>> {
        self.times = config.devices.profile.values().times();
        self.rules = Rc::new(Rules::new(&self.times, features.rto_max, features.nudge));
        // whether tokens are asked for at all stays as it was at start: a file that is gone is no open door
        let Some(credentials) = &mut self.credentials else { return Vec::new() };
        credentials.allow(config.auth.failures);
        tokens.map(|tokens| credentials.reload(tokens)).unwrap_or_default()
    }

    /// One sentence for the log at start, if devices may come without a token.
    pub fn warning(&self) -> Option<&'static str> {
        let said = "devices: no tokens file (devices.tokens): any program on this machine may be any device, and \
                    nobody else may be one";
        self.credentials.is_none().then_some(said)
    }
}
