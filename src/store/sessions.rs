//! Browsers that are logged in. As with API keys the database has the SHA-256 of 256 random bits only.

use jiff::{SignedDuration, Timestamp};

use super::Database;
use super::error::StoreError;
use super::keys::{hash, is_stale};
use super::rows::{Columns as _, micros, now, number};
use super::tiers::lock_user;
use super::users::{columns as user_columns, read_user};
use crate::domain::{User, UserId};

/// Sessions of one user; beyond that those go that were used longest ago.
const MAX_SESSIONS: u64 = 50;
/// No text that is longer is looked up.
const MAX_TEXT_BYTES: usize = 128;
/// Bytes of randomness.
const BYTES: usize = 32;

/// A session that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose it is. They may be shut out.
    pub user: User,
    /// When it is over, however much it is used.
    pub expires_at: Timestamp,
}

impl Database {
    /// Begins a session, and answers its text, for the first and last time. Sessions that are over go.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn begin_session(&self, user: UserId, lasts: SignedDuration) -> Result<String, StoreError> {
        let text = hex::encode(random()?);
        let now = now();
        let end = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
        let mut write = self.write().await?;
        lock_user(&mut write, user).await?;
        let delete = sqlx::query("DELETE FROM sessions WHERE expires_at <= $1").bind(micros(now));
        delete.execute(write.on()).await?;
        let insert = sqlx::query(
            "INSERT INTO sessions (hash, user_id, created_at, last_used_at, expires_at) VALUES ($1, $2, $3, $3, $4)",
        );
        let insert = insert.bind(hash(&text)).bind(user.to_string()).bind(micros(now)).bind(micros(end));
        insert.execute(write.on()).await?;
        let delete = sqlx::query(
            "DELETE FROM sessions WHERE hash IN (
                SELECT hash FROM sessions WHERE user_id = $1 ORDER BY last_used_at DESC, hash LIMIT 1000 OFFSET $2
            )",
        );
        delete.bind(user.to_string()).bind(number(MAX_SESSIONS)).execute(write.on()).await?;
        write.commit().await?;
        Ok(text)
    }

    /// The session with this text, if it was used within `idle` and is not over.
    ///
    /// # Errors
    /// The database's.
    pub async fn session(&self, text: &str, idle: SignedDuration) -> Result<Option<Session>, StoreError> {
        if text.len() > MAX_TEXT_BYTES {
            return Ok(None);
        }
        let now = now();
        let row = sqlx::query(concat!(
            "SELECT s.last_used_at, s.expires_at, ",
            user_columns!(),
            " FROM sessions s JOIN users u ON u.id = s.user_id
                WHERE s.hash = $1 AND s.expires_at > $2 AND s.last_used_at > $3"
        ));
        let used_since = now.checked_sub(idle).unwrap_or(Timestamp::MIN);
        let row = row.bind(hash(text)).bind(micros(now)).bind(micros(used_since));
        let Some(row) = row.fetch_optional(self.pool()).await? else { return Ok(None) };
        if is_stale(Some(row.time("last_used_at")?), now) {
            let mut write = self.write().await?;
            let update = sqlx::query("UPDATE sessions SET last_used_at = $2 WHERE hash = $1");
            update.bind(hash(text)).bind(micros(now)).execute(write.on()).await?;
            write.commit().await?;
        }
        Ok(Some(Session { user: read_user(&row)?, expires_at: row.time("expires_at")? }))
    }

    /// Ends a session, if it is there.
    ///
    /// # Errors
    /// The database's.
    pub async fn end_session(&self, text: &str) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query("DELETE FROM sessions WHERE hash = $1").bind(hash(text)).execute(write.on()).await?;
        write.commit().await
    }

    /// A secret of that name, the same for all servers of this database: made up by the first that asks.
    ///
    /// # Errors
    /// The database's, or the system has no randomness.
    pub async fn secret(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let mut write = self.write().await?;
        let insert = sqlx::query("INSERT INTO secrets (name, secret) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING");
        insert.bind(name).bind(hex::encode(random()?)).execute(write.on()).await?;
        let row = sqlx::query("SELECT secret FROM secrets WHERE name = $1").bind(name).fetch_one(write.on()).await?;
        write.commit().await?;
        let bad =
            |error: hex::FromHexError| StoreError::Corrupt { column: "secret".to_owned(), reason: error.to_string() };
        hex::decode(row.text("secret")?).map_err(bad)
    }
}

fn random() -> Result<[u8; BYTES], StoreError> {
    let mut bytes = [0_u8; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Random { reason: error.to_string() })?;
    Ok(bytes)
}
