//! A contradiction, line by line.

use std::collections::BTreeMap;

use pep508_rs::PackageName;

use super::explain::{Core, Needing};
use super::node::Node;
use super::policy::Policy;
use super::ranges::{Range, range_text, specifiers, specifiers_text};
use super::solver::Notes;
use super::wording::{lack_text, versions_text, wanted_text};
use crate::packages::requirements::Requirement;

/// The most lines.
const MAX_LINES: usize = 10;
/// The most requirements that are named in the first line.
const MAX_ASKED: usize = 8;
/// The most lines about how one package needs another.
const MAX_LINES_EACH: usize = 3;

/// A requirement without its marker.
pub(super) fn root_text(requirement: &Requirement) -> String {
    let extras: Vec<&str> = requirement.extras.iter().map(AsRef::as_ref).collect();
    let extras = if extras.is_empty() { String::new() } else { format!("[{}]", extras.join(",")) };
    format!("{}{extras}{}", requirement.name, specifiers_text(specifiers(requirement)))
}

/// What contradicts: what was asked for, what that needs, and what of it can't be had.
pub(super) fn lines(
    policy: &Policy<'_>,
    notes: &Notes,
    core: &Core,
    lacking: &[(PackageName, Range)],
    roots: &[usize],
) -> Vec<String> {
    let mut lines = Vec::new();
    let asked: Vec<String> = roots
        .iter()
        .filter_map(|root| Some(format!("`{}`", root_text(&policy.request.roots.get(*root)?.requirement))))
        .collect();
    lines.push(match asked.len() {
        0..=MAX_ASKED => format!("you asked for {}", and_list(&asked)),
        more => format!("you asked for {} and {} more", asked[..MAX_ASKED].join(", "), more - MAX_ASKED),
    });
    for needs in in_order(core) {
        lines.extend(need_lines(policy, notes, &needs));
    }
    for (package, range) in lacking {
        lines.push(lack_text(policy, package, range, &wanted_text(notes, range)));
    }
    for (package, versions, refusal) in &core.refused {
        let (subject, _) = versions_text(policy, package.as_ref(), package, versions);
        lines.push(format!("{subject} {refusal}"));
    }
    lines.dedup();
    if lines.len() > MAX_LINES {
        let more = lines.len() - (MAX_LINES - 1);
        lines.truncate(MAX_LINES - 1);
        lines.push(format!("and {more} more such facts"));
    }
    lines
}

/// The needs by who needs whom, from what was asked for downwards.
fn in_order(core: &Core) -> Vec<Vec<&Needing>> {
    let mut distance: BTreeMap<&PackageName, usize> = core.asked.iter().map(|(_, package, _)| (package, 0)).collect();
    // Each round reaches one step further.
    for _ in 0..core.needs.len() {
        let before = distance.len();
        for needing in &core.needs {
            if let (Some(from), Some(to)) = (needing.from.package(), needing.to.package())
                && let Some(steps) = distance.get(from).copied()
            {
                distance.entry(to).or_insert(steps + 1);
            }
        }
        if distance.len() == before {
            break;
        }
    }
    let mut groups: BTreeMap<(usize, String, String), Vec<&Needing>> = BTreeMap::new();
    for needing in &core.needs {
        let steps = needing.from.package().and_then(|from| distance.get(from)).copied().unwrap_or(usize::MAX);
        groups.entry((steps, needing.from.to_string(), needing.to.to_string())).or_default().push(needing);
    }
    groups.into_values().collect()
}

/// How one package needs another: few lines, whatever the versions.
fn need_lines(policy: &Policy<'_>, notes: &Notes, needs: &[&Needing]) -> Vec<String> {
    let line = |from: &Node, versions: &Range, to: &Node, wanted: &str| {
        let package = from.package()?;
        let (subject, many) = versions_text(policy, &from.to_string(), package, versions);
        Some(format!("{subject} {} {to}{wanted}", if many { "need" } else { "needs" }))
    };
    let mut merged: Vec<(&Range, Range)> = Vec::new();
    for needing in needs {
        match merged.iter_mut().find(|(range, _)| **range == needing.range) {
            Some((_, versions)) => *versions = versions.union(&needing.versions),
            None => merged.push((&needing.range, needing.versions.clone())),
        }
    }
    let Some(one) = needs.first() else { return Vec::new() };
    if merged.len() <= MAX_LINES_EACH {
        let lines =
            merged.iter().map(|(range, versions)| line(&one.from, versions, &one.to, &wanted_text(notes, range)));
        return lines.flatten().collect();
    }
    let versions = merged.iter().fold(Range::empty(), |all, (_, versions)| all.union(versions));
    let ranges = merged.iter().fold(Range::empty(), |all, (range, _)| all.union(range));
    let existing = one.to.package().and_then(|to| policy.facts.releases(to));
    let ranges = match existing {
        Some(releases) => ranges.simplify(releases.by_version.keys()),
        None => ranges,
    };
    let wanted = if ranges == Range::full() { ", each another version".to_owned() } else { range_text(&ranges) };
    line(&one.from, &versions, &one.to, &wanted).into_iter().collect()
}

fn and_list(parts: &[String]) -> String {
    match parts {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => parts.concat(),
    }
}
