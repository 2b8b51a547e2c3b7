//! How the queue works; every time in milliseconds.

use std::time::Duration;

/// How long the last word of a run may take that has no time left: that its job has ended, or goes back to the queue.
pub(super) const LAST_WORD: Duration = Duration::from_secs(5);

/// How the queue works.
#[derive(Debug, Clone)]
pub struct QueueOptions {
    /// Jobs that a runner works on at once, besides those of kinds with room of their own. Default: 4.
    pub concurrency: usize,
    /// Jobs of one user that wait or run; more are refused. Default: 32.
    pub open_jobs: u64,
    /// A job whose server was not heard of for so long, in milliseconds, is given to another. Default: 15,000.
    pub lease_ms: u64,
    /// How often a server says that it still works on a job, and asks whether the job was cancelled elsewhere, in
    /// milliseconds. Well below `lease_ms`. Default: 2,000.
    pub heartbeat_ms: u64,
    /// How often the database is asked for what other servers did: new jobs, and events of jobs that run there, in
    /// milliseconds. Default: 500.
    pub poll_ms: u64,
    /// Progress of one thing is written once in so many milliseconds, and only the latest. Default: 200.
    pub progress_ms: u64,
    /// How long jobs may go on when the server is to stop, in milliseconds. Default: 10,000.
    pub grace_ms: u64,
    /// How long a handler that was told to stop may go on before it is dropped, in milliseconds. Default: 2,000.
    pub stop_ms: u64,
    /// Ended jobs are kept for so many days. Default: 30.
    pub keep_days: u32,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            concurrency: 4,
            open_jobs: 32,
            lease_ms: 15_000,
            heartbeat_ms: 2_000,
            poll_ms: 500,
            progress_ms: 200,
            grace_ms: 10_000,
            stop_ms: 2_000,
            keep_days: 30,
        }
    }
}

impl QueueOptions {
    pub(super) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// Never zero: a timer can't have that period.
    pub(super) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms.max(1))
    }

    /// Never zero: a timer can't have that period.
    pub(super) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms.max(1))
    }

    pub(super) fn progress(&self) -> Duration {
        Duration::from_millis(self.progress_ms)
    }

    pub(super) fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }

    pub(super) fn stop(&self) -> Duration {
        Duration::from_millis(self.stop_ms)
    }
}
