//! What users have: environments with packages, and runs in them. The database, the wheels and the sandbox meet here.

mod bases;
mod change;
mod document_diff;
mod document_files;
mod document_import;
mod document_render;
mod document_versions;
mod documents;
mod environments;
mod jobs;
mod kernels;
mod packages;
mod report;
mod run;
mod sweep;
mod templates;

use std::path::PathBuf;
use std::sync::Arc;

pub use document_diff::VersionDiff;
pub use document_files::{FileList, OpenFile, PutFile};
pub use document_import::{ImportDocument, ImportedDocument};
pub use document_render::{ExportFormat, Exported, RenderStored};
pub use documents::{CreateDocument, TagList, UpdateDocument};
pub use environments::{CloneEnvironment, CreateEnvironment, UpdateEnvironment};
pub use jobs::InstallRequest;
pub use packages::{AddPackages, ImportRequirements, PackageList};
pub use templates::{TEMPLATES, Template};

use super::install::{InstallError, Installer};
use super::scripts::Scripts;
use super::turns::Turns;
use super::{ExecutionConfig, Executions, Kernels, Service, ServiceError, Share, Shares};
use crate::domain::{EnvironmentId, KernelPolicy, UserId};
use crate::jobs::{Queue, QueueOptions};
use crate::packages::generation::Environments;
use crate::store::{Database, Objects};
use bases::{Bases, Defaults};
use document_diff::Diffs;

/// Changes of environments that one user can have going on at once, besides jobs.
const MAX_CHANGES: usize = 4;

/// The users' things. Cloning shares it.
#[derive(Clone)]
pub struct Workspace(Arc<Inner>);

struct Inner {
    service: Service,
    database: Database,
    objects: Objects,
    installer: Installer,
    directories: Arc<Environments>,
    scripts: Scripts,
    kernels: Kernels,
    executions: Executions,
    queue: Queue,
    /// (Among servers, the database's compare-and-set decides; taking turns spares the loser its work.)
    turns: Turns<EnvironmentId>,
    /// Changes of environments that somebody waits for.
    changes: Shares,
    bases: Bases,
    defaults: Defaults,
    diffs: Diffs,
}

/// What a workspace is made from.
pub struct WorkspaceParts {
    /// Runs code.
    pub service: Service,
    /// Knows who has what.
    pub database: Database,
    /// Keeps files.
    pub objects: Objects,
    /// Gets packages.
    pub installer: Installer,
    /// How kernels are kept.
    pub kernels: KernelPolicy,
    /// How much is kept of what ran.
    pub executions: ExecutionConfig,
    /// The directory of what must be kept.
    pub data_dir: PathBuf,
    /// The directory of what can be made again.
    pub cache_dir: PathBuf,
}

impl Workspace {
    /// A workspace.
    ///
    /// # Errors
    /// A directory can't be used.
    pub fn open(parts: WorkspaceParts) -> Result<Self, ServiceError> {
        let directories = Environments::open(&parts.data_dir.join("environments")).map_err(InstallError::from)?;
        let executions = Executions::new(parts.database.clone(), parts.executions);
        Ok(Self(Arc::new(Inner {
            directories: Arc::new(directories),
            scripts: Scripts::open(&parts.cache_dir, parts.installer.clone())?,
            kernels: Kernels::new(
                parts.service.clone(),
                parts.database.clone(),
                parts.objects.clone(),
                executions.clone(),
                parts.kernels,
            ),
            executions,
            service: parts.service,
            queue: Queue::new(parts.database.clone(), QueueOptions::default()),
            database: parts.database,
            objects: parts.objects,
            installer: parts.installer,
            turns: Turns::default(),
            changes: Shares::new(MAX_CHANGES),
            bases: Bases::default(),
            defaults: Defaults::default(),
            diffs: Diffs::default(),
        })))
    }

    /// What runs code.
    pub fn service(&self) -> &Service {
        &self.0.service
    }

    /// Interpreters that stay between cells.
    pub fn kernels(&self) -> &Kernels {
        &self.0.kernels
    }

    /// The history of what ran.
    pub fn executions(&self) -> &Executions {
        &self.0.executions
    }

    /// What knows who has what.
    pub fn database(&self) -> &Database {
        &self.0.database
    }

    /// The right to change an environment at once, for as long as the answer lives.
    fn change(&self, user: UserId) -> Result<Share, ServiceError> {
        let refused = || ServiceError::TooMany { what: format!("{MAX_CHANGES} changes of environments") };
        self.0.changes.take(user).ok_or_else(refused)
    }
}
