//! Project pages in HTML (PEP 503, 592, 658, 714).

use url::Url;

use super::json::check_version;
use super::page::{Link, MAX_FILES};
use super::source::percent_decode;
use super::tags::{Tag, Tags};

/// The links of a page; `base` becomes what they are relative to, where the page says so.
pub(super) fn links(page: &[u8], base: &mut Url) -> Result<Vec<Link>, String> {
    let page = String::from_utf8_lossy(page);
    let mut tags = Vec::new();
    let mut new_base = None;
    for tag in Tags::of(&page) {
        if tag.is("a") {
            if tags.len() == MAX_FILES {
                return Err(format!("it has more than {MAX_FILES} links"));
            }
            tags.push(tag);
        } else if tag.is("meta") && tag.attribute("name") == Some("pypi:repository-version") {
            check_version(tag.attribute("content"))?;
        } else if tag.is("base") {
            new_base = new_base.or_else(|| attribute(tag, "href"));
        }
    }
    if let Some(href) = new_base {
        let moved = base.join(href.trim()).ok();
        let moved = moved.filter(|moved| moved.scheme() == "https" || moved.scheme() == base.scheme());
        *base = moved.ok_or("its <base> leads nowhere")?;
    }
    Ok(tags.into_iter().filter_map(|tag| link(tag, base)).collect())
}

fn link(tag: Tag<'_>, base: &Url) -> Option<Link> {
    let href = attribute(tag, "href")?.trim().to_owned();
    let url = base.join(&href).ok()?;
    // The name stands in the link's text too, but installers go by the address.
    let last = url.path_segments()?.next_back()?;
    let filename = String::from_utf8(percent_decode(last)).ok()?;
    let hash = url.fragment().and_then(|fragment| fragment.split('&').find_map(|part| part.strip_prefix("sha256=")));
    let metadata = attribute(tag, "data-core-metadata").or_else(|| attribute(tag, "data-dist-info-metadata"));
    Some(Link {
        filename,
        sha256: hash.map(str::to_owned),
        size_bytes: None,
        requires_python: attribute(tag, "data-requires-python"),
        yanked: attribute(tag, "data-yanked"),
        metadata: metadata.and_then(|value| match value.strip_prefix("sha256=") {
            Some(digest) => Some(Some(digest.to_owned())),
            None => (value != "false").then_some(None),
        }),
        url: href,
    })
}

/// An attribute's value, empty where it has none.
fn attribute(tag: Tag<'_>, name: &str) -> Option<String> {
    tag.attribute(name).map(unescaped)
}

/// Text with its character references resolved: the few named ones that URLs and versions need, and all numeric ones.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        // The longest, `&#x10ffff;`, with some zeros to spare.
        let end = rest.bytes().take(16).position(|byte| byte == b';');
        match end.and_then(|end| Some((character(&rest[..end])?, end))) {
            Some((found, end)) => {
                plain.push(found);
                rest = &rest[end + 1..];
            }
            None => plain.push('&'),
        }
    }
    plain.push_str(rest);
    plain
}

fn character(reference: &str) -> Option<char> {
    let code = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    match reference {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => match reference.strip_prefix('#')? {
            digits if digits.starts_with(['x', 'X']) => code(&digits[1..], 16),
            digits => code(digits, 10),
        },
    }
}
