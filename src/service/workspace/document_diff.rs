//! What is different between two texts.

use std::time::{Duration, Instant};

use serde::Serialize;
use similar::{ChangeTag, TextDiff};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::domain::DocumentVersion;
use crate::service::{ServiceError, off_the_server_threads};

/// Comparisons at once: each may take a processor for [`SEARCH_TIME`], and more memory than its texts.
const AT_ONCE: usize = 2;
/// After that, what is left is taken for different as a whole: the result is right, and longer than it could be.
const SEARCH_TIME: Duration = Duration::from_millis(500);
/// Texts of more lines are not compared.
const MAX_LINES: usize = 400_000;

/// Who compares texts.
pub struct Diffs(Semaphore);

impl Default for Diffs {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Diffs {
    /// Waits until a comparison may begin. The turn lasts as long as the answer lives.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.0.acquire().await.ok()
    }
}

/// What is different in a document's text against another one that it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct VersionDiff {
    /// The version whose text this is about.
    pub version: u64,
    /// The version that it is compared with.
    pub against: u64,
    /// Lines that are there now.
    pub lines_added: usize,
    /// Lines that are no longer there.
    pub lines_removed: usize,
    /// The difference as a unified diff with three lines around each change; empty where there is none.
    pub unified: String,
}

impl VersionDiff {
    /// Compares two texts.
    pub(super) async fn between(old: DocumentVersion, new: DocumentVersion) -> Result<Self, ServiceError> {
        off_the_server_threads(move || compare(&old, &new)).await?
    }
}

fn compare(old: &DocumentVersion, new: &DocumentVersion) -> Result<VersionDiff, ServiceError> {
    for text in [&old.content, &new.content] {
        if text.lines().take(MAX_LINES + 1).count() > MAX_LINES {
            let message = format!("texts of more than {MAX_LINES} lines are not compared");
            return Err(ServiceError::Invalid { field: "content".to_owned(), message });
        }
    }
    let (version, against) = (new.summary.version, old.summary.version);
    let deadline = Instant::now() + SEARCH_TIME;
    let diff = TextDiff::configure().deadline(deadline).diff_lines(old.content.as_str(), new.content.as_str());
    let (mut lines_added, mut lines_removed) = (0, 0);
    for change in diff.iter_all_changes() {
        match change.tag() {
            ChangeTag::Insert => lines_added += 1,
            ChangeTag::Delete => lines_removed += 1,
            ChangeTag::Equal => {}
        }
    }
    let name = |version: u64| format!("version {version}");
    let unified = diff.unified_diff().header(&name(against), &name(version)).to_string();
    Ok(VersionDiff { version, against, lines_added, lines_removed, unified })
}
