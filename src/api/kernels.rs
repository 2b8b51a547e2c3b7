//! `/api/v1/kernels`: interpreters that stay between cells.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use futures::StreamExt as _;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Problems;
use super::extract::{ApiJson, ApiPath, ApiQuery, Caller, Paging, WantsEvents};
use super::guard::Credential;
use super::request_id::RequestId;
use super::{ApiError, App, execute, sse, watch};
use crate::domain::{CheckpointInfo, Completion, ExecuteReport, Inspection, KernelId, KernelInfo};
use crate::service::{At, CreateKernel, ExecuteCell, ForkKernel, RestoreKernel};

/// Kernels.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct KernelList {
    /// Those of this page, the eldest first.
    pub kernels: Vec<KernelInfo>,
    /// How many there are in all.
    pub total: u64,
    /// This page, counted from 1.
    pub page: u32,
    /// Items of a page.
    pub page_size: u32,
    /// Whether there are more.
    pub has_more: bool,
}

/// New kernels.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ForkedKernels {
    /// The forks.
    pub kernels: Vec<KernelInfo>,
    /// How many they are.
    pub total: u64,
}

/// Checkpoints of a kernel.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CheckpointList {
    /// Those that are kept, the eldest first.
    pub checkpoints: Vec<CheckpointInfo>,
    /// How many there are.
    pub total: u64,
}

/// What happens to a kernel from now on, whoever works with it; it is not woken.
///
/// First `subscribed` with the kernel, or `reset` where what was missed can't be told; then `event`s, and `too_slow` at
/// the end for a client that did not take them. Each has an `id`, so that an `EventSource` goes on where it was cut off.
#[utoipa::path(get, path = "/api/v1/kernels/{id}/events", tag = "kernels", operation_id = "kernel_events",
    params(("id" = KernelId, Path), ("Last-Event-ID" = Option<String>, Header, description = "The last `id` that came")),
    responses((status = 200, description = "The events: each a `KernelEvent`", body = String,
    content_type = "text/event-stream"), Problems))]
pub async fn events(
    State(app): State<App>,
    Caller(user): Caller,
    Extension(credential): Extension<Credential>,
    ApiPath(id): ApiPath<KernelId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let from = watch::last_event_id(&headers)?;
    let connection = app.connection(user.id)?;
    let events = watch::of_kernel(app.workspace().watch_kernel(user.id, id, from.as_ref()).await?);
    let events = events.take_until(watch::until_void(app, credential));
    Ok(sse::stream(events.inspect(move |_| _ = &connection)))
}

/// Make a kernel. It stays until it is deleted: soon after each cell, what it knows is kept.
#[utoipa::path(post, path = "/api/v1/kernels", tag = "kernels", request_body = CreateKernel, responses(
    (status = 201, description = "The kernel", body = KernelInfo), Problems))]
pub async fn create(
    State(app): State<App>,
    Caller(user): Caller,
    ApiJson(request): ApiJson<CreateKernel>,
) -> Result<(StatusCode, Json<KernelInfo>), ApiError> {
    Ok((StatusCode::CREATED, Json(app.run(app.workspace().create_kernel(user.id, request)).await?)))
}

/// Your kernels.
#[utoipa::path(get, path = "/api/v1/kernels", tag = "kernels", params(Paging), responses(
    (status = 200, description = "The kernels of that page", body = KernelList), Problems))]
pub async fn list(
    State(app): State<App>,
    Caller(user): Caller,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Json<KernelList>, ApiError> {
    let page = app.workspace().list_kernels(user.id, paging.request()?).await?;
    Ok(Json(KernelList {
        total: page.total,
        page: page.request.page(),
        page_size: page.request.page_size(),
        has_more: page.has_more(),
        kernels: page.items,
    }))
}

/// A kernel.
#[utoipa::path(get, path = "/api/v1/kernels/{id}", tag = "kernels", params(("id" = KernelId, Path)), responses(
    (status = 200, description = "The kernel", body = KernelInfo), Problems))]
pub async fn show(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<KernelId>,
) -> Result<Json<KernelInfo>, ApiError> {
    Ok(Json(app.workspace().show_kernel(user.id, id).await?))
}

/// Delete a kernel. A cell that it runs is cancelled.
#[utoipa::path(delete, path = "/api/v1/kernels/{id}", tag = "kernels", params(("id" = KernelId, Path)), responses(
    (status = 204, description = "It is gone"), Problems))]
pub async fn delete(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<KernelId>,
) -> Result<StatusCode, ApiError> {
    app.workspace().kernels().delete(user.id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Run a cell in a kernel, after those that came before.
///
/// A cell that hits a limit or is cancelled is undone: the kernel goes on from where it was. With `Accept:
/// text/event-stream` the answer is a stream of events, as for `execute`. Closing the connection cancels the cell.
#[utoipa::path(post, path = "/api/v1/kernels/{id}/execute", tag = "kernels", params(("id" = KernelId, Path)),
    request_body = ExecuteCell, responses(
    (status = 200, description = "How the cell ended: also its own failure is a success of the request",
     content((ExecuteReport = "application/json"), (String = "text/event-stream"))), Problems))]
pub async fn run(
    State(app): State<App>,
    Caller(user): Caller,
    WantsEvents(wants_events): WantsEvents,
    request_id: RequestId,
    ApiPath(id): ApiPath<KernelId>,
    ApiJson(request): ApiJson<ExecuteCell>,
) -> Result<Response, ApiError> {
    let workspace = app.workspace().clone();
    let work = move |events| async move { workspace.execute_in_kernel(user.id, id, request, events).await };
    execute::answer(app, wants_events, request_id, work).await
}

/// Cancel the cell that a kernel runs, if it runs one. It is undone.
#[utoipa::path(post, path = "/api/v1/kernels/{id}/interrupt", tag = "kernels", params(("id" = KernelId, Path)), responses(
    (status = 200, description = "The kernel as it is now; the cell ends soon", body = KernelInfo), Problems))]
pub async fn interrupt(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<KernelId>,
) -> Result<Json<KernelInfo>, ApiError> {
    Ok(Json(app.workspace().interrupt_kernel(user.id, id).await?))
}

/// Let a kernel begin anew, with the packages that its environment has now. Its checkpoints go.
#[utoipa::path(post, path = "/api/v1/kernels/{id}/restart", tag = "kernels", params(("id" = KernelId, Path)), responses(
    (status = 200, description = "The kernel as it is now", body = KernelInfo), Problems))]
pub async fn restart(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<KernelId>,
) -> Result<Json<KernelInfo>, ApiError> {
    Ok(Json(app.run(app.workspace().restart_kernel(user.id, id)).await?))
}

/// Make kernels that know what this one knows; each goes its own way, with random numbers of its own.
#[utoipa::path(post, path = "/api/v1/kernels/{id}/fork", tag = "kernels", params(("id" = KernelId, Path)),
    request_body = ForkKernel, responses(
    (status = 201, description = "The new ones", body = ForkedKernels), Problems))]
pub async fn fork(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<KernelId>,
    ApiJson(request): ApiJson<ForkKernel>,
) -> Result<(StatusCode, Json<ForkedKernels>), ApiError> {
    let kernels = app.run(app.workspace().fork_kernel(user.id, id, &request)).await?;
    Ok((StatusCode::CREATED, Json(ForkedKernels { total: kernels.len() as u64, kernels })))
}

/// The states that a kernel can go back to: one behind each of its last cells.
#[utoipa::path(get, path = "/api/v1/kernels/{id}/checkpoints", tag = "kernels", params(("id" = KernelId, Path)), responses(
    (status = 200, description = "The checkpoints", body = CheckpointList), Problems))]
pub async fn checkpoints(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<KernelId>,
) -> Result<Json<CheckpointList>, ApiError> {
    let checkpoints = app.workspace().kernel_checkpoints(user.id, id).await?;
    Ok(Json(CheckpointList { total: checkpoints.len() as u64, checkpoints }))
}

/// Take a kernel back to a checkpoint. Those behind it stay: it can go there again.
#[utoipa::path(post, path = "/api/v1/kernels/{id}/restore", tag = "kernels", params(("id" = KernelId, Path)),
    request_body = RestoreKernel, responses(
    (status = 200, description = "The kernel as it is now", body = KernelInfo), Problems))]
pub async fn restore(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<KernelId>,
    ApiJson(request): ApiJson<RestoreKernel>,
) -> Result<Json<KernelInfo>, ApiError> {
    Ok(Json(app.run(app.workspace().restore_kernel(user.id, id, request)).await?))
}

/// Save a kernel and take it out of memory. Its next cell wakes it, on whichever server. Idle kernels hibernate by
/// themselves after a while.
#[utoipa::path(post, path = "/api/v1/kernels/{id}/hibernate", tag = "kernels", params(("id" = KernelId, Path)), responses(
    (status = 200, description = "The kernel as it is now", body = KernelInfo), Problems))]
pub async fn hibernate(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<KernelId>,
) -> Result<Json<KernelInfo>, ApiError> {
    Ok(Json(app.run(app.workspace().hibernate_kernel(user.id, id)).await?))
}

/// What can stand at a place in code: names that the kernel knows. It does not notice the question.
#[utoipa::path(post, path = "/api/v1/kernels/{id}/complete", tag = "kernels", params(("id" = KernelId, Path)),
    request_body = At, responses((status = 200, description = "The names", body = Completion), Problems))]
pub async fn complete(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<KernelId>,
    ApiJson(at): ApiJson<At>,
) -> Result<Json<Completion>, ApiError> {
    Ok(Json(app.run(app.workspace().complete_in_kernel(user.id, id, at)).await?))
}

/// What is known of the name at a place in code. The kernel does not notice the question.
#[utoipa::path(post, path = "/api/v1/kernels/{id}/inspect", tag = "kernels", params(("id" = KernelId, Path)),
    request_body = At, responses((status = 200, description = "What is known", body = Inspection), Problems))]
pub async fn inspect(
    State(app): State<App>,
    Caller(user): Caller,
    ApiPath(id): ApiPath<KernelId>,
    ApiJson(at): ApiJson<At>,
) -> Result<Json<Inspection>, ApiError> {
    Ok(Json(app.run(app.workspace().inspect_in_kernel(user.id, id, at)).await?))
}
