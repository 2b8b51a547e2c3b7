//! Installing packages: what happens meanwhile, and what came of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How far an installation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum InstallEvent {
    /// Versions that go together are looked for.
    Resolve,
    /// They are found.
    Resolved {
        /// Packages of the environment as it will be.
        packages: u64,
        /// Those of them that are not in the cache.
        downloads: u64,
    },
    /// A wheel is being fetched.
    Download {
        /// The package.
        package: String,
        /// Bytes that are here.
        done_bytes: u64,
        /// Bytes of the wheel, where the index says it.
        total_bytes: Option<u64>,
    },
    /// A wheel is being checked and unpacked.
    Unpack {
        /// The package.
        package: String,
    },
    /// Wheels are compiled to bytecode.
    Compile {
        /// Wheels that are done.
        done: u64,
        /// Wheels that need it.
        total: u64,
    },
    /// The environment has its packages; they are being imported into its warm image.
    Warm {
        /// Modules to be imported.
        modules: u64,
    },
}

/// What came of an installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InstallReport {
    /// How many of the packages asked for are there.
    pub success_count: u64,
    /// How many are not.
    pub fail_count: u64,
    /// The packages asked for that are there.
    pub successful: Vec<InstalledReport>,
    /// The packages asked for that are not, and why.
    pub failed: Vec<FailedReport>,
    /// The packages that came along because one of those needs them.
    pub dependencies: Vec<InstalledReport>,
    /// What is worth knowing, in sentences.
    pub warnings: Vec<String>,
}

/// A package that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InstalledReport {
    /// Its normalised name.
    pub package_name: String,
    /// Its version.
    pub version: String,
    /// Bytes of its files; 0 for what is linked into the runtime.
    pub size_bytes: u64,
    /// Since when this version is there.
    #[schema(value_type = String, format = DateTime)]
    pub installed_at: Timestamp,
}

/// A package that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FailedReport {
    /// As it was asked for.
    pub package: String,
    /// Why, in words for a person.
    pub error: String,
}

/// How the warm image of an environment came out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WarmReport {
    /// The modules that every kernel of the environment has imported.
    pub imported: Vec<String>,
    /// Those that could not be imported beforehand: they may still work when a cell imports them.
    pub failed: Vec<ColdModule>,
}

/// A module that is not warm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ColdModule {
    /// Its name.
    pub module: String,
    /// What its import said.
    pub error: String,
}
