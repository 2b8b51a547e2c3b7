//! The pinned runtime: what to fetch, what must be in it, and how the guest sees it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::split::ModuleInterface;

/// The manifest's format; another one is refused.
const SCHEMA: u32 = 1;

static EMBEDDED: LazyLock<Result<Manifest, ManifestError>> =
    LazyLock::new(|| Manifest::parse(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/runtime/manifest.toml"))));

/// One pinned CPython-WASI build.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of the manifest: 1.
    pub schema: u32,
    /// What the runtime is.
    pub runtime: RuntimeInfo,
    /// The wheel on the package index.
    pub artifact: Artifact,
    /// The WebAssembly module inside the wheel.
    pub module: PinnedFile,
    /// The standard library inside the wheel.
    pub stdlib: Stdlib,
    /// The door between host and guest.
    pub abi: Abi,
    /// Distributions that the standard library zip carries: normalised name to version.
    pub distributions: BTreeMap<String, String>,
}

/// What the runtime is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeInfo {
    /// Short name, for people.
    pub name: String,
    /// Version of the Python language, `major.minor.patch`.
    pub python_version: String,
    /// SPDX expression of the artifact's licence.
    pub license: String,
}

/// A wheel on a package index.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Normalised project name on the index.
    pub package: String,
    /// Version of the project.
    pub version: String,
    /// File name of the wheel.
    pub wheel: String,
    /// SHA-256 of the wheel: 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Size of the wheel in bytes.
    pub size_bytes: u64,
}

/// A file inside the wheel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedFile {
    /// Path inside the wheel, with `/`.
    pub path: String,
    /// SHA-256 of the unpacked file: 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Size of the unpacked file in bytes.
    pub size_bytes: u64,
}

/// The standard library: a zip inside the wheel that the guest sees as a zip too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stdlib {
    /// Path inside the wheel, with `/`.
    pub path: String,
    /// SHA-256 of the unpacked file: 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Size of the unpacked file in bytes.
    pub size_bytes: u64,
    /// Absolute path at which the guest must find the file.
    pub guest_path: String,
}

impl Stdlib {
    /// The file as a pinned one.
    pub fn pinned(&self) -> PinnedFile {
        PinnedFile { path: self.path.clone(), sha256: self.sha256.clone(), size_bytes: self.size_bytes }
    }
}

/// What the module must export and may import.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abi {
    /// Names that must be exported.
    pub exports: Vec<String>,
    /// All that may be imported: `module` (anything of it) or `module::name`.
    pub imports: Vec<String>,
}

impl Abi {
    /// Whether `module` offers this interface; else the first thing that is missing or foreign.
    pub fn check(&self, module: &ModuleInterface) -> Result<(), AbiMismatch> {
        if let Some(name) = self.exports.iter().find(|name| !module.exports.contains(*name)) {
            return Err(AbiMismatch::MissingExport { name: name.clone() });
        }
        let granted = |import: &(String, String)| {
            self.imports.iter().any(|allowed| match allowed.split_once("::") {
                Some((module, name)) => import.0 == module && import.1 == name,
                None => import.0 == *allowed,
            })
        };
        match module.imports.iter().find(|import| !granted(import)) {
            Some((module, name)) => Err(AbiMismatch::ForeignImport { module: module.clone(), name: name.clone() }),
            None => Ok(()),
        }
    }
}

/// A module that does not have the interface its manifest promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AbiMismatch {
    /// An entry point is missing.
    #[error("the module does not export `{name}`")]
    MissingExport {
        /// Name of the export.
        name: String,
    },
    /// The module wants something of the host that it was not promised.
    #[error("the module imports `{module}::{name}`, which the manifest does not grant")]
    ForeignImport {
        /// Module of the import.
        module: String,
        /// Name of the import.
        name: String,
    },
}

/// A manifest that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, an unknown key, or a missing one.
    #[error("the runtime manifest cannot be read: {reason}")]
    Syntax {
        /// The parser's words.
        reason: String,
    },
    /// A field has a value that cannot be meant.
    #[error("the runtime manifest's `{field}` is `{value}`: {expected}")]
    Field {
        /// The field, dotted.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
}

impl Manifest {
    /// The manifest that this build was made with, parsed once.
    pub fn embedded() -> Result<&'static Self, ManifestError> {
        EMBEDDED.as_ref().map_err(Clone::clone)
    }

    /// A manifest from its TOML text; unknown keys, odd digests and names that are paths are refused.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Self =
            toml::from_str(text).map_err(|error| ManifestError::Syntax { reason: error.to_string() })?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let refuse =
            |field, value: &str, expected| Err(ManifestError::Field { field, value: value.to_owned(), expected });
        if self.schema != SCHEMA {
            return refuse("schema", &self.schema.to_string(), "this version reads 1");
        }
        for (field, digest) in [
            ("artifact.sha256", &self.artifact.sha256),
            ("module.sha256", &self.module.sha256),
            ("stdlib.sha256", &self.stdlib.sha256),
        ] {
            if digest.len() != 64 || !digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                return refuse(field, digest, "expected 64 lower-case hexadecimal digits");
            }
        }
        // The two become parts of paths and URLs.
        for (field, name) in [("artifact.wheel", &self.artifact.wheel), ("artifact.package", &self.artifact.package)] {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+');
            if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
                return refuse(field, name, "expected letters, digits, `.`, `-`, `_` and `+`");
            }
        }
        if !self.stdlib.guest_path.starts_with('/') {
            return refuse("stdlib.guest_path", &self.stdlib.guest_path, "expected an absolute path");
        }
        Ok(())
    }
}
