//! What a requirement's text must keep before the PEP 508 parser sees it.
//!
//! That parser panics for some texts (a name that ends in a dash, numbers at the end of 64 bits, `'x' ~= os_name`),
//! reads the server's environment for `${...}`, keeps every marker for good in one table of the process, and needs
//! exponential room for some. The table is behind a lock which a panic poisons, after which *no* marker can be read any
//! more by anybody: so only what it can bear is let through.

/// The longest requirement, in bytes.
const MAX_BYTES: usize = 4_096;
/// The longest name of a package or extra, in bytes.
const MAX_NAME_BYTES: usize = 200;
/// The most extras of a requirement.
const MAX_EXTRAS: usize = 64;
/// The most digits of a number: all such numbers fit, and so do those after them.
const MAX_DIGITS: usize = 18;
/// The most comparisons in a marker.
const MAX_COMPARISONS: usize = 64;
/// The deepest parentheses of a marker.
const MAX_DEPTH: usize = 16;
/// The most of `and`s or `or`s, whichever there are fewer of: a marker may need two to this power nodes.
const MAX_ALTERNATIONS: usize = 12;

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
    rest.split_once(';').map_or(Ok(()), |(_, marker)| check_marker(marker).map(|_| ()))
}

/// How many nodes the parser may keep for good because of a line's marker.
pub(super) fn marker_nodes(line: &str) -> u64 {
    line.split_once(';').and_then(|(_, marker)| check_marker(marker).ok()).unwrap_or(1)
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
    let (mut depth, mut deepest) = (0_usize, 0);
    for c in bare.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    let of_version = |(at, _)| VERSION_NAMES.iter().any(|name| bare[..at].trim_end().ends_with(name));
    if !bare.match_indices("~=").all(of_version) {
        return Err("`~=` in a marker compares versions, with the version behind it".to_owned());
    }
    let count =
        |word: &str| bare.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| *w == word).count();
    let (ands, ors) = (count("and"), count("or"));
    if deepest > MAX_DEPTH || ands + ors >= MAX_COMPARISONS || ands.min(ors) > MAX_ALTERNATIONS {
        return Err("its marker is too complicated".to_owned());
    }
    Ok(1 << ands.min(ors))
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
