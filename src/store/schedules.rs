//! Schedules of documents: who is due, and the job that is made for it.
//!
//! A schedule that is due is moved to its next time in the transaction that makes its job, while the user is held: of
//! several servers that see it, one makes the job. That a run of a schedule has one job is a rule of the table, too.

mod fire;

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::Database;
use super::documents::summary_in;
use super::error::StoreError;
use super::rows::{Columns as _, micros, now, number};
use super::tiers::lock_user;
use super::transaction::Write;
use crate::domain::{
    CronExpression, DocumentId, EnvironmentId, JobState, Page, PageRequest, Schedule, ScheduleId, TimeZoneName, UserId,
};

pub use fire::Fired;

/// When a document is to be rendered.
#[derive(Debug, Clone)]
pub struct NewSchedule {
    /// When.
    pub cron: CronExpression,
    /// By which clock.
    pub time_zone: TimeZoneName,
    /// Where its code is to run; none: as the document has it.
    pub environment_id: Option<EnvironmentId>,
    /// Whether all cells are run.
    pub fresh: bool,
    /// Whether it runs at all.
    pub enabled: bool,
    /// When it is due first.
    pub next_run_at: Timestamp,
}

/// Why something could not be done with a schedule.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// The document of that id has no schedule, or the user has no such document.
    #[error("there is no such schedule")]
    NotFound,
    /// The user has no such document.
    #[error("there is no such document")]
    NoDocument,
    /// The user has no such environment.
    #[error("there is no such environment")]
    NoEnvironment,
    /// The user has as many as one may.
    #[error("one may have {most} schedules; delete one of yours first")]
    TooMany {
        /// How many.
        most: u64,
    },
    /// The database's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ScheduleError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Schedules with the state of their last job; a condition follows.
macro_rules! schedules {
    () => {
        "SELECT s.id AS id, s.user_id AS user_id, s.document_id AS document_id, s.cron AS cron, \
         s.time_zone AS time_zone, s.environment_id AS environment_id, s.fresh AS fresh, s.enabled AS enabled, \
         s.disabled_reason AS disabled_reason, s.next_run_at AS next_run_at, s.last_run_at AS last_run_at, \
         s.last_job_id AS last_job_id, s.is_counted AS is_counted, s.last_skipped AS last_skipped, \
         s.failures AS failures, s.created_at AS created_at, s.updated_at AS updated_at, j.state AS last_outcome \
         FROM schedules s LEFT JOIN jobs j ON j.id = s.last_job_id WHERE "
    };
}

impl Database {
    /// Gives a document a schedule, in place of one that it has: what came of that one's runs stays, but for failures.
    ///
    /// # Errors
    /// The user has no such document or environment, or `most` schedules already.
    pub async fn put_schedule(
        &self,
        user: UserId,
        document: DocumentId,
        new: &NewSchedule,
        most: u64,
    ) -> Result<Schedule, ScheduleError> {
        let mut write = self.write().await?;
        lock_user(&mut write, user).await?;
        summary_in(&mut write, user, document).await?.ok_or(ScheduleError::NoDocument)?;
        if let Some(id) = new.environment_id {
            let found =
                sqlx::query("SELECT id FROM environments WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL");
            let found = found.bind(id.to_string()).bind(user.to_string()).fetch_optional(write.on()).await?;
            found.ok_or(ScheduleError::NoEnvironment)?;
        }
        let others = sqlx::query("SELECT COUNT(*) AS others FROM schedules WHERE user_id = $1 AND document_id <> $2");
        let others = others.bind(user.to_string()).bind(document.to_string());
        if others.fetch_one(write.on()).await?.count("others")? >= most {
            return Err(ScheduleError::TooMany { most });
        }
        let insert = sqlx::query(
            "INSERT INTO schedules (id, document_id, user_id, cron, time_zone, environment_id, fresh, enabled,
                next_run_at, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
            ON CONFLICT (document_id) DO UPDATE SET cron = excluded.cron, time_zone = excluded.time_zone,
                environment_id = excluded.environment_id, fresh = excluded.fresh, enabled = excluded.enabled,
                next_run_at = excluded.next_run_at, updated_at = excluded.updated_at, disabled_reason = NULL,
                last_skipped = NULL, failures = 0, is_counted = 1",
        );
        insert
            .bind(ScheduleId::new().to_string())
            .bind(document.to_string())
            .bind(user.to_string())
            .bind(new.cron.as_str().to_owned())
            .bind(new.time_zone.as_str().to_owned())
            .bind(new.environment_id.map(|id| id.to_string()))
            .bind(i64::from(new.fresh))
            .bind(i64::from(new.enabled))
            .bind(micros(new.next_run_at))
            .bind(micros(now()))
            .execute(write.on())
            .await?;
        let row = sqlx::query(concat!(schedules!(), "s.document_id = $1")).bind(document.to_string());
        let schedule = read(&row.fetch_one(write.on()).await?)?;
        write.commit().await?;
        Ok(schedule)
    }

    /// The schedule of a document of the user, also of one in the bin.
    ///
    /// # Errors
    /// There is none.
    pub async fn schedule(&self, user: UserId, document: DocumentId) -> Result<Schedule, ScheduleError> {
        let row = sqlx::query(concat!(schedules!(), "s.document_id = $1 AND s.user_id = $2"));
        let row = row.bind(document.to_string()).bind(user.to_string()).fetch_optional(self.pool()).await?;
        Ok(read(&row.ok_or(ScheduleError::NotFound)?)?)
    }

    /// The user's schedules, the eldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn schedules(&self, user: UserId, request: PageRequest) -> Result<Page<Schedule>, StoreError> {
        let total = sqlx::query("SELECT COUNT(*) AS total FROM schedules WHERE user_id = $1").bind(user.to_string());
        let total = total.fetch_one(self.pool()).await?.count("total")?;
        let rows = sqlx::query(concat!(schedules!(), "s.user_id = $1 ORDER BY s.created_at, s.id LIMIT $2 OFFSET $3"));
        let rows = rows.bind(user.to_string()).bind(i64::from(request.page_size())).bind(number(request.offset()));
        let rows = rows.fetch_all(self.pool()).await?;
        Ok(Page { items: rows.iter().map(read).collect::<Result<_, _>>()?, total, request })
    }

    /// Takes its schedule from a document. A job that was made for it stays.
    ///
    /// # Errors
    /// There is none.
    pub async fn delete_schedule(&self, user: UserId, document: DocumentId) -> Result<(), ScheduleError> {
        let mut write = self.write().await?;
        lock_user(&mut write, user).await?;
        let delete = sqlx::query("DELETE FROM schedules WHERE document_id = $1 AND user_id = $2");
        let delete = delete.bind(document.to_string()).bind(user.to_string()).execute(write.on()).await?;
        if delete.rows_affected() == 0 {
            return Err(ScheduleError::NotFound);
        }
        Ok(write.commit().await?)
    }

    /// Schedules that are due at that time, those that wait longest first. One that this program does not understand (its
    /// time zone is no more) is disabled.
    ///
    /// # Errors
    /// The database's.
    pub async fn due_schedules(&self, now: Timestamp, limit: u32) -> Result<Vec<Schedule>, StoreError> {
        let rows = sqlx::query(concat!(
            schedules!(),
            "s.enabled = 1 AND s.next_run_at <= $1 ORDER BY s.next_run_at, s.id LIMIT $2"
        ));
        let rows = rows.bind(micros(now)).bind(i64::from(limit)).fetch_all(self.pool()).await?;
        let mut due = Vec::with_capacity(rows.len());
        for row in &rows {
            match read(row) {
                Ok(schedule) => due.push(schedule),
                Err(error) => {
                    let id = row.text("id")?;
                    tracing::warn!(id, %error, "a schedule is not understood: it is disabled");
                    let mut write = self.write().await?;
                    let reason = "its expression or its time zone is not understood any more";
                    let update = sqlx::query("UPDATE schedules SET enabled = 0, disabled_reason = $2 WHERE id = $1");
                    update.bind(id).bind(reason).execute(write.on()).await?;
                    write.commit().await?;
                }
            }
        }
        Ok(due)
    }

    /// When the next schedule is due.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = sqlx::query("SELECT MIN(next_run_at) AS due FROM schedules WHERE enabled = 1");
        row.fetch_one(self.pool()).await?.maybe_time("due")
    }
}

/// The schedule in a row of `schedules!`. The end of its last job counts, whether it was counted yet or not.
fn read(row: &AnyRow) -> Result<Schedule, StoreError> {
    let enabled = row.flag("enabled")?;
    let last_outcome: Option<JobState> = row.maybe_parsed("last_outcome")?;
    let counted = u32::try_from(row.int("failures")?).unwrap_or(u32::MAX);
    let failures = match last_outcome {
        Some(JobState::Failed) if !row.flag("is_counted")? => counted.saturating_add(1),
        Some(JobState::Succeeded) if !row.flag("is_counted")? => 0,
        _ => counted,
    };
    Ok(Schedule {
        id: row.parsed("id")?,
        user_id: row.parsed("user_id")?,
        document_id: row.parsed("document_id")?,
        cron: row.parsed("cron")?,
        time_zone: row.parsed("time_zone")?,
        environment_id: row.maybe_parsed("environment_id")?,
        fresh: row.flag("fresh")?,
        enabled,
        disabled_reason: row.maybe_text("disabled_reason")?,
        next_run_at: enabled.then(|| row.time("next_run_at")).transpose()?,
        last_run_at: row.maybe_time("last_run_at")?,
        last_job_id: row.maybe_parsed("last_job_id")?,
        last_outcome,
        last_skipped: row.maybe_text("last_skipped")?,
        failures,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

/// A schedule as it is in a transaction that holds the user, if it is still as it was read.
async fn unchanged(write: &mut Write, seen: &Schedule) -> Result<Option<Schedule>, StoreError> {
    let row =
        sqlx::query(concat!(schedules!(), "s.id = $1 AND s.enabled = 1 AND s.next_run_at = $2 AND s.updated_at = $3"));
    let row = row.bind(seen.id.to_string()).bind(seen.next_run_at.map(micros)).bind(micros(seen.updated_at));
    row.fetch_optional(write.on()).await?.map(|row| read(&row)).transpose()
}
