//! How a database is opened, and how its tables come to be.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use futures::future::join_all;
use pymd::store::{Database, DatabaseOptions, StoreError};
use sqlx::{AnyConnection, Connection as _, Executor as _};

use super::new_user;
use crate::databases::{TestDatabase, on_both_databases};

on_both_databases![
    eight_servers_start_at_once,
    a_database_is_opened_again_with_what_is_in_it,
    a_newer_database_is_refused,
    a_changed_migration_is_refused,
    a_closed_database_answers_no_more,
];

async fn eight_servers_start_at_once(at: TestDatabase) {
    let options = DatabaseOptions::default();
    let opened = join_all((0..8).map(|_| Database::open(at.url(), &options))).await;
    for database in opened {
        let database = database.unwrap();
        database.ping().await.unwrap();
        assert_eq!(database.tiers().await.unwrap().len(), 2, "the tiers are there once");
    }
}

async fn a_database_is_opened_again_with_what_is_in_it(at: TestDatabase) {
    let database = at.open().await;
    let user = new_user(&database).await;
    database.close().await;
    assert_eq!(at.open().await.user(user.id).await.unwrap(), Some(user));
}

async fn a_newer_database_is_refused(at: TestDatabase) {
    at.open().await.close().await;
    meddle(
        &at,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    let error = Database::open(at.url(), &DatabaseOptions::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 9999, .. }), "{error}");
    let known = Database::migrations().count();
    let words = format!("the database is at version 9999, and this program knows versions up to {known}: start");
    assert!(error.to_string().starts_with(&words), "{error}");
}

async fn a_changed_migration_is_refused(at: TestDatabase) {
    at.open().await.close().await;
    meddle(
        &at,
        "UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 1)
        WHERE version = 2",
    )
    .await;
    let error = Database::open(at.url(), &DatabaseOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("step 2 is not the one that made this database"), "{error}");
}

async fn a_closed_database_answers_no_more(at: TestDatabase) {
    let database = at.open().await;
    database.close().await;
    let error = database.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

/// What no program of ours does.
async fn meddle(at: &TestDatabase, statement: &'static str) {
    let mut connection = connect(at).await;
    connection.execute(statement).await.unwrap();
    connection.close().await.unwrap();
}

/// A connection that goes behind the program's back.
pub(super) async fn connect(at: &TestDatabase) -> AnyConnection {
    sqlx::any::install_default_drivers();
    let url = match at.url().strip_prefix("sqlite://") {
        Some(path) => format!("sqlite://{}", path.replace('%', "%25").replace(' ', "%20").replace('#', "%23")),
        None => at.url().to_owned(),
    };
    AnyConnection::connect(&url).await.unwrap()
}

#[test]
fn every_migration_is_embedded_in_order() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> = files.filter_map(|file| file.strip_suffix(".sql").map(str::to_owned)).collect();
    files.sort();
    assert_eq!(Database::migrations().collect::<Vec<_>>(), files);
    for (number, file) in (1..).zip(&files) {
        assert!(file.starts_with(&format!("{number:04}_")), "{file} is the next");
    }
}

#[tokio::test]
async fn a_sqlite_file_is_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("new/data");
    let url = format!("sqlite://{}/pymd.db", below.display());
    let database = Database::open(&url, &DatabaseOptions::default()).await.unwrap();
    new_user(&database).await;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&below), 0o700);
    let files: Vec<_> = fs::read_dir(&below).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.iter().any(|file| file.ends_with("pymd.db-wal")), "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn addresses_that_name_no_database_are_refused_without_their_passwords() {
    let bad = [
        "",
        "pymd.db",
        "mysql://hidden:hidden@localhost/pymd",
        "sqlite://",
        "sqlite://:memory:",
        "sqlite:///tmp/x?mode=memory&hidden",
        "postgres://",
        "postgres://hidden:hidden@localhost",
        "postgres://hidden:hidden@localhost:port/pymd",
        "postgres://hidden:hidden@localhost/pymd?sslmode=hidden",
    ];
    for url in bad {
        let error = Database::open(url, &DatabaseOptions::default()).await.unwrap_err();
        assert!(matches!(error, StoreError::Url { .. }), "{url}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("hidden:"), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_its_password_is_not_shown() {
    // Nobody listens on a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://ada:hunter2@127.0.0.1:{port}/pymd");
    let error = Database::open(&url, &DatabaseOptions::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    fs::write(&path, "these are notes and no database, and they are longer than a header. ".repeat(100)).unwrap();
    let url = format!("sqlite://{}", path.display());
    let error = Database::open(&url, &DatabaseOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("not a database"), "{error}");
}

#[tokio::test]
async fn what_is_shown_of_a_database_has_no_password() {
    let database = TestDatabase::postgres().await.open().await;
    assert!(database.place().starts_with("PostgreSQL, /"), "{}", database.place());
    assert!(!database.place().contains("pymd@"), "{}", database.place());
    assert_eq!(format!("{database:?}"), format!("Database({:?})", database.place()));
}
