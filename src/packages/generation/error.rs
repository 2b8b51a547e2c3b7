//! Why an environment's directory cannot be made or used.

use std::path::PathBuf;

use super::super::cache::CacheError;
use super::super::disk::DiskError;
use super::super::pylock::PylockError;
use super::super::wheel::WheelError;
use super::super::wheel_name::WheelNameError;

/// A directory of wheels that cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The cache, or a wheel on its way into it.
    #[error(transparent)]
    Cache(CacheError),
    /// The lockfile.
    #[error(transparent)]
    Pylock(#[from] PylockError),
    /// A wheel's name.
    #[error(transparent)]
    WheelName(#[from] WheelNameError),
    /// A cached wheel whose list of files cannot be read any more.
    #[error("the list of files of {package} cannot be read: {source}")]
    Record {
        /// The package.
        package: String,
        /// What is wrong with it.
        source: Box<WheelError>,
    },
    /// A wheel of the lockfile is not in the cache, or not in the directory that is loaded.
    #[error("the wheel `{filename}` is not there")]
    Absent {
        /// Its name.
        filename: String,
    },
    /// A wheel is of another project or version than the lockfile says, or has a name that is none.
    #[error("the wheel `{filename}` is {found}, not {expected}")]
    OtherWheel {
        /// Its name.
        filename: String,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Two wheels of one project.
    #[error("there are two wheels of {project}: `{first}` and `{second}`")]
    SameProject {
        /// The project.
        project: String,
        /// A wheel.
        first: String,
        /// The other.
        second: String,
    },
    /// The generation was built before, with other contents.
    #[error("`{}` is there already, with other packages", path.display())]
    Exists {
        /// Its directory.
        path: PathBuf,
    },
    /// A wheel lies in the directory that the lockfile does not know.
    #[error("`{filename}` is not in the lockfile beside it")]
    Unlocked {
        /// Its name.
        filename: String,
    },
    /// Too much lies in the directory.
    #[error("`{}` has more than {limit} wheels", path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
        /// How many there may be.
        limit: usize,
    },
    /// A file that is not a plain file, or has a name that is not text.
    #[error("`{}` is not a file that can be used", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
}

impl From<CacheError> for GenerationError {
    /// A full disk stays one.
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::Disk(error) => Self::Disk(error),
            error => Self::Cache(error),
        }
    }
}
