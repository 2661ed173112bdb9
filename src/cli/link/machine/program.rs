//! What COMMAND says, what it is handed, and what becomes of it.

use super::*;
use crate::link::lines::{BadLine, object};

impl Machine {
    /// COMMAND runs.
    pub fn program_started(&mut self, now: Now, id: u32) {
        self.log(Level::Info, format!("program started pid={id}"));
        self.forget(|inbox| inbox.reopen());
        self.describing(now);
        if self.stopping {
            self.terminate(now);
        }
    }

    /// COMMAND could not be started again.
    pub fn program_failed(&mut self, now: Now, why: &str) {
        self.log(Level::Error, why.into());
        self.rest(now);
    }

    /// COMMAND, or our own standard input, has ended, and all that it wrote has been given in.
    pub fn program_ended(&mut self, now: Now, how: &str) {
        let since = match self.program {
            Program::Absent | Program::Clearing { .. } | Program::Resting { .. } => return,
            Program::Describing { since, .. } | Program::Running { since } | Program::Ending { since, .. } => since,
        };
        self.forget(|inbox| inbox.reopen());
        if !self.setup.command && !self.stopping {
            // it may have been described and said its telemetry in one go: that is to arrive
            if let Program::Describing { .. } = self.program {
                self.described(now, since);
            }
            self.program = Program::Absent;
            self.leave = Some(now.mono + LEAVE_WITHIN);
            return self.leave_if_done(now);
        }
        self.program = Program::Absent;
        self.log(if self.stopping { Level::Info } else { Level::Warn }, format!("program ended {how}"));
        self.outbox.forget_values();
        if now.mono.since(since) >= RAN_WELL {
            self.pause = PAUSE_MIN;
        }
        if std::mem::take(&mut self.left) {
            self.log(Level::Warn, "the program left processes behind: asked to end".into());
            self.program = Program::Clearing { kill: Some(now.mono + END_WITHIN) };
            return self.part(now, if self.stopping { "shutdown" } else { "program" });
        }
        if self.stopping {
            return self.part(now, "shutdown");
        }
        self.rest(now);
        self.part(now, "program");
    }

    /// The program whose end is told next has left processes behind, which have been asked to end.
    pub fn program_left_some(&mut self) {
        self.left = true;
    }

    /// Whether [`Machine::cleared`] is waited for.
    pub fn is_clearing(&self) -> bool {
        matches!(self.program, Program::Clearing { .. })
    }

    /// Nothing is left of the program that ended.
    pub fn cleared(&mut self, now: Now) {
        if self.is_clearing() {
            self.rest(now);
        }
    }

    /// COMMAND has closed its output: it cannot be a device any more, and is asked to end.
    pub fn program_mute(&mut self, now: Now) {
        if matches!(self.program, Program::Describing { .. } | Program::Running { .. }) {
            self.log(Level::Warn, "the program closed its output: asked to end".into());
            self.terminate(now);
        }
    }

    /// The program has closed its input: it can still measure, but not be commanded.
    pub fn program_deaf(&mut self) {
        self.log(Level::Warn, "the program closed its input: it gets no command and no `safe`".into());
        self.forget(|inbox| inbox.close());
    }

    /// A line came from the program, without its end.
    pub fn program_line(&mut self, now: Now, line: &[u8]) {
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        let fields = object(line);
        let describe = fields.as_ref().ok().and_then(|fields| fields.get("describe"));
        if let Some(describe) = describe {
            self.describe(now, describe, line);
        }
        let is_description = describe.is_some();
        if let Program::Describing { since, .. } = self.program {
            self.described(now, since);
        }
        let Ok(fields) = fields else {
            let what = format!("the program wrote what is no JSON object (stderr is for that): {}", shown(line));
            return self.remark(now, what);
        };
        if is_description {
            return;
        }
        match DeviceLine::of(fields) {
            Ok(DeviceLine::Answer { to, .. }) => {
                if !self.outbox.answer(&to, line) {
                    self.remark(now, "too many answers wait for the server: the oldest was given up".into());
                }
            }
            Ok(DeviceLine::Telemetry(values)) => {
                if !self.outbox.telemetry(line, values) {
                    self.remark(now, "too many names of telemetry: some were given up".into());
                }
            }
            Ok(DeviceLine::Hello { .. } | DeviceLine::Bye(_)) | Err(BadLine { error: "hello", .. }) => {
                self.remark(now, "hello and bye are said by `boatswain link` itself; the program's was dropped".into());
            }
            // a later server may know what we do not; this one says that it does not
            Ok(DeviceLine::Ping(_) | DeviceLine::Pong(_) | DeviceLine::Blank)
            | Err(BadLine { error: "unknown", .. }) => {
                self.outbox.pass(line);
            }
            Err(bad) => {
                self.remark(now, format!("the program's line makes no sense: {}: {}", bad.message, shown(line)))
            }
        }
    }

    /// The program wrote a line that is too long; it was skipped.
    pub fn program_line_too_long(&mut self, now: Now) {
        self.remark(now, "the program wrote a line of more than 64 KiB: skipped".into());
    }

    /// What is to be written to the program; `drained`: it has read all that was written before.
    pub fn for_program(&self, drained: bool) -> Option<&[u8]> {
        self.inbox.next(drained)
    }

    /// Whether anything waits for the program, perhaps until it has read.
    pub fn has_for_program(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// So many bytes of [`Machine::for_program`] were written.
    pub fn handed(&mut self, bytes: usize) {
        self.inbox.handed(bytes);
    }
}
