//! An environment's packages change as a whole: from one generation to another, or not at all.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::EnvironmentError;
use super::look::{columns, read};
use crate::domain::{Environment, EnvironmentId, JobEnd, Lockfile, QuotaExceeded, QuotaKind, Quotas};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::jobs::{Lease, end_job};
use crate::store::rows::{Columns as _, json, micros, number, placeholders};
use crate::store::tiers::read_quotas;
use crate::store::transaction::Write;

/// Rows of one statement: far below what either database takes.
const ROWS_AT_ONCE: usize = 100;

/// A package that a generation has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledPackage {
    /// Its normalised name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Bytes of its files.
    pub size_bytes: u64,
    /// Whether it was asked for by name.
    pub requested: bool,
}

/// A change of an environment's packages, whose directory is ready.
#[derive(Debug, Clone)]
pub struct Switch<'a> {
    /// Which environment.
    pub environment: EnvironmentId,
    /// The generation that the change started from.
    pub expected_generation: u64,
    /// The generation with the change: a number from [`Database::reserve_generation`].
    pub generation: u64,
    /// The requirements that the user gave (PEP 508), those of earlier changes included.
    pub requested: &'a [String],
    /// The exact packages.
    pub lock: &'a Lockfile,
    /// The same packages as they are listed, each name once.
    pub packages: &'a [InstalledPackage],
    /// What came of importing modules beforehand, of those that were named for it then.
    pub warm: Option<(&'a [String], &'a Value)>,
    /// When: since then what is new is there.
    pub at: Timestamp,
    /// The job that did it, and its result: it is done in the same instant, so that a job has its effect once.
    pub completes: Option<(&'a Lease, Value)>,
}

impl Database {
    /// Gives out a number for a new generation, greater than all before: the name of a directory that nobody else
    /// builds in. A number that is never switched to leaves a directory for the sweeper.
    ///
    /// # Errors
    /// There is no such environment.
    pub async fn reserve_generation(&self, id: EnvironmentId) -> Result<u64, EnvironmentError> {
        let mut write = self.write().await?;
        let update = sqlx::query(
            "UPDATE environments SET last_generation = last_generation + 1
            WHERE id = $1 AND deleted_at IS NULL RETURNING last_generation",
        );
        let row = update.bind(id.to_string()).fetch_optional(write.on()).await?;
        let generation = row.ok_or(EnvironmentError::NotFound)?.count("last_generation")?;
        write.commit().await?;
        Ok(generation)
    }

    /// Switches an environment to a new generation: it is active, with these packages.
    ///
    /// # Errors
    /// [`EnvironmentError::Conflict`] when somebody else was faster, [`EnvironmentError::NotFound`] when it was deleted,
    /// [`EnvironmentError::QuotaExceeded`] when the tier allows less (it may become smaller at any time), and
    /// [`EnvironmentError::LeaseLost`] when the job has another worker now. Nothing has changed then.
    pub async fn switch_generation(&self, switch: &Switch<'_>) -> Result<Environment, EnvironmentError> {
        let mut write = self.write().await?;
        let before = lock_environment(&mut write, switch.environment).await?;
        if before.generation != switch.expected_generation {
            let (expected, current) = (switch.expected_generation, before.generation);
            return Err(EnvironmentError::Conflict { expected, current });
        }
        let total_size_bytes =
            switch.packages.iter().fold(0_u64, |sum, package| sum.saturating_add(package.size_bytes));
        let count = u64::try_from(switch.packages.len()).unwrap_or(u64::MAX);
        before.check(QuotaKind::PackagesPerEnvironment, before.package_count, count)?;
        before.check(QuotaKind::EnvironmentBytes, before.total_size_bytes, total_size_bytes)?;
        replace_packages(&mut write, switch).await?;
        let update = sqlx::query(concat!(
            "UPDATE environments SET status = 'active', error = NULL, generation = $2, python_version = $3,
                lock_json = $4, requested = $5, package_count = $6, total_size_bytes = $7, updated_at = $8,
                warm = CASE WHEN warm_imports = $10 THEN $11 ELSE NULL END
            WHERE id = $1 AND generation = $9 AND $2 > generation AND $2 <= last_generation RETURNING ",
            columns!()
        ));
        let update = update.bind(switch.environment.to_string()).bind(number(switch.generation));
        let update = update.bind(switch.lock.python_version.clone()).bind(json(switch.lock)?);
        let update = update.bind(json(&switch.requested)?).bind(number(count)).bind(number(total_size_bytes));
        let update = update.bind(micros(switch.at)).bind(number(switch.expected_generation));
        let (imports, warm) = switch.warm.unzip();
        let update = update.bind(imports.map(|imports| json(&imports)).transpose()?);
        let update = update.bind(warm.map(json).transpose()?);
        let row = update.fetch_optional(write.on()).await?;
        // A number that was not given out for this, or went to a change that has come after.
        let (expected, current) = (switch.expected_generation, before.generation);
        let environment = read(&row.ok_or(EnvironmentError::Conflict { expected, current })?)?;
        if let Some((lease, result)) = &switch.completes {
            end_job(&mut write, lease, &JobEnd::Succeeded(result.clone())).await??;
        }
        write.commit().await?;
        Ok(environment)
    }

    /// Every environment that is not deleted, with the generation that it is at: what the sweeper must leave alone.
    ///
    /// # Errors
    /// The database's.
    pub async fn live_generations(&self) -> Result<HashMap<EnvironmentId, u64>, StoreError> {
        let rows = sqlx::query("SELECT id, generation FROM environments WHERE deleted_at IS NULL");
        let rows = rows.fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok((row.parsed("id")?, row.count("generation")?))).collect()
    }
}

/// An environment whose row nobody else can change until the transaction ends.
struct Locked {
    generation: u64,
    package_count: u64,
    total_size_bytes: u64,
    quotas: Quotas,
}

impl Locked {
    /// Refuses more than the tier allows, but never less than there is: a tier may have been lowered.
    fn check(&self, what: QuotaKind, used: u64, wanted: u64) -> Result<(), QuotaExceeded> {
        let allowed = self.quotas.of(what);
        if wanted > allowed && wanted > used { Err(QuotaExceeded { what, used, wanted, allowed }) } else { Ok(()) }
    }
}

async fn lock_environment(write: &mut Write, id: EnvironmentId) -> Result<Locked, EnvironmentError> {
    let select = write.dialect().pick(
        "SELECT e.generation, e.package_count, e.total_size_bytes, t.quotas, u.overrides
        FROM environments e JOIN users u ON u.id = e.user_id JOIN tiers t ON t.name = u.tier
        WHERE e.id = $1 AND e.deleted_at IS NULL",
        "SELECT e.generation, e.package_count, e.total_size_bytes, t.quotas, u.overrides
        FROM environments e JOIN users u ON u.id = e.user_id JOIN tiers t ON t.name = u.tier
        WHERE e.id = $1 AND e.deleted_at IS NULL FOR NO KEY UPDATE OF e",
    );
    let row = sqlx::query(select).bind(id.to_string()).fetch_optional(write.on()).await?;
    let row = row.ok_or(EnvironmentError::NotFound)?;
    Ok(Locked {
        generation: row.count("generation")?,
        package_count: row.count("package_count")?,
        total_size_bytes: row.count("total_size_bytes")?,
        quotas: read_quotas(&row)?,
    })
}

async fn replace_packages(write: &mut Write, switch: &Switch<'_>) -> Result<(), StoreError> {
    let id = switch.environment.to_string();
    let rows = sqlx::query("SELECT name, version, installed_at FROM environment_packages WHERE environment_id = $1");
    let mut since: HashMap<(String, String), Timestamp> = HashMap::new();
    for row in rows.bind(id.clone()).fetch_all(write.on()).await? {
        since.insert((row.text("name")?, row.text("version")?), row.time("installed_at")?);
    }
    let delete = sqlx::query("DELETE FROM environment_packages WHERE environment_id = $1");
    delete.bind(id.clone()).execute(write.on()).await?;
    for packages in switch.packages.chunks(ROWS_AT_ONCE) {
        let insert = format!(
            "INSERT INTO environment_packages (environment_id, name, version, size_bytes, requested, installed_at)
            VALUES {}",
            placeholders(packages.len(), 6)
        );
        // Nothing but numbers of placeholders was put in.
        let mut insert = sqlx::query(AssertSqlSafe(insert));
        for package in packages {
            let version = (package.name.clone(), package.version.clone());
            let installed_at = since.get(&version).copied().unwrap_or(switch.at);
            let (name, version) = version;
            insert = insert.bind(id.clone()).bind(name).bind(version).bind(number(package.size_bytes));
            insert = insert.bind(i64::from(package.requested)).bind(micros(installed_at));
        }
        insert.execute(write.on()).await?;
    }
    Ok(())
}
