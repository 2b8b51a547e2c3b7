//! A schedule whose time has come.

use jiff::Timestamp;

use super::unchanged;
use crate::domain::{DocumentSummary, Job, JobState, Schedule};
use crate::store::documents::summary_in;
use crate::store::error::StoreError;
use crate::store::jobs::{hold_files, insert_job};
use crate::store::rows::{Columns as _, clean, micros, now};
use crate::store::tiers::lock_user;
use crate::store::transaction::Write;
use crate::store::{Database, JobError, NewJob};

/// A schedule that came to nothing so often in a row is disabled.
const MAX_FAILURES: u32 = 10;
/// A reason is not longer.
const MAX_REASON_BYTES: usize = 1000;

/// What became of a schedule that was due.
#[derive(Debug, Clone, PartialEq)]
pub enum Fired {
    /// A job was made.
    Job(Box<Job>),
    /// This time none was made.
    Skipped {
        /// Why, in words for its user.
        reason: String,
    },
    /// No more jobs are made.
    Disabled {
        /// Why, in words for its user.
        reason: String,
    },
    /// Another server was faster, or it was changed meanwhile.
    Lost,
}

impl Database {
    /// Makes the job of a schedule that is due, as [`Database::due_schedules`] has it, and moves the schedule to `next`,
    /// all at once; `describe` says what is to be done with the document as it is now. No job is made while the one before
    /// is not over, `most` jobs of the user are not, the user is shut out, or the document is in the bin. After ten times
    /// in a row that came to nothing, or without a next time, the schedule is disabled.
    ///
    /// # Errors
    /// The database's.
    pub async fn fire_schedule(
        &self,
        seen: &Schedule,
        next: Option<Timestamp>,
        describe: impl FnOnce(&DocumentSummary) -> NewJob + Send,
        most: u64,
    ) -> Result<Fired, StoreError> {
        let mut write = self.write().await?;
        match lock_user(&mut write, seen.user_id).await {
            Err(StoreError::Missing { .. }) => return Ok(Fired::Lost),
            locked => locked?,
        };
        let Some(schedule) = unchanged(&mut write, seen).await? else { return Ok(Fired::Lost) };
        let document = summary_in(&mut write, schedule.user_id, schedule.document_id).await?;
        let failures = schedule.failures.saturating_add(u32::from(document.is_none()));
        let fired = match (document, next) {
            (_, None) => Fired::Disabled { reason: "its time never comes again".to_owned() },
            _ if failures >= MAX_FAILURES => Fired::Disabled { reason: given_up(&mut write, &schedule).await? },
            (None, _) => Fired::Skipped { reason: "the document is in the bin".to_owned() },
            (Some(document), _) => match obstacle(&mut write, &schedule).await? {
                Some(reason) => Fired::Skipped { reason },
                None => match insert_job(&mut write, &describe(&document), most).await {
                    Ok(job) => {
                        hold_files(&mut write, &job, document.id).await?;
                        Fired::Job(Box::new(job))
                    }
                    Err(JobError::TooMany { open }) => {
                        Fired::Skipped { reason: format!("{open} of your jobs were not over yet") }
                    }
                    Err(JobError::Store(error)) => return Err(error),
                    Err(error) => return Err(StoreError::Query { reason: error.to_string() }),
                },
            },
        };
        note(&mut write, &schedule, failures, next, &fired).await?;
        write.commit().await?;
        Ok(fired)
    }

    /// Moves a schedule to `next` that [`Database::fire_schedule`] can't do anything about, and says why no job was
    /// made. It touches nothing but the schedule's row: another one may be what is wrong.
    ///
    /// # Errors
    /// The database's.
    pub async fn postpone_schedule(&self, seen: &Schedule, next: Timestamp, reason: &str) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let update = sqlx::query(
            "UPDATE schedules SET next_run_at = $3, last_skipped = $4
            WHERE id = $1 AND enabled = 1 AND next_run_at = $2",
        );
        let update = update.bind(seen.id.to_string()).bind(seen.next_run_at.map(micros)).bind(micros(next));
        update.bind(clean(reason, MAX_REASON_BYTES)).execute(write.on()).await?;
        write.commit().await
    }
}

/// Why a schedule can't run this time though its document is there.
async fn obstacle(write: &mut Write, schedule: &Schedule) -> Result<Option<String>, StoreError> {
    let suspended = sqlx::query("SELECT id FROM users WHERE id = $1 AND suspended_at <= $2");
    let suspended = suspended.bind(schedule.user_id.to_string()).bind(micros(now()));
    if suspended.fetch_optional(write.on()).await?.is_some() {
        return Ok(Some("the account is suspended".to_owned()));
    }
    let open = sqlx::query(
        "SELECT id FROM jobs WHERE schedule_id = $1 AND (state IN ('queued', 'running') OR due_at = $2) LIMIT 1",
    );
    let open = open.bind(schedule.id.to_string()).bind(schedule.next_run_at.map(micros));
    let open = open.fetch_optional(write.on()).await?;
    Ok(open.map(|_| "the run before was not over yet".to_owned()))
}

/// Why a schedule is given up.
async fn given_up(write: &mut Write, schedule: &Schedule) -> Result<String, StoreError> {
    let last = schedule.last_job_id.map(|id| id.to_string());
    let row = sqlx::query("SELECT error FROM jobs WHERE id = $1").bind(last).fetch_optional(write.on()).await?;
    let error = row.map(|row| row.maybe_text("error")).transpose()?.flatten();
    let last = schedule.last_skipped.clone().or(error).unwrap_or_else(|| "the document is in the bin".to_owned());
    Ok(clean(&format!("it came to nothing {MAX_FAILURES} times in a row; the last time: {last}"), MAX_REASON_BYTES))
}

async fn note(
    write: &mut Write,
    schedule: &Schedule,
    failures: u32,
    next: Option<Timestamp>,
    fired: &Fired,
) -> Result<(), StoreError> {
    let (job, skipped, disabled) = match fired {
        Fired::Job(job) => (Some(job), None, None),
        Fired::Skipped { reason } => (None, Some(reason.clone()), None),
        Fired::Disabled { reason } => (None, schedule.last_skipped.clone(), Some(reason.clone())),
        Fired::Lost => return Ok(()),
    };
    if let Some(job) = job {
        let update = sqlx::query("UPDATE jobs SET schedule_id = $2, due_at = $3 WHERE id = $1");
        let update = update.bind(job.id.to_string()).bind(schedule.id.to_string());
        update.bind(schedule.next_run_at.map(micros)).execute(write.on()).await?;
    }
    // The end of a job that goes on is counted the next time.
    let goes_on = matches!(schedule.last_outcome, Some(JobState::Queued | JobState::Running));
    let update = sqlx::query(
        "UPDATE schedules SET next_run_at = COALESCE($2, next_run_at), failures = $3, is_counted = $4,
            last_skipped = $5, disabled_reason = $6, enabled = $7, last_job_id = COALESCE($8, last_job_id),
            last_run_at = COALESCE($9, last_run_at)
        WHERE id = $1",
    );
    update
        .bind(schedule.id.to_string())
        .bind(next.map(micros))
        .bind(i64::from(failures))
        .bind(i64::from(job.is_none() && !goes_on))
        .bind(skipped)
        .bind(disabled.clone())
        .bind(i64::from(disabled.is_none()))
        .bind(job.map(|job| job.id.to_string()))
        .bind(job.map(|job| micros(job.created_at)))
        .execute(write.on())
        .await?;
    Ok(())
}
