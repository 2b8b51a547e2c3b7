//! What a handler knows of its job, and says of it.

use std::sync::Arc;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::JobError;
use super::recorder::Recorder;
use crate::domain::{EnvironmentId, Job, JobId, UserId};
use crate::store::{self, Lease};

/// An event's JSON is not longer.
const MAX_EVENT_BYTES: usize = 64 << 10;

/// A job in the hands of its handler. Cloning shares it.
#[derive(Debug, Clone)]
pub struct JobContext {
    job: Arc<Job>,
    recorder: Arc<Recorder>,
    token: CancellationToken,
}

impl JobContext {
    pub(super) fn new(job: Arc<Job>, recorder: Arc<Recorder>, token: CancellationToken) -> Self {
        Self { job, recorder, token }
    }

    /// The job.
    pub fn id(&self) -> JobId {
        self.job.id
    }

    /// Who wants it.
    pub fn user(&self) -> UserId {
        self.job.user_id
    }

    /// The environment it is about.
    pub fn environment(&self) -> Option<EnvironmentId> {
        self.job.environment_id
    }

    /// What is to be done.
    pub fn request(&self) -> &Value {
        &self.job.request
    }

    /// The right to work on the job: what is changed in the database for it is changed under this, so that a handler
    /// that was given up changes nothing.
    pub fn lease(&self) -> &Lease {
        self.recorder.lease()
    }

    /// Cancelled when the handler should stop: the user wants it, the server stops, or another server has the job.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Says what happened. It is in the database when this returns, behind all progress that was told before, and
    /// subscribers have it.
    ///
    /// # Errors
    /// [`JobError::Stopped`] when the job is not this handler's any more; the database's, as [`JobError::Internal`].
    pub async fn event(&self, event: impl Into<Value> + Send) -> Result<(), JobError> {
        self.events(vec![event.into()]).await
    }

    /// The same for some events, in this order: all of them are written, or none.
    ///
    /// # Errors
    /// As [`JobContext::event`].
    pub async fn events(&self, events: Vec<Value>) -> Result<(), JobError> {
        for event in &events {
            let bytes = event.to_string().len();
            if bytes > MAX_EVENT_BYTES {
                return Err(JobError::EventTooLarge { bytes, limit: MAX_EVENT_BYTES });
            }
        }
        self.recorder.write(events).await.map_err(|error| match error {
            store::JobError::LeaseLost(_) | store::JobError::NotFound => {
                self.token.cancel();
                JobError::Stopped
            }
            error => JobError::internal(error),
        })
    }

    /// Writes the progress that was told and not written yet: call it before the job ends in the transaction of its
    /// effect. What can't be written is forgotten, as progress is worth no failure.
    pub async fn flush(&self) {
        if let Err(error) = self.recorder.write(None).await {
            tracing::debug!(job = %self.id(), %error, "cannot write a job's progress");
        }
    }

    /// Says how far something is (bytes of total). May be called for every chunk: only the latest event of each thing
    /// is written, and not more often than [`super::QueueOptions::progress_ms`] says. One that is too large for an
    /// event is forgotten.
    pub fn progress(&self, thing: &str, event: impl Into<Value>) {
        let event = event.into();
        if event.to_string().len() <= MAX_EVENT_BYTES {
            self.recorder.note(thing, event);
        }
    }
}
