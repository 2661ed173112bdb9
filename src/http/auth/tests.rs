use super::*;
use crate::http::request::{HeadLimits, slots};

fn encoded(text: impl AsRef<[u8]>) -> String {
    ["Basic ", &STANDARD.encode(text)].concat()
}

fn user_and_password(value: &str) -> Option<(String, String)> {
    basic(value.as_bytes()).map(|b| (b.user, String::from_utf8(b.password.to_vec()).unwrap()))
}

/// What `look` finds in a request with these lines.
fn asked<T>(lines: &str, look: impl FnOnce(&Request<'_>) -> T) -> T {
    let head = ["GET / HTTP/1.1\r\nHost: h\r\n", lines, "\r\n"].concat();
    let mut room = slots();
    look(&Request::parse(head.as_bytes(), &mut room, &HeadLimits::default()).unwrap())
}

#[test]
fn good_credentials_are_read() {
    let pair = |u: &str, p: &str| Some((u.to_owned(), p.to_owned()));
    assert_eq!(user_and_password("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
    assert_eq!(user_and_password(&encoded("ann:a:b:")), pair("ann", "a:b:"), "the first colon divides");
    assert_eq!(user_and_password(&encoded("t\u{e4}st:\u{4f60}\u{a3}")), pair("t\u{e4}st", "\u{4f60}\u{a3}"));
    assert_eq!(user_and_password(&encoded(":")), pair("", ""));
    assert_eq!(user_and_password(&encoded("ann:x").replace("Basic ", "bAsIc   ")), pair("ann", "x"));
}

#[test]
fn anything_else_is_no_credentials() {
    let good = encoded("ann:pw");
    for bad in [
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic ====",
        "Basic ann:pw",
        &encoded("annpw"),
        &[&good, "!!"].concat(),
        &[&good, ", ", &good].concat(),
        &good.replace(' ', ""),
        &good.replace("Basic", "Basically"),
        &good.replace("Basic", "Bearer"),
        &encoded(b"ann:\xe4\xff"),
        &encoded("ann:pw\0"),
        &encoded("ann:pw\n"),
        &encoded(["ann:", &"x".repeat(3000)].concat()),
        "",
    ] {
        assert_eq!(basic(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn a_request_has_one_set_of_credentials_or_none_that_count() {
    let line = |text: &str| format!("Authorization: {}\r\n", encoded(text));
    assert_eq!(asked("", credentials), Credentials::None);
    assert_eq!(asked(&["Proxy-", &line("a:b")].concat(), credentials), Credentials::None);
    assert!(matches!(asked(&line("a:b"), credentials), Credentials::Basic(b) if b.user == "a"));
    assert_eq!(asked("Authorization: Digest x\r\n", credentials), Credentials::Malformed);
    assert_eq!(asked(&[line("a:b"), line("a:b")].concat(), credentials), Credentials::Malformed);
}

#[test]
fn a_password_is_never_shown() {
    let shown = format!("{:?}", basic(encoded("ann:secret").as_bytes()));
    assert!(shown.contains("ann") && !shown.contains("secret"), "{shown}");
}

#[test]
fn cookies_are_found_by_their_whole_name_all_of_them_in_order() {
    let lines =
        "Cookie: boatswain_80=a; boatswain_8080=b;boatswain_80 =x; xboatswain_80=c\r\nCookie:boatswain_80=d=e;\r\n";
    let found = asked(lines, |r| cookies(r, "boatswain_80").map(<[u8]>::to_vec).collect::<Vec<_>>());
    assert_eq!(found, [&b"a"[..], b"d=e"]);
}

#[test]
fn cookies_are_set_out_of_reach_of_scripts_and_other_sites() {
    let mut value = Vec::new();
    push_session_cookie(&mut value, "boatswain_80", &[0xaf; 16]);
    let hex = "af".repeat(16);
    assert_eq!(String::from_utf8(value).unwrap(), format!("boatswain_80={hex}; HttpOnly; SameSite=Lax; Path=/"));
    assert!(forget_cookie("boatswain_80").starts_with("boatswain_80=; Max-Age=0;"));
}
