//! Documents come to be: new ones, and copies.

use super::files::{check_attached_bytes, copy_files};
use super::look::current;
use super::save::{insert_tags, insert_version};
use super::words::{self, Words};
use super::{DocumentError, NewDocument, check_count, check_environment, check_size, search, size, sorted};
use crate::domain::{Document, DocumentId, DocumentSummary, UserId};
use crate::store::Database;
use crate::store::rows::{json, micros, now, number};
use crate::store::tiers::lock_user;
use crate::store::transaction::Write;

impl Database {
    /// Makes a document.
    ///
    /// # Errors
    /// The tier allows no more or not so large a one, or the user has no such environment.
    pub async fn create_document(&self, user: UserId, new: NewDocument) -> Result<Document, DocumentError> {
        let words = Words::of(new.title.as_str(), words::of_content(&new.content).await);
        let mut write = self.write().await?;
        let quotas = lock_user(&mut write, user).await?;
        check_size(&new.content, 0, &quotas)?;
        check_count(&mut write, user, &quotas).await?;
        if let Some(environment) = new.environment_id {
            check_environment(&mut write, user, environment).await?;
        }
        let document = document(user, new);
        insert(&mut write, &document, &words).await?;
        write.commit().await?;
        Ok(document)
    }

    /// Makes a document with the same text, format, environment, tags and files.
    ///
    /// # Errors
    /// The user has no such document, or the tier allows no more.
    pub async fn duplicate_document(&self, user: UserId, id: DocumentId) -> Result<Document, DocumentError> {
        let mut write = self.write().await?;
        let quotas = lock_user(&mut write, user).await?;
        let Document { summary, content } = current(&mut write, user, id).await?;
        check_size(&content, 0, &quotas)?;
        check_count(&mut write, user, &quotas).await?;
        check_attached_bytes(&mut write, user, id, &quotas).await?;
        let title = summary.title.of_copy();
        let DocumentSummary { render_format, environment_id, tags, .. } = summary;
        let copy = document(user, NewDocument { title, content, render_format, environment_id, tags });
        let words = Words::of(copy.summary.title.as_str(), words::of_content(&copy.content).await);
        insert(&mut write, &copy, &words).await?;
        copy_files(&mut write, id, copy.summary.id).await?;
        write.commit().await?;
        Ok(copy)
    }
}

fn document(user_id: UserId, new: NewDocument) -> Document {
    let now = now();
    let summary = DocumentSummary {
        id: DocumentId::new(),
        user_id,
        title: new.title,
        render_format: new.render_format,
        environment_id: new.environment_id,
        tags: sorted(new.tags),
        version: 1,
        size_bytes: size(&new.content),
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    Document { summary, content: new.content }
}

async fn insert(write: &mut Write, document: &Document, words: &Words) -> Result<(), DocumentError> {
    let summary = &document.summary;
    let insert = sqlx::query(
        "INSERT INTO documents (id, user_id, title, title_key, render_format, environment_id, tags, version,
            text_version, size_bytes, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $10)",
    );
    let insert = insert.bind(summary.id.to_string()).bind(summary.user_id.to_string());
    let insert = insert.bind(summary.title.to_string()).bind(summary.title.as_str().to_lowercase());
    let insert = insert.bind(summary.render_format.as_str()).bind(summary.environment_id.map(|id| id.to_string()));
    let insert = insert.bind(json(&summary.tags)?).bind(number(summary.version)).bind(number(summary.size_bytes));
    insert.bind(micros(summary.created_at)).execute(write.on()).await?;
    insert_version(write, document).await?;
    insert_tags(write, summary.id, &summary.tags).await?;
    search::index(write, summary.id, words).await?;
    Ok(())
}
