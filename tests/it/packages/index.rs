//! The package index client, against indexes that are honest, broken or hostile.

mod caching;
mod core_metadata;
mod downloads;
mod network;
mod pages;
mod real;
mod wheels;

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use pep508_rs::PackageName;
use pymd::packages::index::{Index, IndexConfig, IndexError, Retry};
use pymd::packages::project::{DistFile, Project};
use tempfile::TempDir;
use url::Url;

use super::fake_index::{Beside, FakeIndex, File, Gate, Reply, Style, Wheel, noise, page, sha256};

/// A fake index and a client with a cache of its own.
struct Fixture {
    fake: FakeIndex,
    cache: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        Self { fake: FakeIndex::start().await, cache: TempDir::new().unwrap() }
    }

    fn config(&self) -> IndexConfig {
        config(vec![self.fake.url()], self.cache.path())
    }

    /// A new client: what it knows without asking, it knows from the disk.
    fn index(&self) -> Index {
        Index::new(self.config()).unwrap()
    }

    /// Asks a new client for a project.
    async fn project(&self, name: &str) -> Result<Arc<Project>, IndexError> {
        self.index().project(&package(name)).await
    }

    /// The one file of a project.
    async fn file(&self, name: &str) -> DistFile {
        let project = self.project(name).await.unwrap();
        let [file] = project.files.as_slice() else { panic!("{project:?}") };
        file.clone()
    }
}

fn config(urls: Vec<Url>, cache: &Path) -> IndexConfig {
    let retry = Retry { attempts: 3, first_wait: Duration::from_millis(1), ..Retry::default() };
    IndexConfig { retry, ..IndexConfig::new(urls, cache.to_owned()) }
}

fn package(name: &str) -> PackageName {
    PackageName::from_str(name).unwrap()
}

fn names(project: &Project) -> Vec<&str> {
    project.files.iter().map(|file| file.filename.as_str()).collect()
}
