//! What the server says, what it is told, and what becomes of the link.

use super::*;

impl Machine {
    /// An attempt has succeeded.
    pub fn connected(&mut self, now: Now) {
        if !matches!(self.link, Link::Trying { .. }) {
            return;
        }
        self.link = Link::Greeting { since: now };
        let mut line = Vec::new();
        let mut hello = Object::open(&mut line);
        hello.text("hello", &self.setup.name);
        if let Some(token) = &self.setup.token {
            hello.text("token", token);
        }
        hello.plain("proto", 1);
        if let Some(describe) = &self.describe {
            hello.plain("describe", describe);
        }
        drop(hello);
        self.outbox.close();
        self.outbox.say(&line);
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
        let Ok(Value::Object(said)) = serde_json::from_slice::<Value>(line) else {
            return self.remark(now, format!("the server said what is no JSON object: {}", shown(line)));
        };
        let has = |name: &str| said.contains_key(name);
        let number = |name: &str| said.get(name).and_then(Value::as_u64);
        let word = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match self.link {
            Link::Greeting { since } if has("welcome") => self.up(now, since, &word("epoch")),
            Link::Greeting { .. } if has("error") => {
                let why = format!("refused: {}: {}", word("error"), word("message"));
                let pause = REFUSED_PAUSE + self.jitter(0, 500);
                self.lost(now, &why, pause);
            }
            Link::Greeting { .. } if has("bye") => self.farewell(now, &word("bye")),
            Link::Parting { .. } => drop(number("pong").map(|n| self.outbox.pong(n))),
            Link::Up { heard } => {
                self.link = Link::Up { heard: now };
                self.in_doubt(now, heard);
                if let Some(n) = number("pong").filter(|n| self.outbox.pong(*n)) {
                    if self.doubt.is_some_and(|asked| n >= asked) {
                        self.doubt = None;
                    }
                    self.leave_if_done(now);
                } else if has("bye") {
                    self.farewell(now, &word("bye"));
                } else if word("error") == "answer" && self.outbox.has_repeated() {
                    // it had read that answer before the link broke: all is well, and the program has done nothing wrong
                } else if has("command") {
                    self.command(line, &word("command"), word("id"));
                } else {
                    if has("error") {
                        self.remark(now, format!("the server says: {}: {}", word("error"), word("message")));
                    }
                    let kind = match () {
                        () if has("safe") => Kind::Safe,
                        () if has("control") => Kind::Control,
                        () if has("ping") => Kind::Ping,
                        () => Kind::Other,
                    };
                    self.hand(kind, line, "");
                }
            }
            Link::Off | Link::Trying { .. } | Link::Greeting { .. } => {}
        }
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
