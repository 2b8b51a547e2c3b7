//! What happens to a kernel, as a stream of events: what the WebSocket tells, for clients that only read.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::Event as SseEvent;
use futures::Stream;
use serde_json::json;

use super::guard::Credential;
use super::{ApiError, App, sse};
use crate::service::{KernelWatch, Position, Start};

/// So often is asked whether a key is still accepted: with what is remembered of that, one who was shut out is gone within
/// five seconds.
const CHECKED_EVERY: Duration = Duration::from_secs(2);
/// What an `EventSource` sends when it comes back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Where the client was.
pub fn last_event_id(headers: &HeaderMap) -> Result<Option<Position>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let read = || {
        let (epoch, after) = value.to_str().ok()?.trim().rsplit_once('-')?;
        Some(Position { epoch: epoch.to_owned(), after: after.parse().ok()? })
    };
    let bad = || ApiError::bad_request("The header `Last-Event-ID` must be the `id` of an event.");
    read().map(Some).ok_or_else(bad)
}

/// The events of a kernel, after how it is.
pub fn of_kernel(watch: KernelWatch) -> impl Stream<Item = SseEvent> + Send + use<> {
    let (name, reason) = match watch.start {
        Start::Anew | Start::Resumed => ("subscribed", None),
        Start::Restarted => ("reset", Some("epoch")),
        Start::Gap => ("reset", Some("gap")),
    };
    let now = json!({"resumed": watch.start == Start::Resumed, "reason": reason, "kernel": watch.now});
    let first = sse::event(name, &now).id(id(&watch, watch.seq()));
    let rest = futures::stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await {
            Ok(Some((seq, event))) => Some((sse::event("event", &*event).id(id(&watch, seq)), Some(watch))),
            Ok(None) => None,
            Err(slow) => Some((sse::event("too_slow", &json!({"after": slow.after})), None)),
        }
    });
    futures::StreamExt::chain(futures::stream::iter([first]), rest)
}

/// Waits until the server stops, or the sender's key is not accepted any more: the stream has no other end.
pub async fn until_void(app: App, credential: Credential) {
    let mut checks = tokio::time::interval(CHECKED_EVERY);
    checks.reset();
    loop {
        tokio::select! {
            () = app.ended() => return,
            _ = checks.tick() => {
                if credential.is_void(&app).await {
                    return;
                }
            }
        }
    }
}

fn id(watch: &KernelWatch, seq: u64) -> String {
    format!("{}-{seq}", watch.epoch())
}
