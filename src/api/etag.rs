//! Conditional requests (RFC 9110, section 13): a document's `ETag` is its version.

use std::convert::Infallible;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header::{CACHE_CONTROL, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

use super::ApiError;
use crate::domain::Document;

/// A document as an answer, with its `ETag`.
pub struct Versioned(pub StatusCode, pub Document);

impl IntoResponse for Versioned {
    fn into_response(self) -> Response {
        let Self(status, document) = self;
        let etag = of_version(document.summary.version);
        (status, [(ETAG, etag), (CACHE_CONTROL, REVALIDATED.to_owned())], Json(document)).into_response()
    }
}

/// What may be kept, for this caller only, and has to be asked for again each time.
pub const REVALIDATED: &str = "private, no-cache";

pub use crate::domain::etag_of as of_version;

/// The caller has it already.
pub fn not_modified(etag: String) -> Response {
    (StatusCode::NOT_MODIFIED, [(ETAG, etag), (CACHE_CONTROL, REVALIDATED.to_owned())]).into_response()
}

/// The versions of which one must be there still; nothing where any will do.
pub struct IfMatch(pub Option<Vec<u64>>);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(tags) = tags(&parts.headers, &IF_MATCH)? else { return Ok(Self(None)) };
        if tags.iter().any(|tag| tag == "*") {
            return Ok(Self(None));
        }
        // Weak tags, and those that are no version of ours, match nothing.
        let version = |tag: &String| tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok();
        Ok(Self(Some(tags.iter().filter_map(version).collect())))
    }
}

/// What the caller has already.
pub struct IfNoneMatch(Vec<String>);

impl IfNoneMatch {
    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is among what the caller has.
    pub fn matches(&self, etag: &str) -> bool {
        self.0.iter().any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
    }
}

impl<S: Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // What can't be read is no reason not to answer in full.
        Ok(Self(tags(&parts.headers, &IF_NONE_MATCH).ok().flatten().unwrap_or_default()))
    }
}

/// The tags of a header, where there is one. None of ours has a comma in it.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Vec<String>>, ApiError> {
    let mut tags = None;
    for value in headers.get_all(name) {
        let bad = || ApiError::bad_request(format!("The header `{name}` is a list of quoted tags, or `*`."));
        let listed = value.to_str().map_err(|_| bad())?.split(',').map(str::trim);
        for tag in listed.filter(|tag| !tag.is_empty()) {
            let quoted = tag.strip_prefix("W/").unwrap_or(tag);
            if tag != "*" && !(quoted.len() >= 2 && quoted.starts_with('"') && quoted.ends_with('"')) {
                return Err(bad());
            }
            tags.get_or_insert_with(Vec::new).push(tag.to_owned());
        }
        tags.get_or_insert_with(Vec::new);
    }
    Ok(tags)
}
