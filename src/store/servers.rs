//! Which of the servers of a database live.
//!
//! A SQLite database is one machine's: each server holds a lock on a file beside it as long as its process lives, and the
//! system lets go of it however that ends. Servers of a PostgreSQL database say now and then that they are there, and are
//! taken for dead when they were not heard of for their lease.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::Database;
use super::error::StoreError;
use super::rows::{Columns as _, micros, now};
use super::transaction::Write;

/// Before the others take a server for dead, it does so itself.
const MARGIN: f64 = 0.7;

/// A server among those of its database. Cloning shares it; it is there as long as one of them lives.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    id: String,
    lease: Duration,
    presence: Presence,
}

enum Presence {
    /// The lock on a file.
    Lock { file: PathBuf, _locked: File },
    /// Until then it may take itself for alive.
    Lease(Mutex<Instant>),
}

impl Server {
    /// Its name among the others.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Whether no other server can take it for dead now.
    pub fn is_sure(&self) -> bool {
        match &self.0.presence {
            Presence::Lock { .. } => true,
            Presence::Lease(until) => Instant::now() < *until.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// How often it is to be said that it is there.
    pub fn heartbeat(&self) -> Duration {
        self.0.lease / 4
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Presence::Lock { file, .. } = &self.presence {
            // Where it can't be removed, it is a file that nobody has locked.
            let _ = fs::remove_file(file);
        }
    }
}

impl Database {
    /// A new server among those of this database, which is taken for dead when it was not heard of for `lease`.
    ///
    /// # Errors
    /// The database's.
    pub async fn appear(&self, lease: Duration) -> Result<Server, StoreError> {
        let id = Uuid::now_v7().to_string();
        let presence = match self.file() {
            Some(database) => {
                let file = servers_dir(database).join(&id);
                let locked = lock_new(&file).map_err(|source| StoreError::File { path: file.clone(), source })?;
                Presence::Lock { file, _locked: locked }
            }
            None => Presence::Lease(Mutex::new(Instant::now())),
        };
        let server = Server(Arc::new(Inner { id, lease, presence }));
        self.stay(&server).await?;
        Ok(server)
    }

    /// Says that a server is there. Where it is not said in time, [`Server::is_sure`] says no.
    ///
    /// # Errors
    /// The database's.
    pub async fn stay(&self, server: &Server) -> Result<(), StoreError> {
        let Presence::Lease(until) = &server.0.presence else { return Ok(()) };
        // Counted from before it is said: what others count from is later.
        let said = Instant::now();
        let mut write = self.write().await?;
        let lease_until = now_of(&mut write).await?.saturating_add(server.0.lease).unwrap_or(jiff::Timestamp::MAX);
        let upsert = sqlx::query(
            "INSERT INTO servers (id, lease_until) VALUES ($1, $2)
            ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until",
        );
        upsert.bind(server.id().to_owned()).bind(micros(lease_until)).execute(write.on()).await?;
        write.commit().await?;
        *until.lock().unwrap_or_else(PoisonError::into_inner) = said + server.0.lease.mul_f64(MARGIN);
        Ok(())
    }

    /// Forgets servers that were not heard of for so long.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_servers(&self, age: Duration) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let before = now().saturating_sub(age).unwrap_or(jiff::Timestamp::MIN);
        // (Ages are long: any clock will do.)
        let delete = sqlx::query("DELETE FROM servers WHERE lease_until < $1");
        delete.bind(micros(before)).execute(write.on()).await?;
        write.commit().await?;
        let Some(database) = self.file() else { return Ok(()) };
        for entry in fs::read_dir(servers_dir(database)).into_iter().flatten().flatten() {
            let path = entry.path();
            // Removed while it is held: whoever has just made it finds that it is gone.
            if let Ok(file) = File::open(&path)
                && file.try_lock().is_ok()
            {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    /// Whether a server may still hold what it held.
    pub(super) async fn is_alive(&self, write: &mut Write, server: &str) -> Result<bool, StoreError> {
        if let Some(database) = self.file() {
            // An id, which the database was given by `appear`, and nothing with a slash.
            return Ok(server.parse::<Uuid>().is_ok() && is_locked(&servers_dir(database).join(server)));
        }
        let row = sqlx::query("SELECT lease_until FROM servers WHERE id = $1");
        let row = row.bind(server.to_owned()).fetch_optional(write.on()).await?;
        let Some(row) = row else { return Ok(false) };
        Ok(row.time("lease_until")? > now_of(write).await?)
    }
}

/// The time by the clock that all servers of a PostgreSQL database share: their own ones may differ by more than a lease.
async fn now_of(write: &mut Write) -> Result<jiff::Timestamp, StoreError> {
    let row = sqlx::query("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS time");
    row.fetch_one(write.on()).await?.time("time")
}

fn servers_dir(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".servers");
    path.into()
}

fn lock_new(path: &Path) -> std::io::Result<File> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.lock()?;
        // Until it was locked, it was a dead server's for whoever swept up.
        if fs::metadata(path).is_ok_and(|there| file.metadata().is_ok_and(|own| own.ino() == there.ino())) {
            return Ok(file);
        }
    }
}

fn is_locked(path: &Path) -> bool {
    // One that can't be opened is gone. (Where it can't be told, the server is alive.)
    match File::open(path) {
        Ok(file) => !matches!(file.try_lock_shared(), Ok(())),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}
