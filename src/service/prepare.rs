//! Bring the runtime up: fetch and compile it where it is not cached, boot the interpreter, fill the pool.

use std::path::PathBuf;

use super::Service;
use crate::backend::wasm::runtime::cache::CacheError;
use crate::backend::wasm::runtime::fetch::Retry;
use crate::backend::wasm::runtime::manifest::{Manifest, ManifestError};
use crate::backend::wasm::runtime::{EnsureRequest, Progress, RuntimeError, RuntimeFiles, Source, Stage, ensure};
use crate::backend::wasm::{self, Sandbox, SandboxConfig, SandboxError};

/// What the compiled module depends on besides the engine's settings, the same for whoever compiles it.
pub const EXTRA_KEY: &str = "";

/// What to bring up.
#[derive(Debug, Clone)]
pub struct PrepareRequest {
    /// The cache directory; made if it is not there.
    pub cache_dir: PathBuf,
    /// Address of the package index's simple API, for the runtime's wheel.
    pub index_url: String,
    /// How the sandbox uses the machine.
    pub sandbox: SandboxConfig,
}

/// Why nothing runs. [`PrepareError::hint`] says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The runtime cannot be had.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The machine lacks what the engine needs.
    #[error("the engine does not work here: {reason}")]
    Engine {
        /// The engine's words.
        reason: String,
    },
    /// The interpreter does not start.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The work was given up, or it panicked.
    #[error("the preparation did not end: {reason}")]
    Interrupted {
        /// What happened.
        reason: String,
    },
}

impl From<ManifestError> for PrepareError {
    fn from(error: ManifestError) -> Self {
        Self::Runtime(error.into())
    }
}

impl From<CacheError> for PrepareError {
    fn from(error: CacheError) -> Self {
        Self::Runtime(error.into())
    }
}

impl PrepareError {
    /// What a person can do about it, apart from the message.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Runtime(error) => error.hint(),
            _ => None,
        }
    }
}

/// Brings the runtime up and makes `service` ready with the sandbox that is returned; `progress` hears how far it is,
/// beside the service itself.
///
/// Where the runtime is cached this takes less than a second, else a download of 100 MB and two minutes of compilation,
/// which goes on in its thread when this future is dropped.
///
/// # Errors
/// The runtime cannot be had or does not start. The service knows it, too.
pub async fn prepare(
    service: &Service,
    request: PrepareRequest,
    progress: Option<Box<dyn Progress>>,
) -> Result<Sandbox, PrepareError> {
    let result = bring_up(service, request, progress).await;
    if let Err(error) = &result {
        let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        service.set_failed(format!("{error}{hint}"));
    }
    result
}

async fn bring_up(
    service: &Service,
    request: PrepareRequest,
    progress: Option<Box<dyn Progress>>,
) -> Result<Sandbox, PrepareError> {
    let PrepareRequest { cache_dir, index_url, sandbox: config } = request;
    let ensure_request = EnsureRequest {
        manifest: Manifest::embedded()?,
        cache_dir,
        source: Source::Index { url: index_url },
        extra_key: EXTRA_KEY.to_owned(),
        retry: Retry::default(),
    };
    let engine = wasm::engine().map_err(|error| PrepareError::Engine { reason: format!("{error:#}") })?;
    let compiler = engine.clone();
    let told = Told { service: service.clone(), also: progress };
    let files = off_thread(move || ensure(&ensure_request, &compiler, &told)).await??;
    service.set_readiness("boot", 0, None);
    let fills_pool = config.ready_kernels > 0;
    let sandbox = Sandbox::open(engine, &files, config).await?;
    service.set_ready(sandbox.clone(), name(&files), files.manifest.runtime.python_version.clone());
    if fills_pool {
        // After the first requests may run: an empty pool only costs them a millisecond.
        let filled = sandbox.clone();
        if let Err(error) = off_thread(move || filled.fill_pool()).await? {
            tracing::warn!(%error, "the pool of ready kernels is not full");
        }
    }
    Ok(sandbox)
}

fn name(files: &RuntimeFiles) -> String {
    let artifact = &files.manifest.artifact;
    format!("{} {}", artifact.package, artifact.version)
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, PrepareError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| PrepareError::Interrupted { reason: error.to_string() })
}

/// Tells the service, and whoever else wants to hear it.
struct Told {
    service: Service,
    also: Option<Box<dyn Progress>>,
}

impl Progress for Told {
    fn stage(&self, stage: Stage, done: u64, total: Option<u64>) {
        let name = match stage {
            Stage::Waiting => "waiting",
            Stage::Download => "download",
            Stage::Retry => "retry",
            Stage::Verify => "verify",
            Stage::Extract => "extract",
            Stage::Split => "split",
            Stage::Compile => "compile",
            Stage::Store => "store",
        };
        self.service.set_readiness(name, done, total);
        if let Some(also) = &self.also {
            also.stage(stage, done, total);
        }
    }
}
