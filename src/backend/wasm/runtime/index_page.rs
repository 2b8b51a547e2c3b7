//! Reads a project page of a package index: JSON (PEP 691) or HTML (PEP 503).

use reqwest::Url;
use serde::Deserialize;

/// Where a file is, and what the index says that its contents are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileLink {
    pub(super) url: Url,
    /// SHA-256 in lower-case hexadecimal, if the index gives it.
    pub(super) sha256: Option<String>,
}

#[derive(Deserialize)]
struct JsonPage {
    files: Vec<JsonFile>,
}

#[derive(Deserialize)]
struct JsonFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: JsonHashes,
}

#[derive(Deserialize, Default)]
struct JsonHashes {
    sha256: Option<String>,
}

/// The link to `file` on a JSON page that was read from `base`.
///
/// # Errors
/// The page is not what PEP 691 describes.
pub(super) fn find_in_json(page: &[u8], base: &Url, file: &str) -> Result<Option<FileLink>, String> {
    let page: JsonPage = serde_json::from_slice(page).map_err(|error| error.to_string())?;
    let Some(found) = page.files.into_iter().find(|entry| entry.filename == file) else {
        return Ok(None);
    };
    let url = base.join(&found.url).map_err(|error| format!("the link to `{file}`: {error}"))?;
    Ok(Some(FileLink { url, sha256: found.hashes.sha256.map(|digest| digest.to_ascii_lowercase()) }))
}

/// The link to `file` on an HTML page that was read from `base`: the first anchor whose path ends in that name.
pub(super) fn find_in_html(page: &str, base: &Url, file: &str) -> Option<FileLink> {
    page.split('<').filter_map(anchor_target).find_map(|href| {
        let mut url = base.join(&unescape(href)).ok()?;
        if url.path_segments()?.next_back()?.replace("%2B", "+") != file {
            return None;
        }
        let sha256 = url.fragment().and_then(|hash| hash.strip_prefix("sha256=")).map(str::to_ascii_lowercase);
        url.set_fragment(None);
        Some(FileLink { url, sha256 })
    })
}

/// The `href` of a tag whose text starts right after its `<`, if it is an anchor.
fn anchor_target(tag: &str) -> Option<&str> {
    let mut rest = tag.strip_prefix(['a', 'A'])?;
    if !rest.starts_with(|c: char| c.is_ascii_whitespace()) {
        return None;
    }
    loop {
        rest = rest.trim_ascii_start();
        let end = rest.find(|c: char| c == '=' || c == '>' || c.is_ascii_whitespace())?;
        let (name, after) = rest.split_at_checked(end)?;
        let Some(value) = after.trim_ascii_start().strip_prefix('=') else {
            if end == 0 {
                return None;
            }
            rest = after;
            continue;
        };
        let (value, after) = attribute_value(value.trim_ascii_start())?;
        if name.eq_ignore_ascii_case("href") {
            return Some(value);
        }
        rest = after;
    }
}

/// Splits an attribute's value, quoted or bare, from what follows it.
fn attribute_value(text: &str) -> Option<(&str, &str)> {
    match text.chars().next()? {
        quote @ ('"' | '\'') => text.get(1..)?.split_once(quote),
        _ => text.split_at_checked(text.find(|c: char| c == '>' || c.is_ascii_whitespace())?),
    }
}

/// Resolves the character references that indexes use in links.
fn unescape(text: &str) -> String {
    text.replace("&#43;", "+").replace("&#x2B;", "+").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("http://index.test/simple/thing/").unwrap()
    }

    #[test]
    fn html_links_are_found_in_odd_spellings() {
        let page = "<!DOCTYPE html><abbr href='no'>x</abbr><a>none</a><A data-x = \"a>b\" HREF='../../f/other.whl'>o</A>\
                    <a rel=internal href=\"../../f/thing%2Bx-1.whl?a=1&amp;b=2#sha256=ABCD\" data-yanked>thing</a>";
        let link = find_in_html(page, &base(), "thing+x-1.whl").unwrap();
        assert_eq!(link.url.as_str(), "http://index.test/f/thing%2Bx-1.whl?a=1&b=2");
        assert_eq!(link.sha256.as_deref(), Some("abcd"));
        assert!(find_in_html(page, &base(), "other.whl").is_some());
        assert_eq!(find_in_html(page, &base(), "thing.whl"), None);
        for torn in ["<a", "<a ", "<a href", "<a href=", "<a href='x", "<a ==", "<a =", "<a href=x"] {
            assert_eq!(find_in_html(torn, &base(), "x"), None, "{torn}");
        }
    }
}
