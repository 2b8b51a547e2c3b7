//! One requirement: as a user writes it, and as a wheel's metadata has it.

use std::str::FromStr;

use pep508_rs::Pep508ErrorSource;

use super::Requirement;
use super::guard::{check_requirement, shown};

/// Text that is no requirement that can be met here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequirement {
    /// It is not the notation of PEP 508.
    #[error("`{text}` is not a requirement such as `name>=1.0`: {reason}")]
    Syntax {
        /// The text, shortened.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It names a repository.
    #[error(
        "`{text}` is refused: nothing is installed from a version control system, only wheels of the package index"
    )]
    VersionControl {
        /// The text, shortened.
        text: String,
    },
    /// It names an address.
    #[error("`{text}` is refused: nothing is installed from an address, ask for a name on the package index instead")]
    Address {
        /// The text, shortened.
        text: String,
    },
    /// It names a source distribution.
    #[error("`{text}` is refused: it is a source distribution, and only wheels of the package index are installed")]
    SourceDistribution {
        /// The text, shortened.
        text: String,
    },
    /// It names a file or directory.
    #[error("`{text}` is refused: files can't be installed, ask for a name on the package index instead")]
    Path {
        /// The text, shortened.
        text: String,
    },
}

/// Reads what a user asks for: `name`, `name==1.0`, `name[extra]>=1; python_version > "3.9"`.
///
/// # Errors
/// It is not of that form, or names something else than a project on the index.
pub fn parse_requirement(text: &str) -> Result<Requirement, BadRequirement> {
    let text = text.trim();
    refuse_elsewhere(text)?;
    let requirement = parse(text)?;
    match requirement.version_or_url {
        Some(pep508_rs::VersionOrUrl::Url(_)) => Err(BadRequirement::Address { text: shown(text) }),
        _ => Ok(requirement),
    }
}

/// Reads a `Requires-Dist` of a wheel's metadata, which nobody may have checked: what the parser could not bear is an
/// error, a few common slips of old packages (`>=1.*`, a comma too many or too few) are mended.
///
/// A dependency on an address is returned as such.
///
/// # Errors
/// It can't be read.
pub fn parse_dependency(text: &str) -> Result<Requirement, BadRequirement> {
    let text = text.trim();
    parse(text).or_else(|error| parse(&mended(text)).map_err(|_| error))
}

fn parse(text: &str) -> Result<Requirement, BadRequirement> {
    let bad = |reason: String| BadRequirement::Syntax { text: shown(text), reason: lower_first(&reason) };
    check_requirement(text).map_err(bad)?;
    // Only the bare message: the parser's own rendering slices the text, and can panic.
    Requirement::from_str(text).map_err(|error| match error.message {
        Pep508ErrorSource::String(reason) | Pep508ErrorSource::UnsupportedRequirement(reason) => bad(shown(&reason)),
        Pep508ErrorSource::UrlError(_) => bad("its address is not valid".to_owned()),
    })
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// Refuses what pip would fetch or read.
fn refuse_elsewhere(text: &str) -> Result<(), BadRequirement> {
    let shown = || shown(text);
    let spec = text.split(';').next().unwrap_or_default().trim_end();
    let place = spec.split_once('@').map_or(spec, |(_, place)| place).trim_start();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| place.starts_with(prefix));
    let lower = spec.to_ascii_lowercase();
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| lower.ends_with(suffix));
    let is_drive = matches!(place.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    if starts(&["git+", "hg+", "svn+", "bzr+", "git@", "git://"]) {
        Err(BadRequirement::VersionControl { text: shown() })
    } else if place.contains("://") || starts(&["file:", "http:", "https:"]) {
        Err(BadRequirement::Address { text: shown() })
    } else if ends(&[".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".zip"]) {
        Err(BadRequirement::SourceDistribution { text: shown() })
    } else if ends(&[".whl"]) || starts(&[".", "~/", "~\\"]) || place.contains(['/', '\\']) || is_drive {
        Err(BadRequirement::Path { text: shown() })
    } else if spec.contains('@') {
        Err(BadRequirement::Address { text: shown() })
    } else {
        Ok(())
    }
}

/// The versions of a dependency without the slips that old packages have.
fn mended(text: &str) -> String {
    let (spec, marker) = text.split_once(';').map_or((text, None), |(spec, marker)| (spec, Some(marker)));
    let is_operator = |c| matches!(c, '<' | '>' | '=' | '!' | '~');
    let Some(start) = spec.find(|c| is_operator(c) || c == '(') else { return text.to_owned() };
    let (name, versions) = spec.split_at(start);
    if !versions.trim_start_matches(['(', ' ']).starts_with(is_operator) {
        return text.to_owned();
    }
    let mut parts: Vec<String> = Vec::new();
    let mut before = ',';
    for c in versions.chars().filter(|c| !matches!(c, '(' | ')' | ' ' | '\'' | '"')) {
        if before == ',' || (is_operator(c) && !is_operator(before)) {
            parts.push(String::new());
        }
        if c != ','
            && let Some(part) = parts.last_mut()
        {
            part.push(c);
        }
        before = c;
    }
    let mend = |part: String| match part.strip_suffix(".*") {
        Some(start) if !part.starts_with("==") && !part.starts_with("!=") => start.to_owned(),
        _ => part,
    };
    let versions: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).map(mend).collect();
    let marker = marker.map(|marker| format!(" ;{marker}")).unwrap_or_default();
    format!("{}{}{marker}", name.trim_end(), versions.join(","))
}
