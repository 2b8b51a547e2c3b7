//! The texts that a document had.

use sqlx::any::AnyRow;

use super::look::current;
use super::save::save;
use super::{DocumentChange, DocumentError, check_version};
use crate::domain::{Document, DocumentId, DocumentVersion, Page, PageRequest, UserId, VersionSummary};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, number};
use crate::store::tiers::lock_user;

/// The text that a document had at version `$3`: a version that changed no text has the one before.
const VERSION: &str = "SELECT v.version AS version, v.title AS title, v.render_format AS render_format,
        v.size_bytes AS size_bytes, v.created_at AS created_at, v.content AS content
    FROM documents d JOIN document_versions v ON v.document_id = d.id
    WHERE d.id = $1 AND d.user_id = $2 AND d.deleted_at IS NULL AND d.version >= $3 AND v.version <= $3
    ORDER BY v.version DESC LIMIT 1";

impl Database {
    /// The texts of a document, the latest first.
    ///
    /// # Errors
    /// The user has no such document.
    pub async fn document_versions(
        &self,
        user: UserId,
        id: DocumentId,
        request: PageRequest,
    ) -> Result<Page<VersionSummary>, DocumentError> {
        self.document_summary(user, id).await?;
        let total = sqlx::query("SELECT COUNT(*) AS total FROM document_versions WHERE document_id = $1");
        let total = total.bind(id.to_string()).fetch_one(self.pool()).await?.count("total")?;
        let rows = sqlx::query(
            "SELECT version, title, render_format, size_bytes, created_at FROM document_versions
            WHERE document_id = $1 ORDER BY version DESC LIMIT $2 OFFSET $3",
        );
        let rows = rows.bind(id.to_string()).bind(i64::from(request.page_size())).bind(number(request.offset()));
        let rows = rows.fetch_all(self.pool()).await?;
        Ok(Page { items: rows.iter().map(read).collect::<Result<_, _>>()?, total, request })
    }

    /// The text that a document had at a version.
    ///
    /// # Errors
    /// The user has no such document, or the text is no longer kept.
    pub async fn document_version(
        &self,
        user: UserId,
        id: DocumentId,
        version: u64,
    ) -> Result<DocumentVersion, DocumentError> {
        let row = sqlx::query(VERSION).bind(id.to_string()).bind(user.to_string()).bind(number(version));
        match row.fetch_optional(self.pool()).await? {
            Some(row) => Ok(read_version(&row)?),
            None => {
                self.document_summary(user, id).await?;
                Err(DocumentError::NoVersion)
            }
        }
    }

    /// Gives a document the title, text and format of an earlier version: a new version, after which the others are
    /// still there.
    ///
    /// # Errors
    /// As [`Database::update_document`], and when the text is no longer kept.
    pub async fn restore_document_version(
        &self,
        user: UserId,
        id: DocumentId,
        version: u64,
        expected: Option<&[u64]>,
    ) -> Result<Document, DocumentError> {
        let mut write = self.write().await?;
        let quotas = lock_user(&mut write, user).await?;
        let before = current(&mut write, user, id).await?;
        check_version(before.summary.version, expected)?;
        let row = sqlx::query(VERSION).bind(id.to_string()).bind(user.to_string()).bind(number(version));
        let row = row.fetch_optional(write.on()).await?;
        let earlier = read_version(&row.ok_or(DocumentError::NoVersion)?)?;
        let change = DocumentChange {
            title: Some(earlier.summary.title),
            content: Some(earlier.content),
            render_format: Some(earlier.summary.render_format),
            ..DocumentChange::default()
        };
        let after = save(&mut write, before, (change, None), &quotas).await?;
        write.commit().await?;
        Ok(after)
    }
}

fn read(row: &AnyRow) -> Result<VersionSummary, StoreError> {
    Ok(VersionSummary {
        version: row.count("version")?,
        title: row.parsed("title")?,
        render_format: row.parsed("render_format")?,
        size_bytes: row.count("size_bytes")?,
        created_at: row.time("created_at")?,
    })
}

fn read_version(row: &AnyRow) -> Result<DocumentVersion, StoreError> {
    Ok(DocumentVersion { summary: read(row)?, content: row.text("content")? })
}
