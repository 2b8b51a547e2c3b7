//! Objects of jobs: long texts that they are to render, the files beside a document as they were, long results.
//!
//! What a job is to work on is held while the job is not over: a file that was taken away from its document meanwhile is
//! still there for it. A result is held until its job goes, or until the user's later ones need the room.

use sqlx::any::AnyRow;

use super::{JobError, Lease, NewJob, end_job, insert_job};
use crate::domain::{AttachedFile, DocumentId, DocumentSummary, Job, JobEnd, JobId, UserId};
use crate::store::Database;
use crate::store::documents::{StoredFile, summary_in};
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, micros, now, number};
use crate::store::tiers::lock_user;
use crate::store::transaction::Write;

/// An object of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobObject {
    /// Key in the object store.
    pub object_key: String,
    /// Its bytes.
    pub size_bytes: u64,
}

impl Database {
    /// As [`Database::enqueue`], for a job whose text is in the object store.
    ///
    /// # Errors
    /// As [`Database::enqueue`].
    pub async fn enqueue_with_content(&self, new: &NewJob, content: &JobObject, most: u64) -> Result<Job, JobError> {
        let mut write = self.write().await?;
        lock_user(&mut write, new.user).await?;
        let job = insert_job(&mut write, new, most).await?;
        insert(&mut write, (new.user, job.id), "content", content).await?;
        write.commit().await?;
        Ok(job)
    }

    /// As [`Database::enqueue`], for a job that is about a stored document: `describe` says what is to be done with the
    /// document as it is now, and its files are held as they are now.
    ///
    /// # Errors
    /// As [`Database::enqueue`], and [`JobError::NoDocument`].
    pub async fn enqueue_of_document(
        &self,
        user: UserId,
        document: DocumentId,
        describe: impl FnOnce(&DocumentSummary) -> NewJob + Send,
        most: u64,
    ) -> Result<Job, JobError> {
        let mut write = self.write().await?;
        lock_user(&mut write, user).await?;
        let summary = summary_in(&mut write, user, document).await?.ok_or(JobError::NoDocument)?;
        let job = insert_job(&mut write, &describe(&summary), most).await?;
        hold_files(&mut write, &job, document).await?;
        write.commit().await?;
        Ok(job)
    }

    /// The text of a job, where it is in the object store.
    ///
    /// # Errors
    /// The database's.
    pub async fn job_content(&self, id: JobId) -> Result<Option<JobObject>, StoreError> {
        let row = sqlx::query("SELECT object_key, size_bytes FROM job_objects WHERE job_id = $1 AND role = 'content'");
        let row = row.bind(id.to_string()).fetch_optional(self.pool()).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// The files that lay beside the document when the job was made, by path.
    ///
    /// # Errors
    /// The database's.
    pub async fn job_files(&self, id: JobId) -> Result<Vec<StoredFile>, StoreError> {
        let rows = sqlx::query(
            "SELECT name, object_key, size_bytes, sha256, created_at FROM job_objects
            WHERE job_id = $1 AND role = 'file'",
        );
        let rows = rows.bind(id.to_string()).fetch_all(self.pool()).await?;
        let mut files = rows.iter().map(read_file).collect::<Result<Vec<_>, _>>()?;
        files.sort_by(|a, b| a.file.path.cmp(&b.file.path));
        Ok(files)
    }

    /// Ends a job of the user whose result is in the object store; `result` is what is said of it in the job's row. Of all results
    /// of the user `most_bytes` are kept, the latest.
    ///
    /// # Errors
    /// [`JobError::LeaseLost`] when the job is over already, or has another worker: then nothing names the object.
    pub async fn finish_with_result(
        &self,
        user: UserId,
        lease: &Lease,
        result: &serde_json::Value,
        object: &JobObject,
        most_bytes: u64,
    ) -> Result<(), JobError> {
        let mut write = self.write().await?;
        // Of two jobs that end, one after the other makes room.
        lock_user(&mut write, user).await?;
        end_job(&mut write, lease, &JobEnd::Succeeded(result.clone())).await??;
        insert(&mut write, (user, lease.job()), "result", object).await?;
        let trim = sqlx::query(
            "DELETE FROM job_objects WHERE role = 'result' AND job_id IN (
                SELECT job_id FROM (
                    SELECT job_id, SUM(size_bytes) OVER (ORDER BY created_at DESC, job_id DESC) AS so_far
                    FROM job_objects WHERE user_id = $1 AND role = 'result'
                ) results WHERE so_far > $2)",
        );
        trim.bind(user.to_string()).bind(number(most_bytes)).execute(write.on()).await?;
        Ok(write.commit().await?)
    }

    /// The result of a job of the user, where it is in the object store and still kept.
    ///
    /// # Errors
    /// The database's.
    pub async fn job_result(&self, user: UserId, id: JobId) -> Result<Option<JobObject>, StoreError> {
        let row = sqlx::query(
            "SELECT object_key, size_bytes FROM job_objects WHERE job_id = $1 AND role = 'result' AND user_id = $2",
        );
        let row = row.bind(id.to_string()).bind(user.to_string()).fetch_optional(self.pool()).await?;
        row.map(|row| read(&row)).transpose()
    }
}

/// Holds the files that lie beside a document for a job, in a transaction that holds the user.
pub(in crate::store) async fn hold_files(write: &mut Write, job: &Job, document: DocumentId) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO job_objects (job_id, role, name, user_id, object_key, size_bytes, sha256, created_at)
        SELECT CAST($1 AS TEXT), 'file', path, user_id, object_key, size_bytes, sha256, created_at
        FROM document_files WHERE document_id = $2",
    );
    insert.bind(job.id.to_string()).bind(document.to_string()).execute(write.on()).await?;
    Ok(())
}

/// Lets go what a job was to work on.
pub(super) async fn free_objects(write: &mut Write, job: JobId) -> Result<(), StoreError> {
    let free = sqlx::query("DELETE FROM job_objects WHERE job_id = $1 AND role <> 'result'");
    free.bind(job.to_string()).execute(write.on()).await?;
    Ok(())
}

async fn insert(
    write: &mut Write,
    (user, job): (UserId, JobId),
    role: &str,
    object: &JobObject,
) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO job_objects (job_id, role, name, user_id, object_key, size_bytes, sha256, created_at)
        VALUES ($1, $2, '', $3, $4, $5, '', $6)",
    );
    let insert = insert.bind(job.to_string()).bind(role.to_owned()).bind(user.to_string());
    let insert = insert.bind(object.object_key.clone()).bind(number(object.size_bytes)).bind(micros(now()));
    insert.execute(write.on()).await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<JobObject, StoreError> {
    Ok(JobObject { object_key: row.text("object_key")?, size_bytes: row.count("size_bytes")? })
}

fn read_file(row: &AnyRow) -> Result<StoredFile, StoreError> {
    let file = AttachedFile {
        path: row.parsed("name")?,
        size_bytes: row.count("size_bytes")?,
        sha256: row.text("sha256")?,
        // Cells see none.
        media_type: String::new(),
        created_at: row.time("created_at")?,
    };
    Ok(StoredFile { file, object_key: row.text("object_key")? })
}
