//! Version specifiers as ranges, and ranges as text.

use std::ops::Bound;

use pep440_rs::{LocalSegment, Operator, Prerelease, Version, VersionSpecifier, VersionSpecifiers};
use pep508_rs::VersionOrUrl;
use pubgrub::Ranges;

use crate::packages::requirements::Requirement;

/// A set of versions.
pub(super) type Range = Ranges<Version>;

/// Numbers in specifiers stay below this: a range's end may be one more.
const NUMBER_LIMIT: u64 = 1 << 62;

/// The versions that a requirement allows.
pub(super) enum Wanted {
    /// These.
    Range(Range),
    /// What lies at an address.
    Address,
    /// Its numbers are too big to reckon with.
    TooBig,
}

/// What a requirement says of the version.
pub(super) fn wanted(requirement: &Requirement) -> Wanted {
    match &requirement.version_or_url {
        None => Wanted::Range(Range::full()),
        Some(VersionOrUrl::Url(_)) => Wanted::Address,
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => to_range(specifiers).map_or(Wanted::TooBig, Wanted::Range),
    }
}

/// The specifiers of a requirement.
pub(super) fn specifiers(requirement: &Requirement) -> &[VersionSpecifier] {
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers,
        _ => &[],
    }
}

fn to_range(specifiers: &VersionSpecifiers) -> Option<Range> {
    specifiers.iter().try_fold(Range::full(), |range, one| Some(range.intersection(&one_range(one)?)))
}

/// As PEP 440 has it: what names no local version (`1.0+local`) holds for all of a version's local ones.
fn one_range(specifier: &VersionSpecifier) -> Option<Range> {
    let version = specifier.version();
    let numbers = [version.epoch(), version.post().unwrap_or(0), version.dev().unwrap_or(0)];
    let pre = version.pre().map_or(0, |Prerelease { number, .. }| number);
    if numbers.iter().chain(version.release()).chain([&pre]).any(|number| *number >= NUMBER_LIMIT) {
        return None;
    }
    let with_locals = || Range::from_range_bounds(version.clone()..=last_local(version));
    Some(match specifier.operator() {
        Operator::Equal if version.local().is_empty() => with_locals(),
        Operator::NotEqual if version.local().is_empty() => with_locals().complement(),
        Operator::LessThanEqual => Range::lower_than(last_local(version)),
        _ => Range::from(specifier.clone()),
    })
}

fn last_local(version: &Version) -> Version {
    version.clone().with_local(vec![LocalSegment::Number(u64::MAX)])
}

/// The version that a specifier pins: `==1.0`, not `==1.*`.
pub(super) fn pin(specifier: &VersionSpecifier) -> Option<&Version> {
    matches!(specifier.operator(), Operator::Equal | Operator::ExactEqual).then(|| specifier.version())
}

/// Whether a specifier names a pre-release that it lets in.
pub(super) fn names_pre_release(specifier: &VersionSpecifier) -> bool {
    let excludes = matches!(specifier.operator(), Operator::NotEqual | Operator::NotEqualStar);
    !excludes && specifier.version().any_prerelease()
}

/// Whether a range holds one version only.
pub(super) fn is_pinned(range: &Range) -> bool {
    let mut segments = range.iter();
    match (segments.next(), segments.next()) {
        (Some((Bound::Included(start), Bound::Included(end))), None) => {
            without_end(end) == start.clone().without_local()
        }
        _ => false,
    }
}

/// The specifiers' text: `>=1.0,<2`; nothing where all versions will do.
pub(super) fn specifiers_text(specifiers: &[VersionSpecifier]) -> String {
    specifiers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// A range that no specifier's text is known for.
pub(super) fn range_text(range: &Range) -> String {
    let segment = |(start, end): (&Bound<Version>, &Bound<Version>)| {
        let lower = match start {
            Bound::Unbounded => None,
            Bound::Included(version) if is_start(version) => Some(format!(">={}", release_of(version))),
            Bound::Included(version) => Some(format!(">={version}")),
            Bound::Excluded(version) => Some(format!(">{}", without_end(version))),
        };
        let upper = match end {
            Bound::Unbounded => None,
            Bound::Excluded(version) if is_start(version) => Some(format!("<{}", release_of(version))),
            Bound::Excluded(version) => Some(format!("<{version}")),
            Bound::Included(version) => Some(format!("<={}", without_end(version))),
        };
        match (start, end) {
            (Bound::Included(start), Bound::Included(end)) if without_end(end) == *start => format!("=={start}"),
            _ => lower.into_iter().chain(upper).collect::<Vec<_>>().join(","),
        }
    };
    range.iter().map(segment).collect::<Vec<_>>().join(" or ")
}

/// `1.0.dev0` stands for what comes before all of 1.0.
fn is_start(version: &Version) -> bool {
    version.min().is_some() || (version.dev() == Some(0) && !version.is_pre() && !version.is_post())
}

fn release_of(version: &Version) -> Version {
    version.only_release().with_epoch(version.epoch())
}

/// Without the marks that a range's end may have.
fn without_end(version: &Version) -> Version {
    let version = if version.max().is_some() { version.clone().with_max(None) } else { version.clone() };
    match version.local() {
        [LocalSegment::Number(u64::MAX)] => version.without_local(),
        _ => version,
    }
}
