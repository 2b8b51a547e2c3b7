//! Files beside a document: which there are, and where their content is in the object store.
//!
//! What holds: a key that no row names is never named again, but by the one upload that made it. A row takes over a
//! key only from another row, while it holds the user; and rows go only while the user is held. So whoever sees that
//! nobody names a key may delete its object, unless it is so young that its upload may still be going on.

use std::collections::HashSet;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::DocumentError;
use super::look::current_version;
use crate::domain::{AttachedFile, DocumentId, FilePath, QuotaExceeded, QuotaKind, Quotas, UserId};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, clean, micros, now, number, placeholders};
use crate::store::tiers::lock_user;
use crate::store::transaction::Write;

/// A document has no more files.
const MAX_FILES: usize = 500;
/// A media type is not longer.
const MAX_MEDIA_TYPE_BYTES: usize = 127;

/// A file to be attached.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// Where it shall lie.
    pub path: FilePath,
    /// Its bytes.
    pub size_bytes: u64,
    /// SHA-256 of its content, in lower-case hex.
    pub sha256: String,
    /// What it is said to be.
    pub media_type: String,
}

/// What came of attaching a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attached {
    /// It is there.
    Done(AttachedFile),
    /// It may be there, but nobody has its content yet: put it into the object store, and come again with its key.
    ContentNeeded,
}

/// A file, and where its content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// The file.
    pub file: AttachedFile,
    /// Key in the object store.
    pub object_key: String,
}

impl Database {
    /// Attaches a file to a document, in place of one that lies there. The content of another file of the user is
    /// shared where it is the same; otherwise it is the object that is named.
    ///
    /// # Errors
    /// The user has no such document, the tier does not allow so much, or the path goes through another file.
    pub async fn attach_file(
        &self,
        user: UserId,
        id: DocumentId,
        new: &NewFile,
        object_key: Option<&str>,
    ) -> Result<Attached, DocumentError> {
        let mut write = self.write().await?;
        let quotas = lock_user(&mut write, user).await?;
        current_version(&mut write, user, id).await?;
        check_file(&mut write, user, id, new, &quotas).await?;
        let same = sqlx::query(
            "SELECT object_key FROM document_files WHERE user_id = $1 AND sha256 = $2 AND size_bytes = $3 LIMIT 1",
        );
        let same = same.bind(user.to_string()).bind(new.sha256.clone()).bind(number(new.size_bytes));
        let same = same.fetch_optional(write.on()).await?.map(|row| row.text("object_key")).transpose()?;
        let Some(object_key) = same.or_else(|| object_key.map(str::to_owned)) else {
            return Ok(Attached::ContentNeeded);
        };
        let file = AttachedFile {
            path: new.path.clone(),
            size_bytes: new.size_bytes,
            sha256: new.sha256.clone(),
            media_type: clean(&new.media_type, MAX_MEDIA_TYPE_BYTES),
            created_at: now(),
        };
        insert(&mut write, (user, id), &file, object_key).await?;
        write.commit().await?;
        Ok(Attached::Done(file))
    }

    /// The files of a document, by path.
    ///
    /// # Errors
    /// The user has no such document.
    pub async fn attached_files(&self, user: UserId, id: DocumentId) -> Result<Vec<StoredFile>, DocumentError> {
        let rows = sqlx::query(
            "SELECT f.path, f.size_bytes, f.sha256, f.media_type, f.object_key, f.created_at
            FROM documents d LEFT JOIN document_files f ON f.document_id = d.id
            WHERE d.id = $1 AND d.user_id = $2 AND d.deleted_at IS NULL",
        );
        let rows = rows.bind(id.to_string()).bind(user.to_string()).fetch_all(self.pool()).await?;
        if rows.is_empty() {
            return Err(DocumentError::NotFound);
        }
        let mut files = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.maybe_text("path")?.is_some() {
                files.push(read(row)?);
            }
        }
        // Databases do not agree on the order of texts.
        files.sort_by(|a, b| a.file.path.cmp(&b.file.path));
        Ok(files)
    }

    /// A file of a document.
    ///
    /// # Errors
    /// The user has no such document, or it has no such file.
    pub async fn attached_file(
        &self,
        user: UserId,
        id: DocumentId,
        path: &FilePath,
    ) -> Result<StoredFile, DocumentError> {
        let row = sqlx::query(
            "SELECT f.path, f.size_bytes, f.sha256, f.media_type, f.object_key, f.created_at
            FROM documents d JOIN document_files f ON f.document_id = d.id
            WHERE d.id = $1 AND d.user_id = $2 AND d.deleted_at IS NULL AND f.path = $3",
        );
        let row = row.bind(id.to_string()).bind(user.to_string()).bind(path.to_string());
        match row.fetch_optional(self.pool()).await? {
            Some(row) => Ok(read(&row)?),
            None => {
                self.document_summary(user, id).await?;
                Err(DocumentError::NoFile)
            }
        }
    }

    /// Takes a file away from a document.
    ///
    /// # Errors
    /// The user has no such document, or it has no such file.
    pub async fn detach_file(&self, user: UserId, id: DocumentId, path: &FilePath) -> Result<(), DocumentError> {
        let mut write = self.write().await?;
        lock_user(&mut write, user).await?;
        current_version(&mut write, user, id).await?;
        let delete = sqlx::query("DELETE FROM document_files WHERE document_id = $1 AND path = $2");
        let delete = delete.bind(id.to_string()).bind(path.to_string());
        if delete.execute(write.on()).await?.rows_affected() == 0 {
            return Err(DocumentError::NoFile);
        }
        Ok(write.commit().await?)
    }

    /// Which of these keys of the object store are named by files, by last renders, or by jobs that need or made them: a hundred at a time.
    ///
    /// # Errors
    /// The database's.
    pub async fn named_objects(&self, keys: &[String]) -> Result<HashSet<String>, StoreError> {
        let mut named = HashSet::new();
        for keys in keys.chunks(100) {
            // Nothing but numbers of placeholders is put in.
            let select = format!(
                "SELECT object_key FROM document_files WHERE object_key IN {keys}
                UNION SELECT object_key FROM document_renders WHERE object_key IN {keys}
                UNION SELECT o.object_key FROM job_objects o JOIN jobs j ON j.id = o.job_id
                WHERE o.object_key IN {keys} AND (o.role = 'result' OR j.state IN ('queued', 'running'))",
                keys = placeholders(1, keys.len())
            );
            let mut select = sqlx::query(AssertSqlSafe(select));
            for key in keys {
                select = select.bind(key.clone());
            }
            for row in select.fetch_all(self.pool()).await? {
                named.insert(row.try_get(0)?);
            }
        }
        Ok(named)
    }
}

async fn check_file(
    write: &mut Write,
    user: UserId,
    id: DocumentId,
    new: &NewFile,
    quotas: &Quotas,
) -> Result<(), DocumentError> {
    let rows = sqlx::query("SELECT path, size_bytes FROM document_files WHERE document_id = $1");
    let rows = rows.bind(id.to_string()).fetch_all(write.on()).await?;
    let mut replaced = None;
    for row in &rows {
        let path: FilePath = row.parsed("path")?;
        if path == new.path {
            replaced = Some(row.count("size_bytes")?);
        } else if path.is_above_or_below(&new.path) {
            return Err(DocumentError::PathTaken { path: new.path.clone(), other: path });
        }
    }
    if replaced.is_none() && rows.len() >= MAX_FILES {
        return Err(DocumentError::TooManyFiles { max: MAX_FILES });
    }
    let used = attached_bytes(write, user).await?;
    let replaced = replaced.unwrap_or(0);
    let wanted = used.saturating_sub(replaced).saturating_add(new.size_bytes);
    let (what, allowed) = (QuotaKind::AttachedBytes, quotas.attached_bytes);
    if wanted > allowed && new.size_bytes > replaced {
        return Err(QuotaExceeded { what, used, wanted, allowed }.into());
    }
    Ok(())
}

/// Refuses the files of a document a second time where the tier does not allow so much.
pub(super) async fn check_attached_bytes(
    write: &mut Write,
    user: UserId,
    id: DocumentId,
    quotas: &Quotas,
) -> Result<(), DocumentError> {
    let more = sqlx::query(
        "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS bytes FROM document_files WHERE document_id = $1",
    );
    let more = more.bind(id.to_string()).fetch_one(write.on()).await?.count("bytes")?;
    let used = attached_bytes(write, user).await?;
    let (what, wanted, allowed) = (QuotaKind::AttachedBytes, used.saturating_add(more), quotas.attached_bytes);
    if more > 0 && wanted > allowed { Err(QuotaExceeded { what, used, wanted, allowed }.into()) } else { Ok(()) }
}

/// Gives a document the files of another one of the same user.
pub(super) async fn copy_files(write: &mut Write, from: DocumentId, to: DocumentId) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO document_files
            (document_id, path, user_id, size_bytes, sha256, media_type, object_key, created_at)
        SELECT $2, path, user_id, size_bytes, sha256, media_type, object_key, $3
        FROM document_files WHERE document_id = $1",
    );
    insert.bind(from.to_string()).bind(to.to_string()).bind(micros(now())).execute(write.on()).await?;
    Ok(())
}

/// Bytes of all files of a user, those of documents in the bin included.
async fn attached_bytes(write: &mut Write, user: UserId) -> Result<u64, StoreError> {
    let used = sqlx::query(
        "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS bytes FROM document_files WHERE user_id = $1",
    );
    used.bind(user.to_string()).fetch_one(write.on()).await?.count("bytes")
}

async fn insert(
    write: &mut Write,
    (user, id): (UserId, DocumentId),
    file: &AttachedFile,
    object_key: String,
) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO document_files
            (document_id, path, user_id, size_bytes, sha256, media_type, object_key, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (document_id, path) DO UPDATE SET size_bytes = excluded.size_bytes, sha256 = excluded.sha256,
            media_type = excluded.media_type, object_key = excluded.object_key, created_at = excluded.created_at",
    );
    let insert = insert.bind(id.to_string()).bind(file.path.to_string()).bind(user.to_string());
    let insert = insert.bind(number(file.size_bytes)).bind(file.sha256.clone()).bind(file.media_type.clone());
    insert.bind(object_key).bind(micros(file.created_at)).execute(write.on()).await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<StoredFile, StoreError> {
    let file = AttachedFile {
        path: row.parsed("path")?,
        size_bytes: row.count("size_bytes")?,
        sha256: row.text("sha256")?,
        media_type: row.text("media_type")?,
        created_at: row.time("created_at")?,
    };
    Ok(StoredFile { file, object_key: row.text("object_key")? })
}
