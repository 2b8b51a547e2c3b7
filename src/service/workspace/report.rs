//! What came of a change, for who asked for it.

use std::collections::HashMap;

use jiff::Timestamp;

use super::change::Asked;
use crate::domain::{EnvironmentPackage, FailedReport, InstallReport, InstalledReport, Lockfile};
use crate::packages::cache::CachedWheel;
use crate::packages::generation::Overlaps;
use crate::packages::resolver::ResolvedRoot;

/// Of several, so many are named.
const NAMED: usize = 3;

impl InstallReport {
    /// Nothing was done.
    pub(super) fn of_failures(failed: Vec<FailedReport>) -> Self {
        Self { fail_count: count(failed.len()), failed, ..Self::default() }
    }
}

/// Bytes of packages, and since when they are there, by name.
pub(super) type There = HashMap<String, (u64, Timestamp)>;

pub(super) fn there(packages: &[EnvironmentPackage]) -> There {
    packages.iter().map(|package| (package.name.clone(), (package.size_bytes, package.installed_at))).collect()
}

/// What an environment comes to.
pub(super) struct After<'a> {
    /// What was in it before.
    pub before: &'a Lockfile,
    /// What is in it then.
    pub lock: &'a Lockfile,
    /// What is known of that.
    pub there: &'a There,
    /// When that is.
    pub at: Timestamp,
}

impl After<'_> {
    /// What came of what was asked for.
    pub fn report(
        &self,
        asked: &[(&Asked, &ResolvedRoot)],
        mut failed: Vec<FailedReport>,
        warnings: Vec<String>,
    ) -> InstallReport {
        let installed = |name: &str, version: String| {
            let (size_bytes, installed_at) = self.there.get(name).copied().unwrap_or((0, self.at));
            InstalledReport { package_name: name.to_owned(), version, size_bytes, installed_at }
        };
        let mut successful = Vec::new();
        for (asked, root) in asked {
            match root {
                ResolvedRoot::Locked { name, version } | ResolvedRoot::BuiltIn { name, version } => {
                    successful.push(installed(name.as_ref(), version.to_string()));
                }
                ResolvedRoot::NotForTarget => failed.push(FailedReport {
                    package: asked.text.clone(),
                    error: "its marker says that it is not for the sandbox".to_owned(),
                }),
            }
        }
        let is_new = |name: &str, version: &str| {
            !self.before.packages.iter().any(|package| package.name == name && package.version == version)
        };
        let dependencies = self.lock.packages.iter().filter(|package| {
            is_new(&package.name, &package.version)
                && !successful.iter().any(|report| report.package_name == package.name)
        });
        let dependencies = dependencies.map(|package| installed(&package.name, package.version.clone())).collect();
        InstallReport {
            success_count: count(successful.len()),
            fail_count: count(failed.len()),
            successful,
            failed,
            dependencies,
            warnings,
        }
    }
}

/// What is worth knowing of files that two wheels own.
pub(super) fn overlaps(overlaps: &Overlaps) -> Option<String> {
    if overlaps.different == 0 {
        return None;
    }
    let named = overlaps.named.iter().filter(|overlap| !overlap.is_identical).take(NAMED);
    let named: Vec<_> =
        named.map(|overlap| format!("`{}` ({} and {})", overlap.path, overlap.first, overlap.second)).collect();
    Some(format!(
        "{} files are owned by two packages, and the first one's is seen: {}",
        overlaps.different,
        named.join(", ")
    ))
}

/// What is worth knowing of wheels themselves.
pub(super) fn wheels(wheels: &[CachedWheel]) -> Vec<String> {
    let mut said = Vec::new();
    for info in wheels.iter().map(CachedWheel::info) {
        if !info.pth.is_empty() {
            said.push(format!("{} has `.pth` files, which do nothing here: {}", info.name, info.pth.join(", ")));
        }
        if let Some(first) = info.native.first() {
            said.push(format!("{} has native code that can't run in the sandbox, such as `{first}`", info.name));
        }
    }
    said
}

pub(super) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
