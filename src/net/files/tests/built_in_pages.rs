//! The pages that the program carries, and a folder in their place.

use super::*;

#[test]
fn the_built_in_pages_are_served_like_files() {
    let mut visit = Visit::new(Site::open(None, &[]).unwrap());
    // they are as old as the program
    let changed = u64::try_from(fs::metadata(std::env::current_exe().unwrap()).unwrap().mtime()).unwrap();
    visit.now.wall_ms = (changed + 1) * 1000;
    let page = visit.get("/");
    assert!(page.status == 200 && page.html && !page.body.is_empty());
    let date = http_date(changed);
    let date = std::str::from_utf8(&date).unwrap();
    assert_eq!((page.field("Cache-Control"), page.field("Last-Modified")), (Some("no-store"), Some(date)));
    assert_eq!(visit.ask("GET", "/panel.js", &format!("If-Modified-Since: {date}\r\n")).status, 304);
    assert!(page.field("Content-Security-Policy").is_some());
    let tag = format!("If-None-Match: {}\r\n", page.field("ETag").unwrap());
    assert_eq!(visit.ask("GET", "/index.html", &tag).status, 304);
    let part = visit.ask("GET", "/", "Range: bytes=0-4\r\n");
    assert_eq!((part.status, &*part.body), (206, &page.body[..5]));
    assert_eq!((visit.status("/missing"), visit.status("/../x")), (404, 400));
    let options = visit.ask("OPTIONS", "*", "");
    assert_eq!((options.status, options.field("Allow")), (204, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn a_folder_replaces_the_built_in_pages() {
    let temp = Temp::new();
    assert_eq!(Visit::of(&temp).status("/"), 404);
    assert!(Site::open(Some(&temp.0.join("nowhere")), &[]).is_err());
    temp.put("file", "");
    assert!(Site::open(Some(&temp.www().join("file")), &[]).is_err(), "a file is no folder");
}

#[test]
fn the_page_client_is_there_for_pages_of_the_users_own_unless_they_bring_their_own() {
    let temp = Temp::new();
    let mut visit = Visit::of(&temp);
    let client = visit.get("/boatswain.js");
    assert!(client.status == 200 && !client.html && client.body.starts_with(b"// The page client"));
    assert_eq!(client.field("Content-Type"), Some("text/javascript; charset=utf-8"));
    assert_eq!((client.field("Cache-Control"), client.field("ETag").is_some()), (Some("no-cache"), true));
    assert_eq!((visit.status("/panel.js"), visit.status("/")), (404, 404), "nothing else is");
    temp.put("boatswain.js", "mine");
    visit.wait(2_000);
    assert_eq!(&*visit.get("/boatswain.js").body, b"mine");
}
