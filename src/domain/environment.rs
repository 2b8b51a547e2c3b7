//! Environments: named sets of packages.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::text_enum::text_enum;
use super::{EnvironmentId, Lockfile, UserId};

/// An environment's name: 1 to 100 of letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,100}$")]
pub struct EnvironmentName(String);

/// Text that is no environment's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an environment's name is 1 to 100 of letters (a to z), digits, `-` and `_`")]
pub struct BadEnvironmentName;

impl EnvironmentName {
    /// The name of the environment that every user has; no other can have it.
    pub const DEFAULT: &str = "default";
    const MAX_CHARS: usize = 100;

    /// The name of the environment that every user has.
    pub fn default_name() -> Self {
        Self(Self::DEFAULT.to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvironmentName {
    type Err = BadEnvironmentName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let fits = (1..=Self::MAX_CHARS).contains(&text.len()) && text.bytes().all(plain);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadEnvironmentName) }
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EnvironmentName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether an environment can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum EnvironmentStatus {
    /// Its first packages are being installed.
    Creating,
    /// It can.
    Active,
    /// It could not be made: the reason is beside it.
    Error,
    /// It is gone; only what has to be swept up is left.
    Deleted,
}

text_enum!(EnvironmentStatus, "status" {
    Creating => "creating",
    Active => "active",
    Error => "error",
    Deleted => "deleted",
});

/// What runs an environment's code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum BackendKind {
    /// The WebAssembly sandbox.
    #[default]
    Wasm,
    /// A container.
    Docker,
}

text_enum!(BackendKind, "backend" { Wasm => "wasm", Docker => "docker" });

/// A named set of packages.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Environment {
    /// The id.
    pub id: EnvironmentId,
    /// Whose it is.
    #[serde(skip)]
    #[schema(ignore)]
    pub user_id: UserId,
    /// Its name, unique among those of its user.
    pub name: EnvironmentName,
    /// Whether it is the one that every user has.
    pub is_default: bool,
    /// Whether it can be used.
    pub status: EnvironmentStatus,
    /// Why it can't, where it can't.
    pub error: Option<String>,
    /// The Python it is for: `3.15.0`.
    pub python_version: String,
    /// What runs its code.
    pub backend: BackendKind,
    /// Number of its directory of wheels. 0 is the empty one, which has none; later ones are greater.
    pub generation: u64,
    /// Packages in it.
    pub package_count: u64,
    /// Bytes of its packages.
    pub total_size_bytes: u64,
    /// Modules that are imported into its warm image beside those of its packages.
    pub warm_imports: Vec<String>,
    /// How the warm image of this generation came out, where it was tried.
    #[schema(value_type = Option<Object>)]
    pub warm: Option<serde_json::Value>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When code ran in it last, give or take a minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
}

/// What was asked for and what came of it, at one generation of an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentContents {
    /// The generation.
    pub generation: u64,
    /// The requirements that its user gave (PEP 508), each on its own.
    pub requested: Vec<String>,
    /// The exact packages.
    pub lock: Lockfile,
}

/// A package in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EnvironmentPackage {
    /// Its normalised name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Bytes of its files.
    pub size_bytes: u64,
    /// Whether it was asked for by name; the others are there because one of those needs them.
    pub requested: bool,
    /// Since when this version is there.
    #[schema(value_type = String, format = DateTime)]
    pub installed_at: Timestamp,
}

/// What all environments of a user are together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EnvironmentStats {
    /// Environments, the default one included.
    pub environments: u64,
    /// Those that count against the quota.
    pub counted_environments: u64,
    /// Packages, each as often as it is in an environment.
    pub packages: u64,
    /// Bytes of those packages.
    pub total_size_bytes: u64,
}
