//! `/api/v1/documents/{id}/versions`: the texts that a document had.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{Changed, Problems};
use super::etag::{IfMatch, Versioned};
use super::extract::{ApiPath, ApiQuery, Caller, Paging};
use super::{ApiError, App};
use crate::domain::{Document, DocumentId, DocumentVersion, VersionSummary};
use crate::service::VersionDiff;

/// Texts of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VersionList {
    /// Those of this page, the latest first. A version that changed neither title, text nor format is not among them.
    pub versions: Vec<VersionSummary>,
    /// How many there are in all.
    pub total: u64,
    /// This page, counted from 1.
    pub page: u32,
    /// Items of a page.
    pub page_size: u32,
    /// Whether there are more.
    pub has_more: bool,
}

/// What a text is compared with.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Against {
    /// The version that it is compared with.
    pub against: u64,
}

/// The texts that a document had.
///
/// Up to 200 are kept, and 32 MiB; the eldest go.
#[utoipa::path(get, path = "/api/v1/documents/{id}/versions", tag = "documents",
    params(("id" = DocumentId, Path), Paging),
    responses((status = 200, description = "A page of them", body = VersionList), Problems))]
pub async fn list(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<DocumentId>,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Json<VersionList>, ApiError> {
    let page = app.workspace().document_versions(user.id, id, paging.request()?).await?;
    Ok(Json(VersionList {
        has_more: page.has_more(),
        total: page.total,
        page: page.request.page(),
        page_size: page.request.page_size(),
        versions: page.items,
    }))
}

/// The text that a document had at a version.
#[utoipa::path(get, path = "/api/v1/documents/{id}/versions/{version}", tag = "documents",
    params(("id" = DocumentId, Path), ("version" = u64, Path)),
    responses((status = 200, description = "The text, and since which version it was there", body = DocumentVersion),
    Problems))]
pub async fn show(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath((id, version)): ApiPath<(DocumentId, u64)>,
) -> Result<Json<DocumentVersion>, ApiError> {
    Ok(Json(app.workspace().document_version(user.id, id, version).await?))
}

/// What is different at a version of a document against another one.
#[utoipa::path(get, path = "/api/v1/documents/{id}/versions/{version}/diff", tag = "documents",
    params(("id" = DocumentId, Path), ("version" = u64, Path), Against),
    responses((status = 200, description = "The difference as a unified diff", body = VersionDiff), Problems))]
pub async fn diff(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath((id, version)): ApiPath<(DocumentId, u64)>,
    ApiQuery(Against { against }): ApiQuery<Against>,
) -> Result<Json<VersionDiff>, ApiError> {
    Ok(Json(app.run(app.workspace().document_diff(user.id, id, version, against)).await?))
}

/// Make an earlier text of a document the present one, as a new version.
#[utoipa::path(post, path = "/api/v1/documents/{id}/versions/{version}/restore", tag = "documents",
    params(("id" = DocumentId, Path), ("version" = u64, Path),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that the document must have")),
    responses((status = 200, description = "The document as it is now", body = Document), Changed, Problems))]
pub async fn restore(
    State(app): State<App>,
    Caller(user): Caller,
    IfMatch(expected): IfMatch,
    ApiPath((id, version)): ApiPath<(DocumentId, u64)>,
) -> Result<Versioned, ApiError> {
    let document = app.workspace().restore_document_version(user.id, id, version, expected.as_deref()).await?;
    Ok(Versioned(StatusCode::OK, document))
}
