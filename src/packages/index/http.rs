//! Requests: to whom, with which credentials, over which redirects, how many at once, how long and how often.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Response, StatusCode, redirect};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::{Origin, Url};

use super::address;
use super::config::{IndexConfig, Retry};
use super::error::{IndexError, chain, shown, strip_credentials};
use super::freshness::unix_seconds;
use super::names::{Lookups, Names};
use super::source::{Source, percent_decode};

const MAX_REDIRECTS: usize = 5;

/// The HTTP client of all indexes.
pub(super) struct Http {
    /// For the indexes themselves and servers named as trusted: may reach private networks.
    trusting: Client,
    /// For everything else.
    guarded: Client,
    own: Vec<(Origin, Option<HeaderValue>)>,
    trusted_hosts: Vec<String>,
    slots: Arc<Semaphore>,
    retry: Retry,
}

/// An answer, of whatever status but a redirect. It counts as a request until it is dropped.
pub(super) struct Answer {
    pub(super) response: Response,
    /// Where it came from in the end.
    pub(super) url: Url,
    _slot: OwnedSemaphorePermit,
}

/// The failure of one attempt.
pub(super) struct Failure {
    error: IndexError,
    again: Again,
}

enum Again {
    No,
    Yes,
    After(Duration),
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        let again = if matches!(error, IndexError::Unreachable { .. }) { Again::Yes } else { Again::No };
        Self { error, again }
    }
}

impl Failure {
    /// A failure that may be an accident though it does not look like one.
    pub(super) fn passing(error: IndexError) -> Self {
        Self { error, again: Again::Yes }
    }
}

impl Http {
    pub(super) fn new(config: &IndexConfig, sources: &[Source]) -> Result<Self, IndexError> {
        // Somebody else may have chosen the provider for the process already: any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = || {
            Client::builder()
                .connect_timeout(config.connect_timeout)
                .read_timeout(config.read_timeout)
                .redirect(redirect::Policy::none())
                .referer(false)
                .user_agent(concat!("pymd/", env!("CARGO_PKG_VERSION")))
        };
        let lookups = Lookups::new();
        let names = |public_only| Names { lookups: Arc::clone(&lookups), public_only };
        let build = |builder: ClientBuilder| {
            builder.build().map_err(|error| IndexError::Client { reason: chain(&error.without_url()) })
        };
        Ok(Self {
            trusting: build(client().dns_resolver(names(false)))?,
            guarded: build(client().dns_resolver(names(true)))?,
            own: sources
                .iter()
                .map(|source| (source.url.origin(), source.credentials.as_ref().and_then(basic)))
                .collect(),
            trusted_hosts: config.trusted_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            slots: Arc::new(Semaphore::new(config.max_requests.clamp(1, Semaphore::MAX_PERMITS))),
            retry: config.retry,
        })
    }

    /// Does `attempt` until it succeeds, fails for good, or has failed often enough.
    pub(super) async fn retrying<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, IndexError> {
        let backoff = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(self.retry.first_wait)
            .with_max_delay(self.retry.max_wait.max(self.retry.first_wait))
            .with_max_times(self.retry.attempts.saturating_sub(1) as usize)
            .build();
        attempt
            .retry(backoff)
            .when(|failure| !matches!(failure.again, Again::No))
            .adjust(|failure, planned| match failure.again {
                Again::After(asked) => planned.filter(|_| asked <= self.retry.max_wait).map(|_| asked),
                _ => planned,
            })
            .notify(|failure, wait| {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(error = %failure.error, wait_ms, "a request to the package index is tried again");
            })
            .await
            .map_err(|failure| failure.error)
    }

    /// Waits for its turn, then does `work`, which begins with [`Http::get`], within `deadline`.
    pub(super) async fn in_turn<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        url: &Url,
        deadline: Duration,
        work: impl FnOnce(OwnedSemaphorePermit) -> F,
    ) -> Result<T, Failure> {
        let closed = |_| IndexError::Client { reason: "it is shut down".to_owned() };
        let slot = self.slots.clone().acquire_owned().await.map_err(closed)?;
        tokio::time::timeout(deadline, work(slot)).await.unwrap_or_else(|_| {
            let reason = format!("no complete answer within {} s", deadline.as_secs_f32());
            Err(IndexError::Unreachable { url: shown(url), reason }.into())
        })
    }

    /// Asks `url`, and where it redirects to.
    pub(super) async fn get(
        &self,
        slot: OwnedSemaphorePermit,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<Answer, Failure> {
        let mut at = url.clone();
        strip_credentials(&mut at);
        for hop in 0..=MAX_REDIRECTS {
            let refused = |reason: String| match hop {
                0 => IndexError::RefusedAddress { url: shown(url), reason },
                _ => IndexError::RefusedRedirect { url: shown(url), target: shown(&at), reason },
            };
            // A redirect gains nothing from leading to an index: the trust and the credentials are for who asked it.
            let is_own = at.origin() == url.origin() && self.is_own(&at);
            let mut request = self.client_for(&at, is_own).map_err(refused)?.get(at.clone()).headers(headers.clone());
            if let Some(credentials) = self.credentials(&at).filter(|_| is_own) {
                request = request.header(AUTHORIZATION, credentials);
            }
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) if address::is_refusal(&error) => {
                    return Err(refused("its address is in a private network".to_owned()).into());
                }
                Err(error) => return Err(unreachable(&at, error).into()),
            };
            let status = response.status();
            if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                at = self.redirected(url, &at, &response)?;
            } else if matches!(status.as_u16(), 408 | 429 | 500 | 502..=504 | 507..=599) {
                let again = retry_after(&response).map_or(Again::Yes, Again::After);
                return Err(Failure { error: bad_status(&at, status), again });
            } else {
                return Ok(Answer { response, url: at, _slot: slot });
            }
        }
        let reason = format!("there are more than {MAX_REDIRECTS} redirects in a row");
        Err(IndexError::RefusedRedirect { url: shown(url), target: shown(&at), reason }.into())
    }

    fn redirected(&self, asked: &Url, at: &Url, response: &Response) -> Result<Url, IndexError> {
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| at.join(location).ok());
        let mut target = target.ok_or_else(|| bad_status(at, response.status()))?;
        strip_credentials(&mut target);
        target.set_fragment(None);
        if at.scheme() == "https" && target.scheme() == "http" {
            let reason = "it would give up encryption".to_owned();
            return Err(IndexError::RefusedRedirect { url: shown(asked), target: shown(&target), reason });
        }
        Ok(target)
    }

    fn client_for(&self, url: &Url, is_own: bool) -> Result<&Client, String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("`{}` is not http or https", url.scheme()));
        }
        if is_own || self.is_trusted(url) {
            return Ok(&self.trusting);
        }
        address::check_literal(url).map_err(|error| error.to_string())?;
        Ok(&self.guarded)
    }

    /// Whether `url` lies on a configured index's server: the port counts, for others may listen on the same machine.
    fn is_own(&self, url: &Url) -> bool {
        self.own.iter().any(|(origin, _)| *origin == url.origin())
    }

    fn is_trusted(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}"));
        self.trusted_hosts.iter().any(|trusted| trusted == host || with_port.as_ref() == Some(trusted))
    }

    fn credentials(&self, url: &Url) -> Option<HeaderValue> {
        let origin = url.origin();
        self.own.iter().filter(|(own, _)| *own == origin).find_map(|(_, credentials)| credentials.clone())
    }
}

impl Answer {
    /// The body, if it is not longer than `max_bytes`.
    pub(super) async fn body(mut self, max_bytes: u64) -> Result<Vec<u8>, Failure> {
        let too_large = || IndexError::TooLarge { url: shown(&self.url), max_bytes };
        if self.response.content_length().is_some_and(|length| length > max_bytes) {
            return Err(too_large().into());
        }
        let mut body = Vec::new();
        while let Some(chunk) = self.response.chunk().await.map_err(|error| unreachable(&self.url, error))? {
            if body.len() as u64 + chunk.len() as u64 > max_bytes {
                return Err(IndexError::TooLarge { url: shown(&self.url), max_bytes }.into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    pub(super) fn bad_status(&self) -> IndexError {
        bad_status(&self.url, self.response.status())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }
}

pub(super) fn unreachable(url: &Url, error: reqwest::Error) -> IndexError {
    IndexError::Unreachable { url: shown(url), reason: chain(&error.without_url()) }
}

fn bad_status(url: &Url, status: StatusCode) -> IndexError {
    IndexError::Status { url: shown(url), status: status.as_u16() }
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().or_else(|| {
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second();
        Some(u64::try_from(date).ok()?.saturating_sub(unix_seconds()))
    })?;
    Some(Duration::from_secs(seconds))
}

fn basic((user, password): &(String, String)) -> Option<HeaderValue> {
    let pair = [percent_decode(user), b":".to_vec(), percent_decode(password)].concat();
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}
