//! Kernels that wait where a render has ended. Memory that holds most of what the next render wants is worth more than
//! any image: only what differs is put in.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::backend::wasm::{Checkpoint, Kernel};
use crate::domain::UserId;

/// Of one user.
const MOST_OF_ONE: usize = 2;
/// A kernel that holds more pages of its own does not wait: 64 MiB.
pub(super) const MOST_PAGES: usize = 16_384;
/// A kernel does not wait longer: who edits comes back sooner.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Kernels that wait, the one that came last at the end.
pub(super) struct Parked {
    most: usize,
    waiting: Mutex<VecDeque<Waiting>>,
}

struct Waiting {
    user: UserId,
    kernel: Kernel,
    since: Instant,
}

impl Parked {
    pub fn new(most: usize) -> Self {
        Self { most, waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn count(&self) -> usize {
        self.waiting().len()
    }

    pub fn put(&self, user: UserId, kernel: Kernel) {
        let mut gone = Vec::new();
        let mut waiting = self.waiting();
        waiting.push_back(Waiting { user, kernel, since: Instant::now() });
        while waiting.len() > self.most || waiting.front().is_some_and(|first| first.since.elapsed() > PATIENCE) {
            gone.extend(waiting.pop_front());
        }
        if waiting.iter().filter(|one| one.user == user).count() > MOST_OF_ONE {
            let eldest = waiting.iter().position(|one| one.user == user);
            gone.extend(eldest.and_then(|at| waiting.remove(at)));
        }
        drop(waiting);
        // Memory is given back without the lock.
        drop(gone);
    }

    /// The user's kernel that has the fewest pages to change to come to `state`.
    pub fn take(&self, user: UserId, state: &Checkpoint) -> Option<Kernel> {
        let mut waiting = self.waiting();
        let own = waiting.iter().enumerate().filter(|(_, one)| one.user == user);
        let near = own.filter_map(|(at, one)| Some((state.distance(&one.kernel.checkpoint())?, at)));
        let (_, nearest) = near.min()?;
        waiting.remove(nearest).map(|one| one.kernel)
    }

    /// Lets go of those that wait too long.
    pub fn settle(&self) {
        let mut waiting = self.waiting();
        let late = waiting.iter().take_while(|one| one.since.elapsed() >= PATIENCE).count();
        let gone: Vec<_> = waiting.drain(..late).collect();
        drop(waiting);
        drop(gone);
    }
}
