//! Files that two wheels own.

use std::collections::HashMap;
use std::fs;

use super::super::cache::CachedWheel;
use super::super::disk::DiskError;
use super::super::wheel::{Recorded, parse_record};
use super::GenerationError;

/// Files that are named; more are only counted.
const MAX_NAMED: usize = 100;

/// A file of `site-packages` that two wheels bring. The first one's is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlap {
    /// Its path.
    pub path: String,
    /// The package whose file is seen.
    pub first: String,
    /// The package whose file is hidden.
    pub second: String,
    /// Whether it makes no difference.
    pub is_identical: bool,
}

/// Files that several wheels bring, in the order of the wheels and then by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overlaps {
    /// The first hundred; those that make a difference before the others.
    pub named: Vec<Overlap>,
    /// How many make a difference.
    pub different: u64,
    /// How many make none.
    pub identical: u64,
}

/// Who owns a path, and as what.
enum Owner<'a> {
    File(&'a CachedWheel, Recorded),
    Directory(&'a CachedWheel),
}

impl Overlaps {
    /// Compares these wheels. Only those that share a name in the root of `site-packages` are looked into.
    pub(super) fn among(wheels: &[CachedWheel]) -> Result<Self, GenerationError> {
        let mut owners: HashMap<&str, usize> = HashMap::new();
        for root in wheels.iter().flat_map(|wheel| &wheel.info().roots) {
            *owners.entry(root).or_default() += 1;
        }
        let mut paths: HashMap<String, Owner<'_>> = HashMap::new();
        let mut found = Vec::new();
        for wheel in wheels {
            let is_shared = |root: &str| owners.get(root).is_some_and(|count| *count > 1);
            if !wheel.info().roots.iter().any(|root| is_shared(root)) {
                continue;
            }
            let mut files: Vec<_> = record(wheel)?.into_iter().collect();
            files.retain(|(path, _)| path.split('/').next().is_some_and(is_shared));
            files.sort_by(|a, b| a.0.cmp(&b.0));
            for (path, recorded) in files {
                add(&mut paths, &mut found, wheel, path, recorded);
            }
        }
        let identical = found.iter().filter(|overlap| overlap.is_identical).count();
        let different = (found.len() - identical) as u64;
        found.sort_by_key(|overlap| overlap.is_identical);
        found.truncate(MAX_NAMED);
        Ok(Self { named: found, different, identical: identical as u64 })
    }
}

fn add<'a>(
    paths: &mut HashMap<String, Owner<'a>>,
    found: &mut Vec<Overlap>,
    wheel: &'a CachedWheel,
    path: String,
    recorded: Recorded,
) {
    let mut report = |path: &str, first: &CachedWheel, is_identical| {
        let (first, second) = (first.info().name.clone(), wheel.info().name.clone());
        found.push(Overlap { path: path.to_owned(), first, second, is_identical });
    };
    match paths.get(&path) {
        Some(Owner::File(first, theirs)) => return report(&path, first, theirs.sha256 == recorded.sha256),
        Some(Owner::Directory(first)) => return report(&path, first, false),
        None => {}
    }
    for (at, _) in path.match_indices('/') {
        let above = path.get(..at).unwrap_or_default();
        match paths.get(above) {
            Some(Owner::File(first, _)) => return report(&path, first, false),
            Some(Owner::Directory(_)) => {}
            None => drop(paths.insert(above.to_owned(), Owner::Directory(wheel))),
        }
    }
    paths.insert(path, Owner::File(wheel, recorded));
}

/// What a wheel brings, as its installed `RECORD` says.
fn record(wheel: &CachedWheel) -> Result<HashMap<String, Recorded>, GenerationError> {
    let path = wheel.files().join(&wheel.info().dist_info).join("RECORD");
    let text = fs::read(&path).map_err(DiskError::at("read", &path))?;
    let package = wheel.info().name.clone();
    // It was checked when the wheel was taken in.
    parse_record(&text, usize::MAX).map_err(|error| GenerationError::Record { package, source: Box::new(error) })
}
