//! What a program leaves behind when it ends: processes in its group, and those that made themselves independent of it. Two
//! programs on one serial port do harm, so the next one starts when all these are gone.

use crate::sys::child::{self, End};

/// The processes that a program has left.
#[derive(Debug)]
pub struct Remains {
    /// Children that were ours before any program was started: a shell that became us has left them.
    spared: Vec<u32>,
    /// Orphans become our children, so they can be found.
    adopting: bool,
    /// The group of the program that ended, which is all that can be found without that.
    group: u32,
    /// Who has been asked to end.
    asked: Vec<u32>,
    how: End,
}

impl Remains {
    /// Of no program yet. From now on orphans become our children.
    pub fn new() -> Remains {
        let adopting = child::adopt_orphans().is_ok();
        let spared = child::children();
        let adopting = adopting && spared.is_ok();
        Remains { spared: spared.unwrap_or_default(), adopting, group: 0, asked: Vec::new(), how: End::Please }
    }

    /// The program with this id has ended, and its group has been asked to end.
    pub fn begin(&mut self, program: u32) {
        self.group = program;
        self.asked.clear();
        self.how = End::Please;
    }

    /// From now on they are ended like this.
    pub fn end(&mut self, how: End) {
        self.how = how;
        self.look();
    }

    /// A child of ours has ended; its number may come again.
    pub fn forget(&mut self, id: u32) {
        self.spared.retain(|spared| *spared != id);
        self.asked.retain(|asked| *asked != id);
    }

    /// Asks all that are left to end, each once or, if they are killed, again and again: the end of one makes its children ours.
    /// Whether there are any.
    pub fn look(&mut self) -> bool {
        let found = if self.adopting { child::children().ok() } else { None };
        let Some(found) = found else {
            let how = if self.how == End::Now { End::Now } else { End::Probe };
            return child::end_group(self.group, how).is_ok();
        };
        let mut any = false;
        for id in found.into_iter().filter(|id| !self.spared.contains(id)) {
            any = true;
            if self.how == End::Now || !self.asked.contains(&id) {
                // one that has ended meanwhile is not there at the next look
                let _ = child::end_one(id, self.how);
                self.asked.push(id);
            }
        }
        any
    }
}

impl Default for Remains {
    fn default() -> Remains {
        Remains::new()
    }
}
