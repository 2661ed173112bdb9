//! The layers over each other, and every complaint word for word where it matters.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::Path;

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

// ------------------------------------------------------------------------------------------------- complaints

#[test]
fn unknown_keys_name_the_nearest_one() {
    for (file, place, words) in [
        ("lisen = []", "1:1", "lisen: there is no such setting; did you mean listen?"),
        ("[seats]\n  maxx = 3", "2:3", "seats.maxx: there is no such setting; did you mean seats.max?"),
        ("[seats]\nper-user = 3", "2:1", "did you mean seats.per_user?"),
        ("[seats]\nheader_bytes = 3", "2:1", "did you mean limits.header_bytes?"),
        ("max = 3", "1:1", "did you mean seats.max?"),
        ("[seat]\nmax = 3", "1:2", "seat: there is no such setting; did you mean the section [seats]?"),
        ("port = 80", "1:1", "did you mean listen?"),
        ("seats.mxa = 1", "1:7", "did you mean seats.max?"),
        ("[auth]\nqqqqqqqqqqqqqqq = 1", "2:1", "did you mean "),
    ] {
        one(file, place, words);
    }
}

#[test]
fn what_is_not_in_this_version_is_answered_by_name() {
    for (file, words) in [
        ("[tls]\ncert = \"x\"", "TLS is not in this version; put a proxy"),
        ("tls_cert = \"x\"", "tls_cert: TLS is not in this version"),
        ("[auth]\ncertificate = \"x\"", "TLS is not in this version"),
        ("[journal]\npath = \"x\"", "the journal on disk is not in this version"),
        ("[mqtt]\nbroker = \"x\"", "MQTT is not in this version"),
    ] {
        let mistakes = bad(file);
        assert!(mistakes.len() == 1 && mistakes[0].contains(words), "{mistakes:?}");
    }
    let outcome = read("", &[("BOATSWAIN_TLS_CERT", "x")], Options::default());
    assert!(outcome.mistakes[0].starts_with("BOATSWAIN_TLS_CERT: ") && outcome.mistakes[0].contains("TLS"));
}

#[test]
fn a_wrong_value_is_told_with_place_setting_and_example() {
    for (file, place, words) in [
        ("www = 3", "1:7", "www: expected a string like \"/srv/www\", found a number"),
        ("listen = \"0.0.0.0:80\"", "1:11", "listen: expected a list like [\"0.0.0.0:8080\"], found a string"),
        ("listen = [8080]", "1:11", "listen: expected a list of strings like"),
        ("drain = 2", "1:9", "drain: 2 has no unit; write a time like \"2s\""),
        ("drain = \"2\"", "1:10", "write it like \"500ms\", \"2s\""),
        ("drain = 2.5", "1:9", "found a number with a fraction"),
        ("seats.plain = \"0s\"", "1:16", "out of range; it must be from \"1s\""),
        ("drain = \"2h\"", "1:10", "out of range; it must be \"0s\" or from \"1ms\" to \"1m\""),
        ("seats.max = \"4\"", "1:14", "seats.max: expected a number, found a string; write 4 without quotes"),
        // more than that there is no room for, whatever is set
        ("limits.headers = 257", "1:18", "257 is out of range; it must be from 8 to 256"),
        ("seats.max = 0", "1:13", "0 is out of range; it must be from 1 to 1000"),
        ("seats.max = -1", "1:13", "-1 is out of range"),
        ("seats.max = 70000", "1:13", "out of range"),
        ("seats.max = true", "1:13", "expected a whole number like 1, found true or false"),
        ("debug.echo = \"yes\"", "1:15", "expected true or false"),
        ("limits.header_bytes = \"16KB\"", "1:24", "write it like \"16KiB\""),
        ("limits.header_bytes = \"2MiB\"", "1:24", "2MiB is out of range; it must be from \"1KiB\" to \"1MiB\""),
        ("limits.header_bytes = -1", "1:23", "no size"),
        ("chat.rate = \"0/s\"", "1:14", "would let nothing through"),
        ("log.level = \"loud\"", "1:14", "choose one of off, error, warn, info, debug"),
        ("liveness.profile = \"fast\"", "1:21", "choose one of lan, standard, mobile, relaxed"),
        ("liveness.keepalive_idle = \"1500ms\"", "1:28", "is not whole seconds"),
        ("auth.realm = \"a\\\"b\"", "1:15", "printable ASCII"),
        ("auth.open = [\"healthz\"]", "1:15", "is no path"),
        ("auth.admins = [\"logout\"]", "1:17", "reserved"),
        ("auth.admins = [\"a:b\"]", "1:17", "colon"),
        ("auth.viewers = [\"ann\", \"ann\"]", "1:25", "twice"),
        ("hosts = [\"http://x\"]", "1:11", "without scheme"),
        ("user = \"a b\"", "1:9", "no name of a user"),
        ("seats.allow = [\"10.0.0.1/8\"]", "1:17", "write \"10.0.0.0/8\""),
        ("seats.allow = [\"10.0.0.0/33\"]", "1:17", "from 0 to 32"),
        ("seats.allow = [\"ten\"]", "1:17", "is no range"),
        ("listen = [\"8080\"]", "1:12", "has no address"),
        ("listen = [\"127.0.0.1\"]", "1:12", "has no port"),
        ("listen = [\"localhost:80\"]", "1:12", "names are not looked up"),
        ("listen = [\"0.0.0.0:99999\"]", "1:12", "is no address and port"),
        ("listen = [\"unix:web.sock\"]", "1:12", "must begin with /"),
        ("seats = 3", "1:1", "seats is a section; write [seats]"),
        ("[[seats]]\nmax = 3", "1:3", "seats is a section"),
    ] {
        one(file, place, words);
    }
    one(&format!("listen = [\"unix:/{}\"]", "x".repeat(107)), "1:12", "at most 107 bytes, this one 108");
}

#[test]
fn values_that_do_not_go_together_are_told_at_the_place_of_one_of_them() {
    for (file, place, words) in [
        ("[seats]\nmax = 3\nreserved = 3", "3:12", "[seats] reserved (3) must be below max (3)"),
        ("[auth]\nadmins = [\"ann\"]\nviewers = [\"ann\"]", "3:11", "\"ann\" is both in admins and in viewers"),
        ("[auth]\nadmins = [\"ann\"]\nviewers = [\"*\"]", "3:11", "auth.operators = []"),
        ("[auth]\nadmins = [\"*\"]\nviewers = [\"ann\"]", "3:11", "\"ann\" is both"),
        ("[control]\npage_after = \"1s\"", "2:15", "control.page_after: page_after (1s) must be at least 2s"),
        ("[control]\ncommand_age = \"1999ms\"", "2:16", "command_age (1999ms) must be at least 2s"),
        ("[control]\nmax_silence = \"2s\"", "2:16", "max_silence (2s) must not be shorter than page_after (3s)"),
        ("[liveness]\nsilence = \"1s\"", "2:12", "[liveness] silence (1s) must be longer than suspect_after (1200ms)"),
        ("[liveness]\nsuspect_after = \"500ms\"", "2:18", "must be longer than heartbeat"),
        ("[liveness]\npoll = \"600ms\"", "2:9", "must not be longer than heartbeat"),
        ("[liveness]\nstalled_after = \"2s\"", "2:18", "must be longer than silence"),
        ("[liveness]\npage_after = \"1s\"", "2:15", "must be 0s (off) or at least 2s"),
        ("[chat]\ntext_max = 50000", "2:12", "must fit into limits.link_queue"),
        ("[limits]\nlink_queue = \"16KiB\"\n[chat]\ntext_max = 4000", "4:12", "limits.link_queue"),
    ] {
        one(file, place, words);
    }
}

#[test]
fn the_defaults_and_every_profile_go_together() {
    for profile in Profile::ALL {
        let config = Config { liveness: profile.values(), ..Config::default() };
        assert_eq!(check::conflicts(&config), [], "{profile:?}");
    }
}

#[test]
fn one_seat_needs_no_word_about_reserved_ones() {
    let options = Options { seats: Some("1".into()), ..Options::default() };
    let outcome = read("", &[], options);
    assert_eq!((outcome.mistakes.len(), outcome.config.seats.max, outcome.config.seats.reserved), (0, 1, 0));
}

#[test]
fn every_mistake_is_told_not_only_the_first() {
    let mistakes = bad(
        "lisen = 1\ndrain = 2s\n[seats]\nmax = \"x\"\nreserved = 30\nallow = [\"a\", \"10.0.0.0/8\", \"b\"]\n[tls]\n",
    );
    for (i, place) in ["1:1", "2:9", "4:8", "6:11", "6:30", "7:2"].iter().enumerate() {
        assert!(mistakes.iter().any(|m| m.starts_with(&format!("{FILE}:{place}: "))), "{i} {place}: {mistakes:#?}");
    }
    assert_eq!(mistakes.len(), 6, "{mistakes:#?}");
}

#[test]
fn a_value_that_could_not_be_read_is_not_compared_with_others() {
    assert_eq!(bad("[seats]\nmax = 2000\nreserved = 20\n").len(), 1);
    // Nor one in a line that is not even TOML.
    assert_eq!(bad("[seats]\nmax = x\nreserved = 20\n").len(), 1);
}

#[test]
fn mistakes_of_writing_are_told_with_line_and_column() {
    for (file, place, words) in [
        ("www = srv", "1:7", "needs quotes"),
        ("drain = 2s", "1:9", "not a number; times, sizes"),
        ("\nwww = \"x", "2:7", "no closing quote"),
        ("www \"x\"", "1:5", "not TOML"),
        ("www = \"a\"\nwww = \"b\"", "2:1", "www is set twice"),
        ("[seats]\n[auth]\n[seats]\n", "3:1", "[seats] is there twice"),
        ("listen = [\"1.1.1.1:1\",\n", "2:1", "middle of a value"),
        ("é = \"ü\" x", "1:1", "not TOML"),
    ] {
        let mistakes = bad(file);
        assert!(
            mistakes[0].starts_with(&format!("{FILE}:{place}: ")) && mistakes[0].contains(words),
            "{file:?} {place}: {mistakes:#?}"
        );
        assert_eq!(mistakes.len(), 1, "{file:?}: {mistakes:#?}");
    }
    // What follows an open bracket would be guesses.
    assert_eq!(bad("listen = [\nwww = \"x\"\ndrain = \"1s\"\nmaxx = 3\n").len(), 1);
}

#[test]
fn a_file_of_brackets_or_dots_is_refused_before_the_parser_recurses() {
    for (file, words) in [
        (format!("a = {}", "[".repeat(60_000)), "too many brackets"),
        (format!("a = {}", "{a=".repeat(20_000)), "too many brackets"),
        (format!("{}a = 1", "a.".repeat(30_000)), "too many brackets or dots"),
        (format!("[{}a]", "a.".repeat(30_000)), "too many brackets or dots"),
        ("#".repeat(70_000), "64 KiB"),
    ] {
        let mistakes = bad(&file);
        assert!(mistakes.len() == 1 && mistakes[0].contains(words), "{mistakes:?}");
    }
    good("www = \"/a.b.c.d.e.f.g.h.i.j.k[[[[[[[[[[[\" # [[[[[[[[[[ . . . . . . . . . .\n");
}

#[test]
fn no_damage_to_a_file_is_more_than_a_mistake() {
    let whole = include_str!("../../docs/boatswain.toml");
    let mut seed = 1u64;
    let mut random = |n: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % n
    };
    let letters: Vec<char> = "[]{}\"'=.,#\n \\x0-+_e'éT:".chars().collect();
    for _ in 0..400 {
        let mut text: Vec<char> = whole.chars().filter(|c| *c != '#').collect();
        for _ in 0..1 + random(6) {
            let at = random(text.len());
            match random(3) {
                0 => text[at] = letters[random(letters.len())],
                1 => text.insert(at, letters[random(letters.len())]),
                _ => drop(text.remove(at)),
            }
        }
        let text: String = text.into_iter().collect();
        assert!(bad(&text).iter().all(|m| m.starts_with(FILE)));
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

// ----------------------------------------------------------------------------------------- the schema, the docs

fn paths() -> Vec<&'static str> {
    schema::slots(&mut Config::default()).iter().map(|(path, ..)| *path).collect()
}

/// The defaults, and another value than the default at `path` alone.
pub(super) fn other(path: &str) -> Config {
    let given = match path {
        "listen" | "devices.listen" => "127.0.0.1:1",
        "www" | "auth.users" | "devices.tokens" => "/x",
        "hosts" => "panel.example.com",
        "types" => "m3u8=audio/mpegurl",
        "user" => "www-data",
        "auth.realm" => "pumps",
        "auth.operators" | "auth.viewers" | "auth.admins" => "ann",
        "auth.open" => "/public/",
        "seats.allow" => "10.0.0.0/8",
        "liveness.profile" | "devices.profile" => "lan",
        "chat.rate" => "9/m",
        "log.level" => "debug",
        "debug.echo" => "true",
        "seats.reserved" | "liveness.keepalive_count" => "2",
        "limits.header_bytes" | "limits.body_bytes" | "limits.link_queue" => "128KiB",
        "liveness.poll" => "30ms",
        "liveness.stalled_after" => "31s",
        _ => "",
    };
    let mut c = Config::default();
    let candidates = if given.is_empty() { vec!["7s", "1s", "37"] } else { vec![given] };
    for words in candidates {
        let slot = schema::slots(&mut c).into_iter().find(|(p, ..)| *p == path).map(|(.., slot)| slot);
        if schema::assign(slot.expect("a setting"), schema::Given::Words(words.into())).is_ok()
            && c != Config::default()
        {
            break;
        }
    }
    c
}

#[test]
fn no_two_settings_share_a_variable() {
    let names: BTreeSet<String> = paths().iter().map(|p| p.replace('.', "_")).collect();
    assert_eq!(names.len(), paths().len());
}

#[test]
fn the_example_file_is_right_names_every_setting_and_shows_the_defaults() {
    let example = include_str!("../../docs/boatswain.toml");
    good(example);
    // With every setting that is commented out switched on: `#name = value`, without a blank after the hash.
    let on: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let outcome = read(&on, &[], Options::default());
    assert_eq!(outcome.mistakes, [""; 0]);
    let mut shown = outcome.config;
    shown.listen.clear(); // its default depends on the machine
    assert_eq!(shown, Config::default());
    let (mut section, mut named) = (String::new(), BTreeSet::new());
    for line in on.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = format!("{}.", header.split(']').next().unwrap_or_default());
        } else if let Some((key, _)) = line.split_once(" = ") {
            named.insert(format!("{section}{key}"));
        }
    }
    let all: BTreeSet<String> = paths().iter().map(ToString::to_string).collect();
    assert_eq!(all.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn the_settings_page_names_every_setting_and_variable_form() {
    let page = include_str!("../../docs/settings.md");
    let (mut section, mut named) = (String::new(), BTreeSet::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("## ") {
            section =
                rest.strip_prefix("`[").and_then(|r| r.split_once(']')).map_or(String::new(), |(s, _)| format!("{s}."));
        } else if let Some((key, _)) = line.strip_prefix("| `").and_then(|r| r.split_once('`')) {
            named.insert(format!("{section}{key}"));
        }
    }
    let missing: Vec<&str> = paths().into_iter().filter(|p| !named.contains(*p)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn one_user_has_half_of_the_seats_unless_it_is_the_only_one_or_a_number_is_set() {
    let of = |max, per_user, users| Seats { max, per_user, ..Config::default().seats }.of_one_user(users);
    assert_eq!(Config::default().seats.of_one_user(2), 5);
    for (max, users, is) in [(1, 2, 2), (2, 2, 2), (3, 2, 2), (4, 9, 2), (5, 9, 2), (6, 9, 3), (1000, 9, 500)] {
        assert_eq!(of(max, 0, users), is, "max {max}");
    }
    assert_eq!((of(10, 0, 1), of(10, 0, 0)), (0, 0));
    assert_eq!((of(10, 7, 1), of(10, 1, 9)), (7, 1));
}

#[test]
fn media_types_are_taken_by_extension_and_mistakes_name_them() {
    let config = good(
        "types = { M3U8 = \"Application/vnd.apple.mpegurl\", \"a+b\" = \"text/x; charset=UTF-8; q=\\\"a b\\\"\" }\n",
    );
    let want = [("m3u8", "application/vnd.apple.mpegurl"), ("a+b", "text/x; charset=UTF-8; q=\"a b\"")];
    assert_eq!(
        sorted(&config),
        want.map(|(e, t)| (e.to_string(), t.to_string())).into_iter().rev().collect::<Vec<_>>()
    );
    assert_eq!(good("[types]\nbin = \"a/b\"\n").types, [("bin".to_string(), "a/b".to_string())]);
    let variable =
        read("types = { bin = \"c/d\" }", &[("BOATSWAIN_TYPES", "m3u8=a/b, ts = video/x")], Options::default());
    assert_eq!(variable.config.types.len(), 2);
    assert_eq!(read("", &[("BOATSWAIN_TYPES", "")], Options::default()).config.types, []);
    for (text, words) in [
        ("types = { m3u8 = \"mpegurl\" }", "1:11: types: \"mpegurl\" is no media type; write it like"),
        ("types = { m3u8 = \"a/b; charset\" }", "is no media type"),
        ("types = { m3u8 = \"a/b\\r\\nX-Y: z\" }", "is no media type"),
        ("types = { m3u8 = \"\" }", "is no media type"),
        ("types = { \".ts\" = \"a/b\" }", "types: the extension \".ts\" has a dot; only what follows the last dot"),
        ("types = { \"a b\" = \"a/b\" }", "the extension \"a b\" has a slash, a blank"),
        ("types = { \"\" = \"a/b\" }", "the extension \"\" is empty"),
        ("types = { tar.gz = \"a/b\" }", "a dot in a name without quotes"),
        ("types = { ts = 3 }", "expected a string like \"video/mp4\""),
        ("types = { ts = \"a/b\", TS = \"a/b\" }", "\"ts\" is there twice"),
        ("types = [\"a/b\"]", "expected a table like"),
        ("types = \"a/b\"", "expected a table like"),
    ] {
        let mistakes = bad(text);
        assert!(mistakes.len() == 1 && mistakes[0].contains(words), "{text}: {mistakes:?}");
    }
    let wrong = read("", &[("BOATSWAIN_TYPES", "m3u8")], Options::default());
    assert!(wrong.mistakes.len() == 1 && wrong.mistakes[0].contains("has no ="), "{:?}", wrong.mistakes);
}

fn sorted(config: &Config) -> Vec<(String, String)> {
    let mut types = config.types.clone();
    types.sort();
    types
}

/// The rows of the tables on the settings page: section and key, then the other cells.
fn rows(page: &str) -> BTreeMap<String, Vec<String>> {
    let (mut section, mut rows) = (String::new(), BTreeMap::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("## ") {
            let named = rest.strip_prefix("`[").and_then(|r| r.split_once(']'));
            section = named.map_or(String::new(), |(s, _)| format!("{s}."));
        } else if let Some((key, rest)) = line.strip_prefix("| `").and_then(|r| r.split_once("` | ")) {
            let cells = rest.trim_end_matches(" |").split(" | ").map(str::to_string).collect();
            rows.entry(format!("{section}{key}")).or_insert(cells);
        }
    }
    rows
}

#[test]
fn the_settings_page_says_of_each_setting_its_default_and_when_a_change_acts() {
    let rows = rows(include_str!("../../docs/settings.md"));
    // the example file shows the defaults (a test above holds that)
    let (mut section, mut defaults) = (String::new(), BTreeMap::new());
    for line in include_str!("../../docs/boatswain.toml").lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = format!("{}.", header.split(']').next().unwrap_or_default());
        } else if let Some((key, value)) = line.strip_prefix('#').and_then(|l| l.split_once(" = ")) {
            defaults.insert(format!("{section}{key}"), value.to_string());
        }
    }
    for (path, when, _) in schema::slots(&mut Config::default()) {
        let [default, _range, word, _meaning] = rows[path].as_slice() else { panic!("{path}: {:?}", rows[path]) };
        let expected = match when {
            schema::When::Now => "now",
            schema::When::Links => "links",
            schema::When::Restart => "restart",
        };
        assert_eq!(word, expected, "{path}");
        match default.strip_prefix('`').and_then(|d| d.split_once('`')) {
            Some((shown, _)) => assert_eq!(shown, defaults[path], "{path}"),
            None => assert_eq!(default, "of the profile", "{path}"),
        }
    }
}

#[test]
fn the_settings_page_shows_the_values_of_each_profile() {
    let rows = rows(include_str!("../../docs/settings.md"));
    for profile in Profile::ALL {
        let row = &rows[&format!("liveness.\"{}\"", profile.word())];
        let live = profile.values();
        let times = row[1..].iter().flat_map(|cell| cell.split(" / ")).map(|t| t.replace(' ', ""));
        let expected =
            [live.heartbeat, live.poll, live.silence, live.suspect_after, live.stalled_after, live.returned_within];
        let expected = expected.into_iter().chain([live.keepalive.0, live.keepalive.1]);
        for (shown, value) in times.clone().zip(expected) {
            assert_eq!(units::duration(&shown), Ok(value), "{profile:?}");
        }
        assert_eq!(times.clone().nth(8), Some(live.keepalive.2.to_string()), "{profile:?}");
    }
}
