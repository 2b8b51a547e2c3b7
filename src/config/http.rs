//! What holds for every request.

use std::time::Duration;

use serde::Deserialize;

use super::settings::layered;
use super::{ConfigError, within};

/// What holds for every request.
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "HTTP")]
pub struct HttpSettings {
    /// Largest body of a request in bytes [default: 16777216]
    #[arg(
        id = "http_body_limit_bytes",
        long = "http-body-limit-bytes",
        value_name = "BYTES",
        env = "PYMD_HTTP_BODY_LIMIT_BYTES"
    )]
    pub body_limit_bytes: Option<usize>,
    /// Milliseconds that running cells get when the server is told to stop [default: 10000]
    #[arg(
        id = "http_shutdown_grace_ms",
        long = "http-shutdown-grace-ms",
        value_name = "MS",
        env = "PYMD_HTTP_SHUTDOWN_GRACE_MS"
    )]
    pub shutdown_grace_ms: Option<u64>,
    /// Requests a second from one address, in the long run; 0: any number [default: 200]
    #[arg(
        id = "http_requests_per_second_by_address",
        long = "http-requests-per-second-by-address",
        value_name = "N",
        env = "PYMD_HTTP_REQUESTS_PER_SECOND_BY_ADDRESS"
    )]
    pub requests_per_second_by_address: Option<u32>,
    /// Proxies before the server whose `X-Forwarded-For` is to be believed [default: 0]
    #[arg(
        id = "http_trusted_proxies",
        long = "http-trusted-proxies",
        value_name = "N",
        env = "PYMD_HTTP_TRUSTED_PROXIES"
    )]
    pub trusted_proxies: Option<usize>,
}

layered!(HttpSettings { body_limit_bytes, shutdown_grace_ms, requests_per_second_by_address, trusted_proxies });

/// What holds for every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpConfig {
    /// Largest body of a request in bytes.
    pub body_limit_bytes: usize,
    /// What running cells get when the server is told to stop.
    pub shutdown_grace: Duration,
    /// Requests a second from one address, in the long run; 0: any number.
    pub requests_per_second_by_address: u32,
    /// Proxies before the server whose `X-Forwarded-For` is to be believed.
    pub trusted_proxies: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            body_limit_bytes: 16 << 20,
            shutdown_grace: Duration::from_secs(10),
            requests_per_second_by_address: 200,
            trusted_proxies: 0,
        }
    }
}

impl HttpSettings {
    pub(super) fn resolve(self) -> Result<HttpConfig, ConfigError> {
        let default = HttpConfig::default();
        let body_limit_bytes = self.body_limit_bytes.unwrap_or(default.body_limit_bytes);
        let shutdown_grace = self.shutdown_grace_ms.map_or(default.shutdown_grace, Duration::from_millis);
        within("http.shutdown_grace_ms", shutdown_grace.as_secs(), 0, 3600)?;
        let by_address = self.requests_per_second_by_address.unwrap_or(default.requests_per_second_by_address);
        let trusted_proxies = self.trusted_proxies.unwrap_or(default.trusted_proxies);
        Ok(HttpConfig {
            requests_per_second_by_address: within("http.requests_per_second_by_address", by_address, 0, 1_000_000)?,
            trusted_proxies: within("http.trusted_proxies", trusted_proxies, 0, 16)?,
            body_limit_bytes: within("http.body_limit_bytes", body_limit_bytes, 1024, 1 << 30)?,
            shutdown_grace,
        })
    }
}
