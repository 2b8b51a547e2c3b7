//! What no kernel needs any more.

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use crate::store::Database;
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

    /// Deletes kernels that hibernate, or are dead, and were not used since `before`; and the sets of packages that no
    /// kernel began with.
    ///
    /// # Errors
    /// The database's.
    pub async fn purge_kernels(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut write = self.write().await?;
        let delete = sqlx::query("DELETE FROM kernels WHERE server_id IS NULL AND used_at < $1");
        let purged = delete.bind(micros(before)).execute(write.on()).await?.rows_affected();
        let packages = "DELETE FROM kernel_packages WHERE key NOT IN
            (SELECT packages FROM kernels WHERE packages IS NOT NULL)";
        sqlx::query(packages).execute(write.on()).await?;
        write.commit().await?;
        Ok(purged)
    }
}
