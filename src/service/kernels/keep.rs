//! Keeping kernels: their states as objects, and what they are in the database.
//!
//! What a kernel knows is kept soon after each cell, so that it survives the end of the server: the states that are new
//! become an object of their own, a *segment*, behind those that are there. Where the segments hold more that is
//! forgotten than that is not, or are many, all is written anew.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::entry::{Entry, Root, Turn};
use super::{Inner, Kernels};
use crate::backend::wasm::{AtRest, Checkpoint, SandboxError};
use crate::domain::{CheckpointId, CheckpointInfo, KernelHistory, KernelSegment, KernelState, UserId};
use crate::service::{ServiceError, off_the_server_threads};
use crate::store::{KernelError, KernelSave, ObjectError};

/// Where segments are in the object store.
pub(super) const SEGMENTS: &str = "kernels";
/// And those that forks share.
pub(super) const FORKS: &str = "kernels/forks";
/// Where the images are that kernels began in.
pub(super) const IMAGES: &str = "images";
/// Waking reads all of them.
const MAX_SEGMENTS: usize = 24;
/// Nor are they more where they can't be read, to be written anew.
const MOST_SEGMENTS: usize = 10 * MAX_SEGMENTS;
/// States that were forgotten, and may still lie in the segments of a kernel with few others.
const FEW_STATES: usize = 4;
/// A history that could not be had is tried again after so long: others wait for their turn to read.
const READ_AGAIN: Duration = Duration::from_secs(600);
/// What a kernel knows is kept by itself, too, where all that it was takes so many times as much.
const WORTH_IT: u64 = 2;
/// That an image is in the object store is taken for granted for so long. (It is swept away when no kernel has begun in it,
/// and it is older than a day.)
const IMAGE_TRUSTED: Duration = Duration::from_secs(60 * 60);
/// One that is older is written again, so that what is taken for granted is not swept away.
const IMAGE_YOUNG: SignedDuration = SignedDuration::from_hours(12);

/// What is kept of a kernel.
#[derive(Default)]
pub(super) struct Kept {
    pub segments: Vec<KernelSegment>,
    /// The states in them, in order.
    pub ids: Vec<CheckpointId>,
    /// The last of them, which the next segment goes on from.
    pub last: Option<Checkpoint>,
    /// How many of the segments were not read when the kernel woke.
    pub unread: usize,
    /// The state that is kept by itself, too.
    pub alone: Option<(CheckpointId, KernelSegment)>,
    /// When those that were not read could not be had last.
    pub unreadable: Option<Instant>,
}

/// What is to be kept.
struct Wanted {
    revision: u64,
    head: Option<CheckpointId>,
    checkpoints: Vec<CheckpointInfo>,
    /// The states, in the order in which they are kept, without those that were not read.
    states: Vec<(CheckpointId, Checkpoint)>,
    root: Option<Arc<Root>>,
    /// What it knows, where that alone is much quicker to read than all that it was.
    alone: Option<Checkpoint>,
    save: KernelSave,
}

impl Wanted {
    fn of(entry: &Entry, then: KernelState) -> Self {
        let now = entry.now();
        let read = now.history.iter().filter_map(|behind| Some((behind.info.id, behind.checkpoint.clone()?)));
        let mut states: Vec<_> = read.collect();
        let is_there = |id| now.history.iter().any(|behind| behind.info.id == id);
        if let (Some(head), Some(checkpoint)) = (now.head, &now.checkpoint)
            && !is_there(head)
            && now.root.as_ref().is_none_or(|root| root.id != head)
        {
            states.insert(0, (head, checkpoint.clone()));
        }
        let (is_dead, revision, head, checkpoint) =
            (now.state == KernelState::Dead, now.revision, now.head, now.checkpoint.clone());
        let (root, checkpoint_id) = (now.root.clone(), now.checkpoint_id());
        let (size_bytes, used_at) = (now.size_bytes(), now.used_at());
        let checkpoints = now.history.iter().map(|behind| behind.info.clone()).collect();
        drop(now);
        let all_bytes = root.as_ref().map_or(0, |root| root.bytes).saturating_add(size_bytes);
        let alone = checkpoint.clone().filter(|_| then == KernelState::Hibernated && !is_dead);
        let alone = alone.filter(|alone| all_bytes > WORTH_IT.saturating_mul(alone.bytes_beyond(None)));
        let save = KernelSave {
            id: entry.id(),
            fence: entry.fence,
            state: if is_dead { KernelState::Dead } else { then },
            released: then == KernelState::Hibernated,
            execution_count: checkpoint.as_ref().map_or(0, Checkpoint::count),
            checkpoint_id,
            size_bytes,
            used_at,
            image: checkpoint.map(|checkpoint| checkpoint.image_digest().to_string()),
            history: KernelHistory::default(),
            kept_segments: 0,
            new_segments: Vec::new(),
            shared: None,
            alone: None,
        };
        Self { revision, head, checkpoints, states, root, alone, save }
    }
}

impl Kernels {
    /// Keeps what a kernel knows, where that is not kept yet; and lets it go where it is to hibernate.
    ///
    /// # Errors
    /// The object store's or the database's: it is where it was.
    pub(super) async fn save(&self, entry: &Arc<Entry>, then: KernelState) -> Result<(), ServiceError> {
        let mut kept = entry.kept.lock().await;
        let mut saved = self.save_as(entry, &mut kept, then).await;
        if let Err(SaveError::Unshared) = &saved {
            // The last kernel that named it was deleted a moment ago: it is written again.
            saved = self.save_as(entry, &mut kept, then).await;
        }
        if let Err(SaveError::Lost) = &saved {
            // Deleted, or another server has it: what is known here is of no worth.
            self.lose(entry);
        } else if saved.is_ok() && then != KernelState::Hibernated {
            self.tell_state(entry);
        }
        saved.map_err(Into::into)
    }

    async fn save_as(&self, entry: &Arc<Entry>, kept: &mut Kept, then: KernelState) -> Result<(), SaveError> {
        let mut wanted = wanted_of(entry, then).await?;
        let is_kept = wanted.revision == entry.kept_revision.load(Ordering::Acquire);
        if is_kept && !wanted.save.released {
            return Ok(());
        }
        let mut is_anew = is_outdated(kept, &wanted);
        if is_anew && entry.now().is_unread() {
            is_anew = match self.read_to_write(entry, kept).await {
                Ok(true) => {
                    wanted = wanted_of(entry, then).await?;
                    is_outdated(kept, &wanted)
                }
                // What is new comes behind what is there: that is only longer to read.
                Ok(false) => false,
                Err(error) => return Err(error.into()),
            };
        }
        let Wanted { revision, head, checkpoints, states, root, alone, mut save } = wanted;
        let mut next = if is_anew {
            Kept::default()
        } else {
            Kept {
                segments: kept.segments.clone(),
                ids: kept.ids.clone(),
                last: kept.last.clone(),
                unread: kept.unread,
                alone: kept.alone.clone(),
                unreadable: kept.unreadable,
            }
        };
        save.kept_segments = next.segments.len() as u64;
        if let Some((_, first)) = states.first() {
            self.keep_image(first).await?;
        }
        let root = root.filter(|_| next.ids.is_empty());
        let mut first_of_root = None;
        if let Some(root) = &root {
            self.keep_image(&root.checkpoint).await?;
            let saved = root.saved.lock().await;
            if let Some(segment) = &*saved {
                (save.shared, save.new_segments) = (Some(segment.object_key.clone()), vec![segment.clone()]);
            } else {
                // The others wait until a row names it: then it can't be deleted between.
                save.new_segments.push(self.put(FORKS, vec![root.checkpoint.clone()], None).await?);
                first_of_root = Some((saved, save.new_segments.clone()));
            }
            (next.ids, next.last) = (vec![root.id], Some(root.checkpoint.clone()));
        }
        let new: Vec<_> = states.into_iter().filter(|(id, _)| !next.ids.contains(id)).collect();
        let (ids, states): (Vec<_>, Vec<_>) = new.into_iter().unzip();
        let (before, last) = (next.last.clone(), states.last().cloned());
        next.ids.extend(ids);
        next.last = last.or(next.last);
        // Whoever reads it alone goes on from there.
        next.alone = next.alone.filter(|(id, _)| head == Some(*id));
        let alone = alone.filter(|_| next.alone.is_none() && head.is_some() && next.ids.last() == head.as_ref());
        let new =
            async { if states.is_empty() { Ok(None) } else { self.put(SEGMENTS, states, before).await.map(Some) } };
        let alone = async {
            match alone {
                Some(alone) => self.pack(SEGMENTS, 1, move || alone.alone_at_rest()).await.map(Some),
                None => Ok(None),
            }
        };
        let (new, alone) = tokio::join!(new, alone);
        save.new_segments.extend(new?);
        next.alone = alone?.zip(head).map(|(segment, id)| (id, segment)).or(next.alone);
        save.alone = next.alone.as_ref().map(|(_, segment)| segment.clone());
        let places: HashMap<_, _> = next.ids.iter().zip(0_u64..).map(|(id, at)| (*id, at)).collect();
        let place = |id: &CheckpointId| places.get(id).copied();
        save.history = KernelHistory {
            head: head.as_ref().and_then(place),
            checkpoints: checkpoints.into_iter().filter_map(|info| Some((place(&info.id)?, info))).collect(),
        };
        let Inner { database, .. } = &*self.0;
        let unnamed = match database.save_kernel(&self.server().await?, &save).await {
            Err(KernelError::Unshared) => {
                if let Some(root) = &root {
                    let mut saved = root.saved.lock().await;
                    saved.take_if(|segment| save.shared.as_ref() == Some(&segment.object_key));
                }
                return Err(SaveError::Unshared);
            }
            unnamed => unnamed?,
        };
        if let Some((mut saved, segments)) = first_of_root {
            *saved = segments.into_iter().next();
        }
        next.segments.extend(save.new_segments);
        *kept = next;
        entry.kept_revision.store(revision, Ordering::Release);
        // The next cell counts: many kernels may fall asleep before one runs.
        self.roomy().remove(&entry.user());
        self.forget(unnamed);
        Ok(())
    }

    /// Reads what is to be written anew; false where that can't be had for now, and need not be.
    async fn read_to_write(&self, entry: &Entry, kept: &mut Kept) -> Result<bool, ServiceError> {
        let is_needed = kept.segments.len() >= MOST_SEGMENTS;
        if !is_needed && kept.unreadable.is_some_and(|last| last.elapsed() < READ_AGAIN) {
            return Ok(false);
        }
        match self.read_rest(entry, kept).await {
            Ok(()) => {
                kept.unreadable = None;
                Ok(true)
            }
            Err(error) if is_needed => Err(error),
            Err(error) => {
                tracing::warn!(%error, kernel = %entry.id(), "the history of a kernel can't be written anew");
                kept.unreadable = Some(Instant::now());
                Ok(false)
            }
        }
    }

    /// States as a segment behind `before`, as an object below `place`.
    async fn put(
        &self,
        place: &str,
        states: Vec<Checkpoint>,
        before: Option<Checkpoint>,
    ) -> Result<KernelSegment, SaveError> {
        let count = states.len() as u64;
        self.pack(place, count, move || Checkpoint::at_rest(&states, before.as_ref())).await
    }

    /// What is packed of so many states as an object below `place`.
    async fn pack(
        &self,
        place: &str,
        states: u64,
        pack: impl FnOnce() -> Result<AtRest, SandboxError> + Send + 'static,
    ) -> Result<KernelSegment, SaveError> {
        // One holds all its bytes in memory.
        let _turn = self.0.packing.acquire().await;
        let AtRest { digest, bytes } = off_the_server_threads(pack).await??;
        let segment = KernelSegment {
            object_key: format!("{place}/{}", Uuid::now_v7()),
            digest: digest.to_string(),
            size_bytes: bytes.len() as u64,
            states,
        };
        self.0.objects.put(&segment.object_key, bytes).await.map_err(ServiceError::from)?;
        Ok(segment)
    }

    /// Sees to it that the image that a state began in is in the object store.
    async fn keep_image(&self, state: &Checkpoint) -> Result<(), SaveError> {
        let state_of = state.clone();
        let digest = off_the_server_threads(move || state_of.image_digest().to_string()).await?;
        if self.is_image_kept(&digest) {
            return Ok(());
        }
        // Those who need the same one wait, the others do not.
        let _turn = self.0.image_turns.take(digest.clone()).await;
        if self.is_image_kept(&digest) {
            return Ok(());
        }
        let key = format!("{IMAGES}/{digest}");
        let is_young = match self.0.objects.info(&key).await {
            // One that may be swept away soon is written again.
            Ok(there) => Timestamp::now().duration_since(there.modified_at) < IMAGE_YOUNG,
            Err(ObjectError::NotFound { .. }) => false,
            Err(error) => return Err(SaveError::Service(error.into())),
        };
        if !is_young {
            let _turn = self.0.packing.acquire().await;
            let state = state.clone();
            let image = off_the_server_threads(move || state.image_at_rest()).await??;
            self.0.objects.put(&key, image.bytes).await.map_err(ServiceError::from)?;
        }
        self.images().insert(digest, Instant::now());
        Ok(())
    }

    fn images(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an image is in the object store for certain.
    fn is_image_kept(&self, digest: &str) -> bool {
        let mut images = self.images();
        images.retain(|_, since| since.elapsed() < IMAGE_TRUSTED);
        images.contains_key(digest)
    }

    /// Refuses more cells to those whose kernels take more than their tier allows. What they know is kept in any case.
    pub(super) async fn refuse_crowded(&self, user: UserId) -> Result<(), ServiceError> {
        if self.roomy().contains(&user) {
            return Ok(());
        }
        if let Some(over) = self.0.database.kernel_room(user).await? {
            return Err(over.into());
        }
        self.roomy().insert(user);
        Ok(())
    }

    /// Whose kernels need not be counted.
    fn roomy(&self) -> MutexGuard<'_, HashSet<UserId>> {
        self.0.roomy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves a kernel, and takes it out of memory: its next cell wakes it. It runs nothing meanwhile.
    ///
    /// # Errors
    /// The object store's or the database's: it stays as it is.
    pub(super) async fn put_to_sleep(&self, entry: &Arc<Entry>, _: &Turn) -> Result<(), ServiceError> {
        // Whoever looks for it meanwhile waits, and wakes it.
        let _turn = self.0.turns.take(entry.id()).await;
        if entry.is_gone() {
            return Ok(());
        }
        self.save(entry, KernelState::Hibernated).await?;
        self.remove(entry);
        self.tell_asleep(entry);
        Ok(())
    }

    /// Deletes objects that nobody names any more; what can't be deleted now is swept up later.
    pub(super) fn forget(&self, keys: Vec<String>) {
        if keys.is_empty() {
            return;
        }
        let objects = self.0.objects.clone();
        tokio::spawn(async move {
            for key in keys {
                if let Err(error) = objects.delete(&key).await {
                    tracing::warn!(%error, key, "a kernel's object could not be deleted");
                }
            }
        });
    }
}

async fn wanted_of(entry: &Arc<Entry>, then: KernelState) -> Result<Wanted, ServiceError> {
    let entry = Arc::clone(entry);
    off_the_server_threads(move || Wanted::of(&entry, then)).await
}

/// Whether what is kept is better written anew.
fn is_outdated(kept: &Kept, wanted: &Wanted) -> bool {
    if wanted.save.state == KernelState::Dead {
        return true;
    }
    let named: HashSet<_> = wanted.checkpoints.iter().map(|info| info.id).chain(wanted.head).collect();
    let root = wanted.root.as_ref().map(|root| root.id);
    let stays = kept.ids.iter().filter(|id| named.contains(id) || root == Some(**id)).count();
    // What lies there is not known one by one (it was read by nobody), or it began elsewhere: nothing goes on from it.
    let is_of_others = kept.ids.is_empty() && !kept.segments.is_empty();
    let (last, first) = (kept.last.as_ref(), wanted.states.first());
    let began_elsewhere = last.zip(first).is_some_and(|(last, (_, first))| !last.began_with(first));
    // After a restart nothing of it is wanted: it does not stay until there is more.
    let is_over = stays == 0 && !kept.ids.is_empty();
    if is_of_others || began_elsewhere || is_over {
        return true;
    }
    let forgotten = kept.ids.len().saturating_sub(stays);
    kept.segments.len() >= MAX_SEGMENTS || forgotten > named.len() + FEW_STATES
}

/// Why a kernel could not be kept.
enum SaveError {
    /// It is this server's no more.
    Lost,
    /// What it was to share is nobody's any more.
    Unshared,
    Service(ServiceError),
}

impl From<ServiceError> for SaveError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<SandboxError> for SaveError {
    fn from(error: SandboxError) -> Self {
        Self::Service(error.into())
    }
}

impl From<KernelError> for SaveError {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::Lost => Self::Lost,
            KernelError::Unshared => Self::Unshared,
            error => Self::Service(error.into()),
        }
    }
}

impl From<SaveError> for ServiceError {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::Lost => Self::NotFound { what: "kernel" },
            SaveError::Unshared => KernelError::Unshared.into(),
            SaveError::Service(error) => error,
        }
    }
}
