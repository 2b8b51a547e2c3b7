//! From a directory of wheels to what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::super::cache::{CachedWheel, WheelCache};
use super::super::disk::DiskError;
use super::super::pylock;
use super::super::wheel_name::WheelName;
use super::build::{check_filename, check_project};
use super::{GenerationError, Overlaps, SitePackages};
use crate::domain::{LockedPackage, LockedWheel, Lockfile};

/// Directory entries that are looked at, wheels or not.
const MAX_ENTRIES: usize = 10_000;

/// A directory of wheels, ready to run.
#[derive(Debug)]
pub struct Loaded {
    /// What it holds: from its `pylock.toml`, or else from the wheels.
    pub lockfile: Lockfile,
    /// Its wheels, sorted by project as the lockfile is.
    pub wheels: Vec<CachedWheel>,
    /// Files that two wheels own.
    pub overlaps: Overlaps,
}

impl Loaded {
    /// What the sandbox sees of it, with bytecode for this runtime where it is there.
    pub fn site_packages(&self, runtime: &str) -> SitePackages {
        SitePackages::of(&self.wheels, runtime)
    }
}

/// Loads a directory of wheels for this Python (`3.15.0`): a generation, or one that was made by hand, which need
/// not have a `pylock.toml`. Wheels that the cache does not hold are taken in.
///
/// # Errors
/// The directory cannot be read; a wheel is refused; there are two of one project; the wheels are not those of the
/// `pylock.toml`.
pub fn load(dir: &Path, cache: &WheelCache, python_version: &str) -> Result<Loaded, GenerationError> {
    let files = wheel_files(dir)?;
    let (lockfile, wheels) = match read_lockfile(dir)? {
        Some(text) => locked(&pylock::read(&text, python_version)?, &files, cache)?,
        None => unlocked(&files, cache, python_version)?,
    };
    let overlaps = Overlaps::among(&wheels)?;
    Ok(Loaded { lockfile, wheels, overlaps })
}

/// The directory's `*.whl` by name.
fn wheel_files(dir: &Path) -> Result<BTreeMap<String, PathBuf>, GenerationError> {
    let mut files = BTreeMap::new();
    for (count, entry) in fs::read_dir(dir).map_err(DiskError::at("list", dir))?.enumerate() {
        let path = entry.map_err(DiskError::at("list", dir))?.path();
        if count >= MAX_ENTRIES {
            return Err(GenerationError::TooMany { path: dir.to_owned(), limit: MAX_ENTRIES });
        }
        if path.extension().is_none_or(|extension| extension != "whl") {
            continue;
        }
        // A pipe would never end, a directory never begin.
        let is_file = fs::metadata(&path).map_err(DiskError::at("inspect", &path))?.is_file();
        match path.file_name().and_then(|name| name.to_str()) {
            Some(name) if is_file => drop(files.insert(name.to_owned(), path)),
            _ => return Err(GenerationError::NotAFile { path }),
        }
    }
    if files.len() > pylock::MAX_PACKAGES {
        return Err(GenerationError::TooMany { path: dir.to_owned(), limit: pylock::MAX_PACKAGES });
    }
    Ok(files)
}

fn read_lockfile(dir: &Path) -> Result<Option<String>, GenerationError> {
    let path = dir.join(pylock::FILE_NAME);
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if !metadata.is_file() => return Err(GenerationError::NotAFile { path }),
        _ => {}
    }
    let mut text = String::new();
    // One byte too many is enough to be refused.
    let file = File::open(&path).map_err(DiskError::at("read", &path))?;
    file.take(pylock::MAX_BYTES as u64 + 1).read_to_string(&mut text).map_err(DiskError::at("read", &path))?;
    Ok(Some(text))
}

type LockedWheels = (Lockfile, Vec<CachedWheel>);

fn locked(
    lockfile: &Lockfile,
    files: &BTreeMap<String, PathBuf>,
    cache: &WheelCache,
) -> Result<LockedWheels, GenerationError> {
    let known: BTreeSet<&str> = lockfile.packages.iter().map(|package| package.wheel.filename.as_str()).collect();
    if let Some(filename) = files.keys().find(|name| !known.contains(name.as_str())) {
        return Err(GenerationError::Unlocked { filename: filename.clone() });
    }
    let mut wheels = Vec::with_capacity(lockfile.packages.len());
    for package in &lockfile.packages {
        check_filename(package)?;
        let filename = &package.wheel.filename;
        let absent = || GenerationError::Absent { filename: filename.clone() };
        let path = files.get(filename).ok_or_else(absent)?;
        let sha256 = package.wheel.sha256.as_deref();
        let wheel = cache.insert_file(path, sha256)?;
        check_project(package, &wheel)?;
        wheels.push(wheel);
    }
    Ok((lockfile.clone(), wheels))
}

fn unlocked(
    files: &BTreeMap<String, PathBuf>,
    cache: &WheelCache,
    python_version: &str,
) -> Result<LockedWheels, GenerationError> {
    let mut found: BTreeMap<String, (LockedPackage, CachedWheel)> = BTreeMap::new();
    for (filename, path) in files {
        let name: WheelName = filename.parse()?;
        let project = name.name.to_string();
        if let Some((first, _)) = found.get(&project) {
            let (first, second) = (first.wheel.filename.clone(), filename.clone());
            return Err(GenerationError::SameProject { project, first, second });
        }
        let wheel = cache.insert_file(path, None)?;
        let info = wheel.info();
        let package = LockedPackage {
            name: info.name.clone(),
            version: info.version.clone(),
            requires_python: info.requires_python.clone(),
            // Which of its requirements are wanted here is for a resolver to say.
            dependencies: Vec::new(),
            wheel: LockedWheel {
                filename: filename.clone(),
                url: String::new(),
                size_bytes: Some(info.archive_bytes),
                sha256: Some(wheel.sha256().to_owned()),
            },
        };
        found.insert(project, (package, wheel));
    }
    let (packages, wheels) = found.into_values().unzip();
    Ok((Lockfile { python_version: python_version.to_owned(), packages }, wheels))
}
