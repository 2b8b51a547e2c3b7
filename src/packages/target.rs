//! What packages are chosen for: the Python in the sandbox, and what is linked into it.

use std::collections::BTreeMap;
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder, PackageName};

/// The platform that packages are chosen for.
#[derive(Debug, Clone)]
pub struct Target {
    python: Version,
    built_in: BTreeMap<PackageName, Version>,
    markers: MarkerEnvironment,
}

/// Why there is no such platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The Python's version is none.
    #[error("`{version}` is not a Python version such as 3.15.0: {reason}")]
    Python {
        /// The text.
        version: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A distribution's name is none.
    #[error("`{name}` is not the name of a distribution")]
    Name {
        /// The text.
        name: String,
    },
    /// A distribution's version is none.
    #[error("`{version}` of the distribution {name} is not a version: {reason}")]
    Version {
        /// The distribution.
        name: String,
        /// The text.
        version: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Target {
    /// The sandbox with this Python (`3.15.0`) and these distributions (name, version) linked into it, both as the
    /// runtime's manifest has them.
    ///
    /// # Errors
    /// A name or a version is none.
    pub fn sandbox<'a>(
        python: &str,
        distributions: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, TargetError> {
        let bad_python = |reason: String| TargetError::Python { version: python.to_owned(), reason };
        let version = Version::from_str(python).map_err(|error| bad_python(error.to_string()))?;
        let &[major, minor, ..] = version.release() else {
            return Err(bad_python("it has no minor version".to_owned()));
        };
        // What `sys`, `os` and `platform` say in the guest. There is no kernel, so its release and version are zeros.
        let markers = MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
            implementation_name: "cpython",
            implementation_version: python,
            os_name: "posix",
            platform_machine: "wasm32",
            platform_python_implementation: "CPython",
            platform_release: "0.0.0",
            platform_system: "wasi",
            platform_version: "0.0.0",
            python_full_version: python,
            python_version: &format!("{major}.{minor}"),
            sys_platform: "wasi",
        })
        .map_err(|error| bad_python(error.to_string()))?;
        let mut built_in = BTreeMap::new();
        for (name, version) in distributions {
            let package = PackageName::from_str(name).map_err(|_| TargetError::Name { name: name.to_owned() })?;
            let version = Version::from_str(version).map_err(|error| TargetError::Version {
                name: name.to_owned(),
                version: version.to_owned(),
                reason: error.to_string(),
            })?;
            built_in.insert(package, version);
        }
        Ok(Self { python: version, built_in, markers })
    }

    /// The Python's version.
    pub fn python(&self) -> &Version {
        &self.python
    }

    /// The Python's major and minor version, which a wheel's tags are compared with.
    pub fn python_minor(&self) -> (u64, u64) {
        let release = self.python.release();
        (release.first().copied().unwrap_or(0), release.get(1).copied().unwrap_or(0))
    }

    /// What is linked into the runtime: always there, and never fetched.
    pub fn built_in(&self) -> &BTreeMap<PackageName, Version> {
        &self.built_in
    }

    /// What the markers of requirements are compared with.
    pub fn markers(&self) -> &MarkerEnvironment {
        &self.markers
    }

    /// Whether a file or package that says this of its Pythons can be used.
    pub fn supports(&self, requires_python: Option<&VersionSpecifiers>) -> bool {
        requires_python.is_none_or(|pythons| pythons.contains(&self.python))
    }
}
