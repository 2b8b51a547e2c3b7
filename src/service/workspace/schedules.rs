//! Schedules of documents, and the clock that makes jobs of them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::task::JoinHandle;

use super::render_jobs::DocumentJob;
use super::{RenderStored, Workspace};
use crate::domain::{
    CronExpression, DocumentId, DocumentSummary, EnvironmentId, Page, PageRequest, Schedule, TimeZoneName, UserId,
};
use crate::service::{ServiceError, off_the_server_threads};
use crate::store::{Fired, NewSchedule, StoreError};

/// Schedules of one user.
const MAX_SCHEDULES: u64 = 20;
/// Schedules that one user can put at once: when they run next takes some time to find.
pub(super) const MAX_PUT: usize = 2;
/// Schedules that are read at once.
const AT_ONCE: u32 = 100;
/// What other servers have put into the database is seen after so long at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The clock rests for so long at least.
const REST: Duration = Duration::from_millis(100);
/// And for so long when the database does not answer.
const TROUBLED_REST: Duration = Duration::from_secs(10);
/// A schedule that fails and has no next time is looked at again after so long.
const LATER: Duration = Duration::from_secs(60 * 60);
/// What the user of a schedule is told whose job could not be made.
const UNLUCKY: &str = "internal error: the server could not make the job";

/// When a document is to be rendered.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSchedule {
    /// Five fields (minute, hour, day of the month, month, day of the week), or `@hourly`, `@daily`, `@weekly`,
    /// `@monthly`, `@yearly`.
    #[schema(value_type = String, example = "30 6 * * MON-FRI")]
    pub cron: CronExpression,
    /// By the clock of which time zone of the IANA database. Default: `UTC`.
    #[serde(default)]
    #[schema(value_type = String, example = "Europe/Berlin")]
    pub time_zone: TimeZoneName,
    /// The environment to run it in; absent: as the document has it.
    #[serde(default)]
    pub environment_id: Option<EnvironmentId>,
    /// Whether all cells are run, also those whose result is known. Default: `true`.
    #[serde(default = "yes")]
    pub fresh: bool,
    /// Whether it runs at all. Default: `true`.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

impl Workspace {
    /// Gives a document a schedule, in place of one that it has.
    ///
    /// # Errors
    /// There is no such document or environment, the time never comes or comes too often, the user has too many, or
    /// changes as many at once as one may.
    pub async fn put_schedule(
        &self,
        user: UserId,
        document: DocumentId,
        request: PutSchedule,
    ) -> Result<Schedule, ServiceError> {
        let refused = || ServiceError::TooMany { what: format!("{MAX_PUT} changes of schedules") };
        let _share = self.0.scheduling.take(user).ok_or_else(refused)?;
        self.document_summary(user, document).await?;
        let least = SignedDuration::from_mins(i64::from(self.0.jobs.schedule_minutes));
        let (cron, zone) = (request.cron.clone(), request.time_zone.clone());
        let next_run_at = off_the_server_threads(move || first_run(&cron, &zone, least)).await?;
        let next_run_at = next_run_at.map_err(|message| ServiceError::Invalid { field: "cron".to_owned(), message })?;
        let PutSchedule { cron, time_zone, environment_id, fresh, enabled } = request;
        let new = NewSchedule { cron, time_zone, environment_id, fresh, enabled, next_run_at };
        let schedule = self.0.database.put_schedule(user, document, &new, MAX_SCHEDULES).await?;
        self.0.clock.notify_one();
        Ok(schedule)
    }

    /// The schedule of a document.
    ///
    /// # Errors
    /// There is none.
    pub async fn schedule(&self, user: UserId, document: DocumentId) -> Result<Schedule, ServiceError> {
        Ok(self.0.database.schedule(user, document).await?)
    }

    /// The user's schedules, the eldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn schedules(&self, user: UserId, page: PageRequest) -> Result<Page<Schedule>, ServiceError> {
        Ok(self.0.database.schedules(user, page).await?)
    }

    /// Takes its schedule from a document.
    ///
    /// # Errors
    /// There is none.
    pub async fn delete_schedule(&self, user: UserId, document: DocumentId) -> Result<(), ServiceError> {
        Ok(self.0.database.delete_schedule(user, document).await?)
    }

    /// Makes jobs of all schedules that are due at that time, and tells how many jobs it made. One that missed several
    /// times, as nobody looked, gets one job. One of which none can be made waits for its next time, and holds up no
    /// other. Any number of servers may do this at once.
    ///
    /// # Errors
    /// The database is not there.
    pub async fn run_due(&self, now: Timestamp) -> Result<usize, ServiceError> {
        let mut jobs = 0;
        loop {
            let due = self.0.database.due_schedules(now, AT_ONCE).await?;
            let mut moved = false;
            for schedule in &due {
                let (cron, zone) = (schedule.cron.clone(), schedule.time_zone.clone());
                let next = off_the_server_threads(move || cron.next_after(&zone, now)).await?;
                match self.fire(schedule, next).await {
                    Ok(fired) => {
                        moved |= fired != Fired::Lost;
                        jobs += usize::from(matches!(fired, Fired::Job(_)));
                    }
                    Err(error @ (StoreError::Unavailable { .. } | StoreError::Full)) => return Err(error.into()),
                    Err(error) => {
                        tracing::error!(schedule = %schedule.id, %error, "a schedule's job could not be made");
                        let next = next.unwrap_or_else(|| now.saturating_add(LATER).unwrap_or(now));
                        self.0.database.postpone_schedule(schedule, next, UNLUCKY).await?;
                        moved = true;
                    }
                }
            }
            // What others are at is theirs.
            if !moved {
                return Ok(jobs);
            }
        }
    }

    async fn fire(&self, schedule: &Schedule, next: Option<Timestamp>) -> Result<Fired, StoreError> {
        let options = RenderStored { fresh: schedule.fresh, ..RenderStored::default() };
        let describe = |document: &DocumentSummary| {
            let job = DocumentJob::of(document, options);
            DocumentJob { environment_id: schedule.environment_id.or(job.environment_id), ..job }
                .new_job(schedule.user_id)
        };
        let fired = self.0.database.fire_schedule(schedule, next, describe, self.0.queue.open_jobs()).await?;
        match &fired {
            Fired::Job(job) => {
                tracing::debug!(schedule = %schedule.id, job = %job.id, "a schedule was due");
                self.0.queue.ring();
            }
            Fired::Skipped { reason } => tracing::debug!(schedule = %schedule.id, reason, "a schedule was skipped"),
            Fired::Disabled { reason } => tracing::info!(schedule = %schedule.id, reason, "a schedule was disabled"),
            Fired::Lost => {}
        }
        Ok(fired)
    }

    /// Makes jobs of schedules as they become due, until the clock is dropped. It sleeps until the next one is due, or
    /// until one is put here; for those that are put at other servers it looks once a minute.
    pub fn start_clock(&self) -> Clock {
        let workspace = self.clone();
        Clock(tokio::spawn(async move {
            loop {
                let rest = workspace.tick().await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "cannot look for schedules that are due; trying again soon");
                    TROUBLED_REST
                });
                tokio::select! {
                    () = tokio::time::sleep(rest) => {}
                    () = workspace.0.clock.notified() => {}
                }
            }
        }))
    }

    /// Looks for what is due, and tells how long there is nothing to do.
    async fn tick(&self) -> Result<Duration, ServiceError> {
        self.run_due(Timestamp::now()).await?;
        let Some(due) = self.0.database.next_due().await? else { return Ok(LOOK_EVERY) };
        let left = due.duration_since(Timestamp::now());
        Ok(Duration::try_from(left).unwrap_or_default().clamp(REST, LOOK_EVERY))
    }
}

/// What makes jobs of schedules. It stops when it is dropped.
#[derive(Debug)]
pub struct Clock(JoinHandle<()>);

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// When a schedule is due first, or what is wrong with it.
fn first_run(cron: &CronExpression, zone: &TimeZoneName, least: SignedDuration) -> Result<Timestamp, String> {
    let now = Timestamp::now();
    let first = cron.next_after(zone, now).ok_or("its time never comes")?;
    match cron.shortest_gap(now) {
        Some(gap) if gap < least => Err(format!(
            "it comes again after {} minutes; a schedule may come every {} minutes at most",
            gap.as_mins(),
            least.as_mins()
        )),
        _ => Ok(first),
    }
}
