//! Why packages can't be installed.

use crate::backend::wasm::SandboxError;
use crate::packages::cache::CacheError;
use crate::packages::generation::GenerationError;
use crate::packages::index::IndexError;
use crate::packages::resolver::ResolveError;

/// Why packages can't be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// No versions go together, or there are none.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The index does not answer, or not as it should.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A wheel is refused, or the cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The environment's directory cannot be made or used.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// The sandbox failed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A failure of ours.
    #[error("{reason}")]
    Broken {
        /// What is wrong.
        reason: String,
    },
}

/// Whether the cache's failure is ours, or the machine's, and not the wheel's.
pub(in crate::service) fn is_ours(error: &CacheError) -> bool {
    matches!(
        error,
        CacheError::Disk(_) | CacheError::Contended { .. } | CacheError::BadKey { .. } | CacheError::NotBytecode { .. }
    )
}
