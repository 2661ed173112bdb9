use super::*;
use crate::msg::{Member, PeerAddr, Presence, Role, SessionId};

fn member() -> Rc<Member> {
    Rc::new(Member {
        session: SessionId(1),
        user: "ann".into(),
        role: Role::Operator,
        seat: 1,
        addr: PeerAddr::Unix,
        since_ms: 0,
        state: Presence::Present,
        links: 0,
        rtt_us: None,
        agent: "".into(),
    })
}

fn keeping(history: usize) -> Chat {
    let rate = crate::config::Rate { count: 5, per: std::time::Duration::from_secs(1) };
    Chat { history, text_max: 2000, rate }
}

/// A log with one event for each letter: `s` said, `j` joined, `l` left, `t` turned away, `c` control, `o` and `O` a command
/// and its answer, `a` and `b` stops of two users, `A` an answer to a stop.
fn log(history: usize, letters: &str) -> EventLog {
    let mut log = EventLog::new(Epoch::from_random(7), &keeping(history));
    for letter in letters.chars() {
        push(&mut log, letter);
    }
    log
}

fn push(log: &mut EventLog, letter: char) -> Rc<Event> {
    let user = |name: &str| Rc::new(Member { user: name.into(), ..(*member()).clone() });
    let commanded = |by| What::Commanded { by, device: "p".into(), command: "c".into(), args: "{}".into() };
    let to = log.newest();
    let answered = What::Answered { device: "p".into(), to, ok: None, result: "null".into(), late: false };
    let what = match letter {
        's' => What::Said { from: member(), text: "hi".into() },
        'j' => What::Joined { member: member(), returned: false },
        'l' => What::Left { member: member(), reason: crate::msg::LeftReason::Closed },
        'c' => What::Control { device: "p".into(), holder: None, was: None, reason: crate::msg::ControlReason::Left },
        'o' | 'a' => commanded(user("ann")),
        'b' => commanded(user("bob")),
        'O' | 'A' => answered,
        _ => What::TurnedAway { addr: PeerAddr::Unix, user: "bob".into() },
    };
    log.push(Now::default(), what, "abA".contains(letter))
}

fn id(seq: u64) -> String {
    EventId { epoch: Epoch::from_random(7), seq }.to_string()
}

fn numbers(events: &[Rc<Event>]) -> Vec<u64> {
    events.iter().map(|e| e.id.seq).collect()
}

#[test]
fn what_is_replayed_after_which_id_for_which_types() {
    const SAID: Types = Types::of(&[Type::Said]);
    const LEFT: Types = Types::of(&[Type::Left]);
    const JOINED: Types = Types::of(&[Type::Joined]);
    /// History, events, after, types, replay.
    type Row = (usize, &'static str, u64, Types, Option<&'static [u64]>);
    let rows: &[Row] = &[
        (9, "", 0, Types::ALL, Some(&[])),
        (9, "jsl", 0, Types::ALL, Some(&[1, 2, 3])),
        (9, "jsl", 1, Types::ALL, Some(&[2, 3])),
        (9, "jsl", 3, Types::ALL, Some(&[])),
        (9, "jsl", 4, Types::ALL, None),
        (9, "jsljs", 0, SAID, Some(&[2, 5])),
        (9, "sjsjlsj", 2, Types::ALL, Some(&[3, 4, 5, 6, 7])),
        // 1 and 2 are gone.
        (2, "ssss", 1, Types::ALL, None),
        (2, "ssss", 2, Types::ALL, Some(&[3, 4])),
        (2, "ssss", 0, LEFT, Some(&[])),
        // A crowd at the door does not push the talk out, nor the other way round.
        (2, "sstttt", 0, SAID, Some(&[1, 2])),
        (2, "sstttt", 0, Types::ALL, None),
        (2, "jjssss", 0, JOINED, Some(&[1, 2])),
        // In one ring: the first `joined` is gone, no `left` is.
        (2, "jjl", 0, JOINED, None),
        (2, "jjl", 1, JOINED, Some(&[2])),
        (2, "jjl", 0, LEFT, Some(&[3])),
        (0, "j", 0, Types::ALL, None),
        (0, "j", 1, Types::ALL, Some(&[])),
    ];
    for &(history, events, after, types, expected) in rows {
        let got = log(history, events).replay(&id(after), types).map(|r| numbers(&r));
        assert_eq!(got.as_deref(), expected, "history {history}, {events:?} after {after} {types:?}");
    }
}

#[test]
fn an_id_that_is_none_of_this_log_is_not_replayed() {
    let log = log(9, "jsl");
    let epoch = Epoch::from_random(7);
    let e = epoch.as_str();
    for bad in ["", "1", "-1", "zzzzzz-1", &format!("{e}-"), &format!("{e}-x"), &format!("{e}-+1"), &format!("{e}1")] {
        assert_eq!(log.replay(bad, Types::ALL), None, "{bad:?}");
    }
    for bad in [
        format!("{e}-01"),
        format!("{e}--1"),
        format!("{e}-4"),
        format!("{e}-99999999999999999999999"),
        format!("{e}-1 "),
    ] {
        assert_eq!(log.replay(&bad, Types::ALL), None, "{bad:?}");
        assert!(log.since(Some(&bad), 9).gap, "{bad:?}");
    }
    assert!(log.replay(&format!("{e}-1"), Types::ALL).is_some());
}

#[test]
fn parts_of_the_log_and_their_gaps() {
    /// History, events, since, limit, numbers, gap.
    type Row = (usize, &'static str, Option<u64>, usize, &'static [u64], bool);
    let rows: &[Row] = &[
        (9, "", None, 5, &[], false),
        (9, "", Some(0), 5, &[], false),
        (9, "jsl", None, 5, &[1, 2, 3], false),
        (9, "jsl", None, 2, &[2, 3], false),
        (9, "jsl", Some(0), 2, &[1, 2], false),
        (9, "jsl", Some(1), 2, &[2, 3], false),
        (9, "jsl", Some(3), 2, &[], false),
        (9, "jsl", Some(1), 0, &[], false),
        (9, "jsl", None, 0, &[], false),
        (2, "ssss", Some(2), 9, &[3, 4], false),
        (2, "ssss", Some(1), 9, &[3, 4], true),
        (2, "ssss", None, 2, &[3, 4], false),
        (2, "ssss", None, 3, &[3, 4], true),
        // Kept: 1 and 2 (said), 6 and 7 (turned away); 3 to 5 are gone.
        (2, "ssttttt", Some(0), 2, &[1, 2], false),
        (2, "ssttttt", Some(0), 3, &[1, 2, 6], true),
        (2, "ssttttt", Some(5), 3, &[6, 7], false),
        (2, "ssttttt", None, 2, &[6, 7], false),
        (2, "ssttttt", None, 3, &[2, 6, 7], true),
        (0, "ss", Some(1), 3, &[], true),
        (0, "ss", Some(2), 3, &[], false),
    ];
    for &(history, events, since, limit, expected, gap) in rows {
        let since = since.map(id);
        let got = log(history, events).since(since.as_deref(), limit);
        let what = format!("history {history}, {events:?} since {since:?} limit {limit}");
        assert_eq!(numbers(&got.events), expected, "{what}");
        assert_eq!(got.gap, gap, "{what}");
    }
    let unknown = log(9, "jsl").since(Some("nosuch-1"), 2);
    assert_eq!((numbers(&unknown.events), unknown.gap), (vec![2, 3], true));
}

#[test]
fn a_shorter_history_drops_the_oldest_at_once() {
    let mut log = log(9, "sssjjj");
    log.set_history(&keeping(1));
    assert_eq!(log.len(), 2);
    assert_eq!(log.replay(&id(4), Types::of(&[Type::Said])), Some(vec![]));
    assert_eq!(log.replay(&id(1), Types::of(&[Type::Said])), None);
}

#[test]
fn no_kind_pushes_another_out() {
    let log = log(3, &("sss".to_string() + "coO" + "jlt" + &"a".repeat(90) + &"A".repeat(90) + "b"));
    assert_eq!(log.replay(&id(0), Types::of(&[Type::Said])).map(|e| numbers(&e)), Some(vec![1, 2, 3]));
    assert_eq!(log.replay(&id(0), Types::of(&[Type::Control])).map(|e| numbers(&e)), Some(vec![4]));
    assert_eq!(log.replay(&id(0), Types::of(&[Type::Joined, Type::Left])).map(|e| numbers(&e)), Some(vec![7, 8]));
    assert_eq!(log.replay(&id(0), Types::of(&[Type::Commanded])), None, "stops are gone, and that is said");
    assert_eq!(numbers(&log.since(Some(&id(0)), 6).events), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn one_users_stops_do_not_push_out_anothers() {
    let log = log(4, &("ab".to_string() + &"a".repeat(50)));
    let kept = numbers(&log.since(Some(&id(0)), 99).events);
    assert_eq!(kept, [2, 50, 51, 52], "the only one of bob's, and the newest of ann's");
}

/// Against the plainest truth: all that ever happened, and what of it is kept.
#[test]
fn a_gap_is_said_exactly_where_something_that_was_asked_for_is_gone() {
    let mut seed = 7_u64;
    let mut draw = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % n
    };
    let kinds: Vec<Type> = {
        let all = log(99, "scoAajlt");
        let mut kinds: Vec<Type> = all.since(None, 99).events.iter().map(|e| e.what.kind()).collect();
        kinds.dedup();
        kinds
    };
    let (mut gaps, mut whole) = (0, 0);
    for round in 0..40 {
        let history = draw(5);
        let mut log = log(history, "");
        let mut all: Vec<(char, Rc<Event>)> = Vec::new();
        for _ in 0..draw(30) {
            let letter = ['s', 'c', 'o', 'O', 'a', 'b', 'A', 'j', 'l', 't'][draw(10)];
            all.push((letter, push(&mut log, letter)));
        }
        let kept = log.since(Some(&id(0)), 999).events;
        for ring in ["s", "coO", "jlt"] {
            let of = |e: &Rc<Event>| all.iter().any(|(l, known)| known.id == e.id && ring.contains(*l));
            let newest: Vec<u64> = all.iter().filter(|(l, _)| ring.contains(*l)).map(|(_, e)| e.id.seq).collect();
            let newest = &newest[newest.len().saturating_sub(history)..];
            assert_eq!(numbers(&kept.iter().filter(|e| of(e)).cloned().collect::<Vec<_>>()), newest, "round {round}");
        }
        let stops = kept.iter().filter(|e| all.iter().any(|(l, k)| k.id == e.id && "abA".contains(*l))).count();
        assert_eq!(stops, all.iter().filter(|(l, _)| "abA".contains(*l)).count().min(history), "round {round}");
        for after in 0..=all.len() as u64 {
            for set in 0..1_u32 << kinds.len() {
                let types: Vec<Type> =
                    kinds.iter().enumerate().filter(|(n, _)| set >> n & 1 == 1).map(|(_, &t)| t).collect();
                let types = Types::of(&types);
                let asked = |e: &&Rc<Event>| e.id.seq > after && types.has(e.what.kind());
                let meant: Vec<Rc<Event>> = all.iter().map(|(_, e)| e).filter(asked).cloned().collect();
                let there: Vec<Rc<Event>> = kept.iter().filter(asked).cloned().collect();
                let expected = (meant == there).then_some(there);
                gaps += usize::from(expected.is_none());
                whole += usize::from(expected.is_some());
                assert_eq!(log.replay(&id(after), types), expected, "round {round}, after {after}, {types:?}");
            }
            let limit = draw(12);
            let slice = log.since(Some(&id(after)), limit);
            let there: Vec<Rc<Event>> = kept.iter().filter(|e| e.id.seq > after).take(limit).cloned().collect();
            // what lies between the id and the last event of the answer, or the end if it was not cut off
            let cut = there.len() == limit;
            let end = if cut { there.last().map_or(after, |e| e.id.seq) } else { all.len() as u64 };
            assert_eq!(slice.gap, end - after != there.len() as u64, "round {round}, after {after}, limit {limit}");
            assert_eq!(slice.events, there);
        }
    }
    assert!(gaps > 1000 && whole > 1000, "both were seen: {gaps}, {whole}");
}

#[test]
fn a_ring_has_a_bound_in_bytes_and_what_goes_for_it_is_a_gap() {
    let mut log = log(500, "ss");
    let long = |len: usize| -> crate::msg::Json { format!("\"{}\"", "x".repeat(len)).into() };
    let answered = |log: &mut EventLog, stop: bool| {
        let to = log.newest();
        log.push(
            Now::default(),
            What::Answered { device: "p".into(), to, ok: None, result: long(16 << 10), late: false },
            stop,
        );
    };
    for stop in [false, true] {
        (0..500).for_each(|_| answered(&mut log, stop));
    }
    assert!(log.bytes() <= 2 * RING_BYTES + 2000 && log.bytes() > 2 * RING_BYTES - (40 << 10), "{}", log.bytes());
    assert_eq!(log.bytes(), log.since(None, 9999).events.iter().map(|e| size(e)).sum::<u64>());
    assert_eq!(log.replay(&id(0), Types::of(&[Type::Said])).map(|e| numbers(&e)), Some(vec![1, 2]), "no other pays");
    assert_eq!(log.replay(&id(2), Types::of(&[Type::Answered])), None);
    assert_eq!(log.replay(&id(1002 - 60), Types::of(&[Type::Answered])).map(|e| e.len()), Some(60));
    assert!(log.since(Some(&id(2)), 9999).gap && !log.since(Some(&id(1002 - 60)), 9999).gap);

    // who asked for much does not push out who asked for little
    let mut log = self::log(500, "bbb");
    let eve = Rc::new(Member { user: "eve".into(), ..(*member()).clone() });
    for _ in 0..500 {
        let (by, args) = (eve.clone(), long(4 << 10));
        log.push(Now::default(), What::Commanded { by, device: "p".into(), command: "c".into(), args }, true);
    }
    assert!(log.bytes() <= RING_BYTES);
    assert_eq!(numbers(&log.since(Some(&id(0)), 3).events), [1, 2, 3]);

    // the chat has room for as many as were asked for, as long as they may be
    let mut log = self::log(500, "");
    for _ in 0..500 {
        log.push(Now::default(), What::Said { from: member(), text: "x".repeat(2000).into() }, false);
    }
    assert_eq!(log.len(), 500);

    // a long history has room for events of the usual length
    let log = self::log(10_000, &"s".repeat(10_000));
    assert_eq!(log.len(), 10_000);
    assert!(log.bytes() > RING_BYTES);
}
