//! The names of wheels (PEP 427): `name-version[-build]-python-abi-platform.whl`.

use std::fmt;
use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::PackageName;

/// A wheel's name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelName {
    /// The project's normalised name.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// The build number and what follows it; more is newer.
    pub build: Option<(u64, String)>,
    /// The Pythons: `py3`, `cp315`, ...
    pub python: Vec<String>,
    /// The ABIs: `none`, `abi3`, ...
    pub abi: Vec<String>,
    /// The platforms: `any`, `manylinux_2_17_x86_64`, ...
    pub platform: Vec<String>,
}

/// Text that is no wheel's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{filename}` is not the name of a wheel: {reason}")]
pub struct WheelNameError {
    /// The text.
    pub filename: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for WheelName {
    type Err = WheelNameError;

    fn from_str(filename: &str) -> Result<Self, Self::Err> {
        let error = |reason: String| WheelNameError { filename: filename.to_owned(), reason };
        if !filename.is_ascii() {
            return Err(error("it has other characters than those of ASCII".to_owned()));
        }
        let stem = filename.strip_suffix(".whl").ok_or_else(|| error("it does not end in .whl".to_owned()))?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (name, version, build, tags) = match parts.as_slice() {
            [name, version, tags @ ..] if tags.len() == 3 => (name, version, None, tags),
            [name, version, build, tags @ ..] if tags.len() == 3 => (name, version, Some(build), tags),
            _ => return Err(error("it should have five or six parts between its dashes".to_owned())),
        };
        if name.is_empty() {
            return Err(error("it has no name before its version".to_owned()));
        }
        let build = build
            .map(|build| {
                let digits = build.find(|c: char| !c.is_ascii_digit()).unwrap_or(build.len());
                let number = build[..digits].parse();
                number.map(|number| (number, build[digits..].to_owned()))
            })
            .transpose()
            .map_err(|_| error("its build tag does not begin with a number".to_owned()))?;
        let set = |tags: &str| tags.split('.').map(str::to_ascii_lowercase).collect();
        Ok(Self {
            name: PackageName::from_str(name).map_err(|bad| error(bad.to_string()))?,
            version: Version::from_str(&version.replace('_', "-")).map_err(|bad| error(bad.to_string()))?,
            build,
            python: set(tags[0]),
            abi: set(tags[1]),
            platform: set(tags[2]),
        })
    }
}

impl WheelName {
    /// Whether any Python of this version can use it anywhere: `none-any` for `py3`, `py3X` or `cp3X` with X not above
    /// the minor version.
    pub fn is_pure_for(&self, (major, minor): (u64, u64)) -> bool {
        let fits = |tag: &String| {
            let Some(digits) = tag.strip_prefix("py").or_else(|| tag.strip_prefix("cp")) else { return false };
            let (tag_major, tag_minor) = digits.split_at(digits.len().min(1));
            let same_major = tag_major.parse() == Ok(major);
            let reached = match tag_minor {
                "" => true,
                // A CPython tag is for that version alone, a generic one for it and later ones.
                _ if tag.starts_with("cp") => tag_minor.parse() == Ok(minor),
                _ => tag_minor.parse().is_ok_and(|tag_minor: u64| tag_minor <= minor),
            };
            same_major && reached
        };
        self.abi.iter().any(|abi| abi == "none")
            && self.platform.iter().any(|p| p == "any")
            && self.python.iter().any(fits)
    }

    /// The tags as they stand in the name.
    pub fn tags(&self) -> String {
        format!("{}-{}-{}", self.python.join("."), self.abi.join("."), self.platform.join("."))
    }
}

impl fmt::Display for WheelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.name, self.version, self.tags())
    }
}
