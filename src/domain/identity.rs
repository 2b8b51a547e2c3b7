//! Who somebody is elsewhere, what a credential may be used for, and how those from elsewhere are known.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text_enum::text_enum;
use super::{Role, UnknownWord, User};

/// What a credential may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Scope {
    /// See what one has.
    Read,
    /// Change what one has.
    Write,
    /// Run code.
    Execute,
    /// What only admins may.
    Admin,
}

text_enum!(Scope, "scope" { Read => "read", Write => "write", Execute => "execute", Admin => "admin" });

/// A set of scopes; as text with blanks in between, as JSON a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Everything that a role may.
    pub fn of(role: Role) -> Self {
        let all = Scope::ALL.iter().copied();
        all.filter(|scope| role == Role::Admin || *scope != Scope::Admin).collect()
    }

    /// Whether `scope` is in it.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in it.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.has(*scope))
    }

    /// Whether none is in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | (1 << scope as u8)))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.iter().enumerate() {
            let blank = if at == 0 { "" } else { " " };
            write!(f, "{blank}{scope}")?;
        }
        Ok(())
    }
}

impl FromStr for Scopes {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_whitespace().map(str::parse).collect()
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Scope>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// With what somebody came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Means {
    /// The token of who runs the server.
    ServerToken,
    /// An API key.
    ApiKey,
    /// A token of the identity provider.
    AccessToken,
    /// A session of a browser.
    Session,
}

text_enum!(Means, "means" {
    ServerToken => "server_token",
    ApiKey => "api_key",
    AccessToken => "access_token",
    Session => "session",
});

/// Somebody who came, and what they may do this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user.
    pub user: User,
    /// With what they came.
    pub means: Means,
    /// What that may be used for: never more than the user's role may.
    pub scopes: Scopes,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// What an identity provider says of somebody; absent: it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// What they are called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where mail reaches them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The URL of a picture of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
}

/// Somebody as an identity provider knows them, in one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Who, at that provider: never given to another.
    pub subject: String,
    /// When the provider said this, in seconds since 1970; 0: it does not say.
    pub issued_at: i64,
    /// What it says of them.
    pub profile: Profile,
    /// What they may do; nothing: the database says it.
    pub role: Option<Role>,
    /// Name of their tier; nothing: the database says it.
    pub tier: Option<String>,
}

/// How a token may be signed. All have a public key: one that the server keeps secret is never one to sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSA, PKCS #1 1.5, SHA-256.
    Rs256,
    /// RSA, PKCS #1 1.5, SHA-384.
    Rs384,
    /// RSA, PKCS #1 1.5, SHA-512.
    Rs512,
    /// RSA, PSS, SHA-256.
    Ps256,
    /// ECDSA over P-256, SHA-256.
    Es256,
    /// ECDSA over P-384, SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

text_enum!(SigningAlgorithm, "algorithm" {
    Rs256 => "RS256",
    Rs384 => "RS384",
    Rs512 => "RS512",
    Ps256 => "PS256",
    Es256 => "ES256",
    Es384 => "ES384",
    EdDsa => "EdDSA",
});

/// Which identity provider is believed, and in what.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderPolicy {
    /// The provider: exactly what its tokens and its own description say.
    pub issuer: String,
    /// For whom its tokens must be meant: one of these.
    pub audiences: Vec<String>,
    /// How they may be signed.
    pub algorithms: Vec<SigningAlgorithm>,
    /// The claim that says who is an admin. Where it is set, a token without it is a plain user's.
    pub role_claim: Option<String>,
    /// What that claim says, or has in its list, for admins.
    pub admin_value: String,
    /// The claim that names the tier.
    pub tier_claim: Option<String>,
    /// How far the provider's clock and ours may be apart, in seconds.
    pub clock_skew_s: u32,
    /// Keys that could not be asked for anew for so long, in seconds, are not believed any more.
    pub keys_max_age_s: u32,
    /// What the provider calls this server, where it has a login of its own.
    pub client_id: Option<String>,
    /// Proof that this server is that client.
    pub client_secret: Option<String>,
    /// What is asked for at a login.
    pub login_scope: String,
}

impl fmt::Debug for ProviderPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderPolicy").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// How people get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthPolicy {
    /// The identity provider, where there is one.
    pub provider: Option<ProviderPolicy>,
    /// The scheme, host and port under which others reach this server through a proxy, as `https://pymd.example`.
    pub public_url: Option<String>,
    /// A session that was not used for so long, in seconds, is over.
    pub session_idle_s: u32,
    /// A session is over after so long, in seconds.
    pub session_max_s: u32,
}

impl Default for AuthPolicy {
    fn default() -> Self {
        Self { provider: None, public_url: None, session_idle_s: 24 * 3600, session_max_s: 7 * 24 * 3600 }
    }
}
