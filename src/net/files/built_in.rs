//! The pages in the binary: one table.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::http::files::encoding::Coding;
use crate::http::files::{Described, Etag, FileMeta, types};
use crate::routes::languages;

/// What the built-in pages may load and do: only what comes from this server, no code and no style within a page, and
/// no other site around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page client: there under this name for pages of the user's own too.
pub(super) const CLIENT: &str = "boatswain.js";

/// A page in the binary.
#[derive(Debug)]
pub(super) struct Page {
    path: &'static str,
    pub(super) bytes: &'static [u8],
    pub(super) file: Described,
}

impl Page {
    /// Whether this is the page at `key`, a path below the root.
    pub(super) fn is_at(&self, key: &str) -> bool {
        self.path == key || (key.is_empty() && self.path == "index.html")
    }
}

/// Path and bytes.
type Row = (&'static str, &'static [u8]);

macro_rules! page {
    ($path:literal) => {
        ($path, include_bytes!(concat!("../../../www/", $path)))
    };
}

/// Every built-in page but the languages.
const TABLE: &[Row] = &[
    page!("index.html"),
    page!("boatswain.js"),
    page!("panel.js"),
    page!("machines.js"),
    ("words.js", languages::WORDS.as_bytes()),
    page!("style.css"),
    page!("icon.svg"),
];

/// The built-in pages with what is said of them. Their tags come from their bytes, so a new version has new ones.
pub(super) fn pages() -> Vec<Page> {
    // They changed when the program did. This link leads to it even if another version has taken its name since.
    let modified = fs::metadata("/proc/self/exe").ok().and_then(|exe| FileMeta::modified_at(exe.mtime()));
    let page = |(path, bytes): Row| {
        let content_type = types::content_type(path, &[]);
        let meta = FileMeta {
            len: bytes.len() as u64,
            modified,
            etag: Etag::of_bytes(bytes, Coding::Identity),
            policy: types::is_page(&content_type).then_some(POLICY),
            content_type,
            coding: Coding::Identity,
            varies: false,
        };
        Page { path, bytes, file: Described::new(meta) }
    };
    let languages = languages::ALL.iter().map(|l| (l.path, l.text.as_bytes()));
    TABLE.iter().copied().chain(languages).map(page).collect()
}
