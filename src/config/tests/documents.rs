//! The schema, the example file and docs/settings.md say the same.

use super::*;

fn paths() -> Vec<&'static str> {
    schema::slots(&mut Config::default()).iter().map(|(path, ..)| *path).collect()
}

/// The defaults, and another value than the default at `path` alone.
pub(in crate::config) fn other(path: &str) -> Config {
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
    let example = include_str!("../../../docs/boatswain.toml");
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
    let page = include_str!("../../../docs/settings.md");
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
    let rows = rows(include_str!("../../../docs/settings.md"));
    // the example file shows the defaults (a test above holds that)
    let (mut section, mut defaults) = (String::new(), BTreeMap::new());
    for line in include_str!("../../../docs/boatswain.toml").lines() {
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
    let rows = rows(include_str!("../../../docs/settings.md"));
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
