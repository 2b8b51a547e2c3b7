//! Results become segments.

use std::time::Instant;

use super::{MAX_REMEMBERED, Permit, REFUSED_FOR, Renders, held, keys_over, reports, reports_key, states_key};
use crate::backend::wasm::{AtRest, Checkpoint, Digest, Ground, SandboxError};
use crate::document::CellKey;
use crate::domain::{CellReport, RenderSegment, SegmentId, UserId};
use crate::service::checkpoints::{Kept, Link, Place};
use crate::service::{ServiceError, off_the_server_threads};
use crate::store::{CellToKeep, KeepError, ObjectError, StoreError};

/// To know what a segment holds, those before it are read, too: behind so many, all is written anew.
const MAX_DEPTH: u32 = 16;

/// Why results could not be kept.
#[derive(Debug, thiserror::Error)]
enum NotKept {
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// A segment, and what it is made of.
struct Packed {
    segment: RenderSegment,
    reports: Vec<u8>,
    states: Option<Vec<u8>>,
    /// Whether it is without states because those are too large.
    is_stateless: bool,
}

/// What is made a segment: `added`, which come after `above`.
struct ToPack {
    above: Vec<Link>,
    added: Vec<Link>,
    parent: Option<Kept>,
    image: Digest,
    /// Bytes that it may take.
    allowed: u64,
    /// Whether the states are left out: those before them were too large.
    is_stateless: bool,
}

impl Renders {
    /// Keeps those results of these cells that are new. Where that fails, they are tried again after their next render; but
    /// for a time not where they were too large.
    pub(super) async fn keep(&self, user: UserId, keys: &[CellKey], ground: &Ground, permit: &Permit) {
        let mut kept = self.keep_links(user, keys, ground, permit).await;
        if let Err(NotKept::Keep(KeepError::ParentGone)) = kept {
            // It was deleted, or another server made room. What is known of it here was told so.
            kept = self.keep_links(user, keys, ground, permit).await;
        }
        match kept {
            Ok(()) => {}
            Err(NotKept::Keep(error @ KeepError::TooLarge)) => tracing::debug!(%error, "results are not kept"),
            Err(error) => tracing::warn!(%error, "results of a render could not be kept"),
        }
    }

    async fn keep_links(
        &self,
        user: UserId,
        keys: &[CellKey],
        ground: &Ground,
        permit: &Permit,
    ) -> Result<(), NotKept> {
        let mut above = self.0.checkpoints.chain(user, keys);
        let Some(mut new) = above.iter().position(|link| link.kept.is_none()) else { return Ok(()) };
        let parent = new.checked_sub(1).and_then(|last| above[last].kept).filter(|kept| kept.depth < MAX_DEPTH);
        if parent.is_none() {
            new = 0;
        }
        let added = above.split_off(new);
        let Some(first) = added.first().map(|link| link.place.key()) else { return Ok(()) };
        let allowed = self.0.database.grant(user, None).await?.quotas.checkpoint_bytes;
        if allowed == 0 || self.is_refused(user, first) {
            return Ok(());
        }
        let is_stateless = parent.is_some_and(|parent| held(&self.0.stateless).contains(&parent.segment));
        let cells: Vec<_> = added.iter().map(|link| (link.place, to_ms(&link.report))).collect();
        let (ground, permit) = (ground.clone(), permit.clone());
        let packed = off_the_server_threads(move || {
            let _permit = permit;
            let image = ground.image_digest();
            let keys: Vec<_> = added.iter().map(|link| link.place.key()).collect();
            let keys = keys_over(image, &keys);
            let packed = pack(&ToPack { above, added, parent, image, allowed, is_stateless })?;
            Ok::<_, NotKept>(packed.map(|packed| (keys, packed)))
        });
        let kept = match packed.await? {
            Ok(Some((keys, packed))) => self.put(user, packed, keys, &cells).await,
            Ok(None) => return Ok(()),
            Err(error) => Err(error),
        };
        if let Err(NotKept::Keep(KeepError::TooLarge)) = kept {
            self.refuse(user, first);
        }
        kept
    }

    /// Writes a segment that holds these cells, under these keys.
    async fn put(
        &self,
        user: UserId,
        packed: Packed,
        keys: Vec<String>,
        cells: &[(Place, u64)],
    ) -> Result<(), NotKept> {
        let Packed { segment, reports, states, is_stateless } = packed;
        let to_keep = keys.into_iter().zip(cells).map(|(key, (_, wall_ms))| CellToKeep { key, wall_ms: *wall_ms });
        let to_keep: Vec<_> = to_keep.collect();
        self.0.objects.put(&reports_key(segment.id), reports).await?;
        if let Some(states) = states {
            self.0.objects.put(&states_key(segment.id), states).await?;
        }
        let gone = match self.0.database.keep_cells(user, &segment, &to_keep).await {
            Ok(gone) => gone,
            Err(error) => {
                let mut gone = vec![segment.id];
                if let (KeepError::ParentGone, Some((parent, _))) = (&error, segment.parent) {
                    gone.push(parent);
                }
                // (A row that was written though the database said no would name nothing: it is not known then.)
                self.forget(user, gone);
                return Err(error.into());
            }
        };
        let kept = |place| Kept {
            segment: segment.id,
            place,
            depth: segment.depth,
            has_state: segment.stateful.contains(&place),
        };
        let marks: Vec<_> = cells.iter().map(|(place, _)| *place).zip((0..).map(kept)).collect();
        if is_stateless {
            let mut stateless = held(&self.0.stateless);
            if stateless.len() >= MAX_REMEMBERED {
                stateless.clear();
            }
            stateless.insert(segment.id);
        }
        self.0.checkpoints.mark(user, &marks);
        self.remember(user, true);
        self.forget(user, gone);
        Ok(())
    }

    /// Whether what begins with this cell was too large a moment ago.
    fn is_refused(&self, user: UserId, first: CellKey) -> bool {
        held(&self.0.refused).get(&(user, first)).is_some_and(|since| since.elapsed() < REFUSED_FOR)
    }

    fn refuse(&self, user: UserId, first: CellKey) {
        let mut refused = held(&self.0.refused);
        if refused.len() >= MAX_REMEMBERED {
            refused.clear();
        }
        refused.insert((user, first), Instant::now());
    }
}

/// How long a cell ran, in full milliseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
pub(super) fn to_ms(report: &CellReport) -> u64 {
    report.wall_ms.ceil() as u64
}

/// Makes a segment. Blocks. None where they can't be kept; without states where it would be too large with them.
fn pack(to_pack: &ToPack) -> Result<Option<Packed>, NotKept> {
    let ToPack { above, added, parent, image, allowed, is_stateless } = to_pack;
    let Some(reports) = reports::pack(added.iter().map(|link| &*link.report)) else { return Ok(None) };
    let reports_bytes = reports.len() as u64;
    if reports_bytes > *allowed {
        return Err(KeepError::TooLarge.into());
    }
    let last = added.iter().rev().find_map(|link| link.state.as_ref());
    // Of an environment that was loaded anew meanwhile there are two images of the same bytes.
    let with_last = |state: &&Checkpoint| last.is_some_and(|last| last.began_with(state));
    let stateful: Vec<(u32, Checkpoint)> = (0..)
        .zip(added)
        .filter_map(|(place, link)| Some((place, link.state.as_ref().filter(with_last)?.clone())))
        .collect();
    let (stateful, states): (Vec<_>, Vec<_>) = stateful.into_iter().unzip();
    // What reads it knows the last state that is kept above, and no other.
    let before = above.iter().rev().find(|link| link.kept.is_some_and(|kept| kept.has_state));
    let before = before.and_then(|link| link.state.as_ref()).filter(with_last);
    let packed = match states.first() {
        Some(first) if first.image_digest() != *image => return Ok(None),
        Some(_) if !is_stateless => Some(Checkpoint::at_rest(&states, before)?),
        _ => None,
    };
    let fits = |AtRest { bytes, .. }: &AtRest| reports_bytes.saturating_add(bytes.len() as u64) <= *allowed;
    let packed = packed.filter(fits);
    let segment = RenderSegment {
        id: SegmentId::new(),
        parent: parent.map(|kept| (kept.segment, kept.place)),
        depth: parent.map_or(1, |kept| kept.depth.saturating_add(1)),
        is_based: before.is_some() && packed.is_some(),
        reports_digest: Digest::of(&reports).to_string(),
        reports_bytes,
        states_digest: packed.as_ref().map(|packed| packed.digest.to_string()).unwrap_or_default(),
        states_bytes: packed.as_ref().map_or(0, |packed| packed.bytes.len() as u64),
        stateful: if packed.is_some() { stateful } else { Vec::new() },
    };
    let is_stateless = !states.is_empty() && packed.is_none();
    Ok(Some(Packed { segment, reports, states: packed.map(|AtRest { bytes, .. }| bytes), is_stateless }))
}
