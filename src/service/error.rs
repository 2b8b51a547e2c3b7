//! What can go wrong with a request, in words for the caller. What is ours is logged here, once, with its id.

use uuid::Uuid;

use crate::backend::wasm::SandboxError;
use crate::domain::LimitError;

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The runtime is still being prepared.
    #[error("the Python runtime is still being prepared ({stage}); try again in a moment")]
    Preparing {
        /// What is done now.
        stage: String,
    },
    /// The runtime could not be prepared.
    #[error("the Python runtime is not available: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// A field of the request can't be taken as it is.
    #[error("{field}: {message}")]
    Invalid {
        /// The field.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// Something is larger than it may be.
    #[error("{what} may have at most {limit} bytes")]
    TooLarge {
        /// What.
        what: String,
        /// How large it may be.
        limit: u64,
    },
    /// Too much runs already.
    #[error("the server is busy; try again in {retry_after_s} s")]
    Busy {
        /// When to try again.
        retry_after_s: u64,
    },
    /// Our own failure, logged under that id.
    #[error("internal error {id}")]
    Internal {
        /// The id in the log.
        id: Uuid,
    },
}

impl ServiceError {
    /// Logs a failure of ours and gives it an id.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        let id = Uuid::now_v7();
        tracing::error!(%id, error, "internal error");
        Self::Internal { id }
    }
}

impl From<LimitError> for ServiceError {
    fn from(error: LimitError) -> Self {
        let message = format!("must be between {} and {}, not {}", error.min, error.max, error.asked);
        Self::Invalid { field: format!("limits.{}", error.field), message }
    }
}

impl From<SandboxError> for ServiceError {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::File { path, reason } => {
                Self::Invalid { field: "files".to_owned(), message: format!("{path}: {reason}") }
            }
            SandboxError::Check => Self::Invalid {
                field: "content".to_owned(),
                message: "the document is too large or too deeply nested to be checked".to_owned(),
            },
            error => Self::internal(&error),
        }
    }
}
