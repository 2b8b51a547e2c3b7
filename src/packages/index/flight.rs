//! Work that is wanted twice at the same time is done once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, WeakShared};

/// Flights that nobody waits for any more are swept when there are more than this many.
const SWEPT_AT: usize = 1024;

/// Running work by what it is about. It lives as long as somebody waits for it.
pub(super) struct Flights<K, T: Clone> {
    running: Mutex<HashMap<K, WeakShared<BoxFuture<'static, T>>>>,
}

impl<K: Eq + Hash + Clone, T: Clone> Flights<K, T> {
    pub(super) fn new() -> Self {
        Self { running: Mutex::new(HashMap::new()) }
    }

    /// The outcome of the running work for `key`, else of `start`'s.
    pub(super) async fn join(&self, key: K, start: impl FnOnce() -> BoxFuture<'static, T>) -> T {
        let flight = {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let found = running.get(&key).and_then(WeakShared::upgrade).filter(|flight| flight.peek().is_none());
            found.unwrap_or_else(|| {
                if running.len() >= SWEPT_AT {
                    running.retain(|_, flight| flight.upgrade().is_some());
                }
                let flight = start().shared();
                running.extend(flight.downgrade().map(|weak| (key.clone(), weak)));
                flight
            })
        };
        let outcome = flight.await;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |flight: &WeakShared<_>| flight.upgrade().is_none_or(|flight| flight.peek().is_some());
        if running.get(&key).is_some_and(is_over) {
            running.remove(&key);
        }
        outcome
    }
}
