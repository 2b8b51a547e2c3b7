//! The texts that a document had: listed, read, compared, made the present one again.

use super::Workspace;
use super::document_diff::VersionDiff;
use crate::domain::{Document, DocumentId, DocumentVersion, Page, PageRequest, UserId, VersionSummary};
use crate::service::ServiceError;

impl Workspace {
    /// The texts of a document, the latest first.
    ///
    /// # Errors
    /// There is no such document.
    pub async fn document_versions(
        &self,
        user: UserId,
        id: DocumentId,
        page: PageRequest,
    ) -> Result<Page<VersionSummary>, ServiceError> {
        Ok(self.0.database.document_versions(user, id, page).await?)
    }

    /// The text that a document had at a version.
    ///
    /// # Errors
    /// There is none, or it is no longer kept.
    pub async fn document_version(
        &self,
        user: UserId,
        id: DocumentId,
        version: u64,
    ) -> Result<DocumentVersion, ServiceError> {
        Ok(self.0.database.document_version(user, id, version).await?)
    }

    /// What is different in a text against another one of the document.
    ///
    /// # Errors
    /// One of them is not kept, or they have too many lines.
    pub async fn document_diff(
        &self,
        user: UserId,
        id: DocumentId,
        version: u64,
        against: u64,
    ) -> Result<VersionDiff, ServiceError> {
        // Before the texts are read: those who wait for their turn hold none.
        let _turn = self.0.diffs.turn().await;
        let new = self.document_version(user, id, version).await?;
        let old = self.document_version(user, id, against).await?;
        VersionDiff::between(old, new).await
    }

    /// Makes an earlier text the present one, as a new version.
    ///
    /// # Errors
    /// As [`Workspace::update_document`], and when the text is no longer kept.
    pub async fn restore_document_version(
        &self,
        user: UserId,
        id: DocumentId,
        version: u64,
        expected: Option<&[u64]>,
    ) -> Result<Document, ServiceError> {
        let document = self.0.database.restore_document_version(user, id, version, expected).await?;
        self.document_changed(id);
        Ok(document)
    }
}
