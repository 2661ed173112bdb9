//! No seat: what a person and what a program is told.

use std::fmt::Write;

use crate::http::request::Request;
use crate::http::response::HTML;
use crate::hub::{Denied, NoSeat};
use crate::msg::Presence;
use crate::routes::languages::{self, Language};
use crate::routes::reply::{Ctx, Full, json, refusal};

/// The page for a browser: self-contained, names who is on, retries by itself. What stands in it between double braces is
/// filled in here: the reader's language, its words by their keys, and how things are.
const PAGE: &str = include_str!("../../www/full.html");

/// What that page may do: its own style and script, as they are to the byte, and ask this server.
const POLICY: &str = "default-src 'none'; style-src 'sha256-4oAgGcaeuN3BY5U6TEU0fxCtXPaXuuVuQACBnH2Bkvo='; \
                      script-src 'sha256-5roZRQfas6qEkii0NwsWw+u8hay9ZhQ+askp9MqbtyA='; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Seconds after which another try is worth it; the page client waits by itself and may ask sooner.
const RETRY: u32 = 5;
const RETRY_TAB: u32 = 1;

/// The answer to a request that found no seat.
pub(super) fn answer(ctx: &Ctx<'_>, request: &Request<'_>, why: Denied) -> Full {
    let why = if let Denied::Seat(why) = why { why } else { NoSeat::Unknown };
    let retry = if request.query_value("tab").is_some() { RETRY_TAB } else { RETRY };
    match why {
        NoSeat::Full | NoSeat::PerUser => {}
        NoSeat::Ended(reason) => {
            let said = "this session has ended; sign in again to come back";
            return json(403, |o| {
                o.text("error", "ended").text("message", said).shown("reason", reason);
            });
        }
        NoSeat::Unknown => return refusal(403, "signed_out", "this session is over; sign in again"),
        NoSeat::Stopping => {
            let full = refusal(503, "stopping", "this server is being stopped; try again in a moment");
            return full.with("Retry-After", retry.to_string());
        }
    }
    let seats = ctx.hub.view().seats_max();
    let accept = request.header("accept").unwrap_or_default();
    let full = if accept.windows(9).any(|w| w.eq_ignore_ascii_case(b"text/html")) {
        Full::new(503, HTML, page(ctx, languages::preferred(request)).into_bytes())
            .with("Content-Security-Policy", POLICY)
    } else {
        let said = match why {
            NoSeat::PerUser => "this user has as many seats as one user may have".to_string(),
            _ => format!("all {seats} seats are taken; try again in {retry} s"),
        };
        json(503, |o| {
            o.text("error", "full").text("message", &said).plain("seats", seats).plain("retry_after_s", retry);
        })
    };
    full.with("Retry-After", retry.to_string())
}

fn page(ctx: &Ctx<'_>, language: &Language) -> String {
    let mut list = String::new();
    for member in ctx.hub.view().members() {
        let state = match member.state {
            Presence::Present => "",
            Presence::Suspect => " (silent)",
            Presence::Stalled => " (stalled)",
        };
        let written = write!(list, "<li>{} <small>{}{state}</small></li>", escape(&member.user), member.role);
        debug_assert!(written.is_ok());
    }
    filled(language, &ctx.hub.view().seats_max().to_string(), &list)
}

/// The page in this language, with the number of seats and the list of members as HTML.
fn filled(language: &Language, seats: &str, members: &str) -> String {
    let mut parts = PAGE.split("{{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
        match name {
            "language" => out.push_str(language.code),
            "members" => out.push_str(members),
            key => out.push_str(&escape(language.word(key).unwrap_or(key)).replace("{seats}", seats)),
        }
        out.push_str(rest);
    }
    out
}

/// Text as HTML text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_full_house_page_allows_exactly_its_own_style_and_script() {
        for tag in ["style", "script"] {
            let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
            let text = PAGE.split(&open).nth(1).and_then(|rest| rest.split(&close).next()).unwrap();
            let hash = base64::prelude::BASE64_STANDARD.encode(Sha256::digest(text));
            assert!(POLICY.contains(&format!("{tag}-src 'sha256-{hash}'")), "the {tag}'s hash is now sha256-{hash}");
        }
        assert!(!PAGE.contains("src=") && !PAGE.contains("url("), "it loads nothing: that would be refused too");
    }

    #[test]
    fn it_is_written_in_every_language() {
        for language in languages::ALL {
            let page = filled(language, "4", "<li>ann</li>");
            assert!(
                page.contains(&format!("<html lang=\"{}\">", language.code)) && page.contains("<li>ann</li>"),
                "{page}"
            );
            for key in ["title", "people", "again", "silent"] {
                assert!(page.contains(language.word(&format!("full_{key}")).unwrap()), "{key}: {page}");
            }
            let how = language.word("full_how").unwrap().replace("{seats}", "4");
            assert!(page.contains(&how) && !page.contains("full_") && !page.contains("{{"), "{page}");
        }
    }

    #[test]
    fn names_do_not_become_markup() {
        assert_eq!(escape("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}
