//! `/api/v1/documents/{id}/files`: files beside a document.
//!
//! What users put there goes out again only to be saved: no browser shows it as a page of this server.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::error::Problems;
use super::etag::{self, IfNoneMatch, REVALIDATED};
use super::extract::{ApiBytes, ApiPath, Caller};
use super::{ApiError, App};
use crate::domain::{AttachedFile, DocumentId, FilePath};
use crate::service::{FileList, OpenFile, PutFile};

/// What a file is that nothing is known of.
const UNKNOWN: &str = "application/octet-stream";
/// A media type is not longer.
const MAX_MEDIA_TYPE_BYTES: usize = 127;
/// What a browser can do nothing with but show it, or save it. All else goes out as bytes.
const HARMLESS: [&str; 9] = [
    "application/json",
    "application/zip",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/csv",
    "text/markdown",
    "text/plain",
];

/// The files of a document.
#[utoipa::path(get, path = "/api/v1/documents/{id}/files", tag = "documents", params(("id" = DocumentId, Path)),
    responses((status = 200, description = "All of them", body = FileList), Problems))]
pub async fn list(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<DocumentId>,
) -> Result<Json<FileList>, ApiError> {
    Ok(Json(app.workspace().document_files(user.id, id).await?))
}

/// The content of a file of a document.
#[utoipa::path(get, path = "/api/v1/documents/{id}/files/{*path}", tag = "documents",
    params(("id" = DocumentId, Path), ("path" = FilePath, Path),
        ("If-None-Match" = Option<String>, Header, description = "`ETag`s that are there")),
    responses((status = 200, description = "The content, to be saved; its `ETag` is its SHA-256", body = Vec<u8>,
        content_type = "application/octet-stream"),
    (status = 304, description = "It is one of those that `If-None-Match` names"), Problems))]
pub async fn download(
    State(app): State<App>,
    Caller(user): Caller,
    known: IfNoneMatch,
    ApiPath((id, path)): ApiPath<(DocumentId, FilePath)>,
) -> Result<Response, ApiError> {
    if !known.is_empty() {
        let etag = format!("\"{}\"", app.workspace().document_file(user.id, id, &path).await?.sha256);
        if known.matches(&etag) {
            return Ok(etag::not_modified(etag));
        }
    }
    let OpenFile { file, content } = app.workspace().open_document_file(user.id, id, &path).await?;
    let media_type = if HARMLESS.contains(&file.media_type.as_str()) { file.media_type.as_str() } else { UNKNOWN };
    let headers = [
        (CONTENT_TYPE, media_type.to_owned()),
        (CONTENT_LENGTH, file.size_bytes.to_string()),
        (CONTENT_DISPOSITION, attachment(file.path.name())),
        (ETAG, format!("\"{}\"", file.sha256)),
        (CACHE_CONTROL, REVALIDATED.to_owned()),
    ];
    Ok((headers, Body::from_stream(content)).into_response())
}

/// Put a file beside a document, in place of one that lies there. The body is its content.
#[utoipa::path(put, path = "/api/v1/documents/{id}/files/{*path}", tag = "documents",
    params(("id" = DocumentId, Path), ("path" = FilePath, Path)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, description = "The file", body = AttachedFile), Problems))]
pub async fn put(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath((id, path)): ApiPath<(DocumentId, String)>,
    headers: HeaderMap,
    ApiBytes(content): ApiBytes,
) -> Result<Json<AttachedFile>, ApiError> {
    let path: FilePath = path.parse().map_err(|error| {
        ApiError::invalid(Some("path".to_owned()), format!("The path names no file that can be: {error}."))
    })?;
    let put = PutFile { path, media_type: media_type(&headers), content: content.into() };
    Ok(Json(app.run(app.workspace().put_document_file(user.id, id, put)).await?))
}

/// Take a file away from a document.
#[utoipa::path(delete, path = "/api/v1/documents/{id}/files/{*path}", tag = "documents",
    params(("id" = DocumentId, Path), ("path" = FilePath, Path)),
    responses((status = 204, description = "It is gone"), Problems))]
pub async fn delete(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath((id, path)): ApiPath<(DocumentId, FilePath)>,
) -> Result<StatusCode, ApiError> {
    app.workspace().delete_document_file(user.id, id, &path).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the content is said to be, without parameters.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let token = |part: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        !part.is_empty() && part.bytes().all(plain)
    };
    match media_type.split_once('/') {
        Some((kind, name)) if token(kind) && token(name) && media_type.len() <= MAX_MEDIA_TYPE_BYTES => media_type,
        _ => UNKNOWN.to_owned(),
    }
}

/// A header by which the content is saved under that name (RFC 6266), whatever characters it has.
pub(super) fn attachment(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let fallback: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if plain(char::from(byte)) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}")
}
