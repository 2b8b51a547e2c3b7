//! `POST /api/v1/execute`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::stream;

use super::error::Problems;
use super::extract::{ApiJson, Caller, WantsEvents};
use super::request_id::RequestId;
use super::{ApiError, App, sse};
use crate::backend::{EventSender, event_channel};
use crate::domain::ExecuteReport;
use crate::service::{ExecuteRequest, ServiceError};

/// Run code in a fresh kernel.
///
/// With `Accept: text/event-stream` the answer is a stream of events: `output`, `update_display` and `clear_output`
/// as they happen (the data is an `Event`), and at last `done` with the report or `problem` with a problem. Closing
/// the connection ends the code.
#[utoipa::path(post, path = "/api/v1/execute", tag = "run", request_body = ExecuteRequest, responses(
    (status = 200, description = "How the code ended: also its own failure is a success of the request",
     content((ExecuteReport = "application/json"), (String = "text/event-stream"))),
    Problems))]
pub async fn execute(
    State(app): State<App>,
    Caller(user): Caller,
    WantsEvents(wants_events): WantsEvents,
    id: RequestId,
    ApiJson(request): ApiJson<ExecuteRequest>,
) -> Result<Response, ApiError> {
    let workspace = app.workspace().clone();
    let work = move |events| async move { workspace.execute(user.id, request, events).await };
    answer(app, wants_events, id, work).await
}

/// Answers with what `work` says, at once or as it happens.
pub(super) async fn answer<W: Future<Output = Result<ExecuteReport, ServiceError>> + Send + 'static>(
    app: App,
    wants_events: bool,
    id: RequestId,
    work: impl FnOnce(Option<EventSender>) -> W,
) -> Result<Response, ApiError> {
    if !wants_events {
        return Ok(Json(app.run(work(None)).await?).into_response());
    }
    let (sender, receiver) = event_channel();
    let events = stream::unfold(receiver, |mut receiver| async {
        let event = receiver.next().await?;
        Some((sse::event(sse::name(&event), &event), receiver))
    });
    let work = work(Some(sender));
    sse::answer(events, async move { app.run(work).await }, id).await
}
