//! Logging in with a browser: from here to the identity provider and back, and the session that begins then.
//!
//! What belongs to one login is nowhere on the server: the browser's cookie has a random number, an end and where to go
//! afterwards, under a message authentication code; state, nonce and the proof key are derived from that number. So who
//! begins logins without end fills nothing, and each server can finish what another has begun. A login comes to its end
//! only in the browser that began it: what comes back from the provider must fit that browser's cookie.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use serde::{Deserialize, Serialize};
use url::Url;

use super::ServiceError;
use super::accounts::{Accounts, NobodyComes};
use crate::auth::{AuthError, LoginPlan, Provider};
use crate::domain::{Means, Principal, Scopes};
use crate::store::StoreError;

/// A login takes at most so long.
const LOGIN_LASTS: SignedDuration = SignedDuration::from_mins(10);
/// Where to go afterwards is not longer.
const MAX_RETURN_TO_BYTES: usize = 2048;
/// Nothing longer is looked at.
const MAX_COOKIE_BYTES: usize = 4096;

/// A login that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginStart {
    /// Where the browser goes.
    pub location: String,
    /// What it keeps meanwhile.
    pub cookie: String,
    /// For how long, in seconds.
    pub lasts_s: i64,
}

/// With what the browser comes back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct LoginAnswer {
    /// What the login was begun with.
    pub state: Option<String>,
    /// What the provider gives a token for.
    pub code: Option<String>,
    /// Who the provider is.
    pub iss: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

/// A session that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginEnd {
    /// What the browser keeps.
    pub session: String,
    /// For how long, in seconds.
    pub lasts_s: u32,
    /// Where it goes.
    pub return_to: String,
}

/// Why nobody is logged in.
#[derive(Debug)]
pub enum LoginError {
    /// This server has no login.
    None,
    /// `return_to` leads elsewhere.
    ReturnTo,
    /// What came back belongs to no login of this browser, or to one that took too long.
    Foreign,
    /// The provider, or the user there, did not want it.
    Refused,
    /// The provider does not answer, or not as it should.
    Provider,
    /// The user is shut out.
    Suspended,
    /// We can't.
    Service(ServiceError),
}

impl From<AuthError> for LoginError {
    fn from(error: AuthError) -> Self {
        tracing::warn!(%error, "a login has failed");
        match error {
            AuthError::Login => Self::Refused,
            AuthError::Client { .. } | AuthError::Fetch { .. } | AuthError::Unusable { .. } | AuthError::Token(_) => {
                Self::Provider
            }
        }
    }
}

impl From<ServiceError> for LoginError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<StoreError> for LoginError {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

/// What the browser keeps during a login.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// A random number.
    r: String,
    /// When it is over, in seconds since 1970.
    end: i64,
    /// Where to go afterwards.
    to: String,
}

impl Accounts {
    /// Begins a login, after which the browser goes to `return_to`: a path of this server. The provider sends it to
    /// `redirect_uri` first.
    ///
    /// # Errors
    /// There is no login here, `return_to` leads elsewhere, or the provider does not answer.
    pub async fn begin_login(&self, redirect_uri: &str, return_to: &str) -> Result<LoginStart, LoginError> {
        let provider = self.login_provider()?;
        if !is_local(return_to) {
            return Err(LoginError::ReturnTo);
        }
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random)
            .map_err(|error| ServiceError::internal(&std::io::Error::other(error.to_string())))?;
        let key = self.login_key().await?;
        let end = Timestamp::now().as_second().saturating_add(LOGIN_LASTS.as_secs());
        let kept = Kept { r: URL_SAFE_NO_PAD.encode(random), end, to: return_to.to_owned() };
        let location = provider.login_url(&plan(&key, &kept.r, redirect_uri)).await?;
        let json = serde_json::to_vec(&kept).map_err(|error| ServiceError::internal(&error))?;
        let text = URL_SAFE_NO_PAD.encode(json);
        let cookie = format!("{text}.{}", derive(&key, "cookie", &text));
        Ok(LoginStart { location: location.into(), cookie, lasts_s: LOGIN_LASTS.as_secs() })
    }

    /// Ends the login that the browser's `cookie` is of.
    ///
    /// # Errors
    /// Nobody is logged in.
    pub async fn finish_login(
        &self,
        cookie: &str,
        redirect_uri: &str,
        answer: &LoginAnswer,
    ) -> Result<LoginEnd, LoginError> {
        let provider = self.login_provider()?;
        let key = self.login_key().await?;
        let kept = read_cookie(&key, cookie).ok_or(LoginError::Foreign)?;
        let plan = plan(&key, &kept.r, redirect_uri);
        // The time that this takes tells nothing: who tries states has to have the cookie that they are made from.
        let is_same = answer.state.as_ref() == Some(&plan.state);
        // A provider that says who it is says it here, too: another one's answer must not be taken for its own.
        let is_other = answer.iss.as_ref().is_some_and(|issuer| *issuer != provider.policy().issuer);
        if !is_same || is_other || kept.end <= Timestamp::now().as_second() {
            return Err(LoginError::Foreign);
        }
        let Some(code) = answer.code.as_ref().filter(|_| answer.error.is_none()) else {
            return Err(LoginError::Refused);
        };
        let verified = provider.finish_login(&plan, code).await?;
        let user = self.database().user_of_identity(&verified.identity).await?;
        if user.suspended_at.is_some_and(|since| since <= Timestamp::now()) {
            return Err(LoginError::Suspended);
        }
        let lasts_s = self.policy().session_max_s;
        let session = self.database().begin_session(user.id, SignedDuration::from_secs(lasts_s.into())).await?;
        tracing::info!(user = %user.id, "a browser has logged in");
        Ok(LoginEnd { session, lasts_s, return_to: kept.to })
    }

    /// Ends a session; answers where the browser can log out of the provider, too, from where it comes back to `back`.
    ///
    /// # Errors
    /// The database's.
    pub async fn log_out(&self, session: Option<&str>, back: &str) -> Result<Option<String>, ServiceError> {
        if let Some(session) = session {
            self.database().end_session(session).await?;
            self.forget_session(session);
        }
        match self.login_provider() {
            Ok(provider) => Ok(provider.logout_url(back).await.map(Into::into)),
            Err(_) => Ok(None),
        }
    }

    /// Who comes with a session.
    pub(super) async fn by_session(&self, text: &str) -> Result<Principal, NobodyComes> {
        let idle = SignedDuration::from_secs(self.policy().session_idle_s.into());
        let found = self.database().session(text, idle).await;
        let found = found.map_err(|error| NobodyComes::Service(ServiceError::internal(&error)))?;
        let session = found.ok_or(NobodyComes::Unknown)?;
        if session.user.suspended_at.is_some_and(|since| since <= Timestamp::now()) {
            return Err(NobodyComes::Suspended);
        }
        let (scopes, expires_at) = (Scopes::of(session.user.role), Some(session.expires_at));
        Ok(Principal { user: session.user, means: Means::Session, scopes, expires_at })
    }

    fn login_provider(&self) -> Result<&Provider, LoginError> {
        self.provider().filter(|provider| provider.has_login()).ok_or(LoginError::None)
    }

    async fn login_key(&self) -> Result<hmac::Key, ServiceError> {
        let secret = self.login_secret().get_or_try_init(|| self.database().secret("login")).await?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
}

fn derive(key: &hmac::Key, what: &str, of: &str) -> String {
    URL_SAFE_NO_PAD.encode(hmac::sign(key, format!("{what}\0{of}").as_bytes()))
}

fn plan(key: &hmac::Key, random: &str, redirect_uri: &str) -> LoginPlan {
    let derived = |what| derive(key, what, random);
    LoginPlan {
        redirect_uri: redirect_uri.to_owned(),
        state: derived("state"),
        nonce: derived("nonce"),
        verifier: derived("verifier"),
    }
}

fn read_cookie(key: &hmac::Key, cookie: &str) -> Option<Kept> {
    let (text, code) = cookie.split_once('.').filter(|_| cookie.len() <= MAX_COOKIE_BYTES)?;
    let code = URL_SAFE_NO_PAD.decode(code).ok()?;
    hmac::verify(key, format!("cookie\0{text}").as_bytes(), &code).ok()?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// Whether a browser that is sent there stays on this server. `//host`, `/\host` and what becomes one of these when
/// blanks are dropped or dots are resolved would lead away.
fn is_local(path: &str) -> bool {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if !is_plain || path.len() > MAX_RETURN_TO_BYTES || !path.starts_with('/') || path.starts_with("//") {
        return false;
    }
    let Ok(base) = Url::parse("http://localhost/") else { return false };
    base.join(path).is_ok_and(|url| url.origin() == base.origin() && !url.path().starts_with("//"))
}
