//! How much each user does at once, in this process: one cannot take what is there for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::UserId;

/// Counts what goes on for each user.
pub struct Shares {
    most: usize,
    counts: Arc<Mutex<HashMap<UserId, usize>>>,
}

/// One of the things that go on for a user, as long as it lives.
pub struct Share {
    user: UserId,
    counts: Arc<Mutex<HashMap<UserId, usize>>>,
}

impl Shares {
    /// Up to `most` for each user.
    pub fn new(most: usize) -> Self {
        Self { most, counts: Arc::default() }
    }

    /// One more, unless the user has all that they may.
    pub fn take(&self, user: UserId) -> Option<Share> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(user).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share { user, counts: Arc::clone(&self.counts) })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}
