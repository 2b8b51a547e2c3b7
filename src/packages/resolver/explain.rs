//! Why there is no solution, from what pubgrub derived it.
//!
//! The leaves of its derivation are facts that cannot all hold. Where one of them is the trouble by itself (there is no
//! such package, no such version, no wheel), that is the answer; otherwise they are told from what was asked for
//! downwards, merged and shortened.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use pep440_rs::Version;
use pep508_rs::PackageName;
use pubgrub::{DerivationTree, External};

use super::error::{Explanation, Needed, ResolveError};
use super::graph::{self, Refusal};
use super::links::Links;
use super::node::Node;
use super::policy::Policy;
use super::ranges::Range;
use super::solver::Notes;
use super::tale::{lines, root_text};
use super::wording::{lack, wanted_text};

type Tree = DerivationTree<Node, Range, Refusal>;

/// The facts that cannot all hold.
#[derive(Default)]
pub(super) struct Core {
    /// What was asked for: its place in the request, the package, the versions.
    pub asked: Vec<(usize, PackageName, Range)>,
    pub needs: Vec<Needing>,
    /// Versions that can't be used, and why; nothing that is among the needs.
    pub refused: Vec<(PackageName, Range, Refusal)>,
}

/// These versions need those.
pub(super) struct Needing {
    pub from: Node,
    pub versions: Range,
    pub to: Node,
    pub range: Range,
}

/// Says why there is no solution.
pub(super) fn explain(policy: &Policy<'_>, notes: &Notes, tree: Tree) -> ResolveError {
    let core = Core::new(policy, leaves(tree));
    let links = core.links();
    let lacking = core.lacking(policy);
    let contested = core.contested(policy, &lacking);
    let mut lacking_packages = lacking.iter().map(|(package, _)| package).collect::<BTreeSet<_>>().into_iter();
    let refused: BTreeMap<&PackageName, &(PackageName, Range, Refusal)> =
        core.refused.iter().map(|refused| (&refused.0, refused)).collect();
    if contested.is_empty() {
        match (lacking_packages.next(), lacking_packages.next(), refused.first_key_value(), refused.len()) {
            (Some(package), None, None, _) => {
                let ranges = lacking.iter().filter(|(lacking, _)| lacking == package).map(|(_, range)| range);
                let Some(range) = ranges.max_by_key(|range| newest_in(policy, package, range)) else {
                    return ResolveError::Internal;
                };
                return lack(policy, notes, package, range, (links.way_to(package), links.roots_of(package)));
            }
            (None, None, Some((package, (_, versions, refusal))), 1) => {
                return refusal_error(policy, notes, &links, package, versions, refusal);
            }
            _ => {}
        }
    }
    let sinks = lacking.iter().map(|(package, _)| package).chain(&contested).chain(refused.keys().copied());
    let mut roots: Vec<usize> = sinks.flat_map(|package| links.roots_of(package)).collect();
    if roots.is_empty() {
        roots = core.asked.iter().map(|(root, ..)| *root).collect();
    }
    roots.sort_unstable();
    roots.dedup();
    let summary = match contested.iter().collect::<Vec<_>>().as_slice() {
        [one] => format!("no version of {one} suits all that needs it"),
        _ => "these requirements can't be met together".to_owned(),
    };
    let lines = lines(policy, notes, &core, &lacking, &roots);
    ResolveError::Conflict { explanation: Explanation { summary, lines }, roots }
}

fn refusal_error(
    policy: &Policy<'_>,
    notes: &Notes,
    links: &Links,
    package: &PackageName,
    versions: &Range,
    refusal: &Refusal,
) -> ResolveError {
    let roots = links.roots_of(package);
    let asked = roots.iter().find_map(|root| {
        let requirement = &policy.request.roots.get(*root)?.requirement;
        (requirement.name == *package).then(|| root_text(requirement).replacen(package.as_ref(), "", 1))
    });
    let needed = Needed {
        package: package.clone(),
        versions: asked.unwrap_or_default(),
        needed_by: links.way_to(package),
        roots,
    };
    let version = newest_in(policy, package, versions).map_or_else(|| wanted_text(notes, versions), |v| v.to_string());
    ResolveError::Unusable { needed: Box::new(needed), reason: format!("{package} {version} {refusal}") }
}

fn newest_in(policy: &Policy<'_>, package: &PackageName, range: &Range) -> Option<Version> {
    let releases = policy.facts.releases(package)?;
    releases.by_version.keys().rev().find(|version| range.contains(*version)).cloned()
}

/// The leaves of a derivation, each once. The tree may be as deep as the solver made steps, so nothing here recurses,
/// dropping it included.
pub(super) fn leaves(tree: Tree) -> Vec<External<Node, Range, Refusal>> {
    let mut leaves = Vec::new();
    let mut seen = HashSet::new();
    let mut visited = Vec::new();
    let mut work = vec![Arc::new(tree)];
    while let Some(tree) = work.pop() {
        if !seen.insert(Arc::as_ptr(&tree)) {
            continue;
        }
        match tree.as_ref() {
            DerivationTree::External(leaf) => leaves.push(leaf.clone()),
            DerivationTree::Derived(derived) => {
                work.push(Arc::clone(&derived.cause2));
                work.push(Arc::clone(&derived.cause1));
            }
        }
        // Kept until the walk is over, so that no address is used twice.
        visited.push(tree);
    }
    while let Some(tree) = visited.pop() {
        if let Some(DerivationTree::Derived(derived)) = Arc::into_inner(tree) {
            visited.push(derived.cause1);
            visited.push(derived.cause2);
        }
    }
    leaves
}

impl Core {
    fn new(policy: &Policy<'_>, leaves: Vec<External<Node, Range, Refusal>>) -> Self {
        let mut core = Self::default();
        let roots = graph::root_edges(policy);
        let mut asked = BTreeSet::new();
        for leaf in leaves {
            match leaf {
                External::NotRoot(..) | External::NoVersions(..) => {}
                External::FromDependencyOf(Node::Root, _, to, range) => {
                    let matching = roots.iter().filter(|(_, edge)| edge.to == to && edge.range == range);
                    for (root, _) in matching {
                        if let Some(package) = to.package().filter(|_| asked.insert(*root)) {
                            core.asked.push((*root, package.clone(), range.clone()));
                        }
                    }
                }
                External::FromDependencyOf(from, versions, to, range) => {
                    // An extra's need of its own package is no news to anybody.
                    if from.package() != to.package() {
                        core.needs.push(Needing { from, versions, to, range });
                    }
                }
                External::Custom(from, versions, Refusal::Native { package, range }) => {
                    core.needs.push(Needing { from, versions, to: Node::Package(package), range });
                }
                External::Custom(node, versions, refusal) => {
                    core.refused.extend(node.package().map(|package| (package.clone(), versions, refusal)));
                }
            }
        }
        core.asked.sort_by_key(|(root, ..)| *root);
        core
    }

    fn links(&self) -> Links {
        let mut links = Links::default();
        for (root, package, _) in &self.asked {
            links.add_root(*root, package);
        }
        for needing in &self.needs {
            if let (Some(from), Some(to)) = (needing.from.package(), needing.to.package()) {
                links.add(from, to);
            }
        }
        links
    }

    /// What needs a package: the versions that will do, by who needs it.
    fn wanted(&self) -> BTreeMap<&PackageName, Vec<(Asker<'_>, &Range)>> {
        let mut wanted: BTreeMap<&PackageName, Vec<(Asker<'_>, &Range)>> = BTreeMap::new();
        for (root, package, range) in &self.asked {
            wanted.entry(package).or_default().push((Asker::Root(*root), range));
        }
        for needing in &self.needs {
            if let (Some(from), Some(to)) = (needing.from.package(), needing.to.package()) {
                wanted.entry(to).or_default().push((Asker::Package(from), &needing.range));
            }
        }
        wanted
    }

    /// The packages of which somebody wants versions that can't be had, whatever the others want.
    fn lacking(&self, policy: &Policy<'_>) -> Vec<(PackageName, Range)> {
        let mut lacking = Vec::new();
        for (package, wanted) in self.wanted() {
            for (_, range) in wanted {
                if !can_be_had(policy, package, range) {
                    lacking.push((package.clone(), range.clone()));
                }
            }
        }
        lacking
    }

    /// The packages of which everybody wants something that can be had, but nothing suits all.
    fn contested(&self, policy: &Policy<'_>, lacking: &[(PackageName, Range)]) -> BTreeSet<PackageName> {
        let wanted =
            self.wanted().into_iter().filter(|(package, _)| !lacking.iter().any(|(lacks, _)| lacks == *package));
        let is_contested = |wanted: &Vec<(Asker<'_>, &Range)>, package: &PackageName| {
            let mut by_asker: BTreeMap<&Asker<'_>, Range> = BTreeMap::new();
            for (asker, range) in wanted {
                let all = by_asker.entry(asker).or_insert_with(Range::empty);
                *all = all.union(range);
            }
            let common = by_asker.values().fold(Range::full(), |common, range| common.intersection(range));
            by_asker.len() > 1 && !can_be_had(policy, package, &common)
        };
        wanted.filter(|(package, wanted)| is_contested(wanted, package)).map(|(package, _)| package.clone()).collect()
    }
}

/// Who wants something.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Asker<'a> {
    Root(usize),
    Package(&'a PackageName),
}

fn can_be_had(policy: &Policy<'_>, package: &PackageName, range: &Range) -> bool {
    policy.built_in(package).is_some_and(|version| range.contains(version))
        || policy.candidates(package, range, |_| false).next().is_some()
}
