//! What needs what.

use std::fmt;

use pep440_rs::{Version, VersionSpecifier};
use pep508_rs::{ExtraName, PackageName};

use super::facts::Known;
use super::node::Node;
use super::policy::Policy;
use super::ranges::{Range, Wanted, range_text, specifiers, specifiers_text, wanted};
use super::solver::Need;
use crate::packages::project::CoreMetadata;
use crate::packages::requirements::Requirement;

/// What a node needs.
pub(super) struct Edge<'a> {
    pub to: Node,
    pub range: Range,
    /// The range as its author wrote it.
    pub text: String,
    pub specifiers: Vec<&'a VersionSpecifier>,
}

/// What is known of a node's edges.
pub(super) enum Edges<'a> {
    Known(Vec<Edge<'a>>),
    /// This version can't be used.
    Refused(Refusal),
    /// This must be known first.
    Unknown(Vec<Need>),
}

/// Why a version can't be used, as its metadata or its dependencies show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is for other Pythons.
    Python(String),
    /// Its metadata can't be read.
    Metadata(String),
    /// It needs what lies at an address.
    Address(PackageName),
    /// It needs a version whose numbers are too big.
    TooBig(PackageName),
    /// It needs another version of itself.
    Itself,
    /// It needs what has native wheels only.
    Native { package: PackageName, range: Range },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Python(pythons) => write!(f, "needs Python {pythons}"),
            Self::Metadata(reason) => write!(f, "can't be used: {reason}"),
            Self::Address(package) => write!(f, "needs {package} from an address, not from the package index"),
            Self::TooBig(package) => write!(f, "needs an impossible version of {package}"),
            Self::Itself => write!(f, "needs another version of itself"),
            Self::Native { package, range } => write!(f, "needs {package}{}", range_text(range)),
        }
    }
}

/// What is asked for, one by one; nothing of what is not for this platform.
pub(super) fn root_edges<'a>(policy: &Policy<'a>) -> Vec<(usize, Edge<'a>)> {
    let markers = policy.request.target.markers();
    let roots = policy.request.roots.iter().enumerate();
    let mut edges = Vec::new();
    for (index, root) in roots.filter(|(_, root)| root.requirement.evaluate_markers(markers, &[])) {
        let Wanted::Range(range) = wanted(&root.requirement) else { continue };
        let mut found = Vec::new();
        add(&mut found, &root.requirement, range);
        edges.extend(found.into_iter().map(|edge| (index, edge)));
    }
    edges
}

/// What a version of a package, or of its extra, needs.
pub(super) fn edges<'a>(policy: &Policy<'a>, node: &Node, version: &Version) -> Edges<'a> {
    let (name, extra) = match node {
        Node::Root => return Edges::Known(root_edges(policy).into_iter().map(|(_, edge)| edge).collect()),
        Node::Package(name) => (name, None),
        Node::Extra(name, extra) => (name, Some(extra)),
    };
    let itself = extra.map(|_| Edge {
        to: Node::Package(name.clone()),
        range: Range::singleton(version.clone()),
        text: format!("=={version}"),
        specifiers: Vec::new(),
    });
    let mut found: Vec<Edge<'a>> = itself.into_iter().collect();
    let metadata = match metadata(policy, node, version) {
        Metadata::None => return Edges::Known(found),
        Metadata::Unknown(need) => return Edges::Unknown(vec![need]),
        Metadata::Broken(reason) => return Edges::Refused(Refusal::Metadata(reason.to_owned())),
        Metadata::Found(metadata) => metadata,
    };
    let target = &policy.request.target;
    let is_built_in = policy.built_in(name) == Some(version);
    if !is_built_in && !target.supports(metadata.requires_python.as_ref()) {
        let pythons = metadata.requires_python.as_ref().map(ToString::to_string);
        return Edges::Refused(Refusal::Python(pythons.unwrap_or_default()));
    }
    let with: Vec<ExtraName> = extra.into_iter().cloned().collect();
    for requirement in &metadata.requires_dist {
        let applies = requirement.evaluate_markers(target.markers(), &with);
        // What the package needs in any case is left to the package's own node.
        if !applies || (extra.is_some() && requirement.evaluate_markers(target.markers(), &[])) {
            continue;
        }
        let range = match wanted(requirement) {
            Wanted::Range(range) => range,
            Wanted::Address => return Edges::Refused(Refusal::Address(requirement.name.clone())),
            Wanted::TooBig => return Edges::Refused(Refusal::TooBig(requirement.name.clone())),
        };
        if requirement.name == *name {
            if !range.contains(version) {
                return Edges::Refused(Refusal::Itself);
            }
            let others = requirement.extras.iter().filter(|other| Some(*other) != extra);
            found.extend(others.map(|other| Edge {
                to: Node::Extra(name.clone(), other.clone()),
                range: Range::singleton(version.clone()),
                text: format!("=={version}"),
                specifiers: Vec::new(),
            }));
            continue;
        }
        add(&mut found, requirement, range);
    }
    Edges::Known(found)
}

fn add<'a>(edges: &mut Vec<Edge<'a>>, requirement: &'a Requirement, range: Range) {
    let name = &requirement.name;
    let extras = requirement.extras.iter().map(|extra| Node::Extra(name.clone(), extra.clone()));
    for to in extras.chain([Node::Package(name.clone())]) {
        let specifiers = specifiers(requirement);
        let text = specifiers_text(specifiers);
        if let Some(edge) = edges.iter_mut().find(|edge| edge.to == to) {
            edge.range = edge.range.intersection(&range);
            edge.text.push_str(if edge.text.is_empty() || text.is_empty() { "" } else { "," });
            edge.text.push_str(&text);
            edge.specifiers.extend(specifiers);
        } else {
            edges.push(Edge { to, range: range.clone(), text, specifiers: specifiers.iter().collect() });
        }
    }
}

/// What is known of a version's metadata.
pub(super) enum Metadata<'a> {
    /// There is none, and none is needed.
    None,
    Found(&'a CoreMetadata),
    Broken(&'a str),
    Unknown(Need),
}

/// The metadata of a node's version. What is linked into the runtime needs none, but its extras do: they are those of
/// the same version on the index, if that has it.
pub(super) fn metadata<'a>(policy: &Policy<'a>, node: &Node, version: &Version) -> Metadata<'a> {
    let Some(name) = node.package() else { return Metadata::None };
    let is_built_in = policy.built_in(name) == Some(version);
    if is_built_in && matches!(node, Node::Package(_)) {
        return Metadata::None;
    }
    match policy.facts.metadata(name, version) {
        Some(Known::Found(metadata)) => return Metadata::Found(metadata.as_ref()),
        Some(Known::Missing | Known::Broken(_)) if is_built_in => return Metadata::None,
        Some(Known::Broken(reason)) => return Metadata::Broken(reason.as_str()),
        Some(Known::Missing) => return Metadata::Broken("the index has no metadata for it"),
        None => {}
    }
    let releases = match policy.facts.project(name) {
        None => return Metadata::Unknown(Need::Project { name: name.clone() }),
        Some(Known::Found(releases)) => Some(releases),
        Some(Known::Missing | Known::Broken(_)) => None,
    };
    let file = releases.and_then(|releases| {
        if is_built_in {
            return releases.any_wheel(version);
        }
        let release = releases.by_version.get(version)?;
        Some(releases.file(policy.check(name, version, release, releases).ok()?.wheel))
    });
    match file {
        Some(file) => {
            let need = Need::Metadata { name: name.clone(), version: version.clone(), file: Box::new(file.clone()) };
            Metadata::Unknown(need)
        }
        None if is_built_in => Metadata::None,
        None => Metadata::Broken("it has no wheel"),
    }
}
