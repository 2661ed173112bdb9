use super::*;
use crate::msg::PeerAddr;

fn conn(n: u64) -> ConnId {
    ConnId::from_raw(n as u32)
}

fn check(source: u8, n: u64, known: bool) -> Check<u64> {
    let source = Source::Network(PeerAddr::canonical([10, 0, 0, source].into()));
    Check { job: n, key: [n, 0], source, known, wrong: 0, waiting: vec![conn(n)] }
}

/// The order in which all that wait are checked.
fn order(q: &mut Queue<u64>) -> Vec<u64> {
    std::iter::from_fn(|| q.take_next().map(|(_, check)| check.job)).collect()
}

#[test]
fn sources_take_turns_whatever_each_has_waiting() {
    let mut q = Queue::default();
    for n in 0..5 {
        q.push(Door::Web, check(1, n, false)).unwrap();
    }
    q.push(Door::Web, check(2, 10, false)).unwrap();
    q.push(Door::Web, check(3, 11, false)).unwrap();
    assert_eq!(order(&mut q), [0, 10, 11, 1, 2, 3, 4]);
}

#[test]
fn doors_take_turns_and_neither_takes_the_others_places() {
    let mut q = Queue::default();
    for n in 0..200 {
        let _ = q.push(Door::Web, check(n as u8, n, false));
    }
    assert!(q.push(Door::Web, check(250, 250, false)).is_err(), "all places there are taken by one of each address");
    for n in 1000..1003 {
        q.push(Door::Devices, check(1, n, false)).unwrap();
    }
    assert_eq!(order(&mut q)[..7], [0, 1000, 1, 1001, 2, 1002, 3]);
}

#[test]
fn the_known_go_first_but_newcomers_have_every_fourth_turn_and_places_of_their_own() {
    let mut q = Queue::default();
    for n in 0..PLACES as u64 {
        q.push(Door::Web, check(n as u8, n, false)).unwrap();
    }
    for n in 100..107 {
        q.push(Door::Web, check(1, n, true)).unwrap();
    }
    assert_eq!(order(&mut q)[..10], [100, 101, 102, 0, 103, 104, 105, 1, 106, 2]);
}

#[test]
fn when_full_the_newest_of_the_source_gives_way_from_which_most_wait_and_one_alone_never() {
    let mut q = Queue::default();
    for n in 0..PLACES as u64 {
        q.push(Door::Web, check(1, n, false)).unwrap();
    }
    assert!(q.push(Door::Web, check(1, 99, false)).is_err(), "the flood itself finds no place");
    for n in 0..PLACES as u8 - 1 {
        q.push(Door::Web, check(2 + n, 100 + u64::from(n), false)).unwrap();
        let (door, gone) = q.gave_way().unwrap();
        assert_eq!((door, gone.job), (Door::Web, PLACES as u64 - 1 - u64::from(n)));
    }
    let full = q.push(Door::Web, check(99, 999, false)).unwrap_err();
    assert_eq!((full.job, q.gave_way().is_none()), (999, true), "all wait alone");
    assert_eq!(order(&mut q).len(), PLACES);
}

#[test]
fn when_all_wait_alone_who_has_guessed_wrong_most_gives_way_to_who_has_less() {
    let mut q = Queue::default();
    let guess = |source: u8, wrong: u32| Check { wrong, ..check(source, source.into(), false) };
    for n in 0..PLACES as u8 {
        q.push(Door::Web, guess(n, 1 + u32::from(n == 7))).unwrap();
    }
    assert!(q.push(Door::Web, guess(100, 2)).is_err(), "no better than any");
    q.push(Door::Web, guess(101, 0)).unwrap();
    assert_eq!(q.gave_way().unwrap().1.job, 7, "the one that guessed most");
    assert!(q.push(Door::Web, guess(101, 0)).is_err(), "one that has a place already pushes out nobody");
    for n in 102..100 + PLACES as u8 {
        q.push(Door::Web, guess(n, 0)).unwrap();
        assert_eq!(q.gave_way().unwrap().1.wrong, 1);
    }
    assert!(q.web.new.ring.iter().all(|(_, checks)| checks.len() == 1));
    let in_order = order(&mut q);
    assert!(in_order.len() == PLACES && in_order.contains(&101), "{in_order:?}");
}

#[test]
fn equal_credentials_are_checked_once_whether_they_wait_or_are_under_way_but_not_across_doors() {
    let mut q = Queue::default();
    q.push(Door::Web, check(1, 7, false)).unwrap();
    assert!(q.join(Door::Web, &[7, 0], conn(8)) && !q.join(Door::Devices, &[7, 0], conn(9)));
    let (door, next) = q.take_next().unwrap();
    q.start(Running { door, key: next.key, waiting: next.waiting });
    assert!(q.join(Door::Web, &[7, 0], conn(10)) && !q.join(Door::Devices, &[7, 0], conn(9)));
    q.push(Door::Devices, check(1, 7, false)).unwrap();
    assert!(q.take_next().is_none(), "one at a time");
    let waiting = vec![conn(7), conn(8), conn(10)];
    assert_eq!(q.done(), Some(Running { door: Door::Web, key: [7, 0], waiting }));
    assert_eq!(q.take_next().map(|(door, check)| (door, check.job)), Some((Door::Devices, 7)));
}

/// Twelve addresses flood both doors as fast as they can; others come now and then, one at a time. Whatever the chances, each
/// of these is taken in and checked within a bound.
#[test]
fn whoever_comes_alone_waits_for_a_bounded_number_of_turns_whatever_others_do() {
    // both doors, every fourth turn a newcomer's
    const BOUND: u64 = 2 * 4 * (PLACES as u64 + 1);
    for seed in 1..=50u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut chance = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut q = Queue::default();
        let (mut n, mut alone) = (0, Vec::new());
        let mut worst = 0;
        for turn in 0..3000u64 {
            for _ in 0..chance(40) {
                n += 1;
                let door = if chance(2) == 0 { Door::Web } else { Door::Devices };
                let _ = q.push(door, check(1 + chance(12) as u8, n, chance(3) == 0));
            }
            if chance(20) == 0 && alone.len() < 8 {
                n += 1;
                let source = 100 + (n % 100) as u8;
                if alone.iter().all(|&(_, s, _)| s != source) {
                    let door = if chance(2) == 0 { Door::Web } else { Door::Devices };
                    q.push(door, check(source, n, chance(2) == 0)).expect("a place for who comes alone");
                    alone.push((n, source, turn));
                }
            }
            while let Some((_, gone)) = q.gave_way() {
                assert!(alone.iter().all(|&(n, ..)| n != gone.job), "one that waits alone has given way");
            }
            let lanes = [&q.web.known, &q.web.new, &q.devices.known, &q.devices.new];
            for lane in lanes {
                assert_eq!(lane.len, lane.ring.iter().map(|(_, checks)| checks.len()).sum::<usize>());
                assert!(lane.len <= PLACES && lane.ring.iter().all(|(_, checks)| !checks.is_empty()));
            }
            let Some((_, next)) = q.take_next() else { continue };
            if let Some(at) = alone.iter().position(|&(n, ..)| n == next.job) {
                worst = worst.max(turn - alone.remove(at).2);
            }
            assert!(alone.iter().all(|&(_, _, since)| turn - since <= BOUND), "seed {seed}: {alone:?} at {turn}");
        }
        assert!(worst > 0 && worst <= BOUND, "seed {seed}: {worst}");
    }
}
