//! `/api/v1/schedules` and `/api/v1/documents/{id}/schedule`: documents that are rendered when it is time.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Problems;
use super::extract::{ApiJson, ApiPath, ApiQuery, Caller, Paging};
use super::{ApiError, App};
use crate::domain::{DocumentId, Schedule};
use crate::service::PutSchedule;

/// Schedules.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ScheduleList {
    /// Those of this page, the eldest first.
    pub schedules: Vec<Schedule>,
    /// How many there are in all.
    pub total: u64,
    /// This page, counted from 1.
    pub page: u32,
    /// Items of a page.
    pub page_size: u32,
    /// Whether there are more.
    pub has_more: bool,
}

/// Your schedules.
#[utoipa::path(get, path = "/api/v1/schedules", tag = "jobs", operation_id = "list_schedules", params(Paging),
    responses((status = 200, description = "A page of them", body = ScheduleList), Problems))]
pub async fn list(
    State(app): State<App>,
    Caller(user): Caller,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Json<ScheduleList>, ApiError> {
    let page = app.workspace().schedules(user.id, paging.request()?).await?;
    Ok(Json(ScheduleList {
        has_more: page.has_more(),
        total: page.total,
        page: page.request.page(),
        page_size: page.request.page_size(),
        schedules: page.items,
    }))
}

/// The schedule of a document.
#[utoipa::path(get, path = "/api/v1/documents/{id}/schedule", tag = "jobs", operation_id = "show_schedule",
    params(("id" = DocumentId, Path)), responses(
    (status = 200, description = "The schedule", body = Schedule), Problems))]
pub async fn show(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<DocumentId>,
) -> Result<Json<Schedule>, ApiError> {
    Ok(Json(app.workspace().schedule(user.id, id).await?))
}

/// Have a document rendered when it is time, as a job. A schedule that it has is replaced.
#[utoipa::path(put, path = "/api/v1/documents/{id}/schedule", tag = "jobs", operation_id = "put_schedule",
    params(("id" = DocumentId, Path)), request_body = PutSchedule, responses(
    (status = 200, description = "The schedule", body = Schedule), Problems))]
pub async fn put(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<DocumentId>,
    ApiJson(request): ApiJson<PutSchedule>,
) -> Result<Json<Schedule>, ApiError> {
    Ok(Json(app.run(app.workspace().put_schedule(user.id, id, request)).await?))
}

/// Take its schedule from a document.
#[utoipa::path(delete, path = "/api/v1/documents/{id}/schedule", tag = "jobs", operation_id = "delete_schedule",
    params(("id" = DocumentId, Path)), responses((status = 204, description = "It has none"), Problems))]
pub async fn delete(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<DocumentId>,
) -> Result<StatusCode, ApiError> {
    app.workspace().delete_schedule(user.id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
