//! Content types by the end of a file's name: a short list, since a board serves few kinds.

/// The type of a file whose name says nothing.
pub const UNKNOWN: &str = "application/octet-stream";

/// The content type of `path`, by the extension of its last name, in any case.
pub fn content_type(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((_, extension)) = name.rsplit_once('.') else { return UNKNOWN };
    TYPES.iter().find(|(e, _)| e.eq_ignore_ascii_case(extension)).map_or(UNKNOWN, |&(_, t)| t)
}

/// Whether a precompressed sibling is worth looking for: not for what is compressed in itself.
pub fn may_be_precompressed(content_type: &str) -> bool {
    let packed = ["image/", "audio/", "video/", "font/", "application/zip", "application/gzip", "application/pdf"];
    content_type == SVG || content_type == "image/x-icon" || !packed.iter().any(|p| content_type.starts_with(p))
}

const SVG: &str = "image/svg+xml; charset=utf-8";

const TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("svg", SVG),
    ("txt", "text/plain; charset=utf-8"),
    ("log", "text/plain; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("xml", "application/xml; charset=utf-8"),
    ("xhtml", "application/xhtml+xml; charset=utf-8"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("ico", "image/x-icon"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
    ("wasm", "application/wasm"),
    ("pdf", "application/pdf"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("wav", "audio/wav"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("tar", "application/x-tar"),
];
