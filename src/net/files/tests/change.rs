//! What changes under the server: the folder itself, bytes under the same times, links.

use super::*;

#[test]
fn a_folder_that_takes_the_name_is_served_within_a_second() {
    let temp = Temp::new();
    temp.put("a.txt", "old");
    temp.put("gone.txt", "old");
    let mut visit = Visit::of(&temp);
    assert_eq!((visit.get("/a.txt").body, visit.status("/gone.txt")), (b"old".to_vec(), 200));
    // Moved away and built anew; what is in the cache of the old one must not come out any more.
    fs::rename(temp.www(), temp.0.join("aside")).unwrap();
    temp.put("a.txt", "new");
    visit.wait(999);
    assert_eq!(visit.get("/a.txt").body, b"old", "no look before a second is over");
    visit.wait(1);
    assert_eq!((visit.get("/a.txt").body, visit.status("/gone.txt")), (b"new".to_vec(), 404));
    // Removed: nothing is served, not even the old error page, and the page client is still there.
    fs::remove_dir_all(temp.www()).unwrap();
    visit.wait(1000);
    assert_eq!((visit.status("/a.txt"), visit.status("/boatswain.js"), visit.status("/")), (503, 200, 503));
    fs::write(temp.www(), "a file").unwrap();
    assert_eq!(visit.status("/a.txt"), 503, "a file is no folder");
    fs::remove_file(temp.www()).unwrap();
    temp.put("a.txt", "again");
    assert_eq!(visit.get("/a.txt").body, b"again", "at once, for while there is none each request looks");
    // And the first one back in its place.
    fs::remove_dir_all(temp.www()).unwrap();
    fs::rename(temp.0.join("aside"), temp.www()).unwrap();
    visit.wait(1000);
    assert_eq!(visit.get("/a.txt").body, b"old");
}

#[test]
fn a_switched_link_is_followed_and_an_error_page_is_that_of_the_new_folder() {
    let temp = Temp::new();
    for release in ["one", "two"] {
        fs::create_dir(temp.0.join(release)).unwrap();
        fs::write(temp.0.join(release).join("404.html"), release).unwrap();
    }
    fs::remove_dir(temp.www()).unwrap();
    symlink("one", temp.www()).unwrap();
    let mut visit = Visit::of(&temp);
    assert_eq!(visit.get("/missing").body, b"one");
    symlink("two", temp.0.join("next")).unwrap();
    fs::rename(temp.0.join("next"), temp.www()).unwrap();
    visit.wait(1000);
    assert_eq!(visit.get("/missing").body, b"two");
}

#[test]
fn a_large_file_that_was_just_written_has_a_weak_tag_until_a_further_change_would_be_seen() {
    use std::os::unix::fs::MetadataExt;
    let temp = Temp::new();
    temp.put("a.bin", vec![b'1'; 200_000]);
    let meta = fs::metadata(temp.www().join("a.bin")).unwrap();
    let mut visit = Visit::of(&temp);
    visit.now.wall_ms = (meta.ctime() * 1000 + meta.ctime_nsec() / 1_000_000) as u64 + 100;
    let young = visit.get("/a.bin");
    let tag = young.field("ETag").unwrap();
    assert!(tag.starts_with("W/"), "{tag}");
    assert_eq!(visit.ask("GET", "/a.bin", &format!("Range: bytes=0-9\r\nIf-Range: {tag}\r\n")).status, 200);
    assert_eq!(visit.ask("GET", "/a.bin", &format!("If-None-Match: {tag}\r\n")).status, 304);
    visit.now.wall_ms += 3000;
    let old = visit.get("/a.bin");
    assert_eq!(old.field("ETag"), tag.strip_prefix("W/"));
    assert_eq!(visit.ask("GET", "/a.bin", &format!("If-None-Match: {tag}\r\n")).status, 304);
}

#[test]
fn other_bytes_under_the_same_length_and_time_have_another_tag() {
    let (small, large) = (100, 200_000);
    for len in [small, large] {
        let temp = Temp::new();
        temp.put("a.bin", vec![b'1'; len]);
        let mut visit = Visit::of(&temp);
        let first = visit.get("/a.bin");
        let tag = first.field("ETag").unwrap();
        assert!(tag.starts_with('"'), "{tag}");
        let date = first.field("Last-Modified").unwrap();
        visit.wait(1000);
        assert_eq!(visit.ask("GET", "/a.bin", &format!("If-None-Match: {tag}\r\n")).status, 304);
        assert_eq!(visit.ask("GET", "/a.bin", &format!("If-Modified-Since: {date}\r\n")).status, 304);
        let part = format!("Range: bytes=0-9\r\nIf-Range: {tag}\r\n");
        assert_eq!(visit.ask("GET", "/a.bin", &part).status, 206);
        // As `rsync -t` does it: another file under the name, and in place.
        for (byte, is_new_file) in [(b'2', true), (b'3', false)] {
            if is_new_file {
                fs::rename(temp.www().join("a.bin"), temp.0.join("aside.bin")).unwrap();
            }
            temp.put("a.bin", vec![byte; len]);
            visit.wait(1000);
            let second = visit.get("/a.bin");
            assert_eq!(second.body, vec![byte; len]);
            assert_ne!(second.field("ETag"), first.field("ETag"));
            for condition in ["If-None-Match", "If-Modified-Since"] {
                let value = if condition == "If-None-Match" { tag } else { date };
                let got = visit.ask("GET", "/a.bin", &format!("{condition}: {value}\r\n"));
                assert_eq!((got.status, got.body.len()), (200, len), "{condition}");
            }
            for value in [tag, date] {
                let part = format!("Range: bytes=0-9\r\nIf-Range: {value}\r\n");
                assert_eq!(visit.ask("GET", "/a.bin", &part).status, 200, "two versions are never joined");
            }
        }
    }
}

#[test]
fn the_same_bytes_have_the_same_tag_whatever_the_times() {
    let temp = Temp::new();
    temp.put("a.txt", "bytes");
    let mut visit = Visit::of(&temp);
    let tag = visit.get("/a.txt").field("ETag").unwrap().to_owned();
    temp.put_at("a.txt", "bytes", OLD + 5);
    visit.wait(1000);
    assert_eq!(visit.ask("GET", "/a.txt", &format!("If-None-Match: {tag}\r\n")).status, 304);
}

#[test]
fn an_absolute_link_is_followed_inside_only() {
    let temp = Temp::new();
    temp.put("sub/hello.txt", "hello");
    temp.put("sub/index.html", "index");
    temp.put(".hidden/secret.txt", "secret");
    fs::create_dir(temp.0.join("outside")).unwrap();
    fs::write(temp.0.join("outside/secret.txt"), "secret").unwrap();
    symlink("www", temp.0.join("other-name")).unwrap();
    let inside = |path: &str| temp.www().join(path).to_str().unwrap().to_owned();
    temp.link(&inside("sub/hello.txt"), "file");
    temp.link(&inside("sub"), "dir");
    temp.link(&inside("dir/../file"), "chain");
    temp.link(temp.0.join("other-name/sub/hello.txt").to_str().unwrap(), "by-another-name");
    temp.link(&inside(""), "root");
    let mut visit = Visit::of(&temp);
    if !visit.site.folder.as_ref().unwrap().root.as_ref().unwrap().follows_links() {
        return; // a kernel before 5.6
    }
    for target in ["/file", "/dir/hello.txt", "/chain", "/by-another-name", "/root/sub/hello.txt", "/root/root/chain"] {
        assert_eq!(visit.get(target).body, b"hello", "{target}");
    }
    assert_eq!((visit.get("/dir/").body, visit.status("/dir")), (b"index".to_vec(), 301));
    temp.link(temp.0.join("outside/secret.txt").to_str().unwrap(), "out");
    temp.link(temp.0.join("outside").to_str().unwrap(), "dir-out");
    temp.link(&inside("../outside/secret.txt"), "in-and-out");
    temp.link(&[&inside(""), "x/secret.txt"].concat(), "neighbour");
    temp.link(&inside(".hidden/secret.txt"), "hidden");
    temp.link(".hidden/secret.txt", "hidden-beside");
    temp.link(".hidden", "dir-hidden");
    temp.link(&inside("loop"), "loop");
    for target in [
        "/out",
        "/dir-out/secret.txt",
        "/in-and-out",
        "/neighbour",
        "/hidden",
        "/hidden-beside",
        "/dir-hidden/secret.txt",
        "/loop",
    ] {
        let got = visit.get(target);
        assert_eq!(got.status, 404, "{target}");
        assert!(!got.body.windows(6).any(|w| w == b"secret"));
    }
}

#[test]
fn types_of_the_settings_win_also_for_pages() {
    let temp = Temp::new();
    temp.put("live.M3U8", "x");
    temp.put("index.html", "page");
    temp.put("a.panel", "page");
    let types = [("m3u8", "audio/mpegurl"), ("html", "text/html; charset=latin1"), ("panel", "text/html")];
    let types = types.map(|(extension, kind)| (extension.to_string(), kind.to_string()));
    let mut visit = Visit::new(Site::open(Some(&temp.www()), &types).unwrap());
    assert_eq!(visit.get("/live.M3U8").field("Content-Type"), Some("audio/mpegurl"));
    let page = visit.get("/");
    assert_eq!((page.field("Content-Type"), page.html), (Some("text/html; charset=latin1"), true));
    let page = visit.get("/a.panel");
    assert_eq!((page.field("Cache-Control"), page.html), (Some("no-store"), true));
}
