//! What can go wrong with an object.

use std::error::Error;
use std::io;
use std::path::PathBuf;

/// Why an object could not be read or written. No message shows an access key.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The address names no store.
    #[error("the object store's URL is not usable: {reason}")]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// The store's directory cannot be made or read.
    #[error("cannot use the directory `{}`: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The text is no key.
    #[error("`{key}` is not an object's key: names of letters, digits and `-_.=+`, with `/` between them")]
    Key {
        /// The text, or its beginning.
        key: String,
    },
    /// There is no such object.
    #[error("there is no object `{key}`")]
    NotFound {
        /// Its key.
        key: String,
    },
    /// The object is larger than the reader wants.
    #[error("the object `{key}` has {size_bytes} bytes or more, and {max_bytes} are expected at most")]
    TooLarge {
        /// Its key.
        key: String,
        /// Its bytes, as far as they are known.
        size_bytes: u64,
        /// What the reader wants at most.
        max_bytes: u64,
    },
    /// The object has not as many bytes as are asked for.
    #[error("the object `{key}` has no bytes up to {end}")]
    OutOfRange {
        /// Its key.
        key: String,
        /// The end of what was asked for.
        end: u64,
    },
    /// The store lets us not do it.
    #[error("the object store does not allow this for `{key}`: {reason}")]
    Denied {
        /// The object's key.
        key: String,
        /// The store's words.
        reason: String,
    },
    /// There is no room for more.
    #[error("the object store is full")]
    Full,
    /// The store does not answer, or not with sense.
    #[error("the object store is not available for `{key}`: {reason}")]
    Unavailable {
        /// The object's key.
        key: String,
        /// The chain of causes.
        reason: String,
    },
}

impl ObjectError {
    pub(super) fn of(key: &str, error: object_store::Error) -> Self {
        let key = key.to_owned();
        let reason = chain(&error);
        match &error {
            object_store::Error::NotFound { .. } => Self::NotFound { key },
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                Self::Denied { key, reason }
            }
            _ => match io_kind(&error) {
                Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Self::Full,
                Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                    Self::Denied { key, reason }
                }
                _ => Self::Unavailable { key, reason },
            },
        }
    }
}

/// The error and its causes, each once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}
