//! Why a `pylock.toml` is refused.

/// A `pylock.toml` that cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PylockError {
    /// Larger than any sensible lockfile.
    #[error("the lockfile has more than {limit} {what}")]
    TooLarge {
        /// Of what it has too much.
        what: &'static str,
        /// How much it may have.
        limit: usize,
    },
    /// No TOML, or a key of a wrong type or missing.
    #[error("the lockfile cannot be understood: {reason}")]
    Toml {
        /// Where and why.
        reason: String,
    },
    /// A format that is newer than this program.
    #[error("the lockfile has the format version `{version}`, and only 1.0 is known")]
    Version {
        /// Its version.
        version: String,
    },
    /// A value that is not what its key says.
    #[error("`{key}` of {subject} is refused: {reason}")]
    Value {
        /// Whose key it is: a package, or the lockfile.
        subject: String,
        /// The key.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// It was made for other Pythons.
    #[error("the lockfile is for Python {requires_python}, not for {python_version}")]
    Python {
        /// The Pythons it is for.
        requires_python: String,
        /// The one it is wanted for.
        python_version: String,
    },
    /// A package twice, which only markers could tell apart.
    #[error("the lockfile has two entries for {package}")]
    Duplicate {
        /// The package.
        package: String,
    },
    /// A package that is not a wheel, or that is only for some environments.
    #[error("the lockfile has {package} with `{key}`, and an environment of wheels has no place for that")]
    Unsupported {
        /// The package.
        package: String,
        /// What cannot be done.
        key: &'static str,
    },
    /// None of a package's wheels is pure Python for this version.
    #[error("the lockfile has no pure-Python wheel of {package} for Python {python_version}")]
    NoWheel {
        /// The package.
        package: String,
        /// The version.
        python_version: String,
    },
    /// A package whose wheel's digest is not known yet: it cannot be written down.
    #[error("the wheel of {package} has no SHA-256 yet")]
    Unhashed {
        /// The package.
        package: String,
    },
}
