//! Takes out of HTML whatever could run, load, look like the page around it, or break out of its place.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};

use super::tidy::{ID_PREFIX, Names, tags::Tag, tidy};

/// Clean HTML: elements and attributes from a list, `http`, `https`, `mailto` and `tel` links, images and videos from
/// these or as data. Every element is closed, so that it can be put anywhere where blocks may stand.
pub(super) fn clean(html: &str, names: &mut Names) -> String {
    let tidied = tidy(html, names);
    let inner = tidied.strip_prefix("<pre>").and_then(|rest| rest.strip_suffix("</pre>")).unwrap_or(&tidied);
    if !inner.contains('<') {
        // Nothing but text and character references, `<` written as one.
        return tidied;
    }
    RULES.clean(&tidied).to_string()
}

static RULES: LazyLock<Builder<'static>> = LazyLock::new(rules);

fn rules() -> Builder<'static> {
    let size = ["width", "height"];
    let cell = ["align", "colspan", "rowspan", "headers", "scope"];
    let of: [(&str, &[&str]); 18] = [
        ("a", &["href"]),
        ("img", &["src", "alt", size[0], size[1]]),
        ("video", &["src", "controls", "autoplay", "loop", "muted", "playsinline", size[0], size[1]]),
        ("source", &["src", "type"]),
        ("input", &["type", "disabled", "checked"]),
        ("details", &["open"]),
        ("ol", &["start", "reversed", "type"]),
        ("li", &["value"]),
        ("td", &cell),
        ("th", &cell),
        ("tr", &["align"]),
        ("table", &["align"]),
        ("p", &["align"]),
        ("div", &["align"]),
        ("time", &["datetime"]),
        ("meter", &["value", "min", "max"]),
        ("progress", &["value", "max"]),
        ("q", &["cite"]),
    ];
    let attributes: HashMap<_, HashSet<_>> =
        of.into_iter().map(|(tag, names)| (tag, names.iter().copied().collect())).collect();
    let mut rules = Builder::empty();
    rules
        .tags(Tag::names().collect())
        .clean_content_tags(HashSet::from(["script", "style"]))
        .tag_attributes(attributes)
        .generic_attributes(HashSet::from(["id", "class", "title", "lang", "dir", "style", "aria-label"]))
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel", "data"]))
        .url_relative(UrlRelative::PassThrough)
        .link_rel(Some("noopener noreferrer nofollow"))
        .filter_style_properties(HashSet::from([
            "background-color",
            "color",
            "font-style",
            "font-weight",
            "height",
            "max-width",
            "text-align",
            "text-decoration",
            "vertical-align",
            "white-space",
            "width",
        ]))
        .strip_comments(true)
        .attribute_filter(attribute);
    rules
}

/// What the lists can't say: where `data:` and relative addresses may stand, and what a style may hold.
fn attribute<'v>(element: &str, name: &str, value: &'v str) -> Option<Cow<'v, str>> {
    let keep = match name {
        "src" => is_source(element, value),
        "href" => is_target(value),
        "cite" => is_web(&scheme(value)),
        "style" => is_style(value),
        "id" => value.starts_with(ID_PREFIX),
        _ => true,
    };
    keep.then_some(Cow::Borrowed(value))
}

fn is_source(element: &str, value: &str) -> bool {
    let start = scheme(value);
    let images = ["png", "jpeg", "gif", "webp", "svg+xml", "avif", "bmp"];
    let videos = ["mp4", "webm", "ogg", "quicktime"];
    let is_data = |class: &str, types: &[&str]| {
        let rest = start.strip_prefix("data:").and_then(|rest| rest.strip_prefix(class));
        rest.is_some_and(|rest| {
            types.iter().any(|kind| rest.strip_prefix(kind).is_some_and(|r| r.starts_with([';', ','])))
        })
    };
    match element {
        "img" => is_web(&start) || is_data("image/", &images),
        "video" | "source" => is_data("video/", &videos),
        _ => false,
    }
}

fn is_target(value: &str) -> bool {
    let start = scheme(value);
    start.starts_with('#') || is_web(&start) || start.starts_with("mailto:") || start.starts_with("tel:")
}

fn is_web(start: &str) -> bool {
    start.starts_with("https://") || start.starts_with("http://")
}

/// The beginning of an address as a browser reads it: lower case, without blanks and control characters.
fn scheme(value: &str) -> String {
    let relevant = value.chars().filter(|c| !c.is_whitespace() && !c.is_control());
    relevant.take(48).map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a style only names colours and sizes: nothing that loads, nothing that hides its meaning.
fn is_style(value: &str) -> bool {
    value.len() <= 1_024
        && !value.contains(['\\', '@', '<', '{'])
        && value.split('(').rev().skip(1).all(|before| {
            let before = before.trim_end().to_ascii_lowercase();
            ["rgb", "rgba", "hsl", "hsla"].iter().any(|name| before.ends_with(name))
        })
}
