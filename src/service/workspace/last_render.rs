//! What came of a document when it was rendered last, kept as a page: readers of a published document see it, and
//! nothing is ever run for them.
//!
//! It is kept after the answer, by the way: where there is too much to keep, or the server stops, it is lost, and the next
//! render keeps it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::Workspace;
use crate::document::{self, Format, RenderOptions};
use crate::domain::{DocumentId, DocumentSummary, UserId};
use crate::service::admission::Admission;
use crate::service::turns::Turns;
use crate::service::{Ran, ServiceError, Shares, off_the_server_threads};
use crate::store::{Kept, NewRender, ObjectError, StoredRender};

/// What the objects of pages lie below.
pub(super) const RENDERS: &str = "renders";
/// A larger page is not kept.
const MAX_PAGE_BYTES: u64 = 16 << 20;
/// Pages that are written at once, and that wait.
const MAX_WRITING: usize = 4;
const MAX_WAITING: usize = 16;
/// Of one user, written or waiting.
const MAX_OF_ONE: usize = 8;
/// Documents of which it is remembered what was kept last.
const REMEMBERED: usize = 10_000;
/// And for so long: it may have made room for another one meanwhile.
const TRUSTED: Duration = Duration::from_secs(60);

/// Keeps last renders.
pub struct LastRenders {
    shares: Shares,
    admission: Admission,
    turns: Turns<DocumentId>,
    /// What is to be kept and is not being written yet, one a document: the latest.
    waiting: Mutex<HashMap<DocumentId, Next>>,
    known: Mutex<HashMap<DocumentId, Known>>,
}

/// A render that is to be kept.
struct Next {
    version: u64,
    title: String,
    ran: Arc<Ran>,
}

/// The version and the inputs of a document's render that was kept last.
struct Known {
    version: u64,
    inputs_key: String,
    since: Instant,
}

impl Default for LastRenders {
    fn default() -> Self {
        Self {
            shares: Shares::new(MAX_OF_ONE),
            admission: Admission::new(MAX_WRITING, MAX_WAITING),
            turns: Turns::default(),
            waiting: Mutex::default(),
            known: Mutex::default(),
        }
    }
}

impl LastRenders {
    /// Look again whether this document's render is kept, when it is rendered again.
    pub fn forget(&self, id: DocumentId) {
        self.known().remove(&id);
    }

    fn is_kept(&self, id: DocumentId, version: u64, inputs_key: &str) -> bool {
        self.known().get(&id).is_some_and(|known| {
            known.version == version && known.inputs_key == inputs_key && known.since.elapsed() < TRUSTED
        })
    }

    fn remember(&self, id: DocumentId, version: u64, inputs_key: String) {
        let mut known = self.known();
        if known.len() >= REMEMBERED && !known.contains_key(&id) {
            known.clear();
        }
        known.insert(id, Known { version, inputs_key, since: Instant::now() });
    }

    /// Has a render wait, and tells whether none of the document did: else somebody comes for it already.
    fn wait(&self, id: DocumentId, next: Next) -> bool {
        match self.waiting().entry(id) {
            Entry::Vacant(place) => {
                place.insert(next);
                true
            }
            Entry::Occupied(mut place) => {
                let of = |next: &Next| (next.version, next.ran.rendered_at);
                if of(&next) > of(place.get()) {
                    place.insert(next);
                }
                false
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<DocumentId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<DocumentId, Next>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workspace {
    /// Keeps what came of a stored document, unless it is what is kept already. It returns at once.
    pub(super) fn keep_render(&self, user: UserId, summary: &DocumentSummary, ran: Arc<Ran>) {
        let (renders, id, version) = (&self.0.renders, summary.id, summary.version);
        let is_known = !ran.has_executed() && renders.is_kept(id, version, &ran.inputs_key);
        if is_known || !renders.wait(id, Next { version, title: summary.title.to_string(), ran }) {
            return;
        }
        let (workspace, share) = (self.clone(), renders.shares.take(user));
        tokio::spawn(async move {
            let renders = &workspace.0.renders;
            let (Some(_share), Ok(_permit)) = (share, renders.admission.enter().await) else {
                renders.waiting().remove(&id);
                return tracing::debug!(%id, "too many renders are being kept: this one is not");
            };
            let _turn = renders.turns.take(id).await;
            // Now only, as a later one may have come.
            let Some(Next { version, title, ran }) = renders.waiting().remove(&id) else { return };
            let inputs_key = ran.inputs_key.clone();
            match workspace.write_render(user, (id, version), title, ran).await {
                Ok(true) => renders.remember(id, version, inputs_key),
                // The document was deleted meanwhile.
                Ok(false) | Err(ServiceError::NotFound { .. }) => {}
                Err(error) => tracing::warn!(%id, %error, "the render of a document is not kept"),
            }
        });
    }

    /// Tells whether nothing else would come of it if it was done again.
    async fn write_render(
        &self,
        user: UserId,
        (id, version): (DocumentId, u64),
        title: String,
        ran: Arc<Ran>,
    ) -> Result<bool, ServiceError> {
        let Self(inner) = self;
        let (inputs_key, (cell_count, failed_count)) = (ran.inputs_key.clone(), ran.counts());
        let (rendered_at, has_executed) = (ran.rendered_at, ran.has_executed());
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
        let size_bytes = u64::try_from(page.len()).unwrap_or(u64::MAX);
        if let Some(same) = there.filter(is_same) {
            match same.object_key {
                None if size_bytes > MAX_PAGE_BYTES => return Ok(true),
                // There may be room for it now.
                None => {}
                Some(key) if inner.objects.info(&key).await.is_ok() => {
                    if has_executed {
                        inner.database.keep_same_render(user, id, &key, rendered_at).await?;
                    }
                    return Ok(true);
                }
                // The object store has lost it.
                Some(_) => {}
            }
        }
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
            tracing::info!(%id, size_bytes, "the page of a document is not kept: it is too large, there is no room, or a later one is there");
        }
        for key in unnamed {
            // What is left is swept up later.
            if let Err(error) = inner.objects.delete(&key).await {
                tracing::debug!(%error, "an earlier render is left");
            }
        }
        Ok(is_kept || size_bytes > MAX_PAGE_BYTES)
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
