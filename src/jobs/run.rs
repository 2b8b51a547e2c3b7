//! One run of one job: its handler, and what watches over it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::handler::AnyHandler;
use super::options::LAST_WORD;
use super::recorder::Recorder;
use super::{JobContext, JobError, Queue};
use crate::domain::{Job, JobEnd};
use crate::store::{self, Lease};

/// The pause before the database is asked again; each is twice as long as the one before, up to a second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Why a handler was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Its user wants it.
    Cancelled,
    /// The server has no more time: another one goes on.
    ServerStops,
    /// The job is not ours any more.
    Lost,
}

/// How a handler ended; an error of the outer kind is a panic or that it was dropped.
type Outcome = Result<Result<Value, JobError>, JoinError>;

/// A job that was claimed.
pub(super) struct Run {
    queue: Queue,
    job: Arc<Job>,
    recorder: Arc<Recorder>,
    /// Tells the handler to stop.
    token: CancellationToken,
    /// When the job may be given to somebody else, by our clock, and rather too early.
    lease_ends: Instant,
}

impl Run {
    /// `asked` is when the claim was sent.
    pub fn new(queue: Queue, job: Job, lease: Lease, asked: Instant) -> Self {
        let lease_ends = asked + queue.options.lease();
        let recorder = Arc::new(Recorder::new(&queue, lease));
        Self { queue, job: Arc::new(job), recorder, token: CancellationToken::new(), lease_ends }
    }

    /// Works on the job until it has ended, or is given back because the server stops.
    pub async fn work(mut self, handler: Arc<dyn AnyHandler>, server_stops: CancellationToken) {
        let cancel = CancellationToken::new();
        // Those who wait for the job are told when this is dropped.
        let _here = self.queue.hub.enter(self.job.id, cancel.clone());
        if self.job.cancel_requested {
            // A server that stopped gave it back before it could be cancelled there.
            return self.insist(&LastWord::End(&JobEnd::Cancelled)).await;
        }
        let context = JobContext::new(self.job.clone(), self.recorder.clone(), self.token.clone());
        // A task of its own: one that does not yield must not hold up the heartbeat. Dropped with this future.
        let mut task = JoinSet::new();
        task.spawn(handler.begin(context));
        let (outcome, stop) = self.watch(&mut task, &cancel, &server_stops).await;
        self.conclude(outcome, stop).await;
    }

    /// Keeps the lease and writes progress until the handler has ended.
    async fn watch(
        &mut self,
        task: &mut JoinSet<Result<Value, JobError>>,
        cancel: &CancellationToken,
        server_stops: &CancellationToken,
    ) -> (Outcome, Option<Stop>) {
        let mut heartbeat = tokio::time::interval(self.queue.options.heartbeat());
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        let mut stop: Option<Stop> = None;
        let mut patience_ends: Option<Instant> = None;
        loop {
            let why = tokio::select! {
                biased;
                ended = task.join_next() => {
                    return (ended.unwrap_or(Ok(Err(JobError::Stopped))), stop);
                }
                () = tokio::time::sleep_until(self.lease_ends), if stop != Some(Stop::Lost) => Some(Stop::Lost),
                () = cancel.cancelled(), if stop.is_none() => Some(Stop::Cancelled),
                () = server_stops.cancelled(), if stop.is_none() => Some(Stop::ServerStops),
                () = maybe_until(patience_ends) => {
                    // Its future is dropped at its next await; until then it is still there, and so is the lease.
                    task.abort_all();
                    patience_ends = None;
                    None
                }
                _ = heartbeat.tick(), if stop != Some(Stop::Lost) => self.renew(stop).await,
                () = self.recorder.due(), if stop != Some(Stop::Lost) => {
                    self.write_progress().await;
                    None
                }
            };
            if why.is_some() {
                // The lease may be lost by one that was told to stop before.
                stop = why;
                self.token.cancel();
                patience_ends = patience_ends.or(Some(Instant::now() + self.queue.options.stop()));
            }
        }
    }

    /// Says that we are still there. Returns why the handler must stop, if it must.
    async fn renew(&mut self, stop: Option<Stop>) -> Option<Stop> {
        let (asked, lease) = (Instant::now(), self.queue.options.lease());
        let renewed = self.queue.database.renew(self.recorder.lease(), lease);
        match tokio::time::timeout_at(self.lease_ends, renewed).await {
            Ok(Ok(cancel)) => {
                self.lease_ends = asked + lease;
                (cancel && stop.is_none()).then_some(Stop::Cancelled)
            }
            Ok(Err(store::JobError::LeaseLost(_) | store::JobError::NotFound)) => Some(Stop::Lost),
            Ok(Err(error)) => {
                tracing::warn!(job = %self.job.id, %error, "cannot renew a lease; trying again soon");
                None
            }
            // The end of the lease is noticed by the caller.
            Err(_) => None,
        }
    }

    async fn write_progress(&self) {
        // Progress is worth no more than one attempt.
        if let Ok(Err(error)) = tokio::time::timeout_at(self.lease_ends, self.recorder.write(None)).await {
            tracing::debug!(job = %self.job.id, %error, "cannot write a job's progress");
        }
    }

    async fn conclude(&self, outcome: Outcome, stop: Option<Stop>) {
        let end = match outcome {
            // What is done is done, whoever wanted it to stop.
            Ok(Ok(result)) => JobEnd::Succeeded(result),
            _ if stop == Some(Stop::Lost) => {
                return tracing::info!(job = %self.job.id, "a job was over before its run, or is another server's");
            }
            Ok(Err(_)) if stop == Some(Stop::Cancelled) => JobEnd::Cancelled,
            Err(ended) if ended.is_cancelled() && stop == Some(Stop::Cancelled) => JobEnd::Cancelled,
            Ok(Err(JobError::Stopped)) if stop == Some(Stop::ServerStops) => return self.release().await,
            Err(ended) if ended.is_cancelled() && stop == Some(Stop::ServerStops) => return self.release().await,
            // Nobody told it to: it has found the job over, or given to another one. (Were it not, it would be begun
            // again after its lease, and given up in the end.)
            Ok(Err(JobError::Stopped)) if stop.is_none() => {
                return tracing::info!(job = %self.job.id, "a job was over before its run, or is another server's");
            }
            Ok(Err(JobError::Failed { message })) => JobEnd::Failed(message),
            Ok(Err(error)) => self.our_fault(&error),
            Err(panic) => self.our_fault(&panic),
        };
        self.write_progress().await;
        self.insist(&LastWord::End(&end)).await;
    }

    /// Logs what the job's user has no use for.
    fn our_fault(&self, error: &dyn std::error::Error) -> JobEnd {
        tracing::error!(job = %self.job.id, kind = self.job.kind, %error, "a job failed by our fault");
        JobEnd::Failed(format!("internal error; ask for the log of job {}", self.job.id))
    }

    async fn release(&self) {
        self.insist(&LastWord::GiveBack).await;
        self.queue.bell.notify_one();
    }

    /// Tries until it is done, or the lease is over: then the job is begun again, and this run has changed nothing. One
    /// whose lease is over by our clock may still be ours: it gets a moment, too.
    async fn insist(&self, word: &LastWord<'_>) {
        let deadline = self.lease_ends.max(Instant::now() + LAST_WORD);
        if tokio::time::timeout_at(deadline, self.until_heard(word)).await.is_err() {
            tracing::error!(job = %self.job.id, "could not {word} before its lease ended: it will be begun again");
        }
    }

    async fn until_heard(&self, word: &LastWord<'_>) {
        let (database, lease) = (&self.queue.database, self.recorder.lease());
        let mut pause = FIRST_PAUSE;
        loop {
            let said = match word {
                LastWord::End(end) => database.finish(lease, end).await,
                LastWord::GiveBack => database.release(lease).await,
            };
            match said {
                Ok(()) => return,
                // Its handler has ended it in the transaction of its effect, or it is somebody else's.
                Err(store::JobError::LeaseLost(_) | store::JobError::NotFound) => {
                    return tracing::debug!(job = %self.job.id, "a job was over before its run");
                }
                Err(error) => {
                    tracing::warn!(job = %self.job.id, %error, "cannot {word}; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
    }
}

/// What a run says of its job at last.
enum LastWord<'a> {
    End(&'a JobEnd),
    GiveBack,
}

impl fmt::Display for LastWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::End(_) => "end a job",
            Self::GiveBack => "give a job back",
        })
    }
}

/// Until then, or for ever.
async fn maybe_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
