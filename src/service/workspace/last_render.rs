//! What came of a document when it was rendered last, kept as a page: readers of a published document see it, and
//! nothing is ever run for them.
//!
//! It is kept after the answer, by the way: where there is too much to keep, or the server stops, it is lost, and the next
//! render keeps it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;

use super::Workspace;
use crate::document::{self, Format, RenderOptions};
use crate::domain::{DocumentId, DocumentSummary, UserId};
use crate::service::admission::Admission;
use crate::service::turns::Turns;
use crate::service::{Ran, ServiceError, off_the_server_threads};
use crate::store::{Kept, NewRender, ObjectError, StoredRender};

/// What the objects of pages lie below.
pub(super) const RENDERS: &str = "renders";
/// A larger page is not kept.
const MAX_PAGE_BYTES: u64 = 16 << 20;
/// Pages that are written at once, and that wait.
const MAX_WRITING: usize = 4;
const MAX_WAITING: usize = 16;
/// Documents of which it is remembered what was kept last.
const REMEMBERED: usize = 10_000;
/// And for so long: it may have made room for another one meanwhile.
const TRUSTED: Duration = Duration::from_secs(60);

/// Keeps last renders.
pub struct LastRenders {
    admission: Admission,
    turns: Turns<DocumentId>,
    known: Mutex<HashMap<DocumentId, Known>>,
}

/// What this server knows of a document's renders.
#[derive(Default)]
struct Known {
    /// The latest of the highest version, kept or not.
    latest: Option<(u64, Timestamp)>,
    /// The version and the inputs of the one that was kept last, and when that was known.
    kept: Option<(u64, String, Instant)>,
}

impl Default for LastRenders {
    fn default() -> Self {
        Self { admission: Admission::new(MAX_WRITING, MAX_WAITING), turns: Turns::default(), known: Mutex::default() }
    }
}

impl Known {
    fn is_kept(&self, version: u64, inputs: &str) -> bool {
        let kept = self.kept.as_ref();
        kept.is_some_and(|(at, of, since)| *at == version && of == inputs && since.elapsed() < TRUSTED)
    }
}

impl LastRenders {
    /// Look again whether this document's render is kept, when it is rendered again.
    pub fn forget(&self, id: DocumentId) {
        self.with(id, |known| known.kept = None);
    }

    fn with<T>(&self, id: DocumentId, work: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED && !known.contains_key(&id) {
            known.clear();
        }
        work(known.entry(id).or_default())
    }
}

impl Workspace {
    /// Keeps what came of a stored document, unless it is what is kept already. It returns at once.
    pub(super) fn keep_render(&self, user: UserId, summary: &DocumentSummary, ran: Arc<Ran>) {
        let (id, version, rendered_at) = (summary.id, summary.version, Timestamp::now());
        let is_known = self.0.renders.with(id, |known| {
            let is_known = !ran.has_executed() && known.is_kept(version, &ran.inputs_key);
            if !is_known {
                known.latest = known.latest.max(Some((version, rendered_at)));
            }
            is_known
        });
        if is_known {
            return;
        }
        let (workspace, title) = (self.clone(), summary.title.to_string());
        tokio::spawn(async move {
            let renders = &workspace.0.renders;
            let Ok(_permit) = renders.admission.enter().await else {
                return tracing::debug!(%id, "too many renders are being kept: this one is not");
            };
            let _turn = renders.turns.take(id).await;
            if renders.with(id, |known| known.latest > Some((version, rendered_at))) {
                // A later one comes behind.
                return;
            }
            let inputs_key = ran.inputs_key.clone();
            match workspace.write_render(user, id, (version, rendered_at), &title, ran).await {
                Ok(()) => renders.with(id, |known| known.kept = Some((version, inputs_key, Instant::now()))),
                // The document was deleted meanwhile.
                Err(ServiceError::NotFound { .. }) => {}
                Err(error) => tracing::warn!(%id, %error, "the render of a document is not kept"),
            }
        });
    }

    async fn write_render(
        &self,
        user: UserId,
        id: DocumentId,
        (version, rendered_at): (u64, Timestamp),
        title: &str,
        ran: Arc<Ran>,
    ) -> Result<(), ServiceError> {
        let Self(inner) = self;
        let (title, inputs_key, (cell_count, failed_count)) = (title.to_owned(), ran.inputs_key.clone(), ran.counts());
        let lay_out = move || {
            let options = RenderOptions { format: Format::Page, title: Some(title), ..RenderOptions::default() };
            let page = document::render(&ran.document, &ran.reports, &options);
            (blake3::hash(page.as_bytes()).to_hex().to_string(), page)
        };
        let (digest, page) = off_the_server_threads(lay_out).await?;
        let there = inner.database.last_render(user, id).await?;
        let is_same = |there: &StoredRender| {
            there.digest == digest && there.about.version == version && there.inputs_key == inputs_key
        };
        if let Some(same) = there.filter(is_same) {
            match same.object_key {
                Some(key) if inner.objects.info(&key).await.is_err() => {}
                _ => return Ok(()),
            }
        }
        let size_bytes = u64::try_from(page.len()).unwrap_or(u64::MAX);
        let object_key = (size_bytes <= MAX_PAGE_BYTES).then(|| format!("{RENDERS}/{user}/{}", Uuid::now_v7()));
        if let Some(key) = &object_key {
            inner.objects.put(key, page.into_bytes()).await?;
        }
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let new = NewRender {
            version,
            inputs_key,
            rendered_at,
            cell_count: count(cell_count),
            failed_count: count(failed_count),
            size_bytes,
            digest,
            object_key,
        };
        let Kept { is_kept, unnamed } = inner.database.keep_render(user, id, &new).await?;
        if !is_kept {
            tracing::info!(%id, size_bytes, "the page of a document is too large to be kept, or was rendered again");
        }
        for key in unnamed {
            // What is left is swept up later.
            if let Err(error) = inner.objects.delete(&key).await {
                tracing::debug!(%error, "an earlier render is left");
            }
        }
        Ok(())
    }

    /// The page of a render, if it is still there.
    pub(super) async fn kept_page(&self, key: &str, digest: &str) -> Result<Option<Vec<u8>>, ServiceError> {
        let page = match self.0.objects.get(key, MAX_PAGE_BYTES).await {
            Err(ObjectError::NotFound { .. }) => return Ok(None),
            found => found?,
        };
        if blake3::hash(&page).to_hex().as_str() != digest {
            return Err(ServiceError::internal(&io::Error::other(format!("the object `{key}` was changed"))));
        }
        Ok(Some(page))
    }
}
