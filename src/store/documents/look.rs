//! Documents as they are read.

use sqlx::any::AnyRow;

use super::DocumentError;
use crate::domain::{Document, DocumentId, DocumentSummary, UserId};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::rows::Columns as _;
use crate::store::transaction::Write;

/// The columns that [`read`] reads, of the table `documents d`.
macro_rules! columns {
    () => {
        "d.id AS id, d.user_id AS user_id, d.title AS title, d.render_format AS render_format, \
         d.environment_id AS environment_id, d.tags AS tags, d.version AS version, d.size_bytes AS size_bytes, \
         d.created_at AS created_at, d.updated_at AS updated_at, d.deleted_at AS deleted_at"
    };
}
pub(super) use columns;

/// A document of the user, that is not in the bin, with its text.
const DOCUMENT: &str = concat!(
    "SELECT ",
    columns!(),
    ", v.content AS content
    FROM documents d JOIN document_versions v ON v.document_id = d.id AND v.version = d.text_version
    WHERE d.id = $1 AND d.user_id = $2 AND d.deleted_at IS NULL"
);

impl Database {
    /// A document of the user.
    ///
    /// # Errors
    /// The user has no such document.
    pub async fn document(&self, user: UserId, id: DocumentId) -> Result<Document, DocumentError> {
        let row = sqlx::query(DOCUMENT).bind(id.to_string()).bind(user.to_string()).fetch_optional(self.pool()).await?;
        Ok(read_document(&row.ok_or(DocumentError::NotFound)?)?)
    }

    /// A document of the user without its text.
    ///
    /// # Errors
    /// The user has no such document.
    pub async fn document_summary(&self, user: UserId, id: DocumentId) -> Result<DocumentSummary, DocumentError> {
        let row = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM documents d WHERE d.id = $1 AND d.user_id = $2 AND d.deleted_at IS NULL"
        ));
        let row = row.bind(id.to_string()).bind(user.to_string()).fetch_optional(self.pool()).await?;
        Ok(read(&row.ok_or(DocumentError::NotFound)?)?)
    }
}

impl Database {
    /// A document of the user without its text, in the bin or not.
    ///
    /// # Errors
    /// The user has no such document.
    pub async fn document_anywhere(&self, user: UserId, id: DocumentId) -> Result<DocumentSummary, DocumentError> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM documents d WHERE d.id = $1 AND d.user_id = $2"));
        let row = row.bind(id.to_string()).bind(user.to_string()).fetch_optional(self.pool()).await?;
        Ok(read(&row.ok_or(DocumentError::NotFound)?)?)
    }

    /// Those of these documents that there are, whosever, in the bin or not.
    ///
    /// # Errors
    /// The database's.
    pub async fn documents_of_ids(&self, ids: &[DocumentId]) -> Result<Vec<DocumentSummary>, StoreError> {
        let rows = self.rows_of_ids(concat!("SELECT ", columns!(), " FROM documents d WHERE d.id"), ids).await?;
        rows.iter().map(read).collect()
    }
}

/// The document as it is in a transaction that holds the user's row.
pub(super) async fn current(write: &mut Write, user: UserId, id: DocumentId) -> Result<Document, DocumentError> {
    let row = sqlx::query(DOCUMENT).bind(id.to_string()).bind(user.to_string()).fetch_optional(write.on()).await?;
    Ok(read_document(&row.ok_or(DocumentError::NotFound)?)?)
}

/// The version of a document as it is in a transaction that holds the user's row.
pub(super) async fn current_version(write: &mut Write, user: UserId, id: DocumentId) -> Result<u64, DocumentError> {
    let row = sqlx::query("SELECT version FROM documents WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL");
    let row = row.bind(id.to_string()).bind(user.to_string()).fetch_optional(write.on()).await?;
    Ok(row.ok_or(DocumentError::NotFound)?.count("version")?)
}

/// A document of the user, that is not in the bin, without its text, in a transaction that is going on.
pub(in crate::store) async fn summary_in(
    write: &mut Write,
    user: UserId,
    id: DocumentId,
) -> Result<Option<DocumentSummary>, StoreError> {
    let row = sqlx::query(concat!(
        "SELECT ",
        columns!(),
        " FROM documents d WHERE d.id = $1 AND d.user_id = $2 AND d.deleted_at IS NULL"
    ));
    let row = row.bind(id.to_string()).bind(user.to_string()).fetch_optional(write.on()).await?;
    row.map(|row| read(&row)).transpose()
}

/// The document in a row that has the `columns!`.
pub(super) fn read(row: &AnyRow) -> Result<DocumentSummary, StoreError> {
    Ok(DocumentSummary {
        id: row.parsed("id")?,
        user_id: row.parsed("user_id")?,
        title: row.parsed("title")?,
        render_format: row.parsed("render_format")?,
        environment_id: row.maybe_parsed("environment_id")?,
        tags: row.json("tags")?,
        version: row.count("version")?,
        size_bytes: row.count("size_bytes")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        deleted_at: row.maybe_time("deleted_at")?,
    })
}

fn read_document(row: &AnyRow) -> Result<Document, StoreError> {
    Ok(Document { summary: read(row)?, content: row.text("content")? })
}
