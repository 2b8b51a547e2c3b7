//! The pages for people, and what they are made of. No page loads anything from elsewhere, and none but the start
//! page has a script.

mod docs;

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::api::{ApiError, ProblemDetails};

/// The start page runs its script and talks to this server. The inline styles and `data:` images are those of the
/// rendered document in its frame, which inherits this policy; scripts of it are kept out by the frame's sandbox.
const HOME_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
                           style-src 'self' 'unsafe-inline'; img-src data:; media-src data:; font-src data:; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'";
const DOCS_POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
/// Assets change with the program only, but the same name is another file after an update.
const ASSET_CACHE: &str = "private, max-age=300";

const HOME: &str = include_str!("web/assets/home.html");

/// The assets by name.
const ASSETS: [(&str, &str, &str); 2] = [
    ("style.css", "text/css; charset=utf-8", include_str!("web/assets/style.css")),
    ("home.js", "text/javascript; charset=utf-8", include_str!("web/assets/home.js")),
];

static DOCS: LazyLock<Bytes> =
    LazyLock::new(|| docs::page(&serde_json::to_value(crate::api::openapi()).unwrap_or_default()).into());

/// The start page: a document to type, and what it renders to.
///
/// With `?token=TOKEN` a session begins: the answer sets its cookie and leads to the page without the token.
#[utoipa::path(get, path = "/", tag = "pages",
    params(("token" = Option<String>, Query, description = "The server's token, to begin a session")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 303, description = "A session was begun; to the page without the token"),
        (status = 401, description = "There is no token and no session", body = ProblemDetails,
         content_type = "application/problem+json")))]
pub async fn home() -> impl IntoResponse {
    ([(CONTENT_TYPE, HTML), (CONTENT_SECURITY_POLICY, HOME_POLICY)], HOME)
}

/// The description of the API, to read. With `?token=TOKEN` a session begins.
#[utoipa::path(get, path = "/docs", tag = "pages",
    params(("token" = Option<String>, Query, description = "The server's token, to begin a session")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 303, description = "A session was begun; to the page without the token"),
        (status = 401, description = "There is no token and no session", body = ProblemDetails,
         content_type = "application/problem+json")))]
pub async fn docs() -> impl IntoResponse {
    ([(CONTENT_TYPE, HTML), (CONTENT_SECURITY_POLICY, DOCS_POLICY)], DOCS.clone())
}

/// A file that the pages are made of.
#[utoipa::path(get, path = "/assets/{name}", tag = "pages",
    params(("name" = String, Path, description = "The file's name")),
    responses(
        (status = 200, description = "The file", body = String, content_type = "text/plain"),
        (status = 401, description = "There is no token and no session", body = ProblemDetails,
         content_type = "application/problem+json"),
        (status = 404, description = "There is no such file", body = ProblemDetails,
         content_type = "application/problem+json")))]
pub async fn asset(Path(name): Path<String>) -> Result<Response, ApiError> {
    let found = ASSETS.iter().find(|(known, ..)| *known == name);
    let (_, media_type, text) = found.ok_or_else(|| ApiError::not_found("There is no such file.".to_owned()))?;
    Ok(([(CONTENT_TYPE, *media_type), (CACHE_CONTROL, ASSET_CACHE)], *text).into_response())
}
