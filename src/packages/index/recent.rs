//! What was used last, in memory and bounded.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// Values by key, until they weigh too much: then the quarter that was not used for longest goes.
pub(super) struct Recent<K, V> {
    max_weight: usize,
    state: Mutex<State<K, V>>,
}

struct State<K, V> {
    entries: HashMap<K, Entry<V>>,
    weight: usize,
    clock: u64,
}

struct Entry<V> {
    value: V,
    weight: usize,
    used: u64,
}

impl<K: Eq + Hash + Clone, V: Clone> Recent<K, V> {
    pub(super) fn new(max_weight: usize) -> Self {
        Self { max_weight, state: Mutex::new(State { entries: HashMap::new(), weight: 0, clock: 0 }) }
    }

    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock += 1;
        let clock = state.clock;
        let entry = state.entries.get_mut(key)?;
        entry.used = clock;
        Some(entry.value.clone())
    }

    /// Keeps a value; one that alone weighs too much is not kept.
    pub(super) fn put(&self, key: K, value: V, weight: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.remove(&key);
        if weight > self.max_weight {
            return;
        }
        if state.weight + weight > self.max_weight {
            let mut by_age: Vec<(u64, K)> =
                state.entries.iter().map(|(key, entry)| (entry.used, key.clone())).collect();
            by_age.sort_unstable_by_key(|(used, _)| *used);
            for (_, key) in by_age {
                if state.weight + weight <= self.max_weight / 4 * 3 {
                    break;
                }
                state.remove(&key);
            }
        }
        state.clock += 1;
        state.weight += weight;
        let used = state.clock;
        state.entries.insert(key, Entry { value, weight, used });
    }
}

impl<K: Eq + Hash, V> State<K, V> {
    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.weight -= entry.weight;
        }
    }
}
