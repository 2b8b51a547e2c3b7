//! How many requests run at once, and how many may wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ServiceError;

/// When a refused caller should come again.
const RETRY_AFTER_S: u64 = 1;

pub struct Admission {
    running: Arc<Semaphore>,
    max_running: usize,
    max_queued: usize,
    queued: Arc<AtomicUsize>,
}

/// Counts a request as waiting, also when it goes away meanwhile.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Admission {
    pub fn new(max_running: usize, max_queued: usize) -> Self {
        let running = Arc::new(Semaphore::new(max_running.min(Semaphore::MAX_PERMITS)));
        Self { running, max_running, max_queued, queued: Arc::default() }
    }

    /// The right to run, for as long as the answer lives.
    pub async fn enter(&self) -> Result<OwnedSemaphorePermit, ServiceError> {
        if let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(permit);
        }
        let before = self.queued.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(Arc::clone(&self.queued));
        if before >= self.max_queued {
            return Err(ServiceError::Busy { retry_after_s: RETRY_AFTER_S });
        }
        let permit = Arc::clone(&self.running).acquire_owned().await;
        permit.map_err(|_| ServiceError::Busy { retry_after_s: RETRY_AFTER_S })
    }

    /// How many run, and how many wait.
    pub fn counts(&self) -> (usize, usize) {
        (self.max_running - self.running.available_permits(), self.queued.load(Ordering::Acquire))
    }
}
