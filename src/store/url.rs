//! Which database: its address, checked, and what can be shown of it.

use std::path::{Path, PathBuf};

use url::Url;

use super::error::StoreError;

/// A database's address.
pub(super) enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Url),
}

impl DatabaseUrl {
    /// `sqlite://PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`. Messages never repeat the address: it may hold a
    /// password.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let error = |reason: &str| StoreError::Url { reason: reason.to_owned() };
        if let Some(path) = text.strip_prefix("sqlite://") {
            if path.is_empty() || path == ":memory:" || path.contains(['?', '\0']) {
                return Err(error("`sqlite://` is followed by the path of a file, without `?`"));
            }
            let path = std::path::absolute(path).map_err(|source| error(&source.to_string()))?;
            return Ok(Self::Sqlite(path));
        }
        if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err(error("it must begin with `sqlite://` or `postgres://`"));
        }
        let url = Url::parse(text).map_err(|source| error(&source.to_string()))?;
        if url.path().trim_start_matches('/').is_empty() {
            return Err(error("it names no database: `postgres://user@host/database`"));
        }
        Ok(Self::Postgres(url))
    }

    /// What sqlx wants.
    pub fn to_sqlx(&self) -> Result<Url, StoreError> {
        match self {
            Self::Sqlite(path) => sqlite_url(path),
            Self::Postgres(url) => Ok(url.clone()),
        }
    }

    /// Where the database is, without user and password.
    pub fn place(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("SQLite, `{}`", path.display()),
            Self::Postgres(url) => {
                let host = url.host_str().unwrap_or("localhost").replace("%2F", "/");
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                format!("PostgreSQL, {host}{port}{}", url.path())
            }
        }
    }
}

/// The path as sqlx decodes it: percent-encoded behind the scheme. The file is there already.
fn sqlite_url(path: &Path) -> Result<Url, StoreError> {
    let error = |reason: String| StoreError::Url { reason };
    let not_a_path = || error("the path of the database is not usable".to_owned());
    let file = Url::from_file_path(path).map_err(|()| not_a_path())?;
    Url::parse(&format!("sqlite://{}?mode=rw", file.path())).map_err(|source| error(source.to_string()))
}
