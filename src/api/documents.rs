//! `/api/v1/documents`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::{Changed, Problems};
use super::etag::{self, IfMatch, IfNoneMatch, Versioned};
use super::extract::{ApiJson, ApiPath, ApiQuery, Caller, Paging};
use super::{ApiError, App};
use crate::domain::{Document, DocumentId, DocumentQuery, DocumentSort, DocumentSummary, SortOrder};
use crate::service::{CreateDocument, TagList, UpdateDocument};

/// Documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DocumentList {
    /// Those of this page, without their texts.
    pub documents: Vec<DocumentSummary>,
    /// How many there are in all.
    pub total: u64,
    /// This page, counted from 1.
    pub page: u32,
    /// Items of a page.
    pub page_size: u32,
    /// Whether there are more.
    pub has_more: bool,
}

/// Which documents, and in which order.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DocumentFilter {
    /// Only those with all these words in their title or text; the last one may be a word's beginning. Those with them
    /// in the title come first.
    #[serde(default)]
    pub search: Option<String>,
    /// Only those with all these tags, separated by commas.
    #[serde(default)]
    pub tags: Option<String>,
    /// Those in the bin instead of the others.
    #[serde(default)]
    pub deleted: Option<bool>,
    /// What they are sorted by. Default: `updated_at`.
    #[serde(default)]
    #[param(inline)]
    pub sort_by: Option<DocumentSort>,
    /// Default: `asc` by title, else `desc`.
    #[serde(default)]
    #[param(inline)]
    pub sort_order: Option<SortOrder>,
    /// The page, counted from 1.
    #[serde(default)]
    #[param(minimum = 1)]
    pub page: Option<u32>,
    /// Items of a page, 1 to 100. Default: 20.
    #[serde(default)]
    #[param(minimum = 1, maximum = 100)]
    pub page_size: Option<u32>,
}

impl DocumentFilter {
    fn query(self) -> Result<DocumentQuery, ApiError> {
        let tags = self.tags.iter().flat_map(|tags| tags.split(',')).map(str::trim).filter(|tag| !tag.is_empty());
        let tags = tags.map(str::parse).collect::<Result<Vec<_>, _>>();
        let tags = tags.map_err(|error| ApiError::invalid(Some("tags".to_owned()), format!("The query: {error}.")))?;
        if tags.len() > MAX_TAGS {
            let detail = format!("The query: at most {MAX_TAGS} tags can be named.");
            return Err(ApiError::invalid(Some("tags".to_owned()), detail));
        }
        Ok(DocumentQuery {
            search: self.search,
            tags,
            deleted: self.deleted.unwrap_or(false),
            sort_by: self.sort_by,
            sort_order: self.sort_order,
        })
    }
}

/// Tags that a list can be filtered by at once.
const MAX_TAGS: usize = 20;

/// How to delete.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteOptions {
    /// For good, also out of the bin. Default: `false`.
    #[serde(default)]
    pub permanently: Option<bool>,
}

/// Make a document.
#[utoipa::path(post, path = "/api/v1/documents", tag = "documents", request_body = CreateDocument, responses(
    (status = 201, description = "The document; its `ETag` is its version", body = Document), Problems))]
pub async fn create(
    State(app): State<App>,
    Caller(user): Caller,
    ApiJson(request): ApiJson<CreateDocument>,
) -> Result<Versioned, ApiError> {
    Ok(Versioned(StatusCode::CREATED, app.workspace().create_document(user.id, request).await?))
}

/// Your documents, without their texts.
#[utoipa::path(get, path = "/api/v1/documents", tag = "documents", params(DocumentFilter), responses(
    (status = 200, description = "A page of them", body = DocumentList), Problems))]
pub async fn list(
    State(app): State<App>,
    Caller(user): Caller,
    ApiQuery(filter): ApiQuery<DocumentFilter>,
) -> Result<Json<DocumentList>, ApiError> {
    let paging = Paging { page: filter.page, page_size: filter.page_size }.request()?;
    let page = app.workspace().documents(user.id, &filter.query()?, paging).await?;
    Ok(Json(DocumentList {
        has_more: page.has_more(),
        total: page.total,
        page: page.request.page(),
        page_size: page.request.page_size(),
        documents: page.items,
    }))
}

/// The tags of your documents.
#[utoipa::path(get, path = "/api/v1/documents/tags", tag = "documents", responses(
    (status = 200, description = "Those of most documents first", body = TagList), Problems))]
pub async fn tags(State(app): State<App>, Caller(user): Caller) -> Result<Json<TagList>, ApiError> {
    Ok(Json(app.workspace().document_tags(user.id).await?))
}

/// A document.
#[utoipa::path(get, path = "/api/v1/documents/{id}", tag = "documents",
    params(("id" = DocumentId, Path), ("If-None-Match" = Option<String>, Header, description = "`ETag`s that are there")),
    responses((status = 200, description = "The document; its `ETag` is its version", body = Document),
    (status = 304, description = "It is one of those that `If-None-Match` names"), Problems))]
pub async fn show(
    State(app): State<App>,
    Caller(user): Caller,
    known: IfNoneMatch,
    ApiPath(id): ApiPath<DocumentId>,
) -> Result<Response, ApiError> {
    if !known.is_empty() {
        let etag = etag::of_version(app.workspace().document_summary(user.id, id).await?.version);
        if known.matches(&etag) {
            return Ok(etag::not_modified(etag));
        }
    }
    Ok(Versioned(StatusCode::OK, app.workspace().document(user.id, id).await?).into_response())
}

/// Change a document.
///
/// With `If-Match`, only if nobody was faster. A change of the title, text or format keeps the text that was there as a
/// version.
#[utoipa::path(patch, path = "/api/v1/documents/{id}", tag = "documents",
    params(("id" = DocumentId, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` it must have")),
    request_body = UpdateDocument,
    responses((status = 200, description = "The document as it is now", body = Document), Changed, Problems))]
pub async fn update(
    State(app): State<App>,
    Caller(user): Caller,
    IfMatch(expected): IfMatch,
    ApiPath(id): ApiPath<DocumentId>,
    ApiJson(request): ApiJson<UpdateDocument>,
) -> Result<Versioned, ApiError> {
    let document = app.workspace().update_document(user.id, id, request, expected.as_deref()).await?;
    Ok(Versioned(StatusCode::OK, document))
}

/// Put a document into the bin, where it stays for 30 days.
#[utoipa::path(delete, path = "/api/v1/documents/{id}", tag = "documents",
    params(("id" = DocumentId, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` it must have"),
        DeleteOptions),
    responses((status = 204, description = "It is there, or gone"), Changed, Problems))]
pub async fn delete(
    State(app): State<App>,
    Caller(user): Caller,
    IfMatch(expected): IfMatch,
    ApiPath(id): ApiPath<DocumentId>,
    ApiQuery(options): ApiQuery<DeleteOptions>,
) -> Result<StatusCode, ApiError> {
    if options.permanently.unwrap_or(false) {
        app.workspace().purge_document(user.id, id, expected.as_deref()).await?;
    } else {
        app.workspace().delete_document(user.id, id, expected.as_deref()).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Make a document with the same text, tags and files.
#[utoipa::path(post, path = "/api/v1/documents/{id}/duplicate", tag = "documents", params(("id" = DocumentId, Path)),
    responses((status = 201, description = "The copy", body = Document), Problems))]
pub async fn duplicate(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<DocumentId>,
) -> Result<Versioned, ApiError> {
    Ok(Versioned(StatusCode::CREATED, app.workspace().duplicate_document(user.id, id).await?))
}

/// Take a document out of the bin.
#[utoipa::path(post, path = "/api/v1/documents/{id}/restore", tag = "documents", params(("id" = DocumentId, Path)),
    responses((status = 200, description = "The document", body = Document), Problems))]
pub async fn restore(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<DocumentId>,
) -> Result<Versioned, ApiError> {
    Ok(Versioned(StatusCode::OK, app.workspace().restore_document(user.id, id).await?))
}
