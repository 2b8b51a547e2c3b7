//! Segments become states again, from which renders go on.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout_at};

use super::keep::to_ms;
use super::recall::{Unread, until};
use super::{Permit, Renders, states_key};
use crate::backend::wasm::{Checkpoint, Digest, Ground, SandboxError, WakeError};
use crate::document::CellKey;
use crate::domain::{RenderSegment, SegmentId, UserId};
use crate::service::checkpoints::{Kept, Link};
use crate::service::render::Attached;
use crate::service::{ServiceError, off_the_server_threads};

/// A state that is kept and not in memory.
struct Missing {
    links: Vec<Link>,
    /// Where it is.
    kept: Kept,
    /// How long the cells ran that lead to it from what is in memory, in milliseconds.
    wall_ms: u64,
}

impl Missing {
    /// The last of those behind these cells, where it is behind all that are in memory.
    fn of(links: Vec<Link>) -> Option<Self> {
        let deepest = links.iter().rposition(|link| link.kept.is_some_and(|kept| kept.has_state))?;
        let first = links.iter().rposition(|link| link.state.is_some()).map_or(0, |there| there + 1);
        let kept = links[deepest].kept.filter(|_| deepest >= first)?;
        let wall_ms = links[first..=deepest].iter().map(|link| to_ms(&link.report)).fold(0, u64::saturating_add);
        Some(Self { links, kept, wall_ms })
    }
}

impl Unread {
    fn of_states(segment: SegmentId, error: WakeError) -> Self {
        match error {
            WakeError::Io(ref reason) if reason.raw_os_error().is_some() => {
                Self::Service(ServiceError::internal(&error))
            }
            error => Self::Lost { segment, reason: error.to_string() },
        }
    }
}

impl Renders {
    /// Brings the states to memory from which a render of these cells would go on, where they are kept and not there.
    pub(in crate::service) async fn recall_state(
        &self,
        user: UserId,
        keys: &[CellKey],
        ground: &Ground,
        attached: Option<&Attached>,
    ) -> bool {
        let since = Instant::now();
        let Some(missing) = Missing::of(self.0.checkpoints.chain(user, keys)) else { return false };
        let until = until(since, missing.wall_ms);
        let recalled = async {
            let turn = self.0.turns.take(user).await;
            // Another render may have brought it meanwhile.
            let Some(missing) = Missing::of(self.0.checkpoints.chain(user, keys)) else { return Ok(true) };
            self.recall_states(user, &missing, ground, attached, (turn, until)).await
        };
        self.settled(user, until, recalled).await.unwrap_or(false)
    }

    async fn recall_states(
        &self,
        user: UserId,
        Missing { links, kept, .. }: &Missing,
        ground: &Ground,
        attached: Option<&Attached>,
        (turn, until): (OwnedMutexGuard<()>, Instant),
    ) -> Result<bool, Unread> {
        let Some(chain) = self.0.database.render_chain(user, kept.segment).await? else {
            // It had to make room.
            self.0.checkpoints.unmark(user, &[kept.segment]);
            return Ok(false);
        };
        let wanted: HashMap<_, _> = links
            .iter()
            .filter_map(|link| Some(((link.kept?.segment, link.kept?.place), (link.place.key(), link.kept?))))
            .collect();
        let mut ground = ground.clone();
        if let Some(attached) = attached {
            ground = ground.with_shown(&attached.load().await?).map_err(|error: SandboxError| Unread::from(error))?;
        }
        let Some(permit) = self.permit(&self.0.recalling, Some(turn)).await else { return Ok(false) };
        let mut found = Vec::new();
        let mut before: Option<Checkpoint> = None;
        for (number, segment) in chain.iter().enumerate() {
            let id = segment.id;
            let lost = |reason: &str| Unread::Lost { segment: id, reason: reason.to_owned() };
            if segment.parent.map(|(parent, _)| parent) != number.checked_sub(1).map(|above| chain[above].id) {
                return Err(lost("it does not come after what it should"));
            }
            // The next segment goes on behind one of this one's cells, and the render behind one of the last one's.
            let next = chain.get(number + 1).and_then(|next| next.parent).map(|(_, place)| place);
            let end = next.unwrap_or(kept.place);
            let at = segment.stateful.iter().rposition(|place| *place <= end);
            // What is in memory need not be read.
            let place = at.and_then(|at| segment.stateful.get(at));
            let there = place.and_then(|place| {
                let is_it = |link: &&Link| link.kept.is_some_and(|kept| (kept.segment, kept.place) == (id, *place));
                let state = links.iter().find(is_it)?.state.clone();
                state.filter(|state| state.lies_on(&ground))
            });
            if there.is_some() {
                before = there;
                continue;
            }
            let Ok(state) = timeout_at(until, self.wake(segment, &ground, (before.clone(), at), &permit)).await else {
                // What came in time is good for something.
                break;
            };
            let state = state?;
            if let (Some(state), Some(place)) = (&state, place)
                && let Some((key, kept)) = wanted.get(&(id, *place))
            {
                found.push((*key, *kept, state.clone()));
            }
            before = state.or(before);
        }
        if found.is_empty() {
            return Err(Unread::Late);
        }
        self.0.checkpoints.adopt_states(user, found);
        self.touch(user, kept.segment);
        Ok(true)
    }

    /// The state of a segment of that number; the last state before it is `before`.
    async fn wake(
        &self,
        segment: &RenderSegment,
        ground: &Ground,
        (before, at): (Option<Checkpoint>, Option<usize>),
        permit: &Permit,
    ) -> Result<Option<Checkpoint>, Unread> {
        let id = segment.id;
        let lost = |reason: &str| Unread::Lost { segment: id, reason: reason.to_owned() };
        let Some(at) = at else { return Ok(None) };
        let (size, digest) = (segment.states_bytes, &segment.states_digest);
        let bytes = self.fetch(id, &states_key(id), size, digest, permit).await?;
        let digest: Digest = digest.parse().map_err(|_| lost("a digest is none"))?;
        let (ground, before) = (ground.clone(), before.filter(|_| segment.is_based));
        if before.is_none() && segment.is_based {
            return Err(lost("the state that it goes on from is missing"));
        }
        let permit = Arc::clone(permit);
        let is_wanted = move |number| number == at;
        let woken = move || (Checkpoint::wake_some(&bytes, digest, &ground, before.as_ref(), is_wanted), permit).0;
        let mut states = off_the_server_threads(woken).await?.map_err(|error| Unread::of_states(id, error))?;
        if states.len() == segment.stateful.len() {
            Ok(states.swap_remove(at))
        } else {
            Err(lost("it holds other states than it should"))
        }
    }
}
