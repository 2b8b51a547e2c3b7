//! Stored documents, rendered.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use super::Workspace;
use super::run::Place;
use crate::domain::{Document, DocumentFormat, DocumentId, DocumentSummary, JobId, RenderSummary, UserId};
use crate::service::{
    Attached, Layout, Loaded, Ran, RenderContext, RenderFormat, RenderReport, RenderRequest, RenderSender, ServiceError,
};
use crate::store::{Objects, StoredFile};

/// Bytes of all files beside a document that its cells can be shown.
const MAX_SHOWN_BYTES: u64 = 256 << 20;
/// Files that are fetched at once.
const FETCHED_AT_ONCE: usize = 8;

/// How a stored document is rendered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderStored {
    /// To what; absent: to the document's own format.
    pub format: Option<RenderFormat>,
    /// As [`RenderRequest::fresh`].
    pub fresh: bool,
    /// As [`RenderRequest::show_code`].
    pub show_code: bool,
    /// As [`RenderRequest::standalone`].
    pub standalone: bool,
}

impl Workspace {
    /// Renders a stored document: its cells find its files in their working directory.
    ///
    /// # Errors
    /// There is no such document, or as [`Workspace::render`].
    pub async fn render_document(
        &self,
        user: UserId,
        id: DocumentId,
        options: RenderStored,
        watch: Option<RenderSender>,
    ) -> Result<RenderReport, ServiceError> {
        let document = self.document(user, id).await?;
        let files = self.0.database.attached_files(user, id).await?;
        self.render_stored(user, (document, None), files, options, watch).await
    }

    /// Renders a document with these files, and tells those who watch it; as a job, if it is one.
    pub(super) async fn render_stored(
        &self,
        user: UserId,
        (document, job_id): (Document, Option<JobId>),
        files: Vec<StoredFile>,
        options: RenderStored,
        watch: Option<RenderSender>,
    ) -> Result<RenderReport, ServiceError> {
        let (id, version) = (document.summary.id, document.summary.version);
        let rendered = self.render_unheard(user, document, files, options, watch).await;
        let about = RenderSummary { version, job_id, ..RenderSummary::default() };
        // A job that finds the server busy tries again.
        if !matches!(rendered, Err(ServiceError::Busy { .. })) {
            self.tell_rendered(id, about, rendered.as_ref().ok());
        }
        rendered
    }

    async fn render_unheard(
        &self,
        user: UserId,
        document: Document,
        files: Vec<StoredFile>,
        options: RenderStored,
        watch: Option<RenderSender>,
    ) -> Result<RenderReport, ServiceError> {
        let own = match document.summary.render_format {
            DocumentFormat::Html => RenderFormat::Html,
            DocumentFormat::Markdown => RenderFormat::Markdown,
        };
        let layout = Layout {
            format: options.format.unwrap_or(own),
            show_code: options.show_code,
            standalone: options.standalone,
        };
        let request = RenderRequest { fresh: options.fresh, ..RenderRequest::default() };
        let (ran, summary) = self.run_stored(user, document, files, request, watch).await?;
        let report = self.0.service.lay_out(Arc::clone(&ran), layout).await?;
        self.keep_render(user, &summary, ran);
        Ok(report)
    }

    /// Runs the cells of a stored document: those that must be.
    pub(super) async fn run_stored(
        &self,
        user: UserId,
        document: Document,
        files: Vec<StoredFile>,
        request: RenderRequest,
        watch: Option<RenderSender>,
    ) -> Result<(Arc<Ran>, DocumentSummary), ServiceError> {
        let context = self.context(user, &document, files, watch).await?;
        let Document { summary, content } = document;
        let ran = self.0.service.run_document(RenderRequest { content, ..request }, context).await?;
        Ok((Arc::new(ran), summary))
    }

    /// What the render of a stored document has to do with.
    async fn context(
        &self,
        user: UserId,
        document: &Document,
        files: Vec<StoredFile>,
        watch: Option<RenderSender>,
    ) -> Result<RenderContext, ServiceError> {
        let place = self.place_for(user, document.summary.environment_id, &document.content).await;
        let Place { environment, base } = place.map_err(|error| match error {
            ServiceError::Invalid { field, .. } if field == "environment_id" => ServiceError::Conflict {
                message: "the environment of the document was deleted: give it another one, or none".to_owned(),
            },
            error => error,
        })?;
        let attached = attached(&self.0.objects, files)?;
        let recording = Some(self.rendering(user, environment, Some(document.summary.id)));
        let allowance = Some(self.allowance(user, environment).await?);
        Ok(RenderContext { environment: base, owner: Some(user), attached, watch, recording, allowance })
    }
}

/// The files beside a document, fetched when they are needed.
fn attached(objects: &Objects, files: Vec<StoredFile>) -> Result<Option<Attached>, ServiceError> {
    let total = files.iter().map(|stored| stored.file.size_bytes).fold(0, u64::saturating_add);
    if total > MAX_SHOWN_BYTES {
        let what = "the files beside a document that is rendered".to_owned();
        return Err(ServiceError::TooLarge { what, limit: MAX_SHOWN_BYTES });
    }
    if files.is_empty() {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    for StoredFile { file, .. } in &files {
        hasher.update(file.path.as_str().as_bytes()).update(b"\0").update(file.sha256.as_bytes()).update(b"\0");
    }
    let (objects, files) = (objects.clone(), Arc::new(files));
    let load = move || -> BoxFuture<'static, Result<Loaded, ServiceError>> {
        let (objects, files) = (objects.clone(), Arc::clone(&files));
        async move {
            let fetched = futures::stream::iter(0..files.len()).map(|index| {
                let (objects, stored) = (objects.clone(), files[index].clone());
                async move {
                    let content = objects.get(&stored.object_key, stored.file.size_bytes).await?;
                    Ok::<_, ServiceError>((stored.file.path.to_string(), Arc::from(content)))
                }
            });
            fetched.buffered(FETCHED_AT_ONCE).try_collect().await
        }
        .boxed()
    };
    Ok(Some(Attached::new(hasher.finalize().to_hex().to_string(), load)))
}
