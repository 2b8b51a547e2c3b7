//! Events as they happen (`text/event-stream`).

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use futures::stream::{self, Stream, StreamExt as _};
use serde::Serialize;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::ApiError;
use super::request_id::RequestId;
use crate::domain::Event;

/// A comment is sent when nothing happened for so long: a client that is gone is noticed, proxies stay calm.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A request that fails at once gets its own status; after this time the stream begins.
const HEAD_WAIT: Duration = Duration::from_millis(50);

/// The name of an event on the stream.
pub fn name(event: &Event) -> &'static str {
    match event {
        Event::Output { .. } => "output",
        Event::UpdateDisplay { .. } => "update_display",
        Event::ClearOutput { .. } => "clear_output",
    }
}

/// An event with JSON as its data.
pub fn event(name: &str, data: &impl Serialize) -> SseEvent {
    SseEvent::default().event(name).json_data(data).unwrap_or_else(|error| {
        tracing::error!(%error, name, "an event is no JSON");
        SseEvent::default().comment("an event was lost")
    })
}

/// Answers with `events` as they come and the result of `work` at last. Dropping the answer drops the work.
///
/// # Errors
/// What `work` says when it fails before the stream has begun.
pub async fn answer<T: Serialize + Send + 'static>(
    events: impl Stream<Item = SseEvent> + Send + 'static,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    id: RequestId,
) -> Result<Response, ApiError> {
    // A task of its own: a client that reads slowly must not hold the work back from its deadline.
    let work = AbortOnDrop(tokio::spawn(work.in_current_span()));
    let mut running = Running { events: events.boxed(), open: true, work: Some(work), result: None };
    let first = match tokio::time::timeout(HEAD_WAIT, running.step()).await {
        Ok(Some(Step::End(Err(error)))) => return Err(error),
        Ok(step) => step,
        Err(_) => None,
    };
    let rest = stream::unfold(running, |mut running| async { running.step().await.map(|step| (step, running)) });
    let events = stream::iter(first).chain(rest).map(move |step| match step {
        Step::Event(event) => event,
        Step::End(Ok(report)) => event("done", &report),
        Step::End(Err(error)) => problem(&error, &id),
    });
    Ok(self::stream(events))
}

/// What went wrong, as an event.
pub fn problem(error: &ApiError, id: &RequestId) -> SseEvent {
    event("problem", &error.details(id))
}

/// Answers with events as they come.
pub fn stream(events: impl Stream<Item = SseEvent> + Send + 'static) -> Response {
    let mut response =
        Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    // Or a proxy would collect the events before it passes them on.
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response.headers_mut().insert(unbuffered.0, unbuffered.1);
    response
}

enum Step<T> {
    Event(SseEvent),
    End(Result<T, ApiError>),
}

struct Running<T> {
    events: Pin<Box<dyn Stream<Item = SseEvent> + Send>>,
    open: bool,
    work: Option<AbortOnDrop<Result<T, ApiError>>>,
    result: Option<Result<T, ApiError>>,
}

impl<T> Running<T> {
    /// What comes next; nothing after the end. Nothing is lost when the future is dropped.
    async fn step(&mut self) -> Option<Step<T>> {
        while let Some(AbortOnDrop(work)) = &mut self.work {
            tokio::select! {
                biased;
                event = self.events.next(), if self.open => match event {
                    Some(event) => return Some(Step::Event(event)),
                    None => self.open = false,
                },
                done = work => {
                    self.work = None;
                    self.result = Some(done.unwrap_or_else(|_| Err(ApiError::internal(None))));
                }
            }
        }
        // What happened before the end is there by now: nothing is waited for.
        if self.open
            && let Some(Some(event)) = self.events.next().now_or_never()
        {
            return Some(Step::Event(event));
        }
        self.open = false;
        self.result.take().map(Step::End)
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
