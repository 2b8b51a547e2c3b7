//! What users say of themselves and have chosen; and how they go.

use super::Database;
use super::audit::{Act, note};
use super::error::StoreError;
use super::rows::{Columns as _, clean, json, micros, now};
use super::tiers::lock_user;
use super::transaction::Lock;
use super::users::{MAX_TEXT_BYTES, found};
use crate::domain::{Actor, DocumentId, KernelId, User, UserId, UserSettings};

/// Why a user stays.
#[derive(Debug, thiserror::Error)]
pub enum DeleteUserError {
    /// It is who runs the server.
    #[error("the account of who runs the server can't be deleted")]
    Bootstrap,
    /// Nobody could do what only admins may.
    #[error("the last admin can't be deleted: make somebody else one first")]
    LastAdmin,
    /// There is no such user, or the database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Database {
    /// Calls a user otherwise.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn rename_user(&self, user: UserId, name: &str) -> Result<User, StoreError> {
        let mut write = self.write().await?;
        let update = sqlx::query("UPDATE users SET name = $2 WHERE id = $1").bind(user.to_string());
        let update = update.bind(clean(name, MAX_TEXT_BYTES)).execute(write.on()).await?;
        found("user", update.rows_affected())?;
        write.commit().await?;
        self.user(user).await?.ok_or(StoreError::Missing { what: "user" })
    }

    /// What a user has chosen.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn user_settings(&self, user: UserId) -> Result<UserSettings, StoreError> {
        let row = sqlx::query("SELECT settings FROM users WHERE id = $1").bind(user.to_string());
        let row = row.fetch_optional(self.pool()).await?.ok_or(StoreError::Missing { what: "user" })?;
        row.json("settings")
    }

    /// Changes what a user has chosen; two requests at once do not undo each other.
    ///
    /// # Errors
    /// There is no such user, or what `change` says.
    pub async fn change_user_settings<E: From<StoreError>>(
        &self,
        user: UserId,
        change: impl FnOnce(UserSettings) -> Result<UserSettings, E> + Send,
    ) -> Result<UserSettings, E> {
        let mut write = self.write().await?;
        lock_user(&mut write, user).await?;
        let row = sqlx::query("SELECT settings FROM users WHERE id = $1").bind(user.to_string());
        let row = row.fetch_one(write.on()).await.map_err(StoreError::from)?;
        let settings = change(row.json("settings")?)?;
        let update = sqlx::query("UPDATE users SET settings = $2 WHERE id = $1").bind(user.to_string());
        update.bind(json(&settings)?).execute(write.on()).await.map_err(StoreError::from)?;
        write.commit().await?;
        Ok(settings)
    }

    /// Shuts a user out for good, and writes that down: what they have may be removed from now on, and [`Database::remove_user`] is the end.
    ///
    /// # Errors
    /// It is who runs the server, or the last admin.
    pub async fn begin_user_deletion(&self, actor: &Actor, user: UserId) -> Result<(), DeleteUserError> {
        let mut write = self.write().await?;
        // Two admins who go at once do not both find that there is another.
        write.lock(Lock::FirstAdmin).await?;
        let others = sqlx::query(
            "SELECT CAST(COUNT(*) AS BIGINT) AS others FROM users
            WHERE id <> $1 AND role = 'admin' AND suspended_at IS NULL AND deleted_at IS NULL",
        );
        let others = others.bind(user.to_string()).fetch_one(write.on()).await.map_err(StoreError::from)?;
        let about = sqlx::query(
            "SELECT u.role, (SELECT COUNT(*) FROM api_keys k WHERE k.user_id = u.id AND k.is_bootstrap = 1) AS bootstrap
            FROM users u WHERE u.id = $1",
        );
        let about = about.bind(user.to_string()).fetch_optional(write.on()).await.map_err(StoreError::from)?;
        let about = about.ok_or(StoreError::Missing { what: "user" })?;
        if about.count("bootstrap")? > 0 {
            return Err(DeleteUserError::Bootstrap);
        }
        if about.text("role")? == "admin" && others.count("others")? == 0 {
            return Err(DeleteUserError::LastAdmin);
        }
        let update = sqlx::query(
            "UPDATE users SET deleted_at = COALESCE(deleted_at, $2), suspended_at = COALESCE(suspended_at, $2)
            WHERE id = $1",
        );
        let update = update.bind(user.to_string()).bind(micros(now()));
        update.execute(write.on()).await.map_err(StoreError::from)?;
        let act = Act { act: "user.delete", subject: format!("user {user}"), ..Act::default() };
        note(&mut write, actor, act).await?;
        for gone in ["DELETE FROM sessions WHERE user_id = $1", "DELETE FROM api_keys WHERE user_id = $1"] {
            sqlx::query(gone).bind(user.to_string()).execute(write.on()).await.map_err(StoreError::from)?;
        }
        Ok(write.commit().await?)
    }

    /// Users whose deletion has begun.
    ///
    /// # Errors
    /// The database's.
    pub async fn users_to_remove(&self) -> Result<Vec<UserId>, StoreError> {
        let rows = sqlx::query("SELECT id FROM users WHERE deleted_at IS NOT NULL ORDER BY deleted_at LIMIT 100");
        rows.fetch_all(self.pool()).await?.iter().map(|row| row.parsed("id")).collect()
    }

    /// Some documents of a user, wherever they are.
    ///
    /// # Errors
    /// The database's.
    pub async fn some_documents(&self, user: UserId, limit: u32) -> Result<Vec<DocumentId>, StoreError> {
        self.some(sqlx::query("SELECT id FROM documents WHERE user_id = $1 LIMIT $2"), user, limit).await
    }

    /// Some kernels of a user.
    ///
    /// # Errors
    /// The database's.
    pub async fn some_kernels(&self, user: UserId, limit: u32) -> Result<Vec<KernelId>, StoreError> {
        self.some(sqlx::query("SELECT id FROM kernels WHERE user_id = $1 LIMIT $2"), user, limit).await
    }

    async fn some<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        select: sqlx::query::Query<'_, sqlx::Any, sqlx::any::AnyArguments>,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<T>, StoreError> {
        let rows = select.bind(user.to_string()).bind(i64::from(limit)).fetch_all(self.pool()).await?;
        rows.iter().map(|row| row.parsed("id")).collect()
    }

    /// Removes a user whose deletion has begun, with all that is left; nothing where there is none.
    ///
    /// # Errors
    /// The database's.
    pub async fn remove_user(&self, user: UserId) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let delete = sqlx::query("DELETE FROM users WHERE id = $1 AND deleted_at IS NOT NULL");
        delete.bind(user.to_string()).execute(write.on()).await?;
        write.commit().await
    }
}
