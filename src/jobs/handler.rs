//! What does the work of one kind of job.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use super::JobContext;

/// Why a handler has no result.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// What was asked for can't be done: in words for the job's user.
    #[error("{message}")]
    Failed {
        /// The reason, as a sentence that a person can act on.
        message: String,
    },
    /// The handler was told to stop, and did.
    #[error("the job was stopped")]
    Stopped,
    /// The handler's event has more JSON than one may have.
    #[error("an event of {bytes} bytes is more than the {limit} that one may have")]
    EventTooLarge {
        /// Its size.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Our fault. It is logged; the job's user sees only the job's id.
    #[error("internal error: {source}")]
    Internal {
        /// What happened.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl JobError {
    /// For the job's user.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into() }
    }

    /// For the log.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Internal { source: source.into() }
    }
}

/// Does the work of one kind of job.
///
/// A job may be begun again after its server died. What is done outside the database must bear that (the same file
/// written again), and what is done in it must be tied to [`JobContext::lease`].
pub trait Handler: Send + Sync + 'static {
    /// Does the job. When [`JobContext::token`] is cancelled it should soon return [`JobError::Stopped`]; else its
    /// future is dropped after a while. A result is kept even when it comes after that.
    fn run(&self, job: JobContext) -> impl Future<Output = Result<Value, JobError>> + Send;
}

/// A [`Handler`] of whatever type.
pub(super) trait AnyHandler: Send + Sync {
    fn begin(self: Arc<Self>, job: JobContext) -> BoxFuture<'static, Result<Value, JobError>>;
}

impl<H: Handler> AnyHandler for H {
    fn begin(self: Arc<Self>, job: JobContext) -> BoxFuture<'static, Result<Value, JobError>> {
        Box::pin(async move { self.run(job).await })
    }
}

/// The handlers of a server, by the kind of job.
#[derive(Clone, Default)]
pub struct Handlers(BTreeMap<&'static str, Entry>);

#[derive(Clone)]
struct Entry {
    handler: Arc<dyn AnyHandler>,
    /// How many jobs of the kind go on at once, where it does not share the room of the others.
    room: Option<usize>,
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Handlers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more, or another one for its kind. A server only takes jobs of kinds that it has handlers for.
    #[must_use]
    pub fn with(mut self, kind: &'static str, handler: impl Handler) -> Self {
        self.0.insert(kind, Entry { handler: Arc::new(handler), room: None });
        self
    }

    /// The same for a kind with room of its own: at most `at_once` go on together, whatever else does, and they take no
    /// room from the other kinds. Of two places or more, one user gets all but one.
    #[must_use]
    pub fn with_room(mut self, kind: &'static str, handler: impl Handler, at_once: usize) -> Self {
        self.0.insert(kind, Entry { handler: Arc::new(handler), room: Some(at_once) });
        self
    }

    /// The kinds, and what room each has of its own.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (&'static str, Option<usize>)> {
        self.0.iter().map(|(kind, entry)| (*kind, entry.room))
    }

    pub(super) fn get(&self, kind: &str) -> Option<Arc<dyn AnyHandler>> {
        self.0.get(kind).map(|entry| entry.handler.clone())
    }
}
