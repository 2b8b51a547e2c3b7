//! The provider: what it says of itself, its keys, and who comes with its tokens.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::{Host, Url};

use super::claims::{self, Purpose};
use super::error::{AuthError, Refused};
use super::fetch::Http;
use super::jws::Jws;
use super::keys::Keys;
use crate::domain::{Identity, ProviderPolicy};

/// A token with a key that is not known, or a provider that did not answer, has it asked again, but not more often.
const ASKED_EVERY: Duration = Duration::from_secs(3);
/// So old, keys are asked for anew while they go on being believed: one that was withdrawn is out after this.
const FRESH: Duration = Duration::from_secs(10 * 60);

/// An OpenID Connect provider. Cloning shares it.
#[derive(Clone)]
pub struct Provider(Arc<Inner>);

struct Inner {
    policy: ProviderPolicy,
    discovery: Url,
    http: Http,
    known: RwLock<Option<Arc<Known>>>,
    /// When it was asked last. Who holds it asks: one at a time.
    asked: Arc<Mutex<Option<Instant>>>,
}

/// What the provider said, and when.
pub(super) struct Known {
    pub about: About,
    keys: Keys,
    at: Instant,
}

/// What the provider says of itself.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct About {
    issuer: String,
    jwks_uri: Url,
    pub authorization_endpoint: Option<Url>,
    pub token_endpoint: Option<Url>,
    pub userinfo_endpoint: Option<Url>,
    pub end_session_endpoint: Option<Url>,
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// Who a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Who, and what the provider says of them.
    pub identity: Identity,
    /// When the token ends, the clocks' difference included.
    pub until: Timestamp,
}

impl Provider {
    /// The provider of a policy. Nothing is asked of it yet.
    ///
    /// # Errors
    /// The issuer is no URL, or there can be no HTTP client.
    pub fn new(policy: ProviderPolicy) -> Result<Self, AuthError> {
        let discovery = format!("{}/.well-known/openid-configuration", policy.issuer.trim_end_matches('/'));
        let discovery = Url::parse(&discovery)
            .map_err(|error| AuthError::Unusable { what: "address", reason: error.to_string() })?;
        let http = Http::new()?;
        Ok(Self(Arc::new(Inner { policy, discovery, http, known: RwLock::default(), asked: Arc::default() })))
    }

    /// What is believed of it.
    pub fn policy(&self) -> &ProviderPolicy {
        &self.0.policy
    }

    /// Whether this can be one of its tokens, by its looks: signed ones begin so.
    pub fn is_token(text: &str) -> bool {
        text.starts_with("eyJ") && text.contains('.')
    }

    /// Who comes with a token.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn verify(&self, token: &str, purpose: Purpose<'_>) -> Result<Verified, Refused> {
        let token = Jws::read(token, &self.0.policy.algorithms)?;
        // What is no token for us in any case is not worth a question to the provider.
        let (identity, until) = claims::check(&token.claims, &self.0.policy, purpose, Timestamp::now())?;
        let known = self.known(|known| known.keys.knows(&token)).await.map_err(|_| Refused::Unavailable)?;
        known.keys.check(&token)?;
        Ok(Verified { identity, until })
    }

    /// What is known of the provider, asked anew where it is not `enough`, is too old, or there is nothing yet.
    pub(super) async fn known(&self, enough: impl Fn(&Known) -> bool) -> Result<Arc<Known>, AuthError> {
        if let Some(known) = self.believed().filter(|known| enough(known)) {
            if known.at.elapsed() >= FRESH
                && let Ok(mut asked) = self.0.asked.clone().try_lock_owned()
            {
                // Nobody waits for it.
                let inner = self.0.clone();
                if is_time(*asked) {
                    *asked = Some(Instant::now());
                    tokio::spawn(async move {
                        inner.ask_anew().await;
                        drop(asked);
                    });
                }
            }
            return Ok(known);
        }
        let mut asked = self.0.asked.lock().await;
        // Somebody else may have asked meanwhile.
        let known = self.believed();
        if known.as_ref().is_none_or(|known| !enough(known)) && is_time(*asked) {
            *asked = Some(Instant::now());
            self.0.ask_anew().await;
        }
        drop(asked);
        let reason = || "it does not answer, or not as it should".to_owned();
        self.believed().ok_or_else(|| AuthError::Fetch { what: "keys", reason: reason() })
    }

    fn believed(&self) -> Option<Arc<Known>> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        let max_age = Duration::from_secs(self.0.policy.keys_max_age_s.into());
        known.filter(|known| known.at.elapsed() < max_age)
    }

    pub(super) fn http(&self) -> &Http {
        &self.0.http
    }
}

fn is_time(asked: Option<Instant>) -> bool {
    asked.is_none_or(|asked| asked.elapsed() >= ASKED_EVERY)
}

impl Inner {
    async fn ask_anew(&self) {
        match self.ask().await {
            Ok(known) => {
                tracing::info!(issuer = self.policy.issuer, keys = known.keys.len(), "asked the identity provider");
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
            }
            Err(error) => tracing::warn!(issuer = self.policy.issuer, %error, "what is known of it goes on counting"),
        }
    }

    async fn ask(&self) -> Result<Known, AuthError> {
        let unusable = |what, reason: String| AuthError::Unusable { what, reason };
        let about = self.http.get("description", self.discovery.clone(), None).await?;
        let about: About =
            serde_json::from_slice(&about).map_err(|error| unusable("description", error.to_string()))?;
        if about.issuer != self.policy.issuer {
            return Err(unusable("description", "it names another issuer".to_owned()));
        }
        let endpoints = [
            &about.authorization_endpoint,
            &about.token_endpoint,
            &about.userinfo_endpoint,
            &about.end_session_endpoint,
        ];
        let is_safe = |url: &Url| is_safe(url, is_local(&self.discovery));
        if !is_safe(&about.jwks_uri) || !endpoints.into_iter().flatten().all(is_safe) {
            return Err(unusable("description", "it leads to an address that is not encrypted".to_owned()));
        }
        let keys = self.http.get("keys", about.jwks_uri.clone(), None).await?;
        let keys = Keys::read(&keys).map_err(|error| unusable("keys", error.to_string()))?;
        if keys.len() == 0 {
            return Err(unusable("keys", "there is none among them that can be used".to_owned()));
        }
        Ok(Known { about, keys, at: Instant::now() })
    }
}

/// Whether what is asked there is encrypted. A provider on this machine may lead to others on it.
fn is_safe(url: &Url, from_here: bool) -> bool {
    url.scheme() == "https" && url.has_host() || url.scheme() == "http" && from_here && is_local(url)
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
