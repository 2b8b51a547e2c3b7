//! Takes jobs out of the queue, so many at once, and works on them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::options::LAST_WORD;
use super::run::Run;
use super::sweep;
use super::{Handlers, Queue};
use crate::domain::UserId;

/// A server's worker. Dropped without [`Runner::shutdown`] it is as if the server had died: its jobs are begun again
/// when their leases have ended.
#[derive(Debug)]
pub struct Runner {
    stop: CancellationToken,
    work: JoinHandle<()>,
    sweep: JoinHandle<()>,
}

impl Runner {
    /// Begins to work. `owner` names the server, for those who look in the database; it decides nothing.
    pub fn start(queue: &Queue, handlers: Handlers, owner: &str) -> Self {
        let stop = CancellationToken::new();
        let work = tokio::spawn(work(queue.clone(), handlers, owner.to_owned(), stop.clone()));
        let sweep = tokio::spawn(sweep::run(queue.clone()));
        Self { stop, work, sweep }
    }

    /// Takes no more jobs, gives those that run [`super::QueueOptions::grace_ms`] to end, then tells the rest to stop
    /// and puts them back in the queue, for another server to begin at once.
    pub async fn shutdown(mut self) {
        self.sweep.abort();
        self.stop.cancel();
        if let Err(error) = (&mut self.work).await {
            tracing::error!(%error, "the job runner has failed");
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.sweep.abort();
        // Its jobs go with it.
        self.work.abort();
    }
}

async fn work(queue: Queue, handlers: Handlers, owner: String, stop: CancellationToken) {
    let lanes = Lane::all(&handlers, queue.options.concurrency);
    let lease = queue.options.lease();
    let server_stops = CancellationToken::new();
    let mut runs = JoinSet::new();
    let mut poll = tokio::time::interval(queue.options.poll());
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        while !stop.is_cancelled() {
            let kinds = with_room(&lanes);
            if kinds.is_empty() {
                break;
            }
            let full: Vec<_> = lanes.iter().flat_map(Lane::full).collect();
            let asked = Instant::now();
            // A claim that takes longer is over before it is known.
            match tokio::time::timeout(lease, queue.database.claim_except(&owner, &kinds, &full, lease)).await {
                Ok(Ok(Some((job, lease)))) => {
                    // Only jobs of kinds with a handler and with room were asked for.
                    if let Some(handler) = handlers.get(&job.kind)
                        && let Some(lane) = lanes.iter().find(|lane| lane.kinds.contains(&job.kind.as_str()))
                    {
                        let place = lane.enter(job.user_id);
                        let run = Run::new(queue.clone(), job, lease, asked).work(handler, server_stops.clone());
                        runs.spawn(async move {
                            run.await;
                            drop(place);
                        });
                    }
                }
                Ok(Ok(None)) => break,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "cannot take a job out of the queue; trying again soon");
                    break;
                }
                Err(_) => {
                    tracing::warn!("the database does not say whether there is a job; asking again soon");
                    break;
                }
            }
        }
        let is_free = !with_room(&lanes).is_empty();
        tokio::select! {
            () = stop.cancelled() => {}
            Some(ended) = runs.join_next() => report(ended),
            () = queue.bell.notified(), if is_free => {}
            _ = poll.tick(), if is_free => {}
        }
    }
    drain(&queue, runs, &server_stops).await;
}

/// Kinds of jobs that share room.
struct Lane {
    kinds: Vec<&'static str>,
    room: Arc<Semaphore>,
    /// How many of one user may go on.
    most_of_one: usize,
    users: Arc<Mutex<HashMap<UserId, usize>>>,
}

impl Lane {
    fn new(kinds: Vec<&'static str>, room: usize, most_of_one: usize) -> Self {
        let room = Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS)));
        Self { kinds, room, most_of_one, users: Arc::default() }
    }

    /// Those with room of their own, and one of all others.
    fn all(handlers: &Handlers, shared: usize) -> Vec<Self> {
        let others = handlers.kinds().filter(|(_, own)| own.is_none()).map(|(kind, _)| kind).collect();
        let own = handlers.kinds().filter_map(|(kind, own)| {
            let room = own?;
            // One place is for somebody else: what has room of its own may go on for long.
            Some(Self::new(vec![kind], room, room.saturating_sub(1).max(1)))
        });
        own.chain([Self::new(others, shared, usize::MAX)]).collect()
    }

    /// Of whom no more may be begun.
    fn full(&self) -> Vec<(&'static str, UserId)> {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let full = users.iter().filter(|(_, count)| **count >= self.most_of_one);
        full.flat_map(|(user, _)| self.kinds.iter().map(|kind| (*kind, *user))).collect()
    }

    fn enter(&self, user: UserId) -> Place {
        *self.users.lock().unwrap_or_else(PoisonError::into_inner).entry(user).or_default() += 1;
        Place { user, users: Arc::clone(&self.users), _permit: Arc::clone(&self.room).try_acquire_owned().ok() }
    }
}

/// A user's place in a lane, as long as it lives.
struct Place {
    user: UserId,
    users: Arc<Mutex<HashMap<UserId, usize>>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = users.get_mut(&self.user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                users.remove(&self.user);
            }
        }
    }
}

/// The kinds of which one more may be begun.
fn with_room(lanes: &[Lane]) -> Vec<&'static str> {
    lanes.iter().filter(|lane| lane.room.available_permits() > 0).flat_map(|lane| lane.kinds.iter().copied()).collect()
}

/// Waits for the jobs that run, and ends those that take too long.
async fn drain(queue: &Queue, mut runs: JoinSet<()>, server_stops: &CancellationToken) {
    if tokio::time::timeout(queue.options.grace(), all_ended(&mut runs)).await.is_err() {
        server_stops.cancel();
        if tokio::time::timeout(queue.options.stop() + LAST_WORD, all_ended(&mut runs)).await.is_err() {
            tracing::warn!(
                jobs = runs.len(),
                "some jobs did not stop in time: they are begun again after their leases"
            );
        }
    }
}

async fn all_ended(runs: &mut JoinSet<()>) {
    while let Some(ended) = runs.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the watch over a job has failed: it is begun again after its lease");
    }
}
