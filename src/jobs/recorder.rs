//! Writes what happens in a job: first to the database, then at once to those who listen.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Queue;
use super::hub::{Hub, Update};
use crate::domain::JobEvent;
use crate::store::{Database, JobError, Lease};

/// Things whose progress waits to be written at once; of more, the one that waits longest is forgotten.
const MAX_PENDING: usize = 256;

/// Writes the events of one run of a job.
#[derive(Debug)]
pub(super) struct Recorder {
    database: Database,
    hub: Arc<Hub>,
    lease: Lease,
    interval: Duration,
    progress: Mutex<Progress>,
    /// Rings when there is progress to write.
    stirred: Notify,
    /// Held while events are written and told, so that both have one order.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Progress {
    /// The latest of each thing, in the order in which the things were first heard of.
    pending: Vec<(String, Value)>,
    /// When progress may be written again.
    due: Instant,
}

impl Recorder {
    pub fn new(queue: &Queue, lease: Lease) -> Self {
        Self {
            database: queue.database.clone(),
            hub: queue.hub.clone(),
            lease,
            interval: queue.options.progress(),
            progress: Mutex::new(Progress { pending: Vec::new(), due: Instant::now() }),
            stirred: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Notes how far something is. What was noted of it before and not yet written is forgotten.
    pub fn note(&self, thing: &str, event: Value) {
        {
            let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            let pending = &mut progress.pending;
            match pending.iter_mut().find(|(known, _)| known == thing) {
                Some((_, latest)) => *latest = event,
                None => {
                    if pending.len() == MAX_PENDING {
                        pending.remove(0);
                    }
                    pending.push((thing.to_owned(), event));
                }
            }
        }
        self.stirred.notify_one();
    }

    /// Returns when there is progress that should be written now. Dropping it loses nothing.
    pub async fn due(&self) {
        loop {
            let due = {
                let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
                (!progress.pending.is_empty()).then_some(progress.due)
            };
            match due {
                Some(due) => return tokio::time::sleep_until(due).await,
                None => self.stirred.notified().await,
            }
        }
    }

    /// Writes what progress there is, and then the events. When this returns, they are in the database.
    pub async fn write(&self, told: impl IntoIterator<Item = Value>) -> Result<(), JobError> {
        let _turn = self.turn.lock().await;
        let mut events: Vec<Value> = {
            let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.due = Instant::now() + self.interval;
            progress.pending.drain(..).map(|(_, event)| event).collect()
        };
        events.extend(told);
        if events.is_empty() {
            return Ok(());
        }
        let (last, at) = self.database.append_events(&self.lease, &events).await?;
        let first = last.saturating_sub(events.len() as u64) + 1;
        for (seq, event) in (first..).zip(events) {
            self.hub.tell(self.lease.job(), Update::Event(Arc::new(JobEvent { seq, at, event })));
        }
        Ok(())
    }
}
