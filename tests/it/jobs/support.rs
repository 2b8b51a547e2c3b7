//! What the tests of the queue share.

use std::future::Future;
use std::pin::pin;

use futures::{Stream, StreamExt as _};
use pymd::domain::{Job, JobEvent, JobId, Role, UserId};
use pymd::jobs::{Handler, Handlers, JobContext, JobError, Queue, QueueOptions, Runner, SubscribeError};
use pymd::store::{Database, NewJob, NewUser};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::databases::TestDatabase;

/// A database with a user.
pub struct Place {
    at: TestDatabase,
    pub user: UserId,
}

impl Place {
    pub async fn new(at: TestDatabase) -> Self {
        let user = new_user(&at.open().await, "Ada").await;
        Self { at, user }
    }

    /// A server's queue, with connections of its own.
    pub async fn queue(&self, options: QueueOptions) -> Queue {
        Queue::new(self.open().await, options)
    }

    pub async fn open(&self) -> Database {
        self.at.open().await
    }

    pub async fn other_user(&self) -> UserId {
        new_user(&self.open().await, "Eve").await
    }

    pub fn job(&self, kind: &str) -> NewJob {
        NewJob { user: self.user, environment: None, kind: kind.to_owned(), request: json!({}) }
    }

    pub async fn enqueue(&self, queue: &Queue, kind: &str) -> JobId {
        queue.enqueue(&self.job(kind)).await.unwrap().id
    }

    pub async fn ended(&self, queue: &Queue, id: JobId) -> Job {
        queue.wait(self.user, id).await.unwrap()
    }

    /// All events of a job that has ended.
    pub async fn events(&self, queue: &Queue, id: JobId) -> Vec<Value> {
        let events = queue.subscribe(self.user, id, 0).await.unwrap();
        numbered(events.map(Result::unwrap).collect().await, 0)
    }
}

async fn new_user(database: &Database, name: &str) -> UserId {
    let new = NewUser { name: name.to_owned(), email: None, role: Role::User, tier: "FREE".to_owned() };
    database.create_user(&new).await.unwrap().id
}

/// The events, after a check that each is there once and in order.
pub fn numbered(events: Vec<JobEvent>, after: u64) -> Vec<Value> {
    let seqs: Vec<_> = events.iter().map(|event| event.seq).collect();
    let expected: Vec<_> = (after + 1..=after + events.len() as u64).collect();
    assert_eq!(seqs, expected);
    events.into_iter().map(|event| event.event).collect()
}

/// The next event of a stream.
pub async fn next(
    events: &mut (impl Stream<Item = Result<JobEvent, SubscribeError>> + Unpin),
) -> Result<JobEvent, SubscribeError> {
    pin!(events.next()).await.expect("the job has ended")
}

/// Times that let a test wait for what takes minutes elsewhere. The lease is for ever: nothing happens by its end.
pub fn quick() -> QueueOptions {
    QueueOptions { lease_ms: 3_600_000, heartbeat_ms: 20, poll_ms: 20, progress_ms: 20, ..Default::default() }
}

/// A handler out of a closure.
pub struct Work<F>(pub F);

impl<F, Fut> Handler for Work<F>
where
    F: Fn(JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Value, JobError>> + Send,
{
    async fn run(&self, job: JobContext) -> Result<Value, JobError> {
        (self.0)(job).await
    }
}

/// A runner whose only handler, for jobs of kind `work`, is this closure.
pub fn runner<F, Fut>(queue: &Queue, work: F) -> Runner
where
    F: Fn(JobContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Value, JobError>> + Send + 'static,
{
    Runner::start(queue, Handlers::new().with("work", Work(work)), "test")
}

/// A runner that says of each job that it has begun, and then waits to be told to stop.
pub fn stopping_runner(queue: &Queue) -> (Runner, mpsc::UnboundedReceiver<JobContext>) {
    let (begun, begins) = mpsc::unbounded_channel();
    let runner = runner(queue, move |job| {
        begun.send(job.clone()).unwrap();
        async move {
            job.token().cancelled().await;
            Err(JobError::Stopped)
        }
    });
    (runner, begins)
}

/// A runner that says of each job that it has begun, and is deaf to everything but its own end.
pub fn deaf_runner(queue: &Queue) -> (Runner, mpsc::UnboundedReceiver<JobContext>) {
    let (begun, begins) = mpsc::unbounded_channel();
    let runner = runner(queue, move |job| {
        begun.send(job).unwrap();
        std::future::pending()
    });
    (runner, begins)
}
