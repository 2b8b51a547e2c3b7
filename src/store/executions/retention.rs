//! What goes: what is too old, what is too much, what its user wants gone.

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use super::filter::Condition;
use crate::domain::{ExecutionFilter, ExecutionId, UserId};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, number};

impl Database {
    /// Removes an execution of the user.
    ///
    /// # Errors
    /// There is none.
    pub async fn delete_execution(&self, user: UserId, id: ExecutionId) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let delete = sqlx::query("DELETE FROM executions WHERE id = $1 AND user_id = $2");
        let delete = delete.bind(id.to_string()).bind(user.to_string()).execute(write.on()).await?;
        if delete.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "execution" });
        }
        write.commit().await
    }

    /// Those of the user's executions that a filter lets through, the eldest first, at most `limit` of them, and when
    /// they began.
    ///
    /// # Errors
    /// The database's.
    pub async fn eldest_executions(
        &self,
        user: UserId,
        filter: &ExecutionFilter,
        limit: u32,
    ) -> Result<Vec<(ExecutionId, Timestamp)>, StoreError> {
        let condition = Condition::of(user, filter);
        let select = format!(
            "SELECT id, started_at FROM executions WHERE {} ORDER BY started_at, id LIMIT ${}",
            condition.sql,
            condition.next()
        );
        // All that was put in are words of this folder.
        let select = condition.bind(sqlx::query(AssertSqlSafe(select))).bind(i64::from(limit));
        let rows = select.fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok((row.parsed("id")?, row.time("started_at")?))).collect()
    }

    /// Removes these executions of the user, a few thousand at most, and tells how many were there.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_executions(&self, user: UserId, ids: &[ExecutionId]) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let ids_placeholders: Vec<_> = (2..ids.len() + 2).map(|number| format!("${number}")).collect();
        let mut write = self.write().await?;
        // Two who delete the same ones lock them in the same order.
        let lock = write.dialect().pick("", "ORDER BY id FOR UPDATE");
        let delete = format!(
            "DELETE FROM executions WHERE id IN
                (SELECT id FROM executions WHERE user_id = $1 AND id IN ({}) {lock})",
            ids_placeholders.join(", ")
        );
        // Nothing but numbers of placeholders and a constant was put in.
        let mut delete = sqlx::query(AssertSqlSafe(delete)).bind(user.to_string());
        for id in ids {
            delete = delete.bind(id.to_string());
        }
        let deleted = delete.execute(write.on()).await?.rows_affected();
        write.commit().await?;
        Ok(deleted)
    }

    /// Removes executions that began before `before`, at most `limit` of them, and tells how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_old_executions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let delete =
            "DELETE FROM executions WHERE id IN (SELECT id FROM executions WHERE id < $1 ORDER BY id LIMIT $2)";
        self.delete_old(delete, before, limit).await
    }

    /// Removes what executions showed that began before `before`, of at most `limit` of them, and tells of how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_old_execution_outputs(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let delete = "DELETE FROM execution_outputs WHERE execution_id IN
            (SELECT execution_id FROM execution_outputs WHERE execution_id < $1 ORDER BY execution_id LIMIT $2)";
        self.delete_old(delete, before, limit).await
    }

    async fn delete_old(&self, delete: &'static str, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut write = self.write().await?;
        let delete = sqlx::query(delete).bind(ExecutionId::earliest_at(before).to_string()).bind(i64::from(limit));
        let deleted = delete.execute(write.on()).await?.rows_affected();
        write.commit().await?;
        Ok(deleted)
    }

    /// How many executions of a user there are beyond `most`.
    ///
    /// # Errors
    /// The database's.
    pub async fn surplus_executions(&self, user: UserId, most: u64) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT COUNT(*) AS total FROM executions WHERE user_id = $1").bind(user.to_string());
        Ok(row.fetch_one(self.pool()).await?.count("total")?.saturating_sub(most))
    }

    /// Removes what a user's eldest executions showed, where all that is kept takes more than `most_bytes`, and tells of
    /// how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_surplus_outputs(&self, user: UserId, most_bytes: u64) -> Result<u64, StoreError> {
        let total = sqlx::query(
            "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS total FROM execution_outputs WHERE user_id = $1",
        );
        let total = total.bind(user.to_string()).fetch_one(self.pool()).await?.count("total")?;
        if total <= most_bytes {
            return Ok(0);
        }
        let mut write = self.write().await?;
        let delete = sqlx::query(
            "DELETE FROM execution_outputs WHERE execution_id IN (
                SELECT execution_id FROM (
                    SELECT execution_id, SUM(size_bytes) OVER (ORDER BY execution_id DESC) AS since
                    FROM execution_outputs WHERE user_id = $1
                ) AS summed WHERE since > $2
            )",
        );
        let delete = delete.bind(user.to_string()).bind(number(most_bytes));
        let deleted = delete.execute(write.on()).await?.rows_affected();
        write.commit().await?;
        Ok(deleted)
    }

    /// Users who have executions, from the one after `after` on, at most `limit` of them.
    ///
    /// # Errors
    /// The database's.
    pub async fn users_with_executions(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserId>, StoreError> {
        let rows = sqlx::query(
            "SELECT u.id FROM users u WHERE u.id > $1 AND EXISTS (SELECT 1 FROM executions e WHERE e.user_id = u.id)
            ORDER BY u.id LIMIT $2",
        );
        let after = after.map(|user| user.to_string()).unwrap_or_default();
        let rows = rows.bind(after).bind(i64::from(limit)).fetch_all(self.pool()).await?;
        rows.iter().map(|row| row.parsed("id")).collect()
    }
}
