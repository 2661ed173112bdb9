//! The languages of the built-in pages, a file each in `www/lang/` that `build.rs` finds, as far as the page of a full house
//! needs them: its words are written into it here, since nothing else is served to who reads it.

use std::cmp::Reverse;

use crate::http::files::encoding::weight;
use crate::http::request::{Request, elements, trim};

/// One language.
#[derive(Debug)]
pub struct Language {
    /// Two or three letters (ISO 639).
    pub code: &'static str,
    /// The lines of its file that are `full_KEY: sentence`.
    pub text: &'static str,
}

/// Every language, English first.
pub const ALL: &[Language] = &include!(concat!(env!("OUT_DIR"), "/languages.rs"));

impl Language {
    /// The sentence for `key`; `None`: this language has none.
    pub fn word(&self, key: &str) -> Option<&'static str> {
        self.text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
    }
}

/// The language that the request likes best (RFC 9110, section 12.5.4), by the first part of its tags; English if it names
/// none that is there.
pub fn preferred(request: &Request<'_>) -> &'static Language {
    let liked = |element: &[u8]| {
        let mut parts = element.split(|&b| b == b';').map(trim);
        let code = parts.next()?.split(|&b| b == b'-').next()?;
        let language = ALL.iter().find(|l| code.eq_ignore_ascii_case(l.code.as_bytes()))?;
        Some((weight(parts), language)).filter(|&(weight, _)| weight > 0)
    };
    // of those liked the same the first
    let best = request.headers_named("accept-language").flat_map(elements).filter_map(liked);
    best.min_by_key(|&(weight, _)| Reverse(weight)).map_or(&ALL[0], |(_, language)| language)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::{HeadLimits, slots};

    #[test]
    fn a_reader_gets_the_language_liked_best_of_those_that_are_there() {
        for (accept, code) in [
            ("", "en"),
            ("fr, ja;q=0.5", "en"),
            ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
            ("en;q=0.4, ZH-hans ; q=0.8, ru;q=0.8", "zh"),
            ("ru;q=0, zh;q=x", "en"),
            ("*, runic", "en"),
            ("fr\r\nAccept-Language: ru", "ru"),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: h\r\nAccept-Language: {accept}\r\n\r\n");
            let mut room = slots();
            let request = Request::parse(head.as_bytes(), &mut room, &HeadLimits::default()).unwrap();
            assert_eq!(preferred(&request).code, code, "{accept}");
        }
    }

    #[test]
    fn every_file_of_the_folder_is_a_language_of_the_program_and_of_the_pages() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("www/lang");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        files.sort();
        let mut known: Vec<_> = ALL.iter().map(|l| format!("{}.js", l.code)).collect();
        assert_eq!(ALL[0].code, "en");
        known.sort_unstable();
        assert_eq!(files, known.iter().map(|name| name.as_str()).collect::<Vec<_>>());
        for language in ALL {
            assert!(language.word("full_how").is_some() && language.word("full_ho").is_none(), "{language:?}");
        }
    }
}
