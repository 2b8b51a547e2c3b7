//! One kernel in memory: who it is, whose turn it is, and what is done with what it knows.

mod now;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

pub(super) use self::now::{Behind, Now};
use super::keep::Kept;
use super::{LIKELY, dead};
use crate::backend::wasm::{Checkpoint, EnvironmentBase, Kernel};
use crate::domain::{
    CheckpointId, CheckpointInfo, EnvironmentId, KernelId, KernelInfo, KernelPackages, KernelSegment, KernelState,
    Limits, LimitsRequest, UserId,
};
use crate::service::{Service, ServiceError};

/// Checkpoints of one kernel.
const MAX_CHECKPOINTS: usize = 100;
/// Cells that wait for their turn in one kernel.
const MAX_WAITING: usize = 16;
/// Of a page of memory.
const PAGE_BYTES: u64 = 4096;
/// Of a cell's code so much is shown.
pub(super) const CODE_CHARS: usize = 200;

/// Who a kernel is.
#[derive(Debug, Clone)]
pub(super) struct Birth {
    pub user: UserId,
    pub name: Option<String>,
    pub environment: Option<EnvironmentId>,
    pub forked_from: Option<KernelId>,
    /// What was asked for when it was made: it has no more.
    pub asked: LimitsRequest,
    /// What it had when it was made, or was saved.
    pub limits: Limits,
    pub created_at: Timestamp,
}

/// What a kernel begins on.
#[derive(Debug, Clone, Default)]
pub struct Beginning {
    /// The environment; nothing for one without packages.
    pub base: Option<EnvironmentBase>,
    /// The environment's packages, by which it can be had again.
    pub packages: Option<Arc<KernelPackages>>,
}

/// A kernel in memory.
pub struct Entry {
    id: KernelId,
    birth: Birth,
    /// To be said with all that is written of it.
    pub(super) fence: i64,
    /// Held by whatever changes what it knows.
    turn: Arc<tokio::sync::Mutex<()>>,
    waiting: AtomicUsize,
    now: Mutex<Now>,
    /// What is kept of it; held by whoever saves it.
    pub(super) kept: tokio::sync::Mutex<Kept>,
    /// The revision that is kept.
    pub(super) kept_revision: AtomicU64,
    /// It is in memory no more, or another's: whoever still has this looks for it again.
    gone: AtomicBool,
}

/// A state that several kernels were forked from.
pub(super) struct Root {
    pub id: CheckpointId,
    pub checkpoint: Checkpoint,
    pub bytes: u64,
    /// Where it is kept, once a kernel names it there.
    pub saved: tokio::sync::Mutex<Option<KernelSegment>>,
}

/// What a kernel takes.
pub(super) struct Weight {
    /// Alone.
    pub own: u64,
    /// Together with others: what tells it from other such things, and its bytes.
    pub shared: Vec<(usize, u64)>,
}

/// What a kernel was when it was saved.
pub(super) struct Woken {
    pub birth: Birth,
    pub beginning: Beginning,
    pub fence: i64,
    pub used_at: Timestamp,
    pub checkpoint: Option<Checkpoint>,
    pub head: Option<CheckpointId>,
    pub history: VecDeque<Behind>,
    pub root: Option<Arc<Root>>,
    pub kept: Kept,
}

/// The right to change what a kernel knows.
pub struct Turn(#[expect(dead_code, reason = "held, not looked at")] OwnedMutexGuard<()>);

impl Entry {
    /// A kernel that has run nothing.
    pub(super) async fn start(
        service: &Service,
        (id, fence): (KernelId, i64),
        birth: Birth,
        beginning: Beginning,
    ) -> Result<Self, ServiceError> {
        let kernel = fresh(service, &beginning, &birth.limits).await?;
        let (checkpoint, used_at) = (Some(kernel.checkpoint()), birth.created_at);
        let (head, history, root, kept) = (None, VecDeque::new(), None, Kept::default());
        let entry = Self::new(id, Woken { birth, beginning, fence, used_at, checkpoint, head, history, root, kept });
        entry.now().hot = Some((kernel, Instant::now()));
        Ok(entry)
    }

    /// A kernel that knows something already, or is dead where it knows nothing.
    pub(super) fn new(id: KernelId, woken: Woken) -> Self {
        let Woken { birth, beginning, fence, used_at, checkpoint, head, history, root, kept } = woken;
        let state = if checkpoint.is_some() { KernelState::Idle } else { KernelState::Dead };
        let mut now = Now {
            state,
            limits: birth.limits.clone(),
            revision: 0,
            beginning,
            checkpoint,
            hot: None,
            history,
            head,
            cancel: None,
            size_bytes: 0,
            root,
            images: Vec::new(),
            used_at,
            quiet_since: Instant::now(),
            saving: None,
        };
        now.count_anew();
        Self {
            id,
            birth,
            fence,
            turn: Arc::default(),
            waiting: AtomicUsize::new(0),
            now: Mutex::new(now),
            kept: tokio::sync::Mutex::new(kept),
            kept_revision: AtomicU64::new(0),
            gone: AtomicBool::new(false),
        }
    }

    pub(super) fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn id(&self) -> KernelId {
        self.id
    }

    pub(super) fn user(&self) -> UserId {
        self.birth.user
    }

    pub(super) fn environment(&self) -> Option<EnvironmentId> {
        self.birth.environment
    }

    pub(super) fn asked_limits(&self) -> LimitsRequest {
        self.birth.asked.clone()
    }

    /// What its cells may use from now on, where whoever runs them may use `most`.
    pub(super) fn limit(&self, most: &Limits) -> Limits {
        let limits = self.birth.asked.clamped(most);
        self.now().limits.clone_from(&limits);
        limits
    }

    /// Whether it is in memory no more, or another's.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    pub(super) fn weight(&self) -> Weight {
        let now = self.now();
        let hot = now.hot.as_ref().map_or(0, |(kernel, _)| kernel.checkpoint().delta_pages() as u64 * PAGE_BYTES);
        let mut shared = now.images.clone();
        shared.extend(now.root.as_ref().map(|root| (Arc::as_ptr(root) as usize, root.bytes)));
        Weight { own: now.held_bytes().saturating_add(hot), shared }
    }

    pub(super) fn is_hot(&self) -> bool {
        self.now().hot.is_some()
    }

    pub(super) fn used_at(&self) -> Timestamp {
        self.now().used_at
    }

    /// How long it has run nothing; none while it runs something.
    pub(super) fn quiet(&self) -> Option<Duration> {
        let now = self.now();
        (now.state != KernelState::Busy).then(|| now.quiet_since.elapsed())
    }

    /// Whether it knows something that is not kept.
    pub(super) fn is_unsaved(&self) -> bool {
        self.now().revision != self.kept_revision.load(Ordering::Acquire)
    }

    /// What is shown of it.
    pub fn info(&self) -> KernelInfo {
        let now = self.now();
        KernelInfo {
            id: self.id,
            name: self.birth.name.clone(),
            environment_id: self.birth.environment,
            forked_from: self.birth.forked_from,
            state: now.state,
            execution_count: now.checkpoint.as_ref().map_or(0, Checkpoint::count),
            checkpoint_id: now.checkpoint_id(),
            limits: now.limits.clone(),
            size_bytes: now.size_bytes,
            saved: now.revision == self.kept_revision.load(Ordering::Acquire),
            created_at: self.birth.created_at,
            last_used_at: now.used_at,
        }
    }

    /// How many cells have left their mark in it.
    pub(super) fn execution_count(&self) -> u64 {
        self.now().checkpoint.as_ref().map_or(0, Checkpoint::count)
    }

    /// Its checkpoints, the eldest first.
    pub fn checkpoints(&self) -> Vec<CheckpointInfo> {
        self.now().history.iter().map(|behind| behind.info.clone()).collect()
    }

    /// What it knows now, for forks, which get random numbers of their own.
    pub(super) fn root(&self) -> Result<Arc<Root>, ServiceError> {
        let checkpoint = self.state()?.forked();
        let bytes = checkpoint.bytes_beyond(None);
        Ok(Arc::new(Root { id: CheckpointId::new(), checkpoint, bytes, saved: tokio::sync::Mutex::default() }))
    }

    /// Another kernel that knows what this one knew.
    pub(super) fn fork(&self, root: &Arc<Root>) -> Self {
        let now = now_as_kept();
        let mut birth = Birth { forked_from: Some(self.id), created_at: now, ..self.birth.clone() };
        let beginning = self.now().beginning.clone();
        birth.limits.clone_from(&self.now().limits);
        let (checkpoint, head, root) = (Some(root.checkpoint.clone()), Some(root.id), Some(Arc::clone(root)));
        let (history, kept) = (VecDeque::new(), Kept::default());
        let fork = Self::new(
            KernelId::new(),
            Woken { birth, beginning, fence: 1, used_at: now, checkpoint, head, history, root, kept },
        );
        fork.now().revision = 1;
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

    /// The turn, unless somebody has it.
    pub(super) fn try_turn(&self) -> Option<Turn> {
        Arc::clone(&self.turn).try_lock_owned().ok().map(Turn)
    }

    /// The kernel for the cell that is expected.
    pub(super) fn begin(&self, service: &Service, _: &Turn) -> Result<Kernel, ServiceError> {
        let mut now = self.now();
        let checkpoint = now.checkpoint.clone().ok_or_else(dead)?;
        let hot = now.hot.take();
        (now.state, now.used_at) = (KernelState::Busy, now_as_kept());
        drop(now);
        match hot {
            Some((kernel, _)) => Ok(kernel),
            None => {
                let kernel = service.sandbox().and_then(|sandbox| Ok(sandbox.resume(&checkpoint)?));
                kernel.inspect_err(|_| self.end())
            }
        }
    }

    /// Whoever interrupts cancels this cell from now on, also while it waits for its place.
    pub(super) fn expect(&self, cancel: &CancellationToken, _: &Turn) {
        self.now().cancel = Some(cancel.clone());
    }

    /// The cell that was expected does not begin.
    pub(super) fn expect_none(&self) {
        self.now().cancel = None;
    }

    /// The cell has ended, however it did.
    pub(super) fn end(&self) {
        let mut now = self.now();
        now.state = if now.checkpoint.is_some() { KernelState::Idle } else { KernelState::Dead };
        now.cancel = None;
        now.touch();
    }

    /// Keeps the state behind a cell, within `most_bytes` of checkpoints, and answers it where there is a new one.
    pub(super) fn keep(&self, kernel: Kernel, code: &str, most_bytes: u64) -> Option<CheckpointInfo> {
        let checkpoint = kernel.checkpoint();
        let (mut gone, mut made) = (Vec::new(), None);
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
                created_at: now_as_kept(),
            };
            now.head = Some(info.id);
            made = Some(info.clone());
            now.revision += 1;
            now.size_bytes = now.size_bytes.saturating_add(size_bytes);
            now.checkpoint = Some(checkpoint.clone());
            now.history.push_back(Behind { info, checkpoint: Some(checkpoint) });
            while now.history.len() > MAX_CHECKPOINTS || now.size_bytes > most_bytes && now.history.len() > 1 {
                gone.extend(now.forget_eldest());
            }
            now.note_images();
        }
        drop(now);
        // Memory is given back without the lock.
        drop(gone);
        made
    }

    /// Takes it to one of its checkpoints, which was read.
    pub(super) fn restore(&self, id: CheckpointId, _: &Turn) -> Result<(), ServiceError> {
        let mut now = self.now();
        let found = now.history.iter().find(|behind| behind.info.id == id);
        let found = found.and_then(|behind| behind.checkpoint.clone());
        let checkpoint = found.ok_or(ServiceError::NotFound { what: "checkpoint" })?;
        if now.hot.as_mut().is_some_and(|(kernel, _)| !kernel.go_to(&checkpoint)) {
            now.hot = None;
        }
        (now.checkpoint, now.head) = (Some(checkpoint), Some(id));
        now.revision += 1;
        now.touch();
        Ok(())
    }

    /// Begins anew.
    pub(super) async fn restart(&self, service: &Service, beginning: Beginning, _: &Turn) -> Result<(), ServiceError> {
        let limits = self.now().limits.clone();
        let kernel = fresh(service, &beginning, &limits).await?;
        let mut now = self.now();
        let history = std::mem::take(&mut now.history);
        now.checkpoint = Some(kernel.checkpoint());
        let hot = now.hot.replace((kernel, Instant::now()));
        (now.head, now.size_bytes, now.state) = (None, 0, KernelState::Idle);
        now.images.clear();
        now.revision += 1;
        let (root, before) = (now.root.take(), std::mem::replace(&mut now.beginning, beginning));
        now.touch();
        drop(now);
        drop((history, hot, root, before));
        Ok(())
    }

    /// Cancels the cell that runs.
    pub fn interrupt(&self) {
        if let Some(cancel) = &self.now().cancel {
            cancel.cancel();
        }
    }

    /// What it knows, to be asked about.
    pub(super) fn state(&self) -> Result<Checkpoint, ServiceError> {
        self.now().checkpoint.clone().ok_or_else(dead)
    }

    /// Gives its memory back where nothing was run for so long.
    pub(super) fn cool(&self, idle: Duration) {
        let mut now = self.now();
        let cold = now.hot.take_if(|(_, since)| since.elapsed() >= idle);
        drop(now);
        drop(cold);
    }

    /// Whether this checkpoint was not read since it woke.
    pub(super) fn is_unread(&self, id: CheckpointId) -> bool {
        self.now().history.iter().any(|behind| behind.info.id == id && behind.checkpoint.is_none())
    }

    /// States that were not read since it woke are there now; those that are not among them are forgotten.
    pub(super) fn add_read(&self, states: &HashMap<CheckpointId, Checkpoint>, root: Option<Arc<Root>>) {
        let mut now = self.now();
        // It began anew, died, or has forgotten them meanwhile.
        if !now.is_unread() {
            return;
        }
        for behind in &mut now.history {
            if behind.checkpoint.is_none() {
                behind.checkpoint = states.get(&behind.info.id).cloned();
            }
        }
        let all = now.history.len();
        now.history.retain(|behind| behind.checkpoint.is_some());
        if now.history.len() < all {
            now.revision += 1;
        }
        if now.root.is_none() {
            now.root = root;
        }
        now.count_anew();
    }

    /// Forgets all that it knows.
    pub(super) fn die(&self, _: &Turn) {
        let mut now = self.now();
        let gone = (now.checkpoint.take(), now.hot.take(), std::mem::take(&mut now.history), now.root.take());
        (now.state, now.size_bytes, now.head) = (KernelState::Dead, 0, None);
        now.images.clear();
        now.revision += 1;
        drop(now);
        drop(gone);
    }

    /// Whether it is to be saved now by whoever asks: nobody is at it, and none has failed a moment ago.
    pub(super) fn begin_saving(&self) -> bool {
        let mut now = self.now();
        let is_due = now.saving.is_none_or(|not_before| not_before.is_some_and(|then| then <= Instant::now()));
        if is_due {
            now.saving = Some(None);
        }
        is_due
    }

    /// It was saved, or is to be tried again after so long.
    pub(super) fn end_saving(&self, again: Duration) {
        self.now().saving = Some(Some(Instant::now() + again));
    }
}

/// The time, as exact as it is kept: what is shown before and after is the same.
pub(super) fn now_as_kept() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

async fn fresh(service: &Service, beginning: &Beginning, limits: &Limits) -> Result<Kernel, ServiceError> {
    let sandbox = service.sandbox()?;
    let start = sandbox.start_point(beginning.base.as_ref(), LIKELY, limits).await;
    Ok(sandbox.kernel_at(&start, limits).await?)
}
