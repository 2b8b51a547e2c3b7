//! Bundles of representations: which are known, and whether what they hold is what they say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::domain::MimeBundle;

/// The representations that can be shown, richest first.
const BY_RICHNESS: [&str; 15] = [
    "text/html",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/bmp",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "text/markdown",
    "text/latex",
    "application/json",
    "text/plain",
];

/// Longer JSON is not indented.
const MAX_PRETTY_BYTES: usize = 64 << 10;

/// A representation that can be shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shown {
    /// HTML, not sanitised.
    Html(String),
    /// An image as a `data:` address.
    Image {
        /// Its MIME type.
        mime: &'static str,
        /// The address.
        url: String,
    },
    /// A video as a `data:` address.
    Video(String),
    /// Markdown.
    Markdown(String),
    /// TeX.
    Latex(String),
    /// JSON, indented.
    Json(String),
    /// Text.
    Plain(String),
}

/// What a bundle can be shown as, richest first. What isn't what its type says is left out.
pub(super) fn by_richness(bundle: &MimeBundle) -> impl Iterator<Item = Shown> {
    BY_RICHNESS.iter().filter_map(|mime| shown(mime, bundle.get(*mime)?))
}

fn shown(mime: &'static str, value: &Value) -> Option<Shown> {
    if mime == "application/json" {
        // Indentation makes deep JSON many times longer.
        let compact = serde_json::to_string(value).ok()?;
        let pretty = if compact.len() <= MAX_PRETTY_BYTES { serde_json::to_string_pretty(value).ok() } else { None };
        return Some(Shown::Json(pretty.unwrap_or(compact)));
    }
    let text = text(value)?;
    Some(match mime {
        "text/html" => Shown::Html(text),
        "image/svg+xml" => {
            let url = text.contains("<svg").then(|| data_url(mime, &STANDARD.encode(&text)))?;
            Shown::Image { mime, url }
        }
        "text/markdown" => Shown::Markdown(text),
        "text/latex" => Shown::Latex(text),
        _ if mime.starts_with("image/") => Shown::Image { mime, url: checked(mime, &text)? },
        _ if mime.starts_with("video/") => Shown::Video(checked(mime, &text)?),
        _ => Shown::Plain(text),
    })
}

/// A text, or the lines of one.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(lines) => lines.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

fn data_url(mime: &str, base64: &str) -> String {
    format!("data:{mime};base64,{base64}")
}

/// The file that a `data:` address of ours holds: its name's extension and its bytes.
pub(super) fn file(url: &str) -> Option<(&'static str, Vec<u8>)> {
    let (mime, base64) = url.strip_prefix("data:")?.split_once(";base64,")?;
    let extension = match mime {
        "image/svg+xml" => "svg",
        "image/jpeg" => "jpg",
        "video/ogg" => "ogv",
        _ => BY_RICHNESS.iter().find(|known| **known == mime)?.split_once('/')?.1,
    };
    Some((extension, STANDARD.decode(base64).ok()?))
}

/// The address of base64 that decodes, to something that begins as the type does.
pub(super) fn checked(mime: &str, base64: &str) -> Option<String> {
    let base64: String = base64.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(&base64).ok()?;
    let is_right = match mime {
        "image/png" => bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
        "image/jpeg" => bytes.starts_with(b"\xff\xd8\xff"),
        "image/gif" => bytes.starts_with(b"GIF8"),
        "image/webp" => bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP"),
        "image/avif" => bytes.get(4..8) == Some(b"ftyp"),
        "image/bmp" => bytes.starts_with(b"BM"),
        "video/mp4" => bytes.get(4..8) == Some(b"ftyp"),
        "video/webm" => bytes.starts_with(b"\x1a\x45\xdf\xa3"),
        "video/ogg" => bytes.starts_with(b"OggS"),
        _ => false,
    };
    is_right.then(|| data_url(mime, &base64))
}
