//! Who comes with a token or an API key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use super::ServiceError;
use crate::auth::{AuthError, Provider, Purpose, Refused};
use crate::domain::{ApiKey, AuthPolicy, KeyId, Means, Principal, Role, Scope, Scopes, User, UserId};
use crate::store::{AuthenticateError, Database, NewKey, NewUser};

/// For so long the database is not asked again: a key that is revoked, or a user who is shut out, is so at the latest
/// after that.
const TRUSTED: Duration = Duration::from_secs(2);
/// Callers that are remembered at once.
const REMEMBERED: usize = 10_000;
/// Nothing longer is looked at.
const MAX_TEXT_BYTES: usize = 16 << 10;
/// A name is not longer.
const MAX_NAME_CHARS: usize = 200;

/// An API key to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What its owner calls it: 1 to 200 characters.
    pub name: String,
    /// What it may be used for. Default: all that the caller's own credential may be used for; never more than that.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Scope>>)]
    pub scopes: Option<Scopes>,
    /// From when on it is not accepted; absent: never. A key that is made with a key ends with it at the latest.
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
    policy: AuthPolicy,
    provider: Option<Provider>,
    /// What logins are kept together by.
    login_secret: OnceCell<Vec<u8>>,
    /// By the SHA-256 of what they came with.
    known: Mutex<HashMap<[u8; 32], (Principal, Instant)>>,
}

/// Why nobody comes.
#[derive(Debug)]
pub enum NobodyComes {
    /// There is no such token or key, or it is not accepted any more.
    Unknown,
    /// It is a token of the identity provider, or looks like one, and is not accepted.
    Refused(Refused),
    /// The user is shut out.
    Suspended,
    /// We can't say.
    Service(ServiceError),
}

impl Accounts {
    /// The accounts of a database, and of the identity provider of the policy.
    ///
    /// # Errors
    /// The provider can't be used.
    pub fn new(database: Database, policy: AuthPolicy) -> Result<Self, AuthError> {
        let provider = policy.provider.clone().map(Provider::new).transpose()?;
        let (known, login_secret) = (Mutex::default(), OnceCell::new());
        Ok(Self(Arc::new(Inner { database, policy, provider, login_secret, known })))
    }

    /// How people get in.
    pub fn policy(&self) -> &AuthPolicy {
        &self.0.policy
    }

    pub(super) fn database(&self) -> &Database {
        &self.0.database
    }

    pub(super) fn provider(&self) -> Option<&Provider> {
        self.0.provider.as_ref()
    }

    pub(super) fn login_secret(&self) -> &OnceCell<Vec<u8>> {
        &self.0.login_secret
    }

    /// Who comes with this token or key.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn authenticate(&self, text: &str) -> Result<Principal, NobodyComes> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(NobodyComes::Refused(Refused::TooLong));
        }
        let digest = digest("token", text);
        if let Some(principal) = self.remembered(&digest) {
            return Ok(principal);
        }
        let principal = match self.by_token(text).await {
            // Nothing keeps who runs the server from choosing a token that looks so.
            Some(Err(refused @ NobodyComes::Refused(Refused::Malformed))) => {
                let found = self.by_key(text).await;
                found.map_err(|error| if matches!(error, NobodyComes::Unknown) { refused } else { error })?
            }
            Some(found) => found?,
            None => self.by_key(text).await?,
        };
        self.remember(digest, &principal);
        Ok(principal)
    }

    /// Who comes with a browser's session.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn authenticate_session(&self, text: &str) -> Result<Principal, NobodyComes> {
        let digest = digest("session", text);
        if let Some(principal) = self.remembered(&digest) {
            return Ok(principal);
        }
        let principal = self.by_session(text).await?;
        self.remember(digest, &principal);
        Ok(principal)
    }

    fn remember(&self, digest: [u8; 32], principal: &Principal) {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, (_, since)| since.elapsed() < TRUSTED);
        }
        if known.len() < REMEMBERED {
            known.insert(digest, (principal.clone(), Instant::now()));
        }
    }

    /// From now on a session is asked for again.
    pub(super) fn forget_session(&self, text: &str) {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest("session", text));
    }

    async fn by_key(&self, text: &str) -> Result<Principal, NobodyComes> {
        let found = self.0.database.authenticate(text).await.map_err(|error| match error {
            AuthenticateError::Unknown => NobodyComes::Unknown,
            AuthenticateError::Suspended => NobodyComes::Suspended,
            AuthenticateError::Store(error) => NobodyComes::Service(ServiceError::internal(&error)),
        })?;
        let scopes = found.scopes.and(Scopes::of(found.user.role));
        let means = if found.is_bootstrap { Means::ServerToken } else { Means::ApiKey };
        Ok(Principal { user: found.user, means, scopes, expires_at: found.expires_at })
    }

    /// Who comes with a token of the provider, if this can be one.
    async fn by_token(&self, text: &str) -> Option<Result<Principal, NobodyComes>> {
        let provider = self.0.provider.as_ref().filter(|_| Provider::is_token(text))?;
        Some(
            async {
                let verified = provider.verify(text, Purpose::Access).await.map_err(NobodyComes::Refused)?;
                let user = self.0.database.user_of_identity(&verified.identity).await;
                let user = user.map_err(|error| NobodyComes::Service(ServiceError::internal(&error)))?;
                if user.suspended_at.is_some_and(|since| since <= Timestamp::now()) {
                    return Err(NobodyComes::Suspended);
                }
                let scopes = Scopes::of(user.role);
                Ok(Principal { user, means: Means::AccessToken, scopes, expires_at: Some(verified.until) })
            }
            .await,
        )
    }

    fn remembered(&self, digest: &[u8; 32]) -> Option<Principal> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (principal, _) = known.get(digest).filter(|(_, since)| since.elapsed() < TRUSTED)?;
        let is_over = principal.expires_at.is_some_and(|end| end <= Timestamp::now());
        (!is_over).then(|| principal.clone())
    }

    /// The API keys of a user.
    ///
    /// # Errors
    /// The database's.
    pub async fn keys(&self, user: &User) -> Result<Vec<ApiKey>, ServiceError> {
        Ok(self.0.database.keys(user.id).await?)
    }

    /// Makes an API key for who came; it may be used for no more, and for no longer, than what they came with.
    ///
    /// # Errors
    /// Its name is none, it would be used for more, its end is past, or the user has too many.
    pub async fn create_key(&self, maker: &Principal, request: CreateKey) -> Result<CreatedKey, ServiceError> {
        let invalid = |field: &str, message: String| Err(ServiceError::Invalid { field: field.to_owned(), message });
        let name = checked_name(&request.name)?;
        let scopes = request.scopes.unwrap_or(maker.scopes);
        if scopes.is_empty() {
            return invalid("scopes", "a key is for something".to_owned());
        }
        if scopes.and(maker.scopes) != scopes {
            let message = format!("may be those of what you came with at most: {}", maker.scopes);
            return invalid("scopes", message);
        }
        if request.expires_at.is_some_and(|at| at <= Timestamp::now()) {
            return invalid("expires_at", "must lie in the future".to_owned());
        }
        // A token of the provider or a session proves who its user is; a key is only what its maker gave away.
        let end = maker.expires_at.filter(|_| maker.means == Means::ApiKey);
        if let (Some(asked), Some(end)) = (request.expires_at, end)
            && asked > end
        {
            return invalid(
                "expires_at",
                format!("the key that you came with ends at {end}; make this one end by then"),
            );
        }
        let new = NewKey { name, scopes, expires_at: request.expires_at.or(end) };
        let (about, text) = self.0.database.create_key(maker.user.id, &new).await?;
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
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, (known, _)| known.user.id != user);
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
        // Whatever their role allows, also later: with it they make keys for less.
        let key = NewKey { name: "first key".to_owned(), scopes: Scopes::of(Role::Admin), expires_at: None };
        let (_, text) = self.0.database.create_key(user.id, &key).await?;
        Ok(CreatedUser { key: text.expose().to_owned(), user })
    }
}

/// By what somebody is remembered. A session is no token, and the other way round.
fn digest(kind: &str, text: &str) -> [u8; 32] {
    Sha256::new().chain_update(kind).chain_update([0]).chain_update(text).finalize().into()
}

fn checked_name(name: &str) -> Result<String, ServiceError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS {
        let message = format!("must have 1 to {MAX_NAME_CHARS} characters");
        return Err(ServiceError::Invalid { field: "name".to_owned(), message });
    }
    Ok(name.to_owned())
}
