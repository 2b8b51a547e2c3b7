//! The package index client.
//!
//! ```text
//! project(name) -> memory -> disk (fresh?) -> index: JSON or HTML -> Project
//! metadata(file) -> memory -> disk -> beside the wheel, else pieces of the wheel, else the whole wheel -> CoreMetadata
//! download(file) -> index, hashed and counted on the way -> the caller's writer
//! ```
//!
//! Nothing that an index says is believed: pages, answers and files have bounds, links and redirects lead to no private
//! network, credentials go to the index that they are for, and a file is what its hash says or an error.

mod address;
mod config;
mod disk;
mod download;
mod error;
mod flight;
mod freshness;
mod html;
mod http;
mod json;
mod names;
mod page;
mod pages;
mod recent;
mod source;
mod sparse;
mod stored;
mod tags;
mod wheel;

use std::fmt;
use std::sync::Arc;

use pep508_rs::PackageName;
use tokio::io::AsyncWrite;

pub use config::{IndexConfig, Retry};
pub use download::{Downloaded, Progress};
pub use error::IndexError;

use self::disk::Disk;
use self::http::Http;
use self::pages::Pages;
use self::source::Source;
use self::wheel::Wheels;
use super::project::{CoreMetadata, DistFile, Project};

/// The package indexes, and what is known of them. A clone is the same client.
#[derive(Clone)]
pub struct Index {
    shared: Arc<Shared>,
}

struct Shared {
    config: IndexConfig,
    sources: Vec<Source>,
    http: Http,
    disk: Disk,
    pages: Pages,
    wheels: Wheels,
}

impl Index {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// An index's address is not one, or HTTP can't be set up.
    pub fn new(config: IndexConfig) -> Result<Self, IndexError> {
        let sources = config.urls.iter().map(Source::new).collect::<Result<Vec<_>, _>>()?;
        let http = Http::new(&config, &sources)?;
        let disk = Disk::new(config.cache_dir.join("index"));
        let shared = Shared { config, sources, http, disk, pages: Pages::new(), wheels: Wheels::new() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The project and its files, according to the first index that knows it.
    ///
    /// # Errors
    /// No index knows it, or one could not be asked before that was clear.
    pub async fn project(&self, name: &PackageName) -> Result<Arc<Project>, IndexError> {
        self.shared.project(name).await
    }

    /// What a wheel says of itself. Its name and version are those of the file name.
    ///
    /// # Errors
    /// The file is no wheel, its metadata can't be had or understood, or it is another's.
    pub async fn metadata(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, IndexError> {
        self.shared.metadata(file).await
    }

    /// Writes the file's bytes to `into`, and goes on where a connection broke. Where it fails, what was written is of no
    /// use; where the index gives no hash, only the transfer was checked.
    ///
    /// # Errors
    /// The file can't be had, is not what the index says, is too large, or can't be written.
    pub async fn download<W: AsyncWrite + Unpin + Send + ?Sized>(
        &self,
        file: &DistFile,
        into: &mut W,
        progress: Progress<'_>,
    ) -> Result<Downloaded, IndexError> {
        self.shared.download(file, into, progress).await
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// Does what blocks, or takes long, on a thread for that; a panic there (a parser of somebody else's) is an error here.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| format!("reading it failed: {error}"))
}
