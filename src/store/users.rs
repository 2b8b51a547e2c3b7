//! Users.

use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::Database;
use super::audit::{Act, note};
use super::error::StoreError;
use super::rows::{Columns as _, clean, json, micros, now, number};
use super::tiers::{require_tier, value};
use super::transaction::{Lock, Write};
use crate::domain::{Actor, Overrides, Page, PageRequest, Role, User, UserAs, UserFilter, UserId};

/// The columns that [`read_user`] reads, of the table `users u`.
macro_rules! columns {
    () => {
        "u.id AS user_id, u.name AS user_name, u.email, u.picture, u.role, u.tier, u.created_at AS user_created_at, u.suspended_at"
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

/// What is to change of a user.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UserChange {
    /// What they may do.
    pub role: Option<Role>,
    /// The tier's name.
    pub tier: Option<String>,
    /// Whether they are shut out.
    pub is_suspended: Option<bool>,
    /// What is different for them.
    pub overrides: Option<Overrides>,
}

impl Database {
    /// Users, the eldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_users(&self, filter: &UserFilter, request: PageRequest) -> Result<Page<User>, StoreError> {
        // Each condition lets all through where nothing is said: one text for the database to know.
        const WHERE: &str = "($1 = '' OR INSTR_TEXT) AND ($2 = '' OR u.tier = $2) AND ($3 = '' OR u.role = $3)
            AND ($4 < 0 OR ($4 = 1) = (u.suspended_at IS NOT NULL))";
        let within = self.dialect().pick(
            "INSTR(LOWER(u.name), $1) > 0 OR INSTR(LOWER(COALESCE(u.email, '')), $1) > 0",
            "POSITION(CAST($1 AS TEXT) IN LOWER(u.name)) > 0 OR POSITION(CAST($1 AS TEXT) IN LOWER(COALESCE(u.email, ''))) > 0",
        );
        let condition = WHERE.replace("INSTR_TEXT", within);
        let search = clean(&filter.search.clone().unwrap_or_default().to_lowercase(), MAX_TEXT_BYTES);
        let tier = clean(&filter.tier.clone().unwrap_or_default(), MAX_TEXT_BYTES);
        let role = filter.role.map_or("", Role::as_str);
        let is_suspended = filter.is_suspended.map_or(-1, i64::from);
        macro_rules! asked {
            ($sql:expr) => {
                sqlx::query(AssertSqlSafe($sql)).bind(search.clone()).bind(tier.clone()).bind(role).bind(is_suspended)
            };
        }
        let total = asked!(format!("SELECT COUNT(*) AS total FROM users u WHERE {condition}"));
        let total = total.fetch_one(self.pool()).await?.count("total")?;
        let rows = asked!(format!(
            "SELECT {} FROM users u WHERE {condition} ORDER BY u.created_at, u.id LIMIT $5 OFFSET $6",
            columns!()
        ));
        let rows = rows.bind(i64::from(request.page_size())).bind(number(request.offset()));
        let rows = rows.fetch_all(self.pool()).await?;
        Ok(Page { items: rows.iter().map(read_user).collect::<Result<_, _>>()?, total, request })
    }

    /// A user as admins see them.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn user_as_admin(&self, id: UserId) -> Result<UserAs, StoreError> {
        let row = sqlx::query(concat!("SELECT u.overrides, ", columns!(), " FROM users u WHERE u.id = $1"));
        let row = row.bind(id.to_string()).fetch_optional(self.pool()).await?;
        read_as_admin(&row.ok_or(StoreError::Missing { what: "user" })?)
    }

    /// Changes a user, and writes that down. Nothing where nobody would be left to run the system.
    ///
    /// # Errors
    /// There is no such user, or no such tier.
    pub async fn change_user(
        &self,
        actor: &Actor,
        id: UserId,
        change: &UserChange,
    ) -> Result<Option<UserAs>, StoreError> {
        let mut write = self.write().await?;
        // One after another: two admins don't shut each other out.
        write.lock(Lock::FirstAdmin).await?;
        let row = sqlx::query(concat!("SELECT u.overrides, ", columns!(), " FROM users u WHERE u.id = $1"));
        let row = row.bind(id.to_string()).fetch_optional(write.on()).await?;
        let before = read_as_admin(&row.ok_or(StoreError::Missing { what: "user" })?)?;
        let mut after = before.clone();
        if let Some(tier) = &change.tier {
            require_tier(&mut write, tier).await?;
            after.user.tier.clone_from(tier);
        }
        after.user.role = change.role.unwrap_or(after.user.role);
        if let Some(is_suspended) = change.is_suspended {
            after.user.suspended_at = is_suspended.then(|| before.user.suspended_at.unwrap_or_else(now));
        }
        if let Some(overrides) = &change.overrides {
            after.overrides.clone_from(overrides);
        }
        let update =
            sqlx::query("UPDATE users SET role = $2, tier = $3, suspended_at = $4, overrides = $5 WHERE id = $1");
        let update = update.bind(id.to_string()).bind(after.user.role.as_str()).bind(after.user.tier.clone());
        let update = update.bind(after.user.suspended_at.map(micros)).bind(json(&after.overrides)?);
        update.execute(write.on()).await?;
        let admins = sqlx::query("SELECT 1 AS one FROM users WHERE role = $1 AND suspended_at IS NULL LIMIT 1");
        if admins.bind(Role::Admin.as_str()).fetch_optional(write.on()).await?.is_none() {
            return Ok(None);
        }
        if before != after {
            let (act, subject) = ("user.change", format!("user {id}"));
            note(&mut write, actor, Act { act, subject, before: value(&before)?, after: value(&after)? }).await?;
        }
        write.commit().await?;
        Ok(Some(after))
    }

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
        picture: None,
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

fn read_as_admin(row: &AnyRow) -> Result<UserAs, StoreError> {
    Ok(UserAs { user: read_user(row)?, overrides: row.json("overrides")? })
}

/// The user in a row that has the `columns!`.
pub(super) fn read_user(row: &AnyRow) -> Result<User, StoreError> {
    Ok(User {
        id: row.parsed("user_id")?,
        name: row.text("user_name")?,
        email: row.maybe_text("email")?,
        picture: row.maybe_text("picture")?,
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
