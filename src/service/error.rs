//! What can go wrong with a request, in words for the caller. What is ours is logged here, once, with its id.

use uuid::Uuid;

use super::install::{self, InstallError};
use crate::backend::wasm::SandboxError;
use crate::browser::PrintError;
use crate::domain::{LimitError, QuotaExceeded, QuotaKind};
use crate::packages::generation::GenerationError;
use crate::packages::resolver::ResolveError;
use crate::store::{
    CreateKeyError, DeleteUserError, DocumentError, EnvironmentError, JobError, KernelError, ObjectError,
    ScheduleError, StoreError,
};

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
    /// The caller does as much of a kind already as one may.
    #[error("{what} of yours go on already; wait for one of them")]
    TooMany {
        /// How many of what.
        what: String,
    },
    /// Too much runs already.
    #[error("the server is busy; try again in {retry_after_s} s")]
    Busy {
        /// When to try again.
        retry_after_s: u64,
    },
    /// There is no such thing, or the caller may not see it.
    #[error("there is no such {what}")]
    NotFound {
        /// What is not there.
        what: &'static str,
    },
    /// It can't be done as things are now.
    #[error("{message}")]
    Conflict {
        /// Why, and what to do.
        message: String,
    },
    /// Somebody else changed it since the caller has seen it.
    #[error("{message}")]
    Changed {
        /// What it is now, and what to do.
        message: String,
    },
    /// The object store does not answer, or is full.
    #[error("files can't be kept or read at the moment: the object store does not answer, or is full")]
    Objects,
    /// This server can print nothing.
    #[error("{message}")]
    NoPrinter {
        /// Why, and what to do.
        message: String,
    },
    /// The document can't be printed.
    #[error("the document can't be printed: {message}")]
    NotPrintable {
        /// Why.
        message: String,
    },
    /// The caller's tier does not allow so much.
    #[error(transparent)]
    Quota(#[from] QuotaExceeded),
    /// The packages that are asked for can't be had.
    #[error("{message}")]
    Packages {
        /// Why.
        message: String,
    },
    /// The package index does not answer, or not as it should.
    #[error("{message}")]
    Index {
        /// What happened.
        message: String,
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

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing { what } => Self::NotFound { what },
            error => Self::internal(&error),
        }
    }
}

impl From<CreateKeyError> for ServiceError {
    fn from(error: CreateKeyError) -> Self {
        match error {
            CreateKeyError::TooMany { .. } => Self::Conflict { message: error.to_string() },
            CreateKeyError::Store(error) => error.into(),
        }
    }
}

impl From<DeleteUserError> for ServiceError {
    fn from(error: DeleteUserError) -> Self {
        match error {
            DeleteUserError::Store(error) => error.into(),
            error @ (DeleteUserError::Bootstrap | DeleteUserError::LastAdmin) => {
                Self::Conflict { message: error.to_string() }
            }
        }
    }
}

impl From<EnvironmentError> for ServiceError {
    fn from(error: EnvironmentError) -> Self {
        match error {
            EnvironmentError::NotFound => Self::NotFound { what: "environment" },
            EnvironmentError::QuotaExceeded(error) => Self::Quota(error),
            EnvironmentError::Store(error) => error.into(),
            error => Self::Conflict { message: error.to_string() },
        }
    }
}

impl From<InstallError> for ServiceError {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Resolve(ResolveError::Internal) => Self::internal(&ResolveError::Internal),
            InstallError::Resolve(error @ ResolveError::Index { .. }) => Self::Index { message: error.to_string() },
            InstallError::Resolve(error) => Self::Packages { message: error.to_string() },
            InstallError::Index(error) => {
                let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                Self::Index { message: format!("{error}{hint}") }
            }
            InstallError::Cache(error) if install::is_ours(&error) => Self::internal(&error),
            InstallError::Cache(error) => Self::Packages { message: error.to_string() },
            InstallError::Generation(GenerationError::Cache(error)) => InstallError::Cache(error).into(),
            InstallError::Generation(error @ GenerationError::Disk(_)) => Self::internal(&error),
            InstallError::Generation(error) => Self::Packages { message: error.to_string() },
            InstallError::Sandbox(error) => error.into(),
            error @ InstallError::Broken { .. } => Self::internal(&error),
        }
    }
}

impl From<DocumentError> for ServiceError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::NotFound => Self::NotFound { what: "document" },
            DocumentError::NoVersion => Self::NotFound { what: "version of the document" },
            DocumentError::NoFile => Self::NotFound { what: "file of the document" },
            DocumentError::NoEnvironment => {
                Self::Invalid { field: "environment_id".to_owned(), message: error.to_string() }
            }
            DocumentError::Changed { current } => Self::Changed {
                message: format!(
                    "the document was changed meanwhile: it is at version {current} now; read it and try again"
                ),
            },
            DocumentError::QuotaExceeded(QuotaExceeded { what: QuotaKind::DocumentBytes, allowed, .. }) => {
                Self::TooLarge { what: "content".to_owned(), limit: allowed }
            }
            DocumentError::QuotaExceeded(error) => Self::Quota(error),
            DocumentError::Store(error) => error.into(),
            error @ (DocumentError::PathTaken { .. } | DocumentError::TooManyFiles { .. }) => {
                Self::Conflict { message: error.to_string() }
            }
        }
    }
}

impl From<KernelError> for ServiceError {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::NotFound | KernelError::Lost => Self::NotFound { what: "kernel" },
            KernelError::QuotaExceeded(error) => Self::Quota(error),
            error @ KernelError::Unshared => Self::internal(&error),
            KernelError::Store(error) => error.into(),
        }
    }
}

impl From<ScheduleError> for ServiceError {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::NotFound => Self::NotFound { what: "schedule" },
            ScheduleError::NoDocument => Self::NotFound { what: "document" },
            ScheduleError::NoEnvironment => {
                Self::Invalid { field: "environment_id".to_owned(), message: error.to_string() }
            }
            ScheduleError::TooMany { .. } => Self::Conflict { message: error.to_string() },
            ScheduleError::Store(error) => error.into(),
        }
    }
}

impl From<ObjectError> for ServiceError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Unavailable { .. } | ObjectError::Denied { .. } | ObjectError::Full => {
                tracing::error!(%error, "the object store can't be used");
                Self::Objects
            }
            error => Self::internal(&error),
        }
    }
}

impl From<PrintError> for ServiceError {
    fn from(error: PrintError) -> Self {
        match error {
            PrintError::NoBrowser => Self::NoPrinter {
                message: format!(
                    "PDF needs Chromium on the server, and {error}: install it, or set PYMD_PDF_CHROMIUM to its program"
                ),
            },
            PrintError::NoSandbox => {
                let message = format!(
                    "PDF needs Chromium on the server, and {error}: allow them, install Chromium's setuid helper \
                     (chromium-sandbox), or set PYMD_PDF_SANDBOX=false to print without"
                );
                tracing::error!("{message}");
                Self::NoPrinter { message }
            }
            PrintError::TooLarge { .. }
            | PrintError::TooMuch { .. }
            | PrintError::Deadline { .. }
            | PrintError::GaveUp => Self::NotPrintable { message: error.to_string() },
            error => Self::internal(&error),
        }
    }
}

impl From<JobError> for ServiceError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::NotFound => Self::NotFound { what: "job" },
            JobError::NoDocument => Self::NotFound { what: "document" },
            JobError::TooMany { open } => Self::TooMany { what: format!("{open} jobs") },
            JobError::Store(error) => error.into(),
            error @ JobError::LeaseLost(_) => Self::internal(&error),
        }
    }
}
