//! Which of a package's versions may be chosen, and in which order.

use std::collections::{BTreeSet, HashMap, HashSet};

use pep440_rs::{Version, VersionSpecifier};
use pep508_rs::PackageName;

use super::facts::{Facts, Known};
use super::ranges::{Range, Wanted, names_pre_release, pin, specifiers, specifiers_text, wanted};
use super::releases::{PureWheel, Release, Releases};
use super::request::Request;
use crate::packages::project::DistFile;

/// What dependencies have said, which lets in versions that are left out otherwise.
#[derive(Debug, Default)]
pub(super) struct Learned {
    pre: HashSet<PackageName>,
    pins: HashMap<PackageName, BTreeSet<Version>>,
}

/// The rules of a request.
pub(super) struct Policy<'a> {
    pub request: &'a Request,
    pub facts: &'a Facts,
    /// What a constraint allows, and its text.
    pub constraints: HashMap<&'a PackageName, (Range, String)>,
    pub learned: Learned,
    hashes: HashMap<&'a PackageName, BTreeSet<&'a str>>,
    pre: HashSet<&'a PackageName>,
    pins: HashMap<&'a PackageName, BTreeSet<&'a Version>>,
}

/// Why a version may not be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It has no pure wheel.
    NoPureWheel,
    /// It is for other Pythons.
    Python(String),
    /// It is yanked.
    Yanked(String),
    /// It is a pre-release.
    PreRelease,
    /// A constraint excludes it.
    Constraint(String),
    /// Its files do not have the hash that was given.
    Hash,
    /// No hash was given.
    NoHash,
}

/// A version that may be chosen.
pub(super) struct Choice<'a> {
    /// The wheel to take.
    pub wheel: &'a PureWheel,
    /// Whether only if no other version will do.
    pub last: bool,
}

impl<'a> Policy<'a> {
    pub fn new(request: &'a Request, facts: &'a Facts) -> Self {
        let markers = request.target.markers();
        let mut policy = Self {
            request,
            facts,
            constraints: HashMap::new(),
            learned: Learned::default(),
            hashes: HashMap::new(),
            pre: HashSet::new(),
            pins: HashMap::new(),
        };
        for constraint in request.constraints.iter().filter(|one| one.evaluate_markers(markers, &[])) {
            // What can't be reckoned with excludes everything, so that nothing slips through.
            let range = match wanted(constraint) {
                Wanted::Range(range) => range,
                Wanted::Address | Wanted::TooBig => Range::empty(),
            };
            let text = specifiers_text(specifiers(constraint));
            let (known, texts) = policy.constraints.entry(&constraint.name).or_insert((Range::full(), String::new()));
            *known = known.intersection(&range);
            texts.push_str(if texts.is_empty() { constraint.name.as_ref() } else { "," });
            texts.push_str(&text);
        }
        let roots = request.roots.iter().filter(|root| root.requirement.evaluate_markers(markers, &[]));
        for root in roots.clone() {
            let hashes = root.hashes.iter().map(String::as_str);
            if !root.hashes.is_empty() {
                policy.hashes.entry(&root.requirement.name).or_default().extend(hashes);
            }
        }
        for requirement in roots.map(|root| &root.requirement).chain(&request.constraints) {
            for specifier in specifiers(requirement) {
                if names_pre_release(specifier) {
                    policy.pre.insert(&requirement.name);
                }
                if let Some(version) = pin(specifier) {
                    policy.pins.entry(&requirement.name).or_default().insert(version);
                }
            }
        }
        policy
    }

    /// The version that is linked into the runtime.
    pub fn built_in(&self, name: &PackageName) -> Option<&'a Version> {
        self.request.target.built_in().get(name)
    }

    /// The version that is installed and should be kept.
    pub fn kept(&self, name: &PackageName) -> Option<&'a Version> {
        self.request.preferred.get(name).filter(|_| !self.request.upgrade.includes(name))
    }

    /// Notes what a dependency says. True if that lets in what was left out before, so that all must be solved anew.
    pub fn learns(&self, name: &PackageName, specifiers: &[VersionSpecifier]) -> Option<Learned> {
        let mut news = Learned::default();
        let releases = self.facts.releases(name);
        for specifier in specifiers {
            if names_pre_release(specifier) && !self.pre.contains(name) && !self.learned.pre.contains(name) {
                news.pre.insert(name.clone());
            }
            let is_yanked = |version: &&Version| {
                let release = releases.and_then(|releases| releases.by_version.get(*version));
                release.is_some_and(|release| release.yanked.is_some())
            };
            if let Some(version) = pin(specifier).filter(is_yanked)
                && !self.is_pinned(name, version)
            {
                news.pins.entry(name.clone()).or_default().insert(version.clone());
            }
        }
        (!news.pre.is_empty() || !news.pins.is_empty()).then_some(news)
    }

    /// Adds what was learned.
    pub fn learn(&mut self, news: Learned) {
        self.learned.pre.extend(news.pre);
        for (name, versions) in news.pins {
            self.learned.pins.entry(name).or_default().extend(versions);
        }
    }

    fn is_pinned(&self, name: &PackageName, version: &Version) -> bool {
        self.pins.get(name).is_some_and(|pins| pins.contains(version))
            || self.learned.pins.get(name).is_some_and(|pins| pins.contains(version))
    }

    /// Whether a version may be chosen.
    pub fn check<'r>(
        &self,
        name: &PackageName,
        version: &Version,
        release: &'r Release,
        releases: &Releases,
    ) -> Result<Choice<'r>, Obstacle> {
        let kept = self.kept(name) == Some(version);
        if let Some((range, text)) = self.constraints.get(name)
            && !range.contains(version)
        {
            return Err(Obstacle::Constraint(text.clone()));
        }
        let mut last = false;
        if version.any_prerelease() && !kept {
            let asked = self.request.allow_pre || releases.all_pre || self.pre.contains(name);
            last = !asked;
            if !asked && !self.learned.pre.contains(name) {
                return Err(Obstacle::PreRelease);
            }
        }
        let yanked_too = kept || self.is_pinned(name, version);
        let mut wheels = release.pure.iter().filter(|wheel| wheel.supported).peekable();
        if wheels.peek().is_none() {
            let python = release.other_pythons.clone().filter(|_| !release.usable_if_pure).map(Obstacle::Python);
            let yanked =
                release.yanked.clone().filter(|_| !release.usable_if_pure && !yanked_too).map(Obstacle::Yanked);
            return Err(python.or(yanked).unwrap_or(Obstacle::NoPureWheel));
        }
        let sound: Vec<&PureWheel> = wheels.clone().filter(|wheel| !wheel.yanked).collect();
        let usable = if sound.is_empty() && yanked_too { wheels.collect() } else { sound };
        if usable.is_empty() {
            return Err(Obstacle::Yanked(release.yanked.clone().unwrap_or_default()));
        }
        let wheel = match self.hashes.get(name) {
            None if self.request.hashes_required => return Err(Obstacle::NoHash),
            None => usable.first(),
            Some(_) => usable.iter().find(|wheel| self.hash_suits(name, releases.file(wheel))),
        };
        let wheel = wheel.ok_or(Obstacle::Hash)?;
        Ok(Choice { last: last || (wheel.yanked && !kept), wheel })
    }

    /// Where the index does not give a hash, the download is checked, which can be done for one hash.
    fn hash_suits(&self, name: &PackageName, file: &DistFile) -> bool {
        let Some(hashes) = self.hashes.get(name) else { return true };
        file.sha256.as_deref().map_or(hashes.len() == 1, |sha256| hashes.contains(sha256))
    }

    /// The hash to check a wheel's download with.
    pub fn sha256(&self, name: &PackageName, file: &DistFile) -> Option<String> {
        let only = || self.hashes.get(name).filter(|hashes| hashes.len() == 1)?.first().map(ToString::to_string);
        file.sha256.clone().or_else(only)
    }

    /// The versions in a range that may be chosen, the most wanted first. Those linked into the runtime are not among
    /// them; `skipped` names versions to leave out.
    pub fn candidates(
        &self,
        name: &PackageName,
        range: &Range,
        skipped: impl Fn(&Version) -> bool,
    ) -> impl Iterator<Item = (&'a Version, Choice<'a>)> {
        let releases = self.facts.releases(name);
        let kept = self.kept(name).filter(|version| range.contains(*version));
        let kept = kept.and_then(|version| {
            let releases = releases?;
            let (version, release) = releases.by_version.get_key_value(version)?;
            Some((version, self.check(name, version, release, releases).ok()?))
        });
        let first = kept.as_ref().map(|(version, _)| *version);
        let newest = releases.into_iter().flat_map(|releases| releases.by_version.iter().rev());
        let mut others = newest.filter(move |(version, _)| range.contains(*version) && Some(*version) != first);
        let mut later = Vec::new();
        let checked = std::iter::from_fn(move || {
            for (version, release) in others.by_ref() {
                if skipped(version) {
                    continue;
                }
                let Some(releases) = releases else { continue };
                match self.check(name, version, release, releases) {
                    Ok(choice) if choice.last => later.push((version, choice)),
                    Ok(choice) => return Some((version, choice)),
                    Err(_) => {}
                }
            }
            // What comes last does so newest first, pre-releases before what is yanked.
            let at = later.iter().position(|(_, choice)| !choice.wheel.yanked).unwrap_or(0);
            (at < later.len()).then(|| later.remove(at))
        });
        kept.into_iter().chain(checked)
    }

    /// Whether it is known that a package has versions in the range, none of which may be chosen, and some of which
    /// could be if they had a pure wheel.
    pub fn is_native_only(&self, name: &PackageName, range: &Range) -> bool {
        if self.built_in(name).is_some_and(|version| range.contains(version)) {
            return false;
        }
        let Some(Known::Found(releases)) = self.facts.project(name) else { return false };
        let mut found = false;
        for (version, release) in releases.by_version.iter().rev().filter(|(version, _)| range.contains(*version)) {
            match self.check(name, version, release, releases) {
                Ok(_) => return false,
                Err(obstacle) => found |= obstacle == Obstacle::NoPureWheel,
            }
        }
        found
    }
}
