//! What came of documents when they were rendered last: one page each, in the object store.
//!
//! A key is named by the one row that it was made for, and by no other one later. So whoever takes a row away, or
//! replaces it, may delete the object that it named.

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::DocumentError;
use super::look::current_version;
use crate::domain::{DocumentId, LastRender, UserId};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, micros, number};
use crate::store::tiers::lock_user;
use crate::store::transaction::Write;

/// The columns that [`read`] reads, of the table `document_renders r`.
macro_rules! columns {
    () => {
        "r.version AS version, r.inputs_key AS inputs_key, r.rendered_at AS rendered_at, r.cell_count AS cell_count, \
         r.failed_count AS failed_count, r.size_bytes AS size_bytes, r.digest AS digest, r.object_key AS object_key"
    };
}
pub(super) use columns;

/// What came of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRender {
    /// The document's version then.
    pub version: u64,
    /// Stands for what the cells found when they ran.
    pub inputs_key: String,
    /// When it was.
    pub rendered_at: Timestamp,
    /// The document's cells.
    pub cell_count: u64,
    /// Those that did not end as they should.
    pub failed_count: u64,
    /// Bytes of the page.
    pub size_bytes: u64,
    /// BLAKE3 of the page, in lower-case hex.
    pub digest: String,
    /// Where the page is in the object store; nothing where it is too large to be kept.
    pub object_key: Option<String>,
}

/// What is kept of a document's last render.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRender {
    /// What its owner may know.
    pub about: LastRender,
    /// Stands for what the cells found when they ran.
    pub inputs_key: String,
    /// BLAKE3 of the page, in lower-case hex.
    pub digest: String,
    /// Where the page is in the object store; nothing where it is not kept.
    pub object_key: Option<String>,
}

/// What came of keeping a render.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Whether its page is named now.
    pub is_kept: bool,
    /// Keys of objects that nobody names any more, the new one among them where it was not taken.
    pub unnamed: Vec<String>,
}

impl Database {
    /// Keeps a render in place of an earlier one of the document: one of a lower version, or of the same and made before.
    /// Where all pages of the user would take more than the tier allows, those of documents that are not published go
    /// first, the eldest before the others.
    ///
    /// # Errors
    /// The user has no such document.
    pub async fn keep_render(&self, user: UserId, id: DocumentId, new: &NewRender) -> Result<Kept, DocumentError> {
        let mut write = self.write().await?;
        let quotas = lock_user(&mut write, user).await?;
        current_version(&mut write, user, id).await?;
        let old = sqlx::query(concat!("SELECT ", columns!(), " FROM document_renders r WHERE r.document_id = $1"));
        let old = old.bind(id.to_string()).fetch_optional(write.on()).await?.map(|row| read(&row)).transpose()?;
        let place = (new.version, new.rendered_at);
        if old.as_ref().is_some_and(|old| (old.about.version, old.about.rendered_at) > place) {
            return Ok(Kept { is_kept: false, unnamed: new.object_key.iter().cloned().collect() });
        }
        let mut kept = Kept { is_kept: new.object_key.is_some(), unnamed: Vec::new() };
        kept.unnamed.extend(old.and_then(|old| old.object_key));
        if kept.is_kept {
            kept.is_kept = make_room(&mut write, (user, id), new.size_bytes, quotas.rendered_bytes, &mut kept).await?;
        }
        let object_key = new.object_key.clone();
        let object_key = if kept.is_kept {
            object_key
        } else {
            kept.unnamed.extend(object_key);
            None
        };
        insert(&mut write, (user, id), new, object_key).await?;
        write.commit().await?;
        Ok(kept)
    }

    /// A later render came to the page that is kept under this key: only its time is new. Where another page is kept by
    /// now, nothing is done.
    ///
    /// # Errors
    /// The database's.
    pub async fn keep_same_render(
        &self,
        user: UserId,
        id: DocumentId,
        object_key: &str,
        rendered_at: Timestamp,
    ) -> Result<(), DocumentError> {
        let mut write = self.write().await?;
        lock_user(&mut write, user).await?;
        let update = sqlx::query(
            "UPDATE document_renders SET rendered_at = $1
            WHERE document_id = $2 AND user_id = $3 AND object_key = $4 AND rendered_at < $1",
        );
        let update = update.bind(micros(rendered_at)).bind(id.to_string()).bind(user.to_string());
        update.bind(object_key).execute(write.on()).await?;
        Ok(write.commit().await?)
    }

    /// What is kept of a document's last render.
    ///
    /// # Errors
    /// The user has no such document.
    pub async fn last_render(&self, user: UserId, id: DocumentId) -> Result<Option<StoredRender>, DocumentError> {
        let row = sqlx::query(concat!(
            "SELECT d.id AS document_id, r.document_id AS rendered_id, ",
            columns!(),
            " FROM documents d LEFT JOIN document_renders r ON r.document_id = d.id
            WHERE d.id = $1 AND d.user_id = $2 AND d.deleted_at IS NULL"
        ));
        let row = row.bind(id.to_string()).bind(user.to_string()).fetch_optional(self.pool()).await?;
        Ok(read_joined(&row.ok_or(DocumentError::NotFound)?)?)
    }
}

/// Takes pages away until there is room for one of so many bytes, and tells whether there is.
async fn make_room(
    write: &mut Write,
    (user, id): (UserId, DocumentId),
    wanted: u64,
    allowed: u64,
    kept: &mut Kept,
) -> Result<bool, StoreError> {
    let rows = sqlx::query(
        "SELECT r.document_id AS document_id, r.size_bytes AS size_bytes, r.object_key AS object_key,
            p.document_id AS published
        FROM document_renders r LEFT JOIN document_publications p ON p.document_id = r.document_id
        WHERE r.user_id = $1 AND r.document_id <> $2 AND r.object_key IS NOT NULL
        ORDER BY r.rendered_at, r.document_id",
    );
    let rows = rows.bind(user.to_string()).bind(id.to_string()).fetch_all(write.on()).await?;
    let (mut used, mut stays) = (0_u64, 0_u64);
    for row in &rows {
        let bytes = row.count("size_bytes")?;
        used = used.saturating_add(bytes);
        stays = stays.saturating_add(if row.maybe_text("published")?.is_some() { bytes } else { 0 });
    }
    if stays.saturating_add(wanted) > allowed {
        // Nothing goes in vain.
        return Ok(false);
    }
    for row in &rows {
        if used.saturating_add(wanted) <= allowed {
            break;
        }
        if row.maybe_text("published")?.is_none() {
            let delete = sqlx::query("DELETE FROM document_renders WHERE document_id = $1");
            delete.bind(row.text("document_id")?).execute(write.on()).await?;
            kept.unnamed.extend(row.maybe_text("object_key")?);
            used = used.saturating_sub(row.count("size_bytes")?);
        }
    }
    Ok(true)
}

async fn insert(
    write: &mut Write,
    (user, id): (UserId, DocumentId),
    new: &NewRender,
    object_key: Option<String>,
) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO document_renders (document_id, user_id, version, inputs_key, rendered_at, cell_count,
            failed_count, size_bytes, digest, object_key)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (document_id) DO UPDATE SET version = excluded.version, inputs_key = excluded.inputs_key,
            rendered_at = excluded.rendered_at, cell_count = excluded.cell_count,
            failed_count = excluded.failed_count, size_bytes = excluded.size_bytes, digest = excluded.digest,
            object_key = excluded.object_key",
    );
    let insert = insert.bind(id.to_string()).bind(user.to_string()).bind(number(new.version));
    let insert = insert.bind(new.inputs_key.clone()).bind(micros(new.rendered_at)).bind(number(new.cell_count));
    let insert = insert.bind(number(new.failed_count)).bind(number(new.size_bytes)).bind(new.digest.clone());
    insert.bind(object_key).execute(write.on()).await?;
    Ok(())
}

/// The render in a row that has the `columns!`, and `rendered_id`, which is empty where there is none.
pub(super) fn read_joined(row: &AnyRow) -> Result<Option<StoredRender>, StoreError> {
    row.maybe_text("rendered_id")?.map(|_| read(row)).transpose()
}

fn read(row: &AnyRow) -> Result<StoredRender, StoreError> {
    let object_key = row.maybe_text("object_key")?;
    let about = LastRender {
        version: row.count("version")?,
        rendered_at: row.time("rendered_at")?,
        cell_count: row.count("cell_count")?,
        failed_count: row.count("failed_count")?,
        size_bytes: row.count("size_bytes")?,
        is_kept: object_key.is_some(),
    };
    Ok(StoredRender { about, inputs_key: row.text("inputs_key")?, digest: row.text("digest")?, object_key })
}
