//! The package index as the resolver's source of facts.

use std::sync::Arc;

use pep508_rs::PackageName;

use super::index::{Index, IndexError};
use super::project::{CoreMetadata, DistFile, Project};
use super::resolver::{Provider, ProviderError};

impl Provider for Index {
    async fn project(&self, name: &PackageName) -> Result<Arc<Project>, ProviderError> {
        Index::project(self, name).await.map_err(ProviderError::from)
    }

    async fn metadata(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, ProviderError> {
        Index::metadata(self, file).await.map_err(ProviderError::from)
    }
}

impl From<IndexError> for ProviderError {
    /// What may pass by itself, or needs the administrator, is a failure of the index; the rest is that of one file or
    /// project, without which others may do.
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::NotFound { .. } | IndexError::Status { status: 404 | 410, .. } => Self::NotFound,
            IndexError::BadIndexUrl { .. }
            | IndexError::Client { .. }
            | IndexError::Unreachable { .. }
            | IndexError::Status { .. } => Self::Unavailable(error.to_string()),
            other => Self::Bad(other.to_string()),
        }
    }
}
