//! Users.

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::Database;
use super::error::StoreError;
use super::rows::{Columns as _, clean, micros, now, number};
use super::tiers::require_tier;
use super::transaction::Write;
use crate::domain::{Page, PageRequest, Role, User, UserId};

/// The columns that [`read_user`] reads, of the table `users u`.
macro_rules! columns {
    () => {
        "u.id AS user_id, u.name AS user_name, u.email, u.role, u.tier, u.created_at AS user_created_at, u.suspended_at"
    };
}
pub(super) use columns;

/// Names and addresses are not longer.
pub(super) const MAX_TEXT_BYTES: usize = 320;

/// A user to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// What they are called; not unique.
    pub name: String,
    /// Where mail reaches them.
    pub email: Option<String>,
    /// What they may do.
    pub role: Role,
    /// Name of the tier.
    pub tier: String,
}

impl Database {
    /// Makes a user.
    ///
    /// # Errors
    /// There is no such tier.
    pub async fn create_user(&self, new: &NewUser) -> Result<User, StoreError> {
        let mut write = self.write().await?;
        let user = insert_user(&mut write, new).await?;
        write.commit().await?;
        Ok(user)
    }

    /// The user, if there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM users u WHERE u.id = $1"));
        let row = row.bind(id.to_string()).fetch_optional(self.pool()).await?;
        row.map(|row| read_user(&row)).transpose()
    }

    /// All users, the eldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn users(&self, request: PageRequest) -> Result<Page<User>, StoreError> {
        let total = sqlx::query("SELECT COUNT(*) AS total FROM users").fetch_one(self.pool()).await?.count("total")?;
        let rows =
            sqlx::query(concat!("SELECT ", columns!(), " FROM users u ORDER BY u.created_at, u.id LIMIT $1 OFFSET $2"));
        let rows = rows.bind(i64::from(request.page_size())).bind(number(request.offset()));
        let rows = rows.fetch_all(self.pool()).await?;
        Ok(Page { items: rows.iter().map(read_user).collect::<Result<_, _>>()?, total, request })
    }

    /// Shuts a user out from `since` on, or lets them in again.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn set_suspended(&self, user: UserId, since: Option<Timestamp>) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let update = sqlx::query("UPDATE users SET suspended_at = $2 WHERE id = $1");
        let update = update.bind(user.to_string()).bind(since.map(micros));
        found("user", update.execute(write.on()).await?.rows_affected())?;
        write.commit().await
    }
}

/// A user in the tables, in a transaction that is going on.
pub(super) async fn insert_user(write: &mut Write, new: &NewUser) -> Result<User, StoreError> {
    require_tier(write, &new.tier).await?;
    let user = User {
        id: UserId::new(),
        name: clean(&new.name, MAX_TEXT_BYTES),
        email: new.email.as_ref().map(|email| clean(email, MAX_TEXT_BYTES)),
        role: new.role,
        tier: new.tier.clone(),
        created_at: now(),
        suspended_at: None,
    };
    sqlx::query("INSERT INTO users (id, name, email, role, tier, created_at) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(user.id.to_string())
        .bind(user.name.clone())
        .bind(user.email.clone())
        .bind(user.role.as_str())
        .bind(user.tier.clone())
        .bind(micros(user.created_at))
        .execute(write.on())
        .await?;
    Ok(user)
}

/// The user in a row that has the `columns!`.
pub(super) fn read_user(row: &AnyRow) -> Result<User, StoreError> {
    Ok(User {
        id: row.parsed("user_id")?,
        name: row.text("user_name")?,
        email: row.maybe_text("email")?,
        role: row.parsed("role")?,
        tier: row.text("tier")?,
        created_at: row.time("user_created_at")?,
        suspended_at: row.maybe_time("suspended_at")?,
    })
}

/// Whether a statement found the row that it is about.
pub(super) fn found(what: &'static str, rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::Missing { what }) } else { Ok(()) }
}
