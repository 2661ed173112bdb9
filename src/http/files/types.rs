//! Content types by the end of a file's name: those of the web and of media, since with nosniff a player or a browser
//! refuses what has a wrong one. The settings add more (`types`).

use std::borrow::Cow;

/// The type of a file whose name says nothing.
pub const UNKNOWN: &str = "application/octet-stream";

/// The content type of `path`, by the extension of its last name, with A to Z in any case. `more`: extensions in lower case and
/// their types, which win over those known here.
pub fn content_type(path: &str, more: &[(String, String)]) -> Cow<'static, str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((_, extension)) = name.rsplit_once('.') else { return UNKNOWN.into() };
    let extension = extension.to_ascii_lowercase();
    if let Some((_, given)) = more.iter().find(|(e, _)| *e == extension) {
        return given.clone().into();
    }
    let rows = TYPES.lines().filter_map(|row| row.rsplit_once(": "));
    let mut found = rows.filter(|(extensions, _)| extensions.split(' ').any(|e| e == extension));
    found.next().map_or(UNKNOWN, |(_, known)| known).into()
}

/// Whether it is the type of a page of HTML.
pub fn is_page(content_type: &str) -> bool {
    content_type.starts_with("text/html")
}

/// Whether a precompressed sibling is worth looking for: not for what is compressed in itself.
pub fn may_be_precompressed(content_type: &str) -> bool {
    let packed = [
        "image/",
        "audio/",
        "video/",
        "font/",
        "application/zip",
        "application/gzip",
        "application/zstd",
        "application/x-xz",
        "application/pdf",
    ];
    content_type.starts_with("image/svg+xml")
        || content_type == "image/x-icon"
        || !packed.iter().any(|p| content_type.starts_with(p))
}

/// Extensions and their type, a line each. One text, since a table of texts costs a board two pointers for each.
const TYPES: &str = "\
html htm: text/html; charset=utf-8
css: text/css; charset=utf-8
js mjs: text/javascript; charset=utf-8
json map: application/json
webmanifest: application/manifest+json
geojson: application/geo+json
jsonl ndjson: application/x-ndjson
svg: image/svg+xml; charset=utf-8
txt log conf cfg ini toml: text/plain; charset=utf-8
md: text/markdown; charset=utf-8
csv: text/csv; charset=utf-8
yaml yml: application/yaml
xml xsl: application/xml; charset=utf-8
xhtml: application/xhtml+xml; charset=utf-8
atom: application/atom+xml; charset=utf-8
rss: application/rss+xml; charset=utf-8
png: image/png
jpg jpeg: image/jpeg
gif: image/gif
webp: image/webp
avif: image/avif
jxl: image/jxl
bmp: image/bmp
ico: image/x-icon
tif tiff: image/tiff
woff: font/woff
woff2: font/woff2
ttf: font/ttf
otf: font/otf
wasm: application/wasm
pdf: application/pdf
m3u8: application/vnd.apple.mpegurl
mpd: application/dash+xml
ts: video/mp2t
m4s: video/iso.segment
mp4 m4v: video/mp4
webm: video/webm
mkv: video/matroska
mov: video/quicktime
avi: video/x-msvideo
mpg mpeg: video/mpeg
ogv: video/ogg
mp3: audio/mpeg
m4a: audio/mp4
aac: audio/aac
flac: audio/flac
ogg oga opus: audio/ogg
weba: audio/webm
wav: audio/wav
vtt: text/vtt; charset=utf-8
zip: application/zip
gz tgz: application/gzip
zst: application/zstd
xz: application/x-xz
tar: application/x-tar
";
