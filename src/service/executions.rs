//! The history of cells that ran: written down behind their backs, read by their users, forgotten in time.

mod kept;
mod queue;
mod recording;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{ServiceError, Shares};
use crate::domain::{
    Execution, ExecutionFilter, ExecutionGroup, ExecutionId, ExecutionPolicy, ExecutionStats, Output, Page,
    PageRequest, SortOrder, StreamName, UserId,
};
use crate::store::Database;
use queue::Queue;
pub use queue::RecordingStats;
pub use recording::{Origin, RecordedCell, Recording, Running};

/// Whoever asks waits at most so long for what is not written down yet.
const PATIENCE: Duration = Duration::from_secs(2);
/// Statistics that one user can have made at once.
const MAX_SUMS: usize = 2;
/// Deletions of many executions that one user can have going on at once.
const MAX_DELETIONS: usize = 2;
/// Rows that are removed at a time: others write in between.
const REMOVED: u32 = 1000;
/// Users who are looked at at a time.
const USERS: u32 = 100;

/// Who is told of each cell that has ended, at once; so it must not take long.
pub type Told = fn(&Execution);

/// An execution with what it showed.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ExecutionDetail {
    /// The execution.
    #[serde(flatten)]
    pub execution: Execution,
    /// What it showed, in nbformat's shapes; null: that is not kept, or not any more.
    pub outputs: Option<Vec<Output>>,
    /// What it printed to standard output, as far as that is kept.
    pub stdout: Option<String>,
    /// What it printed to standard error, as far as that is kept.
    pub stderr: Option<String>,
    /// Whether it showed more than is kept.
    pub outputs_truncated: bool,
}

/// The history. Cloning shares it.
#[derive(Clone)]
pub struct Executions(Arc<Inner>);

struct Inner {
    database: Database,
    policy: ExecutionPolicy,
    queue: Queue,
    /// Sums that are made: each looks at all that a user has run.
    summing: Shares,
    /// Deletions of many: each looks at all that a user has run, too, and others wait for what it writes.
    deleting: Shares,
    /// See [`Executions::tell`].
    told: OnceLock<Told>,
}

impl Executions {
    /// The history in a database.
    pub fn new(database: Database, policy: ExecutionPolicy) -> Self {
        let queue = Queue::new(database.clone(), policy);
        let (summing, deleting) = (Shares::new(MAX_SUMS), Shares::new(MAX_DELETIONS));
        Self(Arc::new(Inner { database, policy, queue, summing, deleting, told: OnceLock::new() }))
    }

    /// Has each cell told that ends, for as long as the history lives; the first who asks is told.
    pub fn tell(&self, told: Told) {
        let _ = self.0.told.set(told);
    }

    /// What writes the cells of `origin` down.
    pub fn recording(&self, origin: Origin) -> Recording {
        Recording::new(self.clone(), origin)
    }

    /// The user's executions, by when they began; without what they showed.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(
        &self,
        user: UserId,
        filter: &ExecutionFilter,
        order: SortOrder,
        page: PageRequest,
    ) -> Result<Page<Execution>, ServiceError> {
        self.settle().await;
        Ok(self.0.database.executions(user, filter, order, page).await?)
    }

    /// An execution of the user.
    ///
    /// # Errors
    /// There is none, or no longer.
    pub async fn show(&self, user: UserId, id: ExecutionId) -> Result<ExecutionDetail, ServiceError> {
        self.settle().await;
        let (execution, kept) = self.0.database.execution(user, id).await?;
        // The sweeper comes now and then.
        let kept = kept.filter(|_| execution.started_at >= before(Timestamp::now(), self.0.policy.keep_outputs));
        Ok(ExecutionDetail {
            execution,
            stdout: kept.as_ref().map(|kept| kept.text(StreamName::Stdout)),
            stderr: kept.as_ref().map(|kept| kept.text(StreamName::Stderr)),
            outputs_truncated: kept.as_ref().is_some_and(|kept| kept.is_truncated),
            outputs: kept.map(|kept| kept.outputs),
        })
    }

    /// What the user's executions came to together.
    ///
    /// # Errors
    /// The user asks that twice already, or the database's.
    pub async fn stats(
        &self,
        user: UserId,
        filter: &ExecutionFilter,
        by: ExecutionGroup,
        page: PageRequest,
    ) -> Result<Page<ExecutionStats>, ServiceError> {
        let refused = || ServiceError::TooMany { what: format!("{MAX_SUMS} statistics") };
        let _share = self.0.summing.take(user).ok_or_else(refused)?;
        self.settle().await;
        Ok(self.0.database.execution_stats(user, filter, by, page).await?)
    }

    /// Forgets an execution of the user.
    ///
    /// # Errors
    /// There is none.
    pub async fn delete(&self, user: UserId, id: ExecutionId) -> Result<(), ServiceError> {
        self.settle().await;
        Ok(self.0.database.delete_execution(user, id).await?)
    }

    /// Forgets those of the user's executions that a filter lets through, and tells how many.
    ///
    /// # Errors
    /// The user does that twice already, or the database's; what was forgotten before stays forgotten.
    pub async fn delete_all(&self, user: UserId, filter: &ExecutionFilter) -> Result<u64, ServiceError> {
        let refused = || ServiceError::TooMany { what: format!("{MAX_DELETIONS} deletions of executions") };
        let _share = self.0.deleting.take(user).ok_or_else(refused)?;
        self.settle().await;
        // Those that come meanwhile would keep it busy for ever.
        let now = Timestamp::now();
        let filter =
            ExecutionFilter { until: Some(filter.until.map_or(now, |until| until.min(now))), ..filter.clone() };
        delete_eldest(&self.0.database, user, filter, u64::MAX).await
    }

    /// Forgets what is too old, and what is too much.
    ///
    /// # Errors
    /// The database's.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), ServiceError> {
        let Inner { database, policy, .. } = &*self.0;
        let most = u64::from(REMOVED);
        while database.delete_old_execution_outputs(before(now, policy.keep_outputs), REMOVED).await? == most {}
        while database.delete_old_executions(before(now, policy.keep), REMOVED).await? == most {}
        let mut last = None;
        loop {
            let users = database.users_with_executions(last, USERS).await?;
            for user in &users {
                queue::keep_within(database, policy, *user).await?;
            }
            last = users.last().copied();
            if users.len() < USERS as usize {
                return Ok(());
            }
        }
    }

    /// Waits until all that has ended is written down, or for so long.
    pub async fn flush(&self, patience: Duration) {
        self.0.queue.flush(patience).await;
    }

    /// Waits until all that still runs has ended and is written down, or for so long.
    pub async fn close(&self, patience: Duration) {
        self.0.queue.close(patience).await;
    }

    /// How the writing goes.
    pub fn recording_stats(&self) -> RecordingStats {
        self.0.queue.stats()
    }

    /// Lets what was answered be found.
    async fn settle(&self) {
        self.flush(PATIENCE).await;
    }

    /// A cell has ended.
    fn count(&self, execution: &Execution) {
        if let Some(told) = self.0.told.get() {
            told(execution);
        }
    }

    fn queue(&self) -> &Queue {
        &self.0.queue
    }

    fn policy(&self) -> &ExecutionPolicy {
        &self.0.policy
    }
}

/// Forgets those of a user's executions that a filter lets through, the eldest first, at most `most` of them, and tells
/// how many.
async fn delete_eldest(
    database: &Database,
    user: UserId,
    mut filter: ExecutionFilter,
    most: u64,
) -> Result<u64, ServiceError> {
    let mut total = 0;
    while total < most {
        let limit = u32::try_from(most - total).unwrap_or(u32::MAX).min(REMOVED);
        // Nobody who writes waits for the search, and each begins where the one before has ended.
        let eldest = database.eldest_executions(user, &filter, limit).await?;
        let ids: Vec<_> = eldest.iter().map(|(id, _)| *id).collect();
        total += database.delete_executions(user, &ids).await?;
        match eldest.last() {
            Some((_, began)) if ids.len() == limit as usize => filter.since = filter.since.max(Some(*began)),
            _ => break,
        }
    }
    Ok(total)
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}
