//! Real databases for tests: a SQLite file, and a private PostgreSQL server.

mod postgres;
mod watched;

use pymd::store::{Database, DatabaseOptions};
use tempfile::TempDir;

pub(crate) use watched::Watched;

/// An empty database of a test's own.
pub(crate) struct TestDatabase {
    url: String,
    // A file's directory, which goes with it.
    _directory: Option<TempDir>,
}

impl TestDatabase {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // A path that has to be quoted in a URL.
        let url = format!("sqlite://{}/a b%20c#d/pymd.db", directory.path().display());
        Self { url, _directory: Some(directory) }
    }

    pub(crate) async fn postgres() -> Self {
        Self { url: postgres::new_database().await, _directory: None }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn open(&self) -> Database {
        Database::open(&self.url, &DatabaseOptions::default()).await.unwrap()
    }
}

/// Makes of each function `async fn name(TestDatabase)` a test on SQLite and one on PostgreSQL.
macro_rules! on_both_databases {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::databases::TestDatabase::sqlite()).await;
            }
        )+}

        mod on_postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::databases::TestDatabase::postgres().await).await;
            }
        )+}
    };
}
pub(crate) use on_both_databases;
