//! One kernel: what it knows, and where it can go back to.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use super::{LIKELY, dead, is_dead};
use crate::backend::wasm::{Checkpoint, EnvironmentBase, Kernel};
use crate::domain::{CheckpointId, CheckpointInfo, EnvironmentId, KernelId, KernelInfo, KernelState, Limits, UserId};
use crate::service::{Service, ServiceError};

/// Checkpoints of one kernel.
const MAX_CHECKPOINTS: usize = 100;
/// Cells that wait for their turn in one kernel.
const MAX_WAITING: usize = 16;
/// Of a page of memory.
const PAGE_BYTES: u64 = 4096;
/// Of a cell's code so much is shown.
const CODE_CHARS: usize = 200;

/// What a kernel is made from.
pub(super) struct Birth {
    pub user: UserId,
    pub name: Option<String>,
    pub environment: Option<EnvironmentId>,
    pub base: Option<EnvironmentBase>,
    pub limits: Limits,
}

/// A kernel.
pub(super) struct Entry {
    id: KernelId,
    birth: Arc<Birth>,
    forked_from: Option<KernelId>,
    created_at: Timestamp,
    /// Held by whatever changes what it knows.
    turn: Arc<tokio::sync::Mutex<()>>,
    waiting: AtomicUsize,
    now: Mutex<Now>,
}

struct Now {
    state: KernelState,
    /// What it knows; nothing of one that is dead.
    checkpoint: Option<Checkpoint>,
    /// Its memory, as long as that is kept.
    hot: Option<(Kernel, Instant)>,
    history: VecDeque<Behind>,
    at: Option<CheckpointId>,
    /// Of a cell that runs.
    cancel: Option<CancellationToken>,
    /// Bytes beside what it started from.
    size_bytes: u64,
    /// What it shares with the kernel that it was forked from, and with that one's other forks.
    root: Option<Arc<Root>>,
    /// Images that were made of its states.
    images: Vec<(usize, u64)>,
    used_at: Timestamp,
}

/// A state that several kernels were forked from.
pub(super) struct Root {
    checkpoint: Checkpoint,
    bytes: u64,
}

/// What a kernel takes.
pub(super) struct Weight {
    /// Alone.
    pub own: u64,
    /// Together with others: what tells it from other such things, and its bytes.
    pub shared: Vec<(usize, u64)>,
}

/// The state behind a cell.
struct Behind {
    info: CheckpointInfo,
    checkpoint: Checkpoint,
}

/// The right to change what a kernel knows.
pub(super) struct Turn(#[expect(dead_code, reason = "held, not looked at")] OwnedMutexGuard<()>);

impl Entry {
    /// A kernel that has run nothing.
    pub async fn start(service: &Service, birth: Birth) -> Result<Self, ServiceError> {
        let kernel = fresh(service, &birth).await?;
        Ok(Self::new(Arc::new(birth), None, kernel.checkpoint(), Some((kernel, Instant::now())), None))
    }

    fn new(
        birth: Arc<Birth>,
        forked_from: Option<KernelId>,
        checkpoint: Checkpoint,
        hot: Option<(Kernel, Instant)>,
        root: Option<Arc<Root>>,
    ) -> Self {
        let now = Timestamp::now();
        Self {
            id: KernelId::new(),
            birth,
            forked_from,
            created_at: now,
            turn: Arc::default(),
            waiting: AtomicUsize::new(0),
            now: Mutex::new(Now {
                state: KernelState::Idle,
                checkpoint: Some(checkpoint),
                hot,
                history: VecDeque::new(),
                at: None,
                cancel: None,
                size_bytes: 0,
                root,
                images: Vec::new(),
                used_at: now,
            }),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn id(&self) -> KernelId {
        self.id
    }

    pub fn user(&self) -> UserId {
        self.birth.user
    }

    pub fn limits(&self) -> &Limits {
        &self.birth.limits
    }

    pub fn weight(&self) -> Weight {
        let now = self.now();
        let hot = now.hot.as_ref().map_or(0, |(kernel, _)| kernel.checkpoint().delta_pages() as u64 * PAGE_BYTES);
        let mut shared = now.images.clone();
        shared.extend(now.root.as_ref().map(|root| (Arc::as_ptr(root) as usize, root.bytes)));
        Weight { own: now.size_bytes.saturating_add(hot), shared }
    }

    pub fn is_hot(&self) -> bool {
        self.now().hot.is_some()
    }

    pub fn used_at(&self) -> Timestamp {
        self.now().used_at
    }

    pub fn info(&self) -> KernelInfo {
        let now = self.now();
        KernelInfo {
            id: self.id,
            name: self.birth.name.clone(),
            environment_id: self.birth.environment,
            forked_from: self.forked_from,
            state: now.state,
            execution_count: now.checkpoint.as_ref().map_or(0, Checkpoint::count),
            checkpoint_id: now.at,
            limits: self.birth.limits.clone(),
            size_bytes: now.size_bytes,
            created_at: self.created_at,
            last_used_at: now.used_at,
        }
    }

    pub fn checkpoints(&self) -> Vec<CheckpointInfo> {
        self.now().history.iter().map(|behind| behind.info.clone()).collect()
    }

    /// What it knows now, for forks.
    pub fn root(&self) -> Result<Arc<Root>, ServiceError> {
        let checkpoint = self.state()?;
        let bytes = checkpoint.bytes_beyond(None);
        Ok(Arc::new(Root { checkpoint, bytes }))
    }

    /// Another kernel that knows what this one knew.
    pub fn fork(&self, root: &Arc<Root>) -> Self {
        let (birth, root) = (Arc::clone(&self.birth), Arc::clone(root));
        let fork = Self::new(birth, Some(self.id), root.checkpoint.forked(), None, Some(Arc::clone(&root)));
        fork.now().note_images();
        fork
    }

    /// Waits for the cells that came before.
    pub async fn take_turn(&self) -> Result<Turn, ServiceError> {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::AcqRel);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(&self.waiting);
        if before >= MAX_WAITING {
            return Err(ServiceError::TooMany { what: format!("{MAX_WAITING} cells of this kernel") });
        }
        Ok(Turn(Arc::clone(&self.turn).lock_owned().await))
    }

    /// The kernel for a cell that can be cancelled by `cancel`.
    pub fn begin(&self, service: &Service, cancel: &CancellationToken, _: &Turn) -> Result<Kernel, ServiceError> {
        let mut now = self.now();
        let checkpoint = now.checkpoint.clone().ok_or_else(dead)?;
        let hot = now.hot.take();
        (now.state, now.used_at) = (KernelState::Busy, Timestamp::now());
        now.cancel = Some(cancel.clone());
        drop(now);
        match hot {
            Some((kernel, _)) => Ok(kernel),
            None => service.sandbox()?.resume(&checkpoint).map_err(|error| {
                self.end();
                error.into()
            }),
        }
    }

    /// The cell has ended, however it did.
    pub fn end(&self) {
        let mut now = self.now();
        now.state = if now.checkpoint.is_some() { KernelState::Idle } else { KernelState::Dead };
        (now.cancel, now.used_at) = (None, Timestamp::now());
    }

    /// Keeps the state behind a cell, within `most_bytes` of checkpoints.
    pub fn keep(&self, kernel: Kernel, code: &str, most_bytes: u64) {
        let checkpoint = kernel.checkpoint();
        let mut gone = Vec::new();
        let mut now = self.now();
        let changed = now.checkpoint.as_ref().is_some_and(|before| before.count() != checkpoint.count());
        now.hot = Some((kernel, Instant::now()));
        if changed {
            let size_bytes = checkpoint.bytes_beyond(now.last());
            let info = CheckpointInfo {
                id: CheckpointId::new(),
                execution_count: checkpoint.count(),
                code: code.chars().take(CODE_CHARS).collect(),
                size_bytes,
                created_at: Timestamp::now(),
            };
            now.at = Some(info.id);
            now.size_bytes = now.size_bytes.saturating_add(size_bytes);
            now.checkpoint = Some(checkpoint.clone());
            now.history.push_back(Behind { info, checkpoint });
            while now.history.len() > MAX_CHECKPOINTS || now.size_bytes > most_bytes && now.history.len() > 1 {
                gone.extend(now.forget_eldest());
            }
            now.note_images();
        }
        drop(now);
        // Memory is given back without the lock.
        drop(gone);
    }

    /// Takes it to one of its checkpoints.
    pub async fn restore(&self, id: CheckpointId) -> Result<(), ServiceError> {
        let _turn = self.take_turn().await?;
        let mut now = self.now();
        let found = now.history.iter().find(|behind| behind.info.id == id);
        let checkpoint = found.ok_or(ServiceError::NotFound { what: "checkpoint" })?.checkpoint.clone();
        if now.hot.as_mut().is_some_and(|(kernel, _)| !kernel.go_to(&checkpoint)) {
            now.hot = None;
        }
        (now.checkpoint, now.at) = (Some(checkpoint), Some(id));
        now.used_at = Timestamp::now();
        Ok(())
    }

    /// Begins anew.
    pub async fn restart(&self, service: &Service) -> Result<(), ServiceError> {
        let _turn = self.take_turn().await?;
        let kernel = fresh(service, &self.birth).await?;
        let mut now = self.now();
        let history = std::mem::take(&mut now.history);
        let hot = now.hot.replace((kernel, Instant::now()));
        now.checkpoint = now.hot.as_ref().map(|(kernel, _)| kernel.checkpoint());
        (now.at, now.size_bytes, now.state) = (None, 0, KernelState::Idle);
        now.images.clear();
        let root = now.root.take();
        now.used_at = Timestamp::now();
        drop(now);
        drop((history, hot, root));
        Ok(())
    }

    /// Cancels the cell that runs.
    pub fn interrupt(&self) {
        if let Some(cancel) = &self.now().cancel {
            cancel.cancel();
        }
    }

    /// What it knows, to be asked about.
    pub fn state(&self) -> Result<Checkpoint, ServiceError> {
        self.now().checkpoint.clone().ok_or_else(dead)
    }

    /// Gives its memory back where nothing was run for so long.
    pub fn cool(&self, idle: Duration) {
        let mut now = self.now();
        let cold = now.hot.take_if(|(_, since)| since.elapsed() >= idle);
        drop(now);
        drop(cold);
    }

    /// Forgets all that it knows; false for one that runs something.
    pub fn die(&self) -> bool {
        let mut now = self.now();
        if now.state == KernelState::Busy || is_dead(now.state) {
            return false;
        }
        let gone = (now.checkpoint.take(), now.hot.take(), std::mem::take(&mut now.history), now.root.take());
        (now.state, now.size_bytes, now.at) = (KernelState::Dead, 0, None);
        now.images.clear();
        drop(now);
        drop(gone);
        true
    }
}

impl Now {
    /// What the next checkpoint is counted against: the one before it in the history, wherever the kernel came from. So
    /// whatever any of them holds is counted at least once.
    fn last(&self) -> Option<&Checkpoint> {
        let last = self.history.back().map(|behind| &behind.checkpoint);
        last.or_else(|| self.root.as_ref().map(|root| &root.checkpoint))
    }

    /// Finds the images that its states lie over.
    fn note_images(&mut self) {
        let states = self.history.iter().map(|behind| &behind.checkpoint).chain(&self.checkpoint);
        let mut images: Vec<_> = states.filter_map(Checkpoint::derived_image).collect();
        images.sort_unstable();
        images.dedup();
        self.images = images;
    }

    /// Forgets the eldest checkpoint. What only that one held is given back.
    fn forget_eldest(&mut self) -> Option<Checkpoint> {
        let eldest = self.history.pop_front()?;
        if self.at == Some(eldest.info.id) {
            self.at = None;
        }
        // What it shared with the next one counts there now.
        let mut freed = eldest.info.size_bytes;
        let root = self.root.clone();
        if let Some(next) = self.history.front_mut() {
            let size_bytes = next.checkpoint.bytes_beyond(root.as_ref().map(|root| &root.checkpoint));
            freed = (freed.saturating_add(next.info.size_bytes)).saturating_sub(size_bytes);
            next.info.size_bytes = size_bytes;
        }
        self.size_bytes = self.size_bytes.saturating_sub(freed);
        Some(eldest.checkpoint)
    }
}

async fn fresh(service: &Service, birth: &Birth) -> Result<Kernel, ServiceError> {
    let sandbox = service.sandbox()?;
    let start = sandbox.start_point(birth.base.as_ref(), LIKELY, &birth.limits).await;
    Ok(sandbox.kernel_at(&start, &birth.limits).await?)
}
