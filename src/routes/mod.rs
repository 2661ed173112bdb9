//! Which URL does what. One line here and one file beside it make an endpoint.
//!
//! Never does: sockets, files, clocks. A request comes in with [`Ctx`], a [`Reply`] goes out.
//!
//! The loop calls [`admit`] when a head is complete (all that can be refused without the body is refused there),
//! [`answer`] when the body is, and [`page_seat`] when a file was found.

pub mod access;
pub mod chat;
mod denied;
pub mod devices;
mod events;
mod evict;
mod full;
pub mod languages;
mod links;
mod log;
mod logout;
pub mod page_requests;
pub mod reply;
mod roster;
mod session;
mod socket;
mod status;

use crate::config::Auth;
use crate::http::files::path::{self, Relative};
use crate::http::request::{Method, Request};
use crate::http::response::Audience;
use crate::hub::{Ask, Purpose};
use crate::msg::Role;
pub use reply::Refused;
use reply::{Call, Caller, Ctx, Full, Reply, refusal};

/// Every endpoint: method, path, what it takes to be let in, and who answers. A `*` stands for one part of a path.
pub const ROUTES: &[Route] = &[
    Route::get("/api/session", Need::Name, session::show),
    Route::post("/api/logout", Need::Name, logout::leave),
    Route::get("/api/logout", Need::Nothing, logout::forget),
    Route::get("/api/roster", Need::Name, roster::show),
    Route::get("/api/events", Need::Link, events::open),
    Route::get("/api/chat", Need::Link, chat::open),
    Route::post("/api/chat", Need::Seat(Role::Viewer), chat::say),
    Route::get("/api/socket", Need::Link, socket::open),
    Route::get("/api/echo", Need::Name, socket::echo),
    Route::post("/api/beat", Need::Name, links::beat),
    Route::post("/api/bye", Need::Name, links::bye),
    Route::get("/api/log", Need::Name, log::show),
    Route::get("/api/devices", Need::Name, devices::show),
    Route::post("/api/devices/*/control", Need::Seat(Role::Operator), devices::control),
    Route::post("/api/devices/*/command", Need::Stop, devices::command),
    Route::post("/api/members/*/evict", Need::Seat(Role::Admin), evict::evict),
    Route::get("/api/status", Need::Name, status::show),
    Route::get("/metrics", Need::Name, status::metrics),
    Route::get("/healthz", Need::Name, status::health),
];

/// How the path of every endpoint begins.
const BEGINNINGS: &[&str] = &["/api/", "/metrics", "/healthz"];

/// One endpoint.
pub struct Route {
    method: Method,
    path: &'static str,
    need: Need,
    run: fn(&mut Ctx<'_>, &Call<'_>) -> Reply,
}

impl Route {
    const fn get(path: &'static str, need: Need, run: fn(&mut Ctx<'_>, &Call<'_>) -> Reply) -> Route {
        Route { method: Method::Get, path, need, run }
    }

    const fn post(path: &'static str, need: Need, run: fn(&mut Ctx<'_>, &Call<'_>) -> Reply) -> Route {
        Route { method: Method::Post, path, need, run }
    }

    /// What it is for: method, path, and what it takes.
    pub fn shape(&self) -> (Method, &'static str, Need) {
        (self.method, self.path, self.need)
    }

    /// Whether `path` is this route's; with the part that its `*` stands for.
    fn matches<'p>(&self, path: &'p str) -> Option<&'p str> {
        match self.path.split_once('*') {
            None => (self.path == path).then_some(""),
            Some((before, after)) => {
                let part = path.strip_prefix(before)?.strip_suffix(after)?;
                (!part.is_empty() && !part.contains('/')).then_some(part)
            }
        }
    }
}

/// What it takes to be let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Nothing: the handler challenges by itself.
    Nothing,
    /// Good credentials or a session's cookie.
    Name,
    /// The same, and not even a session that goes on: it may be an emergency stop, which only its body says. The handler
    /// asks for all the rest if it is none.
    Stop,
    /// A seat too, for a link.
    Link,
    /// A seat too, and this role or a higher one.
    Seat(Role),
}

/// A request that has been let in so far.
#[derive(Clone, Debug)]
pub struct Admitted {
    route: Option<usize>,
    /// Who asks; `None` on open paths, which nobody is asked at.
    pub caller: Option<Caller>,
}

impl Admitted {
    /// Whether the body is to be read. Pages take none.
    pub fn takes_body(&self) -> bool {
        self.route.is_some()
    }

    /// Whether it may be an emergency stop, which needs nothing but a name: only its body says so.
    pub fn may_stop(&self) -> bool {
        self.caller.is_some() && self.route.is_some_and(|i| ROUTES[i].need == Need::Stop)
    }

    /// Whether it asks for a file.
    pub fn is_page(&self) -> bool {
        self.route.is_none()
    }
}

/// Decides about a request by its head, in the fixed order of refusals (see `access`), up to whether there is a
/// seat. Takes no seat yet: that is for complete requests.
pub fn admit(ctx: &mut Ctx<'_>, request: &Request<'_>) -> Result<Admitted, Refused> {
    let audience = Audience::of(Some(request));
    let tab = request.query_value("tab").is_some();
    access::address_and_host(ctx, request, audience).map_err(Refused::from)?;
    access::origin(ctx, request, audience).map_err(Refused::from)?;
    let found = find(request);
    if is_open(&ctx.site.config.auth, request.path) {
        return Ok(Admitted { route: found.map_err(Refused::from)?.map(|(i, _)| i), caller: None });
    }
    if let Ok(Some((i, _))) = found {
        if ROUTES[i].need == Need::Nothing {
            return Ok(Admitted { route: Some(i), caller: None });
        }
    }
    let stops = matches!(found, Ok(Some((i, _))) if ROUTES[i].need == Need::Stop);
    let caller = access::authenticate(ctx, request, audience, tab, stops)?;
    let refuse = |full: Full| Refused::With { full, caller: Some(caller.clone()) };
    let found = found.map_err(refuse)?;
    let Some((i, _)) = found else {
        return Ok(Admitted { route: None, caller: Some(caller) });
    };
    let need = ROUTES[i].need;
    if let Need::Seat(role) = need {
        if caller.role < role {
            let said = format!("this needs the role {role}; the role of {} is {}", caller.user, caller.role);
            return Err(refuse(refusal(403, "role", &said)));
        }
    }
    let seat = matches!(need, Need::Seat(_) | Need::Link);
    if seat && ctx.hub.view().seat_available(ctx.now, caller.session).is_err() {
        // asked in earnest it tells those inside that somebody was turned away
        if let Err(why) = ctx.ask(caller.session, Ask::Serve(Purpose::Link)) {
            return Err(refuse(full::answer(ctx, request, why)));
        }
    }
    Ok(Admitted { route: Some(i), caller: Some(caller) })
}

/// Whether a path is served to everybody: as it is written, and as the files will resolve it. Else `..` would lead from
/// an open folder to what lies behind the password. What the files cannot resolve
/// leads only to an error, which is told to everybody where everything is open.
fn is_open(auth: &Auth, path: &str) -> bool {
    let path = if path == "*" { "/" } else { path }; // OPTIONS * asks about all of it
    let resolved = |relative: Relative| {
        let end = if relative.is_dir && !relative.path.is_empty() { "/" } else { "" };
        auth.is_open(&["/", &relative.path, end].concat())
    };
    auth.is_open(path) && (path::plain(path).is_some() || path::decode(path).map_or(auth.is_open("/"), resolved))
}

/// The route for a request: `None` if its path is for the files, `Err` for a path or method that is not there.
fn find<'r>(request: &Request<'r>) -> Result<Option<(usize, &'r str)>, Full> {
    if !BEGINNINGS.iter().any(|start| request.path.starts_with(start)) {
        return Ok(None); // most requests are for pages: they need not walk the table
    }
    let method = if request.method == Method::Head { Method::Get } else { request.method };
    let mut allowed = Vec::new();
    for (i, route) in ROUTES.iter().enumerate() {
        if let Some(part) = route.matches(request.path) {
            if route.method == method {
                return Ok(Some((i, part)));
            }
            allowed.push(route.method);
        }
    }
    if !allowed.is_empty() {
        let mut names = String::from("OPTIONS");
        for method in allowed {
            names.push_str(if method == Method::Get { ", GET, HEAD" } else { ", POST" });
        }
        if request.method == Method::Options {
            return Err(Full::empty(204).with("Allow", names));
        }
        let said = format!("{} is not for {}; there is {names}", request.method_name, request.path);
        return Err(refusal(405, "method", &said).with("Allow", names));
    }
    if request.path.starts_with("/api/") {
        return Err(refusal(404, "not_found", "there is nothing at this path; see docs/protocol.md"));
    }
    Ok(None)
}

/// Answers a complete request that was let in.
pub fn answer(ctx: &mut Ctx<'_>, request: &Request<'_>, admitted: &Admitted, body: &[u8]) -> Reply {
    let Some(i) = admitted.route else { return refusal(404, "not_found", "there is no endpoint here").into() };
    let route = &ROUTES[i];
    if let Some(caller) = &admitted.caller {
        let purpose = match route.need {
            Need::Seat(_) => Purpose::Act,
            Need::Link => Purpose::Link,
            Need::Name | Need::Stop | Need::Nothing => Purpose::Read,
        };
        // a link takes its seat when it opens
        if !matches!(route.need, Need::Link | Need::Stop) {
            if let Err(why) = ctx.ask(caller.session, Ask::Serve(purpose)) {
                return full::answer(ctx, request, why).into();
            }
        }
    }
    let nobody = Caller::nobody();
    let caller = admitted.caller.as_ref().unwrap_or(&nobody);
    let param = route.matches(request.path).unwrap_or_default();
    let param = percent_encoding::percent_decode_str(param).decode_utf8_lossy();
    (route.run)(ctx, &Call { request, param: &param, caller, body })
}

/// A file was found for a page request: takes the seat for it. `html`: it is an HTML page. `Err`: what to answer instead.
pub fn page_seat(ctx: &mut Ctx<'_>, request: &Request<'_>, admitted: &Admitted, html: bool) -> Result<(), Full> {
    let Some(caller) = &admitted.caller else { return Ok(()) };
    // a page that fetches a piece of HTML by script has not navigated; old browsers and curl do not say, and have
    let navigates = request.header("sec-fetch-mode").is_none_or(|mode| mode.eq_ignore_ascii_case(b"navigate"));
    let purpose = Purpose::Page { html: html && navigates };
    match ctx.ask(caller.session, Ask::Serve(purpose)) {
        Ok(_) => Ok(()),
        Err(why) => Err(full::answer(ctx, request, why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_found_by_how_its_path_begins() {
        for route in ROUTES {
            assert!(BEGINNINGS.iter().any(|start| route.path.starts_with(start)), "{}", route.path);
        }
    }

    #[test]
    fn a_path_is_open_as_written_and_as_resolved_and_where_all_is_open_so_are_its_errors() {
        let auth = |open: &str| Auth { open: vec![open.into()], ..crate::config::Config::default().auth };
        for path in ["/", "*", "/a/../b", "/%zz", "/a/%00", "/.hidden"] {
            assert!(is_open(&auth("/"), path), "{path}");
        }
        assert!(is_open(&auth("/pub/"), "/pub/a") && is_open(&auth("/pub/"), "/pub/x/../a"));
        for path in ["/", "*", "/pub/../a", "/pub/%2e%2e/a", "/pub/%zz", "/x/../pub/a"] {
            assert!(!is_open(&auth("/pub/"), path), "{path}");
        }
    }

    #[test]
    fn a_star_stands_for_one_part_of_a_path() {
        let route = Route::get("/api/members/*/evict", Need::Name, status::health);
        assert_eq!(route.matches("/api/members/7f3a91c2/evict"), Some("7f3a91c2"));
        for other in ["/api/members//evict", "/api/members/a/b/evict", "/api/members/evict", "/api/members/a/evict/"] {
            assert_eq!(route.matches(other), None, "{other}");
        }
    }
}
