//! `/api/v1/documents/{id}/publication`, and `/p/{token}`: documents that everybody can read who has the link.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

use super::error::Problems;
use super::etag::{IfNoneMatch, REVALIDATED};
use super::extract::{ApiPath, Caller};
use super::{ApiError, App, ProblemDetails};
use crate::domain::{DocumentId, PublicToken, Publication};
use crate::service::{Found, PublicPage};

/// A page of a user's shows what is in it, and that is all: it is nobody's origin, runs nothing, asks for nothing, sends
/// nothing, and is in no other page.
const POLICY: &str = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; sandbox";
const HTML: &str = "text/html; charset=utf-8";
const ROBOTS: (HeaderName, &str) = (HeaderName::from_static("x-robots-tag"), "noindex, nofollow, noarchive");

const NOTHING: &str = include_str!("publications/nothing.html");
const NOT_RENDERED: &str = include_str!("publications/not_rendered.html");

/// Publish a document.
///
/// Everybody who knows the path in the answer sees what the document's last render came to, also one from before, and
/// nothing is run for them. Later renders take its place. A document that is published keeps its link; for another one, revoke it first.
#[utoipa::path(post, path = "/api/v1/documents/{id}/publication", tag = "documents", params(("id" = DocumentId, Path)),
    responses((status = 201, description = "It is published now", body = Publication),
    (status = 200, description = "It was already", body = Publication), Problems))]
pub async fn create(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<DocumentId>,
) -> Result<(StatusCode, Json<Publication>), ApiError> {
    let (publication, is_new) = app.run(app.workspace().publish_document(user.id, id)).await?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(publication)))
}

/// How a document is published: the link, and what it shows.
#[utoipa::path(get, path = "/api/v1/documents/{id}/publication", tag = "documents", params(("id" = DocumentId, Path)),
    responses((status = 200, description = "It is published", body = Publication), Problems))]
pub async fn show(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<DocumentId>,
) -> Result<Json<Publication>, ApiError> {
    Ok(Json(app.workspace().publication(user.id, id).await?))
}

/// Revoke a document's link: from now on it shows nothing, and never will again.
#[utoipa::path(delete, path = "/api/v1/documents/{id}/publication", tag = "documents",
    params(("id" = DocumentId, Path)), responses((status = 204, description = "It is not published any more"), Problems))]
pub async fn delete(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<DocumentId>,
) -> Result<StatusCode, ApiError> {
    app.workspace().unpublish_document(user.id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A published document, for everybody who has its link. It needs no token.
#[utoipa::path(get, path = "/p/{token}", tag = "pages", security(()),
    params(("token" = String, Path, description = "What the link ends with"),
        ("If-None-Match" = Option<String>, Header, description = "`ETag`s that are there")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 304, description = "It is one of those that `If-None-Match` names"),
        (status = 404, description = "No document is published there, or it was not rendered yet", body = String,
         content_type = "text/html"),
        (status = 429, description = "Too many ask at once, or too much of the owner's is on its way to readers; \
         `Retry-After` says when to come again", body = ProblemDetails,
         content_type = "application/problem+json"),
        (status = 503, description = "The object store does not answer", body = ProblemDetails,
         content_type = "application/problem+json")))]
pub async fn page(
    State(app): State<App>,
    known: IfNoneMatch,
    token: Result<ApiPath<PublicToken>, ApiError>,
) -> Result<Response, ApiError> {
    let found = match token {
        Ok(ApiPath(token)) => app.workspace().published(&token, |digest| known.matches(&etag(digest))).await?,
        Err(_) => Found::Nothing,
    };
    Ok(match found {
        Found::Page(Some(page), digest) => {
            let page = Bytes::from_owner(Sent(page));
            answer(StatusCode::OK, Some(&digest), page)
        }
        Found::Page(None, digest) => answer(StatusCode::NOT_MODIFIED, Some(&digest), Bytes::new()),
        Found::NotRendered => answer(StatusCode::NOT_FOUND, None, Bytes::from_static(NOT_RENDERED.as_bytes())),
        Found::Nothing => answer(StatusCode::NOT_FOUND, None, Bytes::from_static(NOTHING.as_bytes())),
    })
}

/// A page on its way: all its readers share it.
struct Sent(std::sync::Arc<PublicPage>);

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.0.html
    }
}

fn etag(digest: &str) -> String {
    format!("\"{digest}\"")
}

fn answer(status: StatusCode, digest: Option<&str>, page: Bytes) -> Response {
    // Asked for again each time: a link that was revoked shows nothing at once.
    let headers = [(CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, REVALIDATED), ROBOTS];
    let mut response = (status, headers, page).into_response();
    if status != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static(HTML));
    }
    if let Some(etag) = digest.and_then(|digest| etag(digest).parse().ok()) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}
