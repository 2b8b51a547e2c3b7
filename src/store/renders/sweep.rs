//! What is kept of renders that nobody came back to.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use crate::domain::SegmentId;
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, micros, placeholders};

impl Database {
    /// Forgets segments that were not used since `before`, and tells how many. Their objects are left to whoever asks
    /// [`Database::render_segments`].
    ///
    /// # Errors
    /// The database's.
    pub async fn purge_renders(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut write = self.write().await?;
        let delete = sqlx::query("DELETE FROM render_segments WHERE used_at < $1").bind(micros(before));
        let purged = delete.execute(write.on()).await?.rows_affected();
        write.commit().await?;
        Ok(purged)
    }

    /// Those of these segments that are there.
    ///
    /// # Errors
    /// The database's.
    pub async fn render_segments(&self, ids: &[SegmentId]) -> Result<HashSet<SegmentId>, StoreError> {
        let mut there = HashSet::new();
        for ids in ids.chunks(200) {
            // Nothing but numbers of placeholders is put in.
            let select = format!("SELECT id FROM render_segments WHERE id IN {}", placeholders(1, ids.len()));
            let mut select = sqlx::query(AssertSqlSafe(select));
            for id in ids {
                select = select.bind(id.to_string());
            }
            for row in select.fetch_all(self.pool()).await? {
                there.insert(row.parsed("id")?);
            }
        }
        Ok(there)
    }
}
