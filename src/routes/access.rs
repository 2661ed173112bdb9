//! Who may ask, in the fixed order of refusals: address 403, Host 421, Origin 403, (open paths pass), throttle 429, 401 or
//! `signed_out`, evicted or ended 403. What comes after (404, 405, role, seat, body) is the table's business.

use std::rc::Rc;
use std::time::Duration;

use crate::auth::credentials::{Job, Look};
use crate::auth::{Key, Verdict};
use crate::http::auth::{Basic, COOKIES_MAX, basic, cookies};
use crate::http::host::{Authority, Host, origin_of};
use crate::http::request::{Method, Request};
use crate::http::response::Audience;
use crate::hub::{Input, SessionView, SignIn};
use crate::msg::LeftReason;
use crate::routes::reply::{Caller, Ctx, Full, OnlyStops, Refused, cookie_name, json, read_cookie, refusal};
use crate::shown::Excerpt;

/// The challenge of every 401 (RFC 7617, section 2.1).
fn challenge(ctx: &Ctx<'_>) -> String {
    let realm = ctx.site.config.auth.realm.replace('\\', "\\\\").replace('"', "\\\"");
    format!("Basic realm=\"{realm}\", charset=\"UTF-8\"")
}

/// A 401 with its challenge.
pub fn unauthorized(ctx: &Ctx<'_>, audience: Audience) -> Full {
    let said = "this server asks who you are: send a user name and a password (HTTP Basic)";
    Full::error(401, "unauthorized", said, audience).with("WWW-Authenticate", challenge(ctx))
}

/// Refuses addresses outside `seats.allow` and Host names that are not ours.
pub fn address_and_host(ctx: &mut Ctx<'_>, request: &Request<'_>, audience: Audience) -> Result<(), Full> {
    let config = &ctx.site.config;
    if !config.seats.allows(ctx.peer.addr) {
        let addr = ctx.peer.addr;
        let said = format!("the address {addr} may not come here: it is in none of the ranges of seats.allow");
        return Err(Full::error(403, "address", &said, audience));
    }
    let Some(host) = request.host else { return Ok(()) }; // only HTTP/1.0 comes so far without one
    if Authority::of_host(host).is_some_and(|a| is_ours(a.host, &config.hosts, &ctx.site.hostname)) {
        return Ok(());
    }
    let host = request.host_text();
    let said = format!("this server does not answer to the name {host:?}: add it to `hosts` if it should");
    Err(Full::error(421, "host", &said, audience))
}

/// Whether a host can only mean this server: DNS rebinding makes foreign names point here, but not these.
fn is_ours(host: Host<'_>, hosts: &[String], own: &str) -> bool {
    let Host::Name(name) = host else { return true };
    let is = |other: &str| Host::named(other) == Some(host);
    !name.contains('.')
        || [".local", ".lan", ".home.arpa"].iter().any(|end| host.is_below(end))
        || is(own)
        || hosts.iter().any(|other| is(other))
}

/// What somebody is told who may give nothing but emergency stops.
pub fn only_stops(why: OnlyStops) -> Full {
    match why {
        OnlyStops::Ended(reason) => json(403, |o| {
            o.text("error", "ended").text("message", "this session has ended; sign in again to come back");
            o.shown("reason", reason);
        }),
        OnlyStops::Evicted => {
            let said = "an admin took this user's seat; come back in a minute";
            refusal(403, "evicted", said).with("Retry-After", "60")
        }
    }
}

/// Finds out who asks. `Err` with what to answer, or with the password that somebody has to check first. `stops`: its
/// body may turn out to be an emergency stop, which an evicted user and the page of an ended session may give, too.
pub fn authenticate(
    ctx: &mut Ctx<'_>,
    request: &Request<'_>,
    audience: Audience,
    tab: bool,
    stops: bool,
) -> Result<Caller, Refused> {
    let given = given(ctx, request);
    let Shown { known, stale, ended } = shown(ctx, request, given.user());
    let over = ended.filter(|_| tab && known.is_none()).map(OnlyStops::Ended);
    if let (Some(over), false) = (over, stops) {
        return Err(only_stops(over).into());
    }
    let mut caller = match (known, given) {
        // the cookie is enough; credentials of the same user add nothing
        (Some((view, _)), Given::Nothing) => from_view(view),
        (Some((view, _)), Given::Good(user)) if view.user == user => from_view(view),
        (Some((view, _)), Given::Unknown { basic, .. }) if *view.user == *basic.user => from_view(view),
        // credentials of another user beat the cookie
        (Some((_, cookie)), Given::Good(user)) => enter(ctx, request, user, Some(cookie)),
        (None, Given::Good(user)) => enter(ctx, request, user, stale),
        (known, Given::Unknown { key, basic }) => match (known, check(ctx, request, key, &basic)) {
            (_, Err(job)) => return Err(Refused::Later(job)),
            // bad ones beside a cookie are ignored
            (Some((view, _)), Ok(_)) => from_view(view),
            (None, Ok(Check::Foreign)) => return Err(stranger_page(audience).into()),
            (None, Ok(Check::Throttled(s))) => return Err(throttled(audience, s).into()),
            (None, Ok(Check::GaveWay)) => return Err(busy(audience).into()),
            (None, Ok(Check::Bad)) => return Err(stranger(ctx, audience, tab, over)),
        },
        (None, Given::Nothing) => return Err(stranger(ctx, audience, tab, over)),
    };
    let evicted = ctx.hub.view().is_evicted(ctx.now, &caller.user, ctx.peer.addr).then_some(OnlyStops::Evicted);
    caller.only_stops = evicted.or(over);
    match caller.only_stops {
        Some(OnlyStops::Evicted) if !stops => {
            let said = "an admin took this user's seat; come back in a minute";
            return Err(Full::error(403, "evicted", said, audience).with("Retry-After", "60").into());
        }
        // what has ended does not come back by a stop: no new cookie
        Some(_) => caller.cookie = None,
        None => {}
    }
    Ok(caller)
}

/// What the cookies of a request say.
#[derive(Default)]
struct Shown {
    /// A session that lives, and its cookie.
    known: Option<(SessionView, [u8; 16])>,
    /// A cookie of no session, or of one that is over.
    stale: Option<[u8; 16]>,
    /// Why that one is over.
    ended: Option<LeftReason>,
}

/// Looks at every cookie of ours: one that an older path or another server on this host has left must not hide a good one.
/// The first session that lives wins, but one of the user whose credentials are there too (`user`) before all others.
fn shown(ctx: &mut Ctx<'_>, request: &Request<'_>, user: Option<&str>) -> Shown {
    let mut shown = Shown::default();
    if request.header("cookie").is_none() {
        return shown;
    }
    let name = cookie_name(ctx.peer.port);
    for cookie in cookies(request, &name).filter_map(read_cookie).take(COOKIES_MAX) {
        match session_of(ctx, &cookie) {
            Some(view) if view.ended.is_none() => {
                let wanted = user.is_none_or(|user| *view.user == *user);
                if wanted || shown.known.is_none() {
                    shown.known = Some((view, cookie));
                }
                if wanted {
                    break;
                }
            }
            over => {
                shown.stale = shown.stale.or(Some(cookie));
                shown.ended = shown.ended.or(over.and_then(|view| view.ended));
            }
        }
    }
    shown
}

/// The session that shows this cookie; `None` if there is none, or its lifetime is over.
fn session_of(ctx: &mut Ctx<'_>, cookie: &[u8; 16]) -> Option<SessionView> {
    let session = ctx.hub.view().session_by_cookie(cookie)?;
    ctx.hub.handle(ctx.now, Input::CookieShown(session), ctx.fx);
    ctx.hub.view().session(session)
}

/// What the `Authorization` field of a request says.
enum Given {
    /// Nothing that could be right.
    Nothing,
    /// Credentials that were found right before, and whose.
    Good(Rc<str>),
    /// Credentials that have to be checked.
    Unknown { key: Key, basic: Basic },
}

impl Given {
    fn user(&self) -> Option<&str> {
        match self {
            Given::Nothing => None,
            Given::Good(user) => Some(user),
            Given::Unknown { basic, .. } => Some(&basic.user),
        }
    }
}

fn given(ctx: &Ctx<'_>, request: &Request<'_>) -> Given {
    let mut fields = request.headers_named("authorization");
    let (Some(value), None) = (fields.next(), fields.next()) else { return Given::Nothing };
    let key = ctx.site.credentials.key(value);
    match ctx.site.credentials.known(&key) {
        Some(user) => Given::Good(user),
        None => basic(value).map_or(Given::Nothing, |basic| Given::Unknown { key, basic }),
    }
}

/// Who gave no good credentials: a challenge, or, for the page client, a 403, because a challenge there would open
/// a native prompt over the panel.
fn stranger(ctx: &Ctx<'_>, audience: Audience, tab: bool, over: Option<OnlyStops>) -> Refused {
    if let Some(over) = over {
        return only_stops(over).into();
    }
    if tab {
        let said = "not signed in any more; reload the page to sign in";
        return refusal(403, "signed_out", said).into();
    }
    unauthorized(ctx, audience).into()
}

fn throttled(audience: Audience, seconds: u64) -> Full {
    let said = format!("too many wrong passwords from this address; try again in {seconds} s");
    Full::error(429, "throttled", &said, audience).with("Retry-After", seconds.to_string())
}

/// Nobody can check a password now.
pub fn busy(audience: Audience) -> Full {
    let said = "too many passwords are being checked; try again in a moment";
    Full::error(503, "busy", said, audience).with("Retry-After", "1")
}

enum Check {
    Bad,
    /// They come with a page of another site, which could try passwords in somebody's name until that one is locked out.
    Foreign,
    Throttled(u64),
    GaveWay,
}

/// What is to be said of unknown credentials; `Err` if their password has to be hashed first.
fn check(ctx: &mut Ctx<'_>, request: &Request<'_>, key: Key, basic: &Basic) -> Result<Check, Box<Job>> {
    if is_foreign(request) {
        return Ok(Check::Foreign);
    }
    match ctx.verdict.filter(|(asked, _)| *asked == key) {
        // this is the request that waited for the verdict
        Some((_, Verdict::Bad)) => return Ok(Check::Bad),
        Some((_, Verdict::GaveWay)) => return Ok(Check::GaveWay),
        _ => {}
    }
    match ctx.site.credentials.look(ctx.now.mono, ctx.peer.addr, key, &basic.user, &basic.password) {
        Look::Throttled(left) => Ok(Check::Throttled(left.as_secs_f64().ceil() as u64)),
        Look::Ask(job) => Err(job),
    }
}

fn from_view(view: SessionView) -> Caller {
    Caller { session: view.id, user: view.user, role: view.role, cookie: None, only_stops: None }
}

fn enter(ctx: &mut Ctx<'_>, request: &Request<'_>, user: Rc<str>, stale: Option<[u8; 16]>) -> Caller {
    let role = ctx.site.config.role_of(&user);
    let agent = request.header("user-agent").map(String::from_utf8_lossy).unwrap_or_default();
    // a new session takes the secret; most requests join one, and leave it for the next
    let random = ctx.site.secret.take().unwrap_or_else(|| (ctx.random)());
    let newcomer =
        SignIn { user: &user, role, addr: ctx.peer.addr, agent: &agent, stale, last: ctx.peer.session, random };
    let (session, cookie) = ctx.hub.sign_in(ctx.now, newcomer);
    if cookie != random {
        ctx.site.secret = Some(random);
    }
    Caller { session, user, role, cookie: Some(cookie), only_stops: None }
}

/// Refuses what another site makes a browser do (cross-site request forgery): an `Origin` that is not ours on
/// anything that changes or upgrades, and `Sec-Fetch-Site: cross-site` on the same and on everything under `/api/`
/// that is no navigation.
pub fn origin(ctx: &mut Ctx<'_>, request: &Request<'_>, audience: Audience) -> Result<(), Full> {
    let acts = request.method == Method::Post || request.header("upgrade").is_some();
    if acts {
        if let Some(theirs) = request.headers_named("origin").find(|theirs| !is_same(request, theirs)) {
            return Err(foreign(ctx, request, theirs, audience));
        }
    }
    let is = |name: &str, value: &[u8]| request.header(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
    if is("sec-fetch-site", b"cross-site")
        && (acts || (audience == Audience::Program && !is("sec-fetch-mode", b"navigate")))
    {
        return Err(stranger_page(audience));
    }
    Ok(())
}

/// Refuses whatever can be told to come from another origin, by `Sec-Fetch-Site`, `Origin` or `Referer`, navigations too:
/// for what a link or a picture on a foreign page must not do. Browsers leave the first two out where they do not trust the
/// connection, as on a network without TLS.
pub fn own_pages_only(ctx: &mut Ctx<'_>, request: &Request<'_>, audience: Audience) -> Result<(), Full> {
    let elsewhere = |site: &[u8]| [&b"cross-site"[..], b"same-site"].iter().any(|s| site.eq_ignore_ascii_case(s));
    if request.headers_named("sec-fetch-site").any(elsewhere) {
        return Err(stranger_page(audience));
    }
    let referers = request.headers_named("referer").map(origin_of);
    match request.headers_named("origin").chain(referers).find(|theirs| !is_same(request, theirs)) {
        Some(theirs) => Err(foreign(ctx, request, theirs, audience)),
        None => Ok(()),
    }
}

/// Whether a request can be told to come from a page of another site, and not from a person who goes from there to here.
fn is_foreign(request: &Request<'_>) -> bool {
    let is = |name: &str, value: &[u8]| request.header(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
    request.headers_named("origin").any(|theirs| !is_same(request, theirs))
        || (is("sec-fetch-site", b"cross-site") && !is("sec-fetch-mode", b"navigate"))
}

/// The refusal of what another site asks for.
fn stranger_page(audience: Audience) -> Full {
    Full::error(403, "origin", "a page of another site may not ask this here", audience)
}

fn is_same(request: &Request<'_>, origin: &[u8]) -> bool {
    request.host.and_then(Authority::of_host).is_some_and(|ours| ours.is_origin(origin))
}

/// One line of the log so often about origins that do not match: any page anywhere can cause one.
const REMARK_EVERY: Duration = Duration::from_secs(60);

/// Bytes of a foreign origin and of a host that are repeated: two of them are in one line of the log.
const ORIGIN_SHOWN: usize = 240;

/// The refusal of another origin. It names both, since a proxy that changes `Host` looks just like that.
fn foreign(ctx: &mut Ctx<'_>, request: &Request<'_>, theirs: &[u8], audience: Audience) -> Full {
    let theirs = String::from_utf8_lossy(theirs);
    let (theirs, host) = (Excerpt(&theirs, ORIGIN_SHOWN), Excerpt(request.host_text(), ORIGIN_SHOWN));
    let said = format!(
        "a page of another origin may not do this here: the page is of \"{theirs}\" and asked for the host \"{host}\"; if they are \
         the same and a proxy is between, let it pass on Host with its port (nginx: proxy_set_header Host $http_host;)"
    );
    if ctx.site.remarked.is_none_or(|at| ctx.now.mono.since(at) >= REMARK_EVERY) {
        ctx.site.remarked = Some(ctx.now.mono);
        log::warn!("refused addr={}: {said}", ctx.peer.addr);
    }
    Full::error(403, "origin", &said, audience)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_only_mean_this_server_are_ours_and_names_that_anybody_can_point_here_are_not() {
        let hosts = vec!["panel.example.com".to_string()];
        let ours = |text: &str| {
            Authority::of_host(text.as_bytes()).is_some_and(|a| is_ours(a.host, &hosts, "board7.factory.example"))
        };
        for good in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]",
            "[fe80::1]:8080",
            "[fe80::1%25eth0]:8080",
            "localhost:80",
            "localhost.",
            "pump",
            "PUMP.local",
            "a.lan",
            "x.HOME.arpa",
            "Board7.factory.example.",
            "Panel.Example.com:443",
            "pump.local.",
        ] {
            assert!(ours(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "evil.test",
            "evil.test:8080",
            ".local",
            "a..local",
            "local.evil.test",
            "panel.example.com.evil.test",
            "1.2.3.4.5",
            "0x7f.1",
            "2130706433",
            "evil%2etest",
            "p!mp",
        ] {
            assert!(!ours(bad), "{bad}");
        }
    }
}
