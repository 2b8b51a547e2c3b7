//! What an environment holds, exactly: the outcome of a resolution, and what is installed from.

use serde::{Deserialize, Serialize};

/// The exact contents of an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lockfile {
    /// The Python it was made for: `3.15.0`.
    pub python_version: String,
    /// The packages by normalised name, sorted. What is linked into the runtime is not among them.
    pub packages: Vec<LockedPackage>,
}

/// One package of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedPackage {
    /// Its normalised name.
    pub name: String,
    /// Its version, normalised.
    pub version: String,
    /// The Pythons that it is for, as it says it.
    pub requires_python: Option<String>,
    /// Normalised names of the packages that it needs here, those linked into the runtime included.
    pub dependencies: Vec<String>,
    /// The wheel it comes from.
    pub wheel: LockedWheel,
}

/// The file of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedWheel {
    /// Its name.
    pub filename: String,
    /// Where it was found, without user name and password.
    pub url: String,
    /// Its bytes, where the index says it.
    pub size_bytes: Option<u64>,
    /// SHA-256 of its bytes in lower-case hex. Where the index does not say it, the resolution leaves it out and the
    /// download fills it in.
    pub sha256: Option<String>,
}
