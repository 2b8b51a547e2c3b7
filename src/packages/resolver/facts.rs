//! What is known so far.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::releases::Releases;
use crate::packages::project::{CoreMetadata, Project};
use crate::packages::target::Target;

/// The most dependencies of one version.
const MAX_DEPENDENCIES: usize = 5_000;

/// What the index has said.
#[derive(Debug)]
pub struct Facts {
    target: Target,
    projects: HashMap<PackageName, Known<Releases>>,
    metadata: HashMap<PackageName, BTreeMap<Version, Known<Arc<CoreMetadata>>>>,
    count: usize,
}

/// What was asked for, or why there is none.
#[derive(Debug)]
pub(super) enum Known<T> {
    /// It is there.
    Found(T),
    /// The index does not have it.
    Missing,
    /// What the index has can't be used.
    Broken(String),
}

impl Facts {
    /// Nothing is known yet.
    pub fn new(target: Target) -> Self {
        Self { target, projects: HashMap::new(), metadata: HashMap::new(), count: 0 }
    }

    /// A project's files.
    pub fn add_project(&mut self, project: Arc<Project>) {
        let name = project.name.clone();
        let releases = Releases::new(project, &self.target);
        self.count += 1;
        self.projects.insert(name, Known::Found(releases));
    }

    /// The index has no such project.
    pub fn add_missing_project(&mut self, name: PackageName) {
        self.count += 1;
        self.projects.insert(name, Known::Missing);
    }

    /// The index's list of the project can't be read.
    pub fn add_broken_project(&mut self, name: PackageName, reason: String) {
        self.count += 1;
        self.projects.insert(name, Known::Broken(reason));
    }

    /// The metadata of a version. If it is of something else, the version can't be used.
    pub fn add_metadata(&mut self, name: &PackageName, version: &Version, metadata: Arc<CoreMetadata>) {
        let known = if metadata.name != *name || metadata.version != *version {
            Known::Broken(format!("its metadata is that of {} {}", metadata.name, metadata.version))
        } else if metadata.requires_dist.len() > MAX_DEPENDENCIES {
            Known::Broken(format!("it has more than {MAX_DEPENDENCIES} dependencies"))
        } else {
            Known::Found(metadata)
        };
        self.insert_metadata(name, version, known);
    }

    /// The metadata of a version can't be had, which can't be used then.
    pub fn add_broken_metadata(&mut self, name: &PackageName, version: &Version, reason: String) {
        self.insert_metadata(name, version, Known::Broken(reason));
    }

    fn insert_metadata(&mut self, name: &PackageName, version: &Version, known: Known<Arc<CoreMetadata>>) {
        self.count += 1;
        self.metadata.entry(name.clone()).or_default().insert(version.clone(), known);
    }

    /// How many facts have been added.
    pub fn count(&self) -> usize {
        self.count
    }

    pub(super) fn project(&self, name: &PackageName) -> Option<&Known<Releases>> {
        self.projects.get(name)
    }

    /// The versions of a project, where it is there.
    pub(super) fn releases(&self, name: &PackageName) -> Option<&Releases> {
        match self.projects.get(name) {
            Some(Known::Found(releases)) => Some(releases),
            _ => None,
        }
    }

    pub(super) fn metadata(&self, name: &PackageName, version: &Version) -> Option<&Known<Arc<CoreMetadata>>> {
        self.metadata.get(name)?.get(version)
    }
}
