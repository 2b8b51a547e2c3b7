//! Stored documents, rendered and written in other formats.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use super::Workspace;
use super::run::Place;
use crate::document::{self, Format, RenderOptions};
use crate::domain::{Document, DocumentFormat, DocumentId, UserId};
use crate::service::{
    Attached, Loaded, Ran, RenderContext, RenderFormat, RenderReport, RenderRequest, RenderSender, ServiceError,
    off_the_server_threads,
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

/// What a document is written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// A page of HTML in one file, without anything from elsewhere.
    #[default]
    Html,
    /// Markdown, with what the cells showed in place of their code.
    Markdown,
    /// The same with figures as files beside it, in an archive.
    Zip,
    /// The blocks with their code, outputs and outcomes.
    Json,
    /// A notebook with outputs (nbformat 4.5).
    Ipynb,
    /// A script of Python: prose as comments. Nothing is run.
    Py,
    /// The document itself. Nothing is run.
    Pymd,
}

/// A document in another format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// What a file of it would be called.
    pub filename: String,
    /// What it is.
    pub media_type: &'static str,
    /// Its bytes.
    pub content: Vec<u8>,
}

impl ExportFormat {
    fn file(self) -> (&'static str, &'static str) {
        match self {
            Self::Html => ("html", "text/html; charset=utf-8"),
            Self::Markdown => ("md", "text/markdown; charset=utf-8"),
            Self::Zip => ("zip", "application/zip"),
            Self::Json => ("json", "application/json"),
            Self::Ipynb => ("ipynb", "application/x-ipynb+json"),
            Self::Py => ("py", "text/x-python; charset=utf-8"),
            Self::Pymd => ("pymd", "text/plain; charset=utf-8"),
        }
    }
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
        self.render_stored(user, document, files, options, watch).await
    }

    /// Renders a document with these files.
    pub(super) async fn render_stored(
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
        let context = self.context(user, &document, files, watch).await?;
        let request = RenderRequest {
            content: document.content,
            format: options.format.unwrap_or(own),
            fresh: options.fresh,
            show_code: options.show_code,
            standalone: options.standalone,
            ..RenderRequest::default()
        };
        self.0.service.render(request, context).await
    }

    /// Writes a stored document in another format.
    ///
    /// # Errors
    /// There is no such document, or as [`Workspace::render`].
    pub async fn export_document(
        &self,
        user: UserId,
        id: DocumentId,
        format: ExportFormat,
    ) -> Result<Exported, ServiceError> {
        let document = self.document(user, id).await?;
        let (extension, media_type) = format.file();
        let filename = format!("{}.{extension}", document.summary.title);
        let content = match format {
            ExportFormat::Pymd => document.content.into_bytes(),
            ExportFormat::Py => {
                let text = document.content;
                off_the_server_threads(move || document::python_script(&document::parse(&text)).into_bytes()).await?
            }
            _ => {
                let files = self.0.database.attached_files(user, id).await?;
                let context = self.context(user, &document, files, None).await?;
                let title = document.summary.title.to_string();
                let request = RenderRequest { content: document.content, ..RenderRequest::default() };
                let ran = self.0.service.run_document(request, context).await?;
                off_the_server_threads(move || written(format, &ran, title)).await??
            }
        };
        Ok(Exported { filename, media_type, content })
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
        Ok(RenderContext { environment: base, owner: Some(user), attached, watch, recording })
    }
}

fn written(format: ExportFormat, ran: &Ran, title: String) -> Result<Vec<u8>, ServiceError> {
    let Ran { document, reports, .. } = ran;
    let options = |format| RenderOptions { format, title: Some(title.clone()), ..RenderOptions::default() };
    let render = |format| document::render(document, reports, &options(format)).into_bytes();
    Ok(match format {
        ExportFormat::Html => render(Format::Page),
        ExportFormat::Markdown => render(Format::Markdown),
        ExportFormat::Ipynb => document::notebook(document, reports).into_bytes(),
        ExportFormat::Zip => {
            let files = document::markdown_files(document, reports, &options(Format::Markdown));
            let text = document::Asset { path: "document.md".to_owned(), bytes: files.markdown.into_bytes() };
            let all: Vec<_> = std::iter::once(text).chain(files.assets).collect();
            document::zip(&all).map_err(|error| ServiceError::internal(&error))?
        }
        ExportFormat::Json | ExportFormat::Py | ExportFormat::Pymd => render(Format::Json),
    })
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
