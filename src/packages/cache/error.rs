//! Why the cache cannot give a wheel.

use super::super::disk::DiskError;
use super::super::wheel::WheelError;

/// A wheel that the cache cannot take or give.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The wheel breaks a rule.
    #[error("the wheel `{filename}` is refused: {source}")]
    Refused {
        /// Its name.
        filename: String,
        /// The rule.
        source: Box<WheelError>,
    },
    /// The wheel is another than it should be.
    #[error("the wheel `{filename}` has the SHA-256 {computed}, not {expected}")]
    Digest {
        /// Its name.
        filename: String,
        /// What it should be, in lower-case hex.
        expected: String,
        /// What it is.
        computed: String,
    },
    /// Text that is no SHA-256.
    #[error("`{text}` is not a SHA-256 in lower-case hex")]
    BadDigest {
        /// The beginning of the text.
        text: String,
    },
    /// The same bytes as a wheel of another project or version.
    #[error("the wheel `{filename}` is, byte for byte, {name} {version}")]
    OtherName {
        /// The name that it came with.
        filename: String,
        /// The project that it is of.
        name: String,
        /// Its version.
        version: String,
    },
    /// Other processes remove or damage the entry as fast as it is made.
    #[error("the cache entry of the wheel {sha256} cannot be made: something else keeps changing it")]
    Contended {
        /// The wheel.
        sha256: String,
    },
    /// A runtime's key that cannot be the name of a directory.
    #[error("`{key}` is no name for bytecode")]
    BadKey {
        /// The key.
        key: String,
    },
    /// Bytecode is files `*.pyc` in directories `__pycache__`.
    #[error("`{path}` is no bytecode file")]
    NotBytecode {
        /// The path.
        path: String,
    },
}

impl CacheError {
    /// What `WheelError` becomes for the wheel `filename`: a full disk stays one.
    pub(super) fn refused(filename: &str) -> impl FnOnce(WheelError) -> Self {
        move |error| match error {
            WheelError::Disk(error) => Self::Disk(error),
            source => Self::Refused { filename: filename.to_owned(), source: Box::new(source) },
        }
    }
}
