//! Where each member of a wheel goes.

use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::super::wheel_name::WheelName;
use super::archive::Member;
use super::error::{WheelError, shown};
use super::names::Tree;

/// What becomes of a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing: directories come with their files.
    Directory,
    /// A file of `site-packages`, by its path there.
    Site(String),
    /// A script, header, data or bytecode file: it stays in the archive.
    Left,
}

/// Where the members go.
#[derive(Debug)]
pub(super) struct Layout {
    /// Name of the `.dist-info` directory.
    pub(super) dist_info: String,
    /// One for each member.
    pub(super) places: Vec<Place>,
}

impl Layout {
    /// Finds the members' places in the wheel `name`.
    pub(super) fn of(members: &[Member], name: &WheelName) -> Result<Self, WheelError> {
        let dist_info = dist_info(members, name)?;
        let mut tree = Tree::default();
        let mut places = Vec::with_capacity(members.len());
        for member in members {
            let place = if member.is_dir { Place::Directory } else { place(&member.path, name)? };
            if let Place::Site(path) = &place {
                tree.add_file(path)?;
                // What is installed finds other packages by these directories.
                if let Some(other) = dist_info_of(path).filter(|other| *other != dist_info) {
                    return Err(WheelError::DistInfo {
                        reason: format!("it installs `{}` too", shown(other.as_bytes())),
                    });
                }
            }
            places.push(place);
        }
        Ok(Self { dist_info, places })
    }

    /// Whether a file is installed under another path than it has in the archive, or not at all.
    pub(super) fn moves_files(&self, members: &[Member]) -> bool {
        members.iter().zip(&self.places).any(|(member, place)| match place {
            Place::Directory => false,
            Place::Site(path) => *path != member.path,
            Place::Left => true,
        })
    }
}

/// The one `.dist-info` directory of the archive.
fn dist_info(members: &[Member], name: &WheelName) -> Result<String, WheelError> {
    let refused = |reason| Err(WheelError::DistInfo { reason });
    let mut found: Option<&str> = None;
    for member in members {
        let path = if member.is_dir { format!("{}/", member.path) } else { member.path.clone() };
        if dist_info_of(&path).is_none() {
            continue;
        }
        let root = member.path.split('/').next().unwrap_or_default();
        match found {
            Some(first) if first != root => {
                let (first, second) = (shown(first.as_bytes()), shown(root.as_bytes()));
                return refused(format!("it has two .dist-info directories, `{first}` and `{second}`"));
            }
            _ => found = Some(root),
        }
    }
    let Some(found) = found else { return refused("it has no .dist-info directory".to_owned()) };
    match found.strip_suffix(".dist-info") {
        Some(stem) if is_of(stem, name) => Ok(found.to_owned()),
        _ => refused(format!(
            "its directory `{}` is not that of {} {}, which its file name says",
            shown(found.as_bytes()),
            name.name,
            name.version
        )),
    }
}

/// The `.dist-info` directory that a path leads into. Python does not mind the case of that suffix.
fn dist_info_of(path: &str) -> Option<&str> {
    let (root, _) = path.split_once('/')?;
    root.to_ascii_lowercase().ends_with(".dist-info").then_some(root)
}

/// Whether `stem` is the `name-version` of this wheel.
fn is_of(stem: &str, name: &WheelName) -> bool {
    let Some((project, version)) = stem.split_once('-') else { return false };
    PackageName::from_str(project).is_ok_and(|project| project == name.name)
        && Version::from_str(&version.replace('_', "-")).is_ok_and(|version| version == name.version)
}

fn place(path: &str, name: &WheelName) -> Result<Place, WheelError> {
    let in_data = path.split_once('/').and_then(|(root, rest)| {
        let stem = root.strip_suffix(".data")?;
        is_of(stem, name).then_some(rest)
    });
    // Whatever bytecode a wheel brings is not what its sources say, and may be laid over another package's.
    let site = |path: &str| if is_bytecode(path) { Place::Left } else { Place::Site(path.to_owned()) };
    let Some(in_data) = in_data else { return Ok(site(path)) };
    match in_data.split_once('/') {
        Some(("purelib" | "platlib", path)) => Ok(site(path)),
        Some(("scripts" | "headers" | "data", _)) => Ok(Place::Left),
        _ => Err(WheelError::DataScheme { path: shown(path.as_bytes()) }),
    }
}

/// Whether the importer takes the file for the bytecode of a module beside it.
fn is_bytecode(path: &str) -> bool {
    path.to_ascii_lowercase().ends_with(".pyc") && path.split('/').rev().nth(1) == Some("__pycache__")
}
