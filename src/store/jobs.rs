//! Jobs: a queue that survives restarts, and works each job to one effect.
//!
//! A worker *claims* a job for some time, its lease, and renews the lease while it works. A worker that is not heard of
//! any more loses it, and the job goes back to the queue. Each claim has a greater number than the one before, and only
//! the last one's holder may write: a worker that was thought dead and comes back changes nothing.

mod objects;
mod work;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::any::AnyRow;

use super::Database;
use super::error::StoreError;
use super::rows::{Columns as _, clean, json, micros, now, number};
use super::tiers::lock_user;
use super::transaction::Write;
use crate::domain::{EnvironmentId, Job, JobEvent, JobId, JobState, Page, PageRequest, UserId};

pub use objects::JobObject;
use objects::free_objects;
pub(super) use objects::hold_files;
pub(super) use work::end_job;
pub use work::{Expired, Lease, LeaseLost};

/// A kind's name is not longer.
const MAX_KIND_BYTES: usize = 64;
/// Of a user's jobs that are over so many are kept, the latest.
const MAX_ENDED: i64 = 1000;
/// Of so many of them, the latest, what happened is kept, too.
const MAX_TOLD: i64 = 100;
/// Events of one answer.
const MAX_EVENTS: u32 = 1000;
const OPEN_JOBS: &str = "SELECT COUNT(*) AS open FROM jobs WHERE user_id = $1 AND state IN ('queued', 'running')";

/// A job to be done.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Who wants it.
    pub user: UserId,
    /// The environment it is about.
    pub environment: Option<EnvironmentId>,
    /// What is to be done: `install`, ...
    pub kind: String,
    /// The details.
    pub request: Value,
}

/// Why something could not be done with a job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The user has no such job, or no longer.
    #[error("there is no such job")]
    NotFound,
    /// The user has as many jobs in the queue as one may.
    #[error("{open} jobs are not over yet")]
    TooMany {
        /// How many there are.
        open: u64,
    },
    /// The user has no such document.
    #[error("there is no such document")]
    NoDocument,
    /// The job has another worker now, or is over.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// The database's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for JobError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The columns that [`read`] reads.
macro_rules! columns {
    () => {
        "id, user_id, environment_id, kind, request, state, last_event, result, error, cancel_requested, created_at, \
         started_at, finished_at"
    };
}
use columns;

impl Database {
    /// Puts a job in the queue, unless `most` of the user's are not over yet: two requests at once never pass together.
    ///
    /// # Errors
    /// [`JobError::TooMany`].
    pub async fn enqueue(&self, new: &NewJob, most: u64) -> Result<Job, JobError> {
        let mut write = self.write().await?;
        lock_user(&mut write, new.user).await?;
        let job = insert_job(&mut write, new, most).await?;
        write.commit().await?;
        Ok(job)
    }

    /// A job of the user.
    ///
    /// # Errors
    /// The user has no such job.
    pub async fn job(&self, user: UserId, id: JobId) -> Result<Job, JobError> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM jobs WHERE id = $1 AND user_id = $2"));
        let row = row.bind(id.to_string()).bind(user.to_string()).fetch_optional(self.pool()).await?;
        Ok(read(&row.ok_or(JobError::NotFound)?)?)
    }

    /// How many jobs of the user are not over.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_jobs(&self, user: UserId) -> Result<u64, StoreError> {
        let row = sqlx::query(OPEN_JOBS).bind(user.to_string()).fetch_one(self.pool()).await?;
        row.count("open")
    }

    /// The user's jobs, the latest first, of one state or all; without the details of what was asked and of what came of
    /// it, which may be long.
    ///
    /// # Errors
    /// The database's.
    pub async fn jobs(
        &self,
        user: UserId,
        state: Option<JobState>,
        request: PageRequest,
    ) -> Result<Page<Job>, StoreError> {
        let (user, state) = (user.to_string(), state.map(JobState::as_str));
        let total = sqlx::query(
            "SELECT COUNT(*) AS total FROM jobs WHERE user_id = $1 AND (state = $2 OR CAST($2 AS TEXT) IS NULL)",
        );
        let total = total.bind(user.clone()).bind(state).fetch_one(self.pool()).await?.count("total")?;
        let rows = sqlx::query(
            "SELECT id, user_id, environment_id, kind, 'null' AS request, state, last_event, CAST(NULL AS TEXT) AS result,
                error, cancel_requested, created_at, started_at, finished_at
            FROM jobs WHERE user_id = $1 AND (state = $2 OR CAST($2 AS TEXT) IS NULL)
            ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4"
        );
        let rows = rows.bind(user).bind(state);
        let rows = rows.bind(i64::from(request.page_size())).bind(number(request.offset()));
        let rows = rows.fetch_all(self.pool()).await?;
        Ok(Page { items: rows.iter().map(read).collect::<Result<_, _>>()?, total, request })
    }

    /// What happened in a job of the user after the event of number `after`, at most 1000 events.
    ///
    /// # Errors
    /// The user has no such job.
    pub async fn job_events(&self, user: UserId, id: JobId, after: u64) -> Result<Vec<JobEvent>, JobError> {
        self.job(user, id).await?;
        let rows =
            sqlx::query("SELECT seq, at, event FROM job_events WHERE job_id = $1 AND seq > $2 ORDER BY seq LIMIT $3");
        let rows = rows.bind(id.to_string()).bind(number(after)).bind(i64::from(MAX_EVENTS));
        let rows = rows.fetch_all(self.pool()).await?;
        let read =
            |row: &AnyRow| Ok(JobEvent { seq: row.count("seq")?, at: row.time("at")?, event: row.json("event")? });
        rows.iter().map(read).collect()
    }

    /// Says that the user does not want a job any more. One that waits ends here; one that runs is told at its next
    /// [`Database::renew`]; one that is over stays as it is.
    ///
    /// # Errors
    /// The user has no such job.
    pub async fn request_cancel(&self, user: UserId, id: JobId) -> Result<Job, JobError> {
        let mut write = self.write().await?;
        let update = sqlx::query(concat!(
            "UPDATE jobs SET
                finished_at = CASE WHEN state = 'queued' THEN $3 ELSE finished_at END,
                cancel_requested = CASE WHEN state IN ('queued', 'running') THEN 1 ELSE cancel_requested END,
                state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END
            WHERE id = $1 AND user_id = $2 RETURNING ",
            columns!()
        ));
        let update = update.bind(id.to_string()).bind(user.to_string()).bind(micros(now()));
        let job = read(&update.fetch_optional(write.on()).await?.ok_or(JobError::NotFound)?)?;
        if job.state == JobState::Cancelled {
            free_objects(&mut write, job.id).await?;
        }
        write.commit().await?;
        Ok(job)
    }

    /// Removes jobs that ended before `before`, with their events, at most `limit` of them, and tells how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_old_jobs(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut write = self.write().await?;
        let delete = sqlx::query(
            "DELETE FROM jobs WHERE id IN
                (SELECT id FROM jobs WHERE finished_at < $1 ORDER BY finished_at LIMIT $2)",
        );
        let delete = delete.bind(micros(before)).bind(i64::from(limit));
        let deleted = delete.execute(write.on()).await?.rows_affected();
        write.commit().await?;
        Ok(deleted)
    }
}

/// Puts a job in the queue, in a transaction that holds the user. The eldest of those that are over make room, and
/// their events before them.
pub(super) async fn insert_job(write: &mut Write, new: &NewJob, most: u64) -> Result<Job, JobError> {
    let job = Job {
        id: JobId::new(),
        user_id: new.user,
        environment_id: new.environment,
        kind: clean(&new.kind, MAX_KIND_BYTES),
        request: new.request.clone(),
        state: JobState::Queued,
        last_event: 0,
        result: None,
        error: None,
        cancel_requested: false,
        created_at: now(),
        started_at: None,
        finished_at: None,
    };
    let open = sqlx::query(OPEN_JOBS).bind(new.user.to_string()).fetch_one(write.on()).await?.count("open")?;
    if open >= most {
        return Err(JobError::TooMany { open });
    }
    sqlx::query(
        "INSERT INTO jobs (id, user_id, environment_id, kind, request, state, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(job.id.to_string())
    .bind(job.user_id.to_string())
    .bind(job.environment_id.map(|id| id.to_string()))
    .bind(job.kind.clone())
    .bind(json(&job.request)?)
    .bind(job.state.as_str())
    .bind(micros(job.created_at))
    .execute(write.on())
    .await?;
    // Several, for those of earlier servers.
    let trim = sqlx::query(
        "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE user_id = $1 AND finished_at IS NOT NULL
            ORDER BY finished_at DESC, id DESC LIMIT 10 OFFSET $2)",
    );
    trim.bind(new.user.to_string()).bind(MAX_ENDED).execute(write.on()).await?;
    // Of all that are left: any number may have ended since the last one was made.
    let forget = sqlx::query(
        "DELETE FROM job_events WHERE job_id IN (SELECT id FROM jobs WHERE user_id = $1 AND finished_at IS NOT NULL
            ORDER BY finished_at DESC, id DESC LIMIT $2 OFFSET $3)",
    );
    forget.bind(new.user.to_string()).bind(MAX_ENDED).bind(MAX_TOLD).execute(write.on()).await?;
    Ok(job)
}

/// The job in a row.
fn read(row: &AnyRow) -> Result<Job, StoreError> {
    Ok(Job {
        id: row.parsed("id")?,
        user_id: row.parsed("user_id")?,
        environment_id: row.maybe_parsed("environment_id")?,
        kind: row.text("kind")?,
        request: row.json("request")?,
        state: row.parsed("state")?,
        last_event: row.count("last_event")?,
        result: row.maybe_json("result")?,
        error: row.maybe_text("error")?,
        cancel_requested: row.flag("cancel_requested")?,
        created_at: row.time("created_at")?,
        started_at: row.maybe_time("started_at")?,
        finished_at: row.maybe_time("finished_at")?,
    })
}
