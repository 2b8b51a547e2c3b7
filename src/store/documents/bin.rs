//! The bin: deleted documents, which can be had back for a while.

use jiff::Timestamp;

use super::look::{current, current_version};
use super::{DocumentError, check_count, check_version};
use crate::domain::{Document, DocumentId, Quotas, UserId};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, micros, now};
use crate::store::tiers::lock_user;
use crate::store::transaction::Write;

impl Database {
    /// Puts a document into the bin, if its version is among those expected, or whatever it is. A bin that holds as
    /// many documents as the tier allows outside loses the one that is in it longest.
    ///
    /// # Errors
    /// The user has no such document, or it was changed meanwhile.
    pub async fn delete_document(
        &self,
        user: UserId,
        id: DocumentId,
        expected: Option<&[u64]>,
    ) -> Result<(), DocumentError> {
        let mut write = self.write().await?;
        let quotas = lock_user(&mut write, user).await?;
        check_version(current_version(&mut write, user, id).await?, expected)?;
        make_room(&mut write, user, &quotas).await?;
        let update = sqlx::query("UPDATE documents SET deleted_at = $2 WHERE id = $1");
        update.bind(id.to_string()).bind(micros(now())).execute(write.on()).await?;
        Ok(write.commit().await?)
    }

    /// Takes a document out of the bin.
    ///
    /// # Errors
    /// It is not in the user's bin, or the tier allows no more documents.
    pub async fn restore_document(&self, user: UserId, id: DocumentId) -> Result<Document, DocumentError> {
        let mut write = self.write().await?;
        let quotas = lock_user(&mut write, user).await?;
        let found = sqlx::query("SELECT id FROM documents WHERE id = $1 AND user_id = $2 AND deleted_at IS NOT NULL");
        let found = found.bind(id.to_string()).bind(user.to_string()).fetch_optional(write.on()).await?;
        found.ok_or(DocumentError::NotFound)?;
        check_count(&mut write, user, &quotas).await?;
        let update = sqlx::query("UPDATE documents SET deleted_at = NULL WHERE id = $1");
        update.bind(id.to_string()).execute(write.on()).await?;
        let document = current(&mut write, user, id).await?;
        write.commit().await?;
        Ok(document)
    }

    /// Deletes a document for good, wherever it is, with its versions and the names of its files.
    ///
    /// # Errors
    /// The user has no such document, or it was changed meanwhile.
    pub async fn purge_document(
        &self,
        user: UserId,
        id: DocumentId,
        expected: Option<&[u64]>,
    ) -> Result<(), DocumentError> {
        let mut write = self.write().await?;
        lock_user(&mut write, user).await?;
        let row = sqlx::query("SELECT version FROM documents WHERE id = $1 AND user_id = $2");
        let row = row.bind(id.to_string()).bind(user.to_string()).fetch_optional(write.on()).await?;
        check_version(row.ok_or(DocumentError::NotFound)?.count("version")?, expected)?;
        delete(&mut write, id).await?;
        Ok(write.commit().await?)
    }

    /// Deletes for good up to `limit` documents that were put into the bin before that time, and tells how many.
    ///
    /// # Errors
    /// The database's; those that were deleted before stay deleted.
    pub async fn purge_deleted_documents(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let rows = sqlx::query("SELECT id, user_id FROM documents WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2");
        let rows = rows.bind(micros(before)).bind(i64::from(limit)).fetch_all(self.pool()).await?;
        let mut purged = 0;
        for row in rows {
            let mut write = self.write().await?;
            lock_user(&mut write, row.parsed("user_id")?).await?;
            // It may have been taken out meanwhile.
            let delete = sqlx::query("DELETE FROM documents WHERE id = $1 AND deleted_at < $2");
            let delete = delete.bind(row.text("id")?).bind(micros(before));
            purged += delete.execute(write.on()).await?.rows_affected();
            write.commit().await?;
        }
        Ok(purged)
    }
}

/// Takes one document out of a full bin for good: so it grows no further, and a tier that became smaller empties none.
async fn make_room(write: &mut Write, user: UserId, quotas: &Quotas) -> Result<(), StoreError> {
    let held = sqlx::query("SELECT COUNT(*) AS held FROM documents WHERE user_id = $1 AND deleted_at IS NOT NULL");
    let held = held.bind(user.to_string()).fetch_one(write.on()).await?.count("held")?;
    if held > 0 && held >= quotas.documents {
        let eldest = sqlx::query(
            "SELECT id FROM documents WHERE user_id = $1 AND deleted_at IS NOT NULL ORDER BY deleted_at, id LIMIT 1",
        );
        let eldest = eldest.bind(user.to_string()).fetch_one(write.on()).await?;
        delete(write, eldest.parsed("id")?).await?;
    }
    Ok(())
}

async fn delete(write: &mut Write, id: DocumentId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM documents WHERE id = $1").bind(id.to_string()).execute(write.on()).await?;
    Ok(())
}
