//! What users have: environments with packages, and runs in them. The database, the wheels and the sandbox meet here.

mod bases;
mod change;
mod document_diff;
mod document_export;
mod document_files;
mod document_import;
mod document_render;
mod document_versions;
mod documents;
mod environments;
mod jobs;
mod kernels;
mod last_render;
mod packages;
mod patience;
mod publications;
mod render_events;
mod render_jobs;
mod report;
mod run;
mod schedules;
mod sweep;
mod templates;
mod users;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

pub use document_diff::VersionDiff;
pub use document_export::{ExportFormat, Exported};
pub use document_files::{FileList, OpenFile, PutFile};
pub use document_import::{ImportDocument, ImportedDocument};
pub use document_render::RenderStored;
pub use documents::{CreateDocument, TagList, UpdateDocument};
pub use environments::{CloneEnvironment, CreateEnvironment, UpdateEnvironment};
pub use jobs::InstallRequest;
pub use packages::{AddPackages, ImportRequirements, PackageList};
pub use publications::{Found, PublicPage};
pub use render_jobs::JobResult;
pub use schedules::{Clock, PutSchedule};
pub use templates::{TEMPLATES, Template};
pub use watch::{DocumentWatch, KernelWatch, Watch};

use tokio::sync::Notify;
use watch::Watching;

use super::install::{InstallError, Installer};
use super::printing::Printing;
use super::scripts::Scripts;
use super::turns::Turns;
use super::{Executions, Kernels, Service, ServiceError, Share, Shares};
use crate::browser::Printer;
use crate::domain::{EnvironmentId, ExecutionPolicy, JobPolicy, KernelPolicy, UserId};
use crate::jobs::{Queue, QueueOptions};
use crate::packages::generation::Environments;
use crate::store::{Database, Objects};
use bases::{Bases, Defaults};
use document_diff::Diffs;
use last_render::LastRenders;
use publications::Publications;

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
    jobs: JobPolicy,
    /// Rings when a schedule was put.
    clock: Notify,
    /// (Among servers, the database's compare-and-set decides; taking turns spares the loser its work.)
    turns: Turns<EnvironmentId>,
    /// Changes of environments that somebody waits for.
    changes: Shares,
    /// Schedules that are put.
    scheduling: Shares,
    bases: Bases,
    defaults: Defaults,
    diffs: Diffs,
    renders: LastRenders,
    publications: Publications,
    printing: Printing,
    watching: Watching,
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
    pub executions: ExecutionPolicy,
    /// Makes PDFs.
    pub printer: Printer,
    /// The directory of what must be kept.
    pub data_dir: PathBuf,
    /// The directory of what can be made again.
    pub cache_dir: PathBuf,
    /// What goes on when nobody waits for it.
    pub jobs: JobPolicy,
}

impl Workspace {
    /// A workspace.
    ///
    /// # Errors
    /// A directory can't be used.
    pub fn open(parts: WorkspaceParts) -> Result<Self, ServiceError> {
        let directories = Environments::open(&parts.data_dir.join("environments")).map_err(InstallError::from)?;
        parts.service.keep_renders(parts.database.clone(), parts.objects.clone());
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
            queue: Queue::new(parts.database.clone(), queue_options(parts.jobs)),
            jobs: parts.jobs,
            clock: Notify::new(),
            database: parts.database,
            objects: parts.objects,
            installer: parts.installer,
            turns: Turns::default(),
            changes: Shares::new(MAX_CHANGES),
            scheduling: Shares::new(schedules::MAX_PUT),
            bases: Bases::default(),
            defaults: Defaults::default(),
            diffs: Diffs::default(),
            renders: LastRenders::default(),
            publications: Publications::default(),
            printing: Printing::new(parts.printer),
            watching: Watching::default(),
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

fn queue_options(policy: JobPolicy) -> QueueOptions {
    let default = QueueOptions::default();
    let heartbeat_ms = (policy.lease_ms / 5).min(default.heartbeat_ms);
    QueueOptions { lease_ms: policy.lease_ms, heartbeat_ms, ..default }
}
