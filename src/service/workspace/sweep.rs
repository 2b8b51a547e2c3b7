//! Sweeping up: directories that no environment needs any more, and wheels that nobody used for long.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Workspace;
use crate::packages::cache::CacheRoom;
use crate::service::install::InstallError;
use crate::service::{ServiceError, off_the_server_threads};

/// Deleted environments whose rows are removed at a time.
const PURGED: u32 = 100;
/// A directory that was built while the database was asked is younger than that.
const GRACE: Duration = Duration::from_secs(60 * 60);
/// Wheels that nobody used for so long are removed.
const WHEEL_AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// And those used longest ago, where all take more than that.
const WHEEL_BYTES: u64 = 20 << 30;
/// Images of environments that nobody used for so long are removed.
const IMAGE_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// And those used longest ago, where all take more than that.
const IMAGE_BYTES: u64 = 20 << 30;

impl Workspace {
    /// Removes what crashes, changes and deletions have left: it can be stopped anywhere, and called at any time.
    ///
    /// # Errors
    /// The database's or the disk's.
    pub async fn sweep(&self) -> Result<(), ServiceError> {
        let Self(inner) = self;
        let live: BTreeSet<_> = inner
            .database
            .live_generations()
            .await?
            .into_iter()
            .map(|(id, generation)| (id.uuid(), generation))
            .collect();
        let (directories, scripts, wheels) =
            (inner.directories.clone(), inner.scripts.clone(), inner.installer.wheels().clone());
        let swept = off_the_server_threads(move || {
            directories.gc(&live, GRACE)?;
            scripts.sweep()?;
            // Those that a process holds stay; an environment's other wheels are in its directory, too.
            wheels.gc(CacheRoom { max_bytes: WHEEL_BYTES, max_age: WHEEL_AGE }, &BTreeSet::new())?;
            Ok::<_, InstallError>(())
        });
        swept.await??;
        let now = jiff::Timestamp::now();
        inner.database.delete_unfinished(now.saturating_sub(GRACE).unwrap_or(now)).await?;
        loop {
            let deleted = inner.database.deleted_environments(now, PURGED).await?;
            let are_all = deleted.len() < PURGED as usize;
            for id in deleted {
                inner.database.purge_environment(id).await?;
            }
            if are_all {
                break;
            }
        }
        if let Ok(sandbox) = inner.service.sandbox() {
            let sandbox = sandbox.clone();
            off_the_server_threads(move || sandbox.evict_images(IMAGE_BYTES, IMAGE_AGE)).await??;
        }
        self.sweep_users().await?;
        inner.executions.sweep(now).await?;
        let inner_sweep = Arc::clone(inner);
        off_the_server_threads(move || inner_sweep.printing.printer().sweep(GRACE)).await?;
        // The last: all the others need no object store.
        self.sweep_documents(now).await?;
        inner.kernels.sweep(now).await?;
        match inner.service.renders() {
            Some(renders) => renders.sweep(now).await,
            None => Ok(()),
        }
    }
}
