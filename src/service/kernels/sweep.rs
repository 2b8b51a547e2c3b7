//! What crashes, deletions and long absence leave of kernels.

use std::collections::HashSet;
use std::time::Duration;

use futures::TryStreamExt as _;
use jiff::{Span, Timestamp};

use super::Kernels;
use super::keep::{IMAGES, SEGMENTS};
use crate::service::ServiceError;
use crate::store::StoreError;

/// An object that was written while the database was asked is younger than that.
const GRACE: Duration = Duration::from_secs(60 * 60);
/// An image stays so long after the last kernel that began in it: the next one is likely to come.
const IMAGE_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// Objects that the database is asked about at once.
const ASKED_AT_ONCE: usize = 200;

impl Kernels {
    /// Deletes kernels that nobody used for long, and objects that no kernel names, as of `now`.
    ///
    /// # Errors
    /// The database's or the object store's.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), ServiceError> {
        let database = &self.0.database;
        let hours = i64::try_from(self.0.config.keep_days.saturating_mul(24)).unwrap_or(i64::MAX);
        let before = Span::new().try_hours(hours).and_then(|span| now.checked_sub(span)).unwrap_or(Timestamp::MIN);
        database.release_kernels_of_the_dead().await?;
        database.purge_kernels(before).await?;
        database.forget_servers(IMAGE_GRACE).await?;
        self.sweep_below(SEGMENTS, now, GRACE, |keys| async move { database.objects_of_kernels(&keys).await }).await?;
        let images = |keys: Vec<String>| async move {
            let digest = |key: &String| key.strip_prefix(IMAGES)?.strip_prefix('/').map(str::to_owned);
            let named = database.images_of_kernels(&keys.iter().filter_map(digest).collect::<Vec<_>>()).await?;
            Ok(named.into_iter().map(|digest| format!("{IMAGES}/{digest}")).collect())
        };
        self.sweep_below(IMAGES, now, IMAGE_GRACE, images).await
    }

    async fn sweep_below<F: Future<Output = Result<HashSet<String>, StoreError>>>(
        &self,
        below: &str,
        now: Timestamp,
        grace: Duration,
        named: impl Fn(Vec<String>) -> F,
    ) -> Result<(), ServiceError> {
        let old = now.checked_sub(grace).unwrap_or(Timestamp::MIN);
        let found = self.0.objects.list(Some(below))?;
        let found = found.try_filter(|object| std::future::ready(object.modified_at < old));
        let mut found = found.map_ok(|object| object.key).try_chunks(ASKED_AT_ONCE);
        while let Some(keys) = found.try_next().await.map_err(|error| error.1)? {
            let named = named(keys.clone()).await?;
            for key in keys.iter().filter(|key| !named.contains(*key)) {
                self.0.objects.delete(key).await?;
            }
        }
        Ok(())
    }
}
