//! What the index client is told.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::error::shown;

/// What an [`Index`](super::Index) is made from.
#[derive(Clone)]
pub struct IndexConfig {
    /// Simple APIs; the first that knows a project is asked for it. A user name and a password in a URL are sent to
    /// that server only (same scheme, host and port).
    pub urls: Vec<Url>,
    /// The cache directory; everything here lies in its `index` directory.
    pub cache_dir: PathBuf,
    /// Servers, as `host` or `host:port`, that may lie in a private network besides the indexes themselves.
    pub trusted_hosts: Vec<String>,
    /// A project page may have this many bytes. Default: 32 MiB.
    pub max_page_bytes: u64,
    /// A downloaded file may have this many bytes. Default: 1 GiB.
    pub max_file_bytes: u64,
    /// A wheel that is fetched whole, only to read its metadata in memory, may have this many bytes. Default: 64 MiB.
    pub max_metadata_wheel_bytes: u64,
    /// Requests at the same time. Default: 32.
    pub max_requests: usize,
    /// How long a connection may take to come about. Default: 10 s.
    pub connect_timeout: Duration,
    /// How long a server may send nothing. Default: 30 s.
    pub read_timeout: Duration,
    /// How long one request may take, other than a download. Default: 60 s.
    pub deadline: Duration,
    /// How long one request of a download may take. Default: 30 min.
    pub download_deadline: Duration,
    /// How long a page is taken for fresh when its server does not say. Default: 10 min, which is what the big public
    /// index says.
    pub assumed_fresh: Duration,
    /// How often a failing request is tried.
    pub retry: Retry,
}

/// How often a failing request is tried, and how long to wait in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least 1. Default: 4.
    pub attempts: u32,
    /// Before the second attempt; doubled before each further one, with some chance in it. Default: 300 ms.
    pub first_wait: Duration,
    /// A server that asks for a longer wait than this (`Retry-After`) is not asked again. Default: 20 s.
    pub max_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 4, first_wait: Duration::from_millis(300), max_wait: Duration::from_secs(20) }
    }
}

impl IndexConfig {
    /// The defaults for these indexes and this cache directory.
    pub fn new(urls: Vec<Url>, cache_dir: PathBuf) -> Self {
        Self {
            urls,
            cache_dir,
            trusted_hosts: Vec::new(),
            max_page_bytes: 32 << 20,
            max_file_bytes: 1 << 30,
            max_metadata_wheel_bytes: 64 << 20,
            max_requests: 32,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            deadline: Duration::from_secs(60),
            download_deadline: Duration::from_secs(30 * 60),
            assumed_fresh: Duration::from_secs(600),
            retry: Retry::default(),
        }
    }
}

impl fmt::Debug for IndexConfig {
    /// Without the credentials of the indexes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexConfig")
            .field("urls", &self.urls.iter().map(shown).collect::<Vec<_>>())
            .field("cache_dir", &self.cache_dir)
            .field("trusted_hosts", &self.trusted_hosts)
            .finish_non_exhaustive()
    }
}
