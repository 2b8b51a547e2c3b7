//! One who reads a feed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Feed, Told, held};

/// Who has read all waits so long before they read again: meanwhile, texts join.
const BREATH: Duration = Duration::from_millis(20);

/// More happened than was read: it is kept no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much happened that was not taken in time; the last event that was told has number {after}")]
pub struct TooSlow {
    /// Number of the last event that was read.
    pub after: u64,
}

/// One who reads a feed.
pub struct Watcher<E: Told> {
    feed: Arc<Feed<E>>,
    last: u64,
    changed: watch::Receiver<u64>,
    /// When all had been read.
    done: Option<Instant>,
    ended: bool,
}

impl<E: Told> Watcher<E> {
    pub(super) fn new(feed: Arc<Feed<E>>, last: u64) -> Self {
        let changed = feed.changed.subscribe();
        Self { feed, last, changed, done: None, ended: false }
    }

    /// What the numbers are good for.
    pub fn epoch(&self) -> &str {
        &self.feed.epoch
    }

    /// Number of the last event that was read, or that need not be.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Notes how the thing was when it was first watched.
    pub fn note(&self, status: E::Status) {
        self.feed.ring().note(status);
    }

    /// The next event with its number; nothing after the last one.
    ///
    /// # Errors
    /// It is not there any more.
    pub async fn next(&mut self) -> Result<Option<(u64, Arc<E>)>, TooSlow> {
        loop {
            if self.ended {
                return Ok(None);
            }
            self.changed.borrow_and_update();
            {
                let mut ring = self.feed.ring();
                if !ring.reaches(self.last) {
                    return Err(TooSlow { after: self.last });
                }
                if let Some((number, event)) = ring.after(self.last) {
                    self.last = number;
                    self.ended = event.is_last();
                    return Ok(Some((number, event)));
                }
                // It ended before this one came.
                if ring.has_ended() {
                    return Ok(None);
                }
            }
            let done = *self.done.get_or_insert_with(Instant::now);
            if self.changed.changed().await.is_err() {
                return Ok(None);
            }
            tokio::time::sleep_until(done + BREATH).await;
            self.done = None;
        }
    }
}

impl<E: Told> Drop for Watcher<E> {
    fn drop(&mut self) {
        *held(&self.feed.left) = std::time::Instant::now();
        self.feed.watchers.fetch_sub(1, Ordering::AcqRel);
    }
}
