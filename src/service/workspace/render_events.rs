//! What the job of a render tells of its cells: as they are, as long as it is not too much.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::EventReceiver;
use crate::jobs::{JobContext, JobError};
use crate::service::RenderEvent;

/// Events are written together, once in so long.
const PAUSE: Duration = Duration::from_millis(100);
/// When the render has ended, what waits is written with these pauses.
const LAST_PAUSE: Duration = Duration::from_millis(20);
/// And at most so many: who listens can hold more.
const AT_ONCE: usize = 64;
/// An event that has more JSON is left out.
const MAX_EVENT_BYTES: usize = 32 << 10;
/// And so are all but the ends of cells when so many bytes were written.
const MAX_BYTES: usize = 256 << 10;

/// Writes the events of one run of a render.
pub(super) struct Teller<'a> {
    job: &'a JobContext,
    /// Cancelled when nothing more comes but what waits already.
    done: CancellationToken,
    left_bytes: usize,
    /// The end of a cell that is told when all before is written, unless another comes.
    latest: Option<Value>,
}

impl<'a> Teller<'a> {
    pub fn new(job: &'a JobContext) -> Self {
        Self { job, done: CancellationToken::new(), left_bytes: MAX_BYTES, latest: None }
    }

    /// To be cancelled when the render has ended: what waits then is told soon.
    pub fn done(&self) -> CancellationToken {
        self.done.clone()
    }

    /// Tells until the writer is gone.
    pub async fn tell(mut self, mut events: EventReceiver<RenderEvent>) -> Result<(), JobError> {
        let (mut soon, mut due) = (Instant::now(), Instant::now());
        let mut next = events.next().await;
        while next.is_some() {
            // Texts join while they wait.
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.done.cancelled() => tokio::time::sleep_until(soon).await,
            }
            let mut batch = Vec::new();
            while let Some(event) = next.take() {
                self.add(&event, &mut batch);
                if batch.len() < AT_ONCE {
                    next = futures::FutureExt::now_or_never(events.next()).flatten();
                }
            }
            if !batch.is_empty() {
                match self.job.events(batch).await {
                    Err(JobError::Stopped) => return Err(JobError::Stopped),
                    // What is told is worth no failure.
                    Err(error) => tracing::debug!(job = %self.job.id(), %error, "cannot write a render's events"),
                    Ok(()) => {}
                }
            }
            if let Some(latest) = self.latest.take() {
                self.job.progress("cell", latest);
            }
            (soon, due) = (Instant::now() + LAST_PAUSE, Instant::now() + PAUSE);
            next = events.next().await;
        }
        Ok(())
    }

    fn add(&mut self, event: &RenderEvent, batch: &mut Vec<Value>) {
        let Some(mut told) = written(event) else { return };
        let mut bytes = told.to_string().len();
        if bytes > MAX_EVENT_BYTES {
            told = json!({"event": "left_out", "cell": told["cell"], "size_bytes": bytes});
            bytes = told.to_string().len();
        }
        if self.left_bytes >= bytes {
            self.left_bytes -= bytes;
            batch.push(told);
            return;
        }
        if self.left_bytes > 0 {
            self.left_bytes = 0;
            batch.push(json!({"event": "left_out", "cell": told["cell"]}));
        }
        if matches!(event, RenderEvent::CellDone { .. }) {
            self.latest = Some(told);
        }
    }
}

/// The event as JSON: `event` says what it is, `cell` of which cell.
fn written(event: &RenderEvent) -> Option<Value> {
    let (cell, name, value) = match event {
        RenderEvent::CellStarted { cell } => (cell, Some("cell_started"), Ok(json!({}))),
        RenderEvent::Output { cell, event } => (cell, None, serde_json::to_value(event)),
        RenderEvent::CellDone { cell, summary } => (cell, Some("cell"), serde_json::to_value(summary)),
    };
    let Ok(mut value) = value else {
        tracing::error!("an event of a render is no JSON");
        return None;
    };
    value["cell"] = json!(cell);
    if let Some(name) = name {
        value["event"] = json!(name);
    }
    Some(value)
}
