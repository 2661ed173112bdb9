//! What the server says, what it is told, and what becomes of the link.

use super::*;

impl Machine {
    /// An attempt has succeeded.
    pub fn connected(&mut self, now: Now) {
        if !matches!(self.link, Link::Trying { .. }) {
            return;
        }
        self.link = Link::Greeting { since: now };
        self.outbox.close();
        self.outbox.write(&DeviceLine::Hello {
            name: self.setup.name.as_str().into(),
            token: self.setup.token.as_deref().map(Into::into),
            describe: self.describe.as_deref().map(Raw::Text),
        });
    }

    /// An attempt has failed.
    pub fn unreachable(&mut self, why: &str) {
        if matches!(self.link, Link::Trying { .. }) && self.trouble != why {
            self.log(Level::Warn, format!("not connected: {why}; trying every second"));
            why.clone_into(&mut self.trouble);
        }
    }

    /// The connection has ended, `why` in a word.
    pub fn server_ended(&mut self, now: Now, why: &str) {
        match self.link {
            Link::Off | Link::Trying { .. } => {}
            Link::Parting { .. } => self.parted(),
            Link::Greeting { .. } => {
                let pause = self.jitter(800, 1000);
                self.lost(now, why, pause);
            }
            Link::Up { .. } => {
                let pause = self.jitter(100, 500);
                self.lost(now, why, pause);
            }
        }
    }

    /// A line came from the server, without its end.
    pub fn server_line(&mut self, now: Now, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        let Ok(said) = ServerLine::read(line) else {
            return self.remark(now, format!("the server said what is no JSON object: {}", shown(line)));
        };
        match (self.link, said) {
            (Link::Greeting { since }, ServerLine::Welcome { epoch, .. }) => self.up(now, since, &epoch),
            (Link::Greeting { .. }, ServerLine::Error { error, message }) => {
                let pause = REFUSED_PAUSE + self.jitter(0, 500);
                self.lost(now, &format!("refused: {error}: {message}"), pause);
            }
            (Link::Greeting { .. }, ServerLine::Bye(why)) => self.farewell(now, &why),
            (Link::Parting { .. }, ServerLine::Pong(n)) => drop(n.as_u64().map(|n| self.outbox.pong(n))),
            (Link::Up { heard }, said) => {
                self.link = Link::Up { heard: now };
                self.in_doubt(now, heard);
                self.told(now, line, said);
            }
            (Link::Off | Link::Trying { .. } | Link::Greeting { .. } | Link::Parting { .. }, _) => {}
        }
    }

    /// What `line` says on a link that is up; what is not for us goes to the program as it came.
    fn told(&mut self, now: Now, line: &[u8], said: ServerLine<'_>) {
        let kind = match said {
            ServerLine::Pong(n) if n.as_u64().is_some_and(|n| self.outbox.pong(n)) => {
                if self.doubt.is_some_and(|asked| n.as_u64() >= Some(asked)) {
                    self.doubt = None;
                }
                return self.leave_if_done(now);
            }
            ServerLine::Bye(why) => return self.farewell(now, &why),
            // it had read that answer before the link broke: all is well, and the program has done nothing wrong
            ServerLine::Error { error, .. } if error == "answer" && self.outbox.has_repeated() => return,
            ServerLine::Command { command, id, .. } => return self.command(line, &command, id.into_owned()),
            ServerLine::Error { error, message } => {
                self.remark(now, format!("the server says: {error}: {message}"));
                Kind::Other
            }
            ServerLine::Safe { .. } => Kind::Safe,
            ServerLine::Control(_) => Kind::Control,
            ServerLine::Ping(_) => Kind::Ping,
            ServerLine::Pong(_) | ServerLine::Welcome { .. } | ServerLine::Link(_) | ServerLine::Other => Kind::Other,
        };
        self.hand(kind, line, "");
    }

    /// The server sent a line that is too long: nothing after it can be trusted to be whole.
    pub fn server_line_too_long(&mut self, now: Now) {
        let pause = REFUSED_PAUSE + self.jitter(0, 500);
        self.lost(now, "line_too_long", pause);
    }

    /// What is to be written to the server.
    pub fn for_server(&self) -> &[u8] {
        self.outbox.next()
    }

    /// So many bytes of [`Machine::for_server`] were written.
    pub fn sent(&mut self, now: Now, bytes: usize) {
        self.outbox.sent(bytes);
        self.leave_if_done(now);
        self.finish();
    }
}
