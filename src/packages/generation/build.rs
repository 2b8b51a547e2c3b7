//! From a lockfile to a directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pep440_rs::Version;
use uuid::Uuid;

use super::super::cache::{CachedWheel, WheelCache};
use super::super::disk::{self, DiskError};
use super::super::pylock;
use super::super::wheel_name::WheelName;
use super::{Environments, GenerationDir, GenerationError, Overlaps};
use crate::domain::{LockedPackage, Lockfile};

impl Environments {
    /// Builds a generation of an environment from wheels of the cache. It is there as a whole or not at all, also
    /// after a crash; building the same once more gives the one that is there.
    ///
    /// # Errors
    /// A wheel is not in the cache or not what the lockfile says, there are two of one project, another generation
    /// has this number, or the disk does not take it.
    pub fn build(
        &self,
        environment: Uuid,
        generation: u64,
        lockfile: &Lockfile,
        cache: &WheelCache,
    ) -> Result<GenerationDir, GenerationError> {
        let text = pylock::write(lockfile)?;
        // In the order that the directory will be loaded in: it decides which of two files is seen.
        let mut packages: Vec<&LockedPackage> = lockfile.packages.iter().collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        let wheels = cached(&packages, cache)?;
        let overlaps = Overlaps::among(&wheels)?;
        let path = self.path(environment, generation);
        if !path.exists() {
            self.make(&path, &text, &packages, &wheels)?;
        }
        // By us, by a run that died before it could say so, or by somebody else.
        let there = path.join(pylock::FILE_NAME);
        let there = fs::read(&there).map_err(DiskError::at("read", &there))?;
        if there != text.as_bytes() {
            return Err(GenerationError::Exists { path });
        }
        Ok(GenerationDir { path, wheels, overlaps })
    }

    fn make(
        &self,
        path: &Path,
        text: &str,
        packages: &[&LockedPackage],
        wheels: &[CachedWheel],
    ) -> Result<(), GenerationError> {
        self.steps.reach("begin", path)?;
        let staging = self.staging.create()?;
        for (package, wheel) in packages.iter().zip(wheels) {
            let target = staging.path().join(&package.wheel.filename);
            self.steps.reach("link", &target)?;
            disk::link_or_copy(&wheel.archive(), &target)?;
        }
        let lock = staging.path().join(pylock::FILE_NAME);
        self.steps.reach("write the lockfile", &lock)?;
        let file = disk::write_file(&lock, text.as_bytes())?;
        self.steps.reach("sync", &lock)?;
        file.sync_all().map_err(DiskError::at("write", &lock))?;
        disk::sync(staging.path())?;

        let environment = path.parent().unwrap_or(&self.dir);
        self.steps.reach("publish", path)?;
        disk::private_dir(environment)?;
        // If somebody else was faster, theirs is compared with ours.
        if staging.publish(path)?.is_none() {
            self.steps.reach("sync the directory", environment)?;
            disk::sync(environment)?;
            disk::sync(&self.dir)?;
        }
        Ok(())
    }
}

/// The wheels of these packages, each checked to be what it says.
fn cached(packages: &[&LockedPackage], cache: &WheelCache) -> Result<Vec<CachedWheel>, GenerationError> {
    let mut seen = BTreeMap::new();
    let mut wheels = Vec::with_capacity(packages.len());
    for package in packages {
        let LockedPackage { name, wheel, .. } = package;
        let filename = || wheel.filename.clone();
        check_filename(package)?;
        if let Some(first) = seen.insert(name, &wheel.filename) {
            let (project, first) = (name.clone(), first.clone());
            return Err(GenerationError::SameProject { project, first, second: filename() });
        }
        let found = wheel.sha256.as_ref().map(|sha256| cache.get(sha256)).transpose()?.flatten();
        let found = found.ok_or_else(|| GenerationError::Absent { filename: filename() })?;
        check_project(package, &found)?;
        wheels.push(found);
    }
    Ok(wheels)
}

/// Checks that the wheel's name is one, is that of the package, and stays in its directory.
pub(super) fn check_filename(package: &LockedPackage) -> Result<(), GenerationError> {
    let LockedPackage { name, version, wheel, .. } = package;
    let parsed: WheelName = wheel.filename.parse()?;
    let plain = !wheel.filename.contains(['/', '\0']) && wheel.filename.len() <= 255;
    if plain && parsed.name.as_ref() == name && parsed_version(version).as_ref() == Some(&parsed.version) {
        return Ok(());
    }
    let (found, expected) = (format!("{} {}", parsed.name, parsed.version), format!("{name} {version}"));
    Err(GenerationError::OtherWheel { filename: wheel.filename.clone(), found, expected })
}

/// Checks that a wheel is what the lockfile says.
pub(super) fn check_project(package: &LockedPackage, wheel: &CachedWheel) -> Result<(), GenerationError> {
    let info = wheel.info();
    if parsed_version(&package.version).is_some_and(|version| info.is_of(&package.name, &version)) {
        return Ok(());
    }
    let (found, expected) =
        (format!("{} {}", info.name, info.version), format!("{} {}", package.name, package.version));
    Err(GenerationError::OtherWheel { filename: package.wheel.filename.clone(), found, expected })
}

fn parsed_version(version: &str) -> Option<Version> {
    version.parse().ok()
}
