//! The database: how it is opened, and what is the same for all that is done with it.

use std::fmt::{self, Display};
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::Mutex;

use super::error::StoreError;
use super::migrations;
use super::rows::placeholders;
use super::url::DatabaseUrl;

/// A connection that was idle for longer is asked whether it still stands before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// For each connection to SQLite. A writer of another process is waited for; a write that was acknowledged survives a
/// power cut; a log that once grew large is cut down again.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 10000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                               PRAGMA journal_size_limit = 67108864;";

/// How a database is used.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    /// Connections that are open at once. Default: 8.
    pub max_connections: u32,
    /// How long a function waits for a free connection, in milliseconds. Default: 10,000.
    pub acquire_timeout_ms: u64,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self { max_connections: 8, acquire_timeout_ms: 10_000 }
    }
}

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The statement for this database, where the two need different ones.
    pub fn pick(self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }
}

/// The database. Cloning shares it.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    pool: AnyPool,
    dialect: Dialect,
    /// SQLite has one writer at a time, and its own way of waiting is not fair: writers of this process queue here.
    writer: Arc<Mutex<()>>,
    place: String,
    /// The database's file, where it is one.
    file: Option<PathBuf>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&self.0.place).finish()
    }
}

impl Database {
    /// Opens `sqlite://PATH`, which is made if it is not there, or `postgres://USER:PASSWORD@HOST:PORT/NAME`, and brings
    /// its tables up to date. Any number of servers may do so at once.
    ///
    /// # Errors
    /// The database can't be reached, or a newer program has used it.
    pub async fn open(url: &str, options: &DatabaseOptions) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let url = DatabaseUrl::parse(url)?;
        let dialect = match &url {
            DatabaseUrl::Sqlite(path) => {
                create_private(path)?;
                Dialect::Sqlite
            }
            DatabaseUrl::Postgres(_) => Dialect::Postgres,
        };
        // Statements are not logged: some hold names and addresses.
        let connect = AnyConnectOptions::from_url(&url.to_sqlx()?)?.disable_statement_logging();
        {
            let _alone = match &url {
                DatabaseUrl::Sqlite(path) => Some(migrations::wait_for_turn(path).await?),
                // The migrator takes an advisory lock there, which ends with the connection.
                DatabaseUrl::Postgres(_) => None,
            };
            let mut connection = connect_once(&connect, dialect, options).await?;
            if dialect == Dialect::Sqlite {
                connection.execute("PRAGMA journal_mode = WAL").await?;
            }
            let migrated = migrations::run(&mut connection, dialect).await;
            // Closed in any case: an advisory lock must not go back to a pool with it.
            let closed = connection.close().await;
            migrated?;
            closed?;
        }
        let pool = AnyPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(Duration::from_millis(options.acquire_timeout_ms))
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > TRUSTED_IDLE { connection.ping().await.map(|()| true) } else { Ok(true) }
                })
            })
            .after_connect(move |connection, _| Box::pin(prepare(connection, dialect)))
            .connect_lazy_with(connect);
        let file = match &url {
            DatabaseUrl::Sqlite(path) => Some(path.clone()),
            DatabaseUrl::Postgres(_) => None,
        };
        let inner = Inner { pool, dialect, writer: Arc::default(), place: url.place(), file };
        Ok(Self(Arc::new(inner)))
    }

    /// Where it is, without user and password.
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// Asks whether it answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(self.pool()).await?;
        Ok(())
    }

    /// Ends all connections, after those who use them are done. Everything fails from then on.
    pub async fn close(&self) {
        self.pool().close().await;
    }

    pub(super) fn pool(&self) -> &AnyPool {
        &self.0.pool
    }

    /// The rows that `select` finds, which goes on with `IN` and these few ids. Nothing that came from outside may be in it.
    pub(super) async fn rows_of_ids<T: Display>(
        &self,
        select: &'static str,
        ids: &[T],
    ) -> Result<Vec<AnyRow>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut query = sqlx::query(AssertSqlSafe(format!("{select} IN {}", placeholders(1, ids.len()))));
        for id in ids {
            query = query.bind(id.to_string());
        }
        Ok(query.fetch_all(self.pool()).await?)
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    pub(super) fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    pub(super) fn writer(&self) -> &Arc<Mutex<()>> {
        &self.0.writer
    }
}

/// A connection of its own. A server that is not there is not waited for longer than for a connection of the pool.
async fn connect_once(
    connect: &AnyConnectOptions,
    dialect: Dialect,
    options: &DatabaseOptions,
) -> Result<AnyConnection, StoreError> {
    let patience = Duration::from_millis(options.acquire_timeout_ms);
    let connected = tokio::time::timeout(patience, connect.connect()).await;
    let late = |_| StoreError::Unavailable { reason: format!("no answer within {} ms", options.acquire_timeout_ms) };
    let mut connection = connected.map_err(late)??;
    prepare(&mut connection, dialect).await?;
    Ok(connection)
}

async fn prepare(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), sqlx::Error> {
    if dialect == Dialect::Sqlite {
        connection.execute(sqlx::raw_sql(SQLITE_SETTINGS)).await?;
    }
    Ok(())
}

/// Makes the file, if it is not there, for nobody else to read. SQLite gives the files beside it the same mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let error = |source| StoreError::File { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(error)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(error)?;
    Ok(())
}
