//! What happens in this process, told at once to those who wait for it here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::domain::{JobEvent, JobId};

/// A subscriber who is further behind than this has to begin anew.
const EVENTS_HELD: usize = 256;

/// What a subscriber hears of.
#[derive(Debug, Clone)]
pub(super) enum Update {
    /// This was written.
    Event(Arc<JobEvent>),
    /// Something else became of the job: the database knows.
    Changed,
}

/// Subscribers and running jobs of this process.
#[derive(Debug, Default)]
pub(super) struct Hub {
    feeds: Mutex<HashMap<JobId, broadcast::Sender<Update>>>,
    running: Mutex<HashMap<JobId, CancellationToken>>,
}

impl Hub {
    /// Tells those who listen to this job.
    pub fn tell(&self, job: JobId, update: Update) {
        if let Some(feed) = held(&self.feeds).get(&job) {
            // Without a receiver there is nobody to tell.
            let _ = feed.send(update);
        }
    }

    /// All that is told of this job from now on.
    pub fn listen(self: &Arc<Self>, job: JobId) -> Feed {
        let mut feeds = held(&self.feeds);
        let sender = feeds.entry(job).or_insert_with(|| broadcast::channel(EVENTS_HELD).0);
        Feed { updates: Some(sender.subscribe()), hub: self.clone(), job }
    }

    /// Notes that the job runs here; `cancel` is what its user's wish to end it does.
    pub fn enter(self: &Arc<Self>, job: JobId, cancel: CancellationToken) -> RunningHere {
        held(&self.running).insert(job, cancel);
        RunningHere { hub: self.clone(), job }
    }

    /// Whether the job runs in this process.
    pub fn runs_here(&self, job: JobId) -> bool {
        held(&self.running).contains_key(&job)
    }

    /// Cancels the job, if it runs in this process.
    pub fn cancel_here(&self, job: JobId) {
        if let Some(cancel) = held(&self.running).get(&job) {
            cancel.cancel();
        }
    }
}

/// What is told of one job.
#[derive(Debug)]
pub(super) struct Feed {
    /// There until it is dropped.
    updates: Option<broadcast::Receiver<Update>>,
    hub: Arc<Hub>,
    job: JobId,
}

/// The reader did not keep up: something was not heard.
#[derive(Debug)]
pub(super) struct TooFarBehind;

impl Feed {
    /// The next.
    pub async fn next(&mut self) -> Result<Update, TooFarBehind> {
        let Some(updates) = &mut self.updates else { return Err(TooFarBehind) };
        updates.recv().await.map_err(|_| TooFarBehind)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut feeds = held(&self.hub.feeds);
        self.updates = None;
        if feeds.get(&self.job).is_some_and(|feed| feed.receiver_count() == 0) {
            feeds.remove(&self.job);
        }
    }
}

/// As long as it is there, the job runs here.
#[derive(Debug)]
pub(super) struct RunningHere {
    hub: Arc<Hub>,
    job: JobId,
}

impl Drop for RunningHere {
    fn drop(&mut self) {
        held(&self.hub.running).remove(&self.job);
        // Whoever relied on being told looks in the database from now on.
        self.hub.tell(self.job, Update::Changed);
    }
}

/// The maps are whole whoever panicked.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
