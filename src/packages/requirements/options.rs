//! The lines of a `requirements.txt` that begin with a dash, and what may stand behind a requirement.

use super::guard::shown;
use super::{Requirement, parse_requirement};

/// The most hashes of one requirement.
const MAX_HASHES: usize = 500;

/// What an option line that is accepted says.
pub(super) enum Directive {
    /// `--pre`
    Pre,
    /// `--require-hashes`
    RequireHashes,
    /// What holds here anyway.
    Nothing,
    /// `-c name<2`
    Constraint(Box<Requirement>),
}

/// Options and why they are refused.
const REFUSED: &[(&[&str], &str)] = &[
    (&["-r", "--requirement"], "another file can't be read from here: put its lines into this text"),
    (
        &["-e", "--editable"],
        "an editable install needs a source tree, and only wheels of the package index are installed",
    ),
    (
        &["-i", "--index-url", "--pypi-url", "--extra-index-url", "--no-index"],
        "the package index is chosen by the server's administrator",
    ),
    (&["-f", "--find-links"], "packages come from the server's package index only"),
    (&["--trusted-host"], "which hosts are trusted is chosen by the server's administrator"),
    (&["--no-binary"], "nothing is built from source, only wheels are installed"),
    (
        &["--config-settings", "--config-setting", "--global-option", "--install-option", "--build-option"],
        "nothing is built from source, so there is nothing to configure",
    ),
];

/// Reads a line that begins with a dash.
pub(super) fn read_directive(line: &str) -> Result<Directive, String> {
    let (option, value) = split_option(line);
    if let Some((_, reason)) = REFUSED.iter().find(|(options, _)| options.contains(&option)) {
        return Err(format!("`{option}` is refused: {reason}"));
    }
    match option {
        "--pre" if value.is_empty() => Ok(Directive::Pre),
        "--require-hashes" if value.is_empty() => Ok(Directive::RequireHashes),
        "--only-binary" | "--prefer-binary" => Ok(Directive::Nothing),
        "-c" | "--constraint" => Ok(Directive::Constraint(Box::new(read_constraint(value)?))),
        "--hash" => Err("`--hash` must stand behind the requirement that it is for".to_owned()),
        _ => Err(format!("`{}` is not an option that is known here", shown(option))),
    }
}

/// The option of a line and its value, which follows `=`, white space, or a short option directly.
fn split_option(line: &str) -> (&str, &str) {
    let end = match line.strip_prefix("--") {
        Some(_) => line.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(line.len()),
        None => line.char_indices().nth(2).map_or(line.len(), |(at, _)| at),
    };
    let (option, value) = line.split_at(end);
    let value = value.trim_start();
    (option, value.strip_prefix('=').unwrap_or(value).trim())
}

/// A constraint stands in the line itself, and says something of the version: a bare word is the name of a file.
fn read_constraint(value: &str) -> Result<Requirement, String> {
    let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    let value = quoted.unwrap_or(value);
    let says_version = value.split(';').next().is_some_and(|spec| spec.contains(['<', '>', '=', '~', '!']));
    if !says_version {
        return Err(format!(
            "`-c {}` is refused: another file can't be read from here, put each constraint into a line of its own: \
             `-c name<2`",
            shown(value)
        ));
    }
    let requirement = parse_requirement(value).map_err(|bad| bad.to_string())?;
    if !requirement.extras.is_empty() {
        return Err(format!("the constraint for `{}` must not have extras", requirement.name));
    }
    Ok(requirement)
}

/// A requirement and the options behind it.
pub(super) fn split_options(line: &str) -> (&str, &str) {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == '-' && before.is_whitespace() {
            return (line[..at].trim_end(), &line[at..]);
        }
        before = c;
    }
    (line, "")
}

/// The SHA-256 hashes among a requirement's options.
pub(super) fn read_hashes(options: &str) -> Result<Vec<String>, String> {
    let mut hashes = Vec::new();
    let mut others = Vec::new();
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let (option, mut value) = split_option(word);
        if option != "--hash" {
            return Err(format!("`{}` can't stand behind a requirement, only --hash can", shown(option)));
        }
        if value.is_empty() {
            value = words.next().unwrap_or_default();
        }
        let (algorithm, digest) = value.split_once(':').unwrap_or((value, ""));
        let digits = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return Err(format!("`--hash={}`: the hash must be sha256:<64 hex digits>", shown(value))),
        };
        if digest.len() != digits || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("`--hash={}`: {algorithm} has {digits} hex digits", shown(value)));
        }
        match algorithm {
            "sha256" => hashes.push(digest.to_ascii_lowercase()),
            other => others.push(other),
        }
        if hashes.len() + others.len() > MAX_HASHES {
            return Err(format!("there are more than {MAX_HASHES} hashes"));
        }
    }
    match others.first() {
        Some(other) if hashes.is_empty() => {
            Err(format!("only SHA-256 is checked here: add --hash=sha256:... beside the {other} one"))
        }
        _ => Ok(hashes),
    }
}
