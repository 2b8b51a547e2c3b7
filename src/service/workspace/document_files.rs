//! Files beside documents. Their content is in the object store, where an object comes before the row that names it,
//! and goes after it.

use std::io;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::Workspace;
use super::last_render::RENDERS;
use super::render_jobs::JOBS;
use crate::domain::{AttachedFile, DocumentId, FilePath, UserId};
use crate::service::{ServiceError, off_the_server_threads};
use crate::store::{Attached, NewFile, Objects, StoredFile};

/// What the objects of files lie below.
const FILES: &str = "files";
/// Content is read in pieces of so many bytes.
const PIECE_BYTES: u64 = 1 << 20;
/// Deleted documents can be had back for so long.
const BIN_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Documents that are removed at a time.
const PURGED: u32 = 1000;
/// An object that nobody names may belong to an upload that still goes on, unless it is older than that.
const GRACE: Duration = Duration::from_secs(60 * 60);
/// Objects about which the database is asked at once.
const ASKED_AT_ONCE: usize = 100;

/// Files of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FileList {
    /// All of them, by path.
    pub files: Vec<AttachedFile>,
    /// How many there are.
    pub total: usize,
    /// Bytes of all of them.
    pub total_size_bytes: u64,
}

/// A file to be put beside a document.
#[derive(Debug, Clone)]
pub struct PutFile {
    /// Where it shall lie.
    pub path: FilePath,
    /// What it is said to be.
    pub media_type: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// A file that is being read.
pub struct OpenFile {
    /// What is known of it.
    pub file: AttachedFile,
    /// Its content in pieces. The first one is read already: a store that does not answer is found before.
    pub content: BoxStream<'static, io::Result<Vec<u8>>>,
}

impl Workspace {
    /// The files of a document.
    ///
    /// # Errors
    /// There is no such document.
    pub async fn document_files(&self, user: UserId, id: DocumentId) -> Result<FileList, ServiceError> {
        let files = self.0.database.attached_files(user, id).await?;
        let files: Vec<_> = files.into_iter().map(|stored| stored.file).collect();
        let total_size_bytes = files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size_bytes));
        Ok(FileList { total: files.len(), total_size_bytes, files })
    }

    /// What is known of a file of a document.
    ///
    /// # Errors
    /// There is no such document or file.
    pub async fn document_file(
        &self,
        user: UserId,
        id: DocumentId,
        path: &FilePath,
    ) -> Result<AttachedFile, ServiceError> {
        Ok(self.0.database.attached_file(user, id, path).await?.file)
    }

    /// Puts a file beside a document, in place of one that lies there.
    ///
    /// # Errors
    /// There is no such document, the tier does not allow so much, or the object store does not answer.
    pub async fn put_document_file(
        &self,
        user: UserId,
        id: DocumentId,
        put: PutFile,
    ) -> Result<AttachedFile, ServiceError> {
        let Self(inner) = self;
        let size_bytes = u64::try_from(put.content.len()).unwrap_or(u64::MAX);
        let content = put.content;
        let hashed = off_the_server_threads(move || (hex::encode(Sha256::digest(&content)), content));
        let (sha256, content) = hashed.await?;
        let new = NewFile { path: put.path, size_bytes, sha256, media_type: put.media_type };
        // All that can be refused is refused before anything is kept.
        if let Attached::Done(file) = inner.database.attach_file(user, id, &new, None).await? {
            return Ok(file);
        }
        // The name is nobody else's, now or ever: whoever sweeps up can't take it from under the row.
        let key = format!("{FILES}/{user}/{}.{}", new.sha256, Uuid::now_v7());
        inner.objects.put(&key, content).await?;
        match inner.database.attach_file(user, id, &new, Some(&key)).await? {
            Attached::Done(file) => Ok(file),
            Attached::ContentNeeded => Err(ServiceError::internal(&io::Error::other("a file's object was not taken"))),
        }
    }

    /// A file of a document with its content.
    ///
    /// # Errors
    /// There is no such document or file, or the object store does not answer.
    pub async fn open_document_file(
        &self,
        user: UserId,
        id: DocumentId,
        path: &FilePath,
    ) -> Result<OpenFile, ServiceError> {
        let StoredFile { file, object_key } = self.0.database.attached_file(user, id, path).await?;
        let content = pieces(&self.0.objects, object_key, file.size_bytes).await?;
        Ok(OpenFile { file, content })
    }

    /// Takes a file away from a document.
    ///
    /// # Errors
    /// There is no such document or file.
    pub async fn delete_document_file(
        &self,
        user: UserId,
        id: DocumentId,
        path: &FilePath,
    ) -> Result<(), ServiceError> {
        Ok(self.0.database.detach_file(user, id, path).await?)
    }

    /// Removes for good, as of `now`, what was in the bin for long, and objects that no file, render or job names any more.
    ///
    /// # Errors
    /// The database's or the object store's.
    pub async fn sweep_documents(&self, now: Timestamp) -> Result<(), ServiceError> {
        let Self(inner) = self;
        let before = |age: Duration| now.checked_sub(age).unwrap_or(Timestamp::MIN);
        while inner.database.purge_deleted_documents(before(BIN_AGE), PURGED).await? == u64::from(PURGED) {}
        inner.objects.sweep(GRACE).await?;
        let old = before(GRACE);
        for below in [FILES, JOBS, RENDERS] {
            let found = inner.objects.list(Some(below))?;
            let found = found.try_filter(|object| std::future::ready(object.modified_at < old));
            let mut found = found.map_ok(|object| object.key).try_chunks(ASKED_AT_ONCE);
            while let Some(keys) = found.try_next().await.map_err(|error| error.1)? {
                let named = inner.database.named_objects(&keys).await?;
                for key in keys.iter().filter(|key| !named.contains(*key)) {
                    inner.objects.delete(key).await?;
                }
            }
        }
        Ok(())
    }
}

/// An object in pieces, of which the first is read already: a store that does not answer is found before.
pub(super) async fn pieces(
    objects: &Objects,
    key: String,
    size: u64,
) -> Result<BoxStream<'static, io::Result<Vec<u8>>>, ServiceError> {
    let objects = objects.clone();
    let first = objects.get_range(&key, 0..size.min(PIECE_BYTES)).await?;
    let rest = stream::try_unfold(size.min(PIECE_BYTES), move |at| {
        let (objects, key) = (objects.clone(), key.clone());
        async move {
            let end = size.min(at.saturating_add(PIECE_BYTES));
            if at >= end {
                return Ok(None);
            }
            let piece = objects.get_range(&key, at..end).await.map_err(|error| {
                tracing::error!(%error, "an object breaks off");
                io::Error::other(error)
            })?;
            Ok(Some((piece, end)))
        }
    });
    Ok(stream::once(async move { Ok(first) }).chain(rest).boxed())
}
