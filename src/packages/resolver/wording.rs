//! How packages, versions and their obstacles are named in messages.

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::error::{Needed, NoPureWheel, ResolveError};
use super::policy::{Obstacle, Policy};
use super::ranges::{Range, range_text};
use super::solver::{Notes, is_absent};

/// The most versions that are named.
const MAX_VERSIONS: usize = 5;
/// The most tags that are named.
const MAX_TAGS: usize = 3;

/// Who needs a package, and the places of the roots that do.
pub(super) type Blame = (Vec<PackageName>, Vec<usize>);

/// A range as its author wrote it, or as it can be said.
pub(super) fn wanted_text(notes: &Notes, range: &Range) -> String {
    match notes.texts.get(range) {
        Some(text) => text.clone(),
        None if *range == Range::full() => String::new(),
        None => range_text(range),
    }
}

/// The versions of a range that there are, as the subject of a sentence (`b 1.0`, `every version of b`), and whether
/// that is many things.
pub(super) fn versions_text(policy: &Policy<'_>, label: &str, name: &PackageName, range: &Range) -> (String, bool) {
    let all: Vec<&Version> =
        policy.facts.releases(name).map(|releases| releases.by_version.keys().collect()).unwrap_or_default();
    let inside: Vec<&Version> = all.iter().copied().filter(|version| range.contains(*version)).collect();
    match inside.as_slice() {
        [] => (format!("{label} {}", range_text(range)), false),
        [one] => (format!("{label} {one}"), false),
        _ if inside.len() == all.len() => (format!("every version of {label}"), false),
        [one, other] => (format!("{label} {one} and {other}"), true),
        [first, .., last] => (format!("{label} {first} to {last}"), true),
    }
}

/// The failure that a package has no version in a range which may be chosen.
pub(super) fn lack(
    policy: &Policy<'_>,
    notes: &Notes,
    package: &PackageName,
    range: &Range,
    blame: Blame,
) -> ResolveError {
    let versions = wanted_text(notes, range);
    let needed = |(needed_by, roots): Blame| {
        Box::new(Needed { package: package.clone(), versions: versions.clone(), needed_by, roots })
    };
    match is_absent(policy.facts, package) {
        Some(None) => return ResolveError::NotFound { needed: needed(blame) },
        Some(Some(reason)) => return ResolveError::Unusable { needed: needed(blame), reason },
        None => {}
    }
    let linked = policy.built_in(package).filter(|version| !range.contains(*version)).cloned();
    match obstacle(policy, package, range) {
        Some(Obstacle::NoPureWheel) | None if linked.is_some() => {
            let version = linked.unwrap_or_else(|| Version::new([0]));
            ResolveError::LinkedIn { needed: needed(blame), version }
        }
        Some(Obstacle::NoPureWheel) => no_pure_wheel(policy, notes, package, range, blame, None),
        Some(obstacle) => ResolveError::Unusable { needed: needed(blame), reason: obstacle_text(policy, &obstacle) },
        None => ResolveError::NoVersion { needed: needed(blame), available: newest(policy, package) },
    }
}

/// The same in half a sentence, for a line among others.
pub(super) fn lack_text(policy: &Policy<'_>, package: &PackageName, range: &Range, wanted: &str) -> String {
    match is_absent(policy.facts, package) {
        Some(None) => return format!("{package} is not on the package index"),
        Some(Some(reason)) => return format!("{package} can't be used: {reason}"),
        None => {}
    }
    let subject = format!("{package}{wanted}");
    match obstacle(policy, package, range) {
        Some(Obstacle::NoPureWheel) => format!("{subject} has no wheel that runs in the sandbox"),
        Some(obstacle) => format!("{subject} can't be used: {}", obstacle_text(policy, &obstacle)),
        None => match policy.built_in(package) {
            Some(version) => format!("there is no {subject}: {version} is linked into the runtime"),
            None => {
                let newest: Vec<String> = newest(policy, package).iter().map(ToString::to_string).collect();
                format!("there is no {subject}: the newest are {}", newest.join(", "))
            }
        },
    }
}

/// Why the newest version in the range may not be chosen; nothing where the range has none.
fn obstacle(policy: &Policy<'_>, package: &PackageName, range: &Range) -> Option<Obstacle> {
    let releases = policy.facts.releases(package)?;
    let inside = || releases.by_version.iter().rev().filter(|(version, _)| range.contains(*version));
    let mut obstacles =
        inside().filter_map(|(version, release)| policy.check(package, version, release, releases).err());
    let first = obstacles.next()?;
    // A pre-release that would not be taken anyway says less than what is behind it.
    Some(if first == Obstacle::PreRelease { obstacles.find(|next| *next != first).unwrap_or(first) } else { first })
}

fn obstacle_text(policy: &Policy<'_>, obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::NoPureWheel => "it has no wheel that runs in the sandbox".to_owned(),
        Obstacle::Python(pythons) => {
            format!("it is for Python {pythons}, and this is {}", policy.request.target.python())
        }
        Obstacle::Yanked(reason) if reason.is_empty() => {
            "it has been withdrawn by its authors: only `==` with its version takes it".to_owned()
        }
        Obstacle::Yanked(reason) => {
            format!("it has been withdrawn by its authors ({reason}): only `==` with its version takes it")
        }
        Obstacle::PreRelease => "there are only pre-releases: ask for one by its version, or allow them".to_owned(),
        Obstacle::Constraint(text) => format!("the constraint `{text}` excludes it"),
        Obstacle::Hash => "none of its wheels has a hash that was given".to_owned(),
        Obstacle::NoHash => "hashes are required, and none was given for it".to_owned(),
    }
}

/// The failure that a package has native wheels only.
pub(super) fn no_pure_wheel(
    policy: &Policy<'_>,
    notes: &Notes,
    package: &PackageName,
    range: &Range,
    (needed_by, roots): Blame,
    instead: Option<(PackageName, Version)>,
) -> ResolveError {
    let newest = policy.facts.releases(package).and_then(|releases| {
        let mut inside = releases.by_version.iter().rev().filter(|(version, _)| range.contains(*version));
        let (version, release) = inside.find(|(version, release)| {
            matches!(policy.check(package, version, release, releases), Err(Obstacle::NoPureWheel))
        })?;
        let (wheels, more_wheels) = releases.native_tags(release, MAX_TAGS);
        Some((version.clone(), wheels, more_wheels))
    });
    let (version, wheels, more_wheels) = newest.unwrap_or_else(|| (Version::new([0]), Vec::new(), 0));
    let versions = wanted_text(notes, range);
    let needed = Needed { package: package.clone(), versions, needed_by, roots };
    ResolveError::NoPureWheel { details: Box::new(NoPureWheel { needed, version, wheels, more_wheels, instead }) }
}

/// A project's newest versions, without pre-releases where it has others.
fn newest(policy: &Policy<'_>, package: &PackageName) -> Vec<Version> {
    let Some(releases) = policy.facts.releases(package) else { return Vec::new() };
    let worth_naming = |version: &&Version| releases.all_pre || !version.any_prerelease();
    releases.by_version.keys().rev().filter(worth_naming).take(MAX_VERSIONS).cloned().collect()
}
