//! The use cases: one function each, between the API and the command line above, the backend and documents below.

mod accounts;
mod admin;
mod admission;
mod checkpoints;
mod error;
mod execute;
mod executions;
pub mod feeds;
pub mod install;
mod kernels;
mod logins;
pub mod prepare;
mod printing;
mod render;
mod renders;
mod scripts;
mod shares;
mod turns;
mod validate;
mod workspace;

use std::sync::Arc;

use tokio::sync::watch;

pub use accounts::{Accounts, CreateKey, CreateUser, CreatedKey, CreatedUser, NobodyComes};
pub use admin::{ChangeTier, ChangeUser, CreateTier, UserDetail};
pub use checkpoints::{CheckpointConfig, CheckpointStats};
pub use error::ServiceError;
pub use execute::{ExecuteRequest, RequestFile};
pub use executions::{ExecutionDetail, Executions, Origin, RecordedCell, Recording, RecordingStats, Running, Told};
pub use feeds::{Position, Start, TooSlow};
pub use kernels::{At, CreateKernel, ExecuteCell, ForkKernel, Kernels, RestoreKernel};
pub use logins::{LoginAnswer, LoginEnd, LoginError, LoginStart};
use render::off_the_server_threads;
pub use render::{
    Attached, CellStatus, CellSummary, Layout, Loaded, Ran, RenderContext, RenderEvent, RenderFormat, RenderReport,
    RenderRequest, RenderSender,
};
pub use renders::Renders;
pub use scripts::Scripts;
pub use shares::{Share, Shares};
pub use validate::{ValidateReport, ValidateRequest};
pub use workspace::{
    AddPackages, Clock, CloneEnvironment, CreateDocument, CreateEnvironment, DocumentWatch, ExportFormat, Exported,
    FileList, Found, ImportDocument, ImportRequirements, ImportedDocument, InstallRequest, JobResult, KernelWatch,
    OpenFile, PackageList, PublicPage, PutFile, PutSchedule, RenderStored, TEMPLATES, TagList, Template,
    UpdateDocument, UpdateEnvironment, VersionDiff, Watch, Workspace, WorkspaceParts,
};

use crate::backend::wasm::Sandbox;
use crate::domain::{Grant, Limits, RenderPolicy};
use crate::store::{Database, Objects};
use admission::{Admission, Seat};
use checkpoints::Checkpoints;

/// How much may run.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// What no execution goes beyond, whoever asks for it.
    pub limits: Limits,
    /// Requests that run at once.
    pub max_running: usize,
    /// Requests that wait for their turn; more are refused.
    pub max_queued: usize,
    /// How much is kept of what documents' cells came to.
    pub checkpoints: CheckpointConfig,
    /// How that is kept beyond the memory, where there is a place for it: [`Service::keep_renders`].
    pub renders: RenderPolicy,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            max_running: 64,
            max_queued: 256,
            checkpoints: CheckpointConfig::default(),
            renders: RenderPolicy::default(),
        }
    }
}

/// Whether code can run yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// The runtime is being fetched or compiled.
    Preparing {
        /// What is done now.
        stage: String,
        /// How much of it is done.
        done: u64,
        /// How much it is in all, where that is known.
        total: Option<u64>,
    },
    /// Code runs.
    Ready {
        /// Which runtime.
        runtime: String,
        /// Its Python version.
        python_version: String,
    },
    /// The runtime could not be prepared.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What goes on now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServiceStats {
    /// Requests that run.
    pub running: usize,
    /// Requests that wait.
    pub queued: usize,
    /// Kernels with memory that belong to a request.
    pub kernels: usize,
    /// Kernels that wait in the pool.
    pub ready_kernels: usize,
    /// What is kept of earlier renders.
    pub checkpoints: CheckpointStats,
}

/// What whoever asks for something may use.
#[derive(Debug, Clone)]
pub struct Allowance {
    /// What an execution may use; a request may ask for less.
    pub limits: Limits,
    /// Whose turn it is when.
    pub seat: Seat,
}

/// The service. Cloning shares it.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    config: ServiceConfig,
    admission: Admission,
    checkpoints: Arc<Checkpoints>,
    renders: std::sync::OnceLock<Renders>,
    readiness: watch::Sender<Readiness>,
    sandbox: std::sync::OnceLock<Sandbox>,
}

impl Service {
    /// A service that is still preparing.
    pub fn new(config: ServiceConfig) -> Self {
        let stage = "starting".to_owned();
        Self(Arc::new(Inner {
            admission: Admission::new(config.max_running, config.max_queued),
            checkpoints: Arc::new(Checkpoints::new(config.checkpoints.clone())),
            renders: std::sync::OnceLock::new(),
            config,
            readiness: watch::Sender::new(Readiness::Preparing { stage, done: 0, total: None }),
            sandbox: std::sync::OnceLock::new(),
        }))
    }

    /// From now on what is known of documents' cells is kept there, too. The first to say so decides.
    pub fn keep_renders(&self, database: Database, objects: Objects) -> &Renders {
        let Inner { renders, checkpoints, config, .. } = &*self.0;
        renders.get_or_init(|| Renders::new(database, objects, config.renders, Arc::clone(checkpoints)))
    }

    /// What is kept of renders, where it is kept anywhere.
    pub fn renders(&self) -> Option<&Renders> {
        self.0.renders.get()
    }

    /// Tells how far the preparation is.
    pub fn set_readiness(&self, stage: &str, done: u64, total: Option<u64>) {
        self.0.readiness.send_replace(Readiness::Preparing { stage: stage.to_owned(), done, total });
    }

    /// From now on code runs in `sandbox`.
    pub fn set_ready(&self, sandbox: Sandbox, runtime: String, python_version: String) {
        if self.0.sandbox.set(sandbox).is_ok() {
            self.0.readiness.send_replace(Readiness::Ready { runtime, python_version });
        }
    }

    /// The preparation failed.
    pub fn set_failed(&self, reason: String) {
        self.0.readiness.send_replace(Readiness::Failed { reason });
    }

    /// Whether code can run yet.
    pub fn readiness(&self) -> Readiness {
        self.0.readiness.borrow().clone()
    }

    /// Waits until code can run.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] when the preparation failed.
    pub async fn ready(&self) -> Result<(), ServiceError> {
        let mut readiness = self.0.readiness.subscribe();
        let settled = readiness.wait_for(|state| !matches!(state, Readiness::Preparing { .. })).await;
        match settled.map(|state| state.clone()) {
            Ok(Readiness::Failed { reason }) => Err(ServiceError::Unavailable { reason }),
            _ => Ok(()),
        }
    }

    /// What anybody may use.
    pub fn allowance(&self) -> Allowance {
        Allowance { limits: self.0.config.limits.clone(), seat: Seat::of_nobody() }
    }

    /// What a user may use: what the tier says, as far as the server allows it.
    ///
    /// # Errors
    /// They are shut out.
    pub fn allowance_of(&self, grant: &Grant) -> Result<Allowance, ServiceError> {
        if grant.is_suspended {
            return Err(ServiceError::Conflict { message: "the account is suspended".to_owned() });
        }
        Ok(Allowance { limits: self.limits_of(grant), seat: Seat::from(grant) })
    }

    /// What an execution of a user may use, as far as the server allows it.
    pub fn limits_of(&self, grant: &Grant) -> Limits {
        grant.limits.at_most(&self.0.config.limits)
    }

    /// What goes on now.
    pub fn stats(&self) -> ServiceStats {
        let (running, queued) = self.0.admission.counts();
        let sandbox = self.0.sandbox.get().map(Sandbox::stats);
        ServiceStats {
            running,
            queued,
            kernels: sandbox.map_or(0, |stats| stats.kernels),
            ready_kernels: sandbox.map_or(0, |stats| stats.ready),
            checkpoints: self.0.checkpoints.stats(),
        }
    }

    fn admission(&self) -> &Admission {
        &self.0.admission
    }

    fn sandbox(&self) -> Result<&Sandbox, ServiceError> {
        self.0.sandbox.get().ok_or_else(|| match self.readiness() {
            Readiness::Failed { reason } => ServiceError::Unavailable { reason },
            Readiness::Preparing { stage, .. } => ServiceError::Preparing { stage },
            Readiness::Ready { .. } => ServiceError::Preparing { stage: "starting".to_owned() },
        })
    }
}
