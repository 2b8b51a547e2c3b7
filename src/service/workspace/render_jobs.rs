//! Renders as jobs: the same as those that are waited for, of what the document was when the job was made.

use std::io;
use std::time::Duration;

use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::document_files::pieces;
use super::patience::patiently;
use super::render_events::Teller;
use super::{RenderStored, Workspace};
use crate::backend::event_channel;
use crate::domain::{Document, DocumentId, DocumentSummary, EnvironmentId, Job, JobId, JobState, UserId};
use crate::jobs::{Handler, JobContext, JobError};
use crate::service::{Readiness, RenderReport, RenderRequest, RenderSender, ServiceError, off_the_server_threads};
use crate::store::{self, JobObject, NewJob};

/// The kind of job that renders a document.
pub(super) const RENDER: &str = "render";
/// What the objects of jobs lie below.
pub(super) const JOBS: &str = "jobs";
/// A text that is longer is not kept in the job's row.
const MAX_ROW_TEXT: usize = 16 << 10;
/// Nor is a longer result.
const MAX_ROW_RESULT: usize = 64 << 10;
/// A longer result is none.
const MAX_RESULT: usize = 128 << 20;
/// Of all results of a user so many bytes are kept in the object store, the latest.
const MAX_RESULTS: u64 = 512 << 20;
/// How long a render waits that finds the server busy.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// What the job of a render is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RenderJob {
    /// Render a text. A long one is an object of the job, and empty here.
    Text(RenderRequest),
    /// Render a stored document.
    Document(DocumentJob),
}

/// Which stored document a job renders, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DocumentJob {
    pub id: DocumentId,
    /// The document's version when the job was made.
    pub version: u64,
    pub environment_id: Option<EnvironmentId>,
    #[serde(flatten)]
    pub options: RenderStored,
}

impl DocumentJob {
    /// The job for a document as it is.
    pub fn of(document: &DocumentSummary, options: RenderStored) -> Self {
        Self { id: document.id, version: document.version, environment_id: document.environment_id, options }
    }

    /// To be put in the queue.
    pub fn new_job(self, user: UserId) -> NewJob {
        // A structure of ids, numbers and words: it is JSON.
        let request = serde_json::to_value(RenderJob::Document(self)).unwrap_or_default();
        NewJob { user, environment: None, kind: RENDER.to_owned(), request }
    }
}

/// What came of a job.
pub enum JobResult {
    /// In its row.
    Row(Value),
    /// In the object store: JSON in pieces, and how many bytes they are.
    Object(BoxStream<'static, io::Result<Vec<u8>>>, u64),
}

impl Workspace {
    /// Renders a document as a job.
    ///
    /// # Errors
    /// The request is refused, too many jobs of the user wait, or a long text can't be kept.
    pub async fn render_later(&self, user: UserId, mut request: RenderRequest) -> Result<Job, ServiceError> {
        self.check_runs()?;
        let allowance = self.allowance(user, request.environment_id).await?;
        request.limits.within(&allowance.limits)?;
        if let Some(id) = request.environment_id {
            self.chosen(user, Some(id)).await?;
        }
        let content = (request.content.len() > MAX_ROW_TEXT).then(|| std::mem::take(&mut request.content));
        let request = serde_json::to_value(RenderJob::Text(request)).map_err(|error| ServiceError::internal(&error))?;
        let new = NewJob { user, environment: None, kind: RENDER.to_owned(), request };
        let Some(content) = content else { return Ok(self.0.queue.enqueue(&new).await?) };
        self.0.queue.check_room(user).await?;
        let content = self.put_object(user, content.into_bytes()).await?;
        let job = self.0.queue.enqueue_with_content(&new, &content).await;
        // Another error may hide that the job was made.
        if let Err(store::JobError::TooMany { .. }) = &job {
            self.drop_object(&content).await;
        }
        Ok(job?)
    }

    /// Renders a stored document as a job: its text and its files as they are now.
    ///
    /// # Errors
    /// There is no such document, or too many jobs of the user wait.
    pub async fn render_document_later(
        &self,
        user: UserId,
        id: DocumentId,
        options: RenderStored,
    ) -> Result<Job, ServiceError> {
        self.check_runs()?;
        let describe = |document: &DocumentSummary| DocumentJob::of(document, options).new_job(user);
        Ok(self.0.queue.enqueue_of_document(user, id, describe).await?)
    }

    /// What came of a job of the user.
    ///
    /// # Errors
    /// There is no such job, it is not over, it came to nothing, or its result is no longer kept.
    pub async fn job_result(&self, user: UserId, id: JobId) -> Result<JobResult, ServiceError> {
        let job = self.job(user, id).await?;
        let result = match (job.state, job.result) {
            (JobState::Succeeded, Some(result)) => result,
            (state, _) if state.is_final() => {
                let message = format!("the job has no result: it is {state}");
                return Err(ServiceError::Conflict { message });
            }
            _ => return Err(ServiceError::Conflict { message: "the job is not over yet".to_owned() }),
        };
        if job.kind != RENDER || result.get("href").is_none() {
            return Ok(JobResult::Row(result));
        }
        let object = self.0.database.job_result(user, id).await?;
        let object = object.ok_or(ServiceError::NotFound { what: "result any more: later ones needed the room" })?;
        let content = pieces(&self.0.objects, object.object_key, object.size_bytes).await?;
        Ok(JobResult::Object(content, object.size_bytes))
    }

    /// Refuses what could never run.
    fn check_runs(&self) -> Result<(), ServiceError> {
        match self.0.service.readiness() {
            Readiness::Failed { reason } => Err(ServiceError::Unavailable { reason }),
            _ => Ok(()),
        }
    }

    async fn put_object(&self, user: UserId, content: Vec<u8>) -> Result<JobObject, ServiceError> {
        let size_bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        // The name is nobody else's, now or ever: whoever sweeps up can't take it from under the row.
        let object_key = format!("{JOBS}/{user}/{}", Uuid::now_v7());
        self.0.objects.put(&object_key, content).await?;
        Ok(JobObject { object_key, size_bytes })
    }

    /// Deletes an object that nothing names any more. What is left is swept up later.
    pub(super) async fn drop_object(&self, object: &JobObject) {
        if let Err(error) = self.0.objects.delete(&object.object_key).await {
            tracing::warn!(key = object.object_key, %error, "cannot delete the text of a job");
        }
    }
}

/// Does renders. Nothing but their result stays of them, and that is written once: with the end of the job.
pub(super) struct Renders(pub Workspace);

impl Handler for Renders {
    async fn run(&self, job: JobContext) -> Result<Value, JobError> {
        let work = async {
            // Once for each run, however often it finds the server busy.
            patiently(|| job.event(json!({"event": "begin"}))).await?;
            let report = loop {
                match self.render(&job).await? {
                    Err(ServiceError::Busy { .. }) => tokio::time::sleep(BUSY_PAUSE).await,
                    Err(error) => return Err(JobError::failed(error.to_string())),
                    Ok(report) => break report,
                }
            };
            self.keep(&job, report).await
        };
        tokio::select! {
            biased;
            done = work => done,
            () = job.token().cancelled() => Err(JobError::Stopped),
        }
    }
}

impl Renders {
    /// Renders, and tells of it.
    async fn render(&self, job: &JobContext) -> Result<Result<RenderReport, ServiceError>, JobError> {
        let request: RenderJob = serde_json::from_value(job.request().clone()).map_err(JobError::internal)?;
        let (sender, receiver) = event_channel();
        let teller = Teller::new(job);
        let done = teller.done();
        let render = async {
            let report = match request {
                RenderJob::Text(request) => self.text(job, request, sender).await,
                RenderJob::Document(request) => self.document(job, request, sender).await,
            };
            done.cancel();
            report
        };
        let (report, told) = tokio::join!(render, teller.tell(receiver));
        told.map(|()| report)
    }

    async fn text(
        &self,
        job: &JobContext,
        mut request: RenderRequest,
        watch: RenderSender,
    ) -> Result<RenderReport, ServiceError> {
        let Self(workspace) = self;
        if let Some(object) = patiently(|| workspace.0.database.job_content(job.id())).await? {
            let content = workspace.0.objects.get(&object.object_key, object.size_bytes).await?;
            request.content = String::from_utf8(content).map_err(|error| ServiceError::internal(&error))?;
        }
        workspace.render(job.user(), request, Some(watch)).await
    }

    async fn document(
        &self,
        job: &JobContext,
        request: DocumentJob,
        watch: RenderSender,
    ) -> Result<RenderReport, ServiceError> {
        let (Self(workspace), user) = (self, job.user());
        let DocumentJob { id, version, environment_id, options } = request;
        let database = &workspace.0.database;
        let now = patiently(|| database.document_summary(user, id)).await?;
        let text = patiently(|| database.document_version(user, id, version)).await?;
        let files = patiently(|| database.job_files(job.id())).await?;
        let summary = DocumentSummary {
            title: text.summary.title,
            render_format: text.summary.render_format,
            environment_id,
            version,
            ..now
        };
        let document = Document { summary, content: text.content };
        workspace.render_stored(user, (document, Some(job.id())), files, options, Some(watch)).await
    }

    /// The job's result. One that is too long for the job's row becomes an object, and with it the job ends.
    async fn keep(&self, job: &JobContext, report: RenderReport) -> Result<Value, JobError> {
        let Self(workspace) = self;
        let written = off_the_server_threads(move || serde_json::to_vec(&report).map(|text| (text, report))).await;
        let (text, report) = written.map_err(JobError::internal)?.map_err(JobError::internal)?;
        if text.len() <= MAX_ROW_RESULT {
            return serde_json::from_slice(&text).map_err(JobError::internal);
        }
        if text.len() > MAX_RESULT {
            return Err(JobError::failed(format!("the rendered document has more than {MAX_RESULT} bytes")));
        }
        let object = workspace.put_object(job.user(), text).await;
        let object = object.map_err(|error| JobError::failed(error.to_string()))?;
        let result = json!({
            "cached": report.cached,
            "format": report.format,
            "cell_count": report.cell_count,
            "fuel_used": report.fuel_used,
            "wall_ms": report.wall_ms,
            "size_bytes": object.size_bytes,
            "href": format!("/api/v1/jobs/{}/result", job.id()),
        });
        job.flush().await;
        let (database, user) = (&workspace.0.database, job.user());
        // One that was done though no answer came has ended the job: the lease is lost then, and all is well.
        let kept = patiently(|| database.finish_with_result(user, job.lease(), &result, &object, MAX_RESULTS));
        match kept.await {
            Ok(()) => Ok(result),
            Err(store::JobError::LeaseLost(_) | store::JobError::NotFound) => Err(JobError::Stopped),
            Err(error) => Err(JobError::internal(error)),
        }
    }
}
