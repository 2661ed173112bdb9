//! Figures in the documentation are those of the code. Each row names a constant by its file and the words around its value in
//! a document; whoever changes the one finds the other here. Defaults and ranges of settings are compared in `config`.
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

use std::fs;
use std::path::Path;

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The value of a constant as it stands in the source: bytes and counts as they are, times in milliseconds.
fn value(file: &str, name: &str) -> u64 {
    let source = text(file);
    let line =
        source.lines().find(|l| l.contains(&format!("const {name}:"))).unwrap_or_else(|| panic!("{file}: {name}"));
    let written = line.split_once(" = ").and_then(|(_, v)| v.split_once(';')).unwrap_or_else(|| panic!("{line}")).0;
    let number = |s: &str| -> u64 { s.trim().replace('_', "").parse().unwrap_or_else(|_| panic!("{file}: {line}")) };
    let inner = |start: &str| written.strip_prefix(start).and_then(|v| v.strip_suffix(')'));
    if let Some(seconds) = inner("Duration::from_secs(") {
        return number(seconds) * 1000;
    }
    if let Some(ms) = inner("Duration::from_millis(") {
        return number(ms);
    }
    match written.split_once(" << ") {
        Some((n, bits)) => number(n) << number(bits),
        None => written.split(" * ").map(number).product(),
    }
}

#[test]
fn figures_in_the_documents_are_those_of_the_code() {
    // `#` stands for the value, `#s` for it in seconds, `#K` in KiB, `#M` in MiB
    let rows = [
        (
            "src/http/auth.rs",
            "CREDENTIALS_MAX",
            "docs/settings.md",
            "| user name and password in a request | # bytes as sent |",
        ),
        ("src/http/auth.rs", "COOKIES_MAX", "docs/settings.md", "| session cookies in a request | the first # that"),
        ("src/http/files/path.rs", "PATH_MAX", "docs/settings.md", "| path of a file in a URL | # bytes |"),
        ("src/net/listener.rs", "PAUSE", "docs/settings.md", "accepting rests for # ms"),
        (
            "src/config/mod.rs",
            "KEPT_FOR_SEATED",
            "docs/settings.md",
            "| one of the # places kept for people with a seat",
        ),
        (
            "src/config/mod.rs",
            "KEPT_FOR_SEATED",
            "docs/boatswain.toml",
            "# of the connections are kept for people who have a seat",
        ),
        ("src/config/mod.rs", "DEFAULT_PORT", "docs/settings.md", "port #, built-in pages"),
        ("src/config/liveness.rs", "BEAT", "docs/settings.md", "Beats come every # ms"),
        ("src/config/mod.rs", "PAGE_FLOOR", "docs/settings.md", "| `command_age` | `\"2s\"` | #s s to 60 s |"),
        ("src/config/users.rs", "FILE_BYTES_MAX", "docs/settings.md", "| users file, tokens file | #K KiB each"),
        ("src/config/users.rs", "NAME_BYTES_MAX", "docs/settings.md", "Names have 1 to # bytes"),
        ("src/config/users/hash.rs", "BCRYPT_BYTES", "docs/settings.md", "Passwords have 1 to # bytes"),
        (
            "src/auth/queue.rs",
            "PLACES",
            "docs/settings.md",
            "| passwords that wait to be checked | # of users who have signed in from that address before, # of others",
        ),
        ("src/auth/penalties.rs", "WATCHED_MAX", "docs/settings.md", "wrong passwords are counted | # for the web"),
        ("src/auth/credentials.rs", "KNOWN_MAX", "docs/settings.md", "signed in from an address | # pairs for the web"),
        ("src/hub/commands.rs", "PENDING_MAX", "docs/settings.md", "| commands unanswered | # a device;"),
        (
            "src/hub/session_table.rs",
            "UNSEATED_MAX",
            "docs/settings.md",
            "| sessions without a seat | 256 a user, # in all",
        ),
        ("src/hub/dead_man.rs", "OFFER_FOR", "docs/settings.md", "| an offer of control | #s s |"),
        ("src/link/ws.rs", "MESSAGE_MAX", "docs/settings.md", "| a message on a WebSocket | #K KiB |"),
        ("src/link/ws.rs", "ECHO_MAX", "docs/settings.md", "what it gets, up to #M MiB a message"),
        ("src/link/ws.rs", "ECHO_MAX", "docs/websocket-tests.md", "up to #M MiB"),
        (
            "src/link/lines/frame.rs",
            "LINE_MAX",
            "docs/settings.md",
            "| a device's line, and what it says before its welcome | #K KiB |",
        ),
        ("src/link/lines/frame.rs", "LINE_MAX", "docs/devices.md", "UTF-8, at most #K KiB"),
        (
            "src/link/lines/checked.rs",
            "RESULT_MAX",
            "docs/settings.md",
            "| arguments of a command, the result of an answer | 4 KiB, #K KiB |",
        ),
        (
            "src/describe.rs",
            "ARGS_TEXT_MAX",
            "docs/settings.md",
            "| arguments of a command, the result of an answer | #K KiB, 16 KiB |",
        ),
        ("src/describe.rs", "TEXT_MAX", "docs/settings.md", "| its description | #K KiB, 64 commands"),
        ("src/describe.rs", "TEXT_MAX", "docs/devices.md", "#K KiB in all"),
        ("src/describe.rs", "VALUES_MAX", "docs/settings.md", "| telemetry | # values of 256 bytes a device"),
        ("src/hub/values.rs", "TEXT_MAX", "docs/settings.md", "names and values #K KiB together; ten messages"),
        ("src/hub/values.rs", "TEXT_MAX", "docs/settings.md", "256 values, names and values #K KiB together |"),
        ("src/hub/values.rs", "TEXT_MAX", "docs/devices.md", "names and values #K KiB together"),
        ("src/hub/devices.rs", "ALL_BYTES", "docs/settings.md", "| #M MiB; 16 KiB for each of `devices.connections`"),
        ("src/hub/event_log.rs", "RING_BYTES", "docs/settings.md", "arguments and results, #M MiB together;"),
        ("src/ledger.rs", "PARTY", "docs/settings.md", "| #M MiB beside its largest one;"),
        ("src/ledger.rs", "ALL", "docs/settings.md", "| #M MiB beside the largest one;"),
        ("src/net/files/cache.rs", "RECHECK", "docs/settings.md", "1 MiB; looked at again after #s s |"),
        ("src/link/lines/frame.rs", "LINE_MAX", "docs/link.md", "One JSON object a line, at most #K KiB"),
        ("src/cli/link/machine.rs", "DESCRIBE_WITHIN", "docs/link.md", "its first line. It is waited for #s s"),
        ("src/cli/link/machine.rs", "SILENT", "docs/link.md", "is noticed #s s after its last line"),
        ("src/cli/link/machine.rs", "REFUSED_PAUSE", "docs/link.md", "after #s s if another"),
        ("src/cli/link/machine.rs", "END_WITHIN", "docs/link.md", "after #s s comes SIGKILL"),
        ("src/cli/link/machine.rs", "END_WITHIN", "docs/link.md", "get SIGTERM and after #s s SIGKILL"),
        ("src/cli/link/machine.rs", "PAUSE_MAX", "docs/link.md", "to #s s; after a minute of running well"),
        ("src/cli/link/machine.rs", "GREET_WITHIN", "docs/link.md", "so wait #s s for the welcome"),
    ];
    let mut wrong = Vec::new();
    for (file, name, document, words) in rows {
        let value = value(file, name);
        let mut said = words.to_string();
        for (mark, unit) in [("#s", 1000), ("#K", 1 << 10), ("#M", 1 << 20), ("#", 1)] {
            assert!(!said.contains(mark) || value % unit == 0, "{name} = {value}, {words}");
            said = said.replace(mark, &(value / unit).to_string());
        }
        let all = text(document).split_whitespace().collect::<Vec<_>>().join(" ");
        if !all.contains(&said) {
            wrong.push(format!("{document}: {name} is {value} in {file}, so it has to say {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
