//! The pages in the binary: one table.

use crate::http::files::encoding::Coding;
use crate::http::files::{Etag, FileMeta, types};

/// What the built-in pages may load and do: only what comes from this server, and no code within a page.
const POLICY: &str = "default-src 'self'; base-uri 'none'; frame-ancestors 'self'";

/// A page in the binary.
#[derive(Debug)]
pub(super) struct Page {
    path: &'static str,
    always: bool,
    pub(super) bytes: &'static [u8],
    pub(super) meta: FileMeta,
}

impl Page {
    /// Whether this is the page at `key`, a path below the root; `has_folder`: the user's own folder is served.
    pub(super) fn answers(&self, key: &str, has_folder: bool) -> bool {
        (self.always || !has_folder) && (self.path == key || (key.is_empty() && self.path == "index.html"))
    }
}

/// Path, bytes, and whether it is there also beside the user's own pages.
type Row = (&'static str, &'static [u8], bool);

macro_rules! page {
    ($path:literal) => {
        ($path, include_bytes!(concat!("../../../www/", $path)), false)
    };
}

/// Every built-in page.
const TABLE: &[Row] = &[page!("index.html"), page!("app.js"), page!("tick.js"), page!("style.css"), page!("icon.svg")];

/// The built-in pages with what is said of them. Their tags come from their bytes, so a new version has new ones.
pub(super) fn pages() -> Vec<Page> {
    let page = |&(path, bytes, always): &Row| {
        let content_type = types::content_type(path);
        let meta = FileMeta {
            len: bytes.len() as u64,
            modified: None,
            etag: Etag::of_bytes(bytes),
            content_type,
            coding: Coding::Identity,
            varies: false,
            policy: content_type.starts_with("text/html").then_some(POLICY),
        };
        Page { path, always, bytes, meta }
    };
    TABLE.iter().map(page).collect()
}
