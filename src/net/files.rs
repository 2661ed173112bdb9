//! The pages: files below the document root, opened so that no way leads out of it, and the pages built into the
//! binary. Small files come from a bounded cache, so that a page asked for often costs no system call at all.
//!
//! Never does: decide who may see a page, or what is answered to which conditional: that is [`crate::http::files`].

mod built_in;
mod cache;
mod folder;
mod root;

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::Path;

use crate::engine::pages::{Body, Pages, Served};
use crate::http::files::encoding;
use crate::http::files::path::{self, NoPath};
use crate::http::files::{Described, Plan, PlanBody, plan};
use crate::http::request::Request;
use crate::http::response::{
    ALLOW_READ, Audience, Envelope, Full, end_head, push_body_fields, push_field, reads, start_head,
};
use crate::msg::Now;
use crate::shown::Quoted;
use crate::sys::file::Obstacle;

use cache::{Content, Found};
use folder::Folder;

fn other(status: u16, body: Body) -> Served {
    Served { status, html: false, body }
}

fn of_file(file: &Described, plan: Plan, body: Body) -> Served {
    let html = file.meta().is_page() && matches!(plan.status, 200 | 206 | 304);
    Served { status: plan.status, html, body }
}

/// An error to be told, with an error page of the site if it has one.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// Status.
    pub status: u16,
    /// One word for programs.
    pub word: &'a str,
    /// A sentence for people, with the remedy.
    pub message: &'a str,
}

/// The pages of one server: a folder, or the built-in ones. A reload makes a new one.
#[derive(Debug)]
pub struct Site {
    folder: Option<Folder>,
    built_in: Vec<built_in::Page>,
}

impl Site {
    /// The site in the folder `www`, or the built-in one; `types` by extension win over those that are known. Errors:
    /// `www` is no folder that can be opened.
    pub fn open(www: Option<&Path>, types: &[(String, String)]) -> io::Result<Self> {
        let folder = www.map(|www| Folder::open(www, types.to_vec())).transpose()?;
        let mut built_in = built_in::pages();
        built_in.retain(|page| folder.is_none() || page.is_at(built_in::CLIENT));
        Ok(Site { folder, built_in })
    }

    /// Tells `refusal`: by the site's `NNN.html` if there is one and the request is not for `/api/`, else in the form
    /// that suits who asked. `request`: `None` if it could not be read.
    fn error(
        &mut self,
        now: Now,
        refusal: &Refusal<'_>,
        request: Option<&Request<'_>>,
        envelope: &Envelope<'_>,
        out: &mut Vec<u8>,
    ) -> Served {
        let status = refusal.status;
        let audience = Audience::of(request);
        if audience != Audience::Program && request.is_some() {
            if let Some((content_type, data)) = self.folder.as_mut().and_then(|f| f.error_page(now, status)) {
                start_head(out, status, envelope);
                push_body_fields(out, &content_type, data.len() as u64);
                out.extend_from_slice(b"Cache-Control: no-store\r\n");
                end_head(out);
                let body = if envelope.is_head || data.is_empty() {
                    Body::None
                } else {
                    let all = 0..data.len();
                    Body::Shared(data, all)
                };
                return other(status, body);
            }
        }
        Full::error(status, refusal.word, refusal.message, audience).write(out, envelope);
        other(status, Body::None)
    }
}

impl Pages for Site {
    fn serve(&mut self, now: Now, request: &Request<'_>, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Served {
        if let Err(status) = reads(request.method) {
            let refusal = match status {
                501 => Refusal { status, word: "not_implemented", message: "This server does not know that method." },
                _ => Refusal { status, word: "method", message: "This can only be read: use GET, HEAD or OPTIONS." },
            };
            let mut extra = envelope.extra.to_vec();
            push_field(&mut extra, "Allow", ALLOW_READ.as_bytes());
            return self.error(now, &refusal, Some(request), &Envelope { extra: &extra, ..*envelope }, out);
        }
        if request.path == "*" {
            start_head(out, 204, envelope);
            push_field(out, "Allow", ALLOW_READ.as_bytes());
            end_head(out);
            return other(204, Body::None);
        }
        let key = match path::plain(request.path) {
            Some(plain) => Cow::Borrowed(plain),
            None => match path::decode(request.path) {
                Ok(relative) if relative.is_dir && !relative.path.is_empty() => Cow::Owned(relative.path + "/"),
                Ok(relative) => Cow::Owned(relative.path),
                Err(NoPath::Nothing) => return self.error(now, &NOT_FOUND, Some(request), envelope, out),
                Err(NoPath::Bad(what)) => {
                    let refusal = Refusal { status: 400, word: "bad_request", message: what };
                    return self.error(now, &refusal, Some(request), envelope, out);
                }
            },
        };
        let Some(folder) = &mut self.folder else {
            let Some(page) = self.built_in.iter().find(|p| p.is_at(&key)) else {
                return self.error(now, &NOT_FOUND, Some(request), envelope, out);
            };
            return serve_built_in(page, now, request, envelope, out);
        };
        match folder.find(now, &key, encoding::preferred(request)) {
            Found::File(file, content) => {
                let plan = plan(request, file, now.wall_ms / 1000, envelope, out);
                of_file(file, plan, part(content, file.meta().len, plan.body))
            }
            Found::Directory => {
                let mut location = path::encode(&key);
                location.push('/');
                if let Some(query) = request.query {
                    location.push('?');
                    location.push_str(query);
                }
                Full::redirect(301, location).write(out, envelope);
                other(301, Body::None)
            }
            found @ (Found::Nothing | Found::Away) => {
                let refusal = if matches!(found, Found::Away) { AWAY } else { NOT_FOUND };
                match self.built_in.iter().find(|p| p.is_at(&key)) {
                    Some(client) => serve_built_in(client, now, request, envelope, out),
                    None => self.error(now, &refusal, Some(request), envelope, out),
                }
            }
            Found::Forbidden => {
                let message = "The server is not allowed to read that file: its owner can change that with chmod.";
                self.error(now, &Refusal { status: 403, word: "forbidden", message }, Some(request), envelope, out)
            }
            Found::Trouble(e) => {
                log::warn!("www: cannot read {}: {e}", Quoted(&key));
                let refusal = match Obstacle::of(&e) {
                    Obstacle::Exhausted => {
                        Refusal { status: 503, word: "busy", message: "Too much at once; try again in a moment." }
                    }
                    _ => Refusal { status: 500, word: "io", message: "The file cannot be read; the log says why." },
                };
                self.error(now, &refusal, Some(request), envelope, out)
            }
        }
    }

    fn dress(&mut self, now: Now, full: &mut Full) {
        if !full.is_stock {
            return;
        }
        let Some((content_type, data)) = self.folder.as_mut().and_then(|f| f.error_page(now, full.status)) else {
            return;
        };
        full.content_type = content_type;
        full.body = Cow::Owned(data.to_vec());
        full.is_stock = false;
        // it was made for the page that stood there; the site's own may use styles and scripts of the site
        full.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("content-security-policy"));
    }
}

const NOT_FOUND: Refusal<'static> =
    Refusal { status: 404, word: "not_found", message: "There is no such page here. The start page is at /." };

const AWAY: Refusal<'static> = Refusal {
    status: 503,
    word: "away",
    message: "The folder of the pages is not there at the moment; the log says which one.",
};

fn part(content: Content, whole: u64, body: PlanBody) -> Body {
    let (start, len) = match body {
        PlanBody::None => return Body::None,
        PlanBody::Whole => (0, whole),
        PlanBody::Range { start, len } => (start, len),
    };
    match content {
        Content::Small(data) => match small_range(start, len, data.len()) {
            Some(range) => Body::Shared(data, range),
            None => Body::None,
        },
        Content::BuiltIn(data) => {
            small_range(start, len, data.len()).map_or(Body::None, |range| Body::Static(&data[range]))
        }
        Content::Large(file) => Body::File { file, offset: start, len },
    }
}

fn serve_built_in(
    page: &built_in::Page,
    now: Now,
    request: &Request<'_>,
    envelope: &Envelope<'_>,
    out: &mut Vec<u8>,
) -> Served {
    let (file, content) = page.variant(request);
    let plan = plan(request, file, now.wall_ms / 1000, envelope, out);
    of_file(file, plan, part(content, file.meta().len, plan.body))
}

/// The range as indices of something `whole` bytes long; the plan has seen to it that it is within.
fn small_range(start: u64, len: u64, whole: usize) -> Option<Range<usize>> {
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    debug_assert!(end <= whole, "the plan stays within the file");
    (end <= whole).then_some(start..end)
}

#[cfg(test)]
mod tests;
