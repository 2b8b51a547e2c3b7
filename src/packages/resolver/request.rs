//! What is asked of a resolution.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::Version;
use pep508_rs::PackageName;

use crate::packages::requirements::Requirement;
use crate::packages::target::Target;

/// What is to be resolved.
#[derive(Debug, Clone)]
pub struct Request {
    /// The platform.
    pub target: Target,
    /// What is asked for.
    pub roots: Vec<Root>,
    /// What must hold for a package if something needs it.
    pub constraints: Vec<Requirement>,
    /// The versions that are installed now.
    pub preferred: BTreeMap<PackageName, Version>,
    /// Which of these need not be kept.
    pub upgrade: Upgrade,
    /// Whether pre-releases will do everywhere.
    pub allow_pre: bool,
    /// Whether every package must have a hash among the roots'.
    pub hashes_required: bool,
    /// The most packages, without those linked into the runtime.
    pub max_packages: usize,
}

/// One thing that is asked for.
#[derive(Debug, Clone)]
pub struct Root {
    /// The requirement.
    pub requirement: Requirement,
    /// SHA-256 of the files that will do, in lower-case hex; any file where there are none.
    pub hashes: Vec<String>,
}

/// Which installed packages need not keep their versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Upgrade {
    /// All are kept.
    #[default]
    None,
    /// These may move.
    Only(BTreeSet<PackageName>),
    /// All may move.
    All,
}

impl Upgrade {
    /// Whether this package may move.
    pub fn includes(&self, package: &PackageName) -> bool {
        match self {
            Self::None => false,
            Self::Only(packages) => packages.contains(package),
            Self::All => true,
        }
    }
}

impl Request {
    /// These requirements on this platform, with nothing installed, no constraints and at most 500 packages.
    pub fn new(target: Target, requirements: impl IntoIterator<Item = Requirement>) -> Self {
        let roots = requirements.into_iter().map(|requirement| Root { requirement, hashes: Vec::new() });
        Self {
            target,
            roots: roots.collect(),
            constraints: Vec::new(),
            preferred: BTreeMap::new(),
            upgrade: Upgrade::None,
            allow_pre: false,
            hashes_required: false,
            max_packages: 500,
        }
    }
}
