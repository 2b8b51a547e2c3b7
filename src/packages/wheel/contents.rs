//! What a wheel holds, for those who do not want to look into it again.

use std::collections::{BTreeSet, HashSet};

use pep440_rs::Version;
use pep508_rs::PackageName;
use serde::{Deserialize, Serialize};

use super::super::wheel_name::WheelName;
use super::entry_points::EntryPoints;
use super::error::{WheelError, shown};
use super::headers::Headers;

/// Names that are no modules of the package, though they could be imported: every other wheel brings them by accident.
const ACCIDENTS: [&str; 9] = ["test", "tests", "doc", "docs", "example", "examples", "benchmarks", "conftest", "setup"];
/// Packages below a namespace that are worth a mention, and how deep they are looked for.
const MAX_MODULES: usize = 100;
const MAX_NAMESPACE_DEPTH: usize = 4;
/// Native files that are named.
const MAX_NATIVE: usize = 1_000;
const MAX_SUMMARY_CHARS: usize = 1_024;
const MAX_REQUIREMENTS: usize = 5_000;

/// What a wheel holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WheelInfo {
    /// The project's normalised name.
    pub name: String,
    /// The version, normalised.
    pub version: String,
    /// The file name that it was first seen under.
    pub filename: String,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Bytes of the files that it brings to `site-packages`.
    pub unpacked_bytes: u64,
    /// How many these are.
    pub file_count: u64,
    /// Scripts, headers and data files, which stay in the archive.
    pub left_count: u64,
    /// Name of its `.dist-info` directory.
    pub dist_info: String,
    /// What its `Root-Is-Purelib` says.
    pub root_is_purelib: bool,
    /// What it is, in a line.
    pub summary: Option<String>,
    /// The Pythons that it is for, as it says it.
    pub requires_python: Option<String>,
    /// What it needs, as it says it.
    pub requires_dist: Vec<String>,
    /// The extras it has, as it says them.
    pub provides_extra: Vec<String>,
    /// What it offers to others by name.
    pub entry_points: EntryPoints,
    /// The names that it puts into the root of `site-packages`, without its `.dist-info`, sorted.
    pub roots: Vec<String>,
    /// What can be imported of it: packages and modules of the root and, of namespace packages, the first ones below.
    /// Without private names, tests and the like, and native modules. Sorted.
    pub modules: Vec<String>,
    /// Native libraries and extension modules, which the sandbox cannot load; the first thousand.
    pub native: Vec<String>,
    /// Its `.pth` files in the root of `site-packages`. They are kept as files; nobody executes them.
    pub pth: Vec<String>,
}

/// The headers of `METADATA`, checked against the wheel's name.
pub(super) fn check_metadata(text: &[u8], name: &WheelName) -> Result<Headers, WheelError> {
    let refused = |reason| WheelError::Metadata { reason };
    let headers = Headers::parse(text);
    let other = |what: &str, found: &str| {
        refused(format!(
            "it is of {what} `{}`, while the file name says {} {}",
            shown(found.as_bytes()),
            name.name,
            name.version
        ))
    };
    let found = headers.one("name").map_err(refused)?;
    if !found.parse().is_ok_and(|found: PackageName| found == name.name) {
        return Err(other("the project", found));
    }
    let found = headers.one("version").map_err(refused)?;
    if !found.parse().is_ok_and(|found: Version| found == name.version) {
        return Err(other("version", found));
    }
    if headers.all("requires-dist").count() > MAX_REQUIREMENTS {
        return Err(refused(format!("it has more than {MAX_REQUIREMENTS} requirements")));
    }
    Ok(headers)
}

/// Checks `WHEEL`, and returns its `Root-Is-Purelib`.
pub(super) fn check_wheel(text: &[u8]) -> Result<bool, WheelError> {
    let refused = |reason| WheelError::Wheel { reason };
    let headers = Headers::parse(text);
    let version = headers.one("wheel-version").map_err(refused)?;
    let (major, minor) = version.split_once('.').unwrap_or((version, ""));
    if major != "1" || minor.is_empty() || !minor.bytes().all(|b| b.is_ascii_digit()) {
        let version = shown(version.as_bytes());
        return Err(refused(format!("it has the format version `{version}`, and only 1.x is known")));
    }
    match headers.one("root-is-purelib").map_err(refused)?.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(refused("its `root-is-purelib` is neither true nor false".to_owned())),
    }
}

impl WheelInfo {
    /// Whether it is of this project, by its normalised name, and version, however that is written: `1.0` is `1.0.0`.
    pub fn is_of(&self, name: &str, version: &Version) -> bool {
        self.name == name && self.version.parse().is_ok_and(|own: Version| own == *version)
    }

    /// Takes over what `METADATA` says.
    pub(super) fn describe(&mut self, metadata: &Headers) {
        let text = |name| metadata.all(name).next().filter(|value| !value.is_empty()).map(str::to_owned);
        let list = |name| metadata.all(name).map(str::to_owned).collect();
        self.summary = text("summary").map(|summary| summary.chars().take(MAX_SUMMARY_CHARS).collect());
        self.requires_python = text("requires-python");
        self.requires_dist = list("requires-dist");
        self.provides_extra = list("provides-extra");
    }

    /// Takes over what the paths in `site-packages` tell.
    pub(super) fn survey<'a>(&mut self, paths: impl Iterator<Item = &'a str> + Clone) {
        let own = format!("{}/", self.dist_info);
        let paths = paths.filter(move |path| !path.starts_with(&own));
        let roots: BTreeSet<&str> = paths.clone().filter_map(|path| path.split('/').next()).collect();
        self.roots = roots.into_iter().map(str::to_owned).collect();
        self.pth = self.roots.iter().filter(|root| root.ends_with(".pth")).cloned().collect();
        self.native = paths.clone().filter(|path| is_native(path)).take(MAX_NATIVE).map(str::to_owned).collect();
        self.modules = modules(paths);
    }
}

fn is_native(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    [".so", ".pyd", ".dylib", ".dll"].iter().any(|suffix| name.ends_with(suffix)) || name.contains(".so.")
}

fn modules<'a>(paths: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let sources = paths.filter_map(|path| path.strip_suffix(".py"));
    let packages: HashSet<&str> = sources.clone().filter_map(|path| path.strip_suffix("/__init__")).collect();
    let mut modules = BTreeSet::new();
    for source in sources {
        // The first package on the way down, else the module itself.
        let ends = source.match_indices('/').map(|(at, _)| at);
        let module = ends.filter_map(|end| source.get(..end)).find(|path| packages.contains(path)).unwrap_or(source);
        let names = || module.split('/');
        let public = names().all(|name| is_identifier(name) && !name.starts_with('_'));
        if public && names().count() <= MAX_NAMESPACE_DEPTH && !names().any(|name| ACCIDENTS.contains(&name)) {
            modules.insert(module.replace('/', "."));
        }
        if modules.len() == MAX_MODULES {
            break;
        }
    }
    modules.into_iter().collect()
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_alphabetic()) && chars.all(|c| c == '_' || c.is_alphanumeric())
}
