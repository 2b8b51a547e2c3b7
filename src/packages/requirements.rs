//! Requirements as people write them: one by one, or as the text of a `requirements.txt`.
//!
//! Only names on the index can be asked for. Whatever would make the server fetch from, read or run something else (an
//! address, a path, another file, another index) is refused, each with the number of its line.

mod guard;
mod lines;
mod options;
mod spec;
mod ways;

pub use guard::marker_ways;
pub use lines::decode_requirements;
pub use spec::{BadRequirement, parse_dependency, parse_requirement};

use pep508_rs::VerbatimUrl;

use lines::LogicalLine;
use options::{Directive, read_directive, read_hashes};

/// A requirement: a name, extras, the versions that will do, and a marker.
pub type Requirement = pep508_rs::Requirement<VerbatimUrl>;

/// The longest `requirements.txt`, in bytes.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// The most requirements and constraints of one text.
pub const MAX_REQUIREMENTS: usize = 2_000;
/// The most errors that are told of one text.
pub const MAX_ERRORS: usize = 100;

/// The most ways through all markers of one text: what the process may keep for good because of it.
const MAX_MARKER_WAYS: u64 = 1 << 14;

/// What a `requirements.txt` says.
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    /// What it asks for, in its order.
    pub requirements: Vec<ListedRequirement>,
    /// What must hold for a package if something needs it (`-c name<2`).
    pub constraints: Vec<Requirement>,
    /// Whether pre-releases will do (`--pre`).
    pub allow_pre: bool,
    /// Whether every package must have a hash here (any `--hash`, or `--require-hashes`).
    pub hashes_required: bool,
}

/// A requirement of a text.
#[derive(Debug, Clone)]
pub struct ListedRequirement {
    /// What is asked for.
    pub requirement: Requirement,
    /// The same as it was written, without comment and hashes.
    pub text: String,
    /// Its line, counted from one.
    pub line: usize,
    /// SHA-256 of the files that will do, in lower-case hex; nothing where the text does not say it.
    pub hashes: Vec<String>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct LineError {
    /// The line, counted from one.
    pub line: usize,
    /// What is wrong with it, and what to do.
    pub message: String,
}

/// Reads the text of a `requirements.txt`.
///
/// # Errors
/// Every line that is refused, the first [`MAX_ERRORS`] of them.
pub fn parse_requirements(text: &str) -> Result<Requirements, Vec<LineError>> {
    let mut found = Requirements::default();
    let mut errors = Vec::new();
    let mut ways = 0_u64;
    if text.len() > MAX_TEXT_BYTES {
        let message = format!("the text is longer than {MAX_TEXT_BYTES} bytes");
        return Err(vec![LineError { line: 1, message }]);
    }
    for line in lines::logical_lines(text) {
        ways = ways.saturating_add(marker_ways(&line.text));
        if ways > MAX_MARKER_WAYS {
            errors
                .push(LineError { line: line.number, message: "the markers are too complicated together".to_owned() });
            break;
        }
        if let Err(message) = take(&mut found, &line) {
            errors.push(LineError { line: line.number, message });
        }
        if errors.len() == MAX_ERRORS {
            break;
        }
        if found.requirements.len() + found.constraints.len() > MAX_REQUIREMENTS {
            let message = format!("there are more than {MAX_REQUIREMENTS} requirements");
            errors.push(LineError { line: line.number, message });
            break;
        }
    }
    found.hashes_required |= found.requirements.iter().any(|listed| !listed.hashes.is_empty());
    if found.hashes_required {
        let bare = found.requirements.iter().filter(|listed| listed.hashes.is_empty());
        errors.extend(bare.take(MAX_ERRORS - errors.len()).map(|listed| LineError {
            line: listed.line,
            message: format!(
                "`{}` has no --hash=sha256:..., which every requirement must have once one has it",
                listed.requirement.name
            ),
        }));
        errors.sort_by_key(|error| error.line);
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

fn take(found: &mut Requirements, line: &LogicalLine) -> Result<(), String> {
    guard::check_characters(&line.text)?;
    if line.text.starts_with('-') {
        match read_directive(&line.text)? {
            Directive::Pre => found.allow_pre = true,
            Directive::RequireHashes => found.hashes_required = true,
            Directive::Nothing => {}
            Directive::Constraint(constraint) => found.constraints.push(*constraint),
        }
        return Ok(());
    }
    let (spec, options) = options::split_options(&line.text);
    let requirement = parse_requirement(spec).map_err(|bad| bad.to_string())?;
    let hashes = read_hashes(options)?;
    found.requirements.push(ListedRequirement { requirement, text: spec.to_owned(), line: line.number, hashes });
    Ok(())
}
