//! Installations as jobs: they go on when nobody waits for them, and say how far they are.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::change::{Addition, Watch};
use super::render_jobs::{RENDER, Renders};
use super::{AddPackages, ImportRequirements, Workspace};
use crate::domain::{EnvironmentId, FailedReport, InstallEvent, Job, JobId, JobState, Page, PageRequest, UserId};
use crate::jobs::{Handler, Handlers, JobContext, JobError, Queue};
use crate::service::{Readiness, ServiceError};
use crate::store;

/// The kind of job that installs packages.
const INSTALL: &str = "install";

/// What an installation's job is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallRequest {
    /// Install packages.
    Packages(AddPackages),
    /// Install what a `requirements.txt` asks for.
    Import(ImportRequirements),
}

impl InstallRequest {
    fn check(&self) -> Result<(Addition, Vec<FailedReport>), ServiceError> {
        match self {
            Self::Packages(request) => request.check(),
            Self::Import(request) => Ok((request.check()?, Vec::new())),
        }
    }
}

impl Workspace {
    /// The queue of jobs.
    pub fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// What does the jobs.
    pub fn handlers(&self) -> Handlers {
        Handlers::new().with(INSTALL, Installs(self.clone())).with_room(
            RENDER,
            Renders(self.clone()),
            self.0.jobs.renders,
        )
    }

    /// Installs packages as a job.
    ///
    /// # Errors
    /// There is no such environment, the request is refused, or too many jobs of the user wait.
    pub async fn install_later(
        &self,
        user: UserId,
        id: EnvironmentId,
        request: InstallRequest,
    ) -> Result<Job, ServiceError> {
        if let Readiness::Failed { reason } = self.0.service.readiness() {
            return Err(ServiceError::Unavailable { reason });
        }
        self.environment(user, id).await?;
        request.check()?;
        let request = serde_json::to_value(&request).map_err(|error| ServiceError::internal(&error))?;
        let new = store::NewJob { user, environment: Some(id), kind: INSTALL.to_owned(), request };
        Ok(self.0.queue.enqueue(&new).await?)
    }

    /// The user's jobs, the latest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn jobs(
        &self,
        user: UserId,
        state: Option<JobState>,
        page: PageRequest,
    ) -> Result<Page<Job>, ServiceError> {
        Ok(self.0.database.jobs(user, state, page).await?)
    }

    /// A job of the user.
    ///
    /// # Errors
    /// There is none.
    pub async fn job(&self, user: UserId, id: JobId) -> Result<Job, ServiceError> {
        Ok(self.0.database.job(user, id).await?)
    }

    /// Says that the user does not want a job any more.
    ///
    /// # Errors
    /// There is none.
    pub async fn cancel_job(&self, user: UserId, id: JobId) -> Result<Job, ServiceError> {
        let content = self.0.database.job_content(id).await?;
        let job = self.0.queue.cancel(user, id).await?;
        // Else one could fill the disk with jobs that never begin.
        if let Some(content) = content.filter(|_| job.state == JobState::Cancelled) {
            self.drop_object(&content).await;
        }
        Ok(job)
    }
}

/// Does installations: the new contents and the end of the job are one change of the database.
struct Installs(Workspace);

impl Handler for Installs {
    async fn run(&self, job: JobContext) -> Result<Value, JobError> {
        let Some(id) = job.environment() else { return Err(JobError::failed("the environment was deleted")) };
        let request: InstallRequest = serde_json::from_value(job.request().clone()).map_err(JobError::internal)?;
        let told = job.clone();
        let events = move |event: InstallEvent| {
            let (stage, thing) = match &event {
                InstallEvent::Resolve | InstallEvent::Resolved { .. } => ("resolve", ""),
                InstallEvent::Download { package, .. } => ("download", package.as_str()),
                InstallEvent::Unpack { package } => ("unpack", package.as_str()),
                InstallEvent::Compile { .. } => ("compile", ""),
                InstallEvent::Warm { .. } => ("warm", ""),
            };
            match serde_json::to_value(&event) {
                Ok(value) => told.progress(&format!("{stage} {thing}"), value),
                Err(error) => tracing::error!(%error, "an event is no JSON"),
            }
        };
        let work = async {
            let (addition, failed) = request.check()?;
            let watch = Watch { events: &events, job: Some(&job) };
            self.0.add(job.user(), id, addition, failed, watch).await
        };
        let done = tokio::select! {
            biased;
            done = work => done,
            () = job.token().cancelled() => return Err(JobError::Stopped),
        };
        match done {
            Ok(report) => serde_json::to_value(&report).map_err(JobError::internal),
            Err(error) => Err(JobError::failed(error.to_string())),
        }
    }
}
