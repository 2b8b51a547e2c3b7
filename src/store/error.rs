//! What can go wrong with the database.

use std::io;
use std::path::PathBuf;

/// Why the database did not do what it should. No message shows a password or a key.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address names no database.
    #[error("the database URL is not usable: {reason}")]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// The database's file, or the one beside it that servers take turns with, cannot be used.
    #[error("cannot use `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A later version of the program has changed the tables.
    #[error(
        "the database is at version {found}, and this program knows versions up to {known}: start the newer program, \
         or restore a backup from before the update"
    )]
    Newer {
        /// The database's version.
        found: i64,
        /// The last version that this program knows.
        known: i64,
    },
    /// The tables could not be brought up to date.
    #[error("cannot bring the database up to date: {reason}")]
    Migration {
        /// The database's words.
        reason: String,
    },
    /// The database does not answer, or is too busy.
    #[error("the database is not available: {reason}")]
    Unavailable {
        /// The database's or the system's words.
        reason: String,
    },
    /// There is no room for more.
    #[error("the database's disk is full")]
    Full,
    /// A row holds what it can't hold.
    #[error("the database's column `{column}` holds something unexpected: {reason}")]
    Corrupt {
        /// The column.
        column: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// A row is not there that others name.
    #[error("there is no such {what}")]
    Missing {
        /// What it would be.
        what: &'static str,
    },
    /// There is one of that name already.
    #[error("the name is taken")]
    Taken,
    /// The token of the one who runs the server is the text of somebody's API key.
    #[error("the admin token is an API key in use: set another one")]
    TokenTaken,
    /// The system has no randomness.
    #[error("the system gives no random numbers: {reason}")]
    Random {
        /// The system's words.
        reason: String,
    },
    /// The database refused a statement.
    #[error("the database refused: {reason}")]
    Query {
        /// The database's words.
        reason: String,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let reason = error.to_string();
        match &error {
            sqlx::Error::Io(io) if io.kind() == io::ErrorKind::StorageFull => Self::Full,
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable { reason },
            sqlx::Error::Configuration(_) => Self::Url { reason },
            sqlx::Error::ColumnDecode { index, source } => {
                Self::Corrupt { column: index.clone(), reason: source.to_string() }
            }
            sqlx::Error::Database(refusal) => match refusal.code().as_deref().map(meaning) {
                Some(Meaning::Full) => Self::Full,
                Some(Meaning::Unavailable) => Self::Unavailable { reason },
                _ => Self::Query { reason },
            },
            _ => Self::Query { reason },
        }
    }
}

/// What a database's error code comes down to.
enum Meaning {
    Full,
    Unavailable,
    Other,
}

fn meaning(code: &str) -> Meaning {
    // PostgreSQL's codes have five characters; SQLite's are shorter numbers whose low byte is the kind of error.
    if code.len() == 5 {
        return match code {
            "53100" => Meaning::Full,
            // Deadlock and serialisation failure (40), no connection (08), no resources (53), shutting down (57),
            // lock not available (55P03).
            "55P03" => Meaning::Unavailable,
            _ if ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)) => Meaning::Unavailable,
            _ => Meaning::Other,
        };
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(13) => Meaning::Full,
        // Busy, locked, input or output error, cannot open.
        Ok(5 | 6 | 10 | 14) => Meaning::Unavailable,
        _ => Meaning::Other,
    }
}

/// Whether the database refused a row because another one has the same unique value.
pub(super) fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}
