//! What crashes and long absence leave of what is kept of renders.

use std::time::Duration;

use futures::TryStreamExt as _;
use jiff::{Span, Timestamp};

use super::{Renders, SEGMENTS};
use crate::domain::SegmentId;
use crate::service::ServiceError;

/// An object that was written while the database was asked is younger than that.
const GRACE: Duration = Duration::from_secs(60 * 60);
/// Objects that the database is asked about at once.
const ASKED_AT_ONCE: usize = 200;

impl Renders {
    /// Forgets what was not used for long, and deletes objects that are of no segment, as of `now`.
    ///
    /// # Errors
    /// The database's or the object store's.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), ServiceError> {
        let hours = i64::try_from(self.0.policy.keep_days.saturating_mul(24)).unwrap_or(i64::MAX);
        let before = Span::new().try_hours(hours).and_then(|span| now.checked_sub(span)).unwrap_or(Timestamp::MIN);
        self.0.database.purge_renders(before).await?;
        let old = now.checked_sub(GRACE).unwrap_or(Timestamp::MIN);
        let found = self.0.objects.list(Some(SEGMENTS))?;
        let found = found.try_filter(|object| std::future::ready(object.modified_at < old));
        let mut found = found.map_ok(|object| object.key).try_chunks(ASKED_AT_ONCE);
        while let Some(keys) = found.try_next().await.map_err(|error| error.1)? {
            let ids: Vec<_> = keys.iter().filter_map(|key| segment_of(key)).collect();
            let there = self.0.database.render_segments(&ids).await?;
            for key in keys.iter().filter(|key| segment_of(key).is_none_or(|id| !there.contains(&id))) {
                self.0.objects.delete(key).await?;
            }
        }
        Ok(())
    }
}

fn segment_of(key: &str) -> Option<SegmentId> {
    key.strip_prefix(SEGMENTS)?.strip_prefix('/')?.split('/').next()?.parse().ok()
}
