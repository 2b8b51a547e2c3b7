//! Environments: made, renamed, deleted. What is in them changes by [`Switch`].

mod look;
mod notes;
mod switch;

use jiff::Timestamp;

use super::Database;
use super::error::{StoreError, is_duplicate};
use super::jobs::LeaseLost;
use super::rows::{Columns as _, json, micros, now};
use super::tiers::lock_user;
use super::transaction::Write;
use crate::domain::{
    BackendKind, Environment, EnvironmentId, EnvironmentName, EnvironmentStatus, Lockfile, QuotaExceeded, QuotaKind,
    UserId,
};
use look::{columns, find_default, read};

pub use switch::{InstalledPackage, Switch};

/// An environment to be made.
#[derive(Debug, Clone)]
pub struct NewEnvironment {
    /// Its name.
    pub name: EnvironmentName,
    /// The Python it is for: `3.15.0`.
    pub python_version: String,
    /// What runs its code.
    pub backend: BackendKind,
    /// [`EnvironmentStatus::Active`] when it starts empty, [`EnvironmentStatus::Creating`] when packages come at once.
    pub status: EnvironmentStatus,
}

/// Why something could not be done with an environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// The user has no such environment, or no longer.
    #[error("there is no such environment")]
    NotFound,
    /// Another environment of the user has the name.
    #[error("there is an environment named `{name}` already")]
    NameTaken {
        /// The name.
        name: EnvironmentName,
    },
    /// The tier does not allow so much.
    #[error(transparent)]
    QuotaExceeded(#[from] QuotaExceeded),
    /// Somebody else changed what is in the environment meanwhile.
    #[error("the environment was changed meanwhile: it is at generation {current}, not {expected}; try again")]
    Conflict {
        /// The generation that the change started from.
        expected: u64,
        /// The generation now.
        current: u64,
    },
    /// It is the one that every user has.
    #[error("the default environment cannot be deleted")]
    DefaultStays,
    /// The job that wanted it has another worker now.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// The database's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for EnvironmentError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Database {
    /// Makes an environment. The one named `default` is not made here; nobody else can have its name.
    ///
    /// # Errors
    /// The name is taken, or the tier allows no more: two requests at once never pass together.
    pub async fn create_environment(
        &self,
        user: UserId,
        new: &NewEnvironment,
    ) -> Result<Environment, EnvironmentError> {
        refuse_reserved(&new.name)?;
        let mut write = self.write().await?;
        let quotas = lock_user(&mut write, user).await?;
        let environment = environment(user, new, false);
        let taken = sqlx::query("SELECT id FROM environments WHERE user_id = $1 AND name = $2 AND deleted_at IS NULL");
        let taken = taken.bind(user.to_string()).bind(new.name.to_string()).fetch_optional(write.on()).await?;
        if taken.is_some() {
            return Err(EnvironmentError::NameTaken { name: new.name.clone() });
        }
        let used = sqlx::query(
            "SELECT COUNT(*) AS used FROM environments WHERE user_id = $1 AND is_default = 0 AND deleted_at IS NULL",
        );
        let used = used.bind(user.to_string()).fetch_one(write.on()).await?.count("used")?;
        if used >= quotas.environments {
            let (what, wanted, allowed) = (QuotaKind::Environments, used.saturating_add(1), quotas.environments);
            return Err(QuotaExceeded { what, used, wanted, allowed }.into());
        }
        insert(&mut write, &environment).await?;
        write.commit().await?;
        Ok(environment)
    }

    /// The environment named `default`, which is made when the user first needs it. It counts against no quota.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn default_environment(
        &self,
        user: UserId,
        python_version: &str,
    ) -> Result<Environment, EnvironmentError> {
        if let Some(there) = find_default(self, user).await? {
            return Ok(there);
        }
        let mut write = self.write().await?;
        lock_user(&mut write, user).await?;
        let new = NewEnvironment {
            name: EnvironmentName::default_name(),
            python_version: python_version.to_owned(),
            backend: BackendKind::default(),
            status: EnvironmentStatus::Active,
        };
        let there =
            sqlx::query("SELECT id FROM environments WHERE user_id = $1 AND is_default = 1 AND deleted_at IS NULL");
        if there.bind(user.to_string()).fetch_optional(write.on()).await?.is_none() {
            insert(&mut write, &environment(user, &new, true)).await?;
        }
        write.commit().await?;
        find_default(self, user).await?.ok_or(EnvironmentError::NotFound)
    }

    /// Gives an environment another name.
    ///
    /// # Errors
    /// The name is taken, or the user has no such environment.
    pub async fn rename_environment(
        &self,
        user: UserId,
        id: EnvironmentId,
        name: &EnvironmentName,
    ) -> Result<Environment, EnvironmentError> {
        let current = self.environment(user, id).await?;
        if current.name == *name {
            return Ok(current);
        }
        if !current.is_default {
            refuse_reserved(name)?;
        }
        let update = sqlx::query(concat!(
            "UPDATE environments SET name = $3, updated_at = $4
            WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL RETURNING ",
            columns!()
        ));
        let update = update.bind(id.to_string()).bind(user.to_string()).bind(name.to_string()).bind(micros(now()));
        self.update_environment(update, name).await
    }

    /// Sets which modules are imported into the warm image beside those of the packages.
    ///
    /// # Errors
    /// The user has no such environment.
    pub async fn set_warm_imports(
        &self,
        user: UserId,
        id: EnvironmentId,
        imports: &[String],
    ) -> Result<Environment, EnvironmentError> {
        let update = sqlx::query(concat!(
            "UPDATE environments SET warm_imports = $3, warm = NULL, updated_at = $4
            WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL RETURNING ",
            columns!()
        ));
        let update = update.bind(id.to_string()).bind(user.to_string()).bind(json(&imports)?).bind(micros(now()));
        self.update_environment(update, &EnvironmentName::default_name()).await
    }

    /// Deletes the environments that were begun before `before` and never finished: their makers have died.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_unfinished(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut write = self.write().await?;
        let update = sqlx::query(
            "UPDATE environments SET status = 'deleted', deleted_at = $2, updated_at = $2
            WHERE status = 'creating' AND generation = 0 AND created_at < $1 AND deleted_at IS NULL",
        );
        let deleted = update.bind(micros(before)).bind(micros(now())).execute(write.on()).await?.rows_affected();
        write.commit().await?;
        Ok(deleted)
    }

    /// Deletes an environment: nobody sees it any more, and its name is free. Its directories are still to be swept
    /// up: see [`Database::deleted_environments`].
    ///
    /// # Errors
    /// It is the default one, or the user has no such environment.
    pub async fn delete_environment(&self, user: UserId, id: EnvironmentId) -> Result<(), EnvironmentError> {
        if self.environment(user, id).await?.is_default {
            return Err(EnvironmentError::DefaultStays);
        }
        let mut write = self.write().await?;
        let update = sqlx::query(
            "UPDATE environments SET status = 'deleted', deleted_at = $3, updated_at = $3
            WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL",
        );
        let update = update.bind(id.to_string()).bind(user.to_string()).bind(micros(now()));
        if update.execute(write.on()).await?.rows_affected() == 0 {
            return Err(EnvironmentError::NotFound);
        }
        let packages = sqlx::query("DELETE FROM environment_packages WHERE environment_id = $1");
        packages.bind(id.to_string()).execute(write.on()).await?;
        Ok(write.commit().await?)
    }

    async fn update_environment(
        &self,
        update: sqlx::query::Query<'_, sqlx::Any, sqlx::any::AnyArguments>,
        name: &EnvironmentName,
    ) -> Result<Environment, EnvironmentError> {
        let mut write = self.write().await?;
        let row = update.fetch_optional(write.on()).await.map_err(|error| name_error(error, name))?;
        let environment = read(&row.ok_or(EnvironmentError::NotFound)?)?;
        write.commit().await?;
        Ok(environment)
    }
}

fn refuse_reserved(name: &EnvironmentName) -> Result<(), EnvironmentError> {
    if name.as_str() == EnvironmentName::DEFAULT {
        return Err(EnvironmentError::NameTaken { name: name.clone() });
    }
    Ok(())
}

fn environment(user_id: UserId, new: &NewEnvironment, is_default: bool) -> Environment {
    let now = now();
    Environment {
        id: EnvironmentId::new(),
        user_id,
        name: new.name.clone(),
        is_default,
        status: new.status,
        error: None,
        python_version: new.python_version.clone(),
        backend: new.backend,
        generation: 0,
        package_count: 0,
        total_size_bytes: 0,
        warm_imports: Vec::new(),
        warm: None,
        created_at: now,
        updated_at: now,
        last_used_at: None,
    }
}

async fn insert(write: &mut Write, environment: &Environment) -> Result<(), EnvironmentError> {
    let lock = Lockfile { python_version: environment.python_version.clone(), packages: Vec::new() };
    sqlx::query(
        "INSERT INTO environments
            (id, user_id, name, is_default, status, python_version, backend, lock_json, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
    )
    .bind(environment.id.to_string())
    .bind(environment.user_id.to_string())
    .bind(environment.name.to_string())
    .bind(i64::from(environment.is_default))
    .bind(environment.status.as_str())
    .bind(environment.python_version.clone())
    .bind(environment.backend.as_str())
    .bind(json(&lock)?)
    .bind(micros(environment.created_at))
    .execute(write.on())
    .await
    .map_err(|error| name_error(error, &environment.name))?;
    Ok(())
}

/// A row that is there already has the name.
fn name_error(error: sqlx::Error, name: &EnvironmentName) -> EnvironmentError {
    if is_duplicate(&error) { EnvironmentError::NameTaken { name: name.clone() } } else { error.into() }
}
