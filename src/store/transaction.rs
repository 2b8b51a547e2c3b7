//! Writing: one transaction at a time where that is all there is, with locks in one order where there are more.

use sqlx::{Any, AnyConnection, Transaction};
use tokio::sync::OwnedMutexGuard;

use super::Database;
use super::database::Dialect;
use super::error::StoreError;

/// A transaction that writes. Dropped without [`Write::commit`], it was never there.
///
/// In SQLite it holds the only write lock from its beginning, so that it never has to wait again, and no two can
/// deadlock. In PostgreSQL transactions run beside each other and see what was committed before each statement; who
/// decides by what it read locks that row first. Locks are taken in one order: a named lock, user, environment, job.
pub(super) struct Write {
    // Dropped before the turn is given to the next: the rollback is on its way by then.
    transaction: Transaction<'static, Any>,
    dialect: Dialect,
    _turn: Option<OwnedMutexGuard<()>>,
}

/// What only one transaction of all servers does at a time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lock {
    /// Making the first admin.
    FirstAdmin,
    /// Putting jobs of lost servers back in the queue.
    Leases,
    /// Making the user whom an identity provider names.
    Identities,
}

impl Database {
    /// Begins to write.
    pub(super) async fn write(&self) -> Result<Write, StoreError> {
        let dialect = self.dialect();
        let turn = match dialect {
            Dialect::Sqlite => Some(self.writer().clone().lock_owned().await),
            Dialect::Postgres => None,
        };
        let begin = dialect.pick("BEGIN IMMEDIATE", "BEGIN ISOLATION LEVEL READ COMMITTED");
        let transaction = self.pool().begin_with(begin).await?;
        Ok(Write { transaction, dialect, _turn: turn })
    }
}

impl Write {
    /// Where statements go.
    pub fn on(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Waits until no other transaction holds this lock, and holds it to the end.
    pub async fn lock(&mut self, lock: Lock) -> Result<(), StoreError> {
        if self.dialect == Dialect::Postgres {
            // Any numbers, as long as nobody else in this database takes them.
            let number = 0x7079_6d64_0000_i64 + lock as i64;
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(number).execute(self.on()).await?;
        }
        Ok(())
    }

    /// Makes all that was done last.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit().await?)
    }
}
