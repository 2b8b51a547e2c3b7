//! Why a command ended early, in words for a person, and the exit code.

use std::fmt;
use std::io;
use std::path::Path;

use super::exit;
use super::runtime::RuntimeCliError;
use crate::backend::wasm::runtime::RuntimeError;
use crate::backend::wasm::runtime::fetch::FetchError;
use crate::config::{ConfigError, TokenError};
use crate::metrics::MetricsError;
use crate::service::ServiceError;
use crate::service::install::InstallError;
use crate::service::prepare::PrepareError;
use crate::store::StoreError;

/// Why a command ended early.
#[derive(Debug)]
pub struct Failure {
    /// What the process ends with.
    pub code: u8,
    message: String,
    hint: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl Failure {
    fn new(code: u8, message: impl ToString, hint: Option<String>) -> Self {
        Self { code, message: message.to_string(), hint }
    }

    /// The caller's fault.
    pub fn usage(message: impl ToString) -> Self {
        Self::new(exit::USAGE, message, None)
    }

    /// What was asked for can't be had.
    pub fn failed(message: impl ToString) -> Self {
        Self::new(exit::FAILED, message, None)
    }

    /// Our fault, or the machine's.
    pub fn fault(message: impl ToString) -> Self {
        Self::new(exit::FAULT, message, None)
    }

    /// A file that was named can't be used.
    pub fn file(action: &str, path: &Path, error: &io::Error) -> Self {
        Self::usage(format!("cannot {action} `{}`: {error}", path.display()))
    }
}

/// The index's address comes from the configuration; everything else does not.
fn code_of(error: &RuntimeError) -> u8 {
    match error {
        RuntimeError::Fetch(FetchError::IndexUrl { .. }) => exit::USAGE,
        _ => exit::FAULT,
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error)
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Random { .. } => Self::fault(error),
            _ => Self::usage(error),
        }
    }
}

impl From<tracing_subscriber::filter::ParseError> for Failure {
    fn from(error: tracing_subscriber::filter::ParseError) -> Self {
        Self::usage(format!("`log.filter` is not valid: {error}"))
    }
}

impl From<MetricsError> for Failure {
    fn from(error: MetricsError) -> Self {
        Self::fault(error)
    }
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        let code = match &error {
            PrepareError::Runtime(error) => code_of(error),
            _ => exit::FAULT,
        };
        Self::new(code, &error, error.hint())
    }
}

impl From<RuntimeCliError> for Failure {
    fn from(error: RuntimeCliError) -> Self {
        let code = match &error {
            RuntimeCliError::Runtime(error) => code_of(error),
            RuntimeCliError::Damaged { .. } => exit::FAILED,
            RuntimeCliError::Output { .. } => exit::FAULT,
        };
        Self::new(code, &error, error.hint())
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match &error {
            ServiceError::Invalid { .. } | ServiceError::TooLarge { .. } => Self::usage(error),
            ServiceError::NotFound { .. }
            | ServiceError::Conflict { .. }
            | ServiceError::Changed { .. }
            | ServiceError::NoPrinter { .. }
            | ServiceError::Quota(_) => Self::usage(error),
            ServiceError::Packages { .. } | ServiceError::Index { .. } | ServiceError::NotPrintable { .. } => {
                Self::failed(error)
            }
            ServiceError::Preparing { .. }
            | ServiceError::Unavailable { .. }
            | ServiceError::Busy { .. }
            | ServiceError::TooMany { .. }
            | ServiceError::Objects
            | ServiceError::Internal { .. } => Self::fault(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Url { .. } | StoreError::Newer { .. } => Self::usage(error),
            error => Self::fault(error),
        }
    }
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Self {
        ServiceError::from(error).into()
    }
}
