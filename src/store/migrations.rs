//! Brings the tables up to date. `migrations/README.md` tells how to add a step.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AssertSqlSafe, SqlSafeStr as _};

use super::Database;
use super::database::Dialect;
use super::error::StoreError;

macro_rules! migrations {
    ($($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../migrations/", $file, ".sql")))),+]
    };
}

/// Names and contents of the steps, in order.
const MIGRATIONS: &[(&str, &str)] = migrations![
    "0001_users",
    "0002_environments",
    "0003_jobs",
    "0004_documents",
    "0005_kernels",
    "0006_executions",
    "0007_schedules",
    "0008_publications",
    "0009_renders",
    "0010_tiers",
    "0011_render_times",
    "0012_identity",
    "0013_sessions",
    "0014_profiles",
];

impl Database {
    /// Names of the steps that make the tables, in order: files of `migrations/` without `.sql`.
    pub fn migrations() -> impl Iterator<Item = &'static str> {
        MIGRATIONS.iter().map(|(name, _)| *name)
    }
}

/// Applies the steps that the database lacks.
pub(super) async fn run(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), StoreError> {
    let steps = MIGRATIONS.iter().zip(1..).map(|((name, sql), version)| {
        // All of it is text of the program.
        let sql = AssertSqlSafe(part_for(dialect, sql)).into_sql_str();
        Migration::new(version, (*name).into(), MigrationType::Simple, sql, false)
    });
    let steps: Vec<_> = steps.collect();
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let done = Migrator::with_migrations(steps).run(connection).await;
    done.map_err(|error| match error {
        MigrateError::VersionMissing(found) => StoreError::Newer { found, known },
        MigrateError::VersionMismatch(version) => StoreError::Migration {
            reason: format!("step {version} is not the one that made this database; another program made it"),
        },
        MigrateError::Execute(error) => error.into(),
        other => StoreError::Migration { reason: other.to_string() },
    })
}

/// What a step is for one of the databases: without the lines from `-- only ...:` to the next `-- only` or `-- both:`
/// that are the other's.
fn part_for(dialect: Dialect, sql: &str) -> String {
    let own = dialect.pick("-- only sqlite:", "-- only postgres:");
    let mut is_meant = true;
    let mut part = String::with_capacity(sql.len());
    for line in sql.split_inclusive('\n') {
        let words = line.trim_end();
        if words == "-- both:" || words.starts_with("-- only ") {
            is_meant = words == "-- both:" || words == own;
        } else if is_meant {
            part.push_str(line);
        }
    }
    part
}

/// Waits until no other server migrates the SQLite database at `path`. The lock ends with the file that is returned,
/// or with the process.
pub(super) async fn wait_for_turn(path: &Path) -> Result<File, StoreError> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let error = |source| StoreError::File { path: lock_path.clone(), source };
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&lock_path).map_err(error)?;
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
    locked.map_err(|stopped| error(std::io::Error::other(stopped)))?.map_err(error)
}
