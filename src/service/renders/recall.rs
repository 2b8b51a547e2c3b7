//! Segments become results again, in memory, where renders look for them: first the reports. What can't be read is not
//! known.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use tokio::time::{Instant, timeout_at};

use super::{NOTHING_TRUSTED, Permit, Renders, keys_over, reports, reports_key};
use crate::backend::wasm::{Digest, Ground};
use crate::document::CellKey;
use crate::domain::{CellReport, RenderSegment, SegmentId, UserId};
use crate::service::checkpoints::{Kept, Link};
use crate::service::{ServiceError, off_the_server_threads};
use crate::store::{KnownCell, KnownCells, ObjectError, StoreError};

/// A render waits for what is kept of cells as long as running them took, and no longer than that.
const PATIENCE: Duration = Duration::from_secs(10);
/// But so long in any case: what need not run costs nothing, and shows what it has shown before.
const LEAST_PATIENCE: Duration = Duration::from_secs(2);
/// Objects that are fetched at once.
const FETCHED_AT_ONCE: usize = 4;

/// Why results can't be had.
pub(super) enum Unread {
    /// For now.
    Service(ServiceError),
    /// Running the cells takes no longer.
    Late,
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
}

/// A segment's part of the cells that are looked for.
struct Part {
    segment: RenderSegment,
    cells: Vec<(CellKey, Kept)>,
    /// How long those ran, in milliseconds.
    wall_ms: u64,
}

/// Where reports are that are not in memory.
struct LookedUp {
    /// How many of the cells are there.
    in_memory: usize,
    /// The last of those.
    above: Option<(CellKey, Kept)>,
    parts: Vec<Part>,
}

/// Until when a render that began to look at `since` waits for what cells came to that ran so long.
pub(super) fn until(since: Instant, wall_ms: u64) -> Instant {
    since + Duration::from_millis(wall_ms).clamp(LEAST_PATIENCE, PATIENCE)
}

impl Renders {
    /// Brings the reports of these cells to memory that are kept and not there, and tells whether there were some. Where
    /// the cells ran over another image, theirs are not known.
    pub(in crate::service) async fn recall(&self, user: UserId, keys: &[CellKey], ground: &Ground) -> bool {
        let since = Instant::now();
        let recalled = async {
            let has_any = self.has_any(user).await?;
            if has_any { self.recall_reports(user, keys, ground, since).await } else { Ok(false) }
        };
        self.settled(user, since + PATIENCE, recalled).await.unwrap_or(false)
    }

    /// What came of it; and where it shows that something is lost, it is forgotten.
    pub(super) async fn settled<T>(
        &self,
        user: UserId,
        until: Instant,
        work: impl Future<Output = Result<T, Unread>>,
    ) -> Option<T> {
        match timeout_at(until, work).await {
            Ok(Ok(done)) => return Some(done),
            Ok(Err(Unread::Service(error))) => tracing::warn!(%error, "what is kept of a render can't be had now"),
            Ok(Err(Unread::Lost { segment, reason })) => self.lose(user, segment, &reason).await,
            Ok(Err(Unread::Late)) | Err(_) => tracing::warn!("what is kept of a render does not come: its cells run"),
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

    /// Where the reports of these cells are that are not in memory.
    async fn look_up(&self, user: UserId, keys: &[CellKey], ground: &Ground) -> Result<Option<LookedUp>, Unread> {
        let links = self.0.checkpoints.chain(user, keys);
        // What comes after a result in memory is known to do so only where that one is kept.
        let above = match links.last() {
            Some(Link { kept: None, .. }) => return Ok(None),
            Some(Link { kept: Some(kept), place, .. }) => Some((place.key(), *kept)),
            None => None,
        };
        let wanted = keys[links.len()..].to_vec();
        if wanted.is_empty() {
            return Ok(None);
        }
        let (at, of) = (ground.clone(), wanted.clone());
        let names = off_the_server_threads(move || keys_over(at.image_digest(), &of)).await?;
        let known = self.0.database.known_cells(user, &names).await?;
        let parts = parts(known, above.map(|(_, kept)| kept), &wanted, &names);
        Ok(Some(LookedUp { in_memory: links.len(), above, parts }))
    }

    async fn recall_reports(
        &self,
        user: UserId,
        keys: &[CellKey],
        ground: &Ground,
        since: Instant,
    ) -> Result<bool, Unread> {
        let Some(mut found) = self.look_up(user, keys, ground).await? else { return Ok(false) };
        let until = until(since, found.parts.iter().map(|part| part.wall_ms).fold(0, u64::saturating_add));
        let turn = timeout_at(until, self.0.turns.take(user)).await.map_err(|_| Unread::Late)?;
        if self.0.checkpoints.chain(user, keys).len() != found.in_memory {
            // Another render has brought some of it.
            let Some(again) = self.look_up(user, keys, ground).await? else { return Ok(true) };
            found = again;
        }
        let LookedUp { above, parts, .. } = found;
        let Some(last) = parts.last().map(|part| part.segment.id) else { return Ok(false) };
        let permit = timeout_at(until, self.permit(&self.0.recalling, Some(turn))).await.ok().flatten();
        let permit = permit.ok_or(Unread::Late)?;
        let fetched = futures::stream::iter(0..parts.len()).map(|index| {
            let Part { segment, .. } = &parts[index];
            let (id, bytes, digest) = (segment.id, segment.reports_bytes, segment.reports_digest.clone());
            let permit = permit.clone();
            async move {
                let bytes = self.fetch(id, &reports_key(id), bytes, &digest, &permit).await?;
                let unpack = move || (reports::unpack(&bytes), permit).0;
                let reports = off_the_server_threads(unpack).await?;
                reports.ok_or_else(|| Unread::Lost { segment: id, reason: "the reports are damaged".to_owned() })
            }
        });
        let mut fetched = fetched.buffered(FETCHED_AT_ONCE);
        let mut found = Vec::new();
        let mut lost = None;
        for part in &parts {
            match timeout_at(until, fetched.try_next()).await.unwrap_or(Err(Unread::Late)) {
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
            Some(error) if !is_some => return Err(error),
            Some(_) => {}
            None => self.touch(user, last),
        }
        Ok(is_some)
    }

    /// An object of a segment, as it was written.
    pub(super) async fn fetch(
        &self,
        segment: SegmentId,
        key: &str,
        bytes: u64,
        digest: &str,
        permit: &Permit,
    ) -> Result<Vec<u8>, Unread> {
        let content = self.0.objects.get(key, bytes).await.map_err(|error| Unread::of_object(segment, error))?;
        let permit = Arc::clone(permit);
        let digest_of = move || (Digest::of(&content), content, permit);
        let (computed, content, _) = off_the_server_threads(digest_of).await?;
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
        let Some(KnownCell { segment: id, place, wall_ms }) = cells.get(name).copied() else { break };
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
            Some(part) => {
                part.cells.push(cell);
                part.wall_ms = part.wall_ms.saturating_add(wall_ms);
            }
            None => parts.push(Part { segment: segment.clone(), cells: vec![cell], wall_ms }),
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
