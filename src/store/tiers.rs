//! Tiers, what is different for some users and environments, and what a user may do at this moment.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::Database;
use super::error::StoreError;
use super::rows::{Columns as _, clean, json};
use super::transaction::Write;
use super::users::{MAX_TEXT_BYTES, found};
use crate::domain::{EnvironmentId, Grant, Limits, LimitsPatch, Overrides, Quotas, Tier, UserId};

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
            "SELECT t.name, t.limits, t.traffic, e.limits AS environment_limits, ",
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
        Ok(Grant { user, tier, quotas: read_quotas(&row)?, limits, traffic })
    }

    /// Changes what a tier's users may have, or adds a tier. It holds from the next question on.
    ///
    /// # Errors
    /// The database's.
    pub async fn put_tier(&self, tier: &Tier) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        put_tier(&mut write, tier).await?;
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
        ON CONFLICT (name) DO UPDATE SET quotas = excluded.quotas, limits = excluded.limits, traffic = excluded.traffic",
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

fn read_tier(row: &AnyRow) -> Result<Tier, StoreError> {
    let (name, traffic) = (row.text("name")?, row.json("traffic")?);
    Ok(Tier { name, quotas: row.json("quotas")?, limits: row.json("limits")?, traffic })
}

pub(super) async fn require_tier(write: &mut Write, tier: &str) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT name FROM tiers WHERE name = $1").bind(clean(tier, MAX_TEXT_BYTES));
    let row = row.fetch_optional(write.on()).await?;
    row.map(|_| ()).ok_or(StoreError::Missing { what: "tier" })
}
