//! Who comes with a token or an API key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ServiceError;
use crate::domain::{ApiKey, KeyId, Role, User, UserId};
use crate::store::{AuthenticateError, Database, NewKey, NewUser};

/// For so long the database is not asked again: a key that is revoked, or a user who is shut out, is so at the latest
/// after that.
const TRUSTED: Duration = Duration::from_secs(2);
/// Callers that are remembered at once.
const REMEMBERED: usize = 10_000;
/// A name is not longer.
const MAX_NAME_CHARS: usize = 200;

/// An API key to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What its owner calls it: 1 to 200 characters.
    pub name: String,
    /// From when on it is not accepted; absent: never.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// An API key that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CreatedKey {
    /// The key's text. It is shown here and never again.
    pub key: String,
    /// What is known of it later.
    #[serde(flatten)]
    pub about: ApiKey,
}

/// A user to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// What they are called: 1 to 200 characters.
    pub name: String,
    /// Where mail reaches them.
    #[serde(default)]
    pub email: Option<String>,
    /// What they may do. Default: `user`.
    #[serde(default)]
    pub role: Option<Role>,
    /// The name of their tier. Default: `FREE`.
    #[serde(default)]
    pub tier: Option<String>,
}

/// A user that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CreatedUser {
    /// Their first API key. It is shown here and never again.
    pub key: String,
    /// The user.
    #[serde(flatten)]
    pub user: User,
}

/// Knows who comes. Cloning shares it.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    database: Database,
    /// By the SHA-256 of what they came with.
    known: Mutex<HashMap<[u8; 32], (User, Instant)>>,
}

/// Why nobody comes.
#[derive(Debug)]
pub enum NobodyComes {
    /// There is no such token or key, or it is not accepted any more.
    Unknown,
    /// The user is shut out.
    Suspended,
    /// We can't say.
    Service(ServiceError),
}

impl Accounts {
    /// The accounts of a database.
    pub fn new(database: Database) -> Self {
        Self(Arc::new(Inner { database, known: Mutex::default() }))
    }

    /// Who comes with this token or key.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn authenticate(&self, text: &str) -> Result<User, NobodyComes> {
        let digest: [u8; 32] = Sha256::digest(text).into();
        if let Some(user) = self.remembered(&digest) {
            return Ok(user);
        }
        let found = self.0.database.authenticate(text).await.map_err(|error| match error {
            AuthenticateError::Unknown => NobodyComes::Unknown,
            AuthenticateError::Suspended => NobodyComes::Suspended,
            AuthenticateError::Store(error) => NobodyComes::Service(ServiceError::internal(&error)),
        })?;
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, (_, since)| since.elapsed() < TRUSTED);
        }
        if known.len() < REMEMBERED {
            known.insert(digest, (found.user.clone(), Instant::now()));
        }
        Ok(found.user)
    }

    fn remembered(&self, digest: &[u8; 32]) -> Option<User> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(digest).filter(|(_, since)| since.elapsed() < TRUSTED).map(|(user, _)| user.clone())
    }

    /// The API keys of a user.
    ///
    /// # Errors
    /// The database's.
    pub async fn keys(&self, user: &User) -> Result<Vec<ApiKey>, ServiceError> {
        Ok(self.0.database.keys(user.id).await?)
    }

    /// Makes an API key for a user.
    ///
    /// # Errors
    /// Its name is none, its end is past, or the user has too many.
    pub async fn create_key(&self, user: &User, request: CreateKey) -> Result<CreatedKey, ServiceError> {
        let name = checked_name(&request.name)?;
        if request.expires_at.is_some_and(|at| at <= Timestamp::now()) {
            let message = "must lie in the future".to_owned();
            return Err(ServiceError::Invalid { field: "expires_at".to_owned(), message });
        }
        let new = NewKey { name, expires_at: request.expires_at };
        let (about, text) = self.0.database.create_key(user.id, &new).await?;
        Ok(CreatedKey { key: text.expose().to_owned(), about })
    }

    /// Revokes an API key of a user: here at once, on other servers within two seconds.
    ///
    /// # Errors
    /// There is none.
    pub async fn revoke_key(&self, user: &User, id: KeyId) -> Result<(), ServiceError> {
        self.0.database.revoke_key(user.id, id).await?;
        self.forget(user.id);
        Ok(())
    }

    /// A user has changed: here it holds at once.
    pub fn forget(&self, user: UserId) {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, (known, _)| known.id != user);
    }

    /// Makes a user with an API key.
    ///
    /// # Errors
    /// The name is none, or there is no such tier.
    pub async fn create_user(&self, request: CreateUser) -> Result<CreatedUser, ServiceError> {
        let new = NewUser {
            name: checked_name(&request.name)?,
            email: request.email,
            role: request.role.unwrap_or(Role::User),
            tier: request.tier.unwrap_or_else(|| "FREE".to_owned()),
        };
        let user = self.0.database.create_user(&new).await.map_err(|error| match ServiceError::from(error) {
            ServiceError::NotFound { what: "tier" } => {
                ServiceError::Invalid { field: "tier".to_owned(), message: "there is no such tier".to_owned() }
            }
            error => error,
        })?;
        let key = NewKey { name: "first key".to_owned(), expires_at: None };
        let (_, text) = self.0.database.create_key(user.id, &key).await?;
        Ok(CreatedUser { key: text.expose().to_owned(), user })
    }
}

fn checked_name(name: &str) -> Result<String, ServiceError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
        let message = format!("must have 1 to {MAX_NAME_CHARS} characters");
        return Err(ServiceError::Invalid { field: "name".to_owned(), message });
    }
    Ok(name.to_owned())
}
