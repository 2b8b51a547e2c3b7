//! A project page, in whatever language, made a [`Project`].

use std::collections::HashMap;
use std::str::FromStr;

use pep440_rs::VersionSpecifiers;
use pep508_rs::PackageName;
use url::Url;

use super::error::strip_credentials;
use super::{html, json};
use crate::packages::metadata::{MAX_PYTHONS_BYTES, specifiers};
use crate::packages::project::{DistFile, MetadataFile, Project};

pub(super) const ACCEPTED: &str =
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// A page has not more files than this.
pub(super) const MAX_FILES: usize = 100_000;
const MAX_FILENAME_BYTES: usize = 255;
const MAX_URL_BYTES: usize = 4096;
const MAX_REASON_BYTES: usize = 1024;

/// What a page says of a file, before anything of it is believed.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) filename: String,
    pub(super) url: String,
    pub(super) sha256: Option<String>,
    pub(super) size_bytes: Option<u64>,
    pub(super) requires_python: Option<String>,
    pub(super) yanked: Option<String>,
    /// Whether metadata lies beside it, and its SHA-256.
    pub(super) metadata: Option<Option<String>>,
}

/// Reads the page of `name`, found at `base`. Files that can't be used, or whose links lead to strange places, are left
/// out. `others` are the servers of the other indexes: a page has no business there.
pub(super) fn read(
    body: &[u8],
    content_type: &str,
    base: &Url,
    name: &PackageName,
    others: &[url::Origin],
) -> Result<Project, String> {
    let mut base = base.clone();
    strip_credentials(&mut base);
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let links = match media_type.as_str() {
        "application/vnd.pypi.simple.v1+json" | "application/json" => json::links(body, name)?,
        "application/vnd.pypi.simple.v1+html" | "text/html" => html::links(body, &mut base)?,
        "" => return Err("it does not say what it is".to_owned()),
        _ => return Err(format!("it is `{}`", media_type.chars().take(80).collect::<String>())),
    };
    let mut pythons = HashMap::new();
    let files = links.into_iter().filter_map(|link| dist_file(link, &base, name, others, &mut pythons)).collect();
    Ok(Project { name: name.clone(), files })
}

fn dist_file(
    link: Link,
    base: &Url,
    name: &PackageName,
    others: &[url::Origin],
    pythons: &mut HashMap<String, Option<VersionSpecifiers>>,
) -> Option<DistFile> {
    if !is_plain_name(&link.filename) || !belongs_to(&link.filename, name) || link.url.len() > MAX_URL_BYTES {
        return None;
    }
    let mut url = base.join(&link.url).ok()?;
    strip_credentials(&mut url);
    url.set_fragment(None);
    let is_downgrade = base.scheme() == "https" && url.scheme() != "https";
    if !matches!(url.scheme(), "http" | "https") || is_downgrade || others.contains(&url.origin()) {
        return None;
    }
    // Few different ones stand on a page, many times.
    let requires_python = match link.requires_python.filter(|text| !text.trim().is_empty()) {
        None => None,
        Some(text) if text.len() > MAX_PYTHONS_BYTES => return None,
        Some(text) => Some(pythons.entry(text).or_insert_with_key(|text| specifiers(text).ok()).clone()?),
    };
    let metadata = match link.metadata {
        None => MetadataFile::Absent,
        Some(sha256) => MetadataFile::Beside { sha256: sha256.map(digest).transpose().ok()? },
    };
    Some(DistFile {
        filename: link.filename,
        url,
        sha256: link.sha256.map(digest).transpose().ok()?,
        size_bytes: link.size_bytes,
        requires_python,
        yanked: link.yanked.map(|mut reason| {
            reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
            reason
        }),
        metadata,
    })
}

/// Whether it can be the name of a file in one directory, and nothing more.
fn is_plain_name(filename: &str) -> bool {
    let is_odd = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':');
    !filename.is_empty()
        && filename.len() <= MAX_FILENAME_BYTES
        && !filename.starts_with('.')
        && !filename.contains(is_odd)
}

/// Whether a wheel is one of this project; other files say it less clearly.
fn belongs_to(filename: &str, name: &PackageName) -> bool {
    let Some(stem) = filename.strip_suffix(".whl") else { return true };
    stem.split('-').next().is_some_and(|prefix| PackageName::from_str(prefix).is_ok_and(|found| found == *name))
}

/// A digest in lower case; one that is none makes its file unusable, for it could not be checked.
fn digest(text: String) -> Result<String, ()> {
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { Ok(text.to_ascii_lowercase()) } else { Err(()) }
}
