//! Kernels that stay between cells: each cell leaves a checkpoint, to go back to or to fork from.
//!
//! A kernel is its checkpoint. The memory in which its last cell ran is kept for a while, as the next cell is quicker
//! there; without it the kernel is the same, only smaller. So a fork costs nothing until it runs something.

mod entry;
mod execute;
mod introspect;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Service, ServiceError};
use crate::backend::wasm::EnvironmentBase;
use crate::domain::{
    CheckpointId, CheckpointInfo, EnvironmentId, KernelId, KernelInfo, KernelState, LimitsRequest, UserId,
};
use entry::{Birth, Entry, Weight};
pub use execute::ExecuteCell;
pub use introspect::At;

/// Kernels of one user.
const MOST_OF_ONE: usize = 200;
/// A name is not longer.
const MAX_NAME_CHARS: usize = 200;
/// Forks of one request.
const MAX_FORKS: usize = 100;
/// Code that imports what a notebook is likely to: kernels begin with the data packages at hand.
const LIKELY: &str = "import numpy";

/// How much kernels may take.
#[derive(Debug, Clone)]
pub struct KernelConfig {
    /// Bytes of memory of all kernels together; where there is no room, whoever has most gives way. Default: 4 GiB.
    pub bytes: u64,
    /// Bytes of one kernel's checkpoints; the eldest go first. Default: 512 MiB.
    pub kernel_bytes: u64,
    /// The memory of a kernel that runs nothing is given back after so many milliseconds. Default: 60,000.
    pub idle_ms: u64,
}

impl Default for KernelConfig {
    fn default() -> Self {
        Self { bytes: 4 << 30, kernel_bytes: 512 << 20, idle_ms: 60_000 }
    }
}

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
    config: KernelConfig,
    all: Mutex<HashMap<KernelId, Arc<Entry>>>,
}

impl Kernels {
    /// No kernels yet; they run in the sandbox of `service`.
    pub fn new(service: Service, config: KernelConfig) -> Self {
        Self(Arc::new(Inner { service, config, all: Mutex::default() }))
    }

    fn all(&self) -> MutexGuard<'_, HashMap<KernelId, Arc<Entry>>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a kernel, in `base` where the environment has packages.
    ///
    /// # Errors
    /// The name or a limit is none, the user has as many as one may, or the runtime is not ready.
    pub async fn create(
        &self,
        user: UserId,
        request: CreateKernel,
        base: Option<EnvironmentBase>,
    ) -> Result<KernelInfo, ServiceError> {
        if request.name.as_ref().is_some_and(|name| name.trim().is_empty() || name.chars().count() > MAX_NAME_CHARS) {
            let message = format!("must have 1 to {MAX_NAME_CHARS} characters");
            return Err(ServiceError::Invalid { field: "name".to_owned(), message });
        }
        let limits = request.limits.within(self.0.service.limits())?;
        self.refuse_more(user, 1)?;
        let birth = Birth { user, name: request.name, environment: request.environment_id, base, limits };
        let entry = Arc::new(Entry::start(&self.0.service, birth).await?);
        self.add(user, vec![entry]).map(|mut made| made.remove(0))
    }

    /// Makes kernels with all that a kernel knows at this moment; each goes its own way from there.
    ///
    /// # Errors
    /// There is no such kernel, it is dead, or the user has as many as one may.
    pub fn fork(&self, user: UserId, id: KernelId, request: &ForkKernel) -> Result<Vec<KernelInfo>, ServiceError> {
        let count = request.count.unwrap_or(1);
        if !(1..=MAX_FORKS).contains(&count) {
            let message = format!("must be between 1 and {MAX_FORKS}, not {count}");
            return Err(ServiceError::Invalid { field: "count".to_owned(), message });
        }
        let entry = self.entry(user, id)?;
        let root = entry.root()?;
        self.add(user, (0..count).map(|_| Arc::new(entry.fork(&root))).collect())
    }

    fn add(&self, user: UserId, entries: Vec<Arc<Entry>>) -> Result<Vec<KernelInfo>, ServiceError> {
        let infos = entries.iter().map(|entry| entry.info()).collect();
        let mut all = self.all();
        refuse_more_in(&all, user, entries.len())?;
        all.extend(entries.into_iter().map(|entry| (entry.id(), entry)));
        Ok(infos)
    }

    fn refuse_more(&self, user: UserId, more: usize) -> Result<(), ServiceError> {
        refuse_more_in(&self.all(), user, more)
    }

    /// The kernels of a user, the eldest first.
    pub fn list(&self, user: UserId) -> Vec<KernelInfo> {
        let own: Vec<_> = self.all().values().filter(|entry| entry.user() == user).cloned().collect();
        let mut infos: Vec<_> = own.iter().map(|entry| entry.info()).collect();
        infos.sort_by_key(|info| info.id);
        infos
    }

    /// A kernel of the user.
    ///
    /// # Errors
    /// There is none.
    pub fn show(&self, user: UserId, id: KernelId) -> Result<KernelInfo, ServiceError> {
        Ok(self.entry(user, id)?.info())
    }

    /// Deletes a kernel; a cell that it runs is cancelled.
    ///
    /// # Errors
    /// There is none.
    pub fn delete(&self, user: UserId, id: KernelId) -> Result<(), ServiceError> {
        let entry = self.entry(user, id)?;
        self.all().remove(&id);
        entry.interrupt();
        Ok(())
    }

    /// Cancels the cell that a kernel runs, if it runs one: it is undone.
    ///
    /// # Errors
    /// There is no such kernel.
    pub fn interrupt(&self, user: UserId, id: KernelId) -> Result<KernelInfo, ServiceError> {
        let entry = self.entry(user, id)?;
        entry.interrupt();
        Ok(entry.info())
    }

    /// Lets a kernel begin anew; a cell that it runs is cancelled.
    ///
    /// # Errors
    /// There is no such kernel, or a failure of the host.
    pub async fn restart(&self, user: UserId, id: KernelId) -> Result<KernelInfo, ServiceError> {
        let entry = self.entry(user, id)?;
        entry.interrupt();
        entry.restart(&self.0.service).await?;
        Ok(entry.info())
    }

    /// The checkpoints of a kernel, the eldest first.
    ///
    /// # Errors
    /// There is no such kernel.
    pub fn checkpoints(&self, user: UserId, id: KernelId) -> Result<Vec<CheckpointInfo>, ServiceError> {
        Ok(self.entry(user, id)?.checkpoints())
    }

    /// Takes a kernel back to one of its checkpoints. Those behind it stay: it can go there again.
    ///
    /// # Errors
    /// There is no such kernel, or no such checkpoint of it.
    pub async fn restore(
        &self,
        user: UserId,
        id: KernelId,
        request: RestoreKernel,
    ) -> Result<KernelInfo, ServiceError> {
        let entry = self.entry(user, id)?;
        entry.restore(request.checkpoint_id).await?;
        Ok(entry.info())
    }

    fn entry(&self, user: UserId, id: KernelId) -> Result<Arc<Entry>, ServiceError> {
        let entry = self.all().get(&id).filter(|entry| entry.user() == user).cloned();
        entry.ok_or(ServiceError::NotFound { what: "kernel" })
    }

    /// Where all take more than they may, whoever has most gives way: memory that only makes the next cell quicker, and
    /// then the kernel that was used longest ago.
    fn make_room(&self) {
        loop {
            let all: Vec<_> = self.all().values().cloned().collect();
            let (total, heaviest) = weigh(&all);
            let Some(heaviest) = heaviest.filter(|_| total > self.0.config.bytes) else { return };
            let mut own: Vec<_> = all.iter().filter(|entry| entry.user() == heaviest).collect();
            own.sort_by_key(|entry| entry.used_at());
            if let Some(entry) = own.iter().find(|entry| entry.is_hot()) {
                entry.cool(Duration::ZERO);
                continue;
            }
            match own.iter().find(|entry| entry.die()) {
                Some(entry) => tracing::info!(kernel = %entry.id(), "there is no room for a kernel any more"),
                // All that is left runs something.
                None => return,
            }
        }
    }
}

/// What all kernels take together, and who has most.
fn weigh(all: &[Arc<Entry>]) -> (u64, Option<UserId>) {
    let mut of_user: HashMap<UserId, u64> = HashMap::new();
    let mut seen = HashSet::new();
    for entry in all {
        let Weight { own, shared } = entry.weight();
        let shared = shared.into_iter().filter(|thing| seen.insert(*thing)).map(|(_, bytes)| bytes);
        let bytes = shared.fold(own, u64::saturating_add);
        let sum = of_user.entry(entry.user()).or_default();
        *sum = sum.saturating_add(bytes);
    }
    let total = of_user.values().copied().fold(0, u64::saturating_add);
    (total, of_user.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(user, _)| user))
}

fn refuse_more_in(all: &HashMap<KernelId, Arc<Entry>>, user: UserId, more: usize) -> Result<(), ServiceError> {
    let used = all.values().filter(|entry| entry.user() == user).count();
    if used.saturating_add(more) > MOST_OF_ONE {
        let message = format!("you have {used} kernels, and can have {MOST_OF_ONE}; delete some first");
        return Err(ServiceError::Conflict { message });
    }
    Ok(())
}

/// A dead kernel knows nothing.
fn dead() -> ServiceError {
    let message = "the kernel is dead: there was no room for it; restart it".to_owned();
    ServiceError::Conflict { message }
}

fn is_dead(state: KernelState) -> bool {
    state == KernelState::Dead
}
