//! What waits to be sent to the server. Answers are kept until the server has shown that it read them, also over the end of
//! a link; of telemetry only the newest value of each name is kept; anything else goes with the link.

use std::collections::VecDeque;

use crate::link::lines::{DeviceLine, Fields, LINE_MAX};

/// Answers kept: four times what the server leaves unanswered for a device.
const ANSWERS_MAX: usize = 64;

/// Bytes of answers kept: what a board with 32 MB has to spare.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Bytes that the kernel has not taken yet, from which on telemetry is merged instead of queued.
const CALM: usize = 4 * 1024;

/// Bytes that the kernel has not taken yet, from which on pings and pongs are dropped and answers stay where they are
/// bounded: the server is not reading, and hears from us as soon as it does.
const FULL: usize = 128 * 1024;

/// Names of telemetry that are kept while it cannot be sent; a device with more is a mistake.
const NAMES_MAX: usize = 256;

/// Numbers of our own pings begin here, so that the program's pongs are told from ours; all fit a double exactly.
const OWN_PINGS: u64 = 1 << 52;

#[derive(Debug)]
struct Answer {
    line: Vec<u8>,
    /// EPOCH of the command's id, which is EPOCH-SEQ.
    epoch: Option<String>,
    /// Written on this link.
    written: bool,
    /// The ping that was sent after it: its pong shows that the server has read this answer.
    proof: Option<u64>,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Whether there is a link on which lines may go.
    up: bool,
    bytes: Vec<u8>,
    sent: usize,
    answers: VecDeque<Answer>,
    /// Answers were said again that the server may have read before: it may say that it knows nothing of them.
    again: bool,
    values: Fields,
    pings: u64,
}

impl Outbox {
    /// The link is up with a server whose event ids begin with `epoch`: what was kept goes first. How many answers are dropped,
    /// since they are to another server's commands, which this one never heard of.
    pub fn open(&mut self, epoch: &str) -> usize {
        self.up = true;
        let before = self.answers.len();
        self.answers.retain(|a| epoch.is_empty() || a.epoch.as_deref().is_none_or(|e| e == epoch));
        self.write_answers();
        self.write_values();
        before - self.answers.len()
    }

    /// The link is gone: what the server may not have read of answers is sent again on the next one.
    pub fn close(&mut self) {
        self.up = false;
        self.bytes = Vec::new();
        self.sent = 0;
        for answer in &mut self.answers {
            self.again |= answer.written;
            answer.written = false;
            answer.proof = None;
        }
    }

    /// A line that belongs to the connection itself (`hello`, `bye`): it is sent before any link is up, too.
    pub fn write(&mut self, line: &DeviceLine<'_>) {
        line.write(&mut self.bytes);
        self.bytes.push(b'\n');
    }

    fn say(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
    }

    /// A line that is worth nothing later: dropped without a link, or when the server does not read.
    pub fn pass(&mut self, line: &[u8]) {
        if self.up && self.waiting() < FULL {
            self.say(line);
        }
    }

    /// An answer to the command `to`, as a line. `false`: an older one had to be given up for it.
    pub fn answer(&mut self, to: &str, line: &[u8]) -> bool {
        let epoch = to.rsplit_once('-').map(|(epoch, _)| epoch.to_owned());
        self.answers.push_back(Answer { line: line.to_vec(), epoch, written: false, proof: None });
        let mut all_kept = true;
        while self.answers.len() > 1 && (self.answers.len() > ANSWERS_MAX || self.answer_bytes() > ANSWER_BYTES_MAX) {
            self.answers.pop_front();
            all_kept = false;
        }
        self.write_answers();
        all_kept
    }

    /// Telemetry, as the program wrote it. `false`: some of it was given up, too many names wait.
    pub fn telemetry(&mut self, line: &[u8], values: Fields) -> bool {
        if self.up && self.values.is_empty() && self.waiting() < CALM {
            self.say(line);
            return true;
        }
        let mut all_kept = true;
        for (name, value) in values {
            if self.values.len() < NAMES_MAX || self.values.contains_key(&name) {
                self.values.insert(name, value);
            } else {
                all_kept = false;
            }
        }
        self.write_values();
        all_kept
    }

    /// A ping of our own; its number.
    pub fn ping(&mut self) -> u64 {
        self.pings += 1;
        let n = OWN_PINGS + self.pings;
        self.write(&DeviceLine::Ping(n.into()));
        n
    }

    /// A pong came. Whether it is to a ping of ours.
    pub fn pong(&mut self, n: u64) -> bool {
        if n <= OWN_PINGS || n > OWN_PINGS + self.pings {
            return false;
        }
        self.answers.retain(|a| a.proof.is_none_or(|p| p > n));
        self.again = false;
        self.prove();
        true
    }

    /// Whether the server may complain of an answer that it had already, since it was said again.
    pub fn has_repeated(&self) -> bool {
        self.again
    }

    /// What is to be written to the socket.
    pub fn next(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// So many bytes of [`Outbox::next`] were written.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent >= self.bytes.len() {
            self.bytes = Vec::new();
            self.sent = 0;
        } else if self.sent > CALM {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        if self.waiting() < CALM {
            self.write_answers();
            self.write_values();
        }
    }

    /// Whether everything that matters is with the server: no answer and no value waits.
    pub fn is_done(&self) -> bool {
        self.answers.is_empty() && self.values.is_empty() && self.waiting() == 0
    }

    /// Forgets telemetry that was not sent: who said it is gone.
    pub fn forget_values(&mut self) {
        self.values = Fields::new();
    }

    fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
    }

    fn answer_bytes(&self) -> usize {
        self.answers.iter().map(|a| a.line.len()).sum()
    }

    fn write_answers(&mut self) {
        if !self.up {
            return;
        }
        let mut answers = std::mem::take(&mut self.answers);
        for answer in answers.iter_mut().filter(|a| !a.written) {
            if self.waiting() >= FULL {
                break;
            }
            self.say(&answer.line);
            answer.written = true;
        }
        self.answers = answers;
        self.prove();
    }

    /// One ping after the last answer proves all of them; while one is on its way, the next waits for it.
    fn prove(&mut self) {
        let waits = |a: &Answer| a.written && a.proof.is_none();
        if self.up && self.answers.iter().any(waits) && self.answers.iter().all(|a| a.proof.is_none()) {
            let n = self.ping();
            self.answers.iter_mut().filter(|a| waits(a)).for_each(|a| a.proof = Some(n));
        }
    }

    fn write_values(&mut self) {
        if !self.up || self.values.is_empty() || self.waiting() >= CALM {
            return;
        }
        let mut line = Vec::new();
        DeviceLine::Telemetry(std::mem::take(&mut self.values)).write(&mut line);
        // So many names with long values: the next telemetry comes by itself.
        if line.len() <= LINE_MAX {
            self.say(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(outbox: &mut Outbox) -> Vec<String> {
        let bytes = outbox.next().to_vec();
        outbox.sent(bytes.len());
        String::from_utf8(bytes).unwrap().lines().map(Into::into).collect()
    }

    fn values(json: &str) -> Fields {
        serde_json::from_str(json).unwrap()
    }

    fn ping(n: u64) -> String {
        format!("{{\"ping\":{}}}", OWN_PINGS + n)
    }

    const A: &[u8] = br#"{"answer":"k-1","ok":true}"#;
    const B: &[u8] = br#"{"answer":"k-2","ok":true}"#;

    fn text(line: &[u8]) -> String {
        String::from_utf8(line.to_vec()).unwrap()
    }

    #[test]
    fn an_answer_is_kept_until_the_server_has_shown_that_it_read_it() {
        let mut outbox = Outbox::default();
        outbox.open("k");
        outbox.answer("k-1", A);
        assert_eq!(said(&mut outbox), [text(A), ping(1)]);
        outbox.answer("k-2", B);
        assert_eq!(said(&mut outbox), [text(B)], "one proof at a time");
        assert!(outbox.pong(OWN_PINGS + 1));
        assert_eq!(said(&mut outbox), [ping(2)]);
        outbox.close();
        assert!(!outbox.is_done());
        outbox.open("k");
        assert_eq!(said(&mut outbox), [text(B), ping(3)], "only what was not proven is said again");
        assert!(outbox.has_repeated());
        assert!(outbox.pong(OWN_PINGS + 3) && outbox.is_done() && !outbox.has_repeated());
    }

    #[test]
    fn answers_to_another_server_are_dropped() {
        let mut outbox = Outbox::default();
        outbox.answer("k-1", A);
        outbox.answer("z-1", br#"{"answer":"z-1","ok":true}"#);
        assert_eq!(outbox.open(""), 0, "a server that does not say");
        said(&mut outbox);
        outbox.close();
        assert_eq!(outbox.open("z"), 1);
        assert_eq!(said(&mut outbox), [r#"{"answer":"z-1","ok":true}"#.to_owned(), ping(2)]);
    }

    #[test]
    fn answers_are_bounded_in_number_and_bytes() {
        let mut outbox = Outbox::default();
        for n in 0..ANSWERS_MAX {
            assert!(outbox.answer("k-1", format!(r#"{{"answer":"k-{n}"}}"#).as_bytes()));
        }
        assert!(!outbox.answer("k-1", A));
        assert_eq!(outbox.answers.len(), ANSWERS_MAX);
        let long = vec![b' '; 60_000];
        for _ in 0..10 {
            outbox.answer("k-1", &long);
        }
        assert!(outbox.answer_bytes() <= ANSWER_BYTES_MAX);
    }

    #[test]
    fn answers_without_end_are_bounded_also_while_the_link_is_up_and_go_on_once_it_takes_them() {
        let mut outbox = Outbox::default();
        outbox.open("k");
        let answer = |n: usize| format!(r#"{{"answer":"k-{n}","result":"{}"}}"#, "x".repeat(1000));
        for n in 0..1000 {
            outbox.answer(&format!("k-{n}"), answer(n).as_bytes());
        }
        assert!(outbox.next().len() < FULL + 2 * LINE_MAX, "{}", outbox.next().len());
        let begun = outbox.next().len() - 7;
        outbox.sent(begun);
        let rest = said(&mut outbox);
        assert!(rest.contains(&answer(999)), "{rest:?}");
    }

    #[test]
    fn pongs_to_the_programs_pings_are_not_ours() {
        let mut outbox = Outbox::default();
        outbox.open("k");
        outbox.ping();
        assert!(!outbox.pong(7) && !outbox.pong(OWN_PINGS) && !outbox.pong(OWN_PINGS + 2));
        assert!(outbox.pong(OWN_PINGS + 1));
    }

    #[test]
    fn telemetry_without_a_link_is_merged_and_said_once_there_is_one() {
        let mut outbox = Outbox::default();
        outbox.telemetry(b"", values(r#"{"rpm":1,"temp":20}"#));
        outbox.telemetry(b"", values(r#"{"rpm":2}"#));
        outbox.pass(b"{\"pong\":1}");
        assert!(outbox.next().is_empty());
        outbox.open("k");
        assert_eq!(said(&mut outbox), [r#"{"telemetry":{"rpm":2,"temp":20}}"#]);
        outbox.telemetry(b"{\"telemetry\":{\"rpm\":3}}", values(r#"{"rpm":3}"#));
        assert_eq!(said(&mut outbox), [r#"{"telemetry":{"rpm":3}}"#]);
    }

    #[test]
    fn telemetry_to_a_server_that_does_not_read_takes_no_memory_and_the_newest_comes_through() {
        let mut outbox = Outbox::default();
        outbox.open("k");
        for n in 0..10_000 {
            let line = format!(r#"{{"telemetry":{{"rpm":{n}}}}}"#);
            outbox.telemetry(line.as_bytes(), values(&format!(r#"{{"rpm":{n}}}"#)));
        }
        assert!(outbox.waiting() < CALM + 100);
        said(&mut outbox);
        assert_eq!(said(&mut outbox), [r#"{"telemetry":{"rpm":9999}}"#]);
        for n in 0..1000 {
            let all = outbox.telemetry(b"", values(&format!(r#"{{"n{n}":1}}"#)));
            assert!(all || n >= NAMES_MAX);
            outbox.close();
        }
        assert_eq!(outbox.values.len(), NAMES_MAX);
    }

    #[test]
    fn signs_of_life_are_dropped_before_memory_is() {
        let mut outbox = Outbox::default();
        outbox.open("k");
        for _ in 0..1_000_000 {
            outbox.pass(b"{\"pong\":1}");
        }
        assert!(outbox.waiting() <= FULL + 100);
    }
}
