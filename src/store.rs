//! What is kept: rows in SQLite or PostgreSQL ([`Database`]), and files in a directory or a bucket ([`Objects`]).
//!
//! All SQL of the system stands below here, and all of it runs on both databases. A function is one transaction: when
//! it returns, what it did is there for good; when it fails or its future is dropped, nothing of it is.
//!
//! ```text
//! users ─┬─ api_keys            tiers: what users may have
//!        ├─ environments ── environment_packages
//!        └─ jobs ── job_events
//! ```

mod database;
mod environments;
mod error;
mod jobs;
mod keys;
mod migrations;
mod objects;
mod rows;
mod transaction;
mod url;
mod users;

pub use database::{Database, DatabaseOptions};
pub use environments::{EnvironmentError, InstalledPackage, NewEnvironment, Switch};
pub use error::StoreError;
pub use jobs::{Expired, JobError, Lease, LeaseLost, NewJob};
pub use keys::{AuthenticateError, Authenticated, CreateKeyError, KeyText, NewKey};
pub use objects::{ObjectError, ObjectInfo, Objects};
pub use users::NewUser;
