//! Stored documents, rendered, exported and imported.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::document_files::attachment;
use super::error::{NoPrinter, Problems};
use super::extract::{ApiBytes, ApiPath, ApiQuery, Caller, PrefersAsync, WantsEvents};
use super::request_id::RequestId;
use super::{ApiError, App, jobs, render};
use crate::domain::{DocumentId, DocumentTitle, Job, UserId};
use crate::service::{ExportFormat, ImportDocument, ImportedDocument, RenderFormat, RenderReport, RenderStored};

/// How a stored document is rendered.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RenderQuery {
    /// To what. Default: the document's own format.
    #[serde(default)]
    #[param(inline)]
    pub format: Option<RenderFormat>,
    /// Whether all cells are run, also those whose result is known. Default: `false`.
    #[serde(default)]
    pub fresh: bool,
    /// Whether the cells' source is shown. Default: `false`.
    #[serde(default)]
    pub show_code: bool,
    /// HTML: a whole page with its style. Default: `false`.
    #[serde(default)]
    pub standalone: bool,
}

/// What a document is written as.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// The format. Default: `html`.
    #[serde(default)]
    #[param(inline)]
    pub format: ExportFormat,
}

/// What a file is that is to become a document.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Its name. What it ends with says what it is: `.ipynb`, `.md`, `.pymd`, `.py`, `.txt`.
    pub filename: String,
    /// The document's title. Default: what the file says, or its name.
    #[serde(default)]
    pub title: Option<DocumentTitle>,
}

/// How the caller wants to hear.
type Wants = (WantsEvents, PrefersAsync, RequestId);

/// Render a stored document.
///
/// Its cells find its files in their working directory, to be read. With `Accept: text/event-stream` the answer is a
/// stream of events, as for `render`. With `Prefer: respond-async` it is 202 with a job at once, for the document and
/// its files as they are now.
#[utoipa::path(get, path = "/api/v1/render/documents/{id}", tag = "documents",
    params(("id" = DocumentId, Path), RenderQuery), responses(
    (status = 200, description = "The rendered document; how its cells ended is in it",
     content((RenderReport = "application/json"), (String = "text/event-stream"))),
    (status = 202, description = "The job, with `Prefer: respond-async`", body = Job), Problems))]
pub async fn render(
    State(app): State<App>,
    Caller(user): Caller,
    wants: Wants,
    ApiPath(id): ApiPath<DocumentId>,
    ApiQuery(query): ApiQuery<RenderQuery>,
) -> Result<Response, ApiError> {
    answer(app, user.id, wants, id, query).await
}

/// Render a stored document: as `GET` does, for those who would not have a `GET` do work.
#[utoipa::path(post, path = "/api/v1/render/documents/{id}", tag = "documents",
    operation_id = "render_document_now", params(("id" = DocumentId, Path), RenderQuery), responses(
    (status = 200, description = "The rendered document; how its cells ended is in it",
     content((RenderReport = "application/json"), (String = "text/event-stream"))),
    (status = 202, description = "The job, with `Prefer: respond-async`", body = Job), Problems))]
pub async fn render_now(
    State(app): State<App>,
    Caller(user): Caller,
    wants: Wants,
    ApiPath(id): ApiPath<DocumentId>,
    ApiQuery(query): ApiQuery<RenderQuery>,
) -> Result<Response, ApiError> {
    answer(app, user.id, wants, id, query).await
}

async fn answer(
    app: App,
    user: UserId,
    (WantsEvents(wants_events), PrefersAsync(later), request_id): Wants,
    id: DocumentId,
    query: RenderQuery,
) -> Result<Response, ApiError> {
    let RenderQuery { format, fresh, show_code, standalone } = query;
    let options = RenderStored { format, fresh, show_code, standalone };
    let workspace = app.workspace().clone();
    if later {
        return Ok(jobs::accepted(app.run(workspace.render_document_later(user, id, options)).await?));
    }
    render::answer(app, wants_events, request_id, move |watch| async move {
        workspace.render_document(user, id, options, watch).await
    })
    .await
}

/// A stored document in another format, as a file. What is known of its cells is not run again. `pdf` needs Chromium on the
/// server.
#[utoipa::path(get, path = "/api/v1/render/documents/{id}/export", tag = "documents",
    params(("id" = DocumentId, Path), ExportQuery), responses(
    (status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"), NoPrinter, Problems))]
pub async fn export(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<DocumentId>,
    ApiQuery(query): ApiQuery<ExportQuery>,
) -> Result<Response, ApiError> {
    let exported = app.run(app.workspace().export_document(user.id, id, query.format)).await?;
    let headers = [
        (CONTENT_TYPE, exported.media_type.to_owned()),
        (CONTENT_DISPOSITION, attachment(&exported.filename)),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, exported.content).into_response())
}

/// Make a document of a file: a notebook, Markdown, or a document as it is. The body is the file.
#[utoipa::path(post, path = "/api/v1/documents/import", tag = "documents", params(ImportQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 201, description = "The document, and what was left out", body = ImportedDocument), Problems))]
pub async fn import(
    State(app): State<App>,
    Caller(user): Caller,
    ApiQuery(query): ApiQuery<ImportQuery>,
    ApiBytes(content): ApiBytes,
) -> Result<(StatusCode, Json<ImportedDocument>), ApiError> {
    let ImportQuery { filename, title } = query;
    let file = ImportDocument { filename, title, content: content.into() };
    Ok((StatusCode::CREATED, Json(app.run(app.workspace().import_document(user.id, file)).await?)))
}
