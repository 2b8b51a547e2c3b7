//! What a kernel knows at this moment, and what it can go back to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{Beginning, Root, now_as_kept};
use crate::backend::wasm::{Checkpoint, Kernel};
use crate::domain::{CheckpointId, CheckpointInfo, KernelState, Limits};

pub(in super::super) struct Now {
    pub state: KernelState,
    /// What its cells may use.
    pub limits: Limits,
    /// Counts what is worth being kept.
    pub revision: u64,
    pub beginning: Beginning,
    /// What it knows; nothing of one that is dead.
    pub checkpoint: Option<Checkpoint>,
    /// Its memory, as long as that is kept.
    pub(super) hot: Option<(Kernel, Instant)>,
    pub history: VecDeque<Behind>,
    /// The state that it is in, kept in the history or not; none before its first cell.
    pub head: Option<CheckpointId>,
    /// Of a cell that runs.
    pub(super) cancel: Option<CancellationToken>,
    /// Bytes beside what it started from.
    pub(super) size_bytes: u64,
    /// What it shares with the kernel that it was forked from, and with that one's other forks.
    pub root: Option<Arc<Root>>,
    /// Images that were made of its states.
    pub(super) images: Vec<(usize, u64)>,
    pub(super) used_at: Timestamp,
    /// When it was used last, by a clock that is not set.
    pub(super) quiet_since: Instant,
    /// From when on it may be saved again; nothing within as long as somebody is at it.
    pub(super) saving: Option<Option<Instant>>,
}

/// The state behind a cell.
pub(in super::super) struct Behind {
    pub info: CheckpointInfo,
    /// Nothing where it was not read since the kernel woke: it is among the segments.
    pub checkpoint: Option<Checkpoint>,
}

impl Now {
    pub(super) fn touch(&mut self) {
        (self.used_at, self.quiet_since) = (now_as_kept(), Instant::now());
    }

    pub fn used_at(&self) -> Timestamp {
        self.used_at
    }

    /// The checkpoint that it is at, if that is one that is kept.
    pub fn checkpoint_id(&self) -> Option<CheckpointId> {
        self.head.filter(|head| self.history.iter().any(|behind| behind.info.id == *head))
    }

    /// Bytes beside what it started from, in memory or not.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Whether some of its checkpoints were not read since it woke.
    pub fn is_unread(&self) -> bool {
        self.history.iter().any(|behind| behind.checkpoint.is_none())
    }

    /// Bytes of its own in memory, without what it runs in.
    pub(super) fn held_bytes(&self) -> u64 {
        if !self.is_unread() {
            return self.size_bytes;
        }
        let held = self.history.iter().filter(|behind| behind.checkpoint.is_some());
        let held = held.map(|behind| behind.info.size_bytes).fold(0, u64::saturating_add);
        // The first of them is there whole: what it is counted against is not.
        let first = self.history.iter().find_map(|behind| behind.checkpoint.as_ref());
        held.saturating_add(first.map_or(0, |first| first.bytes_beyond(None)))
    }

    /// What the next checkpoint is counted against: the one before it in the history, wherever the kernel came from. So
    /// whatever any of them holds is counted at least once.
    pub(super) fn last(&self) -> Option<&Checkpoint> {
        let last = self.history.back().and_then(|behind| behind.checkpoint.as_ref());
        last.or_else(|| self.root.as_ref().map(|root| &root.checkpoint))
    }

    /// Counts what all of its checkpoints take; of those that were not read, what it was before.
    pub(super) fn count_anew(&mut self) {
        let mut before = Some(self.root.as_ref().map(|root| root.checkpoint.clone()));
        let mut sum = 0_u64;
        for Behind { info, checkpoint } in &mut self.history {
            if let (Some(checkpoint), Some(before)) = (&checkpoint, &before) {
                info.size_bytes = checkpoint.bytes_beyond(before.as_ref());
            }
            sum = sum.saturating_add(info.size_bytes);
            before = checkpoint.clone().map(Some);
        }
        self.size_bytes = sum;
        self.note_images();
    }

    /// Finds the images that its states lie over.
    pub(super) fn note_images(&mut self) {
        let states = self.history.iter().filter_map(|behind| behind.checkpoint.as_ref()).chain(&self.checkpoint);
        let mut images: Vec<_> = states.filter_map(Checkpoint::derived_image).collect();
        images.sort_unstable();
        images.dedup();
        self.images = images;
    }

    /// Forgets the eldest checkpoint. What only that one held is given back.
    pub(super) fn forget_eldest(&mut self) -> Option<Checkpoint> {
        let eldest = self.history.pop_front()?;
        // What it shared with the next one counts there now.
        let mut freed = eldest.info.size_bytes;
        let root = self.root.clone();
        if let Some(next) = self.history.front_mut()
            && let Some(checkpoint) = &next.checkpoint
        {
            let size_bytes = checkpoint.bytes_beyond(root.as_ref().map(|root| &root.checkpoint));
            freed = (freed.saturating_add(next.info.size_bytes)).saturating_sub(size_bytes);
            next.info.size_bytes = size_bytes;
        }
        self.size_bytes = self.size_bytes.saturating_sub(freed);
        eldest.checkpoint
    }
}
