//! What documents' cells came to, kept beyond the memory: a render goes on from there after a restart, on another server,
//! or when the memory had no room for it.
//!
//! When a document was quiet for a moment, the results that are new become a *segment*: an object with the cells' reports,
//! one with the states behind them, and rows that say where each cell's result is. A segment begins behind a cell of
//! another one, whose states it goes on from, so that it costs what is new. Nobody waits for it, and nothing depends on it:
//! what can't be read is not known, and is run anew.
//!
//! ```text
//! keep.rs     results become segments         recall.rs   and results again
//! reports.rs  reports as bytes                wake.rs     and states
//! sweep.rs    what is left of those that are gone
//! ```

mod keep;
mod recall;
mod reports;
mod sweep;
mod wake;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::checkpoints::Checkpoints;
use super::turns::Turns;
use crate::backend::wasm::{Digest, Ground};
use crate::document::CellKey;
use crate::domain::{RenderPolicy, SegmentId, UserId};
use crate::store::{Database, Objects};

/// Where segments are in the object store.
const SEGMENTS: &str = "cells";
/// Documents whose results wait to be kept; more are not.
const MAX_WAITING: usize = 1024;
/// Those of one user.
const MAX_OF_ONE: usize = 64;
/// Documents of one user that begin alike, and wait.
const MAX_ALIKE: usize = 8;
/// Who has nothing kept is asked about again after so long: another server may have kept something.
const NOTHING_TRUSTED: Duration = Duration::from_secs(60);
/// So often is noted that something is used.
const TOUCH_EVERY: Duration = Duration::from_secs(60 * 60);
/// Users, or segments, that something is remembered of.
const MAX_REMEMBERED: usize = 10_000;
/// Results that took more than the user may keep are not tried again for so long.
const REFUSED_FOR: Duration = Duration::from_secs(60 * 60);
/// Users who bring something back at once: it is all held in memory meanwhile.
const RECALLED_AT_ONCE: usize = 2;

/// What is kept of renders. Cloning shares it.
#[derive(Clone)]
pub struct Renders(Arc<Inner>);

struct Inner {
    database: Database,
    objects: Objects,
    policy: RenderPolicy,
    /// Those in memory.
    checkpoints: Arc<Checkpoints>,
    waiting: Mutex<HashMap<(UserId, CellKey), Vec<Waiting>>>,
    /// One segment is made at a time: it holds all its bytes in memory.
    packing: Arc<Semaphore>,
    recalling: Arc<Semaphore>,
    /// Of each user one thing is brought back at a time: nobody takes all places.
    turns: Turns<UserId>,
    /// Who has something that is kept, as far as it is known, and since when.
    users: Mutex<HashMap<UserId, (bool, Instant)>>,
    touched: Mutex<HashMap<SegmentId, Instant>>,
    /// Cells from which on the results took more than the user may keep.
    refused: Mutex<HashMap<(UserId, CellKey), Instant>>,
    /// Segments that are without states, because those took more than that: what comes behind would, too.
    stateless: Mutex<HashSet<SegmentId>>,
}

/// The right to do something large, and a user's turn, as long as some of it goes on: work on other threads outlives whoever
/// asked for it.
type Permit = Arc<(OwnedSemaphorePermit, Option<OwnedMutexGuard<()>>)>;

/// Results that are to be kept soon.
struct Waiting {
    keys: Vec<CellKey>,
    ground: Ground,
    first: Instant,
    last: Instant,
}

impl Waiting {
    /// How long it is to wait from now on.
    fn left(&self, policy: RenderPolicy) -> Duration {
        let quiet = Duration::from_millis(policy.keep_after_ms).saturating_sub(self.last.elapsed());
        quiet.min(Duration::from_millis(policy.keep_within_ms).saturating_sub(self.first.elapsed()))
    }

    /// Whether these cells look like an edit of its own.
    fn is_like(&self, keys: &[CellKey]) -> bool {
        let same = self.keys.iter().zip(keys).take_while(|(one, other)| one == other).count();
        same * 2 >= self.keys.len().min(keys.len())
    }
}

impl Renders {
    pub(super) fn new(
        database: Database,
        objects: Objects,
        policy: RenderPolicy,
        checkpoints: Arc<Checkpoints>,
    ) -> Self {
        Self(Arc::new(Inner {
            database,
            objects,
            policy,
            checkpoints,
            waiting: Mutex::default(),
            packing: Arc::new(Semaphore::new(1)),
            recalling: Arc::new(Semaphore::new(RECALLED_AT_ONCE)),
            turns: Turns::default(),
            users: Mutex::default(),
            touched: Mutex::default(),
            refused: Mutex::default(),
            stateless: Mutex::default(),
        }))
    }

    /// Notes that these cells were rendered: what is new of their results is kept soon.
    pub(super) fn note(&self, user: UserId, keys: &[CellKey], ground: &Ground) {
        let Some(root) = keys.first().copied() else { return };
        match self.0.checkpoints.kept(user, keys) {
            (true, _) => {}
            (false, Some(kept)) => return self.touch(user, kept.segment),
            (false, None) => return,
        }
        let mut waiting = self.waiting();
        if !waiting.contains_key(&(user, root)) {
            let own = waiting.keys().filter(|(owner, _)| *owner == user).count();
            if waiting.len() >= MAX_WAITING || own >= MAX_OF_ONE {
                return;
            }
        }
        let alike = waiting.entry((user, root)).or_default();
        let (keys, ground, now) = (keys.to_vec(), ground.clone(), Instant::now());
        if let Some(known) = alike.iter_mut().find(|known| known.is_like(&keys)) {
            (known.keys, known.ground, known.last) = (keys, ground, now);
            return;
        }
        let is_first = alike.is_empty();
        if alike.len() < MAX_ALIKE {
            alike.push(Waiting { keys, ground, first: now, last: now });
        }
        drop(waiting);
        if is_first {
            self.keep_soon(user, root);
        }
    }

    /// Keeps what waits under that key, each when it is due. It waits where it is counted until it is its turn.
    fn keep_soon(&self, user: UserId, root: CellKey) {
        let inner = Arc::downgrade(&self.0);
        let policy = self.0.policy;
        let mut left = Duration::from_millis(policy.keep_after_ms);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(left).await;
                let Some(renders) = inner.upgrade().map(Self) else { return };
                let Some(permit) = renders.permit(&renders.0.packing, None).await else { return };
                let (due, next) = {
                    let mut waiting = renders.waiting();
                    let Some(alike) = waiting.get_mut(&(user, root)) else { return };
                    let due = alike.iter().position(|one| one.left(policy).is_zero()).map(|at| alike.remove(at));
                    let next = alike.iter().map(|one| one.left(policy)).min();
                    if next.is_none() {
                        waiting.remove(&(user, root));
                    }
                    (due, next)
                };
                if let Some(one) = due {
                    renders.keep(user, &one.keys, &one.ground, &permit).await;
                }
                let Some(next) = next else { return };
                left = next;
            }
        });
    }

    /// Keeps what waits at once: the server ends, or somebody wants to know it kept.
    pub async fn flush(&self) {
        // Somebody else may be at it.
        let Some(permit) = self.permit(&self.0.packing, None).await else { return };
        let all = std::mem::take(&mut *self.waiting());
        for ((user, _), alike) in all {
            for one in alike {
                self.keep(user, &one.keys, &one.ground, &permit).await;
            }
        }
    }

    /// Waits for the right to do something large.
    async fn permit(&self, of: &Arc<Semaphore>, turn: Option<OwnedMutexGuard<()>>) -> Option<Permit> {
        Some(Arc::new((Arc::clone(of).acquire_owned().await.ok()?, turn)))
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<(UserId, CellKey), Vec<Waiting>>> {
        held(&self.0.waiting)
    }

    fn users(&self) -> MutexGuard<'_, HashMap<UserId, (bool, Instant)>> {
        held(&self.0.users)
    }

    fn remember(&self, user: UserId, has: bool) {
        let mut users = self.users();
        if users.len() >= MAX_REMEMBERED {
            users.clear();
        }
        users.insert(user, (has, Instant::now()));
    }

    /// Notes now and then that a segment is used.
    fn touch(&self, user: UserId, segment: SegmentId) {
        let mut touched = held(&self.0.touched);
        if touched.get(&segment).is_some_and(|last| last.elapsed() < TOUCH_EVERY) {
            return;
        }
        if touched.len() >= MAX_REMEMBERED {
            touched.clear();
        }
        touched.insert(segment, Instant::now());
        drop(touched);
        let database = self.0.database.clone();
        tokio::spawn(async move {
            if let Err(error) = database.touch_render(user, segment).await {
                tracing::warn!(%error, "it could not be noted that results are used");
            }
        });
    }

    /// Notes that segments are gone, and deletes their objects; what can't be deleted now is swept up later.
    fn forget(&self, user: UserId, gone: Vec<SegmentId>) {
        if gone.is_empty() {
            return;
        }
        self.0.checkpoints.unmark(user, &gone);
        let objects = self.0.objects.clone();
        tokio::spawn(async move {
            for segment in gone {
                for key in [reports_key(segment), states_key(segment)] {
                    if let Err(error) = objects.delete(&key).await {
                        tracing::warn!(%error, key, "an object could not be deleted");
                    }
                }
            }
        });
    }
}

/// What is there is whole whoever panicked.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reports_key(segment: SegmentId) -> String {
    format!("{SEGMENTS}/{segment}/reports")
}

fn states_key(segment: SegmentId) -> String {
    format!("{SEGMENTS}/{segment}/states")
}

/// The keys of cells that ran over an image, as the database has them. Another image is another Python, or has something
/// else imported: what ran over it says nothing here.
fn keys_over(image: Digest, keys: &[CellKey]) -> Vec<String> {
    let key = |key: &CellKey| {
        let mut hasher = blake3::Hasher::new_derive_key("pymd cell at rest 1");
        hasher.update(env!("CARGO_PKG_VERSION").as_bytes()).update(b"\0");
        hasher.update(image.to_string().as_bytes()).update(key.bytes());
        hasher.finalize().to_hex().to_string()
    };
    keys.iter().map(key).collect()
}
