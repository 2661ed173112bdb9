//! A kernel that lacks something serves all the same, and the first lines of the log say what is missing and what
//! follows. How soon the vanished are noticed there is in `vanish_old.rs`.

mod kernel;
mod support;

use std::os::unix::fs::symlink;

use support::{Client, Server, Setup};

fn on_kernel_without(helps: &str, setup: Setup) -> Server {
    let command = kernel::without(helps);
    setup.through(&command.iter().map(String::as_str).collect::<Vec<_>>()).start()
}

/// The line that says which helps are there; the server serves a page and the chat meanwhile.
fn told_and_served(server: &Server) -> String {
    let line = server.wait_log(" kernel ");
    let mut ann = Client::new(server, "ann");
    assert_eq!(ann.get("/").status, 200);
    assert_eq!(ann.post("/api/chat", "on an old kernel").status, 201);
    line
}

#[test]
fn this_kernel_has_the_helps_that_every_test_of_their_absence_takes_away() {
    let line = told_and_served(&on_kernel_without("", Setup::default()));
    assert!(line.contains(" cubic thin ") && line.contains(" user_timeout "), "{line}");
    assert!(!line.contains("tcp_info=104;"), "{line}");
}

#[test]
fn each_missing_help_is_named_at_start_and_the_server_serves() {
    for (without, said) in [
        ("cubic", " reno thin "),
        ("control", " no-control "),
        ("thin", " no-thin "),
        ("rto_max", " no-rto_max "),
        ("rto_min", " no-rto_min "),
        ("user_timeout", " no-user_timeout "),
        ("info=104", " tcp_info=104;"),
    ] {
        let line = told_and_served(&on_kernel_without(without, Setup::default()));
        assert!(line.contains(said), "without {without}: {line}");
        assert!(line.contains("vanished noticed within"), "without {without}: {line}");
    }
}

#[test]
fn where_tcp_info_is_of_no_use_nothing_is_promised() {
    let line = told_and_served(&on_kernel_without("info=4", Setup::default()));
    assert!(line.contains(" tcp_info=4;") && line.contains("after minutes only"), "{line}");
    assert!(!line.contains("vanished noticed within"), "{line}");
}

#[test]
fn without_rto_max_and_nudge_the_worst_case_of_a_peer_that_had_stopped_reading_is_said() {
    if !kernel::can_drop() {
        eprintln!("skipped: setpriv cannot drop CAP_NET_ADMIN here; run as root");
        return;
    }
    let mut command: Vec<String> = vec!["setpriv".into()];
    command.extend(kernel::DROP.iter().map(|s| s.to_string()));
    command.extend(kernel::without("rto_max"));
    let server = Setup::default().through(&command.iter().map(String::as_str).collect::<Vec<_>>()).start();
    let line = told_and_served(&server);
    assert!(line.contains(" no-nudge "), "{line}");
    assert!(line.contains("one that had stopped reading about as long again"), "{line}");
}

#[test]
fn without_openat2_pages_are_served_and_no_link_is_followed() {
    let www = support::temp_dir();
    std::fs::create_dir(www.join("sub")).unwrap();
    std::fs::write(www.join("sub/page.html"), "<p>page</p>").unwrap();
    symlink("page.html", www.join("sub/inside.html")).unwrap();
    symlink("/etc/hostname", www.join("sub/outside.html")).unwrap();
    let statuses = |helps: &str| {
        let server = on_kernel_without(helps, Setup::default().top(&format!("www = {:?}", www.to_str().unwrap())));
        let mut ann = Client::new(&server, "ann");
        ["/sub/page.html", "/sub/inside.html", "/sub/outside.html"].map(|p| ann.get(p).status)
    };
    assert_eq!(statuses(""), [200, 200, 404], "as a new kernel does it");
    assert_eq!(statuses("openat2"), [200, 404, 404], "what stays inside cannot be told from what leaves");
    std::fs::remove_dir_all(www).unwrap();
}
