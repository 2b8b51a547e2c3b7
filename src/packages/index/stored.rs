//! Project pages as the cache keeps them: JSON that repeats nothing, for a big project's page is read in a few
//! milliseconds or not.

use std::collections::HashMap;
use std::str::FromStr;

use pep440_rs::VersionSpecifiers;
use pep508_rs::PackageName;
use serde::{Deserialize, Serialize};
use url::{Position, Url};

use super::freshness::Freshness;
use crate::packages::project::{DistFile, MetadataFile, Project};

/// An index's answer about a project, and until when it holds.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredPage {
    /// What was asked: another question's answer under the same name is not taken.
    pub(super) url: String,
    pub(super) freshness: Freshness,
    /// Nothing where the index does not know the project.
    pub(super) files: Option<StoredFiles>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredFiles {
    /// `https://host/`, in the order of their first use.
    servers: Vec<String>,
    /// Versions of Python, likewise.
    pythons: Vec<String>,
    files: Vec<StoredFile>,
}

/// File name, server, rest of the address, SHA-256, bytes, Pythons, why yanked, metadata.
#[derive(Serialize, Deserialize)]
struct StoredFile(
    String,
    usize,
    String,
    Option<String>,
    Option<u64>,
    Option<usize>,
    Option<String>,
    #[serde(with = "metadata_file")] MetadataFile,
);

impl StoredFiles {
    pub(super) fn of(project: &Project) -> Self {
        let mut servers = Numbered::default();
        let mut pythons = Numbered::default();
        let files = project.files.iter().map(|file| {
            StoredFile(
                file.filename.clone(),
                servers.number(&file.url[..Position::BeforePath]),
                file.url[Position::BeforePath..].to_owned(),
                file.sha256.clone(),
                file.size_bytes,
                file.requires_python.as_ref().map(|python| pythons.number(&python.to_string())),
                file.yanked.clone(),
                file.metadata.clone(),
            )
        });
        Self { files: files.collect(), servers: servers.texts, pythons: pythons.texts }
    }

    /// The project; nothing if the file makes no sense.
    pub(super) fn project(self, name: PackageName) -> Option<Project> {
        let pythons = self.pythons.iter().map(|python| VersionSpecifiers::from_str(python).ok());
        let pythons: Vec<_> = pythons.collect::<Option<_>>()?;
        let files = self.files.into_iter().map(|file| {
            let StoredFile(filename, server, rest, sha256, size_bytes, python, yanked, metadata) = file;
            let url = Url::parse(&format!("{}{rest}", self.servers.get(server)?)).ok()?;
            let requires_python = match python {
                None => None,
                Some(number) => Some(pythons.get(number)?.clone()),
            };
            Some(DistFile { filename, url, sha256, size_bytes, requires_python, yanked, metadata })
        });
        Some(Project { files: files.collect::<Option<_>>()?, name })
    }
}

/// Texts by the order in which they came.
#[derive(Default)]
struct Numbered {
    texts: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Numbered {
    fn number(&mut self, text: &str) -> usize {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len();
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

/// `false`, `true`, or the metadata's SHA-256.
mod metadata_file {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    use super::MetadataFile;

    pub(super) fn serialize<S: Serializer>(file: &MetadataFile, serializer: S) -> Result<S::Ok, S::Error> {
        match file {
            MetadataFile::Absent => serializer.serialize_bool(false),
            MetadataFile::Beside { sha256: None } => serializer.serialize_bool(true),
            MetadataFile::Beside { sha256: Some(digest) } => serializer.serialize_str(digest),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MetadataFile, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = MetadataFile;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a boolean or a digest")
            }

            fn visit_bool<E: Error>(self, beside: bool) -> Result<MetadataFile, E> {
                Ok(if beside { MetadataFile::Beside { sha256: None } } else { MetadataFile::Absent })
            }

            fn visit_str<E: Error>(self, digest: &str) -> Result<MetadataFile, E> {
                Ok(MetadataFile::Beside { sha256: Some(digest.to_owned()) })
            }
        }
        deserializer.deserialize_any(Either)
    }
}
