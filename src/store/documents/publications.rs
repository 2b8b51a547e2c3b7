//! Which documents are published, and what opens their pages.
//!
//! A token is only there as its SHA-256, as API keys are: who reads the database, or a copy of it, can open no page.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;

use super::DocumentError;
use super::look::current_version;
use super::renders::{StoredRender, columns, read_joined};
use crate::domain::{DocumentId, PublicToken, QuotaExceeded, QuotaKind, UserId};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, micros, now};
use crate::store::tiers::lock_user;

/// A document that is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPublication {
    /// What its token is made from, together with a secret.
    pub seed: String,
    token_hash: String,
    /// When it was published.
    pub created_at: Timestamp,
    /// What its page shows.
    pub render: Option<StoredRender>,
}

impl StoredPublication {
    /// Whether this token opens its page.
    pub fn is_opened_by(&self, token: &PublicToken) -> bool {
        self.token_hash == hash(token)
    }
}

/// A page that everybody can read who has its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPage {
    /// Whose document it is.
    pub owner: UserId,
    /// What it shows; nothing where the document was never rendered.
    pub render: Option<StoredRender>,
}

impl Database {
    /// Publishes a document under a token, and tells whether it was not yet: else it keeps the token that it has.
    ///
    /// # Errors
    /// The user has no such document, or the tier allows no more to be published.
    pub async fn publish(
        &self,
        user: UserId,
        id: DocumentId,
        seed: &str,
        token: &PublicToken,
    ) -> Result<bool, DocumentError> {
        let mut write = self.write().await?;
        let quotas = lock_user(&mut write, user).await?;
        current_version(&mut write, user, id).await?;
        let there = sqlx::query("SELECT seed FROM document_publications WHERE document_id = $1");
        if there.bind(id.to_string()).fetch_optional(write.on()).await?.is_some() {
            return Ok(false);
        }
        let used = sqlx::query(
            "SELECT COUNT(*) AS used FROM document_publications p JOIN documents d ON d.id = p.document_id
            WHERE d.user_id = $1",
        );
        let used = used.bind(user.to_string()).fetch_one(write.on()).await?.count("used")?;
        let (what, wanted, allowed) = (QuotaKind::Publications, used.saturating_add(1), quotas.publications);
        if wanted > allowed {
            return Err(QuotaExceeded { what, used, wanted, allowed }.into());
        }
        let insert = sqlx::query(
            "INSERT INTO document_publications (document_id, seed, token_hash, created_at) VALUES ($1, $2, $3, $4)",
        );
        let insert = insert.bind(id.to_string()).bind(seed).bind(hash(token)).bind(micros(now()));
        insert.execute(write.on()).await?;
        write.commit().await?;
        Ok(true)
    }

    /// Whether and how a document is published.
    ///
    /// # Errors
    /// The user has no such document.
    pub async fn publication(&self, user: UserId, id: DocumentId) -> Result<Option<StoredPublication>, DocumentError> {
        let row = sqlx::query(concat!(
            "SELECT p.seed AS seed, p.token_hash AS token_hash, p.created_at AS published_at,
                r.document_id AS rendered_id, ",
            columns!(),
            " FROM documents d LEFT JOIN document_publications p ON p.document_id = d.id
                LEFT JOIN document_renders r ON r.document_id = d.id
            WHERE d.id = $1 AND d.user_id = $2 AND d.deleted_at IS NULL"
        ));
        let row = row.bind(id.to_string()).bind(user.to_string()).fetch_optional(self.pool()).await?;
        Ok(read(&row.ok_or(DocumentError::NotFound)?)?)
    }

    /// Takes a document's page away from everybody, and tells whether it was published.
    ///
    /// # Errors
    /// The user has no such document.
    pub async fn unpublish(&self, user: UserId, id: DocumentId) -> Result<bool, DocumentError> {
        let mut write = self.write().await?;
        lock_user(&mut write, user).await?;
        current_version(&mut write, user, id).await?;
        let delete = sqlx::query("DELETE FROM document_publications WHERE document_id = $1");
        let deleted = delete.bind(id.to_string()).execute(write.on()).await?.rows_affected();
        write.commit().await?;
        Ok(deleted > 0)
    }

    /// The page that a token opens: that of a document which is not in the bin, and whose owner is not shut out.
    ///
    /// # Errors
    /// The database's.
    pub async fn published_page(&self, token: &PublicToken) -> Result<Option<PublishedPage>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT d.user_id AS owner, r.document_id AS rendered_id, ",
            columns!(),
            " FROM document_publications p JOIN documents d ON d.id = p.document_id
                JOIN users u ON u.id = d.user_id
                LEFT JOIN document_renders r ON r.document_id = d.id
            WHERE p.token_hash = $1 AND d.deleted_at IS NULL AND (u.suspended_at IS NULL OR u.suspended_at > $2)"
        ));
        let row = row.bind(hash(token)).bind(micros(now())).fetch_optional(self.pool()).await?;
        let read = |row: AnyRow| Ok(PublishedPage { owner: row.parsed("owner")?, render: read_joined(&row)? });
        row.map(read).transpose()
    }
}

fn hash(token: &PublicToken) -> String {
    hex::encode(Sha256::digest(token.expose()))
}

fn read(row: &AnyRow) -> Result<Option<StoredPublication>, StoreError> {
    let Some(seed) = row.maybe_text("seed")? else { return Ok(None) };
    Ok(Some(StoredPublication {
        seed,
        token_hash: row.text("token_hash")?,
        created_at: row.time("published_at")?,
        render: read_joined(row)?,
    }))
}
