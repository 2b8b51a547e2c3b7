//! The `site-packages` of a set of wheels.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::cache::CachedWheel;
use super::super::disk::{self, DiskError};

/// Directories that, merged, are a `site-packages`. Where two have a file of the same name, the first one's is seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SitePackages {
    /// For each wheel its files and then, where it is compiled, its bytecode.
    pub dirs: Vec<PathBuf>,
}

impl SitePackages {
    /// Of these wheels, with their bytecode for the runtime where it is there.
    pub fn of(wheels: &[CachedWheel], runtime: &str) -> Self {
        let dirs = wheels.iter().flat_map(|wheel| [Some(wheel.files()), wheel.bytecode_dir(runtime)]);
        Self { dirs: dirs.flatten().collect() }
    }

    /// Makes the merged tree in the new directory `target`, of hard links where the file system can, else of copies.
    /// Half of it may be there on an error. Returns how many files it has.
    ///
    /// # Errors
    /// The directory is there already, or the disk does not take it.
    pub fn link_tree(&self, target: &Path) -> Result<u64, DiskError> {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().mode(0o700).create(target).map_err(DiskError::at("create", target))?;
        let mut linked = Linked::default();
        for dir in &self.dirs {
            linked.merge(dir, target, "")?;
        }
        Ok(linked.files.len() as u64)
    }
}

/// What is there so far, by path.
#[derive(Default)]
struct Linked {
    files: HashSet<String>,
    dirs: HashSet<String>,
}

impl Linked {
    fn merge(&mut self, from: &Path, to: &Path, prefix: &str) -> Result<(), DiskError> {
        for entry in fs::read_dir(from).map_err(DiskError::at("list", from))? {
            let entry = entry.map_err(DiskError::at("list", from))?;
            let name = entry.file_name();
            let path = format!("{prefix}{}", name.to_string_lossy());
            let target = to.join(&name);
            let kind = entry.file_type().map_err(DiskError::at("inspect", from))?;
            if kind.is_dir() && !self.files.contains(&path) {
                if self.dirs.insert(path.clone()) {
                    disk::private_dir(&target)?;
                }
                self.merge(&entry.path(), &target, &format!("{path}/"))?;
            } else if kind.is_file() && !self.dirs.contains(&path) && self.files.insert(path) {
                disk::link_or_copy(&entry.path(), &target)?;
            }
        }
        Ok(())
    }
}
