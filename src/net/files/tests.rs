use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use super::root::{Facts, Root};
use super::*;
use crate::http::request::{HeadLimits, slots};
use crate::http::response::{Persist, http_date};
use crate::msg::Moment;

mod built_in_pages;
mod change;

const WALL_S: u64 = 4_000_000_000;
/// When the files of these tests were changed, seconds since 1970.
const OLD: u64 = 1_704_164_645;

/// A folder of its own for one test, removed at its end.
struct Temp(PathBuf);

impl Temp {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("boatswain-files-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(dir.join("www")).unwrap();
        Temp(dir)
    }

    fn www(&self) -> PathBuf {
        self.0.join("www")
    }

    /// Writes `www/path`, last changed at `seconds`.
    fn put_at(&self, path: &str, bytes: impl AsRef<[u8]>, seconds: u64) {
        let path = self.www().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }

    fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        self.put_at(path, bytes, OLD);
    }

    fn link(&self, target: &str, path: &str) {
        symlink(target, self.www().join(path)).unwrap();
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A site with a clock of its own.
struct Visit {
    site: Site,
    now: Now,
}

/// What came of a request.
#[derive(Debug)]
struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
    /// Whether the body came out of the cache.
    is_shared: bool,
    html: bool,
}

impl Got {
    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Visit {
    fn of(temp: &Temp) -> Self {
        Visit::new(Site::open(Some(&temp.www()), &[]).unwrap())
    }

    /// As on a kernel without openat2.
    fn walking(temp: &Temp) -> Self {
        let mut site = Site::open(Some(&temp.www()), &[]).unwrap();
        site.folder.as_mut().unwrap().root = Some(Root::open_walking(&temp.www()).unwrap());
        Visit::new(site)
    }

    fn new(site: Site) -> Self {
        Visit { site, now: Now { mono: Moment::from_millis(5000), wall_ms: WALL_S * 1000 } }
    }

    fn wait(&mut self, millis: u64) {
        self.now.mono = self.now.mono + Duration::from_millis(millis);
    }

    fn ask(&mut self, method: &str, target: &str, lines: &str) -> Got {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let mut room = slots();
        let request = Request::parse(head.as_bytes(), &mut room, &HeadLimits::default()).unwrap();
        let date = http_date(WALL_S);
        let envelope = Envelope { date: &date, persist: Persist::Keep, extra: b"", is_head: method == "HEAD" };
        let mut out = Vec::new();
        let served = self.site.serve(self.now, &request, &envelope, &mut out);
        if let Some(folder) = &self.site.folder {
            folder.cache.check_invariants();
        }
        let end = out.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let (head, inline) = out.split_at(end);
        let (body, is_shared) = match served.body {
            Body::None => (inline.to_vec(), false),
            Body::Shared(data, range) => (data[range].to_vec(), true),
            Body::Static(bytes) => (bytes.to_vec(), false),
            Body::File { file, offset, len } => {
                let mut body = vec![0; len as usize];
                fs::File::from(file).read_exact_at(&mut body, offset).unwrap();
                (body, false)
            }
        };
        let head = String::from_utf8(head.to_vec()).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {} ", served.status)), "{head}");
        Got { status: served.status, head, body, is_shared, html: served.html }
    }

    fn get(&mut self, target: &str) -> Got {
        self.ask("GET", target, "")
    }

    fn status(&mut self, target: &str) -> u16 {
        self.get(target).status
    }
}

#[test]
fn a_folder_is_served_with_its_index_and_redirects_to_its_slash() {
    let temp = Temp::new();
    temp.put("index.html", "root");
    temp.put("sub/index.html", "sub");
    temp.put("d\u{ef}r two/index.html", "two");
    temp.put("empty/x.txt", "");
    for mut visit in [Visit::of(&temp), Visit::walking(&temp)] {
        let root = visit.get("/");
        assert_eq!((root.status, &*root.body, root.html), (200, &b"root"[..], true));
        assert_eq!(root.field("Content-Type"), Some("text/html; charset=utf-8"));
        assert_eq!(visit.get("/index.html").body, b"root");
        assert_eq!(visit.get("/sub/").body, b"sub");
        for (target, location) in [
            ("/sub", "/sub/"),
            ("/sub?x=1&y", "/sub/?x=1&y"),
            ("//sub", "/sub/"),
            ("/d%c3%AFr%20two", "/d%C3%AFr%20two/"),
            ("/empty", "/empty/"),
        ] {
            let got = visit.get(target);
            assert_eq!((got.status, got.field("Location")), (301, Some(location)), "{target}");
        }
        assert_eq!(visit.status("/empty/"), 404, "no listing");
        assert_eq!(visit.get("/empty/x.txt").field("Content-Length"), Some("0"));
    }
}

#[test]
fn nothing_outside_nothing_hidden_and_nothing_but_files_is_served() {
    let temp = Temp::new();
    fs::create_dir(temp.0.join("outside")).unwrap();
    fs::write(temp.0.join("outside/secret.txt"), "secret").unwrap();
    temp.put("hello.txt", "hello");
    temp.put("sub/a.txt", "a");
    temp.put(".hidden", "hidden");
    temp.put(".git/config", "hidden");
    temp.link("../outside/secret.txt", "link-out.txt");
    temp.link("../outside", "dir-out");
    temp.link(temp.0.join("outside/secret.txt").to_str().unwrap(), "absolute-out.txt");
    temp.link("link-out.txt", "link-to-link.txt");
    temp.link("loop.txt", "loop.txt");
    temp.link("/proc/self/root/etc/passwd", "magic.txt");
    let fifo = temp.www().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = UnixListener::bind(temp.www().join("socket")).unwrap();
    for mut visit in [Visit::of(&temp), Visit::walking(&temp)] {
        assert_eq!(visit.get("/hello.txt").body, b"hello");
        for target in [
            "/link-out.txt",
            "/dir-out/secret.txt",
            "/dir-out/",
            "/absolute-out.txt",
            "/link-to-link.txt",
            "/loop.txt",
            "/magic.txt",
            "/fifo",
            "/socket",
            "/.hidden",
            "/%2egit/config",
            "/hello.txt/",
            "/hello.txt/x",
            "/HELLO.TXT",
            "/missing",
            "/..%2foutside/secret.txt",
            &["/", &"n".repeat(300)].concat(),
            &"/a".repeat(1500),
        ] {
            let got = visit.get(target);
            assert_eq!(got.status, 404, "{target}");
            assert!(!got.body.windows(6).any(|w| w == b"secret"));
        }
        for target in ["/../outside/secret.txt", "/dir-out/../../outside/secret.txt", "/%2e%2e/x", "/a%00"] {
            assert_eq!(visit.status(target), 400, "{target}");
        }
    }
}

#[test]
fn links_that_stay_inside_are_followed_where_the_kernel_can_tell() {
    let temp = Temp::new();
    temp.put("sub/hello.txt", "hello");
    temp.link("sub/hello.txt", "link-in.txt");
    temp.link("sub", "dir-in");
    temp.link("../www/sub/hello.txt", "out-and-in.txt");
    let mut walking = Visit::walking(&temp);
    for target in ["/link-in.txt", "/dir-in/hello.txt", "/out-and-in.txt"] {
        assert_eq!(walking.status(target), 404, "no link at all: {target}");
    }
    let mut visit = Visit::of(&temp);
    let root = &visit.site.folder.as_ref().unwrap().root.as_ref().unwrap();
    if !root.follows_links() {
        return; // a kernel before 5.6: the first half was all there is to see
    }
    assert_eq!(visit.get("/link-in.txt").body, b"hello");
    assert_eq!(visit.get("/dir-in/hello.txt").body, b"hello");
    assert_eq!(visit.status("/out-and-in.txt"), 404, "a link may not even pass outside");
}

#[test]
fn a_changed_file_is_noticed_within_a_second_and_an_unchanged_one_is_not_read_again() {
    let temp = Temp::new();
    temp.put("a.txt", "version-1");
    let mut visit = Visit::of(&temp);
    let first = visit.get("/a.txt");
    assert!(first.is_shared && first.body == b"version-1");
    temp.put_at("a.txt", "version-2", OLD + 2);
    visit.wait(999);
    assert_eq!(visit.get("/a.txt").body, b"version-1", "from the cache, without a look at the file");
    visit.wait(1);
    let second = visit.get("/a.txt");
    assert_eq!(second.body, b"version-2");
    assert_ne!(first.field("ETag"), second.field("ETag"));
    visit.wait(1000);
    assert_eq!(visit.get("/a.txt").field("ETag"), second.field("ETag"));
    fs::remove_file(temp.www().join("a.txt")).unwrap();
    visit.wait(1000);
    assert_eq!(visit.status("/a.txt"), 404);
    temp.put("a.txt", "version-3");
    assert_eq!(visit.get("/a.txt").body, b"version-3", "a file that was missing is seen at once");
}

#[test]
fn a_file_changed_twice_within_one_tick_is_read_again() {
    let temp = Temp::new();
    temp.put("a.txt", "version-1");
    let mut visit = Visit::of(&temp);
    // By its clock the file has just been changed: the same times may yet come to mean other bytes.
    let changed = fs::metadata(temp.www().join("a.txt")).unwrap();
    let young = Facts::of(&fs::File::open(temp.www().join("a.txt")).unwrap()).unwrap();
    let ctime_ms = std::os::unix::fs::MetadataExt::ctime(&changed) as u64 * 1000;
    assert!(young.are_young(ctime_ms) && !young.are_young(ctime_ms + 5000));
    visit.now.wall_ms = ctime_ms;
    let first = visit.get("/a.txt");
    visit.now.wall_ms += 5000;
    for (millis, is_same) in [(500, true), (500, false), (1000, true)] {
        let before = visit.data("a.txt");
        visit.wait(millis);
        assert_eq!(visit.get("/a.txt").body, first.body);
        assert_eq!(Rc::ptr_eq(&before, &visit.data("a.txt")), is_same, "after {millis} ms more");
    }
}

impl Visit {
    /// The bytes that the cache holds of the plain file `key`.
    fn data(&mut self, key: &str) -> Rc<[u8]> {
        let folder = self.site.folder.as_mut().unwrap();
        match folder.find(self.now, key, [encoding::Coding::Identity].into_iter()) {
            Found::File(_, Content::Small(data)) => data,
            _ => panic!("{key} is not small"),
        }
    }
}

#[test]
fn large_files_are_handed_over_open_in_whole_and_in_part() {
    let temp = Temp::new();
    let big: Vec<u8> = (0..200_000_u32).map(|i| (i / 7) as u8).collect();
    temp.put("big.bin", &big);
    let mut visit = Visit::of(&temp);
    let whole = visit.get("/big.bin");
    assert!((whole.status, whole.is_shared) == (200, false) && whole.body == big);
    let part = visit.ask("GET", "/big.bin", "Range: bytes=100000-100009\r\n");
    assert_eq!((part.status, &*part.body), (206, &big[100_000..100_010]));
    assert_eq!(visit.ask("HEAD", "/big.bin", "").field("Content-Length"), Some("200000"));
    // It grows within the second in which nobody looks: what is said is still true of what is sent.
    temp.put("big.bin", [&big[..], b"more"].concat());
    let grown = visit.get("/big.bin");
    assert_eq!((grown.field("Content-Length"), grown.body.len()), (Some("200004"), 200_004));
    assert_ne!(grown.field("ETag"), whole.field("ETag"));
}

#[test]
fn small_files_are_cut_too() {
    let temp = Temp::new();
    temp.put("a.txt", "0123456789");
    let got = Visit::of(&temp).ask("GET", "/a.txt", "Range: bytes=2-4\r\n");
    assert_eq!((got.status, &*got.body, got.is_shared), (206, &b"234"[..], true));
}

#[test]
fn encoded_siblings_are_sent_to_those_who_take_them() {
    let temp = Temp::new();
    temp.put("page.html", "plain");
    temp.put("page.html.gz", "gzipped");
    temp.put("page.html.br", "brotli");
    temp.put("pixel.png", "png");
    temp.put("pixel.png.gz", "never");
    temp.put("alone.html", "alone");
    let mut visit = Visit::of(&temp);
    let mut tags = Vec::new();
    for (accept, body, coding) in [
        ("", "plain", None),
        ("Accept-Encoding: gzip\r\n", "gzipped", Some("gzip")),
        ("Accept-Encoding: gzip, deflate, br\r\n", "brotli", Some("br")),
    ] {
        let got = visit.ask("GET", "/page.html", accept);
        assert_eq!((got.status, &*got.body, got.field("Content-Encoding")), (200, body.as_bytes(), coding), "{accept}");
        assert_eq!(got.field("Vary"), Some("Accept-Encoding"));
        assert_eq!(got.field("Content-Type"), Some("text/html; charset=utf-8"));
        let tag = got.field("ETag").unwrap().to_owned();
        assert_eq!(visit.ask("GET", "/page.html", &format!("{accept}If-None-Match: {tag}\r\n")).status, 304);
        assert!(!tags.contains(&tag), "each has its own tag");
        tags.push(tag);
    }
    let gzip = "Accept-Encoding: gzip\r\n";
    assert_eq!(visit.ask("GET", "/pixel.png", gzip).body, b"png");
    assert_eq!(visit.ask("GET", "/alone.html", gzip).field("Vary"), None);
    assert_eq!(visit.get("/page.html.gz").body, b"gzipped");
    // The page is changed and nobody has compressed it again yet.
    temp.put_at("page.html", "newer", OLD + 60);
    visit.wait(1000);
    assert_eq!(visit.ask("GET", "/page.html", gzip).body, b"newer");
    temp.put_at("page.html.gz", "newer, gzipped", OLD + 61);
    visit.wait(1000);
    assert_eq!(visit.ask("GET", "/page.html", gzip).body, b"newer, gzipped");
}

#[test]
fn a_site_has_its_own_error_pages() {
    let temp = Temp::new();
    temp.put("404.html", "<p>lost at sea");
    let mut visit = Visit::of(&temp);
    let got = visit.get("/missing");
    assert_eq!((got.status, &*got.body, got.field("Cache-Control")), (404, &b"<p>lost at sea"[..], Some("no-store")));
    assert!(!got.html && got.field("ETag").is_none() && got.field("X-Content-Type-Options") == Some("nosniff"));
    assert!(visit.ask("HEAD", "/missing", "").body.is_empty());
    let post = visit.ask("POST", "/missing", "");
    assert_eq!((post.status, post.field("Allow")), (405, Some("GET, HEAD, OPTIONS")));
    temp.put("405.html", "read only");
    visit.wait(1000);
    let post = visit.ask("POST", "/missing", "");
    assert_eq!((&*post.body, post.field("Allow")), (&b"read only"[..], Some("GET, HEAD, OPTIONS")));
}

#[test]
fn errors_under_api_are_json_whatever_the_site_has() {
    let temp = Temp::new();
    temp.put("404.html", "<p>lost at sea");
    let got = Visit::of(&temp).get("/api/nothing");
    let json: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
    assert_eq!((got.status, json["error"].as_str()), (404, Some("not_found")));
}

#[test]
fn what_the_kernel_says_becomes_the_right_status() {
    for (errno, want) in [
        (libc::ENOENT, "nothing"),
        (libc::EXDEV, "nothing"),
        (libc::ELOOP, "nothing"),
        (libc::EACCES, "forbidden"),
        (libc::EMFILE, "trouble"),
        (libc::EIO, "trouble"),
    ] {
        let got = match cache::refused(io::Error::from_raw_os_error(errno)) {
            Found::Nothing => "nothing",
            Found::Forbidden => "forbidden",
            Found::Trouble(_) => "trouble",
            Found::File(..) | Found::Directory | Found::Away => "a file",
        };
        assert_eq!(got, want, "{errno}");
    }
}

#[test]
fn a_page_in_the_cache_is_served_when_no_descriptor_is_left() {
    const CHILD: &str = "BOATSWAIN_TEST_CHILD";
    if std::env::var_os(CHILD).is_none() {
        // In a process of its own: the other tests need their descriptors.
        let name = "net::files::tests::a_page_in_the_cache_is_served_when_no_descriptor_is_left";
        let script = "ulimit -Sn 40; exec \"$0\" --exact \"$1\"";
        let mut shell = Command::new("sh");
        let child = shell.args(["-c", script]).arg(std::env::current_exe().unwrap()).arg(name).env(CHILD, "1");
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let temp = Temp::new();
    temp.put("a.txt", "a");
    temp.put("b.txt", "b");
    let mut visit = Visit::of(&temp);
    assert_eq!(visit.get("/a.txt").body, b"a");
    let hog: Vec<fs::File> = std::iter::from_fn(|| fs::File::open("/dev/null").ok()).collect();
    visit.wait(1000);
    assert_eq!((visit.get("/a.txt").body, visit.status("/b.txt")), (b"a".to_vec(), 503));
    drop(hog);
    assert_eq!(visit.get("/b.txt").body, b"b");
}

#[test]
fn the_cache_is_bounded_in_files_and_in_bytes() {
    let temp = Temp::new();
    for i in 0..40 {
        temp.put(&format!("{i}.txt"), vec![i; 60_000]);
    }
    for i in 0..300 {
        temp.put(&format!("s{i}"), "x");
    }
    let mut visit = Visit::of(&temp);
    for round in 0..2 {
        for i in 0..40 {
            visit.wait(1);
            let got = visit.get(&format!("/{i}.txt"));
            assert!(got.body == vec![i; 60_000], "round {round}, file {i}");
        }
        for i in 0..300 {
            visit.wait(1);
            assert_eq!(visit.get(&format!("/s{i}")).body, b"x");
        }
    }
}

#[test]
fn what_is_asked_for_often_stays_in_the_cache() {
    let temp = Temp::new();
    temp.put("often.txt", "often");
    for i in 0..400 {
        temp.put(&format!("s{i}"), "x");
    }
    let mut visit = Visit::of(&temp);
    visit.get("/often.txt");
    let held = visit.data("often.txt");
    for i in 0..400 {
        visit.wait(1);
        visit.get(&format!("/s{i}"));
        visit.get("/often.txt");
    }
    assert!(Rc::ptr_eq(&held, &visit.data("often.txt")));
}
