//! Files that lie beside a document: its cells find them in their working directory, and can't change them.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::service::ServiceError;

/// Files with their content: the path in the working directory, the bytes.
pub type Loaded = Vec<(String, Arc<[u8]>)>;

type Load = dyn Fn() -> BoxFuture<'static, Result<Loaded, ServiceError>> + Send + Sync;

/// The files beside a document. They are fetched only when a cell needs a kernel that has not seen them.
pub struct Attached {
    digest: String,
    load: Box<Load>,
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Attached {
    /// Files that `load` fetches. `digest` stands for their paths and their content.
    pub fn new(
        digest: String,
        load: impl Fn() -> BoxFuture<'static, Result<Loaded, ServiceError>> + Send + Sync + 'static,
    ) -> Self {
        Self { digest, load: Box::new(load) }
    }

    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    pub(in crate::service) async fn load(&self) -> Result<Loaded, ServiceError> {
        (self.load)().await
    }
}
