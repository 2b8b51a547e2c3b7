//! What is kept: rows in SQLite or PostgreSQL ([`Database`]), and files in a directory or a bucket ([`Objects`]).
//!
//! All SQL of the system stands below here, and all of it runs on both databases. A function is one transaction: when
//! it returns, what it did is there for good; when it fails or its future is dropped, nothing of it is.
//!
//! ```text
//! users ─┬─ api_keys, identities, sessions      tiers: what users may have
//!        ├─ documents ─┬─ document_versions, document_tags, document_search
//!        │             └─ document_files, document_renders ─── objects; document_publications
//!        ├─ environments ── environment_packages
//!        ├─ kernels ── kernel_segments ─── objects          servers: who holds kernels
//!        ├─ render_segments ─┬─ objects
//!        │                  └─ render_cells
//!        ├─ executions ── execution_outputs
//!        ├─ schedules (of documents)
//!        └─ jobs ── job_events, job_objects ─── objects
//! ```

mod audit;
mod database;
mod documents;
mod environments;
mod error;
mod executions;
mod identities;
mod jobs;
mod kernels;
mod keys;
mod migrations;
mod objects;
mod profiles;
mod renders;
mod rows;
mod schedules;
mod servers;
mod sessions;
mod tiers;
mod transaction;
mod url;
mod users;

pub use audit::Act;
pub use database::{Database, DatabaseOptions};
pub use documents::{
    Attached, DocumentChange, DocumentError, Kept, NewDocument, NewFile, NewRender, PublishedPage, StoredFile,
    StoredPublication, StoredRender,
};
pub use environments::{EnvironmentError, InstalledPackage, NewEnvironment, Switch};
pub use error::StoreError;
pub use executions::{NewExecution, NewOutputs};
pub use jobs::{Expired, JobError, JobObject, Lease, LeaseLost, NewJob};
pub use kernels::{Asked, KernelError, KernelSave, KernelTake, NewKernel, Reach};
pub use keys::{AuthenticateError, Authenticated, CreateKeyError, KeyText, NewKey};
pub use objects::{ObjectError, ObjectInfo, Objects};
pub use profiles::DeleteUserError;
pub use renders::{CellToKeep, KeepError, KnownCell, KnownCells};
pub use schedules::{Fired, NewSchedule, ScheduleError};
pub use servers::Server;
pub use sessions::Session;
pub use users::{NewUser, UserChange};
