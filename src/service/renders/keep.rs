//! Results become segments.

use super::{Renders, keys_over, reports, reports_key, states_key};
use crate::backend::wasm::{AtRest, Checkpoint, Digest, Ground, SandboxError};
use crate::document::CellKey;
use crate::domain::{RenderSegment, SegmentId, UserId};
use crate::service::checkpoints::{Kept, Link};
use crate::service::{ServiceError, off_the_server_threads};
use crate::store::{KeepError, ObjectError, StoreError};

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
}

impl Renders {
    /// Keeps those results of these cells that are new. Where that fails, they are tried again after their next render.
    pub(super) async fn keep(&self, user: UserId, keys: &[CellKey], ground: &Ground) {
        let Ok(_turn) = self.0.packing.acquire().await else { return };
        let mut kept = self.keep_links(user, keys, ground).await;
        if let Err(NotKept::Keep(KeepError::ParentGone)) = kept {
            // It was deleted, or another server made room. What is known of it here was told so.
            kept = self.keep_links(user, keys, ground).await;
        }
        match kept {
            Ok(()) => {}
            Err(NotKept::Keep(error @ KeepError::TooLarge)) => tracing::debug!(%error, "results are not kept"),
            Err(error) => tracing::warn!(%error, "results of a render could not be kept"),
        }
    }

    async fn keep_links(&self, user: UserId, keys: &[CellKey], ground: &Ground) -> Result<(), NotKept> {
        let mut links = self.0.checkpoints.chain(user, keys);
        let Some(mut new) = links.iter().position(|link| link.kept.is_none()) else { return Ok(()) };
        let parent = new.checked_sub(1).and_then(|last| links[last].kept).filter(|kept| kept.depth < MAX_DEPTH);
        if parent.is_none() {
            new = 0;
        }
        let added = links.split_off(new);
        let keys: Vec<_> = added.iter().map(|link| link.place.key()).collect();
        let places: Vec<_> = added.iter().map(|link| link.place).collect();
        let ground = ground.clone();
        let packed = off_the_server_threads(move || {
            let keys = keys_over(ground.image_digest(), &keys);
            pack(&links, &added, parent, ground.image_digest()).map(|packed| Some((keys, packed?)))
        });
        let Some((keys, Packed { segment, reports, states })) = packed.await?? else { return Ok(()) };
        self.0.objects.put(&reports_key(segment.id), reports).await?;
        if let Some(states) = states {
            self.0.objects.put(&states_key(segment.id), states).await?;
        }
        let gone = match self.0.database.keep_cells(user, &segment, &keys).await {
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
        let marks: Vec<_> = places.into_iter().zip((0..).map(kept)).collect();
        self.0.checkpoints.mark(user, &marks);
        self.remember(user, true);
        self.forget(user, gone);
        Ok(())
    }
}

/// Makes a segment of `added`, which come after `above`. Blocks. None where they can't be kept.
fn pack(above: &[Link], added: &[Link], parent: Option<Kept>, image: Digest) -> Result<Option<Packed>, NotKept> {
    let Some(reports) = reports::pack(added.iter().map(|link| &*link.report)) else { return Ok(None) };
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
        Some(first) if first.image_digest() != image => return Ok(None),
        Some(_) => Some(Checkpoint::at_rest(&states, before)?),
        None => None,
    };
    let states_digest = packed.as_ref().map(|packed| packed.digest.to_string()).unwrap_or_default();
    let states = packed.map(|AtRest { bytes, .. }| bytes);
    let segment = RenderSegment {
        id: SegmentId::new(),
        parent: parent.map(|kept| (kept.segment, kept.place)),
        depth: parent.map_or(1, |kept| kept.depth.saturating_add(1)),
        is_based: before.is_some(),
        reports_digest: Digest::of(&reports).to_string(),
        reports_bytes: reports.len() as u64,
        states_digest,
        states_bytes: states.as_ref().map_or(0, |states| states.len() as u64),
        stateful,
    };
    Ok(Some(Packed { segment, reports, states }))
}
