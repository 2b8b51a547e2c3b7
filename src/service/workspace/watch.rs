//! Kernels and documents that are watched: by whom, and what other servers do to them.
//!
//! What this server does to a kernel is told as it is done. All else is looked for in the database: at once where this
//! server knows that something was done, and every second for what others may have done, as long as somebody watches: one
//! query for all that is watched, on either database, and nothing that holds a connection (as `LISTEN` would).

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::{Inner, Workspace};
use crate::domain::{
    DocumentEvent, DocumentId, DocumentStatus, DocumentSummary, KernelEvent, KernelId, KernelInfo, KernelStatus,
    Outcome, RenderSummary, UserId, etag_of,
};
use crate::service::feeds::{Feeds, Position, Start, Told, TooSlow, Watcher};
use crate::service::{RenderReport, ServiceError, Share, Shares};
use crate::store::StoreError;

/// So often is looked for what other servers did.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Things that the database is asked about at once.
const ASKED_AT_ONCE: usize = 200;
/// Kernels and documents that one user watches.
const MAX_WATCHES: usize = 256;
/// What an event of a document takes.
const EVENT_BYTES: usize = 1 << 10;

impl Told for DocumentEvent {
    type Status = DocumentStatus;

    fn size_bytes(&self) -> usize {
        EVENT_BYTES
    }

    fn join(&mut self, next: Self) -> Option<Self> {
        Some(next)
    }

    fn status(&self) -> Option<&DocumentStatus> {
        match self {
            Self::Changed(status) | Self::Deleted(status) | Self::Restored(status) => Some(status),
            Self::Purged | Self::Rendered(_) => None,
        }
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Purged)
    }
}

impl DocumentStatus {
    fn of(summary: &DocumentSummary) -> Self {
        let DocumentSummary { version, updated_at, deleted_at, .. } = *summary;
        Self { version, etag: etag_of(version), title: summary.title.clone(), updated_at, deleted_at }
    }
}

/// Somebody watches something.
pub struct Watch<E: Told, S> {
    /// How the thing is: all that was told up to `seq`, and perhaps more, which is told then.
    pub now: S,
    /// How the watch begins.
    pub start: Start,
    watcher: Watcher<E>,
    _share: Share,
}

/// Somebody watches a kernel.
pub type KernelWatch = Watch<KernelEvent, KernelInfo>;
/// Somebody watches a document.
pub type DocumentWatch = Watch<DocumentEvent, DocumentStatus>;

impl<E: Told, S> Watch<E, S> {
    /// What the numbers are good for.
    pub fn epoch(&self) -> &str {
        self.watcher.epoch()
    }

    /// Number of the last event that was told, or that need not be.
    pub fn seq(&self) -> u64 {
        self.watcher.last()
    }

    /// The next event with its number; nothing after the last one.
    ///
    /// # Errors
    /// Too much happened that was not taken in time.
    pub async fn next(&mut self) -> Result<Option<(u64, Arc<E>)>, TooSlow> {
        self.watcher.next().await
    }
}

type DocumentFeeds = Feeds<DocumentId, DocumentEvent>;
type KernelFeeds = Feeds<KernelId, KernelEvent>;

/// What is watched.
pub(super) struct Watching {
    documents: Arc<DocumentFeeds>,
    shares: Shares,
    lookout: OnceLock<Lookout>,
}

/// What looks for changes, as long as it lives.
struct Lookout(JoinHandle<()>);

impl Drop for Lookout {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Default for Watching {
    fn default() -> Self {
        Self { documents: Arc::default(), shares: Shares::new(MAX_WATCHES), lookout: OnceLock::new() }
    }
}

impl Workspace {
    /// Watches a kernel of the user, from where it was broken off if that can still be. It is not woken.
    ///
    /// # Errors
    /// There is none, or the user watches as much as one may.
    pub async fn watch_kernel(
        &self,
        user: UserId,
        id: KernelId,
        from: Option<&Position>,
    ) -> Result<KernelWatch, ServiceError> {
        // Nothing is kept for who may not watch it.
        self.show_kernel(user, id).await?;
        let share = self.watch_share(user)?;
        let (watcher, start) = self.0.kernels.feeds().watch(id, from);
        // Only now, so that nothing is missing that happened in between.
        let now = self.show_kernel(user, id).await?;
        watcher.note(KernelStatus::from(&now));
        Ok(Watch { now, start, watcher, _share: share })
    }

    /// Watches a document of the user, in the bin or not, from where it was broken off if that can still be.
    ///
    /// # Errors
    /// There is none, or the user watches as much as one may.
    pub async fn watch_document(
        &self,
        user: UserId,
        id: DocumentId,
        from: Option<&Position>,
    ) -> Result<DocumentWatch, ServiceError> {
        self.0.database.document_anywhere(user, id).await?;
        let share = self.watch_share(user)?;
        let (watcher, start) = self.0.watching.documents.watch(id, from);
        let now = DocumentStatus::of(&self.0.database.document_anywhere(user, id).await?);
        watcher.note(now.clone());
        Ok(Watch { now, start, watcher, _share: share })
    }

    fn watch_share(&self, user: UserId) -> Result<Share, ServiceError> {
        self.0.watching.lookout.get_or_init(|| {
            let feeds = (Arc::clone(&self.0.watching.documents), self.0.kernels.feeds_shared());
            Lookout(tokio::spawn(look_out(Arc::downgrade(&self.0), feeds)))
        });
        let refused = || ServiceError::TooMany { what: format!("{MAX_WATCHES} kernels and documents to watch") };
        self.0.watching.shares.take(user).ok_or_else(refused)
    }

    /// Says that a document may have changed.
    pub(super) fn document_changed(&self, id: DocumentId) {
        self.0.watching.documents.ask(id);
    }

    /// Tells that a render of a document ended.
    pub(super) fn tell_rendered(&self, id: DocumentId, about: RenderSummary, report: Option<&RenderReport>) {
        self.0.watching.documents.tell(id, || {
            let Some(report) = report else { return DocumentEvent::Rendered(about) };
            DocumentEvent::Rendered(RenderSummary {
                succeeded: true,
                cached: report.cached,
                cell_count: report.cell_count,
                failed_count: report.cells.iter().filter(|cell| cell.outcome != Outcome::Completed).count(),
                fuel_used: report.fuel_used,
                wall_ms: report.wall_ms,
                ..about
            })
        });
    }

    async fn look_for_documents(&self, ids: &[DocumentId]) -> Result<(), StoreError> {
        let feeds = &self.0.watching.documents;
        for ids in ids.chunks(ASKED_AT_ONCE) {
            // One after another, and nowhere else: what is read here is never older than what was told.
            let found = self.0.database.documents_of_ids(ids).await?;
            for id in ids {
                let now = found.iter().find(|summary| summary.id == *id).map(DocumentStatus::of);
                let before = feeds.latest(*id).and_then(|(_, before)| before);
                match (before, now) {
                    (_, None) => feeds.tell(*id, || DocumentEvent::Purged),
                    // Who begins to watch it reads how it is by themselves.
                    (None, Some(_)) => {}
                    (Some(before), Some(now)) => tell_change(feeds, *id, &before, now),
                }
            }
        }
        Ok(())
    }

    async fn look_for_kernels(&self, ids: &[KernelId]) -> Result<(), StoreError> {
        let (kernels, feeds) = (&self.0.kernels, self.0.kernels.feeds());
        for ids in ids.chunks(ASKED_AT_ONCE) {
            let before: Vec<_> = ids.iter().map(|id| feeds.latest(*id)).collect();
            let found = self.0.database.kernels_of_ids(ids).await?;
            for (id, before) in ids.iter().zip(before) {
                match found.iter().find(|kernel| kernel.id == *id) {
                    None => feeds.tell(*id, || KernelEvent::Deleted),
                    Some(_) if kernels.is_live(*id) => {}
                    // Who begins to watch it reads how it is by themselves.
                    Some(now) => {
                        if let Some((seq, Some(_))) = before {
                            feeds.tell_after(*id, seq, KernelEvent::State(KernelStatus::from(now)));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

fn tell_change(feeds: &Feeds<DocumentId, DocumentEvent>, id: DocumentId, before: &DocumentStatus, now: DocumentStatus) {
    let (was_deleted, is_deleted) = (before.deleted_at.is_some(), now.deleted_at.is_some());
    if now.version != before.version && !was_deleted {
        feeds.tell(id, || DocumentEvent::Changed(DocumentStatus { deleted_at: None, ..now.clone() }));
    }
    match (was_deleted, is_deleted) {
        (false, true) => feeds.tell(id, || DocumentEvent::Deleted(now)),
        (true, false) => feeds.tell(id, || DocumentEvent::Restored(now)),
        _ => {}
    }
}

/// Looks for what was done to what is watched.
async fn look_out(inner: Weak<Inner>, (documents, kernels): (Arc<DocumentFeeds>, Arc<KernelFeeds>)) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (document_ids, kernel_ids) = tokio::select! {
            ids = documents.asked() => (ids, Vec::new()),
            ids = kernels.asked() => (Vec::new(), ids),
            _ = ticks.tick() => {
                documents.sweep();
                kernels.sweep();
                (documents.watched(), kernels.watched())
            }
        };
        // Held only while it is used: who waits here does not keep it alive.
        let Some(workspace) = inner.upgrade().map(Workspace) else { return };
        let looked = async {
            workspace.look_for_documents(&document_ids).await?;
            workspace.look_for_kernels(&kernel_ids).await
        };
        if let Err(error) = looked.await {
            tracing::warn!(%error, "what other servers did can't be looked for; it is tried again");
        }
    }
}
