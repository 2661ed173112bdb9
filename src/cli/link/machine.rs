//! `boatswain link` as a state machine: what it says to the server and to the program, and when. Sees no socket, no pipe
//! and no clock: lines, events and the time come in, lines and [`Action`]s go out.
//!
//! ```text
//! link      Off ── described ─► Trying ── connected ─► Greeting ── welcome ─► Up ── bye said ─► Parting ─► Off
//!                                  ▲                      │                    │
//!                                  └── refused, closed, silent, `bye` ─────────┘
//! program   Absent ── started ─► Describing ── first line, 2 s ─► Running ── SIGTERM ─► Ending
//!                ▲                                                   │                     │
//!                └────────── Resting (1 s, 2 s, ... 30 s) ◄──────────┴──────── or ─────────┤
//!                                            ▲                                             │
//!                                            └── all has ended ── Clearing ◄── left some ──┘
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use log::Level;
use serde_json::Value;

use super::inbox::{Inbox, Kind};
use super::outbox::Outbox;
use crate::link::lines::{DeviceLine, LINE_MAX, LINK_DOWN, LINK_UP, Raw, ServerLine};
use crate::msg::{Moment, Now};
use crate::shown::{Excerpt, TEXT_SHOWN};

mod program;
mod server;

/// How long COMMAND has for its first line, if that is to be `{"describe":{...}}`.
pub const DESCRIBE_WITHIN: Duration = Duration::from_secs(2);

/// No line from the server for so long: it has vanished. It says one at least every 500 ms.
pub const SILENT: Duration = Duration::from_secs(3);

/// After so long without a line, commands may be old: a heartbeat was missed.
pub const DOUBTFUL: Duration = Duration::from_millis(1200);

/// How long a server may take to check a token; a slow board with many devices that come back at once needs that.
const GREET_WITHIN: Duration = Duration::from_secs(10);

/// Next attempt after `bye` `replaced` or a refusal: somebody else is that device, or has to mend something first.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// First pause before the program is started again; it doubles.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Longest pause before the program is started again.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A program that ran so long is not one that fails at start: the pause is short again.
const RAN_WELL: Duration = Duration::from_secs(60);

/// How long the program has after SIGTERM before it gets SIGKILL.
const END_WITHIN: Duration = Duration::from_secs(5);

/// How long a goodbye may take: the server may have vanished.
const PART_WITHIN: Duration = Duration::from_secs(1);

/// How long unsent answers keep us here after the end of our own standard input.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// One remark so often: a program that writes nonsense shall not fill the log.
const REMARK_EVERY: Duration = Duration::from_secs(10);

/// Why a command is refused after SIGTERM.
const ENDING: &str = "the program is being ended";

/// What the machine is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Of the device.
    pub name: String,
    /// Shown to the server in `hello`.
    pub token: Option<String>,
    /// Whether there is a COMMAND; else our own standard input and output are the program.
    pub command: bool,
    /// Any number: where the jitter begins.
    pub seed: u32,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Start COMMAND; answer with `program_started` or `program_failed`.
    Start,
    /// Begin one more attempt to connect; older ones may still succeed.
    Connect,
    /// Say FIN: all is said, and written.
    Finish,
    /// Close the connection and give all attempts up; whatever is not sent must not arrive later.
    Close,
    /// SIGTERM to COMMAND.
    Terminate,
    /// SIGKILL to COMMAND.
    Kill,
    /// End with this status.
    Exit(u8),
    /// A line for the log.
    Log(Level, String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Link {
    Off,
    Trying { next: Moment },
    Greeting { since: Now },
    Up { heard: Now },
    Parting { until: Moment, finished: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Program {
    Absent,
    Describing {
        until: Moment,
        since: Moment,
    },
    Running {
        since: Moment,
    },
    Ending {
        since: Moment,
        kill: Option<Moment>,
    },
    /// It has ended, but not all that it has started: nothing new is started beside that.
    Clearing {
        kill: Option<Moment>,
    },
    Resting {
        until: Moment,
    },
}

/// The state machine.
#[derive(Debug)]
pub struct Machine {
    setup: Setup,
    link: Link,
    program: Program,
    inbox: Inbox,
    outbox: Outbox,
    actions: VecDeque<Action>,
    /// The object of `{"describe":...}`, as JSON.
    describe: Option<String>,
    /// Commands that `describe` gives to anyone: they stop things.
    anyone: Vec<String>,
    /// Commands may be old until the pong to this ping comes.
    doubt: Option<u64>,
    pause: Duration,
    stopping: bool,
    /// The program that is about to end leaves processes behind.
    left: bool,
    /// Our own standard input has ended: away by then, or when all is said.
    leave: Option<Moment>,
    random: u32,
    remarked: Option<Moment>,
    /// The last reason why there was no connection, said once.
    trouble: String,
}

impl Machine {
    /// Nothing has happened yet; the first [`Action`]s are waiting.
    pub fn new(now: Now, setup: Setup) -> Machine {
        let mut machine = Machine {
            link: Link::Off,
            program: Program::Absent,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            actions: VecDeque::new(),
            describe: None,
            anyone: Vec::new(),
            doubt: None,
            pause: PAUSE_MIN,
            stopping: false,
            left: false,
            leave: None,
            random: setup.seed | 1,
            remarked: None,
            trouble: String::new(),
            setup,
        };
        if machine.setup.command {
            machine.act(Action::Start);
        } else {
            machine.describing(now);
        }
        machine
    }

    /// The next thing to do.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Machine::wake`] is to be called.
    pub fn deadline(&self) -> Option<Moment> {
        let link = match self.link {
            Link::Off => None,
            Link::Trying { next } => Some(next),
            Link::Greeting { since } => Some(since.mono + GREET_WITHIN),
            Link::Parting { until, .. } => Some(until),
            Link::Up { heard } => Some(heard.mono + SILENT),
        };
        let program = match self.program {
            Program::Absent | Program::Running { .. } => None,
            Program::Describing { until, .. } | Program::Resting { until } => Some(until),
            Program::Ending { kill, .. } | Program::Clearing { kill } => kill,
        };
        link.into_iter().chain(program).chain(self.leave).min()
    }

    /// Does what is due. Call it after all that was there to read has been given in.
    pub fn wake(&mut self, now: Now) {
        let due = |at: Moment| now.mono >= at;
        match self.program {
            Program::Describing { until, since } if due(until) => self.described(now, since),
            Program::Resting { until } if due(until) => {
                self.program = Program::Absent;
                self.act(Action::Start);
            }
            Program::Ending { since, kill: Some(at) } if due(at) => {
                self.log(Level::Warn, format!("the program did not end within {} s: killed", END_WITHIN.as_secs()));
                self.program = Program::Ending { since, kill: None };
                self.act(Action::Kill);
            }
            Program::Clearing { kill: Some(at) } if due(at) => {
                self.log(Level::Warn, format!("what it left did not end within {} s: killed", END_WITHIN.as_secs()));
                self.program = Program::Clearing { kill: None };
                self.act(Action::Kill);
            }
            _ => {}
        }
        match self.link {
            Link::Trying { next } if due(next) => {
                // Attempts overlap: on a path that takes a second, or after a cut, an older one may be the first to succeed.
                self.link = Link::Trying { next: now.mono + self.jitter(800, 1000) };
                self.act(Action::Connect);
            }
            Link::Greeting { since } if due(since.mono + GREET_WITHIN) => self.lost(now, "no_welcome", Duration::ZERO),
            Link::Up { heard } if due(heard.mono + SILENT) => self.lost(now, "silent", Duration::ZERO),
            Link::Parting { until, .. } if due(until) => self.parted(),
            _ => {}
        }
        if self.leave.is_some_and(due) {
            self.log(Level::Warn, "no server for what was still to be said: given up".into());
            self.leave = None;
            self.part(now, "program");
        }
    }

    // -------------------------------------------------------------------------------------------------- the user

    /// SIGTERM or SIGINT: the program is asked to end, the server is told, and the second time nobody is waited for.
    pub fn stop(&mut self, now: Now) {
        if self.stopping {
            self.act(Action::Kill);
            return self.act(Action::Exit(1));
        }
        self.stopping = true;
        self.leave = None;
        match self.program {
            Program::Describing { .. } | Program::Running { .. } if self.setup.command => self.terminate(now),
            Program::Ending { .. } | Program::Clearing { .. } => {}
            _ => {
                self.program = Program::Absent;
                self.part(now, "shutdown");
            }
        }
    }

    // -------------------------------------------------------------------------------------------------- what follows

    fn describing(&mut self, now: Now) {
        self.program = Program::Describing { until: now.mono + DESCRIBE_WITHIN, since: now.mono };
    }

    /// The first line is there, or its time is over: the server may hear of the device.
    fn described(&mut self, now: Now, since: Moment) {
        self.program = Program::Running { since };
        match self.link {
            Link::Off => self.link = Link::Trying { next: now.mono },
            // still saying goodbye for the program before: that may be cut short
            Link::Parting { .. } => {
                self.act(Action::Close);
                self.outbox.close();
                self.link = Link::Trying { next: now.mono };
            }
            _ => {}
        }
    }

    fn describe(&mut self, now: Now, describe: &Value, line: &[u8]) {
        let Some(commands) = describe.as_object().map(|d| d.get("commands").and_then(Value::as_object)) else {
            return self.remark(now, "describe is to be an object: ignored".into());
        };
        // As the program wrote it, if it can be had: the order of commands is the order on the panel.
        let raw = std::str::from_utf8(line).ok().and_then(|l| l.strip_prefix("{\"describe\":")?.strip_suffix('}'));
        let text = raw
            .filter(|r| serde_json::from_slice::<Value>(r.as_bytes()).is_ok())
            .map_or(describe.to_string(), str::to_owned);
        if text.len() > LINE_MAX - 1024 {
            return self.remark(now, "describe is too long for a line of 64 KiB: ignored".into());
        }
        let anyone = |c: &Value| c.get("anyone").and_then(Value::as_bool).unwrap_or(false);
        self.anyone = commands.into_iter().flatten().filter(|(_, c)| anyone(c)).map(|(name, _)| name.clone()).collect();
        if self.describe.as_ref() == Some(&text) {
            return;
        }
        self.describe = Some(text);
        // A program that takes long to start describes itself after `hello`: said again, with it.
        if matches!(self.link, Link::Greeting { .. } | Link::Up { .. }) {
            self.lost(now, "described_anew", Duration::ZERO);
        }
    }

    /// `since`: when the hello was said.
    fn up(&mut self, now: Now, since: Now, epoch: &str) {
        self.link = Link::Up { heard: now };
        self.doubt = None;
        self.trouble.clear();
        self.log(Level::Info, format!("link up device={} epoch={epoch}", self.setup.name));
        self.hand(Kind::Up, LINK_UP, "");
        let dropped = self.outbox.open(epoch);
        if dropped > 0 {
            self.log(Level::Warn, format!("{dropped} answers dropped: their server is no more, this one is another"));
        }
        // what follows the welcome is as old as that may be
        self.in_doubt(now, since);
        self.leave_if_done(now);
    }

    /// The connection is gone, or given up; the next attempt is after `pause`.
    fn lost(&mut self, now: Now, why: &str, pause: Duration) {
        let was_up = matches!(self.link, Link::Up { .. });
        self.act(Action::Close);
        self.link = Link::Trying { next: now.mono + pause };
        self.outbox.close();
        if was_up {
            self.log(Level::Warn, format!("link down device={} reason={why}", self.setup.name));
            self.hand(Kind::Down, LINK_DOWN, "the link went down before it was handed over");
        } else if self.trouble != why {
            self.log(Level::Warn, format!("not welcomed: {}; trying again and again", Excerpt(why, TEXT_SHOWN)));
            why.clone_into(&mut self.trouble);
        }
    }

    fn farewell(&mut self, now: Now, why: &str) {
        let pause = if why == "replaced" { REFUSED_PAUSE + self.jitter(0, 500) } else { self.jitter(800, 1000) };
        self.lost(now, why, pause);
    }

    /// After a gap in what the server says, whatever comes may have waited on the way. What it says after the pong to a ping
    /// sent now is new.
    fn in_doubt(&mut self, now: Now, heard: Now) {
        // The monotonic clock stands still while the board sleeps, the wall clock does not; if it jumps, this does no harm.
        let slept = Duration::from_millis(now.wall_ms.saturating_sub(heard.wall_ms));
        if now.mono.since(heard.mono).max(slept) > DOUBTFUL {
            self.doubt = Some(self.outbox.ping());
        }
    }

    fn command(&mut self, line: &[u8], name: &str, id: String) {
        let anyone = self.anyone.iter().any(|a| a == name);
        if self.doubt.is_some() && !anyone {
            return self.refuse(&id, "it came late, after a gap in the link");
        }
        if matches!(self.program, Program::Ending { .. }) && !anyone {
            return self.refuse(&id, ENDING);
        }
        self.hand(Kind::Command { id, anyone }, line, "the program takes no more");
    }

    /// Puts a line into the queue to the program; the commands that are dropped for it are answered.
    fn hand(&mut self, kind: Kind, line: &[u8], why: &str) {
        let (overtaken, own) = match &kind {
            Kind::Safe => ("the device was told to go to its safe state", None),
            Kind::Command { anyone: true, id } => ("an emergency stop came after it", Some(id.clone())),
            _ => (why, None),
        };
        for id in self.inbox.put(kind, line) {
            let why = if own.as_ref() == Some(&id) { why } else { overtaken };
            self.refuse(&id, why);
        }
    }

    fn forget(&mut self, clear: impl FnOnce(&mut Inbox) -> Vec<String>) {
        for id in clear(&mut self.inbox) {
            self.refuse(&id, "the program ended before it was handed over");
        }
    }

    /// An answer of our own: the program will never see that command.
    fn refuse(&mut self, id: &str, why: &str) {
        let result = Some(Raw::Value(format!("not executed: {why}").into()));
        let mut line = Vec::new();
        DeviceLine::Answer { to: id.into(), ok: false, result }.write(&mut line);
        self.outbox.answer(id, &line);
    }

    fn terminate(&mut self, now: Now) {
        if let Program::Describing { since, .. } | Program::Running { since } = self.program {
            self.program = Program::Ending { since, kill: Some(now.mono + END_WITHIN) };
            self.act(Action::Terminate);
            // a program that goes to the safe state because of that must not be brought out of it
            for id in self.inbox.drop_commands() {
                self.refuse(&id, ENDING);
            }
        }
    }

    fn rest(&mut self, now: Now) {
        if self.stopping {
            self.program = Program::Absent;
            return self.part(now, "shutdown");
        }
        self.program = Program::Resting { until: now.mono + self.pause };
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// Says goodbye and goes; without a link there is nobody to say it to.
    fn part(&mut self, now: Now, why: &str) {
        match self.link {
            Link::Up { .. } => {
                self.outbox.write(&DeviceLine::Bye(why.into()));
                self.log(Level::Info, format!("link down device={} reason={why}", self.setup.name));
                self.link = Link::Parting { until: now.mono + PART_WITHIN, finished: false };
                self.finish();
            }
            Link::Parting { .. } => {}
            Link::Off | Link::Trying { .. } | Link::Greeting { .. } => {
                self.act(Action::Close);
                self.parted();
            }
        }
    }

    fn finish(&mut self) {
        if let Link::Parting { finished, .. } = &mut self.link {
            if !*finished && self.outbox.next().is_empty() {
                *finished = true;
                self.act(Action::Finish);
            }
        }
    }

    fn parted(&mut self) {
        if matches!(self.link, Link::Parting { .. }) {
            self.act(Action::Close);
        }
        self.outbox.close();
        self.link = Link::Off;
        if (self.stopping || !self.setup.command) && !self.is_clearing() {
            self.act(Action::Exit(0));
        }
    }

    fn leave_if_done(&mut self, now: Now) {
        if self.leave.is_some() && matches!(self.link, Link::Up { .. }) && self.outbox.is_done() {
            self.leave = None;
            self.part(now, "program");
        }
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn log(&mut self, level: Level, line: String) {
        self.act(Action::Log(level, line));
    }

    /// Something that the author of a program should know, but not a thousand times.
    fn remark(&mut self, now: Now, line: String) {
        if self.remarked.is_none_or(|at| now.mono.since(at) >= REMARK_EVERY) {
            self.remarked = Some(now.mono);
            self.log(Level::Warn, line);
        }
    }

    /// Some time from `from` to `to` milliseconds: many devices that lost one server do not all come back at once.
    fn jitter(&mut self, from: u32, to: u32) -> Duration {
        // xorshift32 (Marsaglia 2003): never 0 if it was not
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        Duration::from_millis(u64::from(from + self.random % (to - from).max(1)))
    }
}

/// The beginning of a line, fit for a log.
fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(80)]).escape_debug().to_string()
}

#[cfg(test)]
mod tests;
