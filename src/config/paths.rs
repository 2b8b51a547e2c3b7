//! Where files are kept when nobody says where: the XDG base directories.

use std::env;
use std::path::PathBuf;

/// `pymd` in the XDG data directory.
pub(super) fn default_data_dir() -> Option<PathBuf> {
    base("XDG_DATA_HOME", ".local/share").map(|base| base.join("pymd"))
}

/// `pymd` in the XDG cache directory.
pub(super) fn default_cache_dir() -> Option<PathBuf> {
    base("XDG_CACHE_HOME", ".cache").map(|base| base.join("pymd"))
}

/// The variable's directory, or that one below the home directory. The specification wants relative paths ignored.
fn base(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))
}
