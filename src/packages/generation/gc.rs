//! What is left of environments that are no more.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::super::disk::DiskError;
use super::{Environments, GenerationError};

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Generations that nobody names.
    pub generations: Vec<(Uuid, u64)>,
    /// Unfinished things of processes that died.
    pub unfinished: usize,
}

impl Environments {
    /// Removes the generations that are not `live`, and what died unfinished. A generation that was built after `live`
    /// was asked for is not in it: so those younger than `grace` stay.
    ///
    /// # Errors
    /// The disk fails; what was removed stays removed.
    pub fn gc(&self, live: &BTreeSet<(Uuid, u64)>, grace: Duration) -> Result<Collected, GenerationError> {
        let mut collected = Collected { unfinished: self.staging.sweep()?, generations: Vec::new() };
        let now = SystemTime::now();
        let is_old = |path: &Path| {
            let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
            changed.is_ok_and(|changed| now.duration_since(changed).is_ok_and(|age| age >= grace))
        };
        for (environment, dir) in children::<Uuid>(&self.dir)? {
            // Asked first, as what goes changes it.
            let dir_is_old = is_old(&dir);
            for (generation, path) in children::<u64>(&dir)? {
                if !live.contains(&(environment, generation)) && is_old(&path) {
                    self.steps.reach("discard", &path)?;
                    self.staging.discard(&path)?;
                    collected.generations.push((environment, generation));
                }
            }
            // A young one may be about to get its first generation. Fails, as it should, where one is left.
            if dir_is_old {
                let _ = fs::remove_dir(&dir);
            }
        }
        collected.generations.sort_unstable();
        Ok(collected)
    }

    /// Removes all generations of an environment; one that is not there is no error. Kernels that run in it keep what
    /// they have.
    ///
    /// # Errors
    /// The disk fails.
    pub fn delete(&self, environment: Uuid) -> Result<(), GenerationError> {
        let dir = self.dir.join(environment.to_string());
        self.steps.reach("discard", &dir)?;
        Ok(self.staging.discard(&dir)?)
    }
}

/// The directories in `dir` whose names are such a value, written as we write it.
fn children<T: std::str::FromStr + ToString>(dir: &Path) -> Result<Vec<(T, PathBuf)>, DiskError> {
    let entries = match fs::read_dir(dir) {
        // It went away meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(DiskError::at("list", dir))?,
    };
    let mut children = Vec::new();
    for entry in entries {
        let path = entry.map_err(DiskError::at("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(value) = name.parse::<T>().ok().filter(|value| value.to_string() == name)
            && path.is_dir()
        {
            children.push((value, path));
        }
    }
    Ok(children)
}
