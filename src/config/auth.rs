//! Who is let in besides those with API keys: users of an identity provider.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use url::{Host, Url};

use super::settings::layered;
use super::{ConfigError, within, words};
use crate::domain::{AuthPolicy, ProviderPolicy, SigningAlgorithm};

/// Who is let in besides those with API keys.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Auth")]
pub struct AuthSettings {
    /// The OpenID Connect provider whose tokens are accepted: exactly what their claim `iss` says
    #[arg(id = "auth_issuer", long = "auth-issuer", value_name = "URL", env = "PYMD_AUTH_ISSUER")]
    pub issuer: Option<String>,
    /// For whom its tokens must be meant (`aud`): one of these, with blanks in between
    #[arg(id = "auth_audience", long = "auth-audience", value_name = "NAMES", env = "PYMD_AUTH_AUDIENCE")]
    pub audience: Option<String>,
    /// How its tokens may be signed, with blanks in between: RS256, RS384, RS512, PS256, ES256, ES384, EdDSA
    /// [default: RS256]
    #[arg(id = "auth_algorithms", long = "auth-algorithms", value_name = "NAMES", env = "PYMD_AUTH_ALGORITHMS")]
    pub algorithms: Option<String>,
    /// The claim that says who is an admin, text or a list; a token without it is a plain user's. Absent: roles are the
    /// database's
    #[arg(id = "auth_role_claim", long = "auth-role-claim", value_name = "CLAIM", env = "PYMD_AUTH_ROLE_CLAIM")]
    pub role_claim: Option<String>,
    /// What that claim says, or has in its list, for admins [default: admin]
    #[arg(id = "auth_admin_value", long = "auth-admin-value", value_name = "TEXT", env = "PYMD_AUTH_ADMIN_VALUE")]
    pub admin_value: Option<String>,
    /// The claim that names the tier. Absent, or of a tier that is not there: tiers are the database's
    #[arg(id = "auth_tier_claim", long = "auth-tier-claim", value_name = "CLAIM", env = "PYMD_AUTH_TIER_CLAIM")]
    pub tier_claim: Option<String>,
    /// Seconds that the provider's clock and this one may be apart [default: 60]
    #[arg(id = "auth_clock_skew_s", long = "auth-clock-skew-s", value_name = "S", env = "PYMD_AUTH_CLOCK_SKEW_S")]
    pub clock_skew_s: Option<u32>,
    /// For so many seconds the provider's keys are believed while it does not answer [default: 86400]
    #[arg(id = "auth_jwks_max_age", long = "auth-jwks-max-age", value_name = "S", env = "PYMD_AUTH_JWKS_MAX_AGE")]
    pub jwks_max_age: Option<u32>,
    /// What the provider calls this server: with it, people can log in with their browsers
    #[arg(id = "auth_client_id", long = "auth-client-id", value_name = "ID", env = "PYMD_AUTH_CLIENT_ID")]
    pub client_id: Option<String>,
    /// The secret for that. Prefer the variable: others see command lines
    #[arg(
        id = "auth_client_secret",
        long = "auth-client-secret",
        value_name = "SECRET",
        env = "PYMD_AUTH_CLIENT_SECRET",
        hide_env_values = true
    )]
    pub client_secret: Option<ClientSecret>,
    /// What a login asks the provider for [default: openid profile email]
    #[arg(id = "auth_login_scope", long = "auth-login-scope", value_name = "NAMES", env = "PYMD_AUTH_LOGIN_SCOPE")]
    pub login_scope: Option<String>,
    /// Where others reach this server through a proxy, such as https://pymd.example; without a path
    #[arg(id = "auth_public_url", long = "auth-public-url", value_name = "URL", env = "PYMD_AUTH_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// A browser's session that was not used for so many seconds is over [default: 86400]
    #[arg(
        id = "auth_session_idle_s",
        long = "auth-session-idle-s",
        value_name = "S",
        env = "PYMD_AUTH_SESSION_IDLE_S"
    )]
    pub session_idle_s: Option<u32>,
    /// A browser's session is over after so many seconds [default: 604800]
    #[arg(id = "auth_session_max_s", long = "auth-session-max-s", value_name = "S", env = "PYMD_AUTH_SESSION_MAX_S")]
    pub session_max_s: Option<u32>,
}

layered!(AuthSettings {
    issuer,
    audience,
    algorithms,
    role_claim,
    admin_value,
    tier_claim,
    clock_skew_s,
    jwks_max_age,
    client_id,
    client_secret,
    login_scope,
    public_url,
    session_idle_s,
    session_max_s,
});

/// What proves that this server is the provider's client; no `Debug` output shows it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct ClientSecret(String);

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

impl From<String> for ClientSecret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl AuthSettings {
    pub(super) fn resolve(self) -> Result<AuthPolicy, ConfigError> {
        let usual = AuthPolicy::default();
        let idle = within("auth.session_idle_s", self.session_idle_s.unwrap_or(usual.session_idle_s), 60, 31_536_000)?;
        let longest = within("auth.session_max_s", self.session_max_s.unwrap_or(usual.session_max_s), 60, 31_536_000)?;
        let public_url = self.public_url.as_deref().map(origin).transpose()?;
        let provider = self.provider()?;
        Ok(AuthPolicy { provider, public_url, session_idle_s: idle, session_max_s: longest })
    }

    fn provider(self) -> Result<Option<ProviderPolicy>, ConfigError> {
        let Some(issuer) = self.issuer else {
            let alone = [("auth.audience", self.audience.is_some()), ("auth.client_id", self.client_id.is_some())];
            let alone = alone.into_iter().find(|(_, is_set)| *is_set);
            return alone.map_or(Ok(None), |(key, _)| Err(bad(key, "means nothing without `auth.issuer`")));
        };
        let url = Url::parse(&issuer).map_err(|error| bad("auth.issuer", &format!("must be a URL: {error}")))?;
        if !is_safe(&url) || url.query().is_some() || url.fragment().is_some() {
            return Err(bad("auth.issuer", "must be an https URL without query, or lie on this machine"));
        }
        let client_id = self.client_id.filter(|id| !id.is_empty());
        let mut audiences = words(self.audience.as_deref().unwrap_or_default());
        if audiences.is_empty() && client_id.is_none() {
            return Err(bad("auth.audience", "must be set where `auth.issuer` is: whose tokens are these?"));
        }
        audiences.dedup();
        let algorithms = words(self.algorithms.as_deref().unwrap_or("RS256"));
        let algorithms: Result<Vec<SigningAlgorithm>, _> = algorithms.iter().map(|name| name.parse()).collect();
        let algorithms = algorithms.map_err(|error| bad("auth.algorithms", &format!("can't be: {error}")))?;
        if algorithms.is_empty() {
            return Err(bad("auth.algorithms", "must name one"));
        }
        Ok(Some(ProviderPolicy {
            issuer,
            audiences,
            algorithms,
            role_claim: self.role_claim.filter(|claim| !claim.is_empty()),
            admin_value: self.admin_value.unwrap_or_else(|| "admin".to_owned()),
            tier_claim: self.tier_claim.filter(|claim| !claim.is_empty()),
            clock_skew_s: within("auth.clock_skew_s", self.clock_skew_s.unwrap_or(60), 0, 600)?,
            keys_max_age_s: within("auth.jwks_max_age", self.jwks_max_age.unwrap_or(86_400), 60, 31_536_000)?,
            client_id,
            client_secret: self.client_secret.map(|secret| secret.0).filter(|secret| !secret.is_empty()),
            login_scope: self.login_scope.unwrap_or_else(|| "openid profile email".to_owned()),
        }))
    }
}

/// Scheme, host and port of a URL that has nothing else.
fn origin(text: &str) -> Result<String, ConfigError> {
    let wrong = || bad("auth.public_url", "must be https://HOST, or http on this machine, and have no path");
    let url = Url::parse(text).map_err(|_| wrong())?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_nobodys = url.username().is_empty() && url.password().is_none();
    if is_bare && is_nobodys && is_safe(&url) { Ok(url.origin().ascii_serialization()) } else { Err(wrong()) }
}

/// Whether what is sent there is encrypted, or does not leave the machine.
fn is_safe(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    };
    url.scheme() == "https" && url.has_host() || url.scheme() == "http" && is_local
}

fn bad(key: &'static str, message: &str) -> ConfigError {
    ConfigError::Value { key, message: message.to_owned() }
}
