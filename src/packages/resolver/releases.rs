//! A project's files, sorted by version.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;

use crate::packages::project::{DistFile, Project};
use crate::packages::target::Target;
use crate::packages::wheel_name::WheelName;

/// The longest file name that is looked at.
const MAX_FILENAME_BYTES: usize = 512;

/// The versions of a project.
#[derive(Debug)]
pub(super) struct Releases {
    project: Arc<Project>,
    /// Oldest first.
    pub by_version: BTreeMap<Version, Release>,
    /// Whether every version that is not yanked is a pre-release.
    pub all_pre: bool,
}

/// A version's files.
#[derive(Debug, Default)]
pub(super) struct Release {
    /// Wheels for any platform and this Python, the best first.
    pub pure: Vec<PureWheel>,
    /// The places of other wheels among the project's files.
    native: Vec<usize>,
    /// Whether one of those two kinds could have been taken if only it were pure: not yanked, and for this Python.
    pub usable_if_pure: bool,
    /// The Pythons that the files which are not for this one are for.
    pub other_pythons: Option<String>,
    /// Why its files are yanked, where one is.
    pub yanked: Option<String>,
}

/// A wheel that can run on the target as far as its tags say.
#[derive(Debug)]
pub(super) struct PureWheel {
    /// Its place among the project's files.
    file: usize,
    /// Whether it is yanked.
    pub yanked: bool,
    /// Whether it is for this Python.
    pub supported: bool,
    rank: u8,
    build: Option<(u64, String)>,
}

impl Releases {
    /// Sorts a project's files. What belongs to another project or has no version is left out.
    pub fn new(project: Arc<Project>, target: &Target) -> Self {
        let mut by_version: BTreeMap<Version, Release> = BTreeMap::new();
        // Projects have thousands of files, and neighbours mostly have their version and their Pythons in common.
        let mut last_version: Option<(&str, Version)> = None;
        let mut last_pythons: Option<(&VersionSpecifiers, bool)> = None;
        for (at, file) in project.files.iter().enumerate() {
            if file.filename.len() > MAX_FILENAME_BYTES {
                continue;
            }
            let supported = file.requires_python.as_ref().is_none_or(|pythons| match last_pythons {
                Some((last, supported)) if last == pythons => supported,
                _ => last_pythons.insert((pythons, target.supports(Some(pythons)))).1,
            });
            if let Some(stem) = file.filename.strip_suffix(".whl") {
                let version = match &last_version {
                    Some((start, version)) if stem.starts_with(start) && has_tags(&stem[start.len()..]) => {
                        version.clone()
                    }
                    _ => {
                        let Some((start, version)) = wheel_version(stem, &project.name) else { continue };
                        last_version = Some((start, version.clone()));
                        version
                    }
                };
                by_version.entry(version).or_default().add_wheel(at, file, stem, supported, target);
            } else if let Some(version) = source_version(&file.filename, &project.name) {
                by_version.entry(version).or_default().note(file, supported);
            }
        }
        for release in by_version.values_mut() {
            release.pure.sort_by(|a, b| {
                let names = || project.files[a.file].filename.cmp(&project.files[b.file].filename);
                a.rank.cmp(&b.rank).then_with(|| b.build.cmp(&a.build)).then_with(names)
            });
        }
        let mut standing = by_version.iter().filter(|(_, release)| release.stands()).peekable();
        let all_pre = standing.peek().is_some() && standing.all(|(version, _)| version.any_prerelease());
        Self { project, by_version, all_pre }
    }

    /// The file of a wheel.
    pub fn file(&self, wheel: &PureWheel) -> &DistFile {
        &self.project.files[wheel.file]
    }

    /// Some wheel of a version, whether or not it can run here.
    pub fn any_wheel(&self, version: &Version) -> Option<&DistFile> {
        let release = self.by_version.get(version)?;
        let pure = release.pure.first().map(|wheel| wheel.file);
        self.project.files.get(pure.or(release.native.first().copied())?)
    }

    /// The tags of a version's wheels that can't run here, as far as they are wanted, and how many more there are.
    pub fn native_tags(&self, release: &Release, most: usize) -> (Vec<String>, usize) {
        let wheels =
            release.native.iter().filter_map(|at| WheelName::from_str(&self.project.files.get(*at)?.filename).ok());
        let tags: Vec<String> = wheels.take(most).map(|wheel| wheel.tags()).collect();
        let more = release.native.len() - tags.len();
        (tags, more)
    }
}

impl Release {
    fn add_wheel(&mut self, at: usize, file: &DistFile, stem: &str, supported: bool, target: &Target) {
        let pure = looks_pure(stem).then(|| WheelName::from_str(&file.filename).ok()).flatten();
        let Some(wheel) = pure.filter(|wheel| wheel.is_pure_for(target.python_minor())) else {
            self.note(file, supported);
            self.native.push(at);
            return;
        };
        self.note_trouble(file, supported);
        let rank = match wheel.python.as_slice() {
            [python] if python == "py3" => 0,
            pythons if pythons.iter().any(|python| python == "py3") => 1,
            _ => 2,
        };
        self.pure.push(PureWheel { file: at, yanked: file.yanked.is_some(), supported, rank, build: wheel.build });
    }

    fn note(&mut self, file: &DistFile, supported: bool) {
        self.note_trouble(file, supported);
        self.usable_if_pure |= supported && file.yanked.is_none();
    }

    /// Keeps why the file can't be used.
    fn note_trouble(&mut self, file: &DistFile, supported: bool) {
        if let Some(reason) = &file.yanked {
            self.yanked.get_or_insert_with(|| reason.clone());
        }
        if !supported && self.other_pythons.is_none() {
            self.other_pythons = file.requires_python.as_ref().map(ToString::to_string);
        }
    }

    /// Whether something of it is not yanked.
    fn stands(&self) -> bool {
        self.usable_if_pure || self.yanked.is_none() || self.pure.iter().any(|wheel| !wheel.yanked)
    }
}

/// A quick look, so that only wheels which may be pure are taken apart: some projects have thousands of others.
fn looks_pure(stem: &str) -> bool {
    let mut parts = stem.rsplit('-');
    let mut has =
        |wanted: &str| parts.next().is_some_and(|tags| tags.split('.').any(|tag| tag.eq_ignore_ascii_case(wanted)));
    has("any") && has("none")
}

/// What a wheel's name begins with, the dash behind its version included, and that version.
fn wheel_version<'a>(stem: &'a str, project: &PackageName) -> Option<(&'a str, Version)> {
    let (name, rest) = stem.split_once('-')?;
    let (version, tags) = rest.split_once('-')?;
    if !has_tags(tags) || !is_name(name, project) {
        return None;
    }
    let start = &stem[..stem.len() - tags.len()];
    Some((start, Version::from_str(&version.replace('_', "-")).ok()?))
}

/// Whether this is `[build-]python-abi-platform`.
fn has_tags(tags: &str) -> bool {
    match tags.bytes().filter(|byte| *byte == b'-').count() {
        2 => true,
        3 => tags.starts_with(|c: char| c.is_ascii_digit()),
        _ => false,
    }
}

/// `name-version.tar.gz`; old ones have dashes in both.
fn source_version(filename: &str, project: &PackageName) -> Option<Version> {
    let suffixes = [".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz"];
    let stem = suffixes.iter().find_map(|suffix| filename.strip_suffix(suffix))?;
    // A name has about as many dashes as the project's; each longer one would be read for nothing.
    let most = project.as_ref().matches('-').count().saturating_add(2);
    let dashes = stem.match_indices('-').take(most).map(|(at, _)| stem.split_at(at));
    let (_, version) = dashes.into_iter().find(|(name, _)| is_name(name, project))?;
    Version::from_str(version.get(1..)?).ok()
}

/// Whether a name is the project's once normalised.
fn is_name(name: &str, project: &PackageName) -> bool {
    name == project.as_ref() || PackageName::from_str(name).is_ok_and(|name| name == *project)
}
