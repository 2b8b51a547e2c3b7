//! What is noted at an environment by the way, and what becomes of deleted ones.

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::{Environment, EnvironmentId};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::keys::is_stale;
use crate::store::rows::{Columns as _, clean, json, micros, now, number};

/// A reason that is kept is not longer.
const MAX_ERROR_BYTES: usize = 16 << 10;

impl Database {
    /// Notes how the warm image of a generation came out. Of a generation that is gone, nothing is noted.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_warm(&self, id: EnvironmentId, generation: u64, warm: Option<&Value>) -> Result<bool, StoreError> {
        let update =
            sqlx::query("UPDATE environments SET warm = $3 WHERE id = $1 AND generation = $2 AND deleted_at IS NULL");
        let warm = warm.map(json).transpose()?;
        self.note(update.bind(id.to_string()).bind(number(generation)).bind(warm)).await
    }

    /// Notes why an environment cannot be used, unless its packages have changed since `generation`.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_error(&self, id: EnvironmentId, generation: u64, error: &str) -> Result<bool, StoreError> {
        let update = sqlx::query(
            "UPDATE environments SET status = 'error', error = $3, updated_at = $4
            WHERE id = $1 AND generation = $2 AND deleted_at IS NULL",
        );
        let update = update.bind(id.to_string()).bind(number(generation)).bind(clean(error, MAX_ERROR_BYTES));
        self.note(update.bind(micros(now()))).await
    }

    /// Notes that code runs in an environment, and tells whether it wrote that: once a minute at most, so call it for
    /// each run.
    ///
    /// # Errors
    /// The database's.
    pub async fn touch_environment(&self, environment: &Environment) -> Result<bool, StoreError> {
        let now = now();
        if !is_stale(environment.last_used_at, now) {
            return Ok(false);
        }
        let update = sqlx::query("UPDATE environments SET last_used_at = $2 WHERE id = $1");
        self.note(update.bind(environment.id.to_string()).bind(micros(now))).await
    }

    /// Environments that were deleted before `before`, at most `limit`: their directories can go, then their rows
    /// with [`Database::purge_environment`].
    ///
    /// # Errors
    /// The database's.
    pub async fn deleted_environments(&self, before: Timestamp, limit: u32) -> Result<Vec<EnvironmentId>, StoreError> {
        let rows = sqlx::query("SELECT id FROM environments WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2");
        let rows = rows.bind(micros(before)).bind(i64::from(limit)).fetch_all(self.pool()).await?;
        rows.iter().map(|row| row.parsed("id")).collect()
    }

    /// Removes the row of a deleted environment; of one that is not deleted, nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn purge_environment(&self, id: EnvironmentId) -> Result<bool, StoreError> {
        let delete = sqlx::query("DELETE FROM environments WHERE id = $1 AND deleted_at IS NOT NULL");
        self.note(delete.bind(id.to_string())).await
    }

    /// Runs one statement, and tells whether it found its row.
    async fn note(
        &self,
        statement: sqlx::query::Query<'_, sqlx::Any, sqlx::any::AnyArguments>,
    ) -> Result<bool, StoreError> {
        let mut write = self.write().await?;
        let found = statement.execute(write.on()).await?.rows_affected() > 0;
        write.commit().await?;
        Ok(found)
    }
}
