//! Counters of one run and their Prometheus text form (exposition format 0.0.4).
//!
//! Never does: counting by itself. The code that sees a thing happen counts it in the one field made for it.

use std::fmt::Display;
use std::io::Write;

use crate::msg::{CloseReason, Decimal};

/// Distinct response statuses that are counted apart; further ones go to the last place.
const STATUSES_MAX: usize = 40;

/// Everything that is counted outside the hub.
#[derive(Default)]
pub struct Metrics {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused because a limit was reached (all, or per address).
    pub refused_limit: u64,
    /// Connections closed to make room for others, because nothing was going on on them.
    pub gave_way: u64,
    /// Connections closed because too much memory was kept for their party.
    pub shed: u64,
    /// Times that accepting had to pause because there was no file descriptor or memory.
    pub accept_pauses: u64,
    /// Requests read in full.
    pub requests: u64,
    /// Passwords hashed.
    pub passwords: u64,
    /// Passwords and tokens that were not checked, since too many waited.
    pub passwords_refused: u64,
    /// Bytes taken by peers' sockets.
    pub bytes_out: u64,
    /// Heartbeats written.
    pub heartbeats: u64,
    /// Nudges given to suspects (TCP_REPAIR).
    pub nudges: u64,
    /// Lines of devices that made no sense.
    pub bad_lines: u64,
    /// Emergency stops that gave way to newer ones because the device took none.
    pub stops_dropped: u64,
    /// Turns in which the loop noticed that it had not run for a while.
    pub own_stalls: u64,
    closed: [u64; CloseReason::ALL.len()],
    responses: Vec<(u16, u64)>,
}

impl Metrics {
    /// Counts the end of a connection.
    pub fn close(&mut self, why: CloseReason) {
        self.closed[why as usize] += 1;
    }

    /// Counts a response.
    pub fn response(&mut self, status: u16) {
        let known = self.responses.iter().position(|(s, _)| *s == status);
        match known {
            None if self.responses.len() < STATUSES_MAX => self.responses.push((status, 1)),
            _ => self.responses[known.unwrap_or(STATUSES_MAX - 1)].1 += 1,
        }
    }

    /// All of it, as text.
    pub fn write(&self, text: &mut Text<'_>) {
        text.counter("boatswain_connections_accepted_total", "Connections accepted.", self.accepted);
        text.counter("boatswain_connections_refused_total", "Connections refused at a limit.", self.refused_limit);
        text.counter("boatswain_connections_gave_way_total", "Connections closed to make room.", self.gave_way);
        text.counter("boatswain_connections_shed_total", "Connections closed to free memory.", self.shed);
        text.counter("boatswain_accept_pauses_total", "Pauses for want of a file descriptor.", self.accept_pauses);
        text.counter("boatswain_requests_total", "Requests read in full.", self.requests);
        text.counter("boatswain_passwords_hashed_total", "Passwords hashed on the helper thread.", self.passwords);
        text.counter("boatswain_passwords_refused_total", "Passwords without a place to wait.", self.passwords_refused);
        text.counter("boatswain_sent_bytes_total", "Bytes taken by peers' sockets.", self.bytes_out);
        text.counter("boatswain_heartbeats_total", "Heartbeats and beats written.", self.heartbeats);
        text.counter("boatswain_nudges_total", "Probes sent to suspects at once.", self.nudges);
        text.counter("boatswain_own_stalls_total", "Times that this server itself did not run.", self.own_stalls);
        text.counter("boatswain_device_bad_lines_total", "Lines of devices that made no sense.", self.bad_lines);
        text.counter(
            "boatswain_stops_dropped_total",
            "Emergency stops that gave way to newer ones on the link of a device that takes nothing.",
            self.stops_dropped,
        );
        text.head("boatswain_responses_total", "counter", "Responses by status.");
        for (status, n) in &self.responses {
            text.labelled("boatswain_responses_total", "status", status, n);
        }
        text.head("boatswain_connections_closed_total", "counter", "Ends of connections by reason.");
        for (why, n) in CloseReason::ALL.iter().zip(self.closed) {
            text.labelled("boatswain_connections_closed_total", "reason", why, n);
        }
    }
}

/// Metrics being written as text.
pub struct Text<'a>(pub &'a mut Vec<u8>);

impl Text<'_> {
    /// A counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(format_args!("{name} {value}"));
    }

    /// A histogram: how many were at most each bound (in milliseconds) and above the one before, then how many were
    /// above all; written in seconds.
    pub fn histogram(&mut self, name: &str, help: &str, bounds_ms: &[u64], counts: &[u64], sum_ms: u64) {
        self.head(name, "histogram", help);
        let mut below = 0;
        for (bound, n) in bounds_ms.iter().zip(counts) {
            below += n;
            self.line(format_args!("{name}_bucket{{le=\"{}\"}} {below}", thousandths(*bound)));
        }
        let count: u64 = counts.iter().sum();
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        self.line(format_args!("{name}_sum {}\n{name}_count {count}", thousandths(sum_ms)));
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.line(format_args!("{name} {value}"));
    }

    /// The two lines before a metric's values.
    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    /// A value with one label, whose text must need no escapes.
    pub fn labelled(&mut self, name: &str, label: &str, of: impl Display, value: impl Display) {
        self.line(format_args!("{name}{{{label}=\"{of}\"}} {value}"));
    }

    fn line(&mut self, args: std::fmt::Arguments<'_>) {
        let written = writeln!(self.0, "{args}");
        debug_assert!(written.is_ok());
    }
}

/// Milliseconds as seconds.
fn thousandths(ms: u64) -> Decimal {
    Decimal { digits: ms, places: 3 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_there_from_the_start_and_buckets_add_up() {
        let mut m = Metrics::default();
        m.close(CloseReason::Lost);
        m.response(200);
        let mut out = Vec::new();
        let mut text = Text(&mut out);
        m.write(&mut text);
        text.histogram("h", "Help.", &[500, 2500], &[0, 2, 1], 94_620);
        let text = String::from_utf8(out).unwrap();
        for line in [
            "boatswain_connections_closed_total{reason=\"lost\"} 1",
            "boatswain_connections_closed_total{reason=\"slow\"} 0",
            "boatswain_responses_total{status=\"200\"} 1",
            "h_bucket{le=\"0.5\"} 0",
            "h_bucket{le=\"2.5\"} 2",
            "h_bucket{le=\"+Inf\"} 3",
            "h_sum 94.62",
            "h_count 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn statuses_are_counted_in_a_bounded_list() {
        let mut m = Metrics::default();
        for s in 0..200 {
            m.response(s);
        }
        assert_eq!(m.responses.len(), STATUSES_MAX);
        assert_eq!(m.responses.iter().map(|(_, n)| n).sum::<u64>(), 200);
    }
}
