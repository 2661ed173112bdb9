//! The rules over what real kernels showed.

use super::*;

/// Runs the rules over what a real kernel showed: (milliseconds, word) for each thing said, and when the peer was last heard.
fn replay(trace: &str, rules: Rules) -> Vec<(u64, String)> {
    const START: u64 = 1_000_000;
    let mut live = Liveness::new(Carrier::Response, &rules, moment(START), 3);
    live.become_link(Carrier::Link, &rules, moment(START), BEAT);
    let mut said = Vec::new();
    for line in trace.lines().filter(|l| !l.starts_with('#')) {
        let mut words = line.split(' ');
        let kind = words.next().unwrap();
        let n: Vec<i64> = words.map(|w| w.parse().unwrap()).collect();
        let (ms, now) = (n[0] as u64, moment(START + n[0] as u64));
        if kind == "wrote" {
            live.wrote(now, n[1] as usize);
            continue;
        }
        if live.due().is_none_or(|at| at > now) {
            continue;
        }
        let known = |i: usize| u32::try_from(n[i]).ok();
        let health = TcpHealth {
            state: n[2] as u8,
            retransmits: n[3] as u8,
            probes: n[4] as u8,
            backoff: n[5] as u8,
            rto_us: known(6),
            unacked: known(7),
            last_data_recv_ms: known(8),
            last_ack_recv_ms: known(9),
            rtt_us: known(10),
            empty_segs_in: known(11),
            send_window: known(12),
            ..TcpHealth::default()
        };
        let mut sample = Sample { outq: n[1] as u32, ..Sample::default() };
        let mut outcome = live.check(&rules, now, sample);
        while let Some(ask) = outcome.ask {
            (sample.info, sample.drained) = (Some(health), ask == Ask::Drain);
            outcome = live.check(&rules, now, sample);
        }
        if let Some(change) = outcome.change {
            said.push((ms, format!("{change:?}").split(' ').next().unwrap().to_ascii_lowercase()));
        }
        if let Some(LinkEnd::Lost { evidence, .. }) = outcome.end {
            said.push((ms, format!("lost {evidence}")));
        }
    }
    said
}

fn standard(has_rto_max: bool, has_nudge: bool) -> Rules {
    Rules::new(&Profile::Standard.values().times(), has_rto_max, has_nudge)
}

#[test]
fn real_traces_of_vanished_peers_lead_to_the_right_verdict() {
    for (name, trace, verdict) in [
        ("idle", include_str!("../traces/idle-both.trace"), "lost no_ack"),
        ("busy", include_str!("../traces/busy-both.trace"), "lost no_ack"),
        ("talking", include_str!("../traces/chatty-s2c.trace"), "lost one_way"),
        ("stopped", include_str!("../traces/stopped6-both.trace"), "lost no_ack"),
    ] {
        for nudge in [false, true] {
            let said = replay(trace, standard(true, nudge));
            let words: Vec<&str> = said.iter().map(|(_, w)| w.as_str()).collect();
            assert_eq!(words, ["suspected", verdict], "{name}");
            assert!(said[1].0 - said[0].0 <= 1400, "{name}: {said:?}");
        }
    }
}

#[test]
fn real_traces_of_peers_that_are_there_lead_to_none() {
    let nothing: [&str; 0] = [];
    for (name, trace, wanted) in [
        ("stopped", include_str!("../traces/stopped6-nothing.trace"), &nothing[..]),
        ("loss", include_str!("../traces/loss.trace"), &nothing[..]),
        ("outage", include_str!("../traces/outage.trace"), &["suspected", "recovered"][..]),
    ] {
        let said = replay(trace, standard(true, true));
        assert_eq!(said.iter().map(|(_, w)| w.as_str()).collect::<Vec<_>>(), wanted, "{name}: {said:?}");
    }
}

#[test]
fn the_silence_rule_alone_would_kill_those_that_do_not_read() {
    // The probes of this trace come every 1.02 s: a rule without the second of grace calls that silence.
    let mut hasty = standard(true, false);
    hasty.zero_window = Duration::from_millis(900);
    let said = replay(include_str!("../traces/stopped6-nothing.trace"), hasty);
    assert!(said.iter().any(|(_, w)| w == "lost no_ack"), "{said:?}");
}
