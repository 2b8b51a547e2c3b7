//! What a solution comes to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use pep440_rs::Version;
use pep508_rs::{ExtraName, PackageName};
use pubgrub::SelectedDependencies;

use super::error::ResolveError;
use super::facts::Known;
use super::graph::{self, Edges};
use super::links::Links;
use super::node::Node;
use super::policy::{Obstacle, Policy};
use super::ranges::Range;
use super::solver::{Notes, major};
use super::tale::root_text;
use super::wording::no_pure_wheel;
use crate::domain::{LockedPackage, LockedWheel, Lockfile};

/// A solution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// What is to be installed.
    pub lockfile: Lockfile,
    /// What is used of the runtime's own distributions.
    pub built_in: BTreeMap<PackageName, Version>,
    /// What became of what was asked for, in the request's order.
    pub roots: Vec<ResolvedRoot>,
    /// What who asked should know.
    pub warnings: Vec<Warning>,
}

/// What became of something that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolvedRoot {
    /// It is in the lockfile.
    Locked {
        /// Its name.
        name: PackageName,
        /// Its version.
        version: Version,
    },
    /// It is linked into the runtime.
    BuiltIn {
        /// Its name.
        name: PackageName,
        /// Its version.
        version: Version,
    },
    /// Its marker says that it is not for this platform.
    NotForTarget,
}

/// What who asked should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// The version is yanked.
    Yanked {
        /// The package.
        package: PackageName,
        /// Its version.
        version: Version,
        /// Why; may be empty.
        reason: String,
    },
    /// Newer versions were passed over for their native wheels.
    OlderVersion {
        /// The package.
        package: PackageName,
        /// The version that was taken.
        version: Version,
        /// The newest that was passed over.
        newest: Version,
    },
    /// Another version takes the place of the one in the runtime.
    ReplacesBuiltIn {
        /// The package.
        package: PackageName,
        /// The version that was taken.
        version: Version,
        /// The version in the runtime.
        built_in: Version,
    },
    /// The package has no such extra.
    NoSuchExtra {
        /// The package.
        package: PackageName,
        /// Its version.
        version: Version,
        /// The extra.
        extra: ExtraName,
    },
    /// What was asked for is not for this platform.
    NotForTarget {
        /// What was asked for, without its marker.
        requirement: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yanked { package, version, reason } if reason.is_empty() => {
                write!(f, "{package} {version} has been withdrawn by its authors")
            }
            Self::Yanked { package, version, reason } => {
                write!(f, "{package} {version} has been withdrawn by its authors: {reason}")
            }
            Self::OlderVersion { package, version, newest } => {
                write!(f, "{package} {version} is used: newer ones up to {newest} need native wheels")
            }
            Self::ReplacesBuiltIn { package, version, built_in } => {
                write!(f, "{package} {version} takes the place of {built_in}, which the runtime has")
            }
            Self::NoSuchExtra { package, version, extra } => write!(f, "{package} {version} has no extra `{extra}`"),
            Self::NotForTarget { requirement } => write!(f, "`{requirement}` is not for this platform and is left out"),
        }
    }
}

/// What the solver selected, joined again by package.
struct Selected<'p, 'a> {
    policy: &'p Policy<'a>,
    versions: BTreeMap<PackageName, Version>,
    nodes: BTreeMap<PackageName, Vec<Node>>,
    /// The versions that all that needs a package would allow.
    allowed: HashMap<PackageName, Range>,
    dependencies: BTreeMap<PackageName, BTreeSet<String>>,
    links: Links,
}

/// Makes the resolution of what was selected, or says which package fell back too far.
pub(super) fn finish(
    policy: &Policy<'_>,
    notes: &Notes,
    selected: SelectedDependencies<Node, Version>,
) -> Result<Resolution, ResolveError> {
    let mut nodes: Vec<(Node, Version)> = selected.into_iter().filter(|(node, _)| *node != Node::Root).collect();
    nodes.sort_by_key(|(node, _)| node.to_string());
    let selected = Selected::new(policy, nodes);
    let mut warnings = selected.fallbacks(notes)?;
    let mut built_in = BTreeMap::new();
    let mut packages = Vec::new();
    for (name, version) in &selected.versions {
        if policy.built_in(name) == Some(version) {
            built_in.insert(name.clone(), version.clone());
            warnings.extend(selected.missing_extras(name, version));
            continue;
        }
        if let Some(linked) = policy.built_in(name) {
            warnings.push(Warning::ReplacesBuiltIn {
                package: name.clone(),
                version: version.clone(),
                built_in: linked.clone(),
            });
        }
        warnings.extend(selected.missing_extras(name, version));
        packages.extend(selected.lock(name, version, &mut warnings));
    }
    if packages.len() > policy.request.max_packages {
        return Err(ResolveError::TooManyPackages { limit: policy.request.max_packages });
    }
    let markers = policy.request.target.markers();
    let mut roots = Vec::new();
    for root in &policy.request.roots {
        let name = &root.requirement.name;
        roots.push(match selected.versions.get(name) {
            Some(version) if root.requirement.evaluate_markers(markers, &[]) => {
                let (name, version) = (name.clone(), version.clone());
                let linked = built_in.contains_key(&name);
                if linked { ResolvedRoot::BuiltIn { name, version } } else { ResolvedRoot::Locked { name, version } }
            }
            _ => {
                warnings.push(Warning::NotForTarget { requirement: root_text(&root.requirement) });
                ResolvedRoot::NotForTarget
            }
        });
    }
    let python_version = policy.request.target.python().to_string();
    Ok(Resolution { lockfile: Lockfile { python_version, packages }, built_in, roots, warnings })
}

impl<'p, 'a> Selected<'p, 'a> {
    fn new(policy: &'p Policy<'a>, selected: Vec<(Node, Version)>) -> Self {
        let mut this = Self {
            policy,
            versions: BTreeMap::new(),
            nodes: BTreeMap::new(),
            allowed: HashMap::new(),
            dependencies: BTreeMap::new(),
            links: Links::default(),
        };
        for (root, edge) in graph::root_edges(policy) {
            if let Some(to) = edge.to.package() {
                this.allow(to, &edge.range);
                this.links.add_root(root, to);
            }
        }
        for (node, version) in selected {
            let Some(name) = node.package().cloned() else { continue };
            let edges = match graph::edges(policy, &node, &version) {
                Edges::Known(edges) => edges,
                Edges::Refused(_) | Edges::Unknown(_) => Vec::new(),
            };
            for edge in edges {
                let Some(to) = edge.to.package().filter(|to| **to != name) else { continue };
                this.allow(to, &edge.range);
                this.links.add(&name, to);
                this.dependencies.entry(name.clone()).or_default().insert(to.to_string());
            }
            this.nodes.entry(name.clone()).or_default().push(node);
            this.versions.insert(name, version);
        }
        this
    }

    fn allow(&mut self, name: &PackageName, range: &Range) {
        let allowed = self.allowed.entry(name.clone()).or_insert_with(Range::full);
        *allowed = allowed.intersection(range);
    }

    /// The packages whose newer versions were passed over for native wheels: a warning each, or the failure.
    fn fallbacks(&self, notes: &Notes) -> Result<Vec<Warning>, ResolveError> {
        let mut warnings = Vec::new();
        for (name, version) in &self.versions {
            let kept = self.policy.kept(name) == Some(version) || self.policy.built_in(name) == Some(version);
            let Some(allowed) = self.allowed.get(name).filter(|_| !kept) else { continue };
            let Some((newest, culprit, range)) = self.passed_over(notes, name, version, allowed) else { continue };
            if major(&newest) == major(version) {
                warnings.push(Warning::OlderVersion { package: name.clone(), version: version.clone(), newest });
                continue;
            }
            let mut needed_by = self.links.way_to(name);
            if culprit != *name {
                needed_by.insert(0, name.clone());
            }
            let roots = self.links.roots_of(name);
            let instead = Some((name.clone(), version.clone()));
            return Err(no_pure_wheel(self.policy, notes, &culprit, &range, (needed_by, roots), instead));
        }
        Ok(warnings)
    }

    /// The newest version that was passed over for a native wheel, whose wheel that is, and which versions of it.
    fn passed_over(
        &self,
        notes: &Notes,
        name: &PackageName,
        version: &Version,
        allowed: &Range,
    ) -> Option<(Version, PackageName, Range)> {
        let releases = self.policy.facts.releases(name)?;
        let nodes = self.nodes.get(name)?;
        let newer = releases.by_version.iter().rev().take_while(|(newer, _)| *newer > version);
        for (newer, release) in newer.filter(|(newer, _)| allowed.contains(*newer)) {
            match self.policy.check(name, newer, release, releases) {
                Err(Obstacle::NoPureWheel) => return Some((newer.clone(), name.clone(), allowed.clone())),
                Ok(choice) if !choice.last => {
                    let native = nodes.iter().find_map(|node| notes.native.get(node)?.get(newer));
                    if let Some((culprit, range)) = native {
                        return Some((newer.clone(), culprit.clone(), range.clone()));
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn missing_extras(&self, name: &PackageName, version: &Version) -> Vec<Warning> {
        let Some(Known::Found(metadata)) = self.policy.facts.metadata(name, version) else { return Vec::new() };
        let extras = self.nodes.get(name).into_iter().flatten().filter_map(|node| match node {
            Node::Extra(_, extra) => Some(extra),
            _ => None,
        });
        let missing = extras.filter(|extra| !metadata.provides_extra.contains(extra));
        let warning = |extra: &ExtraName| Warning::NoSuchExtra {
            package: name.clone(),
            version: version.clone(),
            extra: extra.clone(),
        };
        missing.map(warning).collect()
    }

    fn lock(&self, name: &PackageName, version: &Version, warnings: &mut Vec<Warning>) -> Option<LockedPackage> {
        let releases = self.policy.facts.releases(name)?;
        let release = releases.by_version.get(version)?;
        let file = releases.file(self.policy.check(name, version, release, releases).ok()?.wheel);
        if let Some(reason) = &file.yanked {
            let (package, version) = (name.clone(), version.clone());
            warnings.push(Warning::Yanked { package, version, reason: reason.clone() });
        }
        let mut url = file.url.clone();
        // Both fail only for addresses that can't have them.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        let requires_python = match self.policy.facts.metadata(name, version) {
            Some(Known::Found(metadata)) => metadata.requires_python.as_ref(),
            _ => None,
        };
        Some(LockedPackage {
            name: name.to_string(),
            version: version.to_string(),
            requires_python: requires_python.or(file.requires_python.as_ref()).map(ToString::to_string),
            dependencies: self.dependencies.get(name).into_iter().flatten().cloned().collect(),
            wheel: LockedWheel {
                filename: file.filename.clone(),
                url: url.to_string(),
                size_bytes: file.size_bytes,
                sha256: self.policy.sha256(name, file),
            },
        })
    }
}
