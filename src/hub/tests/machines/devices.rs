//! How devices come, go and are, and what they measure.

use super::*;

#[test]
fn a_device_is_welcomed_and_everybody_is_told_how_it_is() {
    let mut w = World::new();
    w.member("ann", 1);
    w.news(1);
    w.device("pump", 50);
    w.expect_device(50, &["welcome pump", "control -"]).expect(1, &["device pump up hello"]);
    w.says(50, FromDevice::Ping("7".into())).expect_device(50, &["pong 7"]);
    w.live(10_000).expect(1, &[]);
    // It falls silent, is heard again, falls silent for good.
    w.hang(50).at(11_199).expect(1, &[]);
    w.at(11_200).expect(1, &["device pump suspect silent"]);
    w.at(12_000).says(50, FromDevice::Blank).expect(1, &["device pump up -"]);
    w.at(16_999).expect(1, &["device pump suspect silent"]);
    w.at(17_000).expect(1, &["device pump down silent"]);
    assert_eq!(w.machines.ended, [(conn(50), "silent".into())]);
    assert_eq!(w.hub.view().devices()[0].state, DeviceState::Down);
}

#[test]
fn output_that_a_device_does_not_take_makes_it_suspect_even_if_it_talks() {
    let mut w = World::new();
    w.member("ann", 1);
    w.device("pump", 50);
    w.live(2_000).news(1);
    let waits = |w: &mut World, since: Option<u64>| {
        w.happens(Input::DeviceWaits { conn: conn(50), since: since.map(Moment::from_millis) });
        w.settle();
    };
    waits(&mut w, Some(2_000));
    w.live(3_199).expect(1, &[]);
    w.live(3_200).expect(1, &["device pump suspect silent"]);
    waits(&mut w, None);
    w.expect(1, &["device pump up -"]);
}

#[test]
fn every_end_of_a_devices_link_has_its_reason() {
    type End = fn(&mut World);
    let table: [(&str, &str, End); 6] = [
        ("left", "closed", |w| {
            w.says(50, FromDevice::Bye);
        }),
        ("left", "closed", |w| {
            w.fin(50);
        }),
        ("lost", "reset", |w| {
            w.lose(50, 2_300, Evidence::NoAck);
        }),
        ("lost", "reset", |w| {
            w.lose(50, 0, Evidence::Reset);
        }),
        ("silent", "silent", |w| {
            w.end(50, LinkEnd::Slow);
        }),
        ("protocol", "protocol", |w| {
            w.happens(Input::DeviceBroke(conn(50)));
            w.settle();
        }),
    ];
    for (reason, ended, end) in table {
        let mut w = World::new();
        let ann = w.panel("ann", 1, &["pump"]);
        w.device("pump", 50);
        w.take(ann, "pump").expect("control");
        let id = w.command(ann, "start", "{}").expect("sent");
        w.news(1);
        w.device_news(50);
        end(&mut w);
        let down = format!("device pump down {reason}");
        let answered = format!("answered pump {id} null \"unknown\"");
        w.expect_about(1, &[&down, "control pump - ann device", &answered]);
        w.expect_device(50, &["safe device ann 0", "control -"]);
        assert_eq!(w.machines.ended, [(conn(50), ended.to_string())], "{reason}");
        assert_eq!(w.holder("pump"), None);
    }
}

#[test]
fn a_second_hello_replaces_the_older_link() {
    let mut w = World::new();
    let ann = w.panel("ann", 1, &["pump"]);
    w.device("pump", 50);
    w.take(ann, "pump").expect("control");
    let id = w.command(ann, "start", "{}").expect("sent");
    w.device_news(50);
    w.news(1);
    w.device("pump", 51);
    w.expect_device(50, &["safe device ann 0", "control -"]).expect_device(51, &["welcome pump", "control -"]);
    let answered = format!("answered pump {id} null \"unknown\"");
    w.expect_about(1, &["device pump down replaced", "control pump - ann device", &answered, "device pump up hello"]);
    assert_eq!(w.machines.ended, [(conn(50), "replaced".into())]);
    // What the old link still says is nobody's word; its end is no news.
    w.says(50, FromDevice::Bye).fin(50).expect(1, &[]);
    // The answer comes over the new link: late, once.
    w.answers(51, id, true).expect(1, &[&format!("answered pump {id} true 1 late")]);
    w.answers(51, id, true).expect(1, &[]).expect_device(51, &["error answer"]);
}

#[test]
fn telemetry_comes_at_most_ten_times_a_second_and_the_newest_value_wins() {
    let mut w = World::new();
    w.member("ann", 1);
    w.device("pump", 50);
    w.news(1);
    for i in 0..50 {
        let values = vec![("rpm".into(), i.to_string().into()), (format!("t{}", i % 2).into(), "1".into())];
        w.at(20 * i).says(50, FromDevice::Telemetry(values));
    }
    let heard = w.news(1);
    assert_eq!(heard.len(), 10, "{heard:?}");
    assert_eq!(heard[0], "telemetry pump rpm=0 t0=1");
    assert_eq!(heard[1], "telemetry pump rpm=4 t0=1 t1=1");
    w.at(1_100);
    assert_eq!(w.news(1), ["telemetry pump rpm=49 t0=1 t1=1"]);
    let device = &w.hub.view().devices()[0];
    assert_eq!(device.telemetry[0], ("rpm".into(), "49".into()));
    assert_eq!(device.telemetry_ms, Some(1_700_000_000_980));
}

#[test]
fn devices_that_are_down_are_remembered_up_to_a_bound() {
    let mut w = World::new();
    for i in 0..100 {
        w.device(&format!("d{i:03}"), 50 + i);
        w.after(10).fin(50 + i);
    }
    let names: Vec<_> = w.hub.view().devices().iter().map(|d| d.name.to_string()).collect();
    assert_eq!((names.len(), names[0].as_str(), names[63].as_str()), (64, "d036", "d099"));
}

#[test]
fn a_stall_of_the_server_makes_no_device_fit_for_commands_and_none_alive_for_ever() {
    let (mut w, ann) = held();
    w.live(14_000);
    let beat = |w: &World| Some(w.hub.view().beat_number(w.now()));
    let args = Args::default();
    w.hang(50);
    w.ms = 16_000;
    w.happens(Input::StoodStill(Duration::from_secs(2)));
    let order =
        CommandRequest { device: "pump", command: "start", args: &args, beat: beat(&w), reference: None, waiter: None };
    assert!(matches!(w.order(ann, &order), Err(CommandError::Suspect)), "not heard for 2 s: it would run late");
    // one `silent_after` more at most, however often the server stands still
    while w.ms < 23_000 {
        w.ms += 700;
        w.happens(Input::StoodStill(Duration::from_millis(700)));
        w.at(w.ms + 100);
    }
    let state = |w: &World| w.hub.view().devices().first().map(|d| d.state);
    assert_eq!(state(&w), Some(DeviceState::Suspect));
    w.at(23_999);
    assert_eq!(state(&w), Some(DeviceState::Suspect));
    w.at(24_000);
    assert_eq!(state(&w), Some(DeviceState::Down));
}

/// Values of so many names, each of so many bytes.
fn values(count: usize, bytes: usize) -> FromDevice {
    FromDevice::Telemetry((0..count).map(|n| (format!("v{n:03}").into(), "1".repeat(bytes).into())).collect())
}

#[test]
fn the_values_of_one_device_have_a_bound_in_bytes_and_what_is_beyond_it_is_null_and_refused_by_name() {
    let mut w = World::new();
    w.device("pump", 50);
    w.says(50, values(256, 4)).device_news(50);
    w.says(50, values(256, 250)).expect_device(50, &["error telemetry"]);
    let told = w.hub.view().devices()[0].telemetry.clone();
    let text: usize = told.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(text <= 32 << 10 && text > 31 << 10, "{text}");
    assert_eq!((&*told[0].1, &*told[255].1), (&*"1".repeat(250), "null"), "never an old number");
    w.says(50, values(256, 8)).expect_device(50, &[]);
}

#[test]
fn all_devices_have_a_bound_in_bytes_those_that_are_down_go_first_and_then_what_comes_is_refused() {
    let mut w = World::new();
    let sum =
        |w: &World| w.hub.view().remembered().iter().find(|(of, _)| *of == "devices").map_or(0, |(_, bytes)| *bytes);
    w.hub.settings.device_bytes = 200 << 10;
    for n in 0..3 {
        w.device(&format!("down{n}"), 60 + n);
        w.says(60 + n, values(200, 100)).fin(60 + n);
    }
    for n in 0..4 {
        w.device(&format!("up{n}"), 50 + n);
        w.says(50 + n, values(200, 100));
        assert!(sum(&w) <= 200 << 10, "{}", sum(&w));
    }
    assert!(w.hub.view().devices().iter().all(|d| d.name.starts_with("up")), "who is down is forgotten");
    w.device_news(50);
    w.device("up4", 54);
    w.says(54, values(200, 100));
    assert_eq!(w.device_news(54).last().map(String::as_str), Some("error telemetry"));
    while w.hub.view().devices_up() < 200 {
        let n = w.hub.view().devices_up() as u16;
        w.device(&format!("up{n}"), 50 + n);
        if w.machines.ended.last().is_some_and(|(c, why)| *c == conn(50 + n) && why == "limit") {
            w.expect_device(50 + n, &["error full"]);
            break;
        }
    }
    assert!(w.hub.view().devices_up() < 200 && sum(&w) <= 200 << 10);
    // who is there already says hello again, measures on, and the others lose nothing
    w.device("up0", 49);
    assert_eq!(w.device_news(49)[0], "welcome up0");
    assert_eq!(w.hub.view().devices().iter().filter(|d| d.telemetry.len() == 200).count(), 3);
}

#[test]
fn a_device_in_a_loop_says_hello_once_a_second_and_what_stands_stays() {
    let mut w = World::new();
    w.member("ann", 1);
    for c in 50..59 {
        w.device("pump", c);
        w.fin(c);
    }
    w.device("pump", 59);
    w.news(1);
    w.device("pump", 60);
    w.expect_device(60, &["error throttled"]).expect(1, &[]);
    assert_eq!(w.machines.ended.last(), Some(&(conn(60), "limit".into())));
    assert_eq!(w.hub.view().devices()[0].state, DeviceState::Up, "the one before stays");
    w.device("valve", 61);
    w.expect(1, &["device valve up hello"]);
    w.fin(61);
    w.news(1);
    w.at(1_000).device("pump", 62);
    w.expect(1, &["device pump down replaced", "device pump up hello"]);
    w.device("pump", 63);
    w.expect(1, &[]);
    for n in 0..30u16 {
        w.at(2_000 + u64::from(n) * 1_000).device("pump", 70 + n);
        w.expect(1, &["device pump down replaced", "device pump up hello"]);
    }
}
