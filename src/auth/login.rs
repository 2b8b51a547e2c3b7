//! Logging in with a browser: the authorization code flow with PKCE (RFC 6749, 7636, OpenID Connect Core).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::claims::{Purpose, profile};
use super::error::AuthError;
use super::provider::{About, Provider, Verified};

/// A code is not longer.
const MAX_CODE_BYTES: usize = 4096;

/// What binds the parts of one login to each other. Each is a secret of this server and of one browser's login.
#[derive(Clone)]
pub struct LoginPlan {
    /// Where the provider sends the browser back.
    pub redirect_uri: String,
    /// What comes back with the browser.
    pub state: String,
    /// What comes back in the token.
    pub nonce: String,
    /// What proves that whoever brings the code has begun the login.
    pub verifier: String,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

/// What the provider says of who has logged in, beside the token.
#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    claims: Map<String, Value>,
}

impl Provider {
    /// Whether people can log in with it.
    pub fn has_login(&self) -> bool {
        self.policy().client_id.is_some()
    }

    /// Where the browser goes to log in.
    ///
    /// # Errors
    /// The provider does not answer, or has no login.
    pub async fn login_url(&self, plan: &LoginPlan) -> Result<Url, AuthError> {
        let known = self.known(|_| true).await?;
        let mut url = known.about.authorization_endpoint.clone().ok_or_else(no_login)?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&plan.verifier));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", self.client_id()?)
            .append_pair("redirect_uri", &plan.redirect_uri)
            .append_pair("scope", &self.policy().login_scope)
            .append_pair("state", &plan.state)
            .append_pair("nonce", &plan.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// Who has logged in: what the provider gives for the code.
    ///
    /// # Errors
    /// Nobody has, or the provider does not answer.
    pub async fn finish_login(&self, plan: &LoginPlan, code: &str) -> Result<Verified, AuthError> {
        if code.is_empty() || code.len() > MAX_CODE_BYTES {
            return Err(AuthError::Login);
        }
        let known = self.known(|_| true).await?;
        let url = known.about.token_endpoint.clone().ok_or_else(no_login)?;
        let (form, authorization) = self.code_form(&known.about, plan, code)?;
        let (status, body) = self.http().post("tokens", url, form, authorization).await?;
        if status.is_client_error() {
            return Err(AuthError::Login);
        }
        if status != StatusCode::OK {
            return Err(AuthError::Fetch { what: "tokens", reason: format!("status {status}") });
        }
        let tokens: Tokens = serde_json::from_slice(&body)
            // The body may hold tokens: it is not shown.
            .map_err(|_| AuthError::Unusable { what: "tokens", reason: "there is no ID token".to_owned() })?;
        let mut verified = self.verify(&tokens.id_token, Purpose::Login { nonce: &plan.nonce }).await?;
        let endpoint = known.about.userinfo_endpoint.clone();
        if let (None, Some(endpoint), Some(token)) = (&verified.identity.profile.name, endpoint, tokens.access_token) {
            // Without it nobody has a name, and all else is as it should be.
            match self.user_info(endpoint, &token).await {
                Ok(info) if info.sub == verified.identity.subject => verified.identity.profile = profile(&info.claims),
                Ok(_) => tracing::warn!("the identity provider told of somebody else than who has logged in"),
                Err(error) => tracing::warn!(%error, "nothing is known of who has logged in"),
            }
        }
        Ok(verified)
    }

    /// What is sent to get tokens for a code.
    fn code_form(
        &self,
        about: &About,
        plan: &LoginPlan,
        code: &str,
    ) -> Result<(String, Option<HeaderValue>), AuthError> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code").append_pair("code", code);
        form.append_pair("redirect_uri", &plan.redirect_uri).append_pair("code_verifier", &plan.verifier);
        let client_id = self.client_id()?;
        let mut authorization = None;
        match &self.policy().client_secret {
            None => {
                form.append_pair("client_id", client_id);
            }
            Some(secret) if wants_it_in_the_form(about) => {
                form.append_pair("client_id", client_id).append_pair("client_secret", secret);
            }
            Some(secret) => authorization = Some(basic(client_id, secret)?),
        }
        Ok((form.finish(), authorization))
    }

    async fn user_info(&self, endpoint: Url, token: &str) -> Result<UserInfo, AuthError> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| AuthError::Login)?;
        bearer.set_sensitive(true);
        let what = "user info";
        let body = self.http().get(what, endpoint, Some(bearer)).await?;
        serde_json::from_slice(&body).map_err(|error| AuthError::Unusable { what, reason: error.to_string() })
    }

    /// Where the browser goes to log out of the provider, too, if it has such a place.
    pub async fn logout_url(&self, back: &str) -> Option<Url> {
        let mut url = self.known(|_| true).await.ok()?.about.end_session_endpoint.clone()?;
        let client_id = self.client_id().ok()?;
        url.query_pairs_mut().append_pair("client_id", client_id).append_pair("post_logout_redirect_uri", back);
        Some(url)
    }

    fn client_id(&self) -> Result<&str, AuthError> {
        self.policy().client_id.as_deref().ok_or_else(no_login)
    }
}

fn no_login() -> AuthError {
    AuthError::Unusable { what: "login", reason: "there is none".to_owned() }
}

fn wants_it_in_the_form(about: &About) -> bool {
    let methods = about.token_endpoint_auth_methods_supported.as_deref();
    methods.is_some_and(|methods| {
        let has = |name: &str| methods.iter().any(|method| method == name);
        has("client_secret_post") && !has("client_secret_basic")
    })
}

fn basic(client_id: &str, secret: &str) -> Result<HeaderValue, AuthError> {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = STANDARD.encode(format!("{}:{}", encoded(client_id), encoded(secret)));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}")).map_err(|_| AuthError::Login)?;
    value.set_sensitive(true);
    Ok(value)
}
