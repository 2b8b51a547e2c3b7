//! `POST /api/v1/render`, `/render/preview` and `/render/validate`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Problems;
use super::extract::{ApiJson, Caller, PrefersAsync, WantsEvents};
use super::request_id::RequestId;
use super::{ApiError, App, jobs, sse};
use crate::backend::event_channel;
use crate::domain::{Event, Job, UserId};
use crate::service::{
    CellSummary, RenderEvent, RenderReport, RenderRequest, RenderSender, ServiceError, ValidateReport, ValidateRequest,
};

/// Something that a cell of a document shows while it runs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CellEvent {
    /// The cell's number, from 0.
    pub cell: usize,
    /// What it shows.
    #[serde(flatten)]
    pub event: Event,
}

/// The end of a document's cell.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CellEnd {
    /// The cell's number, from 0.
    pub cell: usize,
    /// How it ended.
    #[serde(flatten)]
    pub summary: CellSummary,
}

/// Run a document's cells and render it.
///
/// With `Accept: text/event-stream` the answer is a stream of events: `output`, `update_display` and `clear_output`
/// as they happen (the data is a `CellEvent`), `cell` at a cell's end (`CellEnd`), and at last `done` with the report
/// or `problem` with a problem. Closing the connection ends the document.
///
/// With `Prefer: respond-async` the answer is 202 with a job at once: its events have the same shapes (`event` says
/// which, `cell_started` besides), its result is what this would have answered.
#[utoipa::path(post, path = "/api/v1/render", tag = "run", request_body = RenderRequest, responses(
    (status = 200, description = "The rendered document; how its cells ended is in it",
     content((RenderReport = "application/json"), (String = "text/event-stream"))),
    (status = 202, description = "The job, with `Prefer: respond-async`", body = Job),
    Problems))]
pub async fn render(
    State(app): State<App>,
    Caller(user): Caller,
    PrefersAsync(later): PrefersAsync,
    WantsEvents(wants_events): WantsEvents,
    id: RequestId,
    ApiJson(request): ApiJson<RenderRequest>,
) -> Result<Response, ApiError> {
    if later {
        return Ok(jobs::accepted(app.run(app.workspace().render_later(user.id, request)).await?));
    }
    answer_request(app, user.id, wants_events, id, request).await
}

/// Render a document that is being edited: as `render`, but always a fragment, to be put into a page.
#[utoipa::path(post, path = "/api/v1/render/preview", tag = "run", request_body = RenderRequest, responses(
    (status = 200, description = "The rendered document; how its cells ended is in it",
     content((RenderReport = "application/json"), (String = "text/event-stream"))),
    Problems))]
pub async fn preview(
    State(app): State<App>,
    Caller(user): Caller,
    WantsEvents(wants_events): WantsEvents,
    id: RequestId,
    ApiJson(request): ApiJson<RenderRequest>,
) -> Result<Response, ApiError> {
    answer_request(app, user.id, wants_events, id, RenderRequest { standalone: false, ..request }).await
}

/// Say what is wrong with a document, without running any of it.
#[utoipa::path(post, path = "/api/v1/render/validate", tag = "run", request_body = ValidateRequest, responses(
    (status = 200, description = "What is wrong with the document", body = ValidateReport),
    Problems))]
pub async fn validate(
    State(app): State<App>,
    Caller(user): Caller,
    ApiJson(request): ApiJson<ValidateRequest>,
) -> Result<Json<ValidateReport>, ApiError> {
    Ok(Json(app.run(app.workspace().validate(user.id, request)).await?))
}

/// Answers with what `work` says, at once or as it happens.
pub(super) async fn answer<W: Future<Output = Result<RenderReport, ServiceError>> + Send + 'static>(
    app: App,
    wants_events: bool,
    id: RequestId,
    work: impl FnOnce(Option<RenderSender>) -> W,
) -> Result<Response, ApiError> {
    if !wants_events {
        return Ok(Json(app.run(work(None)).await?).into_response());
    }
    let (sender, receiver) = event_channel();
    let events = stream::unfold(receiver, |mut receiver| async {
        let event = loop {
            match receiver.next().await? {
                // Whoever waits sees by the last cell's end which one runs.
                RenderEvent::CellStarted { .. } => {}
                RenderEvent::Output { cell, event } => {
                    break sse::event(sse::name(&event), &CellEvent { cell, event });
                }
                RenderEvent::CellDone { cell, summary } => break sse::event("cell", &CellEnd { cell, summary }),
            }
        };
        Some((event, receiver))
    });
    let work = work(Some(sender));
    sse::answer(events, async move { app.run(work).await }, id).await
}

async fn answer_request(
    app: App,
    user: UserId,
    wants_events: bool,
    id: RequestId,
    request: RenderRequest,
) -> Result<Response, ApiError> {
    let workspace = app.workspace().clone();
    let work = move |watch| async move { workspace.render(user, request, watch).await };
    answer(app, wants_events, id, work).await
}
