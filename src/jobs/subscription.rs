//! A job's events, from the database and then live.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;

use super::Queue;
use super::hub::{Feed, Hub, TooFarBehind, Update};
use crate::domain::{JobEvent, JobId, UserId};
use crate::store::{Database, JobError};

/// Why there are no more events though the job goes on.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// More happened than was taken.
    #[error("too many events were not taken in time: subscribe again after number {resume_after}")]
    TooSlow {
        /// Number of the last event that was given.
        resume_after: u64,
    },
    /// The job is not there, or the database is not.
    #[error(transparent)]
    Store(#[from] JobError),
}

/// Where a subscriber is.
pub(super) struct Subscription {
    database: Database,
    hub: Arc<Hub>,
    /// How often to look for what other servers did.
    poll: Duration,
    /// How often to look though the job runs here and all is told: in case that it was not.
    trust: Duration,
    user: UserId,
    id: JobId,
    /// Number of the last event that was given.
    last: u64,
    /// Read and not yet given.
    stored: VecDeque<JobEvent>,
    /// Held once all that is stored was given.
    feed: Option<Feed>,
    /// Whether all that is not in the feed was given.
    is_live: bool,
}

impl Subscription {
    pub fn new(queue: &Queue, user: UserId, id: JobId, after: u64) -> Self {
        Self {
            database: queue.database.clone(),
            hub: queue.hub.clone(),
            poll: queue.options.poll(),
            trust: queue.options.lease(),
            user,
            id,
            last: after,
            stored: VecDeque::new(),
            feed: None,
            is_live: false,
        }
    }

    pub fn into_stream(self) -> impl Stream<Item = Result<JobEvent, SubscribeError>> + Send + use<> {
        futures::stream::try_unfold(self, |mut this| async move { Ok(this.next().await?.map(|event| (event, this))) })
    }

    async fn next(&mut self) -> Result<Option<JobEvent>, SubscribeError> {
        loop {
            if let Some(event) = self.stored.pop_front() {
                self.last = event.seq;
                return Ok(Some(event));
            }
            if self.is_live {
                if let Some(event) = self.live().await? {
                    return Ok(Some(event));
                }
                self.is_live = false;
            }
            // The state before the events: a job that is over by then has no others.
            let job = match self.database.job(self.user, self.id).await {
                Err(JobError::NotFound) => return Ok(None),
                job => job?,
            };
            if job.last_event > self.last {
                self.stored = self.database.job_events(self.user, self.id, self.last).await?.into();
                if !self.stored.is_empty() {
                    continue;
                }
            }
            if job.state.is_final() {
                return Ok(None);
            }
            if self.feed.is_none() {
                // Only now, so that many stored events can be taken slowly; then once more what is stored, for what
                // came just before.
                self.feed = Some(self.hub.listen(self.id));
                continue;
            }
            self.is_live = true;
        }
    }

    /// The next event that is told, or none when it is time to look in the database.
    async fn live(&mut self) -> Result<Option<JobEvent>, SubscribeError> {
        let Some(feed) = &mut self.feed else { return Ok(None) };
        loop {
            let patience = if self.hub.runs_here(self.id) { self.trust } else { self.poll };
            match tokio::time::timeout(patience, feed.next()).await {
                Ok(Ok(Update::Event(event))) if event.seq <= self.last => {}
                Ok(Ok(Update::Event(event))) if event.seq - 1 == self.last => {
                    self.last = event.seq;
                    return Ok(Some(JobEvent::clone(&event)));
                }
                // Another server worked on it in between, or the job became something else, or nobody said anything.
                Ok(Ok(Update::Event(_) | Update::Changed)) | Err(_) => return Ok(None),
                Ok(Err(TooFarBehind)) => return Err(SubscribeError::TooSlow { resume_after: self.last }),
            }
        }
    }
}
