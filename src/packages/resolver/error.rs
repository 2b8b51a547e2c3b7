//! Why a request can't be met, in words for who made it.

use std::fmt;

use pep440_rs::Version;
use pep508_rs::PackageName;

/// Why the index did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// There is no such thing.
    #[error("the package index does not have it")]
    NotFound,
    /// The index can't be reached, or asks to come back later.
    #[error("the package index is not available: {0}")]
    Unavailable(String),
    /// What the index has can't be used.
    #[error("what the package index has can't be used: {0}")]
    Bad(String),
}

/// Why there is no solution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The index has no such project.
    #[error("there is no `{}` on the package index{}", needed.package, needed.by())]
    NotFound {
        /// What is needed.
        needed: Box<Needed>,
    },
    /// The project has no version that was asked for.
    #[error("{} has no version `{}`{}: {}", needed.package, needed.wanted(), needed.by(), newest(available))]
    NoVersion {
        /// What is needed.
        needed: Box<Needed>,
        /// Its newest versions, the newest first.
        available: Vec<Version>,
    },
    /// The versions that were asked for have native wheels only.
    #[error("{details}")]
    NoPureWheel {
        /// Which, and what would do.
        details: Box<NoPureWheel>,
    },
    /// The version that is linked into the runtime will not do, and the index has none that could take its place.
    #[error(
        "{} {version} is linked into the runtime, and no other version of it can run in the sandbox, but `{}` is \
         wanted{}: an environment in a container can have it",
        needed.package, needed.wanted(), needed.by()
    )]
    LinkedIn {
        /// What is needed.
        needed: Box<Needed>,
        /// The version that is linked in.
        version: Version,
    },
    /// There are such versions, but they may not be used.
    #[error("`{}`{} can't be used: {reason}", needed.wanted(), needed.by())]
    Unusable {
        /// What is needed.
        needed: Box<Needed>,
        /// Why.
        reason: String,
    },
    /// The requirements contradict each other.
    #[error("{explanation}")]
    Conflict {
        /// Which, and how.
        explanation: Explanation,
        /// The places in the request of what was asked for and takes part.
        roots: Vec<usize>,
    },
    /// A requirement names no version on the index.
    #[error("`{package}` must be asked for by its version on the package index, not by an address")]
    NotOnIndex {
        /// The package.
        package: PackageName,
        /// Its place in the request.
        roots: Vec<usize>,
    },
    /// There would be too many packages.
    #[error("this would take more than {limit} packages")]
    TooManyPackages {
        /// How many there may be.
        limit: usize,
    },
    /// None of a package's newest versions goes with the rest.
    #[error(
        "{limit} versions of `{package}` were tried and none goes with the rest: ask for an exact version of it (`{package}==...`)"
    )]
    TooManyVersions {
        /// The package.
        package: PackageName,
        /// How many were tried.
        limit: u32,
        /// The places in the request where it is asked for.
        roots: Vec<usize>,
    },
    /// No solution was found within what a resolution may take.
    #[error("the requirements are too complicated: ask for exact versions (`name==1.0`) of some of them")]
    TooComplex,
    /// The index did not answer.
    #[error("`{package}` can't be looked up: {reason}")]
    Index {
        /// What was asked for.
        package: PackageName,
        /// What happened.
        reason: String,
    },
    /// The solver itself failed: our fault.
    #[error("the solver failed")]
    Internal,
}

impl ResolveError {
    /// The places in the request of what is at fault; without them the rest may be met. Nothing where that is not known.
    pub fn roots(&self) -> &[usize] {
        match self {
            Self::NotFound { needed }
            | Self::NoVersion { needed, .. }
            | Self::LinkedIn { needed, .. }
            | Self::Unusable { needed, .. } => &needed.roots,
            Self::NoPureWheel { details } => &details.needed.roots,
            Self::Conflict { roots, .. } | Self::NotOnIndex { roots, .. } | Self::TooManyVersions { roots, .. } => {
                roots
            }
            Self::TooManyPackages { .. } | Self::TooComplex | Self::Index { .. } | Self::Internal => &[],
        }
    }
}

/// What is needed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// The package.
    pub package: PackageName,
    /// The versions that would do: `>=1.0,<2`; empty where any would.
    pub versions: String,
    /// Who needs it, who needs that one, and so on up to what was asked for; empty if it was asked for itself.
    pub needed_by: Vec<PackageName>,
    /// The places in the request of what needs it.
    pub roots: Vec<usize>,
}

impl Needed {
    fn wanted(&self) -> String {
        format!("{}{}", self.package, self.versions)
    }

    fn by(&self) -> String {
        let mut names = self.needed_by.iter();
        let Some(first) = names.next() else { return String::new() };
        let others: Vec<String> = names.map(|name| format!(", which {name} needs")).collect();
        format!(" (needed by {first}{})", others.concat())
    }
}

/// A package that has native wheels only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoPureWheel {
    /// What is needed.
    pub needed: Needed,
    /// The newest version that would do if it had a pure wheel.
    pub version: Version,
    /// The tags of its wheels, some of them; empty if it has only source distributions.
    pub wheels: Vec<String>,
    /// How many more wheels it has.
    pub more_wheels: usize,
    /// An older major version that would do, if it is asked for.
    pub instead: Option<(PackageName, Version)>,
}

impl fmt::Display for NoPureWheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}{} has no wheel that runs in the sandbox, only ",
            self.needed.package,
            self.version,
            self.needed.by()
        )?;
        if self.wheels.is_empty() {
            f.write_str("source distributions, which are not built")?;
        } else {
            write!(f, "native ones ({}", self.wheels.join(", "))?;
            match self.more_wheels {
                0 => f.write_str(")")?,
                more => write!(f, " and {more} more)")?,
            }
        }
        f.write_str(": an environment in a container can run it")?;
        if let Some((package, version)) = &self.instead {
            write!(f, "; {package} {version} would run here, ask for `{package}=={version}` if that old one will do")?;
        }
        Ok(())
    }
}

/// A contradiction, told in a few lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What it comes to.
    pub summary: String,
    /// What contradicts, from what was asked for downwards.
    pub lines: Vec<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.summary)?;
        self.lines.iter().try_for_each(|line| write!(f, "\n- {line}"))
    }
}

fn newest(versions: &[Version]) -> String {
    match versions {
        [] => "there is none at all".to_owned(),
        [one] => format!("there is only {one}"),
        _ => {
            let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
            format!("the newest are {}", versions.join(", "))
        }
    }
}
