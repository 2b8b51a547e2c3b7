//! Text to lockfiles: a file may be anybody's, made by any program.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;
use serde::Deserialize;
use serde::de::IgnoredAny;
use url::Url;

use super::super::wheel_name::WheelName;
use super::{MAX_BYTES, MAX_PACKAGES, PylockError};
use crate::domain::{LockedPackage, LockedWheel, Lockfile};

/// Wheels and dependencies that a package may list.
const MAX_LISTED: usize = 1_000;
const MAX_REASON_CHARS: usize = 500;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    lock_version: String,
    requires_python: Option<String>,
    packages: Vec<Package>,
    tool: Option<Tool>,
}

#[derive(Deserialize)]
struct Tool {
    pymd: Option<Pymd>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Pymd {
    python_version: Option<String>,
    #[serde(default)]
    runtime_dependencies: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: String,
    version: Option<String>,
    marker: Option<String>,
    requires_python: Option<String>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
    vcs: Option<IgnoredAny>,
    directory: Option<IgnoredAny>,
    archive: Option<IgnoredAny>,
    #[serde(default)]
    wheels: Vec<Wheel>,
    tool: Option<Tool>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
}

#[derive(Deserialize)]
struct Wheel {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    size: Option<u64>,
    hashes: BTreeMap<String, String>,
}

/// Reads a `pylock.toml` for this Python (`3.15.0`). It must be for it, and every package must come as a wheel; of
/// several, the first pure one is taken.
///
/// The addresses are the file's word: nobody should fetch from them without a thought. User names and passwords are
/// taken out of them.
///
/// # Errors
/// The text is no lockfile, or asks for what an environment of wheels cannot hold.
pub fn read(text: &str, python_version: &str) -> Result<Lockfile, PylockError> {
    if text.len() > MAX_BYTES {
        return Err(PylockError::TooLarge { what: "bytes", limit: MAX_BYTES });
    }
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1);
        let line = line.map_or_else(String::new, |line| format!("line {line}: "));
        PylockError::Toml { reason: format!("{line}{}", brief(error.message())) }
    })?;
    if file.lock_version != "1.0" {
        return Err(PylockError::Version { version: brief(&file.lock_version) });
    }
    if file.packages.len() > MAX_PACKAGES {
        return Err(PylockError::TooLarge { what: "packages", limit: MAX_PACKAGES });
    }
    let whole = Subject("the lockfile");
    let python = Version::from_str(python_version).map_err(|error| whole.refused("python-version", error))?;
    if let Some(required) = &file.requires_python {
        let specifiers = whole.specifiers(required)?;
        if !specifiers.contains(&python) {
            let python_version = python_version.to_owned();
            return Err(PylockError::Python { requires_python: specifiers.to_string(), python_version });
        }
    }
    let made_for = file.tool.and_then(|tool| tool.pymd).and_then(|pymd| pymd.python_version);
    if let Some(version) = &made_for {
        Version::from_str(version).map_err(|error| whole.refused("python-version", error))?;
    }
    let mut packages = BTreeMap::new();
    for entry in file.packages {
        let package = package(entry, &python)?;
        if let Some(twice) = packages.insert(package.name.clone(), package) {
            return Err(PylockError::Duplicate { package: twice.name });
        }
    }
    let python_version = made_for.unwrap_or_else(|| python_version.to_owned());
    Ok(Lockfile { python_version, packages: packages.into_values().collect() })
}

fn package(entry: Package, python: &Version) -> Result<LockedPackage, PylockError> {
    let label = brief(&entry.name);
    let subject = Subject(&label);
    let name = PackageName::from_str(&entry.name).map_err(|error| subject.refused("name", error))?;
    let others = [
        ("marker", entry.marker.is_some()),
        ("vcs", entry.vcs.is_some()),
        ("directory", entry.directory.is_some()),
        ("archive", entry.archive.is_some()),
        ("sdist", entry.wheels.is_empty()),
    ];
    if let Some((key, _)) = others.iter().find(|(_, is_there)| *is_there) {
        return Err(PylockError::Unsupported { package: name.to_string(), key });
    }
    if entry.wheels.len() > MAX_LISTED || entry.dependencies.len() > MAX_LISTED {
        return Err(PylockError::TooLarge { what: "wheels or dependencies of one package", limit: MAX_LISTED });
    }
    if let Some(required) = &entry.requires_python {
        subject.specifiers(required)?;
    }
    let mut wheels = Vec::new();
    for wheel in &entry.wheels {
        wheels.push(locked_wheel(wheel, &subject)?);
    }
    let no_wheel = || PylockError::NoWheel { package: name.to_string(), python_version: python.to_string() };
    let (wheel_name, wheel) = choose(wheels, python).ok_or_else(no_wheel)?;
    let version = match &entry.version {
        Some(version) => Version::from_str(version).map_err(|error| subject.refused("version", error))?,
        None => wheel_name.version.clone(),
    };
    if wheel_name.name != name || wheel_name.version != version {
        return Err(subject.refused("wheels", format!("`{}` is not of {name} {version}", brief(&wheel.filename))));
    }
    let linked = entry.tool.and_then(|tool| tool.pymd).map(|pymd| pymd.runtime_dependencies).unwrap_or_default();
    let mut dependencies = BTreeSet::new();
    for dependency in entry.dependencies.into_iter().map(|dependency| dependency.name).chain(linked) {
        let name = PackageName::from_str(&dependency).map_err(|error| subject.refused("dependencies", error))?;
        dependencies.insert(name.to_string());
    }
    Ok(LockedPackage {
        name: name.to_string(),
        version: version.to_string(),
        requires_python: entry.requires_python,
        dependencies: dependencies.into_iter().collect(),
        wheel,
    })
}

/// The only wheel, or the first that any machine with this Python can use.
fn choose(wheels: Vec<(WheelName, LockedWheel)>, python: &Version) -> Option<(WheelName, LockedWheel)> {
    let release = python.release();
    let minor = (release.first().copied().unwrap_or_default(), release.get(1).copied().unwrap_or_default());
    let only = wheels.len() == 1;
    wheels.into_iter().find(|(name, _)| only || name.is_pure_for(minor))
}

fn locked_wheel(wheel: &Wheel, subject: &Subject<'_>) -> Result<(WheelName, LockedWheel), PylockError> {
    let (url, from_place) = match (&wheel.url, &wheel.path) {
        (Some(url), None) => address(url, subject)?,
        (None, Some(path)) => (String::new(), Some(path.strip_prefix("./").unwrap_or(path).to_owned())),
        _ => return Err(subject.refused("wheels", "each needs one of `url` and `path`")),
    };
    let filename = wheel.name.clone().or_else(|| from_place.clone());
    let filename = filename.ok_or_else(|| subject.refused("wheels", "one has no name"))?;
    if wheel.path.is_some() && from_place.as_ref() != Some(&filename) {
        return Err(subject.refused("wheels", "a path may only lead to a file beside the lockfile"));
    }
    let name = WheelName::from_str(&filename).map_err(|error| subject.refused("wheels", error))?;
    // As a file name it must stay in its directory.
    if filename.contains(['/', '\\', '\0']) || filename.len() > 255 {
        return Err(subject.refused("wheels", "the name of one is no file name"));
    }
    let sha256 = wheel.hashes.get("sha256").ok_or_else(|| subject.refused("hashes", "there is no sha256"))?;
    let sha256 = sha256.to_ascii_lowercase();
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(subject.refused("hashes", "the sha256 has not 64 hexadecimal digits"));
    }
    Ok((name, LockedWheel { filename, url, size_bytes: wheel.size, sha256: Some(sha256) }))
}

/// An address without its secrets, and the name of the file at its end.
fn address(url: &str, subject: &Subject<'_>) -> Result<(String, Option<String>), PylockError> {
    let mut url = Url::parse(url).map_err(|error| subject.refused("url", error))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(subject.refused("url", "it is neither http nor https"));
    }
    // These only fail for addresses without a host, which these schemes do not have.
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_err(|()| subject.refused("url", "it has no host"))?;
    let name = url.path_segments().and_then(|mut segments| segments.next_back()).map(str::to_owned);
    Ok((url.to_string(), name))
}

/// What a refused value belongs to.
struct Subject<'a>(&'a str);

impl Subject<'_> {
    fn refused(&self, key: &'static str, reason: impl ToString) -> PylockError {
        PylockError::Value { subject: self.0.to_owned(), key, reason: brief(&reason.to_string()) }
    }

    fn specifiers(&self, text: &str) -> Result<VersionSpecifiers, PylockError> {
        VersionSpecifiers::from_str(text).map_err(|error| self.refused("requires-python", error))
    }
}

/// The beginning of a text of the file.
fn brief(text: &str) -> String {
    text.chars().take(MAX_REASON_CHARS).map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
