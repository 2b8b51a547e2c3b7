//! `/api/v1/jobs`: work that goes on when nobody waits for it, and its events.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::Problems;
use super::extract::{ApiPath, ApiQuery, Caller, Paging};
use super::request_id::RequestId;
use super::{ApiError, App, sse};
use crate::domain::{Job, JobEvent, JobId, JobState, UserId};
use crate::jobs::SubscribeError;
use crate::service::{JobResult, ServiceError};

/// What an `EventSource` sends when it comes back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Jobs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct JobList {
    /// Those of this page, the latest first.
    pub jobs: Vec<Job>,
    /// How many there are in all.
    pub total: u64,
    /// This page, counted from 1.
    pub page: u32,
    /// Items of a page.
    pub page_size: u32,
    /// Whether there are more.
    pub has_more: bool,
}

/// Which jobs.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobFilter {
    /// Only those of this state.
    #[serde(default)]
    pub state: Option<JobState>,
    /// The page, counted from 1.
    #[serde(default)]
    #[param(minimum = 1)]
    pub page: Option<u32>,
    /// Items of a page, 1 to 100. Default: 20.
    #[serde(default)]
    #[param(minimum = 1, maximum = 100)]
    pub page_size: Option<u32>,
}

/// From which event on.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsAfter {
    /// The number of the last event that is known already. Default: 0. The header `Last-Event-ID` says the same.
    #[serde(default)]
    pub after: Option<u64>,
}

/// The answer to a request that became a job.
pub(super) fn accepted(job: Job) -> Response {
    let location = format!("/api/v1/jobs/{}", job.id);
    let headers = [(LOCATION, location), (HeaderName::from_static("preference-applied"), "respond-async".to_owned())];
    (StatusCode::ACCEPTED, headers, Json(job)).into_response()
}

/// Your jobs.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(JobFilter), responses(
    (status = 200, description = "A page of them", body = JobList), Problems))]
pub async fn list(
    State(app): State<App>,
    Caller(user): Caller,
    ApiQuery(filter): ApiQuery<JobFilter>,
) -> Result<Json<JobList>, ApiError> {
    let paging = Paging { page: filter.page, page_size: filter.page_size };
    let page = app.workspace().jobs(user.id, filter.state, paging.request()?).await?;
    Ok(Json(JobList {
        has_more: page.has_more(),
        total: page.total,
        page: page.request.page(),
        page_size: page.request.page_size(),
        jobs: page.items,
    }))
}

/// A job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = JobId, Path)), responses(
    (status = 200, description = "The job", body = Job), Problems))]
pub async fn show(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<JobId>,
) -> Result<Json<Job>, ApiError> {
    Ok(Json(app.workspace().job(user.id, id).await?))
}

/// Cancel a job. One that is over stays as it is.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = JobId, Path)), responses(
    (status = 200, description = "The job as it is now; one that runs ends soon", body = Job), Problems))]
pub async fn cancel(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<JobId>,
) -> Result<Json<Job>, ApiError> {
    Ok(Json(app.workspace().cancel_job(user.id, id).await?))
}

/// What came of a job that succeeded: what the request would have answered without `Prefer: respond-async`.
///
/// A long one is not in the job itself, and of those only the latest 512 MiB are kept.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/result", tag = "jobs", operation_id = "job_result",
    params(("id" = JobId, Path)), responses(
    (status = 200, description = "The result: a `RenderReport` or an `InstallReport`", body = Object), Problems))]
pub async fn result(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<JobId>,
) -> Result<Response, ApiError> {
    Ok(match app.workspace().job_result(user.id, id).await? {
        JobResult::Row(result) => Json(result).into_response(),
        JobResult::Object(content, size_bytes) => {
            let headers = [(CONTENT_TYPE, "application/json".to_owned()), (CONTENT_LENGTH, size_bytes.to_string())];
            (headers, Body::from_stream(content)).into_response()
        }
    })
}

/// The events of a job as they happen, from the first one or from the one after `after`, and at last `done` with the
/// job. Each has its number as `id`, so that an `EventSource` goes on where it was cut off.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/events", tag = "jobs", params(("id" = JobId, Path), EventsAfter), responses(
    (status = 200, description = "The events: `progress` with a `JobEvent`, then `done` with a `Job`", body = String,
     content_type = "text/event-stream"), Problems))]
pub async fn events(
    State(app): State<App>,
    Caller(user): Caller,
    id: RequestId,
    ApiPath(job): ApiPath<JobId>,
    ApiQuery(from): ApiQuery<EventsAfter>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let last = headers.get(LAST_EVENT_ID).map(|value| number(value).ok_or_else(bad_event_id)).transpose()?;
    let after = last.or(from.after).unwrap_or(0);
    let connection = app.connection(user.id)?;
    let told = id.clone();
    let events = subscribe(&app, user.id, job, after).await?.map(move |event| match event {
        Ok(event) => sse::event("progress", &event).id(event.seq.to_string()),
        Err(error) => sse::problem(&broken_off(error), &told),
    });
    let workspace = app.workspace().clone();
    let end = async move {
        match workspace.job(user.id, job).await {
            // Who was too slow, or cut off, comes back with the number of the last event.
            Ok(job) if !job.state.is_final() => None,
            Ok(job) => Some(sse::event("done", &job)),
            Err(error) => Some(sse::problem(&error.into(), &id)),
        }
    };
    let end = stream::once(end).filter_map(|event| async { event });
    let events = events.chain(end).take_until(async move { app.ended().await });
    Ok(sse::stream(events.inspect(move |_| _ = &connection)))
}

/// The events of a job.
pub(super) async fn subscribe(
    app: &App,
    user: UserId,
    job: JobId,
    after: u64,
) -> Result<impl Stream<Item = Result<JobEvent, SubscribeError>> + Send + use<>, ApiError> {
    app.workspace().queue().subscribe(user, job, after).await.map_err(broken_off)
}

fn broken_off(error: SubscribeError) -> ApiError {
    match error {
        SubscribeError::Store(error) => ApiError::from(ServiceError::from(error)),
        SubscribeError::TooSlow { .. } => ApiError::bad_request(error.to_string()),
    }
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.trim().parse().ok()
}

fn bad_event_id() -> ApiError {
    ApiError::bad_request("The header `Last-Event-ID` must be the number of an event.")
}
