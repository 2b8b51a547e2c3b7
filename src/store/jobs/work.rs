//! The worker's side of a job.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::objects::free_objects;
use super::{JobError, columns, read};
use crate::domain::{Job, JobEnd, JobId, JobState, UserId};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, clean, json, micros, now, placeholders};
use crate::store::transaction::{Lock, Write};

/// A job whose worker was lost so often is not tried again: it may be what ends them.
const MAX_LOST_LEASES: i64 = 3;
/// A reason that is kept is not longer.
const MAX_ERROR_BYTES: usize = 16 << 10;
/// A worker's name is not longer.
const MAX_OWNER_BYTES: usize = 200;
/// Events of one statement.
const ROWS_AT_ONCE: usize = 100;

/// The right to work on a job, until somebody else gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    job: JobId,
    attempt: i64,
}

impl Lease {
    /// Which job.
    pub fn job(&self) -> JobId {
        self.job
    }
}

/// The job has another worker now, or is over: what this one does about it is not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the job is over, or was given to another worker")]
pub struct LeaseLost;

/// What became of the jobs of lost workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    /// Jobs that are in the queue again.
    pub requeued: u64,
    /// Jobs that were given up.
    pub failed: u64,
}

impl Database {
    /// Takes a job of these kinds out of the queue, if there is one, for `lease`: the eldest of the user of whom the fewest
    /// go on, so that who has many does not hold up the others. Of an environment in which one goes on already none is
    /// taken: it would only wait. `owner` says who, for those who look.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim(
        &self,
        owner: &str,
        kinds: &[&str],
        lease: Duration,
    ) -> Result<Option<(Job, Lease)>, StoreError> {
        self.claim_except(owner, kinds, &[], lease).await
    }

    /// As [`Database::claim`], but no job of one of these kinds and users.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim_except(
        &self,
        owner: &str,
        kinds: &[&str],
        except: &[(&str, UserId)],
        lease: Duration,
    ) -> Result<Option<(Job, Lease)>, StoreError> {
        if kinds.is_empty() {
            return Ok(None);
        }
        let mut write = self.write().await?;
        // Two servers take two different jobs without waiting for each other.
        let skip = write.dialect().pick("", "FOR UPDATE SKIP LOCKED");
        let kind_placeholders: Vec<_> = (4..kinds.len() + 4).map(|number| format!("${number}")).collect();
        let except_placeholders = (0..except.len()).map(|number| {
            let first = 4 + kinds.len() + 2 * number;
            format!("AND NOT (kind = ${first} AND user_id = ${})", first + 1)
        });
        let update = format!(
            "UPDATE jobs SET state = 'running', attempt = attempt + 1, lease_owner = $1, lease_until = $2,
                -- It may have been made while this was on its way.
                started_at = COALESCE(started_at, CASE WHEN created_at > $3 THEN created_at ELSE $3 END)
            WHERE id = (SELECT id FROM jobs waiting WHERE state = 'queued' AND kind IN ({}) {}
                AND NOT EXISTS (SELECT 1 FROM jobs runs
                    WHERE runs.state = 'running' AND runs.environment_id = waiting.environment_id)
                ORDER BY (SELECT COUNT(*) FROM jobs own WHERE own.state = 'running' AND own.user_id = waiting.user_id),
                    created_at, id LIMIT 1 {skip})
            RETURNING attempt, {}",
            kind_placeholders.join(", "),
            except_placeholders.collect::<Vec<_>>().join(" "),
            columns!(),
        );
        let now = now();
        // Nothing but numbers of placeholders and constants was put in.
        let mut update = sqlx::query(AssertSqlSafe(update));
        update = update.bind(clean(owner, MAX_OWNER_BYTES)).bind(micros(after(now, lease))).bind(micros(now));
        for kind in kinds {
            update = update.bind((*kind).to_owned());
        }
        for (kind, user) in except {
            update = update.bind((*kind).to_owned()).bind(user.to_string());
        }
        let Some(row) = update.fetch_optional(write.on()).await? else { return Ok(None) };
        let job = read(&row)?;
        let lease = Lease { job: job.id, attempt: row.int("attempt")? };
        write.commit().await?;
        Ok(Some((job, lease)))
    }

    /// Says that the worker is still there, for `lease` from now, and asks whether the job's user still wants it: true
    /// when it should be cancelled.
    ///
    /// # Errors
    /// [`JobError::LeaseLost`] when the worker should stop.
    pub async fn renew(&self, lease: &Lease, time: Duration) -> Result<bool, JobError> {
        let mut write = self.write().await?;
        let update = sqlx::query(
            "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND attempt = $2 AND state = 'running'
            RETURNING cancel_requested",
        );
        let update = update.bind(lease.job.to_string()).bind(lease.attempt).bind(micros(after(now(), time)));
        let cancel = update.fetch_optional(write.on()).await?.ok_or(LeaseLost)?.flag("cancel_requested")?;
        write.commit().await?;
        Ok(cancel)
    }

    /// Adds what happened, in this order, and returns the number of the last event, and the time of all of them.
    ///
    /// # Errors
    /// [`JobError::LeaseLost`] when the worker should stop.
    pub async fn append_events(&self, lease: &Lease, events: &[Value]) -> Result<(u64, Timestamp), JobError> {
        let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
        let mut write = self.write().await?;
        let update = sqlx::query(
            "UPDATE jobs SET last_event = last_event + $3 WHERE id = $1 AND attempt = $2 AND state = 'running'
            RETURNING last_event",
        );
        let update = update.bind(lease.job.to_string()).bind(lease.attempt).bind(count);
        let last = update.fetch_optional(write.on()).await?.ok_or(LeaseLost)?.int("last_event")?;
        let mut seq = last.saturating_sub(count);
        let at = now();
        for events in events.chunks(ROWS_AT_ONCE) {
            let rows = placeholders(events.len(), 4);
            // Nothing but numbers of placeholders was put in.
            let mut insert =
                sqlx::query(AssertSqlSafe(format!("INSERT INTO job_events (job_id, seq, at, event) VALUES {rows}")));
            for event in events {
                seq += 1;
                insert = insert.bind(lease.job.to_string()).bind(seq).bind(micros(at)).bind(json(event)?);
            }
            insert.execute(write.on()).await?;
        }
        write.commit().await?;
        Ok((u64::try_from(last).unwrap_or_default(), at))
    }

    /// Ends a job.
    ///
    /// # Errors
    /// [`JobError::LeaseLost`] when it is over already, or has another worker: it ends once.
    pub async fn finish(&self, lease: &Lease, end: &JobEnd) -> Result<(), JobError> {
        let mut write = self.write().await?;
        end_job(&mut write, lease, end).await??;
        Ok(write.commit().await?)
    }

    /// Puts a job back in the queue that its worker has no time for: the server stops.
    ///
    /// # Errors
    /// [`JobError::LeaseLost`] when it is over already, or has another worker.
    pub async fn release(&self, lease: &Lease) -> Result<(), JobError> {
        let mut write = self.write().await?;
        let update = sqlx::query(
            "UPDATE jobs SET state = 'queued', lease_owner = NULL, lease_until = NULL
            WHERE id = $1 AND attempt = $2 AND state = 'running'",
        );
        let update = update.bind(lease.job.to_string()).bind(lease.attempt);
        if update.execute(write.on()).await?.rows_affected() == 0 {
            return Err(LeaseLost.into());
        }
        Ok(write.commit().await?)
    }

    /// Puts jobs back in the queue whose workers were not heard of in time; call it at start and now and then. One that
    /// has lost three workers fails, and one that its user does not want any more is cancelled.
    ///
    /// # Errors
    /// The database's.
    pub async fn requeue_expired(&self) -> Result<Expired, StoreError> {
        let now = micros(now());
        let mut write = self.write().await?;
        write.lock(Lock::Leases).await?;
        let cancelled = sqlx::query(
            "UPDATE jobs SET state = 'cancelled', finished_at = $1, lease_owner = NULL, lease_until = NULL
            WHERE state = 'running' AND lease_until <= $1 AND cancel_requested = 1 RETURNING id",
        );
        let cancelled = cancelled.bind(now).fetch_all(write.on()).await?;
        let failed = sqlx::query(
            "UPDATE jobs SET state = 'failed', finished_at = $1, lease_owner = NULL, lease_until = NULL,
                lost_leases = lost_leases + 1, error = 'the server stopped each time while it worked on this'
            WHERE state = 'running' AND lease_until <= $1 AND lost_leases + 1 >= $2 RETURNING id",
        );
        let failed = failed.bind(now).bind(MAX_LOST_LEASES).fetch_all(write.on()).await?;
        for row in cancelled.iter().chain(&failed) {
            free_objects(&mut write, row.parsed("id")?).await?;
        }
        let requeued = sqlx::query(
            "UPDATE jobs SET state = 'queued', lease_owner = NULL, lease_until = NULL, lost_leases = lost_leases + 1
            WHERE state = 'running' AND lease_until <= $1",
        );
        let requeued = requeued.bind(now).execute(write.on()).await?.rows_affected();
        write.commit().await?;
        Ok(Expired { requeued, failed: failed.len() as u64 })
    }
}

/// Ends a job in a transaction that does more: both happen, or neither.
pub(in crate::store) async fn end_job(
    write: &mut Write,
    lease: &Lease,
    end: &JobEnd,
) -> Result<Result<(), LeaseLost>, StoreError> {
    let (state, result, error) = match end {
        JobEnd::Succeeded(result) => (JobState::Succeeded, Some(json(result)?), None),
        JobEnd::Failed(error) => (JobState::Failed, None, Some(clean(error, MAX_ERROR_BYTES))),
        JobEnd::Cancelled => (JobState::Cancelled, None, None),
    };
    let update = sqlx::query(
        "UPDATE jobs SET state = $3, result = $4, error = $5, finished_at = $6, lease_owner = NULL, lease_until = NULL
        WHERE id = $1 AND attempt = $2 AND state = 'running'",
    );
    let update = update.bind(lease.job.to_string()).bind(lease.attempt).bind(state.as_str());
    let update = update.bind(result).bind(error).bind(micros(now()));
    if update.execute(write.on()).await?.rows_affected() == 0 {
        return Ok(Err(LeaseLost));
    }
    free_objects(write, lease.job).await?;
    Ok(Ok(()))
}

/// The instant so long after another; the end of time, where that would be later.
fn after(start: Timestamp, time: Duration) -> Timestamp {
    start.saturating_add(time).unwrap_or(Timestamp::MAX)
}
