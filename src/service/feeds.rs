//! What happens to things, told to those who watch them.
//!
//! A thing that is watched, or was lately, has a *feed*: its last events, numbered from 1, within bounds. Whoever watches
//! reads them there at their own pace; nothing waits for them, and nothing is kept for them. Who falls behind the feed's
//! beginning is told so. The numbers are this process's: they are good for the feed's *epoch* only.

mod ring;
mod watcher;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use ring::Ring;
pub use watcher::{TooSlow, Watcher};

/// A feed that nobody watches is there for so long: whoever was cut off comes back to it.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// What feeds are made of.
pub trait Told: Sized {
    /// How the thing is, which some events say.
    type Status: Clone + PartialEq;

    /// About how many bytes it takes.
    fn size_bytes(&self) -> usize;

    /// Takes `next` in, which came right after it, or gives it back.
    fn join(&mut self, next: Self) -> Option<Self>;

    /// How the thing is since then, if it says that.
    fn status(&self) -> Option<&Self::Status>;

    /// Whether nothing comes after it.
    fn is_last(&self) -> bool;
}

/// Where a watcher was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The epoch that the number is of.
    pub epoch: String,
    /// The number of the last event that was heard.
    pub after: u64,
}

/// How a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Anew,
    /// Where it was broken off.
    Resumed,
    /// With what happens from now on: the numbers of before count no more.
    Restarted,
    /// With what happens from now on: what happened meanwhile was more than is kept.
    Gap,
}

/// The feeds of things that `K` names.
pub struct Feeds<K, E: Told> {
    all: RwLock<HashMap<K, Arc<Feed<E>>>>,
    /// As many as there are, to be read without a lock.
    count: AtomicUsize,
    /// What may have changed: to be looked for.
    asked: Mutex<HashSet<K>>,
    ask: Notify,
    kept_for: Duration,
}

/// The last events of one thing.
struct Feed<E: Told> {
    epoch: String,
    ring: Mutex<Ring<E>>,
    /// The number of the last event.
    changed: watch::Sender<u64>,
    watchers: AtomicUsize,
    /// Since when nobody watches, if nobody does.
    left: Mutex<Instant>,
}

impl<K, E: Told> Default for Feeds<K, E> {
    fn default() -> Self {
        Self::kept_for(KEPT_FOR)
    }
}

impl<K, E: Told> Feeds<K, E> {
    /// Feeds that are there for so long when nobody watches them any more.
    pub fn kept_for(kept_for: Duration) -> Self {
        let (all, count, asked, ask) = (RwLock::default(), AtomicUsize::new(0), Mutex::default(), Notify::new());
        Self { all, count, asked, ask, kept_for }
    }
}

impl<E: Told> Feed<E> {
    fn new() -> Self {
        Self {
            epoch: Uuid::now_v7().simple().to_string(),
            ring: Mutex::new(Ring::default()),
            changed: watch::Sender::new(0),
            watchers: AtomicUsize::new(0),
            left: Mutex::new(Instant::now()),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring<E>> {
        held(&self.ring)
    }
}

impl<K: Copy + Eq + Hash, E: Told> Feeds<K, E> {
    fn find(&self, key: K) -> Option<Arc<Feed<E>>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// Whether somebody watches it, or did lately.
    pub fn is_there(&self, key: K) -> bool {
        self.find(key).is_some()
    }

    /// Tells those who watch it, if there are any.
    pub fn tell(&self, key: K, event: impl FnOnce() -> E) {
        self.put(key, |ring| ring.push(event()));
    }

    /// Tells it, unless something was told since `seq`, which is newer then.
    pub fn tell_after(&self, key: K, seq: u64, event: E) {
        self.put(key, |ring| if ring.last() == seq { ring.push(event) } else { None });
    }

    /// Puts something into a feed, if there is one.
    fn put(&self, key: K, put: impl FnOnce(&mut Ring<E>) -> Option<u64>) {
        while let Some(feed) = self.find(key) {
            let mut ring = feed.ring();
            // It was forgotten after it was found; somebody may watch another one since.
            if ring.is_closed() {
                continue;
            }
            let last = put(&mut ring);
            drop(ring);
            if let Some(last) = last {
                feed.changed.send_replace(last);
            }
            return;
        }
    }

    /// Watches a thing, from where it was broken off if that can still be.
    pub fn watch(&self, key: K, from: Option<&Position>) -> (Watcher<E>, Start) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let feed = Arc::clone(all.entry(key).or_insert_with(|| Arc::new(Feed::new())));
        self.count.store(all.len(), Ordering::Release);
        // Counted before the lock is let go: a feed that is watched is not forgotten.
        feed.watchers.fetch_add(1, Ordering::AcqRel);
        drop(all);
        let (start, last) = {
            let ring = feed.ring();
            match from {
                None => (Start::Anew, ring.last()),
                Some(from) if from.epoch != feed.epoch || from.after > ring.last() => (Start::Restarted, ring.last()),
                Some(from) if !ring.reaches(from.after) => (Start::Gap, ring.last()),
                Some(from) => (Start::Resumed, from.after),
            }
        };
        (Watcher::new(feed, last), start)
    }

    /// Those that somebody watches.
    pub fn watched(&self) -> Vec<K> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(_, feed)| feed.watchers.load(Ordering::Acquire) > 0).map(|(key, _)| *key).collect()
    }

    /// The number of its last event, and how it was told to be last.
    pub fn latest(&self, key: K) -> Option<(u64, Option<E::Status>)> {
        let feed = self.find(key)?;
        let ring = feed.ring();
        Some((ring.last(), ring.status().cloned()))
    }

    /// Says that the thing may have changed: [`Feeds::asked`] has it, if somebody watches it.
    pub fn ask(&self, key: K) {
        if self.is_there(key) {
            held(&self.asked).insert(key);
            self.ask.notify_one();
        }
    }

    /// Waits until there are things that may have changed.
    pub async fn asked(&self) -> Vec<K> {
        loop {
            let asked = std::mem::take(&mut *held(&self.asked));
            if !asked.is_empty() {
                return asked.into_iter().collect();
            }
            self.ask.notified().await;
        }
    }

    /// Forgets the feeds that nobody has watched lately, and those of things that are gone.
    pub fn sweep(&self) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, feed| {
            if feed.watchers.load(Ordering::Acquire) > 0 {
                return true;
            }
            let is_young = held(&feed.left).elapsed() < self.kept_for;
            let mut ring = feed.ring();
            let stays = is_young && !ring.has_ended();
            if !stays {
                ring.close();
            }
            stays
        });
        self.count.store(all.len(), Ordering::Release);
    }
}

/// What is there is whole whoever panicked.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
