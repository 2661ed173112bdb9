use super::*;
use std::collections::HashSet;
use std::fs;
use std::process::{Command, Stdio};

/// Whether this is the child that [`rerun`] has started.
pub(crate) fn alone() -> bool {
    env::var_os("TEST_ALONE").is_some()
}

/// Runs one test of this binary in a process of its own, because it changes its process; `setup` is shell that comes
/// before it.
pub(crate) fn rerun(test: &str, setup: &str) {
    rerun_with(test, setup, Stdio::null());
}

/// [`rerun`] with something on its standard input.
pub(crate) fn rerun_with(test: &str, setup: &str, input: Stdio) {
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("{setup} exec \"$0\" --exact {test} --nocapture --test-threads=1"))
        .arg(env::current_exe().unwrap())
        .env("TEST_ALONE", "1")
        .stdin(input)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    print!("{said}");
}

#[test]
fn randomness_fills_the_whole_buffer_and_differs() {
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let mut buf = [0; 16];
        getrandom(&mut buf).unwrap();
        assert!(seen.insert(buf));
    }
    // A call gives at most 256 bytes without a break.
    let mut long = [0; 4096];
    getrandom(&mut long).unwrap();
    assert!(long[4000..].iter().any(|b| *b != 0));
}

#[test]
fn signals_come_through_the_descriptor_and_kill_nobody() {
    let signals = Signals::take().unwrap();
    assert_eq!(signals.next(), None);
    for (number, meaning) in
        [(libc::SIGHUP, Signal::Reload), (libc::SIGTERM, Signal::Stop), (libc::SIGINT, Signal::Stop)]
    {
        // SAFETY: sends a signal that is blocked to this thread.
        assert_eq!(unsafe { libc::raise(number) }, 0);
        assert_eq!(signals.next(), Some(meaning));
        assert_eq!(signals.next(), None);
    }
}

#[test]
fn the_file_limit_is_raised_as_far_as_it_may_be_and_never_lowered() {
    if !alone() {
        rerun(
            "sys::process::tests::the_file_limit_is_raised_as_far_as_it_may_be_and_never_lowered",
            "ulimit -Sn 64; ulimit -Hn 200;",
        );
        return;
    }
    assert_eq!(raise_file_limit(100).unwrap(), 100);
    assert_eq!(raise_file_limit(50).unwrap(), 100);
    assert_eq!(file_limit().unwrap().rlim_cur, 100);
    let most = raise_file_limit(300).unwrap();
    assert!(most == 200 || most == 300 && is_root(), "{most}");
}

#[test]
fn privileges_are_dropped_for_good_but_for_cap_net_admin() {
    if !is_root() {
        println!("skipped: only root can drop privileges");
        return;
    }
    if !alone() {
        rerun("sys::process::tests::privileges_are_dropped_for_good_but_for_cap_net_admin", "");
        return;
    }
    let before = capabilities().unwrap();
    let nobody = User::find("nobody").unwrap().unwrap();
    let others = [0, 54_321];
    // SAFETY: `others` is readable for its length.
    check(unsafe { libc::setgroups(others.len(), others.as_ptr()) }).unwrap();
    drop_privileges(&nobody).unwrap();
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("Uid:"), vec![nobody.uid.to_string(); 4]);
    assert_eq!(field("Gid:"), vec![nobody.gid.to_string(); 4]);
    assert!(others.iter().all(|group| !field("Groups:").contains(&group.to_string())), "{:?}", field("Groups:"));
    let net_admin = before.permitted & (1 << CAP_NET_ADMIN);
    for set in ["CapPrm:", "CapEff:"] {
        assert_eq!(field(set), [format!("{net_admin:016x}")], "{set}");
    }
    // SAFETY: takes a number only.
    assert_ne!(unsafe { libc::setuid(0) }, 0, "root is back");
}

#[test]
fn users_are_found_by_name() {
    let root = User::find("root").unwrap().unwrap();
    assert_eq!((root.uid, root.gid), (0, 0));
    assert_eq!(User::find("no-such-user-here").unwrap(), None);
    assert!(User::find("a\0b").is_err());
}

#[test]
fn the_supervisor_hears_what_is_notified() {
    let path = env::temp_dir().join(format!("boatswain-notify-{}", std::process::id()));
    let _ = fs::remove_file(&path);
    let abstract_name = format!("boatswain-notify-{}", std::process::id());
    let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
    let by_path = UnixDatagram::bind(&path).unwrap();
    for (socket, address) in [(by_path, path.to_str().unwrap().to_owned()), (by_name, format!("@{abstract_name}"))] {
        notify_at(address.as_bytes(), "READY=1").unwrap();
        let mut buf = [0; 100];
        let n = socket.recv(&mut buf).unwrap();
        assert_eq!(&buf[..n], b"READY=1");
    }
    fs::remove_file(&path).unwrap();
}

#[test]
fn passed_sockets_are_ours_only_with_our_process_number() {
    let parse = |pid, count, names| parse_passed(pid, count, names, 42);
    assert_eq!(parse(Some("42"), Some("2"), Some("web")).unwrap(), [(3, "web".into()), (4, String::new())]);
    assert_eq!(parse(Some("42"), Some("1"), None).unwrap(), [(3, String::new())]);
    assert_eq!(parse(Some("41"), Some("2"), None).unwrap(), []);
    assert_eq!(parse(None, Some("2"), None).unwrap(), []);
    assert_eq!(parse(Some("42"), None, None).unwrap(), []);
    for bad in ["x", "-1", "65", "99999999999999999999"] {
        assert!(parse(Some("42"), Some(bad), None).unwrap_err().contains("LISTEN_FDS"), "{bad}");
    }
}

#[test]
fn the_machine_has_a_name() {
    assert_eq!(host_name().unwrap(), fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim());
}

#[test]
fn the_watchdog_is_ours_if_it_names_us_or_nobody() {
    let ms = |n| Ok(Some(Duration::from_millis(n)));
    assert_eq!(parse_watchdog(None, None, 7), Ok(None));
    assert_eq!(parse_watchdog(Some("10000000"), None, 7), ms(10_000));
    assert_eq!(parse_watchdog(Some("400000"), Some("7"), 7), ms(400));
    assert_eq!(parse_watchdog(Some("400000"), Some("8"), 7), Ok(None));
    for bad in ["", "0", "ten", "-1"] {
        assert!(parse_watchdog(Some(bad), Some("7"), 7).unwrap_err().contains("WATCHDOG_USEC"));
    }
}
