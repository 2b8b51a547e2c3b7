//! The pure solver: from what is known to a solution, to what must be known, or to why there is none.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use pep440_rs::Version;
use pep508_rs::PackageName;
use pubgrub::{Dependencies, DependencyProvider, PackageResolutionStatistics, PubGrubError};

use super::error::ResolveError;
use super::explain::{explain, leaves};
use super::facts::{Facts, Known};
use super::graph::{self, Edges, Metadata, Refusal};
use super::node::Node;
use super::policy::{Learned, Policy};
use super::ranges::{Range, Wanted, is_pinned, wanted};
use super::request::Request;
use super::resolution::{Resolution, finish};
use crate::packages::project::DistFile;

/// The most decisions of one solution: some five times what the largest environments take.
const MAX_STEPS: usize = 5_000;
/// The most versions of one package that are tried: what pubgrub keeps of them grows with their square.
const MAX_TRIES: u32 = 300;
/// How often dependencies may let in what was left out.
const MAX_RESTARTS: usize = 200;
/// After so many versions of a major version that need a native wheel, its others are taken to need one as well.
const MAX_NATIVE_TRIES: usize = 10;
/// The most versions whose metadata is asked for at once, once a package's newest version would not do.
const MAX_BATCH: usize = 16;

/// How far a resolution has come.
#[derive(Debug)]
pub enum Step {
    /// It is done.
    Solved(Box<Resolution>),
    /// These facts are missing; never empty.
    Needs(Vec<Need>),
    /// There is no solution.
    Failed(ResolveError),
}

/// A fact that is missing.
#[derive(Debug, Clone)]
pub enum Need {
    /// The files of a project.
    Project {
        /// Its name.
        name: PackageName,
    },
    /// The metadata of a version.
    Metadata {
        /// The project's name.
        name: PackageName,
        /// The version.
        version: Version,
        /// The file whose metadata it is.
        file: Box<DistFile>,
    },
}

impl Need {
    /// What tells it from others.
    pub fn key(&self) -> (PackageName, Option<Version>) {
        match self {
            Self::Project { name } => (name.clone(), None),
            Self::Metadata { name, version, .. } => (name.clone(), Some(version.clone())),
        }
    }
}

/// Why the solver stopped early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("something is not known yet")]
    Missing,
    #[error("a dependency lets in what was left out")]
    Restart,
    #[error("too many steps")]
    Steps,
    #[error("too many versions of {0}")]
    Tries(PackageName),
    #[error("too many packages")]
    Packages,
    #[error("nobody waits for it any more")]
    Cancelled,
}

/// What a run has found out.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The versions that need what has native wheels only, and what that is.
    pub native: HashMap<Node, BTreeMap<Version, (PackageName, Range)>>,
    /// The ranges as their authors wrote them.
    pub texts: HashMap<Range, String>,
    needs: Vec<Need>,
    needed: HashSet<(PackageName, Option<Version>)>,
    tried: HashMap<PackageName, u32>,
    chosen: HashMap<PackageName, Version>,
    seen: HashSet<PackageName>,
    steps: usize,
    news: Option<Learned>,
}

impl Notes {
    fn need(&mut self, need: Need) {
        if self.needed.insert(need.key()) {
            self.needs.push(need);
        }
    }
}

/// Solves as far as the facts go. No I/O; the same facts give the same answer.
///
/// How a fallback over native wheels is judged: the solver takes the newest version that has a pure wheel and whose
/// dependencies can be met. Then, for each package, the versions are looked at that everything in the solution which
/// needs it would allow. If there is a newer one that was passed over only because it, or something that it needs, has
/// no pure wheel, then within the same major version that is a warning, and across major versions a failure
/// ([`ResolveError::NoPureWheel`]) that names the older version. After ten versions of a major version that need native
/// wheels its others are not tried.
pub fn solve(request: &Request, facts: &Facts) -> Step {
    solve_until(request, facts, &AtomicBool::new(false))
}

/// As [`solve`], and stops soon after `cancelled` has become true.
pub(super) fn solve_until(request: &Request, facts: &Facts, cancelled: &AtomicBool) -> Step {
    if let Some(error) = refused_root(request) {
        return Step::Failed(error);
    }
    let mut policy = Policy::new(request, facts);
    for _ in 0..MAX_RESTARTS {
        let solver = Solver { policy, notes: RefCell::default(), cancelled };
        let result = pubgrub::resolve(&solver, Node::Root, Version::new([0]));
        let Solver { policy: used, notes, .. } = solver;
        policy = used;
        let mut notes = notes.into_inner();
        let stop = match result {
            // Even if it could be solved without: the answer must not depend on what was known by chance.
            Ok(_) if !notes.needs.is_empty() => Stop::Missing,
            Err(PubGrubError::NoSolution(tree)) if !notes.needs.is_empty() => {
                drop(leaves(tree));
                Stop::Missing
            }
            Ok(selected) => {
                return match finish(&policy, &notes, selected) {
                    Ok(resolution) => Step::Solved(Box::new(resolution)),
                    Err(error) => Step::Failed(error),
                };
            }
            Err(PubGrubError::NoSolution(tree)) => return Step::Failed(explain(&policy, &notes, tree)),
            Err(PubGrubError::ErrorRetrievingDependencies { source, .. }) => source,
            Err(PubGrubError::ErrorChoosingVersion { source, .. } | PubGrubError::ErrorInShouldCancel(source)) => {
                source
            }
        };
        match stop {
            Stop::Missing => return Step::Needs(notes.needs),
            Stop::Restart => policy.learn(notes.news.take().unwrap_or_default()),
            Stop::Packages => return Step::Failed(ResolveError::TooManyPackages { limit: request.max_packages }),
            Stop::Tries(package) => {
                let roots = request.roots.iter().enumerate().filter(|(_, root)| root.requirement.name == package);
                let roots = roots.map(|(index, _)| index).collect();
                return Step::Failed(ResolveError::TooManyVersions { package, limit: MAX_TRIES, roots });
            }
            Stop::Steps | Stop::Cancelled => return Step::Failed(ResolveError::TooComplex),
        }
    }
    Step::Failed(ResolveError::TooComplex)
}

fn refused_root(request: &Request) -> Option<ResolveError> {
    let refused = request.roots.iter().position(|root| !matches!(wanted(&root.requirement), Wanted::Range(_)))?;
    let requirement = &request.roots.get(refused)?.requirement;
    Some(ResolveError::NotOnIndex { package: requirement.name.clone(), roots: vec![refused] })
}

struct Solver<'a> {
    policy: Policy<'a>,
    notes: RefCell<Notes>,
    cancelled: &'a AtomicBool,
}

/// The version that a node would get.
enum Candidate {
    Version(Version),
    None,
    Unknown,
}

impl Solver<'_> {
    fn candidates(&self, node: &Node, range: &Range) -> Vec<Version> {
        let Some(name) = node.package() else { return Vec::new() };
        let notes = self.notes.borrow();
        let exhausted = notes.native.get(node).map(exhausted_majors).unwrap_or_default();
        let skipped = |version: &Version| exhausted.contains(&major(version));
        let mut candidates = self.policy.candidates(name, range, skipped).map(|(version, _)| version);
        let batch = notes.tried.get(name).map_or(1, |tried| 1_usize << (*tried).min(8)).min(MAX_BATCH);
        // An extra follows its package, which has no choice left once the extra has made one.
        let follows = matches!(node, Node::Extra(..)).then(|| notes.chosen.get(name)).flatten();
        let first = follows.filter(|version| range.contains(*version)).and_then(|wanted| {
            let same = Range::singleton(wanted.clone());
            self.policy.candidates(name, &same, skipped).next().map(|(version, _)| version)
        });
        first.into_iter().chain(candidates.by_ref()).take(batch).cloned().collect()
    }

    fn candidate(&self, node: &Node, range: &Range) -> Candidate {
        let Some(name) = node.package() else { return Candidate::Version(Version::new([0])) };
        if let Some(version) = self.policy.built_in(name).filter(|version| range.contains(*version)) {
            return self.unless_unknown(node, vec![version.clone()]);
        }
        if self.policy.facts.project(name).is_none() {
            self.notes.borrow_mut().need(Need::Project { name: name.clone() });
            return Candidate::Unknown;
        }
        let candidates = self.candidates(node, range);
        self.unless_unknown(node, candidates)
    }

    /// The first of these; if its metadata must be fetched, that of the others is asked for as well.
    fn unless_unknown(&self, node: &Node, candidates: Vec<Version>) -> Candidate {
        let Some(first) = candidates.first() else { return Candidate::None };
        if !matches!(graph::metadata(&self.policy, node, first), Metadata::Unknown(_)) {
            return Candidate::Version(first.clone());
        }
        for version in &candidates {
            if let Metadata::Unknown(need) = graph::metadata(&self.policy, node, version) {
                self.notes.borrow_mut().need(need);
            }
        }
        Candidate::Unknown
    }
}

impl DependencyProvider for Solver<'_> {
    type P = Node;
    type V = Version;
    type VS = Range;
    /// What is unknown comes last, so that a run asks for as much at once as it can. Then what conflicted most, extras
    /// before their packages, pinned ones before others; pubgrub breaks ties breadth first.
    type Priority = (bool, u32, u8);
    type M = Refusal;
    type Err = Stop;

    fn prioritize(&self, node: &Node, range: &Range, conflicts: &PackageResolutionStatistics) -> Self::Priority {
        if let Some(name) = node.package() {
            self.notes.borrow_mut().seen.insert(name.clone());
        }
        if matches!(self.candidate(node, range), Candidate::Unknown) {
            return (false, 0, 0);
        }
        let kind = match node {
            Node::Root => 3,
            Node::Extra(..) => 2,
            Node::Package(_) => u8::from(is_pinned(range)),
        };
        (true, conflicts.conflict_count(), kind)
    }

    fn choose_version(&self, node: &Node, range: &Range) -> Result<Option<Version>, Stop> {
        match self.candidate(node, range) {
            Candidate::Version(version) => {
                if let Some(name) = node.package() {
                    self.notes.borrow_mut().chosen.insert(name.clone(), version.clone());
                }
                Ok(Some(version))
            }
            Candidate::None => Ok(None),
            Candidate::Unknown => Err(Stop::Missing),
        }
    }

    fn get_dependencies(&self, node: &Node, version: &Version) -> Result<Dependencies<Node, Range, Refusal>, Stop> {
        let edges = match graph::edges(&self.policy, node, version) {
            Edges::Known(edges) => edges,
            Edges::Refused(refusal) => {
                self.count_try(node)?;
                return Ok(Dependencies::Unavailable(refusal));
            }
            Edges::Unknown(needs) => {
                needs.into_iter().for_each(|need| self.notes.borrow_mut().need(need));
                return Err(Stop::Missing);
            }
        };
        self.count_try(node)?;
        let mut notes = self.notes.borrow_mut();
        for edge in &edges {
            let Some(name) = edge.to.package() else { continue };
            let specifiers: Vec<_> = edge.specifiers.iter().map(|one| (*one).clone()).collect();
            if let Some(news) = self.policy.learns(name, &specifiers) {
                notes.news = Some(news);
                return Err(Stop::Restart);
            }
            notes.texts.insert(edge.range.clone(), edge.text.clone());
            let built_in = self.policy.built_in(name).is_some_and(|version| edge.range.contains(version));
            if !built_in && self.policy.facts.project(name).is_none() {
                notes.need(Need::Project { name: name.clone() });
            }
        }
        if *node != Node::Root
            && let Some(edge) = edges.iter().find(|edge| {
                let others = edge.to.package().filter(|name| node.package() != Some(*name));
                others.is_some_and(|name| self.policy.is_native_only(name, &edge.range))
            })
            && let Some(package) = edge.to.package()
        {
            let native = notes.native.entry(node.clone()).or_default();
            native.insert(version.clone(), (package.clone(), edge.range.clone()));
            let refusal = Refusal::Native { package: package.clone(), range: edge.range.clone() };
            return Ok(Dependencies::Unavailable(refusal));
        }
        Ok(Dependencies::Available(edges.into_iter().map(|edge| (edge.to, edge.range)).collect()))
    }

    fn should_cancel(&self) -> Result<(), Stop> {
        let mut notes = self.notes.borrow_mut();
        notes.steps += 1;
        // Failed attempts have packages of their own.
        let most_seen = self.policy.request.max_packages.saturating_mul(4).saturating_add(200);
        if self.cancelled.load(Ordering::Relaxed) {
            Err(Stop::Cancelled)
        } else if notes.steps > MAX_STEPS {
            Err(Stop::Steps)
        } else if notes.seen.len() > most_seen {
            Err(Stop::Packages)
        } else {
            Ok(())
        }
    }
}

impl Solver<'_> {
    fn count_try(&self, node: &Node) -> Result<(), Stop> {
        let Node::Package(name) = node else { return Ok(()) };
        let mut notes = self.notes.borrow_mut();
        let tried = notes.tried.entry(name.clone()).or_default();
        *tried += 1;
        if *tried > MAX_TRIES { Err(Stop::Tries(name.clone())) } else { Ok(()) }
    }
}

/// A version's epoch and first number.
pub(super) fn major(version: &Version) -> (u64, u64) {
    (version.epoch(), version.release().first().copied().unwrap_or(0))
}

fn exhausted_majors(native: &BTreeMap<Version, (PackageName, Range)>) -> HashSet<(u64, u64)> {
    let mut counts: HashMap<(u64, u64), usize> = HashMap::new();
    for version in native.keys() {
        *counts.entry(major(version)).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| *count >= MAX_NATIVE_TRIES).map(|(major, _)| major).collect()
}

/// Whether the index has no such project, or a list that can't be read.
pub(super) fn is_absent(facts: &Facts, name: &PackageName) -> Option<Option<String>> {
    match facts.project(name) {
        Some(Known::Missing) => Some(None),
        Some(Known::Broken(reason)) => Some(Some(reason.clone())),
        _ => None,
    }
}
