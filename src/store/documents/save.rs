//! Documents change: compared and set in one transaction, so that nobody's change is lost unseen.

use sqlx::AssertSqlSafe;

use super::look::current;
use super::words::{self, Words};
use super::{DocumentChange, DocumentError, check_environment, check_size, check_version, search, size, sorted};
use crate::domain::{Document, DocumentId, Quotas, Tag, UserId};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, json, micros, now, number, placeholders};
use crate::store::tiers::lock_user;
use crate::store::transaction::Write;

/// Texts of a document that are kept; the eldest go.
const MAX_VERSIONS: usize = 200;
/// And no more than these bytes of them, whatever the tier. The present one stays in any case.
const MAX_VERSION_BYTES: u64 = 32 << 20;

impl Database {
    /// Changes a document, if its version is among those expected, or whatever it is. The answer is the document as it
    /// is then; a change that changes nothing makes no new version.
    ///
    /// # Errors
    /// [`DocumentError::Changed`] when somebody was faster; also where the user has no such document or environment, or
    /// the tier does not allow so much. Nothing has changed then.
    pub async fn update_document(
        &self,
        user: UserId,
        id: DocumentId,
        change: DocumentChange,
        expected: Option<&[u64]>,
    ) -> Result<Document, DocumentError> {
        // Before others have to wait for it.
        let content_words = match &change.content {
            Some(content) => Some(words::of_content(content).await),
            None => None,
        };
        let mut write = self.write().await?;
        let quotas = lock_user(&mut write, user).await?;
        let before = current(&mut write, user, id).await?;
        check_version(before.summary.version, expected)?;
        if let Some(Some(environment)) = change.environment_id
            && before.summary.environment_id != Some(environment)
        {
            check_environment(&mut write, user, environment).await?;
        }
        let after = save(&mut write, before, (change, content_words), &quotas).await?;
        write.commit().await?;
        Ok(after)
    }
}

/// Writes a change of the document that is there. The words of its new text may be known already.
pub(super) async fn save(
    write: &mut Write,
    before: Document,
    (change, content_words): (DocumentChange, Option<Vec<String>>),
    quotas: &Quotas,
) -> Result<Document, DocumentError> {
    if let Some(content) = &change.content {
        check_size(content, before.summary.size_bytes, quotas)?;
    }
    let mut after = before.clone();
    after.summary.title = change.title.unwrap_or(after.summary.title);
    after.summary.render_format = change.render_format.unwrap_or(after.summary.render_format);
    after.summary.environment_id = change.environment_id.unwrap_or(after.summary.environment_id);
    after.summary.tags = change.tags.map(sorted).unwrap_or(after.summary.tags);
    after.content = change.content.unwrap_or(after.content);
    after.summary.size_bytes = size(&after.content);
    if after == before {
        return Ok(before);
    }
    after.summary.version = before.summary.version.saturating_add(1);
    after.summary.updated_at = now();
    let retitled = after.summary.title != before.summary.title;
    let has_new_text =
        retitled || after.content != before.content || after.summary.render_format != before.summary.render_format;
    update(write, &after, has_new_text).await?;
    if has_new_text {
        insert_version(write, &after).await?;
        forget_versions(write, after.summary.id).await?;
    }
    if retitled || after.content != before.content {
        let content_words = match content_words {
            Some(words) => words,
            None => words::of_content(&after.content).await,
        };
        let words = Words::of(after.summary.title.as_str(), content_words);
        search::index(write, after.summary.id, &words).await?;
    }
    if after.summary.tags != before.summary.tags {
        let delete = sqlx::query("DELETE FROM document_tags WHERE document_id = $1");
        delete.bind(after.summary.id.to_string()).execute(write.on()).await?;
        insert_tags(write, after.summary.id, &after.summary.tags).await?;
    }
    Ok(after)
}

async fn update(write: &mut Write, after: &Document, has_new_text: bool) -> Result<(), StoreError> {
    let summary = &after.summary;
    let update = sqlx::query(
        "UPDATE documents SET title = $2, title_key = $3, render_format = $4, environment_id = $5, tags = $6,
            version = $7, size_bytes = $8, updated_at = $9,
            text_version = CASE WHEN $10 = 1 THEN $7 ELSE text_version END
        WHERE id = $1",
    );
    let update = update.bind(summary.id.to_string());
    let update = update.bind(summary.title.to_string()).bind(summary.title.as_str().to_lowercase());
    let update = update.bind(summary.render_format.as_str()).bind(summary.environment_id.map(|id| id.to_string()));
    let update = update.bind(json(&summary.tags)?).bind(number(summary.version)).bind(number(summary.size_bytes));
    update.bind(micros(summary.updated_at)).bind(i64::from(has_new_text)).execute(write.on()).await?;
    Ok(())
}

/// Keeps a document's present text.
pub(super) async fn insert_version(write: &mut Write, document: &Document) -> Result<(), StoreError> {
    let summary = &document.summary;
    let insert = sqlx::query(
        "INSERT INTO document_versions (document_id, version, title, render_format, size_bytes, created_at, content)
        VALUES ($1, $2, $3, $4, $5, $6, $7)",
    );
    let insert = insert.bind(summary.id.to_string()).bind(number(summary.version));
    let insert = insert.bind(summary.title.to_string()).bind(summary.render_format.as_str());
    let insert = insert.bind(number(summary.size_bytes)).bind(micros(summary.updated_at));
    insert.bind(document.content.clone()).execute(write.on()).await?;
    Ok(())
}

/// Lets texts go that are too many or too large together.
async fn forget_versions(write: &mut Write, id: DocumentId) -> Result<(), StoreError> {
    let rows =
        sqlx::query("SELECT version, size_bytes FROM document_versions WHERE document_id = $1 ORDER BY version DESC");
    let mut bytes = 0_u64;
    for (kept, row) in rows.bind(id.to_string()).fetch_all(write.on()).await?.iter().enumerate() {
        bytes = bytes.saturating_add(row.count("size_bytes")?);
        if kept > 0 && (kept >= MAX_VERSIONS || bytes > MAX_VERSION_BYTES) {
            let delete = sqlx::query("DELETE FROM document_versions WHERE document_id = $1 AND version <= $2");
            delete.bind(id.to_string()).bind(row.int("version")?).execute(write.on()).await?;
            break;
        }
    }
    Ok(())
}

/// Adds tags, which are few.
pub(super) async fn insert_tags(write: &mut Write, id: DocumentId, tags: &[Tag]) -> Result<(), StoreError> {
    if tags.is_empty() {
        return Ok(());
    }
    // Nothing but numbers of placeholders is put in.
    let insert = format!("INSERT INTO document_tags (document_id, tag) VALUES {}", placeholders(tags.len(), 2));
    let mut insert = sqlx::query(AssertSqlSafe(insert));
    for tag in tags {
        insert = insert.bind(id.to_string()).bind(tag.to_string());
    }
    insert.execute(write.on()).await?;
    Ok(())
}
