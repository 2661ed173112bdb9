use super::super::tests::simulation::Dice;
use super::*;
use crate::hub::tests::addr;
use crate::msg::{Presence, Role};

fn control() -> Control {
    crate::config::Config::default().control
}

fn hold(at_ms: u64) -> Hold {
    let member = Member {
        session: SessionId(7),
        user: "ann".into(),
        role: Role::Operator,
        seat: 1,
        addr: addr(1),
        since_ms: 0,
        state: Presence::Present,
        links: 1,
        rtt_us: None,
        agent: "".into(),
    };
    Hold::new(Moment::from_millis(at_ms), Rc::new(member), Means::Page, Reach::Heard)
}

#[test]
fn stalls_earn_one_page_after_in_all_and_retaking_control_earns_no_more() {
    let mut credit = Credit::default();
    let most = Duration::from_secs(3);
    let earned: Vec<u64> = [700, 700, 1_500, 700, 9_000]
        .map(|gap| credit.earn(Duration::from_millis(gap), most).as_millis() as u64)
        .into();
    assert_eq!(earned, [700, 700, 1_500, 100, 0]);

    let mut h = hold(10_000);
    h.stood_still(Duration::from_secs(60), most);
    h.retake(Moment::from_millis(10_500), Means::Lease(Duration::from_secs(5)), Reach::Heard);
    h.retake(Moment::from_millis(11_000), Means::Page, Reach::Heard);
    h.stood_still(Duration::from_secs(60), most);
    let end = h.end(&control(), Duration::from_secs(3));
    assert_eq!(end, (Moment::from_millis(14_000), ControlReason::Page));
}

#[test]
fn whatever_happens_control_ends_at_most_max_silence_after_the_newest_answered_beat() {
    let control = control();
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let (mut now, mut h) = (100_000, hold(100_000));
        let mut answered = now;
        for n in 0..200 {
            let at = Moment::from_millis(now);
            match dice.roll(6) {
                0 => {
                    let sent = now - dice.roll(4_000);
                    h.named(at, n, Moment::from_millis(sent));
                    answered = answered.max(sent);
                }
                1 => h.follow(at, Reach::Suspect(Moment::from_millis(now - dice.roll(2_000)))),
                2 => h.follow(at, Reach::Heard),
                3 => h.follow(at, Reach::Unlinked),
                4 => {
                    let gap = dice.roll(5_000);
                    now += gap;
                    h.stood_still(Duration::from_millis(gap), control.page_after);
                }
                _ => now += dice.roll(500),
            }
            let (end, _) = h.end(&control, Duration::from_secs(3));
            assert!(end <= Moment::from_millis(answered) + control.max_silence, "seed {seed}, step {n}");
        }
    }
}
