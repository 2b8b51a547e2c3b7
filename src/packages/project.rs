//! What an index says of a project: plain data between the index client, which reads it, and the resolver.

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, PackageName, Requirement, VerbatimUrl};
use url::Url;

/// A project and its files, of one index.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its normalised name.
    pub name: PackageName,
    /// Its files in the index's order, of every kind and version.
    pub files: Vec<DistFile>,
}

/// A file of a project: a wheel, a source distribution, or something old.
#[derive(Debug, Clone)]
pub struct DistFile {
    /// Its name, which holds its version and, of a wheel, its tags.
    pub filename: String,
    /// Where it lies.
    pub url: Url,
    /// SHA-256 of its bytes in lower-case hex, where the index says it.
    pub sha256: Option<String>,
    /// Its bytes, where the index says it.
    pub size_bytes: Option<u64>,
    /// The Pythons that it is for.
    pub requires_python: Option<VersionSpecifiers>,
    /// Why it should not be used any more (PEP 592); the reason may be empty.
    pub yanked: Option<String>,
    /// Whether its metadata lies beside it (PEP 658).
    pub metadata: MetadataFile,
}

/// Whether a wheel's metadata can be had without the wheel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataFile {
    /// The index does not offer it.
    Absent,
    /// At the wheel's address with `.metadata` behind it, with this SHA-256 (lower-case hex) where the index says it.
    Beside {
        /// Of the metadata's bytes.
        sha256: Option<String>,
    },
}

/// What a wheel says of itself: the parts of its core metadata that a resolution needs.
#[derive(Debug, Clone)]
pub struct CoreMetadata {
    /// Its normalised name.
    pub name: PackageName,
    /// Its version.
    pub version: Version,
    /// What it needs, with markers and extras.
    pub requires_dist: Vec<Requirement<VerbatimUrl>>,
    /// The Pythons that it is for.
    pub requires_python: Option<VersionSpecifiers>,
    /// The extras it has.
    pub provides_extra: Vec<ExtraName>,
    /// What it is, in a line.
    pub summary: Option<String>,
}
