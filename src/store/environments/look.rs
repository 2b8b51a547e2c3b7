//! Environments as they are read.

use sqlx::any::AnyRow;

use super::EnvironmentError;
use crate::domain::{
    Environment, EnvironmentContents, EnvironmentId, EnvironmentName, EnvironmentPackage, EnvironmentStats, Page,
    PageRequest, UserId,
};
use crate::store::Database;
use crate::store::error::StoreError;
use crate::store::rows::{Columns as _, number};

/// The columns that [`read`] reads. The lockfile is not among them: it may be large, and few want it.
macro_rules! columns {
    () => {
        "id, user_id, name, is_default, status, error, python_version, backend, generation, package_count, \
         total_size_bytes, warm_imports, warm, created_at, updated_at, last_used_at"
    };
}
pub(super) use columns;

impl Database {
    /// An environment of the user.
    ///
    /// # Errors
    /// The user has no such environment.
    pub async fn environment(&self, user: UserId, id: EnvironmentId) -> Result<Environment, EnvironmentError> {
        let row = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM environments WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL"
        ));
        let row = row.bind(id.to_string()).bind(user.to_string()).fetch_optional(self.pool()).await?;
        Ok(read(&row.ok_or(EnvironmentError::NotFound)?)?)
    }

    /// An environment of the user by its name.
    ///
    /// # Errors
    /// The user has no such environment.
    pub async fn environment_named(
        &self,
        user: UserId,
        name: &EnvironmentName,
    ) -> Result<Environment, EnvironmentError> {
        let row = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM environments WHERE user_id = $1 AND name = $2 AND deleted_at IS NULL"
        ));
        let row = row.bind(user.to_string()).bind(name.to_string()).fetch_optional(self.pool()).await?;
        Ok(read(&row.ok_or(EnvironmentError::NotFound)?)?)
    }

    /// The user's environments: the default one, then the eldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn environments(&self, user: UserId, request: PageRequest) -> Result<Page<Environment>, StoreError> {
        let total = sqlx::query("SELECT COUNT(*) AS total FROM environments WHERE user_id = $1 AND deleted_at IS NULL");
        let total = total.bind(user.to_string()).fetch_one(self.pool()).await?.count("total")?;
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM environments WHERE user_id = $1 AND deleted_at IS NULL
            ORDER BY is_default DESC, created_at, id LIMIT $2 OFFSET $3"
        ));
        let rows = rows.bind(user.to_string()).bind(i64::from(request.page_size())).bind(number(request.offset()));
        let rows = rows.fetch_all(self.pool()).await?;
        Ok(Page { items: rows.iter().map(read).collect::<Result<_, _>>()?, total, request })
    }

    /// What was asked for in an environment, and what came of it.
    ///
    /// # Errors
    /// The user has no such environment.
    pub async fn environment_contents(
        &self,
        user: UserId,
        id: EnvironmentId,
    ) -> Result<EnvironmentContents, EnvironmentError> {
        let row = sqlx::query(
            "SELECT generation, requested, lock_json FROM environments
            WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL",
        );
        let row = row.bind(id.to_string()).bind(user.to_string()).fetch_optional(self.pool()).await?;
        let row = row.ok_or(EnvironmentError::NotFound)?;
        Ok(EnvironmentContents {
            generation: row.count("generation")?,
            requested: row.json("requested")?,
            lock: row.json("lock_json")?,
        })
    }

    /// The packages of an environment, by name.
    ///
    /// # Errors
    /// The user has no such environment.
    pub async fn environment_packages(
        &self,
        user: UserId,
        id: EnvironmentId,
    ) -> Result<Vec<EnvironmentPackage>, EnvironmentError> {
        // One statement, so that the packages are those of one generation.
        let rows = sqlx::query(
            "SELECT p.name, p.version, p.size_bytes, p.requested, p.installed_at
            FROM environments e LEFT JOIN environment_packages p ON p.environment_id = e.id
            WHERE e.id = $1 AND e.user_id = $2 AND e.deleted_at IS NULL",
        );
        let rows = rows.bind(id.to_string()).bind(user.to_string()).fetch_all(self.pool()).await?;
        if rows.is_empty() {
            return Err(EnvironmentError::NotFound);
        }
        let mut packages = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.maybe_text("name")?.is_some() {
                packages.push(read_package(row)?);
            }
        }
        // Databases do not agree on the order of texts.
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(packages)
    }

    /// What all environments of a user are together.
    ///
    /// # Errors
    /// The database's.
    pub async fn environment_stats(&self, user: UserId) -> Result<EnvironmentStats, StoreError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS environments,
                CAST(COALESCE(SUM(1 - is_default), 0) AS BIGINT) AS counted,
                CAST(COALESCE(SUM(package_count), 0) AS BIGINT) AS packages,
                CAST(COALESCE(SUM(total_size_bytes), 0) AS BIGINT) AS bytes
            FROM environments WHERE user_id = $1 AND deleted_at IS NULL",
        );
        let row = row.bind(user.to_string()).fetch_one(self.pool()).await?;
        Ok(EnvironmentStats {
            environments: row.count("environments")?,
            counted_environments: row.count("counted")?,
            packages: row.count("packages")?,
            total_size_bytes: row.count("bytes")?,
        })
    }
}

/// The user's default environment, where it was made already.
pub(super) async fn find_default(database: &Database, user: UserId) -> Result<Option<Environment>, StoreError> {
    let row = sqlx::query(concat!(
        "SELECT ",
        columns!(),
        " FROM environments WHERE user_id = $1 AND is_default = 1 AND deleted_at IS NULL"
    ));
    let row = row.bind(user.to_string()).fetch_optional(database.pool()).await?;
    row.map(|row| read(&row)).transpose()
}

/// The environment in a row.
pub(super) fn read(row: &AnyRow) -> Result<Environment, StoreError> {
    Ok(Environment {
        id: row.parsed("id")?,
        user_id: row.parsed("user_id")?,
        name: row.parsed("name")?,
        is_default: row.flag("is_default")?,
        status: row.parsed("status")?,
        error: row.maybe_text("error")?,
        python_version: row.text("python_version")?,
        backend: row.parsed("backend")?,
        generation: row.count("generation")?,
        package_count: row.count("package_count")?,
        total_size_bytes: row.count("total_size_bytes")?,
        warm_imports: row.json("warm_imports")?,
        warm: row.maybe_json("warm")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        last_used_at: row.maybe_time("last_used_at")?,
    })
}

/// The package in a row.
pub(super) fn read_package(row: &AnyRow) -> Result<EnvironmentPackage, StoreError> {
    Ok(EnvironmentPackage {
        name: row.text("name")?,
        version: row.text("version")?,
        size_bytes: row.count("size_bytes")?,
        requested: row.flag("requested")?,
        installed_at: row.time("installed_at")?,
    })
}
