//! One client with one connection, for requests that differ from each other.

use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::report::Result;
use crate::server::Server;

/// A client.
pub struct One {
    base: String,
    runtime: Runtime,
    client: Client,
}

impl One {
    /// A client of `server`.
    pub fn new(server: &Server) -> Result<Self> {
        // Nothing here is encrypted, but a client cannot be made without: an error says that somebody did it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {}", server.token))?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("client").enable_all().build()?;
        let client = Client::builder().default_headers(headers).no_proxy().tcp_nodelay(true).build()?;
        Ok(Self { base: format!("http://{}", server.address), runtime, client })
    }

    /// Posts JSON, and tells how long the answer took to its last byte, and the answer.
    pub fn post(&self, path: &str, body: &Value) -> Result<(Duration, Value)> {
        self.ask(path, self.client.post(format!("{}{path}", self.base)).body(body.to_string()))
    }

    /// Gets something, likewise.
    pub fn get(&self, path: &str) -> Result<(Duration, Value)> {
        self.ask(path, self.client.get(format!("{}{path}", self.base)))
    }

    fn ask(&self, path: &str, request: RequestBuilder) -> Result<(Duration, Value)> {
        self.runtime.block_on(async {
            let asked = Instant::now();
            let response = request.send().await?;
            let status = response.status();
            let bytes = response.bytes().await?;
            let time = asked.elapsed();
            let answer: Value = serde_json::from_slice(&bytes)?;
            if status.is_success() { Ok((time, answer)) } else { Err(format!("{path}: {status}: {answer}").into()) }
        })
    }

    /// Deletes something.
    pub fn delete(&self, path: &str) -> Result<()> {
        let request = self.client.delete(format!("{}{path}", self.base));
        self.runtime.block_on(async { Ok(request.send().await?.error_for_status().map(drop)?) })
    }
}
