//! `/api/logout`: POST ends the session; GET lets a page make the browser forget the password.

use crate::http::auth::{Credentials, credentials, forget_cookie};
use crate::http::response::{Audience, TEXT};
use crate::hub::Ask;
use crate::routes::access::{own_pages_only, unauthorized};
use crate::routes::reply::{Call, Ctx, Full, Reply, cookie_name};

pub(super) fn leave(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    let _ = ctx.ask(call.caller.session, Ask::Logout); // never denied
    Full::empty(204).with("Set-Cookie", forget_cookie(&cookie_name(ctx.peer.port))).into()
}

/// A browser remembers one name and password for a realm, and replaces them by those that were let in last: a page
/// asks for this URL as the user `logout`, and the browser then knows only that name, which opens nothing. A page of
/// another origin may not: it would sign people out.
pub(super) fn forget(ctx: &mut Ctx<'_>, call: &Call<'_>) -> Reply {
    if let Err(refused) = own_pages_only(ctx, call.request, Audience::Program) {
        return refused.into();
    }
    match credentials(call.request) {
        Credentials::Basic(basic) if basic.user == "logout" => {
            let done = Full::new(200, TEXT, b"logged out\n".to_vec());
            done.with("Set-Cookie", forget_cookie(&cookie_name(ctx.peer.port))).into()
        }
        _ => unauthorized(ctx, Audience::Program).into(),
    }
}
