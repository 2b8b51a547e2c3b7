//! What no kernel needs any more.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use crate::store::Database;
use crate::store::database::Dialect;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, micros};

impl Database {
    /// Those of these objects that a kernel names.
    ///
    /// # Errors
    /// The database's.
    pub async fn objects_of_kernels(&self, keys: &[String]) -> Result<HashSet<String>, StoreError> {
        self.named("SELECT DISTINCT object_key AS found FROM kernel_segments WHERE object_key", keys).await
    }

    /// Those of these images that a kernel began in.
    ///
    /// # Errors
    /// The database's.
    pub async fn images_of_kernels(&self, digests: &[String]) -> Result<HashSet<String>, StoreError> {
        self.named("SELECT DISTINCT image AS found FROM kernels WHERE image", digests).await
    }

    async fn named(&self, select: &str, values: &[String]) -> Result<HashSet<String>, StoreError> {
        if values.is_empty() {
            return Ok(HashSet::new());
        }
        let placeholders: Vec<_> = (1..=values.len()).map(|number| format!("${number}")).collect();
        // Nothing but numbers of placeholders was put in.
        let mut query = sqlx::query(AssertSqlSafe(format!("{select} IN ({})", placeholders.join(", "))));
        for value in values {
            query = query.bind(value.clone());
        }
        query.fetch_all(self.pool()).await?.iter().map(|row| row.text("found")).collect()
    }

    /// Lets go of kernels that dead servers held: they hibernate as they were saved last, and are dead where they never
    /// were.
    ///
    /// # Errors
    /// The database's.
    pub async fn release_kernels_of_the_dead(&self) -> Result<u64, StoreError> {
        let holders = sqlx::query("SELECT DISTINCT server_id FROM kernels WHERE server_id IS NOT NULL");
        let mut released = 0_u64;
        for row in holders.fetch_all(self.pool()).await? {
            let server = row.text("server_id")?;
            let mut write = self.write().await?;
            if self.is_alive(&mut write, &server).await? {
                continue;
            }
            let update = sqlx::query(
                "UPDATE kernels SET server_id = NULL, asked = NULL, state = CASE WHEN execution_count > 0
                    AND NOT EXISTS (SELECT 1 FROM kernel_segments WHERE kernel_id = kernels.id)
                    THEN 'dead' ELSE state END
                WHERE server_id = $1",
            );
            released = released.saturating_add(update.bind(server).execute(write.on()).await?.rows_affected());
            write.commit().await?;
        }
        Ok(released)
    }

    /// Deletes kernels that hibernate, or are dead, and were not used since `before`; and the sets of packages that no
    /// kernel began with.
    ///
    /// # Errors
    /// The database's.
    pub async fn purge_kernels(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut write = self.write().await?;
        let delete = sqlx::query("DELETE FROM kernels WHERE server_id IS NULL AND used_at < $1");
        let purged = delete.bind(micros(before)).execute(write.on()).await?.rows_affected();
        if write.dialect() == Dialect::Postgres {
            // A kernel that is made at this moment names a set that is there: it is waited for, or waits.
            sqlx::query("LOCK TABLE kernel_packages IN EXCLUSIVE MODE").execute(write.on()).await?;
        }
        let packages = "DELETE FROM kernel_packages WHERE key NOT IN
            (SELECT packages FROM kernels WHERE packages IS NOT NULL)";
        sqlx::query(packages).execute(write.on()).await?;
        write.commit().await?;
        Ok(purged)
    }
}
