//! Kernels that stay between cells: each cell leaves a checkpoint, to go back to or to fork from.
//!
//! A kernel is its checkpoint. The memory in which its last cell ran is kept for a while, as the next cell is quicker
//! there; without it the kernel is the same, only smaller. So a fork costs nothing until it runs something.
//!
//! What a kernel knows is kept in the object store soon after each cell, and a kernel that runs nothing for long is there
//! alone: it *hibernates*, and its next cell wakes it, on whichever server. One server holds a kernel at a time.
//!
//! ```text
//! entry.rs    a kernel in memory           keep.rs   its states become objects, and a row
//! execute.rs  a cell in it                 wake.rs   and from those a kernel again
//! introspect  questions about it           room.rs   who gives way where there is no room
//! janitor.rs  what is done unasked         sweep.rs  what is left of those that are gone
//! tell.rs     who watches it hears of it
//! ```

mod entry;
mod execute;
mod introspect;
mod janitor;
mod keep;
mod room;
mod sweep;
mod tell;
mod wake;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, Semaphore};

use super::feeds::Feeds;
use super::turns::Turns;
use super::{Allowance, Executions, Service, ServiceError, off_the_server_threads};
use crate::domain::{
    CheckpointId, EnvironmentId, KernelAtRest, KernelEvent, KernelHistory, KernelId, KernelInfo, KernelPolicy,
    LimitsRequest, UserId,
};
use crate::store::{Database, NewKernel, Objects, Server};
pub(super) use entry::{Beginning, Entry, Turn};
use entry::{Birth, Root, now_as_kept};
pub use execute::ExecuteCell;
pub use introspect::At;

/// A name is not longer.
const MAX_NAME_CHARS: usize = 200;
/// Forks of one request.
const MAX_FORKS: usize = 100;
/// States that become bytes at once.
const PACKED_AT_ONCE: usize = 2;
/// Kernels that are woken at once.
const WOKEN_AT_ONCE: usize = 2;
/// Code that imports what a notebook is likely to: kernels begin with the data packages at hand.
const LIKELY: &str = "import numpy";

/// A kernel to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKernel {
    /// What its owner calls it: at most 200 characters.
    #[serde(default)]
    pub name: Option<String>,
    /// The environment it begins in; absent: the caller's default one.
    #[serde(default)]
    pub environment_id: Option<EnvironmentId>,
    /// Limits of each of its cells below the caller's own.
    #[serde(default)]
    pub limits: LimitsRequest,
}

/// Forks to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkKernel {
    /// How many, 1 to 100. Default: 1.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub count: Option<usize>,
}

/// Where a kernel is to go back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreKernel {
    /// One of its checkpoints.
    pub checkpoint_id: CheckpointId,
}

/// The kernels of all users. Cloning shares them.
#[derive(Clone)]
pub struct Kernels(Arc<Inner>);

struct Inner {
    service: Service,
    database: Database,
    objects: Objects,
    config: KernelPolicy,
    /// Where cells are written down.
    executions: Executions,
    /// Those in memory.
    all: Mutex<HashMap<KernelId, Arc<Entry>>>,
    /// This server among those that hold kernels, from its first kernel on.
    server: OnceCell<Server>,
    /// One at a time takes a kernel, or puts it to sleep.
    turns: Turns<KernelId>,
    /// States that become bytes at once.
    packing: Semaphore,
    /// Kernels that are woken at once.
    waking: Semaphore,
    /// Images that are in the object store, and since when that is known.
    images: Mutex<HashMap<String, Instant>>,
    /// One at a time brings an image there.
    image_turns: Turns<String>,
    /// Whose kernels were seen to take no more than their tier allows, and have not been saved here since.
    roomy: Mutex<HashSet<UserId>>,
    /// What awake forks share, by the object where it is kept.
    roots: Mutex<HashMap<String, Weak<Root>>>,
    /// One at a time makes room.
    making_room: tokio::sync::Mutex<()>,
    /// What happens to those that are watched.
    feeds: Arc<Feeds<KernelId, KernelEvent>>,
}

impl Kernels {
    /// The kernels that `database` and `objects` keep; they run in the sandbox of `service`, and their cells are written
    /// down in `executions`.
    pub fn new(
        service: Service,
        database: Database,
        objects: Objects,
        executions: Executions,
        config: KernelPolicy,
    ) -> Self {
        Self(Arc::new(Inner {
            service,
            database,
            objects,
            executions,
            config,
            all: Mutex::default(),
            server: OnceCell::new(),
            turns: Turns::default(),
            packing: Semaphore::new(PACKED_AT_ONCE),
            waking: Semaphore::new(WOKEN_AT_ONCE),
            images: Mutex::default(),
            image_turns: Turns::default(),
            roomy: Mutex::default(),
            roots: Mutex::default(),
            making_room: tokio::sync::Mutex::default(),
            feeds: Arc::default(),
        }))
    }

    /// What a user may use at this moment.
    async fn allowance(&self, user: UserId, environment: Option<EnvironmentId>) -> Result<Allowance, ServiceError> {
        self.0.service.allowance_of(&self.0.database.grant(user, environment).await?)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<KernelId, Arc<Entry>>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This server among those that hold kernels.
    async fn server(&self) -> Result<Server, ServiceError> {
        let appear = || async {
            let server = self.0.database.appear(Duration::from_millis(self.0.config.lease_ms)).await?;
            janitor::start(self, server.clone());
            Ok::<_, ServiceError>(server)
        };
        self.0.server.get_or_try_init(appear).await.cloned()
    }

    /// Makes a kernel.
    ///
    /// # Errors
    /// The name or a limit is none, the user has as many as the tier allows, or the runtime is not ready.
    pub(super) async fn create(
        &self,
        user: UserId,
        request: CreateKernel,
        beginning: Beginning,
    ) -> Result<KernelInfo, ServiceError> {
        if request.name.as_ref().is_some_and(|name| name.trim().is_empty() || name.chars().count() > MAX_NAME_CHARS) {
            let message = format!("must have 1 to {MAX_NAME_CHARS} characters");
            return Err(ServiceError::Invalid { field: "name".to_owned(), message });
        }
        let limits = request.limits.within(&self.allowance(user, request.environment_id).await?.limits)?;
        let birth = Birth {
            user,
            name: request.name,
            environment: request.environment_id,
            forked_from: None,
            asked: request.limits,
            limits,
            created_at: now_as_kept(),
        };
        let entry = Entry::start(&self.0.service, (KernelId::new(), 1), birth, beginning).await?;
        self.add(user, vec![Arc::new(entry)]).await.map(|mut made| made.remove(0))
    }

    /// Makes kernels with all that a kernel knows at this moment; each goes its own way from there.
    ///
    /// # Errors
    /// It is dead, or the user has as many as the tier allows.
    pub(super) async fn fork(&self, entry: &Entry, request: &ForkKernel) -> Result<Vec<KernelInfo>, ServiceError> {
        let count = request.count.unwrap_or(1);
        if !(1..=MAX_FORKS).contains(&count) {
            let message = format!("must be between 1 and {MAX_FORKS}, not {count}");
            return Err(ServiceError::Invalid { field: "count".to_owned(), message });
        }
        let root = entry.root()?;
        self.add(entry.user(), (0..count).map(|_| Arc::new(entry.fork(&root))).collect()).await
    }

    async fn add(&self, user: UserId, entries: Vec<Arc<Entry>>) -> Result<Vec<KernelInfo>, ServiceError> {
        let Some(first) = entries.first() else { return Ok(Vec::new()) };
        let state = first.state()?;
        let image = off_the_server_threads(move || state.image_digest().to_string()).await?;
        let packages = first.now().beginning.packages.as_deref().cloned();
        let new = entries.iter().map(|entry| {
            let (info, history) = (entry.info(), KernelHistory::default());
            let (image, packages) = (image.clone(), packages.clone());
            let asked_limits = entry.asked_limits();
            let rest = KernelAtRest { image, packages, history, asked_limits, ..KernelAtRest::default() };
            NewKernel { user, info, rest }
        });
        let new: Vec<_> = new.collect();
        // Whoever finds them in the database waits until they are in memory.
        let mut turns = Vec::with_capacity(entries.len());
        for entry in &entries {
            turns.push(self.0.turns.take(entry.id()).await);
        }
        self.0.database.insert_kernels(&self.server().await?, &new).await?;
        for entry in &entries {
            self.put_in(entry);
        }
        Ok(new.into_iter().map(|kernel| kernel.info).collect())
    }

    /// The kernel, where it is in memory here.
    pub(super) fn live(&self, user: UserId, id: KernelId) -> Option<Arc<Entry>> {
        self.all().get(&id).filter(|entry| entry.user() == user && !entry.is_gone()).cloned()
    }

    /// Whether a kernel is in memory here.
    pub(super) fn is_live(&self, id: KernelId) -> bool {
        self.all().contains_key(&id)
    }

    /// One at a time takes a kernel, or puts it to sleep.
    pub(super) fn turns(&self) -> &Turns<KernelId> {
        &self.0.turns
    }

    fn put_in(&self, entry: &Arc<Entry>) {
        self.all().insert(entry.id(), Arc::clone(entry));
    }

    /// Takes a kernel out of memory. What runs in it is cancelled.
    pub(super) fn remove(&self, entry: &Arc<Entry>) {
        entry.set_gone();
        entry.interrupt();
        let mut all = self.all();
        if all.get(&entry.id()).is_some_and(|there| Arc::ptr_eq(there, entry)) {
            all.remove(&entry.id());
        }
    }

    /// Deletes a kernel; a cell that it runs is cancelled.
    ///
    /// # Errors
    /// The user has none of that id.
    pub async fn delete(&self, user: UserId, id: KernelId) -> Result<(), ServiceError> {
        let unnamed = self.0.database.delete_kernel(user, id).await?;
        if let Some(entry) = self.live(user, id) {
            self.remove(&entry);
        } else {
            // Whoever had taken it before is waking it now.
            let this = self.clone();
            tokio::spawn(async move {
                let _turn = this.0.turns.take(id).await;
                if let Some(entry) = this.live(user, id) {
                    this.remove(&entry);
                }
            });
        }
        self.feeds().tell(id, || KernelEvent::Deleted);
        self.forget(unnamed);
        Ok(())
    }

    /// Saves a kernel, and takes it out of memory.
    ///
    /// # Errors
    /// It runs a cell, or the object store's: it stays as it is.
    pub(super) async fn hibernate(&self, entry: &Arc<Entry>) -> Result<(), ServiceError> {
        let Some(turn) = entry.try_turn() else {
            let message = "the kernel runs a cell: interrupt it first".to_owned();
            return Err(ServiceError::Conflict { message });
        };
        self.put_to_sleep(entry, &turn).await
    }

    /// Cancels what a kernel runs, and puts it to sleep when that has ended; nobody waits for it.
    pub(super) fn stop(&self, entry: &Arc<Entry>) {
        entry.interrupt();
        let (this, entry) = (self.clone(), Arc::clone(entry));
        tokio::spawn(async move {
            let Ok(turn) = entry.take_turn().await else { return };
            if let Err(error) = this.put_to_sleep(&entry, &turn).await {
                tracing::warn!(%error, kernel = %entry.id(), "a kernel could not be put to sleep");
            }
        });
    }

    /// Takes a kernel to one of its checkpoints.
    ///
    /// # Errors
    /// It has no such checkpoint, or the object store does not answer.
    pub(super) async fn restore(&self, entry: &Arc<Entry>, id: CheckpointId, turn: &Turn) -> Result<(), ServiceError> {
        if entry.is_unread(id) {
            self.read_rest(entry, &mut *entry.kept.lock().await).await?;
            let this = self.clone();
            tokio::spawn(async move { this.make_room().await });
        }
        entry.restore(id, turn)?;
        self.tell_restored(entry, id);
        Ok(())
    }

    /// Lets a kernel begin anew.
    ///
    /// # Errors
    /// A failure of the host.
    pub(super) async fn restart(
        &self,
        entry: &Arc<Entry>,
        beginning: Beginning,
        turn: &Turn,
    ) -> Result<(), ServiceError> {
        let packages = beginning.packages.clone();
        entry.restart(&self.0.service, beginning, turn).await?;
        self.feeds().tell(entry.id(), || KernelEvent::Restarted);
        self.tell_state(entry);
        let (server, held) = (self.server().await?, (entry.id(), entry.fence));
        Ok(self.0.database.rebase_kernel(&server, held, packages.as_deref()).await?)
    }

    /// Puts all kernels to sleep: the server ends. What they run is cancelled.
    pub async fn shutdown(&self) {
        let all: Vec<_> = self.all().values().cloned().collect();
        let sleeping = all.into_iter().map(|entry| async move {
            entry.interrupt();
            let Ok(turn) = entry.take_turn().await else { return };
            if let Err(error) = self.put_to_sleep(&entry, &turn).await {
                tracing::error!(%error, kernel = %entry.id(), "a kernel could not be saved");
            }
        });
        futures::stream::iter(sleeping).buffer_unordered(PACKED_AT_ONCE * 2).collect::<()>().await;
    }

    /// How many are in memory.
    pub fn live_count(&self) -> usize {
        self.all().len()
    }
}

/// A dead kernel knows nothing.
fn dead() -> ServiceError {
    let message = "the kernel is dead: what it knew is lost; restart it".to_owned();
    ServiceError::Conflict { message }
}
