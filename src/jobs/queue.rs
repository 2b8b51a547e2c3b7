//! The queue's public side.

use std::fmt;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use tokio::sync::Notify;

use super::QueueOptions;
use super::hub::{Hub, Update};
use super::subscription::{SubscribeError, Subscription};
use crate::domain::{DocumentId, DocumentSummary, Job, JobEvent, JobId, UserId};
use crate::store::{Database, JobError, JobObject, NewJob};

/// The queue. Cloning shares it.
#[derive(Clone)]
pub struct Queue {
    pub(super) database: Database,
    pub(super) options: Arc<QueueOptions>,
    pub(super) hub: Arc<Hub>,
    /// Rings when there may be something to claim.
    pub(super) bell: Arc<Notify>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Queue {
    /// The queue in this database. A process has one for each database: only what goes through the same one is told
    /// at once, the rest is found by asking.
    pub fn new(database: Database, options: QueueOptions) -> Self {
        Self { database, options: Arc::new(options), hub: Arc::default(), bell: Arc::default() }
    }

    /// Puts a job in the queue. It is there for good when this returns, and begins at once where a runner is free.
    ///
    /// # Errors
    /// The user has [`QueueOptions::open_jobs`] that are not over yet.
    pub async fn enqueue(&self, new: &NewJob) -> Result<Job, JobError> {
        let job = self.database.enqueue(new, self.options.open_jobs).await?;
        self.bell.notify_one();
        Ok(job)
    }

    /// Whether one more job of the user has room, for who has work to do before it can be made. That it gets in is
    /// decided when it is.
    ///
    /// # Errors
    /// As [`Queue::enqueue`].
    pub async fn check_room(&self, user: UserId) -> Result<(), JobError> {
        match self.database.open_jobs(user).await? {
            open if open >= self.options.open_jobs => Err(JobError::TooMany { open }),
            _ => Ok(()),
        }
    }

    /// As [`Queue::enqueue`], for a job whose text is in the object store.
    ///
    /// # Errors
    /// As [`Queue::enqueue`].
    pub async fn enqueue_with_content(&self, new: &NewJob, content: &JobObject) -> Result<Job, JobError> {
        let job = self.database.enqueue_with_content(new, content, self.options.open_jobs).await?;
        self.bell.notify_one();
        Ok(job)
    }

    /// As [`Queue::enqueue`], for a job about a stored document; see [`Database::enqueue_of_document`].
    ///
    /// # Errors
    /// As [`Queue::enqueue`], and when the user has no such document.
    pub async fn enqueue_of_document(
        &self,
        user: UserId,
        document: DocumentId,
        describe: impl FnOnce(&DocumentSummary) -> NewJob + Send,
    ) -> Result<Job, JobError> {
        let job = self.database.enqueue_of_document(user, document, describe, self.options.open_jobs).await?;
        self.bell.notify_one();
        Ok(job)
    }

    /// Jobs of one user that may wait or run.
    pub fn open_jobs(&self) -> u64 {
        self.options.open_jobs
    }

    /// Says that there may be a job to begin.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// Says that the user does not want a job any more, and returns it as it is now. One that waits is cancelled at
    /// once; one that runs is told to stop, here at once and on another server at its next heartbeat, and ends as
    /// cancelled unless it was done before; one that is over stays as it is.
    ///
    /// # Errors
    /// The user has no such job.
    pub async fn cancel(&self, user: UserId, id: JobId) -> Result<Job, JobError> {
        let job = self.database.request_cancel(user, id).await?;
        self.hub.cancel_here(id);
        self.hub.tell(id, Update::Changed);
        Ok(job)
    }

    /// What happens in a job of the user after the event of number `after` (0: all): what is stored, then what comes,
    /// each event once and in order. It ends when the job has ended, and all its events were given. Works alike for
    /// jobs of other servers, only later.
    ///
    /// Nothing is read ahead but what the caller takes; one who falls far behind a running job gets
    /// [`SubscribeError::TooSlow`], which says from where to go on.
    ///
    /// # Errors
    /// The user has no such job.
    pub async fn subscribe(
        &self,
        user: UserId,
        id: JobId,
        after: u64,
    ) -> Result<impl Stream<Item = Result<JobEvent, SubscribeError>> + Send + use<>, SubscribeError> {
        self.database.job(user, id).await?;
        Ok(Subscription::new(self, user, id, after).into_stream())
    }

    /// Waits until a job has ended, and returns it.
    ///
    /// # Errors
    /// The user has no such job, or no longer.
    pub async fn wait(&self, user: UserId, id: JobId) -> Result<Job, JobError> {
        // Past all numbers: its events are not read, only its end is waited for.
        let mut end = std::pin::pin!(Subscription::new(self, user, id, u64::MAX).into_stream());
        loop {
            match end.next().await {
                Some(Ok(_)) => {}
                None | Some(Err(SubscribeError::TooSlow { .. })) => {
                    let job = self.database.job(user, id).await?;
                    if job.state.is_final() {
                        return Ok(job);
                    }
                    end.set(Subscription::new(self, user, id, u64::MAX).into_stream());
                }
                Some(Err(SubscribeError::Store(error))) => return Err(error),
            }
        }
    }
}
