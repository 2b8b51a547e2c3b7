//! Segments become results again, in memory, where renders look for them. What can't be read is not known.

use std::collections::HashMap;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};

use super::{NOTHING_TRUSTED, Renders, keys_over, reports, reports_key, states_key};
use crate::backend::wasm::{Checkpoint, Digest, Ground, SandboxError, WakeError};
use crate::document::CellKey;
use crate::domain::{CellReport, RenderSegment, SegmentId, UserId};
use crate::service::checkpoints::{Kept, Link};
use crate::service::render::Attached;
use crate::service::{ServiceError, off_the_server_threads};
use crate::store::{KnownCells, ObjectError, StoreError};

/// A render does not wait longer for what it can run itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// Objects that are fetched at once.
const FETCHED_AT_ONCE: usize = 4;

/// Why results can't be had.
enum Unread {
    /// For now.
    Service(ServiceError),
    /// For good: they are gone, or not what they were.
    Lost { segment: SegmentId, reason: String },
}

impl<E: Into<ServiceError>> From<E> for Unread {
    fn from(error: E) -> Self {
        Self::Service(error.into())
    }
}

impl Unread {
    fn of_object(segment: SegmentId, error: ObjectError) -> Self {
        match error {
            ObjectError::NotFound { .. } | ObjectError::TooLarge { .. } => {
                Self::Lost { segment, reason: error.to_string() }
            }
            error => Self::Service(error.into()),
        }
    }

    fn of_states(segment: SegmentId, error: WakeError) -> Self {
        match error {
            WakeError::Io(ref reason) if reason.raw_os_error().is_some() => {
                Self::Service(ServiceError::internal(&error))
            }
            error => Self::Lost { segment, reason: error.to_string() },
        }
    }
}

/// A segment's part of the cells that are looked for.
struct Part {
    segment: RenderSegment,
    cells: Vec<(CellKey, Kept)>,
}

impl Renders {
    /// Brings the reports of these cells to memory that are kept and not there, and tells whether there were some. Where
    /// the cells ran over another image, theirs are not known.
    pub(in crate::service) async fn recall(&self, user: UserId, keys: &[CellKey], ground: &Ground) -> bool {
        let recalled = async {
            let has_any = self.has_any(user).await?;
            if has_any { self.recall_reports(user, keys, ground).await } else { Ok(false) }
        };
        self.settled(user, recalled).await.unwrap_or(false)
    }

    /// Brings the states to memory from which a render of these cells would go on, where they are kept and not there.
    pub(in crate::service) async fn recall_state(
        &self,
        user: UserId,
        keys: &[CellKey],
        ground: &Ground,
        attached: Option<&Attached>,
    ) -> bool {
        let links = self.0.checkpoints.chain(user, keys);
        let deepest = links.iter().rposition(|link| link.kept.is_some_and(|kept| kept.has_state));
        let there = links.iter().rposition(|link| link.state.is_some());
        let Some(kept) = deepest.filter(|_| deepest > there).and_then(|deepest| links[deepest].kept) else {
            return false;
        };
        let recalled = self.recall_states(user, &links, kept, ground, attached);
        self.settled(user, recalled).await.unwrap_or(false)
    }

    /// What came of it; and where it shows that something is lost, it is forgotten.
    async fn settled<T>(&self, user: UserId, work: impl Future<Output = Result<T, Unread>>) -> Option<T> {
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(Unread::Service(error))) => tracing::warn!(%error, "what is kept of a render can't be had now"),
            Ok(Err(Unread::Lost { segment, reason })) => self.lose(user, segment, &reason).await,
            Err(_) => tracing::warn!("what is kept of a render does not come: its cells run"),
        }
        None
    }

    async fn lose(&self, user: UserId, segment: SegmentId, reason: &str) {
        tracing::warn!(%segment, reason, "what is kept of a render can't be read: its cells run anew");
        match self.0.database.delete_render(user, segment).await {
            Ok(mut gone) => {
                gone.push(segment);
                self.forget(user, gone);
            }
            Err(error) => {
                tracing::warn!(%error, "and it can't be forgotten");
                self.0.checkpoints.unmark(user, &[segment]);
            }
        }
    }

    /// Whether the user has anything kept. Asked once: who renders the first time does not wait again.
    async fn has_any(&self, user: UserId) -> Result<bool, StoreError> {
        let known = self.users().get(&user).copied();
        match known {
            Some((true, _)) => Ok(true),
            Some((false, since)) if since.elapsed() < NOTHING_TRUSTED => Ok(false),
            _ => {
                let has = self.0.database.has_renders(user).await?;
                self.remember(user, has);
                Ok(has)
            }
        }
    }

    async fn recall_reports(&self, user: UserId, keys: &[CellKey], ground: &Ground) -> Result<bool, Unread> {
        let links = self.0.checkpoints.chain(user, keys);
        // What comes after a result in memory is known to do so only where that one is kept.
        let above = match links.last() {
            Some(Link { kept: None, .. }) => return Ok(false),
            Some(Link { kept: Some(kept), place, .. }) => Some((place.key(), *kept)),
            None => None,
        };
        let wanted = keys[links.len()..].to_vec();
        if wanted.is_empty() {
            return Ok(false);
        }
        let (at, of) = (ground.clone(), wanted.clone());
        let names = off_the_server_threads(move || keys_over(at.image_digest(), &of)).await?;
        let known = self.0.database.known_cells(user, &names).await?;
        let parts = parts(known, above.map(|(_, kept)| kept), &wanted, &names);
        let Some(last) = parts.last().map(|part| part.segment.id) else { return Ok(false) };
        let fetched = futures::stream::iter(0..parts.len()).map(|index| {
            let Part { segment, .. } = &parts[index];
            let (id, bytes, digest) = (segment.id, segment.reports_bytes, segment.reports_digest.clone());
            async move {
                let bytes = self.fetch(id, &reports_key(id), bytes, &digest).await?;
                let reports = off_the_server_threads(move || reports::unpack(&bytes)).await?;
                reports.ok_or_else(|| Unread::Lost { segment: id, reason: "the reports are damaged".to_owned() })
            }
        });
        let mut fetched = fetched.buffered(FETCHED_AT_ONCE);
        let mut found = Vec::new();
        let mut lost = None;
        for part in &parts {
            match fetched.try_next().await {
                Ok(Some(reports)) => found.extend(of_part(part, reports)),
                Ok(None) => break,
                // What comes before it is good.
                Err(error) => {
                    lost = Some(error);
                    break;
                }
            }
        }
        drop(fetched);
        let is_some = !found.is_empty();
        self.0.checkpoints.adopt(user, above, found);
        match lost {
            Some(Unread::Lost { segment, reason }) => self.lose(user, segment, &reason).await,
            Some(error) => return Err(error),
            None => self.touch(user, last),
        }
        Ok(is_some)
    }

    async fn recall_states(
        &self,
        user: UserId,
        links: &[Link],
        kept: Kept,
        ground: &Ground,
        attached: Option<&Attached>,
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
        let _turn = self.0.waking.acquire().await;
        let mut found = Vec::new();
        let mut before: Option<Checkpoint> = None;
        for (number, segment) in chain.iter().enumerate() {
            let id = segment.id;
            let lost = |reason: &str| Unread::Lost { segment: id, reason: reason.to_owned() };
            if segment.parent.map(|(parent, _)| parent) != number.checked_sub(1).map(|above| chain[above].id) {
                return Err(lost("it does not come after what it should"));
            }
            let states = if segment.stateful.is_empty() {
                Vec::new()
            } else {
                let (size, digest) = (segment.states_bytes, &segment.states_digest);
                let bytes = self.fetch(id, &states_key(id), size, digest).await?;
                let digest: Digest = digest.parse().map_err(|_| lost("a digest is none"))?;
                let (ground, before) = (ground.clone(), before.clone().filter(|_| segment.is_based));
                if before.is_none() && segment.is_based {
                    return Err(lost("the state that it goes on from is missing"));
                }
                let woken = move || Checkpoint::wake(&bytes, digest, &ground, before.as_ref());
                off_the_server_threads(woken).await?.map_err(|error| Unread::of_states(id, error))?
            };
            if states.len() != segment.stateful.len() {
                return Err(lost("it holds other states than it should"));
            }
            // The next segment goes on behind one of this one's cells.
            let end = chain.get(number + 1).and_then(|next| next.parent).map_or(u32::MAX, |(_, place)| place);
            for (place, state) in segment.stateful.iter().copied().zip(states) {
                if place <= end {
                    before = Some(state.clone());
                }
                if let Some((key, kept)) = wanted.get(&(id, place)) {
                    found.push((*key, *kept, state));
                }
            }
        }
        self.0.checkpoints.adopt_states(user, found);
        self.touch(user, kept.segment);
        Ok(true)
    }

    /// An object of a segment, as it was written.
    async fn fetch(&self, segment: SegmentId, key: &str, bytes: u64, digest: &str) -> Result<Vec<u8>, Unread> {
        let content = self.0.objects.get(key, bytes).await.map_err(|error| Unread::of_object(segment, error))?;
        let (computed, content) = off_the_server_threads(move || (Digest::of(&content), content)).await?;
        if computed.to_string() == digest {
            return Ok(content);
        }
        Err(Unread::Lost { segment, reason: format!("the digest of `{key}` is {computed}, not {digest}") })
    }
}

/// The segments that hold the first of these cells, each result behind the very one that it came after.
fn parts(known: KnownCells, above: Option<Kept>, keys: &[CellKey], names: &[String]) -> Vec<Part> {
    let KnownCells { cells, segments } = known;
    let mut at = above.map(|kept| (kept.segment, kept.place));
    let mut parts: Vec<Part> = Vec::new();
    for (key, name) in keys.iter().zip(names) {
        let Some((id, place)) = cells.get(name).copied() else { break };
        let Some(segment) = segments.get(&id) else { break };
        let follows = match (place.checked_sub(1), at) {
            (Some(before), Some(last)) => last == (id, before),
            (Some(_), None) => false,
            (None, last) => segment.parent == last,
        };
        if !follows {
            break;
        }
        at = Some((id, place));
        let has_state = segment.stateful.binary_search(&place).is_ok();
        let cell = (*key, Kept { segment: id, place, depth: segment.depth, has_state });
        match parts.last_mut().filter(|part| part.segment.id == id) {
            Some(part) => part.cells.push(cell),
            None => parts.push(Part { segment: segment.clone(), cells: vec![cell] }),
        }
    }
    parts
}

/// The reports of a segment's cells that are looked for.
fn of_part(part: &Part, reports: Vec<CellReport>) -> Vec<(CellKey, Kept, CellReport)> {
    let mut reports: Vec<_> = reports.into_iter().map(Some).collect();
    let take = |(key, kept): &(CellKey, Kept)| {
        let report = usize::try_from(kept.place).ok().and_then(|place| reports.get_mut(place)?.take());
        Some((*key, *kept, report?))
    };
    part.cells.iter().map_while(take).collect()
}
