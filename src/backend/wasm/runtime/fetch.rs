//! Downloads the pinned wheel from a package index.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode, Url};
use sha2::{Digest, Sha256};

use super::index_page::{FileLink, find_in_html, find_in_json};
use super::manifest::Artifact;
use super::{Progress, Stage};

const JSON_PAGE: &str = "application/vnd.pypi.simple.v1+json";
const ACCEPTED: &str =
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// A project page is not longer than this.
const MAX_PAGE_BYTES: usize = 32 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A server that sends nothing for so long is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a failing request is tried, and how long to wait in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Milliseconds before the second attempt; doubled before each further one.
    pub first_wait_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 5, first_wait_ms: 500 }
    }
}

/// Why the wheel could not be had from the index. No message shows a URL's user name or password.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The index's address is not one.
    #[error("`{url}` is not the http(s) address of a package index: {reason}")]
    IndexUrl {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client cannot work here.
    #[error("cannot set up HTTP: {reason}")]
    Client {
        /// What failed.
        reason: String,
    },
    /// No answer, or the connection broke.
    #[error("cannot read {url}: {reason}")]
    Network {
        /// What was asked for.
        url: String,
        /// The chain of causes.
        reason: String,
    },
    /// The server answered with something else than success.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The project page cannot be understood.
    #[error("{url} is no package index page: {reason}")]
    Page {
        /// Address of the page.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The project has no such file.
    #[error("the index has no file `{file}` at {url}")]
    NotListed {
        /// Name of the file.
        file: String,
        /// Address of the project's page.
        url: String,
    },
    /// The file has another length than the pinned one.
    #[error("{url} has {received} bytes, not {expected}")]
    Size {
        /// Address of the file.
        url: String,
        /// Bytes according to the manifest.
        expected: u64,
        /// Bytes received; of an overlong file, where reading stopped.
        received: u64,
    },
    /// The file has other contents than the pinned one, or the index says so.
    #[error("{url} has the SHA-256 {computed}, not {expected}")]
    Sha256 {
        /// Address of the file.
        url: String,
        /// Digest according to the manifest.
        expected: String,
        /// Digest received, or announced by the index.
        computed: String,
    },
    /// The download cannot be stored.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl FetchError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::IndexUrl { .. } => "give the index's simple API, like https://index.example/simple",
            Self::Network { .. } | Self::Client { .. } => {
                "check the network and the proxy settings, choose a mirror with --index-url, or download the wheel \
                 elsewhere and pass it with --wheel"
            }
            Self::Status { status: 401 | 403, .. } => "the index wants credentials: put them into its URL",
            Self::Status { .. } | Self::Page { .. } | Self::NotListed { .. } => {
                "check --index-url, or download the wheel elsewhere and pass it with --wheel"
            }
            Self::Size { .. } | Self::Sha256 { .. } => {
                "the index, or something on the way, serves another file than the pinned one: do not use it"
            }
            Self::Write { .. } => return None,
        };
        Some(hint.to_owned())
    }

    /// Whether the same request may succeed a little later.
    fn is_transient(&self) -> bool {
        match self {
            Self::Network { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            // A short body without a declared length; an overlong one is no accident.
            Self::Size { expected, received, .. } => received < expected,
            _ => false,
        }
    }
}

/// Downloads `artifact`'s wheel from the package index at `index_url` (its simple API) to the new file `target`, and
/// checks size and digest on the way. Blocks: must not be called on an asynchronous worker thread.
///
/// # Errors
/// The index cannot be reached or has no such file, or the file is not the pinned one. `target` is of no use then.
pub fn fetch(
    artifact: &Artifact,
    index_url: &str,
    retry: Retry,
    target: &Path,
    progress: &dyn Progress,
) -> Result<(), FetchError> {
    let client_error = |reason: String| FetchError::Client { reason };
    let index = parse_index(index_url)?;
    // Somebody else may have chosen the provider for the process already: any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| client_error(error.to_string()))?;
    runtime.block_on(async {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(concat!("pymd/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| client_error(chain(&error)))?;
        let link = with_retries(retry, progress, async || locate(&client, &index, artifact).await).await?;
        let link = with_credentials(link, &index);
        with_retries(retry, progress, async || download(&client, &link, artifact, target, progress).await).await
    })
}

fn parse_index(index_url: &str) -> Result<Url, FetchError> {
    let refuse = |reason: String| FetchError::IndexUrl { url: shown_text(index_url), reason };
    let mut url = Url::parse(index_url).map_err(|error| refuse(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("the scheme is another".to_owned()));
    }
    // Joining a name to a URL without a final slash would replace its last segment.
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url.set_fragment(None);
    Ok(url)
}

async fn locate(client: &Client, index: &Url, artifact: &Artifact) -> Result<FileLink, FetchError> {
    let page_error = |url: &Url, reason: String| FetchError::Page { url: shown(url), reason };
    let address =
        index.join(&format!("{}/", artifact.package)).map_err(|error| page_error(index, error.to_string()))?;
    let mut response = get(client, &address, Some(ACCEPTED)).await?;
    let base = response.url().clone();
    let content_type =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut page = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| network(&address, error))? {
        if page.len().saturating_add(chunk.len()) > MAX_PAGE_BYTES {
            return Err(page_error(&base, format!("it is longer than {MAX_PAGE_BYTES} bytes")));
        }
        page.extend_from_slice(&chunk);
    }
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let found = if [JSON_PAGE, "application/json"].iter().any(|json| media_type.eq_ignore_ascii_case(json)) {
        find_in_json(&page, &base, &artifact.wheel).map_err(|reason| page_error(&base, reason))?
    } else {
        find_in_html(&String::from_utf8_lossy(&page), &base, &artifact.wheel)
    };
    let link = found.ok_or_else(|| FetchError::NotListed { file: artifact.wheel.clone(), url: shown(&base) })?;
    match &link.sha256 {
        Some(listed) if *listed != artifact.sha256 => Err(FetchError::Sha256 {
            url: shown(&link.url),
            expected: artifact.sha256.clone(),
            computed: listed.clone(),
        }),
        _ => Ok(link),
    }
}

async fn download(
    client: &Client,
    link: &FileLink,
    artifact: &Artifact,
    target: &Path,
    progress: &dyn Progress,
) -> Result<(), FetchError> {
    let expected = artifact.size_bytes;
    let size_error = |received| FetchError::Size { url: shown(&link.url), expected, received };
    let write_error = |source| FetchError::Write { path: target.to_owned(), source };
    let mut response = get(client, &link.url, None).await?;
    // Each attempt starts from nothing: what a broken one left is truncated.
    let mut file = File::create(target).map_err(write_error)?;
    let mut hasher = Sha256::new();
    let mut received = 0_u64;
    progress.stage(Stage::Download, 0, Some(expected));
    while let Some(chunk) = response.chunk().await.map_err(|error| network(&link.url, error))? {
        received = received.saturating_add(chunk.len() as u64);
        if received > expected {
            return Err(size_error(received));
        }
        hasher.update(&chunk);
        file.write_all(&chunk).map_err(write_error)?;
        progress.stage(Stage::Download, received, Some(expected));
    }
    if received != expected {
        return Err(size_error(received));
    }
    let computed = hex::encode(hasher.finalize());
    if computed != artifact.sha256 {
        return Err(FetchError::Sha256 { url: shown(&link.url), expected: artifact.sha256.clone(), computed });
    }
    Ok(())
}

async fn get(client: &Client, url: &Url, accept: Option<&str>) -> Result<Response, FetchError> {
    let mut request = client.get(url.clone());
    if let Some(accept) = accept {
        request = request.header(ACCEPT, accept);
    }
    let response = request.send().await.map_err(|error| network(url, error))?;
    match response.status() {
        StatusCode::OK => Ok(response),
        status => Err(FetchError::Status { url: shown(url), status: status.as_u16() }),
    }
}

async fn with_retries<T>(
    retry: Retry,
    progress: &dyn Progress,
    mut attempt: impl AsyncFnMut() -> Result<T, FetchError>,
) -> Result<T, FetchError> {
    let mut wait = Duration::from_millis(retry.first_wait_ms);
    for number in 1.. {
        match attempt().await {
            Err(error) if error.is_transient() && number < retry.attempts => {
                tracing::warn!(%error, attempt = number, "a download failed and is tried again");
                progress.stage(Stage::Retry, u64::from(number), Some(u64::from(retry.attempts)));
            }
            result => return result,
        }
        tokio::time::sleep(wait).await;
        wait = wait.saturating_mul(2);
    }
    Err(FetchError::Client { reason: "no attempt is left".to_owned() })
}

/// An index that wants credentials wants them for its files too, as long as those are on the same server.
fn with_credentials(mut link: FileLink, index: &Url) -> FileLink {
    if link.url.origin() == index.origin() && link.url.username().is_empty() && !index.username().is_empty() {
        // Both URLs are http(s): they can carry credentials, so neither call can fail.
        let _ = link.url.set_username(index.username());
        let _ = link.url.set_password(index.password());
    }
    link
}

fn network(url: &Url, error: reqwest::Error) -> FetchError {
    FetchError::Network { url: shown(url), reason: chain(&error.without_url()) }
}

/// An error and its causes in one line: the outermost alone says too little ("error sending request").
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A URL without its credentials and its query, which may hold a signature.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

fn shown_text(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("...@{rest}"),
        None => url.to_owned(),
    }
}
