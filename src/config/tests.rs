//! The layers over each other, and every complaint word for word where it matters.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::Path;

mod complaints;
pub(super) mod documents;

const FILE: &str = "b.toml";

struct Outcome {
    config: Config,
    mistakes: Vec<String>,
    warnings: Vec<String>,
}

fn read(file: &str, environment: &[(&str, &str)], options: Options) -> Outcome {
    let environment = environment.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect();
    let draft = read::layers(Some((Path::new(FILE), file)), &environment, &options);
    Outcome {
        config: draft.config,
        mistakes: draft.mistakes.iter().map(Mistake::to_string).collect(),
        warnings: draft.warnings,
    }
}

pub(super) fn good(file: &str) -> Config {
    let outcome = read(file, &[], Options::default());
    assert_eq!(outcome.mistakes, [""; 0], "{file}");
    outcome.config
}

fn bad(file: &str) -> Vec<String> {
    read(file, &[], Options::default()).mistakes
}

/// Exactly one mistake, at this place, with these words.
fn one(file: &str, place: &str, words: &str) {
    let mistakes = bad(file);
    let [mistake] = mistakes.as_slice() else { panic!("{file:?}: {mistakes:#?}") };
    assert!(mistake.starts_with(&format!("{FILE}:{place}: ")) && mistake.contains(words), "{file:?}: {mistake}");
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

// ------------------------------------------------------------------------------------------------ good values

#[test]
fn an_empty_file_means_the_defaults() {
    assert_eq!(good(""), Config::default());
    assert_eq!(good("# nothing\n\n[seats]\n"), Config::default());
}

#[test]
fn every_kind_of_value_is_read() {
    let c = good(
        r#"
        listen = ["127.0.0.1:0", "[::1]:8080", "unix:/run/b.sock"]
        www = "/srv/www"
        hosts = ["Panel.Example.com", "board_7."]
        user = "www-data"
        drain = "1.5s"
        auth.users = "/etc/u"
        [seats]
        max = 4
        reserved = 2
        idle = "10m"
        allow = ["192.168.0.0/16", "fd00::/8", "10.0.0.1"]
        [chat]
        rate = "30/m"
        [limits]
        body_bytes = "1MiB"
        header_bytes = 4096
        [log]
        level = "warn"
        "#,
    );
    assert_eq!(
        c.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["127.0.0.1:0", "[::1]:8080", "unix:/run/b.sock"]
    );
    assert_eq!(c.www.as_deref(), Some(Path::new("/srv/www")));
    assert_eq!(c.hosts, ["panel.example.com", "board_7"]);
    assert_eq!(c.user.as_deref(), Some("www-data"));
    assert_eq!(c.drain, Duration::from_millis(1500));
    assert_eq!(c.auth.users.as_deref(), Some(Path::new("/etc/u")));
    assert_eq!((c.seats.max, c.seats.reserved, c.seats.idle), (4, 2, secs(600)));
    assert_eq!(c.chat.rate, Rate { count: 30, per: secs(60) });
    assert_eq!((c.limits.body_bytes, c.limits.header_bytes), (1 << 20, 4096));
    assert_eq!(c.log.level, log::LevelFilter::Warn);
}

#[test]
fn empty_texts_mean_none() {
    let c = good("www = \"\"\nuser = \"\"\n[auth]\nusers = \"\"\n[devices]\ntokens = \"\"\nlisten = []\n");
    assert_eq!(c, Config::default());
}

#[test]
fn times_and_sizes_are_read_exactly() {
    for (text, ms) in
        [("500ms", 500), ("2s", 2000), ("2 s", 2000), ("1.25s", 1250), ("10m", 600_000), ("12h", 43_200_000), ("0s", 0)]
    {
        assert_eq!(units::duration(text), Ok(Duration::from_millis(ms)), "{text}");
    }
    for text in [
        "",
        "2",
        "s",
        "2x",
        "-2s",
        "+2s",
        "2s3",
        "1.s",
        ".5s",
        "1..5s",
        "0.0001s",
        "1e3s",
        "99999999999999999999s",
        "2S",
    ] {
        assert!(units::duration(text).unwrap_err().contains("write it like"), "{text}");
    }
    for (text, bytes) in [("16KiB", 16384), ("1MiB", 1 << 20), ("10", 10), ("10B", 10), ("0.5KiB", 512)] {
        assert_eq!(units::size(text), Ok(bytes), "{text}");
    }
    for text in ["", "KiB", "16KB", "16k", "-1", "0.3B", "99999999999GiB"] {
        assert!(units::size(text).unwrap_err().contains("write it like"), "{text}");
    }
    for text in ["5", "5/", "/s", "5/d", "-5/s", "x/s", "99999999999/s"] {
        assert!(units::rate(text).unwrap_err().contains("write it like"), "{text}");
    }
    for ms in [0, 1, 999, 1000, 1500, 60_000, 3_600_000, 90_000] {
        let d = Duration::from_millis(ms);
        assert_eq!(units::duration(&units::show_duration(d)), Ok(d));
    }
}

#[test]
fn address_ranges_contain_what_they_say_in_canonical_form() {
    let peer = |s: &str| PeerAddr::Ip(s.parse::<IpAddr>().unwrap());
    for (range, inside, outside) in [
        ("192.168.0.0/16", "192.168.255.1", "192.169.0.1"),
        ("192.168.0.0/16", "::ffff:192.168.1.1", "::ffff:10.0.0.1"),
        ("::ffff:192.168.0.0/112", "192.168.1.1", "fd00::1"),
        ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ("fd00::/8", "fdff::1", "fe80::1"),
        ("0.0.0.0/0", "8.8.8.8", "::1"),
        ("::/0", "::1", "8.8.8.8"),
        ("128.0.0.0/1", "200.0.0.1", "127.0.0.1"),
    ] {
        let range = AddrRange::parse(range).unwrap();
        assert!(range.contains(peer(inside)) && !range.contains(peer(outside)), "{range}");
        assert!(!range.contains(PeerAddr::Unix));
    }
    let mut seats = Config::default().seats;
    assert!(seats.allows(peer("8.8.8.8")));
    seats.allow = vec![AddrRange::parse("10.0.0.0/8").unwrap()];
    assert!(!seats.allows(peer("8.8.8.8")) && seats.allows(peer("10.1.1.1")));
    assert!(seats.allows(peer("127.0.0.1")) && seats.allows(peer("::1")) && seats.allows(PeerAddr::Unix));
}

#[test]
fn the_default_addresses_are_port_8080_of_what_there_is() {
    let shown = |ipv6| Config::default_listen(ipv6).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(true), ["0.0.0.0:8080", "[::]:8080"]);
    assert_eq!(shown(false), ["0.0.0.0:8080"]);
}

// --------------------------------------------------------------------------------------------------- profiles

#[test]
fn a_profile_sets_its_row_and_single_values_win_over_it_wherever_they_stand() {
    for profile in Profile::ALL {
        let c = good(&format!("[liveness]\nprofile = \"{}\"\n", profile.word()));
        assert_eq!(c.liveness, profile.values());
    }
    let c = good("[liveness]\nheartbeat = \"300ms\"\nprofile = \"lan\"\nkeepalive_count = 5\n");
    assert_eq!((c.liveness.heartbeat, c.liveness.silence), (Duration::from_millis(300), Duration::from_millis(950)));
    assert_eq!(c.liveness.keepalive, (secs(1), secs(1), 5));
    assert!(c.liveness.promised > Profile::Lan.values().promised && c.liveness.promised < secs(2));
    // Also over a profile from a later layer.
    let outcome =
        read("[liveness]\nheartbeat = \"300ms\"\n", &[("BOATSWAIN_LIVENESS_PROFILE", "lan")], Options::default());
    assert_eq!(outcome.config.liveness.heartbeat, Duration::from_millis(300));
    assert_eq!(outcome.config.liveness.poll, Duration::from_millis(25));
}

#[test]
fn the_promise_follows_the_values() {
    for profile in Profile::ALL {
        let mut values = profile.values();
        let worst = values.heartbeat + values.silence + values.poll;
        assert!(worst < values.promised && values.promised < worst * 11 / 10, "{profile:?}");
        values.promise_again();
        assert_eq!(values, profile.values());
    }
    let c = good("[liveness]\nsilence = \"4s\"\n");
    assert_eq!(c.liveness.promised, Duration::from_micros(4_834_375));
}

#[test]
fn a_longer_heartbeat_gives_pages_more_time_unless_that_was_set() {
    assert_eq!(good("[liveness]\nprofile = \"relaxed\"").liveness.page_after, secs(21));
    assert_eq!(good("[liveness]\nprofile = \"relaxed\"\npage_after = \"0s\"").liveness.page_after, secs(0));
    one("[liveness]\nprofile = \"relaxed\"\npage_after = \"10s\"", "3:15", "at least 21s");
}

// ------------------------------------------------------------------------------------------------------ roles

#[test]
fn roles_follow_the_lists() {
    let role = |lists: &str, user: &str| good(&format!("[auth]\n{lists}")).role_of(user);
    assert_eq!(role("", "ann"), Role::Operator);
    assert_eq!(role("operators = [\"ann\"]", "bob"), Role::Viewer);
    assert_eq!(role("viewers = [\"ann\"]", "ann"), Role::Viewer);
    assert_eq!(role("viewers = [\"ann\"]", "bob"), Role::Operator);
    assert_eq!(role("admins = [\"ann\"]", "ann"), Role::Admin);
    assert_eq!(role("operators = []\nadmins = [\"ann\"]", "ann"), Role::Admin);
    assert_eq!(role("viewers = [\"*\"]", "ann"), Role::Viewer);
    assert_eq!(role("admins = [\"*\"]", "ann"), Role::Admin);
    assert!(!Config::default().has_admins());
}

#[test]
fn open_paths_are_exact_or_prefixes() {
    let auth = good("[auth]\nopen = [\"/healthz\", \"/pub/\"]").auth;
    for (path, open) in
        [("/healthz", true), ("/healthz/", false), ("/healthzz", false), ("/pub/x", true), ("/pub", false)]
    {
        assert_eq!(auth.is_open(path), open, "{path}");
    }
}

// ----------------------------------------------------------------------------------------------------- layers

#[test]
fn later_layers_win() {
    let file = "listen = [\"10.0.0.1:1\"]\nwww = \"/file\"\n[seats]\nmax = 3\nlinger = \"1s\"\n";
    let environment = [
        ("BOATSWAIN_WWW", "/environment"),
        ("BOATSWAIN_SEATS_MAX", "5"),
        ("BOATSWAIN_LISTEN", "10.0.0.2:2, 10.0.0.3:3"),
        ("BOATSWAIN_AUTH_ADMINS", ""),
        ("BOATSWAIN_AUTH_VIEWERS", "ann,bob"),
        ("BOATSWAIN_DEBUG_ECHO", "false"),
        ("BOATSWAIN_LIMITS_BODY_BYTES", "128KiB"),
        ("PATH", "/bin"),
    ];
    let outcome = read(file, &environment, Options { seats: Some("7".into()), ..Options::default() });
    assert_eq!((outcome.mistakes, outcome.warnings), (vec![], vec![]));
    let c = outcome.config;
    assert_eq!((c.seats.max, c.seats.linger), (7, secs(1)));
    assert_eq!(c.www.as_deref(), Some(Path::new("/environment")));
    assert_eq!(c.listen.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.2:2", "10.0.0.3:3"]);
    assert_eq!((c.auth.admins.len(), c.auth.viewers), (0, vec!["ann".to_string(), "bob".to_string()]));
    assert_eq!(c.limits.body_bytes, 128 << 10);
    let options = Options {
        listen: vec!["[::1]:1".into(), "[::1]:2".into()],
        www: Some("w,w".into()),
        users: Some("u".into()),
        ..Options::default()
    };
    let c = read(file, &environment, options).config;
    assert_eq!(c.listen.iter().map(ToString::to_string).collect::<Vec<_>>(), ["[::1]:1", "[::1]:2"]);
    assert_eq!((c.www, c.auth.users), (Some("w,w".into()), Some("u".into())));
}

#[test]
fn mistakes_outside_the_file_name_the_variable_or_the_option() {
    let environment = [("BOATSWAIN_SEATS_MAX", "many"), ("BOATSWAIN_DRAIN", "2"), ("BOATSWAIN_DEBUG_ECHO", "1")];
    let options = Options { listen: vec!["x".into()], seats: Some("0".into()), ..Options::default() };
    let mistakes = read("", &environment, options).mistakes;
    for start in [
        "BOATSWAIN_SEATS_MAX: seats.max: \"many\" is no number",
        "BOATSWAIN_DRAIN: drain: \"2\" is no time",
        "BOATSWAIN_DEBUG_ECHO: debug.echo: expected true or false",
        "--listen: listen: \"x\" is no address and port",
        "--seats: seats.max: 0 is out of range",
    ] {
        assert!(mistakes.iter().any(|m| m.starts_with(start)), "{start}: {mistakes:#?}");
    }
    assert_eq!(mistakes.len(), 5);
}

#[test]
fn a_mistake_in_the_file_is_told_even_where_a_later_layer_wins() {
    let outcome = read("[seats]\nmax = 0", &[("BOATSWAIN_SEATS_MAX", "5")], Options::default());
    assert_eq!(outcome.mistakes.len(), 1);
}

#[test]
fn a_contradiction_is_told_at_the_layer_that_won() {
    let outcome = read("[seats]\nreserved = 2", &[("BOATSWAIN_SEATS_RESERVED", "30")], Options::default());
    let [mistake] = outcome.mistakes.as_slice() else { panic!("{:#?}", outcome.mistakes) };
    assert_eq!(
        mistake,
        "BOATSWAIN_SEATS_RESERVED: [seats] reserved (30) must be below max (10): others need a seat too"
    );
}

#[test]
fn an_unknown_variable_is_a_warning_with_the_nearest_name() {
    let outcome = read("", &[("BOATSWAIN_SEAT_MAX", "5"), ("BOATSWAINS", "x")], Options::default());
    assert_eq!(outcome.mistakes.len(), 0);
    assert_eq!(
        outcome.warnings,
        ["BOATSWAIN_SEAT_MAX: no setting has this name, it is ignored; did you mean BOATSWAIN_SEATS_MAX?"]
    );
}
