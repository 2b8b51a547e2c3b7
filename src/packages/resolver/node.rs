//! What the solver decides on.

use std::fmt;

use pep508_rs::{ExtraName, PackageName};

/// A node of the graph. An extra is a package of its own, whose every version needs the same version of the real one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// What needs all that is asked for.
    Root,
    /// A package.
    Package(PackageName),
    /// A package's extra.
    Extra(PackageName, ExtraName),
}

impl Node {
    /// The package; nothing for the root.
    pub fn package(&self) -> Option<&PackageName> {
        match self {
            Self::Root => None,
            Self::Package(name) | Self::Extra(name, _) => Some(name),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("what you asked for"),
            Self::Package(name) => write!(f, "{name}"),
            Self::Extra(name, extra) => write!(f, "{name}[{extra}]"),
        }
    }
}
