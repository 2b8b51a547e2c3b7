//! Environments as directories: a generation is a directory of wheels with their lockfile.
//!
//! ```text
//! environments/<environment>/<generation>/*.whl        hard links into the wheel cache
//!                                         pylock.toml  what they are (PEP 751)
//! environments/staging/                                what is being made, or removed
//! ```
//! A generation never changes: an installation builds the next one aside and renames it into its place. Whichever the
//! database names is the environment's; [`Environments::gc`] removes the others.

mod build;
mod error;
mod gc;
mod load;
mod overlap;
mod site_packages;

use std::path::{Path, PathBuf};

use uuid::Uuid;

pub use error::GenerationError;
pub use gc::Collected;
pub use load::{Loaded, load};
pub use overlap::{Overlap, Overlaps};
pub use site_packages::SitePackages;

use super::cache::CachedWheel;
use super::disk::{self, StagingArea, Steps};

const STAGING: &str = "staging";

/// The environments of a data directory.
#[derive(Debug)]
pub struct Environments {
    dir: PathBuf,
    staging: StagingArea,
    steps: Steps,
}

/// A generation that was built.
#[derive(Debug)]
pub struct GenerationDir {
    /// The directory.
    pub path: PathBuf,
    /// Its wheels, sorted by project.
    pub wheels: Vec<CachedWheel>,
    /// Files that two wheels own.
    pub overlaps: Overlaps,
}

impl GenerationDir {
    /// Bytes of what its wheels bring to `site-packages`.
    pub fn unpacked_bytes(&self) -> u64 {
        self.wheels.iter().map(|wheel| wheel.info().unpacked_bytes).fold(0, u64::saturating_add)
    }
}

impl Environments {
    /// Opens the environments in `dir`, which is made if need be.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn open(dir: &Path) -> Result<Self, GenerationError> {
        Self::open_with_steps(dir, Steps::default())
    }

    /// [`Self::open`] with a hook that hears of each step of what is changed.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_steps(dir: &Path, steps: Steps) -> Result<Self, GenerationError> {
        disk::private_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), staging: StagingArea::open(dir.join(STAGING))?, steps })
    }

    /// Where a generation is, or would be.
    pub fn path(&self, environment: Uuid, generation: u64) -> PathBuf {
        self.dir.join(environment.to_string()).join(generation.to_string())
    }
}
