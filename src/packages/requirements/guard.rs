//! What a requirement's text must keep before the PEP 508 parser sees it.
//!
//! That parser panics for some texts (a name that ends in a dash, numbers at the end of 64 bits, `'x' ~= os_name`),
//! reads the server's environment for `${...}`, keeps every marker for good in one table of the process, and needs
//! exponential room for some. The table is behind a lock which a panic poisons, after which *no* marker can be read any
//! more by anybody: so only what it can bear is let through.

use super::ways::ways;

/// The longest requirement, in bytes.
const MAX_BYTES: usize = 4_096;
/// The longest name of a package or extra, in bytes.
const MAX_NAME_BYTES: usize = 200;
/// The most extras of a requirement.
const MAX_EXTRAS: usize = 64;
/// The most digits of a number: all such numbers fit, and so do those after them.
const MAX_DIGITS: usize = 18;
/// The deepest parentheses of a marker.
const MAX_DEPTH: usize = 16;
/// The most [`ways`] through a marker's decisions: the parser may keep about as many nodes for it, and walks all ways when
/// it evaluates it or shows it.
const MAX_WAYS: u64 = 1 << 10;

/// What `~=` may be asked of: versions. Of anything else the parser panics in some spellings.
const VERSION_NAMES: [&str; 3] = ["python_version", "python_full_version", "implementation_version"];

/// Refuses control characters, and what pip would take from the environment.
pub(super) fn check_characters(text: &str) -> Result<(), String> {
    if let Some(c) = text.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(format!("there is a control character (U+{:04X}) in it", u32::from(c)));
    }
    if text.contains("${") {
        return Err("environment variables (`${...}`) are never expanded here: write the value itself".to_owned());
    }
    Ok(())
}

/// Refuses what the PEP 508 parser should not see.
pub(super) fn check_requirement(text: &str) -> Result<(), String> {
    check_characters(text)?;
    if text.len() > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    if let Some(c) = text.chars().find(|c| !c.is_ascii()) {
        return Err(format!("`{c}` is not a character that a requirement can have"));
    }
    if text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > MAX_DIGITS) {
        return Err(format!("a number in it has more than {MAX_DIGITS} digits"));
    }
    let text = text.trim_start();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let (name, rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
    if name.is_empty() {
        return Err("it does not begin with the name of a package".to_owned());
    }
    check_name(name)?;
    if let Some(extras) = rest.trim_start().strip_prefix('[') {
        let (extras, _) = extras.split_once(']').ok_or("the `[` of its extras is not closed")?;
        let extras: Vec<&str> = extras.split(',').map(str::trim).collect();
        if extras.len() > MAX_EXTRAS {
            return Err(format!("it has more than {MAX_EXTRAS} extras"));
        }
        if extras != [""] {
            extras.into_iter().try_for_each(check_name)?;
        }
    }
    let Some((spec, marker)) = rest.split_once(';') else { return Ok(()) };
    // The parser must find the marker where it is looked for here: an address ends for it at a blank, and versions in
    // parentheses at the closing one.
    if spec.contains('@') && !spec.ends_with(char::is_whitespace) {
        return Err("a blank is missing between its address and the `;`".to_owned());
    }
    if spec.matches('(').count() != spec.matches(')').count() {
        return Err("its parentheses are not closed before the `;`".to_owned());
    }
    check_marker(marker).map(|_| ())
}

/// How many ways there may be through the marker of a requirement that can be read: who reads many should add them up.
pub fn marker_ways(requirement: &str) -> u64 {
    requirement.split_once(';').and_then(|(_, marker)| check_marker(marker).ok()).unwrap_or(1)
}

fn check_name(name: &str) -> Result<(), String> {
    let at_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !at_edge(name.bytes().next()) || !at_edge(name.bytes().next_back()) {
        return Err(format!("`{}` is not a name: it must begin and end with a letter or digit", shown(name)));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("a name in it is longer than {MAX_NAME_BYTES} bytes"));
    }
    Ok(())
}

fn check_marker(marker: &str) -> Result<u64, String> {
    // A Python has no local version, and the parser can't show a marker again that names one: it panics.
    if marker.contains('+') {
        return Err("its marker has a `+`".to_owned());
    }
    let mut bare = String::with_capacity(marker.len());
    let mut quote = None;
    for c in marker.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => {
                quote = Some(c);
                bare.push(' ');
            }
            None => bare.push(c),
        }
    }
    let of_version = |(at, _)| VERSION_NAMES.iter().any(|name| bare[..at].trim_end().ends_with(name));
    if !bare.match_indices("~=").all(of_version) {
        return Err("`~=` in a marker compares versions, with the version behind it".to_owned());
    }
    match ways(&bare, MAX_DEPTH) {
        Some(ways) if ways <= MAX_WAYS => Ok(ways),
        _ => Err("its marker is too complicated".to_owned()),
    }
}

/// Text of a stranger as it may stand in a message: short, without control characters, and without what stands before
/// the `@` of an address.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut rest = text;
    let mut open = String::new();
    while let Some(at) = rest.find("://") {
        let (scheme, after) = rest.split_at(at + 3);
        let end = after.find(['/', ' ', '?', '#', ';']).unwrap_or(after.len());
        open.push_str(scheme);
        rest = after[..end].rfind('@').map_or(after, |secret| &after[secret + 1..]);
    }
    open.push_str(rest);
    let mut shown: String = open.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if open.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}
