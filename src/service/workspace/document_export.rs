//! Stored documents, written in other formats.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Workspace;
use crate::document::{self, Format, RenderOptions};
use crate::domain::{Document, DocumentId, UserId};
use crate::service::{Ran, RenderRequest, ServiceError, off_the_server_threads};

/// What a document is written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// A page of HTML in one file, without anything from elsewhere.
    #[default]
    Html,
    /// The same page on paper. The server needs Chromium for it.
    Pdf,
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
            Self::Pdf => ("pdf", "application/pdf"),
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
    /// Writes a stored document in another format.
    ///
    /// # Errors
    /// There is no such document, it can't be printed, or as [`Workspace::render`].
    pub async fn export_document(
        &self,
        user: UserId,
        id: DocumentId,
        format: ExportFormat,
    ) -> Result<Exported, ServiceError> {
        let document = self.document(user, id).await?;
        let (extension, media_type) = format.file();
        let title = document.summary.title.to_string();
        let filename = format!("{title}.{extension}");
        let ran = async |document| self.run_to_export(user, document).await;
        let page = async |document| text(ran(document).await?, Format::Page, title.clone()).await;
        let content = match format {
            ExportFormat::Pymd => document.content.into_bytes(),
            ExportFormat::Py => {
                let content = document.content;
                off_the_server_threads(move || document::python_script(&document::parse(&content)).into_bytes()).await?
            }
            ExportFormat::Html => page(document).await?.into_bytes(),
            ExportFormat::Pdf => self.0.printing.print(user, page(document)).await?,
            ExportFormat::Markdown => text(ran(document).await?, Format::Markdown, title).await?.into_bytes(),
            ExportFormat::Json => text(ran(document).await?, Format::Json, title).await?.into_bytes(),
            ExportFormat::Ipynb => {
                let ran = ran(document).await?;
                off_the_server_threads(move || document::notebook(&ran.document, &ran.reports).into_bytes()).await?
            }
            ExportFormat::Zip => {
                let ran = ran(document).await?;
                off_the_server_threads(move || archive(&ran, title)).await??
            }
        };
        Ok(Exported { filename, media_type, content })
    }

    /// Runs a document's cells to write it in another format: that is a render, too.
    async fn run_to_export(&self, user: UserId, document: Document) -> Result<Arc<Ran>, ServiceError> {
        let files = self.0.database.attached_files(user, document.summary.id).await?;
        let (ran, summary) = self.run_stored(user, document, files, RenderRequest::default(), None).await?;
        self.keep_render(user, &summary, Arc::clone(&ran));
        Ok(ran)
    }
}

async fn text(ran: Arc<Ran>, format: Format, title: String) -> Result<String, ServiceError> {
    let options = RenderOptions { format, title: Some(title), ..RenderOptions::default() };
    off_the_server_threads(move || document::render(&ran.document, &ran.reports, &options)).await
}

/// The document as Markdown, and its figures beside it.
fn archive(ran: &Ran, title: String) -> Result<Vec<u8>, ServiceError> {
    let options = RenderOptions { format: Format::Markdown, title: Some(title), ..RenderOptions::default() };
    let files = document::markdown_files(&ran.document, &ran.reports, &options);
    let text = document::Asset { path: "document.md".to_owned(), bytes: files.markdown.into_bytes() };
    let all: Vec<_> = std::iter::once(text).chain(files.assets).collect();
    document::zip(&all).map_err(|error| ServiceError::internal(&error))
}
