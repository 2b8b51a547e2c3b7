//! Core metadata: the text of a wheel's `METADATA`, headers in the manner of mail and then a description.
//!
//! As lenient as installers are: unknown headers are skipped, broken bytes are replaced, and what old tools wrote into
//! version specifiers is understood. A requirement that can't be read is an error, for leaving it out would make an
//! environment that doesn't work.

mod lenient;

use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::{ExtraName, PackageName};

pub use lenient::{requirement, specifiers};

use super::project::CoreMetadata;
use super::requirements::marker_ways;

/// A metadata text is not longer than this.
pub const MAX_BYTES: usize = 8 << 20;

const MAX_REQUIREMENTS: usize = 8192;
const MAX_EXTRAS: usize = 4096;
/// All headers together: those of the largest packages are some hundreds.
const MAX_HEADERS: usize = 20_000;
/// No list of Pythons is longer.
pub(super) const MAX_PYTHONS_BYTES: usize = 1 << 10;
const MAX_REQUIREMENT_BYTES: usize = 16 << 10;
/// Parentheses of one requirement: its parser calls itself for each.
const MAX_PARENTHESES: usize = 64;
/// How much all markers of a text may branch: a marker is made a decision diagram, which in the worst case doubles with
/// each change between `and` and `or`, and which the process keeps for good.
const MAX_BRANCHES: u64 = 1 << 16;
/// How many ways there may be through all markers of a text: to decide one, each is walked.
const MAX_WAYS: u64 = 1 << 18;
const MAX_LINE_CHANGES: u32 = 12;
const MAX_COMPARISONS: usize = 512;
const MAX_SUMMARY_BYTES: usize = 2048;
/// How much of a bad value a message shows.
const SHOWN_CHARS: usize = 200;

/// Why a metadata text can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The text is too long.
    #[error("the metadata is longer than {max_bytes} bytes")]
    TooLong {
        /// What it may have.
        max_bytes: usize,
    },
    /// A header that every metadata has is missing.
    #[error("the metadata has no `{header}`")]
    Missing {
        /// The header.
        header: &'static str,
    },
    /// A header can't be understood.
    #[error("line {line} of the metadata, `{header}: {value}`: {reason}")]
    Line {
        /// Where it begins, from 1.
        line: usize,
        /// The header.
        header: &'static str,
        /// What it says, shortened.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A header is there too often.
    #[error("the metadata has more than {max} times `{header}`")]
    TooMany {
        /// The header.
        header: &'static str,
        /// How often it may be there.
        max: usize,
    },
}

/// A header: the line where it begins, its name in lower case, and its value on one line.
struct Header {
    line: usize,
    name: String,
    value: String,
}

/// Reads a metadata text.
///
/// # Errors
/// The text is too long, lacks its name or version, or has a header that can't be understood.
pub fn parse(text: &[u8]) -> Result<CoreMetadata, MetadataError> {
    let headers = headers(text)?;
    let first = |name: &str| headers.iter().find(|header| header.name == name);
    if let Some(header) = first("metadata-version") {
        let major = header.value.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if !major.is_some_and(|major| (1..=2).contains(&major)) {
            return Err(bad("Metadata-Version", header, "only versions 1 and 2 are known"));
        }
    }
    let name = first("name").ok_or(MetadataError::Missing { header: "Name" })?;
    let version = first("version").ok_or(MetadataError::Missing { header: "Version" })?;
    let mut metadata = CoreMetadata {
        name: PackageName::from_str(&name.value).map_err(|error| bad("Name", name, error))?,
        version: Version::from_str(&version.value).map_err(|error| bad("Version", version, error))?,
        requires_dist: Vec::new(),
        requires_python: None,
        provides_extra: Vec::new(),
        summary: first("summary").and_then(summary),
    };
    if let Some(header) = first("requires-python").filter(|header| !header.value.is_empty()) {
        if header.value.len() > MAX_PYTHONS_BYTES {
            return Err(bad("Requires-Python", header, "it is too long"));
        }
        let python = specifiers(&header.value).map_err(|error| bad("Requires-Python", header, error))?;
        metadata.requires_python = Some(python);
    }
    let (mut branches, mut ways) = (0, 0_u64);
    for header in &headers {
        match header.name.as_str() {
            "requires-dist" => {
                if metadata.requires_dist.len() == MAX_REQUIREMENTS {
                    return Err(MetadataError::TooMany { header: "Requires-Dist", max: MAX_REQUIREMENTS });
                }
                branches += weigh(&header.value).map_err(|reason| bad("Requires-Dist", header, reason))?;
                ways = ways.saturating_add(marker_ways(&header.value));
                if branches > MAX_BRANCHES || ways > MAX_WAYS {
                    return Err(bad("Requires-Dist", header, "the markers of this metadata are too complicated"));
                }
                let requirement = requirement(&header.value).map_err(|reason| bad("Requires-Dist", header, reason))?;
                metadata.requires_dist.push(requirement);
            }
            "provides-extra" => {
                if metadata.provides_extra.len() == MAX_EXTRAS {
                    return Err(MetadataError::TooMany { header: "Provides-Extra", max: MAX_EXTRAS });
                }
                // An extra that can't be named can't be asked for either.
                metadata.provides_extra.extend(ExtraName::from_str(&header.value));
            }
            _ => {}
        }
    }
    Ok(metadata)
}

/// The same metadata without what [`parse`] does not read: what is worth keeping of a long text.
///
/// # Errors
/// As [`parse`].
pub fn essence(text: &[u8]) -> Result<String, MetadataError> {
    let kept = ["metadata-version", "name", "version", "summary", "requires-python", "requires-dist", "provides-extra"];
    let headers = headers(text)?;
    let lines = headers.iter().filter(|header| kept.contains(&header.name.as_str()));
    Ok(lines.map(|header| format!("{}: {}\n", header.name, header.value)).collect())
}

fn headers(text: &[u8]) -> Result<Vec<Header>, MetadataError> {
    if text.len() > MAX_BYTES {
        return Err(MetadataError::TooLong { max_bytes: MAX_BYTES });
    }
    let text = String::from_utf8_lossy(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut headers: Vec<Header> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with([' ', '\t']) {
            if let Some(header) = headers.last_mut() {
                header.value.push(' ');
                header.value.push_str(line.trim());
            }
            continue;
        }
        // An empty line ends the headers, and so does one that is none.
        let Some((name, value)) = line.split_once(':').filter(|(name, _)| is_header_name(name)) else { break };
        if headers.len() == MAX_HEADERS {
            return Err(MetadataError::TooMany { header: "of any kind", max: MAX_HEADERS });
        }
        let name = name.to_ascii_lowercase();
        headers.push(Header { line: number + 1, name, value: value.trim().to_owned() });
    }
    for header in &mut headers {
        header.value.truncate(header.value.trim_end().len());
    }
    Ok(headers)
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn summary(header: &Header) -> Option<String> {
    let mut text = header.value.clone();
    text.truncate(text.floor_char_boundary(MAX_SUMMARY_BYTES));
    Some(text).filter(|text| !text.is_empty() && text != "UNKNOWN")
}

fn bad(name: &'static str, header: &Header, reason: impl ToString) -> MetadataError {
    let short = |text: &str| -> String { text.chars().take(SHOWN_CHARS).collect() };
    MetadataError::Line {
        line: header.line,
        header: name,
        value: short(&header.value),
        reason: short(&reason.to_string().replace('\n', " ")),
    }
}

/// How often a requirement's markers may branch, at most; what can't be parsed in reasonable time is refused.
fn weigh(requirement: &str) -> Result<u64, &'static str> {
    if requirement.len() > MAX_REQUIREMENT_BYTES {
        return Err("it is too long");
    }
    if requirement.matches('(').count() > MAX_PARENTHESES {
        return Err("it has too many parentheses");
    }
    let words = || requirement.split(|c: char| !c.is_ascii_alphanumeric());
    let ands = words().filter(|word| *word == "and").count();
    let ors = words().filter(|word| *word == "or").count();
    let changes = u32::try_from(ands.min(ors)).unwrap_or(u32::MAX);
    if ands + ors > MAX_COMPARISONS || changes > MAX_LINE_CHANGES {
        return Err("its markers are too complicated");
    }
    Ok(1 << changes)
}
