//! Version specifiers and requirements as old tools wrote them: read as the standard says, and where that fails, with
//! their known slips put right.

use std::str::FromStr;

use pep440_rs::{VersionSpecifiers, VersionSpecifiersParseError};
use pep508_rs::{Requirement, VerbatimUrl};

use crate::packages::requirements::parse_dependency;

/// Version specifiers such as `>=3.8, !=3.9.*`, also with slips such as `>=3.6,` or `>=2.7,!=3.0*`.
///
/// # Errors
/// They make no sense even so.
pub fn specifiers(text: &str) -> Result<VersionSpecifiers, VersionSpecifiersParseError> {
    VersionSpecifiers::from_str(text).or_else(|error| {
        let corrected = VersionSpecifiers::from_str(&without_slips(text)).ok();
        corrected.filter(|corrected| !corrected.is_empty()).ok_or(error)
    })
}

/// A requirement such as `a[b]>=1; c`, also with slips such as `a (>=1.0<2.0)` or `a>=1.0.*`. What the parser can't bear
/// is refused before it sees it.
///
/// # Errors
/// It makes no sense even so; the text says what was expected where.
pub fn requirement(text: &str) -> Result<Requirement<VerbatimUrl>, String> {
    parse_dependency(text).or_else(|error| {
        let again = split(text).and_then(|(name, versions, rest)| {
            parse_dependency(&format!("{name} {} {rest}", without_slips(versions))).ok()
        });
        again.ok_or_else(|| error.to_string())
    })
}

/// Name with extras, versions without their parentheses, and `;` with what follows it.
fn split(requirement: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = requirement.split_at(requirement.find(';').unwrap_or(requirement.len()));
    let is_version = |c: char| matches!(c, '<' | '>' | '=' | '!' | '~' | '(');
    let (name, versions) = before.split_at(before.find(is_version)?);
    if name.contains('@') {
        return None;
    }
    let versions = versions.trim();
    let bare = versions.strip_prefix('(').and_then(|versions| versions.strip_suffix(')'));
    Some((name, bare.unwrap_or(versions), rest))
}

fn without_slips(specifiers: &str) -> String {
    // A comma is missing wherever an operator follows something else than one.
    let mut separated = String::with_capacity(specifiers.len() + 8);
    let mut last = ',';
    for c in specifiers.chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\'')) {
        let is_operator = |c: char| matches!(c, '<' | '>' | '=' | '!' | '~');
        if is_operator(c) && !is_operator(last) && last != ',' {
            separated.push(',');
        }
        separated.push(c);
        last = c;
    }
    let parts = separated.split(',').filter(|part| !part.is_empty()).map(|part| {
        let takes_star = (part.starts_with("==") && !part.starts_with("===")) || part.starts_with("!=");
        match part.strip_suffix('*') {
            Some(version) if takes_star => format!("{}.*", version.trim_end_matches('.')),
            Some(version) => version.trim_end_matches('.').to_owned(),
            None => part.trim_end_matches('.').to_owned(),
        }
    });
    parts.collect::<Vec<_>>().join(",")
}
