//! The queue between cells that end and the database: whoever puts something in never waits.
//!
//! One task writes what is there, many rows in one transaction. Where the database is slower than the cells for long,
//! outputs are left out first, and then whole rows; both are counted.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::delete_eldest;
use crate::domain::{ExecutionFilter, ExecutionPolicy, UserId};
use crate::service::ServiceError;
use crate::store::{Database, NewExecution, StoreError};

/// The first of some rows waits so long for others, unless somebody wants to read them.
const LINGER: Duration = Duration::from_millis(100);
/// Rows of one transaction: others write in between.
const MOST_ROWS: usize = 512;
/// Bytes of outputs that wait to be written down; more are left out.
const MOST_BYTES: usize = 32 << 20;
/// After so many rows or bytes of a user it is seen to that they have no more than they may.
const CHECKED_ROWS: u64 = 1000;
/// See [`CHECKED_ROWS`].
const CHECKED_BYTES: u64 = 8 << 20;
/// Users whose rows are counted at once; the sweeper comes to all.
const COUNTED: usize = 10_000;
/// How often it is tried to write the same rows down, and how long is waited before the second time; then longer.
const TRIES: u32 = 4;
/// See [`TRIES`].
const PAUSE: Duration = Duration::from_millis(100);

/// How the writing goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordingStats {
    /// Executions that wait to be written down.
    pub queued: u64,
    /// Executions that were left out of the history since the server has started.
    pub dropped: u64,
    /// Executions that were written down without what they showed.
    pub without_outputs: u64,
}

/// Executions that wait to be written down.
pub(super) struct Queue {
    shared: Arc<Shared>,
    database: Database,
    policy: ExecutionPolicy,
    writer: OnceLock<Writer>,
}

struct Shared {
    state: Mutex<State>,
    /// Something waits.
    wake: Notify,
    /// Somebody waits.
    hurry: Notify,
    /// Nothing runs.
    idle: Notify,
    /// How many of those that were put in are written, or were given up.
    settled: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<NewExecution>,
    waiting_bytes: usize,
    /// How many were put in.
    put: u64,
    running: u64,
    dropped: u64,
    without_outputs: u64,
}

/// The task that writes. It ends with the queue.
struct Writer(JoinHandle<()>);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first of those that wait.
    fn take(&self) -> Vec<NewExecution> {
        let mut state = self.state();
        let count = state.waiting.len().min(MOST_ROWS);
        state.waiting.drain(..count).collect()
    }

    /// Rows are written, or given up; the result is how many were left out so far.
    fn settle(&self, rows: &[NewExecution], is_written: bool) -> u64 {
        let mut state = self.state();
        state.waiting_bytes = state.waiting_bytes.saturating_sub(rows.iter().map(size).sum());
        if !is_written {
            state.dropped += rows.len() as u64;
        }
        self.settled.send_modify(|settled| *settled += rows.len() as u64);
        state.dropped
    }
}

impl Queue {
    pub fn new(database: Database, policy: ExecutionPolicy) -> Self {
        let shared = Shared {
            state: Mutex::default(),
            wake: Notify::new(),
            hurry: Notify::new(),
            idle: Notify::new(),
            settled: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared), database, policy, writer: OnceLock::new() }
    }

    /// A cell runs, until [`Queue::end`].
    pub fn begin(&self) {
        self.shared.state().running += 1;
    }

    /// A cell does not run any more.
    pub fn end(&self) {
        let mut state = self.shared.state();
        state.running = state.running.saturating_sub(1);
        if state.running == 0 {
            self.shared.idle.notify_waiters();
        }
    }

    /// Has an execution written down; false where there is no room for it.
    pub fn push(&self, mut new: NewExecution) -> bool {
        // The first one starts it: not every workspace runs something. What ends with its runtime is not written.
        if self.writer.get().is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            self.writer.get_or_init(|| {
                let (shared, database) = (Arc::clone(&self.shared), self.database.clone());
                Writer(runtime.spawn(write(shared, database, self.policy)))
            });
        }
        let mut state = self.shared.state();
        if state.waiting.len() >= self.policy.queued_rows || self.writer.get().is_none() {
            state.dropped += 1;
            return false;
        }
        let bytes = size(&new);
        if state.waiting_bytes + bytes > MOST_BYTES {
            new.outputs = None;
            state.without_outputs += 1;
        } else {
            state.waiting_bytes += bytes;
        }
        state.put += 1;
        let is_first = state.waiting.is_empty();
        state.waiting.push_back(new);
        drop(state);
        if is_first {
            self.shared.wake.notify_one();
        }
        true
    }

    /// Waits until all that was put in before is written, or for so long.
    pub async fn flush(&self, patience: Duration) {
        let put = self.shared.state().put;
        let mut settled = self.shared.settled.subscribe();
        if *settled.borrow_and_update() >= put {
            return;
        }
        self.shared.hurry.notify_one();
        // Whoever asks sees what is there by then.
        let _ = tokio::time::timeout(patience, settled.wait_for(|settled| *settled >= put)).await;
    }

    /// Waits until nothing runs and all is written, or for so long.
    pub async fn close(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let idle = async {
            loop {
                let idle = self.shared.idle.notified();
                if self.shared.state().running == 0 {
                    return;
                }
                idle.await;
            }
        };
        let is_idle = tokio::time::timeout_at(until, idle).await.is_ok();
        self.flush(until.saturating_duration_since(Instant::now())).await;
        let RecordingStats { queued, .. } = self.stats();
        if queued > 0 || !is_idle {
            tracing::warn!(queued, "the last executions are not in the history: there was no time to write them down");
        }
    }

    pub fn stats(&self) -> RecordingStats {
        let settled = *self.shared.settled.borrow();
        let state = self.shared.state();
        let State { put, dropped, without_outputs, .. } = &*state;
        RecordingStats { queued: put.saturating_sub(settled), dropped: *dropped, without_outputs: *without_outputs }
    }
}

fn size(new: &NewExecution) -> usize {
    new.outputs.as_ref().map_or(0, |outputs| outputs.json.len())
}

/// Writes what waits, for ever.
async fn write(shared: Arc<Shared>, database: Database, policy: ExecutionPolicy) {
    let mut counts = HashMap::new();
    let mut told = 0;
    loop {
        shared.wake.notified().await;
        tokio::select! {
            () = tokio::time::sleep(LINGER) => {}
            () = shared.hurry.notified() => {}
        }
        loop {
            let rows = shared.take();
            if rows.is_empty() {
                break;
            }
            let written = write_down(&database, &rows).await;
            if let Err(error) = &written {
                tracing::error!(%error, rows = rows.len(), "executions could not be written down");
            }
            let dropped = shared.settle(&rows, written.is_ok());
            if dropped > told {
                tracing::warn!(rows = dropped - told, "executions were left out of the history");
                told = dropped;
            }
            // Whoever waits for the rows does not wait for this.
            if written.is_ok() {
                for user in full(&mut counts, &rows) {
                    if let Err(error) = keep_within(&database, &policy, user).await {
                        tracing::warn!(%error, "a user's history could not be cut to size");
                    }
                }
            }
        }
    }
}

/// Writes rows, and tries again where the database is not there for a moment.
async fn write_down(database: &Database, rows: &[NewExecution]) -> Result<(), StoreError> {
    let mut tries = 1;
    loop {
        match database.record_executions(rows).await {
            Err(StoreError::Unavailable { .. }) if tries < TRIES => {
                tokio::time::sleep(PAUSE * 4_u32.pow(tries - 1)).await;
                tries += 1;
            }
            written => return written,
        }
    }
}

/// Counts rows, and tells of whom there are so many new ones that it must be looked how many there are in all.
fn full(counts: &mut HashMap<UserId, (u64, u64)>, rows: &[NewExecution]) -> Vec<UserId> {
    if counts.len() >= COUNTED {
        counts.clear();
    }
    for new in rows {
        let (rows, bytes) = counts.entry(new.execution.user_id).or_default();
        *rows += 1;
        *bytes += size(new) as u64;
    }
    let is_full = |counts: &(u64, u64)| counts.0 >= CHECKED_ROWS || counts.1 >= CHECKED_BYTES;
    let full: Vec<_> = counts.iter().filter(|(_, counts)| is_full(counts)).map(|(user, _)| *user).collect();
    for user in &full {
        counts.remove(user);
    }
    full
}

/// Sees to it that a user has no more history than they may: the eldest goes.
pub(super) async fn keep_within(
    database: &Database,
    policy: &ExecutionPolicy,
    user: UserId,
) -> Result<(), ServiceError> {
    database.delete_surplus_outputs(user, policy.user_output_bytes).await?;
    let surplus = database.surplus_executions(user, policy.user_rows).await?;
    delete_eldest(database, user, ExecutionFilter::default(), surplus).await?;
    Ok(())
}
