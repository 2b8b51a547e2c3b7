//! What is asked of the provider: small JSON documents, soon.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, StatusCode, redirect};
use url::Url;

use super::error::AuthError;

/// No document of a provider is longer.
const MAX_BYTES: usize = 256 << 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const DEADLINE: Duration = Duration::from_secs(5);

/// The HTTP client for one provider.
pub(super) struct Http(Client);

impl Http {
    pub fn new() -> Result<Self, AuthError> {
        // Somebody else may have chosen the provider for the process already: any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(DEADLINE)
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("pymd/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(|error| AuthError::Client { reason: error.without_url().to_string() })
    }

    pub async fn get(
        &self,
        what: &'static str,
        url: Url,
        authorization: Option<HeaderValue>,
    ) -> Result<Vec<u8>, AuthError> {
        let request = with(self.0.get(url), authorization);
        answer(what, request).await.and_then(|(status, body)| match status {
            StatusCode::OK => Ok(body),
            status => Err(AuthError::Fetch { what, reason: format!("status {status}") }),
        })
    }

    /// Sends a form; the answer of whatever status.
    pub async fn post(
        &self,
        what: &'static str,
        url: Url,
        form: String,
        authorization: Option<HeaderValue>,
    ) -> Result<(StatusCode, Vec<u8>), AuthError> {
        let request = self.0.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        answer(what, with(request, authorization)).await
    }
}

fn with(request: RequestBuilder, authorization: Option<HeaderValue>) -> RequestBuilder {
    match authorization {
        Some(authorization) => request.header(AUTHORIZATION, authorization),
        None => request,
    }
}

async fn answer(what: &'static str, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), AuthError> {
    let failed = |error: reqwest::Error| AuthError::Fetch { what, reason: error.without_url().to_string() };
    let mut response = request.header(ACCEPT, "application/json").send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len().saturating_add(chunk.len()) > MAX_BYTES {
            return Err(AuthError::Fetch { what, reason: format!("it is longer than {MAX_BYTES} bytes") });
        }
        body.extend_from_slice(&chunk);
    }
    Ok((response.status(), body))
}
