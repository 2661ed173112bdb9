//! The pages in the binary, packed by `build.rs`: one table.

use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

use super::cache::Content;
use crate::http::files::encoding::{self, Coding};
use crate::http::files::{Described, Etag, FileMeta, types};
use crate::http::request::Request;

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
    /// As gzip packs it.
    packed: &'static [u8],
    /// Unpacked, once somebody has taken it only so.
    plain: OnceCell<Rc<[u8]>>,
    as_packed: Described,
    as_plain: Described,
}

impl Page {
    /// Whether this is the page at `key`, a path below the root.
    pub(super) fn is_at(&self, key: &str) -> bool {
        self.path == key || (key.is_empty() && self.path == "index.html")
    }

    /// The page as `request` likes it best: packed, unless it says nothing or no of gzip.
    pub(super) fn variant(&self, request: &Request<'_>) -> (&Described, Content) {
        let coding = encoding::preferred(request).find(|&coding| coding != Coding::Brotli);
        match coding {
            Some(Coding::Gzip) => (&self.as_packed, Content::BuiltIn(self.packed)),
            _ => (&self.as_plain, Content::Small(self.plain.get_or_init(|| unpack(self.packed)).clone())),
        }
    }
}

/// Path and bytes of every built-in page but that of a full house.
const TABLE: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The built-in pages with what is said of them. Their tags come from their bytes, so a new version has new ones.
pub(super) fn pages() -> Vec<Page> {
    // They changed when the program did. This link leads to it even if another version has taken its name since.
    let modified = fs::metadata("/proc/self/exe").ok().and_then(|exe| FileMeta::modified_at(exe.mtime()));
    let page = |&(path, packed): &(&'static str, &'static [u8])| {
        let describe = |coding, len| {
            let content_type = types::content_type(path, &[]);
            let policy = types::is_page(&content_type).then_some(POLICY);
            // the packed bytes stand for the others, too
            let etag = Etag::of_bytes(packed, coding);
            Described::new(FileMeta { len, modified, etag, policy, content_type, coding, varies: true })
        };
        Page {
            path,
            packed,
            plain: OnceCell::new(),
            as_packed: describe(Coding::Gzip, packed.len() as u64),
            as_plain: describe(Coding::Identity, unpacked_len(packed) as u64),
        }
    };
    TABLE.iter().map(page).collect()
}

/// Bytes of a header and of a trailer as `build.rs` makes them (RFC 1952, section 2.3): no name, no extra field.
const HEADER: usize = 10;
const TRAILER: usize = 8;

/// How long it is unpacked: the last word of the trailer (RFC 1952, section 2.3.1).
fn unpacked_len(packed: &[u8]) -> usize {
    packed.last_chunk().map_or(0, |&len| u32::from_le_bytes(len) as usize)
}

fn unpack(packed: &[u8]) -> Rc<[u8]> {
    let body = packed.get(HEADER..packed.len() - TRAILER).unwrap_or_default();
    let bytes = miniz_oxide::inflate::decompress_to_vec_with_limit(body, unpacked_len(packed));
    debug_assert!(bytes.is_ok(), "build.rs has packed it");
    bytes.unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::{HeadLimits, slots};
    use std::path::Path;

    #[test]
    fn every_page_unpacks_to_the_file_that_it_was_made_of() {
        let www = Path::new(env!("CARGO_MANIFEST_DIR")).join("www");
        for page in pages() {
            let file = fs::read_to_string(www.join(page.path)).unwrap();
            let plain = String::from_utf8(unpack(page.packed).to_vec()).unwrap();
            assert_eq!(plain.len(), unpacked_len(page.packed), "{}", page.path);
            if page.path == "words.js" {
                assert!(plain.contains("const LANGUAGES = [\"en\", ") && file.contains("const LANGUAGES = ['en'];"));
            } else {
                assert!(plain == file, "{}", page.path);
            }
        }
        assert!(pages().iter().any(|p| p.is_at("")) && pages().iter().any(|p| p.is_at(CLIENT)));
    }

    #[test]
    fn who_takes_gzip_gets_it_and_others_do_not() {
        let pages = pages();
        let start = pages.iter().find(|p| p.is_at("")).unwrap();
        for (accept, packed) in [
            ("", false),
            ("Accept-Encoding: gzip, deflate, br, zstd\r\n", true),
            ("Accept-Encoding: br\r\n", false),
            ("Accept-Encoding: gzip;q=0\r\n", false),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{accept}\r\n");
            let mut room = slots();
            let request = Request::parse(head.as_bytes(), &mut room, &HeadLimits::default()).unwrap();
            let (described, content) = start.variant(&request);
            let len = match content {
                Content::BuiltIn(bytes) => bytes.len(),
                Content::Small(bytes) => bytes.len(),
                Content::Large(_) => panic!("it is in memory"),
            };
            assert_eq!(
                (described.meta().coding == Coding::Gzip, described.meta().len),
                (packed, len as u64),
                "{accept}"
            );
        }
    }
}
