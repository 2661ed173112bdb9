//! What is said of mistakes.

use super::*;

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
    let whole = include_str!("../../../docs/boatswain.toml");
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
