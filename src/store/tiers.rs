//! Tiers, what is different for some users and environments, and what a user may do at this moment.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::Database;
use super::audit::{Act, note};
use super::error::{StoreError, is_duplicate};
use super::rows::{Columns as _, clean, json, number};
use super::transaction::Write;
use super::users::{MAX_TEXT_BYTES, found};
use crate::domain::{Actor, EnvironmentId, Grant, Limits, LimitsPatch, Overrides, Quotas, Tier, TierInUse, UserId};

/// The columns that [`read_quotas`] reads, of the tables `users u` and `tiers t`.
macro_rules! quotas {
    () => {
        "t.quotas, u.overrides"
    };
}

impl Database {
    /// All tiers, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn tiers(&self) -> Result<Vec<Tier>, StoreError> {
        let rows = sqlx::query("SELECT name, quotas, limits, traffic FROM tiers ORDER BY name");
        rows.fetch_all(self.pool()).await?.iter().map(read_tier).collect()
    }

    /// The tier of that name, if there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn tier(&self, name: &str) -> Result<Option<Tier>, StoreError> {
        let row = sqlx::query("SELECT name, quotas, limits, traffic FROM tiers WHERE name = $1");
        let row = row.bind(clean(name, MAX_TEXT_BYTES)).fetch_optional(self.pool()).await?;
        row.as_ref().map(read_tier).transpose()
    }

    /// What a user may do at this moment, in an environment or in none.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn grant(&self, user: UserId, environment: Option<EnvironmentId>) -> Result<Grant, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT t.name, t.limits, t.traffic, u.suspended_at, e.limits AS environment_limits, ",
            quotas!(),
            " FROM users u JOIN tiers t ON t.name = u.tier LEFT JOIN environments e ON e.id = $2 AND e.user_id = u.id
            WHERE u.id = $1"
        ));
        let row = row.bind(user.to_string()).bind(environment.map(|id| id.to_string()));
        let row = row.fetch_optional(self.pool()).await?.ok_or(StoreError::Missing { what: "user" })?;
        let (limits, overrides): (Limits, Overrides) = (row.json("limits")?, row.json("overrides")?);
        let mut limits = limits.with(&overrides.limits);
        if row.maybe_text("environment_limits")?.is_some() {
            limits = limits.with(&row.json::<LimitsPatch>("environment_limits")?);
        }
        let (tier, traffic) = (row.text("name")?, row.json("traffic")?);
        let is_suspended = row.maybe_int("suspended_at")?.is_some();
        Ok(Grant { user, is_suspended, tier, quotas: read_quotas(&row)?, limits, traffic })
    }

    /// Changes what a tier's users may have, or adds a tier, whatever it was. It holds from the next question on.
    ///
    /// # Errors
    /// The database's.
    pub async fn put_tier(&self, tier: &Tier) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        put_tier(&mut write, tier).await?;
        write.commit().await
    }

    /// All tiers, by name, with how often they were changed and how many users have them.
    ///
    /// # Errors
    /// The database's.
    pub async fn tiers_in_use(&self) -> Result<Vec<TierInUse>, StoreError> {
        let rows = sqlx::query(
            "SELECT name, quotas, limits, traffic, version, (SELECT COUNT(*) FROM users u WHERE u.tier = t.name) AS users
            FROM tiers t ORDER BY name",
        );
        rows.fetch_all(self.pool()).await?.iter().map(read_tier_in_use).collect()
    }

    /// The same of one of them, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn tier_in_use(&self, name: &str) -> Result<Option<TierInUse>, StoreError> {
        let row = sqlx::query(
            "SELECT name, quotas, limits, traffic, version, (SELECT COUNT(*) FROM users u WHERE u.tier = t.name) AS users
            FROM tiers t WHERE name = $1",
        );
        let row = row.bind(clean(name, MAX_TEXT_BYTES)).fetch_optional(self.pool()).await?;
        row.as_ref().map(read_tier_in_use).transpose()
    }

    /// Makes a tier, and writes that down.
    ///
    /// # Errors
    /// [`StoreError::Taken`]: there is one of that name.
    pub async fn create_tier(&self, actor: &Actor, tier: &Tier) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let insert = sqlx::query("INSERT INTO tiers (name, quotas, limits, traffic) VALUES ($1, $2, $3, $4)");
        let insert = insert.bind(tier.name.clone()).bind(json(&tier.quotas)?).bind(json(&tier.limits)?);
        let inserted = insert.bind(json(&tier.traffic)?).execute(write.on()).await;
        inserted.map_err(|error| if is_duplicate(&error) { StoreError::Taken } else { error.into() })?;
        let act = Act { act: "tier.create", subject: subject(&tier.name), after: value(tier)?, ..Act::default() };
        note(&mut write, actor, act).await?;
        write.commit().await
    }

    /// Changes a tier that was read at `version`, and writes that down. False where it was changed since.
    ///
    /// # Errors
    /// The database's.
    pub async fn change_tier(
        &self,
        actor: &Actor,
        (before, version): (&Tier, u64),
        after: &Tier,
    ) -> Result<bool, StoreError> {
        let mut write = self.write().await?;
        let update = sqlx::query(
            "UPDATE tiers SET quotas = $2, limits = $3, traffic = $4, version = version + 1
            WHERE name = $1 AND version = $5",
        );
        let update = update.bind(before.name.clone()).bind(json(&after.quotas)?).bind(json(&after.limits)?);
        let update = update.bind(json(&after.traffic)?).bind(number(version));
        if update.execute(write.on()).await?.rows_affected() == 0 {
            return Ok(false);
        }
        let (act, subject) = ("tier.change", subject(&before.name));
        note(&mut write, actor, Act { act, subject, before: value(before)?, after: value(after)? }).await?;
        write.commit().await?;
        Ok(true)
    }

    /// Deletes a tier that nobody has, and writes that down. False where somebody has it.
    ///
    /// # Errors
    /// There is no such tier.
    pub async fn delete_tier(&self, actor: &Actor, name: &str) -> Result<bool, StoreError> {
        let mut write = self.write().await?;
        let select = write.dialect().pick(
            "SELECT name, quotas, limits, traffic FROM tiers WHERE name = $1",
            // Whoever gives it to a user at this moment waits, and finds it gone.
            "SELECT name, quotas, limits, traffic FROM tiers WHERE name = $1 FOR UPDATE",
        );
        let row = sqlx::query(select).bind(clean(name, MAX_TEXT_BYTES)).fetch_optional(write.on()).await?;
        let before = read_tier(&row.ok_or(StoreError::Missing { what: "tier" })?)?;
        let users = sqlx::query("SELECT 1 AS one FROM users WHERE tier = $1 LIMIT 1").bind(before.name.clone());
        if users.fetch_optional(write.on()).await?.is_some() {
            return Ok(false);
        }
        sqlx::query("DELETE FROM tiers WHERE name = $1").bind(before.name.clone()).execute(write.on()).await?;
        let act = Act { act: "tier.delete", subject: subject(&before.name), before: value(&before)?, ..Act::default() };
        note(&mut write, actor, act).await?;
        write.commit().await?;
        Ok(true)
    }

    /// What is different in an environment, and whose it is.
    ///
    /// # Errors
    /// There is no such environment.
    pub async fn environment_limits(&self, id: EnvironmentId) -> Result<(UserId, LimitsPatch), StoreError> {
        let row = sqlx::query("SELECT user_id, limits FROM environments WHERE id = $1 AND deleted_at IS NULL");
        let row = row.bind(id.to_string()).fetch_optional(self.pool()).await?;
        let row = row.ok_or(StoreError::Missing { what: "environment" })?;
        Ok((row.parsed("user_id")?, row.json("limits")?))
    }

    /// What is different in an environment from now on, and writes that down.
    ///
    /// # Errors
    /// There is no such environment.
    pub async fn set_environment_limits(
        &self,
        actor: &Actor,
        id: EnvironmentId,
        limits: &LimitsPatch,
    ) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let select = write.dialect().pick(
            "SELECT limits FROM environments WHERE id = $1 AND deleted_at IS NULL",
            "SELECT limits FROM environments WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE",
        );
        let row = sqlx::query(select).bind(id.to_string()).fetch_optional(write.on()).await?;
        let before: LimitsPatch = row.ok_or(StoreError::Missing { what: "environment" })?.json("limits")?;
        let update = sqlx::query("UPDATE environments SET limits = $2 WHERE id = $1");
        update.bind(id.to_string()).bind(json(limits)?).execute(write.on()).await?;
        let (act, subject) = ("environment.limits", format!("environment {id}"));
        note(&mut write, actor, Act { act, subject, before: value(&before)?, after: value(limits)? }).await?;
        write.commit().await
    }

    /// Gives a user another tier. It holds from the next question on.
    ///
    /// # Errors
    /// There is no such user, or no such tier.
    pub async fn set_tier(&self, user: UserId, tier: &str) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        require_tier(&mut write, tier).await?;
        let update = sqlx::query("UPDATE users SET tier = $2 WHERE id = $1").bind(user.to_string()).bind(tier);
        found("user", update.execute(write.on()).await?.rows_affected())?;
        write.commit().await
    }
}

/// A tier in the table, in a transaction that is going on.
pub(super) async fn put_tier(write: &mut Write, tier: &Tier) -> Result<(), StoreError> {
    let insert = sqlx::query(
        "INSERT INTO tiers (name, quotas, limits, traffic) VALUES ($1, $2, $3, $4)
        ON CONFLICT (name) DO UPDATE SET quotas = excluded.quotas, limits = excluded.limits,
            traffic = excluded.traffic, version = tiers.version + 1",
    );
    let insert = insert.bind(clean(&tier.name, MAX_TEXT_BYTES)).bind(json(&tier.quotas)?);
    let insert = insert.bind(json(&tier.limits)?).bind(json(&tier.traffic)?);
    insert.execute(write.on()).await?;
    Ok(())
}

/// Holds the user's row to the end of the transaction, and tells what they may keep: no other transaction that asks
/// this can come between the counting and the making of something.
pub(super) async fn lock_user(write: &mut Write, user: UserId) -> Result<Quotas, StoreError> {
    let select = write.dialect().pick(
        concat!("SELECT ", quotas!(), " FROM users u JOIN tiers t ON t.name = u.tier WHERE u.id = $1"),
        // Not FOR UPDATE: that would hold up everyone who adds a row that names the user.
        concat!(
            "SELECT ",
            quotas!(),
            " FROM users u JOIN tiers t ON t.name = u.tier WHERE u.id = $1 FOR NO KEY UPDATE OF u"
        ),
    );
    let row = sqlx::query(select).bind(user.to_string()).fetch_optional(write.on()).await?;
    read_quotas(&row.ok_or(StoreError::Missing { what: "user" })?)
}

/// What a user may keep.
pub(super) async fn quotas_of(connection: &mut AnyConnection, user: UserId) -> Result<Quotas, StoreError> {
    let row =
        sqlx::query(concat!("SELECT ", quotas!(), " FROM users u JOIN tiers t ON t.name = u.tier WHERE u.id = $1"));
    let row = row.bind(user.to_string()).fetch_optional(connection).await?;
    read_quotas(&row.ok_or(StoreError::Missing { what: "user" })?)
}

/// The quotas in a row that has the `quotas!`.
pub(super) fn read_quotas(row: &AnyRow) -> Result<Quotas, StoreError> {
    let (quotas, overrides): (Quotas, Overrides) = (row.json("quotas")?, row.json("overrides")?);
    quotas.with(&overrides.quotas).map_err(|error| StoreError::Query { reason: error.to_string() })
}

fn read_tier_in_use(row: &AnyRow) -> Result<TierInUse, StoreError> {
    Ok(TierInUse { tier: read_tier(row)?, version: row.count("version")?, users: row.count("users")? })
}

/// A value as the audit log keeps it.
pub(super) fn value<T: serde::Serialize>(value: &T) -> Result<Option<serde_json::Value>, StoreError> {
    serde_json::to_value(value).map(Some).map_err(|error| StoreError::Query { reason: error.to_string() })
}

fn subject(tier: &str) -> String {
    format!("tier {tier}")
}

fn read_tier(row: &AnyRow) -> Result<Tier, StoreError> {
    let (name, traffic) = (row.text("name")?, row.json("traffic")?);
    Ok(Tier { name, quotas: row.json("quotas")?, limits: row.json("limits")?, traffic })
}

pub(super) async fn require_tier(write: &mut Write, tier: &str) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT name FROM tiers WHERE name = $1").bind(clean(tier, MAX_TEXT_BYTES));
    let row = row.fetch_optional(write.on()).await?;
    row.map(|_| ()).ok_or(StoreError::Missing { what: "tier" })
}
