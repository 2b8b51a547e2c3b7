//! API keys, and who comes with one.
//!
//! A key is 256 random bits. The database has its SHA-256 only: who reads the database cannot use it, and a slow hash
//! would add nothing to a secret that cannot be guessed. For the same reason the look-up need not take constant time:
//! it compares hashes, and who tries keys cannot choose their hashes, so that learning how much of one is right would
//! tell nothing about a key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;

use super::Database;
use super::error::{StoreError, is_duplicate};
use super::rows::{Columns as _, clean, micros, now};
use super::tiers::lock_user;
use super::transaction::Lock;
use super::users::{NewUser, columns as user_columns, found, insert_user, read_user};
use crate::domain::{ApiKey, KeyId, Role, Scopes, User, UserId};

/// What a key's text begins with: leaked keys are found by it.
const PREFIX: &str = "pymd_";
/// Bytes of randomness in a key.
const KEY_BYTES: usize = 32;
/// Characters of the text that are shown later; the 36 others are as good as a key.
const SHOWN_CHARS: usize = 12;
/// A key's name is not longer.
const MAX_NAME_BYTES: usize = 200;
/// No text that is longer is looked up.
const MAX_TEXT_BYTES: usize = 512;
/// Keys of one user that are not revoked.
const MAX_KEYS: u64 = 100;
/// When a key was used last is known this exactly, so that not every request writes.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// The text of an API key, shown to its owner once.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText(String);

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(..)")
    }
}

impl KeyText {
    /// The text itself, for its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn random() -> Result<Self, StoreError> {
        let mut bytes = [0_u8; KEY_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| StoreError::Random { reason: error.to_string() })?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// The text's beginning, to know the key by.
    fn prefix(&self) -> String {
        self.0.chars().take(SHOWN_CHARS).collect()
    }
}

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What its owner calls it.
    pub name: String,
    /// What it may be used for, as far as the owner's role allows it.
    pub scopes: Scopes,
    /// From when on it is not accepted.
    pub expires_at: Option<Timestamp>,
}

/// Who comes with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// The user.
    pub user: User,
    /// The key.
    pub key: KeyId,
    /// What the key may be used for, as far as the user's role allows it.
    pub scopes: Scopes,
    /// From when on it is not accepted.
    pub expires_at: Option<Timestamp>,
    /// Whether it is the key of the one who runs the server.
    pub is_bootstrap: bool,
}

/// Why nobody comes with a key.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// There is no such key, or it is not accepted any more.
    #[error("the API key is not known, has expired or was revoked")]
    Unknown,
    /// The user is shut out.
    #[error("the account is suspended")]
    Suspended,
    /// The database's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub enum CreateKeyError {
    /// The user has as many as one may.
    #[error("there are {live} API keys already; revoke one first")]
    TooMany {
        /// How many.
        live: u64,
    },
    /// There is no such user, or the database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Database {
    /// Makes an API key. Its text is returned here, and never again.
    ///
    /// # Errors
    /// There is no such user, or they have 100 keys that are not revoked: two requests at once never pass together.
    pub async fn create_key(&self, user: UserId, new: &NewKey) -> Result<(ApiKey, KeyText), CreateKeyError> {
        let text = KeyText::random()?;
        let key = ApiKey {
            id: KeyId::new(),
            name: clean(&new.name, MAX_NAME_BYTES),
            prefix: text.prefix(),
            scopes: new.scopes,
            created_at: now(),
            last_used_at: None,
            expires_at: new.expires_at,
            revoked_at: None,
        };
        let mut write = self.write().await?;
        lock_user(&mut write, user).await?;
        let live = sqlx::query(
            "SELECT COUNT(*) AS live FROM api_keys WHERE user_id = $1 AND is_bootstrap = 0 AND revoked_at IS NULL",
        );
        let live = live.bind(user.to_string()).fetch_one(write.on()).await.map_err(StoreError::from)?.count("live")?;
        if live >= MAX_KEYS {
            return Err(CreateKeyError::TooMany { live });
        }
        let insert = sqlx::query(
            "INSERT INTO api_keys (id, user_id, name, prefix, hash, created_at, expires_at, scopes)
            SELECT $1, id, $3, $4, $5, $6, $7, $8 FROM users WHERE id = $2",
        );
        let insert = insert.bind(key.id.to_string()).bind(user.to_string()).bind(key.name.clone());
        let insert = insert.bind(key.prefix.clone()).bind(hash(&text.0));
        let insert = insert.bind(micros(key.created_at)).bind(key.expires_at.map(micros)).bind(key.scopes.to_string());
        let inserted = insert.execute(write.on()).await.map_err(StoreError::from)?.rows_affected();
        found("user", inserted)?;
        write.commit().await?;
        Ok((key, text))
    }

    /// The keys of a user, the eldest first; the key of the one who runs the server is not among them.
    ///
    /// # Errors
    /// The database's.
    pub async fn keys(&self, user: UserId) -> Result<Vec<ApiKey>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, name, prefix, scopes, created_at, last_used_at, expires_at, revoked_at FROM api_keys
            WHERE user_id = $1 AND is_bootstrap = 0 ORDER BY created_at, id",
        );
        let rows = rows.bind(user.to_string()).fetch_all(self.pool()).await?;
        rows.iter().map(read_key).collect()
    }

    /// Revokes a key: it is not accepted from now on.
    ///
    /// # Errors
    /// The user has no such key.
    pub async fn revoke_key(&self, user: UserId, key: KeyId) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        let update = sqlx::query(
            "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $3)
            WHERE id = $1 AND user_id = $2 AND is_bootstrap = 0",
        );
        let update = update.bind(key.to_string()).bind(user.to_string()).bind(micros(now()));
        found("API key", update.execute(write.on()).await?.rows_affected())?;
        write.commit().await
    }

    /// Who comes with this key.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn authenticate(&self, text: &str) -> Result<Authenticated, AuthenticateError> {
        if text.is_empty() || text.len() > MAX_TEXT_BYTES {
            return Err(AuthenticateError::Unknown);
        }
        let row = sqlx::query(concat!(
            "SELECT k.id AS key_id, k.is_bootstrap, k.scopes, k.expires_at, k.last_used_at, ",
            user_columns!(),
            " FROM api_keys k JOIN users u ON u.id = k.user_id
                WHERE k.hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)",
        ));
        let now = now();
        let row = row.bind(hash(text)).bind(micros(now)).fetch_optional(self.pool()).await;
        let row = row.map_err(StoreError::from)?.ok_or(AuthenticateError::Unknown)?;
        let user = read_user(&row)?;
        if user.suspended_at.is_some_and(|since| since <= now) {
            return Err(AuthenticateError::Suspended);
        }
        let key = row.parsed("key_id")?;
        if let Err(error) = self.touch_key(key, row.maybe_time("last_used_at")?, now).await {
            tracing::warn!(%key, %error, "cannot note that the API key was used");
        }
        let is_bootstrap = row.flag("is_bootstrap")?;
        let scopes = if is_bootstrap { Scopes::of(Role::Admin) } else { row.parsed("scopes")? };
        Ok(Authenticated { scopes, expires_at: row.maybe_time("expires_at")?, user, key, is_bootstrap })
    }

    async fn touch_key(&self, key: KeyId, last: Option<Timestamp>, now: Timestamp) -> Result<(), StoreError> {
        if !is_stale(last, now) {
            return Ok(());
        }
        let mut write = self.write().await?;
        let update = sqlx::query("UPDATE api_keys SET last_used_at = $2 WHERE id = $1");
        update.bind(key.to_string()).bind(micros(now)).execute(write.on()).await?;
        write.commit().await
    }

    /// Whether another token than this one opens the account of who runs the servers of this database.
    ///
    /// # Errors
    /// The database's.
    pub async fn has_other_admin_token(&self, token: &str) -> Result<bool, StoreError> {
        let key = sqlx::query("SELECT hash FROM api_keys WHERE is_bootstrap = 1").fetch_optional(self.pool()).await?;
        Ok(match key {
            Some(key) => key.text("hash")? != hash(token),
            None => false,
        })
    }

    /// The first admin: the one whom [`Database::ensure_admin`] has made.
    ///
    /// # Errors
    /// The database's.
    pub async fn first_admin(&self) -> Result<Option<User>, StoreError> {
        let key =
            sqlx::query("SELECT user_id FROM api_keys WHERE is_bootstrap = 1").fetch_optional(self.pool()).await?;
        match key {
            Some(key) => self.user(key.parsed("user_id")?).await,
            None => Ok(None),
        }
    }

    /// Makes `token` the key of the first admin, whom it makes at the first start. A token that was given earlier is
    /// not accepted any more; a first admin who was suspended or made a plain user is an admin again: who runs the
    /// server always gets in. Any number of servers may call this at once.
    ///
    /// # Errors
    /// [`StoreError::TokenTaken`] when the token is somebody's API key.
    pub async fn ensure_admin(&self, token: &str) -> Result<User, StoreError> {
        let hash = hash(token);
        let mut write = self.write().await?;
        write.lock(Lock::FirstAdmin).await?;
        let key = sqlx::query("SELECT id, user_id, hash FROM api_keys WHERE is_bootstrap = 1");
        let user_id = if let Some(key) = key.fetch_optional(write.on()).await? {
            let user_id: UserId = key.parsed("user_id")?;
            if key.text("hash")? != hash {
                let update = sqlx::query("UPDATE api_keys SET hash = $2, created_at = $3 WHERE id = $1");
                let update = update.bind(key.text("id")?).bind(hash).bind(micros(now()));
                update.execute(write.on()).await.map_err(token_error)?;
            }
            let update = sqlx::query("UPDATE users SET role = $2, suspended_at = NULL WHERE id = $1");
            update.bind(user_id.to_string()).bind(Role::Admin.as_str()).execute(write.on()).await?;
            user_id
        } else {
            let new = NewUser { name: "admin".to_owned(), email: None, role: Role::Admin, tier: "PRO".to_owned() };
            let user = insert_user(&mut write, &new).await?;
            let insert = sqlx::query(
                "INSERT INTO api_keys (id, user_id, name, prefix, hash, is_bootstrap, created_at)
                VALUES ($1, $2, 'admin token', '', $3, 1, $4)",
            );
            let insert = insert.bind(KeyId::new().to_string()).bind(user.id.to_string()).bind(hash);
            insert.bind(micros(now())).execute(write.on()).await.map_err(token_error)?;
            user.id
        };
        write.commit().await?;
        self.user(user_id).await?.ok_or(StoreError::Missing { what: "user" })
    }
}

fn token_error(error: sqlx::Error) -> StoreError {
    if is_duplicate(&error) { StoreError::TokenTaken } else { error.into() }
}

/// Whether what was noted as last used at `last` is worth another note.
pub(super) fn is_stale(last: Option<Timestamp>, now: Timestamp) -> bool {
    last.is_none_or(|last| now.duration_since(last) >= TOUCH_EVERY)
}

pub(super) fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn read_key(row: &AnyRow) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: row.parsed("id")?,
        name: row.text("name")?,
        prefix: row.text("prefix")?,
        scopes: row.parsed("scopes")?,
        created_at: row.time("created_at")?,
        last_used_at: row.maybe_time("last_used_at")?,
        expires_at: row.maybe_time("expires_at")?,
        revoked_at: row.maybe_time("revoked_at")?,
    })
}
