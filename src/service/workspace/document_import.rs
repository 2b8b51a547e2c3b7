//! Documents made of files that were written for other programs.

use serde::Serialize;

use super::{CreateDocument, Workspace};
use crate::document::{self, Imported};
use crate::domain::{Document, DocumentFormat, DocumentTitle, UserId};
use crate::service::{ServiceError, off_the_server_threads};

/// What a document is called whose file has no name that could be one.
const UNTITLED: &str = "Untitled";

/// A file to make a document of.
#[derive(Debug, Clone)]
pub struct ImportDocument {
    /// Its name: what it ends with says what it is.
    pub filename: String,
    /// The document's title; absent: what the file says, or its name.
    pub title: Option<DocumentTitle>,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// A document that was made of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ImportedDocument {
    /// The document.
    pub document: Document,
    /// What was left out or changed, a sentence each.
    pub warnings: Vec<String>,
}

impl Workspace {
    /// Makes a document of a file: a notebook (`.ipynb`), Markdown (`.md`), or a document as it is (`.pymd`, `.py`, `.txt`).
    ///
    /// # Errors
    /// The file is none of these, can't be read, or as [`Workspace::create_document`].
    pub async fn import_document(&self, user: UserId, file: ImportDocument) -> Result<ImportedDocument, ServiceError> {
        let ImportDocument { filename, title, content } = file;
        let (stem, extension) = filename.rsplit_once('.').unwrap_or((&filename, ""));
        let stem = stem.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
        let extension = extension.to_ascii_lowercase();
        let Imported { content, title: own, warnings } =
            off_the_server_threads(move || read(&extension, content)).await??;
        let named = [own.as_deref(), Some(stem.as_str())].into_iter().flatten().find_map(title_of);
        let title = title.or(named).or_else(|| title_of(UNTITLED));
        let title = title.ok_or(ServiceError::NotFound { what: "title" })?;
        let (render_format, environment_id, tags) = (DocumentFormat::Html, None, Vec::new());
        let request = CreateDocument { title, content, render_format, environment_id, tags };
        Ok(ImportedDocument { document: self.create_document(user, request).await?, warnings })
    }
}

/// A title as near to the text as one can be.
fn title_of(text: &str) -> Option<DocumentTitle> {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(255).collect();
    text.trim().parse().ok()
}

fn read(extension: &str, content: Vec<u8>) -> Result<Imported, ServiceError> {
    let refused = |message: String| ServiceError::Invalid { field: "content".to_owned(), message };
    let text = |content: Vec<u8>| {
        String::from_utf8(content).map_err(|error| {
            refused(format!("the file is not UTF-8 text: byte {} can't be read", error.utf8_error().valid_up_to()))
        })
    };
    match extension {
        "ipynb" => document::import_notebook(&content).map_err(|error| refused(error.to_string())),
        "md" | "markdown" | "qmd" => Ok(document::import_markdown(&text(content)?)),
        "pymd" | "py" | "txt" => {
            let content = text(content)?;
            let title = document::parse(&content).title;
            Ok(Imported { content, title, warnings: Vec::new() })
        }
        _ => Err(ServiceError::Invalid {
            field: "filename".to_owned(),
            message: "must end with `.ipynb`, `.md`, `.pymd`, `.py` or `.txt`".to_owned(),
        }),
    }
}
