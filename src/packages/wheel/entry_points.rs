//! `entry_points.txt`: what a package offers to others by name.

use std::collections::BTreeMap;

/// Groups of entry points: group, name, `module:attribute`.
pub type EntryPoints = BTreeMap<String, BTreeMap<String, String>>;

/// Reads an `entry_points.txt`. It is only recorded, so a line that makes no sense is passed over.
pub(super) fn parse(text: &[u8]) -> EntryPoints {
    let text = String::from_utf8_lossy(text);
    let mut groups = EntryPoints::new();
    let mut group = None;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            group = Some(name.trim().to_owned());
        } else if let (Some(group), Some((name, object))) = (&group, line.split_once('=')) {
            let names = groups.entry(group.clone()).or_default();
            names.insert(name.trim().to_owned(), object.trim().to_owned());
        }
    }
    groups
}
