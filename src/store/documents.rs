//! Documents: made, read, listed, changed, deleted; with every text that they had, and with files.
//!
//! Whoever writes holds the user's row first ([`lock_user`]): what one user does to their documents is one after the
//! other, on every server. So quotas are exact, and a version that was read in a transaction is still the one that is
//! written over.
//!
//! [`lock_user`]: super::tiers::lock_user

mod bin;
mod files;
mod list;
mod look;
mod make;
mod publications;
mod renders;
mod save;
mod search;
mod versions;
mod words;

use super::error::StoreError;
use super::rows::Columns as _;
use super::transaction::Write;
use crate::domain::{
    DocumentFormat, DocumentTitle, EnvironmentId, FilePath, QuotaExceeded, QuotaKind, Quotas, Tag, UserId,
};

pub use files::{Attached, NewFile, StoredFile};
pub(super) use look::summary_in;
pub use publications::{PublishedPage, StoredPublication};
pub use renders::{Kept, NewRender, StoredRender};

/// A document to be made.
#[derive(Debug, Clone)]
pub struct NewDocument {
    /// Its title.
    pub title: DocumentTitle,
    /// Its text, without NUL.
    pub content: String,
    /// What it is shown as.
    pub render_format: DocumentFormat,
    /// Where its code is to run.
    pub environment_id: Option<EnvironmentId>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// What to change of a document; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct DocumentChange {
    /// Another title.
    pub title: Option<DocumentTitle>,
    /// Another text, without NUL.
    pub content: Option<String>,
    /// Another format.
    pub render_format: Option<DocumentFormat>,
    /// Another environment, or none.
    pub environment_id: Option<Option<EnvironmentId>>,
    /// Other tags.
    pub tags: Option<Vec<Tag>>,
}

/// Why something could not be done with a document.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The user has no such document, or no longer.
    #[error("there is no such document")]
    NotFound,
    /// The document had no text then, or it is no longer kept.
    #[error("there is no such version of the document")]
    NoVersion,
    /// The document has no such file.
    #[error("the document has no such file")]
    NoFile,
    /// The user has no such environment.
    #[error("there is no such environment")]
    NoEnvironment,
    /// Somebody else changed the document meanwhile.
    #[error("the document was changed meanwhile: its version is {current}")]
    Changed {
        /// The version now.
        current: u64,
    },
    /// Another file lies where a directory would have to be, or the other way round.
    #[error("`{path}` can't be there beside `{other}`: one of them would be a file and a directory")]
    PathTaken {
        /// The path that is asked for.
        path: FilePath,
        /// The one that is there.
        other: FilePath,
    },
    /// The document has as many files as any may have.
    #[error("a document may have {max} files")]
    TooManyFiles {
        /// How many.
        max: usize,
    },
    /// The tier does not allow so much.
    #[error(transparent)]
    QuotaExceeded(#[from] QuotaExceeded),
    /// The database's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for DocumentError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Refuses one document more than the tier allows.
async fn check_count(write: &mut Write, user: UserId, quotas: &Quotas) -> Result<(), DocumentError> {
    let used = sqlx::query("SELECT COUNT(*) AS used FROM documents WHERE user_id = $1 AND deleted_at IS NULL");
    let used = used.bind(user.to_string()).fetch_one(write.on()).await?.count("used")?;
    let (what, wanted, allowed) = (QuotaKind::Documents, used.saturating_add(1), quotas.documents);
    if used >= allowed { Err(QuotaExceeded { what, used, wanted, allowed }.into()) } else { Ok(()) }
}

/// Refuses a text larger than the tier allows, but never one that is no larger than what is there.
fn check_size(content: &str, used: u64, quotas: &Quotas) -> Result<(), DocumentError> {
    let (what, wanted, allowed) = (QuotaKind::DocumentBytes, size(content), quotas.document_bytes);
    if wanted > allowed && wanted > used {
        return Err(QuotaExceeded { what, used, wanted, allowed }.into());
    }
    Ok(())
}

/// Refuses an environment that the user does not have.
async fn check_environment(write: &mut Write, user: UserId, id: EnvironmentId) -> Result<(), DocumentError> {
    let found = sqlx::query("SELECT id FROM environments WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL");
    let found = found.bind(id.to_string()).bind(user.to_string()).fetch_optional(write.on()).await?;
    found.map(|_| ()).ok_or(DocumentError::NoEnvironment)
}

/// Refuses a change of another version than those that are expected; without any, all are.
fn check_version(current: u64, expected: Option<&[u64]>) -> Result<(), DocumentError> {
    match expected {
        Some(versions) if !versions.contains(&current) => Err(DocumentError::Changed { current }),
        _ => Ok(()),
    }
}

/// The tags in order, each once.
fn sorted(mut tags: Vec<Tag>) -> Vec<Tag> {
    tags.sort();
    tags.dedup();
    tags
}

fn size(content: &str) -> u64 {
    u64::try_from(content.len()).unwrap_or(u64::MAX)
}
