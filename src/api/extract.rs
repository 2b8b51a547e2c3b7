//! Extractors: what is refused before a handler runs.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::request::Parts;
use futures::StreamExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::{ApiError, App};
use crate::domain::{PageRequest, Principal, Role, Scope, User};

/// A body arrives in this time or not at all.
const BODY_DEADLINE: Duration = Duration::from_secs(60);
/// Of a body that is too large, at most so many times the limit is read away before the answer: a client that only
/// listens when it has sent all gets to hear it.
const DISCARDED_LIMITS: usize = 4;

/// The body as JSON of exactly this shape.
pub struct ApiJson<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::not_json());
        }
        let limit = app.http().body_limit_bytes;
        let read = tokio::time::timeout(BODY_DEADLINE, read_body(request, limit));
        let bytes = read.await.map_err(|_| ApiError::too_slow())??;
        parse(&bytes).map(Self)
    }
}

/// The body as it is.
pub struct ApiBytes(pub Bytes);

impl FromRequest<App> for ApiBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let read = tokio::time::timeout(BODY_DEADLINE, read_body(request, app.http().body_limit_bytes));
        read.await.map_err(|_| ApiError::too_slow())?.map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if bytes.is_empty() {
        return Err(ApiError::bad_json("The body is empty; send a JSON object."));
    }
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => ApiError::invalid(None, format!("The body does not fit: {error}.")),
        Category::Syntax | Category::Eof | Category::Io => {
            ApiError::bad_json(format!("The body is not valid JSON: {error}."))
        }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

async fn read_body(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    let headers = request.headers();
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let too_large = announced.is_some_and(|announced| u64::try_from(limit).is_ok_and(|limit| announced > limit));
    if too_large && headers.contains_key(EXPECT) {
        // This client asks before it sends.
        return Err(ApiError::body_too_large(limit));
    }
    let keep = if too_large { 0 } else { limit };
    let body = collect(request.into_body(), keep, limit.saturating_mul(DISCARDED_LIMITS)).await?;
    match body {
        Some(body) if !too_large => Ok(body),
        _ => Err(ApiError::body_too_large(limit)),
    }
}

/// The body if it has at most `keep` bytes. Of a longer one up to `read` bytes are read, and none kept.
async fn collect(body: Body, keep: usize, read: usize) -> Result<Option<Bytes>, ApiError> {
    let mut frames = body.into_data_stream();
    let mut kept = Vec::new();
    let mut seen = 0_usize;
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|error| ApiError::bad_request(format!("The body broke off: {error}.")))?;
        seen = seen.saturating_add(frame.len());
        if seen <= keep {
            kept.extend_from_slice(&frame);
        } else {
            kept = Vec::new();
            if seen > read {
                break;
            }
        }
    }
    Ok((seen <= keep).then(|| kept.into()))
}

/// Whether the caller wants to hear events as they happen.
pub struct WantsEvents(pub bool);

impl<S: Sync> FromRequestParts<S> for WantsEvents {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let accepted = parts.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        Ok(Self(accepted.flat_map(|value| value.split(',')).any(is_event_stream)))
    }
}

fn is_event_stream(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let named = parts.next().is_some_and(|media_type| media_type.eq_ignore_ascii_case("text/event-stream"));
    named && !parts.any(|parameter| parameter.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
}

/// Who asks: the guard has found it out.
pub struct Caller(pub User);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Who(principal) = Who::from_request_parts(parts, state).await?;
        Ok(Self(principal.user))
    }
}

/// Who asks, and what they may do this time.
pub struct Who(pub Principal);

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let principal = parts.extensions.get::<Principal>().cloned();
        principal.map(Self).ok_or_else(|| ApiError::unauthorized("Nobody is known to ask."))
    }
}

/// Only admins come through. The table of routes says so already; what is worst if it is wrong says it twice.
pub struct AdminOnly;

impl<S: Sync> FromRequestParts<S> for AdminOnly {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Who(principal) = Who::from_request_parts(parts, state).await?;
        let is_admin = principal.user.role == Role::Admin && principal.scopes.has(Scope::Admin);
        if is_admin { Ok(Self) } else { Err(ApiError::admins_only()) }
    }
}

/// What the path names. A part that can't be what it should be names nothing that is there.
pub struct ApiPath<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ApiPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(path)| Self(path)).map_err(|error| {
            ApiError::not_found(format!("The path names nothing that is there: {}.", error.body_text()))
        })
    }
}

/// The query, of exactly this shape.
pub struct ApiQuery<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query
            .map(|Query(query)| Self(query))
            .map_err(|error| ApiError::invalid(None, format!("The query does not fit: {}.", error.body_text())))
    }
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// The page, counted from 1.
    #[serde(default)]
    #[param(minimum = 1)]
    pub page: Option<u32>,
    /// Items of a page, 1 to 100. Default: 20.
    #[serde(default)]
    #[param(minimum = 1, maximum = 100)]
    pub page_size: Option<u32>,
}

impl Paging {
    /// The part, if there can be one.
    pub fn request(self) -> Result<PageRequest, ApiError> {
        let (page, page_size) = (self.page.unwrap_or(1), self.page_size.unwrap_or(PageRequest::DEFAULT_SIZE));
        PageRequest::new(page, page_size).map_err(|error| ApiError::invalid(None, format!("The query: {error}.")))
    }
}

/// Whether the caller would rather have a job than wait (RFC 7240).
pub struct PrefersAsync(pub bool);

impl<S: Sync> FromRequestParts<S> for PrefersAsync {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let preferences = parts.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        let mut named = preferences.flat_map(|value| value.split([',', ';']));
        Ok(Self(named.any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))))
    }
}
