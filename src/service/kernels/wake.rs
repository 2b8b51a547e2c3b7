//! Taking kernels that no server holds, and waking them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Mutex;

use super::Kernels;
use super::entry::{Beginning, Behind, Birth, Entry, Root, Woken};
use super::keep::{FORKS, IMAGES, Kept};
use crate::backend::wasm::vfs::BadFs;
use crate::backend::wasm::{Checkpoint, Digest, Ground, WakeError};
use crate::domain::{
    CheckpointId, KernelAtRest, KernelEvent, KernelHistory, KernelId, KernelSegment, KernelState, UserId,
};
use crate::service::{ServiceError, off_the_server_threads};
use crate::store::{KernelSave, KernelTake, ObjectError, Reach};

/// A server that holds a kernel is asked for it at once, and hears of it after a second at the latest.
const PATIENCE: Duration = Duration::from_secs(10);
/// So often is looked whether it has let it go.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// No image is larger.
const MAX_IMAGE_BYTES: u64 = 4 << 30;

/// Why a kernel's states can't be had.
enum CannotWake {
    /// For now.
    Service(ServiceError),
    /// For good: they are not what they were.
    Lost(String),
}

impl From<ServiceError> for CannotWake {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<ObjectError> for CannotWake {
    fn from(error: ObjectError) -> Self {
        match error {
            // Whoever runs the server may have another directory there today: what is kept is not given up for that.
            ObjectError::NotFound { .. } => {
                tracing::error!(%error, "what a kernel knew is not where it was kept");
                let message =
                    "what the kernel knew is not in the object store: try again when it is, or restart the kernel";
                Self::Service(ServiceError::Conflict { message: message.to_owned() })
            }
            ObjectError::TooLarge { .. } => Self::Lost(error.to_string()),
            error => Self::Service(error.into()),
        }
    }
}

impl From<WakeError> for CannotWake {
    fn from(error: WakeError) -> Self {
        match error {
            WakeError::Io(ref reason) if reason.raw_os_error().is_some() => {
                Self::Service(ServiceError::internal(&error))
            }
            // What another version can read is not given up.
            WakeError::Kind | WakeError::Files(BadFs::Below) => {
                tracing::error!(%error, "what a kernel knew is of another version");
                let message = "the kernel was kept by another version of the server, or of its packages: wake it there, or \
                    restart it";
                Self::Service(ServiceError::Conflict { message: message.to_owned() })
            }
            error => Self::Lost(error.to_string()),
        }
    }
}

impl Kernels {
    /// Takes a kernel that is not in memory here, from the server that holds it if need be.
    ///
    /// # Errors
    /// The user has no such kernel, or another server holds it and runs something in it.
    pub(crate) async fn take(&self, user: UserId, id: KernelId) -> Result<KernelTake, ServiceError> {
        let server = self.server().await?;
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.0.database.take_kernel(&server, user, id).await? {
                Ok(taken) => return Ok(taken),
                Err(Reach::Elsewhere) if tokio::time::Instant::now() >= until => {
                    let message = "another server holds the kernel, and is busy with it; try again".to_owned();
                    return Err(ServiceError::Conflict { message });
                }
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Puts a kernel that was taken back, as it was.
    pub(crate) async fn give_back(&self, taken: &KernelTake) {
        let KernelTake { info, rest, fence, .. } = taken;
        let save = KernelSave {
            id: info.id,
            fence: *fence,
            state: if info.state == KernelState::Dead { KernelState::Dead } else { KernelState::Hibernated },
            released: true,
            execution_count: info.execution_count,
            checkpoint_id: info.checkpoint_id,
            size_bytes: info.size_bytes,
            used_at: info.last_used_at,
            image: Some(rest.image.clone()),
            history: rest.history.clone(),
            kept_segments: rest.segments.len() as u64,
            new_segments: Vec::new(),
            shared: None,
            alone: rest.alone.clone(),
        };
        let given = match self.server().await {
            Ok(server) => self.0.database.save_kernel(&server, &save).await.map(drop).map_err(ServiceError::from),
            Err(error) => Err(error),
        };
        self.feeds().ask(info.id);
        if let Err(error) = given {
            tracing::warn!(%error, kernel = %info.id, "a kernel could not be given back");
        }
    }

    /// Wakes a kernel that was taken, where its packages are. One whose states are gone, or are not what was kept, is
    /// dead from then on.
    ///
    /// # Errors
    /// The object store's or the host's: give it back.
    pub(crate) async fn wake(&self, taken: &KernelTake, beginning: Beginning) -> Result<Arc<Entry>, ServiceError> {
        let birth = birth(taken);
        let (info, rest) = (&taken.info, &taken.rest);
        let is_dead = info.state == KernelState::Dead;
        let entry = if rest.history.head.is_none() && info.execution_count == 0 && !is_dead {
            let entry = Entry::start(&self.0.service, (info.id, taken.fence), birth, beginning).await?;
            *entry.kept.lock().await = Kept { segments: rest.segments.clone(), ..Kept::default() };
            entry
        } else if let Some(state) = self.last_alone(taken, &beginning).await {
            self.entry_of_last(taken, birth, beginning, state)
        } else {
            match self.states(&rest.segments, &rest.image, &beginning).await {
                Ok(states) if !is_dead => self.entry_of(taken, birth, beginning, states),
                Ok(_) => Entry::new(info.id, nothing(taken, birth, beginning)),
                Err(CannotWake::Service(error)) => return Err(error),
                Err(CannotWake::Lost(reason)) => {
                    tracing::error!(kernel = %info.id, reason, "what a kernel knew can't be read: it is dead");
                    let entry = Entry::new(info.id, nothing(taken, birth, beginning));
                    entry.now().revision += 1;
                    entry
                }
            }
        };
        let entry = Arc::new(entry);
        self.put_in(&entry);
        self.tell_state(&entry);
        Ok(entry)
    }

    /// Lets a kernel that was taken begin anew, whatever it knew.
    ///
    /// # Errors
    /// A failure of the host: give it back.
    pub(crate) async fn begin_anew(
        &self,
        taken: &KernelTake,
        beginning: Beginning,
    ) -> Result<Arc<Entry>, ServiceError> {
        let birth = birth(taken);
        let held = (taken.info.id, taken.fence);
        let packages = beginning.packages.clone();
        let entry = Entry::start(&self.0.service, held, birth, beginning).await?;
        self.0.database.rebase_kernel(&self.server().await?, held, packages.as_deref()).await?;
        entry.now().revision += 1;
        let entry = Arc::new(entry);
        self.put_in(&entry);
        self.feeds().tell(entry.id(), || KernelEvent::Restarted);
        self.tell_state(&entry);
        Ok(entry)
    }

    /// The state that a kernel is in, where that is kept by itself: all others can wait until somebody asks for them.
    async fn last_alone(&self, taken: &KernelTake, beginning: &Beginning) -> Option<Checkpoint> {
        let KernelAtRest { alone, segments, history, image, .. } = &taken.rest;
        // What comes next goes on from it, so it has to be the last one; it is shown as a checkpoint, too.
        let last = count(segments).checked_sub(1);
        let is_last = last.is_some() && history.head == last && history.checkpoints.last().map(|(at, _)| *at) == last;
        let alone = alone.as_ref().filter(|_| is_last && taken.info.state != KernelState::Dead)?;
        match self.states(std::slice::from_ref(alone), image, beginning).await {
            Ok(mut states) => states.pop(),
            Err(CannotWake::Service(error)) => {
                tracing::warn!(%error, kernel = %taken.info.id, "the state of a kernel can't be had by itself");
                None
            }
            Err(CannotWake::Lost(reason)) => {
                tracing::warn!(reason, kernel = %taken.info.id, "the state of a kernel can't be read by itself");
                None
            }
        }
    }

    fn entry_of_last(&self, taken: &KernelTake, birth: Birth, beginning: Beginning, state: Checkpoint) -> Entry {
        let KernelAtRest { segments, history: saved, alone, .. } = &taken.rest;
        let mut ids: Vec<_> = (0..count(segments)).map(|_| CheckpointId::new()).collect();
        let mut history = VecDeque::new();
        for (at, info) in &saved.checkpoints {
            let at = usize::try_from(*at).unwrap_or(usize::MAX);
            if let Some(id) = ids.get_mut(at) {
                *id = info.id;
                history.push_back(Behind { info: info.clone(), checkpoint: None });
            }
        }
        if let Some(last) = history.back_mut() {
            last.checkpoint = Some(state.clone());
        }
        let (head, checkpoint) = (ids.last().copied(), Some(state));
        // (Not one whose image had to be read again since.)
        let root = segments.first().and_then(|first| self.known_root(&first.object_key));
        let root = root.filter(|root| checkpoint.as_ref().is_some_and(|state| root.checkpoint.began_with(state)));
        if let (Some(root), Some(first)) = (&root, ids.first_mut()) {
            *first = root.id;
        }
        let kept = Kept {
            segments: segments.clone(),
            ids,
            last: checkpoint.clone(),
            unread: segments.len(),
            alone: head.zip(alone.clone()),
            unreadable: None,
        };
        let (fence, used_at) = (taken.fence, taken.info.last_used_at);
        Entry::new(taken.info.id, Woken { birth, beginning, fence, used_at, checkpoint, head, history, root, kept })
    }

    /// Reads the states that were left where they are when a kernel woke. Those that can't be read any more are forgotten:
    /// the kernel goes on from the one that it is in.
    ///
    /// # Errors
    /// The object store's or the host's: they may be there later.
    pub(super) async fn read_rest(&self, entry: &Entry, kept: &mut Kept) -> Result<(), ServiceError> {
        if kept.unread == 0 {
            // Somebody else has read them meanwhile.
            return Ok(());
        }
        let beginning = entry.now().beginning.clone();
        let image = entry.state()?.image_digest().to_string();
        let unread = kept.segments.get(..kept.unread).unwrap_or_default();
        match self.states(unread, &image, &beginning).await {
            Ok(states) => {
                let root = self.root_of(unread, &mut kept.ids, &states);
                entry.add_read(&kept.ids.iter().copied().zip(states).collect(), root);
            }
            Err(CannotWake::Service(error)) => return Err(error),
            Err(CannotWake::Lost(reason)) => {
                tracing::error!(kernel = %entry.id(), reason, "checkpoints of a kernel can't be read: they are gone");
                entry.add_read(&HashMap::new(), None);
                // So all that is left is written anew.
                kept.ids.clear();
            }
        }
        kept.unread = 0;
        Ok(())
    }

    fn entry_of(&self, taken: &KernelTake, birth: Birth, beginning: Beginning, states: Vec<Checkpoint>) -> Entry {
        let KernelHistory { head, checkpoints } = &taken.rest.history;
        let mut ids: Vec<_> = states.iter().map(|_| CheckpointId::new()).collect();
        let mut history = VecDeque::new();
        for (at, info) in checkpoints {
            let at = usize::try_from(*at).unwrap_or(usize::MAX);
            if let (Some(id), Some(state)) = (ids.get_mut(at), states.get(at)) {
                *id = info.id;
                history.push_back(Behind { info: info.clone(), checkpoint: Some(state.clone()) });
            }
        }
        let root = self.root_of(&taken.rest.segments, &mut ids, &states);
        let head = head.and_then(|head| usize::try_from(head).ok());
        let checkpoint = head.and_then(|head| states.get(head)).cloned();
        let head = head.and_then(|head| ids.get(head)).copied();
        let (segments, last) = (taken.rest.segments.clone(), states.last().cloned());
        let kept = Kept { segments, ids, last, ..Kept::default() };
        let (fence, used_at) = (taken.fence, taken.info.last_used_at);
        Entry::new(taken.info.id, Woken { birth, beginning, fence, used_at, checkpoint, head, history, root, kept })
    }

    /// The state that the kernel's forks share with it, where it was forked: the first.
    fn root_of(
        &self,
        segments: &[KernelSegment],
        ids: &mut [CheckpointId],
        states: &[Checkpoint],
    ) -> Option<Arc<Root>> {
        let (segment, id, state) = (segments.first()?, ids.first_mut()?, states.first()?);
        if !segment.object_key.starts_with(FORKS) {
            return None;
        }
        if let Some(root) = self.known_root(&segment.object_key).filter(|root| root.checkpoint.began_with(state)) {
            *id = root.id;
            return Some(root);
        }
        let (checkpoint, bytes) = (state.clone(), state.bytes_beyond(None));
        let saved = Mutex::new(Some(segment.clone()));
        let root = Arc::new(Root { id: *id, checkpoint, bytes, saved });
        let mut roots = self.0.roots.lock().unwrap_or_else(PoisonError::into_inner);
        roots.retain(|_, root: &mut Weak<Root>| root.strong_count() > 0);
        roots.insert(segment.object_key.clone(), Arc::downgrade(&root));
        Some(root)
    }

    fn known_root(&self, key: &str) -> Option<Arc<Root>> {
        self.0.roots.lock().unwrap_or_else(PoisonError::into_inner).get(key).and_then(Weak::upgrade)
    }

    /// The states that segments of a kernel hold.
    async fn states(
        &self,
        segments: &[KernelSegment],
        image: &str,
        beginning: &Beginning,
    ) -> Result<Vec<Checkpoint>, CannotWake> {
        if segments.is_empty() {
            return Err(CannotWake::Lost("the server that held it ended before it was saved".to_owned()));
        }
        // One holds all that it wakes in memory before anybody can give way.
        let _turn = self.0.waking.acquire().await;
        let ground = self.ground(image, beginning).await?;
        let mut states: Vec<Checkpoint> = Vec::new();
        for segment in segments {
            let digest: Digest = digest(&segment.digest)?;
            let bytes = self.0.objects.get(&segment.object_key, segment.size_bytes).await?;
            // States that forks share are there once, where one of them is awake.
            let known = self.known_root(&segment.object_key).filter(|_| states.is_empty());
            // (Not where their image had to be read again since.)
            if let Some(root) = known.filter(|root| root.checkpoint.lies_on(&ground)) {
                states.push(root.checkpoint.clone());
                continue;
            }
            let (ground, before) = (ground.clone(), states.last().cloned());
            let woken = move || Checkpoint::wake(&bytes, digest, &ground, before.as_ref());
            let woken = off_the_server_threads(woken).await??;
            if woken.len() as u64 != segment.states {
                return Err(CannotWake::Lost("a segment holds other states than it should".to_owned()));
            }
            states.extend(woken);
        }
        Ok(states)
    }

    /// What the states of a kernel lie over.
    async fn ground(&self, image: &str, beginning: &Beginning) -> Result<Ground, CannotWake> {
        let sandbox = self.0.service.sandbox().map_err(CannotWake::Service)?.clone();
        let digest = digest(image)?;
        if let Some(ground) = sandbox.ground(beginning.base.as_ref(), digest).await {
            return Ok(ground);
        }
        // It was made on another machine, or before the environment had changed.
        let bytes = self.0.objects.get(&format!("{IMAGES}/{image}"), MAX_IMAGE_BYTES).await?;
        let base = beginning.base.clone();
        Ok(off_the_server_threads(move || sandbox.ground_of(base.as_ref(), &bytes, digest)).await??)
    }
}

/// How many states segments hold.
fn count(segments: &[KernelSegment]) -> u64 {
    segments.iter().map(|segment| segment.states).fold(0, u64::saturating_add)
}

fn digest(text: &str) -> Result<Digest, CannotWake> {
    text.parse().map_err(|_| CannotWake::Lost("a digest is none".to_owned()))
}

fn birth(taken: &KernelTake) -> Birth {
    let info = &taken.info;
    Birth {
        user: taken.user,
        name: info.name.clone(),
        environment: info.environment_id,
        forked_from: info.forked_from,
        asked: taken.rest.asked_limits.clone(),
        limits: info.limits.clone(),
        created_at: info.created_at,
    }
}

/// A kernel that is dead.
fn nothing(taken: &KernelTake, birth: Birth, beginning: Beginning) -> Woken {
    let (fence, used_at) = (taken.fence, taken.info.last_used_at);
    let kept = Kept { segments: taken.rest.segments.clone(), ..Kept::default() };
    let (checkpoint, head, history, root) = (None, None, VecDeque::new(), None);
    Woken { birth, beginning, fence, used_at, checkpoint, head, history, root, kept }
}
