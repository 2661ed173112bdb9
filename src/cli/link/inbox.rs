//! What waits to be handed to the program: in which order, what overtakes what, and what is dropped.
//!
//! The pipe to a program holds 64 KiB, so a program that hangs could find a hundred old commands in it when it goes on. So
//! a line is written only once the program has read all before it, but for `safe` and `{"link":"down"}`, which are written
//! at once; what waits here can still be dropped.

use std::collections::VecDeque;

/// Bytes that wait at most for a program that does not read: the server sends 16 unanswered commands and what anybody may
/// send; more than that is a flood.
const WAITING_MAX: usize = 256 * 1024;

/// Lines that wait at most: each that comes is compared with all of them.
const LINES_MAX: usize = 1024;

/// What a line is, as far as its order matters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `safe`: ahead of everything.
    Safe,
    /// `{"link":"down"}`: like `safe`.
    Down,
    /// `{"link":"up"}`.
    Up,
    /// A command with its id; `anyone` ones stop things and are kept where others are dropped.
    Command {
        /// What the answer has to name.
        id: String,
        /// Whether `describe` says that anyone may send it.
        anyone: bool,
    },
    /// Who is in control: only the newest counts.
    Control,
    /// A sign of life that wants an answer: only the newest counts.
    Ping,
    /// Anything else.
    Other,
}

#[derive(Debug)]
struct Waiting {
    kind: Kind,
    line: Vec<u8>,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Inbox {
    lines: VecDeque<Waiting>,
    /// Bytes of the first line that the program has already.
    handed: usize,
    /// The program has closed its input: nothing can be handed to it.
    deaf: bool,
}

impl Inbox {
    /// Puts a line in its place. The ids of commands that will not be handed over because of it: overtaken by `safe` or an
    /// emergency stop, cut off by the end of the link, or too many.
    pub fn put(&mut self, kind: Kind, line: &[u8]) -> Vec<String> {
        let mut dropped = Vec::new();
        // a link of which it has not heard needs no end
        let unheard = kind == Kind::Down && self.holds(&Kind::Up) && !self.holds(&Kind::Down);
        match &kind {
            // the holder who said what it overtakes is not in control any more
            Kind::Safe => self.remove(&mut dropped, |k| match k {
                Kind::Safe | Kind::Control => true,
                other => is_command(other),
            }),
            Kind::Down => self.remove(&mut dropped, |k| !matches!(k, Kind::Safe | Kind::Other)),
            Kind::Up => self.remove(&mut dropped, |k| *k == Kind::Up),
            Kind::Control => self.remove(&mut dropped, |k| *k == Kind::Control),
            Kind::Ping => self.remove(&mut dropped, |k| *k == Kind::Ping),
            // an operator who waits for it to stop does not want to see it move once more first
            Kind::Command { anyone: true, .. } => {
                self.remove(&mut dropped, is_command);
            }
            Kind::Command { .. } | Kind::Other => {}
        }
        if unheard {
            return dropped;
        }
        let urgent = matches!(kind, Kind::Safe | Kind::Down);
        let waiting: usize = self.lines.iter().map(|w| w.line.len()).sum();
        let full = waiting + line.len() > WAITING_MAX || self.lines.len() >= LINES_MAX;
        if self.deaf || (!urgent && full) {
            dropped.extend(id(kind));
            return dropped;
        }
        let mut line = line.to_vec();
        line.push(b'\n');
        let at = match kind {
            Kind::Safe => usize::from(self.handed > 0),
            Kind::Down => {
                let begun = usize::from(self.handed > 0);
                begun + self.lines.iter().skip(begun).take_while(|w| w.kind == Kind::Safe).count()
            }
            _ => self.lines.len(),
        };
        self.lines.insert(at, Waiting { kind, line });
        dropped
    }

    /// Drops the commands that wait, but for emergency stops; says which.
    pub fn drop_commands(&mut self) -> Vec<String> {
        let mut dropped = Vec::new();
        self.remove(&mut dropped, is_command);
        dropped
    }

    /// What to write now; `drained`: the program has read all that was written.
    pub fn next(&self, drained: bool) -> Option<&[u8]> {
        let first = self.lines.front()?;
        let urgent = self.handed > 0 || matches!(first.kind, Kind::Safe | Kind::Down);
        (urgent || drained).then(|| &first.line[self.handed..])
    }

    /// So many bytes of [`Inbox::next`] were written.
    pub fn handed(&mut self, bytes: usize) {
        self.handed += bytes;
        if self.lines.front().is_some_and(|w| self.handed >= w.line.len()) {
            self.lines.pop_front();
            self.handed = 0;
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The program has closed its input: the commands that it will never see, now; later ones are dropped as they come.
    pub fn close(&mut self) -> Vec<String> {
        self.deaf = true;
        self.clear()
    }

    /// Another program: it gets nothing that was meant for the one before. The commands that were.
    pub fn reopen(&mut self) -> Vec<String> {
        self.deaf = false;
        self.clear()
    }

    fn clear(&mut self) -> Vec<String> {
        self.handed = 0;
        self.lines.drain(..).filter_map(|w| id(w.kind)).collect()
    }

    /// Whether such a line waits of which nothing is written.
    fn holds(&self, kind: &Kind) -> bool {
        self.lines.iter().skip(usize::from(self.handed > 0)).any(|w| w.kind == *kind)
    }

    /// Takes out what is wrong to hand over now, but never a line that is half written.
    fn remove(&mut self, dropped: &mut Vec<String>, wrong: impl Fn(&Kind) -> bool) {
        let mut begun = self.handed > 0;
        for w in std::mem::take(&mut self.lines) {
            if std::mem::take(&mut begun) || !wrong(&w.kind) {
                self.lines.push_back(w);
            } else {
                dropped.extend(id(w.kind));
            }
        }
    }
}

/// Whether it is a command, and no emergency stop.
fn is_command(kind: &Kind) -> bool {
    matches!(kind, Kind::Command { anyone: false, .. })
}

fn id(kind: Kind) -> Option<String> {
    match kind {
        Kind::Command { id, .. } => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(id: &str) -> Kind {
        Kind::Command { id: id.into(), anyone: false }
    }

    fn stop(id: &str) -> Kind {
        Kind::Command { id: id.into(), anyone: true }
    }

    #[test]
    fn short_lines_without_end_are_as_bounded_as_long_ones() {
        let mut inbox = Inbox::default();
        for _ in 0..3 * LINES_MAX {
            inbox.put(Kind::Other, b"{}");
        }
        assert_eq!(inbox.lines.len(), LINES_MAX);
        assert_eq!(inbox.put(command("1"), b"c1"), ["1"]);
        assert!(inbox.put(Kind::Safe, b"safe").is_empty());
        assert_eq!(inbox.next(false), Some(&b"safe\n"[..]));
    }

    /// Everything that is handed over, in order, to a program that reads at once.
    fn drain(inbox: &mut Inbox) -> String {
        let mut out = Vec::new();
        while let Some(bytes) = inbox.next(true) {
            let n = bytes.len();
            out.extend_from_slice(bytes);
            inbox.handed(n);
        }
        String::from_utf8(out).unwrap().replace('\n', " ").trim_end().to_owned()
    }

    #[test]
    fn safe_is_ahead_of_everything_and_drops_what_it_overtakes_but_stops() {
        let mut inbox = Inbox::default();
        inbox.put(stop("2"), b"s2");
        inbox.put(Kind::Control, b"ann");
        inbox.put(command("1"), b"c1");
        assert_eq!(inbox.put(Kind::Safe, b"safe"), ["1"]);
        inbox.put(Kind::Control, b"nobody");
        inbox.put(command("3"), b"c3");
        assert_eq!(drain(&mut inbox), "safe s2 nobody c3");
    }

    #[test]
    fn a_line_that_is_half_written_is_finished_first() {
        let mut inbox = Inbox::default();
        inbox.put(command("1"), b"c1");
        inbox.put(command("2"), b"c2");
        inbox.handed(1);
        assert_eq!(inbox.put(Kind::Safe, b"safe"), ["2"]);
        assert!(inbox.put(Kind::Down, b"down").is_empty());
        assert_eq!(drain(&mut inbox), "1 safe down");
    }

    #[test]
    fn the_end_of_the_link_drops_all_commands_and_comes_after_safe() {
        let mut inbox = Inbox::default();
        inbox.put(stop("1"), b"s1");
        inbox.put(Kind::Safe, b"safe");
        inbox.put(Kind::Ping, b"ping");
        assert_eq!(inbox.put(Kind::Down, b"down"), ["1"]);
        assert_eq!(drain(&mut inbox), "safe down");
        inbox.put(Kind::Down, b"down");
        inbox.put(Kind::Up, b"up");
        assert_eq!(drain(&mut inbox), "down up");
    }

    #[test]
    fn of_a_link_that_is_gone_before_the_program_heard_of_it_it_hears_nothing() {
        let mut inbox = Inbox::default();
        inbox.put(Kind::Up, b"up");
        inbox.put(command("1"), b"c1");
        assert_eq!(inbox.put(Kind::Down, b"down"), ["1"]);
        assert_eq!(drain(&mut inbox), "");
        // it has heard of an earlier one, whose end waits
        inbox.put(Kind::Up, b"up");
        inbox.handed(3);
        inbox.put(Kind::Down, b"down");
        inbox.put(Kind::Up, b"up");
        inbox.put(Kind::Down, b"down");
        assert_eq!(drain(&mut inbox), "down");
        // and of one while it is being written
        inbox.put(Kind::Up, b"up");
        inbox.handed(1);
        inbox.put(Kind::Down, b"down");
        assert_eq!(drain(&mut inbox), "p down");
    }

    #[test]
    fn a_program_that_does_not_read_is_given_only_what_is_urgent() {
        let mut inbox = Inbox::default();
        inbox.put(command("1"), b"c1");
        assert_eq!(inbox.next(false), None);
        inbox.put(Kind::Safe, b"safe");
        assert_eq!(inbox.next(false), Some(&b"safe\n"[..]));
    }

    #[test]
    fn of_pings_and_holders_only_the_newest_waits() {
        let mut inbox = Inbox::default();
        for n in ["1", "2", "3"] {
            inbox.put(Kind::Ping, format!("ping{n}").as_bytes());
            inbox.put(Kind::Control, format!("control{n}").as_bytes());
        }
        assert_eq!(drain(&mut inbox), "ping3 control3");
    }

    #[test]
    fn a_flood_is_bounded_and_safe_still_gets_through() {
        let mut inbox = Inbox::default();
        let line = vec![b'x'; WAITING_MAX / 4];
        for n in 1..=3 {
            assert!(inbox.put(stop(&n.to_string()), &line).is_empty());
        }
        assert_eq!(inbox.put(stop("4"), &line), ["4"]);
        inbox.put(Kind::Safe, b"safe");
        assert_eq!(inbox.next(false), Some(&b"safe\n"[..]));
    }

    #[test]
    fn a_deaf_program_is_handed_nothing_and_the_next_one_nothing_old() {
        let mut inbox = Inbox::default();
        inbox.put(command("1"), b"c1");
        assert_eq!(inbox.close(), ["1"]);
        assert_eq!(inbox.put(command("2"), b"c2"), ["2"]);
        assert!(inbox.reopen().is_empty());
        inbox.put(command("3"), b"c3");
        assert_eq!(drain(&mut inbox), "c3");
    }
}
