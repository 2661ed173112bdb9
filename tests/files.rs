//! Pages are what is in the folder now, seen from outside: a folder that is replaced while the server runs, bytes under
//! the same times, links, media types.
#![allow(clippy::unwrap_used)] // a test may panic: that is how it fails

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use support::{Client, Server, Setup, until};

fn serving(www: &Path) -> Server {
    Setup::default().top(&format!("www = {:?}", www.to_str().unwrap())).start()
}

#[test]
fn another_folder_under_the_name_is_served_and_said() {
    let folder = support::temp_dir();
    for release in ["one", "two"] {
        fs::create_dir(folder.join(release)).unwrap();
        fs::write(folder.join(release).join("a.txt"), release).unwrap();
    }
    let www = folder.join("www");
    symlink("one", &www).unwrap();
    let server = serving(&www);
    let mut ann = Client::new(&server, "ann");
    assert_eq!(ann.get("/a.txt").text(), "one");
    let switch = |to: &str| {
        symlink(to, folder.join("next")).unwrap();
        fs::rename(folder.join("next"), &www).unwrap();
    };
    switch("two");
    until("the pages of the other folder", || ann.get("/a.txt").text() == "two");
    assert_eq!(server.log().matches("another folder is at").count(), 1);
    // Gone for a while, with the folder in which it was.
    switch("three");
    until("no pages", || ann.get("/a.txt").status == 503);
    assert_eq!(ann.get("/boatswain.js").status, 200);
    server.wait_log("no pages are served until there is a folder again");
    fs::create_dir(folder.join("three")).unwrap();
    fs::write(folder.join("three/a.txt"), "three").unwrap();
    assert_eq!(ann.get("/a.txt").text(), "three");
    // Removed and built anew.
    fs::remove_dir_all(folder.join("three")).unwrap();
    fs::create_dir(folder.join("three")).unwrap();
    fs::write(folder.join("three/a.txt"), "rebuilt").unwrap();
    until("the rebuilt pages", || ann.get("/a.txt").text() == "rebuilt");
    fs::remove_dir_all(folder).unwrap();
}

/// In namespaces of its own, where everybody may mount.
#[test]
fn a_card_that_is_mounted_there_after_the_start_is_served() {
    if !support::namespaces() {
        return;
    }
    let www = support::temp_dir();
    fs::write(www.join("a.txt"), "below").unwrap();
    let server = Setup::default()
        .top(&format!("www = {:?}", www.to_str().unwrap()))
        .through(&["unshare", "--user", "--map-root-user", "--mount"])
        .start();
    let mut ann = Client::new(&server, "ann");
    assert_eq!(ann.get("/a.txt").text(), "below");
    let script = format!("mount -t tmpfs card {0} && echo card >{0}/a.txt", www.display());
    let target = server.pid().to_string();
    let within = ["--preserve-credentials", "--user", "--mount", "--target", &target, "sh", "-c", &script];
    assert!(Command::new("nsenter").args(within).status().unwrap().success());
    until("the pages of the card", || ann.get("/a.txt").text() == "card\n");
    drop(server);
    fs::remove_dir_all(www).unwrap();
}

#[test]
fn other_bytes_of_the_same_length_and_time_are_sent_whole() {
    let www = support::temp_dir();
    let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let put = |name: &str, byte: u8, len: usize| {
        let next = www.join("next");
        fs::write(&next, vec![byte; len]).unwrap();
        fs::File::options().write(true).open(&next).unwrap().set_modified(time).unwrap();
        fs::rename(&next, www.join(name)).unwrap();
    };
    let files = [("small.bin", 1000), ("large.bin", 300_000)];
    files.iter().for_each(|(name, len)| put(name, b'1', *len));
    let server = serving(&www);
    let mut ann = Client::new(&server, "ann");
    for (name, len) in files {
        let path = format!("/{name}");
        // while it is so new that it could change once more under the same times, that of a large one is weak
        until("a strong tag", || ann.get(&path).header("etag").starts_with('"'));
        let tag = ann.get(&path).header("etag").to_owned();
        let part = format!("Range: bytes=0-9\r\nIf-Range: {tag}\r\n");
        assert_eq!(ann.request("GET", &path, &part, b"").status, 206);
        put(name, b'2', len);
        until("the new bytes", || ann.get(&path).body == vec![b'2'; len]);
        assert_eq!(ann.request("GET", &path, &format!("If-None-Match: {tag}\r\n"), b"").status, 200);
        let got = ann.request("GET", &path, &part, b"");
        assert_eq!((got.status, got.body.len()), (200, len), "two versions are never joined");
    }
    fs::remove_dir_all(www).unwrap();
}

#[test]
fn a_link_that_leads_out_is_said_once() {
    let www = support::temp_dir();
    fs::write(www.join("a.txt"), "a").unwrap();
    symlink(www.join("a.txt"), www.join("inside")).unwrap();
    symlink("/etc/hostname", www.join("outside")).unwrap();
    let server = serving(&www);
    let mut ann = Client::new(&server, "ann");
    let inside = ann.get("/inside").status;
    assert!(inside == 200 || server.log().contains("openat2"), "{inside}");
    for _ in 0..3 {
        assert_eq!(ann.get("/outside").status, 404);
    }
    if inside == 200 {
        server.wait_log("\"outside\" is not served: a link to \"/etc/hostname\" leads out");
        assert_eq!(server.log().matches("leads out of the folder").count(), 1);
    }
    fs::remove_dir_all(www).unwrap();
}

#[test]
fn media_types_are_known_and_a_reload_takes_more() {
    let www = support::temp_dir();
    for name in ["live.m3u8", "live.ts", "a.vtt", "a.panel"] {
        fs::write(www.join(name), "x").unwrap();
    }
    let server = serving(&www);
    let mut ann = Client::new(&server, "ann");
    for (name, kind) in [
        ("live.m3u8", "application/vnd.apple.mpegurl"),
        ("live.ts", "video/mp2t"),
        ("a.vtt", "text/vtt; charset=utf-8"),
        ("a.panel", "application/octet-stream"),
    ] {
        assert_eq!(ann.get(&format!("/{name}")).header("content-type"), kind);
    }
    let file = server.dir().join("boatswain.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("types = {{ m3u8 = \"audio/mpegurl\", panel = \"text/x-panel\" }}\n{text}")).unwrap();
    server.signal("HUP");
    server.wait_log(" info reloaded");
    assert_eq!(ann.get("/live.m3u8").header("content-type"), "audio/mpegurl");
    assert_eq!(ann.get("/a.panel").header("content-type"), "text/x-panel");
    assert_eq!(ann.get("/live.ts").header("content-type"), "video/mp2t");
    fs::remove_dir_all(www).unwrap();
}
